"""Reach: whom an issue would reach, who not and why.

Owns no row. Knows a segment only as the question it comes to.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, bindparam, case, func, literal, select

from l3mail.models import CAMPAIGN, DELIVERY, SUBSCRIBER
from l3mail.planning import IS_MEMBER, MEMBER, bindings, member, objection
from l3mail.segments import Question


@dataclass(frozen=True, slots=True)
class LastTime:
    """The campaign before this one in the same stream, and how many it was planned for."""

    slug: str
    scheduled_at: datetime
    deliveries: int


@dataclass(frozen=True, slots=True)
class Audience:
    """Whom a campaign reaches as things are now, of all who are confirmed in its stream.

    `barred` counts by reason those nobody may mail; the segment selects `yes` of the others,
    not `no` and, for want of consent to know it, not `unknown`.
    """

    yes: int = 0
    no: int = 0
    unknown: int = 0
    barred: Mapping[str, int] = field(default_factory=dict)
    last: LastTime | None = None


def audience(
    connection: Connection,
    stream_id: int,
    question: Question | None,
    now: datetime,
    *,
    but: int | None = None,
) -> Audience:
    """Count whom a campaign in this stream would reach now, who not and why, and the last time.

    `but` is the campaign that is not to count as the last time.
    """
    rows = connection.execute(
        _by_answer(question), bindings(now, (), "") | {"stream": stream_id}
    ).all()
    answers = {
        word: sum(r.n for r in rows if r.reason is None and r.answer == word) for word in _ANSWERS
    }
    barred: dict[str, int] = {}
    for row in rows:
        if row.reason is not None:
            barred[row.reason] = barred.get(row.reason, 0) + row.n
    return Audience(**answers, barred=barred, last=_last_time(connection, stream_id, but))


_ANSWERS = ("yes", "no", "unknown")


def _by_answer(question: Question | None) -> Select[Any]:
    answer: ColumnElement[Any] = literal("yes")
    if question is not None:
        answer = case(
            (question.yes, literal("yes")),
            (question.unknown, literal("unknown")),
            else_=literal("no"),
        )
    people = (
        select(objection(member()).label("reason"), answer.label("answer"))
        .select_from(MEMBER)
        .join(SUBSCRIBER, SUBSCRIBER.c.id == MEMBER.c.subscriber_id)
        .where(MEMBER.c.stream_id == bindparam("stream"), IS_MEMBER)
        .subquery("people")
    )
    return select(people.c.reason, people.c.answer, func.count().label("n")).group_by(
        people.c.reason, people.c.answer
    )


def _last_time(connection: Connection, stream_id: int, but: int | None) -> LastTime | None:
    last = connection.execute(
        select(CAMPAIGN.c.id, CAMPAIGN.c.slug, CAMPAIGN.c.scheduled_at)
        .where(
            CAMPAIGN.c.stream_id == stream_id,
            CAMPAIGN.c.planned_at.is_not(None),
            CAMPAIGN.c.cancelled_at.is_(None),
            CAMPAIGN.c.id != (but or 0),
        )
        .order_by(CAMPAIGN.c.scheduled_at.desc(), CAMPAIGN.c.id.desc())
        .limit(1)
    ).first()
    if last is None:
        return None
    count = select(func.count()).where(DELIVERY.c.campaign_id == last.id)
    return LastTime(last.slug, last.scheduled_at, connection.execute(count).scalar_one())
