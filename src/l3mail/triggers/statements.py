"""Whom a trigger reaches, as SQL: one statement for each kind of fact, over all people.

Builds statements once for each shape of rule; moments and names are bound. Each asks the one
predicate of `planning`, leaves out who has the row already, and of two facts that mean one mail
takes the earlier.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
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
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from l3mail.models import (
    APPROVAL_MESSAGE,
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
from l3mail.planning import (
    FALLBACK,
    IS_MEMBER,
    LANE_OF_BULK,
    MEMBER,
    NOW,
    Candidate,
    mailable,
    member,
    nearest,
)
from l3mail.segments.questions import SIGNS_OF_LIFE
from l3mail.triggers.rules import Rule

COLUMNS = (
    "purpose",
    "kind",
    "occurrence",
    "subscriber_id",
    "stream_id",
    "generation",
    "approval_id",
    "slug",
    "message_id",
    "lane",
    "state",
    "reason",
    "due_at",
    "lapses_at",
    "planned_at",
)
"""The columns of a delivery that `mails_due` fills, in its order."""

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
_PLANNED = DELIVERY.alias("delivery_planned")
_PINNED = APPROVAL_MESSAGE.alias("message_approved")


class _Later(FunctionElement[datetime]):
    """A stored moment and so many seconds, alike on both databases to the microsecond."""

    inherit_cache = True
    type = UtcDateTime()


@compiles(_Later, "postgresql")
def _postgres_later(element: _Later, compiler: SQLCompiler, **kw: Any) -> str:
    moment, seconds = (compiler.process(part, **kw) for part in element.clauses)
    return f"({moment} + make_interval(secs => CAST({seconds} AS DOUBLE PRECISION)))"


@compiles(_Later)
def _sqlite_later(element: _Later, compiler: SQLCompiler, **kw: Any) -> str:
    moment, seconds = (compiler.process(part, **kw) for part in element.clauses)
    # Its own arithmetic knows milliseconds at most: whole seconds are moved, the rest is kept.
    whole = f"strftime('%Y-%m-%d %H:%M:%S', substr({moment}, 1, 19), {seconds} || ' seconds')"
    return f"({whole} || substr({moment}, 20))"


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
class _Facts:
    """Where a kind's facts stand: what is joined to the members, on what, and which of them.

    `at` and `id` are None where the calendar decides.
    """

    where: Sequence[Column]
    table: FromClause | None = None
    on: Column | None = None
    at: Column | None = None
    id: Column | None = None


@cache
def mails_due(shape: Shape) -> Select[Any]:
    """One row for each person and fact that is due, may be mailed and has no row yet.

    Binds `planning.bindings`, those of `cohorts`, `stream`, `slug`, `occurrence` (where the mail
    answers to a fact: its beginning) and `batch`; of everybody `above`, a person's number; where
    the moment follows from the fact `delay_seconds` and `late_seconds`, else `due_at` and
    `lapses_at`; where approved `approval`.
    """
    facts = _facts(shape)
    candidate = lifecycle_mail()
    occurrence: Column = bindparam("occurrence", type_=String)
    if shape.by_fact:
        assert facts.id is not None
        occurrence = occurrence + facts.id
    same: Column = _PLANNED.c.occurrence == occurrence
    if shape.ever:
        # Whoever had it by an earlier rule of the same text, which counted otherwise, has had it.
        same = or_(same, _PLANNED.c.slug == bindparam("slug", type_=String))
    planned = exists(select(_PLANNED.c.id).where(_PLANNED.c.subscriber_id == SUBSCRIBER.c.id, same))
    due_at: Column = bindparam("due_at", type_=UtcDateTime)
    lapses_at: Column = bindparam("lapses_at", type_=UtcDateTime)
    if shape.own_moment:
        due_at = _Later(facts.at, bindparam("delay_seconds", type_=Id))
        lapses_at = _Later(facts.at, bindparam("late_seconds", type_=Id))
    people: FromClause = MEMBER.join(SUBSCRIBER, SUBSCRIBER.c.id == MEMBER.c.subscriber_id)
    if facts.table is not None:
        people = people.join(facts.table, facts.on)
    above, order = _batches(shape, facts)
    return (
        select(
            candidate.purpose,
            candidate.kind,
            occurrence,
            candidate.subscriber_id,
            candidate.stream_id,
            candidate.generation,
            bindparam("approval", type_=Id) if shape.pinned else literal(None, Id),
            bindparam("slug", type_=String),
            _approved_message(SUBSCRIBER.c.locale) if shape.pinned else literal(None, Id),
            literal(LANE_OF_BULK),
            bindparam("state", type_=String) if shape.pinned else literal("queued"),
            bindparam("reason", type_=String) if shape.pinned else literal(None, String),
            due_at,
            lapses_at,
            NOW,
        )
        .select_from(people)
        .where(
            MEMBER.c.stream_id == bindparam("stream"),
            IS_MEMBER,
            *above,
            *facts.where,
            not_(planned),
            mailable(candidate),
        )
        .order_by(*order)
        .limit(bindparam("batch"))
    )


def _batches(shape: Shape, facts: _Facts) -> tuple[list[Column], list[Any]]:
    """After whom a batch begins, and in which order its rows come."""
    if shape.of_everybody:
        # All members are walked anyhow: each batch from where the last one ended.
        return [MEMBER.c.subscriber_id > bindparam("above", type_=Id)], [MEMBER.c.subscriber_id]
    # In no order where none is needed: SQLite would walk all members in it, whatever the index.
    return [], ([] if facts.at is None else [facts.at, facts.id])


def narrowed(statement: Select[Any], yes: Sequence[Column]) -> Select[Any]:
    """The same for those only whom every question selects."""
    return statement.where(*yes) if yes else statement


@cache
def people_due(shape: Shape) -> Select[Any]:
    """How many rows `mails_due` would make."""
    return (
        mails_due(shape)
        .with_only_columns(func.count(SUBSCRIBER.c.id.distinct()))
        .order_by(None)
        .limit(None)
    )


MARK = (
    select(DELIVERY.c.subscriber_id)
    .where(
        DELIVERY.c.state == "queued",
        DELIVERY.c.lane == LANE_OF_BULK,
        DELIVERY.c.slug == bindparam("slug"),
        DELIVERY.c.due_at == bindparam("due_at", type_=UtcDateTime),
    )
    .order_by(DELIVERY.c.id.desc())
    .limit(1)
)
"""Whom the last batch of a day's mailing ended with, as far as it has not been sent."""


@cache
def first_fact(shape: Shape) -> Select[Any]:
    """The earliest fact of which `mails_due` would make a row."""
    facts = _facts(shape)
    assert facts.at is not None
    return (
        mails_due(shape)
        .with_only_columns(func.min(facts.at, type_=UtcDateTime))
        .order_by(None)
        .limit(None)
    )


@cache
def facts_between(shape: Shape) -> Select[Any]:
    """The first and the last fact between two moments, of whomever; reads an index."""
    facts = _facts(shape)
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
def last_fact_of(shape: Shape) -> Select[Any]:
    """The last fact between two moments that is about `person`."""
    facts = _facts(shape)
    assert facts.table is not None
    return (
        select(func.max(facts.at, type_=UtcDateTime))
        .select_from(facts.table)
        .where(*facts.where, facts.table.c.subscriber_id == bindparam("person"))
    )


@cache
def birthdays_ahead() -> Select[Any]:
    """The first birthday of a member at or after `month` and `day` in the order of a year."""
    month, day = (bindparam(name, type_=Id) for name in ("month", "day"))
    is_member: Column = exists(
        select(MEMBER.c.id).where(
            MEMBER.c.subscriber_id == SUBSCRIBER.c.id,
            MEMBER.c.stream_id == bindparam("stream"),
            IS_MEMBER,
        )
    )
    born: list[Column] = [SUBSCRIBER.c.birth_month, SUBSCRIBER.c.birth_day]
    return (
        select(*born)
        .where(
            or_(
                SUBSCRIBER.c.birth_month > month,
                and_(SUBSCRIBER.c.birth_month == month, SUBSCRIBER.c.birth_day >= day),
            ),
            is_member,
        )
        .order_by(*born)
        .limit(1)
    )


def lifecycle_mail() -> Candidate:
    """A lifecycle mail to one who is confirmed in its stream, as `planning` asks of it."""
    return replace(member(), kind=literal("lifecycle"))


def _approved_message(locale: Column) -> Column:
    """The version that was shown for approval nearest to a person's locale; never NULL."""
    offered = select(_PINNED.c.message_id).where(_PINNED.c.approval_id == bindparam("approval"))
    return func.coalesce(
        nearest(offered, _PINNED.c.locale, locale),
        nearest(offered, _PINNED.c.locale, FALLBACK),
        offered.order_by(_PINNED.c.locale).limit(1).scalar_subquery(),
    )


def _facts(shape: Shape) -> _Facts:
    match shape.kind:
        case "birthday":
            return _Facts(
                (
                    SUBSCRIBER.c.birth_month == bindparam("month"),
                    SUBSCRIBER.c.birth_day == bindparam("day"),
                    _had_joined(),
                )
            )
        case "yearly":
            late = MEMBER.c.confirmed_at >= bindparam("joined_since", type_=UtcDateTime)
            return _Facts((late if shape.late else _had_joined(),))
        case "anniversary":
            return _Facts(
                (
                    MEMBER.c.confirmed_at >= bindparam("day_begins", type_=UtcDateTime),
                    MEMBER.c.confirmed_at < bindparam("day_ends", type_=UtcDateTime),
                )
            )
        case "inactive":
            return _Facts((true(),), id=cast(_last_sign(), String))
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


def _joined() -> _Facts:
    generation = literal(".") + cast(_JOINED.c.generation, String)
    return _Facts(
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


def _finished() -> _Facts:
    return _Facts(
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


def _happened(shape: Shape) -> _Facts:
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
    return _Facts(
        tuple(conditions),
        table=_EVENT,
        on=_EVENT.c.subscriber_id == MEMBER.c.subscriber_id,
        at=_EVENT.c.at,
        id=cast(_EVENT.c.id, String),
    )
