"""Lessons as they fall due: planned, put off, and led on from, set by set.

The calendar is asked once for a cohort, the database writes its rows in one statement. Writes
deliveries and the place of enrollments, and nothing else of them.
"""

from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Date, and_, bindparam, func, or_, select, update

from l3mail import outbox
from l3mail.calendars import MoveTo, Timetable, wall_to_utc
from l3mail.courses.enrollments import (
    ANYTHING_TO_TAKE_BACK,
    IS_PAUSED_MAIL,
    IS_PLANNED,
    SENT,
    is_current,
    take_back,
)
from l3mail.courses.structures import timetables
from l3mail.errors import NothingOpenError
from l3mail.models import COURSE, DELIVERY, ENROLLMENT, LESSON, STRUCTURE, UtcDateTime
from l3mail.models.columns import ONE
from l3mail.planning import NOW, Candidate, bindings, in_cohort, lessons_due, mailable

BATCH = 5_000
"""Rows one step writes at most: whoever wants to write behind it waits about a tenth of a second.

The caller asks again until a step says that it is done.
"""

ENDED = ("accepted", "failed", "cancelled", "lapsed")


@dataclass(frozen=True, slots=True)
class Planned:
    """What one planning step did.

    `deliveries` were made, `moved` enrollments put off to a later slot, `stuck` cohorts found no
    open day; `more` says that the step ended at its limit and wants another.
    """

    deliveries: int = 0
    moved: int = 0
    stuck: int = 0
    more: bool = False


_OVERDUE = (
    select(
        ENROLLMENT.c.structure_id,
        ENROLLMENT.c.anchor_on,
        ENROLLMENT.c.next_due_at,
        ENROLLMENT.c.last_lesson_on,
    )
    .where(ENROLLMENT.c.state == "active", ENROLLMENT.c.next_due_at <= NOW)
    .distinct()
)
_FIRST_DUE = select(func.min(ENROLLMENT.c.next_due_at, type_=UtcDateTime)).where(
    ENROLLMENT.c.state == "active"
)
ANYBODY_OVERDUE = _FIRST_DUE.scalar_subquery() <= NOW
ANY_LESSON_DUE = or_(ANYBODY_OVERDUE, ANYTHING_TO_TAKE_BACK)
"""Whether `plan` has anything to do."""
_OVERDUE_BY_COURSE = (
    _OVERDUE.join(COURSE, COURSE.c.id == ENROLLMENT.c.course_id)
    .add_columns(COURSE.c.slug, func.count().label("people"))
    .group_by(*_OVERDUE.selected_columns, COURSE.c.slug)
    .order_by(ENROLLMENT.c.next_due_at)
)


def plan(connection: Connection, now: datetime, zone: ZoneInfo, limit: int = BATCH) -> Planned:
    """Queue lessons that are due, and move what came too late to its next slot; `limit` at most.

    Who may not be mailed is moved too: the course goes on from there, at the learner's own slot,
    if the ground for that ever ends. Replaying adds nothing. An enrollment whose lesson is queued
    has no `next_due_at` until that delivery has ended and `advance` gives it the next one. A
    course without an open day within reach stays as it is and is counted.
    """
    take_back(connection, now)
    cohorts = connection.execute(_OVERDUE, {"now": now}).all()
    found = timetables(connection, {cohort.structure_id for cohort in cohorts}, zone)
    deliveries = moved = stuck = 0
    for cohort in cohorts:
        room = limit - deliveries - moved
        if room <= 0:
            return Planned(deliveries, moved, stuck, more=True)
        values = {
            "cohort_structure_id": cohort.structure_id,
            "cohort_anchor_on": cohort.anchor_on,
            "cohort_due_at": cohort.next_due_at,
            "cohort_last_lesson_on": cohort.last_lesson_on,
            "batch": room,
        }
        timetable, _ = found[cohort.structure_id]
        try:
            decision = timetable.catch_up(
                cohort.anchor_on, cohort.next_due_at, now, cohort.last_lesson_on
            )
        except NothingOpenError:
            stuck += 1
            continue
        if isinstance(decision, MoveTo):
            rows = connection.execute(_MOVE, values | {"due": decision.at})
            moved += len(rows.all())
        else:
            queued, barred = _queue(connection, timetable, values | bindings(now, (), ""))
            deliveries += queued
            moved += barred
    return Planned(deliveries, moved, stuck, more=deliveries + moved >= limit)


@dataclass(frozen=True, slots=True)
class Stuck:
    """Learners whose course has no open day within reach; `since` their lesson is due."""

    course: str
    people: int
    since: datetime


def stuck(connection: Connection, now: datetime, zone: ZoneInfo) -> list[Stuck]:
    """Whom `plan` can neither plan for nor put off, by course."""
    rows = connection.execute(_OVERDUE_BY_COURSE, {"now": now}).all()
    found = timetables(connection, {row.structure_id for row in rows}, zone)
    lost: dict[str, Stuck] = {}
    for row in rows:
        timetable, _ = found[row.structure_id]
        try:
            timetable.catch_up(row.anchor_on, row.next_due_at, now, row.last_lesson_on)
        except NothingOpenError:
            before = lost.get(row.slug, Stuck(row.slug, 0, row.next_due_at))
            lost[row.slug] = replace(before, people=before.people + row.people)
    return list(lost.values())


_MOVE = (
    update(ENROLLMENT)
    .where(
        in_cohort(),
        ENROLLMENT.c.id.in_(select(ENROLLMENT.c.id).where(in_cohort()).limit(bindparam("batch"))),
    )
    .values(next_due_at=bindparam("due"))
    .returning(ENROLLMENT.c.id)
)
_MARK_PLANNED = update(ENROLLMENT).where(in_cohort(), IS_PLANNED).values(next_due_at=None)


_RELEASE = (
    update(DELIVERY)
    .where(
        DELIVERY.c.id.in_(
            select(DELIVERY.c.id)
            .select_from(DELIVERY.join(ENROLLMENT, ENROLLMENT.c.id == DELIVERY.c.enrollment_id))
            .where(IS_PAUSED_MAIL, in_cohort(), is_current(), mailable(Candidate.delivery()))
            .limit(bindparam("batch"))
        ),
        IS_PAUSED_MAIL,
    )
    # Five days of trying begin anew.
    .values(
        state="queued",
        reason=None,
        due_at=bindparam("cohort_due_at"),
        first_started_at=None,
        attempts=0,
    )
    .returning(DELIVERY.c.id)
)
_MOVE_BARRED = _MOVE.where(
    # Asked again: on PostgreSQL somebody may have joined the cohort since it was planned.
    ENROLLMENT.c.id.not_in(
        lessons_due().with_only_columns(ENROLLMENT.c.id).limit(None).correlate(None)
    )
)


def _queue(connection: Connection, timetable: Timetable, values: dict[str, Any]) -> tuple[int, int]:
    """Queue the lesson of a cohort; return how many were queued and how many put off as barred."""
    released = len(connection.execute(_RELEASE, values).all())
    room = values["batch"] - released
    queued = released + outbox.queue(connection, lessons_due(), values | {"batch": room})
    connection.execute(_MARK_PLANNED, values)
    if queued >= values["batch"]:
        return queued, 0
    try:
        due = timetable.next_due(
            values["cohort_anchor_on"], values["now"], values["cohort_last_lesson_on"]
        )
    except NothingOpenError:
        return queued, 0
    barred = len(connection.execute(_MOVE_BARRED, values | {"due": due}).all())
    return queued, barred


_ENDED_LESSONS = (
    ENROLLMENT.join(DELIVERY, DELIVERY.c.enrollment_id == ENROLLMENT.c.id)
    .join(
        LESSON,
        and_(
            LESSON.c.structure_id == ENROLLMENT.c.structure_id,
            LESSON.c.position == ENROLLMENT.c.next_position,
            LESSON.c.slug == DELIVERY.c.slug,
        ),
    )
    .join(STRUCTURE, STRUCTURE.c.id == ENROLLMENT.c.structure_id)
)
_IS_UNDER_WAY = and_(ENROLLMENT.c.state == "active", ENROLLMENT.c.next_due_at.is_(None))
# In an order that only the index has: of so many as PostgreSQL expects, it would look for any one
# in the table itself.
_ANYBODY_UNDER_WAY = (
    select(ENROLLMENT.c.id)
    .where(_IS_UNDER_WAY)
    .order_by(ENROLLMENT.c.next_due_at, ENROLLMENT.c.structure_id)
    .limit(ONE)
)
ANYBODY_UNDER_WAY = _ANYBODY_UNDER_WAY.scalar_subquery().is_not(None)
"""Whether `advance` has anybody to look for."""
_HAS_ENDED = and_(
    _IS_UNDER_WAY,
    or_(
        DELIVERY.c.state.in_(ENDED),
        # One that will be sent again has not ended yet.
        and_(DELIVERY.c.state == "uncertain", DELIVERY.c.next_attempt_at.is_(None)),
    ),
)
_WAS_SENT = DELIVERY.c.state.in_(SENT)
_STEPS = (
    select(
        ENROLLMENT.c.structure_id,
        ENROLLMENT.c.anchor_on,
        ENROLLMENT.c.next_position.label("position"),
        _WAS_SENT.label("was_sent"),
        func.min(DELIVERY.c.ended_at, type_=UtcDateTime).label("first_ended_at"),
        func.max(DELIVERY.c.ended_at, type_=UtcDateTime).label("last_ended_at"),
    )
    .select_from(_ENDED_LESSONS)
    .where(_HAS_ENDED)
    .group_by(
        ENROLLMENT.c.structure_id, ENROLLMENT.c.anchor_on, ENROLLMENT.c.next_position, _WAS_SENT
    )
)
_IN_STEP = (
    select(ENROLLMENT.c.id)
    .select_from(_ENDED_LESSONS)
    .where(
        _HAS_ENDED,
        bindparam("was_sent") == _WAS_SENT,
        ENROLLMENT.c.structure_id == bindparam("of_structure"),
        ENROLLMENT.c.anchor_on == bindparam("of_anchor"),
        ENROLLMENT.c.next_position == bindparam("of_position"),
        DELIVERY.c.ended_at >= bindparam("since"),
        DELIVERY.c.ended_at < bindparam("until"),
    )
    .limit(bindparam("batch"))
)
_LEAD_ON = (
    update(ENROLLMENT)
    .where(
        ENROLLMENT.c.id.in_(_IN_STEP),
        # Asked of the row itself too: after waiting for somebody else's lock PostgreSQL looks
        # again at the row, and not at the subquery that chose it.
        ENROLLMENT.c.state == "active",
        ENROLLMENT.c.next_due_at.is_(None),
        ENROLLMENT.c.next_position == bindparam("of_position"),
    )
    .values(
        next_position=ENROLLMENT.c.next_position + 1,
        next_due_at=bindparam("due"),
        state=bindparam("to"),
        ended_at=bindparam("ended"),
        last_lesson_on=func.coalesce(bindparam("sent_on", type_=Date), ENROLLMENT.c.last_lesson_on),
    )
    .returning(ENROLLMENT.c.id)
)


def advance(connection: Connection, now: datetime, zone: ZoneInfo, limit: int = BATCH) -> int:
    """Lead on those whose lesson has ended, set by set, `limit` at most; return how many.

    The next lesson is due at the learner's first slot after `now` and on a later local day than
    the one just sent. Who had the last one is finished.
    """
    # PostgreSQL takes next to all mails for ended lessons, and would look through them for nobody.
    if connection.execute(_ANYBODY_UNDER_WAY).first() is None:
        return 0
    steps = connection.execute(_STEPS).all()
    found = timetables(connection, {step.structure_id for step in steps}, zone)
    led = 0
    for step in steps:
        timetable, lessons = found[step.structure_id]
        finished = step.position + 1 >= lessons
        for day in _local_days(step.first_ended_at, step.last_ended_at, zone):
            if led >= limit:
                return led
            sent_on = day if step.was_sent else None
            try:
                due = None if finished else timetable.next_due(step.anchor_on, now, sent_on)
            except NothingOpenError:
                # Waits until its course opens again, and keeps nobody else waiting.
                break
            values = {
                "of_structure": step.structure_id,
                "of_anchor": step.anchor_on,
                "of_position": step.position,
                "was_sent": step.was_sent,
                "since": wall_to_utc(day, time.min, zone),
                "until": wall_to_utc(day + timedelta(days=1), time.min, zone),
                "sent_on": sent_on,
                "due": due,
                "to": "finished" if finished else "active",
                "ended": now if finished else None,
                "batch": limit - led,
            }
            led += len(connection.execute(_LEAD_ON, values).all())
    return led


def _local_days(first: datetime, last: datetime, zone: ZoneInfo) -> list[date]:
    begin, end = first.astimezone(zone).date(), last.astimezone(zone).date()
    return [begin + timedelta(days=n) for n in range((end - begin).days + 1)]
