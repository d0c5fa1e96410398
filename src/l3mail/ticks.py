"""The tick: every few seconds, all that is due is planned.

Owns one job of a scheduler that keeps nothing: no job for each subscriber, no store. The
scheduler says when to wake; what the time is says the clock. Knows neither web nor commands.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from functools import partial

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from sqlalchemy import Connection, update

from l3mail import rounds
from l3mail.clocks import Clock
from l3mail.database import Database
from l3mail.errors import DatabaseClosedError, DatabaseUnavailableError
from l3mail.models import WORKSPACE
from l3mail.rounds import Agenda, Round, Stretch

log = logging.getLogger("l3mail.ticks")

EVERY = timedelta(seconds=5)
CHORES_EVERY = timedelta(hours=1)
PULSE_EVERY = timedelta(seconds=30)
"""Where nothing is due nothing is written, and a full disk would show only when something is."""
LATE_AFTER = timedelta(minutes=1)
"""So long without a whole tick, and something is wrong that a person should know of."""


class Ticker:
    """Ticks, in the event loop it is run in."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        agenda: Agenda,
        *,
        every: timedelta = EVERY,
        wake: Callable[[], None] = lambda: None,
        before: Callable[[], Awaitable[object]] | None = None,
        after: Callable[[], object] = lambda: None,
        tidy: Callable[[], Awaitable[object]] | None = None,
    ) -> None:
        """Nothing is planned before `run`; `wake` is called when there is something to send.

        `before` is awaited at the beginning of each tick, `after` called at the end of each whole
        one, and `tidy` awaited once the chores of an hour are done.
        """
        self.last_tick_at: datetime | None = None
        self.fault = ""
        """The database's words for why the last tick was put off, if it was."""
        self._database = database
        self._clock = clock
        self._agenda = agenda
        self._every = every
        self._wake = wake
        self._before = before
        self._after = after
        self._tidy = tidy
        self._alive_at = clock.monotonic()
        self._chores_at = clock.monotonic()
        self._pulse_at = clock.monotonic()
        self._stopping = asyncio.Event()
        self._stuck = 0
        self._unasked = 0

    async def run(self) -> None:
        """Tick now and from now on, until `stop`."""
        # A tick that takes longer than the pause is no fault: the next one is let go by.
        logging.getLogger("apscheduler").setLevel(logging.ERROR)
        self._alive_at = self._clock.monotonic()
        await self.tick()
        scheduler = AsyncIOScheduler(timezone=UTC)
        scheduler.add_job(
            self.tick,
            "interval",
            seconds=self._every.total_seconds(),
            coalesce=True,
            max_instances=1,
            misfire_grace_time=None,
        )
        scheduler.start()
        await self._stopping.wait()
        # A step that is being written goes on to its end: the database sees to that.
        scheduler.shutdown(wait=False)

    def stop(self) -> None:
        """Begin no further step; `run` returns."""
        self._stopping.set()

    def silent_for(self) -> timedelta:
        """How long ago the last whole round of a tick ended, or the ticker began."""
        return timedelta(seconds=self._clock.monotonic() - self._alive_at)

    def is_late(self) -> bool:
        """Whether ticks have failed or hung for longer than passes by itself."""
        return self.silent_for() > LATE_AFTER

    async def tick(self) -> Round | None:
        """Plan all that is due, a bounded step at a time; None where it could not be done.

        A fault is logged and ends this tick only, with the round it is in: no other step waits
        for what one can't do. Whatever it did is committed, and the next one goes on from there.
        """
        try:
            if self._before is not None:
                await self._before()
            await self._beat()
            done = await self._plan()
        except (DatabaseUnavailableError, DatabaseClosedError) as fault:
            log.warning("this tick is put off: %s", fault)
            self.fault = getattr(fault, "detail", "this user may not")
            self._pulse_at = self._clock.monotonic()
            return None
        except Exception:
            log.exception("a fault of ours ended this tick; the next one goes on")
            return None
        self.fault = ""
        self.last_tick_at = self._clock.now()
        self._alive_at = self._clock.monotonic()
        self._tell(done)
        self._after()
        return done

    async def _beat(self) -> None:
        """Write something now and then, and at once where the last write failed."""
        if self._clock.monotonic() >= self._pulse_at:
            await self._database.writes(_touch)
            self._pulse_at = self._clock.monotonic() + PULSE_EVERY.total_seconds()

    async def _plan(self) -> Round:
        total, agenda = Round(), rounds.unlooked(self._agenda)
        chores = self._clock.monotonic() >= self._chores_at
        while not self._stopping.is_set():
            done, fault = Round(), None
            stretch: Stretch | None = Stretch.whole(self._clock, agenda, chores=chores)
            while stretch is not None and not self._stopping.is_set():
                part = Round()
                try:
                    part = await self._database.writes(stretch)
                except DatabaseUnavailableError:
                    raise
                except Exception as one:  # noqa: BLE001 - raised below, when the others are done
                    fault = fault or one
                stretch = stretch.rest
                done += part
                if part.planned or part.let_on:
                    self._wake()
                # Pages and dialogues go on in between, also where a write took no time.
                await asyncio.sleep(0)
            if fault is not None:
                raise fault
            # Where much is due rounds follow each other for minutes, and each is a sign of life.
            self._alive_at = self._clock.monotonic()
            total = total.then(done)
            if done.unseen:
                # People are counted while others write.
                knowing = partial(rounds.look, now=self._clock.now(), agenda=agenda)
                agenda = await self._database.reads(knowing)
            elif not done.more:
                if chores:
                    if self._tidy is not None:
                        await self._tidy()
                    self._chores_at = self._clock.monotonic() + CHORES_EVERY.total_seconds()
                break
        return total

    def _tell(self, done: Round) -> None:
        """One line for a tick that did something, none for one that did not."""
        counts = {
            "planned": done.planned,
            "woken": done.woken,
            "led on": done.led_on,
            "put off": done.moved,
            "withdrawn": done.withdrawn,
            "lapsed unapproved": done.lapsed,
            "held no longer": done.let_on,
            "lapsed while held": done.outlived,
            "sign-ups purged": done.purged,
            "too old and gone": done.aged,
        }
        if any(counts.values()):
            log.info("tick: %s", ", ".join(f"{n} {word}" for word, n in counts.items() if n))
        if done.paused:
            log.error("%d campaigns are paused: `l3mail status` says why", done.paused)
        if done.stuck and done.stuck != self._stuck:
            log.error("%d cohorts of learners find no open day in their course", done.stuck)
        if done.unasked and done.unasked != self._unasked:
            log.error("%d triggers plan nothing: their rule can't be asked", done.unasked)
        self._stuck = done.stuck
        self._unasked = done.unasked


def _touch(connection: Connection) -> None:
    """Write a row as it is: nothing changes, but the disk must have taken it."""
    connection.execute(update(WORKSPACE).values(uuid=WORKSPACE.c.uuid))
