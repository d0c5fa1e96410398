"""What a sender has come to so far: values that others read while it runs."""

from collections import Counter
from dataclasses import dataclass, field

from l3mail.outbox import Outcome


@dataclass(slots=True)
class Tally:
    """What a run came to: attempts by outcome, rows found of dead senders, the relay's fault.

    `relay_fault` is what the relay last said when no connection to it could be opened; `slowed_to`
    are the mails a second it lets us send since it asked for patience, None while it does not.
    """

    outcomes: Counter[Outcome] = field(default_factory=Counter)
    taken_over: int = 0
    relay_fault: str | None = None
    slowed_to: float | None = None
    _told: Counter[Outcome] = field(default_factory=Counter)

    @property
    def has_news(self) -> bool:
        """Whether anything was handed over since `news` was asked last."""
        return self.outcomes != self._told

    def news(self) -> str:
        """All that was handed over since this was asked last, in words; "" for nothing."""
        new = self.outcomes - self._told
        self._told = self.outcomes.copy()
        words = ", ".join(f"{n} {outcome}" for outcome, n in sorted(new.items()))
        return f"handed over {new.total()}: {words}" if new else ""
