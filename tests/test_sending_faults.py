"""The 23 faults of a mail server, each with and without TLS and PIPELINING."""

from typing import Literal

import pytest

from l3mail.models import DELIVERY, EVENT, SUPPRESSION
from tests.fakes.post import HANG_SECONDS, Quick, relay_of, send
from tests.fakes.relay import FAULTS, Fault, FaultFor, Relay
from tests.fakes.village import Village

# What the corpus calls an outcome, and what the row then says.
ROWS = {
    "relay-down": ("queued", None),
    "deferred": ("deferred", None),
    "failed-person": ("failed", "person"),
    "failed-soft": ("failed", "soft"),
    "failed-sender": ("failed", "sender"),
    "uncertain": ("uncertain", "the connection ended after the mail was handed over"),
    "accepted": ("accepted", None),
}
# Above what the kernel buffers on loopback, so that a reset in the text meets a writer.
BIG = b"x" * 76 + b"\r\n"
BIG_LINES = 120_000


@pytest.mark.parametrize("pipelining", [False, True], ids=["lockstep", "pipelining"])
@pytest.mark.parametrize("security", ["none", "starttls", "tls"])
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.id)
def test_each_fault_leaves_the_row_as_the_table_says(
    sqlite_village: Village,
    fault: Fault,
    security: Literal["none", "starttls", "tls"],
    pipelining: bool,
) -> None:
    village = sqlite_village
    village.publish()
    person = village.learner()
    delivery = village.delivery(person)
    hangs = fault.action == "hang"
    quick = Quick(dot=HANG_SECONDS) if hangs else Quick()
    opening = HANG_SECONDS if hangs and fault.stage == "connect" else 5.0
    body = BIG * BIG_LINES if fault.stage == "body" else b"Guten Tag\r\n"
    with Relay(tls=security, pipelining=pipelining, faults={1: fault}) as relay:
        send(
            village,
            relay,
            relay=relay_of(relay, seconds=opening),
            timeouts=quick,
            compose=lambda *_: b"Message-ID: <1@village>\r\n\r\n" + body,
        )
        relay.wait_until(lambda book: book.open_sessions == 0)
        row = village.row(DELIVERY, delivery)
        assert fault.expected is not None
        assert (row["state"], row["reason"]) == ROWS[fault.expected]
        assert row["lease_owner"] is None
        assert len(relay.accepted) == int(fault.taken)
        assert not relay.violations
    barred = fault.expected == "failed-person"
    assert len(village.rows(SUPPRESSION)) == int(barred)
    assert [event["kind"] for event in village.rows(EVENT)] == ["bounced"] * barred
    assert (row["attempts"] > 0) == (fault.expected != "relay-down")


def lasting(fault: Fault, address: str) -> FaultFor | None:
    """A recipient who is refused for good when announced is asked for once more: as before."""
    if fault.stage != "rcpt" or not str(fault.expected).startswith("failed"):
        return None
    return lambda _session, _message, rcpt: fault if rcpt == address else None


@pytest.mark.parametrize("pipelining", [False, True], ids=["lockstep", "pipelining"])
@pytest.mark.parametrize(
    "fault",
    [fault for fault in FAULTS if fault.stage in {"mail", "rcpt", "data", "dot"}],
    ids=lambda fault: fault.id,
)
def test_a_fault_at_one_mail_costs_no_other_mail(
    sqlite_village: Village, fault: Fault, pipelining: bool
) -> None:
    village = sqlite_village
    village.publish()
    for number in range(5):
        village.delivery(village.learner(f"p{number}@schule.example"))
    lasts = lasting(fault, "p2@schule.example")
    with Relay(pipelining=pipelining, faults={(1, 3): fault}, fault_for=lasts) as relay:
        send(village, relay, connections=1, timeouts=Quick(dot=HANG_SECONDS))
    states = sorted(row["state"] for row in village.rows())
    assert fault.expected is not None
    dropped_at_mail = fault.stage == "mail" and fault.action == "close"
    third = "accepted" if dropped_at_mail else ROWS[fault.expected][0]
    assert states == sorted(["accepted"] * 4 + [third])
    assert (
        len({taken.rcpt_to for taken in relay.accepted}) == 4 + int(fault.taken) + dropped_at_mail
    )


@pytest.mark.parametrize("security", ["none", "starttls", "tls"])
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.id)
def test_each_fault_between_a_mail_before_and_one_announced_is_told_apart_as_well(
    sqlite_village: Village, fault: Fault, security: Literal["none", "starttls", "tls"]
) -> None:
    village = sqlite_village
    village.publish()
    for number in range(3):
        village.delivery(village.learner(f"p{number}@schule.example"))
    hangs = fault.action == "hang"
    opening = HANG_SECONDS if hangs and fault.stage == "connect" else 5.0
    body = BIG * BIG_LINES if fault.stage == "body" else b"Guten Tag\r\n"
    amid = fault.stage in {"mail", "rcpt", "data", "body", "dot"}
    place = (1, 2) if amid else 1
    with Relay(
        tls=security,
        pipelining=True,
        faults={place: fault},
        fault_for=lasting(fault, "p1@schule.example"),
    ) as relay:
        send(
            village,
            relay,
            connections=1,
            relay=relay_of(relay, seconds=opening),
            timeouts=Quick(dot=HANG_SECONDS) if hangs else Quick(),
            compose=lambda *_: b"Message-ID: <1@village>\r\n\r\n" + body,
        )
        relay.wait_until(lambda book: book.open_sessions == 0)
        assert fault.expected is not None
        expected = ROWS[fault.expected]
        if fault.stage == "mail" and fault.action == "close":
            # A kept connection that ends says nothing of the mail: it goes at once by another.
            expected = ROWS["accepted"]
        rows = village.rows()
        assert (rows[1]["state"], rows[1]["reason"]) == expected
        assert all(row["lease_owner"] is None for row in rows)
        others = "accepted" if amid else expected[0]
        assert (rows[0]["state"], rows[2]["state"]) == (others, others)
        arrived = [taken.rcpt_to[0] for taken in relay.accepted]
        assert len(set(arrived)) == len(arrived)
        taken = fault.taken or expected[0] == "accepted"
        assert ("p1@schule.example" in arrived) == taken
        assert relay.ahead >= amid
        assert not relay.violations
