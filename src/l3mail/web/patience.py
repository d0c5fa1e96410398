"""How long a connection may take to say what it wants.

Owns the one time-out that uvicorn lacks: who opens a connection and sends no whole request head
would otherwise hold it, and its file descriptor, for ever. Bodies have theirs in `gate`.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

HEAD_SECONDS = 10.0


def impatient(seconds: float = HEAD_SECONDS) -> type[H11Protocol]:
    """Uvicorn's protocol, but a head that is not whole after so long ends its connection.

    The time runs from the connection's beginning, and for each later request on it from its first
    byte; uvicorn itself ends connections that are idle between two requests.
    """

    class Impatient(H11Protocol):
        _timer: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._start()

        def data_received(self, data: bytes) -> None:
            if self._timer is None and self._awaits_head():
                self._start()
            super().data_received(data)
            if not self._awaits_head():
                self._stop()

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop()
            super().connection_lost(exc)

        def _awaits_head(self) -> bool:
            cycle: RequestResponseCycle | None = self.cycle  # uvicorn types it as always there
            return cycle is None or cycle.response_complete

        def _start(self) -> None:
            self._timer = self.loop.call_later(seconds, self._give_up)

        def _stop(self) -> None:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

        def _give_up(self) -> None:
            self._timer = None
            if self._awaits_head():
                self.transport.close()

    return Impatient
