"""The sender: takes deliveries from the outbox and hands them to the relay.

One *ledger* coroutine owns every row this process holds. It commits, in one transaction, the
outcomes of dialogues that ended and the intents of those about to begin, so a connection's
next MAIL waits for that commit and rows in `sending` never exceed the open connections.
Connections are tasks that ask the ledger for work until there is none.
"""

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

from sqlalchemy import Connection

from l3mail import events, outbox, publishing, suppressions
from l3mail.clocks import Clock
from l3mail.database import Database
from l3mail.errors import AddressError, DatabaseUnavailableError, L3mailError
from l3mail.outbox import Attempt, Cause, Claim, Gate, Outcome, Started
from l3mail.planning import LANES
from l3mail.publishing import Published
from l3mail.sending.connections import Lines, Open, seconds
from l3mail.sending.dialogue import Wire
from l3mail.sending.replies import LOGIN_WANTED
from l3mail.sending.terms import Terms

log = logging.getLogger("l3mail.sending")

BATCH = 500
"""Rows a claim leases at once; 100 to 2,000 measure alike."""

REFUSALS_ENDURED = 3
"""So many refusals of our sender in a row halt a message that has no campaign to pause; so many
fresh sessions closed at the first mail make a relay that is down."""

TEXTS_KEPT = 64
"""Published versions held in memory."""

Compose = Callable[[Started, Published], bytes]
T = TypeVar("T")


@dataclass(slots=True)
class Tally:
    """What a run came to: attempts by outcome, rows found of dead senders, the relay's fault.

    `relay_fault` is what the relay last said when no connection to it could be opened.
    """

    outcomes: Counter[Outcome] = field(default_factory=Counter)
    taken_over: int = 0
    relay_fault: str | None = None


@dataclass(eq=False, slots=True)
class _Waiter:
    """A connection that asks for its next delivery; None tells it to part."""

    wire: Wire
    since: float
    answer: "asyncio.Future[tuple[Started, Published] | None]"


class Sender:
    """One sending process; `run` it once."""

    def __init__(
        self, database: Database, clock: Clock, terms: Terms, open_wire: Open, compose: Compose
    ) -> None:
        """Nothing is read or connected before `run`."""
        self.tally = Tally()
        self._database = database
        self._clock = clock
        self._terms = terms
        self._compose = compose
        self._wake = asyncio.Event()
        self._lines = Lines(
            terms.connections, terms.pace.down, open_wire, self._serve, self._wake.set
        )
        self._ready: deque[Claim] = deque()
        self._marks = dict.fromkeys(LANES, 0)
        self._finished: list[Attempt] = []
        self._unstarted: list[Claim] = []
        self._in_doubt = False
        self._away_since = 0.0
        self._more = True
        self._looked = 0.0
        self._refusals: Counter[str] = Counter()
        self._slammed = 0
        self._waiters: deque[_Waiter] = deque()
        self._texts: dict[int, Published] = {}
        self._stopping = False
        self._renewed = 0.0
        self._told: Counter[Outcome] = Counter()

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
        self._lines.patient = not once
        if once:
            await self._database.writes(self._take_over)
        while not once and not self._stopping and await self._persist(self._take_over) is None:
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
        await self._part()
        return self.tally

    # -- the ledger: every statement about our rows is issued from here, one after the other

    async def _turn(self) -> bool:
        """Renew, claim, commit, connect; return whether anything is left to do or to wait for."""
        now = seconds()
        if now - self._renewed >= self._terms.pace.heartbeat:
            self._renewed = now
            await self._persist(self._keep)
        claimed = False
        if self._lines.hopeful() and len(self._ready) < BATCH // 2 and self._is_time_to_look(now):
            self._looked = now
            claimed = await self._claim()
        written = await self._commit()
        self._dismiss()
        self._mind_the_relay()
        self._lines.extend(len(self._ready))
        serving = self._lines.count > len(self._waiters)
        left = claimed or written or serving or bool(self._ready or self._unstarted)
        if not left:
            self._report()
        return left

    def _is_time_to_look(self, now: float) -> bool:
        """Whether the outbox may hold something new: after a full claim, a call, or a while."""
        return self._more or now - self._looked >= self._terms.pace.poll

    async def _nap(self) -> None:
        """Wait for a connection's call, at most until the next look at the outbox."""
        if self._finished or (self._waiters and self._ready):
            await asyncio.sleep(0)
            return
        try:
            async with asyncio.timeout(self._terms.pace.poll):
                await self._wake.wait()
        except TimeoutError:
            pass
        self._wake.clear()

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

        def verb(connection: Connection) -> tuple[list[Claim], dict[int, int]]:
            now, owner = self._clock.now(), self._terms.owner
            if self._in_doubt:
                outbox.release(connection, owner)
            outbox.settle(connection, now)
            if outbox.is_halted(connection):
                return [], self._marks
            return self._lease(connection, now)

        result = await self._persist(verb)
        # A claim that failed may be durable all the same: the next one begins with a clean desk,
        # or the heartbeat would keep rows that nobody works on.
        self._in_doubt = result is None
        if result is None:
            return True
        claims, self._marks = result
        self._more = len(claims) >= BATCH // 2
        self._ready.extend(claims)
        return bool(claims)

    def _lease(self, connection: Connection, now: datetime) -> tuple[list[Claim], dict[int, int]]:
        """Up to a batch: who waits for a confirmation, then second attempts, then the rest."""
        owner, marks = self._terms.owner, dict(self._marks)

        def of_lane(lane: int, room: int) -> list[Claim]:
            found = outbox.claim(connection, owner, now, lane=lane, after=marks[lane], limit=room)
            # At the end of a lane begin again: rows may have come back below the mark.
            marks[lane] = found[-1].id if len(found) == room else 0
            return found

        claims = of_lane(LANES[0], BATCH)
        retries = min(BATCH // 2, BATCH - len(claims))
        if retries:
            claims += outbox.claim_retries(connection, owner, now, limit=retries)
        for lane in LANES[1:]:
            if len(claims) < BATCH:
                claims += of_lane(lane, BATCH - len(claims))
        return claims, marks

    async def _commit(self) -> bool:
        """Write ended dialogues and new intents in one transaction, then hand out the new."""
        waiters = [waiter for waiter in self._waiters if waiter.wire.usable]
        asked = 0 if self._stopping or self._lines.fault else min(len(waiters), len(self._ready))
        claims = [self._ready.popleft() for _ in range(asked)]
        finished, self._finished = self._finished, []
        unstarted, self._unstarted = self._unstarted, []
        distrusted, refusals = self._distrusted(finished)
        if not (claims or finished or unstarted):
            return False

        def verb(connection: Connection) -> tuple[list[Started], dict[int, Published]]:
            now, terms = self._clock.now(), self._terms
            _follow_up(connection, finished, now)
            outbox.record(connection, finished, now, terms.policy)
            for slug in distrusted:
                outbox.halt(connection, "message", slug, outbox.BY_ITSELF, now)
            outbox.give_back(connection, terms.owner, unstarted)
            gate = Gate(terms.owner, now, terms.staff, terms.fallback_locale, terms.measures)
            started = outbox.begin(connection, claims, gate)
            missing = {delivery.message_id for delivery in started} - self._texts.keys()
            return started, publishing.load(connection, missing)

        result = await self._persist(verb)
        if result is None:
            # None of it may count as done, and all of it may be: outcomes are written again,
            # and intents that saw no dialogue go back.
            self._finished = finished + self._finished
            self._unstarted = unstarted + claims + self._unstarted
            return True
        self._refusals = refusals
        if finished:
            # An outcome may make something due at once, or nothing be left at all: look again.
            self._more = self._more or any(o.outcome is Outcome.DEFERRED for o in finished)
            self._wake.set()
        self._tell(finished, distrusted)
        self._hand_out(waiters, *result)
        return True

    def _hand_out(
        self, waiters: list[_Waiter], started: list[Started], texts: dict[int, Published]
    ) -> None:
        if len(self._texts) > TEXTS_KEPT:
            self._texts = {
                d.message_id: self._texts[d.message_id]
                for d in started
                if d.message_id in self._texts
            }
        self._texts |= texts
        for waiter, delivery in zip(waiters, started, strict=False):
            self._waiters.remove(waiter)
            waiter.answer.set_result((delivery, self._texts[delivery.message_id]))

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
        self.tally.relay_fault = self._lines.fault
        if not self._lines.hopeful():
            self._unstarted += self._ready
            self._ready.clear()

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
        self._unstarted += self._ready
        self._ready.clear()
        while (self._finished or self._unstarted) and seconds() < deadline:
            await self._commit()
        if self._finished:
            log.error(
                "%d outcomes could not be written: they become uncertain", len(self._finished)
            )
        self._report()

    def _distrusted(self, finished: list[Attempt]) -> tuple[list[str], Counter[str]]:
        """Slugs without a campaign to pause, refused as ours too often in a row; and the counts.

        The counts hold once the outcomes are written: a commit that failed is judged again.
        """
        found, refusals = [], Counter(self._refusals)
        for attempt in finished:
            slug = attempt.delivery.slug
            if attempt.outcome is Outcome.ACCEPTED:
                refusals[slug] = 0
            elif (
                attempt.outcome is Outcome.REJECTED
                and attempt.cause is Cause.SENDER
                and attempt.delivery.campaign_id is None
            ):
                refusals[slug] += 1
                if refusals[slug] >= REFUSALS_ENDURED:
                    found.append(slug)
                    refusals[slug] = 0
        return found, refusals

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
            if not self._lines.patient and seconds() - self._away_since > self._terms.pace.grace:
                raise
            await asyncio.sleep(self._terms.pace.poll)
            return None

    def _tell(self, finished: list[Attempt], distrusted: list[str]) -> None:
        self.tally.outcomes.update(attempt.outcome for attempt in finished)
        for attempt in finished:
            # Ids and codes only: a relay's words may name the person.
            what = (attempt.delivery.id, attempt.stage, attempt.code, attempt.status)
            if attempt.code in LOGIN_WANTED:
                self._lines.distrust(f"it wants another login: {attempt.code}")
                continue
            if attempt.stage == "mail" and attempt.code in {None, 421} and not attempt.reused:
                self._slammed += 1
                if self._slammed >= REFUSALS_ENDURED:
                    self._lines.distrust("it closes fresh sessions at the first mail")
                continue
            self._slammed = 0
            self._lines.trust()
            if attempt.cause is Cause.SENDER:
                log.warning("our sender was refused, delivery %d at %s: %s %s", *what)
            elif attempt.outcome is Outcome.UNKNOWN:
                log.warning("delivery %d is uncertain since %s", *what[:2])
        for slug in distrusted:
            log.error("%s is halted: our sender was refused again and again; see `resume`", slug)

    def _report(self) -> None:
        """One line for all that was handed over since the last one."""
        new = self.tally.outcomes - self._told
        if new:
            words = ", ".join(f"{n} {outcome}" for outcome, n in sorted(new.items()))
            log.info("handed over %d: %s", new.total(), words)
            self._told = self.tally.outcomes.copy()

    # -- one connection's life

    async def _serve(self, wire: Wire) -> None:
        """Carry mails over `wire` until there are none, it has carried its share, or it breaks."""
        while wire.usable and wire.carried < self._terms.messages_per_connection:
            answer = asyncio.get_running_loop().create_future()
            if self._stopping:
                break
            self._waiters.append(_Waiter(wire, seconds(), answer))
            self._wake.set()
            given = await answer
            if given is None:
                break
            # Awaited first: the ledger swaps the list while a dialogue is under way.
            attempt = await self._attempt(wire, *given)
            self._finished.append(attempt)
            self._wake.set()
        if wire.carried == 0 and not wire.usable and not self._stopping:
            self._lines.distrust("it closes sessions before any mail")
        await wire.quit(self._terms.pace.quit)

    async def _attempt(self, wire: Wire, delivery: Started, text: Published) -> Attempt:
        """One mail, whose faults stay its own: whatever goes wrong, the rest goes on."""
        try:
            content = self._compose(delivery, text)
        except Exception as fault:  # noqa: BLE001 - a text may fail in any way it likes
            return _failed(delivery, fault)
        terms = self._terms
        try:
            return await wire.hand_over(delivery, terms.envelope_from, content, terms.timeouts)
        except AddressError as fault:
            return _failed(delivery, fault)
        except Exception:
            # A fault of ours in mid-dialogue: how far the mail came is not known any more.
            log.exception("delivery %d: a fault of ours in the dialogue", delivery.id)
            wire.abort()
            return Attempt(delivery, Outcome.UNKNOWN, "fault", text="a fault of ours; see the log")


def _failed(delivery: Started, fault: Exception) -> Attempt:
    words = str(fault) if isinstance(fault, L3mailError) else f"{fault!r}"
    return Attempt(delivery, Outcome.REJECTED, "rendering", text=words, cause=Cause.CONTENT)


def _follow_up(connection: Connection, finished: list[Attempt], now: datetime) -> None:
    """What a refusal means for the address: only a mailbox that does not exist bars it.

    Before the outcomes are written, because afterwards it would be news no more.
    """
    dead = [attempt.delivery for attempt in finished if attempt.cause is Cause.PERSON]
    dead = outbox.unheard(connection, dead)
    keys = {delivery.address_key for delivery in dead if delivery.address_key is not None}
    suppressions.suppress(connection, keys, "hard_bounce", now)
    events.append(
        connection,
        [
            {
                "kind": "bounced",
                "at": now,
                "subscriber_id": delivery.subscriber_id,
                "delivery_id": delivery.id,
                "message_id": delivery.message_id,
            }
            for delivery in dead
            if delivery.subscriber_id is not None
        ],
    )
