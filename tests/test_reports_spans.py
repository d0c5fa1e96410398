"""Weeks as people count them: ISO weeks of a zone, across summer time and the year's end."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l3mail.errors import ReportError
from l3mail.reports import spans

BERLIN = ZoneInfo("Europe/Berlin")
LATER = datetime(2030, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("week", "first", "last", "hours"),
    [
        ("2026-W47", date(2026, 11, 16), date(2026, 11, 22), 168),
        ("2026-W53", date(2026, 12, 28), date(2027, 1, 3), 168),
        ("2027-W01", date(2027, 1, 4), date(2027, 1, 10), 168),
        ("2026-W13", date(2026, 3, 23), date(2026, 3, 29), 167),
        ("2026-W43", date(2026, 10, 19), date(2026, 10, 25), 169),
    ],
)
def test_a_week_runs_from_monday_to_sunday_by_the_zone(
    week: str, first: date, last: date, hours: int
) -> None:
    span = spans.week(week, BERLIN, LATER)
    assert (span.first_on, span.last_on, span.week) == (first, last, week)
    assert span.since.astimezone(BERLIN).hour == 0
    assert (span.until - span.since) == timedelta(hours=hours)
    assert span.is_over


@given(st.datetimes(datetime(1990, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)))
def test_the_last_week_is_over_and_names_itself(now: datetime) -> None:
    span = spans.last_week(now, BERLIN)
    assert span.is_over
    assert span.until <= now < span.until + timedelta(days=7, hours=1)
    assert spans.week(span.week, BERLIN, now) == span
    assert spans.before(span, BERLIN).until == span.since


def test_the_present_week_is_told_until_now() -> None:
    now = datetime(2026, 11, 18, 12, tzinfo=UTC)
    span = spans.week("2026-W47", BERLIN, now)
    assert (span.until, span.is_over) == (now, False)
    assert spans.before(span, BERLIN).week == "2026-W46"
    assert spans.before(span, BERLIN).is_over


@pytest.mark.parametrize(
    "text", ["2026-W54", "2026-W00", "47", "", "2026-47", "9999-W52", "٢٠٢٦-W47"]
)
def test_what_is_no_week_is_refused_with_one_that_is(text: str) -> None:
    with pytest.raises(ReportError, match="is no week; write it such as 2029-W52"):
        spans.week(text, BERLIN, LATER)


def test_weeks_to_come_have_no_report() -> None:
    with pytest.raises(ReportError, match="is to come"):
        spans.week("2030-W02", BERLIN, LATER)


def test_any_days_are_compared_with_as_many_before_them() -> None:
    november = spans.days(date(2026, 11, 1), date(2026, 11, 30), BERLIN, LATER)
    before = spans.before(november, BERLIN)
    assert (before.first_on, before.last_on) == (date(2026, 10, 2), date(2026, 10, 31))
    assert (november.week, november.name) == ("", "2026-11-01..2026-11-30")
    with pytest.raises(ReportError, match="lies before"):
        spans.days(date(2026, 11, 2), date(2026, 11, 1), BERLIN, LATER)
