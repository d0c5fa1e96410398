"""Days that move with the calendar: `today`, `today - 30`, `this_week`, `days(today, today + 7)`.

Owns their words and which days they come to. Knows neither Python's syntax nor SQL.
"""

from dataclasses import dataclass
from datetime import date, timedelta
from itertools import groupby
from typing import Final

from l3mail.calendars import birthdays_on

TODAY: Final = "today"
BETWEEN: Final = "days"
EXAMPLE: Final = f"{BETWEEN}({TODAY}, {TODAY} + 7)"
FARTHEST_DAY: Final = 36_600
"""So many days from today may be counted: a hundred years."""

_UNITS: Final = ("week", "month", "year")
_TURNS: Final = {"last": -1, "this": 0, "next": 1}
SPANS: Final = tuple(f"{turn}_{unit}" for unit in _UNITS for turn in _TURNS)
"""Whole weeks, from Monday on, months and years: `this_week`, `last_month`, `next_year` …"""

WORDS: Final = (TODAY, *SPANS)

_A_LEAP_YEAR: Final = 2028
_BIRTHDAYS: Final = [date(_A_LEAP_YEAR, 1, 1) + timedelta(n) for n in range(366)]


@dataclass(frozen=True, slots=True)
class Today:
    """The local day on which a question is put, or one so many days after it."""

    offset: int = 0

    def __str__(self) -> str:
        """Write it as it is written in a question."""
        if not self.offset:
            return TODAY
        return f"{TODAY} {'+' if self.offset > 0 else '-'} {abs(self.offset)}"


Day = str | Today
"""A day of the calendar, `2026-11-21`, or one counted from today."""


@dataclass(frozen=True, slots=True)
class Span:
    """All days of a `word`, or else those from `first` to `last`, both included."""

    word: str = ""
    first: Day = ""
    last: Day = ""

    def __str__(self) -> str:
        """Write it as it is written in a question."""
        return self.word or f"{BETWEEN}({_written(self.first)}, {_written(self.last)})"


def on(day: Day, today: date) -> date:
    """The day that is meant when the local day is `today`."""
    if isinstance(day, Today):
        return today + timedelta(days=day.offset)
    return date.fromisoformat(day)


def ends(span: Span, today: date) -> tuple[date, date]:
    """The first and the last day of a span when the local day is `today`."""
    if not span.word:
        return on(span.first, today), on(span.last, today)
    turn, unit = span.word.split("_")
    step = _TURNS[turn]
    if unit == "week":
        monday = today - timedelta(days=today.weekday()) + timedelta(weeks=step)
        return monday, monday + timedelta(days=6)
    if unit == "month":
        months = today.year * 12 + today.month - 1 + step
        return _first(months), _first(months + 1) - timedelta(days=1)
    return date(today.year + step, 1, 1), date(today.year + step, 12, 31)


def is_backwards(span: Span) -> bool:
    """Whether a span ends before it begins, on whatever day it is asked."""
    match span.first, span.last:
        case Today(first), Today(last):
            return last < first
        case str(begins), str(ending):
            return bool(begins) and ending < begins
    return False


def birthdays(first: date, last: date) -> list[tuple[int, int]]:
    """The birthdays kept on these days, each month * 100 + day: runs of them, first and last.

    None where the last day is before the first. Who was born on 29 February has the day on 1 March
    of other years.
    """
    days = (first + timedelta(n) for n in range(min((last - first).days, len(_BIRTHDAYS)) + 1))
    kept = {birthday for day in days for birthday in birthdays_on(day)}
    runs = groupby(_BIRTHDAYS, lambda day: (day.month, day.day) in kept)
    found = [list(run) for is_kept, run in runs if is_kept]
    return [(run[0].month * 100 + run[0].day, run[-1].month * 100 + run[-1].day) for run in found]


def _first(months: int) -> date:
    return date(months // 12, months % 12 + 1, 1)


def _written(day: Day) -> str:
    return str(day) if isinstance(day, Today) else f'"{day}"'
