"""Noticing that a file was saved, and telling every page that is open.

Owns the one thread that looks. Files are looked at ten times a second: some hundred of them take
about a millisecond, and it is the same on every system, shared folders too.
"""

import asyncio
import logging
import threading
from collections.abc import Callable
from typing import Self

from l3mail.previewing.benches import Bench

EVERY_SECONDS = 0.1
_REST_SECONDS = 1.0
log = logging.getLogger("l3mail.preview")


class Bell:
    """Rung in any thread, heard by whoever waits in the event loop it belongs to."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._event = asyncio.Event()
        self.stopping = False

    def hang(self) -> None:
        """Belong to the loop that runs now."""
        self._loop = asyncio.get_running_loop()

    @property
    def next(self) -> asyncio.Event:
        """Set at the next ring; take it before looking whether there is something new."""
        return self._event

    def ring(self) -> None:
        """Wake all who wait; rung before it hangs, nobody can."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._strike)

    def stop(self) -> None:
        """Let everybody who waits go home."""
        self.stopping = True
        self.ring()

    def _strike(self) -> None:
        self._event.set()
        self._event = asyncio.Event()


class Watch:
    """Looks at the files in a thread of its own, for as long as it is entered."""

    def __init__(self, bench: Bench, ring: Callable[[], None]) -> None:
        self._bench = bench
        self._ring = ring
        self._told = bench.revision
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="preview-watch", daemon=True)

    def __enter__(self) -> Self:
        """Begin to look."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Look no more."""
        self._stop.set()
        self._thread.join()

    def turn(self) -> bool:
        """Look once, tell what is new, and compile one text that waits; whether more may wait."""
        self._bench.look()
        if self._tell():
            # Who has a page open asks for it now: their text comes before those that wait.
            self._stop.wait(EVERY_SECONDS)
            return True
        more = self._bench.catch_up()
        self._tell()
        return more

    def _tell(self) -> bool:
        # Who came by may have looked before us: told is what was not told yet.
        told, self._told = self._told, self._bench.revision
        if told == self._told:
            return False
        self._ring()
        return True

    def _watch(self) -> None:
        pause = 0.0
        while not self._stop.wait(pause):
            try:
                pause = 0.0 if self.turn() else EVERY_SECONDS
            except Exception:
                # A file that goes while it is read: the next look may be better.
                log.exception("the files could not be looked at")
                pause = _REST_SECONDS
