"""The dates a learner can expect, and those they had. Only reads."""

from collections import Counter
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Row, and_, bindparam, func, literal, or_, select

from l3mail.calendars import Timetable
from l3mail.courses.enrollments import IS_PAUSED_MAIL, RUNNING, SENT, is_current
from l3mail.courses.structures import timetables
from l3mail.errors import NothingOpenError
from l3mail.models import DELIVERY, ENROLLMENT, LESSON, UtcDateTime

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


def timetable(
    connection: Connection, now: datetime, until: datetime, zone: ZoneInfo
) -> list[tuple[datetime, str, int]]:
    """Each moment from `now` until before `until` at which lessons are due: (moment, slug, people).

    As if nothing were ever late: what is overdue is due now, a pause ends when it is to end, and
    a lesson on its way is led on from. Planned deliveries are no longer in it.
    """
    lessons: dict[int, list[str]] = {}
    for row in connection.execute(select(LESSON).order_by(LESSON.c.position)):
        lessons.setdefault(row.structure_id, []).append(row.slug)
    cohorts = connection.execute(_COHORTS, {"until": until}).all()
    calendars = timetables(connection, {cohort.structure_id for cohort in cohorts}, zone)
    due: Counter[tuple[datetime, str]] = Counter()
    for cohort in cohorts:
        slots = _slots(cohort, calendars[cohort.structure_id][0], now, zone)
        under_way = cohort.state == "active" and cohort.next_due_at is None
        coming = lessons[cohort.structure_id][cohort.next_position + int(under_way) :]
        for at, slug in zip(slots, coming, strict=False):
            if at >= until:
                break
            due[max(at, now), slug] += cohort.people
    return sorted((at, slug, people) for (at, slug), people in due.items())


_COHORT = (
    ENROLLMENT.c.structure_id,
    ENROLLMENT.c.state,
    ENROLLMENT.c.anchor_on,
    ENROLLMENT.c.next_position,
    ENROLLMENT.c.next_due_at,
    ENROLLMENT.c.paused_until,
)
_COHORTS = (
    select(*_COHORT, func.count().label("people"))
    .where(
        or_(
            and_(
                ENROLLMENT.c.state == "active",
                or_(
                    ENROLLMENT.c.next_due_at.is_(None),
                    ENROLLMENT.c.next_due_at < bindparam("until", type_=UtcDateTime),
                ),
            ),
            and_(
                ENROLLMENT.c.state == "paused",
                ENROLLMENT.c.paused_until < bindparam("until", type_=UtcDateTime),
            ),
        )
    )
    .group_by(*_COHORT)
)


def _slots(
    cohort: Row[Any], timetable: Timetable, now: datetime, zone: ZoneInfo
) -> Iterator[datetime]:
    """When those who stand at the same place are due, one lesson after another."""
    due, since = cohort.next_due_at, now
    if cohort.state == "paused":
        due, since = None, max(cohort.paused_until, now) - _MOMENT
    try:
        if due is None:
            today = now.astimezone(zone).date() if cohort.state == "active" else None
            due = timetable.next_due(cohort.anchor_on, since, today)
        while True:
            yield due
            from_here = max(due, now)
            due = timetable.next_due(cohort.anchor_on, from_here, from_here.astimezone(zone).date())
    except NothingOpenError:
        return
