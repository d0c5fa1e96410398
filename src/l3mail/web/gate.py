"""What every request passes before a page sees it, and every answer on its way out.

Owns size limits, HEAD, the headers that keep a page to itself. A bare ASGI callable: it must not
know pages, people or the database.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Asgi = Callable[[Scope, Receive, Send], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

LARGEST_BODY = 64 * 1024
LARGEST_HEADERS = 16 * 1024
LONGEST_TARGET = 4 * 1024
SLOWEST_BODY_SECONDS = 30
IS_HEAD = "l3mail.is_head"
"""Key of a scope: whether HEAD was asked; behind the gate it is GET."""

_END_OF_SENTENCE = ").,>;"

STRICT_CSP = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self';"
    " base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    b"content-security-policy": STRICT_CSP.encode(),
    b"referrer-policy": b"no-referrer",
    b"x-content-type-options": b"nosniff",
    b"x-robots-tag": b"noindex",
    b"cross-origin-opener-policy": b"same-origin",
    b"cache-control": b"no-store",
}


class Gate:
    """Wraps the application; what is too large is answered by `refuse`, with its status.

    `prefix` is the path of BASE_URL, should a proxy leave it on. `shortcut` is for a server that
    can do with it.
    """

    def __init__(
        self,
        app: Asgi,
        refuse: Callable[[Scope, int], Asgi],
        prefix: str = "",
        shortcut: Any = None,
    ) -> None:
        """Stand before `app`."""
        self.shortcut = shortcut
        self._app = app
        self._refuse = refuse
        self._prefix = prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let one request in, or turn it away."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope = dict(scope)
        scope[IS_HEAD] = scope["method"] == "HEAD"
        guarded = _guarded(send, is_head=scope[IS_HEAD])
        if scope[IS_HEAD]:
            scope["method"] = "GET"
        if self._prefix and (scope["path"] + "/").startswith(self._prefix + "/"):
            scope["path"] = scope["path"][len(self._prefix) :] or "/"
        # Who copies a link out of a sentence takes its end along; no path of ours ends so.
        scope["path"] = scope["path"].rstrip(_END_OF_SENTENCE) or "/"
        body, refused = await _admitted(scope, receive)
        if body is None:
            return  # nobody is there any more, and half a form is no form
        app = self._refuse(scope, refused) if refused else self._app
        await app(scope, _replayed(body, receive), guarded)


async def _admitted(scope: Scope, receive: Receive) -> tuple[bytes | None, int | None]:
    """The whole body, or the status that refuses the request; None if its sender went away."""
    head = sum(len(name) + len(value) for name, value in scope["headers"])
    if len(scope.get("raw_path") or b"") + len(scope["query_string"]) > LONGEST_TARGET:
        return b"", 414
    if head > LARGEST_HEADERS:
        return b"", 431
    announced = dict(scope["headers"]).get(b"content-length", b"0")
    if not announced.isdigit() or len(announced) > 10 or int(announced) > LARGEST_BODY:
        return b"", 413
    chunks: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(SLOWEST_BODY_SECONDS):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    return None, None
                chunks.append(message.get("body", b""))
                size += len(chunks[-1])
                if size > LARGEST_BODY:
                    return b"", 413
                if not message.get("more_body"):
                    return b"".join(chunks), None
    except TimeoutError:
        return b"", 408


def _replayed(body: bytes, receive: Receive) -> Receive:
    """A `receive` that says the body once, and then what the server has to say."""
    told = False

    async def replay() -> Message:
        nonlocal told
        if told:
            return await receive()
        told = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


def completed(headers: Iterable[tuple[bytes, bytes]]) -> Headers:
    """An answer's headers, and those of the house that it did not set itself."""
    headers = list(headers)
    given = {name.lower() for name, _ in headers}
    return headers + [(name, value) for name, value in _HEADERS.items() if name not in given]


def _guarded(send: Send, *, is_head: bool) -> Send:
    """A `send` that adds the headers an answer did not set itself, and gives HEAD no body."""

    async def guarded(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": completed(message.get("headers", []))}
        elif is_head and message["type"] == "http.response.body":
            message = {**message, "body": b""}
        await send(message)

    return guarded
