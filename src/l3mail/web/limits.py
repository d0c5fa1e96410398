"""How many sign-ups come from where, so that nobody is buried under our mail.

Owns the ceilings and their counts. Pure but for the clock it is given: counts live in memory, a
network is known by a hash keyed for this process, and there is room for so many networks only.

An event's source has a count of its own, and what is within it counts nowhere else: a hall that
signs up over one network neither closes that network nor makes it harder for a whole city. Its name
stands on a poster, so whoever likes may use it up; then its visitors are where all others are, with
one step more, and never worse off.
"""

import hashlib
import ipaddress
import re
import secrets
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import TypeVar

from l3mail.clocks import Clock
from l3mail.sources import Raised

HOUR = 3600.0
MOST_NETWORKS = 20_000
MOST_SOURCES = 1_000
STOP_AT = 10
"""Times the ceiling: from here on even the extra step does not help."""

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
K = TypeVar("K")
_WITH_PORT = re.compile(r"([0-9.]+):[0-9]{1,5}|\[([^\]]+)\]:[0-9]{1,5}")
"""As some proxies write an address: `198.51.100.1:4711`, `[2001:db8::1]:4711`."""


class Verdict(Enum):
    """What becomes of one more sign-up."""

    PASS = "pass"  # noqa: S105 - not a password
    STEP = "step"
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class Over:
    """What somebody should hear: which ceiling is passed, and of which source, if of one."""

    ceiling: int
    source: str = ""

    def __str__(self) -> str:
        """As a log says it."""
        by = f" by the source {self.source}" if self.source else ""
        return f"more than {self.ceiling} sign-ups in an hour{by}; each needs a step more"


@dataclass
class _Count:
    """Two neighbouring hours; the older one fades out as the newer one runs."""

    hour: int = 0
    before: float = 0
    now: float = 0
    rung_at: float | None = None

    def add(self, at: float) -> float:
        """Count one more; how many it is then."""
        before = self.at(at)
        self.now += 1
        return before + 1

    def at(self, at: float) -> float:
        """How many were counted in the hour before a moment, as near as two numbers can say."""
        hour = int(at // HOUR)
        if hour != self.hour:
            self.before = self.now if hour == self.hour + 1 else 0
            self.hour, self.now = hour, 0
        return self.now + self.before * (1 - (at % HOUR) / HOUR)


@dataclass
class Ceilings:
    """Counts sign-ups an hour, by network and overall; not for threads, one loop asks it.

    `per_source` is for sources that have no ceiling of their own. `ring` hears, once an hour for
    each ceiling, that it is passed.
    """

    clock: Clock
    per_network: int
    overall: int
    per_source: int = 1
    ring: Callable[[Over], None] = lambda _over: None
    _key: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)
    _networks: OrderedDict[bytes, _Count] = field(default_factory=OrderedDict, repr=False)
    _sources: OrderedDict[str, _Count] = field(default_factory=OrderedDict, repr=False)
    _all: _Count = field(default_factory=_Count, repr=False)

    def knock(self, address: str, raised: Raised | None = None) -> Verdict:
        """Count one sign-up from an address, and say what becomes of it.

        Only a network is ever stopped, and does not count for the others then: nobody is to close
        the form for a whole city. This machine itself is not stopped either: behind a proxy nobody
        told us of, it is everybody.
        """
        at = self.clock.monotonic()
        if raised is not None and self._is_within(raised, at):
            return Verdict.PASS
        network, is_loopback = network_of(address)
        here = self._network(network).add(at)
        if here > STOP_AT * self.per_network and not is_loopback:
            return Verdict.STOP
        everywhere = self._all.add(at)
        if everywhere > self.overall:
            self._ring(self._all, Over(self.overall), at)
        over = raised is not None or here > self.per_network or everywhere > self.overall
        return Verdict.STEP if over else Verdict.PASS

    def __len__(self) -> int:
        """How many networks and sources are remembered."""
        return len(self._networks) + len(self._sources)

    def _is_within(self, raised: Raised, at: float) -> bool:
        """Whether a source still has room; what has not is counted like any other."""
        count = _remembered(self._sources, raised.name, MOST_SOURCES)
        ceiling = raised.per_hour or self.per_source
        if count.at(at) + 1 <= ceiling:
            count.add(at)
            return True
        self._ring(count, Over(ceiling, raised.name), at)
        return False

    def _ring(self, count: _Count, over: Over, at: float) -> None:
        if count.rung_at is None or at - count.rung_at >= HOUR:
            count.rung_at = at
            self.ring(over)

    def _network(self, network: str) -> _Count:
        name = hashlib.blake2b(network.encode(), key=self._key, digest_size=16).digest()
        return _remembered(self._networks, name, MOST_NETWORKS)


def _remembered(counts: OrderedDict[K, _Count], name: K, most: int) -> _Count:
    """A name's count; the one longest unasked for is forgotten where there are too many."""
    count = counts.setdefault(name, _Count())
    counts.move_to_end(name)
    if len(counts) > most:
        counts.popitem(last=False)
    return count


def network_of(address: str) -> tuple[str, bool]:
    """The /24 or /64 an address is in, and whether it is this machine's own."""
    parsed = _parsed(address)
    if parsed is None:
        return "unknown", False
    length = 24 if parsed.version == 4 else 64
    return str(ipaddress.ip_network((parsed, length), strict=False)), parsed.is_loopback


def visitor(peer: str, forwarded: Sequence[str], trusted: Sequence[Network]) -> str:
    """The address a request came from: the last one that no trusted proxy of ours vouches past.

    `forwarded` are the X-Forwarded-For headers in order. Whatever stands left of an address that
    is not trusted may be invented.
    """
    hops = [hop.strip() for header in forwarded for hop in header.split(",")]
    came_from = peer
    while hops and _is_trusted(came_from, trusted) and _parsed(hops[-1]) is not None:
        came_from = hops.pop()
    return came_from


def _is_trusted(address: str, trusted: Sequence[Network]) -> bool:
    parsed = _parsed(address)
    return parsed is not None and any(
        parsed.version == network.version and parsed in network for network in trusted
    )


def _parsed(text: str) -> _Address | None:
    with_port = _WITH_PORT.fullmatch(text)
    try:
        address = ipaddress.ip_address(
            with_port[1] or with_port[2] if with_port else text.strip("[]")
        )
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address
