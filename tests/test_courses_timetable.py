"""When lessons are due, asked ahead: it says what a simulation lives through."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from l3mail import courses
from l3mail.courses import Outline
from tests.fakes.village import MONDAY_TEN, Village
from tests.test_courses import BERLIN, DAILY, KURS, enroll, plan, school, tick
from tests.test_simulations import foresee

WEEK = timedelta(weeks=1)
CLOSED = Outline(
    "zu", "Zu", KURS.cadence, [(f"zu/{n}", "lesson") for n in range(4)], {"closed": ["2027-03-29"]}
)


def asked(village: Village, weeks: int = 2) -> list[tuple[datetime, str, int]]:
    return village.do(courses.timetable, village.now, village.now + weeks * WEEK, BERLIN)


def lived(village: Village, weeks: int = 2) -> list[tuple[datetime, str, int]]:
    until = village.now + weeks * WEEK - timedelta(microseconds=1)
    found = Counter((mail.due_at, mail.message) for mail in foresee(village, until=until))
    return sorted((at, slug, n) for (at, slug), n in found.items())


@pytest.mark.parametrize("hours", [0, 22, 24 * 6 + 21])
def test_it_tells_what_is_lived_through_across_the_change_of_clocks(
    village: Village, hours: int
) -> None:
    village.clock.set(datetime(2027, 3, 16, 12, tzinfo=UTC))
    for outline in (KURS, DAILY, CLOSED):
        school(village, outline)
    people = [village.learner(f"p{n}@schule.example") for n in range(5)]
    for number, person in enumerate(people):
        enroll(village, person, slug=("kurs", "tag", "zu")[number % 3])
    enroll(village, people[0], village.now + 9 * timedelta(days=1), slug="tag")
    village.do(courses.pause, 1, village.now + timedelta(days=10), village.now)
    village.do(courses.pause, 2, None, village.now)
    village.clock.advance(timedelta(hours=hours))
    tick(village)
    assert asked(village) == lived(village)
    assert asked(village)


def test_a_lesson_on_its_way_is_led_on_from(village: Village) -> None:
    school(village)
    enroll(village, village.learner())
    plan(village)
    assert asked(village, 3) == [
        (MONDAY_TEN + WEEK, "kurs/02", 1),
        (MONDAY_TEN + 2 * WEEK, "kurs/03", 1),
    ]


def test_what_is_overdue_is_due_now(village: Village) -> None:
    school(village)
    enroll(village, village.learner())
    village.clock.advance(timedelta(hours=1))
    assert asked(village)[:2] == [(village.now, "kurs/01", 1), (MONDAY_TEN + WEEK, "kurs/02", 1)]
