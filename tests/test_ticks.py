"""The tick, called by hand: what it plans, and what it lives through."""

import asyncio
import logging
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from sqlalchemy import Connection

from l3mail import newsletters, rounds, ticks
from l3mail.database import Database, Verb
from l3mail.errors import DatabaseClosedError, DatabaseUnavailableError, L3mailError
from l3mail.models import CAMPAIGN, WORKSPACE
from l3mail.rounds import Agenda, Round
from l3mail.segments import Question
from l3mail.subscribers import Rules
from l3mail.ticks import EVERY, LATE_AFTER, PULSE_EVERY, Ticker
from tests.fakes import parish
from tests.fakes.village import PEPPER, Village

ISSUE = "newsletter/2026-12"
RULES = Rules(PEPPER, ZoneInfo("Europe/Berlin"), "de")


def no_segment(connection: Connection, name: str, now: datetime) -> Question:
    raise L3mailError(f"{name} is gone")


AGENDA = Agenda(RULES, no_segment, batch=2)


@pytest.fixture
def town(sqlite_village: Village) -> Village:
    """Five readers, and an issue that is due."""
    village = sqlite_village
    stream = village.stream("newsletter", "newsletter")
    for n in range(5):
        village.subscribe(village.person(f"p{n}@schule.example"), stream)
    village.publish(ISSUE, stream="newsletter")
    village.do(newsletters.schedule, ISSUE, village.now, segment=None, by="me", now=village.now)
    return village


def ticker(village: Village, wake: Callable[[], None] = lambda: None) -> Ticker:
    return Ticker(village.database, village.clock, AGENDA, wake=wake)


def test_a_tick_goes_on_until_nothing_is_waiting(town: Village) -> None:
    assert asyncio.run(ticker(town).tick()) == Round(planned=5)
    assert len(town.rows()) == 5
    assert asyncio.run(ticker(town).tick()) == Round()


def test_a_tick_wakes_the_sender_when_there_is_something_to_send(town: Village) -> None:
    woken: list[int] = []
    ticking = ticker(town, lambda: woken.append(len(town.rows())))
    asyncio.run(ticking.tick())
    assert woken == [2, 4, 5]
    asyncio.run(ticking.tick())
    assert woken == [2, 4, 5]


def test_whoever_listens_hears_of_whole_ticks_only(
    town: Village, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[int] = []
    ticking = Ticker(
        town.database, town.clock, AGENDA, after=lambda: heard.append(len(town.rows()))
    )

    async def away(_: Database, verb: Verb[Round]) -> Round:
        raise DatabaseUnavailableError("database is locked")

    with monkeypatch.context() as patch:
        patch.setattr(Database, "writes", away)
        asyncio.run(ticking.tick())
    assert heard == []
    asyncio.run(ticking.tick())
    assert heard == [5]


def test_others_write_between_the_batches_of_a_tick(town: Village) -> None:
    """A web write waits for one step, never for the whole tick."""
    seen: list[int] = []

    async def live() -> None:
        ticking = asyncio.create_task(ticker(town).tick())
        while not ticking.done():
            seen.append(await town.database.writes(lambda c: len(town_rows(c))))
        await ticking

    asyncio.run(live())
    assert any(0 < count < 5 for count in seen)


def town_rows(connection: Connection) -> list[object]:
    return list(connection.exec_driver_sql("SELECT id FROM delivery").scalars())


def test_a_database_that_is_away_puts_the_tick_off(
    town: Village, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ticking = ticker(town)

    async def away(_: Database, verb: Verb[Round]) -> Round:
        raise DatabaseUnavailableError("database is locked")

    with monkeypatch.context() as patch:
        patch.setattr(Database, "writes", away)
        assert asyncio.run(ticking.tick()) is None
    assert "database is locked" in caplog.text
    assert ticking.last_tick_at is None
    assert asyncio.run(ticking.tick()) == Round(planned=5)
    assert ticking.last_tick_at == town.now


def test_a_full_disk_is_noticed_though_nothing_is_due(
    sqlite_village: Village, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticking = ticker(sqlite_village)

    def full(connection: Connection) -> None:
        raise DatabaseUnavailableError("database or disk is full")

    assert asyncio.run(ticking.tick()) == Round()
    with monkeypatch.context() as patched:
        patched.setattr(ticks, "_touch", full)
        assert asyncio.run(ticking.tick()) == Round()  # a row was written a moment ago
        sqlite_village.clock.advance(PULSE_EVERY)
        for _ in range(2):  # and at once again, as long as it fails
            assert asyncio.run(ticking.tick()) is None
            assert ticking.fault == "database or disk is full"
    assert asyncio.run(ticking.tick()) == Round()
    assert ticking.fault == ""
    assert PULSE_EVERY + EVERY < LATE_AFTER


def test_the_row_that_is_written_to_see_whether_one_can_stays_as_it_is(village: Village) -> None:
    before = village.rows(WORKSPACE)
    asyncio.run(ticker(village).tick())
    assert village.rows(WORKSPACE) == before

    def only_read(connection: Connection) -> None:
        connection.exec_driver_sql("PRAGMA query_only = ON")

    if village.database.is_sqlite:
        village.do(only_read)
        with pytest.raises(DatabaseClosedError):
            village.do(ticks._touch)
        assert asyncio.run(ticker(village).tick()) is None


def test_what_is_to_come_before_a_tick_does_or_the_tick_is_put_off(town: Village) -> None:
    order: list[str] = []

    async def before() -> None:
        order.append("before")
        if len(order) > 1:
            raise DatabaseUnavailableError("away")

    ticking = Ticker(
        town.database, town.clock, AGENDA, wake=lambda: order.append("planned"), before=before
    )
    assert asyncio.run(ticking.tick()) == Round(planned=5)
    assert order == ["before", "planned", "planned", "planned"]
    assert asyncio.run(ticking.tick()) is None
    assert ticking.fault == "away"


def test_a_fault_of_ours_ends_one_tick_and_not_the_next(
    town: Village, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ticking = ticker(town)

    def faulty(connection: Connection, now: datetime, agenda: Agenda) -> Round:
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr(rounds, "STEPS", (*rounds.STEPS, faulty))
        assert asyncio.run(ticking.tick()) is None
    assert "ZeroDivisionError" in caplog.text
    assert len(town.rows()) == 2  # what came before it is committed
    assert asyncio.run(ticking.tick()) == Round(planned=3)


def test_a_step_that_fails_keeps_no_other_waiting(
    town: Village, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What can't be told of clicks, or of a week, silences neither lessons nor alarms."""
    ticking = ticker(town)

    def faulty(connection: Connection, now: datetime, agenda: Agenda) -> Round:
        raise ZeroDivisionError

    monkeypatch.setattr(rounds, "STEPS", (faulty, *rounds.STEPS))
    for planned in (2, 4, 5):
        assert asyncio.run(ticking.tick()) is None
        assert len(town.rows()) == planned
    assert "ZeroDivisionError" in caplog.text
    assert ticking.last_tick_at is None


def test_a_ticker_is_late_after_a_while_without_a_whole_tick(town: Village) -> None:
    ticking = ticker(town)
    asyncio.run(ticking.tick())
    town.clock.advance(LATE_AFTER)
    assert not ticking.is_late()
    town.clock.advance(timedelta(seconds=1))
    assert ticking.is_late()
    asyncio.run(ticking.tick())
    assert not ticking.is_late()
    assert ticking.silent_for() == timedelta()


def test_a_tick_of_many_rounds_is_not_late_while_they_end(
    town: Village, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Looking at a million people takes longer than a ticker may be silent."""
    silent: list[timedelta] = []

    def slow(connection: Connection, now: datetime, agenda: Agenda) -> Round:
        town.clock.advance(LATE_AFTER / 2)
        silent.append(ticking.silent_for())
        return Round(more=len(silent) < 5)

    monkeypatch.setattr(rounds, "STEPS", (slow,))
    ticking = ticker(town)
    asyncio.run(ticking.tick())
    assert silent == [LATE_AFTER / 2] * 5


def test_chores_are_done_at_first_and_then_once_an_hour(
    town: Village, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[datetime] = []

    def chore(connection: Connection, now: datetime, agenda: Agenda) -> Round:
        done.append(now)
        return Round()

    monkeypatch.setattr(rounds, "CHORES", (chore,))
    monkeypatch.setattr(rounds, "STEPS", ())
    ticking = ticker(town)
    for minutes in (0, 30, 29, 1, 59, 1):
        town.clock.advance(timedelta(minutes=minutes))
        asyncio.run(ticking.tick())
    assert [at - done[0] for at in done] == [timedelta(hours=n) for n in range(3)]


def test_a_clock_set_back_or_forward_makes_no_tick_late(town: Village) -> None:
    ticking = ticker(town)
    asyncio.run(ticking.tick())
    town.clock.set(town.now + timedelta(days=1))
    assert not ticking.is_late()
    town.clock.set(town.now - timedelta(days=2))
    assert not ticking.is_late()


def test_a_tick_that_did_something_is_one_line_and_an_idle_one_none(
    town: Village, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    ticking = ticker(town)
    asyncio.run(ticking.tick())
    assert [r.getMessage() for r in caplog.records if r.name == "l3mail.ticks"] == [
        "tick: 5 planned"
    ]
    caplog.clear()
    asyncio.run(ticking.tick())
    assert not [r for r in caplog.records if r.name == "l3mail.ticks"]


def test_a_trigger_that_can_not_be_asked_is_told_of_once(
    town: Village, caplog: pytest.LogCaptureFixture
) -> None:
    ticking = ticker(town)
    asyncio.run(ticking.tick())
    parish.declare(town, trigger="joined", after="1m", segment="fort")
    parish.friend(town, "neu")
    town.clock.advance(timedelta(minutes=1))
    for _ in range(3):
        asyncio.run(ticking.tick())
    assert [r.getMessage() for r in caplog.records if r.name == "l3mail.ticks"] == [
        "1 triggers plan nothing: their rule can't be asked"
    ]


def test_it_ticks_at_once_and_then_by_one_job_until_it_is_stopped(
    town: Village, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs: list[Any] = []

    def note(scheduler: AsyncIOScheduler, *args: Any, **kwargs: Any) -> None:
        jobs.extend(scheduler.get_jobs())
        ticking.stop()

    async def live() -> None:
        async with asyncio.timeout(30):
            await ticking.run()

    monkeypatch.setattr(AsyncIOScheduler, "start", note)
    monkeypatch.setattr(AsyncIOScheduler, "shutdown", lambda *_, **__: None)
    ticking = ticker(town)
    asyncio.run(live())
    (job,) = jobs
    assert len(town.rows()) == 5
    assert (job.coalesce, job.max_instances, job.misfire_grace_time) == (True, 1, None)
    assert job.trigger.interval == EVERY


def test_the_real_scheduler_ticks_again_and_ends(town: Village) -> None:
    ticks: list[int] = []

    class Counting(Ticker):
        async def tick(self) -> Round | None:
            ticks.append(1)
            if len(ticks) == 3:
                self.stop()
            return await super().tick()

    async def live() -> None:
        ticking = Counting(town.database, town.clock, AGENDA, every=timedelta(milliseconds=20))
        async with asyncio.timeout(30):
            await ticking.run()

    asyncio.run(live())
    assert len(ticks) == 3


def test_stopped_in_mid_tick_it_begins_no_further_step(town: Village) -> None:
    def stop() -> None:
        ticking.stop()

    ticking = ticker(town, stop)
    done = asyncio.run(ticking.tick())
    assert done is not None
    assert done.planned == 2
    (campaign,) = town.rows(CAMPAIGN)
    assert campaign["planned_at"] is None


def test_planning_never_runs_in_the_loops_thread(town: Village) -> None:
    threads: set[int] = set()

    def spy(connection: Connection, now: datetime, agenda: Agenda) -> Round:
        threads.add(threading.get_ident())
        return Round()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rounds, "STEPS", (spy,))
        asyncio.run(ticker(town).tick())
    assert threads
    assert threading.get_ident() not in threads
