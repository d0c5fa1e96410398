"""One planning round over courses and campaigns, on both databases."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Connection, literal_column, select
from sqlalchemy.exc import DBAPIError

from l3mail import courses, newsletters, outbox, rounds
from l3mail.errors import L3mailError
from l3mail.models import APPROVAL, CAMPAIGN, DELIVERY, ENROLLMENT, EVENT, SEGMENT
from l3mail.outbox import Outcome
from l3mail.rounds import Agenda, Planner, Round
from l3mail.segments import Question
from l3mail.subscribers import Rules
from tests.fakes import parish
from tests.fakes.village import MONDAY_TEN, PEPPER, Village

BERLIN = ZoneInfo("Europe/Berlin")
RULES = Rules(PEPPER, BERLIN, "de")
WEEK = timedelta(weeks=1)


def no_segment(connection: Connection, name: str, now: datetime) -> Question:
    raise L3mailError(f"{name} is gone")


AGENDA = Agenda(RULES, no_segment)


@pytest.fixture
def town(village: Village) -> Village:
    """A course of two lessons with one learner from Monday ten on, and an issue with one reader."""
    outline = courses.Outline(
        "kurs",
        "Kurs",
        {"weekday": "mon", "at": "10:00"},
        [("kurs/01", "lesson"), ("kurs/02", "lesson")],
    )
    village.do(courses.define, outline, village.stream(), village.now)
    for slug, _ in outline.lessons:
        village.publish(slug)
    village.do(courses.enroll, "kurs", village.learner(), village.now, BERLIN)
    village.subscribe(
        village.person("bea@schule.example"), village.stream("newsletter", "newsletter")
    )
    village.publish("newsletter/2026-12", stream="newsletter")
    return village


def schedule(village: Village, at: datetime, segment: str | None = None) -> int:
    return village.do(
        newsletters.schedule, "newsletter/2026-12", at, segment=segment, by="me", now=village.now
    )


def go_round(village: Village, agenda: Agenda = AGENDA) -> Round:
    return village.do(rounds.due, village.now, agenda)


def upcoming(village: Village) -> datetime | None:
    return village.do(rounds.next_moment, village.now, AGENDA)


def deliver(village: Village, lane: int = 1, outcome: Outcome = Outcome.ACCEPTED) -> None:
    for started in village.start(lane=lane):
        village.record(started, outcome, stage="rcpt", code=450)


def test_one_round_plans_what_is_due_of_every_kind(town: Village) -> None:
    schedule(town, town.now)
    assert go_round(town) == Round(planned=2)
    assert {row["kind"] for row in town.rows()} == {"lesson", "newsletter"}
    assert go_round(town) == Round()


def test_a_learner_is_led_on_when_the_lesson_has_ended(town: Village) -> None:
    go_round(town)
    assert go_round(town) == Round()
    deliver(town)
    assert go_round(town) == Round(led_on=1)
    town.clock.advance(WEEK)
    assert go_round(town) == Round(planned=1)


def test_a_full_batch_says_that_more_is_waiting(town: Village) -> None:
    for n in range(4):
        person = town.person(f"p{n}@schule.example")
        town.subscribe(person, town.stream("newsletter", "newsletter"))
    schedule(town, town.now)
    small = Agenda(RULES, no_segment, batch=2)
    assert go_round(town, small) == Round(planned=3, more=True)
    assert rounds.run(town.database, town.clock, small) == Round(planned=3)
    assert len(town.rows()) == 6


def test_run_leaves_nothing_due_and_nothing_twice(town: Village) -> None:
    schedule(town, town.now)
    assert rounds.run(town.database, town.clock, AGENDA).planned == 2
    assert rounds.run(town.database, town.clock, AGENDA) == Round()


def test_a_segment_that_can_not_be_asked_keeps_no_lesson_back(town: Village) -> None:
    town.insert(SEGMENT, name="alle", expression="…", saved_at=town.now)
    schedule(town, town.now, "alle")
    assert go_round(town) == Round(planned=1, paused=1)
    (campaign,) = town.rows(CAMPAIGN)
    assert "alle is gone" in campaign["paused_reason"]


def test_the_next_moment_is_the_first_of_all_that_falls_due(town: Village) -> None:
    assert upcoming(town) is None  # the lesson is due now, and now is not next
    go_round(town)
    deliver(town)
    go_round(town)
    assert upcoming(town) == MONDAY_TEN + WEEK
    number = schedule(town, MONDAY_TEN + timedelta(days=3))
    assert upcoming(town) == MONDAY_TEN + timedelta(days=3)
    town.do(newsletters.pause, number, town.now, "by me")
    assert upcoming(town) == MONDAY_TEN + WEEK
    town.change(ENROLLMENT, 1, state="paused", paused_until=MONDAY_TEN + timedelta(days=9))
    assert upcoming(town) == MONDAY_TEN + timedelta(days=9)


def test_a_round_plans_triggers_and_tells_of_those_it_can_not_ask(town: Village) -> None:
    go_round(town)
    deliver(town)
    go_round(town)
    parish.declare(town, trigger="joined", after="2d")
    parish.declare(town, "lifecycle/krank", trigger="joined", after="2d", segment="alle")
    parish.friend(town, "dan")
    due_at = MONDAY_TEN + timedelta(days=2)
    assert upcoming(town) == due_at
    assert [due.slug for due in town.do(rounds.upcoming, town.now, AGENDA)] == [
        parish.SLUG,
        "kurs/02",
    ]
    town.clock.set(due_at)
    assert go_round(town) == Round(planned=1, unasked=1)
    assert rounds.run(town.database, town.clock, AGENDA) == Round(unasked=1)


def test_what_parts_above_plan_by_themselves_comes_after_the_rest(town: Village) -> None:
    soon = MONDAY_TEN + timedelta(hours=1)
    seen: list[int] = []

    def look(connection: Connection, _now: datetime, _agenda: Agenda) -> Round:
        seen.append(outbox.counts(connection)["queued"])
        return Round(planned=7)

    own = Planner(look, lambda _connection, _now, _agenda: soon)
    agenda = Agenda(RULES, no_segment, planners=(own,))
    assert go_round(town, agenda) == Round(planned=1 + 7)
    assert rounds.run(town.database, town.clock, agenda).planned == 7
    assert seen == [1, 1]
    assert town.do(rounds.next_moment, town.now, agenda) == soon


@pytest.mark.parametrize("state", ["deferred", "uncertain"])
def test_another_attempt_is_a_moment(town: Village, state: str) -> None:
    go_round(town)
    (row,) = town.rows()
    again = MONDAY_TEN + timedelta(minutes=10)
    town.change(DELIVERY, row["id"], state=state, next_attempt_at=again)
    assert upcoming(town) == again


def test_a_row_that_is_held_in_doubt_is_no_moment(town: Village) -> None:
    go_round(town)
    (row,) = town.rows()
    town.change(DELIVERY, row["id"], state="uncertain", next_attempt_at=None)
    assert upcoming(town) is None


def test_from_moment_to_moment_a_course_runs_to_its_end(town: Village) -> None:
    schedule(town, MONDAY_TEN + timedelta(days=2))
    moments = [town.now]
    while True:
        rounds.run(town.database, town.clock, AGENDA)
        deliver(town)
        deliver(town, lane=2)
        rounds.run(town.database, town.clock, AGENDA)
        moment = upcoming(town)
        if moment is None:
            break
        moments.append(moment)
        town.clock.set(moment)
    assert moments == [MONDAY_TEN, MONDAY_TEN + timedelta(days=2), MONDAY_TEN + WEEK]
    assert {row["state"] for row in town.rows()} == {"accepted"}
    assert [row["state"] for row in town.rows(ENROLLMENT)] == ["finished"]


def test_rounds_are_added_and_followed() -> None:
    first = Round(planned=2, stuck=1, more=True)
    assert first + Round(planned=1, stuck=1) == Round(planned=3, stuck=2, more=True)
    assert first.then(Round(planned=1, stuck=1)) == Round(planned=3, stuck=1)


def test_a_pause_that_ended_is_over_and_its_lesson_planned_when_it_is_due(town: Village) -> None:
    ends = MONDAY_TEN + timedelta(days=9)
    town.do(courses.pause, 1, ends, town.now)
    assert upcoming(town) == ends
    assert go_round(town) == Round()
    town.clock.set(ends)
    assert go_round(town) == Round(woken=1)
    town.clock.set(MONDAY_TEN + 2 * WEEK)
    assert go_round(town) == Round(planned=1)


def test_a_sign_up_the_limit_kept_back_is_asked_again(town: Village) -> None:
    person = town.person("dan@schule.example")
    stream = town.stream("newsletter", "newsletter")
    town.subscribe(person, stream, state="unconfirmed")
    town.signup(person, streams=["newsletter"])
    town.publish("notice/confirmation")
    assert go_round(town).planned == 2  # the lesson, and this
    assert "confirmation" in {row["kind"] for row in town.rows()}


def test_chores_are_done_only_when_they_are_asked_for(town: Village) -> None:
    person = town.person("dan@schule.example")
    town.signup(person, expires_at=town.now - timedelta(days=1), streams=[])
    assert rounds.run(town.database, town.clock, AGENDA).purged == 0
    assert rounds.run(town.database, town.clock, AGENDA, chores=True).purged == 1
    assert rounds.run(town.database, town.clock, AGENDA, chores=True).purged == 0


def test_one_that_only_tidies_plans_nothing(town: Village) -> None:
    town.signup(town.person("bob@schule.example"), expires_at=town.now)
    agenda = replace(AGENDA, tidies=True)
    assert rounds.run(town.database, town.clock, agenda, chores=True) == Round(purged=1)


# -- a glance


def _raw_click(village: Village) -> None:
    parish.happen(village, 1, "opened", verdict="raw", at=village.now - timedelta(hours=1))


def _sign_up_kept_back(village: Village) -> None:
    person = village.person("dan@schule.example")
    stream = village.stream("newsletter", "newsletter")
    village.subscribe(person, stream, state="unconfirmed")
    village.signup(person, streams=["newsletter"])
    village.publish("notice/confirmation")


def _pause_over(village: Village) -> None:
    village.do(courses.pause, 1, village.now + timedelta(days=1), village.now)
    village.clock.advance(timedelta(days=1))


def _lesson_ended(village: Village) -> None:
    rounds.run(village.database, village.clock, AGENDA)
    deliver(village)


def _put_off(village: Village, verb: Any, *args: Any) -> None:
    """The relay says "later", and by then the learner does not learn any more."""
    rounds.run(village.database, village.clock, AGENDA)
    (started,) = village.start(lane=1)
    village.database.write(lambda connection: verb(connection, 1, *args, village.now))
    village.record(started, Outcome.DEFERRED, stage="rcpt", code=450)


def _campaign_cancelled(village: Village, state: str = "queued", **values: Any) -> None:
    campaign = schedule(village, village.now)
    rounds.run(village.database, village.clock, AGENDA)
    (mail,) = [row for row in village.rows() if row["campaign_id"] == campaign]
    village.change(DELIVERY, mail["id"], state=state, **values)
    village.change(CAMPAIGN, campaign, cancelled_at=village.now)


def _batch_unapproved(village: Village) -> None:
    village.clock.set(parish.berlin("2027-09-01 12:00"))
    rule = {"trigger": "yearly", "on": "09-08", "approval": "required"}
    parish.declare(village, **rule)
    parish.friend(village, "eva", joined=village.now - timedelta(days=400))
    village.clock.set(parish.berlin("2027-09-08 10:00"))
    rounds.run(village.database, village.clock, AGENDA)
    village.clock.advance(timedelta(days=9))


DUE: dict[str, Callable[[Village], object]] = {
    "a lesson": lambda v: None,
    "an opening": _raw_click,
    "a sign-up": _sign_up_kept_back,
    "the end of a pause": _pause_over,
    "the end of a lesson": _lesson_ended,
    "a mail that pauses": lambda v: _put_off(v, courses.pause, None),
    "a mail of a cancelled course": lambda v: _put_off(v, courses.cancel, [v.stream()]),
    "an issue": lambda v: schedule(v, v.now),
    "a cancelled issue": _campaign_cancelled,
    "a cancelled issue in doubt": lambda v: _campaign_cancelled(
        v, "uncertain", next_attempt_at=v.now + timedelta(hours=1)
    ),
    "a batch that nobody approved": _batch_unapproved,
}


def everything(village: Village) -> list[list[dict[str, Any]]]:
    return [village.rows(table) for table in (DELIVERY, ENROLLMENT, EVENT, CAMPAIGN, APPROVAL)]


@pytest.mark.parametrize("fall_due", DUE.values(), ids=DUE)
def test_a_glance_passes_nothing_by_that_is_due(
    town: Village, fall_due: Callable[[Village], object]
) -> None:
    """What a run leaves, no step finds anything to do with: and there was something to do."""
    fall_due(town)
    before = everything(town)
    rounds.run(town.database, town.clock, AGENDA)
    after = everything(town)
    assert after != before
    while go_round(town).more:
        pass
    assert everything(town) == after


def test_each_step_has_its_own_sign(town: Village) -> None:
    """A sign beside another's step would let that be done for nothing, and this one never."""
    town.do(courses.cancel, 1, [town.stream()], town.now)
    assert idle_steps(town) == set(rounds.SIGNS)
    _raw_click(town)
    assert idle_steps(town) == rounds.SIGNS.keys() - {rounds.STEPS[0]}


def idle_steps(village: Village) -> set[rounds.Step]:
    return set(village.do(rounds.glance, village.now)[1])


def test_a_glance_that_fails_ends_the_round(town: Village, monkeypatch: pytest.MonkeyPatch) -> None:
    """And is not asked again and again for what would be left of it."""
    asked: list[datetime] = []

    def failing(connection: Connection, now: datetime) -> object:
        asked.append(now)
        return connection.execute(select(literal_column("nonsense")))

    monkeypatch.setattr(rounds, "glance", failing)
    with pytest.raises(DBAPIError):
        rounds.run(town.database, town.clock, AGENDA)
    assert len(asked) == 1
    assert town.rows() == []
