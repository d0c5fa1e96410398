"""Reach: whom an issue would reach, who not and why, and how that compares with the last time.

Owns no row. Knows a segment only as the question it comes to.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    and_,
    bindparam,
    case,
    false,
    func,
    literal,
    select,
)

from l3mail.models import CAMPAIGN, DELIVERY, SUBSCRIBER, SUPPRESSION, Id
from l3mail.planning import (
    IS_MEMBER,
    MEMBER,
    NO_RESTRAINT,
    Restraint,
    bindings,
    mailable,
    mails_begun,
    member,
    objection,
)
from l3mail.segments import Question

_PRECISION = 0.1


@dataclass(frozen=True, slots=True)
class LastTime:
    """The campaign before this one in the same stream, and how many it was planned for.

    `alike` is whether it went to the same segment; where none did, it is the stream's last.
    """

    slug: str
    scheduled_at: datetime
    deliveries: int
    segment: str | None = None
    alike: bool = True


@dataclass(frozen=True, slots=True)
class Audience:
    """Whom a campaign reaches as things are now, of all who ever joined its stream.

    `barred` counts by reason those nobody may mail; the segment selects `yes` of the others,
    not `no` and, for want of consent to know it, not `unknown`. Of the `yes`, `elsewhere` counts by
    their language and the one they get those who get another, and `capped` are held until the
    frequency cap lets them have it; `quiet_until` is when quiet hours end that hold all of them.
    """

    yes: int = 0
    no: int = 0
    unknown: int = 0
    barred: Mapping[str, int] = field(default_factory=dict)
    last: LastTime | None = None
    elsewhere: Mapping[tuple[str, str], int] = field(default_factory=dict)
    capped: int = 0
    quiet_until: datetime | None = None

    def has_outgrown(self, growth: float) -> bool:
        """Whether it is more than `growth` times the last time's; 0 is never."""
        return bool(growth and self.last and self.yes > growth * self.last.deliveries)

    def is_about(self, people: int) -> bool:
        """Whether somebody who expects so many people is right to a tenth."""
        return abs(self.yes - people) <= _PRECISION * people


@dataclass(frozen=True, slots=True)
class Sending:
    """How a campaign would go out: when, in which languages, and what people are spared then."""

    at: datetime
    locales: Collection[str]
    fallback_locale: str
    restraint: Restraint = NO_RESTRAINT


def audience(
    connection: Connection,
    stream_id: int,
    question: Question | None,
    now: datetime,
    *,
    but: int | None = None,
    segment: str | None = None,
    sending: Sending | None = None,
) -> Audience:
    """Count whom a campaign in this stream would reach now, who not and why, and the last time.

    `but` is the campaign that is not to count as the last time, `segment` what the question came
    from. Without `sending` nobody's language or cap is looked at.
    """
    cap = sending.restraint.cap if sending else None
    values = bindings(now, (), "") | {"stream": stream_id}
    if sending and cap:
        values |= sending.restraint.bindings(sending.at)
    rows = connection.execute(_by_answer(question, capped=cap is not None), values).all()
    reached = [row for row in rows if row.reason is None]
    answers = {word: sum(r.n for r in reached if r.answer == word) for word in _ANSWERS}
    barred: dict[str, int] = {}
    for row in rows:
        if row.reason is not None:
            barred[row.reason] = barred.get(row.reason, 0) + row.n
    chosen = [row for row in reached if row.answer == "yes"]
    return Audience(
        **answers,
        barred=barred,
        last=_last_time(connection, stream_id, segment, but),
        elsewhere=_elsewhere(chosen, sending) if sending else {},
        capped=sum(row.n for row in chosen if row.capped),
        quiet_until=sending.restraint.quiet_until(sending.at) if sending else None,
    )


_ANSWERS = ("yes", "no", "unknown")


def _by_answer(question: Question | None, *, capped: bool) -> Select[Any]:
    answer: ColumnElement[Any] = literal("yes")
    if question is not None:
        answer = case(
            (question.yes, literal("yes")),
            (question.unknown, literal("unknown")),
            else_=literal("no"),
        )
    ground = objection(member())
    reason = case(
        (ground == "suppressed", literal("suppressed: ") + func.coalesce(SUPPRESSION.c.reason, "")),
        else_=ground,
    )
    is_capped = mails_begun(SUBSCRIBER.c.id) >= bindparam("cap_mails", type_=Id)
    people = (
        select(
            reason.label("reason"),
            answer.label("answer"),
            SUBSCRIBER.c.locale,
            (is_capped if capped else false()).label("capped"),
        )
        .select_from(MEMBER)
        .join(SUBSCRIBER, SUBSCRIBER.c.id == MEMBER.c.subscriber_id)
        .outerjoin(SUPPRESSION, SUPPRESSION.c.address_key == SUBSCRIBER.c.address_key)
        .where(MEMBER.c.stream_id == bindparam("stream"), SUBSCRIBER.c.erased_at.is_(None))
        .subquery("people")
    )
    by = (people.c.reason, people.c.answer, people.c.locale, people.c.capped)
    return select(*by, func.count().label("n")).group_by(*by)


def _elsewhere(rows: Collection[Any], sending: Sending) -> dict[tuple[str, str], int]:
    """Of these people, who gets the issue in another language than their own: as it is planned."""
    found: dict[tuple[str, str], int] = {}
    longest_first = sorted(sending.locales, key=len, reverse=True)
    for row in rows:
        wishes = (row.locale or "", sending.fallback_locale)
        near = (one for wish in wishes for one in longest_first if f"{wish}-".startswith(f"{one}-"))
        version = next(near, min(sending.locales, default=""))
        if row.locale and row.locale != version:
            found[row.locale, version] = found.get((row.locale, version), 0) + row.n
    return found


def sample(
    connection: Connection, stream_id: int, question: Question | None, now: datetime, most: int
) -> list[str]:
    """Addresses of some whom a campaign would reach, the same ones each time."""
    rows = connection.execute(
        _reached(question)
        .add_columns(SUBSCRIBER.c.address)
        # As good as by lot: keyed hashes.
        .order_by(SUBSCRIBER.c.address_key)
        .limit(most),
        bindings(now, (), "") | {"stream": stream_id},
    )
    return [row.address for row in rows]


def is_more_than(
    connection: Connection, stream_id: int, question: Question | None, now: datetime, most: int
) -> bool:
    """Whether a campaign would reach more people than `most`; looks no further than it must."""
    values = bindings(now, (), "") | {"stream": stream_id}
    members = select(MEMBER.c.subscriber_id).where(_IN_STREAM).limit(most + 1).subquery("members")
    if connection.execute(select(func.count()).select_from(members), values).scalar_one() <= most:
        # As a rule the whole stream is no more: then nobody is asked for one by one.
        return False
    people = _reached(question).limit(most + 1).subquery("people")
    count = select(func.count()).select_from(people)
    return bool(connection.execute(count, values).scalar_one() > most)


_IN_STREAM = and_(MEMBER.c.stream_id == bindparam("stream"), IS_MEMBER)


def _reached(question: Question | None) -> Select[Any]:
    asked = [] if question is None else [question.yes]
    return (
        select(SUBSCRIBER.c.id)
        .select_from(MEMBER)
        .join(SUBSCRIBER, SUBSCRIBER.c.id == MEMBER.c.subscriber_id)
        .where(_IN_STREAM, mailable(member()), *asked)
    )


def _last_time(
    connection: Connection, stream_id: int, segment: str | None, but: int | None
) -> LastTime | None:
    alike = CAMPAIGN.c.segment.is_not_distinct_from(segment)
    last = connection.execute(
        select(CAMPAIGN.c.id, CAMPAIGN.c.slug, CAMPAIGN.c.scheduled_at, CAMPAIGN.c.segment)
        .where(
            CAMPAIGN.c.stream_id == stream_id,
            CAMPAIGN.c.planned_at.is_not(None),
            CAMPAIGN.c.cancelled_at.is_(None),
            CAMPAIGN.c.id != (but or 0),
        )
        # Where a segment was forgotten, the last one with it says so.
        .order_by(case((alike, 0), else_=1), CAMPAIGN.c.scheduled_at.desc(), CAMPAIGN.c.id.desc())
        .limit(1)
    ).first()
    if last is None:
        return None
    count = connection.execute(
        select(func.count()).where(DELIVERY.c.campaign_id == last.id)
    ).scalar_one()
    return LastTime(last.slug, last.scheduled_at, count, last.segment, last.segment == segment)
