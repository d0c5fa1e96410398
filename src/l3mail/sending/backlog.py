"""The rows a sender has leased and not begun: in which order they begin, and which have to wait.

Whoever waits for a confirmation comes first, and a domain that may get no more now is passed by.
Knows neither database nor sockets; time is passed in as monotonic seconds.
"""

from collections import Counter, deque
from collections.abc import Iterable
from itertools import chain

from l3mail.addresses import wire_safe
from l3mail.errors import AddressError
from l3mail.outbox import Claim
from l3mail.sending.rates import Rates

HELD_FOR_A_DOMAIN = 20
"""So many rows are held for a domain that has to wait; more of them would crowd out the others."""


class Backlog:
    """Claims in the order they came, those of the first lane before all others."""

    def __init__(self, rates: Rates) -> None:
        """Begin empty; what may begin is `rates`' to say."""
        self._rates = rates
        self._urgent: deque[Claim] = deque()
        self._rest: deque[Claim] = deque()

    def __len__(self) -> int:
        """How many are held, whether they may begin or not."""
        return len(self._urgent) + len(self._rest)

    def add(self, claims: Iterable[Claim], *, urgent: bool = False) -> None:
        """Hold more."""
        (self._urgent if urgent else self._rest).extend(claims)

    def clear(self) -> list[Claim]:
        """Hold none any more; return those that were held."""
        held = [*self._urgent, *self._rest]
        self._urgent.clear()
        self._rest.clear()
        return held

    def ripe(self, now: float) -> int:
        """How many of those held may begin now."""
        room, any_room = self._rates.room(now), self._rates.room(now, urgent=True)
        urgent = min(any_room, self._fitting(self._urgent, now))
        return urgent + min(max(0, min(room, any_room - urgent)), self._fitting(self._rest, now))

    def fitting(self, now: float) -> int:
        """How many of those nobody waits for would begin if only rates allowed it."""
        return self._fitting(self._rest, now)

    def pick(self, limit: int, now: float) -> list[Claim]:
        """Take up to `limit` that may begin now; each counts for its domain until it has ended."""
        urgent = self._take(self._urgent, min(limit, self._rates.room(now, urgent=True)), now)
        room = min(limit, self._rates.room(now)) - len(urgent)
        return urgent + self._take(self._rest, room, now)

    def pick_to_announce(self, now: float) -> Claim | None:
        """Take one that may begin now and whose envelope may leave before its intent is written.

        None where somebody waits for a confirmation: a connection behind a slow dot is no place
        for it, and the first that gets free is to take it.
        """
        if self._urgent or self._rates.room(now) < 1:
            return None
        taken = self._take(self._rest, 1, now)
        if taken and (taken[0].alone or not _announceable(taken[0].address)):
            self.put_back(taken[0])
            return None
        return taken[0] if taken else None

    def put_back(self, claim: Claim) -> None:
        """Hold one again that was taken and not begun; it is the next."""
        self._rates.ended([claim.id])
        self._rest.appendleft(claim)

    def crowded(self, now: float) -> list[str]:
        """Domains that have to wait and of which enough rows are held."""
        domains = self._rates.domains
        if domains is None:
            return []
        held = Counter(claim.domain for claim in chain(self._urgent, self._rest))
        return sorted(
            domain
            for domain, count in held.items()
            if count >= HELD_FOR_A_DOMAIN and not domains.takes(domain, now)
        )

    def opens_at(self, now: float) -> float:
        """When time alone lets one of those held begin; some wait for a dialogue to end."""
        domains = self._rates.domains
        opens = self._rates.opens_at(now)
        if domains is None or not len(self):
            return opens
        held = {claim.domain for claim in chain(self._urgent, self._rest)}
        return max(opens, min(domains.opens_at(domain, now) for domain in held))

    def _fitting(self, claims: deque[Claim], now: float) -> int:
        domains = self._rates.domains
        if domains is None:
            return len(claims)
        return sum(domains.takes(claim.domain, now) for claim in claims)

    def _take(self, claims: deque[Claim], limit: int, now: float) -> list[Claim]:
        limit = min(limit, len(claims))
        domains = self._rates.domains
        if domains is None:
            return [claims.popleft() for _ in range(limit)]
        taken: list[Claim] = []
        passed: list[Claim] = []
        while claims and len(taken) < limit:
            claim = claims.popleft()
            if domains.takes(claim.domain, now):
                domains.begin(claim.id, claim.domain, now)
                taken.append(claim)
            else:
                passed.append(claim)
        claims.extendleft(reversed(passed))
        return taken


def _announceable(address: str) -> bool:
    """Whether an address needs no look at what a relay offers, or at what is wrong with it."""
    try:
        return address.isascii() and wire_safe(address) == address
    except AddressError:
        return False
