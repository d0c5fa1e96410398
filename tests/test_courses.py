"""Learners on their way through a course, planned set by set, on both databases."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text, update
from sqlalchemy.exc import IntegrityError

from l3mail import courses, migrations
from l3mail.courses import Outline, Planned
from l3mail.database import opened
from l3mail.errors import L3mailError
from l3mail.models import DELIVERY, ENROLLMENT, LESSON, STRUCTURE, SUBSCRIBER, SUBSCRIPTION
from l3mail.outbox import Outcome
from tests.fakes.postgres import drop_database, fresh_database, postgres_url
from tests.fakes.village import MONDAY_TEN, Village

BERLIN = ZoneInfo("Europe/Berlin")
KURS = Outline(
    "kurs",
    "Kurs",
    {"weekday": "mon", "at": "10:00"},
    [*((f"kurs/0{n}", "lesson") for n in range(1, 7)), ("kurs/evaluation", "evaluation")],
)
DAILY = Outline(
    "tag",
    "Tag für Tag",
    {"every_days": 1, "at": "07:30"},
    [(f"tag/{n:02}", "lesson") for n in range(1, 5)],
)


def school(village: Village, outline: Outline = KURS) -> None:
    stream = village.stream()
    village.database.write(
        lambda connection: courses.define(connection, outline, stream, village.now)
    )
    for slug, _ in outline.lessons:
        village.publish(slug)


def enroll(village: Village, person: int, at: datetime | None = None, slug: str = "kurs") -> int:
    return village.database.write(
        lambda connection: courses.enroll(connection, slug, person, at or village.now, BERLIN)
    )


def plan(village: Village) -> Planned:
    return village.database.write(lambda connection: courses.plan(connection, village.now, BERLIN))


def advance(village: Village) -> int:
    return village.database.write(
        lambda connection: courses.advance(connection, village.now, BERLIN)
    )


def deliver(village: Village, outcome: Outcome = Outcome.ACCEPTED) -> None:
    for started in village.start():
        village.record(started, outcome)


def tick(village: Village) -> None:
    """What a minute of the running house does: lead on, plan, send."""
    advance(village)
    plan(village)
    deliver(village)
    advance(village)


def local(moment: datetime) -> str:
    return moment.astimezone(BERLIN).strftime("%a %d %b %H:%M")


def sent(village: Village, person: int = 1) -> list[tuple[str, str]]:
    rows = [row for row in village.rows() if row["subscriber_id"] == person]
    return [(row["slug"], local(row["ended_at"])) for row in rows if row["state"] == "accepted"]


def test_six_lessons_and_the_evaluation_come_on_consecutive_mondays_across_the_end_of_summer(
    village: Village,
) -> None:
    village.clock.set(datetime(2026, 10, 6, 12, tzinfo=UTC))
    school(village)
    enroll(village, village.learner())
    for _ in range(7 * 24 * 9):
        village.clock.advance(timedelta(hours=1))
        tick(village)
    assert sent(village) == [
        ("kurs/01", "Mon 12 Oct 10:00"),
        ("kurs/02", "Mon 19 Oct 10:00"),
        ("kurs/03", "Mon 26 Oct 10:00"),
        ("kurs/04", "Mon 02 Nov 10:00"),
        ("kurs/05", "Mon 09 Nov 10:00"),
        ("kurs/06", "Mon 16 Nov 10:00"),
        ("kurs/evaluation", "Mon 23 Nov 10:00"),
    ]
    (enrollment,) = village.rows(ENROLLMENT)
    assert (enrollment["state"], enrollment["next_due_at"]) == ("finished", None)
    assert village.rows()[-1]["kind"] == "evaluation"


def test_planning_twice_adds_nothing(village: Village) -> None:
    school(village)
    enroll(village, village.learner())
    assert plan(village) == Planned(1, 0)
    assert plan(village) == Planned(0, 0)
    village.change(ENROLLMENT, 1, next_due_at=MONDAY_TEN)  # as if the mark had been lost
    assert plan(village) == Planned(0, 0)
    assert len(village.rows()) == 1


def test_nothing_is_planned_before_its_moment(village: Village) -> None:
    school(village)
    village.clock.set(MONDAY_TEN - timedelta(microseconds=1))
    enroll(village, village.learner())
    assert plan(village) == Planned(0, 0)
    village.clock.set(MONDAY_TEN)
    assert plan(village) == Planned(1, 0)


def test_the_next_lesson_waits_until_the_one_before_has_ended(village: Village) -> None:
    school(village)
    enroll(village, village.learner())
    plan(village)
    assert advance(village) == 0
    (started,) = village.start()
    village.record(started, Outcome.DEFERRED, stage="rcpt", code=450)
    village.clock.advance(timedelta(days=8))
    assert advance(village) == 0
    assert plan(village) == Planned(0, 0)


@pytest.mark.parametrize(
    ("state", "leads_on"),
    [
        ("accepted", True),
        ("failed", True),
        ("cancelled", True),
        ("uncertain", True),
        ("lapsed", True),
        ("held", False),
        ("queued", False),
        ("deferred", False),
    ],
)
def test_which_ends_lead_on(village: Village, state: str, leads_on: bool) -> None:
    school(village)
    enroll(village, village.learner())
    plan(village)
    village.change(DELIVERY, 1, state=state, ended_at=village.now)
    assert advance(village) == int(leads_on)
    assert village.row(ENROLLMENT, 1)["next_position"] == int(leads_on)


@pytest.mark.parametrize(
    ("bar", "planned"),
    [
        pytest.param(lambda v: None, 1, id="nothing"),
        pytest.param(lambda v: v.change(SUBSCRIPTION, 1, state="unsubscribed"), 0, id="left"),
        pytest.param(lambda v: v.change(SUBSCRIBER, 1, erased_at=v.now), 0, id="erased"),
        pytest.param(lambda v: v.suppress(1, "never"), 0, id="suppressed"),
        pytest.param(lambda v: v.change(ENROLLMENT, 1, state="paused"), 0, id="paused"),
        pytest.param(lambda v: v.change(ENROLLMENT, 1, state="cancelled"), 0, id="cancelled"),
    ],
)
def test_only_who_may_be_mailed_is_planned(village: Village, bar: object, planned: int) -> None:
    school(village)
    enroll(village, village.learner())
    assert callable(bar)
    bar(village)
    assert plan(village).deliveries == planned


@pytest.mark.parametrize(
    ("late", "comes"),
    [
        pytest.param(timedelta(hours=1), "Mon 23 Nov 11:00", id="an hour: now"),
        pytest.param(timedelta(hours=13), "Tue 24 Nov 08:00", id="at night: in the morning"),
        pytest.param(timedelta(hours=47), "Wed 25 Nov 09:00", id="within two days: now"),
        pytest.param(timedelta(hours=49), "Mon 30 Nov 10:00", id="later: a week on"),
        pytest.param(timedelta(days=7), "Mon 30 Nov 10:00", id="a whole week: at the next slot"),
    ],
)
def test_a_house_that_slept_catches_up_by_the_rule(
    village: Village, late: timedelta, comes: str
) -> None:
    school(village)
    enroll(village, village.learner())
    village.clock.advance(late)
    for _ in range(24 * 8):
        tick(village)
        if sent(village):
            break
        village.clock.advance(timedelta(hours=1))
    assert sent(village) == [("kurs/01", comes)]


def test_learners_keep_the_structure_they_began_with(village: Village) -> None:
    school(village)
    first = village.learner()
    enroll(village, first)
    shorter = Outline("kurs", "Kurs, neu", KURS.cadence, KURS.lessons[:2])
    school(village, shorter)
    second = village.learner("bea@schule.example")
    enroll(village, second)
    for _ in range(7 * 8):
        tick(village)
        village.clock.advance(timedelta(days=1))
    assert len(sent(village, first)) == 7
    assert len(sent(village, second)) == 2
    assert len(village.rows(STRUCTURE)) == 2


def test_defining_the_same_course_again_changes_nothing(village: Village) -> None:
    school(village)
    school(village)
    assert len(village.rows(STRUCTURE)) == 1
    assert len(village.rows(LESSON)) == 7


@pytest.mark.parametrize(
    ("lessons", "rules"),
    [
        ([], {}),
        ([("kurs/01", "lesson"), ("kurs/01", "lesson")], {}),
        (KURS.lessons, {"skip_holidays": "DE-XX"}),
        (KURS.lessons, {"start": "soon"}),
    ],
    ids=["no lesson", "a lesson twice", "an unknown state", "no date"],
)
def test_a_course_that_cannot_be_taught_is_refused(
    sqlite_village: Village, lessons: list[tuple[str, str]], rules: dict[str, str]
) -> None:
    outline = Outline("kurs", "Kurs", KURS.cadence, lessons, rules)
    stream = sqlite_village.stream()
    with pytest.raises((L3mailError, ValueError)):
        sqlite_village.database.write(
            lambda connection: courses.define(connection, outline, stream, sqlite_village.now)
        )
    assert not sqlite_village.rows(STRUCTURE)


def test_an_uncertain_lesson_that_will_be_resent_has_not_ended(village: Village) -> None:
    school(village)
    enroll(village, village.learner())
    plan(village)
    village.start()
    village.take_over()
    assert village.state(1) == "uncertain"
    assert advance(village) == 0


def test_nobody_runs_twice_in_one_course(village: Village) -> None:
    school(village)
    person = village.learner()
    enroll(village, person)
    with pytest.raises(IntegrityError):
        enroll(village, person)


def test_a_correction_reaches_those_who_have_not_had_the_lesson(village: Village) -> None:
    school(village)
    enroll(village, village.learner())
    tick(village)
    corrected = village.publish("kurs/02", text="besser")
    village.clock.advance(timedelta(days=7))
    tick(village)
    assert [row["message_id"] for row in village.rows()][1] == corrected


def test_steps_are_bounded_and_say_whether_there_is_more(village: Village) -> None:
    school(village)
    for number in range(5):
        enroll(village, village.learner(f"p{number}@schule.example"))

    def step() -> Planned:
        return village.database.write(
            lambda connection: courses.plan(connection, village.now, BERLIN, limit=2)
        )

    assert [step(), step(), step(), step()] == [
        Planned(2, more=True),
        Planned(2, more=True),
        Planned(1),
        Planned(),
    ]
    deliver(village)
    led = [
        village.database.write(
            lambda connection: courses.advance(connection, village.now, BERLIN, limit=2)
        )
        for _ in range(4)
    ]
    assert led == [2, 2, 1, 0]
    village.clock.advance(timedelta(days=10))
    assert [step(), step(), step()] == [
        Planned(moved=2, more=True),
        Planned(moved=2, more=True),
        Planned(moved=1),
    ]


def test_a_course_that_never_opens_stops_nobody_else(village: Village) -> None:
    school(village)
    never = {"closed": ["2026-11-23..2099-12-31"]}
    closed = Outline("zu", "Zu", KURS.cadence, KURS.lessons, never)
    enroll(village, village.learner())
    village.database.write(lambda connection: courses.define(connection, closed, 1, village.now))
    enroll(village, village.learner("bea@schule.example"))
    village.change(ENROLLMENT, 1, structure_id=2)
    assert plan(village) == Planned(1, 0, stuck=1)


@pytest.mark.postgres
def test_two_schedulers_lead_nobody_on_twice_and_revive_nobody() -> None:
    url = fresh_database(postgres_url())
    with opened(url) as database:
        migrations.upgrade(database, MONDAY_TEN)
        village = Village(database)
        school(village)
        for number in range(2):
            enroll(village, village.learner(f"p{number}@schule.example"))
        plan(village)
        deliver(village)
        with database.engine.connect() as other, ThreadPoolExecutor(1) as pool:
            # The other one has led on the first and cancelled the second, and not committed yet.
            courses.advance(other, village.now, BERLIN)
            other.execute(update(ENROLLMENT).where(ENROLLMENT.c.id == 2).values(state="cancelled"))
            ours = pool.submit(advance, village)
            wait_for_a_lock(village)
            other.commit()
            assert ours.result() == 0
        assert [
            (row["next_position"], row["state"])
            for row in sorted(village.rows(ENROLLMENT), key=lambda row: row["id"])
        ] == [(1, "active"), (1, "cancelled")]
    drop_database(url)


def wait_for_a_lock(village: Village) -> None:
    waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
    while village.database.read(lambda connection: connection.execute(waiting).scalar()) == 0:
        pass


def test_a_cohort_of_hundreds_is_planned_in_one_go_and_led_on_in_one(village: Village) -> None:
    school(village)
    for number in range(300):
        enroll(village, village.learner(f"p{number}@schule.example"))
    assert plan(village) == Planned(300, 0)
    deliver(village)
    assert advance(village) == 300
    assert {row["last_lesson_on"] for row in village.rows(ENROLLMENT)} == {date(2026, 11, 23)}


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    naps=st.lists(st.integers(min_value=1, max_value=24 * 12), min_size=5, max_size=25),
    begin=st.integers(min_value=0, max_value=24 * 14),
    daily=st.booleans(),
)
def test_whatever_sleeps_every_lesson_comes_once_in_order_and_never_two_in_a_day(
    sqlite_village: Village, naps: list[int], begin: int, daily: bool
) -> None:
    village = sqlite_village
    if not village.rows(LESSON):
        school(village)
        school(village, DAILY)
    slug, lessons = ("tag", DAILY.lessons) if daily else ("kurs", KURS.lessons)
    person = village.learner(f"p{len(village.rows(SUBSCRIBER))}@schule.example")
    village.clock.advance(timedelta(hours=begin))
    enroll(village, person, slug=slug)
    for hours in naps:
        village.clock.advance(timedelta(hours=hours))
        tick(village)
    for _ in range(7 * 9):
        village.clock.advance(timedelta(days=1))
        tick(village)
    mine = [row for row in village.rows() if row["subscriber_id"] == person]
    assert [row["slug"] for row in mine] == [slug for slug, _ in lessons][: len(mine)]
    days = [row["ended_at"].astimezone(BERLIN).date() for row in mine]
    assert days == sorted(set(days))
