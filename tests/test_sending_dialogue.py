"""The dialogue on the wire: what a relay may do between two answers, and what that costs."""

import asyncio
from typing import Any

import pytest

from l3mail.models import DELIVERY, SUBSCRIBER, SUPPRESSION
from l3mail.outbox import Outcome
from l3mail.sending.dialogue import REPLIES_KEPT, GoneError, Wire, _stuffed
from tests.fakes.post import HANG_SECONDS, Quick, relay_of, send
from tests.fakes.relay import Fault, Relay
from tests.fakes.village import Village


def fill(village: Village, count: int) -> None:
    village.publish()
    for number in range(count):
        village.delivery(village.learner(f"p{number}@schule.example"))


@pytest.mark.parametrize("glue", [False, True], ids=["apart", "glued"])
@pytest.mark.parametrize(
    ("fault", "state", "words"),
    [
        pytest.param(
            Fault(None, "rcpt", "rst"), "deferred", "connection lost", id="reset between answers"
        ),
        pytest.param(
            Fault(None, "rcpt", "reply", b"421 4.3.2 going down"),
            "deferred",
            "4.3.2 going down",
            id="421 between answers",
        ),
        pytest.param(
            Fault(None, "rcpt", "close", b"550 5.1.1 unknown\r\n"),
            "failed",
            "5.1.1 unknown",
            id="refused, and the rest of the answers is missing",
        ),
        pytest.param(
            Fault(None, "mail", "reply", b"250 2.1.0 ok\r\n250 2.1.0 ok"),
            "deferred",
            "answered 250 to DATA",
            id="more answers than questions",
        ),
        pytest.param(
            Fault(None, "data", "reply", b"354 go\r\n250 2.0.0 done already"),
            "deferred",
            "answered 250 in mid-text",
            id="an answer that came too early",
        ),
        pytest.param(
            Fault(None, "data", "reply", b"354 go\r\n552 5.3.4 enough"),
            "failed",
            "5.3.4 enough",
            id="a refusal in mid-text",
        ),
        pytest.param(
            Fault(None, "rcpt", "reply", b"GET / HTTP/1.1"),
            "deferred",
            "not a reply: GET / HTTP/1.1",
            id="nonsense",
        ),
        pytest.param(
            Fault(None, "rcpt", "reply", b"354 go ahead"),
            "deferred",
            "answered 354 to RCPT",
            id="a yes to something else",
        ),
    ],
)
def test_what_a_relay_does_among_pipelined_answers_costs_one_mail(
    sqlite_village: Village, fault: Fault, state: str, words: str, glue: bool
) -> None:
    fill(sqlite_village, 4)
    # The first in a session: its envelope left alone, and no other mail's answers are near.
    with Relay(pipelining=True, glue=glue, faults={(1, 1): fault}) as relay:
        send(sqlite_village, relay, connections=1)
        assert len(relay.accepted) == 3
    row = sqlite_village.row(DELIVERY, 1)
    assert row["state"] == state
    assert words in row["reply_text"]
    assert [row["state"] for row in sqlite_village.rows()].count("accepted") == 3


def test_an_answer_too_many_after_a_mail_was_taken_costs_only_the_connection(
    sqlite_village: Village,
) -> None:
    fill(sqlite_village, 3)
    twice = Fault(None, "dot", "reply", b"250 2.0.0 taken\r\n250 2.0.0 taken", taken=True)
    with Relay(pipelining=True, faults={1: twice}) as relay:
        tally = send(sqlite_village, relay, connections=1)
        assert (relay.sessions, len(relay.accepted)) == (2, 3)
    # Its answers could not be told from those to the envelope behind it, whose mail went anew.
    assert tally.outcomes == {Outcome.ACCEPTED: 3, Outcome.DEFERRED: 1}
    assert [row["state"] for row in sqlite_village.rows()] == ["accepted"] * 3


@pytest.mark.parametrize("early", [b"550 5.1.1 no such user", b"250 2.1.5 ok"])
def test_an_answer_before_its_question_says_nothing_of_the_person(
    sqlite_village: Village, early: bytes
) -> None:
    fill(sqlite_village, 3)
    hasty = Fault(None, "mail", "reply", b"250 2.1.0 ok\r\n" + early)
    with Relay(faults={(1, 1): hasty}) as relay:
        send(sqlite_village, relay, connections=1)
        assert [command.verb for command in relay.commands[1]] == ["EHLO", "MAIL"]
        assert relay.sessions == 2
    row = sqlite_village.row(DELIVERY, 1)
    assert (row["state"], row["reply_stage"]) == ("deferred", "rcpt")
    assert row["reply_text"] == f"answered {early[:3].decode()} before it was asked for RCPT"
    assert [row["state"] for row in sqlite_village.rows()][1:] == ["accepted"] * 2
    assert not sqlite_village.rows(SUPPRESSION)


def test_a_goodbye_may_come_at_any_time(sqlite_village: Village) -> None:
    fill(sqlite_village, 2)
    leaving = Fault(None, "mail", "reply", b"250 2.1.0 ok\r\n421 4.3.2 going down")
    with Relay(faults={(1, 1): leaving}) as relay:
        send(sqlite_village, relay, connections=1)
    row = sqlite_village.row(DELIVERY, 1)
    assert (row["state"], row["reply_code"]) == ("deferred", 421)


def test_no_text_leaves_for_a_relay_that_took_it_already(sqlite_village: Village) -> None:
    fill(sqlite_village, 2)
    early = Fault(None, "data", "reply", b"354 go\r\n250 2.0.0 done already")
    with Relay(faults={(1, 1): early}) as relay:
        send(sqlite_village, relay, connections=1)
        assert [taken.session for taken in relay.taken] == [2]
    row = sqlite_village.row(DELIVERY, 1)
    assert (row["state"], row["uncertain_at"]) == ("deferred", None)


async def hello(server: Relay) -> Wire:
    return await relay_of(server).open()


FLOOD = b"250 2.0.0 and again\r\n" * 2_000


def test_a_relay_that_floods_replies_is_cut_off_and_none_of_them_kept(
    sqlite_village: Village,
) -> None:
    async def main(server: Relay) -> None:
        wire = await hello(server)
        for _ in range(50):
            wire.data_received(FLOOD)
        assert len(wire._replies) == REPLIES_KEPT + 1
        await wire._lost.wait()
        assert not wire.usable
        with pytest.raises(GoneError, match="more answers than were asked for"):
            wire.write(b"NOOP\r\n")

    with Relay() as server:
        asyncio.run(main(server))


@pytest.mark.parametrize("junk", [FLOOD, b"GET / HTTP/1.1\r\n"], ids=["flood", "nonsense"])
def test_what_comes_behind_a_250_takes_nothing_back(sqlite_village: Village, junk: bytes) -> None:
    fill(sqlite_village, 3)
    flood = Fault(None, "dot", "reply", b"250 2.0.0 taken\r\n" + junk, taken=True)
    with Relay(pipelining=True, faults={1: flood}) as relay:
        tally = send(sqlite_village, relay, connections=1)
        assert len(relay.accepted) == 3
    assert tally.outcomes[Outcome.UNKNOWN] == 0
    assert [row["state"] for row in sqlite_village.rows()] == ["accepted"] * 3


def test_a_relay_that_floods_every_session_is_down(sqlite_village: Village) -> None:
    fill(sqlite_village, 20)
    with Relay(fault_for=lambda *_: Fault(None, "mail", "reply", FLOOD)) as relay:
        tally = send(sqlite_village, relay, connections=2)
    assert tally.relay_fault is not None
    row = sqlite_village.row(DELIVERY, 1)
    assert row["state"] == "deferred"
    assert [row["state"] for row in sqlite_village.rows()].count("queued") >= 16


def test_a_relay_that_trickles_half_an_answer_wins_no_time() -> None:
    # Octet after octet keeps the connection lively; the time is that of the whole answer.
    async def main(server: Relay) -> None:
        wire = await hello(server)
        asking = asyncio.ensure_future(wire.reply(HANG_SECONDS))
        while not asking.done():
            wire.data_received(b"2" if wire.usable else b"")
            await asyncio.sleep(0)
        with pytest.raises(GoneError, match=r"silent for 0\.25 seconds"):
            await asking
        wire.abort()

    with Relay() as server:
        asyncio.run(main(server))


def test_a_short_wait_after_a_long_one_ends_in_its_own_time() -> None:
    async def main(server: Relay) -> None:
        wire = await hello(server)
        for seconds in (600.0, HANG_SECONDS):
            wire.write(b"NOOP\r\n")
            await wire.reply(seconds)
        with pytest.raises(GoneError, match="silent"):
            await wire.reply(HANG_SECONDS)
        wire.abort()

    with Relay() as server:
        asyncio.run(main(server))


def test_a_long_wait_outlives_the_end_of_a_short_one() -> None:
    async def main(server: Relay) -> None:
        wire = await hello(server)
        asking = asyncio.ensure_future(wire.reply(HANG_SECONDS))
        await asyncio.sleep(0)
        wire.data_received(b"250 ok\r\n")
        assert (await asking).code == 250
        asking = asyncio.ensure_future(wire.reply(60.0))
        await asyncio.sleep(0)
        assert wire._timer is not None
        assert wire._timer.when() < wire._until, "the short wait's time is over first"
        wire._timer.cancel()
        wire._ring()
        await asyncio.sleep(0)
        assert wire._timer.when() == wire._until
        assert not asking.done()
        wire.data_received(b"250 ok\r\n")
        assert (await asking).code == 250
        wire.abort()

    with Relay() as server:
        asyncio.run(main(server))


@pytest.mark.parametrize(
    ("text", "on_the_wire"),
    [
        (b"a\r\n.b\r\n", b"a\r\n..b\r\n"),
        (b".a\r\n", b"..a\r\n"),
        (b"a\r\n.", b"a\r\n..\r\n"),
        (b"a\r\n.\r\n.\r\n", b"a\r\n..\r\n..\r\n"),
        (b"a.b\r\nc", b"a.b\r\nc\r\n"),
    ],
)
def test_dots_at_the_start_of_a_line_are_doubled(text: bytes, on_the_wire: bytes) -> None:
    assert _stuffed(text) == on_the_wire


def test_an_address_no_mail_may_go_to_is_refused_before_a_word_is_said(
    sqlite_village: Village,
) -> None:
    fill(sqlite_village, 3)
    sqlite_village.change(SUBSCRIBER, 2, address="p1@schule.example> SIZE=1")
    with Relay(pipelining=True) as relay:
        send(sqlite_village, relay, connections=1, timeouts=Quick())
        assert [command.line for command in relay.commands[1]].count(b"DATA") == 2
    states: list[Any] = [row["state"] for row in sqlite_village.rows()]
    assert states == ["accepted", "failed", "accepted"]
