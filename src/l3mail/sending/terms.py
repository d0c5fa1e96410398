"""Under which rules and at what pace a sender works: values, and nothing that acts."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from l3mail.outbox import Gate, Uncertainty
from l3mail.planning import NO_RESTRAINT, Restraint
from l3mail.sending.dialogue import Timeouts
from l3mail.sending.rates import Limits


@dataclass(frozen=True, slots=True)
class Pace:
    """How long the sender waits for what, in seconds.

    `idle` is how long an open connection waits for more, `quit` how long a relay may take to
    say goodbye, `grace` how long dialogues may take to end when the sender is asked to stop;
    `down` are the pauses between attempts at a relay that is down, the last one repeating.
    """

    poll: float = 1.0
    heartbeat: float = 30.0
    idle: float = 10.0
    quit: float = 5.0
    grace: float = 30.0
    down: tuple[float, ...] = (1.0, 2.0, 5.0, 15.0, 30.0, 60.0)


@dataclass(frozen=True, slots=True)
class Terms:
    """Under which rules one process sends: who it is, whom it may mail, how much at once.

    A connection carries at most `messages_per_connection` mails, and parts after the one it is at
    when `connection_age` seconds are over. `alone` is true for the holder of the lock that only one
    sender can hold. `measures` is whether mails measure those who agreed to it, `restraint` what
    people are spared.
    """

    owner: str
    envelope_from: str
    staff: frozenset[str]
    fallback_locale: str
    policy: Mapping[str, Uncertainty]
    timeouts: Timeouts
    connections: int = 10
    messages_per_connection: int = 100
    connection_age: float = math.inf
    limits: Limits = field(default_factory=Limits)
    alone: bool = True
    measures: bool = False
    restraint: Restraint = NO_RESTRAINT
    pace: Pace = field(default_factory=Pace)

    def gate(self, now: datetime) -> Gate:
        """What the last check before SMTP needs to know at this moment."""
        return Gate(
            self.owner, now, self.staff, self.fallback_locale, self.measures, self.restraint
        )
