"""Data at rest: stored and nothing else, and a course that goes on where it stood."""

from datetime import datetime, timedelta

import pytest

from l3mail import consents, courses, rounds, subscribers
from l3mail.models import DELIVERY, ENROLLMENT, SUBSCRIBER, SUBSCRIPTION
from l3mail.outbox import Outcome
from l3mail.retention import Terms
from l3mail.rounds import Agenda
from l3mail.subscribers import restricting
from tests.fakes.newcomer import A_DAY, RULES, Newcomer, settle
from tests.fakes.parish import ASKING, berlin
from tests.fakes.village import MONDAY_TEN, Village

A_WEEK = timedelta(days=7)


@pytest.fixture
def ada(village: Village) -> Newcomer:
    settle(village)
    ada = Newcomer(village)
    ada.sign_up("kurs", "newsletter")
    ada.read_mail()
    ada.confirm()
    ada.read_mail()
    return ada


def restrict(ada: Newcomer) -> bool:
    return ada.village.do(restricting.restrict, RULES, ada.person, ada.village.now)


def lift(ada: Newcomer) -> bool:
    return ada.village.do(restricting.lift, ada.person)


def plan(ada: Newcomer, at: datetime) -> int:
    """The rounds of a course at a moment: what is due is planned, what ended leads on."""
    ada.village.clock.set(at)
    ada.village.do(courses.advance, at, RULES.zone, 100)
    return ada.village.do(courses.plan, at, RULES.zone).deliveries


def lessons(ada: Newcomer) -> list[tuple[str, str]]:
    rows = [row for row in ada.village.rows(DELIVERY) if row["kind"] == "lesson"]
    return [(row["slug"], row["state"]) for row in rows]


def test_a_waiting_lesson_is_kept_back_and_comes_in_its_turn_once_lifted(ada: Newcomer) -> None:
    assert plan(ada, MONDAY_TEN) == 1
    assert restrict(ada)
    assert not restrict(ada)
    for weeks in range(4):
        plan(ada, MONDAY_TEN + weeks * A_WEEK)
        assert ada.read_mail() == []
    assert lift(ada)
    assert not lift(ada)
    sent = []
    for days in range(22, 37):
        plan(ada, MONDAY_TEN + timedelta(days=days))
        sent += [(days, slug) for slug in ada.read_mail()]
    assert sent == [(28, "kurs/01-start"), (35, "kurs/02-mehr")]


def test_a_lesson_claimed_before_is_not_begun(ada: Newcomer) -> None:
    plan(ada, MONDAY_TEN)
    claims = ada.village.claim()
    restrict(ada)
    assert ada.village.begin(claims) == []


def test_a_lesson_in_mid_dialogue_goes_its_way_and_the_next_waits(ada: Newcomer) -> None:
    plan(ada, MONDAY_TEN)
    (under_way,) = ada.village.start()
    restrict(ada)
    ada.village.record(under_way, Outcome.ACCEPTED, code=250)
    plan(ada, MONDAY_TEN + A_WEEK)
    plan(ada, MONDAY_TEN + A_WEEK + timedelta(minutes=1))
    assert ada.read_mail() == []
    lift(ada)
    assert plan(ada, MONDAY_TEN + A_WEEK + timedelta(hours=1)) == 0
    assert plan(ada, MONDAY_TEN + 2 * A_WEEK) == 1
    assert lessons(ada) == [("kurs/01-start", "accepted"), ("kurs/02-mehr", "queued")]


def test_no_mail_of_any_purpose_reaches_who_is_restricted(ada: Newcomer) -> None:
    ada.village.clock.advance(A_DAY)
    restrict(ada)
    from l3mail.addresses import parse_address

    ada.village.do(subscribers.request_link, RULES, parse_address(ada.address), ada.village.now)
    ada.village.delivery(ada.person, "newsletter", stream_id=1, generation=2)
    ada.village.delivery(ada.person, "notice", purpose="request")
    assert ada.read_mail() == []
    assert ada.village.start(lane=2) == []


def test_a_learners_own_pause_stays_one(ada: Newcomer) -> None:
    (journey,) = ada.village.rows(ENROLLMENT)
    ada.village.do(courses.pause, journey["id"], None, ada.village.now)
    restrict(ada)
    lift(ada)
    assert ada.enrollments() == ["paused"]


def test_who_is_erased_while_restricted_is_erased(ada: Newcomer) -> None:
    person = ada.person
    restrict(ada)
    ada.erase()
    assert not ada.village.do(restricting.restrict, RULES, person, ada.village.now)
    assert ada.village.row(SUBSCRIBER, person)["restricted_at"] is None


def test_what_changed_since_it_was_shown_is_not_written_over(ada: Newcomer) -> None:
    before = ada.village.do(restricting.known, ada.person)
    ada.village.change(SUBSCRIBER, ada.person, first_name="Adele")
    put = {"first_name": "Ada"}
    assert not ada.village.do(restricting.correct, ada.person, before, put)
    assert ada.village.row(SUBSCRIBER, ada.person)["first_name"] == "Adele"
    now_known = ada.village.do(restricting.known, ada.person)
    assert ada.village.do(restricting.correct, ada.person, now_known, put)
    assert ada.village.row(SUBSCRIBER, ada.person)["first_name"] == "Ada"


# -- who left long ago


def test_who_left_everything_is_erased_when_no_proof_of_it_is_owed_any_more(
    village: Village,
) -> None:
    settle(village)
    gone, stays, rests, asks = (Newcomer(village, f"{name}@x.example") for name in "abcd")
    for one in (gone, stays, rests, asks):
        one.join("kurs", "newsletter")
    for one in (gone, rests, asks):
        one.unsubscribe()
    stays.unsubscribe("kurs")
    restrict(rests)
    agenda = Agenda(RULES, ASKING.question, kept=Terms(RULES.zone, 1_000, 1_000))
    people = [one.person for one in (gone, stays, rests, asks)]

    def erased(at: datetime) -> list[bool]:
        village.clock.set(at)
        rounds.run(village.database, village.clock, agenda, chores=True)
        rows = {row["id"]: row["erased_at"] for row in village.rows(SUBSCRIBER)}
        return [rows[person] is not None for person in people]

    ends = berlin("2030-01-01 00:00")  # left in 2026, and 36 months to the year's end
    assert erased(ends - timedelta(minutes=1)) == [False] * 4
    village.clock.set(ends)
    asks.sign_up("newsletter")
    assert erased(ends) == [True, False, False, False]
    assert gone.acts(people[0]) == []
    assert village.database.read(consents.verify).broken_at is None


def test_many_who_left_are_erased_in_pieces(sqlite_village: Village) -> None:
    village = sqlite_village
    long_ago = berlin("2020-05-01 12:00")
    people = village.crowd([village.stream()], [{}] * 60)
    for row in village.rows(SUBSCRIPTION):
        left = {"state": "unsubscribed", "unsubscribed_at": long_ago}
        village.change(SUBSCRIPTION, row["id"], created_at=long_ago, **left)
    done: list[int] = []
    reached: int | None = 0
    while reached is not None:
        after = reached
        gone, reached = village.database.write(
            lambda one, after=after: subscribers.erase_departed(  # type: ignore[misc]
                one, RULES, village.now, after=after, limit=40
            )
        )
        done.append(gone)
    assert (sum(done), max(done)) == (len(people), 25)
    assert all(row["erased_at"] for row in village.rows(SUBSCRIBER))


def test_who_never_answered_is_not_forgotten_while_their_data_rest(ada: Newcomer) -> None:
    bea = Newcomer(ada.village, "bea@schule.example")
    bea.sign_up()
    bea.read_mail()
    assert restrict(bea)
    ada.village.clock.advance(timedelta(days=9))
    ada.village.do(subscribers.purge, ada.village.now, 100)
    assert ada.village.row(SUBSCRIBER, bea.person)["restricted_at"] is not None
    assert lift(bea)
