"""What learners do from a mail: say what interests them, and look at their course.

Owns the pages of `act` links. An explicit act needs no consent to tracking: somebody pressed a
button that said what it does.
"""

import mimetypes
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter
from fastapi.responses import Response
from sqlalchemy import Connection, select

from l3mail import courses, events, outbox, publishing, subscribers
from l3mail.addresses import clean_name
from l3mail.calendars import wall_to_utc
from l3mail.courses import Diary
from l3mail.errors import RenderingError, TokenError
from l3mail.locales import short_date
from l3mail.models import DELIVERY, STREAM, SUBSCRIBER
from l3mail.publishing import Published
from l3mail.subscribers import EnrollmentStanding
from l3mail.tokens import Purpose
from l3mail.web.door import Visit, Visiting, one
from l3mail.web.fields import asked_titles
from l3mail.web.letters import neutral_subject
from l3mail.web.progress import ARRIVED, progress

router = APIRouter()
_Row = Mapping[str, Any]
_Count = tuple[int, int]
_Answered = Collection[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class _Journey:
    """A learner's course: how many of how many lessons came, the days, what it asks of them."""

    standing: EnrollmentStanding
    count: _Count
    diary: Diary | None
    asks: Sequence[str]


@router.get("/interest/{token:path}")
async def show_interest(visit: Visiting, token: str) -> Response:
    """Ask; scanners open every link, and are interested in nothing."""
    of = clean_name(visit.request.query_params.get("of", ""))
    delivery = act_of(visit, token)
    if delivery is None:
        return visit.stale()
    row = await visit.read(lambda connection: _asked(connection, visit, delivery, of))
    return visit.page("interest", of=of) if row else visit.stale()


@router.post("/interest/{token:path}")
async def take_interest(visit: Visiting, token: str) -> Response:
    """Store the act, once for a person, a name and a day."""
    form = await visit.form()
    of = clean_name(one(form, "of") or visit.request.query_params.get("of", ""))
    delivery = act_of(visit, token)
    if delivery is None:
        return visit.stale()

    def verb(connection: Connection) -> bool:
        hold(connection, delivery)
        row = _asked(connection, visit, delivery, of)
        if row is None:
            return False
        fact = {
            "kind": "interested",
            "at": visit.now,
            **{name: row[name] for name in ("subscriber_id", "message_id", "enrollment_id")},
            "delivery_id": row["id"],
            "name": of,
        }
        events.append_once(connection, fact, _midnight(visit))
        return True

    return visit.note("interested") if await visit.write(verb) else visit.stale()


@router.get("/course/{token:path}")
async def show_course(visit: Visiting, token: str) -> Response:
    """The learner's page: what came, what is next, and how to pause."""
    delivery = act_of(visit, token)
    if delivery is None:
        return visit.stale()

    def verb(
        connection: Connection,
    ) -> tuple[_Journey, list[_Row], dict[int, Published], _Answered] | None:
        rows = outbox.lookup(connection, [delivery])
        standing = standing_behind(connection, visit, rows)
        if standing is None:
            return None
        enrollment = enrollment_behind(connection, standing, rows[0])
        if enrollment is None:
            return None
        came = _lessons(connection, enrollment.id)
        ids = {row["message_id"] for row in came if row["message_id"]}
        count = progress(connection, [enrollment.id]).get(enrollment.id, (0, 0))
        answered = events.answered(connection, enrollment.id)
        diary = courses.diary(connection, enrollment.id, visit.door.settings.zone)
        asks = courses.asked(connection).get(enrollment.course, ())
        journey = _Journey(enrollment, count, diary, asks)
        return journey, came, publishing.load(connection, ids), answered

    found = await visit.read(verb)
    if found is None:
        return visit.stale()
    journey, came, texts, answered = found
    manage = visit.door.tokens.make(Purpose.PREFERENCES, delivery)
    is_completed = journey.standing.completed_at is not None
    return visit.page(
        "course",
        course=_course(visit, journey),
        days=_days(visit, journey, token),
        asks=asked_titles(visit.door.settings, journey.asks),
        lessons=[_lesson(visit, row, texts, answered) for row in came],
        certificate=f"{visit.door.prefix}/certificate/{token}" if is_completed else "",
        manage=f"{visit.door.prefix}/preferences/{manage}",
    )


def act_of(visit: Visit, text: str) -> int | None:
    """The delivery an `act` link was made for; None for any other link."""
    try:
        numbers = visit.door.tokens.read(Purpose.ACT, text, visit.now).numbers
    except TokenError:
        return None
    return numbers[0] if len(numbers) == 1 else None


def hold(connection: Connection, delivery: int) -> None:
    """Before anything is written for whoever a delivery went to: keep their row as it is.

    Who is erased at this moment has gone before, or goes after with what is written here.
    """
    connection.execute(
        select(SUBSCRIBER.c.id)
        .join(DELIVERY, DELIVERY.c.subscriber_id == SUBSCRIBER.c.id)
        .where(DELIVERY.c.id == delivery)
        .with_for_update(key_share=True, of=SUBSCRIBER)
    )


def standing_behind(
    connection: Connection, visit: Visit, rows: list[dict[str, Any]]
) -> subscribers.Standing | None:
    """Whom a delivery went to, if anybody is left; the visit goes on in their language."""
    person = rows[0]["subscriber_id"] if rows else None
    standing = subscribers.standing(connection, person) if person else None
    visit.choose(standing.locale if standing else None)
    return standing


def _asked(connection: Connection, visit: Visit, delivery: int, of: str) -> _Row | None:
    """The delivery, if it is somebody's and its text has a button of that name."""
    rows = outbox.lookup(connection, [delivery])
    if standing_behind(connection, visit, rows) is None or rows[0]["message_id"] is None:
        return None
    text = publishing.load(connection, [rows[0]["message_id"]]).get(rows[0]["message_id"])
    listed = text.compiled.get("interests") if text else None
    return rows[0] if isinstance(listed, list) and of in listed else None


def _midnight(visit: Visit) -> datetime:
    zone = visit.door.settings.zone
    return wall_to_utc(visit.now.astimezone(zone).date(), time.min, zone)


def enrollment_behind(
    connection: Connection, standing: subscribers.Standing, row: _Row
) -> EnrollmentStanding | None:
    """The journey a mail belongs to, else the newest in the course whose stream it came by."""
    for enrollment in standing.enrollments:
        if enrollment.id == row["enrollment_id"]:
            return enrollment
    slug = connection.execute(select(STREAM.c.slug).where(STREAM.c.id == row["stream_id"])).scalar()
    return next((e for e in reversed(standing.enrollments) if e.course == slug), None)


def _lessons(connection: Connection, enrollment_id: int) -> list[_Row]:
    """The lessons the mail server took, in the order it took them."""
    rows = connection.execute(
        select(DELIVERY.c.id, DELIVERY.c.message_id, DELIVERY.c.slug, DELIVERY.c.ended_at)
        .where(
            DELIVERY.c.enrollment_id == enrollment_id,
            DELIVERY.c.kind.in_(("lesson", "evaluation")),
            DELIVERY.c.state.in_(ARRIVED),
        )
        .order_by(DELIVERY.c.id)
    )
    return [dict(row._mapping) for row in rows]


def _days(visit: Visit, journey: _Journey, token: str) -> dict[str, Any] | None:
    """The days done, of a course that asks for them or has any; None for all others."""
    diary = journey.diary
    if diary is None or diary.is_cancelled or not (diary.done or diary.asked):
        return None
    done, href = len(diary.done), f"{visit.door.prefix}/done/{token}"
    return {"done": done, "days": max(diary.days, done), "href": href}


def _course(visit: Visit, journey: _Journey) -> dict[str, Any]:
    enrollment, count = journey.standing, journey.count
    paused = enrollment.paused_until if enrollment.state == "paused" else None
    due = enrollment.next_due_at if enrollment.state == "active" else None
    return {
        "title": enrollment.title,
        "state": enrollment.state,
        "received": count[0],
        "total": count[1],
        "completed": visit.day(enrollment.completed_at) if enrollment.completed_at else "",
        "paused": visit.day(paused) if paused else "",
        "next": visit.moment(due) if due else "",
    }


def _lesson(
    visit: Visit, row: _Row, texts: Mapping[int, Published], answered: _Answered
) -> dict[str, Any]:
    text = texts.get(row["message_id"])
    view = visit.door.tokens.make(Purpose.VIEW, row["id"])
    ended = row["ended_at"]
    try:
        title = neutral_subject(visit, text) if text else row["slug"]
    except RenderingError:
        title = row["slug"]
    local = ended.astimezone(visit.door.settings.zone).date() if ended else None
    return {
        "title": title,
        "href": f"{visit.door.prefix}/view/{view}" if text else "",
        "day": short_date(local, visit.tag) if local else "",
        "questions": _questions(visit, row, text, answered) if text else None,
        "papers": _papers(visit, text) if text else [],
    }


def _questions(
    visit: Visit, row: _Row, text: Published, answered: _Answered
) -> dict[str, Any] | None:
    """How many questions of a lesson are answered, and where the next one is asked."""
    questions = text.compiled.get("questions", [])
    waiting = [one for one in questions if (row["slug"], one["name"]) not in answered]
    if not questions:
        return None
    token = visit.door.tokens.make(Purpose.ACT, row["id"])
    asked = waiting[0] if waiting else None
    return {
        "answered": len(questions) - len(waiting),
        "total": len(questions),
        "href": f"{visit.door.prefix}/{asked['kind']}/{token}?of={asked['name']}" if asked else "",
    }


def _papers(visit: Visit, text: Published) -> list[dict[str, str]]:
    """The files a lesson brought along: what of its media is no picture."""
    return [
        {"name": name, "href": f"{visit.door.prefix}/media/{digest}/{quote(name)}"}
        for digest, name in text.compiled.get("media", [])
        if not (mimetypes.guess_type(name)[0] or "").startswith("image/")
    ]
