"""Which stretch of time a report tells of: an ISO week, or any local days in a row.

Pure: knows weeks and days of a zone, and no row. A week runs from Monday 00:00 to Sunday 24:00 by
the zone's clocks, so it has 167 or 169 hours where they are changed.
"""

import re
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from l3mail.calendars import wall_to_utc
from l3mail.errors import ReportError, quoted

_WEEK = re.compile(r"(\d{4})-?W(\d{1,2})", re.ASCII | re.IGNORECASE)
_DAYS = timedelta(weeks=1)
_LONGEST = timedelta(days=3660)
_LAST_YEAR = 9990  # far from where date arithmetic overflows


@dataclass(frozen=True, slots=True)
class Span:
    """Local days from `first_on` to `last_on`, both included.

    Reports count from `since` until before `until`, which is now where the days are not over
    (`is_over` False). `week` is such as "2026-W47", "" where it is no ISO week.
    """

    first_on: date
    last_on: date
    since: datetime
    until: datetime
    is_over: bool
    week: str = ""

    @property
    def name(self) -> str:
        """What files and occurrences call it: `2026-W47` or `2026-11-01..2026-11-30`."""
        return self.week or f"{self.first_on}..{self.last_on}"


def days(first_on: date, last_on: date, zone: ZoneInfo, now: datetime) -> Span:
    """The days named; raises ReportError where they are reversed, to come, or beyond ten years."""
    if last_on < first_on:
        raise ReportError(f"{last_on} lies before {first_on}; name the earlier day first")
    if last_on - first_on > _LONGEST:
        raise ReportError("a report tells of ten years at most; name days closer to each other")
    since = wall_to_utc(first_on, time(), zone)
    end = wall_to_utc(last_on + timedelta(days=1), time(), zone)
    if since > now:
        raise ReportError(f"{first_on} is to come; there is nothing to report of it yet")
    is_week = first_on.isoweekday() == 1 and last_on - first_on == _DAYS - timedelta(days=1)
    return Span(first_on, last_on, since, min(end, now), end <= now, _name(first_on, is_week))


def _name(first_on: date, is_week: bool) -> str:
    year, week, _ = first_on.isocalendar()
    return f"{year}-W{week:02d}" if is_week else ""


def week_of(day: date, zone: ZoneInfo, now: datetime) -> Span:
    """The ISO week a local day is in."""
    monday = day - timedelta(days=day.weekday())
    return days(monday, monday + _DAYS - timedelta(days=1), zone, now)


def week(text: str, zone: ZoneInfo, now: datetime) -> Span:
    """The week that `2026-W47` names; raises ReportError for another text and for weeks to come."""
    match = _WEEK.fullmatch(text.strip())
    try:
        monday = date.fromisocalendar(int(match[1]), int(match[2]), 1) if match else None
    except ValueError:
        monday = None
    if monday is None or monday.year >= _LAST_YEAR:
        last = last_week(now, zone).week
        raise ReportError(f"{quoted(text)} is no week; write it such as {last}")
    return week_of(monday, zone, now)


def last_week(now: datetime, zone: ZoneInfo) -> Span:
    """The last week that is over."""
    return week_of(now.astimezone(zone).date() - _DAYS, zone, now)


def before(span: Span, zone: ZoneInfo) -> Span:
    """As many days just before: what a span is compared with."""
    length = span.last_on - span.first_on + timedelta(days=1)
    return days(
        span.first_on - length, span.first_on - timedelta(days=1), zone, max(span.until, span.since)
    )
