"""Days that move with the calendar: what today, this week and the last thirty days select."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from l3mail import segments
from l3mail.calendars import celebrated_on
from l3mail.database import Database
from l3mail.errors import SegmentError
from l3mail.models import SUBSCRIBER
from l3mail.segments import Attribute, Vocabulary, parse
from l3mail.segments.days import SPANS, Span, Today, birthdays, ends
from tests.fakes.village import BACKENDS, Village, ground

BERLIN = ZoneInfo("Europe/Berlin")
WORDS = Vocabulary(attributes={"since": Attribute("date"), "role": Attribute("text")})


@pytest.fixture(scope="module", params=BACKENDS)
def database(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Database]:
    with ground(request.param, tmp_path_factory.mktemp("days")) as database:
        yield database


@pytest.fixture(scope="module")
def town(database: Database) -> Village:
    """Somebody born on each of some days, who came at ten on that day of 2026; and one unborn."""
    village = Village(database)
    village.empty()
    for month, day in BORN:
        came = date(2026, month, 28 if (month, day) == (2, 29) else day)
        village.insert(
            SUBSCRIBER,
            address=f"{month:02d}-{day:02d}@schule.example",
            birth_month=month,
            birth_day=day,
            created_at=datetime(
                2026, month, came.day, 23, 30, tzinfo=UTC
            ),  # the next day in Berlin
            attributes={"since": came.isoformat()},
        )
    village.insert(
        SUBSCRIBER,
        address="nobody@schule.example",
        created_at=datetime(2020, 1, 1, tzinfo=UTC),
        attributes={"since": "soon"},
    )
    return village


BORN = ((1, 1), (1, 4), (2, 27), (2, 28), (2, 29), (3, 1), (3, 2), (11, 23), (12, 28), (12, 31))


def selected(village: Village, text: str, today: date) -> str:
    """Whom a question selects at noon of a local day, by the first part of their address."""
    noon = datetime(today.year, today.month, today.day, 11, tzinfo=UTC)
    question = segments.compile(parse(text, WORDS), noon, BERLIN, "off")
    rows = village.ask(select(SUBSCRIBER.c.address, question.yes).order_by(SUBSCRIBER.c.id))
    assert not [row for row in rows if row[1] is None]
    return " ".join(row[0].split("@")[0] for row in rows if row[1])


MONDAY = date(2026, 11, 23)
NEW_YEAR = date(2026, 12, 31)  # a Thursday

ASKED: list[tuple[str, date, str]] = [
    ("birthday == today", MONDAY, "11-23"),
    ("birthday == today - 1", date(2026, 11, 24), "11-23"),
    ("birthday in [today, today + 1]", NEW_YEAR, "01-01 12-31"),
    ("birthday == today", date(2027, 2, 28), "02-28"),
    ("birthday == today", date(2027, 3, 1), "02-29 03-01"),
    ("birthday == today", date(2028, 2, 29), "02-29"),
    ("birthday == today", date(2028, 3, 1), "03-01"),
    ("birthday == today + 1", date(2027, 2, 28), "02-29 03-01"),
    ("birthday in this_week", MONDAY, "11-23"),
    ("birthday in this_week", date(2026, 11, 29), "11-23"),
    ("birthday in this_week", date(2026, 11, 30), ""),
    ("birthday in last_week", date(2026, 11, 30), "11-23"),
    ("birthday in this_week", NEW_YEAR, "01-01 12-28 12-31"),
    ("birthday in next_week", NEW_YEAR, "01-04"),
    ("birthday in this_week", date(2027, 2, 28), "02-27 02-28"),
    ("birthday in this_week", date(2027, 3, 1), "02-29 03-01 03-02"),
    ("birthday in this_month", date(2027, 2, 5), "02-27 02-28"),
    ("birthday in this_month", date(2028, 2, 5), "02-27 02-28 02-29"),
    ("birthday in next_month", NEW_YEAR, "01-01 01-04"),
    ("birthday in last_month", date(2027, 1, 31), "12-28 12-31"),
    ("birthday in days(today, today + 7)", NEW_YEAR, "01-01 01-04 12-31"),
    ('birthday in days("2026-12-28", today)', NEW_YEAR, "12-28 12-31"),
    ('birthday in days(today, "2026-12-28")', NEW_YEAR, ""),
    ("birthday in this_year", MONDAY, " ".join(f"{m:02d}-{d:02d}" for m, d in BORN)),
    ("birthday not in this_year", MONDAY, "nobody"),
    ('birthday in this_week or birthday == ""', MONDAY, "11-23 nobody"),
    ("attrs.since == today", MONDAY, "11-23"),
    ("attrs.since >= today - 1", date(2026, 12, 29), "12-28 12-31"),
    ("attrs.since > today", date(2026, 12, 1), "12-28 12-31"),
    ("today <= attrs.since <= today + 30", MONDAY, "11-23"),
    ("attrs.since in this_week", date(2026, 2, 28), "02-27 02-28 02-29 03-01"),
    ("attrs.since in next_year", date(2025, 5, 5), " ".join(f"{m:02d}-{d:02d}" for m, d in BORN)),
    ("attrs.since in days(today - 7, today)", date(2026, 1, 4), "01-01 01-04"),
    ('attrs.since in [today, "2026-01-04"]', date(2026, 1, 1), "01-01 01-04"),
    ("attrs.since < today", date(1999, 1, 1), ""),
    # Who came at 23:30 UTC in winter came on the next local day.
    ("joined == today", date(2026, 11, 24), "11-23"),
    ("joined == today", MONDAY, ""),
    ("joined in days(today, today + 5)", date(2026, 2, 28), "02-27 02-28 02-29 03-01 03-02"),
    ("joined in [today, today + 1]", date(2026, 2, 28), "02-27 02-28 02-29"),
    ("joined in this_week", date(2026, 11, 24), "11-23"),
    ("joined >= today - 30 and joined < today", date(2026, 12, 1), "11-23"),
    ('joined <= "2020-01-01"', MONDAY, "nobody"),
    ('joined > "2026-12-28"', MONDAY, "12-28 12-31"),
    (
        'joined >= "0001-01-01" and joined <= "9999-12-31" and joined < "2021-01-01"',
        MONDAY,
        "nobody",
    ),
    ('joined == "" or joined in days("9999-12-31", "9999-12-31")', MONDAY, ""),
    ("joined not in this_year", MONDAY, "12-31 nobody"),
]


@pytest.mark.parametrize(("text", "today", "people"), ASKED, ids=lambda value: str(value)[:60])
def test_days_are_local_days_of_the_moment_that_is_asked(
    town: Village, text: str, today: date, people: str
) -> None:
    assert selected(town, text, today) == people


@given(
    born=st.dates(date(2028, 1, 1), date(2028, 12, 31)),
    first=st.dates(date(1950, 1, 1), date(2100, 1, 1)),
    length=st.integers(-2, 400),
)
def test_a_birthday_is_in_a_span_when_it_is_kept_on_one_of_its_days(
    born: date, first: date, length: int
) -> None:
    last = first + timedelta(days=length)
    kept = any(
        first <= celebrated_on(born.month, born.day, year) <= last
        for year in range(first.year, last.year + 1)
    )
    code = born.month * 100 + born.day
    assert any(begin <= code <= end for begin, end in birthdays(first, last)) is kept


@given(today=st.dates(date(1950, 1, 1), date(2100, 1, 1)))
def test_weeks_months_and_years_follow_each_other_without_a_gap(today: date) -> None:
    for last, this, following in zip(SPANS[::3], SPANS[1::3], SPANS[2::3], strict=True):
        spans = [ends(Span(word), today) for word in (last, this, following)]
        assert spans[1][0] <= today <= spans[1][1]
        for before, after in pairwise(spans):
            assert after[0] - before[1] == timedelta(days=1)


@pytest.mark.parametrize(
    ("text", "column", "problem"),
    [
        ("birthday in this_weak", 13, 'did you mean "this_week"?'),
        ("attrs.since >= todays", 16, 'did you mean "today"?'),
        ("birthdy in this_week", 1, '"birthdy" is not known; did you mean "birthday"?'),
        ("birthday <= today + 7", 1, "write birthday in days(today, today + 7)"),
        ("today <= birthday <= today + 7", 10, "write birthday in days(today, today + 7)"),
        ("age >= today", 8, "expected a whole number as 60"),
        ("attrs.role in this_week", 15, 'this_week are days; expected a text in quotes as "x"'),
        ("attrs.since >= today - 1.5", 16, "whole days are counted from today, as in today - 30"),
        ("attrs.since >= today * 2", 16, "whole days are counted from today, as in today - 30"),
        ("attrs.since >= today - 30 - 1", 16, "nothing is calculated here"),
        ("attrs.since >= today - 36601", 16, "at most 36600 days are counted from today"),
        ("attrs.since in days(today)", 16, "expected the first and the last day; write days("),
        ('attrs.since in days("", today)', 21, 'expected a day as "2026-11-21" or today - 30'),
        ("birthday in days(today + 7, today)", 29, "the last day is before the first"),
        ("days(today, today)", 1, "days stands after in; write birthday in days("),
        ("this_week", 1, "this_week is no question; write birthday in this_week"),
        ("today", 1, "today is no question; write joined >= today - 30"),
        ("joined in [this_week]", 12, "this_week are several days; write in this_week"),
        ("today()", 1, '"today" is no function; write it without brackets'),
        ("birthday == this_week", 13, "this_week are several days; write in this_week"),
    ],
)
def test_a_day_that_makes_no_sense_is_named_with_what_to_write(
    text: str, column: int, problem: str
) -> None:
    with pytest.raises(SegmentError) as caught:
        parse(text, WORDS)
    assert problem in caught.value.problem
    assert caught.value.column == column


def test_days_are_written_as_they_are_read() -> None:
    written: dict[Any, str] = {
        Today(): "today",
        Today(-30): "today - 30",
        Span("this_week"): "this_week",
        Span("", "2026-12-01", Today(7)): 'days("2026-12-01", today + 7)',
    }
    assert {one: str(one) for one in written} == written
