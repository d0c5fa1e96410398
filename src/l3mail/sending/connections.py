"""The open connections of one sender: how many there are, and when to try again.

Knows nothing of deliveries: what a connection carries is `serve`, which it is given.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from l3mail.errors import RelayDownError
from l3mail.sending.breaker import Breaker, State
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
        self.breaker = Breaker(pauses)
        self._changed = changed
        self._limit = limit
        self._longest_pause = pauses[-1]
        self._open_wire = open_wire
        self._serve = serve
        self._tasks: dict[asyncio.Task[None], Wire | None] = {}
        self._ceiling = limit
        self._ceiling_until = 0.0

    @property
    def count(self) -> int:
        """How many are open or being opened."""
        return len(self._tasks)

    @property
    def open(self) -> int:
        """How many are open."""
        return sum(wire is not None for wire in self._tasks.values())

    @property
    def fault(self) -> str | None:
        """What the relay last said when it could not be used; None while it can."""
        return self.breaker.fault

    @property
    def probing(self) -> bool:
        """Whether one mail is to show that the relay works again."""
        return self.breaker.state(seconds()) is State.HALF_OPEN

    def down(self) -> bool:
        """Whether the last attempt failed and nothing is open or being opened."""
        return self.fault is not None and not self._tasks

    def hopeful(self) -> bool:
        """Whether rows are worth claiming: a session is open, or one may be tried."""
        return bool(self._tasks) or self.breaker.state(seconds()) is not State.OPEN

    def extend(self, wanted: int) -> None:
        """Be ready to serve `wanted` more; after a failure one tries alone, and after a pause."""
        state = self.breaker.state(seconds())
        if state is State.OPEN:
            return
        if seconds() >= self._ceiling_until:
            self._ceiling = self._limit
        limit = self._ceiling if state is State.CLOSED else 1
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
            self._trip(f"{type(fault).__name__} while opening a connection")
            return
        self.breaker.answered()
        self._tasks[task] = wire
        try:
            await self._serve(wire)
        finally:
            wire.abort()

    def _failed(self, fault: str) -> None:
        busy = self.open
        if busy:
            # It serves others of ours: so many at once are what this relay takes.
            self._ceiling, self._ceiling_until = busy, seconds() + self._longest_pause
            log.info("the relay takes %d connections at once: %s", busy, fault)
        else:
            self._trip(fault)

    def trust(self) -> None:
        """A mail met an answer of its own: the relay works, as many may be opened as allowed."""
        if self.breaker.close():
            log.info("the relay works again")

    def distrust(self, fault: str) -> None:
        """Count the relay as down, whatever is open: nothing more is begun before the pause.

        Connections being opened end with it: their greeting would take the distrust back.
        """
        self.cancel_opening()
        self._trip(fault)

    def _trip(self, fault: str) -> None:
        if self.breaker.state(seconds()) is State.OPEN:
            return  # one breakdown, however many connections tell of it
        pause = self.breaker.trip(fault, seconds())
        if self.breaker.patient:  # or the command that tries once ends with the fault
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
