"""Planning a campaign to everybody, beside one `session.add` for each row.

And what somebody who writes waits while it goes on, on SQLite, where there is one writer.
"""

import statistics
import threading
import time
from collections.abc import Iterator
from dataclasses import replace

from sqlalchemy import Connection, select, text
from sqlmodel import Session

from bench.figures import Figure, Goal, MissingError, Size
from bench.multitude import BACKENDS, Multitude, fresh, look_around, settle_in
from l3mail import newsletters, rounds
from l3mail.database import opened
from l3mail.models import CAMPAIGN_MESSAGE, Delivery

PEOPLE = {Size.FULL: 1_000_000, Size.QUICK: 10_000}
ADDED = {Size.FULL: 20_000, Size.QUICK: 2_000}
"""So many rows are added singly; more would take the same time each."""
LARGEST = 50_000
GOALS = {"sqlite": (100, 200), "postgres": (30, 60)}
_PROFILED = (
    "Profiled in November 2026, without the second look, which adds about 16 % where all have their"
    " mail: "
)
IN_THE_WAY = {
    "sqlite": f"{_PROFILED}of 3.0 µs a row, the row and its unique key take 40 %, three more"
    " indexes it is in and twelve it is not 19 %, foreign keys 15 %, CHECKs 7 %, ON CONFLICT 3 %;"
    " finding the audience takes 6 %, asking whether each may be mailed 10 %. A bare INSERT …"
    " SELECT of constants into the same table is a fifth quicker, no more: beyond that lies only a"
    " delivery with fewer columns, indexes or references.",
    "postgres": f"{_PROFILED}of 18.8 µs a row, three foreign keys take 62 %, asked for every row"
    " anew; the row and its unique key 16 %, the other indexes and CHECKs 9 %, ON CONFLICT 4 %,"
    " finding the audience and asking whether each may be mailed 9 %. A bare INSERT … SELECT of"
    " constants into the same table takes 16.3 µs; without its foreign keys it would take 4.7.",
}


def figures(size: Size) -> Iterator[Figure]:
    """Planning everybody against adding rows, and a writer's wait meanwhile."""
    people = PEOPLE[size]
    for backend in BACKENDS:
        name = f"plan {people:,} / session.add, {backend}"
        goal = Goal(name, *GOALS[backend], in_the_way=IN_THE_WAY[backend])
        try:
            with fresh(backend) as url, opened(url) as database:
                one = settle_in(database, people)
                naive = _added(one, ADDED[size])
                planned, took = planned_in(one, LARGEST)
                detail = f"{planned / took:,.0f} rows a second, {naive:,.0f} added singly"
                yield Figure(goal, planned / took / naive, detail)
                if backend == "sqlite":
                    yield _wait(one)
        except MissingError as fault:
            yield Figure(goal, None, str(fault))


def planned_in(one: Multitude, batch: int) -> tuple[int, float]:
    """Plan a campaign to all, as rounds do; how many mails, and how long it took."""
    schedule_anew(one)
    return _planned(one, batch)


def schedule_anew(one: Multitude) -> None:
    """Let nothing be planned of it."""
    one.database.write(lambda c: _schedule(c, one))
    look_around(one.database)


def _planned(one: Multitude, batch: int) -> tuple[int, float]:
    agenda = replace(one.agenda, batch=batch, planners=())
    began = time.perf_counter()
    planned, more = 0, True
    while more:
        done = one.database.write(lambda c: _step(c, one, agenda))
        planned, more = planned + done.deliveries, done.more
    return planned, time.perf_counter() - began


def _step(connection: Connection, one: Multitude, agenda: rounds.Agenda) -> newsletters.Planned:
    return newsletters.plan(
        connection,
        one.clock.now(),
        question=agenda.questions,
        fallback_locale="de",
        limit=agenda.batch,
    )


def _schedule(connection: Connection, one: Multitude) -> None:
    connection.execute(text("DELETE FROM delivery WHERE occurrence LIKE 'campaign:%'"))
    connection.execute(text("DELETE FROM campaign_message"))
    connection.execute(text("DELETE FROM campaign"))
    newsletters.schedule(
        connection,
        "newsletter/2026-12",
        one.clock.now(),
        segment=None,
        by="bench",
        now=one.clock.now(),
    )


_PINNED = select(CAMPAIGN_MESSAGE.c.campaign_id, CAMPAIGN_MESSAGE.c.message_id)


def _added(one: Multitude, rows: int) -> float:
    """Rows a second by the most natural way: an object for each, with the same columns."""
    now = one.clock.now()
    schedule_anew(one)
    campaign, message = one.database.read(lambda c: c.execute(_PINNED).one())
    began = time.perf_counter()
    with Session(one.database.engine) as session:
        for number in range(1, rows + 1):
            session.add(
                Delivery(
                    purpose="stream",
                    kind="newsletter",
                    occurrence="campaign:added",
                    subscriber_id=number % one.people + 1,
                    stream_id=1,
                    campaign_id=campaign,
                    message_id=message,
                    slug="newsletter/2026-12",
                    lane=2,
                    state="queued",
                    due_at=now,
                    planned_at=now,
                )
            )
        session.commit()
    return rows / (time.perf_counter() - began)


def _wait(one: Multitude) -> Figure:
    """How long somebody waits who writes while everybody is planned for in the usual batches."""
    goal = Goal("a write during a large plan, sqlite", 100, None, "ms", less_is_better=True)
    waits: list[float] = []
    over = threading.Event()
    change = text("UPDATE subscriber SET district = 'Prohlis' WHERE id = 1")

    def write() -> None:
        while not over.is_set():
            began = time.perf_counter()
            one.database.write(lambda connection: connection.execute(change))
            waits.append(time.perf_counter() - began)
            over.wait(0.02)

    schedule_anew(one)
    writer = threading.Thread(target=write)
    writer.start()
    planned, took = _planned(one, rounds.BATCH)
    over.set()
    writer.join()
    high = statistics.quantiles(waits, n=20)[-1]
    detail = (
        f"95 % of {len(waits)} writes; median {1000 * statistics.median(waits):.0f} ms, longest"
        f" {1000 * max(waits):.0f} ms; {planned:,} rows in {took:.1f} s meanwhile"
    )
    return Figure(goal, 1000 * high, detail)
