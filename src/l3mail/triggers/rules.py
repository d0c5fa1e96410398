"""Rules: what a lifecycle text says about when it goes out, and the moments that follow from it.

Pure: knows the front matter's words and the calendar, no connection and no clock.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from l3mail.calendars import (
    EveryDays,
    Timetable,
    YearlyDay,
    birthdays_on,
    celebrated_on,
    wall_to_utc,
    yearly_days,
)
from l3mail.durations import parse_duration
from l3mail.errors import TriggerError, quoted
from l3mail.segments.questions import SETTLED_AFTER

YEARLY: Final = frozenset({"birthday", "yearly", "anniversary"})
"""Kinds whose day comes once a year for everybody."""

DAILY: Final = YEARLY | {"inactive"}
"""Kinds that the calendar decides, a local day at a time; the others answer to a single fact."""

NINE: Final = time(9)
"""When a day's mails go out whose text names no `at`."""

VALID_FOR: Final[Mapping[str, timedelta]] = {
    "birthday": timedelta(days=1),
    "anniversary": timedelta(days=1),
    "yearly": timedelta(days=2),
}
LONG_VALID: Final = timedelta(days=7)
"""How late a mail may still go out whose text does not say: a greeting a day, a yearly one two,
what answers to a fact a week."""

SHOWN_FROM: Final = time(8)
SHOWN_BEFORE: Final = timedelta(hours=1)
"""When a batch is shown for approval: at eight of its day, or so long before what is due earlier.
"""

_DAY: Final = timedelta(days=1)
_LONGEST: Final = timedelta(days=366)
_WORDS: Final = {
    "birthday": "on each person's birthday",
    "yearly": "every year on {on}",
    "anniversary": "each year on the day somebody joined",
    "joined": "when somebody joined {of}",
    "clicked": "when somebody clicked {of}",
    "interested": "when somebody wanted {of}",
    "answered": "when somebody answered {of}",
    "finished": "when somebody finished {of}",
    "inactive": "when somebody was not seen for {after}",
}


@dataclass(frozen=True, slots=True)
class Rule:
    """When a mailing goes out, to whom, how often and how late.

    `at` None means the very moment that follows from a fact. `valid_for` counts whole days of a
    calendar's mailing as local days: what is a day late goes out until the next day ends.
    """

    kind: str
    valid_for: timedelta
    after: timedelta = timedelta()
    at: time | None = None
    on: tuple[int, int] | None = None
    of: str | None = None
    segment: str | None = None
    once: str | None = None
    needs_approval: bool = False

    @property
    def is_daily(self) -> bool:
        """Whether the calendar decides, and no single fact."""
        return self.kind in DAILY

    @property
    def is_yearly(self) -> bool:
        """Whether everybody's day comes once a year."""
        return self.kind in YEARLY

    @property
    def delay(self) -> timedelta:
        """From the fact to the mail: a click is nobody's until it is settled whose it was."""
        return max(self.after, SETTLED_AFTER) if self.kind == "clicked" else self.after

    @property
    def of_text(self) -> bool:
        """Whether `of` names a text; names of links, interests and questions have no slash."""
        return self.of is not None and "/" in self.of

    def in_words(self, stream: str) -> str:
        """The rule as a sentence; `stream` is whose members it is for."""
        day = "" if self.on is None else f"{self.on[0]:02}-{self.on[1]:02}"
        told = _WORDS[self.kind].format(on=day, of=self.of or stream, after=span(self.after))
        if self.after and self.kind != "inactive":
            told += f", {span(self.after)} later"
        if self.at is not None:
            told += f", at {self.at:%H:%M}"
        if self.once is not None:
            told += {"ever": ", once ever", "yearly": ", once a year"}[self.once]
        if self.segment is not None:
            told += f", to {self.segment}"
        told += f", at most {span(self.valid_for)} late"
        return told + (", after approval" if self.needs_approval else "")


def span(length: timedelta) -> str:
    """A length of time as it is written in front matter."""
    minutes = length // timedelta(minutes=1)
    for size, unit in ((7 * 24 * 60, "w"), (24 * 60, "d"), (60, "h")):
        if minutes and minutes % size == 0:
            return f"{minutes // size}{unit}"
    return f"{minutes}m"


def read(written: Mapping[str, Any]) -> Rule:
    """Read a rule as a published text holds it; raises TriggerError where it can't be followed."""
    try:
        kind = str(written["trigger"])
        at = time.fromisoformat(written["at"]) if "at" in written else None
        required = written.get("approval") == "required"
        if at is None and (kind in DAILY or required):
            # Who approves looks at a day's mails together, so they have one moment.
            at = NINE
        month, _, day = str(written.get("on", "")).partition("-")
        valid_for = VALID_FOR.get(kind, LONG_VALID)
        if "valid_for" in written:
            valid_for = parse_duration(written["valid_for"])
        return Rule(
            kind=kind,
            valid_for=min(valid_for, _LONGEST),
            after=parse_duration(written["after"]) if "after" in written else timedelta(),
            at=at,
            on=(int(month), int(day)) if day else None,
            of=written.get("of"),
            segment=written.get("segment"),
            once=written.get("once"),
            needs_approval=required,
        )
    except (KeyError, ValueError) as error:
        raise TriggerError(f"the rule can't be followed: {quoted(str(error))}") from error


@dataclass(frozen=True, slots=True)
class Occasion:
    """One local day's mails of a trigger, due together at `due_at` and until `lapses_at`."""

    on: date
    due_at: datetime
    lapses_at: datetime

    def shown_at(self, zone: ZoneInfo) -> datetime:
        """When it is put before whoever approves: always before it is due."""
        eight = wall_to_utc(self.on, SHOWN_FROM, zone)
        return eight if eight < self.due_at else self.due_at - SHOWN_BEFORE

    def name(self, kind: str) -> str:
        """What the batch is about, unique for its trigger: a year or a day."""
        return str(self.on.year) if kind == "yearly" else self.on.isoformat()


def occasions(rule: Rule, now: datetime, zone: ZoneInfo, since: datetime) -> list[Occasion]:
    """What is due and not lapsed at `now`, the longest due first; nothing due before `since`.

    Only for rules with an `at`. Days on which a yearly mailing is not kept are left out.
    """
    assert rule.at is not None
    if rule.is_daily:
        days = -(-rule.valid_for // _DAY)
        found = [_lapsing(rule, day) for day in yearly_days(now, rule.at, zone, days)]
    else:
        slots = _slots(rule, zone).due_slots(now - rule.valid_for, now)
        found = [_answering(rule, at, zone) for at in slots]
    return [
        one
        for one in found
        if since <= one.due_at and now < one.lapses_at and _is_kept(rule, one.on)
    ]


def next_occasion(rule: Rule, now: datetime, zone: ZoneInfo) -> Occasion:
    """The first occasion after `now`, whether anybody has it or not; for rules with an `at`."""
    assert rule.at is not None
    today = now.astimezone(zone).date()
    if rule.on is not None:
        days = [celebrated_on(*rule.on, today.year + ahead) for ahead in range(2)]
    else:
        days = [today, today + _DAY, today + 2 * _DAY]
    day = next(day for day in days if wall_to_utc(day, rule.at, zone) > now)
    return occasion_on(rule, day, zone)


def occasion_on(rule: Rule, day: date, zone: ZoneInfo) -> Occasion:
    """The occasion of one local day."""
    assert rule.at is not None
    at = wall_to_utc(day, rule.at, zone)
    if not rule.is_daily:
        return _answering(rule, at, zone)
    ends = wall_to_utc(day + (rule.valid_for // _DAY + 1) * _DAY, time(), zone)
    return _lapsing(rule, YearlyDay(day, at, ends))


def facts_of(rule: Rule, occasion: Occasion, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """After and up to which moments the facts lie that an occasion answers."""
    assert rule.at is not None
    slots = _slots(rule, zone)
    before = slots.due_slots(occasion.due_at - 3 * _DAY, occasion.due_at - timedelta.resolution)
    return latest_fact(rule, before[-1], zone), latest_fact(rule, occasion.due_at, zone)


def latest_fact(rule: Rule, due_at: datetime, zone: ZoneInfo) -> datetime:
    """The last moment at which a fact could happen that is due by `due_at`, one of its slots.

    Whole days of `after` are days of the calendar: "1d" at ten answers all of yesterday at ten,
    late in the evening too, and whether or not the clocks change in between.
    """
    if rule.at is None:
        return due_at - rule.delay
    days, rest = divmod(rule.delay, _DAY)
    day = due_at.astimezone(zone).date() - days * _DAY
    if days and not rest:
        return wall_to_utc(day + _DAY, time(), zone) - timedelta.resolution
    return (wall_to_utc(day, rule.at, zone) if days else due_at) - rest


def due_after(rule: Rule, fact_at: datetime, zone: ZoneInfo) -> datetime:
    """When the mail is due that answers a fact: the first `at` once `after` has passed."""
    if rule.at is None:
        return fact_at + rule.delay
    slots = _slots(rule, zone)
    start = fact_at + rule.delay - 2 * _DAY
    return next(
        at
        for at in slots.due_slots(start, start + 6 * _DAY)
        if latest_fact(rule, at, zone) >= fact_at
    )


def _slots(rule: Rule, zone: ZoneInfo) -> Timetable:
    assert rule.at is not None
    return Timetable(EveryDays(1, rule.at), zone)


def _is_kept(rule: Rule, day: date) -> bool:
    return rule.on is None or rule.on in birthdays_on(day)


def _lapsing(rule: Rule, day: YearlyDay) -> Occasion:
    whole = rule.valid_for >= _DAY and not rule.valid_for % _DAY
    return Occasion(day.on, day.due_at, day.lapses_at if whole else day.due_at + rule.valid_for)


def _answering(rule: Rule, at: datetime, zone: ZoneInfo) -> Occasion:
    return Occasion(at.astimezone(zone).date(), at, at + rule.valid_for)
