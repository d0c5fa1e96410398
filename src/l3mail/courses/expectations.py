"""The dates a learner can expect, and those they had. Only reads."""

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Row, and_, literal, select

from l3mail.courses.enrollments import IS_PAUSED_MAIL, RUNNING, SENT, is_current
from l3mail.courses.structures import timetables
from l3mail.errors import NothingOpenError
from l3mail.models import DELIVERY, ENROLLMENT, LESSON

_MOMENT = timedelta(microseconds=1)


class LessonDate(NamedTuple):
    """When a learner gets one lesson: the moment planned for it, and when it was handed over.

    `planned_at` is None where no date can be told: in a pause without an end, after a
    cancellation, or where the course has no open day.
    """

    slug: str
    kind: str
    planned_at: datetime | None
    sent_at: datetime | None


def dates(connection: Connection, enrollment_id: int, zone: ZoneInfo) -> list[LessonDate]:
    """Every lesson of an enrollment in order: those handed over, and when the others will come.

    What is to come is computed, as if nothing were ever late.
    """
    enrollment = connection.execute(
        select(ENROLLMENT).where(ENROLLMENT.c.id == enrollment_id)
    ).first()
    if enrollment is None:
        return []
    mail = and_(
        DELIVERY.c.enrollment_id == enrollment_id,
        DELIVERY.c.occurrence == literal(f"lesson:{enrollment_id}:") + LESSON.c.slug,
        ~IS_PAUSED_MAIL,
    )
    lessons = connection.execute(
        select(LESSON, DELIVERY.c.due_at, DELIVERY.c.ended_at, DELIVERY.c.state)
        .select_from(LESSON.outerjoin(DELIVERY, mail))
        .where(LESSON.c.structure_id == enrollment.structure_id)
        .order_by(LESSON.c.position)
    ).all()
    coming = _coming(connection, enrollment, zone)
    told = []
    for lesson in lessons:
        sent_at = lesson.ended_at if lesson.state in SENT else None
        planned_at = lesson.due_at
        if lesson.state is None and lesson.position >= enrollment.next_position:
            planned_at = next(coming, None)
        told.append(LessonDate(lesson.slug, lesson.kind, planned_at, sent_at))
    return told


def _coming(connection: Connection, enrollment: Row[Any], zone: ZoneInfo) -> Iterator[datetime]:
    """The dates of the lessons that are not planned yet, one after another."""
    if enrollment.state not in RUNNING:
        return
    timetable, _ = timetables(connection, [enrollment.structure_id], zone)[enrollment.structure_id]
    due, since, day = enrollment.next_due_at, enrollment.started_at, enrollment.last_lesson_on
    if enrollment.state == "paused":
        if enrollment.paused_until is None:
            return
        due = None
        since = enrollment.paused_until - _MOMENT
    elif due is None:
        since, day = _under_way(connection, enrollment, zone)
    try:
        if due is None:
            due = timetable.next_due(enrollment.anchor_on, since, day)
        while True:
            yield due
            due = timetable.next_due(enrollment.anchor_on, due, due.astimezone(zone).date())
    except NothingOpenError:
        return


def _under_way(
    connection: Connection, enrollment: Row[Any], zone: ZoneInfo
) -> tuple[datetime, date]:
    """The moment and local day of the lesson that is planned and not yet led on from."""
    row = connection.execute(
        select(DELIVERY.c.due_at, DELIVERY.c.ended_at)
        .select_from(DELIVERY.join(ENROLLMENT, ENROLLMENT.c.id == DELIVERY.c.enrollment_id))
        .where(ENROLLMENT.c.id == enrollment.id, is_current())
    ).first()
    moment = enrollment.started_at if row is None else row.ended_at or row.due_at
    return moment, moment.astimezone(zone).date()
