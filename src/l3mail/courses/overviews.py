"""How courses stand: who takes them, which lesson came how far, who is where. Only reads."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, String, func, literal, select

from l3mail import events
from l3mail.courses.enrollments import RUNNING
from l3mail.errors import CourseError, did_you_mean, quoted
from l3mail.models import (
    COURSE,
    DELIVERY,
    ENROLLMENT,
    ENROLLMENT_STATES,
    EVENT,
    LESSON,
    STREAM,
    STRUCTURE,
    SUBSCRIBER,
    SUBSCRIPTION,
    Id,
    UtcDateTime,
)
from l3mail.planning import Candidate, bindings, objection

_WAITING = ("queued", "held", "deferred", "sending")


@dataclass(frozen=True, slots=True)
class Overview:
    """A course as it is taught now; `enrollments` counts by state, every state named.

    `next_due_at` is the moment of the next lesson of anybody, `done_days` what all together did.
    """

    id: int
    slug: str
    title: str
    stream: str
    stream_id: int
    cadence: Mapping[str, Any]
    rules: Mapping[str, Any]
    lessons: Sequence[tuple[str, str]]
    enrollments: Mapping[str, int]
    next_due_at: datetime | None
    asks: Sequence[str] = ()
    done_days: int = 0


def overviews(connection: Connection, people: ColumnElement[bool] | None = None) -> list[Overview]:
    """Every course, in slug order; where `people` are named, only they are counted."""
    lessons: dict[int, list[tuple[str, str]]] = {}
    for row in connection.execute(select(LESSON).order_by(LESSON.c.position)):
        lessons.setdefault(row.structure_id, []).append((row.slug, row.kind))
    counts: dict[int, dict[str, int]] = {}
    counting = select(ENROLLMENT.c.course_id, ENROLLMENT.c.state, func.count().label("n")).group_by(
        ENROLLMENT.c.course_id, ENROLLMENT.c.state
    )
    if people is not None:
        meant = select(SUBSCRIBER.c.id).where(people)
        counting = counting.where(ENROLLMENT.c.subscriber_id.in_(meant))
    for row in connection.execute(counting):
        counts.setdefault(row.course_id, {})[row.state] = row.n
    days = events.by_course(connection)
    next_due = (
        select(func.min(ENROLLMENT.c.next_due_at, type_=UtcDateTime))
        .where(ENROLLMENT.c.course_id == COURSE.c.id, ENROLLMENT.c.state == "active")
        .scalar_subquery()
    )
    query = (
        select(
            COURSE,
            STREAM.c.slug.label("stream"),
            STRUCTURE.c.cadence,
            STRUCTURE.c.rules,
            next_due.label("next_due_at"),
        )
        .join(STREAM, STREAM.c.id == COURSE.c.stream_id)
        .join(STRUCTURE, STRUCTURE.c.id == COURSE.c.current_structure_id)
        .order_by(COURSE.c.slug)
    )
    return [
        Overview(
            id=row.id,
            slug=row.slug,
            title=row.title,
            stream=row.stream,
            stream_id=row.stream_id,
            cadence=row.cadence,
            rules=row.rules,
            lessons=lessons.get(row.current_structure_id, []),
            enrollments={
                state: counts.get(row.id, {}).get(state, 0) for state in ENROLLMENT_STATES
            },
            next_due_at=row.next_due_at,
            asks=tuple(row.asks),
            done_days=days.get(row.id, 0),
        )
        for row in connection.execute(query)
    ]


def overview(connection: Connection, slug: str) -> Overview:
    """One course; raises CourseError, with the nearest known one, where there is none."""
    known = {course.slug: course for course in overviews(connection)}
    if slug in known:
        return known[slug]
    hint = did_you_mean(slug, known, "`l3mail content publish` makes them", cutoff=0.3)
    raise CourseError(f"there is no course {quoted(slug)}; {hint}")


@dataclass(frozen=True, slots=True)
class Step:
    """One lesson of a course over all who ever took it.

    `planned` counts every delivery; `waiting` those on their way; `ahead` the running
    enrollments whose next lesson it is.
    """

    slug: str
    kind: str
    planned: int
    accepted: int
    failed: int
    uncertain: int
    cancelled: int
    waiting: int
    ahead: int


def funnel(connection: Connection, course: Overview) -> list[Step]:
    """The course lesson by lesson; those only an older structure has come last."""
    states: dict[str, dict[str, int]] = {}
    for row in connection.execute(
        select(DELIVERY.c.slug, DELIVERY.c.state, func.count().label("n"))
        .join(ENROLLMENT, ENROLLMENT.c.id == DELIVERY.c.enrollment_id)
        .where(ENROLLMENT.c.course_id == course.id)
        .group_by(DELIVERY.c.slug, DELIVERY.c.state)
    ):
        states.setdefault(row.slug, {})[row.state] = row.n
    ahead = {
        row.slug: row.n
        for row in connection.execute(
            select(LESSON.c.slug, func.count().label("n"))
            .select_from(ENROLLMENT.join(LESSON, _STANDS_AT))
            .where(ENROLLMENT.c.course_id == course.id, ENROLLMENT.c.state.in_(RUNNING))
            .group_by(LESSON.c.slug)
        )
    }
    former = connection.execute(
        select(LESSON.c.slug, LESSON.c.kind)
        .join(STRUCTURE, STRUCTURE.c.id == LESSON.c.structure_id)
        .where(STRUCTURE.c.course_id == course.id)
        .order_by(LESSON.c.structure_id, LESSON.c.position)
    )
    lessons = dict(course.lessons)
    for row in former:
        lessons.setdefault(row.slug, row.kind)
    return [
        _step(slug, kind, states.get(slug, {}), ahead.get(slug, 0))
        for slug, kind in lessons.items()
        if slug in dict(course.lessons) or slug in states or slug in ahead
    ]


_STANDS_AT = (LESSON.c.structure_id == ENROLLMENT.c.structure_id) & (
    LESSON.c.position == ENROLLMENT.c.next_position
)


def _step(slug: str, kind: str, states: Mapping[str, int], ahead: int) -> Step:
    return Step(
        slug=slug,
        kind=kind,
        planned=sum(states.values()),
        accepted=states.get("accepted", 0),
        failed=states.get("failed", 0),
        uncertain=states.get("uncertain", 0),
        cancelled=states.get("cancelled", 0) + states.get("lapsed", 0),
        waiting=sum(states.get(state, 0) for state in _WAITING),
        ahead=ahead,
    )


@dataclass(frozen=True, slots=True)
class Place:
    """Where one learner is: `message` is the next lesson, `position` how many came before it.

    `done_days` is on how many days they say to have learned.
    """

    email: str
    status: str
    position: int
    message: str | None
    next_due_at: datetime | None
    paused_until: datetime | None
    started_at: datetime
    completed_at: datetime | None
    done_days: int


def whereabouts(
    connection: Connection,
    course: Overview,
    *,
    states: Collection[str] = (),
    search: str | None = None,
    people: ColumnElement[bool] | None = None,
    limit: int,
) -> list[Place]:
    """Who is where in a course, the newest enrollment first; `search` looks into the address.

    `people` is a condition on who is told of.
    """
    query = (
        select(
            func.coalesce(SUBSCRIBER.c.address, ""),
            ENROLLMENT.c.state,
            ENROLLMENT.c.next_position,
            LESSON.c.slug,
            ENROLLMENT.c.next_due_at,
            ENROLLMENT.c.paused_until,
            ENROLLMENT.c.started_at,
            ENROLLMENT.c.completed_at,
            select(func.count())
            .where(events.IS_ONE_DONE, EVENT.c.enrollment_id == ENROLLMENT.c.id)
            .correlate(ENROLLMENT)
            .scalar_subquery(),
        )
        .select_from(
            ENROLLMENT.join(SUBSCRIBER, SUBSCRIBER.c.id == ENROLLMENT.c.subscriber_id).outerjoin(
                LESSON, _STANDS_AT & ENROLLMENT.c.state.in_(RUNNING)
            )
        )
        .where(ENROLLMENT.c.course_id == course.id)
        .order_by(ENROLLMENT.c.id.desc())
        .limit(limit)
    )
    if states:
        query = query.where(ENROLLMENT.c.state.in_(sorted(states)))
    if people is not None:
        query = query.where(people)
    if search:
        query = query.where(SUBSCRIBER.c.address.icontains(search, autoescape=True))
    return [Place(*row) for row in connection.execute(query)]


def objection_to(
    connection: Connection, slug: str, subscriber_id: int, now: datetime
) -> str | None:
    """The first reason why a person may not be mailed this course's lessons now, or None."""
    candidate = Candidate(
        id=literal(None, Id),
        purpose=literal("stream"),
        kind=literal("lesson"),
        subscriber_id=literal(subscriber_id, Id),
        address=literal(None, String),
        stream_id=COURSE.c.stream_id,
        generation=func.coalesce(SUBSCRIPTION.c.generation, 0),
        signup_id=literal(None, Id),
        link_request_id=literal(None, Id),
    )
    query = (
        select(objection(candidate))
        .select_from(
            COURSE.outerjoin(
                SUBSCRIPTION,
                (SUBSCRIPTION.c.stream_id == COURSE.c.stream_id)
                & (SUBSCRIPTION.c.subscriber_id == subscriber_id),
            )
        )
        .where(COURSE.c.slug == slug)
    )
    return connection.execute(query, bindings(now, (), "")).scalar()
