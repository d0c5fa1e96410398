"""What a relay allows: rates, domains, patience. Whatever is held back stays queued."""

import logging
import math
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from typing import Any, Literal

import pytest

from l3mail import outbox
from l3mail.outbox import Outcome
from l3mail.sending import DomainLimit, Limits, sender
from tests.fakes.post import PACE, relay_of, send, sender_for
from tests.fakes.relay import Fault, Relay
from tests.fakes.village import Village
from tests.test_sending_sender import Running, outbox_counts, village_settles


def letters(village: Village, *domains: str, kind: str = "lesson", **values: Any) -> list[int]:
    """One queued mail for each domain named."""
    village.publish()
    first = len(village.rows())
    return [
        village.delivery(village.learner(f"p{first + n}@{domain}"), kind, **values)
        for n, domain in enumerate(domains)
    ]


def domains_of(relay: Relay) -> Counter[str]:
    return Counter(taken.rcpt_to[0].partition("@")[2] for taken in relay.accepted)


def untouched(village: Village) -> int:
    """Rows that wait as if nobody had looked at them, once their sender has gone."""
    return sum(
        (row["state"], row["attempts"], row["lease_owner"], row["next_attempt_at"])
        == ("queued", 0, None, None)
        for row in village.rows()
    )


def test_no_more_go_in_an_hour_than_agreed_and_the_rest_is_as_it_was(village: Village) -> None:
    letters(village, *["a.example"] * 12)
    limits = Limits(per_hour=5)
    with Relay() as relay:
        running = Running(lambda: sender_for(village, relay_of(relay), limits=limits))
        relay.wait_until(lambda book: len(book.accepted) == 4)
        village_settles(village, lambda counts: counts["accepted"] == 4)
        running.join()
        assert len(relay.accepted) == 4
    assert untouched(village) == 8


def test_who_waits_for_a_confirmation_has_a_tenth_of_the_hour(village: Village) -> None:
    letters(village, *["a.example"] * 12)
    with Relay() as relay:
        running = Running(lambda: sender_for(village, relay_of(relay), limits=Limits(per_hour=5)))
        relay.wait_until(lambda book: len(book.accepted) == 4)
        (urgent,) = letters(village, "b.example", lane=0)
        relay.wait_until(lambda book: len(book.accepted) == 5)
        running.join()
    assert village.state(urgent) == "accepted"
    assert untouched(village) == 8


def test_a_rate_of_a_second_is_kept_and_all_is_sent_in_order(sqlite_village: Village) -> None:
    letters(sqlite_village, *["a.example"] * 5)
    with Relay() as relay:
        tally = send(sqlite_village, relay, connections=1, limits=Limits(per_second=4))
        assert [taken.rcpt_to[0][:2] for taken in relay.accepted] == [f"p{n}" for n in range(5)]
    assert tally.outcomes == {Outcome.ACCEPTED: 5}


def test_a_domain_has_no_more_dialogues_at_once_than_agreed(village: Village) -> None:
    letters(village, *["gmx.example"] * 4, *["web.example"] * 4)
    limits = Limits(domains={"gmx.example": DomainLimit(at_once=1)})
    with Relay() as relay:
        relay.hold("dot")
        running = Running(lambda: sender_for(village, relay_of(relay), limits=limits))
        relay.wait_for_held(4)
        begun = [row["id"] for row in village.rows() if row["state"] == "sending"]
        assert begun == [1, 5, 6, 7]
        relay.release()
        relay.wait_until(lambda book: len(book.accepted) == 8)
        running.join()
    assert outbox_counts(village)["accepted"] == 8


def test_a_domain_that_has_had_its_minute_waits_and_nobody_behind_it(village: Village) -> None:
    letters(village, *["gmx.example"] * 6, *["web.example"] * 3)
    limits = Limits(domains={"gmx.example": DomainLimit(per_minute=2)})
    with Relay() as relay:
        running = Running(lambda: sender_for(village, relay_of(relay), limits=limits))
        village_settles(village, lambda counts: counts["accepted"] == 5)
        (urgent,) = letters(village, "kita.example", lane=0)
        village_settles(village, lambda counts: counts["accepted"] == 6)
        running.join()
        assert domains_of(relay) == {"gmx.example": 2, "web.example": 3, "kita.example": 1}
    assert village.state(urgent) == "accepted"
    assert untouched(village) == 4


def test_many_for_a_domain_that_waits_do_not_hide_who_is_queued_behind_them(
    village: Village, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender, "BATCH", 30)
    letters(village, *["gmx.example"] * 80, *["web.example"] * 5)
    limits = Limits(domains={"gmx.example": DomainLimit(per_minute=1)})
    with Relay() as relay:
        running = Running(lambda: sender_for(village, relay_of(relay), limits=limits))
        village_settles(village, lambda counts: counts["accepted"] == 6)
        leased = sum(row["lease_owner"] is not None for row in village.rows())
        assert leased <= 31, "the rest is free for another sender"
        running.join()
    assert untouched(village) == 79


def test_a_run_that_ends_when_nothing_is_due_does_not_end_at_rows_it_passed_by(
    sqlite_village: Village, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender, "BATCH", 60)
    letters(sqlite_village, *["gmx.example"] * 150, *["web.example"] * 5)
    limits = Limits(domains={"gmx.example": DomainLimit(at_once=1)})
    with Relay() as relay:
        send(sqlite_village, relay, limits=limits, pace=replace(PACE, poll=5.0))
        assert domains_of(relay) == {"gmx.example": 150, "web.example": 5}


def test_a_star_is_each_domain_that_is_not_named(village: Village) -> None:
    letters(village, "a.example", "a.example", "b.example", "b.example", "c.example", "c.example")
    limits = Limits(domains={"*": DomainLimit(per_minute=1), "c.example": DomainLimit()})
    with Relay() as relay:
        running = Running(lambda: sender_for(village, relay_of(relay), limits=limits))
        village_settles(village, lambda counts: counts["accepted"] == 4)
        running.join()
        assert domains_of(relay) == {"a.example": 1, "b.example": 1, "c.example": 2}


def test_a_second_attempt_waits_for_its_domain_too(village: Village) -> None:
    letters(village, "gmx.example", "gmx.example")
    later = Fault(None, "rcpt", "reply", b"450 4.2.1 greylisted")
    with Relay(fault_for=lambda *_: later) as relay:
        send(village, relay)
    village.clock.advance(timedelta(minutes=40))
    limits = Limits(domains={"gmx.example": DomainLimit(per_minute=1)})
    with Relay() as relay:
        running = Running(lambda: sender_for(village, relay_of(relay), limits=limits))
        village_settles(village, lambda counts: counts["accepted"] == 1)
        running.join()
    assert sorted(row["attempts"] for row in village.rows()) == [1, 2]


def test_staff_have_a_domain_as_well(village: Village) -> None:
    village.publish()
    for number in range(2):
        village.report(f"it{number}@stadt.example")
    limits = Limits(domains={"stadt.example": DomainLimit(per_minute=1)})
    with Relay() as relay:
        running = Running(
            lambda: sender_for(
                village,
                relay_of(relay),
                limits=limits,
                staff=frozenset({"it0@stadt.example", "it1@stadt.example"}),
            )
        )
        village_settles(village, lambda counts: counts["accepted"] == 1)
        running.join()
        assert len(relay.accepted) == 1


@pytest.mark.parametrize(
    "answer",
    [b"421 4.7.28 unusual rate", b"450 4.7.1 too much mail from you"],
    ids=["421", "450"],
)
def test_a_relay_that_asks_for_patience_gets_less(
    sqlite_village: Village, caplog: pytest.LogCaptureFixture, answer: bytes
) -> None:
    caplog.set_level(logging.WARNING, "l3mail.sending")
    letters(sqlite_village, *["a.example"] * 40)

    def busy(_session: int, _message: int, rcpt: str) -> Fault | None:
        if rcpt and int(rcpt[1:].partition("@")[0]) in range(10, 13):
            return Fault(None, "rcpt", "reply", answer)
        return None

    with Relay(fault_for=busy) as relay:
        tally = send(sqlite_village, relay)
        assert len(relay.accepted) == 37
    assert tally.slowed_to is not None
    assert 0 < tally.slowed_to < math.inf
    (line,) = [r.getMessage() for r in caplog.records if "slow down" in r.getMessage()]
    code, status = answer.split()[:2]
    assert f"asks us to slow down: {code.decode()} {status.decode()}; at most" in line
    # Who was told "later" by the relay is deferred; who only had to wait is not.
    assert outbox_counts(sqlite_village)["deferred"] == 3
    assert sorted(Counter(row["attempts"] for row in sqlite_village.rows())) == [1]


def test_greylisting_of_everybody_slows_nothing_down(sqlite_village: Village) -> None:
    letters(sqlite_village, *["a.example"] * 40)
    later = Fault(None, "rcpt", "reply", b"450 4.7.1 Greylisted, see you in five minutes")
    with Relay(fault_for=lambda *_: later) as relay:
        tally = send(sqlite_village, relay)
    assert tally.slowed_to is None
    assert outbox_counts(sqlite_village)["deferred"] == 40


def test_a_connection_that_is_old_parts_politely_after_its_mail(sqlite_village: Village) -> None:
    letters(sqlite_village, *["a.example"] * 4)
    with Relay() as relay:
        send(sqlite_village, relay, connections=1, connection_age=1e-9)
        assert (relay.sessions, relay.quits) == (4, 4)
        assert len(relay.accepted) == 4


def test_after_days_without_a_relay_all_goes_in_order_at_the_agreed_rate(
    sqlite_village: Village,
) -> None:
    village = sqlite_village
    letters(village, *["a.example"] * 6)
    with Relay() as relay:
        pass
    running = Running(
        lambda: sender_for(village, relay_of(relay), connections=1, limits=Limits(per_second=4))
    )
    for _ in range(3):
        village.clock.advance(timedelta(days=1))
        while running.sender.tally.relay_fault is None:
            pass
        assert {(row["state"], row["attempts"]) for row in village.rows()} == {("queued", 0)}
    with Relay(port=relay.port) as back:
        back.wait_until(lambda book: len(book.accepted) == 6)
        running.join()
        assert [taken.rcpt_to[0][:2] for taken in back.accepted] == [f"p{n}" for n in range(6)]
    assert [row["attempts"] for row in village.rows()] == [1] * 6


def test_one_mail_probes_a_relay_that_was_down(sqlite_village: Village) -> None:
    village = sqlite_village
    letters(village, *["a.example"] * 20)
    down = [True]

    def fault(session: int, _message: int, _rcpt: str) -> Fault | None:
        return Fault(None, "connect", "reply", b"421 busy") if down[0] and session < 4 else None

    with Relay(fault_for=fault) as relay:
        relay.hold("dot")
        running = Running(lambda: sender_for(village, relay_of(relay), connections=4))
        relay.wait_for_held(1)
        counts = village.database.read(outbox.counts)
        assert (counts["sending"], counts["queued"]) == (1, 19)
        assert relay.open_sessions == 1
        relay.release()
        relay.wait_until(lambda book: len(book.accepted) == 20)
        running.join()
    assert outbox_counts(village)["accepted"] == 20


def test_a_probe_that_fails_opens_the_breaker_at_once(sqlite_village: Village) -> None:
    fill = letters(sqlite_village, *["a.example"] * 20)

    def slam(session: int, _message: int, _rcpt: str) -> Fault | None:
        if session == 1:
            return Fault(None, "connect", "close")
        return Fault(None, "mail", "close") if session < 6 else None

    with Relay(fault_for=slam) as relay:
        running = Running(lambda: sender_for(sqlite_village, relay_of(relay), connections=1))
        relay.wait_until(lambda book: len(book.accepted) == 16)
        running.join()
    counts = outbox_counts(sqlite_village)
    assert (counts["accepted"], counts["deferred"]) == (16, 4)
    assert len(fill) == 20


@pytest.mark.parametrize("action", ["close", "reply"])
def test_a_relay_that_answers_no_mail_puts_no_whole_issue_in_doubt(
    sqlite_village: Village, action: Literal["close", "reply"]
) -> None:
    letters(sqlite_village, *["a.example"] * 40)
    with Relay(fault_for=lambda *_: Fault(None, "dot", action, b"999 what")) as relay:
        tally = send(sqlite_village, relay, connections=2)
    assert tally.relay_fault == "it answers no mail"
    assert untouched(sqlite_village) >= 40 - 3 - 1  # three, and what the other connection carried
    assert set(tally.outcomes) == {Outcome.UNKNOWN}


EARLY = Fault(None, "data", "reply", b"354 go ahead\r\n250 2.0.0 taken already")


@pytest.mark.parametrize("pipelining", [False, True], ids=["lockstep", "pipelining"])
@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(EARLY, id="taken before the text"),
        pytest.param(Fault(None, "rcpt", "reply", b"354 go ahead"), id="a yes to something else"),
        pytest.param(Fault(None, "data", "reply", b"HTTP/1.1 400"), id="another protocol"),
    ],
)
def test_a_relay_that_breaks_the_rules_defers_no_whole_issue(
    sqlite_village: Village, fault: Fault, *, pipelining: bool
) -> None:
    letters(sqlite_village, *["a.example"] * 40)
    with Relay(pipelining=pipelining, fault_for=lambda *_: fault) as relay:
        tally = send(sqlite_village, relay, connections=2)
        assert not relay.taken
    assert tally.relay_fault is not None
    assert "breaks the rules of SMTP" in tally.relay_fault
    assert untouched(sqlite_village) >= 40 - 3 - 1  # three, and what the other connection carried
    assert set(tally.outcomes) == {Outcome.DEFERRED}


def test_a_relay_that_keeps_the_rules_again_gets_the_rest(sqlite_village: Village) -> None:
    letters(sqlite_village, *["a.example"] * 20)
    with Relay(fault_for=lambda session, *_: EARLY if session < 6 else None) as relay:
        running = Running(lambda: sender_for(sqlite_village, relay_of(relay), connections=1))
        relay.wait_until(lambda book: len(book.accepted) == 15)
        running.join()
    counts = outbox_counts(sqlite_village)
    assert (counts["accepted"], counts["deferred"], counts["uncertain"]) == (15, 5, 0)
