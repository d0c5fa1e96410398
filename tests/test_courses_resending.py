"""A lesson sent once more: under a number of its own, whoever sends it and whatever is gone."""

from datetime import timedelta
from threading import Barrier, Thread

from sqlalchemy import delete

from l3mail import courses
from l3mail.errors import CourseError
from l3mail.models import DELIVERY
from tests.fakes.village import Village
from tests.test_courses import enroll, school, tick

DAY = timedelta(days=1)
FIRST = "lesson:1:kurs/01"


def learner(village: Village) -> int:
    """Somebody who had the first lesson."""
    school(village)
    person = village.learner()
    enroll(village, person)
    tick(village)
    return person


def resend(village: Village, person: int) -> int:
    return village.do(courses.resend, "kurs", "kurs/01", person, village.now)


def test_each_time_has_a_number_that_no_time_had_before(village: Village) -> None:
    person = learner(village)
    for number in (1, 2, 3):
        village.clock.advance(2 * DAY)
        assert resend(village, person) == number
        tick(village)
    ours = [row["occurrence"] for row in village.rows() if courses.RESENT in row["occurrence"]]
    assert ours == [f"{FIRST}:resend:{number}" for number in (1, 2, 3)]


def test_what_is_old_enough_to_be_gone_gives_nobody_its_number(village: Village) -> None:
    person = learner(village)
    for _ in range(2):
        resend(village, person)
        tick(village)
    village.do(
        lambda connection: connection.execute(
            delete(DELIVERY).where(DELIVERY.c.occurrence == f"{FIRST}:resend:1")
        )
    )
    assert resend(village, person) == 3
    assert village.rows()[-1]["occurrence"] == f"{FIRST}:resend:3"


def test_two_who_send_it_at_once_send_it_once(village: Village) -> None:
    person = learner(village)
    start, told = Barrier(2), list[str]()

    def send() -> None:
        start.wait()
        try:
            told.append(f"number {resend(village, person)}")
        except CourseError as fault:
            told.append(str(fault))

    operators = [Thread(target=send) for _ in range(2)]
    for one in operators:
        one.start()
    for one in operators:
        one.join()
    assert sorted(told) == ["is being sent kurs/01 again already", "number 1"]
    assert len([row for row in village.rows() if courses.RESENT in row["occurrence"]]) == 1
