"""Claims over a long queue: the last batch beside the first, and senders that claim side by side.

Owns a queue of campaign mail as long as wanted, and counts that no row is leased twice.
"""

import threading
import time
from collections.abc import Iterator
from datetime import datetime

from sqlalchemy import Connection, text

from bench.figures import Figure, Goal, MissingError, Size, middle
from bench.multitude import BACKENDS, Multitude, fresh, look_around, settle_in
from l3mail import outbox
from l3mail.database import opened
from l3mail.outbox import Claim
from l3mail.planning import LANE_OF_BULK

PEOPLE = {Size.FULL: 1_000_000, Size.QUICK: 10_000}
BATCH = 500
IN_THE_WAY = (
    "The index over leases: empty at the first batch, it holds every row at the last, for here all"
    " are leased and none is sent. Without it the last batches take what the first ones do; a"
    " sender at work holds one batch, and so has an index that stays small."
)
AT_ENDS = 20
"""So many batches at either end are the first and the last."""


def figures(size: Size) -> Iterator[Figure]:
    """Claim latency, last against first; on PostgreSQL also with several senders."""
    people = PEOPLE[size]
    for backend in BACKENDS:
        name = f"claim, last / first, {people:,} rows, {backend}"
        goal = Goal(name, 1.5, 1.2, less_is_better=True, in_the_way=IN_THE_WAY)
        try:
            with fresh(backend) as url, opened(url) as database:
                one = settle_in(database, people)
                _queue(one)
                yield _one_after_the_other(goal, one)
                for senders in (2, 4) if backend == "postgres" else ():
                    database.write(_give_all_back)
                    look_around(database)
                    yield _side_by_side(one, senders)
        except MissingError as fault:
            yield Figure(goal, None, str(fault))


def _queue(one: Multitude) -> None:
    """A newsletter to everybody, queued."""
    statement = text(
        "INSERT INTO delivery (purpose, kind, occurrence, subscriber_id, stream_id, generation,"
        " slug, lane, state, due_at, planned_at) SELECT 'stream', 'newsletter', 'campaign:1',"
        " id, 1, 1, 'newsletter/2026-12', 2, 'queued', created_at, created_at FROM subscriber"
        " WHERE id > 0"
    )
    one.database.write(lambda connection: connection.execute(statement))
    look_around(one.database)


def _give_all_back(connection: Connection) -> None:
    connection.execute(text("UPDATE delivery SET lease_owner = NULL, lease_until = NULL"))


def _one_after_the_other(goal: Goal, one: Multitude) -> Figure:
    now, after, took = one.clock.now(), 0, []
    while True:
        began = time.perf_counter()
        claims = _claimed(one, "bench", now, after)
        if not claims:
            break
        took.append(time.perf_counter() - began)
        after = claims[-1].id
    # The very first ones read what no memory holds yet.
    first, last = took[AT_ENDS : 2 * AT_ENDS] or took[:1], took[-AT_ENDS:]
    detail = (
        f"{len(took)} batches of {BATCH}: {1000 * middle(last):.2f} ms after"
        f" {1000 * middle(first):.2f} ms, longest {1000 * max(took):.0f} ms"
    )
    return Figure(goal, middle(last) / middle(first), detail)


def _side_by_side(one: Multitude, senders: int) -> Figure:
    """Rows leased a second by several senders at once; raises where a row is leased twice."""
    now = one.clock.now()
    found: list[list[int]] = [[] for _ in range(senders)]

    def work(number: int) -> None:
        found[number] = list(_all_claims(one, f"bench-{number}", now))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(senders)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = time.perf_counter() - began
    ids = [number for each in found for number in each]
    if len(ids) != len(set(ids)) or len(ids) != one.people:
        raise RuntimeError(f"{len(ids)} leases of {len(set(ids))} rows, {one.people} were queued")
    shares = ", ".join(f"{len(each):,}" for each in found)
    goal = Goal(f"claims, {senders} senders at once, rows a second", None, None, "/s")
    return Figure(goal, len(ids) / took, f"no row twice; {shares} rows each")


def _all_claims(one: Multitude, owner: str, now: datetime) -> Iterator[int]:
    claims = _claimed(one, owner, now, 0)
    while claims:
        yield from (claimed.id for claimed in claims)
        claims = _claimed(one, owner, now, claims[-1].id)


def _claimed(one: Multitude, owner: str, now: datetime, after: int) -> list[Claim]:
    return one.database.write(
        lambda c: outbox.claim(c, owner, now, lane=LANE_OF_BULK, after=after, limit=BATCH)
    )
