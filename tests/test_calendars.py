"""The calendar: decision tables for the rules, properties over a century and odd zones.

The zones are chosen for their trouble: Berlin (ours), Lord Howe (half an hour of DST),
St. John's (half-hour offset, until 2011 a fold across midnight), Apia (a day that never was),
Nuuk (a gap that ends at midnight) and UTC (none at all).
"""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from itertools import islice, pairwise, takewhile
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from l3mail.calendars import (
    DAY_OPENS,
    DAY_SHUTS,
    PUNCTUAL_WITHIN,
    WEEKLY_GRACE,
    Cadence,
    Closed,
    DateRange,
    EveryDays,
    LeapDayRule,
    MoveTo,
    SendNow,
    Timetable,
    Weekly,
    YearlyDay,
    as_mapping,
    birthdays_on,
    celebrated_on,
    parse_cadence,
    parse_closed,
    wall_to_utc,
    yearly_days,
)
from l3mail.errors import (
    CadenceError,
    ClosedDaysError,
    L3mailError,
    NaiveDatetimeError,
    NothingOpenError,
)

BERLIN = ZoneInfo("Europe/Berlin")
NUUK = ZoneInfo("America/Nuuk")
APIA = ZoneInfo("Pacific/Apia")
ZONES = (
    BERLIN,
    ZoneInfo("Australia/Lord_Howe"),
    ZoneInfo("America/St_Johns"),
    APIA,
    NUUK,
    ZoneInfo("UTC"),
)
MONDAY_TEN = Weekly(0, time(10))
DAILY_EARLY = EveryDays(1, time(7, 30))
COURSE = Timetable(MONDAY_TEN, BERLIN)
DAILY = Timetable(DAILY_EARLY, BERLIN)
DAY = timedelta(days=1)
UNTIMED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
NEVER_OPEN = Closed(ranges=(DateRange(date(2000, 1, 1), date(2199, 12, 31)),))


def berlin(text: str) -> datetime:
    """Read a Berlin wall clock that is neither skipped nor repeated, as UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN).astimezone(UTC)


def days(*texts: str) -> list[date]:
    return [date.fromisoformat(text) for text in texts]


# --- strategies and independent oracles ---------------------------------------------------


@cache
def days_of_change(zone: ZoneInfo) -> tuple[date, ...]:
    """Return the days of the century around which the zone's offset changes."""
    noons = [datetime(2000, 1, 1, 12, tzinfo=UTC) + n * DAY for n in range(36524)]
    offsets = [noon.astimezone(zone).utcoffset() for noon in noons]
    changes = [n for n in range(1, len(noons)) if offsets[n] != offsets[n - 1]]
    return tuple(noons[n].date() for n in changes)


@st.composite
def days_in(draw: st.DrawFn, zone: ZoneInfo) -> date:
    """Draw a day of 2000 to 2100, half the time one near a change of the clocks."""
    changes = days_of_change(zone)
    near_a_change: bool = draw(st.booleans())
    if changes and near_a_change:
        return draw(st.sampled_from(changes)) + draw(st.integers(-2, 2)) * DAY
    return draw(st.dates(date(2000, 1, 3), date(2099, 12, 1)))


zones = st.sampled_from(ZONES)
wall_times = st.one_of(
    st.sampled_from([time(0), time(1, 59), time(2), time(2, 30), time(10), time(23, 30)]),
    st.builds(time, st.integers(0, 23), st.integers(0, 59)),
)
weeklies = st.builds(Weekly, st.integers(0, 6), wall_times)
cadences = st.one_of(weeklies, st.builds(EveryDays, st.integers(1, 9), wall_times))


@st.composite
def moments_in(draw: st.DrawFn, zone: ZoneInfo) -> datetime:
    """Draw an instant, to the second, on a drawn day."""
    day = draw(days_in(zone))
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return midnight + timedelta(seconds=draw(st.integers(0, 86399)))


@st.composite
def closures(draw: st.DrawFn, around: date) -> Closed:
    """Draw some closed ranges within the weeks around a day."""
    ranges = st.builds(
        lambda start, length: DateRange(around + start * DAY, around + (start + length) * DAY),
        st.integers(-20, 60),
        st.integers(0, 12),
    )
    return Closed(ranges=tuple(draw(st.lists(ranges, max_size=3))))


def instants_showing(day: date, at: time, zone: ZoneInfo) -> Iterator[datetime]:
    """Yield by brute force every whole minute at which the zone's clocks show that time."""
    wanted = datetime.combine(day, at)
    start = wanted.replace(tzinfo=UTC) - timedelta(hours=16)
    for minute in range(32 * 60):
        instant = start + timedelta(minutes=minute)
        if instant.astimezone(zone).replace(tzinfo=None) == wanted:
            yield instant


def moved_past_the_gap(day: date, at: time, zone: ZoneInfo) -> datetime:
    """Find by brute force the minute the clocks jump over a time; add what was left of it."""
    wanted = datetime.combine(day, at)
    start = wanted.replace(tzinfo=UTC) - timedelta(hours=40)
    for minute in range(80 * 60):
        instant = start + timedelta(minutes=minute)
        shown, then_shown = (
            moment.astimezone(zone).replace(tzinfo=None)
            for moment in (instant, instant + timedelta(minutes=1))
        )
        if shown < wanted < then_shown:
            return instant + (wanted - shown)
    raise AssertionError(f"{wanted} is neither shown nor skipped in {zone}")


def exists(day: date, at: time, zone: ZoneInfo) -> bool:
    return next(instants_showing(day, at, zone), None) is not None


def local_day(moment: datetime, zone: ZoneInfo) -> date:
    return moment.astimezone(zone).date()


# --- cadences as data ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mapping", "cadence"),
    [
        ({"weekday": "mon", "at": "10:00"}, MONDAY_TEN),
        ({"weekday": "Sun", "at": "7:05"}, Weekly(6, time(7, 5))),
        ({"every_days": 1, "at": "07:30"}, DAILY_EARLY),
        ({"every_days": 366, "at": "23:59"}, EveryDays(366, time(23, 59))),
    ],
    ids=["weekly", "any case, short hour", "daily", "yearly"],
)
def test_a_cadence_is_read_as_written(mapping: dict[str, object], cadence: Cadence) -> None:
    assert parse_cadence(mapping) == cadence


@settings(UNTIMED)
@given(cadences)
def test_a_stored_cadence_reads_back_the_same(cadence: Cadence) -> None:
    assert parse_cadence(as_mapping(cadence)) == cadence


@pytest.mark.parametrize(
    ("mapping", "key", "says"),
    [
        ("mon 10:00", "cadence", 'write {weekday: mon, at: "10:00"}'),
        ({"weekdays": "mon", "at": "10:00"}, "weekdays", 'did you mean "weekday"?'),
        ({"zzz": 1}, "zzz", "known are weekday, every_days, at"),
        ({"at": "10:00"}, "cadence", "either weekday or every_days"),
        ({"weekday": "mon", "every_days": 1, "at": "10:00"}, "cadence", "either weekday or"),
        ({"weekday": "mon"}, "at", "needs a time"),
        ({"weekday": "Dienstag", "at": "10:00"}, "weekday", 'did you mean "tue"?'),
        ({"weekday": "so", "at": "10:00"}, "weekday", 'did you mean "sun"?'),
        ({"weekday": "thursday", "at": "10:00"}, "weekday", 'did you mean "thu"?'),
        ({"weekday": "wde", "at": "10:00"}, "weekday", 'did you mean "wed"?'),
        ({"weekday": 1, "at": "10:00"}, "weekday", "known are mon, tue, wed, thu"),
        ({"weekday": "mon", "at": 600}, "at", 'needs quotes, such as at: "10:00"'),
        ({"weekday": "mon", "at": 27000}, "at", "is not a time"),
        ({"weekday": "mon", "at": "24:00"}, "at", '"24:00" is not a time'),
        ({"weekday": "mon", "at": "10:00\n"}, "at", "is not a time"),
        ({"weekday": "mon", "at": True}, "at", "is not a time"),
        ({"every_days": 0, "at": "10:00"}, "every_days", "not from 1 to 366"),
        ({"every_days": 367, "at": "10:00"}, "every_days", "not from 1 to 366"),
        ({"every_days": "1", "at": "10:00"}, "every_days", "not a whole number"),
        ({"every_days": True, "at": "10:00"}, "every_days", "not a whole number"),
    ],
    ids=lambda value: str(value).replace("\n", "\\n") if isinstance(value, dict | str) else None,
)
def test_a_wrong_cadence_says_what_was_meant(mapping: object, key: str, says: str) -> None:
    with pytest.raises(CadenceError) as caught:
        parse_cadence(mapping)
    assert says in str(caught.value)
    assert caught.value.key == key
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, L3mailError)


def test_a_cadence_made_in_code_is_held_to_the_same_rules() -> None:
    for weekday in (-1, 7):
        with pytest.raises(CadenceError, match="0 is Monday, 6 Sunday"):
            Weekly(weekday, time(10))
    for at in (time(10, 0, 1), time(10, 0, 0, 1), time(10, tzinfo=UTC)):
        with pytest.raises(CadenceError, match="local time in whole minutes"):
            Weekly(0, at)
        with pytest.raises(CadenceError, match="local time in whole minutes"):
            EveryDays(1, at)
    for grace in (timedelta(seconds=-1), timedelta(days=366, seconds=1)):
        with pytest.raises(CadenceError, match="grace"):
            replace(COURSE, grace=grace)


# --- closed days --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("day", "language", "name"),
    [
        ("2027-03-29", None, "Ostermontag"),
        ("2027-03-29", "de-simple", "Ostermontag"),
        ("2027-03-29", "en", "Easter Monday"),
        ("2027-03-29", "tlh", "Ostermontag"),
        ("2027-11-17", None, "Buß- und Bettag"),
        ("2027-03-30", None, None),
        ("2026-12-20", None, None),
        ("2026-12-21", None, "2026-12-21..2027-01-03"),
        ("2026-12-25", None, "2026-12-21..2027-01-03"),
        ("2027-01-03", None, "2026-12-21..2027-01-03"),
        ("2027-01-04", None, None),
        ("2027-02-12", None, "2027-02-12"),
    ],
)
def test_a_closed_day_says_why(day: str, language: str | None, name: str | None) -> None:
    closed = parse_closed("DE-SN", ["2026-12-21..2027-01-03", date(2027, 2, 12)])
    assert closed.on(date.fromisoformat(day), language) == name


def test_holidays_are_those_of_the_place() -> None:
    day_of_repentance = date(2027, 11, 17)
    assert parse_closed("DE").on(day_of_repentance) is None
    assert parse_closed("DE-BY").on(day_of_repentance) is None
    assert parse_closed().on(day_of_repentance) is None
    assert Closed() == parse_closed(None, None) == parse_closed(None, [])


def test_holiday_names_do_not_follow_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANGUAGE", "en_US")
    assert parse_closed("DE-SN").on(date(2041, 4, 22)) == "Ostermontag"


def test_a_single_range_needs_no_list() -> None:
    christmas = parse_closed(closed="2026-12-24 .. 2026-12-26")
    assert christmas.ranges == (DateRange(date(2026, 12, 24), date(2026, 12, 26)),)
    assert parse_closed(closed=date(2026, 12, 24)).ranges == (
        DateRange(date(2026, 12, 24), date(2026, 12, 24)),
    )


@pytest.mark.parametrize(
    ("skip_holidays", "closed", "key", "says"),
    [
        ("DE-SX", None, "skip_holidays", 'did you mean "DE-S'),
        ("de-sn", None, "skip_holidays", 'did you mean "DE-SN"?'),
        ("DE-", None, "skip_holidays", "is not a holiday calendar"),
        ("Germany", None, "skip_holidays", "is not a holiday calendar"),
        ("?!", None, "skip_holidays", 'write it like "DE" or "DE-SN"'),
        (False, None, "skip_holidays", 'needs quotes, such as "DE-SN" or "NO"'),
        (None, 7, "closed", "write [2026-12-21..2027-01-03]"),
        (None, ["2027-01-03..2026-12-21"], "closed", "ends before it begins"),
        (None, ["2026-02-30"], "closed", "is neither a day such as"),
        (None, ["2026-12-21.."], "closed", "is neither a day such as"),
        (None, ["2026-12-21 - 2027-01-03"], "closed", "is neither a day such as"),
        (None, [20261221], "closed", "is neither a day such as"),
        (None, [datetime(2026, 12, 24, 10)], "closed", "is neither a day such as"),
        (None, [None], "closed", "is neither a day such as"),
    ],
)
def test_wrong_closed_days_say_what_to_write(
    skip_holidays: object, closed: object, key: str, says: str
) -> None:
    with pytest.raises(ClosedDaysError) as caught:
        parse_closed(skip_holidays, closed)
    assert says in str(caught.value)
    assert caught.value.key == key


@settings(UNTIMED)
@given(st.dates(), st.dates())
def test_a_range_reads_back_as_it_is_written(one: date, other: date) -> None:
    days_closed = DateRange(min(one, other), max(one, other))
    assert parse_closed(closed=[str(days_closed)]).ranges == (days_closed,)


def test_the_holidays_library_is_loaded_only_for_who_asks() -> None:
    program = (
        "import sys; from datetime import *; from zoneinfo import ZoneInfo\n"
        "from l3mail.calendars import *\n"
        "table = Timetable(parse_cadence({'weekday': 'mon', 'at': '10:00'}), ZoneInfo('UTC'),"
        " parse_closed(None, ['2027-03-29']))\n"
        "table.slot(table.anchor(datetime(2027, 3, 23, tzinfo=UTC)), 6)\n"
        "print('holidays' in sys.modules); parse_closed('DE'); print('holidays' in sys.modules)"
    )
    told = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    assert told.stdout.split() == ["False", "True"]


# --- wall clock to instant ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("zone", "wall", "utc"),
    [
        ("Europe/Berlin", "2027-01-15T10:00", "2027-01-15T09:00"),
        ("Europe/Berlin", "2027-07-15T10:00", "2027-07-15T08:00"),
        ("Europe/Berlin", "2027-03-28T02:00", "2027-03-28T01:00"),
        ("Europe/Berlin", "2027-03-28T02:30", "2027-03-28T01:30"),
        ("Europe/Berlin", "2027-03-28T03:00", "2027-03-28T01:00"),
        ("Europe/Berlin", "2027-10-31T02:30", "2027-10-31T00:30"),
        ("Europe/Berlin", "2027-10-31T03:00", "2027-10-31T02:00"),
        ("Australia/Lord_Howe", "2027-10-03T02:10", "2027-10-02T15:40"),
        ("Australia/Lord_Howe", "2027-04-04T01:45", "2027-04-03T14:45"),
        ("America/Havana", "2027-03-14T00:30", "2027-03-14T05:30"),
        ("America/Nuuk", "2027-03-27T23:30", "2027-03-28T01:30"),
        ("Pacific/Apia", "2011-12-30T10:00", "2011-12-30T20:00"),
        ("Pacific/Apia", "2011-12-31T10:00", "2011-12-30T20:00"),
    ],
    ids=[
        "winter",
        "summer",
        "gap begins",
        "in the gap",
        "gap ends",
        "repeated hour means the first",
        "after the repeated hour",
        "half-hour gap",
        "repeated half-hour means the first",
        "gap at midnight",
        "gap ends at midnight",
        "day that never was",
        "day after it",
    ],
)
def test_a_wall_clock_time_is_one_instant(zone: str, wall: str, utc: str) -> None:
    moment = datetime.fromisoformat(wall)
    instant = wall_to_utc(moment.date(), moment.time(), ZoneInfo(zone))
    assert instant.isoformat() == f"{utc}:00+00:00"


def test_which_fold_a_wall_time_carries_changes_nothing() -> None:
    for day in (date(2027, 3, 28), date(2027, 10, 31)):
        second = time(2, 30, fold=1)
        assert wall_to_utc(day, second, BERLIN) == wall_to_utc(day, time(2, 30), BERLIN)


@settings(UNTIMED, max_examples=250)
@given(st.data())
def test_wall_clock_agrees_with_a_clock_watched_minute_by_minute(data: st.DataObject) -> None:
    zone = data.draw(zones)
    day, at = data.draw(days_in(zone)), data.draw(wall_times)
    first = next(instants_showing(day, at, zone), None)
    expected = moved_past_the_gap(day, at, zone) if first is None else first
    assert wall_to_utc(day, at, zone) == expected


# --- the first lesson ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("confirmed", "first"),
    [
        ("2027-03-01T10:00:00", "2027-03-01"),
        ("2027-03-01T10:00:01", "2027-03-08"),
        ("2027-03-01T09:59:59", "2027-03-01"),
        ("2027-03-02T00:00:00", "2027-03-08"),
        ("2027-03-07T23:59:59", "2027-03-08"),
        ("2027-03-08T00:30:00", "2027-03-08"),
        ("2027-03-25T12:00:00", "2027-03-29"),
    ],
    ids=[
        "confirmed Monday at ten starts today",
        "confirmed one second after ten starts next week",
        "confirmed one second before ten starts today",
        "confirmed on Tuesday waits for Monday",
        "confirmed late on Sunday starts tomorrow",
        "confirmed while UTC is still on Sunday starts today",
        "across the change of the clocks",
    ],
)
def test_the_first_lesson_is_the_first_monday_at_ten_after_confirmation(
    confirmed: str, first: str
) -> None:
    assert COURSE.anchor(berlin(confirmed)) == date.fromisoformat(first)


def test_confirmation_is_judged_as_an_instant_and_not_by_the_wall_clock() -> None:
    sunday_night = Timetable(Weekly(6, time(2, 30)), BERLIN)
    first_two_thirty = datetime(2027, 10, 31, 0, 30, tzinfo=UTC)
    assert sunday_night.anchor(first_two_thirty) == date(2027, 10, 31)
    assert sunday_night.anchor(first_two_thirty + timedelta(minutes=1)) == date(2027, 11, 7)
    in_new_york = first_two_thirty.astimezone(ZoneInfo("America/New_York"))
    assert sunday_night.anchor(in_new_york) == date(2027, 10, 31)


def test_a_daily_course_begins_at_its_next_time_of_day() -> None:
    assert DAILY.anchor(berlin("2027-03-02T07:30:00")) == date(2027, 3, 2)
    assert DAILY.anchor(berlin("2027-03-02T07:30:01")) == date(2027, 3, 3)
    every_third = Timetable(EveryDays(3, time(7, 30)), BERLIN)
    assert every_third.anchor(berlin("2027-03-02T07:30:01")) == date(2027, 3, 3)


def test_a_first_lesson_on_a_holiday_waits_a_week() -> None:
    keeps_easter = replace(COURSE, closed=parse_closed("DE-SN"))
    assert COURSE.anchor(berlin("2027-03-25T12:00")) == date(2027, 3, 29)
    assert keeps_easter.anchor(berlin("2027-03-25T12:00")) == date(2027, 4, 5)


@pytest.mark.parametrize(
    ("cadence", "confirmed", "first"),
    [
        (MONDAY_TEN, "2027-04-01T12:00", "2027-05-03"),
        (MONDAY_TEN, "2027-05-03T10:00", "2027-05-03"),
        (MONDAY_TEN, "2027-05-03T10:01", "2027-05-10"),
        (Weekly(1, time(10)), "2027-04-01T12:00", "2027-05-04"),
        (DAILY_EARLY, "2027-04-01T12:00", "2027-05-03"),
        (DAILY_EARLY, "2027-05-05T12:00", "2027-05-06"),
        (EveryDays(3, time(7, 30)), "2027-04-01T12:00", "2027-05-03"),
        (EveryDays(3, time(7, 30)), "2027-05-03T12:00", "2027-05-06"),
        (EveryDays(3, time(7, 30)), "2027-05-07T12:00", "2027-05-09"),
    ],
    ids=[
        "weeks early waits for the start",
        "in time on the day",
        "a minute late joins a week later",
        "the start is no weekday of the course",
        "daily, early",
        "daily, late joins tomorrow",
        "every third day, early",
        "every third day, late keeps the rhythm of the others",
        "every third day, later still",
    ],
)
def test_a_common_start_is_a_first_day_for_everyone(
    cadence: Cadence, confirmed: str, first: str
) -> None:
    common = Timetable(cadence, BERLIN, start_on=date(2027, 5, 3))
    assert common.anchor(berlin(confirmed)) == date.fromisoformat(first)


def test_a_common_start_on_a_closed_day_moves_by_a_step() -> None:
    closed = parse_closed(closed=["2027-05-03"])
    weekly = Timetable(MONDAY_TEN, BERLIN, closed, start_on=date(2027, 5, 3))
    third = Timetable(EveryDays(3, time(9)), BERLIN, closed, start_on=date(2027, 5, 3))
    early = berlin("2027-04-01T12:00")
    assert weekly.anchor(early) == date(2027, 5, 10)
    assert third.anchor(early) == date(2027, 5, 6)


def test_a_slot_carried_past_midnight_still_counts_for_who_confirms_in_between() -> None:
    saturday_night = Timetable(Weekly(5, time(23, 30)), NUUK)  # 23:30 becomes Sunday 00:30
    sunday_quarter_past = datetime(2027, 3, 28, 1, 15, tzinfo=UTC)
    assert saturday_night.anchor(sunday_quarter_past) == date(2027, 3, 27)
    assert saturday_night.slot(date(2027, 3, 27), 0) == datetime(2027, 3, 28, 1, 30, tzinfo=UTC)
    assert saturday_night.anchor(datetime(2027, 3, 28, 1, 31, tzinfo=UTC)) == date(2027, 4, 3)
    carried = datetime(2027, 3, 28, 1, 30, tzinfo=UTC)
    assert next(saturday_night.slots(date(2027, 3, 20), sunday_quarter_past)) == carried
    assert saturday_night.next_due(date(2027, 3, 20), sunday_quarter_past) == carried
    assert saturday_night.due_slots(sunday_quarter_past, carried) == [carried]


@settings(UNTIMED)
@given(st.data())
def test_the_first_slot_is_never_before_confirmation_nor_a_step_after(
    data: st.DataObject,
) -> None:
    zone, cadence = data.draw(zones), data.draw(cadences)
    confirmed_at = data.draw(moments_in(zone))
    table = Timetable(cadence, zone)
    first = table.slot(table.anchor(confirmed_at), 0)
    step = 7 if isinstance(cadence, Weekly) else 1
    assert confirmed_at <= first <= confirmed_at + step * DAY + timedelta(hours=25)
    assert table.anchor(first) == table.anchor(confirmed_at)


# --- slots --------------------------------------------------------------------------------


def test_monday_ten_stays_monday_ten_across_the_change_of_the_clocks() -> None:
    six = list(islice(COURSE.slots(date(2027, 3, 15)), 6))
    assert six == [
        berlin(f"{day}T10:00")
        for day in days(
            "2027-03-15", "2027-03-22", "2027-03-29", "2027-04-05", "2027-04-12", "2027-04-19"
        )
    ]
    assert six[1].hour == 9
    assert six[2].hour == 8
    assert [COURSE.slot(date(2027, 3, 15), n) for n in range(6)] == six


def test_a_closed_day_moves_the_rest_of_the_plan_by_a_whole_step() -> None:
    closed = parse_closed("DE-SN", ["2027-04-10..2027-04-14"])
    weekly = Timetable(MONDAY_TEN, BERLIN, closed)
    assert [local_day(at, BERLIN) for at in islice(weekly.slots(date(2027, 3, 22)), 4)] == days(
        "2027-03-22", "2027-04-05", "2027-04-19", "2027-04-26"
    )
    every_other = Timetable(EveryDays(2, time(9)), BERLIN, closed)
    assert [local_day(at, BERLIN) for at in islice(every_other.slots(date(2027, 4, 8)), 3)] == days(
        "2027-04-08", "2027-04-16", "2027-04-18"
    )


def test_an_anchor_that_has_closed_since_moves_the_first_lesson_too() -> None:
    closed = replace(COURSE, closed=parse_closed(closed=["2027-03-01"]))
    assert closed.slot(date(2027, 3, 1), 0) == berlin("2027-03-08T10:00")


def test_every_third_day_counts_through_leap_days_and_new_year() -> None:
    every_third = Timetable(EveryDays(3, time(9)), BERLIN)
    landed = [local_day(at, BERLIN) for at in islice(every_third.slots(date(2027, 12, 30)), 22)]
    assert landed[:2] == days("2027-12-30", "2028-01-02")
    assert landed[19:] == days("2028-02-25", "2028-02-28", "2028-03-02")
    since = wall_to_utc(date(2028, 2, 26), time(0), BERLIN)
    assert local_day(every_third.next_due(date(2027, 12, 30), since), BERLIN) == landed[20]


def test_a_plan_may_run_for_decades_if_it_opens_now_and_then() -> None:
    keeps_holidays = replace(COURSE, closed=parse_closed("DE-SN"))
    assert keeps_holidays.slot(date(2027, 3, 1), 1500).year == 2057


def test_slots_can_be_asked_from_an_instant_on() -> None:
    anchor_on, ten = date(2027, 3, 1), berlin("2027-03-15T10:00")
    assert next(COURSE.slots(anchor_on, ten)) == ten
    assert next(COURSE.slots(anchor_on, ten + timedelta(seconds=1))) == ten + 7 * DAY
    assert next(COURSE.slots(anchor_on, berlin("2020-01-01T00:00"))) == berlin("2027-03-01T10:00")


def test_no_lesson_has_a_position_before_the_first() -> None:
    with pytest.raises(ValueError, match="islice"):
        COURSE.slot(date(2027, 3, 1), -1)


def test_a_daily_slot_on_a_day_that_never_was_gives_way_to_the_next_days_own() -> None:
    daily = Timetable(EveryDays(1, time(10)), APIA)
    local = [at.astimezone(APIA) for at in islice(daily.slots(date(2011, 12, 29)), 3)]
    assert [at.date() for at in local] == days("2011-12-29", "2011-12-31", "2012-01-01")
    weekly = Timetable(Weekly(4, time(10)), APIA)  # that Friday never was
    local = [at.astimezone(APIA) for at in islice(weekly.slots(date(2011, 12, 23)), 3)]
    assert [at.date() for at in local] == days("2011-12-23", "2011-12-31", "2012-01-06")


def test_a_slot_carried_to_a_closed_day_is_closed() -> None:
    closed = parse_closed(closed=["2027-03-28"])
    saturday_night = Timetable(Weekly(5, time(23, 30)), NUUK, closed)
    assert local_day(saturday_night.slot(date(2027, 3, 27), 0), NUUK) == date(2027, 4, 3)


@pytest.mark.parametrize("cadence", [MONDAY_TEN, DAILY_EARLY, EveryDays(366, time(9))])
def test_a_course_that_is_never_open_is_an_error_and_no_endless_search(cadence: Cadence) -> None:
    table = Timetable(cadence, BERLIN, NEVER_OPEN)
    now = berlin("2027-03-02T12:00")
    with pytest.raises(NothingOpenError, match="shorten `closed`") as caught:
        table.anchor(now)
    assert caught.value.since < caught.value.until
    with pytest.raises(NothingOpenError):
        table.slot(date(2027, 3, 1), 0)
    with pytest.raises(NothingOpenError):
        table.next_due(date(2027, 3, 1), now)
    with pytest.raises(NothingOpenError):
        table.catch_up(date(2027, 3, 1), now - DAY, now)
    assert table.due_slots(now, now + 400 * DAY) == []


def test_a_course_that_closes_for_good_still_sends_what_is_due_today() -> None:
    closing = replace(COURSE, closed=parse_closed(closed=["2027-03-02..2199-12-31"]))
    ten = berlin("2027-03-01T10:00")
    assert closing.catch_up(date(2027, 3, 1), ten, ten) == SendNow()
    assert closing.catch_up(date(2027, 3, 1), ten, ten + timedelta(hours=5)) == SendNow()


def test_the_end_of_the_calendar_is_an_error_of_ours() -> None:
    with pytest.raises(NothingOpenError):
        COURSE.slot(date(9999, 12, 30), 0)


@settings(UNTIMED, max_examples=60)
@given(st.data())
def test_every_slot_shows_its_weekday_and_time_unless_that_time_does_not_exist(
    data: st.DataObject,
) -> None:
    zone, cadence = data.draw(zones), data.draw(weeklies)
    anchor_on = data.draw(days_in(zone))
    first = anchor_on + (cadence.weekday - anchor_on.weekday()) % 7 * DAY
    for week, at in enumerate(islice(Timetable(cadence, zone).slots(anchor_on), 4)):
        day = first + 7 * week * DAY
        local = at.astimezone(zone)
        if exists(day, cadence.at, zone):
            assert (local.date(), local.time()) == (day, cadence.at)
            assert local.weekday() == cadence.weekday
        else:
            assert datetime.combine(day, cadence.at) < local.replace(tzinfo=None)


@settings(UNTIMED)
@given(st.data())
def test_consecutive_slots_are_a_whole_step_of_local_days_apart(data: st.DataObject) -> None:
    zone, cadence = data.draw(zones), data.draw(cadences)
    anchor_on = data.draw(days_in(zone))
    step = 7 if isinstance(cadence, Weekly) else cadence.days
    landed = [local_day(at, zone) for at in islice(Timetable(cadence, zone).slots(anchor_on), 9)]
    for one, other in pairwise(landed):
        assert one < other
        if not {one, other} & near_changes(zone):
            assert other - one == step * DAY


@cache
def near_changes(zone: ZoneInfo) -> frozenset[date]:
    return frozenset(day + n * DAY for day in days_of_change(zone) for n in (-2, -1, 0, 1, 2))


@settings(UNTIMED)
@given(st.data())
def test_closing_days_removes_their_slots_and_changes_no_other(data: st.DataObject) -> None:
    zone, cadence = data.draw(zones), data.draw(cadences)
    anchor_on = data.draw(days_in(zone))
    closed = data.draw(closures(anchor_on))
    table = Timetable(cadence, zone)
    everyday = list(islice(table.slots(anchor_on), 60))
    kept = [at for at in everyday if not closed.on(local_day(at, zone))]
    assert list(islice(replace(table, closed=closed).slots(anchor_on), len(kept))) == kept


# --- the slots of a cohort ----------------------------------------------------------------


def test_a_slot_is_due_in_the_tick_that_reaches_it_and_in_no_other() -> None:
    ten = berlin("2027-03-01T10:00")
    minute = timedelta(minutes=1)
    assert COURSE.due_slots(ten - minute, ten) == [ten]
    assert COURSE.due_slots(ten, ten + minute) == []
    assert COURSE.due_slots(ten - minute, ten - timedelta(seconds=1)) == []
    assert COURSE.due_slots(ten, ten - minute) == []


def test_a_slot_is_due_although_the_clocks_went_back_to_the_day_before() -> None:
    daily = Timetable(EveryDays(1, time(0)), ZoneInfo("America/St_Johns"))
    midnight = datetime(2010, 11, 7, 2, 30, tzinfo=UTC)  # a minute later it was 23:01 again
    half_past_eleven = midnight + timedelta(minutes=30)
    assert local_day(half_past_eleven, daily.zone) == date(2010, 11, 6)
    assert daily.due_slots(midnight - timedelta(minutes=1), half_past_eleven) == [midnight]


def test_a_cohort_has_no_slot_before_its_anchor() -> None:
    since, until = berlin("2027-03-01T00:00"), berlin("2027-03-16T00:00")
    assert COURSE.due_slots(since, until, date(2027, 3, 8)) == [
        berlin("2027-03-08T10:00"),
        berlin("2027-03-15T10:00"),
    ]


@settings(UNTIMED, max_examples=60)
@given(st.data())
def test_due_slots_of_a_cohort_are_its_slots(data: st.DataObject) -> None:
    zone, cadence = data.draw(zones), data.draw(cadences)
    anchor_on = data.draw(days_in(zone))
    table = Timetable(cadence, zone, data.draw(closures(anchor_on)))
    slots = list(islice(table.slots(anchor_on), 12))
    since = slots[0] + data.draw(st.integers(-5, 20)) * timedelta(hours=13)
    until = data.draw(st.sampled_from(slots)) + data.draw(st.integers(-1, 1)) * timedelta(hours=1)
    expected = [at for at in slots if since < at <= until]
    assert table.due_slots(since, until, anchor_on) == expected
    following = next((at for at in slots if at > since), None)
    assert following is None or table.next_due(anchor_on, since) == following


@settings(UNTIMED, max_examples=60)
@given(st.data())
def test_however_time_is_cut_into_ticks_each_slot_is_due_once(data: st.DataObject) -> None:
    zone, cadence = data.draw(zones), data.draw(cadences)
    since = data.draw(moments_in(zone))
    cuts = sorted(data.draw(st.lists(st.integers(0, 40 * 24 * 60), max_size=6)))
    ticks = [since, *(since + timedelta(minutes=cut) for cut in cuts), since + 40 * DAY]
    table = Timetable(cadence, zone, data.draw(closures(since.date())))
    for anchor_on in (None, since.date()):
        in_pieces = [at for a, b in pairwise(ticks) for at in table.due_slots(a, b, anchor_on)]
        assert in_pieces == table.due_slots(since, since + 40 * DAY, anchor_on)


@settings(UNTIMED, max_examples=40)
@given(st.data())
def test_without_an_anchor_the_slots_of_every_possible_learner_are_listed(
    data: st.DataObject,
) -> None:
    zone, cadence = data.draw(zones), data.draw(cadences)
    since = data.draw(moments_in(zone))
    table = Timetable(cadence, zone)
    step = 7 if isinstance(cadence, Weekly) else cadence.days
    learners = [local_day(since, zone) - (n + 2) * DAY for n in range(step)]
    window = since, since + 21 * DAY
    everyone = {at for anchor_on in learners for at in table.due_slots(*window, anchor_on)}
    assert table.due_slots(*window) == sorted(everyone)


# --- the next slot and catch-up -----------------------------------------------------------


@pytest.mark.parametrize(
    ("after", "last_sent_on", "due"),
    [
        ("2027-03-01T09:59:59", None, "2027-03-01T10:00"),
        ("2027-03-01T10:00:00", None, "2027-03-08T10:00"),
        ("2027-03-01T10:00:05", "2027-03-01", "2027-03-08T10:00"),
        ("2027-03-03T09:00:00", "2027-03-03", "2027-03-08T10:00"),
        ("2027-03-08T09:00:00", "2027-03-08", "2027-03-15T10:00"),
        ("2027-03-01T09:00:00", "2027-03-15", "2027-03-22T10:00"),
        ("2026-01-01T00:00:00", None, "2027-03-01T10:00"),
    ],
    ids=[
        "just before",
        "strictly after",
        "sent on time",
        "sent late keeps the plan",
        "sent on the morning of a slot skips it",
        "a clock set back sends no second lesson",
        "never before the anchor",
    ],
)
def test_the_next_lesson_is_due_at_the_next_slot_on_a_later_day(
    after: str, last_sent_on: str | None, due: str
) -> None:
    last = None if last_sent_on is None else date.fromisoformat(last_sent_on)
    assert COURSE.next_due(date(2027, 3, 1), berlin(after), last) == berlin(due)


WEEKLY_DUE = "2027-03-01T10:00"  # a Monday
DAILY_DUE = "2027-03-01T07:30"


@pytest.mark.parametrize(
    ("now", "decision"),
    [
        ("2027-02-28T10:00:00", WEEKLY_DUE),
        ("2027-03-01T10:00:00", "send"),
        ("2027-03-01T10:15:00", "send"),
        ("2027-03-01T15:00:00", "send"),
        ("2027-03-01T19:59:59", "send"),
        ("2027-03-01T20:00:00", "2027-03-02T08:00"),
        ("2027-03-02T03:00:00", "2027-03-02T08:00"),
        ("2027-03-02T07:59:59", "2027-03-02T08:00"),
        ("2027-03-02T08:00:00", "send"),
        ("2027-03-03T10:00:00", "send"),
        ("2027-03-03T10:00:01", "2027-03-08T10:00"),
        ("2027-03-02T23:00:00", "2027-03-03T08:00"),
        ("2027-03-08T09:59:59", "2027-03-08T10:00"),
        ("2027-03-08T10:00:00", "send"),
        ("2027-03-08T10:15:00", "send"),
        ("2027-03-08T10:15:01", "2027-03-15T10:00"),
        ("2027-06-30T12:00:00", "2027-07-05T10:00"),
    ],
    ids=[
        "not due yet",
        "on the dot",
        "within the tolerance",
        "the same afternoon",
        "last second of the day window",
        "the evening waits for the morning",
        "the night waits for the morning",
        "just before the window",
        "as the window opens",
        "grace to the second",
        "one second past grace moves a week",
        "a night within grace",
        "just before the next slot",
        "slept exactly a week",
        "a week and the tolerance",
        "a week and more than the tolerance",
        "slept for months",
    ],
)
def test_a_late_weekly_lesson_goes_out_by_day_within_grace_and_else_at_the_next_slot(
    now: str, decision: str
) -> None:
    decided = COURSE.catch_up(date(2027, 3, 1), berlin(WEEKLY_DUE), berlin(now))
    assert decided == (SendNow() if decision == "send" else MoveTo(berlin(decision)))


@pytest.mark.parametrize(
    ("now", "decision"),
    [
        ("2027-03-01T07:30:00", "send"),
        ("2027-03-01T07:45:00", "send"),
        ("2027-03-01T07:45:01", "2027-03-01T08:00"),
        ("2027-03-01T12:00:00", "send"),
        ("2027-03-01T20:00:00", "2027-03-02T07:30"),
        ("2027-03-02T03:00:00", "2027-03-02T07:30"),
        ("2027-03-02T07:31:00", "send"),
        ("2027-03-02T12:00:00", "2027-03-03T07:30"),
        ("2027-03-20T12:00:00", "2027-03-21T07:30"),
    ],
    ids=[
        "an early slot is not held until eight",
        "nor within the tolerance",
        "late before eight waits for eight",
        "the same day",
        "after the window the day is lost",
        "the next night",
        "the next day's slot",
        "another day is past grace",
        "slept for weeks",
    ],
)
def test_a_late_daily_lesson_goes_out_the_same_day_or_at_the_next_slot(
    now: str, decision: str
) -> None:
    decided = DAILY.catch_up(date(2027, 3, 1), berlin(DAILY_DUE), berlin(now))
    assert decided == (SendNow() if decision == "send" else MoveTo(berlin(decision)))


@dataclass(frozen=True)
class Case:
    """One line of the table below; every case is anchored and due on Monday 1 March."""

    table: Timetable
    due: str
    now: str
    decision: str
    last_sent_on: str | None = None


def weekly_closed(*closed: str) -> Timetable:
    return replace(COURSE, closed=parse_closed(closed=list(closed)))


CASES = {
    "an evening slot in time is not held by the window": Case(
        Timetable(Weekly(0, time(22)), BERLIN), "2027-03-01T22:00", "2027-03-01T22:10", "send"
    ),
    "a late evening slot waits for the morning": Case(
        Timetable(Weekly(0, time(22)), BERLIN),
        "2027-03-01T22:00",
        "2027-03-01T22:30",
        "2027-03-02T08:00",
    ),
    "a morning past grace is no morning to wait for": Case(
        Timetable(Weekly(0, time(22)), BERLIN),
        "2027-03-01T22:00",
        "2027-03-03T20:30",
        "2027-03-08T22:00",
    ),
    "a closed day is not caught up on": Case(
        weekly_closed("2027-03-02"), WEEKLY_DUE, "2027-03-02T12:00", "2027-03-03T08:00"
    ),
    "closed until grace is over": Case(
        weekly_closed("2027-03-02..2027-03-03"),
        WEEKLY_DUE,
        "2027-03-02T12:00",
        "2027-03-08T10:00",
    ),
    "a slot that has closed since moves a step": Case(
        weekly_closed("2027-03-01"), WEEKLY_DUE, "2027-03-01T10:00", "2027-03-08T10:00"
    ),
    "no second lesson today": Case(
        COURSE, WEEKLY_DUE, "2027-03-01T15:00", "2027-03-02T08:00", "2027-03-01"
    ),
    "no second lesson today even on the dot": Case(
        COURSE, WEEKLY_DUE, "2027-03-01T10:00", "2027-03-02T08:00", "2027-03-01"
    ),
    "no second lesson on a day still to come": Case(
        COURSE, WEEKLY_DUE, "2027-03-01T09:00", "2027-03-02T08:00", "2027-03-01"
    ),
    "a clock set back sends no second lesson": Case(
        COURSE, WEEKLY_DUE, "2027-03-01T15:00", "2027-03-22T10:00", "2027-03-15"
    ),
    "a grace of its own": Case(
        replace(COURSE, grace=timedelta(hours=4)),
        WEEKLY_DUE,
        "2027-03-01T14:00:01",
        "2027-03-08T10:00",
    ),
    "no grace at all still has the tolerance": Case(
        replace(COURSE, grace=timedelta()), WEEKLY_DUE, "2027-03-01T10:15", "send"
    ),
    "no grace at all": Case(
        replace(COURSE, grace=timedelta()), WEEKLY_DUE, "2027-03-01T10:16", "2027-03-08T10:00"
    ),
    "a week of grace": Case(
        replace(COURSE, grace=timedelta(days=6)), WEEKLY_DUE, "2027-03-06T12:00", "send"
    ),
    "a slot comes before the morning": Case(
        replace(DAILY, grace=timedelta(days=3)), DAILY_DUE, "2027-03-01T21:00", "2027-03-02T07:30"
    ),
    "a grace of its own outlasts the day of a daily lesson": Case(
        replace(DAILY, grace=timedelta(days=3)), DAILY_DUE, "2027-03-02T12:00", "send"
    ),
    "every third day is late for two days like every week": Case(
        Timetable(EveryDays(3, time(7, 30)), BERLIN), DAILY_DUE, "2027-03-02T09:00", "send"
    ),
    "lateness counts from the slot and not from the morning it moved to": Case(
        COURSE, "2027-03-02T08:00", "2027-03-03T10:00:01", "2027-03-08T10:00"
    ),
    "the morning it moved to": Case(COURSE, "2027-03-03T08:00", "2027-03-03T08:00", "send"),
    "the last morning that grace allows": Case(
        Timetable(Weekly(0, time(8)), BERLIN), "2027-03-03T08:00", "2027-03-03T08:00", "send"
    ),
    "the last morning that a longer grace allows": Case(
        replace(COURSE, grace=timedelta(hours=70)), "2027-03-04T08:00", "2027-03-04T08:00", "send"
    ),
    "due before there was a slot": Case(
        COURSE, "2027-02-28T10:00", "2027-02-28T12:00", "2027-03-01T10:00"
    ),
    "grace is elapsed time across the change of the clocks": Case(
        Timetable(Weekly(5, time(12)), BERLIN), "2027-03-27T12:00", "2027-03-29T13:00", "send"
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_catching_up_keeps_to_the_rules(case: Case) -> None:
    last = None if case.last_sent_on is None else date.fromisoformat(case.last_sent_on)
    decided = case.table.catch_up(date(2027, 3, 1), berlin(case.due), berlin(case.now), last)
    assert decided == (SendNow() if case.decision == "send" else MoveTo(berlin(case.decision)))


def test_the_same_day_is_the_same_local_day_however_far_from_greenwich() -> None:
    daily = Timetable(DAILY_EARLY, APIA)
    at = wall_to_utc(date(2027, 3, 1), time(7, 30), APIA)
    afternoon = wall_to_utc(date(2027, 3, 1), time(15), APIA)
    assert at.date() != afternoon.date()
    assert daily.catch_up(date(2027, 3, 1), at, afternoon) == SendNow()


@dataclass(frozen=True)
class Sent:
    at: datetime
    due_at: datetime
    last_sent_on: date | None


def journey(
    table: Timetable, confirmed_at: datetime, sleeps: list[timedelta], lessons: int = 6
) -> Iterator[Sent]:
    """Live through a course as planning does, sleeping that long beyond each due instant."""
    anchor_on = table.anchor(confirmed_at)
    naps = iter(sleeps)
    due_at, last_sent_on = table.slot(anchor_on, 0), None
    now = confirmed_at
    for _ in range(lessons):
        for _ in range(len(sleeps) + 9):
            now = max(now, due_at) + next(naps, timedelta())
            decided = table.catch_up(anchor_on, due_at, now, last_sent_on)
            if isinstance(decided, SendNow):
                break
            assert decided.at > now
            due_at = decided.at
        else:
            pytest.fail(f"the lesson due at {due_at} is put off for ever")
        yield Sent(now, due_at, last_sent_on)
        last_sent_on = local_day(now, table.zone)
        due_at = table.next_due(anchor_on, now, last_sent_on)
        assert due_at > now


naps = st.one_of(
    st.just(timedelta()),
    st.builds(timedelta, minutes=st.integers(0, 40)),
    st.builds(timedelta, hours=st.integers(0, 80)),
    st.builds(timedelta, days=st.integers(0, 20), minutes=st.integers(0, 1439)),
)
graces = st.one_of(st.none(), st.builds(timedelta, hours=st.integers(0, 200)))


@settings(UNTIMED, max_examples=500)
@given(st.data(), st.lists(naps, max_size=12))
def test_whatever_sleeps_a_learner_gets_every_lesson_once_a_day_by_the_rules(
    data: st.DataObject, sleeps: list[timedelta]
) -> None:
    zone, cadence, grace = data.draw(zones), data.draw(cadences), data.draw(graces)
    confirmed_at = data.draw(moments_in(zone))
    table = Timetable(cadence, zone, data.draw(closures(confirmed_at.date())), grace)
    anchor_on = table.anchor(confirmed_at)
    journeyed = list(journey(table, confirmed_at, sleeps))

    assert len(journeyed) == 6
    for one, other in pairwise(local_day(sent.at, zone) for sent in journeyed):
        assert one < other
    slots = list(takewhile(lambda at: at <= journeyed[-1].at, table.slots(anchor_on)))
    for sent in journeyed:
        slot = max(at for at in slots if at <= sent.at)
        if sent.at - slot <= PUNCTUAL_WITHIN:
            continue
        missed = max(at for at in slots if at <= sent.due_at)
        local = sent.at.astimezone(zone)
        assert DAY_OPENS <= local.time() < DAY_SHUTS
        assert not table.closed.on(local.date())
        if grace is None and isinstance(cadence, EveryDays) and cadence.days == 1:
            assert local.date() == local_day(missed, zone)
        else:
            assert sent.at - missed <= (WEEKLY_GRACE if grace is None else grace)


@settings(UNTIMED)
@given(st.data())
def test_who_never_sleeps_gets_every_lesson_at_its_slot(data: st.DataObject) -> None:
    zone, cadence = data.draw(zones), data.draw(cadences)
    confirmed_at = data.draw(moments_in(zone))
    table = Timetable(cadence, zone, data.draw(closures(confirmed_at.date())))
    planned = islice(table.slots(table.anchor(confirmed_at)), 6)
    assert [sent.at for sent in journey(table, confirmed_at, [])] == list(planned)


@settings(UNTIMED, max_examples=400)
@given(st.data())
def test_deciding_again_changes_nothing(data: st.DataObject) -> None:
    zone, cadence, grace = data.draw(zones), data.draw(cadences), data.draw(graces)
    anchor_on = data.draw(days_in(zone))
    table = Timetable(cadence, zone, data.draw(closures(anchor_on)), grace)
    due_at = table.slot(anchor_on, data.draw(st.integers(0, 3)))
    now = due_at + data.draw(naps)
    last_sent_on = data.draw(
        st.one_of(
            st.none(), st.builds(lambda n: local_day(now, zone) + n * DAY, st.integers(-3, 3))
        )
    )
    decided = table.catch_up(anchor_on, due_at, now, last_sent_on)
    assert decided == table.catch_up(anchor_on, due_at, now, last_sent_on)
    if isinstance(decided, MoveTo):
        assert decided.at > now
        assert last_sent_on is None or local_day(decided.at, zone) > last_sent_on
        assert table.catch_up(anchor_on, decided.at, now, last_sent_on) == decided
        assert table.catch_up(anchor_on, decided.at, decided.at, last_sent_on) == SendNow()
    else:
        assert last_sent_on is None or local_day(now, zone) > last_sent_on


def test_instants_without_a_zone_are_refused_everywhere() -> None:
    naive, aware, day = datetime(2027, 3, 1, 10), berlin("2027-03-01T10:00"), date(2027, 3, 1)
    for ask in (
        lambda: COURSE.anchor(naive),
        lambda: next(COURSE.slots(day, naive)),
        lambda: COURSE.next_due(day, naive),
        lambda: COURSE.catch_up(day, naive, aware),
        lambda: COURSE.catch_up(day, aware, naive),
        lambda: COURSE.due_slots(naive, aware),
        lambda: COURSE.due_slots(aware, naive),
        lambda: yearly_days(naive, time(9), BERLIN),
    ):
        with pytest.raises(NaiveDatetimeError):
            ask()


@pytest.mark.parametrize("zone", [UTC, BERLIN, APIA], ids=str)
def test_instants_of_any_zone_give_answers_in_utc(zone: ZoneInfo) -> None:
    due_at, now = (berlin(t).astimezone(zone) for t in ("2027-03-27T10:00", "2027-03-29T03:00"))
    table = Timetable(Weekly(5, time(10)), BERLIN)
    decided = table.catch_up(date(2027, 3, 27), due_at, now)
    assert isinstance(decided, MoveTo)
    assert decided.at == berlin("2027-03-29T08:00")
    not_yet = table.catch_up(date(2027, 3, 27), due_at, due_at - DAY)
    assert isinstance(not_yet, MoveTo)
    answers = [
        decided.at,
        not_yet.at,
        table.next_due(date(2027, 3, 27), now),
        *table.due_slots(due_at - DAY, now),
        table.slot(date(2027, 3, 27), 0),
        yearly_days(now, time(0), BERLIN)[0].due_at,
    ]
    assert all(answer.tzinfo is UTC for answer in answers)


# --- birthdays and other yearly dates -----------------------------------------------------


@pytest.mark.parametrize(
    ("month", "day", "year", "rule", "on"),
    [
        (2, 29, 2027, "march-1", "2027-03-01"),
        (2, 29, 2028, "march-1", "2028-02-29"),
        (2, 29, 2100, "march-1", "2100-03-01"),
        (2, 29, 2000, "march-1", "2000-02-29"),
        (2, 29, 2027, "february-28", "2027-02-28"),
        (2, 29, 2028, "february-28", "2028-02-29"),
        (3, 1, 2027, "march-1", "2027-03-01"),
        (2, 28, 2027, "march-1", "2027-02-28"),
    ],
)
def test_a_leap_day_is_kept_on_its_day_or_by_the_rule(
    month: int, day: int, year: int, rule: LeapDayRule, on: str
) -> None:
    assert celebrated_on(month, day, year, rule) == date.fromisoformat(on)


@pytest.mark.parametrize(
    ("day", "rule", "kept"),
    [
        ("2027-03-01", "march-1", ((3, 1), (2, 29))),
        ("2028-03-01", "march-1", ((3, 1),)),
        ("2028-02-29", "march-1", ((2, 29),)),
        ("2027-02-28", "march-1", ((2, 28),)),
        ("2027-02-28", "february-28", ((2, 28), (2, 29))),
        ("2028-02-28", "february-28", ((2, 28),)),
        ("2027-03-01", "february-28", ((3, 1),)),
        ("2027-09-08", "march-1", ((9, 8),)),
    ],
)
def test_a_day_keeps_its_own_birthdays_and_a_leap_day_that_moved_here(
    day: str, rule: LeapDayRule, kept: tuple[tuple[int, int], ...]
) -> None:
    assert birthdays_on(date.fromisoformat(day), rule) == kept


def test_other_impossible_dates_are_not_guessed_at() -> None:
    with pytest.raises(ValueError, match="day"):
        celebrated_on(2, 30, 2027)
    with pytest.raises(ValueError, match="day"):
        celebrated_on(4, 31, 2028)


@pytest.mark.parametrize("rule", ["march-1", "february-28"])
def test_everyone_is_greeted_exactly_once_a_year_for_a_century(rule: LeapDayRule) -> None:
    leap_year = [date(2000, 1, 1) + n * DAY for n in range(366)]
    birthdays = sorted((day.month, day.day) for day in leap_year)
    for year in range(2000, 2101):
        first = date(year, 1, 1)
        year_round = [first + n * DAY for n in range((date(year + 1, 1, 1) - first).days)]
        greeted = [(born, day) for day in year_round for born in birthdays_on(day, rule)]
        assert sorted(born for born, _ in greeted) == birthdays
        assert all(celebrated_on(*born, year, rule) == day for born, day in greeted)


@pytest.mark.parametrize(
    ("now", "on"),
    [
        ("2027-05-10T08:59:59", ["2027-05-09"]),
        ("2027-05-10T09:00:00", ["2027-05-09", "2027-05-10"]),
        ("2027-05-10T23:59:59", ["2027-05-09", "2027-05-10"]),
        ("2027-05-11T00:00:00", ["2027-05-10"]),
        ("2028-01-01T09:00:00", ["2027-12-31", "2028-01-01"]),
        ("2027-03-28T09:00:00", ["2027-03-27", "2027-03-28"]),
    ],
    ids=[
        "before nine only yesterday's missed ones",
        "from nine on today's",
        "yesterday's until the day ends",
        "then they have lapsed",
        "over the turn of the year",
        "on the day the clocks change",
    ],
)
def test_a_birthday_is_greeted_on_the_day_or_one_day_late(now: str, on: list[str]) -> None:
    assert [kept.on for kept in yearly_days(berlin(now), time(9), BERLIN)] == days(*on)


def test_a_yearly_day_knows_when_it_is_due_and_lapses() -> None:
    assert yearly_days(berlin("2027-03-27T12:00"), time(9), BERLIN)[-1] == YearlyDay(
        on=date(2027, 3, 27),
        due_at=berlin("2027-03-27T09:00"),
        lapses_at=berlin("2027-03-29T00:00"),
    )


def test_how_late_a_yearly_mailing_may_be_is_the_callers_choice() -> None:
    now = berlin("2027-05-10T12:00")
    assert [kept.on for kept in yearly_days(now, time(9), BERLIN, 0)] == days("2027-05-10")
    assert [kept.on for kept in yearly_days(now, time(9), BERLIN, 2)] == days(
        "2027-05-08", "2027-05-09", "2027-05-10"
    )


def test_a_birthday_on_the_day_that_never_was_is_greeted_on_the_next() -> None:
    now = datetime(2011, 12, 31, 12, tzinfo=APIA)
    assert [kept.on for kept in yearly_days(now, time(9), APIA)] == days("2011-12-30", "2011-12-31")


@settings(UNTIMED, max_examples=60)
@given(st.data())
def test_a_tick_a_day_greets_every_day_once_however_irregular(data: st.DataObject) -> None:
    zone, at = data.draw(zones), data.draw(wall_times)
    now = begun = data.draw(moments_in(zone))
    greeted: list[date] = []
    for hours in data.draw(st.lists(st.integers(0, 23), min_size=20, max_size=60)):
        greeted += [kept.on for kept in yearly_days(now, at, zone) if kept.on not in greeted]
        now += timedelta(hours=hours)
    first, last = local_day(begun, zone), local_day(now - timedelta(hours=hours), zone)
    certain = [first + n * DAY for n in range((last - first).days)]
    assert [on for on in greeted if first <= on < last] == certain
    assert set(greeted) - set(certain) <= {first - DAY, last}


@settings(UNTIMED)
@given(st.data())
def test_a_yearly_day_is_offered_from_due_until_lapsed_and_never_else(data: st.DataObject) -> None:
    zone, at = data.draw(zones), data.draw(wall_times)
    now = data.draw(moments_in(zone))
    offered = {kept.on: kept for kept in yearly_days(now, at, zone)}
    for ago in range(-2, 5):
        on = local_day(now, zone) - ago * DAY
        due_at = wall_to_utc(on, at, zone)
        lapsed = local_day(now, zone) > on + DAY
        assert (on in offered) == (due_at <= now and not lapsed)
