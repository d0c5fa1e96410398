"""Openings and clicks: the pixel `/o` and the links `/c`, bare ASGI callables beside the pages.

Owns what they answer and what a request says of its visitor: whether it was a machine, and
nothing else. Neither an address nor a program's name is kept, not even in a log. A click leads to
an address that stands in the database, whatever became of the person; what is written down of a
visit, and whether, is decided later, by `events`.
"""

import re
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import quote

from fastapi import Request

from l3mail import publishing
from l3mail.errors import DatabaseClosedError, DatabaseUnavailableError, TokenError
from l3mail.events import Verdict
from l3mail.events import Visit as Visited
from l3mail.tokens import Purpose
from l3mail.web.door import Door, Visit
from l3mail.web.gate import IS_HEAD, Asgi, Headers, Receive, Scope, Send
from l3mail.wiring import OF_NOBODY

MOST_KNOWN = 10_000
"""Paths whose meaning is kept at hand; it never changes, so the oldest only make room."""

GIF = (
    b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff!\xf9\x04\x01\x00\x00\x00\x00,"
    b"\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;"
)
NAMELESS = b"Mozilla/5.0"
"""All that Apple's proxy says of itself; it fetches images whether or not somebody reads."""

RETRY_SECONDS = "30"

_PREVIEWED = f"/c/{OF_NOBODY}"
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


@dataclass(slots=True)
class Answer:
    """What is answered at once; `written` is room for its bytes, for who sends them often."""

    status: int
    headers: Headers
    body: bytes = b""
    written: tuple[bytes, bytes] | None = None


_PICTURE = Answer(200, _PIXEL_HEADERS, GIF)


class _Measured(NamedTuple):
    """What a token measures: one delivery, or a version of a text for everybody who has it."""

    delivery_id: int | None = None
    message_id: int | None = None


class _Known(NamedTuple):
    """What a path of ours means: the answer, and what its visit is written down with."""

    answer: Answer
    measured: _Measured
    link_id: int | None = None


class Tracks:
    """Answers `/o` and `/c`, and leaves everything else to `app`; visits go into a book."""

    def __init__(self, door: Door, app: Asgi) -> None:
        """Stand before `app`."""
        self._door = door
        self._app = app
        self._known: OrderedDict[str, _Known] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        path = scope.get("path", "")
        if not path.startswith(("/o/", "/c/")):
            await self._app(scope, receive, send)
            return
        if scope["method"] != "GET":
            page = self._visit(scope).note("method", 405)
            page.headers["Allow"] = "GET, HEAD"
            await page(scope, receive, send)
            return
        try:
            if path.startswith("/c/"):
                await self._look_up(path)
        except (DatabaseUnavailableError, DatabaseClosedError):
            page = self._visit(scope).note("busy", 503)
            page.headers["Retry-After"] = RETRY_SECONDS
            await page(scope, receive, send)
            return
        await self._door.book.room()
        answer = self._answer(path, scope["headers"], is_head=scope[IS_HEAD])
        if answer is None and path.startswith(_PREVIEWED):
            await self._visit(scope).note("preview")(scope, receive, send)
            return
        if answer is None:
            await self._visit(scope).stale()(scope, receive, send)
            return
        start = {"type": "http.response.start", "status": answer.status}
        await send({**start, "headers": answer.headers})
        await send({"type": "http.response.body", "body": answer.body})

    def at_once(self, path: str, headers: Sequence[tuple[bytes, bytes]]) -> Answer | None:
        """What a GET of a path is answered without waiting for anything, if that can be.

        Notes the visit. Names of `headers` are in small letters.
        """
        return None if self._door.book.is_crowded else self._answer(path, headers)

    def _answer(
        self, path: str, headers: Sequence[tuple[bytes, bytes]], *, is_head: bool = False
    ) -> Answer | None:
        known = self._known.get(path)
        if known is None:
            known = self._read_pixel(path)
            if known is None:
                return None if path.startswith("/c/") else _PICTURE
            self._keep(path, known)
        self._door.book.add(
            Visited(
                kind="opened" if known.link_id is None else "clicked",
                at=self._door.clock.now(),
                message_id=known.measured.message_id,
                link_id=known.link_id,
                delivery_id=known.measured.delivery_id,
                verdict="machine" if is_head else _verdict(path, headers),
            )
        )
        return known.answer

    def _read_pixel(self, path: str) -> _Known | None:
        found = _PIXEL.fullmatch(path)
        measured = self._read(found["token"]) if found else None
        return None if measured is None else _Known(_PICTURE, measured)

    async def _look_up(self, path: str) -> None:
        """Have at hand where a link leads, if it is one of ours."""
        if path in self._known:
            return
        found = _LINK.fullmatch(path)
        measured = self._read(found["token"]) if found else None
        if found is None or measured is None:
            return
        number, of = int(found["number"]), measured._asdict()
        target = await self._door.database.reads(
            lambda connection: publishing.target(connection, number, **of)
        )
        if target is None:
            return
        meant = _Measured(measured.delivery_id, target.message_id)
        self._keep(path, _Known(_leading_to(target.url), meant, target.link_id))

    def _keep(self, path: str, known: _Known) -> None:
        self._known[path] = known
        if len(self._known) > MOST_KNOWN:
            self._known.popitem(last=False)

    def _visit(self, scope: Scope) -> Visit:
        return Visit(self._door, Request(scope))

    def _read(self, text: str) -> _Measured | None:
        try:
            token = self._door.tokens.read(Purpose.TRACK, text, self._door.clock.now())
        except TokenError:
            return None
        match token.numbers:
            # What would end has no place among what is kept at hand.
            case _ if token.expires_at is not None:
                return None
            case (delivery,):
                return _Measured(delivery_id=delivery)
            case (0, message):
                return _Measured(message_id=message)
        return None


@lru_cache(1_000)
def _leading_to(url: str) -> Answer:
    """The answer that leads on; the same one for all who have a link there."""
    headers = [
        (b"location", quote(url, safe=_KEPT).encode()),
        (b"content-length", b"0"),
        (b"cache-control", b"no-store"),
        (b"referrer-policy", b"no-referrer"),
    ]
    return Answer(302, headers)


def _verdict(path: str, headers: Sequence[tuple[bytes, bytes]]) -> Verdict:
    """What a request says by itself of who sent it."""
    nameless = False
    for name, value in headers:
        if name in _PURPOSES and _AHEAD.search(value):
            return "machine"
        nameless = nameless or (name == b"user-agent" and value.strip() == NAMELESS)
    return "unsure" if nameless and path.startswith("/o/") else "raw"
