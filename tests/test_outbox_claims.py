"""The life of a delivery from claim to end, on both databases: leases, fences, senders that die."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import groupby

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import IntegrityError

from l3mail import outbox
from l3mail.database import Database, opened
from l3mail.models import DELIVERY, SUBSCRIBER, SUBSCRIPTION
from l3mail.outbox import LEASE, Claim, Outcome
from tests.fakes.village import BACKENDS, Village, ground

MOMENT = timedelta(microseconds=1)


@pytest.fixture(scope="module", params=BACKENDS)
def database(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Database]:
    with ground(request.param, tmp_path_factory.mktemp("claims")) as database:
        yield database


@pytest.fixture
def village(database: Database) -> Village:
    village = Village(database)
    village.empty()
    village.publish()
    return village


def lessons(village: Village, count: int) -> list[int]:
    """Queued rows for as many learners."""
    return [village.delivery(village.learner(f"p{n}@schule.example")) for n in range(count)]


def ids(claims: list[Claim]) -> list[int]:
    return [claim.id for claim in claims]


def test_a_delivery_goes_from_queued_to_accepted(village: Village) -> None:
    delivery = village.delivery(village.learner(first_name="Ada"))
    (started,) = village.start()
    assert village.state(delivery) == "sending"
    assert (started.id, started.address, started.stream) == (delivery, "ada@schule.example", "kurs")
    assert started.person["first_name"] == "Ada"
    village.record(started, Outcome.ACCEPTED, code=250)
    row = village.row(DELIVERY, delivery)
    assert (row["state"], row["ended_at"], row["lease_owner"]) == ("accepted", village.now, None)


# -- an intent that came to nothing

BEGUN = ("state", "attempts", "first_started_at", "ended_at", "next_attempt_at", "lease_owner")


def begun(village: Village, delivery: int) -> dict[str, object]:
    row = village.row(DELIVERY, delivery)
    return {name: row[name] for name in BEGUN}


def test_what_came_to_no_dialogue_is_as_if_it_had_not_been_begun(village: Village) -> None:
    (delivery,) = lessons(village, 1)
    before = begun(village, delivery)
    (started,) = village.start()
    village.do(outbox.unbegin, [started])
    village.do(outbox.unbegin, [started])
    assert begun(village, delivery) == before


def test_a_second_attempt_that_came_to_nothing_leaves_the_first_one_counted(
    village: Village,
) -> None:
    (delivery,) = lessons(village, 1)
    (started,) = village.start()
    first = village.now
    village.record(started, Outcome.DEFERRED, stage="rcpt", code=450)
    village.clock.advance(timedelta(hours=1))
    (again,) = village.begin(village.claim_retries())
    village.do(outbox.unbegin, [again])
    row = village.row(DELIVERY, delivery)
    assert (row["state"], row["attempts"], row["first_started_at"]) == ("queued", 1, first)


def test_who_was_taken_over_meanwhile_is_certain_again(village: Village) -> None:
    (delivery,) = lessons(village, 1)
    (started,) = village.start()
    assert village.take_over() == 1
    village.do(outbox.unbegin, [started])
    assert (village.state(delivery), village.row(DELIVERY, delivery)["attempts"]) == ("queued", 0)


# -- claims


def test_claims_come_in_id_order_up_to_the_limit(village: Village) -> None:
    rows = lessons(village, 5)
    assert ids(village.claim(limit=3)) == rows[:3]
    assert ids(village.claim(limit=3)) == rows[3:]
    assert village.claim(limit=3) == []


def test_a_claim_begins_after_the_mark(village: Village) -> None:
    rows = lessons(village, 4)
    assert ids(village.claim(after=rows[1], limit=1)) == [rows[2]]
    assert ids(village.claim(after=rows[1])) == [rows[3]]
    assert ids(village.claim()) == rows[:2]


def test_each_lane_is_claimed_by_itself(village: Village) -> None:
    person = village.learner()
    rows = {lane: village.delivery(person, lane=lane) for lane in (2, 1, 0)}
    for lane, row in rows.items():
        assert ids(village.claim(lane=lane)) == [row]


def test_a_claimed_row_stays_queued_under_a_lease(village: Village) -> None:
    (delivery,) = lessons(village, 1)
    (claim,) = village.claim()
    row = village.row(DELIVERY, delivery)
    assert (row["state"], row["lease_owner"]) == ("queued", "sender-1")
    assert row["lease_until"] == village.now + LEASE
    assert (row["fence"], claim.fence) == (1, 1)
    assert (row["attempts"], row["started_at"], row["message_id"]) == (0, None, None)


@pytest.mark.parametrize("state", ["uncertain", "failed", "held", "accepted", "deferred"])
def test_only_queued_rows_are_claimed(village: Village, state: str) -> None:
    village.delivery(village.learner(), state=state)
    assert village.claim() == []


def test_a_leased_row_is_claimed_again_exactly_when_the_lease_ends(village: Village) -> None:
    (delivery,) = lessons(village, 1)
    village.claim("sender-1")
    village.clock.advance(LEASE - MOMENT)
    assert village.claim("sender-2") == []
    village.clock.advance(MOMENT)
    assert village.claim("sender-2") == [Claim(delivery, 2)]


def test_a_lease_that_ends_now_starts_nothing(village: Village) -> None:
    """The moment at which another may claim is the first at which the holder may not begin."""
    (delivery,) = lessons(village, 1)
    claims = village.claim()
    village.clock.advance(LEASE)
    assert village.begin(claims) == []
    assert village.state(delivery) == "queued"
    assert ids(village.claim("sender-2")) == [delivery]


def test_a_lease_in_its_last_moment_still_starts(village: Village) -> None:
    (delivery,) = lessons(village, 1)
    claims = village.claim()
    village.clock.advance(LEASE - MOMENT)
    assert [one.id for one in village.begin(claims)] == [delivery]
    assert village.row(DELIVERY, delivery)["lease_until"] == village.now + LEASE


def test_renewing_keeps_rows_from_being_claimed_by_others(village: Village) -> None:
    lessons(village, 2)
    claims = village.claim()
    village.begin(claims[:1])
    village.clock.advance(LEASE - MOMENT)
    village.renew()
    village.clock.advance(LEASE - MOMENT)
    assert village.claim("sender-2") == []
    assert village.take_over("sender-2", alone=False) == 0
    assert [one.id for one in village.begin(claims[1:])] == [claims[1].id]


def test_renewing_does_not_revive_a_lease_that_ran_out(village: Village) -> None:
    lessons(village, 1)
    claims = village.claim("sender-1")
    village.clock.advance(LEASE)
    village.renew("sender-1")
    assert village.begin(claims, "sender-1") == []
    assert len(village.claim("sender-2")) == 1


def test_renewing_extends_nobody_elses_lease(village: Village) -> None:
    lessons(village, 1)
    village.claim("sender-1")
    village.clock.advance(LEASE - MOMENT)
    village.renew("sender-2")
    village.clock.advance(MOMENT)
    assert len(village.claim("sender-2")) == 1


# -- the fence


def test_beginning_twice_starts_once(village: Village) -> None:
    (delivery,) = lessons(village, 1)
    claims = village.claim()
    assert len(village.begin(claims)) == 1
    assert village.begin(claims) == []
    assert village.row(DELIVERY, delivery)["attempts"] == 1


def test_a_claim_is_good_only_for_its_owner(village: Village) -> None:
    lessons(village, 1)
    claims = village.claim("sender-1")
    assert village.begin(claims, "sender-2") == []
    assert len(village.begin(claims, "sender-1")) == 1


def test_a_holder_that_overslept_starts_nothing(village: Village) -> None:
    (delivery,) = lessons(village, 1)
    stale = village.claim("sender-1")
    village.clock.advance(LEASE)
    fresh = village.claim("sender-2")
    assert village.begin(stale, "sender-1") == []
    assert village.row(DELIVERY, delivery)["lease_owner"] == "sender-2"
    assert len(village.begin(fresh, "sender-2")) == 1


def test_a_holder_that_claimed_again_cannot_begin_under_its_old_claim(village: Village) -> None:
    lessons(village, 1)
    stale = village.claim()
    village.clock.advance(LEASE)
    fresh = village.claim()
    assert village.begin(stale) == []
    assert len(village.begin(fresh)) == 1


@pytest.mark.parametrize("outcome", list(Outcome))
def test_an_outcome_that_comes_after_another_began_anew_changes_nothing(
    village: Village, outcome: Outcome
) -> None:
    (delivery,) = lessons(village, 1)
    (late,) = village.start()
    village.clock.advance(LEASE)
    village.take_over("sender-2", alone=False)
    village.clock.advance(outbox.UNCERTAIN_REST)
    village.settle()
    (anew,) = village.begin(village.claim("sender-2"), "sender-2")
    before = village.row(DELIVERY, delivery)
    village.record(late, outcome, code=250)
    assert village.row(DELIVERY, delivery) == before
    village.record(anew, Outcome.ACCEPTED)
    assert village.state(delivery) == "accepted"


@pytest.mark.parametrize(
    ("outcome", "state"),
    [
        (Outcome.ACCEPTED, "accepted"),
        (Outcome.DEFERRED, "deferred"),
        (Outcome.REJECTED, "failed"),
        (Outcome.UNKNOWN, "uncertain"),
    ],
)
@pytest.mark.parametrize("settled", [False, True], ids=["taken over", "queued again"])
def test_a_late_outcome_tells_the_truth_while_nobody_began_anew(
    village: Village, outcome: Outcome, state: str, settled: bool
) -> None:
    (delivery,) = lessons(village, 1)
    (late,) = village.start()
    village.clock.advance(LEASE)
    taken_over = village.now
    village.take_over("sender-2", alone=False)
    assert village.state(delivery) == "uncertain"
    if settled:
        village.clock.advance(outbox.UNCERTAIN_REST)
        assert village.settle() == 1
    village.record(late, outcome)
    row = village.row(DELIVERY, delivery)
    assert row["state"] == state
    # Kept: for a while nobody could say whether it had been sent.
    assert row["uncertain_at"] == (village.now if outcome is Outcome.UNKNOWN else taken_over)
    assert village.claim("sender-2") == []


def test_of_somebody_erased_in_mid_dialogue_no_words_of_the_relay_are_kept(
    village: Village,
) -> None:
    (delivery,) = lessons(village, 1)
    (started,) = village.start()
    village.change(SUBSCRIBER, started.subscriber_id or 0, erased_at=village.now)
    village.record(started, Outcome.REJECTED, code=550, text="ada@schule.example is no more")
    row = village.row(DELIVERY, delivery)
    assert (row["state"], row["reply_code"], row["reply_text"]) == ("failed", 550, None)


def test_an_attempt_cut_short_does_not_wear_the_words_of_the_one_before(village: Village) -> None:
    (delivery,) = lessons(village, 1)
    (first,) = village.start()
    village.record(first, Outcome.DEFERRED, code=450, status="4.2.1", text="busy")
    village.clock.advance(timedelta(hours=1))
    village.begin(village.claim_retries())
    village.clock.advance(LEASE)
    village.take_over("sender-2", alone=False)
    row = village.row(DELIVERY, delivery)
    assert row["state"] == "uncertain"
    assert {row[f"reply_{name}"] for name in ("stage", "code", "status", "text")} == {None}


def test_the_text_of_a_delivery_is_never_changed_by_a_later_begin(village: Village) -> None:
    (delivery,) = lessons(village, 1)
    (first,) = village.start()
    village.record(first, Outcome.UNKNOWN)
    village.publish(subject="neu")
    village.clock.advance(outbox.UNCERTAIN_REST)
    village.settle()
    (again,) = village.start()
    assert (again.id, again.message_id) == (delivery, first.message_id)
    assert (again.attempts, again.first_started_at) == (2, first.started_at)
    assert again.started_at == village.now


# -- senders that end


def claimed_and_begun(village: Village) -> tuple[int, int]:
    """Rows of `sender-1`: one only claimed, one in mid-dialogue."""
    lessons(village, 2)
    begun, claimed = village.claim("sender-1")
    village.begin([begun], "sender-1")
    return claimed.id, begun.id


def test_the_only_sender_takes_over_everything_at_once(village: Village) -> None:
    claimed, begun = claimed_and_begun(village)
    assert village.take_over("sender-2", alone=True) == 1
    assert ids(village.claim("sender-2")) == [claimed]
    row = village.row(DELIVERY, begun)
    assert (row["state"], row["reason"]) == ("uncertain", "its sender ended in mid-dialogue")
    assert (row["uncertain_at"], row["ended_at"]) == (village.now, village.now)
    assert (row["lease_owner"], row["lease_until"]) == (None, None)


def test_one_of_several_senders_takes_over_only_what_ran_out(village: Village) -> None:
    claimed, begun = claimed_and_begun(village)
    village.clock.advance(LEASE - MOMENT)
    assert village.take_over("sender-2", alone=False) == 0
    assert village.row(DELIVERY, claimed)["lease_owner"] == "sender-1"
    assert village.state(begun) == "sending"
    village.clock.advance(MOMENT)
    assert village.take_over("sender-2", alone=False) == 1
    assert village.row(DELIVERY, claimed)["lease_owner"] is None
    assert village.state(begun) == "uncertain"


def test_taking_over_leaves_the_own_rows_alone(village: Village) -> None:
    claimed, begun = claimed_and_begun(village)
    assert village.take_over("sender-1", alone=True) == 0
    assert village.row(DELIVERY, claimed)["lease_owner"] == "sender-1"
    assert village.state(begun) == "sending"


def test_taking_over_twice_finds_nothing_more(village: Village) -> None:
    _, begun = claimed_and_begun(village)
    village.take_over("sender-2")
    before = village.rows()
    village.clock.advance(timedelta(minutes=1))
    assert village.take_over("sender-2") == 0
    assert village.rows() == before
    assert village.state(begun) == "uncertain"


@pytest.mark.parametrize("death", ["taken over", "unknown outcome"])
@pytest.mark.parametrize(
    ("kind", "resent"),
    [("lesson", True), ("evaluation", True), ("newsletter", False), ("lifecycle", False)],
)
def test_an_uncertain_row_is_sent_again_only_after_its_rest_and_where_policy_says_so(
    village: Village, kind: str, resent: bool, death: str
) -> None:
    delivery = village.delivery(village.learner(), kind, lane=1)
    (begun,) = village.start()
    if death == "taken over":
        village.take_over("sender-2")
    else:
        village.record(begun, Outcome.UNKNOWN)
    village.clock.advance(outbox.UNCERTAIN_REST - MOMENT)
    assert village.settle() == 0
    village.clock.advance(MOMENT)
    assert village.settle() == (1 if resent else 0)
    row = village.row(DELIVERY, delivery)
    assert (row["state"], row["ended_at"] is None) == (
        ("queued", True) if resent else ("uncertain", False)
    )
    # The same row, so the same Message-ID.
    assert [one.id for one in village.start()] == ([delivery] if resent else [])


def test_an_uncertain_row_is_not_sent_again_to_somebody_who_left_meanwhile(
    village: Village,
) -> None:
    (delivery,) = lessons(village, 1)
    village.start()
    village.take_over()
    (subscription,) = village.rows(SUBSCRIPTION)
    village.change(SUBSCRIPTION, subscription["id"], state="unsubscribed", generation=2)
    village.clock.advance(outbox.UNCERTAIN_REST)
    village.settle()
    assert village.start() == []
    row = village.row(DELIVERY, delivery)
    assert (row["state"], row["reason"]) == ("cancelled", "unsubscribed")
    assert row["uncertain_at"] is not None


# -- giving back


def test_what_a_sender_returns_is_anybodys_at_once(village: Village) -> None:
    rows = lessons(village, 2)
    claims = village.claim("sender-1")
    village.give_back(claims[:1], "sender-1")
    assert ids(village.claim("sender-2")) == rows[:1]


@pytest.mark.parametrize("durable", [True, False], ids=["committed", "rolled back"])
def test_an_intent_whose_commit_nobody_saw_is_returned_and_goes_later(
    village: Village, durable: bool
) -> None:
    (delivery,) = lessons(village, 1)
    claims = village.claim()
    if durable:
        village.begin(claims)
    village.give_back(claims)
    row = village.row(DELIVERY, delivery)
    assert (row["state"], row["lease_owner"], row["uncertain_at"]) == ("queued", None, None)
    assert [one.id for one in village.start()] == [delivery]


def test_nothing_is_returned_that_another_has_taken_since(village: Village) -> None:
    (delivery,) = lessons(village, 1)
    stale = village.claim("sender-1")
    village.clock.advance(LEASE)
    village.begin(village.claim("sender-2"), "sender-2")
    before = village.row(DELIVERY, delivery)
    village.give_back(stale, "sender-1")
    village.give_back(stale, "sender-2")
    village.give_back([Claim(delivery, 2)], "sender-1")
    village.give_back([])
    assert village.row(DELIVERY, delivery) == before


def test_what_has_ended_is_not_returned(village: Village) -> None:
    (delivery,) = lessons(village, 1)
    claims = village.claim()
    (begun,) = village.begin(claims)
    village.record(begun, Outcome.ACCEPTED)
    village.give_back(claims)
    assert village.state(delivery) == "accepted"


# -- one row per person and occurrence


def test_an_occurrence_exists_once_per_person(village: Village) -> None:
    ada, berta = village.learner(), village.learner("berta@schule.example")
    village.delivery(ada, occurrence="campaign:1")
    village.delivery(berta, occurrence="campaign:1")
    with pytest.raises(IntegrityError):
        village.delivery(ada, occurrence="campaign:1", kind="newsletter", state="cancelled")


def test_an_occurrence_exists_once_per_address_of_staff(village: Village) -> None:
    village.report("a@x.example", occurrence="report:2026-W48")
    village.report("b@x.example", occurrence="report:2026-W48")
    with pytest.raises(IntegrityError):
        village.report("a@x.example", occurrence="report:2026-W48")


# -- several at once


def url_of(database: Database) -> str:
    return database.engine.url.render_as_string(hide_password=False)


def claims_until_none(url: str, owner: str) -> list[tuple[int, str]]:
    with opened(url) as database:
        village, mine = Village(database, owner=owner), []
        while claims := village.claim(limit=7):
            mine += [(claim.id, owner) for claim in claims]
        return mine


def test_no_two_senders_ever_get_the_same_row(village: Village) -> None:
    person = village.learner()
    rows = [village.delivery(person, occurrence=f"o:{n}") for n in range(300)]
    owners = ["a", "b"] if village.database.is_sqlite else ["a", "b", "c", "d"]
    with ThreadPoolExecutor(len(owners)) as threads:
        url = url_of(village.database)
        each = list(threads.map(lambda owner: claims_until_none(url, owner), owners))
    claimed = [claim for claims in each for claim in claims]
    assert sorted(row for row, _ in claimed) == rows
    holders = {row["id"]: row["lease_owner"] for row in village.rows()}
    assert holders == dict(claimed)
    assert {row["fence"] for row in village.rows()} == {1}


@pytest.mark.parametrize("database", BACKENDS[1:], indirect=True, ids=["postgres"])
def test_senders_on_postgresql_pass_each_other_without_waiting(village: Village) -> None:
    rows = lessons(village, 4)
    retries = [village.delivery(village.learner(f"r{n}@schule.example")) for n in range(2)]
    for row in retries:
        village.change(DELIVERY, row, state="deferred", next_attempt_at=village.now)
    now = village.now

    def impatient(connection: Connection) -> list[Claim]:
        connection.execute(text("SET LOCAL lock_timeout = '5s'"))
        claims = outbox.claim(connection, "other", now, lane=1, after=0, limit=500)
        return claims + outbox.claim_retries(connection, "other", now, limit=500)

    with village.database.engine.begin() as connection:
        first = outbox.claim(connection, "sender-1", now, lane=1, after=0, limit=2)
        again = outbox.claim_retries(connection, "sender-1", now, limit=1)
        with opened(url_of(village.database)) as other:
            passed = ids(other.write(impatient))
    assert ids(first) == rows[:2]
    assert sorted(passed) == sorted({*rows[2:], *retries} - set(ids(again)))
    fences = sorted(row["fence"] for row in village.rows())
    assert [(fence, len(list(group))) for fence, group in groupby(fences)] == [(1, 6)]
