"""Whatever happens in whatever order: nobody barred is mailed, nothing is lost, nothing twice.

Two senders, an operator, people who come and go and a relay are interleaved at random. `Mail`
is the oracle: what the outbox should know of one row, written down a second time and more
simply. After each step the rows must equal it, and the relay's own log must be explained by it.
"""

import shutil
import tempfile
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import Connection, cast, literal, null, select

from l3mail import outbox
from l3mail.database import Database, upsert
from l3mail.models import DELIVERY, SUBSCRIBER, SUBSCRIPTION, UtcDateTime
from l3mail.outbox import (
    LEASE,
    TRIES_IN_DOUBT,
    UNCERTAIN_REST,
    Attempt,
    Claim,
    Outcome,
    Started,
    retry_at,
)
from l3mail.planning import (
    NO_RESTRAINT,
    Candidate,
    Cap,
    QuietHours,
    Restraint,
    bindings,
    mailable,
)
from tests.fakes.village import POLICY, Village

KINDS = {"lesson": "kurs/01", "newsletter": "newsletter/1"}  # sent again if uncertain; held
HALTS = [("everything", ""), ("kind", "lesson"), ("message", "newsletter/1"), ("kind", "report")]
GROUNDS = ("erased", "restricted", "suppressed")
PEOPLE = st.integers(0, 3)
SENDERS = st.integers(0, 1)
ANY = st.integers(0, 99)
DAY = timedelta(days=1)
CAP, PATIENCE = 1, timedelta(hours=20)
QUIET = QuietHours(time(10, 30), time(11, 30), ZoneInfo("Europe/Berlin"))
RESTRAINT = Restraint(QUIET, Cap(CAP, 1, PATIENCE))
STEPS = [timedelta(seconds=30), LEASE, UNCERTAIN_REST, timedelta(hours=1), timedelta(days=2)]


@dataclass
class Person:
    id: int
    subscription: int
    confirmed: bool = True
    generation: int = 1
    against: set[str] = field(default_factory=set)


@dataclass
class Mail:
    """What should be known of one row."""

    person: Person
    kind: str
    generation: int
    state: str = "queued"
    attempts: int = 0
    fence: int = 0
    owner: str | None = None
    until: datetime | None = None
    again: datetime | None = None
    licensed: bool = True  # may be handed to the relay (again)
    taken: int = 0  # how often the relay took it, also where nobody heard
    attested: bool = False  # an operator said that it arrived
    begun_at: datetime | None = None
    lapses: datetime | None = None

    def objection(self) -> str | None:
        for ground in GROUNDS:
            if ground in self.person.against:
                return ground
        if not self.person.confirmed:
            return "unsubscribed" if self.person.generation > 1 else "not confirmed"
        return None if self.person.generation == self.generation else "not confirmed"

    def become(self, state: str, again: datetime | None = None) -> None:
        self.state, self.again = state, again
        self.owner = self.until = None


@dataclass
class Sender:
    """One place for a sender; each life there has an owner's name of its own."""

    name: str
    life: int = 1
    claims: list[Claim] = field(default_factory=list)
    dialogues: list[Started] = field(default_factory=list)

    @property
    def owner(self) -> str:
        return f"{self.name}:{self.life}"


def plan(connection: Connection, person: int, kind: str, occurrence: str, now: datetime) -> Any:
    """Plan as the engine does: INSERT … SELECT … WHERE mailable ON CONFLICT DO NOTHING."""
    fixed: dict[str, Any] = {"purpose": "stream", "kind": kind, "slug": KINDS[kind]}
    fixed |= {"occurrence": occurrence, "state": "queued"}
    columns = {name: literal(value) for name, value in fixed.items()} | {
        "due_at": literal(now, UtcDateTime),
        "planned_at": literal(now, UtcDateTime),
        "subscriber_id": SUBSCRIPTION.c.subscriber_id,
        "stream_id": SUBSCRIPTION.c.stream_id,
        "generation": SUBSCRIPTION.c.generation,
    }
    unknown = {
        name: cast(null(), DELIVERY.c[name].type)
        for name in ("id", "address", "signup_id", "link_request_id")
    }
    names = Candidate.__dataclass_fields__
    candidate = Candidate(**{name: (columns | unknown)[name] for name in names})
    whom = select(*columns.values()).where(
        SUBSCRIPTION.c.subscriber_id == person, mailable(candidate)
    )
    statement = upsert(connection, DELIVERY).from_select(list(columns), whom)
    planned = statement.on_conflict_do_nothing().returning(DELIVERY.c.id)
    return connection.execute(planned, bindings(now, (), "de")).scalar()


class Interleavings(RuleBasedStateMachine):
    prepared: Path
    restraint: Restraint

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.database = Database(f"sqlite:///{shutil.copy(self.prepared, self.folder)}")
        self.village = Village(self.database, restraint=self.restraint)
        self.mails: dict[int, Mail] = {}
        self.occurrences: set[tuple[int, str]] = set()
        self.halts: set[tuple[str, str]] = set()
        self.senders = [Sender("a"), Sender("b")]

    @initialize()
    def people_come(self) -> None:
        village = self.village
        for slug in KINDS.values():
            village.publish(slug)
        stream = village.stream()
        persons = [village.person(f"p{n}@schule.example") for n in range(4)]
        self.people = [Person(one, village.subscribe(one, stream)) for one in persons]
        for who in range(4):
            for kind in KINDS:
                self.plan(who, kind, 0)
            if who < 2:
                self.plan(who, "newsletter", 1)  # next to the first: they are often begun together

    # -- people

    @rule(who=PEOPLE, kind=st.sampled_from(list(KINDS)), number=st.integers(0, 1))
    def plan(self, who: int, kind: str, number: int) -> None:
        person, occurrence = self.people[who], f"{kind}:{number}"
        row = self.village.do(plan, person.id, kind, occurrence, self.village.now)
        mail = Mail(person, kind, person.generation)
        expected = mail.objection() is None and (person.id, occurrence) not in self.occurrences
        assert (row is not None) == expected
        if row is not None:
            self.mails[row] = mail
            self.occurrences.add((person.id, occurrence))

    @rule(who=PEOPLE, act=st.sampled_from(["confirm", "leave", *GROUNDS, "lift"]))
    def act(self, who: int, act: str) -> None:
        person, village = self.people[who], self.village
        if act in ("confirm", "leave"):
            person.confirmed = act == "confirm"
            person.generation += 1
            state = "confirmed" if person.confirmed else "unsubscribed"
            values = {"state": state, "generation": person.generation}
            village.change(SUBSCRIPTION, person.subscription, **values)
        elif act == "lift":
            village.change(SUBSCRIBER, person.id, restricted_at=None)
            person.against.discard("restricted")
        elif act == "suppressed" and "erased" not in person.against:
            village.suppress(person.id, "complaint")
            person.against.add(act)
        elif act in ("erased", "restricted"):
            village.change(SUBSCRIBER, person.id, **{f"{act}_at": village.now})
            person.against.add(act)

    # -- operators

    @rule(order=st.sampled_from([*HALTS, None, None, None]))
    def halt_or_resume(self, order: tuple[str, str] | None) -> None:
        if order is None:
            released = {(one.scope, one.subject) for one in self.village.do(outbox.resume)}
            assert released == self.halts
            self.halts.clear()
            return
        pulled = self.village.do(outbox.halt, *order, "op", self.village.now)
        assert pulled == (order not in self.halts)
        self.halts.add(order)

    @precondition(lambda self: self.mails)
    @rule(which=ANY, order=st.sampled_from(["retry", "cancel", "arrived", "resend", "give-up"]))
    def order(self, which: int, order: Any) -> None:
        row = list(self.mails)[which % len(self.mails)]
        mail, village = self.mails[row], self.village
        fits: tuple[str, ...]
        if order == "retry":
            fits, to = ("failed", "deferred", "held"), "queued"
            changed = village.do(outbox.retry, [row])
        elif order == "cancel":
            fits, to = ("queued", "deferred", "held", "uncertain"), "cancelled"
            changed = village.do(outbox.cancel, [row], village.now)
        else:
            fits = ("uncertain",)
            to = {"arrived": "accepted", "resend": "queued", "give-up": "failed"}[order]
            changed = village.do(outbox.resolve, [row], order, village.now)
        spared = mail.state == "held" and order == "retry"
        assert changed == ([row] if mail.state in fits and not spared else [])
        if changed:
            mail.begun_at = None if order == "retry" else mail.begun_at
            mail.become(to)
            mail.attempts = 0 if order == "retry" else mail.attempts
            mail.fence += 1
            mail.licensed = to == "queued"
            mail.attested = mail.attested or order == "arrived"

    # -- senders

    def kept_back(self, mail: Mail) -> bool:
        grounds = {("everything", ""), ("kind", mail.kind), ("message", KINDS[mail.kind])}
        return bool(grounds & self.halts)

    def leased(self, sender: Sender, claims: list[Claim], expected: list[int]) -> None:
        assert sorted(claim.id for claim in claims) == expected
        for claim in claims:
            mail = self.mails[claim.id]
            mail.become("queued")
            mail.fence += 1
            assert claim.fence == mail.fence
            mail.owner, mail.until = sender.owner, self.village.now + LEASE
        sender.claims += claims

    @rule(who=SENDERS, limit=st.integers(1, 4))
    def claim(self, who: int, limit: int) -> None:
        sender, now = self.senders[who], self.village.now
        free = [
            row
            for row, mail in sorted(self.mails.items())
            if mail.state == "queued"
            and (mail.until is None or mail.until <= now)
            and not self.kept_back(mail)
        ]
        self.leased(sender, self.village.claim(sender.owner, limit=limit), free[:limit])

    @rule(who=SENDERS)
    def claim_retries(self, who: int) -> None:
        sender, now = self.senders[who], self.village.now
        due = [
            row
            for row, mail in sorted(self.mails.items())
            if mail.state == "deferred" and mail.again and mail.again <= now
            if not self.kept_back(mail)
        ]
        self.leased(sender, self.village.claim_retries(sender.owner), due)

    def begun(self, mail: Mail) -> list[datetime]:
        """When newsletters to its person began within the cap's days, the latest first."""
        since = self.village.now - DAY
        moments = [
            other.begun_at
            for other in self.mails.values()
            if other.person is mail.person and other.kind == "newsletter"
            if other.begun_at and other.begun_at > since
        ]
        return sorted(moments, reverse=True)

    def is_spared(self, mail: Mail, ahead: int = 0) -> bool:
        if not self.village.restraint or mail.kind != "newsletter":
            return False
        if QUIET.until(self.village.now):
            return True
        return mail.begun_at is None and len(self.begun(mail)) + ahead >= CAP

    def set_aside(self, mail: Mail) -> None:
        """What becomes of a mail that was to begin and may not."""
        now = self.village.now
        if mail.lapses and mail.lapses <= now:
            mail.become("lapsed")
        elif mail.objection():
            mail.become("cancelled")
        elif self.kept_back(mail) or not self.is_spared(mail):
            mail.become("queued")
        else:
            until = QUIET.until(now)
            if until is None:
                mail.lapses = mail.lapses or now + PATIENCE
                until = self.begun(mail)[CAP - 1] + DAY
            mail.become("held", min(until, mail.lapses or until))

    def intend(self, sender: Sender, claims: list[Claim]) -> list[Started]:
        """Begin; whatever starts must be allowed, and whatever is allowed must start."""
        now, expected = self.village.now, []
        held: list[Mail] = []
        named = {claim.id: self.mails[claim.id] for claim in claims}
        for claim in claims:
            mail = self.mails[claim.id]
            good = (claim.fence, sender.owner, "queued") == (mail.fence, mail.owner, mail.state)
            if not good or mail.until is None or mail.until <= now:
                continue
            held.append(mail)
            ahead = sum(
                row < claim.id
                and (one.person, one.kind, one.begun_at) == (mail.person, "newsletter", None)
                for row, one in named.items()
            )
            timely = mail.lapses is None or mail.lapses > now
            may = mail.objection() is None and not self.kept_back(mail)
            if may and timely and not self.is_spared(mail, ahead):
                expected.append(claim.id)
        started = self.village.begin(claims, sender.owner)
        assert [one.id for one in started] == sorted(expected)
        for one in started:
            self.mails[one.id].begun_at = self.mails[one.id].begun_at or now
        for mail in held:
            if all(mail is not self.mails[one.id] for one in started):
                self.set_aside(mail)
        for one in started:
            mail = self.mails[one.id]
            assert mail.licensed, "handed to the relay a second time without a reason"
            assert one.fence == mail.fence
            mail.state, mail.owner, mail.until = "sending", sender.owner, now + LEASE
            mail.attempts += 1
            assert one.attempts == mail.attempts
        return started

    @precondition(lambda self: any(sender.claims for sender in self.senders))
    @rule(who=SENDERS, share=st.integers(1, 4))
    def begin(self, who: int, share: int) -> None:
        sender = self.senders[who if self.senders[who].claims else 1 - who]
        claims, sender.claims = sender.claims[:share], sender.claims[share:]
        started = self.intend(sender, claims)
        for one in started:
            self.mails[one.id].licensed = False
        sender.dialogues += started

    @rule(who=SENDERS, limit=st.integers(1, 6), share=st.integers(1, 6))
    def send(self, who: int, limit: int, share: int) -> None:
        """Claim what is due and begin some of it at once, as senders do most of the time."""
        self.claim_retries(who)
        self.claim(who, limit)
        self.begin(who, share)

    def returned(self, sender: Sender, claims: list[Claim]) -> None:
        self.village.give_back(claims, sender.owner)
        for claim in claims:
            mail = self.mails[claim.id]
            if (claim.fence, sender.owner) == (mail.fence, mail.owner):
                mail.become("queued")

    @rule(who=SENDERS, begun=st.booleans())
    def give_back(self, who: int, begun: bool) -> None:
        """Return all claims; `begun`: after an intent whose commit's fate nobody learned."""
        sender = self.senders[who]
        claims, sender.claims = sender.claims, []
        if begun:
            self.intend(sender, claims)
        self.returned(sender, claims)

    @precondition(lambda self: any(sender.dialogues for sender in self.senders))
    @rule(who=SENDERS, said=st.lists(st.tuples(ANY, st.sampled_from(Outcome), st.booleans())))
    def record(self, who: int, said: list[tuple[int, Outcome, bool]]) -> None:
        sender = self.senders[who if self.senders[who].dialogues else 1 - who]
        for which, outcome, taken in said[: len(sender.dialogues)]:
            one = sender.dialogues.pop(which % len(sender.dialogues))
            self.heard(one, outcome, taken)

    def heard(self, one: Started, outcome: Outcome, taken: bool) -> None:
        now, mail = self.village.now, self.mails[one.id]
        self.village.do(outbox.record, [Attempt(one, outcome, "dot")], now, POLICY)
        mail.taken += outcome is Outcome.ACCEPTED or (outcome is Outcome.UNKNOWN and taken)
        if mail.fence != one.fence or mail.state not in ("sending", "uncertain", "queued"):
            return
        mail.licensed = False
        if outcome is Outcome.DEFERRED:
            again = retry_at(one.id, one.attempts, one.first_started_at, now)
            mail.become("deferred" if again else "failed", again)
            mail.licensed = again is not None
        elif outcome is Outcome.UNKNOWN:
            mail.become("uncertain", self.resend_at(mail, one.attempts))
        else:
            mail.become("accepted" if outcome is Outcome.ACCEPTED else "failed")

    def resend_at(self, mail: Mail, attempts: int) -> datetime | None:
        resend = mail.kind == "lesson" and attempts < TRIES_IN_DOUBT
        return self.village.now + UNCERTAIN_REST if resend else None

    @rule(who=SENDERS)
    def renew(self, who: int) -> None:
        sender, now = self.senders[who], self.village.now
        self.village.renew(sender.owner)
        for mail in self.mails.values():
            if mail.owner == sender.owner and mail.until and mail.until > now:
                mail.until = now + LEASE

    @rule(who=SENDERS)
    def die(self, who: int) -> None:
        """What was under way the relay took, and nobody is left who heard it say so."""
        sender = self.senders[who]
        for one in sender.dialogues:
            self.mails[one.id].taken += 1
        sender.claims, sender.dialogues = [], []
        sender.life += 1

    @rule(who=SENDERS, alone=st.booleans())
    def take_over(self, who: int, alone: bool) -> None:
        sender, other = self.senders[who], self.senders[1 - who]
        alone = alone and not (other.claims or other.dialogues)  # the lock is free
        found = self.village.take_over(sender.owner, alone=alone)
        for mail in self.mails.values():
            ran_out = mail.until is not None and mail.until <= self.village.now
            if mail.owner and mail.owner != sender.owner and (alone or ran_out):
                if mail.state == "sending":
                    found -= 1
                    mail.become("uncertain", self.resend_at(mail, mail.attempts))
                else:
                    mail.become("queued")
        assert found == 0

    @rule()
    def settle(self) -> None:
        count = self.village.settle()
        for mail in self.mails.values():
            if mail.state == "uncertain" and mail.again and mail.again <= self.village.now:
                assert mail.kind == "lesson"
                mail.become("queued")
                mail.licensed = True
                count -= 1
        assert count == 0

    @rule()
    def go_on(self) -> None:
        now = self.village.now
        queued, lapsed = self.village.do(outbox.go_on, now, 99)
        for mail in self.mails.values():
            if mail.state == "held" and mail.again and mail.again <= now:
                is_late = mail.lapses is not None and mail.lapses <= now
                mail.become("lapsed" if is_late else "queued")
                mail.fence += 1
                queued, lapsed = queued - (not is_late), lapsed - is_late
        assert (queued, lapsed) == (0, 0)

    @rule(who=SENDERS, death=st.booleans(), rest=st.booleans())
    def recover(self, who: int, death: bool, rest: bool) -> None:
        """One sender dies or only sleeps; the other takes over, waits and settles."""
        if death:
            self.die(1 - who)
        self.time_passes(LEASE)
        self.take_over(who, death)
        if rest:
            self.time_passes(UNCERTAIN_REST)
            self.settle()

    @rule(by=st.sampled_from(STEPS))
    def time_passes(self, by: timedelta) -> None:
        self.village.clock.advance(by)

    # -- what must hold after every step

    @invariant()
    def the_rows_are_what_they_should_be(self) -> None:
        rows = {row["id"]: row for row in self.village.rows()}
        assert rows.keys() == self.mails.keys()
        for row, mail in self.mails.items():
            found = rows[row]
            known = ("state", "fence", "lease_owner", "lease_until", "next_attempt_at")
            expected = (mail.state, mail.fence, mail.owner, mail.until, mail.again)
            assert tuple(found[name] for name in known) == expected
            if mail.state == "cancelled" and found["reason"] != "cancelled by an operator":
                reasons = {"erased", "restricted", "suppressed", "unsubscribed", "not confirmed"}
                assert found["reason"] in reasons
            if mail.state == "accepted":
                assert mail.taken or mail.attested, "counted as accepted, and no relay took it"
            if mail.taken > 1:
                assert found["uncertain_at"] is not None, "a silent duplicate"
            if mail.state == "held":
                assert found["reason"] in self.restraint.reasons
            assert found["lapses_at"] == mail.lapses
            if self.village.restraint and mail.kind == "newsletter":
                assert len(self.begun(mail)) <= CAP, "more than a person is to get"

    def teardown(self) -> None:
        try:
            self.everything_ends()
        finally:
            self.database.close()
            shutil.rmtree(self.folder)

    def everything_ends(self) -> None:
        """Once the senders are back and nothing is halted, no row is left behind."""
        self.halt_or_resume(None)
        self.village.restraint = NO_RESTRAINT
        self.village.do(outbox.reconsider, NO_RESTRAINT, self.village.now)
        for mail in self.mails.values():
            if mail.state == "held" and mail.again:
                mail.again = min(mail.again, self.village.now)
        self.go_on()
        for who in (0, 1):
            self.die(who)
        self.time_passes(LEASE)
        self.take_over(0, False)
        self.time_passes(UNCERTAIN_REST)
        self.settle()
        self.time_passes(timedelta(hours=4))
        self.claim_retries(0)
        self.claim(0, 99)
        self.begin(0, 99)
        self.record(0, [(0, Outcome.ACCEPTED, True)] * len(self.senders[0].dialogues))
        self.the_rows_are_what_they_should_be()
        for mail in self.mails.values():
            assert mail.state in ("accepted", "failed", "cancelled", "uncertain", "lapsed")
            assert mail.state != "lapsed" or self.restraint
            waits = mail.kind == "newsletter" or mail.attempts >= TRIES_IN_DOUBT
            assert mail.state != "uncertain" or waits


@pytest.mark.parametrize("rules", [NO_RESTRAINT, RESTRAINT], ids=["plain", "spared"])
def test_no_order_of_events_mails_the_barred_or_loses_or_doubles_a_mail(
    prepared_sqlite: Path, rules: Restraint
) -> None:
    class Here(Interleavings):
        prepared = prepared_sqlite
        restraint = rules

    run_state_machine_as_test(
        Here,
        settings=settings(
            max_examples=25,
            stateful_step_count=50,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        ),
    )
