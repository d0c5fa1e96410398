"""What one attempt makes of a delivery: outcomes, causes, back-off."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l3mail import outbox
from l3mail.database import Database
from l3mail.models import CAMPAIGN, DELIVERY, SUPPRESSION
from l3mail.outbox import Attempt, Cause, Outcome, Started, Uncertainty, retry_at
from tests.fakes.village import BACKENDS, MONDAY_TEN, POLICY, Village, ground

MOMENT = timedelta(microseconds=1)
HOUR = timedelta(hours=1)
FIVE_DAYS = timedelta(days=5)


@pytest.fixture(scope="module", params=BACKENDS)
def database(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Database]:
    with ground(request.param, tmp_path_factory.mktemp("outcomes")) as database:
        yield database


@pytest.fixture
def village(database: Database) -> Village:
    village = Village(database)
    village.empty()
    village.publish()
    return village


def begun(village: Village, kind: str = "lesson", **values: Any) -> Started:
    """A delivery in mid-dialogue."""
    village.delivery(village.learner(), kind, lane=1, **values)
    (started,) = village.start()
    return started


@pytest.mark.parametrize(
    ("outcome", "cause", "state", "reason"),
    [
        pytest.param(Outcome.ACCEPTED, None, "accepted", None, id="accepted"),
        pytest.param(Outcome.DEFERRED, None, "deferred", None, id="deferred"),
        pytest.param(Outcome.DEFERRED, Cause.SENDER, "deferred", None, id="deferred for us"),
        pytest.param(Outcome.REJECTED, Cause.PERSON, "failed", "person", id="no such mailbox"),
        pytest.param(Outcome.REJECTED, Cause.SOFT, "failed", "soft", id="soft"),
        pytest.param(Outcome.REJECTED, Cause.SENDER, "failed", "sender", id="refused for us"),
        pytest.param(Outcome.REJECTED, Cause.CONTENT, "failed", "content", id="not rendered"),
        pytest.param(
            Outcome.UNKNOWN,
            None,
            "uncertain",
            "the connection ended after the mail was handed over",
            id="unknown",
        ),
    ],
)
def test_a_outcome_makes_a_state_and_keeps_the_relays_words(
    village: Village, outcome: Outcome, cause: Cause | None, state: str, reason: str | None
) -> None:
    delivery = begun(village)
    said = {"stage": "rcpt", "code": 555, "status": "5.5.5", "text": "so it is"}
    village.record(delivery, outcome, cause=cause, **said)
    row = village.row(DELIVERY, delivery.id)
    assert (row["state"], row["reason"]) == (state, reason)
    assert {name: row[f"reply_{name}"] for name in said} == said
    assert (row["lease_owner"], row["lease_until"]) == (None, None)
    assert row["ended_at"] == (None if state == "deferred" else village.now)
    assert row["uncertain_at"] == (village.now if state == "uncertain" else None)
    assert (row["attempts"], row["message_id"]) == (1, delivery.message_id)
    assert village.rows(SUPPRESSION) == []  # what follows for the address is not the outbox's


@pytest.mark.parametrize("outcome", list(Outcome))
def test_recording_the_same_again_changes_nothing(village: Village, outcome: Outcome) -> None:
    delivery = begun(village)
    village.record(delivery, outcome, code=250)
    once = village.row(DELIVERY, delivery.id)
    village.record(delivery, outcome, code=250)
    assert village.row(DELIVERY, delivery.id) == once


def test_outcomes_of_many_are_recorded_together(village: Village) -> None:
    for n in range(4):
        village.delivery(village.learner(f"p{n}@schule.example"))
    started = village.start()
    outcomes = [Attempt(one, outcome, "dot") for one, outcome in zip(started, Outcome, strict=True)]
    village.do(outbox.record, outcomes, village.now, POLICY)
    village.do(outbox.record, [], village.now, POLICY)
    assert [village.state(one.id) for one in started] == [
        "accepted",
        "deferred",
        "failed",
        "uncertain",
    ]


@pytest.mark.parametrize("policy", list(Uncertainty))
def test_policy_says_whether_an_uncertain_row_goes_again(
    village: Village, policy: Uncertainty
) -> None:
    delivery = begun(village)
    attempt = Attempt(delivery, Outcome.UNKNOWN, "dot")
    village.do(outbox.record, [attempt], village.now, {"lesson": policy})
    again = village.row(DELIVERY, delivery.id)["next_attempt_at"]
    resend = policy is Uncertainty.RESEND
    assert again == (village.now + outbox.UNCERTAIN_REST if resend else None)


def test_a_row_that_was_once_uncertain_says_so_for_ever(village: Village) -> None:
    delivery = begun(village)
    village.record(delivery, Outcome.UNKNOWN)
    doubted = village.now
    village.clock.advance(outbox.UNCERTAIN_REST)
    village.settle()
    for outcome in (Outcome.DEFERRED, Outcome.ACCEPTED):
        (again,) = village.begin(village.claim() + village.claim_retries())
        village.record(again, outcome)
        village.clock.advance(HOUR)
        assert village.row(DELIVERY, delivery.id)["uncertain_at"] == doubted
    assert village.state(delivery.id) == "accepted"


def test_what_is_still_unheard_is_what_recording_would_change(village: Village) -> None:
    delivery = begun(village)
    assert village.do(outbox.unheard, [delivery]) == [delivery]
    village.take_over("sender-2")
    assert village.do(outbox.unheard, [delivery]) == [delivery]
    village.record(delivery, Outcome.ACCEPTED)
    assert village.do(outbox.unheard, [delivery]) == []
    assert village.do(outbox.unheard, []) == []


# -- trying again


def test_a_deferred_row_is_claimed_when_its_time_has_come(village: Village) -> None:
    delivery = begun(village)
    village.record(delivery, Outcome.DEFERRED, code=451)
    due = village.row(DELIVERY, delivery.id)["next_attempt_at"]
    assert due == retry_at(delivery.id, 1, village.now, village.now)
    village.clock.set(due - MOMENT)
    assert village.claim_retries() == []
    village.clock.set(due)
    (claim,) = village.claim_retries()
    row = village.row(DELIVERY, delivery.id)
    assert (claim.id, row["state"], row["next_attempt_at"]) == (delivery.id, "queued", None)
    (again,) = village.begin([claim])
    assert (again.attempts, again.first_started_at) == (2, delivery.started_at)


def test_of_the_deferred_the_longest_due_are_claimed_first(village: Village) -> None:
    rows = [village.delivery(village.learner(f"p{n}@schule.example")) for n in range(3)]
    for row, minutes in zip(rows, (1, 3, 2), strict=True):
        due = village.now - timedelta(minutes=minutes)
        village.change(DELIVERY, row, state="deferred", next_attempt_at=due)
    claimed = [village.claim_retries(limit=1)[0].id for _ in rows]
    assert claimed == [rows[1], rows[2], rows[0]]


def test_a_retry_whose_holder_died_is_claimed_anew(village: Village) -> None:
    delivery = begun(village)
    village.record(delivery, Outcome.DEFERRED)
    village.clock.advance(HOUR)
    village.claim_retries("sender-1")
    village.take_over("sender-2")
    assert [claim.id for claim in village.claim("sender-2")] == [delivery.id]


def test_after_five_days_of_trying_a_mail_has_failed(village: Village) -> None:
    delivery = begun(village)
    attempts = 1
    village.record(delivery, Outcome.DEFERRED, code=451)
    while (row := village.row(DELIVERY, delivery.id))["state"] == "deferred":
        village.clock.set(row["next_attempt_at"])
        (delivery,) = village.begin(village.claim_retries())
        village.record(delivery, Outcome.DEFERRED, code=451)
        attempts += 1
    assert (row["state"], row["reason"]) == ("failed", "given up after five days")
    assert row["ended_at"] == village.now
    assert FIVE_DAYS <= village.now - MONDAY_TEN < FIVE_DAYS + 4 * HOUR
    assert 32 <= attempts <= 43


REUSED = [
    pytest.param(True, "mail", None, True, id="dropped at MAIL"),
    pytest.param(True, "mail", 421, True, id="closed at MAIL"),
    pytest.param(True, "mail", 451, False, id="told later at MAIL"),
    pytest.param(True, "rcpt", None, False, id="dropped at RCPT"),
    pytest.param(False, "mail", None, False, id="a fresh connection dropped at MAIL"),
]


@pytest.mark.parametrize(("reused", "stage", "code", "at_once"), REUSED)
def test_a_kept_connection_that_the_relay_had_closed_says_nothing_about_the_mail(
    village: Village, reused: bool, stage: str, code: int | None, at_once: bool
) -> None:
    delivery = begun(village)
    village.record(delivery, Outcome.DEFERRED, reused=reused, stage=stage, code=code)
    claims = village.claim_retries()
    assert [claim.id for claim in claims] == ([delivery.id] if at_once else [])


# -- our sender refused


@pytest.mark.parametrize("outcome", [Outcome.REJECTED, Outcome.DEFERRED])
def test_a_refusal_of_our_sender_pauses_its_campaign_and_only_that(
    village: Village, outcome: Outcome
) -> None:
    refused, other = village.campaign("newsletter/1"), village.campaign("newsletter/2")
    delivery = begun(village, "newsletter", campaign_id=refused)
    said = {"code": 550, "status": "5.7.26", "text": "ada@schule.example: not aligned"}
    village.record(delivery, outcome, cause=Cause.SENDER, **said)
    paused = village.row(CAMPAIGN, refused)
    assert paused["paused_at"] == village.now
    # The relay's words may name the person, and the campaign outlives an erasure.
    reason = f"our sender was refused: 550 5.7.26, see delivery {delivery.id}"
    assert paused["paused_reason"] == reason
    assert village.row(CAMPAIGN, other)["paused_at"] is None
    assert village.rows(SUPPRESSION) == []


@pytest.mark.parametrize("cause", [None, Cause.PERSON, Cause.SOFT, Cause.CONTENT])
def test_no_other_refusal_pauses_a_campaign(village: Village, cause: Cause | None) -> None:
    campaign = village.campaign()
    delivery = begun(village, "newsletter", campaign_id=campaign)
    village.record(delivery, Outcome.REJECTED, cause=cause)
    assert village.row(CAMPAIGN, campaign)["paused_at"] is None


def test_a_paused_campaign_keeps_its_first_reason(village: Village) -> None:
    campaign = village.campaign()
    delivery = begun(village, "newsletter", campaign_id=campaign)
    village.change(CAMPAIGN, campaign, paused_at=village.now - HOUR, paused_reason="by hand")
    village.record(delivery, Outcome.REJECTED, cause=Cause.SENDER, text="not aligned")
    paused = village.row(CAMPAIGN, campaign)
    assert (paused["paused_at"], paused["paused_reason"]) == (village.now - HOUR, "by hand")


# -- the back-off of RFC 5321 section 4.5.4.1

IDS, ATTEMPTS = st.integers(1, 2**63 - 1), st.integers(1, 60)
BASE = {1: timedelta(minutes=30), 2: timedelta(minutes=30), 3: timedelta(hours=2)}
INSTANTS = st.datetimes(
    datetime(2020, 1, 1),
    datetime(2040, 1, 1),
    timezones=st.just(UTC),
)


@given(IDS, ATTEMPTS, INSTANTS, st.timedeltas(timedelta(), FIVE_DAYS - MOMENT))
def test_the_next_attempt_is_within_the_interval_and_a_quarter(
    delivery: int, attempts: int, first: datetime, age: timedelta
) -> None:
    now = first + age
    again = retry_at(delivery, attempts, first, now)
    base = BASE.get(attempts, timedelta(hours=3))
    assert again is not None
    assert base <= again - now <= base * 1.25
    assert again == retry_at(delivery, attempts, first, now)


@given(IDS, ATTEMPTS, INSTANTS, st.timedeltas(FIVE_DAYS, timedelta(days=400)))
def test_after_five_days_there_is_no_next_attempt(
    delivery: int, attempts: int, first: datetime, age: timedelta
) -> None:
    assert retry_at(delivery, attempts, first, first + age) is None


def test_a_batch_deferred_together_does_not_come_back_together() -> None:
    times = [retry_at(delivery, 1, MONDAY_TEN, MONDAY_TEN) for delivery in range(1, 501)]
    minutes = {(time - MONDAY_TEN) // timedelta(minutes=1) for time in times if time is not None}
    assert minutes == set(range(30, 38))


def test_two_attempts_fall_into_the_first_hour_or_so_and_no_later_pause_is_short() -> None:
    now = MONDAY_TEN
    pauses: list[timedelta] = []
    while (again := retry_at(7, len(pauses) + 1, MONDAY_TEN, now)) is not None:
        pauses.append(again - now)
        now = again
    assert pauses[0] + pauses[1] <= timedelta(minutes=75)
    assert all(
        timedelta(hours=2) <= pause <= timedelta(hours=3, minutes=45) for pause in pauses[2:]
    )
