"""The open connections of one sender: how many there are, and when to try again.

Knows nothing of deliveries: what a connection carries is `serve`, which it is given.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from l3mail.errors import RelayDownError
from l3mail.sending.dialogue import Wire

log = logging.getLogger("l3mail.sending")

Open = Callable[[], Awaitable[Wire]]


class Lines:
    """The open connections, and how many may be opened now."""

    def __init__(
        self,
        limit: int,
        pauses: Sequence[float],
        open_wire: Open,
        serve: Callable[[Wire], Awaitable[None]],
        changed: Callable[[], None],
    ) -> None:
        """At most `limit` at once; `pauses` are seconds between failures, the last one repeats.

        `changed` is called whenever one has ended.
        """
        self.fault: str | None = None
        self.patient = True
        self._changed = changed
        self._limit = limit
        self._pauses = pauses
        self._open_wire = open_wire
        self._serve = serve
        self._tasks: dict[asyncio.Task[None], Wire | None] = {}
        self._failures = 0
        self._not_before = 0.0
        self._ceiling = limit
        self._ceiling_until = 0.0

    @property
    def count(self) -> int:
        """How many are open or being opened."""
        return len(self._tasks)

    def down(self) -> bool:
        """Whether the last attempt failed and nothing is open or being opened."""
        return self.fault is not None and not self._tasks

    def _resting(self) -> bool:
        """Whether no connection may be tried now; the impatient try a relay only once."""
        return seconds() < self._not_before or (self.fault is not None and not self.patient)

    def hopeful(self) -> bool:
        """Whether rows are worth claiming: a session is open, or one may be tried."""
        return bool(self._tasks) or not self._resting()

    def extend(self, wanted: int) -> None:
        """Be ready to serve `wanted` more; after a failure one tries alone, and after a pause."""
        if self._resting():
            return
        if seconds() >= self._ceiling_until:
            self._ceiling = self._limit
        limit = self._ceiling if self._failures == 0 else 1
        opening = sum(wire is None for wire in self._tasks.values())
        for _ in range(min(wanted - opening, limit - len(self._tasks))):
            task = asyncio.create_task(self._live())
            self._tasks[task] = None
            task.add_done_callback(self._forget)

    async def _live(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        try:
            wire = await self._open_wire()
        except RelayDownError as fault:
            self._failed(str(fault))
            return
        except Exception as fault:
            # Also what nobody foresaw is a relay that can't be used, and is tried in its time.
            log.exception("a connection could not be opened by a fault of ours")
            self.distrust(f"{type(fault).__name__} while opening a connection")
            return
        self._not_before, self.fault = 0.0, None
        self._tasks[task] = wire
        try:
            await self._serve(wire)
        finally:
            wire.abort()

    def _failed(self, fault: str) -> None:
        busy = sum(wire is not None for wire in self._tasks.values())
        if busy:
            # It serves others of ours: so many at once are what this relay takes.
            self._ceiling, self._ceiling_until = busy, seconds() + self._pauses[-1]
            log.info("the relay takes %d connections at once: %s", busy, fault)
        elif seconds() >= self._not_before:
            self.distrust(fault)

    def trust(self) -> None:
        """A mail met an answer of its own: the relay works, as many may be opened as allowed."""
        self._failures = 0

    def distrust(self, fault: str) -> None:
        """Count the relay as down, whatever is open: nothing more is begun before the pause."""
        pause = self._pauses[min(self._failures, len(self._pauses) - 1)]
        self._failures += 1
        self._not_before = seconds() + pause
        self.fault = fault
        if self.patient:  # or the command that tries once ends with the fault
            unit = "second" if pause == 1 else "seconds"
            log.warning("relay down, trying again in %g %s: %s", pause, unit, fault)

    def _forget(self, task: "asyncio.Task[None]") -> None:
        del self._tasks[task]
        self._changed()
        if not task.cancelled() and task.exception() is not None:
            log.error("a connection ended by a fault of ours", exc_info=task.exception())

    def cancel_opening(self) -> None:
        """Give up those that are not open yet; nothing was begun on them."""
        for task, wire in self._tasks.items():
            if wire is None:
                task.cancel()

    async def cut(self) -> None:
        """End every connection at once; dialogues under way return what stage they were in."""
        self.cancel_opening()
        for wire in self._tasks.values():
            if wire is not None:
                wire.abort()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def seconds() -> float:
    """Durations are the loop's: a corrected clock must neither shorten nor stretch them."""
    return asyncio.get_running_loop().time()
