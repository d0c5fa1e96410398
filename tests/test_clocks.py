"""The clock: the one door to the time, and the one that stands still for tests."""

import math
import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone, tzinfo

import pytest
from freezegun import freeze_time

from l3mail.clocks import Clock, FixedClock, SystemClock
from l3mail.errors import L3mailError, NaiveDatetimeError

NOON = datetime(2027, 3, 29, 12, 0, tzinfo=UTC)
BERLIN_SUMMER = timezone(timedelta(hours=2))


class NoOffset(tzinfo):
    """A zone object that knows no offset, which Python counts as naive."""

    def utcoffset(self, _moment: datetime | None) -> None:
        return None

    dst = utcoffset

    def tzname(self, _moment: datetime | None) -> None:
        return None


def test_both_clocks_are_clocks() -> None:
    clocks: list[Clock] = [SystemClock(), FixedClock(NOON)]  # mypy holds the protocol
    assert all(clock.now().tzinfo is UTC for clock in clocks)


def test_the_system_clock_tells_aware_utc() -> None:
    with freeze_time("2027-03-29 08:00:00"):
        assert SystemClock().now() == datetime(2027, 3, 29, 8, 0, tzinfo=UTC)
        assert SystemClock().now().tzinfo is UTC


def test_the_system_clock_measures_durations_in_seconds() -> None:
    with freeze_time("2027-03-29 08:00:00") as frozen:
        clock = SystemClock()
        began = clock.monotonic()
        frozen.tick(timedelta(seconds=2.5))
        assert math.isclose(clock.monotonic() - began, 2.5)


def test_a_fixed_clock_stands_still() -> None:
    clock = FixedClock(NOON)
    assert (clock.now(), clock.monotonic()) == (NOON, 0.0)
    assert (clock.now(), clock.monotonic()) == (NOON, 0.0)


def test_advancing_lets_time_pass_on_both_scales() -> None:
    clock = FixedClock(NOON)
    clock.advance(timedelta(hours=1))
    clock.advance(timedelta(milliseconds=250))
    assert clock.now() == NOON + timedelta(hours=1, milliseconds=250)
    assert clock.monotonic() == 3600.25


def test_time_cannot_be_advanced_backwards() -> None:
    clock = FixedClock(NOON)
    with pytest.raises(ValueError, match="does not pass backwards"):
        clock.advance(timedelta(microseconds=-1))
    assert (clock.now(), clock.monotonic()) == (NOON, 0.0)


@pytest.mark.parametrize("jump", [timedelta(days=-3), timedelta(days=3)], ids=["back", "forward"])
def test_setting_corrects_the_time_of_day_but_no_duration(jump: timedelta) -> None:
    clock = FixedClock(NOON)
    clock.advance(timedelta(seconds=7))
    clock.set(NOON + jump)
    assert clock.now() == NOON + jump
    assert clock.monotonic() == 7.0
    clock.advance(timedelta(seconds=1))
    assert clock.now() == NOON + jump + timedelta(seconds=1)
    assert clock.monotonic() == 8.0


def test_an_aware_datetime_of_any_zone_is_told_in_utc() -> None:
    clock = FixedClock(datetime(2027, 3, 29, 14, 0, tzinfo=BERLIN_SUMMER))
    assert clock.now() == NOON
    assert clock.now().tzinfo is UTC
    clock.set(datetime(2027, 3, 29, 15, 0, tzinfo=BERLIN_SUMMER))
    assert clock.now().isoformat() == "2027-03-29T13:00:00+00:00"


@pytest.mark.parametrize("zone", [None, NoOffset()], ids=["no zone", "zone without offset"])
def test_a_datetime_without_zone_is_refused(zone: tzinfo | None) -> None:
    naive = datetime(2027, 3, 29, 12, 0, tzinfo=zone)
    with pytest.raises(NaiveDatetimeError, match="names no zone") as caught:
        FixedClock(naive)
    assert caught.value.moment is naive
    assert isinstance(caught.value, L3mailError)
    clock = FixedClock(NOON)
    with pytest.raises(NaiveDatetimeError):
        clock.set(naive)
    assert clock.now() == NOON


def test_importing_the_clock_loads_no_part_of_the_house_but_errors() -> None:
    program = "import sys, l3mail.clocks; print(*sorted(m for m in sys.modules if 'l3mail.' in m))"
    loaded = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    assert loaded.stdout.split() == ["l3mail.clocks", "l3mail.errors"]
