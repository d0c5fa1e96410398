"""Verdicts: ten minutes after, what was written raw becomes human, machine or unsure.

Owns which openings and clicks are looked at together and the writing of what `judging` says of
them: a handful of statements for a batch, whoever came how often. A verdict is given once; the
rows stay, so that all that came in can be counted.
"""

from collections import defaultdict
from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, func, select, update

from l3mail.events.judging import BURST, Judgement, Mark, judge
from l3mail.models import EVENT, LINK, UtcDateTime
from l3mail.segments import SETTLED_AFTER

_KINDS = ("opened", "clicked")
_NO_LINK = 0  # of a click whose link nobody named
_COLUMNS = select(
    EVENT.c.id,
    EVENT.c.kind,
    EVENT.c.at,
    EVENT.c.link_id,
    EVENT.c.delivery_id,
    EVENT.c.message_id,
    EVENT.c.verdict,
)


_RAW_UNTIL = bindparam("raw_until", type_=UtcDateTime)
_FIRST = select(func.min(EVENT.c.at, type_=UtcDateTime)).where(EVENT.c.verdict == "raw")
ANY_RAW = _FIRST.scalar_subquery() <= _RAW_UNTIL
"""Whether `settle` has anything to judge."""
_NEXT = (
    _COLUMNS.where(EVENT.c.verdict == "raw", EVENT.c.at <= _RAW_UNTIL)
    .order_by(EVENT.c.at, EVENT.c.id)
    .limit(bindparam("batch"))
)


def settle(connection: Connection, now: datetime, limit: int) -> int:
    """Judge the longest waiting raw events, `limit` at most; how many there were.

    A repetition finds the next ones. Whatever the batches, the verdicts are the same.
    """
    values = {"raw_until": now - SETTLED_AFTER, "batch": limit}
    due = connection.execute(_NEXT, values).all()
    if not due:
        return 0
    deliveries = {row.delivery_id for row in due if row.delivery_id is not None}
    marks: dict[int | None, dict[int, Mark]] = defaultdict(dict)
    # Those due last: what is to be judged is raw also where it is its own surroundings.
    for row in (*_around(connection, deliveries, due[0].at, due[-1].at), *due):
        link = None if row.kind == "opened" else row.link_id or _NO_LINK
        marks[row.delivery_id][row.id] = Mark(row.id, row.at, link, row.verdict == "raw")
    links = _links(connection, {row.message_id for row in due if row.message_id is not None})
    opened = _opened(connection, deliveries)
    message_of = {row.delivery_id: row.message_id for row in due}
    wanted = {row.id for row in due}
    by_verdict: dict[Judgement, list[int]] = defaultdict(list)
    for delivery, message in message_of.items():
        found = judge(marks[delivery].values(), links.get(message, 0), opened.get(delivery))
        for number in found.keys() & wanted:
            by_verdict[found[number]].append(number)
    for verdict, ids in by_verdict.items():
        connection.execute(
            update(EVENT)
            .where(EVENT.c.id.in_(sorted(ids)), EVENT.c.verdict == "raw")
            .values(verdict=verdict)
        )
    return len(due)


def _around(
    connection: Connection, deliveries: Collection[int], first: datetime, last: datetime
) -> list[Row[Any]]:
    """All that happened to these deliveries near the moments that are to be judged."""
    query = _COLUMNS.where(
        EVENT.c.delivery_id.in_(sorted(deliveries)),
        EVENT.c.kind.in_(_KINDS),
        EVENT.c.at.between(first - BURST, last + BURST),
    )
    return list(connection.execute(query))


def _links(connection: Connection, messages: Collection[int]) -> dict[int, int]:
    """How many links each text has."""
    query = (
        select(LINK.c.message_id, func.count())
        .where(LINK.c.message_id.in_(sorted(messages)))
        .group_by(LINK.c.message_id)
    )
    return {message: int(count) for message, count in connection.execute(query)}


def _opened(connection: Connection, deliveries: Collection[int]) -> dict[int, datetime]:
    """When each delivery was first opened by a person, as far as that is judged."""
    query = (
        select(EVENT.c.delivery_id, func.min(EVENT.c.at, type_=UtcDateTime).label("first"))
        .where(
            EVENT.c.delivery_id.in_(sorted(deliveries)),
            EVENT.c.kind == "opened",
            EVENT.c.verdict == "human",
        )
        .group_by(EVENT.c.delivery_id)
    )
    return {row.delivery_id: row.first for row in connection.execute(query)}


def next_settlement(connection: Connection, now: datetime) -> datetime | None:
    """The first moment after `now` at which an event is due to be judged, if any."""
    query = select(func.min(EVENT.c.at, type_=UtcDateTime)).where(
        EVENT.c.verdict == "raw", EVENT.c.at > now - SETTLED_AFTER
    )
    first = connection.execute(query).scalar_one()
    return None if first is None else first + SETTLED_AFTER
