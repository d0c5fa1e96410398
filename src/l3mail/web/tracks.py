"""Openings and clicks: the pixel `/o` and the links `/c`, bare ASGI callables beside the pages.

Owns what they answer and what a request says of its visitor: whether it was a machine, and
nothing else. Neither an address nor a program's name is kept, not even in a log. A click leads to
an address that stands in the database, whatever became of the person or of the writing down.
"""

import asyncio
import logging
import re
from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple
from urllib.parse import quote

from fastapi import Request
from sqlalchemy import Connection

from l3mail import events, publishing
from l3mail.errors import DatabaseClosedError, DatabaseUnavailableError, TokenError
from l3mail.events import Verdict
from l3mail.publishing import Target
from l3mail.tokens import Purpose
from l3mail.web.door import Door, Visit
from l3mail.web.gate import IS_HEAD, Asgi, Receive, Scope, Send

PATIENCE_SECONDS = 0.5
"""How long an answer waits for its visit to be written down; the writing goes on after it."""

GIF = (
    b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff!\xf9\x04\x01\x00\x00\x00\x00,"
    b"\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;"
)
NAMELESS = b"Mozilla/5.0"
"""All that Apple's proxy says of itself; it fetches images whether or not somebody reads."""

RETRY_SECONDS = "30"

_PIXEL = re.compile(r"/o/(?P<token>[^/]+)\.gif")
_LINK = re.compile(r"/c/(?P<token>[^/]+)/(?P<number>[1-9][0-9]{0,5})", re.ASCII)
_AHEAD = re.compile(rb"prefetch|prerender|preview", re.IGNORECASE)
_PURPOSES = frozenset({b"sec-purpose", b"purpose", b"x-purpose", b"x-moz"})
_KEPT = ":/%#?=@[]!$&'()*+,;~"
"""What may stand in an address as it is."""

_PIXEL_HEADERS = [
    (b"content-type", b"image/gif"),
    (b"content-length", str(len(GIF)).encode()),
    (b"cache-control", b"no-store"),
    # Mail programs on other sites show our pictures.
    (b"cross-origin-resource-policy", b"cross-origin"),
]
_LOG = logging.getLogger(__name__)


class _Measured(NamedTuple):
    """What a token measures: one delivery, or a version of a text for everybody who has it."""

    delivery_id: int | None = None
    message_id: int | None = None


class Tracks:
    """Answers `/o` and `/c`, and leaves everything else to `app`."""

    def __init__(self, door: Door, app: Asgi) -> None:
        """Stand before `app`."""
        self._door = door
        self._app = app
        self._lost = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        path = scope.get("path", "")
        if not path.startswith(("/o/", "/c/")):
            await self._app(scope, receive, send)
        elif scope["method"] != "GET":
            answer = self._visit(scope).note("method", 405)
            answer.headers["Allow"] = "GET, HEAD"
            await answer(scope, receive, send)
        elif path.startswith("/o/"):
            await self._open(scope, send)
        else:
            await self._click(scope, receive, send)

    async def _open(self, scope: Scope, send: Send) -> None:
        """The pixel, for whatever asks for one."""
        now = self._door.clock.now()
        found = _PIXEL.fullmatch(scope["path"])
        measured = self._read(found["token"], now) if found else None
        writing = None
        if measured is not None:
            verdict = _verdict(scope)

            def verb(connection: Connection) -> None:
                target = publishing.target(connection, None, **measured._asdict())
                if target is not None:
                    self._record(connection, target, measured, verdict, now)

            writing = await self._begin(verb)
        await _answer(send, 200, _PIXEL_HEADERS, GIF)
        if writing is not None:
            await writing

    async def _click(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Lead on to where the link leads; a page with a way on for what is no link of ours."""
        now = self._door.clock.now()
        found = _LINK.fullmatch(scope["path"])
        measured = self._read(found["token"], now) if found else None
        if found is None or measured is None:
            await self._visit(scope).stale()(scope, receive, send)
            return
        number = int(found["number"])
        try:
            target = await self._door.database.reads(
                lambda connection: publishing.target(connection, number, **measured._asdict())
            )
        except (DatabaseUnavailableError, DatabaseClosedError):
            answer = self._visit(scope).note("busy", 503)
            answer.headers["Retry-After"] = RETRY_SECONDS
            await answer(scope, receive, send)
            return
        if target is None:
            await self._visit(scope).stale()(scope, receive, send)
            return
        verdict = _verdict(scope)
        writing = await self._begin(
            lambda connection: self._record(connection, target, measured, verdict, now)
        )
        headers = [
            (b"location", quote(target.url, safe=_KEPT).encode()),
            (b"content-length", b"0"),
            (b"cache-control", b"no-store"),
            (b"referrer-policy", b"no-referrer"),
        ]
        await _answer(send, 302, headers, b"")
        await writing

    def _visit(self, scope: Scope) -> Visit:
        return Visit(self._door, Request(scope))

    def _read(self, text: str, now: datetime) -> _Measured | None:
        try:
            numbers = self._door.tokens.read(Purpose.TRACK, text, now).numbers
        except TokenError:
            return None
        match numbers:
            case (delivery,):
                return _Measured(delivery_id=delivery)
            case (0, message):
                return _Measured(message_id=message)
        return None

    def _record(
        self,
        connection: Connection,
        target: Target,
        measured: _Measured,
        verdict: Verdict,
        now: datetime,
    ) -> None:
        settings = self._door.settings
        visit = events.Visit(
            kind="opened" if target.link_id is None else "clicked",
            at=now,
            message_id=target.message_id,
            link_id=target.link_id,
            delivery_id=measured.delivery_id,
            verdict=verdict,
        )
        events.record_visits(connection, [visit], mode=settings.tracking.mode, zone=settings.zone)

    async def _begin(self, verb: Callable[[Connection], None]) -> "asyncio.Task[None]":
        """Write something down, and wait for it a little; await the rest after the answer."""
        writing = asyncio.create_task(self._write(verb))
        await asyncio.wait({writing}, timeout=PATIENCE_SECONDS)
        return writing

    async def _write(self, verb: Callable[[Connection], None]) -> None:
        """Write a visit down, or tell once that this can't be done, and how many it cost."""
        try:
            await self._door.database.writes(verb)
        except (DatabaseUnavailableError, DatabaseClosedError) as fault:
            if not self._lost:
                detail = getattr(fault, "detail", str(fault))
                _LOG.warning("visits are not counted until the database can be written: %s", detail)
            self._lost += 1
        else:
            if self._lost:
                _LOG.warning("visits are counted again; %d were not", self._lost)
                self._lost = 0


def _verdict(scope: Scope) -> Verdict:
    """What a request says by itself of who sent it."""
    if scope[IS_HEAD]:
        return "machine"
    nameless = False
    for name, value in scope["headers"]:
        if name in _PURPOSES and _AHEAD.search(value):
            return "machine"
        nameless = nameless or (name == b"user-agent" and value.strip() == NAMELESS)
    return "unsure" if nameless and scope["path"].startswith("/o/") else "raw"


async def _answer(send: Send, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
