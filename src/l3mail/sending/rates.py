"""How many mails may begin now: rates agreed on, and the one a relay asks for by its answers.

Pure: time is passed in as monotonic seconds. Counts one process; several workers count apart.
"""

import math
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

UNLIMITED = 1_000_000
"""What `room` says where nothing limits."""

GRAINS = 60
"""Into so many parts a window is divided: what began in the same part is forgotten together."""

ANSWERS_LOOKED_AT = 20
COMPLAINTS_ENDURED = 3
"""So many answers that ask for patience, among the last ones, halve the rate."""

DOMAINS_KEPT = 1000
"""With so many domains counted, those that got nothing for a minute are forgotten."""

SLOWEST = 0.1
"""Mails a second that no relay can talk us out of: it would never learn that it's well again."""

CATCHING_UP_SECONDS = 0.1
"""For so long an unused rate is not lost: the sender's turns are not evenly spaced."""

MEASURED_SECONDS = 5.0
REST_SECONDS = 5.0
"""After a halving, answers to what was begun before are still on their way."""

STEP_SECONDS = 10.0
STEPS = 8
"""In so many steps a rate comes back from its half."""


@dataclass(frozen=True, slots=True)
class DomainLimit:
    """What the mailboxes of one domain get at most; 0 is no limit."""

    at_once: int = 0
    per_minute: int = 0


@dataclass(frozen=True, slots=True)
class Limits:
    """What was agreed with whoever runs the relay; 0 is no limit.

    `domains` are recipients' domains as A-labels; "*" stands for each that isn't named.
    """

    per_second: int = 0
    per_hour: int = 0
    domains: Mapping[str, DomainLimit] | None = None


class Window:
    """At most `limit` in any `span` seconds, counted in parts of it: never more, hardly fewer."""

    def __init__(self, limit: int, span: float) -> None:
        """Begin empty."""
        self.limit = limit
        self._span = span
        self._grain = span / GRAINS
        self._parts: deque[list[int]] = deque()  # [number of the part, count]
        self._count = 0

    def room(self, now: float) -> int:
        """How many more may begin now."""
        while self._parts and self._leaves_at(self._parts[0]) <= now:
            self._count -= self._parts.popleft()[1]
        return max(0, self.limit - self._count)

    def spend(self, now: float, count: int = 1) -> None:
        """Count what begins now."""
        part = math.floor(now / self._grain)
        if self._parts and self._parts[-1][0] == part:
            self._parts[-1][1] += count
        else:
            self._parts.append([part, count])
        self._count += count

    def idle(self, now: float) -> bool:
        """Whether nothing began within the span."""
        self.room(now)
        return not self._parts

    def opens_at(self, now: float) -> float:
        """When there is room again; `now` where there is."""
        if self.room(now) > 0:
            return now
        return self._leaves_at(self._parts[0])

    def _leaves_at(self, part: list[int]) -> float:
        return (part[0] + 1) * self._grain + self._span


class Throttle:
    """Halves the rate when a relay asks for patience, and brings it back step by step.

    What is halved is the rate of the last seconds, so no limit has to be known. One recipient's
    greylisting or full mailbox is no such request: `complains` comes from `replies`.
    """

    def __init__(self) -> None:
        """Begin without a limit."""
        self.rate = math.inf
        self._step = 0.0
        self._back_at = math.inf
        self._stepped = 0.0
        self._rests_until = -math.inf
        self._next = -math.inf
        self._answers: deque[bool] = deque(maxlen=ANSWERS_LOOKED_AT)
        self._begun: deque[tuple[float, int]] = deque()

    def room(self, now: float) -> int:
        """How many may begin now."""
        self._recover(now)
        if self.rate == math.inf:
            return UNLIMITED
        return max(0, math.floor((now - self._earliest(now)) * self.rate + 1 + 1e-9))

    def spend(self, now: float, count: int = 1) -> None:
        """Count what begins now."""
        self._begun.append((now, count))
        while self._begun[0][0] < now - MEASURED_SECONDS:
            self._begun.popleft()
        if self.rate != math.inf:
            self._next = self._earliest(now) + count / self.rate

    def opens_at(self, now: float) -> float:
        """When there is room again; `now` where there is."""
        return now if self.room(now) > 0 else self._next

    def heard(self, now: float, *, complains: bool) -> bool:
        """Take note of one answer; whether it has just slowed us down."""
        if complains and now < self._rests_until:
            return False
        self._answers.append(complains)
        if self._answers.count(True) < COMPLAINTS_ENDURED:
            return False
        self._halve(now)
        return True

    def _halve(self, now: float) -> None:
        measured = sum(count for at, count in self._begun if at >= now - MEASURED_SECONDS)
        lasted = min(MEASURED_SECONDS, now - self._begun[0][0]) if self._begun else 0.0
        current = min(self.rate, measured / max(1.0, lasted))
        if self.rate == math.inf:
            self._back_at = max(current, SLOWEST)
        self.rate = max(SLOWEST, current / 2)
        self._step = self.rate / STEPS
        self._stepped, self._rests_until = now, now + REST_SECONDS
        self._next = now
        self._answers.clear()

    def _recover(self, now: float) -> None:
        if self.rate == math.inf:
            return
        steps = math.floor((now - self._stepped) / STEP_SECONDS)
        if steps > 0:
            self._stepped += steps * STEP_SECONDS
            self.rate += steps * self._step
            if self.rate >= self._back_at:
                self.rate = self._back_at = math.inf
                self._answers.clear()

    def _earliest(self, now: float) -> float:
        return max(self._next, now - CATCHING_UP_SECONDS)


class Domains:
    """What each recipient's domain may get; knows which domain each dialogue under way is for."""

    def __init__(self, limits: Mapping[str, DomainLimit]) -> None:
        """Begin with no dialogue under way."""
        self._limits = limits
        self._under_way: dict[int, str] = {}
        self._dialogues: Counter[str] = Counter()
        self._minutes: dict[str, Window] = {}

    def limit_of(self, domain: str) -> DomainLimit | None:
        """The limit that holds for a domain, if any."""
        return self._limits.get(domain) or self._limits.get("*")

    def takes(self, domain: str, now: float) -> bool:
        """Whether one more may begin for this domain now."""
        limit = self.limit_of(domain)
        if limit is None:
            return True
        if limit.at_once and self._dialogues[domain] >= limit.at_once:
            return False
        minute = self._minutes.get(domain)
        return minute is None or minute.room(now) > 0

    def begin(self, number: int, domain: str, now: float) -> None:
        """Count a dialogue, under the delivery's number, until `end`."""
        limit = self.limit_of(domain)
        if limit is None:
            return
        self._under_way[number] = domain
        self._dialogues[domain] += 1
        if limit.per_minute:
            if domain not in self._minutes:
                self._forget(now)
                self._minutes[domain] = Window(limit.per_minute, 60)
            self._minutes[domain].spend(now)

    def end(self, number: int) -> None:
        """Count it no more; may be called again, and for one that never began."""
        domain = self._under_way.pop(number, None)
        if domain is not None:
            self._dialogues[domain] -= 1
            if not self._dialogues[domain]:
                del self._dialogues[domain]

    def opens_at(self, domain: str, now: float) -> float:
        """When there is room again as far as time alone decides it."""
        minute = self._minutes.get(domain)
        return now if minute is None else minute.opens_at(now)

    def _forget(self, now: float) -> None:
        """With "*" there are as many domains as people write from; idle ones need no memory."""
        if len(self._minutes) >= DOMAINS_KEPT:
            self._minutes = {
                domain: minute for domain, minute in self._minutes.items() if not minute.idle(now)
            }


class Rates:
    """Everything that limits how many may begin, together."""

    def __init__(self, limits: Limits) -> None:
        """Begin with nothing counted."""
        self.throttle = Throttle()
        self.domains = Domains(limits.domains) if limits.domains else None
        self._second = Window(limits.per_second, 1) if limits.per_second else None
        self._hour = Window(limits.per_hour, 3600) if limits.per_hour else None
        self._reserve = math.ceil(limits.per_hour / 10) if limits.per_hour > 1 else 0

    @property
    def limited(self) -> bool:
        """Whether rows may have to wait for a rate or a domain."""
        bounded = self._second or self._hour or self.domains
        return bounded is not None or self.throttle.rate != math.inf

    def room(self, now: float, *, urgent: bool = False) -> int:
        """How many may begin now, whoever they are for.

        A tenth of an hour's number is kept for those whom somebody waits for (`urgent`).
        """
        room = self.throttle.room(now)
        if self._second is not None:
            room = min(room, self._second.room(now))
        if self._hour is not None:
            room = min(room, max(0, self._hour.room(now) - (0 if urgent else self._reserve)))
        return room

    def ahead(self, now: float, seconds: float, limit: int) -> int:
        """About how many may begin within the next `seconds`, at least 1 and at most `limit`."""
        rate = self.throttle.rate
        if self._second is not None:
            rate = min(rate, self._second.limit)
        rows = limit if rate == math.inf else math.ceil(rate * seconds)
        if self._hour is not None:
            rows = min(rows, self._hour.room(now) - self._reserve)
        return max(1, min(limit, rows))

    def spend(self, now: float, count: int) -> None:
        """Count what begins now."""
        if not count:
            return
        self.throttle.spend(now, count)
        for window in (self._second, self._hour):
            if window is not None:
                window.spend(now, count)

    def ended(self, numbers: Iterable[int]) -> None:
        """Deliveries whose dialogue is over, or was never begun."""
        if self.domains is not None:
            for number in numbers:
                self.domains.end(number)

    def opens_at(self, now: float) -> float:
        """When something may begin again; `now` where it may."""
        times = [self.throttle.opens_at(now)]
        times += [w.opens_at(now) for w in (self._second, self._hour) if w is not None]
        return max(times)
