"""How much dearer things become when ten times as many people are there.

The same is timed with a tenth and with all of them, in one run; each is the quickest of three.
"""

import time
from collections.abc import Callable, Iterator
from datetime import timedelta

from bench.figures import Figure, Goal, MissingError, Size
from bench.multitude import BACKENDS, BERLIN, Multitude, fresh, settle_in
from bench.planning import LARGEST, planned_in
from l3mail import audiences
from l3mail.database import opened
from l3mail.reports import spans, weekly

PEOPLE = {Size.FULL: 1_000_000, Size.QUICK: 10_000}
TENFOLD = 10
IN_THE_WAY = {
    "sqlite": "Ten times as many rows are ten times the work: the ratio is 9.6 to 11 from one run"
    " to the next, and no other where SQLite may keep the whole file in memory (400 MB instead"
    " of 2).",
    "postgres": "A tenth of the way is memory: with 2 GB of shared buffers instead of 128 MB the"
    " count grows 9.8-fold instead of 10.9-fold, the plan 11.6-fold instead of 12.2-fold, all"
    " seen in one hour. The rest of the plan's: each row looks up three foreign keys and is"
    " entered in its indexes, all of which are deeper.",
}
SEGMENT = (
    'district == "Gorbitz" and age >= 60 and joined_days > 30'
    ' and (received("kurs/02") or clicked("kurs/02", "video"))'
)


def figures(size: Size) -> Iterator[Figure]:
    """Plan, segment count and weekly report: with all people against with a tenth of them.

    The report is one without what triggers are expected to do.
    """
    people = PEOPLE[size]
    for backend in BACKENDS:
        try:
            few, many = (_timed(backend, number) for number in (people // TENFOLD, people))
        except MissingError as fault:
            yield Figure(_goal("plan", people, backend), None, str(fault))
            continue
        for what in few:
            detail = f"{1000 * many[what]:.0f} ms after {1000 * few[what]:.0f} ms"
            yield Figure(_goal(what, people, backend), many[what] / few[what], detail)


def _goal(what: str, people: int, backend: str) -> Goal:
    name = f"growth of {what}, {people // TENFOLD:,} to {people:,}, {backend}"
    return Goal(name, 11, 10, "x", less_is_better=True, in_the_way=IN_THE_WAY[backend])


def _timed(backend: str, people: int) -> dict[str, float]:
    with fresh(backend) as url, opened(url) as database:
        one = settle_in(database, people)
        return {
            "segment count": _least(lambda: _count(one)),
            "weekly report": _least(lambda: _report(one)),
            "plan": min(planned_in(one, LARGEST)[1] for _ in range(3)),
        }


def _least(what: Callable[[], object]) -> float:
    took = []
    for _ in range(3):
        began = time.perf_counter()
        what()
        took.append(time.perf_counter() - began)
    return min(took)


def _count(one: Multitude) -> None:
    now = one.clock.now()
    one.database.read(
        lambda c: audiences.count(c, one.agenda.questions(c, SEGMENT, now)),
    )


def _report(one: Multitude) -> None:
    now = one.clock.now()
    span = spans.last_week(now + timedelta(days=5), BERLIN)
    # Not what triggers will do: foreseeing that is asked day by day, and has a price of its own.
    terms = weekly.Terms("Amt", "de", BERLIN)
    one.database.read(lambda c: weekly.look(c, span, now, terms))
