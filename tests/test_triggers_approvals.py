"""Mails that need somebody's yes: shown before they are due, held, sent as shown, or lapsed."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from l3mail import outbox, triggers
from l3mail.errors import TriggerError
from l3mail.models import APPROVAL, APPROVAL_MESSAGE, MESSAGE, SUBSCRIBER, SUBSCRIPTION
from l3mail.outbox import AWAITING_APPROVAL
from l3mail.triggers import Planned
from tests.fakes.parish import (
    SLUG,
    berlin,
    declare,
    friend,
    happen,
    mails,
    plan,
    shown,
    terms,
)
from tests.fakes.village import Village

LONG_AGO = berlin("2024-01-10 12:00")
EIGHT, NINE = "2027-09-08 08:00", "2027-09-08 09:00"


@pytest.fixture
def town(village: Village) -> Village:
    """Two people, and a yearly mailing for 8 September that needs approval."""
    village.clock.set(berlin("2027-09-01 12:00"))
    declare(village, trigger="yearly", on="09-08", approval="required", valid_for="2d")
    friend(village, "ada", joined=LONG_AGO)
    friend(village, "bea", joined=LONG_AGO)
    return village


def batches(village: Village) -> list[tuple[str, str | None]]:
    return [(row["occasion"], row["decision"]) for row in village.rows(APPROVAL)]


def states(village: Village) -> list[tuple[str, str | None]]:
    return [(row["state"], row["reason"]) for row in village.rows()]


def decide(village: Village, decision: Any, number: int = 1) -> int:
    return village.do(triggers.decide, number, decision, "eva", village.now)


def test_a_batch_is_open_before_it_is_due_and_no_mail_is_planned_ahead(town: Village) -> None:
    assert plan(town, "2027-09-08 07:59") == Planned()
    assert shown(town.do(triggers.next_moment, terms(town))) == EIGHT
    assert town.rows(APPROVAL) == []
    assert plan(town, EIGHT) == Planned()
    (batch,) = town.do(triggers.pending, town.now)
    assert (batch.slug, batch.occasion, batch.held) == (SLUG, "2027", 0)
    assert [shown(at) for at in (batch.requested_at, batch.due_at, batch.lapses_at)] == [
        EIGHT,
        NINE,
        "2027-09-11 00:00",
    ]
    assert batch.messages == {"de": 1}
    assert town.rows() == []
    assert shown(town.do(triggers.next_moment, terms(town))) == NINE
    assert plan(town) == Planned()
    assert len(town.rows(APPROVAL)) == 1


OPENED = {
    "at nine: from eight on": ("09:00", "2027-09-08 08:00"),
    "at half past eight: from eight on": ("08:30", "2027-09-08 08:00"),
    "at eight: an hour before": ("08:00", "2027-09-08 07:00"),
    "at half past six: an hour before": ("06:30", "2027-09-08 05:30"),
    "after midnight: the evening before": ("00:15", "2027-09-07 23:15"),
}


@pytest.mark.parametrize(("at", "opened"), OPENED.values(), ids=OPENED)
def test_it_is_shown_at_eight_or_an_hour_before(town: Village, at: str, opened: str) -> None:
    declare(town, trigger="yearly", on="09-08", at=at, approval="required")
    town.clock.set(berlin(opened) - timedelta(seconds=1))
    plan(town)
    assert town.rows(APPROVAL) == []
    plan(town, opened)
    assert batches(town) == [("2027", None)]


def test_undecided_its_mails_are_held_when_they_are_due(town: Village) -> None:
    plan(town, EIGHT)
    assert plan(town, NINE) == Planned(2)
    assert states(town) == [("held", AWAITING_APPROVAL)] * 2
    (pinned,) = town.rows(APPROVAL_MESSAGE)
    for row in town.rows():
        assert (row["approval_id"], row["message_id"]) == (1, pinned["message_id"])
        assert shown(row["lapses_at"]) == "2027-09-11 00:00"
    assert [batch.held for batch in town.do(triggers.pending, town.now)] == [2]
    assert plan(town) == Planned()
    assert town.start(lane=2) == []
    assert town.do(outbox.counts)["held"] == 2
    assert town.do(outbox.needs, town.now).held == 0  # `pending` tells of them, with what to do


def test_nobody_s_impatience_releases_what_waits_for_approval(town: Village) -> None:
    plan(town, NINE)
    assert town.do(outbox.retry, [1, 2]) == []
    assert town.do(outbox.queue_published, {SLUG}) == []


def test_approved_in_time_its_mails_go_out_when_they_are_due(town: Village) -> None:
    plan(town, EIGHT)
    assert decide(town, "approved") == 0
    (row,) = town.rows(APPROVAL)
    assert (row["decided_by"], row["decided_at"]) == ("eva", town.now)
    assert plan(town) == Planned()
    assert plan(town, NINE) == Planned(2)
    assert states(town) == [("queued", None)] * 2
    assert len(town.start(lane=2)) == 2


def test_approved_later_what_was_held_is_queued_and_who_joins_that_day_follows(
    town: Village,
) -> None:
    plan(town, NINE)
    town.clock.set(berlin("2027-09-08 10:00"))
    assert decide(town, "approved") == 2
    assert states(town) == [("queued", None)] * 2
    friend(town, "cem")
    assert plan(town) == Planned(1)
    assert states(town) == [("queued", None)] * 3


def test_rejected_its_mails_end_and_none_is_planned(town: Village) -> None:
    plan(town, NINE)
    assert decide(town, "rejected") == 2
    assert states(town) == [("cancelled", "rejected by an approver")] * 2
    friend(town, "cem")
    assert plan(town) == Planned()
    assert town.do(triggers.pending, town.now) == []


def test_rejected_in_time_no_mail_is_planned_at_all(town: Village) -> None:
    plan(town, EIGHT)
    assert decide(town, "rejected") == 0
    assert plan(town, NINE) == Planned()
    assert plan(town, "2027-09-09 09:00") == Planned()
    assert town.rows() == []
    assert town.do(triggers.upcoming, terms(town))[0].due_at == berlin("2028-09-08 09:00")


def test_undecided_for_too_long_it_lapses(town: Village) -> None:
    plan(town, NINE)
    assert plan(town, "2027-09-10 23:59") == Planned()
    assert shown(town.do(triggers.next_moment, terms(town))) == "2027-09-11 00:00"
    assert plan(town, "2027-09-11 00:00") == Planned(lapsed=2)
    assert states(town) == [("lapsed", "nobody approved it in time")] * 2
    assert batches(town) == [("2027", "lapsed")]
    assert plan(town) == Planned()


REFUSED = {
    "approved": ("approved", 'was approved by "eva" already'),
    "rejected": ("rejected", 'was rejected by "eva" already'),
    "lapsed": (None, "lapsed at 2027-09-10 22:00 UTC"),
}


@pytest.mark.parametrize("again", ["approved", "rejected"])
@pytest.mark.parametrize(("first", "words"), REFUSED.values(), ids=REFUSED)
def test_what_is_decided_stays_so(town: Village, first: str | None, words: str, again: str) -> None:
    plan(town, NINE)
    if first is not None:
        decide(town, first)
    else:
        town.clock.set(berlin("2027-09-11 00:00"))
    before = (town.rows(), town.rows(APPROVAL))
    with pytest.raises(TriggerError, match=words):
        decide(town, again)
    assert (town.rows(), town.rows(APPROVAL)) == before


def test_an_approval_there_is_not_is_refused(town: Village) -> None:
    with pytest.raises(TriggerError, match="there is no approval 7"):
        decide(town, "approved", 7)


@pytest.mark.parametrize("approved_at", [EIGHT, NINE], ids=["in time", "when held"])
def test_published_again_meanwhile_what_was_shown_is_sent(town: Village, approved_at: str) -> None:
    english = town.publish(SLUG, "en", stream="lifecycle", subject="shown")
    town.change(SUBSCRIBER, 2, locale="en-GB")
    plan(town, EIGHT)
    shown_texts = {row["id"]: row["hash"] for row in town.rows(MESSAGE)}
    town.publish(SLUG, stream="lifecycle", subject="anders")
    town.publish(SLUG, "en", stream="lifecycle", subject="different")
    plan(town, approved_at)
    decide(town, "approved")
    plan(town, NINE)
    started = town.start(lane=2)
    assert {one.message_id for one in started} == {1, english} == set(shown_texts)


def test_in_neither_language_what_was_shown_is_sent_and_nothing_newer(town: Village) -> None:
    town.change(SUBSCRIBER, 1, locale="fr")
    town.do(triggers.declare, "lifecycle/en", _rule(), town.stream("lifecycle"), town.now)
    message = town.publish("lifecycle/en", "en", stream="lifecycle")
    plan(town, EIGHT)
    town.publish("lifecycle/en", "fr", stream="lifecycle")
    plan(town, NINE)
    rows = [row for row in town.rows() if row["slug"] == "lifecycle/en"]
    assert {row["message_id"] for row in rows} == {message}


def _rule() -> dict[str, str]:
    return {"trigger": "yearly", "on": "09-08", "approval": "required"}


def test_who_leaves_while_it_waits_gets_nothing(town: Village) -> None:
    plan(town, NINE)
    town.change(SUBSCRIPTION, 2, state="unsubscribed", generation=2)
    decide(town, "approved")
    assert [started.subscriber_id for started in town.start(lane=2)] == [1]
    assert town.state(2) == "cancelled"


def test_nobody_is_asked_to_approve_mails_to_nobody(village: Village) -> None:
    village.clock.set(berlin("2027-09-07 12:00"))
    declare(village, trigger="birthday", approval="required")
    friend(village, birth_month=9, birth_day=10, joined=LONG_AGO)
    for moment in ("2027-09-08 08:00", "2027-09-08 09:00", "2027-09-09 09:00"):
        plan(village, moment)
    assert village.rows(APPROVAL) == []
    plan(village, "2027-09-10 08:00")
    assert batches(village) == [("2027-09-10", None)]


def test_a_batch_that_slept_through_its_showing_is_opened_when_it_is_planned(
    town: Village,
) -> None:
    assert plan(town, "2027-09-09 15:00") == Planned(2)
    assert states(town) == [("held", AWAITING_APPROVAL)] * 2
    assert [shown(b.due_at) for b in town.do(triggers.pending, town.now)] == [NINE]


def test_facts_of_a_day_are_approved_together(village: Village) -> None:
    village.clock.set(berlin("2027-09-07 09:30"))
    declare(village, trigger="interested", of="video", approval="required")
    for name, hour in (("ada", 10), ("bea", 20)):
        person = friend(village, name)
        happen(village, person, "interested", name="video", at=berlin(f"2027-09-07 {hour}:00"))
    late = friend(village, "cem")
    happen(village, late, "interested", name="video", at=berlin("2027-09-08 08:30"))
    plan(village, EIGHT)
    assert batches(village) == [("2027-09-08", None)]
    assert plan(village, NINE) == Planned(3)
    assert {moment for _, _, moment in mails(village)} == {NINE}
    assert decide(village, "approved") == 3


def test_decided_while_it_is_planned_no_mail_stays_held(town: Village) -> None:
    """Whichever comes first, the other finds what it did."""
    for n in range(10):
        friend(town, f"p{n}", joined=LONG_AGO)
    plan(town, EIGHT)
    town.clock.set(berlin(NINE))
    with ThreadPoolExecutor(2) as pool:
        planning = pool.submit(lambda: [plan(town, limit=1) for _ in range(13)])
        deciding = pool.submit(decide, town, "approved")
        planning.result()
        deciding.result()
    assert [state for state, _ in states(town)] == ["queued"] * 12
