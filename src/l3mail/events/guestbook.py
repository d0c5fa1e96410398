"""Visits that came in and are not written yet: many at once cost the database little more than one.

Owns them between the request and the database, half a second as a rule. Who is killed in between
loses them and nothing else. Whether a visit may be kept is not decided here, but in the
transaction that writes it.
"""

import asyncio
import logging
import threading
from collections import deque
from contextlib import suppress
from zoneinfo import ZoneInfo

from l3mail.database import Database
from l3mail.errors import DatabaseClosedError, DatabaseUnavailableError
from l3mail.events.visits import Visit, record_visits

HOLD_SECONDS = 0.5
"""How long a visit waits for others to be written with."""
RETRY_SECONDS = 5.0
MOST_WAITING = 10_000
"""Visits that wait at most; while the database is away the oldest make room for the newest."""
MOST_AT_ONCE = 2_500
"""Visits in one transaction: other writes, an unsubscribe among them, wait behind it."""
PATIENCE_SECONDS = 3.0
"""How long a visit is kept at the door while those before it are written."""

_LOG = logging.getLogger(__name__)


class Guestbook:
    """Takes visits at once and writes them down together; `flush` may be called by any thread.

    `lost` is how many were let go since it was opened.
    """

    def __init__(
        self, database: Database, *, mode: str, zone: ZoneInfo, most: int = MOST_WAITING
    ) -> None:
        """Begin with nobody in it; `mode` is that of `[tracking]`."""
        self.lost = 0
        self._database = database
        self._mode = mode
        self._zone = zone
        self._most = most
        self._waiting: deque[Visit] = deque()
        self._flushing = threading.Lock()
        self._away = False
        self._lost_before = 0
        self._some = asyncio.Event()
        self._many = asyncio.Event()
        self._room = asyncio.Event()

    def __len__(self) -> int:
        """How many wait."""
        return len(self._waiting)

    @property
    def is_crowded(self) -> bool:
        """Whether visits come faster than they are written; not while nothing can be."""
        return len(self._waiting) >= self._most and not self._away

    async def room(self) -> None:
        """Wait until the book is not crowded any more, but not for long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE_SECONDS):
                while self.is_crowded:
                    await self._room.wait()

    def add(self, visit: Visit) -> None:
        """Take a visit; to be called in the event loop that `keep` runs in, if one does."""
        if self._mode == "off":
            return
        waiting = self._waiting
        waiting.append(visit)
        if len(waiting) == 1:
            self._some.set()
        elif len(waiting) * 2 >= self._most:
            self._many.set()
            self._make_room()

    async def keep(self) -> None:
        """Write down what comes in, soon after it came, until cancelled; flush after that."""
        while True:
            await self._some.wait()
            with suppress(TimeoutError):
                async with asyncio.timeout(HOLD_SECONDS):
                    await self._many.wait()
            self._some.clear()
            self._many.clear()
            is_done = await self.flushes()
            # Whoever waits goes on now, and who comes later may have to wait again.
            self._room.set()
            self._room.clear()
            if not is_done:
                await asyncio.sleep(RETRY_SECONDS)
            if self._waiting:
                self._some.set()

    async def flushes(self) -> bool:
        """`flush` for coroutines."""
        return await asyncio.to_thread(self.flush)

    def flush(self) -> bool:
        """Write down all that wait, in few transactions; False if they go on waiting."""
        with self._flushing:
            for _ in range(0, len(self._waiting), MOST_AT_ONCE):
                # One by one: others are added meanwhile.
                some = min(len(self._waiting), MOST_AT_ONCE)
                if not self._write([self._waiting.popleft() for _ in range(some)]):
                    return False
            return True

    def _write(self, batch: list[Visit]) -> bool:
        try:
            self._database.write(
                lambda connection: record_visits(
                    connection, batch, mode=self._mode, zone=self._zone
                )
            )
        except (DatabaseUnavailableError, DatabaseClosedError) as fault:
            self._waiting.extendleft(reversed(batch))
            self._tell_away(fault)
            self._make_room()
            return False
        except Exception:  # noqa: BLE001 - whatever it is, the next ones are written
            # Kept, they would be in the way of all that come after.
            _LOG.exception("a fault of ours cost %d visits", len(batch))
            self.lost += len(batch)
            return True
        self._tell_back()
        return True

    def _make_room(self) -> None:
        while len(self._waiting) > self._most:
            self._waiting.popleft()
            self.lost += 1

    def _tell_away(self, fault: Exception) -> None:
        if not self._away:
            self._away, self._lost_before = True, self.lost
            detail = getattr(fault, "detail", str(fault))
            _LOG.warning("visits wait until the database can be written: %s", detail)

    def _tell_back(self) -> None:
        if self._away:
            self._away = False
            lost = self.lost - self._lost_before
            _LOG.warning("visits are written again; %d did not wait", lost)
