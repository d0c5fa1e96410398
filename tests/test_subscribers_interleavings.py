"""Whatever people, strangers, operators and senders do in whatever order: no mail without consent.

`Person` is the oracle: what somebody agreed to, written down a second time and more simply. Each
mail that begins must be one the oracle allows; after each step memberships must equal it.
"""

import os
import shutil
import tempfile
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import select

from l3mail import consents, courses, subscribers, suppressions
from l3mail.addresses import parse_address
from l3mail.database import Database
from l3mail.models import DELIVERY, SIGNUP, STREAM, SUBSCRIPTION, SUPPRESSION_REASONS
from l3mail.outbox import Claim, Outcome, Started
from l3mail.subscribers import Refused
from tests.fakes.newcomer import RULES, Newcomer, settle
from tests.fakes.village import Village

EXAMPLES = int(os.environ.get("L3MAIL_INTERLEAVINGS", "12"))
SLUGS = ("kurs", "newsletter")
WHO = st.integers(0, 2)
STREAMS = st.sets(st.sampled_from(SLUGS), min_size=1).map(sorted)
LINKS = st.integers(0, 30)
LASTING = ("never", "complaint", "operator")
STEPS = [timedelta(minutes=10), timedelta(hours=25), timedelta(days=3), timedelta(days=8)]


@dataclass
class Asked:
    """One sign-up: a link somebody may hold."""

    link: tuple[int, int]
    who: "Person"
    life: int
    streams: set[str]
    closed: bool = False


@dataclass
class Person:
    """What one address agreed to; a new `life` begins when it is erased."""

    newcomer: Newcomer
    life: int = 0
    confirmed: set[str] = field(default_factory=set)
    left: set[str] = field(default_factory=set)
    waiting: set[str] = field(default_factory=set)
    barred: str | None = None
    requests: list[datetime] = field(default_factory=list)

    def leave(self, slugs: set[str]) -> set[str]:
        changed = slugs & (self.confirmed | self.waiting)
        self.confirmed -= changed
        self.waiting -= changed
        self.left |= changed
        return changed

    def bar(self, reason: str) -> None:
        order = ("complaint", "never", "operator", "hard_bounce", None)
        self.barred = min(self.barred, reason, key=order.index)

    def start_over(self) -> None:
        self.life += 1
        self.confirmed, self.left, self.waiting, self.requests = set(), set(), set(), []


class Lives(RuleBasedStateMachine):
    prepared: Path

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.database = Database(f"sqlite:///{shutil.copy(self.prepared, self.folder)}")
        self.village = Village(self.database)
        self.asked: list[Asked] = []
        self.claims: list[Claim] = []
        self.talking: list[Started] = []
        self.tried: set[int] = set()

    @initialize()
    def a_village(self) -> None:
        settle(self.village)
        names = ("ada", "bea", "cleo")
        self.people = [Person(Newcomer(self.village, f"{n}@schule.example")) for n in names]

    # -- what people, strangers and operators do

    @rule(who=WHO, slugs=STREAMS)
    def sign_up(self, who: int, slugs: list[str]) -> None:
        person = self.people[who]
        person.newcomer.sign_up(*slugs)
        known = person.confirmed if person.barred != "hard_bounce" else set()
        person.waiting |= set(slugs) - person.confirmed - person.left
        missing = set(slugs) - known or set(slugs)
        mine = self.open_request(person)
        link = person.newcomer.link()
        if mine is None:
            self.asked.append(Asked(link, person, person.life, missing))
        else:
            assert link == mine.link, "an open request is merged into"
            mine.streams = (mine.streams | missing) - known or mine.streams | missing

    @rule(which=LINKS, slugs=STREAMS)
    def confirm(self, which: int, slugs: list[str]) -> None:
        if not self.asked:
            return
        asked = self.asked[which % len(self.asked)]
        person = asked.who
        answer = person.newcomer.confirm(*slugs, link=asked.link)
        good = self.is_open(asked) and person.barred not in LASTING
        chosen = asked.streams & set(slugs)
        if good and chosen:
            assert answer is not None
            assert {one.slug for one in answer.streams} == chosen
            new = chosen - person.confirmed
            person.confirmed |= chosen
            person.left -= chosen
            person.waiting -= chosen
            assert answer.changed == bool(new or person.barred)
            person.barred = None
            asked.streams -= chosen | person.confirmed
            asked.closed = not asked.streams
        elif answer is not None:
            assert not answer.changed
            assert {one.slug for one in answer.streams} <= person.confirmed

    @rule(which=LINKS)
    def refuse(self, which: int) -> None:
        if not self.asked:
            return
        asked = self.asked[which % len(self.asked)]
        there = bool(self.village.ask(select(SIGNUP.c.id).where(SIGNUP.c.id == asked.link[0])))
        assert asked.who.newcomer.refuse(asked.link) is there
        if not there:
            return
        asked.who.bar("never")
        asked.closed = True
        if asked.life == asked.who.life:
            asked.who.leave(set(SLUGS))
            self.strike(asked.who, set(SLUGS))

    @rule(who=WHO, slugs=STREAMS)
    def unsubscribe(self, who: int, slugs: list[str]) -> None:
        person = self.people[who]
        subscriber = person.newcomer.id
        if subscriber is None:
            return
        changed = person.newcomer.unsubscribe(*slugs, person=subscriber)
        assert set(changed) == person.leave(set(slugs))
        self.strike(person, set(slugs))

    @rule(who=WHO, slugs=STREAMS)
    def attest(self, who: int, slugs: list[str]) -> None:
        person = self.people[who]
        answer = person.newcomer.attest(*slugs)
        refused = person.barred is not None or bool(set(slugs) & person.left)
        assert isinstance(answer, Refused) is refused
        if not refused:
            person.confirmed |= set(slugs)
            person.waiting -= set(slugs)
            self.strike(person, set(slugs))

    @rule(who=WHO, keep=st.booleans())
    def erase(self, who: int, keep: bool) -> None:
        person = self.people[who]
        if person.newcomer.id is not None:
            person.newcomer.erase(keep_proof=keep)
            person.start_over()

    @rule(who=WHO, reason=st.sampled_from(SUPPRESSION_REASONS))
    def suppress(self, who: int, reason: str) -> None:
        self.people[who].newcomer.suppress(reason)
        self.people[who].bar(reason)

    @rule(who=WHO)
    def lift(self, who: int) -> None:
        person = self.people[who]
        reason = person.barred or "operator"
        lifted = self.village.do(suppressions.lift, person.newcomer.key, reason)
        assert lifted == (person.barred is not None)
        person.barred = None

    @rule(who=WHO)
    def ask_for_a_link(self, who: int) -> None:
        address = parse_address(self.people[who].newcomer.address)
        self.village.do(subscribers.request_link, RULES, address, self.village.now)

    # -- what the house does

    @rule()
    def plan(self) -> None:
        village = self.village
        village.do(subscribers.plan_confirmations, RULES, village.now)
        village.do(courses.advance, village.now, RULES.zone)
        village.do(courses.plan, village.now, RULES.zone)

    @rule()
    def purge(self) -> None:
        self.village.do(subscribers.purge, self.village.now, 100)
        for person in self.people:
            mine = [one for one in self.asked if one.who is person and one.life == person.life]
            for one in mine:
                one.closed = one.closed or not self.is_open(one)
            ran_out = mine and all(one.closed for one in mine)
            if ran_out and person.waiting:
                person.waiting = set()

    @rule()
    def claim(self) -> None:
        for lane in (0, 1):
            self.claims += self.village.claim(lane=lane)
        self.claims += self.village.claim_retries()

    @rule()
    def begin(self) -> None:
        claims, self.claims = self.claims, []
        for mail in self.village.begin(claims):
            self.must_be_allowed(mail)
            self.talking.append(mail)

    @rule(outcome=st.sampled_from([Outcome.ACCEPTED, Outcome.DEFERRED]))
    def end(self, outcome: Outcome) -> None:
        """The relay answers, whatever its people did while it was spoken to."""
        talking, self.talking = self.talking, []
        for mail in talking:
            self.village.record(mail, outcome, code=250 if outcome is Outcome.ACCEPTED else 451)
            assert self.village.state(mail.id) in {str(outcome), "cancelled"}

    @rule(by=st.sampled_from(STEPS))
    def time_passes(self, by: timedelta) -> None:
        self.village.clock.advance(by)
        self.claims = []

    # -- the oracle

    def must_be_allowed(self, mail: Started) -> None:
        (person,) = [one for one in self.people if one.newcomer.address == mail.address]
        row = self.village.row(DELIVERY, mail.id)
        assert row["subscriber_id"] == person.newcomer.id
        if mail.kind == "confirmation":
            assert person.barred in {None, "hard_bounce"}
        else:
            assert person.barred is None
        if row["purpose"] == "stream":
            assert mail.stream in person.confirmed
        elif row["signup_id"] is not None:
            request = self.open_request(person)
            assert request is not None
            assert request.link[0] == row["signup_id"]
            if mail.id in self.tried:
                return
            self.tried.add(mail.id)
            now = self.village.now
            person.requests.append(now)
            recent = [one for one in person.requests if one > now - timedelta(days=30)]
            assert len(recent) <= 3
            assert len([one for one in recent if one > now - timedelta(hours=24)]) == 1

    def is_open(self, asked: Asked) -> bool:
        row = self.village.ask(select(SIGNUP.c.expires_at).where(SIGNUP.c.id == asked.link[0]))
        alive = bool(row) and row[0].expires_at > self.village.now
        return alive and not asked.closed and asked.life == asked.who.life

    def open_request(self, person: Person) -> Asked | None:
        mine = [one for one in self.asked if one.who is person and self.is_open(one)]
        assert len(mine) <= 1
        return mine[0] if mine else None

    def strike(self, person: Person, slugs: set[str]) -> None:
        for asked in self.asked:
            if asked.who is person and asked.life == person.life and not asked.closed:
                asked.streams -= slugs
                asked.closed = not asked.streams

    @invariant()
    def memberships_are_what_was_agreed_to(self) -> None:
        for person in getattr(self, "people", []):
            rows = self.village.ask(
                select(STREAM.c.slug, SUBSCRIPTION.c.state)
                .join(SUBSCRIPTION, SUBSCRIPTION.c.stream_id == STREAM.c.id)
                .where(SUBSCRIPTION.c.subscriber_id == person.newcomer.id)
            )
            by_state: dict[str, set[str]] = {}
            for row in rows:
                by_state.setdefault(row.state, set()).add(row.slug)
            assert by_state.get("confirmed", set()) == person.confirmed
            assert by_state.get("unsubscribed", set()) == person.left
            assert by_state.get("unconfirmed", set()) == person.waiting
            assert person.newcomer.suppression() == person.barred
            running = person.newcomer.enrollments().count("active")
            assert running <= int("kurs" in person.confirmed)

    def teardown(self) -> None:
        try:
            assert self.database.read(consents.verify).broken_at is None
        finally:
            self.database.close()
            shutil.rmtree(self.folder)


def test_no_order_of_lives_mails_anybody_who_did_not_agree(prepared_sqlite: Path) -> None:
    class Here(Lives):
        prepared = prepared_sqlite

    run_state_machine_as_test(
        Here,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        ),
    )
