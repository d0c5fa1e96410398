"""Keeping the preview open until somebody stops it.

Owns the server and its signals: the first Ctrl-C or SIGTERM ends it cleanly.
"""

import asyncio
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn

from l3mail.previewing.benches import Bench
from l3mail.previewing.doors import create_app
from l3mail.previewing.guests import Guests
from l3mail.previewing.watching import Bell, Watch

HOST = "127.0.0.1"
_LAST_ANSWERS_SECONDS = 2


class _Server(uvicorn.Server):
    """A server that leaves the signals to us."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take none."""
        yield


def serve(
    bench: Bench, guests: Guests, door: socket.socket, opened: Callable[[], None] = lambda: None
) -> None:
    """Answer at a socket that listens, until a signal; `opened` is called once it does."""
    asyncio.run(_serve(bench, guests, door, opened))


async def _serve(
    bench: Bench, guests: Guests, door: socket.socket, opened: Callable[[], None]
) -> None:
    bell, port = Bell(), door.getsockname()[1]
    hosts = [f"{name}:{port}" for name in (HOST, "localhost")]
    application = create_app(
        bench, guests, bell, [*hosts, HOST, "localhost"] if port == 80 else hosts
    )
    server = _Server(
        uvicorn.Config(
            application,
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            lifespan="off",
            ws="none",
            timeout_graceful_shutdown=_LAST_ANSWERS_SECONDS,
        )
    )

    def stop() -> None:
        server.should_exit = True
        bell.stop()

    loop, numbers = asyncio.get_running_loop(), (signal.SIGINT, signal.SIGTERM)
    for number in numbers:
        loop.add_signal_handler(number, stop)
    try:
        with Watch(bench, bell.ring):
            opened()
            await server.serve([door])
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)
