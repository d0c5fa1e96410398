"""Days done in the rows: once a day, who completes by them, and what a mail says of them."""

from collections.abc import Sequence
from threading import Barrier, Thread
from typing import Any

import pytest
from sqlalchemy import Engine, event
from sqlalchemy.exc import IntegrityError

from l3mail import courses, events
from l3mail.courses import DaysDone
from l3mail.courses.diaries import COUNTED_FOR
from l3mail.models import CERTIFICATE, ENROLLMENT, EVENT, MESSAGE
from l3mail.outbox import Started
from l3mail.publishing import load
from l3mail.sending import Counting
from tests.fakes.challenge import DAY, ZONE, came, challenge, joined, learned, outline
from tests.fakes.questions import QUIZ, ask
from tests.fakes.village import Village


def today(village: Village) -> Any:
    return village.now.astimezone(ZONE).date()


def test_the_rows_themselves_hold_a_day_once(village: Village) -> None:
    challenge(village)
    whose = joined(village)
    learned(village, whose, 0)
    again = {"kind": "done", "at": village.now, "name": today(village).isoformat()}
    with pytest.raises(IntegrityError):
        village.insert(EVENT, subscriber_id=whose[0], enrollment_id=whose[1], **again)


def test_two_who_press_at_once_make_one_day(village: Village) -> None:
    challenge(village)
    whose = joined(village)
    start, added = Barrier(4), list[bool]()

    def press() -> None:
        fact = {"at": village.now, "subscriber_id": whose[0], "enrollment_id": whose[1]}
        start.wait()
        added.append(village.do(events.mark, fact, today(village)))

    people = [Thread(target=press) for _ in range(4)]
    for one in people:
        one.start()
    for one in people:
        one.join()
    assert sorted(added) == [False, False, False, True]


def completes(village: Village, whose: tuple[int, int]) -> bool:
    return village.do(courses.complete, whose[1], village.now, "de")


def test_a_course_with_neither_quizzes_nor_days_is_never_completed(village: Village) -> None:
    challenge(village)
    whose = joined(village)
    learned(village, whose, 0, 1, 2, 3, 4)
    assert not completes(village, whose)


def test_days_and_quizzes_both_have_to_be_there(village: Village) -> None:
    challenge(village, rules={"complete_after": 2})
    message = next(row["id"] for row in village.rows(MESSAGE) if row["slug"] == "tage/01")
    ask(village, message, QUIZ)
    whose = joined(village)
    delivery = came(village, whose)
    learned(village, whose, 0, 1)
    assert not completes(village, whose)
    fact = {"at": village.now, "delivery_id": delivery, "message_id": message, "name": "q1"}
    sheet = events.Sheet(*whose, "tage/01")
    village.do(events.answer, sheet, fact | {"data": {"value": "b"}})
    assert completes(village, whose)
    assert not completes(village, whose), "noted once"


def test_the_days_asked_for_are_those_the_learner_began_with(village: Village) -> None:
    challenge(village, rules={"complete_after": 1})
    whose = joined(village)
    stream = village.stream("tage")
    village.do(courses.define, outline(rules={"complete_after": 5}), stream, village.now)
    later = joined(village, "kim@schule.example")
    for one in (whose, later):
        learned(village, one, 0)
    assert completes(village, whose)
    assert not completes(village, later)


def test_what_a_certificate_says_is_not_taken_back(village: Village) -> None:
    challenge(village, rules={"complete_after": 1})
    whose = joined(village)
    learned(village, whose, 0)
    assert completes(village, whose)
    said = {"code": "x", "name": "Ada", "title": "Tage"}
    moments = dict.fromkeys(("completed_at", "issued_at"), village.now)
    village.insert(CERTIFICATE, enrollment_id=whose[1], **said, **moments)
    village.do(events.unmark, *whose, today(village))
    assert not village.do(courses.reconsider, whose[1])


def test_a_day_taken_back_takes_back_only_what_it_completed(village: Village) -> None:
    challenge(village, rules={"complete_after": 2})
    whose = joined(village)
    learned(village, whose, 0, 1, 2)
    assert completes(village, whose)
    village.do(events.unmark, *whose, today(village))
    assert not village.do(courses.reconsider, whose[1])
    village.do(events.unmark, *whose, today(village) - DAY)
    assert village.do(courses.reconsider, whose[1])
    assert village.row(ENROLLMENT, whose[1])["completed_at"] is None


@pytest.mark.parametrize(
    ("cadence", "days"),
    [
        ({"every_days": 1, "at": "07:30"}, 5),
        ({"every_days": 3, "at": "07:30"}, 15),
        ({"weekday": "mon", "at": "10:00"}, 35),
    ],
)
def test_a_lesson_has_the_days_until_the_next_one(
    village: Village, cadence: dict[str, Any], days: int
) -> None:
    challenge(village, evaluation=True, cadence=cadence)
    whose = joined(village)
    learned(village, whose, 0)
    assert village.do(courses.days_done, [whose[1]]) == {whose[1]: DaysDone(1, days)}


def test_who_joins_a_common_start_late_has_all_the_days_from_then_on(village: Village) -> None:
    challenge(village, rules={"start": "2026-11-20"})
    village.clock.advance(DAY / 24)
    _, enrollment = joined(village)
    diary = village.do(courses.diary, enrollment, ZONE)
    assert diary is not None
    assert diary.first_on.isoformat() == "2026-11-24"
    assert len(diary.listed_on(today(village))) == 5


def test_everybody_who_joins_before_a_common_start_begins_on_that_day(village: Village) -> None:
    challenge(village, rules={"start": "2027-05-03"})
    for n in range(3):
        joined(village, f"p{n}@schule.example")
        village.clock.advance(20 * DAY)
    rows = village.rows(ENROLLMENT)
    assert {row["anchor_on"].isoformat() for row in rows} == {"2027-05-03"}
    assert len({row["next_due_at"] for row in rows}) == 1


# -- what a mail says


def counted(village: Village, slug: str, *parts: str) -> None:
    (message,) = (row for row in village.rows(MESSAGE) if row["slug"] == slug)
    village.change(MESSAGE, message["id"], compiled=message["compiled"] | {"counted": list(parts)})


def started(village: Village, *whose: tuple[int, int], number: int = 1) -> list[Started]:
    for one in whose:
        came(village, one, number, state="queued", message_id=None, ended_at=None)
    return village.start()


def told(village: Village, counting: Counting, mails: Sequence[Started]) -> list[Any]:
    texts = village.do(load, [mail.message_id for mail in mails])
    found = village.do(counting.told, list(mails), texts, village.now)
    return [dict(delivery.course) for delivery in found]


def test_a_mail_knows_the_days_of_its_learner_and_of_all(village: Village) -> None:
    challenge(village)
    counted(village, "tage/01", "days", "done", "together")
    ada, kim = joined(village), joined(village, "kim@schule.example")
    learned(village, ada, 0, 1)
    learned(village, kim, 0)
    mails = started(village, ada, kim)
    rows = told(village, Counting(), mails)
    assert [(row["done"], row["days"], row["together"]) for row in rows] == [(2, 5, 3), (1, 5, 3)]


def test_a_text_that_says_nothing_of_days_costs_no_statement(village: Village) -> None:
    challenge(village)
    counted(village, "tage/02", "days", "done", "together")
    whose = [joined(village, f"p{n}@schule.example") for n in range(4)]
    counting = Counting()
    plain = started(village, *whose)
    nothing = statements(village, lambda: told(village, counting, plain))
    assert nothing == statements(village, lambda: texts_of(village, plain))
    assert all("done" not in row for row in told(village, counting, plain))
    mails = started(village, *whose, number=2)
    first = statements(village, lambda: told(village, counting, mails))
    again = statements(village, lambda: told(village, counting, mails))
    assert len(first) == len(again) + 1, "the days of all"
    assert len(again) == len(nothing) + 2, "for however many mails"


def texts_of(village: Village, mails: Sequence[Started]) -> object:
    return village.do(load, [mail.message_id for mail in mails])


def test_the_days_of_all_are_counted_anew_after_a_minute(village: Village) -> None:
    challenge(village)
    counted(village, "tage/01", "together")
    whose = joined(village)
    counting, mails = Counting(), started(village, whose)
    assert [row["together"] for row in told(village, counting, mails)] == [0]
    learned(village, whose, 0)
    assert [row["together"] for row in told(village, counting, mails)] == [0]
    village.clock.advance(COUNTED_FOR)
    assert [row["together"] for row in told(village, counting, mails)] == [1]


def statements(village: Village, act: Any) -> list[str]:
    """What an act asks of the database."""
    seen: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.lstrip().upper().startswith(("SELECT", "WITH")):
            seen.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        act()
    finally:
        event.remove(Engine, "before_cursor_execute", note)
    return seen
