"""The sender's conduct around its dialogues: who is asked, what is held, how it ends."""

import asyncio
import random
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection

from l3mail import outbox
from l3mail.errors import DatabaseUnavailableError
from l3mail.models import CAMPAIGN, DELIVERY, SUBSCRIBER, SUBSCRIPTION, SUPPRESSION
from l3mail.outbox import Attempt, Outcome, Started
from l3mail.publishing import Published
from l3mail.sending import Pace, Sender
from l3mail.sending.dialogue import Wire
from tests.fakes.post import PACE, composed, relay_of, send, sender_for, terms
from tests.fakes.relay import Fault, Relay
from tests.fakes.village import Village


def fill(village: Village, count: int, kind: str = "lesson", **values: Any) -> list[int]:
    village.publish()
    return [
        village.delivery(village.learner(f"p{n}@schule.example"), kind, **values)
        for n in range(count)
    ]


class Running:
    """A sender in a thread of its own, so that a test can act while it works."""

    def __init__(self, sender: Callable[[], Sender]) -> None:
        self._make = sender
        self._ready = threading.Event()
        self.thread = threading.Thread(target=self._main)
        self.thread.start()
        assert self._ready.wait(10)

    def _main(self) -> None:
        async def main() -> None:
            self.sender = self._make()
            self.loop = asyncio.get_running_loop()
            self._ready.set()
            await self.sender.run()

        asyncio.run(main())

    def stop(self) -> None:
        self.loop.call_soon_threadsafe(self.sender.stop)

    def turns(self, count: int) -> None:
        """Wait until the sender has looked at its rows so often."""
        for _ in range(count):
            turn = threading.Event()
            beat = self.sender._turn

            async def told(turn: threading.Event = turn, beat: Any = beat) -> bool:
                busy: bool = await beat()
                turn.set()
                return busy

            self.sender._turn = told  # type: ignore[method-assign]
            self.loop.call_soon_threadsafe(self.sender.wake)
            assert turn.wait(10)
            self.sender._turn = beat  # type: ignore[method-assign]

    def until(self, fits: Callable[[], bool], turns: int = 500) -> None:
        """Wait until something is so, for so many turns at most."""
        for _ in range(turns):
            if fits():
                return
            self.turns(1)
        raise AssertionError(f"it was not so after {turns} turns")

    def join(self) -> None:
        self.stop()
        self.thread.join(20)
        assert not self.thread.is_alive()


def test_mail_arrives_as_it_was_made(village: Village) -> None:
    (delivery,) = fill(village, 1)
    with Relay(one_rcpt=True) as relay:
        send(village, relay)
    (taken,) = relay.accepted
    assert (taken.mail_from, taken.rcpt_to) == ("kurs@stadt.example", ("p0@schule.example",))
    assert taken.data == composed(
        Started(delivery, 1, "stream", "", "", "", "", 1, 1, village.now, village.now),
        Published(1, "kurs/01", "de", {}),
    )
    assert not relay.violations
    assert relay.quits == 1


def test_connections_are_kept_and_each_carries_its_share(village: Village) -> None:
    fill(village, 25)
    with Relay() as relay:
        tally = send(village, relay, connections=2, messages_per_connection=5)
    assert tally.outcomes == {Outcome.ACCEPTED: 25}
    assert relay.max_open <= 2
    assert max(taken.at_message for taken in relay.accepted) == 5
    assert relay.sessions >= 5


def test_no_more_rows_are_in_dialogue_than_connections_are_open(village: Village) -> None:
    fill(village, 12)
    with Relay() as relay:
        relay.hold("dot")
        running = Running(lambda: sender_for(village, relay_of(relay), connections=3))
        relay.wait_for_held(3)
        assert outbox_counts(village)["sending"] == 3
        assert outbox_counts(village)["queued"] == 9
        relay.release()
        relay.wait_until(lambda book: len(book.accepted) == 12)
        running.join()
    assert outbox_counts(village)["accepted"] == 12


def outbox_counts(village: Village) -> dict[str, int]:
    return village.database.read(outbox.counts)


def test_intent_is_durable_before_the_relay_hears_of_the_mail(village: Village) -> None:
    (delivery,) = fill(village, 1)
    with Relay() as relay:
        relay.hold("mail")
        running = Running(lambda: sender_for(village, relay_of(relay)))
        relay.wait_for_held()
        row = village.row(DELIVERY, delivery)
        assert (row["state"], row["started_at"], row["attempts"]) == ("sending", village.now, 1)
        relay.release()
        running.join()


def test_one_mail_opens_one_connection_however_slow(village: Village) -> None:
    fill(village, 1)
    with Relay() as relay:
        relay.hold("ehlo")
        running = Running(lambda: sender_for(village, relay_of(relay), connections=4))
        relay.wait_for_held()
        relay.release()
        relay.wait_until(lambda book: len(book.accepted) == 1)
        running.join()
    assert relay.sessions == 1


def test_a_relay_that_is_down_leaves_the_queue_alone(village: Village) -> None:
    deliveries = fill(village, 3)
    with Relay() as relay:
        nobody = relay_of(relay)
    tally = send(village, relay, relay=nobody)
    assert tally.relay_fault == (
        f"{nobody.host}:{nobody.port} takes no connection (connection refused); check host and"
        " port under [relay] in l3mail.toml, and whether the relay is up"
    )
    for delivery in deliveries:
        row = village.row(DELIVERY, delivery)
        assert (row["state"], row["attempts"], row["lease_owner"]) == ("queued", 0, None)


def test_mail_flows_again_when_the_relay_comes_back(village: Village) -> None:
    fill(village, 3)
    with Relay() as relay:
        pass
    running = Running(lambda: sender_for(village, relay_of(relay)))
    with Relay(port=relay.port) as back:
        back.wait_until(lambda book: len(book.accepted) == 3)
        running.join()
    assert outbox_counts(village)["accepted"] == 3


@pytest.mark.parametrize(
    ("offered", "certificate", "asked"),
    [
        pytest.param("none", "good", "starttls", id="no STARTTLS offered"),
        pytest.param("starttls", "wrong-name", "starttls", id="STARTTLS, wrong name"),
        pytest.param("starttls", "untrusted", "starttls", id="STARTTLS, unknown issuer"),
        pytest.param("tls", "wrong-name", "tls", id="TLS, wrong name"),
        pytest.param("tls", "untrusted", "tls", id="TLS, unknown issuer"),
        pytest.param("none", "good", "tls", id="no TLS at all"),
    ],
)
def test_without_the_tls_that_is_asked_for_nothing_is_said(
    sqlite_village: Village, offered: Any, certificate: Any, asked: Any
) -> None:
    (delivery,) = fill(sqlite_village, 1)
    with Relay(tls=offered, certificate=certificate) as relay:
        tally = send(sqlite_village, relay, relay=relay_of(relay, tls=asked, seconds=1.0))
    assert tally.relay_fault is not None
    assert not {"MAIL", "AUTH"} & {verb for n in relay.commands for verb in relay.verbs(n)}
    assert sqlite_village.state(delivery) == "queued"


def test_a_refused_login_is_a_relay_that_is_down(sqlite_village: Village) -> None:
    (delivery,) = fill(sqlite_village, 1)
    with Relay(auth=("l3mail", "right")) as relay:
        ours = relay_of(relay)
        relay.auth = ("l3mail", "changed")
        tally = send(sqlite_village, relay, relay=ours)
    assert tally.relay_fault is not None
    assert "refused the login: 535" in tally.relay_fault
    assert "right" not in tally.relay_fault
    assert sqlite_village.state(delivery) == "queued"


def test_mail_goes_through_login_and_tls(sqlite_village: Village) -> None:
    fill(sqlite_village, 2)
    with Relay(tls="starttls", auth=("l3mail", "secret")) as relay:
        send(sqlite_village, relay)
    assert len(relay.accepted) == 2


LEAVING: dict[str, Callable[[Village, int], Any]] = {
    "erased": lambda v, p: v.change(SUBSCRIBER, p, erased_at=v.now),
    "suppressed": lambda v, p: v.suppress(p, "complaint"),
    "unsubscribed": lambda v, p: v.change(SUBSCRIPTION, p, state="unsubscribed"),
}
"""Ways of a person, by number, not to be mailed any more."""


@pytest.mark.parametrize("act", LEAVING.values(), ids=LEAVING)
def test_somebody_who_leaves_while_leased_is_not_mailed(
    village: Village, act: Callable[[Village, int], None]
) -> None:
    fill(village, 2)
    with Relay() as relay:
        relay.hold("mail")
        running = Running(lambda: sender_for(village, relay_of(relay), connections=1))
        relay.wait_for_held()
        act(village, 2)  # the second person's row is leased, and not begun
        relay.release()
        running.sender.wake()
        village_settles(village, lambda counts: counts["queued"] + counts["sending"] == 0)
        running.join()
    assert [taken.rcpt_to for taken in relay.taken] == [("p0@schule.example",)]
    assert outbox_counts(village)["cancelled"] == 1


def village_settles(village: Village, fits: Callable[[dict[str, int]], bool]) -> None:
    """Wait, by asking the database, until the counts fit."""
    for _ in range(100_000):
        if fits(outbox_counts(village)):
            return
    raise AssertionError(f"never came to it: {outbox_counts(village)}")


def test_halt_works_before_the_next_dialogue_and_resume_lets_go(village: Village) -> None:
    fill(village, 4)
    with Relay() as relay:
        relay.hold("dot")
        running = Running(lambda: sender_for(village, relay_of(relay), connections=1))
        relay.wait_for_held()
        village.database.write(
            lambda connection: outbox.halt(connection, "everything", "", "chef", village.now)
        )
        relay.release()
        village_settles(village, lambda counts: counts["accepted"] == 1)
        running.join()
        assert len(relay.accepted) == 1
        assert outbox_counts(village)["queued"] == 3
        village.database.write(outbox.resume)
        send(village, relay)
        assert len(relay.accepted) == 4


def test_asked_to_stop_it_ends_what_it_began_and_nothing_is_uncertain(village: Village) -> None:
    fill(village, 10)
    with Relay() as relay:
        relay.hold("taken")
        running = Running(lambda: sender_for(village, relay_of(relay), connections=3))
        relay.wait_for_held(3)
        running.stop()
        relay.release()
        running.join()
    counts = outbox_counts(village)
    assert (counts["accepted"], counts["queued"], counts["uncertain"]) == (3, 7, 0)
    assert len(relay.accepted) == 3
    assert all(row["lease_owner"] is None for row in village.rows())


def test_when_the_grace_is_over_the_stage_says_what_is_known(village: Village) -> None:
    fill(village, 2)
    pace = Pace(poll=0.02, idle=0.2, quit=0.2, grace=0.1)
    with Relay() as relay:
        relay.hold("taken")
        running = Running(lambda: sender_for(village, relay_of(relay), connections=1, pace=pace))
        relay.wait_for_held()
        running.join()
    counts = outbox_counts(village)
    assert (counts["uncertain"], counts["queued"]) == (1, 1)


def test_intents_of_a_dead_sender_become_uncertain_and_are_resent_as_the_same_mail(
    sqlite_village: Village,
) -> None:
    village = sqlite_village
    (delivery,) = fill(village, 1)
    village.start()  # and its process dies
    with Relay() as relay:
        tally = send(village, relay, owner="heir")
        assert tally.taken_over == 1
        assert village.state(delivery) == "uncertain"
        village.clock.advance(outbox.UNCERTAIN_REST)
        send(village, relay, owner="heir")
    (taken,) = relay.accepted
    assert f"<{delivery}@village>".encode() in taken.data
    row = village.row(DELIVERY, delivery)
    assert (row["state"], row["uncertain_at"] is not None) == ("accepted", True)


def test_an_uncertain_newsletter_waits_for_a_person(sqlite_village: Village) -> None:
    village = sqlite_village
    (delivery,) = fill(village, 1, kind="newsletter")
    village.start(lane=2)
    with Relay() as relay:
        send(village, relay, owner="heir")
        village.clock.advance(timedelta(days=30))
        send(village, relay, owner="heir")
    assert not relay.taken
    assert village.state(delivery) == "uncertain"


def test_greylisted_mail_comes_back_in_its_time(sqlite_village: Village) -> None:
    village = sqlite_village
    (delivery,) = fill(village, 1)
    later = Fault(None, "rcpt", "reply", b"450 4.2.1 greylisted")
    with Relay(faults={1: later}) as relay:
        send(village, relay)
        send(village, relay)
        assert village.state(delivery) == "deferred"
        village.clock.advance(timedelta(minutes=38))
        send(village, relay)
    assert village.state(delivery) == "accepted"
    assert village.row(DELIVERY, delivery)["attempts"] == 2


def test_a_relay_that_refuses_our_sender_stops_the_campaign_and_bars_nobody(
    sqlite_village: Village,
) -> None:
    village = sqlite_village
    campaign = village.campaign()
    stream = village.stream("newsletter", "newsletter")
    village.publish()
    for number in range(6):
        person = village.person(f"p{number}@schule.example")
        village.subscribe(person, stream)
        village.delivery(person, "newsletter", campaign_id=campaign, stream_id=stream)
    spam = Fault(None, "dot", "reply", b"554 5.7.1 spam")
    with Relay(faults={1: spam}) as relay:
        send(village, relay, connections=1)
    assert outbox_counts(village)["failed"] == 1
    assert outbox_counts(village)["queued"] == 5
    assert "refused: 554 5.7.1, see delivery 1" in village.row(CAMPAIGN, campaign)["paused_reason"]
    assert not village.rows(SUPPRESSION)


def test_a_relay_that_takes_and_never_says_so_is_not_fed_for_ever(sqlite_village: Village) -> None:
    village = sqlite_village
    (delivery,) = fill(village, 1)
    silent = Fault(None, "dot", "close", taken=True)
    with Relay(fault_for=lambda *_: silent) as relay:
        for _ in range(9):
            send(village, relay)
            village.clock.advance(outbox.UNCERTAIN_REST)
        assert len(relay.accepted) == 3
    assert village.state(delivery) == "uncertain"
    assert village.row(DELIVERY, delivery)["next_attempt_at"] is None


@pytest.mark.parametrize("stage", ["ehlo", "mail"])
def test_a_relay_that_slams_the_door_is_down_and_not_stormed(
    sqlite_village: Village, stage: Any
) -> None:
    fill(sqlite_village, 50)
    slam = Fault(None, stage, "reply", b"421 4.3.2 too many connections")
    with Relay(fault_for=lambda *_: slam) as relay:
        tally = send(sqlite_village, relay)
        assert relay.sessions <= 8
    assert tally.relay_fault is not None
    assert outbox_counts(sqlite_village)["queued"] >= 42


def test_a_relay_that_wants_a_login_leaves_the_queue(village: Village) -> None:
    fill(village, 20)
    kept = ("state", "attempts", "first_started_at", "ended_at", "next_attempt_at", "lease_owner")
    before = [{name: row[name] for name in kept} for row in village.rows(DELIVERY)]
    login = Fault(None, "mail", "reply", b"530 5.7.0 Authentication required")
    with Relay(fault_for=lambda *_: login) as relay:
        tally = send(village, relay)
    assert [{name: row[name] for name in kept} for row in village.rows(DELIVERY)] == before
    assert not village.database.read(outbox.halts), "no message is to blame for a login"
    assert not tally.outcomes
    assert tally.relay_fault is not None
    assert "it wants a login (530): look at username" in tally.relay_fault


def test_one_recipient_who_wants_a_login_holds_up_nobody_else(sqlite_village: Village) -> None:
    fill(sqlite_village, 20)
    login = Fault(None, "rcpt", "reply", b"530 5.7.0 Authentication required for relaying")
    with Relay(fault_for=lambda _s, _m, rcpt: login if rcpt.startswith("p0@") else None) as relay:
        for _ in range(6):
            send(sqlite_village, relay)
            sqlite_village.clock.advance(timedelta(minutes=1))
    counts = outbox_counts(sqlite_village)
    assert (counts["accepted"], counts["deferred"]) == (19, 1)


def test_lessons_refused_as_ours_again_and_again_are_halted(sqlite_village: Village) -> None:
    fill(sqlite_village, 20)
    spam = Fault(None, "rcpt", "reply", b"554 5.7.1 Relay access denied")
    with Relay(fault_for=lambda *_: spam) as relay:
        send(sqlite_village, relay, connections=1)
    counts = outbox_counts(sqlite_village)
    assert (counts["failed"], counts["queued"]) == (3, 17)
    (order,) = sqlite_village.database.read(outbox.halts)
    assert (order.scope, order.subject, order.halted_by) == ("message", "kurs/01", "l3mail")


def test_a_relay_that_takes_few_sessions_gets_all_mail_all_the_same(
    sqlite_village: Village,
) -> None:
    fill(sqlite_village, 30)

    admitted: set[int] = set()
    refused: set[int] = set()

    def full(session: int, _message: int, _rcpt: str) -> Fault | None:
        # Who has said goodbye is gone: a machine under load takes its time to count it so.
        if session not in admitted | refused:
            crowded = len(admitted) - relay.quits >= 2
            (refused if crowded else admitted).add(session)
        return Fault(None, "connect", "reply", b"421 too many") if session in refused else None

    patient = replace(PACE, quit=5.0)
    with Relay(fault_for=full) as relay:
        send(sqlite_village, relay, messages_per_connection=5, pace=patient)
    assert refused, "it opened no more than two, so there was nothing to see"
    assert outbox_counts(sqlite_village)["accepted"] == 30


def test_an_open_that_fails_as_nobody_foresaw_is_a_relay_that_is_down(
    sqlite_village: Village,
) -> None:
    fill(sqlite_village, 2)

    async def broken() -> Wire:
        raise UnicodeError("label empty or too long")

    sender = Sender(
        sqlite_village.database, sqlite_village.clock, terms(sqlite_village), broken, composed
    )
    tally = asyncio.run(sender.run(once=True))
    assert tally.relay_fault == "UnicodeError while opening a connection"
    assert outbox_counts(sqlite_village)["queued"] == 2


def test_a_connection_that_died_while_idle_costs_no_mail_an_attempt(
    sqlite_village: Village,
) -> None:
    village = sqlite_village
    fill(village, 2)
    bye = Fault(None, "sent", "reply", b"421 4.4.2 idle too long")
    with Relay(faults={(1, 1): bye}) as relay:
        send(village, relay, connections=1)
    assert [row["state"] for row in village.rows()] == ["accepted", "accepted"]
    assert len(relay.accepted) == 2


def test_an_address_that_needs_smtputf8_is_refused_by_a_relay_without_it(
    sqlite_village: Village,
) -> None:
    village = sqlite_village
    village.publish()
    village.delivery(village.learner("jörg@schule.example"))
    with Relay() as relay:
        send(village, relay)
        assert village.rows()[0]["state"] == "failed"
        assert "SMTPUTF8" in village.rows()[0]["reply_text"]
    village.database.write(lambda connection: outbox.retry(connection, [1]))
    with Relay(smtputf8=True) as relay:
        send(village, relay)
    assert relay.accepted[0].rcpt_to == ("jörg@schule.example",)


def test_an_address_changed_past_the_door_never_reaches_the_wire(sqlite_village: Village) -> None:
    village = sqlite_village
    fill(village, 1)
    village.change(SUBSCRIBER, 1, address="a@b.example>\r\nRCPT TO:<evil@x.example")
    with Relay() as relay:
        send(village, relay)
    assert not relay.taken
    assert village.rows()[0]["state"] == "failed"


@pytest.mark.parametrize("pipelining", [False, True], ids=["lockstep", "pipelining"])
def test_outcomes_wait_for_a_database_that_is_away(
    sqlite_village: Village, monkeypatch: pytest.MonkeyPatch, *, pipelining: bool
) -> None:
    village = sqlite_village
    fill(village, 6)
    whole = village.database.writes
    chance = random.Random(8)

    async def failing(verb: Callable[[Connection], Any]) -> Any:
        fate = chance.random()
        if fate < 0.2:
            raise DatabaseUnavailableError("database is locked")
        result = await whole(verb)
        if fate < 0.5:
            # As when a commit was durable and its answer was lost: the worst of both.
            raise DatabaseUnavailableError("disk I/O error")
        return result

    monkeypatch.setattr(village.database, "writes", failing)
    with Relay(pipelining=pipelining) as relay:
        while outbox_counts(village)["accepted"] < 6:
            with suppress(DatabaseUnavailableError):
                send(village, relay, connections=2)
    assert sorted(taken.rcpt_to[0] for taken in relay.accepted) == [
        f"p{n}@schule.example" for n in range(6)
    ]


def test_leases_are_renewed_while_a_dialogue_takes_long(village: Village) -> None:
    (delivery,) = fill(village, 1)
    with Relay() as relay:
        relay.hold("dot")
        running = Running(lambda: sender_for(village, relay_of(relay)))
        relay.wait_for_held()
        first = village.row(DELIVERY, delivery)["lease_until"]
        village.clock.advance(timedelta(seconds=60))
        while village.row(DELIVERY, delivery)["lease_until"] == first:
            pass
        relay.release()
        relay.wait_until(lambda book: len(book.accepted) == 1)
        running.join()
    assert village.state(delivery) == "accepted"


@pytest.mark.parametrize("pipelining", [False, True], ids=["lockstep", "pipelining"])
@pytest.mark.parametrize(
    "by", [-timedelta(hours=1), timedelta(hours=1), timedelta(days=1)], ids=str
)
def test_a_clock_that_is_set_in_mid_dialogue_loses_and_repeats_nothing(
    village: Village, by: timedelta, *, pipelining: bool
) -> None:
    fill(village, 12)
    pace = replace(PACE, heartbeat=0.0)
    with Relay(pipelining=pipelining) as relay:
        relay.hold("taken")
        running = Running(lambda: sender_for(village, relay_of(relay), connections=3, pace=pace))
        relay.wait_for_held(3)
        village.clock.set(village.now + by)
        running.turns(5)
        village.clock.set(village.now + timedelta(minutes=15))
        running.turns(5)
        relay.release()
        relay.wait_until(lambda book: len(book.accepted) >= 12 or not running.thread.is_alive())
        running.join()
    assert sorted(taken.rcpt_to[0] for taken in relay.accepted) == sorted(
        f"p{n}@schule.example" for n in range(12)
    )
    assert outbox_counts(village)["accepted"] == 12


def test_a_text_may_fail_in_any_way(sqlite_village: Village) -> None:
    fill(sqlite_village, 2)

    def broken(delivery: Started, text: Published) -> bytes:
        if delivery.id == 1:
            raise RecursionError("maximum recursion depth exceeded")
        return composed(delivery, text)

    with Relay() as relay:
        send(sqlite_village, relay, compose=broken)
    assert [row["state"] for row in sqlite_village.rows()] == ["failed", "accepted"]


def test_a_fault_of_our_own_in_the_dialogue_is_an_uncertain_mail(
    sqlite_village: Village, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(sqlite_village, 2)
    whole = Wire.hand_over

    async def broken(wire: Wire, delivery: Started, *rest: Any) -> Attempt:
        if delivery.id == 1:
            raise AssertionError("a bug")
        return await whole(wire, delivery, *rest)

    monkeypatch.setattr(Wire, "hand_over", broken)
    with Relay() as relay:
        send(sqlite_village, relay)
    assert [row["state"] for row in sqlite_village.rows()] == ["uncertain", "accepted"]
