"""A course of days in a village: who takes it, the mails they got, and the button in them."""

from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

from l3mail import courses, events
from l3mail.courses import Outline
from l3mail.models import MESSAGE
from tests.fakes.village import Village

ZONE = ZoneInfo("Europe/Berlin")
DAYS = 5
DAY = timedelta(days=1)
SLUGS = [f"tage/0{n}" for n in range(1, DAYS + 1)]


def outline(*, evaluation: bool = False, **values: Any) -> Outline:
    """Five days, and an evaluation the day after if wanted."""
    lessons = [(slug, "lesson") for slug in SLUGS]
    if evaluation:
        lessons.append(("tage/evaluation", "evaluation"))
    told = {"cadence": {"every_days": 1, "at": "10:00"}, "lessons": lessons} | values
    return Outline(slug="tage", title="Fünf Tage lernen", **told)


def challenge(village: Village, *, evaluation: bool = False, **values: Any) -> int:
    """The course, with its texts published."""
    told = outline(evaluation=evaluation, **values)
    for slug, _ in told.lessons:
        village.publish(slug)
    return village.do(courses.define, told, village.stream("tage"), village.now)


def joined(village: Village, address: str = "ada@schule.example", **values: Any) -> tuple[int, int]:
    """Somebody who takes it, from today on at ten o'clock sharp: the person, the enrollment."""
    person = village.person(address, **values)
    village.subscribe(person, village.stream("tage"))
    return person, village.do(courses.enroll, "tage", person, village.now, ZONE)


def came(village: Village, whose: tuple[int, int], number: int = 1, **values: Any) -> int:
    """A lesson that was handed over now."""
    at = dict.fromkeys(("ended_at", "started_at", "first_started_at"), village.now)
    slug = SLUGS[number - 1]
    row: dict[str, Any] = {
        "enrollment_id": whose[1],
        "stream_id": village.stream("tage"),
        "slug": slug,
        "state": "accepted",
        "message_id": in_force(village, slug),
        "occurrence": f"lesson:{whose[1]}:{slug}",
    }
    return village.delivery(whose[0], **{**row, **at, **values})


def in_force(village: Village, slug: str) -> int:
    """The version of a text that is sent."""
    (number,) = (row["id"] for row in village.rows(MESSAGE) if row["slug"] == slug)
    return int(number)


def learned(village: Village, whose: tuple[int, int], *ago: int) -> None:
    """Days done, so many days ago each."""
    for days in ago:
        day = (village.now - days * DAY).astimezone(ZONE).date()
        fact = {"at": village.now, "subscriber_id": whose[0], "enrollment_id": whose[1]}
        village.do(events.mark, fact, day)
