"""Envelopes that leave ahead: which mail is announced with the dot of the one before, or none.

Owns the choice, and the time nothing is announced because a relay does not take it well. Knows no
database; what is announced is leased and no more, and begins like any other.
"""

import logging
import math
from collections.abc import Collection

from l3mail.sending.backlog import Backlog
from l3mail.sending.connections import Lines, seconds
from l3mail.sending.rates import Rates
from l3mail.sending.sessions import Session
from l3mail.sending.terms import Terms

log = logging.getLogger("l3mail.sending")

PLAIN_SECONDS = 600.0
"""For so long no envelope is announced after a connection ended right behind one, or a relay was
out of step: where that is its way, mails would be uncertain again and again."""


class Ahead:
    """What one sender announces, of the rows that are `ready`; `waiters` ask for a mail."""

    def __init__(
        self,
        terms: Terms,
        lines: Lines,
        rates: Rates,
        ready: Backlog,
        waiters: Collection[Session],
    ) -> None:
        """Announce wherever it is worth it, from now on."""
        self._terms = terms
        self._lines = lines
        self._rates = rates
        self._ready = ready
        self._waiters = waiters
        self._plain_until = -math.inf

    def announce(self, session: Session) -> str | None:
        """To whom the mail goes whose envelope may leave with the dot of this session's mail.

        What another connection could begin at once is left to it.
        """
        now, lines = seconds(), self._lines
        if lines.fault or lines.probing or now < self._plain_until:
            return None
        if len(self._ready) <= self._takers() or not session.has_room(self._terms, now):
            return None
        session.announced = self._ready.pick_to_announce(now)
        if session.announced is None:
            return None
        # A relay counts envelopes, whatever comes of them.
        self._rates.spend(now, 1)
        return session.announced.address

    def take_back(self, session: Session) -> None:
        """What was announced and never begun is the next for somebody else."""
        if session.announced is not None:
            self._ready.put_back(session.announced)
            session.announced = None

    def hold_off(self) -> None:
        """Announce nothing for a while: this relay does not take envelopes ahead."""
        if seconds() >= self._plain_until:
            log.info("the relay does not take envelopes ahead: each waits for the answer before")
        self._plain_until = seconds() + PLAIN_SECONDS

    def _takers(self) -> int:
        """How many connections could begin a mail at once; counted closely where few are ready."""
        lines = self._lines
        if len(self._ready) > lines.count:
            return lines.count
        idle = sum(waiter.announced is None for waiter in self._waiters)
        return idle + lines.count - lines.open
