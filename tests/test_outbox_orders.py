"""What operators ask of the outbox: each order changes what it fits, names it, and wins."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, event

from l3mail import outbox
from l3mail.database import Database
from l3mail.models import DELIVERY, DELIVERY_STATES, HALT, SUBSCRIBER
from l3mail.outbox import UNPUBLISHED, Outcome
from tests.fakes.village import BACKENDS, Village, ground


@pytest.fixture(scope="module", params=BACKENDS)
def database(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Database]:
    with ground(request.param, tmp_path_factory.mktemp("orders")) as database:
        yield database


@pytest.fixture
def village(database: Database) -> Village:
    village = Village(database)
    village.empty()
    village.publish()
    return village


# -- orders

ORDERS: dict[str, tuple[dict[str, str], str | None]] = {
    # order: from which state to which, and whether the row has ended
    "retry": (dict.fromkeys(("failed", "deferred", "held"), "queued"), None),
    "resend": ({"uncertain": "queued"}, None),
    "arrived": ({"uncertain": "accepted"}, "ended"),
    "give-up": ({"uncertain": "failed"}, "ended"),
    "cancel": (dict.fromkeys(("queued", "deferred", "held", "uncertain"), "cancelled"), "ended"),
}


def order(village: Village, name: str, ids: list[int]) -> list[int]:
    if name == "retry":
        return village.do(outbox.retry, ids)
    if name == "cancel":
        return village.do(outbox.cancel, ids, village.now)
    assert name in ("resend", "arrived", "give-up")
    settlement: outbox.Settlement = name  # type: ignore[assignment]
    return village.do(outbox.resolve, ids, settlement, village.now)


def one_of_each_state(village: Village) -> dict[str, int]:
    person, then = village.learner(), village.now - timedelta(hours=3)
    ended = ("accepted", "failed", "uncertain", "cancelled", "lapsed")
    return {
        state: village.delivery(
            person,
            state=state,
            reason=UNPUBLISHED if state == "held" else None,
            lease_owner="sender-9" if state in ("queued", "sending") else None,
            lease_until=village.now if state in ("queued", "sending") else None,
            started_at=then,
            first_started_at=then,
            attempts=3,
            fence=4,
            next_attempt_at=village.now if state in ("deferred", "uncertain") else None,
            ended_at=then if state in ended else None,
            uncertain_at=then if state == "uncertain" else None,
        )
        for state in DELIVERY_STATES
    }


@pytest.mark.parametrize(("name", "changes", "ended"), [(k, *v) for k, v in ORDERS.items()])
def test_an_order_changes_the_rows_it_fits_and_no_others(
    village: Village, name: str, changes: dict[str, str], ended: str | None
) -> None:
    rows = one_of_each_state(village)
    before = {state: village.row(DELIVERY, row) for state, row in rows.items()}
    changed = order(village, name, [*rows.values(), 10**9])
    assert changed == [rows[state] for state in DELIVERY_STATES if state in changes]
    for state, row in rows.items():
        after = village.row(DELIVERY, row)
        if state not in changes:
            assert after == before[state]
            continue
        assert after["state"] == changes[state]
        assert (after["lease_owner"], after["lease_until"]) == (None, None)
        assert (after["next_attempt_at"], after["fence"]) == (None, 5)
        assert after["ended_at"] == (village.now if ended else None)
        assert after["reason"]
        assert after["uncertain_at"] == before[state]["uncertain_at"]


@pytest.mark.parametrize("name", ORDERS)
def test_an_order_touches_only_the_rows_it_names(village: Village, name: str) -> None:
    one_of_each_state(village)
    before = village.rows()
    assert order(village, name, []) == []
    assert village.rows() == before


@pytest.mark.parametrize("name", ORDERS)
def test_repeating_an_order_changes_nothing_more(village: Village, name: str) -> None:
    rows = one_of_each_state(village)
    uncertain = [rows["uncertain"]] if name != "retry" else [rows["failed"]]
    assert order(village, name, uncertain) == uncertain
    before = village.rows()
    assert order(village, name, uncertain) == []
    assert village.rows() == before


def test_five_days_of_trying_begin_anew_with_a_retry(village: Village) -> None:
    rows = one_of_each_state(village)
    order(village, "retry", [rows["failed"]])
    village.clock.advance(timedelta(days=30))
    (begun,) = [one for one in village.start() if one.id == rows["failed"]]
    assert (begun.attempts, begun.first_started_at) == (1, village.now)
    village.record(begun, Outcome.DEFERRED)
    assert village.state(rows["failed"]) == "deferred"


def test_a_resent_row_keeps_its_text_and_so_its_message_id(village: Village) -> None:
    delivery = village.delivery(village.learner())
    (first,) = village.start()
    village.take_over("sender-2")
    village.publish(subject="neu")
    order(village, "resend", [delivery])
    (again,) = village.start()
    assert (again.id, again.message_id) == (delivery, first.message_id)


def test_a_retry_is_no_way_around_an_objection(village: Village) -> None:
    person = village.learner()
    delivery = village.delivery(person, state="failed")
    village.suppress(person, "complaint")
    assert order(village, "retry", [delivery]) == [delivery]
    assert village.start() == []
    assert village.row(DELIVERY, delivery)["reason"] == "suppressed"


# -- the fence: whoever held the row before the order starts nothing


def test_a_row_cancelled_after_the_claim_is_not_started(village: Village) -> None:
    delivery = village.delivery(village.learner())
    claims = village.claim()
    assert order(village, "cancel", [delivery]) == [delivery]
    assert village.begin(claims) == []
    assert village.row(DELIVERY, delivery)["reason"] == "cancelled by an operator"


def test_a_claim_from_before_an_order_is_worth_nothing(village: Village) -> None:
    """Held, ordered to be tried again, and claimed by another: the old claim must not count."""
    delivery = village.delivery(village.learner())
    stale = village.claim("sender-1")
    village.change(DELIVERY, delivery, state="held", reason=UNPUBLISHED)
    order(village, "retry", [delivery])
    assert village.begin(stale, "sender-1") == []
    village.give_back(stale, "sender-1")
    fresh = village.claim("sender-2")
    assert village.begin(stale, "sender-1") == []
    assert len(village.begin(fresh, "sender-2")) == 1


@pytest.mark.parametrize("name", ["resend", "arrived", "give-up", "cancel"])
def test_an_outcome_that_comes_after_a_persons_word_changes_nothing(
    village: Village, name: str
) -> None:
    delivery = village.delivery(village.learner())
    (late,) = village.start()
    village.take_over("sender-2")
    order(village, name, [delivery])
    before = village.row(DELIVERY, delivery)
    village.record(late, Outcome.DEFERRED)
    assert village.row(DELIVERY, delivery) == before


# -- halts


def test_halting_twice_is_one_halt_and_resuming_releases_all(village: Village) -> None:
    first = village.now
    assert village.do(outbox.halt, "kind", "newsletter", "eva", first)
    village.clock.advance(timedelta(minutes=1))
    assert not village.do(outbox.halt, "kind", "newsletter", "udo", village.now)
    assert village.do(outbox.halt, "everything", "", "udo", village.now)
    halts = [
        outbox.HaltInForce("kind", "newsletter", first, "eva"),
        outbox.HaltInForce("everything", "", village.now, "udo"),
    ]
    assert village.do(outbox.halts) == halts
    assert village.do(outbox.resume) == halts
    assert village.do(outbox.resume) == []
    assert village.rows(HALT) == []


@pytest.mark.parametrize("database", BACKENDS[1:], indirect=True, ids=["postgres"])
def test_two_who_halt_at_the_same_moment_are_both_heard(village: Village) -> None:
    heard: list[bool] = []

    def just_before(_connection: Connection, _cursor: Any, statement: str, *_rest: Any) -> None:
        if statement.startswith("INSERT INTO halt") and not heard:
            heard.append(True)
            heard.append(village.do(outbox.halt, "everything", "", "udo", village.now))

    event.listen(village.database.engine, "before_cursor_execute", just_before)
    try:
        heard.append(village.do(outbox.halt, "everything", "", "eva", village.now))
    finally:
        event.remove(village.database.engine, "before_cursor_execute", just_before)
    assert heard == [True, True, False]
    assert [order.halted_by for order in village.do(outbox.halts)] == ["udo"]


def test_a_halt_leaves_finished_and_running_rows_alone(village: Village) -> None:
    one_of_each_state(village)
    before = village.rows()
    village.do(outbox.halt, "everything", "", "op", village.now)
    village.do(outbox.resume)
    assert village.rows() == before


# -- questions


def test_every_state_is_counted_also_those_without_rows(village: Village) -> None:
    person = village.learner()
    for state in ("queued", "queued", "failed"):
        village.delivery(person, state=state)
    assert village.do(outbox.counts) == dict.fromkeys(DELIVERY_STATES, 0) | {
        "queued": 2,
        "failed": 1,
    }


def test_the_newest_deliveries_are_listed_the_newest_last(village: Village) -> None:
    person = village.learner()
    rows = [village.delivery(person, state=state) for state in ("failed", "queued", "failed")]
    rows.append(village.report("amt@stadt.example"))
    listed = village.do(outbox.listing)
    assert [row["id"] for row in listed] == rows
    assert [row["email"] for row in listed] == ["ada@schule.example"] * 3 + ["amt@stadt.example"]
    assert [row["id"] for row in village.do(outbox.listing, limit=2)] == rows[2:]
    failed = village.do(outbox.listing, states=["failed"])
    assert [row["id"] for row in failed] == [rows[0], rows[2]]
    last = village.do(outbox.listing, states={"failed"}, limit=1)
    assert [row["id"] for row in last] == [rows[2]]


SEARCHES = {
    "part of an address": ("a_b", ["a_b"]),
    "capitals": ("A_B@", ["a_b"]),
    "an underscore is itself": ("_", ["a_b"]),
    "a percent sign is itself": ("100%", ["100%"]),
    "a backslash is itself": ("\\", []),
    "part of a slug": ("urs/0", ["a_b", "acb", "100%"]),
    "staff": ("stadt", ["report"]),
    "nobody": ("nobody", []),
    "nothing asked": ("", ["a_b", "acb", "100%", "report"]),
}


@pytest.mark.parametrize(("search", "found"), SEARCHES.values(), ids=SEARCHES.keys())
def test_a_search_looks_into_addresses_and_slugs(
    village: Village, search: str, found: list[str]
) -> None:
    rows = {
        name: village.delivery(village.learner(f"{name}@schule.example"))
        for name in ("a_b", "acb", "100%")
    }
    rows["report"] = village.report(slug="reports/week")
    listed = village.do(outbox.listing, search=search)
    assert [row["id"] for row in listed] == [rows[name] for name in found]


def test_an_erased_persons_delivery_is_still_listed_without_an_address(village: Village) -> None:
    person = village.learner()
    delivery = village.delivery(person, state="accepted")
    village.change(SUBSCRIBER, person, address=None, address_key=None, erased_at=village.now)
    (row,) = village.do(outbox.listing)
    assert (row["id"], row["email"]) == (delivery, None)


def test_looking_up_names_only_what_there_is(village: Village) -> None:
    person = village.learner()
    first, second = village.delivery(person), village.delivery(person)
    found = village.do(outbox.lookup, [second, 10**9, first, second])
    assert [(row["id"], row["email"]) for row in found] == [
        (first, "ada@schule.example"),
        (second, "ada@schule.example"),
    ]
    assert village.do(outbox.lookup, []) == []
