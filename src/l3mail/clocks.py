"""The only module that reads the time: everything else is handed a `Clock` or a `now`.

It knows nothing of zones, schedules or the rest of the house.
"""

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

from l3mail.errors import NaiveDatetimeError


class Clock(Protocol):
    """Tells the time of day and measures durations, which are two different things."""

    def now(self) -> datetime:
        """Return the present instant as aware UTC; it may jump, also backwards."""
        ...

    def monotonic(self) -> float:
        """Return seconds since an arbitrary origin; only differences mean anything."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        """Return the present instant as aware UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return seconds that no correction of the time of day can turn back."""
        return time.monotonic()


class FixedClock:
    """A clock that stands still until told otherwise: for tests, demo and simulation."""

    def __init__(self, start: datetime) -> None:
        """Stand at `start`; a datetime without a zone raises `NaiveDatetimeError`."""
        self._now = _utc(start)
        self._elapsed = timedelta()

    def now(self) -> datetime:
        """Return the instant the clock stands at, as aware UTC."""
        return self._now

    def monotonic(self) -> float:
        """Return the seconds `advance` has let pass since the clock was made."""
        return self._elapsed.total_seconds()

    def advance(self, by: timedelta) -> None:
        """Let time pass, on both scales; a negative step raises `ValueError` (see `set`)."""
        if by < timedelta():
            raise ValueError(f"time does not pass backwards: {by!r}; use set() to correct a clock")
        self._now += by
        self._elapsed += by

    def set(self, to: datetime) -> None:
        """Correct the time of day, forwards or backwards, as NTP or an operator would.

        No time passes, so `monotonic` stays where it is.
        """
        self._now = _utc(to)


def _utc(moment: datetime) -> datetime:
    if moment.utcoffset() is None:
        raise NaiveDatetimeError(moment)
    return moment.astimezone(UTC)
