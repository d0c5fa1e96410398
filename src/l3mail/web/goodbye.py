"""The pages of a house that has stopped: leaving and reading what was sent, and one page instead.

Owns what is still answered and what is not. A bare ASGI callable before all pages: what it does
not let through never gets to see a page, a form or the database.
"""

import re

from fastapi import Request
from fastapi.responses import JSONResponse

from l3mail.web.door import Door, Visit
from l3mail.web.gate import Asgi, Receive, Scope, Send

GONE = 410
_READ = frozenset({"GET"})
# Behind the gate HEAD is GET. Links in old mails lead on; nobody is counted any more.
_STILL: tuple[tuple[re.Pattern[str], frozenset[str]], ...] = (
    (re.compile(r"/unsubscribe/.+"), frozenset({"GET", "POST"})),
    (re.compile(r"/view/.+"), _READ),
    (re.compile(r"/[oc]/.+"), _READ),
    (re.compile(r"/media/[^/]+/[^/]+"), _READ),
    (re.compile(r"/assets/[^/]+"), _READ),
    (re.compile(r"/healthz"), _READ),
    (re.compile(r"/robots\.txt"), _READ),
)


class Goodbye:
    """Lets through to `app` what stays after the end; says that it is the end to all the rest."""

    def __init__(self, door: Door, app: Asgi) -> None:
        """Stand before `app`."""
        self._door = door
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http" or is_still_open(scope["method"], scope["path"]):
            await self._app(scope, receive, send)
            return
        visit = Visit(self._door, Request(scope))
        if scope["path"].startswith("/api/"):
            said = {"status": "goodbye", "message": visit.say("goodbye.lead")}
            await JSONResponse(said, GONE)(scope, receive, send)
            return
        await visit.note("goodbye", GONE)(scope, receive, send)


def is_still_open(method: str, path: str) -> bool:
    """Whether a request is answered as ever."""
    return any(method in methods and where.fullmatch(path) for where, methods in _STILL)
