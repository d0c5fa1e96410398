"""Courses: their structure, who is on which step, and the deliveries that follow.

Owns courses, structures, lessons and enrollments, and plans lessons set by set: the calendar
is asked once for a cohort, the database writes its rows in one statement. Knows the time only
as `now`, and nothing of text or SMTP.
"""

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import (
    Connection,
    Date,
    and_,
    bindparam,
    exists,
    func,
    insert,
    or_,
    select,
    update,
)

from l3mail.calendars import (
    MoveTo,
    Timetable,
    as_mapping,
    parse_cadence,
    parse_closed,
    wall_to_utc,
)
from l3mail.database import upsert
from l3mail.errors import CourseError, NothingOpenError
from l3mail.models import COURSE, DELIVERY, ENROLLMENT, LESSON, STRUCTURE, UtcDateTime
from l3mail.planning import LESSONS, bindings, in_cohort, lessons_due

BATCH = 5_000
"""Rows one step writes at most: whoever wants to write behind it waits about a tenth of a second.

The caller asks again until a step says that it is done.
"""

ENDED = ("accepted", "failed", "cancelled", "lapsed")
_SENT = ("accepted", "uncertain")


@dataclass(frozen=True, slots=True)
class Outline:
    """A course as its files describe it: cadence and rules in course.yaml's form.

    `lessons` are (slug, kind) in order, kind "lesson" or "evaluation". `rules` may hold
    `skip_holidays`, `closed`, `start` (ISO date) and `grace` (seconds).
    """

    slug: str
    title: str
    cadence: Mapping[str, Any]
    lessons: Sequence[tuple[str, str]]
    rules: Mapping[str, Any] = field(default_factory=dict)


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


def define(connection: Connection, outline: Outline, stream_id: int, now: datetime) -> int:
    """Make `outline` the course's current structure, return its id; the same again changes nothing.

    Learners keep the structure they began with.
    """
    slugs = [slug for slug, _ in outline.lessons]
    if not slugs or len(set(slugs)) < len(slugs):
        raise CourseError(f"{outline.slug}: needs lessons, each named once; found {slugs}")
    cadence = as_mapping(parse_cadence(dict(outline.cadence)))
    rules = dict(outline.rules)
    _timetable(cadence, rules, ZoneInfo("UTC"))
    course_id = connection.execute(
        select(COURSE.c.id).where(COURSE.c.slug == outline.slug)
    ).scalar()
    if course_id is None:
        course_id = connection.execute(
            insert(COURSE)
            .values(slug=outline.slug, title=outline.title, stream_id=stream_id, created_at=now)
            .returning(COURSE.c.id)
        ).scalar_one()
    digest = _hash([cadence, rules, list(outline.lessons)])
    structure_id = connection.execute(
        select(STRUCTURE.c.id).where(STRUCTURE.c.course_id == course_id, STRUCTURE.c.hash == digest)
    ).scalar()
    if structure_id is None:
        structure_id = connection.execute(
            insert(STRUCTURE)
            .values(course_id=course_id, hash=digest, cadence=cadence, rules=rules, created_at=now)
            .returning(STRUCTURE.c.id)
        ).scalar_one()
        connection.execute(
            insert(LESSON),
            [
                {"structure_id": structure_id, "position": position, "slug": slug, "kind": kind}
                for position, (slug, kind) in enumerate(outline.lessons)
            ],
        )
    connection.execute(
        update(COURSE)
        .where(COURSE.c.id == course_id)
        .values(title=outline.title, current_structure_id=structure_id)
    )
    return int(structure_id)


def enroll(
    connection: Connection, slug: str, subscriber_id: int, confirmed_at: datetime, zone: ZoneInfo
) -> int:
    """Begin the course's current structure for a person, from the first slot after confirming.

    The database refuses a second running enrollment of the same person in the same course.
    """
    course = connection.execute(select(COURSE).where(COURSE.c.slug == slug)).one()
    structure = course.current_structure_id
    timetable, _ = _timetables(connection, [structure], zone)[structure]
    anchor_on = timetable.anchor(confirmed_at)
    return int(
        connection.execute(
            insert(ENROLLMENT)
            .values(
                subscriber_id=subscriber_id,
                course_id=course.id,
                structure_id=structure,
                state="active",
                anchor_on=anchor_on,
                next_due_at=timetable.slot(anchor_on, 0),
                started_at=confirmed_at,
            )
            .returning(ENROLLMENT.c.id)
        ).scalar_one()
    )


_COHORTS = (
    select(
        ENROLLMENT.c.structure_id,
        ENROLLMENT.c.anchor_on,
        ENROLLMENT.c.next_due_at,
        ENROLLMENT.c.last_lesson_on,
    )
    .where(ENROLLMENT.c.state == "active")
    .distinct()
)
_IS_PLANNED = exists(
    select(DELIVERY.c.id)
    .select_from(DELIVERY)
    .join(
        LESSON,
        (LESSON.c.structure_id == ENROLLMENT.c.structure_id)
        & (LESSON.c.position == ENROLLMENT.c.next_position)
        & (LESSON.c.slug == DELIVERY.c.slug),
    )
    .where(DELIVERY.c.enrollment_id == ENROLLMENT.c.id)
    .correlate(ENROLLMENT)
)


def plan(connection: Connection, now: datetime, zone: ZoneInfo, limit: int = BATCH) -> Planned:
    """Queue lessons that are due, and move what came too late to its next slot; `limit` at most.

    Replaying adds nothing. An enrollment whose lesson is queued has no `next_due_at` until that
    delivery has ended and `advance` gives it the next one. A course without an open day within
    reach stays as it is and is counted.
    """
    cohorts = connection.execute(_COHORTS.where(ENROLLMENT.c.next_due_at <= now)).all()
    timetables = _timetables(connection, {cohort.structure_id for cohort in cohorts}, zone)
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
        timetable, _ = timetables[cohort.structure_id]
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
            deliveries += _queue(connection, values | bindings(now, (), ""))
    return Planned(deliveries, moved, stuck, more=deliveries + moved >= limit)


_MOVE = (
    update(ENROLLMENT)
    .where(
        in_cohort(),
        ENROLLMENT.c.id.in_(select(ENROLLMENT.c.id).where(in_cohort()).limit(bindparam("batch"))),
    )
    .values(next_due_at=bindparam("due"))
    .returning(ENROLLMENT.c.id)
)
_MARK_PLANNED = update(ENROLLMENT).where(in_cohort(), _IS_PLANNED).values(next_due_at=None)


def _queue(connection: Connection, values: dict[str, Any]) -> int:
    planned = (
        upsert(connection, DELIVERY)
        .from_select(LESSONS, lessons_due())
        .on_conflict_do_nothing(index_elements=[DELIVERY.c.subscriber_id, DELIVERY.c.occurrence])
        .returning(DELIVERY.c.id)
    )
    new = len(connection.execute(planned, values).all())
    connection.execute(_MARK_PLANNED, values)
    return new


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
_HAS_ENDED = and_(
    ENROLLMENT.c.state == "active",
    ENROLLMENT.c.next_due_at.is_(None),
    or_(
        DELIVERY.c.state.in_(ENDED),
        # One that will be sent again has not ended yet.
        and_(DELIVERY.c.state == "uncertain", DELIVERY.c.next_attempt_at.is_(None)),
    ),
)
_WAS_SENT = DELIVERY.c.state.in_(_SENT)
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
    steps = connection.execute(_STEPS).all()
    timetables = _timetables(connection, {step.structure_id for step in steps}, zone)
    led = 0
    for step in steps:
        timetable, lessons = timetables[step.structure_id]
        finished = step.position + 1 >= lessons
        for day in _local_days(step.first_ended_at, step.last_ended_at, zone):
            if led >= limit:
                return led
            sent_on = day if step.was_sent else None
            try:
                following = timetable.next_due(step.anchor_on, now, sent_on)
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
                "due": None if finished else following,
                "to": "finished" if finished else "active",
                "ended": now if finished else None,
                "batch": limit - led,
            }
            led += len(connection.execute(_LEAD_ON, values).all())
    return led


def _local_days(first: datetime, last: datetime, zone: ZoneInfo) -> list[date]:
    begin, end = first.astimezone(zone).date(), last.astimezone(zone).date()
    return [begin + timedelta(days=n) for n in range((end - begin).days + 1)]


def _timetables(
    connection: Connection, structures: Collection[int], zone: ZoneInfo
) -> dict[int, tuple[Timetable, int]]:
    """By structure: what it says about time, and how many lessons it has."""
    lessons = (
        select(func.count())
        .where(LESSON.c.structure_id == STRUCTURE.c.id)
        .correlate(STRUCTURE)
        .scalar_subquery()
    )
    rows = connection.execute(
        select(STRUCTURE.c.id, STRUCTURE.c.cadence, STRUCTURE.c.rules, lessons).where(
            STRUCTURE.c.id.in_(structures)
        )
    )
    return {row.id: (_timetable(row.cadence, row.rules, zone), row[3]) for row in rows}


def _timetable(cadence: object, rules: Mapping[str, Any], zone: ZoneInfo) -> Timetable:
    start = rules.get("start")
    grace = rules.get("grace")
    return Timetable(
        cadence=parse_cadence(cadence),
        zone=zone,
        closed=parse_closed(rules.get("skip_holidays"), rules.get("closed")),
        grace=None if grace is None else timedelta(seconds=grace),
        start_on=None if start is None else date.fromisoformat(start),
    )


def _hash(value: object) -> str:
    canonical = json.dumps(value, sort_keys=True, ensure_ascii=False)
    return hashlib.blake2b(canonical.encode(), digest_size=32).hexdigest()
