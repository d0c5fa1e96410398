"""Whom a trigger reaches, as SQL: one statement for each kind of fact, over all people.

Builds statements once for each shape of rule; moments and names are bound. Each asks the one
predicate of `planning`, leaves out who has the row already, and of two facts that mean one mail
takes the earlier.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any

from sqlalchemy import (
    FromClause,
    Select,
    String,
    and_,
    bindparam,
    exists,
    func,
    literal,
    not_,
    or_,
    select,
)

from l3mail.models import (
    APPROVAL_MESSAGE,
    SUBSCRIBER,
    Id,
    UtcDateTime,
)
from l3mail.planning import (
    FALLBACK,
    IS_MEMBER,
    LANE_OF_BULK,
    MEMBER,
    PLANNED,
    Candidate,
    Later,
    mails,
    member,
    nearest,
    planned,
)
from l3mail.triggers.facts import (
    ABOVE,
    UPTO,
    Column,
    Facts,
    Shape,
    facts_of,
    is_above,
)

# Under names of their own: what a segment asks may look into the same tables.
_PINNED = APPROVAL_MESSAGE.alias("message_approved")


@cache
def mails_due(shape: Shape) -> Select[Any]:
    """One row for each person and fact that is due, may be mailed and has no row yet.

    Binds `planning.bindings`, those of `cohorts`, `stream`, `slug`, `occurrence` (where the mail
    answers to a fact: its beginning) and `batch`; of everybody `above` and `upto`, two people's
    numbers; of facts those of two facts, the first of which happened at `above_at`; where
    the moment follows from the fact `delay_seconds` and `late_seconds`, else `due_at` and
    `lapses_at`; where approved `approval`.
    """
    facts = facts_of(shape)
    candidate = lifecycle_mail()
    occurrence: Column = bindparam("occurrence", type_=String)
    if shape.by_fact:
        assert facts.id is not None
        occurrence = occurrence + facts.id
    same: Column = PLANNED.c.occurrence == occurrence
    if shape.ever:
        # Whoever had it by an earlier rule of the same text, which counted otherwise, has had it.
        same = or_(same, PLANNED.c.slug == bindparam("slug", type_=String))
    due_at: Column = bindparam("due_at", type_=UtcDateTime)
    lapses_at: Column = bindparam("lapses_at", type_=UtcDateTime)
    if shape.own_moment:
        due_at = Later(facts.at, bindparam("delay_seconds", type_=Id))
        lapses_at = Later(facts.at, bindparam("late_seconds", type_=Id))
    people: FromClause = MEMBER.join(SUBSCRIBER, SUBSCRIBER.c.id == MEMBER.c.subscriber_id)
    if facts.table is not None:
        people = people.join(facts.table, facts.on)
    part, order = _parts(shape, facts)
    return (
        mails(
            candidate,
            occurrence=occurrence,
            slug=bindparam("slug", type_=String),
            lane=LANE_OF_BULK,
            due_at=due_at,
            lapses_at=lapses_at,
            **(_as_shown() if shape.pinned else {}),
        )
        .select_from(people)
        .where(
            MEMBER.c.stream_id == bindparam("stream"),
            IS_MEMBER,
            *part,
            *facts.where,
            not_(planned(SUBSCRIBER.c.id, same)),
        )
        .order_by(*order)
        .limit(bindparam("batch"))
    )


def _parts(shape: Shape, facts: Facts) -> tuple[list[Column], list[Any]]:
    """The part of a look that a statement is for, and in which order its rows come."""
    if shape.of_everybody:
        person = MEMBER.c.subscriber_id
        return [person > ABOVE, person <= UPTO], [person]
    if facts.at is None:
        # In no order where none is needed: SQLite would walk all members in it, whatever the index.
        return [], []
    assert facts.table is not None
    number = facts.table.c.id
    until = bindparam("until", type_=UtcDateTime)
    return [is_above(facts), not_(and_(facts.at == until, number > UPTO))], [facts.at, number]


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


@cache
def first_fact(shape: Shape) -> Select[Any]:
    """The earliest fact of which `mails_due` would make a row."""
    facts = facts_of(shape)
    assert facts.at is not None
    return (
        mails_due(shape)
        .with_only_columns(func.min(facts.at, type_=UtcDateTime))
        .order_by(None)
        .limit(None)
    )


@cache
def people_by_fact(shape: Shape) -> Select[Any]:
    """For how many people `mails_due` would make rows, by the moments of their facts."""
    facts = facts_of(shape)
    assert facts.at is not None
    columns: list[Column] = [facts.at, func.count(SUBSCRIBER.c.id.distinct())]
    return (
        mails_due(shape).with_only_columns(*columns).group_by(facts.at).order_by(None).limit(None)
    )


@cache
def joined_late() -> Column:
    """Whether anybody joined `stream` since `joined_since` who has no mail of `occurrence`."""
    occurrence = bindparam("occurrence", type_=String)
    had = planned(MEMBER.c.subscriber_id, PLANNED.c.occurrence == occurrence)
    return exists(
        select(MEMBER.c.id).where(
            MEMBER.c.stream_id == bindparam("stream"),
            IS_MEMBER,
            MEMBER.c.confirmed_at >= bindparam("joined_since", type_=UtcDateTime),
            not_(had),
        )
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


def _as_shown() -> dict[str, Column]:
    """The columns of a mail that waits for approval, or has it, in the version that was shown.

    The version nearest to a person's locale, and never NULL.
    """
    approval = bindparam("approval", type_=Id)
    offered = select(_PINNED.c.message_id).where(_PINNED.c.approval_id == approval)
    return {
        "approval_id": approval,
        "message_id": func.coalesce(
            nearest(offered, _PINNED.c.locale, SUBSCRIBER.c.locale),
            nearest(offered, _PINNED.c.locale, FALLBACK),
            offered.order_by(_PINNED.c.locale).limit(1).scalar_subquery(),
        ),
        "state": bindparam("state", type_=String),
        "reason": bindparam("reason", type_=String),
    }
