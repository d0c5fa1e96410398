"""The sender: takes deliveries from the outbox and hands them to the relay.

One *ledger* coroutine owns every row this process holds. It commits, in one transaction, the
outcomes of dialogues that ended and the intents of those about to begin, so a connection sends
the text of its next mail only after the commit that holds its intent and the outcome of the one
before, and rows in `sending` never exceed the open connections. Connections are tasks that ask
the ledger for work until there is none.

The envelope of the next mail may leave earlier, with the dot of the one before: no relay takes
anything by it. Its row is leased and no more; where the gate refuses it, the connection is cut.
"""

import asyncio
import logging
import math
from collections import Counter, deque
from collections.abc import Callable
from datetime import datetime
from typing import TypeVar

from sqlalchemy import Connection

from l3mail import outbox
from l3mail.clocks import Clock
from l3mail.database import Database
from l3mail.errors import AddressError, DatabaseUnavailableError
from l3mail.outbox import Attempt, Claim, Outcome, Started
from l3mail.planning import LANES
from l3mail.publishing import Published
from l3mail.sending.ahead import Ahead
from l3mail.sending.backlog import Backlog
from l3mail.sending.bulletins import Board
from l3mail.sending.connections import Lines, Open, seconds
from l3mail.sending.dialogue import Wire
from l3mail.sending.hearing import Ear
from l3mail.sending.high_water import HighWater
from l3mail.sending.rates import Rates
from l3mail.sending.refusals import distrusted_slugs, follow_up, unsendable, without_login
from l3mail.sending.sessions import Session, allot, out_of_step
from l3mail.sending.tallies import Tally
from l3mail.sending.terms import Terms
from l3mail.sending.versions import Decide, Versions
from l3mail.sending.witnessing import note_mailed, witnessed

log = logging.getLogger("l3mail.sending")

BATCH = 500
"""Rows a claim leases at once; 100 to 2,000 measure alike."""

AHEAD_SECONDS = 2.0
"""At a limited rate so much is leased ahead; the rest stays free for other senders."""

SWEEP_POLLS = 10
"""So many polls pass between two looks past the rows of domains that have to wait."""

Compose = Callable[[Started, Published], bytes]
T = TypeVar("T")


class Sender:
    """One sending process; `run` it once."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        terms: Terms,
        open_wire: Open,
        compose: Compose,
        *,
        decide: Decide | None = None,
        high_water: HighWater | None = None,
        board: Board | None = None,
    ) -> None:
        """Nothing is read or connected before `run`; without a mark a restore goes unnoticed."""
        self._high_water = high_water
        self.tally = Tally()
        self._database = database
        self._clock = clock
        self._terms = terms
        self._compose = compose
        self._wake = asyncio.Event()
        self._lines = Lines(
            terms.connections, terms.pace.down, open_wire, self._serve, self._wake.set
        )
        self._rates = Rates(terms.limits)
        self._ear = Ear(self._lines, self._rates.throttle, self.tally, board)
        self._ready = Backlog(self._rates)
        self._crowded: list[str] = []
        self._swept = -math.inf
        self._sweep_rest = SWEEP_POLLS * terms.pace.poll
        self._marks = dict.fromkeys(LANES, 0)
        self._finished: list[Attempt] = []
        self._unstarted: list[Claim] = []
        self._in_doubt = False
        self._away_since = 0.0
        self._more = True
        self._looked = 0.0
        self._refusals: Counter[str] = Counter()
        self._waiters: deque[Session] = deque()
        self._ahead = Ahead(terms, self._lines, self._rates, self._ready, self._waiters)
        self._versions = Versions(decide)
        self._stopping = False
        self._renewed = 0.0

    def stop(self) -> None:
        """Begin no more dialogues; `run` returns when those under way have ended."""
        self._stopping = True
        self._wake.set()

    def wake(self) -> None:
        """Look at the outbox now: somebody has just put something in."""
        self._more = True
        self._wake.set()

    async def run(self, *, once: bool = False) -> Tally:
        """Send until `stop`; with `once`, until nothing is due or the relay is down.

        Raises DatabaseUnavailableError only with `once`.
        """
        self._lines.breaker.patient = not once
        if once:
            await self._database.writes(self._begin_life)
        while not once and not self._stopping and await self._persist(self._begin_life) is None:
            pass
        try:
            while not self._stopping:
                busy = await self._turn()
                if once and (not busy or self._lines.down()):
                    break
                await self._nap()
            self._stopping = True
            await self._end_dialogues()
        finally:
            # Also the way out of a fault of our own: no connection outlives its ledger.
            self._stopping = True
            self._dismiss()
            await self._lines.cut()
            self._ear.close()
        await self._part()
        if self._high_water:
            await asyncio.to_thread(self._high_water.close)
        return self.tally

    # -- the ledger: every statement about our rows is issued from here, one after the other

    async def _turn(self) -> bool:
        """Renew, claim, commit, connect; return whether anything is left to do or to wait for."""
        now = seconds()
        if now - self._renewed >= self._terms.pace.heartbeat:
            self._renewed = now
            await self._persist(self._keep)
        claimed = False
        if self._lines.hopeful() and self._is_time_to_look(now):
            self._looked = now
            claimed = await self._claim()
        written = await self._commit()
        self._dismiss()
        self._mind_the_relay()
        self._lines.extend(self._ready.ripe(seconds()))
        serving = self._lines.count > len(self._waiters)
        held = self._ready or self._unstarted or any(waiter.announced for waiter in self._waiters)
        left = claimed or written or serving or bool(held)
        if not left:
            self._ear.report()
        return left

    def _is_time_to_look(self, now: float) -> bool:
        """Whether the outbox may hold something new: after a full claim, a call, or a while."""
        if self._crowded and not self._ready.crowded(now):
            # Rows were passed by for a domain that has room again.
            return True
        if now - self._looked >= self._terms.pace.poll:
            # Also with rows that have to wait: somebody may wait for a confirmation.
            return len(self._ready) < BATCH // 2 or self._rates.limited
        return self._more and len(self._ready) < self._rates.ahead(now, AHEAD_SECONDS, BATCH) / 2

    async def _nap(self) -> None:
        """Wait for a connection's call, at most until the next look at the outbox."""
        now = seconds()
        if self._finished or (self._askable() and self._ready.ripe(now)):
            await asyncio.sleep(0)
            return
        opens = self._ready.opens_at(now) - now
        poll = self._terms.pace.poll
        try:
            async with asyncio.timeout(min(poll, opens) if opens > 0 else poll):
                await self._wake.wait()
        except TimeoutError:
            pass
        self._wake.clear()

    def _begin_life(self, connection: Connection) -> int:
        outbox.reconsider(connection, self._terms.restraint, self._clock.now())
        return self._take_over(connection)

    def _take_over(self, connection: Connection) -> int:
        terms = self._terms
        found = outbox.take_over(
            connection, terms.owner, self._clock.now(), terms.policy, alone=terms.alone
        )
        if found:
            log.warning("%d mails were in mid-dialogue when their sender ended: uncertain", found)
        self.tally.taken_over += found
        return found

    def _keep(self, connection: Connection) -> None:
        outbox.renew(connection, self._terms.owner, self._clock.now())
        if not self._terms.alone:
            self._take_over(connection)

    async def _claim(self) -> bool:
        """Lease more rows; return whether there may be any."""
        if self._in_doubt:
            self._ready.clear()
        room = self._room_for_claims(seconds())
        crowded = self._crowded

        def verb(connection: Connection) -> tuple[list[Claim], list[Claim], int, dict[int, int]]:
            now, owner = self._clock.now(), self._terms.owner
            if self._in_doubt:
                outbox.release(connection, owner)
            outbox.settle(connection, now)
            if outbox.is_halted(connection):
                return [], [], 0, self._marks
            urgent, claims, marks = self._lease(connection, now, room, crowded)
            free = outbox.spare(connection, claims, self._terms.gate(now))
            return urgent, free, len(urgent) + len(claims), marks

        result = await self._persist(verb)
        # A claim that failed may be durable all the same: the next one begins with a clean desk,
        # or the heartbeat would keep rows that nobody works on.
        self._in_doubt = result is None
        if result is None:
            return True
        urgent, claims, found, self._marks = result
        self._more = found >= max(1, room // 2)
        self._ready.add(urgent, urgent=True)
        self._ready.add(claims)
        return found > 0

    def _room_for_claims(self, now: float) -> int:
        """How many rows to lease besides those somebody waits for: what can begin soon."""
        room = self._rates.ahead(now, AHEAD_SECONDS, BATCH) - self._ready.fitting(now)
        crowded = self._ready.crowded(now)
        if crowded and crowded == self._crowded and now - self._swept < self._sweep_rest:
            # All other rows were seen a moment ago; looking past these again is not free.
            return 0
        self._crowded, self._swept = crowded, now
        return max(0, room)

    def _lease(
        self, connection: Connection, now: datetime, room: int, crowded: list[str]
    ) -> tuple[list[Claim], list[Claim], dict[int, int]]:
        """Who waits for a confirmation, up to a batch; then second attempts, then the rest."""
        owner, marks = self._terms.owner, dict(self._marks)

        def of_lane(lane: int, room: int) -> list[Claim]:
            found = outbox.claim(
                connection, owner, now, lane=lane, after=marks[lane], limit=room, crowded=crowded
            )
            # At the end of a lane begin again: rows may have come back below the mark.
            marks[lane] = found[-1].id if len(found) == room else 0
            return found

        urgent = of_lane(LANES[0], BATCH)
        claims: list[Claim] = []
        room -= len(urgent)
        if room > 1:
            retries = room // 2
            claims += outbox.claim_retries(connection, owner, now, limit=retries, crowded=crowded)
        for lane in LANES[1:]:
            if len(claims) < room:
                claims += of_lane(lane, room - len(claims))
        return urgent, claims, marks

    async def _commit(self) -> bool:
        """Write ended dialogues and new intents in one transaction, then hand out the new."""
        waiters = [] if self._ear.forebodes(self._finished) else self._askable()
        announced = [waiter.announced for waiter in waiters if waiter.announced]
        picked = self._ready.pick(len(waiters) - len(announced), seconds())
        claims = announced + picked
        finished, self._finished = self._finished, []
        unstarted, self._unstarted = self._unstarted, []
        heard, barred = without_login(finished)
        distrusted, refusals = distrusted_slugs(self._refusals, heard)
        if not (claims or finished or unstarted):
            return False

        def verb(connection: Connection) -> tuple[list[Started], dict[int, Published]]:
            terms, gate = self._terms, self._terms.gate(now := self._clock.now())
            note_mailed(connection, heard, claims, now, alone=gate.counts)
            follow_up(connection, heard, now)
            outbox.record(connection, heard, now, terms.policy)
            for slug in distrusted:
                outbox.halt(connection, "message", slug, outbox.BY_ITSELF, now)
            outbox.unbegin(connection, barred)
            outbox.give_back(connection, terms.owner, unstarted)
            started = outbox.begin(connection, claims, gate)
            return self._versions.load(connection, started, now)

        result = await self._persist(verb)
        if result is None:
            # None of it may count as done, and all of it may be: outcomes are written again,
            # and intents that saw no dialogue go back.
            self._finished = finished + self._finished
            self._unstarted = unstarted + claims + self._unstarted
            self._rates.ended(claim.id for claim in claims)
            self._hand_out([waiter for waiter in waiters if waiter.announced], [], {})
            return True
        begun = {delivery.id for delivery in result[0]}
        self._rates.spend(seconds(), sum(claim.id in begun for claim in picked))
        self._rates.ended(claim.id for claim in claims if claim.id not in begun)
        self._refusals = refusals
        if finished:
            # An outcome may make something due at once, or nothing be left at all: look again.
            self._more = self._more or any(o.outcome is Outcome.DEFERRED for o in finished)
            self._wake.set()
        self._ear.hear(finished, distrusted)
        if self._high_water:
            self._high_water.note(result[0])
        self._hand_out(waiters, *result)
        return True

    def _askable(self) -> list[Session]:
        """The connections that may get a mail, as far as the relay's state decides it."""
        if self._stopping or self._lines.fault:
            return []
        waiters = [waiter for waiter in self._waiters if waiter.wire.usable]
        if self._lines.probing:
            serving = self._lines.open > len(self._waiters)
            return [] if serving else waiters[:1]
        return waiters

    def _hand_out(
        self, waiters: list[Session], started: list[Started], texts: dict[int, Published]
    ) -> None:
        """Give each the mail it announced, or tell it to part; the others share the rest."""
        self._versions.keep(started, texts)
        for waiter, delivery in allot(waiters, started):
            self._waiters.remove(waiter)
            waiter.announced = None
            given = None if delivery is None else (delivery, self._versions.of(delivery))
            waiter.answer.set_result(given)

    def _dismiss(self) -> None:
        """Let go of connections that died, waited long enough, or are wanted no more."""
        oldest = seconds() - self._terms.pace.idle
        closing = self._stopping or self._lines.fault is not None
        for waiter in list(self._waiters):
            if closing or waiter.since < oldest or not waiter.wire.usable:
                self._waiters.remove(waiter)
                waiter.answer.set_result(None)

    def _mind_the_relay(self) -> None:
        """While the relay is down its rows are nobody's: the queue is left as it was."""
        self._ear.post()
        if not self._lines.hopeful():
            self._unstarted += self._ready.clear()

    async def _end_dialogues(self) -> None:
        """Let what was begun come to its end, for as long as the grace lasts."""
        deadline = seconds() + self._terms.pace.grace
        self._lines.cancel_opening()
        while self._lines.count and seconds() < deadline:
            await self._commit()
            self._dismiss()
            await self._nap()

    async def _part(self) -> None:
        """Write the last outcomes and return what we hold and never started.

        A database that stays away ends the wait: what it does not learn becomes uncertain.
        """
        deadline = seconds() + self._terms.pace.grace
        self._unstarted += self._ready.clear()
        while (self._finished or self._unstarted) and seconds() < deadline:
            await self._commit()
        if self._finished:
            log.error(
                "%d outcomes could not be written: they become uncertain", len(self._finished)
            )
        self._ear.report()

    async def _persist(self, verb: Callable[[Connection], T]) -> T | None:
        """Run a verb; None, after a pause, when the database is not available.

        The impatient (`once`) give up after the grace.
        """
        try:
            result = await self._database.writes(verb)
            self._away_since = 0.0
            return result
        except DatabaseUnavailableError as fault:
            log.warning("%s", fault)
            self._away_since = self._away_since or seconds()
            if (
                not self._lines.breaker.patient
                and seconds() - self._away_since > self._terms.pace.grace
            ):
                raise
            await asyncio.sleep(self._terms.pace.poll)
            return None

    # -- one connection's life

    async def _serve(self, wire: Wire) -> None:
        """Carry mails over `wire` until there are none, it has carried its share, or it breaks."""
        loop = asyncio.get_running_loop()
        session = Session(wire, seconds(), seconds(), loop.create_future())
        try:
            while wire.usable and (session.announced or session.has_room(self._terms, seconds())):
                if self._stopping:
                    break
                session.since, session.answer = seconds(), loop.create_future()
                ahead = session.announced is not None
                self._waiters.append(session)
                self._wake.set()
                given = await session.answer
                if given is None:
                    break
                # Awaited first: the ledger swaps the list while a dialogue is under way.
                attempt = await self._attempt(session, *given)
                if ahead and out_of_step(attempt):
                    self._ahead.hold_off()
                self._rates.ended([attempt.delivery.id])
                self._finished.append(attempt)
                self._wake.set()
        finally:
            if session.announced and not wire.usable and not self._stopping:
                self._ahead.hold_off()
            self._ahead.take_back(session)
        if wire.carried == 0 and not wire.usable and not self._stopping:
            self._lines.distrust("it closes sessions before any mail")
        await wire.quit(self._terms.pace.quit)

    async def _attempt(self, session: Session, delivery: Started, text: Published) -> Attempt:
        """One mail, whose faults stay its own: whatever goes wrong, the rest goes on."""
        terms, wire = self._terms, session.wire
        try:
            content = self._compose(delivery, text)
        except Exception as fault:  # noqa: BLE001 - a text may fail in any way it likes
            wire.forget()
            return unsendable(delivery, fault)
        try:
            attempt = await wire.hand_over(
                delivery,
                terms.envelope_from,
                content,
                terms.timeouts,
                lambda: None if self._stopping else self._ahead.announce(session),
            )
            return witnessed(attempt, content)
        except AddressError as fault:
            return unsendable(delivery, fault)
        except Exception:
            # A fault of ours in mid-dialogue: how far the mail came is not known any more.
            log.exception("delivery %d: a fault of ours in the dialogue", delivery.id)
            wire.abort()
            return Attempt(delivery, Outcome.UNKNOWN, "fault", text="a fault of ours; see the log")
