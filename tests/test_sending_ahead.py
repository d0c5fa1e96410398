"""Envelopes that leave with the dot of the mail before: one round trip a mail, nothing risked."""

import asyncio
import re
import threading
from collections.abc import Callable
from typing import Any

import pytest

from l3mail import outbox
from l3mail.errors import RenderingError
from l3mail.models import CAMPAIGN, DELIVERY, HALT, SUBSCRIBER, SUBSCRIPTION, SUPPRESSION
from l3mail.outbox import Claim, Started
from l3mail.publishing import Published
from l3mail.sending import DomainLimit, Limits
from l3mail.sending.backlog import Backlog
from l3mail.sending.dialogue import Wire
from l3mail.sending.rates import Rates
from tests.fakes.post import composed, relay_of, send, sender_for
from tests.fakes.relay import Fault, Relay
from tests.fakes.village import Village
from tests.test_sending_sender import LEAVING, Running, fill, outbox_counts, village_settles

_MESSAGE_ID = re.compile(rb"Message-ID: <(\d+)@village>")


def envelopes(relay: Relay) -> list[bytes]:
    """Every recipient named to the relay, in all sessions."""
    lines = [command.line for number in relay.commands for command in relay.commands[number]]
    return [line[9:-1] for line in lines if line.startswith(b"RCPT")]


def recipients(relay: Relay) -> list[str]:
    return sorted(taken.rcpt_to[0] for taken in relay.accepted)


def test_all_envelopes_but_the_first_leave_with_the_dot_before(village: Village) -> None:
    fill(village, 6)
    with Relay(pipelining=True, one_rcpt=True, size=10_000_000) as relay:
        send(village, relay, connections=1)
        assert (relay.sessions, relay.quits, relay.ahead) == (1, 1, 5)
        assert not relay.violations
        assert recipients(relay) == [f"p{n}@schule.example" for n in range(6)]


def test_no_text_leaves_before_the_commit_of_its_intent_and_of_the_outcome_before(
    village: Village, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(village, 5)
    whole, seen = Wire.write, []

    def watching(wire: Wire, data: bytes | memoryview) -> None:
        if found := _MESSAGE_ID.search(data):
            states = [village.state(number) for number in range(1, 6)]
            seen.append((int(found[1]), states))
        whole(wire, data)

    monkeypatch.setattr(Wire, "write", watching)
    with Relay(pipelining=True) as relay:
        send(village, relay, connections=1)
        assert relay.ahead == 4
    for number in range(5):
        states = ["accepted"] * number + ["sending"] + ["queued"] * (4 - number)
        assert seen[number] == (number + 1, states)


def test_an_announced_mail_is_no_more_than_leased(village: Village) -> None:
    fill(village, 9)
    with Relay(pipelining=True) as relay:
        relay.hold("dot")
        running = Running(lambda: sender_for(village, relay_of(relay), connections=3))
        relay.wait_for_held(3)
        assert relay.ahead == 3
        assert (outbox_counts(village)["sending"], outbox_counts(village)["queued"]) == (3, 6)
        assert sum(row["attempts"] for row in village.rows()) == 3
        relay.release()
        relay.wait_until(lambda book: len(book.accepted) == 9)
        running.join()
    assert outbox_counts(village)["accepted"] == 9


def test_nothing_is_announced_to_a_relay_that_wants_to_be_waited_for(village: Village) -> None:
    fill(village, 4)
    with Relay() as relay:
        send(village, relay, connections=1)
        assert (relay.ahead, len(relay.accepted)) == (0, 4)
        assert not relay.violations


@pytest.mark.parametrize("act", LEAVING.values(), ids=LEAVING)
def test_somebody_who_leaves_when_announced_is_not_mailed_and_the_next_are(
    village: Village, act: Callable[[Village, int], None]
) -> None:
    fill(village, 5)
    with Relay(pipelining=True) as relay:
        relay.hold("dot")
        running = Running(lambda: sender_for(village, relay_of(relay), connections=1))
        relay.wait_for_held()
        act(village, 2)
        relay.release()
        village_settles(village, lambda counts: counts["accepted"] == 4)
        running.join()
        assert b"p1@schule.example" in envelopes(relay), "it was not announced at all"
        assert recipients(relay) == [f"p{n}@schule.example" for n in (0, 2, 3, 4)]
        assert len(relay.taken) == 4, "not even an empty text"
        assert relay.sessions == 2
        assert running.sender.tally.relay_fault is None
        assert relay.ahead == 3, "a refusal of ours says nothing of the relay"
    assert village.state(2) == "cancelled"


def test_halt_works_before_the_next_text_and_resume_lets_go(village: Village) -> None:
    fill(village, 4)
    with Relay(pipelining=True) as relay:
        relay.hold("dot")
        running = Running(lambda: sender_for(village, relay_of(relay), connections=1))
        relay.wait_for_held()
        village.database.write(
            lambda connection: outbox.halt(connection, "everything", "", "chef", village.now)
        )
        relay.release()
        village_settles(village, lambda counts: counts["accepted"] == 1)
        running.join()
        assert len(relay.taken) == 1
        assert [row["lease_owner"] for row in village.rows()] == [None] * 4
        village.database.write(outbox.resume)
        send(village, relay)
        assert len(relay.accepted) == 4


def test_asked_to_stop_it_gives_back_what_it_announced(village: Village) -> None:
    fill(village, 10)
    with Relay(pipelining=True) as relay:
        relay.hold("taken")
        running = Running(lambda: sender_for(village, relay_of(relay), connections=3))
        relay.wait_for_held(3)
        running.stop()
        relay.release()
        running.join()
        assert (len(relay.taken), relay.ahead) == (3, 3)
    counts = outbox_counts(village)
    assert (counts["accepted"], counts["queued"], counts["uncertain"]) == (3, 7, 0)
    assert sum(row["attempts"] for row in village.rows()) == 3
    assert all(row["lease_owner"] is None for row in village.rows())


def test_asked_to_stop_it_announces_no_more_and_parts_politely(village: Village) -> None:
    fill(village, 6)
    with Relay(pipelining=True) as relay:
        relay.hold("data")
        running = Running(lambda: sender_for(village, relay_of(relay), connections=2))
        relay.wait_for_held(2)
        running.stop()
        while not running.sender._stopping:
            pass
        relay.release()
        running.join()
        assert (len(relay.taken), relay.ahead) == (2, 0)
        assert relay.quits == relay.sessions


def test_what_a_connection_under_way_could_begin_is_not_announced(village: Village) -> None:
    fill(village, 2)
    open_up = threading.Event()
    slow = Fault(None, "ehlo", "reply", gate=open_up)
    with Relay(pipelining=True, faults={2: slow}) as relay:
        running = Running(lambda: sender_for(village, relay_of(relay), connections=2))
        relay.wait_until(lambda book: len(book.accepted) == 2)
        open_up.set()
        relay.wait_until(lambda book: book.quits == 2)
        running.join()
        assert relay.ahead == 0


def test_a_lost_connection_is_of_use_only_for_what_was_said_to_its_envelope() -> None:
    async def main(server: Relay) -> None:
        for said in (b"", b"250 2.1.0 ok\r\n550 5.1.1 no such user\r\n"):
            wire = await relay_of(server).open()
            wire.announce("kurs@stadt.example", "p1@schule.example")
            assert wire.usable
            wire.data_received(said)
            wire._end("connection closed")
            assert wire.usable == bool(said)
            wire.abort()
            assert not wire.usable
            await wire._lost.wait()

    with Relay(pipelining=True) as server:
        asyncio.run(main(server))


@pytest.mark.parametrize("taken", [False, True], ids=["not taken", "taken"])
def test_a_loss_behind_the_dot_leaves_the_announced_mail_untouched(
    sqlite_village: Village, *, taken: bool
) -> None:
    village = sqlite_village
    fill(village, 6)
    lost = Fault(None, "dot", "close", taken=taken)
    with Relay(pipelining=True, faults={(1, 2): lost}) as relay:
        send(village, relay, connections=1)
        assert relay.ahead == 2, "after a loss there nothing is announced for a while"
        assert recipients(relay).count("p2@schule.example") == 1
        assert len(relay.accepted) == 5 + taken
    states = [row["state"] for row in village.rows()]
    assert states == ["accepted", "uncertain", *["accepted"] * 4]
    assert village.row(DELIVERY, 3)["attempts"] == 1


def test_an_announced_mail_refused_for_its_recipient_fails_by_its_reason(
    sqlite_village: Village,
) -> None:
    village = sqlite_village
    fill(village, 4)
    unknown = Fault(None, "rcpt", "reply", b"550 5.1.1 no such user")
    gone = "p1@schule.example"
    with Relay(
        pipelining=True, fault_for=lambda _s, _m, rcpt: unknown if rcpt == gone else None
    ) as relay:
        send(village, relay, connections=1)
        assert recipients(relay) == [f"p{n}@schule.example" for n in (0, 2, 3)]
        # Asked once more, alone: the first answer could have been one too many to the mail before.
        assert envelopes(relay).count(gone.encode()) == 2
    row = village.row(DELIVERY, 2)
    assert (row["state"], row["reason"], row["reply_stage"]) == ("failed", "person", "rcpt")
    assert len(village.rows(SUPPRESSION)) == 1


@pytest.mark.parametrize("glue", [False, True], ids=["apart", "glued"])
@pytest.mark.parametrize("before", range(4))
@pytest.mark.parametrize("said", [b"550 5.1.1 user unknown", b"554 5.7.1 spam", b"552 5.2.2 full"])
def test_an_answer_too_many_to_one_mail_fails_no_other(
    village: Village, said: bytes, before: int, glue: bool
) -> None:
    """Each of several recipients answered for, or a refusal said twice: the next is innocent."""
    fill(village, 4)
    agreed = [b"250 2.1.0 ok", b"250 2.1.5 ok", b"354 go ahead"][:before]
    words = b"\r\n".join([b"250 2.0.0 taken", *agreed, said])
    surplus = Fault(None, "dot", "reply", words, taken=True)
    with Relay(pipelining=True, glue=glue, faults={1: surplus}) as relay:
        send(village, relay, connections=1)
        assert recipients(relay) == [f"p{n}@schule.example" for n in range(4)]
    assert [row["state"] for row in village.rows()] == ["accepted"] * 4
    assert not village.rows(SUPPRESSION)
    assert not village.rows(HALT)


def test_a_relay_that_goes_ahead_without_recipients_takes_nothing(sqlite_village: Village) -> None:
    village = sqlite_village
    fill(village, 4)
    later = Fault(None, "rcpt", "reply", b"450 4.2.1 greylisted")
    with Relay(pipelining=True, eager_data=True, faults={(1, 2): later}) as relay:
        send(village, relay, connections=1)
        assert (relay.sessions, len(relay.accepted)) == (1, 3)
        assert not relay.violations
    assert village.state(2) == "deferred"


@pytest.mark.parametrize("glue", [False, True], ids=["apart", "glued"])
@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"421 4.4.2 enough for one session", id="421"),
        pytest.param(b"503 5.5.1 not yet", id="out of step"),
        pytest.param(b"250 2.1.0 ok\r\n250 2.1.0 ok", id="more answers than questions"),
    ],
)
def test_what_says_nothing_of_an_announced_mail_costs_it_no_time(
    sqlite_village: Village, answer: bytes, *, glue: bool
) -> None:
    village = sqlite_village
    stream = village.stream("newsletter", "newsletter")
    campaign = village.campaign()
    village.publish()
    for number in range(4):
        person = village.person(f"p{number}@schule.example")
        village.subscribe(person, stream)
        village.delivery(person, "newsletter", campaign_id=campaign, stream_id=stream)
    with Relay(
        pipelining=True, glue=glue, faults={(1, 2): Fault(None, "mail", "reply", answer)}
    ) as relay:
        send(village, relay, connections=1)
        assert recipients(relay) == [f"p{n}@schule.example" for n in range(4)]
    assert outbox_counts(village)["accepted"] == 4
    assert village.row(CAMPAIGN, campaign)["paused_at"] is None


@pytest.mark.parametrize("action", ["close", "rst"])
def test_a_relay_that_hangs_up_at_an_envelope_sent_ahead_is_waited_for(
    sqlite_village: Village, action: Any
) -> None:
    fill(sqlite_village, 6)
    with Relay(pipelining=True, faults={(1, 2): Fault(None, "mail", action)}) as relay:
        tally = send(sqlite_village, relay, connections=1)
        assert (relay.ahead, relay.sessions) == (1, 2)
    assert tally.relay_fault is None
    assert outbox_counts(sqlite_village)["accepted"] == 6


def test_who_moves_when_announced_gets_the_mail_at_the_new_address(
    sqlite_village: Village,
) -> None:
    village = sqlite_village
    fill(village, 3)
    with Relay(pipelining=True) as relay:
        relay.hold("dot")
        running = Running(lambda: sender_for(village, relay_of(relay), connections=1))
        relay.wait_for_held()
        village.change(SUBSCRIBER, 2, address="neu@schule.example")
        relay.release()
        village_settles(village, lambda counts: counts["accepted"] == 3)
        running.join()
        assert b"p1@schule.example" in envelopes(relay)
        assert recipients(relay) == ["neu@schule.example", "p0@schule.example", "p2@schule.example"]


def test_an_announced_text_that_fails_costs_its_row_and_the_connection(
    sqlite_village: Village,
) -> None:
    fill(sqlite_village, 4)

    def fragile(delivery: Started, text: Published) -> bytes:
        if delivery.id == 2:
            raise RenderingError("text", "'geburtstag' is undefined")
        return composed(delivery, text)

    with Relay(pipelining=True) as relay:
        send(sqlite_village, relay, connections=1, compose=fragile)
        assert (relay.sessions, len(relay.taken)) == (2, 3)
    states = [row["state"] for row in sqlite_village.rows()]
    assert states == ["accepted", "failed", "accepted", "accepted"]
    assert [row["attempts"] for row in sqlite_village.rows()] == [1] * 4


def test_an_address_that_is_more_than_ascii_is_not_announced(sqlite_village: Village) -> None:
    village = sqlite_village
    village.publish()
    for name in ("a", "jörg", "b"):
        village.delivery(village.learner(f"{name}@schule.example"))
    with Relay(pipelining=True, smtputf8=True) as relay:
        send(village, relay, connections=1)
        assert relay.ahead == 1
        assert not relay.violations
        assert recipients(relay) == ["a@schule.example", "b@schule.example", "jörg@schule.example"]


def test_an_address_changed_past_the_door_is_not_announced(sqlite_village: Village) -> None:
    village = sqlite_village
    fill(village, 3)
    village.change(SUBSCRIBER, 2, address="a@b.example>\r\nRCPT TO:<evil@x.example")
    with Relay(pipelining=True) as relay:
        send(village, relay, connections=1)
        assert sorted(envelopes(relay)) == [b"p0@schule.example", b"p2@schule.example"]
    assert village.state(2) == "failed"


def test_a_connection_announces_no_more_than_its_share(village: Village) -> None:
    fill(village, 12)
    with Relay(pipelining=True) as relay:
        send(village, relay, connections=1, messages_per_connection=4)
        assert (relay.sessions, relay.quits, relay.ahead) == (3, 3, 9)
        assert len(envelopes(relay)) == 12


def test_an_envelope_counts_for_the_hour_whatever_comes_of_it(village: Village) -> None:
    fill(village, 12)
    with Relay(pipelining=True) as relay:
        relay.hold("dot")
        running = Running(
            lambda: sender_for(village, relay_of(relay), connections=1, limits=Limits(per_hour=5))
        )
        relay.wait_for_held()
        village.change(SUBSCRIPTION, 2, state="unsubscribed")
        relay.release()
        village_settles(village, lambda counts: counts["accepted"] == 3)
        running.turns(5)
        running.join()
        assert len(envelopes(relay)) == 4
        assert len(relay.accepted) == 3


def test_a_mail_that_was_announced_counts_once(village: Village) -> None:
    fill(village, 9)
    limits = Limits(per_hour=10)
    with Relay(pipelining=True) as relay:
        running = Running(
            lambda: sender_for(village, relay_of(relay), connections=1, limits=limits)
        )
        relay.wait_until(lambda book: len(book.accepted) == 9)
        running.join()
        assert relay.ahead == 8


def test_an_announced_mail_counts_for_its_domain(village: Village) -> None:
    village.publish()
    for number, domain in enumerate(["gmx.example"] * 3 + ["web.example"] * 3):
        village.delivery(village.learner(f"p{number}@{domain}"))
    limits = Limits(domains={"gmx.example": DomainLimit(at_once=1)})
    with Relay(pipelining=True) as relay:
        relay.hold("dot")
        running = Running(
            lambda: sender_for(village, relay_of(relay), connections=1, limits=limits)
        )
        relay.wait_for_held()
        assert relay.ahead == 1
        relay.release()
        relay.wait_until(lambda book: len(book.accepted) == 6)
        running.join()
        first = [taken.rcpt_to[0] for taken in relay.accepted][:2]
    assert first == ["p0@gmx.example", "p3@web.example"]
    assert outbox_counts(village)["accepted"] == 6


def test_nothing_is_announced_while_somebody_waits_for_a_confirmation() -> None:
    backlog = Backlog(Rates(Limits()))
    backlog.add([Claim(1, 1, address="a@schule.example"), Claim(2, 1, address="b@schule.example")])
    backlog.add([Claim(9, 1, address="neu@schule.example")], urgent=True)
    assert backlog.pick_to_announce(0.0) is None
    assert [claim.id for claim in backlog.pick(1, 0.0)] == [9]
    taken = backlog.pick_to_announce(0.0)
    assert taken == Claim(1, 1)
    backlog.put_back(taken)
    assert [claim.id for claim in backlog.pick(2, 0.0)] == [1, 2]


def test_a_claim_tells_nobody_whose_it_is() -> None:
    assert "schule" not in repr(Claim(1, 1, address="a@schule.example"))
