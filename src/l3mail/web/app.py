"""The subscribers' door put together: pages, JSON, health, and what happens when something fails.

Owns the list of what there is, and holds nothing of a workspace: `create_app` makes each anew.
"""

import asyncio
import ipaddress
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import FileResponse, JSONResponse, RedirectResponse, Response
from sqlalchemy import Connection
from starlette.exceptions import HTTPException

from l3mail.clocks import Clock
from l3mail.database import Database
from l3mail.errors import DatabaseClosedError, DatabaseUnavailableError
from l3mail.events import Guestbook
from l3mail.settings import Settings
from l3mail.subscribers import Rules
from l3mail.tokens import Tokens
from l3mail.web import (
    acts,
    answers,
    approving,
    archive,
    certificates,
    confirmations,
    corrections,
    days,
    deletion,
    health,
    holdings,
    leaving,
    letters,
    moves,
    preferences,
    releasing,
    signups,
)
from l3mail.web.door import Door, Visit, Visiting
from l3mail.web.gate import Asgi, Gate, Scope
from l3mail.web.goodbye import Goodbye
from l3mail.web.limits import Ceilings, Over
from l3mail.web.pages import Pages
from l3mail.web.shortcut import Shortcut
from l3mail.web.tracks import Tracks
from l3mail.web.words import read_words

ASSETS = Path(__file__).with_name("assets")
RETRY_SECONDS = "30"
_WORDS = {404: "missing", 405: "method", 408: "large", 413: "large", 414: "large", 431: "large"}
_LOG = logging.getLogger(__name__)

router = APIRouter()


def _warn(over: Over) -> None:
    _LOG.warning("%s", over)


def create_app(
    settings: Settings,
    database: Database,
    tokens: Tokens,
    clock: Clock,
    rules: Rules,
    *,
    wake: Callable[[], None] = lambda: None,
    late: Callable[[Connection, datetime], Sequence[str]] = lambda _connection, _now: (),
    silent_for: Callable[[], timedelta | None] = lambda: None,
    alarm: Callable[[Over], None] = _warn,
    book: Guestbook | None = None,
    goodbye: bool = False,
) -> Gate:
    """The application for one workspace, to be run with `proxy_headers` and `access_log` off.

    `wake` is called, in the event loop, after something was queued. `late` says what is behind
    (the tick, the relay), one text each; `/healthz` answers 503 as long as it says anything.
    `silent_for` says how long ago the last tick was, where ticks are of this process.
    `alarm` is told, once an hour at most, that sign-ups are over a ceiling. Visits go into
    `book`, or into one of its own, and from there into the database for as long as the
    application's lifespan is. `goodbye` leaves only what stays open when the house has stopped.
    """
    if book is None or goodbye:
        mode = "off" if goodbye else settings.tracking.mode
        book = Guestbook(database, mode=mode, zone=settings.zone)
    prefix = urlsplit(settings.web.base_url).path
    words = read_words(settings.folder)
    door = Door(
        settings=settings,
        database=database,
        tokens=tokens,
        clock=clock,
        rules=rules,
        words=words,
        pages=Pages(settings, words, prefix, closed=goodbye),
        ceilings=_ceilings(settings, clock, alarm),
        trusted=[ipaddress.ip_network(network) for network in settings.web.trusted_proxies],
        wake=wake,
        late=late,
        silent_for=silent_for,
        book=book,
        closed=goodbye,
    )
    app = _application(door)

    def refuse(scope: Scope, status: int) -> Asgi:
        return Visit(door, Request(scope)).note(_WORDS[status], status)

    tracks = Tracks(door, app)
    shortcut = Shortcut(tracks.at_once, prefix)
    return Gate(Goodbye(door, tracks) if goodbye else tracks, refuse, prefix, shortcut)


def _ceilings(settings: Settings, clock: Clock, alarm: Callable[[Over], None]) -> Ceilings:
    signup = settings.signup
    return Ceilings(clock, signup.per_network, signup.overall, signup.per_source, ring=alarm)


def _application(door: Door) -> FastAPI:
    """All pages of a door, and what is said when one fails."""
    app = FastAPI(
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=_keeping(door.book),
    )
    app.state.door = door
    # Letters first: `/unsubscribe/preview` is no token.
    parts = (letters, signups, confirmations, leaving, acts, answers, days)
    # And what is behind a fresh link before the settings, whose token may hold anything.
    own = (holdings, corrections, moves, deletion, preferences)
    for part in (*parts, *own, approving, releasing, certificates, archive, health):
        app.include_router(part.router)
    app.include_router(router)
    app.add_exception_handler(HTTPException, _show_refusal)
    for fault in (DatabaseUnavailableError, DatabaseClosedError):
        app.add_exception_handler(fault, _show_busy)
    app.add_exception_handler(Exception, _show_broken)
    return app


def _keeping(book: Guestbook) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    """A lifespan in which visits are written down; the last ones at its end."""

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        keeping = asyncio.create_task(book.keep())
        try:
            yield
        finally:
            keeping.cancel()
            with suppress(asyncio.CancelledError):
                await keeping
            await book.flushes()

    return lifespan


@router.get("/")
async def show_home(visit: Visiting) -> Response:
    """Who comes without a link wants to sign up."""
    return RedirectResponse(f"{visit.door.prefix}/subscribe", 302)


@router.get("/assets/{name}")
async def show_asset(name: str) -> Response:
    """The stylesheets and the icon."""
    if name not in {"pages.css", "above.css", "icon.svg"}:
        raise HTTPException(404)
    return FileResponse(ASSETS / name, headers={"Cache-Control": "public, max-age=3600"})


@router.get("/robots.txt")
async def show_robots() -> Response:
    """Only the archive is for search engines."""
    allowed = "".join(f"Allow: {place}\n" for place in ("/archive", "/assets/", "/media/"))
    return Response(f"User-agent: *\n{allowed}Disallow: /\n", media_type="text/plain")


async def _show_refusal(request: Request, fault: Exception) -> Response:
    """What HTTP refuses."""
    status = fault.status_code if isinstance(fault, HTTPException) else 400
    answer = _answer(request, _WORDS.get(status, "odd"), status)
    answer.headers.update(getattr(fault, "headers", None) or {})
    return answer


async def _show_busy(request: Request, fault: Exception) -> Response:
    _LOG.warning("a page had to wait: %s", fault)
    answer = _answer(request, "busy", 503)
    answer.headers["Retry-After"] = RETRY_SECONDS
    return answer


async def _show_broken(request: Request, _fault: Exception) -> Response:
    return _answer(request, "broken", 500)


def _answer(request: Request, word: str, status: int) -> Response:
    """What is said instead of a page: a page, or JSON to programs."""
    visit = Visit(request.app.state.door, request)
    if request.url.path.startswith("/api/"):
        return JSONResponse({"status": word, "message": visit.say(f"{word}.lead")}, status)
    return visit.note(word, status)
