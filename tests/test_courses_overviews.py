"""How courses stand, and what an operator's order makes of an enrollment, on both databases."""

from datetime import timedelta

import pytest

from l3mail import courses
from l3mail.courses import Overview
from l3mail.errors import CourseError
from l3mail.models import ENROLLMENT, SUBSCRIBER, SUBSCRIPTION
from tests.fakes.village import MONDAY_TEN, Village
from tests.test_courses import BERLIN, DAILY, KURS, enroll, plan, school, tick

WEEK = timedelta(days=7)


def overview(village: Village, slug: str = "kurs") -> Overview:
    return village.database.read(lambda c: courses.overview(c, slug))


def begin(village: Village, person: int, *, restart: bool = False) -> tuple[str, int]:
    now = village.now
    return village.database.write(
        lambda c: courses.begin(
            c, "kurs", person, confirmed_at=now + WEEK, now=now, zone=BERLIN, restart=restart
        )
    )


def test_courses_come_in_slug_order_with_their_current_structure_and_numbers(
    village: Village,
) -> None:
    school(village, DAILY)
    school(village)
    for number, state in enumerate(["active", "active", "paused", "cancelled"]):
        enroll(village, village.learner(f"p{number}@schule.example"))
        village.change(ENROLLMENT, number + 1, state=state)
    found = village.database.read(courses.overviews)
    assert [course.slug for course in found] == ["kurs", "tag"]
    kurs = found[0]
    assert kurs.cadence == KURS.cadence
    assert list(kurs.lessons) == list(KURS.lessons)
    assert kurs.enrollments == {"active": 2, "paused": 1, "finished": 0, "cancelled": 1}
    assert kurs.next_due_at == MONDAY_TEN
    assert found[1].next_due_at is None


def test_an_unknown_course_is_named_with_its_neighbour(village: Village) -> None:
    with pytest.raises(CourseError, match="publish"):
        overview(village)
    school(village)
    with pytest.raises(CourseError, match='did you mean "kurs"'):
        overview(village, "kur")


def test_the_funnel_counts_each_lesson_and_who_stands_before_it(village: Village) -> None:
    school(village)
    for number in range(3):
        enroll(village, village.learner(f"p{number}@schule.example"))
    tick(village)
    village.clock.advance(WEEK)
    plan(village)
    village.do(courses.pause, 3, None, village.now)
    first, second, third = village.database.read(
        lambda c: courses.funnel(c, courses.overview(c, "kurs"))
    )[:3]
    assert (first.planned, first.accepted, first.ahead) == (3, 3, 0)
    assert (second.planned, second.waiting, second.ahead) == (3, 3, 3)
    assert (third.planned, third.ahead) == (0, 0)


def test_the_funnel_keeps_lessons_that_only_earlier_learners_have(village: Village) -> None:
    school(village)
    enroll(village, village.learner())
    shorter = courses.Outline("kurs", "Kurs", KURS.cadence, KURS.lessons[1:])
    school(village, shorter)
    steps = village.database.read(lambda c: courses.funnel(c, courses.overview(c, "kurs")))
    assert [step.slug for step in steps] == [
        slug for slug, _ in [*KURS.lessons[1:], KURS.lessons[0]]
    ]
    assert steps[-1].ahead == 1


def test_whereabouts_take_a_percent_sign_at_its_word(village: Village) -> None:
    school(village)
    enroll(village, village.learner("ada_x@schule.example"))
    enroll(village, village.learner("adaxx@schule.example"))

    def found(search: str) -> list[str]:
        return village.database.read(
            lambda c: [
                place.email
                for place in courses.whereabouts(
                    c, courses.overview(c, "kurs"), search=search, limit=9
                )
            ]
        )

    assert found("ADA_") == ["ada_x@schule.example"]
    assert found("%") == []


@pytest.mark.parametrize(
    ("before", "restart", "outcome", "running"),
    [
        ("nothing", False, "enrolled", 1),
        ("cancelled", False, "enrolled", 2),
        ("finished", False, "finished already", None),
        ("finished", True, "restarted", 2),
        ("nothing sent", False, "re-anchored", 1),
        ("nothing sent", True, "re-anchored", 1),
        ("one queued", False, "re-anchored", 1),
        ("one sent", False, "runs already", 1),
        ("one sent", True, "restarted", 2),
        ("paused", False, "runs already", 1),
        ("paused", True, "restarted", 2),
    ],
)
def test_what_an_order_to_enroll_makes_of_what_there_is(
    village: Village, before: str, restart: bool, outcome: str, running: int | None
) -> None:
    school(village)
    person = village.learner()
    if before != "nothing":
        enroll(village, person)
    match before:
        case "cancelled" | "finished":
            village.change(ENROLLMENT, 1, state=before, next_due_at=None)
        case "one queued":
            plan(village)
        case "one sent":
            tick(village)
        case "paused":
            village.do(courses.pause, 1, None, village.now)
    assert begin(village, person, restart=restart)[0] == outcome
    found = village.database.read(lambda c: courses.running(c, "kurs", person))
    assert found == running
    if outcome in {"enrolled", "restarted", "re-anchored"}:
        assert village.row(ENROLLMENT, running or 0)["next_due_at"] == MONDAY_TEN + WEEK


@pytest.mark.parametrize(
    ("state", "verdict"),
    [
        ("confirmed", None),
        ("unconfirmed", "not confirmed"),
        ("unsubscribed", "unsubscribed"),
        ("stranger", "not confirmed"),
        ("erased", "erased"),
        ("restricted", "restricted"),
        ("suppressed", "suppressed"),
    ],
)
def test_the_verdict_on_a_learner_is_that_of_planning(
    village: Village, state: str, verdict: str | None
) -> None:
    school(village)
    person = village.person() if state == "stranger" else village.learner()
    match state:
        case "unconfirmed" | "unsubscribed":
            village.change(SUBSCRIPTION, 1, state=state)
        case "erased" | "restricted":
            village.change(SUBSCRIBER, person, **{f"{state}_at": village.now})
        case "suppressed":
            village.suppress(person, "never")
    other = village.learner("bea@schule.example")
    assert village.do(courses.objection_to, "kurs", person, village.now) == verdict
    assert village.do(courses.objection_to, "kurs", other, village.now) is None
