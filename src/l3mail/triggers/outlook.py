"""What triggers will do: when something is due next, for how many, and for one person or why not.

Reads by the statements that planning uses, and changes nothing.
"""

from calendar import isleap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, and_, exists, func, not_, select

from l3mail.calendars import birthdays_on, celebrated_on, wall_to_utc
from l3mail.errors import L3mailError
from l3mail.models import APPROVAL, DELIVERY, SUBSCRIBER, SUBSCRIPTION, UtcDateTime
from l3mail.planning import IS_MEMBER, MEMBER, bindings, mailable
from l3mail.triggers import approvals, cohorts, declaring, plans, rules
from l3mail.triggers.approvals import Pending
from l3mail.triggers.cohorts import Terms
from l3mail.triggers.declaring import Trigger
from l3mail.triggers.facts import Shape, facts_between, last_fact_of
from l3mail.triggers.rules import Occasion, Rule
from l3mail.triggers.statements import (
    birthdays_ahead,
    first_fact,
    lifecycle_mail,
    narrowed,
    people_by_fact,
)


def next_moment(connection: Connection, terms: Terms) -> datetime | None:
    """The first moment after now at which planning has something to do, or a batch is shown.

    A moment may come to nothing, where a segment or a silence decides.
    """
    found = [
        connection.execute(
            select(func.min(APPROVAL.c.lapses_at, type_=UtcDateTime)).where(
                APPROVAL.c.decision.is_(None), APPROVAL.c.lapses_at > terms.now
            )
        ).scalar()
    ]
    for trigger in declaring.active(connection):
        try:
            due_at = next_due(connection, trigger, terms)
            if due_at is not None and trigger.rule.needs_approval:
                day = due_at.astimezone(terms.zone).date()
                shown = rules.occasion_on(trigger.rule, day, terms.zone).shown_at(terms.zone)
                found.append(shown if shown > terms.now else None)
            found.append(due_at)
        except L3mailError:
            continue  # `unasked` tells of it
    return min((moment for moment in found if moment is not None), default=None)


def next_due(connection: Connection, trigger: Trigger, terms: Terms) -> datetime | None:
    """When a trigger's next mail will be due, if it is known that there is one."""
    rule = trigger.rule
    if not rule.is_daily:
        return _next_answer(connection, trigger, rule, terms)
    if cohorts.first_joined(connection, trigger) is None:
        return None
    coming = rules.next_occasion(rule, terms.now, terms.zone)
    if rule.kind == "birthday":
        return _next_birthday(connection, trigger, rule, coming, terms)
    if rule.kind == "anniversary":
        return _next_anniversary(connection, trigger, rule, coming, terms.zone)
    return coming.due_at


def _next_answer(
    connection: Connection, trigger: Trigger, rule: Rule, terms: Terms
) -> datetime | None:
    of = cohorts.subject(connection, trigger, rule)
    if of is None:
        return None
    moments = []
    for cohort in cohorts.following(trigger, rule, of, terms):
        values = cohorts.common(trigger, terms) | dict(cohort.values)
        asked = cohorts.questions(connection, rule, cohort, terms)
        query = narrowed(first_fact(Shape.of(rule)), asked)
        moments.append(connection.execute(query, values).scalar())
    return min((rules.due_after(rule, at, terms.zone) for at in moments if at), default=None)


def _next_birthday(
    connection: Connection, trigger: Trigger, rule: Rule, coming: Occasion, terms: Terms
) -> datetime | None:
    """The next local day, within a year, that is a member's birthday."""
    assert rule.at is not None
    kept = min(birthdays_on(coming.on))
    for year, (month, day) in ((coming.on.year, kept), (coming.on.year + 1, (1, 1))):
        values = {"month": month, "day": day, "stream": trigger.stream_id}
        born = connection.execute(birthdays_ahead(), values).first()
        if born is not None:
            on = celebrated_on(born.birth_month, born.birth_day, year)
            return wall_to_utc(max(on, coming.on), rule.at, terms.zone)
    return None


def _next_anniversary(
    connection: Connection, trigger: Trigger, rule: Rule, coming: Occasion, zone: ZoneInfo
) -> datetime | None:
    """The next local day on which somebody joined in an earlier year: a look for each year."""
    assert rule.at is not None
    first = cohorts.first_joined(connection, trigger)
    assert first is not None
    moments = []
    for years in range(1, coming.on.year - first.astimezone(zone).year + 2):
        earliest = min(
            date(coming.on.year - years, month, day)
            for month, day in birthdays_on(coming.on)
            if (month, day) != (2, 29) or isleap(coming.on.year - years)
        )
        joined = connection.execute(
            select(func.min(SUBSCRIPTION.c.confirmed_at, type_=UtcDateTime)).where(
                SUBSCRIPTION.c.stream_id == trigger.stream_id,
                SUBSCRIPTION.c.state == "confirmed",
                SUBSCRIPTION.c.confirmed_at >= wall_to_utc(earliest, time(), zone),
            )
        ).scalar()
        if joined is not None:
            day = joined.astimezone(zone).date()
            on = celebrated_on(day.month, day.day, day.year + years)
            moments.append(wall_to_utc(max(on, coming.on), rule.at, zone))
    return min(moments, default=None)


@dataclass(frozen=True, slots=True)
class Expected:
    """What a trigger has due at one moment, for how many."""

    due_at: datetime
    slug: str
    people: int


def upcoming(connection: Connection, terms: Terms) -> list[Expected]:
    """Of each trigger what is due and not planned, and what is due next, each with its people."""
    found: list[Expected] = []
    for trigger in declaring.active(connection):
        try:
            found += _expected(connection, trigger, terms)
        except L3mailError:
            continue  # `unasked` tells of it
    return sorted(found, key=lambda one: (one.due_at, one.slug))


def foreseen(connection: Connection, terms: Terms, until: datetime) -> list[Expected]:
    """All that triggers have due before `until`, as things are now, each with its people.

    A statement for each day of a mailing that has its hour, and one for all the facts that have
    moments of their own: as many however many facts there are.
    """
    found: list[Expected] = []
    for trigger in declaring.active(connection):
        try:
            found += _overdue(connection, trigger, terms)
            if trigger.rule.at is None:
                found += _at_their_moments(connection, trigger, terms, until)
            else:
                found += _at_its_hour(connection, trigger, terms, until)
        except L3mailError:
            continue  # `unasked` tells of it
    return sorted(found, key=lambda one: (one.due_at, one.slug))


def _at_their_moments(
    connection: Connection, trigger: Trigger, terms: Terms, until: datetime
) -> Iterator[Expected]:
    """What answers to facts after now, each at the moment that follows from it."""
    rule = trigger.rule
    of = cohorts.subject(connection, trigger, rule)
    if of is None:
        return
    after = terms.now
    # What a segment asks may have another answer on another day: it is asked at the end of each.
    for upto in _midnights(terms, until) if rule.segment else [until - timedelta.resolution]:
        between = (after - rule.delay, upto - rule.delay)
        for cohort in cohorts.spans(trigger, rule, of, between, terms.zone):
            values = cohorts.common(trigger, terms, upto) | dict(cohort.values)
            asked = cohorts.questions(connection, rule, cohort, terms, upto)
            query = narrowed(people_by_fact(cohort.shape), asked)
            for at, people in connection.execute(query, values):
                yield Expected(at + rule.delay, trigger.slug, people)
        after = upto


def _midnights(terms: Terms, until: datetime) -> Iterator[datetime]:
    """The last moment of each local day from now on, and the last one before `until`."""
    day = terms.today
    while True:
        day += timedelta(days=1)
        midnight = wall_to_utc(day, time(), terms.zone)
        yield min(midnight, until) - timedelta.resolution
        if midnight >= until:
            return


def _at_its_hour(
    connection: Connection, trigger: Trigger, terms: Terms, until: datetime
) -> Iterator[Expected]:
    """A mailing's days to come, those only that somebody has."""
    coming = rules.next_occasion(trigger.rule, terms.now, terms.zone)
    while coming.due_at < until:
        if people := expected_at(connection, trigger, coming.due_at, terms):
            yield Expected(coming.due_at, trigger.slug, people)
        coming = rules.next_occasion(trigger.rule, coming.due_at, terms.zone)


def _expected(connection: Connection, trigger: Trigger, terms: Terms) -> Iterator[Expected]:
    yield from _overdue(connection, trigger, terms)
    coming = next_due(connection, trigger, terms)
    if coming is not None and (people := expected_at(connection, trigger, coming, terms)):
        yield Expected(coming, trigger.slug, people)


def _overdue(connection: Connection, trigger: Trigger, terms: Terms) -> Iterator[Expected]:
    """What is due and not planned; of facts with moments of their own all of it is due now."""
    rule = trigger.rule
    overdue: dict[datetime, int] = {}
    for cohort in cohorts.due(connection, trigger, rule, terms):
        due_at = cohort.occasion.due_at if cohort.occasion else terms.now
        if not _is_refused(connection, trigger, rule, cohort.occasion):
            count = plans.people(connection, trigger, cohort, terms)
            overdue[due_at] = overdue.get(due_at, 0) + count
    yield from (Expected(at, trigger.slug, people) for at, people in overdue.items() if people)


def _is_refused(
    connection: Connection, trigger: Trigger, rule: Rule, occasion: Occasion | None
) -> bool:
    if occasion is None or not rule.needs_approval:
        return False
    batch = approvals.known(connection, trigger, occasion.name(rule.kind))
    return batch is not None and approvals.state_of(batch) is None


def expected_at(connection: Connection, trigger: Trigger, due_at: datetime, terms: Terms) -> int:
    """For how many people a trigger's mail will be due at a moment, as things are now."""
    rule = trigger.rule
    if rule.at is None:
        of = cohorts.subject(connection, trigger, rule)
        fact = due_at - rule.delay
        after = fact - timedelta.resolution
        found = list(cohorts.spans(trigger, rule, of, (after, fact), terms.zone))
    else:
        day = due_at.astimezone(terms.zone).date()
        coming = rules.occasion_on(rule, day, terms.zone)
        found = cohorts.coming(connection, trigger, rule, coming, terms)
    return sum(plans.people(connection, trigger, cohort, terms, due_at) for cohort in found)


def waiting_for(connection: Connection, batch: Pending, terms: Terms) -> int:
    """How many people a batch is for: those whose mails are held, or will be when it is due."""
    if batch.due_at <= terms.now:
        return batch.held
    try:
        return expected_at(connection, declaring.find(connection, batch.slug), batch.due_at, terms)
    except L3mailError:
        return 0  # `unasked` tells of it


def unasked(connection: Connection, terms: Terms) -> list[tuple[str, str]]:
    """The triggers whose rule or segment can't be understood any more, each with the reason."""
    found = []
    for trigger in declaring.active(connection):
        try:
            segment = trigger.rule.segment
            if segment is not None:
                terms.question(connection, segment, terms.now)
        except L3mailError as fault:
            found.append((trigger.slug, str(fault)))
    return found


def last_due(connection: Connection) -> dict[str, datetime]:
    """When a mail of each slug last was handed over."""
    rows = connection.execute(
        select(DELIVERY.c.slug, func.max(DELIVERY.c.started_at, type_=UtcDateTime).label("at"))
        .where(DELIVERY.c.kind == "lifecycle", DELIVERY.c.state == "accepted")
        .group_by(DELIVERY.c.slug)
    )
    return {row.slug: row.at for row in rows if row.at is not None}


def audience(connection: Connection, trigger: Trigger, terms: Terms) -> int:
    """How many of a trigger's stream may be mailed now and are in its segment."""
    segment = trigger.rule.segment
    asked = [terms.question(connection, segment, terms.now).yes] if segment else []
    query = (
        select(func.count())
        .select_from(MEMBER.join(SUBSCRIBER, SUBSCRIBER.c.id == MEMBER.c.subscriber_id))
        .where(
            MEMBER.c.stream_id == trigger.stream_id, IS_MEMBER, mailable(lifecycle_mail()), *asked
        )
    )
    values = bindings(terms.now, (), terms.fallback_locale)
    return int(connection.execute(query, values).scalar_one())


def skipped(connection: Connection, trigger: Trigger, terms: Terms) -> int:
    """How many people had a fact that is not answered any more: too old, or before its time.

    Those only whom a mail of this trigger would reach now.
    """
    rule = trigger.rule
    of = cohorts.subject(connection, trigger, rule)
    if rule.is_daily or of is None:
        return 0
    oldest = max(trigger.active_since, terms.now - rule.valid_for)
    until = rules.latest_fact(rule, oldest, terms.zone) - timedelta.resolution
    if rule.at is not None:
        waiting = rules.occasions(rule, terms.now, terms.zone, trigger.active_since)
        coming = waiting[0] if waiting else rules.next_occasion(rule, terms.now, terms.zone)
        until, _ = rules.facts_of(rule, coming, terms.zone)
    first = connection.execute(
        facts_between(Shape.of(rule)), {"fact_of": of, "after": _LONG_AGO, "until": until}
    ).one()
    if first.first is None:
        return 0
    begin = first.first - timedelta.resolution
    return sum(
        plans.people(connection, trigger, cohort, terms)
        for cohort in cohorts.spans(trigger, rule, of, (begin, until), terms.zone)
    )


_LONG_AGO = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


def for_person(connection: Connection, person: int, terms: Terms) -> list[dict[str, Any]]:
    """What each trigger will do for one person as things are now, or why it does nothing."""
    return [
        {"message": trigger.slug, **_told(connection, trigger, person, terms)}
        for trigger in declaring.listing(connection)
    ]


def _told(connection: Connection, trigger: Trigger, person: int, terms: Terms) -> dict[str, Any]:
    def nothing(why: str) -> dict[str, Any]:
        return {"due_at": None, "why": why}

    row = connection.execute(
        select(
            SUBSCRIBER.c.birth_month,
            SUBSCRIBER.c.birth_day,
            SUBSCRIPTION.c.state,
            SUBSCRIPTION.c.confirmed_at,
        )
        .outerjoin(
            SUBSCRIPTION,
            and_(
                SUBSCRIPTION.c.subscriber_id == SUBSCRIBER.c.id,
                SUBSCRIPTION.c.stream_id == trigger.stream_id,
            ),
        )
        .where(SUBSCRIBER.c.id == person)
    ).one()
    if trigger.retired_at is not None:
        return nothing("the trigger is paused")
    if row.state != "confirmed":
        return nothing(f"{trigger.stream} is {row.state or 'not joined'}")
    rule = trigger.rule
    if rule.kind == "birthday" and row.birth_month is None:
        return nothing("the birthday is unknown")
    if rule.segment is not None:
        try:
            question = terms.question(connection, rule.segment, terms.now)
        except L3mailError as fault:
            return nothing(f"its segment can't be asked: {fault}")
        yes = exists(select(SUBSCRIBER.c.id).where(SUBSCRIBER.c.id == person, question.yes))
        if connection.execute(select(not_(yes))).scalar():
            return nothing(f"its segment {rule.segment} doesn't select them now")
    if rule.is_daily:
        return _of_calendar(rule, row, terms)
    return _of_facts(connection, trigger, rule, person, terms)


def _of_calendar(rule: Rule, row: Any, terms: Terms) -> dict[str, Any]:
    coming = rules.next_occasion(rule, terms.now, terms.zone)
    if rule.kind == "inactive":
        return {"due_at": None, "why": f"when they were not seen for {rules.span(rule.after)}"}
    day = rule.on
    years = 0
    if rule.kind == "birthday":
        day = (row.birth_month, row.birth_day)
    elif rule.kind == "anniversary":
        if row.confirmed_at is None:
            return {"due_at": None, "why": "it is not known when they joined"}
        joined = row.confirmed_at.astimezone(terms.zone).date()
        day, years = (joined.month, joined.day), joined.year + 1
    assert day is not None
    assert rule.at is not None
    first = max(coming.on.year, years)
    moments: Sequence[datetime] = [
        wall_to_utc(celebrated_on(*day, year), rule.at, terms.zone)
        for year in range(first, first + 2)
    ]
    told = "after approval" if rule.needs_approval else ""
    return {"due_at": next(at for at in moments if at > terms.now), "why": told}


def _of_facts(
    connection: Connection, trigger: Trigger, rule: Rule, person: int, terms: Terms
) -> dict[str, Any]:
    of = cohorts.subject(connection, trigger, rule)
    if of is None:
        return {"due_at": None, "why": f"there is no {rule.of}"}
    values = {"fact_of": of, "after": _LONG_AGO, "until": terms.now, "person": person}
    last = connection.execute(last_fact_of(Shape.of(rule)), values).scalar()
    if last is None:
        return {"due_at": None, "why": "it has not happened"}
    had = connection.execute(
        select(DELIVERY.c.id)
        .where(DELIVERY.c.subscriber_id == person, DELIVERY.c.slug == trigger.slug)
        .limit(1)
    ).first()
    due_at = rules.due_after(rule, last, terms.zone)
    if due_at > terms.now and not (had and rule.once == "ever"):
        return {"due_at": due_at, "why": "after approval" if rule.needs_approval else ""}
    if had is not None:
        return {"due_at": None, "why": "it was answered; see the mails"}
    if due_at < trigger.active_since:
        return {"due_at": None, "why": "it happened before this rule was in force"}
    if due_at + rule.valid_for <= terms.now:
        return {"due_at": None, "why": "it is too long ago"}
    return {"due_at": due_at, "why": "is planned with the next tick"}
