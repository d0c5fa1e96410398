"""A machine that slept for a week with ten thousand people on it, and what they get when it wakes.

It sleeps from a Saturday noon to the next one, with greetings in its queue that had not been sent.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

import pytest

from l3mail import courses, newsletters, outbox, rounds
from l3mail.models import COURSE, DELIVERY, ENROLLMENT, SUBSCRIBER
from l3mail.outbox import Attempt, Claim, Outcome
from l3mail.rounds import Round
from tests.fakes import parish
from tests.fakes.parish import BERLIN, berlin
from tests.fakes.village import POLICY, Village
from tests.test_rounds import AGENDA

LONG_AGO = berlin("2026-10-01 12:00")
ASLEEP = berlin("2026-11-21 12:00")
AWAKE = berlin("2026-11-28 12:00")
END = berlin("2026-12-08 00:00")
DAY = timedelta(days=1)
ISSUE = "newsletter/2026-11"
GREETING = "lifecycle/geburtstag"
AT_ONCE = "Sat 28 Nov 12:00"


@dataclass(frozen=True)
class Teaching:
    """A course whose learners' next lesson fell due while the machine slept."""

    cadence: dict[str, Any]
    lessons: int
    began_on: date
    """The day of a lesson of those at the first one; of others so many steps before."""
    step: timedelta
    due_at: datetime
    comes: tuple[str, ...]
    """When a learner's next lesson comes by the rule, and those after it until the end."""


COURSES = {
    # Five days late, and grace ends after two: a whole step on, at the same hour.
    "montag": Teaching(
        {"weekday": "mon", "at": "10:00"},
        7,
        date(2026, 11, 23),
        timedelta(weeks=1),
        berlin("2026-11-23 10:00"),
        ("Mon 30 Nov 10:00", "Mon 07 Dec 10:00"),
    ),
    # A day late: at once, and on from there at its own hour.
    "freitag": Teaching(
        {"weekday": "fri", "at": "10:00"},
        6,
        date(2026, 11, 27),
        timedelta(weeks=1),
        berlin("2026-11-27 10:00"),
        (AT_ONCE, "Fri 04 Dec 10:00"),
    ),
    # Seven mornings were missed: the first of them comes tomorrow, and one a day after it.
    "tag": Teaching(
        {"every_days": 1, "at": "07:30"},
        5,
        date(2026, 11, 22),
        DAY,
        berlin("2026-11-22 07:30"),
        (
            "Sun 29 Nov 07:30",
            "Mon 30 Nov 07:30",
            "Tue 01 Dec 07:30",
            "Wed 02 Dec 07:30",
            "Thu 03 Dec 07:30",
        ),
    ),
}
BIRTHDAYS = range(15, 29)
"""Days of November; who has one on the two last ones is greeted on waking."""
Mails = dict[int, list[tuple[str, str]]]


def settle(village: Village, people: int) -> Mails:
    """Everybody on a course and on all lists; what each is to get after waking, and when."""
    village.clock.set(LONG_AGO)
    streams = {slug: village.stream(slug) for slug in COURSES}
    lists = [
        village.stream("newsletter", "newsletter"),
        village.stream("lifecycle", "lifecycle"),
    ]
    crowd = [{"birth_month": 11, "birth_day": BIRTHDAYS[n % len(BIRTHDAYS)]} for n in range(people)]
    numbers = village.crowd([*streams.values(), *lists], crowd)
    parish.declare(village, GREETING, trigger="birthday")
    village.publish(ISSUE, stream="newsletter")
    wednesday = berlin("2026-11-25 10:00")
    village.do(newsletters.schedule, ISSUE, wednesday, segment=None, by="editor", now=village.now)
    comes: Mails = {
        number: [(GREETING, AT_ONCE)] * (values["birth_day"] in (27, 28)) + [(ISSUE, AT_ONCE)]
        for number, values in zip(numbers, crowd, strict=True)
    }
    for place, (slug, teaching) in enumerate(COURSES.items()):
        learners = numbers[place :: len(COURSES)]
        for number, lessons in enroll(village, slug, teaching, learners, streams[slug]):
            comes[number] += lessons
    return {number: sorted(mails) for number, mails in comes.items()}


def enroll(
    village: Village, slug: str, teaching: Teaching, learners: list[int], stream: int
) -> Iterator[tuple[int, list[tuple[str, str]]]]:
    """Put learners before each of the course's lessons in turn; what comes to each of them."""
    slugs = [f"{slug}/{n:02}" for n in range(1, teaching.lessons + 1)]
    outline = courses.Outline(slug, slug, teaching.cadence, [(one, "lesson") for one in slugs])
    structure = village.do(courses.define, outline, stream, village.now)
    course = next(row["id"] for row in village.rows(COURSE) if row["slug"] == slug)
    for one in slugs:
        village.publish(one)
    places = {number: n % teaching.lessons for n, number in enumerate(learners)}
    village.insert_all(
        ENROLLMENT,
        [
            {
                "subscriber_id": number,
                "course_id": course,
                "structure_id": structure,
                "state": "active",
                "anchor_on": teaching.began_on - place * teaching.step,
                "next_position": place,
                "next_due_at": teaching.due_at,
                "last_lesson_on": teaching.began_on - teaching.step if place else None,
                "started_at": LONG_AGO,
            }
            for number, place in places.items()
        ],
    )
    for number, place in places.items():
        yield number, list(zip(slugs[place:], teaching.comes, strict=False))


def hand_over(village: Village) -> int:
    """Let a relay take all that may go, as a sender does; how many that are."""
    taken = 0
    for lane in (1, 2):
        while claims := village.claim(lane=lane):
            attempts = [Attempt(one, Outcome.ACCEPTED, "dot") for one in village.begin(claims)]
            village.do(outbox.record, attempts, village.now, POLICY)
            taken += len(attempts)
    return taken


def fall_asleep(village: Village) -> list[Claim]:
    """Plan the greetings of two days and send none; some are leased by the sender that sleeps."""
    village.clock.set(ASLEEP)
    assert rounds.run(village.database, village.clock, AGENDA).planned == sum(
        row["birth_day"] in (20, 21) for row in village.rows(SUBSCRIBER)
    )
    return village.claim(lane=2, limit=20)


def live_on(village: Village) -> None:
    """From moment to moment, as the tick does, until all that was missed is made up for."""
    while village.now < END:
        rounds.run(village.database, village.clock, AGENDA)
        hand_over(village)
        rounds.run(village.database, village.clock, AGENDA)
        moment = village.do(rounds.next_moment, village.now, AGENDA)
        village.clock.set(min(moment or END, END))


def mails(village: Village) -> Mails:
    """What each has been sent, and when."""
    sent = defaultdict(list)
    for row in village.rows():
        if row["state"] == "accepted":
            when = row["ended_at"].astimezone(BERLIN).strftime("%a %d %b %H:%M")
            sent[row["subscriber_id"]].append((row["slug"], when))
    return {number: sorted(one) for number, one in sent.items()}


@pytest.mark.slow
def test_who_slept_for_a_week_makes_up_for_it_by_the_rules_without_a_flood_and_nothing_twice(
    village: Village,
) -> None:
    people = 10_000 if village.database.is_sqlite else 1_000
    due = settle(village, people)
    leased = fall_asleep(village)

    village.clock.set(AWAKE)
    assert leased
    assert village.begin(leased) == [], "its leases ended while it slept"
    at_once = sum(when == AT_ONCE for one in due.values() for _, when in one)
    queued = village.do(outbox.counts)["queued"]
    off_till_later = people - len(range(1, people, len(COURSES)))  # all but those of Fridays
    woken = rounds.run(village.database, village.clock, AGENDA)
    assert woken == Round(planned=at_once, moved=off_till_later)
    assert rounds.run(village.database, village.clock, AGENDA) == Round()
    assert hand_over(village) == at_once
    assert village.do(outbox.counts)["lapsed"] == queued, "birthdays of the week before"
    live_on(village)

    assert mails(village) == due
    states = village.do(outbox.counts)
    assert states["accepted"] + states["lapsed"] == sum(states.values())
    assert {row["lease_owner"] for row in village.rows(DELIVERY)} == {None}
