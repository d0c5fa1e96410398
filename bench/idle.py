"""An idle tick of a large house, and what the sender asks each second while there is nothing to do.

Nothing is set beside it: the goal is a limit on any machine. The processor's time is measured as
well as the clock's, because others may be busy on this machine. And once a day everybody is looked
at: how long that keeps all others from writing.
"""

import time
from collections.abc import Callable, Iterator
from datetime import timedelta

from sqlalchemy import Connection, update

from bench.figures import Figure, Goal, MissingError, Size, middle
from bench.multitude import BACKENDS, Multitude, multitude
from l3mail import outbox, rounds
from l3mail.models import TRIGGER
from l3mail.planning import LANES

PEOPLE = {Size.FULL: 1_000_000, Size.QUICK: 5_000}
IN_THE_WAY = {
    "sqlite": "Twelve statements, of which the database takes a tenth of the time; the rest is"
    " Python: SQLAlchemy's 40 µs for each of them, the triggers' rules and calendars, one segment's"
    " question.",
    "postgres": "Fifteen round trips. The glance at all triggers takes a third of the time, most"
    " of it to plan it: PostgreSQL thinks that worth while at a million people, and comes to the"
    " same searches each time.",
}
TURNS = 25
OWNER = "bench"


def figures(size: Size) -> Iterator[Figure]:
    """How long a tick takes that finds nothing to do, on each database."""
    for backend in BACKENDS:
        people = f"{PEOPLE[size]:,} people"
        tick = Goal(
            f"idle tick, {people}, {backend}",
            5,
            1,
            "ms",
            less_is_better=True,
            in_the_way=IN_THE_WAY[backend],
        )
        turn = Goal(f"idle sender, {people}, {backend}", None, None, "ms", less_is_better=True)
        write = f"longest write, look at {people}, {backend}"
        try:
            with multitude(backend, PEOPLE[size]) as one:
                yield _measured(tick, lambda one=one: _tick(one))  # type: ignore[misc]
                yield _measured(turn, lambda one=one: _look(one))  # type: ignore[misc]
                yield _longest_write(one, Goal(write, None, None, "ms", less_is_better=True))
        except MissingError as fault:
            yield Figure(tick, None, str(fault))


def _measured(goal: Goal, what: Callable[[], object]) -> Figure:
    """Timed as the quickest of its turns: whatever else this machine does only adds to it."""
    what()
    waited, worked = [], []
    for _ in range(TURNS):
        began, busy = time.perf_counter(), time.process_time()
        what()
        waited.append(time.perf_counter() - began)
        worked.append(time.process_time() - busy)
    detail = (
        f"least of {TURNS}; median {1000 * middle(waited):.1f} ms,"
        f" of it {1000 * middle(worked):.1f} ms of this process"
    )
    return Figure(goal, 1000 * min(waited), detail)


def _longest_write(one: Multitude, goal: Goal) -> Figure:
    """Of the look for those who fell silent, whom everybody might be among."""
    yesterday = one.clock.now() - timedelta(days=1)
    silent = update(TRIGGER).where(TRIGGER.c.kind == "inactive").values(planned_until=yesterday)
    one.database.write(lambda connection: connection.execute(silent))
    writes: list[tuple[float, float]] = []
    more = True
    while more:
        more = False
        stretch: rounds.Stretch | None = rounds.Stretch.whole(one.clock, one.agenda)
        while stretch is not None:
            began, busy = time.perf_counter(), time.process_time()
            more = one.database.write(stretch).more or more
            writes.append((time.perf_counter() - began, time.process_time() - busy))
            stretch = stretch.rest
    longest, busiest = (1000 * max(part) for part in zip(*writes, strict=True))
    total = sum(waited for waited, _ in writes)
    detail = f"at most {busiest:.0f} ms of this process; {len(writes)} writes, {total:.1f} s in all"
    return Figure(goal, longest, detail)


def _tick(one: Multitude) -> None:
    done = rounds.run(one.database, one.clock, one.agenda)
    if done.wrote:
        raise RuntimeError(f"not idle: {done}")


def _look(one: Multitude) -> None:
    """What a sender asks that has nothing to send: one transaction."""
    now = one.clock.now()

    def verb(connection: Connection) -> None:
        outbox.settle(connection, now)
        if outbox.is_halted(connection):
            return
        for lane in LANES:
            outbox.claim(connection, OWNER, now, lane=lane, after=0, limit=500)
        outbox.claim_retries(connection, OWNER, now, limit=250)

    one.database.write(verb)
