"""Pausing, leaving, beginning anew, and the dates a learner is told, on both databases."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event

from l3mail import courses, outbox
from l3mail.courses import LessonDate, Outline
from l3mail.models import DELIVERY, ENROLLMENT, STREAM, SUPPRESSION
from l3mail.outbox import Outcome, Started
from tests.fakes.village import MONDAY_TEN, Village
from tests.test_courses import (
    BERLIN,
    DAILY,
    KURS,
    advance,
    deliver,
    enroll,
    local,
    plan,
    school,
    sent,
    tick,
)

WEEK = timedelta(days=7)


def wake(village: Village, limit: int = 5_000) -> int:
    return village.do(courses.wake, village.now, BERLIN, limit)


def pause(village: Village, enrollment: int, until: datetime | None = None) -> bool:
    return village.do(courses.pause, enrollment, until, village.now)


def resume(village: Village, enrollment: int) -> bool:
    return village.do(courses.resume, enrollment, village.now, BERLIN)


def cancel(village: Village, person: int = 1) -> list[int]:
    streams = {row["id"] for row in village.rows(STREAM)}
    return village.do(courses.cancel, person, streams, village.now)


def weeks(village: Village, number: int, hours: int = 12) -> None:
    """Live through so many weeks, so many hours at a time."""
    for _ in range(number * 7 * 24 // hours):
        village.clock.advance(timedelta(hours=hours))
        wake(village)
        tick(village)


def test_a_cancelled_enrollment_ends_and_its_waiting_lesson_with_it(village: Village) -> None:
    school(village)
    enroll(village, village.learner())
    plan(village)
    claims = village.claim()
    assert cancel(village) == [1]
    assert village.begin(claims) == []
    row = village.row(ENROLLMENT, 1)
    assert (row["state"], row["ended_at"], row["next_due_at"]) == ("cancelled", village.now, None)
    assert village.state(1) == "cancelled"
    weeks(village, 2)
    assert sent(village) == []


def test_cancelling_touches_only_running_enrollments_of_the_named_streams_and_person(
    village: Village,
) -> None:
    school(village)
    ada, bea = village.learner(), village.learner("bea@schule.example")
    for person in (ada, bea):
        enroll(village, person)
    other = village.stream("anderer-kurs")
    assert village.do(courses.cancel, ada, {other}, village.now) == []
    assert village.do(courses.cancel, ada, set(), village.now) == []
    village.change(ENROLLMENT, 2, state="finished")
    assert cancel(village, bea) == []
    assert cancel(village, ada) == [1]
    assert cancel(village, ada) == []


def test_an_uncertain_lesson_of_a_cancelled_course_is_not_sent_again(village: Village) -> None:
    school(village)
    enroll(village, village.learner())
    plan(village)
    village.start()
    village.take_over()
    cancel(village)
    village.clock.advance(timedelta(hours=1))
    assert village.settle() == 0
    assert village.row(DELIVERY, 1)["uncertain_at"] is not None


def test_a_lesson_in_mid_dialogue_when_its_course_is_cancelled_is_not_tried_again(
    village: Village,
) -> None:
    school(village)
    enroll(village, village.learner())
    plan(village)
    (started,) = village.start()
    cancel(village)
    village.record(started, Outcome.DEFERRED, stage="rcpt", code=450)
    tick(village)
    assert village.state(1) == "cancelled"


def test_who_enrolls_again_after_cancelling_begins_at_lesson_one(village: Village) -> None:
    school(village)
    person = village.learner()
    enroll(village, person)
    weeks(village, 1)
    cancel(village)
    village.clock.advance(timedelta(minutes=1))
    enroll(village, person)
    weeks(village, 2)
    assert [slug for slug, _ in sent(village)] == [
        "kurs/01",
        "kurs/02",
        "kurs/01",
        "kurs/02",
    ]


@pytest.mark.parametrize("state", ["finished", "cancelled"])
def test_nothing_runs_that_can_be_paused_or_resumed(village: Village, state: str) -> None:
    school(village)
    enroll(village, village.learner())
    village.change(ENROLLMENT, 1, state=state, next_due_at=None)
    assert not pause(village, 1)
    assert not resume(village, 1)
    assert not pause(village, 77)


def test_a_pause_that_would_end_before_it_begins_is_none(village: Village) -> None:
    school(village)
    enroll(village, village.learner())
    assert not pause(village, 1, village.now)
    assert village.row(ENROLLMENT, 1)["state"] == "active"


def test_a_pause_puts_the_rest_off_and_loses_nothing(village: Village) -> None:
    school(village)
    enroll(village, village.learner())
    tick(village)
    assert pause(village, 1, village.now + 2 * WEEK + timedelta(days=2))
    weeks(village, 5)
    assert sent(village) == [
        ("kurs/01", "Mon 23 Nov 10:00"),
        ("kurs/02", "Mon 14 Dec 10:00"),
        ("kurs/03", "Mon 21 Dec 10:00"),
        ("kurs/04", "Mon 28 Dec 10:00"),
    ]


def test_a_lesson_queued_when_its_learner_pauses_comes_once_at_the_first_slot_after(
    village: Village,
) -> None:
    school(village)
    enroll(village, village.learner())
    plan(village)
    claims = village.claim()
    pause(village, 1, village.now + timedelta(days=10))
    assert village.begin(claims) == []
    assert village.state(1) == "held"
    assert village.do(outbox.retry, [1]) == [], "a pause is the learner's, not the operator's"
    weeks(village, 4)
    assert sent(village)[:2] == [
        ("kurs/01", "Mon 07 Dec 10:00"),
        ("kurs/02", "Mon 14 Dec 10:00"),
    ]
    assert village.row(DELIVERY, 1)["due_at"] == MONDAY_TEN + 2 * WEEK


@pytest.mark.parametrize(
    ("outcome", "first"),
    [
        (Outcome.ACCEPTED, ("kurs/01", "Mon 23 Nov 10:00")),
        (Outcome.DEFERRED, ("kurs/01", "Mon 07 Dec 10:00")),
    ],
)
def test_a_lesson_in_mid_dialogue_when_its_learner_pauses_is_neither_lost_nor_doubled(
    village: Village, outcome: Outcome, first: tuple[str, str]
) -> None:
    school(village)
    enroll(village, village.learner())
    plan(village)
    (started,) = village.start()
    pause(village, 1, village.now + timedelta(days=10))
    village.record(started, outcome, stage="dot")
    weeks(village, 4)
    assert sent(village)[0] == first
    assert [slug for slug, _ in sent(village)][:2] == ["kurs/01", "kurs/02"]
    assert sent(village)[1][1] in {"Mon 07 Dec 10:00", "Mon 14 Dec 10:00"}


def test_a_held_lesson_goes_to_nobody_who_may_not_be_mailed_by_then(village: Village) -> None:
    school(village)
    person = village.learner()
    enroll(village, person)
    plan(village)
    pause(village, 1, village.now + timedelta(days=1))
    village.suppress(person, "hard_bounce")
    weeks(village, 3)
    assert village.state(1) == "held"
    key = village.rows(SUPPRESSION)[0]["address_key"]
    village.database.write(
        lambda c: c.execute(SUPPRESSION.delete().where(SUPPRESSION.c.address_key == key))
    )
    weeks(village, 1)
    assert sent(village) == [("kurs/01", "Mon 21 Dec 10:00")]


def test_who_may_not_be_mailed_is_asked_once_a_slot_and_goes_on_when_that_ends(
    village: Village,
) -> None:
    school(village)
    person = village.learner()
    enroll(village, person)
    village.suppress(person, "hard_bounce")
    assert plan(village) == courses.Planned(0, moved=1)
    assert plan(village) == courses.Planned()
    assert village.row(ENROLLMENT, 1)["next_due_at"] == MONDAY_TEN + WEEK


def test_a_pause_that_ends_on_the_hour_of_a_slot_ends_with_that_lesson(village: Village) -> None:
    school(village)
    enroll(village, village.learner())
    pause(village, 1, MONDAY_TEN + WEEK)
    village.clock.set(MONDAY_TEN + WEEK)
    wake(village)
    assert plan(village).deliveries == 1


@pytest.mark.parametrize(
    ("late", "comes"),
    [
        pytest.param(timedelta(hours=1), "Mon 30 Nov 11:00", id="an hour: now"),
        pytest.param(timedelta(hours=49), "Mon 07 Dec 10:00", id="later: a week on"),
    ],
)
def test_a_pause_that_ended_while_the_house_slept_is_caught_up_by_the_rule(
    village: Village, late: timedelta, comes: str
) -> None:
    school(village)
    enroll(village, village.learner())
    pause(village, 1, MONDAY_TEN + timedelta(days=5))
    village.clock.set(MONDAY_TEN + WEEK + late)
    wake(village)
    for _ in range(24 * 8):
        tick(village)
        if sent(village):
            break
        village.clock.advance(timedelta(hours=1))
    assert sent(village) == [("kurs/01", comes)]


def test_a_pause_without_an_end_waits_for_somebody_to_resume_it(village: Village) -> None:
    school(village)
    enroll(village, village.learner())
    tick(village)
    assert pause(village, 1)
    weeks(village, 3)
    assert len(sent(village)) == 1
    village.clock.advance(timedelta(minutes=1))
    assert resume(village, 1)
    assert not resume(village, 1)
    weeks(village, 1)
    assert sent(village)[1:] == [("kurs/02", "Mon 21 Dec 10:01")]


def test_nobody_gets_two_lessons_in_a_day_by_pausing_and_resuming(village: Village) -> None:
    village.clock.set(datetime(2026, 11, 23, 6, 30, tzinfo=UTC))
    school(village, DAILY)
    enroll(village, village.learner(), slug="tag")
    tick(village)
    pause(village, 1)
    resume(village, 1)
    assert local(village.row(ENROLLMENT, 1)["next_due_at"]) == "Tue 24 Nov 07:30"
    tick(village)
    assert len(sent(village)) == 1
    assert village.row(ENROLLMENT, 1)["last_lesson_on"] == date(2026, 11, 23)
    assert local(village.row(ENROLLMENT, 1)["next_due_at"]) == "Tue 24 Nov 07:30"


def test_who_wakes_on_the_day_of_a_lesson_gets_the_next_on_a_later_one(village: Village) -> None:
    school(village)
    enroll(village, village.learner())
    pause(village, 1, village.now + timedelta(days=6))
    village.change(ENROLLMENT, 1, last_lesson_on=date(2026, 11, 30))
    village.clock.advance(timedelta(days=6, minutes=1))
    wake(village)
    assert village.row(ENROLLMENT, 1)["next_due_at"] == MONDAY_TEN + 2 * WEEK


def test_whose_pause_ended_after_the_slot_the_house_slept_through_waits_for_the_next(
    village: Village,
) -> None:
    school(village)
    for address in ("ada@schule.example", "bea@schule.example"):
        enroll(village, village.learner(address))
    pause(village, 1, MONDAY_TEN + timedelta(days=5))
    pause(village, 2, MONDAY_TEN + WEEK + timedelta(hours=2))
    village.clock.set(MONDAY_TEN + WEEK + timedelta(hours=3))
    assert wake(village) == 2
    assert [village.row(ENROLLMENT, n)["next_due_at"] for n in (1, 2)] == [
        MONDAY_TEN + WEEK,
        MONDAY_TEN + 2 * WEEK,
    ]


def test_hundreds_wake_in_a_handful_of_statements_and_within_the_limit(village: Village) -> None:
    school(village)
    for number in range(60):
        enroll(village, village.learner(f"p{number}@schule.example"))
        pause(village, number + 1, village.now + timedelta(days=1 + number % 2, seconds=number))
    village.clock.advance(timedelta(days=3))
    statements: list[str] = []

    def note(*values: Any) -> None:
        statements.append(values[2])

    def verb(connection: Any) -> list[int]:
        event.listen(connection, "before_cursor_execute", note)
        woken = [courses.wake(connection, village.now, BERLIN, 40) for _ in range(3)]
        event.remove(connection, "before_cursor_execute", note)
        return woken

    assert village.database.write(verb) == [40, 20, 0]
    assert len(statements) < 10
    assert {row["next_due_at"] for row in village.rows(ENROLLMENT)} == {MONDAY_TEN + WEEK}


def test_a_course_that_never_opens_keeps_only_its_own_asleep(village: Village) -> None:
    school(village)
    never = {"closed": ["2026-11-23..2099-12-31"]}
    enroll(village, village.learner())
    enroll(village, village.learner("bea@schule.example"))
    village.do(
        courses.define, Outline("zu", "Zu", KURS.cadence, KURS.lessons, never), 1, MONDAY_TEN
    )
    village.change(ENROLLMENT, 1, structure_id=2)
    for enrollment in (1, 2):
        pause(village, enrollment, village.now + timedelta(days=1))
    village.clock.advance(timedelta(days=2))
    assert wake(village) == 1
    assert [village.row(ENROLLMENT, n)["state"] for n in (1, 2)] == ["paused", "active"]


def test_who_has_had_nothing_is_anchored_anew(village: Village) -> None:
    school(village)
    enroll(village, village.learner())
    plan(village)
    start = datetime(2026, 12, 8, 12, tzinfo=UTC)
    assert village.do(courses.reanchor, 1, start, BERLIN)
    assert village.row(ENROLLMENT, 1)["anchor_on"] == date(2026, 12, 14)
    weeks(village, 4)
    assert sent(village) == [("kurs/01", "Mon 14 Dec 10:00"), ("kurs/02", "Mon 21 Dec 10:00")]


@pytest.mark.parametrize("outcome", [Outcome.ACCEPTED, Outcome.DEFERRED, Outcome.REJECTED])
def test_who_has_begun_is_not_anchored_anew(village: Village, outcome: Outcome) -> None:
    school(village)
    enroll(village, village.learner())
    plan(village)
    deliver(village, outcome)
    before = village.row(ENROLLMENT, 1)
    assert not village.do(courses.reanchor, 1, village.now + WEEK, BERLIN)
    advance(village)
    assert not village.do(courses.reanchor, 1, village.now + WEEK, BERLIN)
    assert village.row(ENROLLMENT, 1)["anchor_on"] == before["anchor_on"]


def told(village: Village, enrollment: int = 1) -> list[LessonDate]:
    return village.database.read(lambda c: courses.dates(c, enrollment, BERLIN))


def planned(village: Village) -> list[str | None]:
    return [local(when.planned_at) if when.planned_at else None for when in told(village)]


def test_dates_told_at_the_start_are_those_the_lessons_then_come_at(village: Village) -> None:
    village.clock.set(datetime(2026, 10, 6, 12, tzinfo=UTC))
    school(village)
    enroll(village, village.learner())
    promised = planned(village)
    weeks(village, 9, hours=1)
    assert promised == [when for _, when in sent(village)]
    assert [(when.slug, when.kind) for when in told(village)] == list(KURS.lessons)
    assert [local(when.sent_at) for when in told(village) if when.sent_at] == promised


@pytest.mark.parametrize("step", ["queued", "sent", "led on", "deferred"])
def test_dates_in_the_middle_of_a_week_are_the_coming_mondays(village: Village, step: str) -> None:
    school(village)
    enroll(village, village.learner())
    plan(village)
    if step != "queued":
        deliver(village, Outcome.DEFERRED if step == "deferred" else Outcome.ACCEPTED)
    if step == "led on":
        advance(village)
    assert planned(village)[:3] == ["Mon 23 Nov 10:00", "Mon 30 Nov 10:00", "Mon 07 Dec 10:00"]
    assert (told(village)[0].sent_at is None) == (step in {"queued", "deferred"})
    assert told(village)[1].sent_at is None


def test_dates_in_a_pause_are_those_after_it_or_none(village: Village) -> None:
    school(village)
    enroll(village, village.learner())
    plan(village)
    pause(village, 1, village.now + 3 * WEEK)
    assert planned(village)[:2] == ["Mon 14 Dec 10:00", "Mon 21 Dec 10:00"]
    pause(village, 1)
    assert set(planned(village)) == {None}
    cancel(village)
    assert set(planned(village)[1:]) == {None}
    assert told(village, 77) == []


@settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(["sleep", "pause", "pause for ever", "resume", "begin", "answer"]),
            st.integers(min_value=1, max_value=24 * 9),
        ),
        min_size=5,
        max_size=25,
    ),
    daily=st.booleans(),
)
def test_whoever_pauses_and_resumes_gets_every_lesson_once_in_order_and_never_two_in_a_day(
    sqlite_village: Village, steps: list[tuple[str, int]], daily: bool
) -> None:
    village = sqlite_village
    if not village.rows(ENROLLMENT):
        school(village)
        school(village, DAILY)
    slug, lessons = ("tag", DAILY.lessons) if daily else ("kurs", KURS.lessons)
    person = village.learner(f"p{len(village.rows(ENROLLMENT))}@schule.example")
    enrollment = enroll(village, person, slug=slug)
    flying: list[Started] = []
    for step, hours in steps:
        match step:
            case "pause":
                pause(village, enrollment, village.now + timedelta(hours=hours))
            case "pause for ever":
                pause(village, enrollment)
            case "resume":
                resume(village, enrollment)
            case "begin":
                plan(village)
                flying += village.start()
            case "answer":
                while flying:
                    village.record(
                        flying.pop(), Outcome.DEFERRED if hours % 2 else Outcome.ACCEPTED
                    )
            case _:
                village.clock.advance(timedelta(hours=hours))
                wake(village)
                tick(village)
    while flying:
        village.record(flying.pop(), Outcome.ACCEPTED)
    resume(village, enrollment)
    village.clock.set(village.now.replace(hour=11) + timedelta(days=1))
    for _ in range(7 * 9):
        village.clock.advance(timedelta(days=1))
        wake(village)
        plan(village)
        for started in [*village.start(), *village.begin(village.claim_retries())]:
            village.record(started, Outcome.ACCEPTED)
        advance(village)
    mine = [row for row in village.rows() if row["subscriber_id"] == person]
    assert {row["state"] for row in mine} == {"accepted"}
    assert [row["slug"] for row in mine] == [slug for slug, _ in lessons]
    days = [row["ended_at"].astimezone(BERLIN).date() for row in mine]
    assert days == sorted(set(days))
