"""Evidence of the mails that ask for consent: what is noted when the relay has taken one."""

import hashlib
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, text

from l3mail import consents, outbox, sending, subscribers
from l3mail.models import CONSENT, DELIVERY, MESSAGE, SUBSCRIBER
from l3mail.outbox import Attempt, Gate, Outcome, Started
from l3mail.sending.witnessing import note_mailed, witnessed
from tests.fakes.post import send
from tests.fakes.relay import Relay
from tests.fakes.village import BACKENDS, POLICY, Village

BYTES = b"Subject: Bitte\r\n\r\nBitte\r\n"


def ask(village: Village, address: str = "ada@schule.example") -> int:
    """Somebody's confirmation, queued."""
    person = village.person(address)
    return village.request(person, village.signup(person), slug="notice/confirmation")


def acts(village: Village) -> list[dict[str, Any]]:
    return [row for row in village.rows(CONSENT) if row["act"] == "mailed"]


def taken(village: Village) -> Attempt:
    """A confirmation in the sender's hands that the relay has taken."""
    (delivery,) = village.start(lane=0)
    return witnessed(Attempt(delivery, Outcome.ACCEPTED, "dot", code=250, status="2.0.0"), BYTES)


def write(village: Village, attempt: Attempt) -> None:
    """What the sender's ledger does with an outcome."""

    def verb(connection: Connection) -> None:
        note_mailed(connection, [attempt], (), village.now)
        outbox.record(connection, [attempt], village.now, POLICY)

    village.database.write(verb)


@pytest.fixture
def asked(village: Village) -> Village:
    village.publish("notice/confirmation")
    village.stream()
    ask(village)
    return village


def test_a_confirmation_the_relay_took_is_noted_to_the_byte_and_other_mails_are_not(
    asked: Village,
) -> None:
    asked.publish()
    asked.delivery(asked.learner("bea@schule.example"))
    with Relay() as relay:
        send(asked, relay)
    (act,) = acts(asked)
    (mail,) = [one for one in relay.accepted if one.rcpt_to == ("ada@schule.example",)]
    assert len(relay.accepted) == 2
    said = act["content"]
    assert said["sha256"] == hashlib.sha256(mail.data).hexdigest()
    assert said["size"] == len(mail.data)
    assert said["how"] == "accepted by the relay"
    assert (said["signup"], said["delivery"]) == (1, 1)
    assert said["reply"] == {"code": 250, "status": "2.0.0"}
    version = asked.row(MESSAGE, 1)
    assert said["message"] == {name: version[name] for name in ("slug", "locale", "hash")}
    assert said["asked"]["streams"] == ["kurs"]
    assert said["asked"]["expires_at"] == (asked.now + timedelta(days=7)).isoformat()
    assert bytes.fromhex(said["address_key"]) == asked.row(SUBSCRIBER, 1)["address_key"]
    assert act["at"] == asked.now
    assert asked.database.read(consents.verify).broken_at is None


def test_what_the_relay_said_of_the_person_is_not_noted(asked: Village) -> None:
    attempt = replace(taken(asked), text="queued for ada@schule.example as CANARY7")
    write(asked, attempt)
    (act,) = acts(asked)
    assert act["content"]["reply"] == {"code": 250, "status": "2.0.0"}
    assert not {"CANARY7", "schule"} & set(re.findall(r"\w+", str(act)))


def test_an_outcome_that_is_written_twice_is_noted_once(asked: Village) -> None:
    attempt = taken(asked)
    write(asked, attempt)
    write(asked, attempt)
    assert len(acts(asked)) == 1
    assert asked.state(attempt.delivery.id) == "accepted"


@pytest.mark.parametrize("outcome", [Outcome.DEFERRED, Outcome.REJECTED, Outcome.UNKNOWN])
def test_a_mail_the_relay_did_not_take_is_not_noted(asked: Village, outcome: Outcome) -> None:
    (delivery,) = asked.start(lane=0)
    write(asked, witnessed(Attempt(delivery, outcome, "dot"), BYTES))
    assert acts(asked) == []


def test_nothing_is_noted_of_somebody_erased_in_mid_dialogue(asked: Village) -> None:
    attempt = taken(asked)
    asked.change(SUBSCRIBER, 1, erased_at=asked.now, address=None, address_key=None)
    write(asked, attempt)
    assert acts(asked) == []
    assert asked.state(attempt.delivery.id) == "accepted"


def test_a_late_answer_to_a_mail_found_to_have_arrived_adds_nothing(asked: Village) -> None:
    attempt = taken(asked)
    asked.take_over(alone=True)
    (delivery,) = asked.rows(DELIVERY)
    assert delivery["state"] == "uncertain"

    def settle(connection: Connection) -> None:
        consents.hold(connection)
        ids = outbox.resolve(connection, [delivery["id"]], "arrived", asked.now)
        sending.note_found(connection, ids, "kim", asked.now)

    asked.database.write(settle)
    write(asked, attempt)
    (act,) = acts(asked)
    assert act["content"]["how"] == "found to have arrived"
    assert act["content"]["by"] == "kim"
    assert "sha256" not in act["content"]
    assert act["content"]["message"]["slug"] == "notice/confirmation"


@pytest.mark.parametrize("database_url", BACKENDS[1:], indirect=True)
def test_a_sender_that_notes_a_mail_and_somebody_who_confirms_never_wait_for_each_other(
    asked: Village,
) -> None:
    attempt = taken(asked)
    bea = asked.learner("bea@schule.example")
    asked.publish()
    asked.delivery(bea)
    claims, tries = asked.claim(), []

    def commit(connection: Connection) -> list[Started]:
        tries.append(1)
        note_mailed(connection, [attempt], claims, asked.now)
        outbox.record(connection, [attempt], asked.now, POLICY)
        gate = Gate(asked.owner, asked.now, asked.staff, asked.locale)
        return outbox.begin(connection, claims, gate)

    waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
    with asked.database.engine.connect() as confirming, ThreadPoolExecutor(1) as pool:
        subscribers.people.lock(confirming, bea)
        committing = pool.submit(asked.database.write, commit)
        while asked.database.read(lambda connection: connection.execute(waiting).scalar()) == 0:
            assert not committing.done(), "it did not wait"
        # The person first, then the chain: the other way round one of the two would be undone.
        consents.note(confirming, "withdrawn", bea, {"streams": ["kurs"]}, asked.now)
        confirming.commit()
        assert len(committing.result()) == 1
    assert tries == [1]
    assert [row["act"] for row in asked.rows(CONSENT)] == ["withdrawn", "mailed"]
    assert asked.database.read(consents.verify).broken_at is None
