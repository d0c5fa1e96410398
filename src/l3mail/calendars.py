"""When a mail is due: cadences, closed days, catch-up and yearly dates as pure functions.

Instants are aware datetimes, returned in UTC; dates are local days of the zone that is passed
in. Nothing here reads a clock, a database or a setting, so asking twice gives the same answer.
"""

import re
from calendar import isleap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache, partial
from itertools import islice, takewhile
from typing import ClassVar, Final, Literal, NamedTuple
from zoneinfo import ZoneInfo

from l3mail.errors import (
    CadenceError,
    ClosedDaysError,
    NaiveDatetimeError,
    NothingOpenError,
    did_you_mean,
    quoted,
)

PUNCTUAL_WITHIN: Final = timedelta(minutes=15)
"""A lesson planned this soon after its slot is on time, whatever the hour; later it is late."""

WEEKLY_GRACE: Final = timedelta(hours=48)
"""How late a weekly lesson may still go out; a lesson every N days has its own local day."""

DAY_OPENS: Final = time(8)
DAY_SHUTS: Final = time(20)
"""Late lessons go out from `DAY_OPENS` until before `DAY_SHUTS`, local time."""

HORIZON: Final = timedelta(days=10 * 366)
"""How long nothing but closed days is followed before `NothingOpenError`."""

_DAY: Final = timedelta(days=1)
_LAST_DAY: Final = date(9990, 1, 1)  # far from where date arithmetic overflows
_LONGEST_STRIDE: Final = 366
_WEEKDAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_WEEKDAY_BEGINNINGS: Final = {name[:2]: name for name in _WEEKDAYS} | {
    "di": "tue",  # German beginnings: enough to guess what was meant
    "mi": "wed",
    "do": "thu",
    "so": "sun",
}


@dataclass(frozen=True, slots=True)
class Weekly:
    """One lesson a week, on `weekday` (0 is Monday) at local time `at`, to the minute."""

    weekday: int
    at: time
    days: ClassVar[int] = 7

    def __post_init__(self) -> None:
        """Refuse with `CadenceError` what no week has."""
        if not 0 <= self.weekday < len(_WEEKDAYS):
            raise CadenceError("weekday", f"{self.weekday} is no weekday; 0 is Monday, 6 Sunday")
        _check_wall_time(self.at)


@dataclass(frozen=True, slots=True)
class EveryDays:
    """One lesson every `days` days, counted from the first, at local time `at`, to the minute."""

    days: int
    at: time

    def __post_init__(self) -> None:
        """Refuse with `CadenceError` a stride below one day or above a year."""
        if not 1 <= self.days <= _LONGEST_STRIDE:
            raise CadenceError("every_days", f"{self.days} is not from 1 to {_LONGEST_STRIDE}")
        _check_wall_time(self.at)


Cadence = Weekly | EveryDays


def parse_cadence(mapping: object) -> Cadence:
    """Read `{weekday: mon, at: "10:00"}` or `{every_days: 1, at: "07:30"}`.

    Anything else raises `CadenceError`, which names the nearest known key or weekday.
    """
    if not isinstance(mapping, Mapping):
        raise CadenceError("cadence", 'write {weekday: mon, at: "10:00"}')
    known = ("weekday", "every_days", "at")
    for key in mapping:
        if key not in known:
            hint = _nearest(str(key), known)
            raise CadenceError(str(key), f"{quoted(str(key))} is not a key here; {hint}")
    if ("weekday" in mapping) == ("every_days" in mapping):
        raise CadenceError("cadence", "needs either weekday or every_days")
    if "at" not in mapping:
        raise CadenceError("at", 'needs a time such as at: "10:00"')
    at = _parse_wall_time(mapping["at"])
    if "weekday" in mapping:
        return Weekly(_parse_weekday(mapping["weekday"]), at)
    days = mapping["every_days"]
    if type(days) is not int:
        raise CadenceError("every_days", f"{quoted(str(days))} is not a whole number of days")
    return EveryDays(days, at)


def as_mapping(cadence: Cadence) -> dict[str, str | int]:
    """Write a cadence as `parse_cadence` reads it, ready for JSON."""
    at = cadence.at.isoformat("minutes")
    match cadence:
        case Weekly(weekday=weekday):
            return {"weekday": _WEEKDAYS[weekday], "at": at}
        case EveryDays(days=days):
            return {"every_days": days, "at": at}


def _check_wall_time(at: time) -> None:
    if at.tzinfo is not None or at.second or at.microsecond:
        raise CadenceError("at", f"{at.isoformat()} is not a local time in whole minutes")


def _parse_wall_time(value: object) -> time:
    if type(value) is int and 0 <= value < 24 * 60:
        # YAML 1.1 reads an unquoted 10:00 as the sexagesimal number 600.
        hour, minute = divmod(value, 60)
        raise CadenceError("at", f'a time needs quotes, such as at: "{hour:02}:{minute:02}"')
    found = re.fullmatch(r"([01]?[0-9]|2[0-3]):([0-5][0-9])", str(value), re.ASCII)
    if found is None:
        raise CadenceError("at", f'{quoted(str(value))} is not a time such as "10:00"')
    return time(int(found[1]), int(found[2]))


def _parse_weekday(value: object) -> int:
    word = str(value).casefold()
    if word in _WEEKDAYS:
        return _WEEKDAYS.index(word)
    meant = _WEEKDAY_BEGINNINGS.get(word[:2])
    hint = f'did you mean "{meant}"?' if meant else _nearest(word, _WEEKDAYS)
    raise CadenceError("weekday", f"{quoted(str(value))} is not a weekday here; {hint}")


def _nearest(word: str, known: Sequence[str]) -> str:
    return did_you_mean(word, known, f"known are {', '.join(known)}")


class DateRange(NamedTuple):
    """Local days from `first` to `last`, both included; `str()` writes it as course.yaml does."""

    first: date
    last: date

    def __str__(self) -> str:
        """Write `2026-12-21..2027-01-03`, or the one day it is."""
        return f"{self.first}..{self.last}" if self.first != self.last else f"{self.first}"


@dataclass(frozen=True, slots=True)
class Closed:
    """Days on which nothing of a course is sent: ranges and the holidays of a place.

    `holidays` is a calendar code of the `holidays` library: a country, or country and
    subdivision ("DE-SN"). Years its calendar does not cover have no holidays. `Closed()`
    is never closed.
    """

    holidays: str | None = None
    ranges: tuple[DateRange, ...] = ()

    def __post_init__(self) -> None:
        """Refuse an unknown holiday calendar or a reversed range with `ClosedDaysError`."""
        for days in self.ranges:
            if days.last < days.first:
                raise ClosedDaysError("closed", f"{days} ends before it begins")
        if self.holidays is not None:
            _check_holiday_calendar(self.holidays)

    def on(self, day: date, language: str | None = None) -> str | None:
        """Name what closes `day`, or return None if it is open.

        A range is named by its own text, a holiday in `language` ("de", "en") where the
        calendar speaks it, else in the place's own.
        """
        for days in self.ranges:
            if days.first <= day <= days.last:
                return str(days)
        if self.holidays is None:
            return None
        return _holiday_names(self.holidays, day.year, language).get(day)


def parse_closed(skip_holidays: object = None, closed: object = None) -> Closed:
    """Read course.yaml's `skip_holidays: DE-SN` and `closed: [2026-12-21..2027-01-03]`.

    An entry of `closed` is a range or a single day, as text or as the date that YAML makes
    of it. Anything else raises `ClosedDaysError`.
    """
    if skip_holidays is not None and not isinstance(skip_holidays, str):
        # YAML 1.1 reads an unquoted NO (Norway) as false.
        raise ClosedDaysError("skip_holidays", 'a calendar needs quotes, such as "DE-SN" or "NO"')
    entries = (closed,) if isinstance(closed, str | date) else closed or ()
    if not isinstance(entries, Iterable):
        raise ClosedDaysError("closed", "write [2026-12-21..2027-01-03]")
    return Closed(skip_holidays, tuple(_parse_range(entry) for entry in entries))


def _parse_range(entry: object) -> DateRange:
    first, separator, last = str(entry).partition("..")
    try:
        begins = _parse_day(first)
        return DateRange(begins, _parse_day(last) if separator else begins)
    except ValueError as error:
        problem = f"{quoted(str(entry))} is neither a day such as 2026-12-24 nor a range"
        raise ClosedDaysError("closed", f"{problem} such as 2026-12-21..2027-01-03") from error


def _parse_day(text: str) -> date:
    return datetime.strptime(text.strip(), "%Y-%m-%d").date()  # noqa: DTZ007 - a day has no zone


def _check_holiday_calendar(code: str) -> None:
    import holidays  # noqa: PLC0415 - costs 40 ms that most courses never need

    countries = holidays.list_supported_countries()
    country, separator, subdivision = code.partition("-")
    if country in countries and (not separator or subdivision in countries[country]):
        return
    known = [*countries, *(f"{name}-{part}" for name in countries for part in countries[name])]
    hint = did_you_mean(code.upper(), known, 'write it like "DE" or "DE-SN"')
    raise ClosedDaysError("skip_holidays", f"{quoted(code)} is not a holiday calendar; {hint}")


@lru_cache(maxsize=512)
def _holiday_names(code: str, year: int, language: str | None) -> Mapping[date, str]:
    import holidays  # noqa: PLC0415 - costs 40 ms that most courses never need

    country, _, subdivision = code.partition("-")
    place = partial(holidays.country_holidays, country, subdiv=subdivision or None)
    calendar = place()
    # Always name a language: by itself the library would follow the environment's locale.
    spoken = calendar.default_language
    if language is not None:
        tongue = re.split("[-_]", language)[0]
        known = calendar.supported_languages
        spoken = next((name for name in known if name.split("_")[0] == tongue), spoken)
    return dict(place(years=year, language=spoken).items())


def wall_to_utc(day: date, at: time, zone: ZoneInfo) -> datetime:
    """Return the instant at which the clocks of `zone` show `at` on `day`.

    A time that a gap leaves out moves forward by the length of the gap: 02:30 becomes 03:30,
    and on a day that never was (Pacific/Apia, 2011-12-30) 10:00 becomes 10:00 of the next.
    A time that occurs twice means the first (both are `fold=0` of PEP 495).
    """
    return datetime.combine(day, at.replace(fold=0), tzinfo=zone).astimezone(UTC)


def _utc(moment: datetime) -> datetime:
    if moment.utcoffset() is None:
        raise NaiveDatetimeError(moment)
    return moment.astimezone(UTC)


@dataclass(frozen=True, slots=True)
class SendNow:
    """The lesson goes out in this very tick."""


@dataclass(frozen=True, slots=True)
class MoveTo:
    """The lesson is due again `at` a later instant."""

    at: datetime


@dataclass(frozen=True, slots=True)
class Timetable:
    """All that a course says about time, and the slots that follow from it.

    A slot is an instant at which a lesson is due by plan: the cadence's wall-clock time on
    one of its open days. Where a gap carries a slot past midnight, the day it lands on counts
    as closed or open, and a daily slot gives way to that day's own. `anchor_on` is the day of
    a learner's first slot as `anchor` returned it; every N days are counted from there.

    `grace` of None is the slot's own local day for a daily course, else `WEEKLY_GRACE`.
    `start_on` is the common start, None a rolling one.
    """

    cadence: Cadence
    zone: ZoneInfo
    closed: Closed = Closed()
    grace: timedelta | None = None
    start_on: date | None = None

    def __post_init__(self) -> None:
        """Refuse a grace below zero or above a year with `CadenceError`."""
        if self.grace is not None and not timedelta() <= self.grace <= _LONGEST_STRIDE * _DAY:
            raise CadenceError("grace", f"{self.grace} is not from 0 to {_LONGEST_STRIDE} days")

    def anchor(self, confirmed_at: datetime) -> date:
        """Return the day of the first slot at or after confirmation and `start_on`.

        Who confirms after the common start begins at the next slot of that same rhythm (every
        N days are counted from `start_on`), with the first lesson. Without a common start any
        open day can begin a rhythm of N days.
        """
        confirmed_at = _utc(confirmed_at)
        since = self._day_of(confirmed_at) - _DAY  # a gap may have carried yesterday's slot here
        if self.start_on is not None:
            since = max(since, self.start_on)
        openings = self._openings(since, self.start_on)
        return next(day for day, at in openings if at >= confirmed_at)

    def slots(self, anchor_on: date, not_before: datetime | None = None) -> Iterator[datetime]:
        """Yield the slots of a learner, at or after `not_before`, without end.

        They fall on strictly increasing local days. A stretch of closed days beyond `HORIZON`
        raises `NothingOpenError`.
        """
        since = anchor_on
        if not_before is not None:
            not_before = _utc(not_before)
            since = max(since, self._day_of(not_before) - _DAY)
        for _, at in self._openings(since, anchor_on):
            if not_before is None or at >= not_before:
                yield at

    def slot(self, anchor_on: date, position: int) -> datetime:
        """Return when lesson `position` (from 0) is due if nothing is ever late."""
        return next(islice(self.slots(anchor_on), position, None))

    def next_due(
        self, anchor_on: date, after: datetime, last_sent_on: date | None = None
    ) -> datetime:
        """Return the first slot after `after` and on a later local day than `last_sent_on`."""
        after = _utc(after)
        return next(
            at
            for at in self.slots(anchor_on, after)
            if at > after and self._is_later_day(at, last_sent_on)
        )

    def catch_up(
        self, anchor_on: date, due_at: datetime, now: datetime, last_sent_on: date | None = None
    ) -> SendNow | MoveTo:
        """Decide what becomes of a lesson that was due at `due_at`, seen `now`.

        Up to `PUNCTUAL_WITHIN` after any slot of the learner it is on time and goes out. Late
        within `grace` it goes out by day (`DAY_OPENS` to `DAY_SHUTS`, open days only), which
        at night means the coming morning. Later the rest moves to the next slot. Never does it
        share a local day with `last_sent_on`. Lateness counts from the slot, not from an
        instant this method moved the lesson to, so deciding again changes nothing.
        """
        due_at, now = _utc(due_at), _utc(now)
        if now < due_at and self._is_later_day(due_at, last_sent_on):
            return MoveTo(due_at)
        latest = self._latest_slot(anchor_on, now)
        punctual = latest is not None and now - latest <= PUNCTUAL_WITHIN
        if punctual and self._is_later_day(now, last_sent_on):
            return SendNow()
        missed = self._latest_slot(anchor_on, due_at)
        resumes = None if missed is None else self._late_send(missed, now, last_sent_on)
        if resumes == now:
            return SendNow()
        following = self.next_due(anchor_on, now, last_sent_on)
        return MoveTo(following if resumes is None else min(resumes, following))

    def due_slots(
        self, since: datetime, until: datetime, anchor_on: date | None = None
    ) -> list[datetime]:
        """List the slots after `since` and up to and including `until`, in order.

        Without `anchor_on` it lists every instant at which some learner of the course may have
        a slot: for `EveryDays` that is each open day.
        """
        since, until = _utc(since), _utc(until)
        first, last = self._day_of(since) - _DAY, self._day_of(until) + _DAY
        if anchor_on is not None:
            first = max(first, anchor_on)
        days = takewhile(lambda day: day <= last, self._own_days(first, anchor_on))
        openings = {self._opening(day) for day in days}
        return sorted(at for at in openings if at is not None and since < at <= until)

    def _own_days(self, since: date, origin: date | None) -> Iterator[date]:
        """Yield the cadence's days from `since` on; without an `origin` a rhythm is any day's."""
        since = min(since, _LAST_DAY)
        stride, wait = 1, 0
        match self.cadence:
            case Weekly(weekday=weekday):
                stride, wait = 7, (weekday - since.weekday()) % 7
            case EveryDays(days=days) if origin is not None:
                stride, wait = days, (origin - since).days % days
        day = since + timedelta(days=wait)
        while day < _LAST_DAY:
            yield day
            day += timedelta(days=stride)

    def _opening(self, day: date) -> datetime | None:
        at = wall_to_utc(day, self.cadence.at, self.zone)
        lands_on = self._day_of(at)
        daily = isinstance(self.cadence, EveryDays) and self.cadence.days == 1
        gives_way = daily and lands_on != day
        return None if gives_way or self.closed.on(lands_on) else at

    def _openings(self, since: date, origin: date | None) -> Iterator[tuple[date, datetime]]:
        last_open = day = since
        for day in self._own_days(since, origin):
            if (at := self._opening(day)) is not None:
                last_open = day
                yield day, at
            elif day - last_open > HORIZON:
                break
        raise NothingOpenError(last_open, day)

    def _latest_slot(self, anchor_on: date, moment: datetime) -> datetime | None:
        """Return the last slot at or before `moment`, as far back as grace could matter."""
        reach = max(WEEKLY_GRACE, self.grace or WEEKLY_GRACE) + _DAY
        return next(reversed(self.due_slots(moment - reach, moment, anchor_on)), None)

    def _within_grace(self, slot: datetime, moment: datetime) -> bool:
        if self.grace is None and self.cadence == EveryDays(1, self.cadence.at):
            return self._day_of(slot) == self._day_of(moment)
        return moment - slot <= (WEEKLY_GRACE if self.grace is None else self.grace)

    def _late_send(
        self, slot: datetime, now: datetime, last_sent_on: date | None
    ) -> datetime | None:
        """Return the first moment by day, from `now` on, that grace still allows."""
        day = self._day_of(now)
        if last_sent_on is not None:
            day = max(day, last_sent_on + _DAY)
        while self._within_grace(slot, moment := max(now, wall_to_utc(day, DAY_OPENS, self.zone))):
            if moment < wall_to_utc(day, DAY_SHUTS, self.zone) and not self.closed.on(day):
                return moment
            day += _DAY
        return None

    def _is_later_day(self, moment: datetime, last_sent_on: date | None) -> bool:
        return last_sent_on is None or self._day_of(moment) > last_sent_on

    def _day_of(self, moment: datetime) -> date:
        return moment.astimezone(self.zone).date()


LeapDayRule = Literal["march-1", "february-28"]
_LEAP_DAY_ELSEWHERE: Final = {"march-1": (3, 1), "february-28": (2, 28)}


class YearlyDay(NamedTuple):
    """A local day whose yearly mailing goes out from `due_at` until before `lapses_at`.

    The year of the occurrence is that of `on`: who was born on 31 December and is greeted on
    1 January has had the greeting of the old year.
    """

    on: date
    due_at: datetime
    lapses_at: datetime


def celebrated_on(month: int, day: int, year: int, rule: LeapDayRule = "march-1") -> date:
    """Return the local day on which a yearly date is kept in `year`.

    29 February follows `rule` where there is none: on 1 March by default, since a year of life
    ends with 28 February (§§ 187 (2), 188 (2) BGB). Other impossible dates raise `ValueError`.
    """
    if (month, day) == (2, 29) and not isleap(year):
        month, day = _LEAP_DAY_ELSEWHERE[rule]
    return date(year, month, day)


def birthdays_on(day: date, rule: LeapDayRule = "march-1") -> tuple[tuple[int, int], ...]:
    """Return the (month, day) pairs kept on `day`: its own, and a leap day that moved here."""
    kept = (day.month, day.day)
    if not isleap(day.year) and kept == _LEAP_DAY_ELSEWHERE[rule]:
        return (kept, (2, 29))
    return (kept,)


def yearly_days(
    now: datetime, at: time, zone: ZoneInfo, late_days: int = 1
) -> tuple[YearlyDay, ...]:
    """Return the local days whose yearly mailings may go out `now`, oldest first.

    That is today from `at` on, and before it the day that was missed: up to `late_days` late,
    counted in whole local days, so yesterday's lapses when today ends.
    """
    now = _utc(now)
    today = now.astimezone(zone).date()
    candidates = (
        YearlyDay(
            on=on,
            due_at=wall_to_utc(on, at, zone),
            lapses_at=wall_to_utc(on + timedelta(days=late_days + 1), time(), zone),
        )
        for on in (today - timedelta(days=ago) for ago in range(late_days, -1, -1))
    )
    return tuple(kept for kept in candidates if kept.due_at <= now)
