"""Lessons that are due, as SQL: one statement for a cohort."""

from typing import Any

from sqlalchemy import Date, Select, String, and_, bindparam, cast, literal

from l3mail.models import COURSE, ENROLLMENT, LESSON, SUBSCRIBER, SUBSCRIPTION, Id
from l3mail.planning.lanes import LANE_OF_COURSES
from l3mail.planning.mails import mails
from l3mail.planning.permission import NOW, Column, Joined


def lessons_due() -> Select[Any]:
    """One row for each enrollment of a cohort whose next lesson is due and may be mailed.

    A cohort shares structure, anchor, due moment and the day of its last lesson, so that the
    calendar is asked once for all of it. Binds `bindings`, the four `cohort_…` parameters
    (`cohort()`), and `batch`, the number of rows at most.
    """
    occurrence = literal("lesson:") + cast(ENROLLMENT.c.id, String) + ":" + LESSON.c.slug
    is_next = LESSON.c.position == ENROLLMENT.c.next_position
    due = _lessons(is_next, occurrence, ENROLLMENT.c.next_due_at)
    return due.where(in_cohort()).limit(bindparam("batch"))


def lesson_again() -> Select[Any]:
    """One row for a lesson of an enrollment that is to be mailed once more, now, if it may be.

    Binds `bindings`, `of_enrollment`, `of_slug` and `of_occurrence`.
    """
    occurrence = bindparam("of_occurrence", type_=String)
    named = _lessons(LESSON.c.slug == bindparam("of_slug"), occurrence, NOW)
    return named.where(ENROLLMENT.c.id == bindparam("of_enrollment", type_=Id))


def _lessons(which: Column, occurrence: Column, due_at: Column) -> Select[Any]:
    """The lessons of enrollments, as mails to their learners."""
    candidate = Joined(
        id=literal(None, Id),
        purpose=literal("stream"),
        kind=LESSON.c.kind,
        subscriber_id=ENROLLMENT.c.subscriber_id,
        address=literal(None, String),
        stream_id=COURSE.c.stream_id,
        generation=SUBSCRIPTION.c.generation,
        signup_id=literal(None, Id),
        link_request_id=literal(None, Id),
        person=SUBSCRIBER,
        membership=SUBSCRIPTION,
    )
    return (
        mails(
            candidate,
            occurrence=occurrence,
            slug=LESSON.c.slug,
            lane=LANE_OF_COURSES,
            due_at=due_at,
            enrollment_id=ENROLLMENT.c.id,
        )
        .select_from(ENROLLMENT)
        .join(COURSE, COURSE.c.id == ENROLLMENT.c.course_id)
        .join(LESSON, and_(LESSON.c.structure_id == ENROLLMENT.c.structure_id, which))
        .join(
            SUBSCRIPTION,
            and_(
                SUBSCRIPTION.c.subscriber_id == ENROLLMENT.c.subscriber_id,
                SUBSCRIPTION.c.stream_id == COURSE.c.stream_id,
            ),
        )
        .join(SUBSCRIBER, SUBSCRIBER.c.id == ENROLLMENT.c.subscriber_id)
    )


def in_cohort() -> Column:
    """Whether an enrollment belongs to the cohort that the `cohort_…` parameters name."""
    last_lesson_on = bindparam("cohort_last_lesson_on", type_=Date)
    return and_(
        ENROLLMENT.c.state == "active",
        ENROLLMENT.c.structure_id == bindparam("cohort_structure_id"),
        ENROLLMENT.c.anchor_on == bindparam("cohort_anchor_on"),
        ENROLLMENT.c.next_due_at == bindparam("cohort_due_at"),
        ENROLLMENT.c.last_lesson_on.is_not_distinct_from(last_lesson_on),
    )
