"""How courses go: lesson by lesson, how many were due it, got it, opened, clicked and answered.

Reads only. A funnel tells of all who ever took the course; what happened in the span stands
beside it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, case, func, select

from l3mail import courses, events
from l3mail.courses import Overview, Step
from l3mail.models import DELIVERY, ENROLLMENT, EVENT
from l3mail.reports.mails import BY_A_HUMAN, IS_MEASURED, Reach, touched, within
from l3mail.reports.spans import Span

LESSONS = ("lesson", "evaluation")


@dataclass(frozen=True, slots=True)
class LessonFigures:
    """One lesson: `in_span` were accepted in it, `ahead` are the learners whose next one it is."""

    slug: str
    kind: str
    due: int
    reach: Reach
    answered: int
    in_span: int
    ahead: int


@dataclass(frozen=True, slots=True)
class CourseFigures:
    """One course: learners by state, how many began in the span, and its funnel.

    `done_days` are the days all learners entered as done, `done_in_span` those entered in the span.
    """

    slug: str
    title: str
    cadence: Mapping[str, Any]
    learners: Mapping[str, int]
    completed: int
    began: int
    lessons: Sequence[LessonFigures]
    done_days: int = 0
    done_in_span: int = 0

    @property
    def is_taken(self) -> bool:
        """Whether anybody ever took it."""
        return bool(sum(self.learners.values()))


def look(connection: Connection, span: Span, slug: str | None = None) -> list[CourseFigures]:
    """Look at every course, or one; raises CourseError where there is none of that slug."""
    found = courses.overviews(connection) if slug is None else [courses.overview(connection, slug)]
    measured, in_span = _measured(connection, span)
    responses, answers = _responses(connection), _answers(connection)
    began, completed = _began(connection, span)
    done_in_span = events.by_course(connection, span.since, span.until)

    def lesson(course: Overview, step: Step) -> LessonFigures:
        key = (course.id, step.slug)
        return LessonFigures(
            slug=step.slug,
            kind=step.kind,
            due=step.planned,
            reach=Reach(
                step.accepted,
                measured.get(key, 0),
                responses.get((*key, "opened"), 0),
                responses.get((*key, "clicked"), 0),
            ),
            answered=answers.get(key, 0),
            in_span=in_span.get(key, 0),
            ahead=step.ahead,
        )

    return [
        CourseFigures(
            slug=course.slug,
            title=course.title,
            cadence=course.cadence,
            learners=course.enrollments,
            completed=completed.get(course.id, 0),
            began=began.get(course.id, 0),
            lessons=tuple(lesson(course, step) for step in courses.funnel(connection, course)),
            done_days=course.done_days,
            done_in_span=done_in_span.get(course.id, 0),
        )
        for course in found
    ]


_Key = tuple[int, str]
_ACCEPTED = DELIVERY.c.state == "accepted"


def _measured(connection: Connection, span: Span) -> tuple[dict[_Key, int], dict[_Key, int]]:
    """By course and lesson: mails that measure, and mails accepted in the span."""
    query = (
        select(
            ENROLLMENT.c.course_id,
            DELIVERY.c.slug,
            func.sum(case((DELIVERY.c.tracked, 1), else_=0)),
            func.sum(case((within(DELIVERY.c.ended_at, span), 1), else_=0)),
        )
        .join(ENROLLMENT, ENROLLMENT.c.id == DELIVERY.c.enrollment_id)
        .where(_ACCEPTED, DELIVERY.c.kind.in_(LESSONS))
        .group_by(ENROLLMENT.c.course_id, DELIVERY.c.slug)
    )
    rows = connection.execute(query).all()
    return (
        {(course, slug): int(n) for course, slug, n, _ in rows},
        {(course, slug): int(n) for course, slug, _, n in rows},
    )


def _responses(connection: Connection) -> dict[tuple[int, str, str], int]:
    seen = touched(BY_A_HUMAN)
    query = (
        select(ENROLLMENT.c.course_id, DELIVERY.c.slug, seen.c.kind, func.count())
        .select_from(seen)
        .join(DELIVERY, DELIVERY.c.id == seen.c.delivery_id)
        .join(ENROLLMENT, ENROLLMENT.c.id == DELIVERY.c.enrollment_id)
        .where(IS_MEASURED)
        .group_by(ENROLLMENT.c.course_id, DELIVERY.c.slug, seen.c.kind)
    )
    return {(course, slug, kind): n for course, slug, kind, n in connection.execute(query)}


def _answers(connection: Connection) -> dict[_Key, int]:
    """By course and lesson, how many learners answered anything in it."""
    seen = touched(EVENT.c.kind == "answered")
    query = (
        select(
            ENROLLMENT.c.course_id, DELIVERY.c.slug, func.count(DELIVERY.c.enrollment_id.distinct())
        )
        .select_from(seen)
        .join(DELIVERY, DELIVERY.c.id == seen.c.delivery_id)
        .join(ENROLLMENT, ENROLLMENT.c.id == DELIVERY.c.enrollment_id)
        .group_by(ENROLLMENT.c.course_id, DELIVERY.c.slug)
    )
    return {(course, slug): n for course, slug, n in connection.execute(query)}


def _began(connection: Connection, span: Span) -> tuple[dict[int, int], dict[int, int]]:
    query = select(
        ENROLLMENT.c.course_id,
        func.sum(case((within(ENROLLMENT.c.started_at, span), 1), else_=0)),
        func.sum(case((ENROLLMENT.c.completed_at.is_not(None), 1), else_=0)),
    ).group_by(ENROLLMENT.c.course_id)
    rows = connection.execute(query).all()
    return {row[0]: int(row[1]) for row in rows}, {row[0]: int(row[2]) for row in rows}
