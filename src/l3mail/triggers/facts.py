"""Facts: where each kind of rule finds what it answers, as SQL, and what is asked of facts alone.

Owns which rules make a statement of their own. Whom a mail of it reaches is `statements`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    FromClause,
    Select,
    String,
    and_,
    bindparam,
    cast,
    exists,
    func,
    literal,
    not_,
    or_,
    select,
    true,
)

from l3mail.models import (
    DELIVERY,
    ENROLLMENT,
    EVENT,
    LINK,
    MESSAGE,
    SUBSCRIBER,
    SUBSCRIPTION,
    Id,
    UtcDateTime,
)
from l3mail.models.columns import ONE
from l3mail.planning import MEMBER, PLANNED, planned
from l3mail.segments.acts import SIGNS_OF_LIFE
from l3mail.triggers.rules import Rule

Column = ColumnElement[Any]

# Under names of their own: what a segment asks may look into the same tables.
_JOINED = SUBSCRIPTION.alias("subscription_joined")
_EVENT = EVENT.alias("event_of_trigger")
_DELIVERY = DELIVERY.alias("delivery_of_event")
_MESSAGE = MESSAGE.alias("message_of_event")
_LINK = LINK.alias("link_of_event")
_ENROLLMENT = ENROLLMENT.alias("enrollment_of_trigger")
_EARLIER = EVENT.alias("earlier_click")
_SIGN = EVENT.alias("sign_of_life")

ABOVE, UPTO = bindparam("above", type_=Id), bindparam("upto", type_=Id)


@dataclass(frozen=True, slots=True)
class Shape:
    """What of a rule makes a statement of its own; the rest is bound."""

    kind: str
    of_text: bool = False
    by_fact: bool = False
    own_moment: bool = False
    ever: bool = False
    pinned: bool = False
    late: bool = False

    @property
    def of_everybody(self) -> bool:
        """Whether all who are in the stream are looked at, since no fact says whom it is for."""
        return self.kind in {"yearly", "inactive"} and not self.late

    @classmethod
    def of(cls, rule: Rule, *, late: bool = False) -> "Shape":
        """The shape of a rule; `late` asks only for who joined after the occasion was planned."""
        return cls(
            kind=rule.kind,
            of_text=rule.of_text,
            by_fact=rule.once is None and not rule.is_yearly,
            own_moment=rule.at is None,
            ever=rule.once == "ever",
            pinned=rule.needs_approval,
            late=late,
        )


@dataclass(frozen=True, slots=True)
class Facts:
    """Where a kind's facts stand: what is joined to the members, on what, and which of them.

    `at` and `id` are None where the calendar decides.
    """

    where: Sequence[Column]
    table: FromClause | None = None
    on: Column | None = None
    at: Column | None = None
    id: Column | None = None


def facts_of(shape: Shape) -> Facts:
    """Where the facts of a shape stand."""
    match shape.kind:
        case "birthday":
            return Facts(
                (
                    SUBSCRIBER.c.birth_month == bindparam("month"),
                    SUBSCRIBER.c.birth_day == bindparam("day"),
                    _had_joined(),
                )
            )
        case "yearly":
            late = MEMBER.c.confirmed_at >= bindparam("joined_since", type_=UtcDateTime)
            return Facts((late if shape.late else _had_joined(),))
        case "anniversary":
            return Facts(
                (
                    MEMBER.c.confirmed_at >= bindparam("day_begins", type_=UtcDateTime),
                    MEMBER.c.confirmed_at < bindparam("day_ends", type_=UtcDateTime),
                )
            )
        case "inactive":
            return Facts((true(),), id=cast(_last_sign(), String))
        case "joined":
            return _joined()
        case "finished":
            return _finished()
    return _happened(shape)


def _had_joined() -> Column:
    until = bindparam("joined_until", type_=UtcDateTime)
    return or_(MEMBER.c.confirmed_at.is_(None), MEMBER.c.confirmed_at <= until)


def _last_sign() -> Column:
    """The number of somebody's last sign of life: what tells one silence from the next."""
    return func.coalesce(
        select(func.max(_SIGN.c.id))
        .where(
            _SIGN.c.subscriber_id == SUBSCRIBER.c.id,
            _SIGN.c.kind.in_(("opened", "clicked", *SIGNS_OF_LIFE)),
            or_(_SIGN.c.verdict == "human", _SIGN.c.kind.in_(SIGNS_OF_LIFE)),
        )
        .correlate(SUBSCRIBER)
        .scalar_subquery(),
        0,
    )


def _between(moment: Column) -> tuple[Column, Column]:
    return (
        moment > bindparam("after", type_=UtcDateTime),
        moment <= bindparam("until", type_=UtcDateTime),
    )


def _joined() -> Facts:
    generation = literal(".") + cast(_JOINED.c.generation, String)
    return Facts(
        (
            _JOINED.c.stream_id == bindparam("fact_of"),
            _JOINED.c.state == "confirmed",
            *_between(_JOINED.c.confirmed_at),
        ),
        table=_JOINED,
        on=_JOINED.c.subscriber_id == MEMBER.c.subscriber_id,
        at=_JOINED.c.confirmed_at,
        id=cast(_JOINED.c.id, String) + generation,
    )


def _finished() -> Facts:
    return Facts(
        (
            _ENROLLMENT.c.course_id == bindparam("fact_of"),
            _ENROLLMENT.c.state == "finished",
            *_between(_ENROLLMENT.c.ended_at),
        ),
        table=_ENROLLMENT,
        on=_ENROLLMENT.c.subscriber_id == MEMBER.c.subscriber_id,
        at=_ENROLLMENT.c.ended_at,
        id=cast(_ENROLLMENT.c.id, String),
    )


def _clicked_before(shape: Shape) -> Column:
    """Whether a click only repeats one in the same mail: on its link, or on any where all count."""
    same = [] if shape.of_text else [_EARLIER.c.link_id == _EVENT.c.link_id]
    return exists(
        select(_EARLIER.c.id)
        .where(
            _EARLIER.c.delivery_id == _EVENT.c.delivery_id,
            _EARLIER.c.kind == "clicked",
            _EARLIER.c.verdict == "human",
            or_(
                _EARLIER.c.at < _EVENT.c.at,
                and_(_EARLIER.c.at == _EVENT.c.at, _EARLIER.c.id < _EVENT.c.id),
            ),
            *same,
        )
        .correlate(_EVENT)
    )


def _happened(shape: Shape) -> Facts:
    """Events: clicks that seem to be a human's, interests and answers, which need no judging."""
    named = bindparam("fact_of", type_=String)
    conditions: list[Column] = [_EVENT.c.kind == shape.kind, *_between(_EVENT.c.at)]
    if shape.kind == "clicked":
        conditions += [_EVENT.c.verdict == "human", not_(_clicked_before(shape))]
    if shape.of_text:
        slug = func.coalesce(
            select(_DELIVERY.c.slug)
            .where(_DELIVERY.c.id == _EVENT.c.delivery_id)
            .correlate(_EVENT)
            .scalar_subquery(),
            select(_MESSAGE.c.slug)
            .where(_MESSAGE.c.id == _EVENT.c.message_id)
            .correlate(_EVENT)
            .scalar_subquery(),
        )
        conditions.append(slug == named)
    elif shape.kind == "clicked":
        conditions.append(_EVENT.c.link_id.in_(select(_LINK.c.id).where(_LINK.c.name == named)))
    else:
        conditions.append(_EVENT.c.name == named)
    return Facts(
        tuple(conditions),
        table=_EVENT,
        on=_EVENT.c.subscriber_id == MEMBER.c.subscriber_id,
        at=_EVENT.c.at,
        id=cast(_EVENT.c.id, String),
    )


def is_above(facts: Facts) -> Column:
    """Whether a fact comes after the one that was looked at last, in the order of their moments."""
    assert facts.at is not None
    assert facts.table is not None
    last = bindparam("above_at", type_=UtcDateTime)
    return not_(and_(facts.at == last, facts.table.c.id <= ABOVE))


@cache
def next_facts(shape: Shape) -> Select[Any]:
    """The facts between two moments after the one looked at last, `batch` at most, in order."""
    facts = facts_of(shape)
    assert facts.at is not None
    assert facts.table is not None
    number = facts.table.c.id
    return (
        select(facts.at.label("at"), number.label("id"))
        .select_from(facts.table)
        .where(*facts.where, is_above(facts))
        .order_by(facts.at, number)
        .limit(bindparam("batch", type_=Id))
    )


@cache
def facts_between(shape: Shape) -> Select[Any]:
    """The first and the last fact between two moments, of whomever; reads an index."""
    facts = facts_of(shape)
    assert facts.table is not None
    # Each for itself: of both in one SELECT, SQLite reads every fact in between.
    bounds: list[Column] = [
        select(end(facts.at, type_=UtcDateTime))
        .select_from(facts.table)
        .where(*facts.where)
        .scalar_subquery()
        .label(name)
        for name, end in (("first", func.min), ("last", func.max))
    ]
    return select(*bounds)


@cache
def happened(shape: Shape) -> Column:
    """Whether there is any fact between two moments, of whomever, as one value.

    Where each has a mail of its own, one that has no row yet; binds `occurrence` then.
    """
    facts = facts_of(shape)
    assert facts.at is not None
    assert facts.table is not None
    first = select(facts.table.c.id).select_from(facts.table).where(*facts.where)
    if shape.by_fact:
        occurrence = bindparam("occurrence", type_=String) + facts.id
        answered = planned(facts.table.c.subscriber_id, PLANNED.c.occurrence == occurrence)
        first = first.where(not_(answered))
    # The first one, and not whether there is any: so it is sure to be looked for by its moment.
    return first.order_by(facts.at).limit(ONE).scalar_subquery().is_not(None)


@cache
def last_fact_of(shape: Shape) -> Select[Any]:
    """The last fact between two moments that is about `person`."""
    facts = facts_of(shape)
    assert facts.table is not None
    return (
        select(func.max(facts.at, type_=UtcDateTime))
        .select_from(facts.table)
        .where(*facts.where, facts.table.c.subscriber_id == bindparam("person"))
    )
