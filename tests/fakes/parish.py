"""A village with triggers: rules in force, facts that happen, and the planner asked by hand."""

from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, insert, select

from l3mail import courses, triggers
from l3mail.audiences import Questions
from l3mail.audiences import Terms as AskingTerms
from l3mail.calendars import wall_to_utc
from l3mail.models import (
    CONSENT,
    COURSE,
    DELIVERY,
    ENROLLMENT,
    EVENT,
    LINK,
    SUBSCRIBER,
    SUBSCRIPTION,
)
from l3mail.triggers import Planned, Terms
from tests.fakes.village import Village

BERLIN = ZoneInfo("Europe/Berlin")
ASKING = AskingTerms(BERLIN, "consent", "de", {}, ())
SLUG = "lifecycle/gruss"


def berlin(text: str) -> datetime:
    """A moment of Berlin's clocks: "2026-11-23 10:00"."""
    moment = datetime.fromisoformat(text)
    return wall_to_utc(moment.date(), moment.time(), BERLIN)


def shown(moment: datetime | None) -> str:
    assert moment is not None
    return f"{moment.astimezone(BERLIN):%Y-%m-%d %H:%M}"


def declare(village: Village, slug: str = SLUG, stream: str = "lifecycle", **rule: Any) -> bool:
    """Publish a text with this rule, in force from now on."""
    village.publish(slug, stream=stream)
    stream_id = village.stream(stream, "course" if stream == "kurs" else "lifecycle")
    return village.do(triggers.declare, slug, rule, stream_id, village.now)


def friend(village: Village, name: str = "ada", stream: str = "lifecycle", **values: Any) -> int:
    """Somebody who has joined, long ago where `joined` says so."""
    joined = values.pop("joined", None) or village.now
    person = village.person(f"{name}@schule.example", **values)
    village.subscribe(person, village.stream(stream, "lifecycle"))
    rows = village.rows(SUBSCRIPTION)
    village.change(SUBSCRIPTION, rows[-1]["id"], confirmed_at=joined)
    return person


def terms(
    village: Village, question: Questions = ASKING.question, at: datetime | None = None
) -> Terms:
    return Terms(at or village.now, BERLIN, question, "de")


def plan(
    village: Village, at: str | None = None, limit: int = 100, question: Questions = ASKING.question
) -> Planned:
    """Plan, at another moment if one is named."""
    if at is not None:
        village.clock.set(berlin(at))
    return village.do(triggers.plan, terms(village, question), limit)


def plan_all(village: Village, limit: int, question: Questions = ASKING.question) -> int:
    """Plan until a step says that it was the last; how many mails."""
    made = 0
    for _ in range(100):
        step = plan(village, limit=limit, question=question)
        assert step.deliveries <= limit
        made += step.deliveries
        if not step.more:
            return made
    raise AssertionError("planning comes to no end")


def happen(village: Village, person: int | None, kind: str, **values: Any) -> int:
    """A fact, now where nothing else is said."""
    return village.insert(
        EVENT, **{"kind": kind, "at": village.now, "subscriber_id": person, "data": {}} | values
    )


def click(village: Village, person: int, name: str = "video", **values: Any) -> int:
    """A click on a link of that name, by a human."""
    slug = values.pop("slug", "kurs/02-video")
    message = village.publish(slug)
    link = village.insert(
        LINK, message_id=message, number=len(village.rows(LINK)) + 1, url="https://x", name=name
    )
    fact = {"verdict": "human", "message_id": message, "link_id": link} | values
    return happen(village, person, "clicked", **fact)


def finish(village: Village, person: int, course: str = "kurs", at: datetime | None = None) -> int:
    """An enrollment that has come to its end."""
    outline = courses.Outline(
        course, course, {"weekday": "mon", "at": "10:00"}, [(f"{course}/01", "lesson")]
    )
    structure = village.do(courses.define, outline, village.stream(course), village.now)
    moment = at or village.now
    return village.insert(
        ENROLLMENT,
        subscriber_id=person,
        course_id=_course(village, course),
        structure_id=structure,
        state="finished",
        anchor_on=date(2026, 1, 5),
        next_position=1,
        started_at=moment - timedelta(days=50),
        ended_at=moment,
    )


def _course(village: Village, slug: str) -> int:
    (row,) = village.ask(select(COURSE.c.id).where(COURSE.c.slug == slug))
    return int(row.id)


def agree_to_tracking(village: Village, person: int) -> None:
    village.change(SUBSCRIBER, person, tracking=True)

    def verb(connection: Connection) -> None:
        connection.execute(
            insert(CONSENT).values(
                subscriber_id=person,
                act="tracking_granted",
                content={},
                salt=b"",
                digest=b"",
                link=b"",
                at=village.now,
            )
        )

    village.database.write(verb)


def mails(village: Village) -> list[tuple[int, str, str]]:
    """Who has which mail, and when it is due, in the order of their numbers."""
    rows = village.ask(select(DELIVERY).order_by(DELIVERY.c.id))
    return [(row.subscriber_id, row.occurrence, shown(row.due_at)) for row in rows]
