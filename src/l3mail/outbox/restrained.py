"""Mails that people are spared for now: how they go on when their moment has come.

Held by `claims`, with the moment in `next_attempt_at`; judged anew there before they go.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, exists, func, select, update

from l3mail.models import DELIVERY, UtcDateTime
from l3mail.outbox.orders import TAKEN_BACK
from l3mail.planning import NOW, TO_GO_ON, Restraint, is_restrained

ANY_TO_GO_ON = exists(select(DELIVERY.c.id).where(*TO_GO_ON))
"""Whether `go_on` has anything to do."""

_SOME = (
    select(DELIVERY.c.id)
    .where(*TO_GO_ON)
    .order_by(DELIVERY.c.next_attempt_at)
    .limit(bindparam("batch"))
)
_IS_LATE = DELIVERY.c.lapses_at <= NOW
_LAPSED: dict[str, Any] = {
    "state": "lapsed",
    "reason": DELIVERY.c.reason + "; its moment passed before it was free",
    "ended_at": NOW,
}
_END = (
    update(DELIVERY)
    .where(DELIVERY.c.id.in_(_SOME.where(_IS_LATE)), *TO_GO_ON, _IS_LATE)
    .values(TAKEN_BACK | _LAPSED)
    .returning(DELIVERY.c.id)
)
_QUEUE = (
    update(DELIVERY)
    .where(DELIVERY.c.id.in_(_SOME), *TO_GO_ON)
    .values(TAKEN_BACK | {"state": "queued", "reason": None})
    .returning(DELIVERY.c.id)
)


@dataclass(frozen=True, slots=True)
class Spared:
    """Mails that a rule holds, by the reason it gives: until when the first and the last."""

    reason: str
    mails: int
    first_until: datetime
    last_until: datetime


def spared(connection: Connection) -> list[Spared]:
    """How many mails which rule holds now; those that wait for a person are not among them."""
    until = DELIVERY.c.next_attempt_at
    rows = connection.execute(
        select(
            DELIVERY.c.reason,
            func.count().label("n"),
            func.min(until, type_=UtcDateTime).label("first"),
            func.max(until, type_=UtcDateTime).label("last"),
        )
        .where(is_restrained())
        .group_by(DELIVERY.c.reason)
        .order_by(DELIVERY.c.reason)
    )
    return [Spared(row.reason or "", row.n, row.first, row.last) for row in rows]


def go_on(connection: Connection, now: datetime, limit: int) -> tuple[int, int]:
    """Queue held mails whose moment has come, and end those it came too late for.

    `limit` of each at most; returns how many were queued, and how many lapsed.
    """
    values = {"now": now, "batch": limit}
    lapsed = len(connection.execute(_END, values).all())
    if lapsed >= limit:
        return 0, lapsed
    return len(connection.execute(_QUEUE, values).all()), lapsed


def reconsider(connection: Connection, restraint: Restraint, now: datetime) -> int:
    """Let those go on that a rule holds which is another now, or none any more; how many."""
    rows = connection.execute(
        update(DELIVERY)
        .where(
            is_restrained(),
            DELIVERY.c.next_attempt_at > now,
            DELIVERY.c.reason.not_in(restraint.reasons),
        )
        .values(next_attempt_at=now)
        .returning(DELIVERY.c.id)
    )
    return len(rows.all())
