"""The door of the preview: what may come in, and what is answered.

Owns the routes and their headers. It listens on this machine only, and answers only who names it
so: a page elsewhere whose name is pointed here later (DNS rebinding) is refused.
"""

import json
import mimetypes
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from dataclasses import replace
from typing import Final
from urllib.parse import urlencode

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import (
    FileResponse,
    HTMLResponse,
    PlainTextResponse,
    RedirectResponse,
    Response,
    StreamingResponse,
)
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from l3mail.errors import AddressError
from l3mail.gallery import STYLESHEET, Scheme
from l3mail.previewing.benches import Bench
from l3mail.previewing.guests import TRACKINGS, Guest, Guests
from l3mail.previewing.showing import PAGES, Showing
from l3mail.previewing.watching import Bell
from l3mail.wiring import INERT

_CSP = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self';"
    " frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
# What is in the frame is somebody's text: it runs nothing, sends nothing and fetches nothing.
_PICTURE_CSP = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; form-action 'none';"
    " frame-ancestors 'self'; sandbox allow-same-origin allow-popups"
    " allow-popups-to-escape-sandbox"
)
_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": _CSP,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_LONGEST_ADDRESS = 320
_SAID: Final = ("address", "slug", "locale", "tracking")
_NO_PERSON = {
    "unknown": "No subscriber has this address; this is nobody in particular.",
    "wrong": "This is no e-mail address; this is nobody in particular.",
    "gone": "That person is not known any more; this is nobody in particular.",
}


def create_app(bench: Bench, guests: Guests, bell: Bell, hosts: Collection[str]) -> ASGIApp:
    """The application; `hosts` are the names, with port, by which it may be asked."""
    door = _Door(bench, guests, bell)
    get: list[tuple[str, Callable[[Request], Awaitable[Response]]]] = [
        ("/", door.index),
        ("/text/{slug:path}", door.text),
        ("/picture/{scheme}/{slug:path}", door.picture),
        ("/eml/{slug:path}", door.mail),
        ("/media/{digest}/{name}", door.medium),
        ("/changes", door.changes),
        (INERT, door.inert),
        ("/c/{token}/{number}", door.inert),
        ("/gallery.css", door.asset),
        ("/live.js", door.asset),
    ]
    routes = [Route(path, answer, methods=["GET"]) for path, answer in get]
    routes.append(Route("/as", door.introduce, methods=["POST"]))
    app = Starlette(routes=routes)
    app.router.redirect_slashes = False
    return _Gate(app, frozenset(hosts))


class _Gate:
    """Refuses who asks by another name, and puts the headers on what is answered."""

    def __init__(self, app: ASGIApp, hosts: Collection[str]) -> None:
        self._app = app
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def dressed(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        named = [value for name, value in scope["headers"] if name == b"host"]
        if len(named) != 1 or named[0].decode("latin-1").lower() not in self._hosts:
            words = "This is a preview on its own machine; open the address it printed.\n"
            await PlainTextResponse(words, 421)(scope, receive, dressed)
            return
        await self._app(scope, receive, dressed)


class _Door:
    """The answers."""

    def __init__(self, bench: Bench, guests: Guests, bell: Bell) -> None:
        self._bench = bench
        self._guests = guests
        self._bell = bell
        self._showing = Showing(bench, guests)

    async def index(self, request: Request) -> Response:
        def make() -> str:
            self._bench.look()
            return self._showing.index(self._guest(request)[0])

        return HTMLResponse(await run_in_threadpool(make))

    async def text(self, request: Request) -> Response:
        def make() -> str | None:
            self._bench.look()
            guest, note = self._guest(request)
            return self._showing.text(*self._named(request), guest, note)

        return _page(await run_in_threadpool(make))

    async def picture(self, request: Request) -> Response:
        scheme: Scheme
        match request.path_params["scheme"]:
            case "light" | "dark" as scheme:
                pass
            case _:
                return _missing()

        def make() -> str | None:
            self._bench.look()
            slug, locale = self._named(request)
            return self._showing.picture(slug, locale, self._guest(request)[0], scheme)

        return _page(await run_in_threadpool(make), {"Content-Security-Policy": _PICTURE_CSP})

    async def mail(self, request: Request) -> Response:
        def make() -> bytes | None:
            self._bench.look()
            return self._showing.mail(*self._named(request), self._guest(request)[0])

        content = await run_in_threadpool(make)
        if content is None:
            return _missing()
        name = request.path_params["slug"].replace("/", "-")
        return Response(
            content,
            media_type="message/rfc822",
            headers={"Content-Disposition": f'attachment; filename="{name}.eml"'},
        )

    async def medium(self, request: Request) -> Response:
        digest, name = request.path_params["digest"], request.path_params["name"]
        content = await run_in_threadpool(self._showing.medium, digest, name)
        if content is None:
            return _missing()
        kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
        policy = "frame-ancestors 'none'" if kind == "application/pdf" else _PICTURE_CSP
        return Response(content, media_type=kind, headers={"Content-Security-Policy": policy})

    async def changes(self, request: Request) -> Response:
        """Server-sent events: the bench's revision, each time it is another one."""
        seen = request.headers.get("last-event-id") or request.query_params.get("since", "")
        return StreamingResponse(self._news(seen), media_type="text/event-stream")

    async def _news(self, seen: str) -> AsyncIterator[str]:
        self._bell.hang()
        yield "retry: 700\n\n"
        while True:
            ring = self._bell.next
            if self._bell.stopping:
                return
            if self._bench.revision != seen:
                seen = self._bench.revision
                yield f"id: {seen}\ndata: {json.dumps(seen)}\n\n"
            await ring.wait()

    async def introduce(self, request: Request) -> Response:
        """From an address to a page as its person; changes nothing."""
        async with request.form(max_files=0, max_fields=8) as form:
            said = {name: str(form.get(name, "")) for name in _SAID}
        if (slug := said["slug"]) not in {p.source.slug for p in self._bench.pieces()}:
            return _missing()

        def welcome() -> str:
            try:
                address = said["address"].strip()[:_LONGEST_ADDRESS]
                return self._guests.welcome(address) or "unknown" if address else ""
            except AddressError:
                return "wrong"

        name = await run_in_threadpool(welcome)
        chosen = {"as": name, "tracking": said["tracking"]}
        words = urlencode({"locale": said["locale"]} | {k: v for k, v in chosen.items() if v})
        return RedirectResponse(f"/text/{slug}?{words}", 303)

    async def inert(self, _request: Request) -> Response:
        words = "Links of a preview do nothing. In the mail, this one is the reader's own.\n"
        return PlainTextResponse(words)

    async def asset(self, request: Request) -> Response:
        if request.url.path == "/live.js":
            return FileResponse(PAGES / "live.js", media_type="text/javascript")
        return FileResponse(STYLESHEET, media_type="text/css")

    def _named(self, request: Request) -> tuple[str, str]:
        slug = request.path_params["slug"]
        locale = request.query_params.get("locale") or self._bench.settings.workspace.locale
        return slug, locale

    def _guest(self, request: Request) -> tuple[Guest, str]:
        """As whom, and what is to be said of it."""
        name = request.query_params.get("as", "")
        said = request.query_params.get("tracking", "")
        tracking = said if said in TRACKINGS else ""
        guest = self._guests.called(name, self._bench.settings)
        if guest is not None:
            return replace(guest, tracking=tracking), ""
        nobody = self._guests.examples(self._bench.settings)[0]
        return replace(nobody, tracking=tracking), _NO_PERSON.get(name, _NO_PERSON["gone"])


def _page(html: str | None, headers: dict[str, str] | None = None) -> Response:
    return _missing() if html is None else HTMLResponse(html, headers=headers)


def _missing() -> Response:
    words = '<!doctype html><html lang="en"><title>Not here</title><p>There is no such text here.'
    return HTMLResponse(f'{words} <a href="/">All texts</a></p></html>', 404)
