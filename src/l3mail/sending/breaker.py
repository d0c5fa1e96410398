"""Whether a relay is worth trying: closed while it works, open after a failure, then half open.

Pure: time is passed in as monotonic seconds. Half open, one connection carries one mail as a
probe; its answer closes the breaker, its failure opens it again for a longer while.
"""

from collections.abc import Sequence
from enum import StrEnum


class State(StrEnum):
    """How far the relay is trusted."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half open"


class Breaker:
    """Counts failures in a row and says when the next try may be."""

    def __init__(self, pauses: Sequence[float]) -> None:
        """`pauses` are seconds between failures; the last one repeats for days."""
        self.fault: str | None = None
        self.patient = True
        self._pauses = pauses
        self._failures = 0
        self._not_before = 0.0

    def state(self, now: float) -> State:
        """Closed without a failure, open until its pause is over; the impatient try only once."""
        if self._failures == 0:
            return State.CLOSED
        if now < self._not_before or (self.fault is not None and not self.patient):
            return State.OPEN
        return State.HALF_OPEN

    def trip(self, fault: str, now: float) -> float:
        """Count a failure, and return the seconds until the next try."""
        pause = self._pauses[min(self._failures, len(self._pauses) - 1)]
        self._failures += 1
        self._not_before = now + pause
        self.fault = fault
        return pause

    def answered(self) -> None:
        """A connection could be opened: nothing is wrong that we know of, and little is proved."""
        self._not_before, self.fault = 0.0, None

    def close(self) -> bool:
        """A mail met an answer of its own: the relay works. Whether that is news."""
        news = self._failures > 0
        self._failures = 0
        self.answered()
        return news
