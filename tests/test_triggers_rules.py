"""Rules as they are written, and the moments that follow from them in every zone and season."""

from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l3mail.errors import TriggerError
from l3mail.triggers import rules
from l3mail.triggers.rules import Rule

ZONES = [ZoneInfo(name) for name in ("Europe/Berlin", "America/Santiago", "Asia/Tokyo", "UTC")]
MOMENTS = st.datetimes(datetime(2025, 1, 1), datetime(2033, 1, 1), timezones=st.just(UTC))
TIMES = st.builds(time, st.integers(0, 23), st.sampled_from([0, 15, 30, 59]))
AFTER = st.sampled_from([timedelta(n) for n in (0, 1, 2, 30)]) | st.sampled_from(
    [timedelta(minutes=30), timedelta(hours=36)]
)
DAY = timedelta(days=1)


@given(at=MOMENTS, clock=TIMES, after=AFTER, zone=st.sampled_from(ZONES))
def test_a_fact_is_answered_by_the_one_slot_whose_facts_it_is_among(
    at: datetime, clock: time, after: timedelta, zone: ZoneInfo
) -> None:
    rule = Rule("interested", timedelta(days=7), after=after, at=clock)
    due_at = rules.due_after(rule, at, zone)
    occasion = rules.occasion_on(rule, due_at.astimezone(zone).date(), zone)
    assert occasion.due_at == due_at
    first, last = rules.facts_of(rule, occasion, zone)
    assert first < at <= last
    days = (due_at.astimezone(zone).date() - at.astimezone(zone).date()).days
    if after and not after % DAY:
        assert days == after.days
    else:
        assert timedelta() <= due_at - at - after <= DAY + timedelta(hours=2)
    following = rules.next_occasion(rule, due_at, zone)
    assert rules.facts_of(rule, following, zone)[0] == last


@given(
    born=st.sampled_from([(2, 29), (3, 1), (2, 28), (12, 31), (1, 1), (3, 28)]),
    since=MOMENTS,
    clock=TIMES,
    zone=st.sampled_from(ZONES),
    nap=st.integers(1, 23),
)
def test_a_yearly_day_has_one_occasion_a_year_whoever_looks_when(
    born: tuple[int, int], since: datetime, clock: time, zone: ZoneInfo, nap: int
) -> None:
    """Looked for every few hours over a year, from any moment on."""
    rule = Rule("yearly", DAY, at=clock, on=born)
    found = set()
    for step in range(366 * 24 // nap + 2):
        now = since + timedelta(hours=nap * step)
        found.update(rules.occasions(rule, now, zone, since))
    years = [one.on.year for one in found]
    assert len(set(years)) == len(years)
    assert 1 <= len(years) <= 2
    coming = rules.next_occasion(rule, since, zone)
    assert coming in found or coming.due_at > since + timedelta(days=366)
    assert all(one.shown_at(zone) < one.due_at < one.lapses_at for one in found)


WRITTEN: dict[str, tuple[dict[str, Any], str]] = {
    "birthday": (
        {"trigger": "birthday", "once": "yearly"},
        "on each person's birthday, at 09:00, once a year, at most 1d late",
    ),
    "yearly": (
        {"trigger": "yearly", "on": "09-08", "at": "10:30", "approval": "required"},
        "every year on 09-08, at 10:30, at most 2d late, after approval",
    ),
    "joined its stream": (
        {"trigger": "joined", "after": "90m", "approval": "auto"},
        "when somebody joined lifecycle, 90m later, at most 1w late",
    ),
    "a fact that needs approval": (
        {"trigger": "finished", "of": "kurs", "approval": "required", "once": "ever"},
        "when somebody finished kurs, at 09:00, once ever, at most 1w late, after approval",
    ),
    "silence": (
        {"trigger": "inactive", "after": "12w", "segment": "senioren", "valid_for": "36h"},
        "when somebody was not seen for 12w, at 09:00, to senioren, at most 36h late",
    ),
}


@pytest.mark.parametrize(("written", "words"), WRITTEN.values(), ids=WRITTEN)
def test_a_rule_is_told_in_words(written: dict[str, Any], words: str) -> None:
    assert rules.read(written).in_words("lifecycle") == words


@pytest.mark.parametrize(
    "written",
    [
        {},
        {"trigger": "joined", "after": "soon"},
        {"trigger": "birthday", "at": "noon"},
        {"trigger": "yearly", "on": "x-y"},
    ],
)
def test_what_can_not_be_followed_is_refused_in_a_line(written: dict[str, str]) -> None:
    with pytest.raises(TriggerError, match="the rule can't be followed"):
        rules.read(written)


def test_hours_of_validity_are_hours_and_days_are_local_days() -> None:
    zone = ZoneInfo("Europe/Berlin")
    day = datetime(2027, 3, 27, tzinfo=UTC).date()
    for valid_for, expected in {
        timedelta(hours=12): "2027-03-27 21:00",
        timedelta(days=1): "2027-03-29 00:00",  # the 28th has 23 hours
        timedelta(hours=36): "2027-03-28 22:00",
    }.items():
        rule = Rule("birthday", valid_for, at=time(9))
        lapses_at = rules.occasion_on(rule, day, zone).lapses_at
        assert f"{lapses_at.astimezone(zone):%Y-%m-%d %H:%M}" == expected
