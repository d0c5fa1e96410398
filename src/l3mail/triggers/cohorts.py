"""Cohorts: a trigger's people at a moment, as the values that its statement binds.

The calendar is asked once for each, the database for all its people. Reads, and changes nothing.
"""

from calendar import isleap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, Connection, func, select

from l3mail import streams
from l3mail.audiences import Questions
from l3mail.calendars import birthdays_on, wall_to_utc
from l3mail.models import COURSE, SUBSCRIPTION
from l3mail.planning import LAST, bindings
from l3mail.triggers import approvals, rules
from l3mail.triggers.declaring import Trigger
from l3mail.triggers.facts import Shape, facts_between
from l3mail.triggers.rules import Occasion, Rule

_DAY = timedelta(days=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FAR = timedelta(days=366)
LATE = timedelta(minutes=30)
"""So much later than it happened a fact may come to be known, and is still found at the next tick.
"""
NOTED_EVERY = timedelta(minutes=5)
WHOLE: Mapping[str, Any] = {"above": 0, "upto": LAST, "above_at": _EPOCH}
"""What a statement binds that is not for a part of a look."""
_LOOKS = 96
_SOONEST, _LATEST = timedelta(minutes=5), timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Terms:
    """What a trigger's people depend on beside its rule and the database."""

    now: datetime
    zone: ZoneInfo
    question: Questions
    fallback_locale: str

    @property
    def today(self) -> date:
        """The local day."""
        return self.now.astimezone(self.zone).date()


@dataclass(frozen=True, slots=True)
class Cohort:
    """People whose mail is due at one moment, or at moments that follow from a fact in a span.

    `occasion` is None for the latter.
    """

    shape: Shape
    values: Mapping[str, Any]
    occasion: Occasion | None = None


def subject(connection: Connection, trigger: Trigger, rule: Rule) -> object:
    """What a fact must be about, as its statement names it; None where there is no such thing."""
    match rule.kind:
        case "joined":
            return streams.find(connection, rule.of) if rule.of else trigger.stream_id
        case "finished":
            return connection.execute(select(COURSE.c.id).where(COURSE.c.slug == rule.of)).scalar()
    return rule.of


def common(trigger: Trigger, terms: Terms, at: datetime | None = None) -> dict[str, Any]:
    """What every statement of a trigger binds."""
    return bindings(at or terms.now, (), terms.fallback_locale) | {
        "stream": trigger.stream_id,
        "slug": trigger.slug,
        "approval": None,
        "state": "queued",
        "reason": None,
        **WHOLE,
        "batch": 1,
    }


def looked_until(trigger: Trigger, rule: Rule, now: datetime) -> datetime | None:
    """Up to which moment nobody is left whose mail was due; None where all is to be looked at.

    What a mailing answers is looked at while it is fresh, and all that is still valid a hundred
    times before it is not, at least once a day: facts written late, and people who may be mailed
    since, or are in a segment since, are found then. A clock that ran ahead has looked at nothing.
    """
    until = trigger.planned_until
    every = min(max(rule.valid_for / _LOOKS, _SOONEST), _LATEST)
    is_fresh = (
        until is not None and until <= now and (until - _EPOCH) // every == (now - _EPOCH) // every
    )
    return until if is_fresh else None


def is_to_note(trigger: Trigger, rule: Rule, now: datetime) -> bool:
    """Whether how far was looked is worth writing down: not at every tick of a quiet day."""
    until = looked_until(trigger, rule, now)
    return until is None or now - until >= NOTED_EVERY


def due(connection: Connection, trigger: Trigger, rule: Rule, terms: Terms) -> list[Cohort]:
    """Every cohort with somebody left to plan, the longest due first; an empty one may be among."""
    if rule.is_daily:
        found = []
        for day in open_days(trigger, rule, terms):
            if day.is_late:
                found.append(late(trigger, rule, day.occasion))
            else:
                found += on_day(connection, trigger, rule, day.occasion, terms)
        return found
    of = subject(connection, trigger, rule)
    span = open_facts(trigger, rule, terms)
    if of is None or span is None:
        return []
    happened = _bounds(connection, rule, of, span.after, span.until)
    if rule.at is None:
        between = (span.after, span.until)
        return list(spans(trigger, rule, of, between, terms.zone)) if happened else []
    cohorts = [answering(trigger, rule, of, occasion, terms.zone) for occasion in span.occasions]
    return [
        one
        for one in cohorts
        if happened and one.values["after"] < happened[1] and one.values["until"] >= happened[0]
    ]


@dataclass(frozen=True, slots=True)
class OpenDay:
    """A day with somebody left to plan, as far as is known; `is_late`: only who joined on it."""

    occasion: Occasion
    is_late: bool


def open_days(trigger: Trigger, rule: Rule, terms: Terms) -> list[OpenDay]:
    """The days of a calendar's mailing that are due and not known to be planned to the end."""
    looked = looked_until(trigger, rule, terms.now)
    # What a clock that ran ahead put into the future says nothing of the days until then.
    is_past = trigger.planned_until is not None and trigger.planned_until <= terms.now
    planned_until = trigger.planned_until if is_past else None
    found = []
    for occasion in rules.occasions(rule, terms.now, terms.zone, trigger.active_since):
        until = looked if rule.kind == "birthday" else planned_until
        if until is None or occasion.due_at > until:
            found.append(OpenDay(occasion, is_late=False))
        elif rule.kind == "yearly" and occasion.on == terms.today:
            found.append(OpenDay(occasion, is_late=True))
    return found


@dataclass(frozen=True, slots=True)
class OpenFacts:
    """A span with facts that may be unanswered, and the occasions that answer them, if any do."""

    after: datetime
    until: datetime
    occasions: Sequence[Occasion] = ()


def open_facts(trigger: Trigger, rule: Rule, terms: Terms) -> OpenFacts | None:
    """Of which moments facts are due and not known to be answered all; None if of none."""
    looked = looked_until(trigger, rule, terms.now)
    oldest = terms.now - rule.valid_for + timedelta.resolution
    if looked is not None:
        oldest = max(oldest, looked - LATE)
    if rule.at is None:
        first = max(trigger.active_since, oldest) - rule.delay
        return OpenFacts(first - timedelta.resolution, terms.now - rule.delay)
    due = rules.occasions(rule, terms.now, terms.zone, trigger.active_since)
    waiting = [one for one in due if one.due_at >= oldest]
    if not waiting:
        return None
    after, _ = rules.facts_of(rule, waiting[0], terms.zone)
    _, until = rules.facts_of(rule, waiting[-1], terms.zone)
    return OpenFacts(after, until, waiting)


def to_note(trigger: Trigger, rule: Rule, terms: Terms) -> datetime | None:
    """Up to when is planned once all that is due now is, if that is news worth writing down."""
    if not rule.is_daily or rule.kind == "birthday":
        return terms.now if is_to_note(trigger, rule, terms.now) else None
    days = rules.occasions(rule, terms.now, terms.zone, trigger.active_since)
    until = days[-1].due_at if days else None
    return None if until == trigger.planned_until else until


def to_show(connection: Connection, trigger: Trigger, rule: Rule, terms: Terms) -> Occasion | None:
    """The next occasion, if it wants approval, it is time to ask for it, and nobody has yet."""
    if not rule.needs_approval:
        return None
    coming = rules.next_occasion(rule, terms.now, terms.zone)
    shown_at = coming.shown_at(terms.zone)
    if shown_at > terms.now or coming.due_at < trigger.active_since:
        return None
    # Everybody was looked at, and it is for nobody.
    is_for_nobody = trigger.looking_for == shown_at and trigger.looked_to == LAST
    if is_for_nobody or approvals.known(connection, trigger, coming.name(rule.kind)) is not None:
        return None
    return coming


def _bounds(
    connection: Connection, rule: Rule, of: object, after: datetime, until: datetime
) -> tuple[datetime, datetime] | None:
    """The first and the last fact between two moments, of whomever."""
    values = {"fact_of": of, "after": after, "until": until}
    row = connection.execute(facts_between(Shape.of(rule)), values).one()
    return None if row.first is None else (row.first, row.last)


def on_day(
    connection: Connection, trigger: Trigger, rule: Rule, occasion: Occasion, terms: Terms
) -> list[Cohort]:
    """The cohorts of one day of a calendar's mailing.

    Who joined after a day's moment is greeted on that day, and not when it is past.
    """
    values = _moment(occasion) | {"occurrence": _occurrence(trigger, rule, occasion.on.year)}
    is_past = occasion.on < terms.today
    values["joined_until"] = occasion.due_at if is_past else max(terms.now, occasion.due_at)
    shape = Shape.of(rule)
    match rule.kind:
        case "birthday":
            return [
                Cohort(shape, values | {"month": month, "day": day}, occasion)
                for month, day in birthdays_on(occasion.on)
            ]
        case "anniversary":
            first = first_joined(connection, trigger)
            return [
                Cohort(shape, values | _day_of(day, terms.zone), occasion)
                for day in _anniversaries(occasion.on, first, terms.zone)
            ]
    return [Cohort(shape, values, occasion)]


def coming(
    connection: Connection, trigger: Trigger, rule: Rule, occasion: Occasion, terms: Terms
) -> list[Cohort]:
    """The people of an occasion to come, as far as they are known now."""
    if rule.is_daily:
        return on_day(connection, trigger, rule, occasion, terms)
    of = subject(connection, trigger, rule)
    return [] if of is None else [answering(trigger, rule, of, occasion, terms.zone)]


def late(trigger: Trigger, rule: Rule, occasion: Occasion) -> Cohort:
    """Who joined after the moment of a day that is planned: they are greeted on that day, too."""
    values = _moment(occasion) | {"occurrence": _occurrence(trigger, rule, occasion.on.year)}
    # Not since it was planned: on the virtual clock that is another moment.
    values["joined_since"] = occasion.due_at
    return Cohort(Shape.of(rule, late=True), values, occasion)


def answering(
    trigger: Trigger, rule: Rule, of: object, occasion: Occasion, zone: ZoneInfo
) -> Cohort:
    """The cohort of the facts that one day's slot answers."""
    after, until = rules.facts_of(rule, occasion, zone)
    values = _moment(occasion) | {"fact_of": of, "after": after, "until": until}
    values["occurrence"] = _occurrence(trigger, rule, occasion.on.year)
    return Cohort(Shape.of(rule), values, occasion)


def spans(
    trigger: Trigger, rule: Rule, of: object, between: tuple[datetime, datetime], zone: ZoneInfo
) -> Iterator[Cohort]:
    """The facts after and up to two moments, each with a moment of its own.

    Cut where a local year of these begins, if there is one mail a year.
    """
    seconds = {
        "delay_seconds": int(rule.delay.total_seconds()),
        "late_seconds": int((rule.delay + rule.valid_for).total_seconds()),
    }
    after, until = between
    first = rules.due_after(rule, after + timedelta.resolution, zone)
    year = first.astimezone(zone).year
    while after < until:
        stop = min(until, _year_ends(rule, year, zone)) if rule.once == "yearly" else until
        values = {"fact_of": of, "after": after, "until": stop, **seconds}
        yield Cohort(Shape.of(rule), values | {"occurrence": _occurrence(trigger, rule, year)})
        after, year = stop, year + 1


def _year_ends(rule: Rule, year: int, zone: ZoneInfo) -> datetime:
    """The last moment at which a fact could happen that is answered in a local year."""
    new_year = date(year + 1, 1, 1)
    if rule.at is None:
        return wall_to_utc(new_year, time(), zone) - timedelta.resolution - rule.delay
    return rules.facts_of(rule, rules.occasion_on(rule, new_year, zone), zone)[0]


def following(trigger: Trigger, rule: Rule, of: object, terms: Terms) -> Iterator[Cohort]:
    """The facts whose mails are due after now, as `spans`."""
    if rule.at is None:
        after = terms.now - rule.delay
    else:
        coming = rules.next_occasion(rule, terms.now, terms.zone)
        after, _ = rules.facts_of(rule, coming, terms.zone)
    # Nothing has happened that is not due by then.
    yield from spans(trigger, rule, of, (after, terms.now + rule.delay + _FAR), terms.zone)


def questions(
    connection: Connection, rule: Rule, cohort: Cohort, terms: Terms, at: datetime | None = None
) -> list[ColumnElement[Any]]:
    """What is asked of everybody in a cohort; raises an L3mailError where it can't be asked.

    Somebody is inactive since a whole number of local days: on the day that number is reached,
    or as many days later as the mailing is late.
    """
    asked = [rule.segment] if rule.segment else []
    moment = at or terms.now
    if rule.kind == "inactive":
        assert cohort.occasion is not None
        late = (moment.astimezone(terms.zone).date() - cohort.occasion.on).days
        asked.append(f"inactive_days == {rule.after // _DAY + late}")
    return [terms.question(connection, text, moment).yes for text in asked]


def first_joined(connection: Connection, trigger: Trigger) -> datetime | None:
    """When the first of those who are in the stream joined it; reads an index."""
    moment: datetime | None = connection.execute(
        select(func.min(SUBSCRIPTION.c.confirmed_at, type_=SUBSCRIPTION.c.confirmed_at.type)).where(
            SUBSCRIPTION.c.stream_id == trigger.stream_id, SUBSCRIPTION.c.state == "confirmed"
        )
    ).scalar()
    return moment


def _anniversaries(day: date, first: datetime | None, zone: ZoneInfo) -> list[date]:
    """The days of earlier years, back to the first, that are remembered on a day."""
    if first is None:
        return []
    return [
        date(year, month, of_month)
        for year in range(first.astimezone(zone).year, day.year)
        for month, of_month in birthdays_on(day)
        if (month, of_month) != (2, 29) or isleap(year)
    ]


def _day_of(day: date, zone: ZoneInfo) -> dict[str, datetime]:
    return {
        "day_begins": wall_to_utc(day, time(), zone),
        "day_ends": wall_to_utc(day + _DAY, time(), zone),
    }


def _moment(occasion: Occasion) -> dict[str, Any]:
    return {"due_at": occasion.due_at, "lapses_at": occasion.lapses_at}


def _occurrence(trigger: Trigger, rule: Rule, year: int) -> str:
    """What the mail is about, unique for a person; of one that answers a fact, its beginning."""
    if rule.once == "ever":
        return f"trigger:{trigger.slug}:ever"
    if rule.once == "yearly" or rule.is_yearly:
        return f"yearly:{trigger.slug}:{year}"
    return occurrence_of_facts(trigger)


def occurrence_of_facts(trigger: Trigger) -> str:
    """What the mails begin with that answer a fact each; its number follows."""
    return f"trigger:{trigger.slug}:"
