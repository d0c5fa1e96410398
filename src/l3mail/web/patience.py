"""How long a connection may take to say what it wants.

Owns the one time-out that uvicorn lacks: who opens a connection and sends no whole request head
would otherwise hold it, and its file descriptor, for ever. Bodies have theirs in `gate`.
"""

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from l3mail.web.shortcut import Shortcut

HEAD_SECONDS = 10.0


class Impatient(H11Protocol):
    """Uvicorn's protocol, but a head that is not whole after so long ends its connection.

    The time runs from the connection's beginning, and for each later request on it from its first
    byte; uvicorn itself ends connections that are idle between two requests. What `shortcut`
    answers never reaches uvicorn.
    """

    seconds = HEAD_SECONDS
    shortcut: Shortcut | None = None
    _timer: asyncio.TimerHandle | None = None
    _answered_at = 0.0
    _dated: tuple[object, bytes] = (None, b"")

    def connection_made(self, transport: Any) -> None:
        """Begin to wait for a head."""
        super().connection_made(transport)
        self._start()

    def data_received(self, data: bytes) -> None:
        """Answer at once what can be, and hand on the rest."""
        if (
            self.shortcut is not None
            and data.startswith(self.shortcut.begins)
            and self._is_between()
            and self._takes(data, self.shortcut)
        ):
            return
        if self._timer is None and self._awaits_head():
            self._start()
        super().data_received(data)
        if not self._awaits_head():
            self._stop()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing any more."""
        self._stop()
        self._unset_keepalive_if_required()
        super().connection_lost(exc)

    def timeout_keep_alive_handler(self) -> None:
        """End the connection, if it was idle for so long."""
        # Answers of the short way move no timer, they only say when they were.
        rest = self._answered_at + self.timeout_keep_alive - self.loop.time()
        if rest > 0:
            self._await_next(rest)
        else:
            super().timeout_keep_alive_handler()

    def _is_between(self) -> bool:
        """Whether a request begins here: all that came before is answered."""
        conn = self.conn
        return (
            conn.their_state is h11.IDLE
            and conn.our_state is h11.IDLE
            and not conn.trailing_data[0]
            and not self.flow.write_paused
            and not self.transport.is_closing()
        )

    def _takes(self, data: bytes, shortcut: Shortcut) -> bool:
        taken = shortcut.take(data, self._own_lines())
        if taken is None:
            return False
        answer, goes_on = taken
        self._stop()
        self.server_state.total_requests += 1
        self.transport.write(answer)
        self._answered_at = self.loop.time()
        if not goes_on:
            self.transport.close()
        elif self.timeout_keep_alive_task is None:
            self._await_next(self.timeout_keep_alive)
        return True

    def _own_lines(self) -> bytes:
        headers = self.server_state.default_headers
        if self._dated[0] is not headers:
            lines = b"".join(name + b": " + value + b"\r\n" for name, value in headers)
            self._dated = (headers, lines)
        return self._dated[1]

    def _await_next(self, seconds: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(
            seconds, self.timeout_keep_alive_handler
        )

    def _awaits_head(self) -> bool:
        cycle: RequestResponseCycle | None = self.cycle  # uvicorn types it as always there
        return cycle is None or cycle.response_complete

    def _start(self) -> None:
        self._timer = self.loop.call_later(self.seconds, self._give_up)

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _give_up(self) -> None:
        self._timer = None
        if self._awaits_head():
            self.transport.close()


def impatient(seconds: float = HEAD_SECONDS, shortcut: Shortcut | None = None) -> type[H11Protocol]:
    """The protocol with values of its own, as uvicorn wants it: a class."""
    return type("Impatient", (Impatient,), {"seconds": seconds, "shortcut": shortcut})
