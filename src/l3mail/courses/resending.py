"""A lesson sent once more, to a learner who lost it: a mail of its own, and no step of the course.

Goes through the same predicate as any other, with the text as it is published now.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, func, literal, select

from l3mail import outbox
from l3mail.courses.overviews import objection_to
from l3mail.errors import CourseError, quoted
from l3mail.models import COURSE, DELIVERY, ENROLLMENT, LESSON, UtcDateTime
from l3mail.planning import bindings, lesson_again

RESENDS_PER_DAY = 3
"""So many lessons a learner is sent again within a day: whoever wants more wants another way."""
RESENT = ":resend:"
"""What the occurrence of such a mail has behind the lesson's, before its number."""
_DAY = timedelta(days=1)

_AGAIN = lesson_again()


@dataclass(frozen=True, slots=True)
class _Journey:
    """A learner's newest enrollment in a course, and where it stands."""

    id: int
    structure_id: int
    next_position: int
    state: str


def resend(connection: Connection, slug: str, lesson: str, person: int, now: datetime) -> int:
    """Queue a lesson once more for somebody who has had it; which time it is.

    The course goes on as it would have. Raises CourseError for a lesson they have not had, for one
    that is on its way, where the day's number is used up, and where nobody may mail them.
    """
    journey = _journey(connection, slug, person)
    _require_had(connection, slug, lesson, journey)
    # Of two operators who send it the second waits here, and sees the first one's mail.
    connection.execute(
        select(ENROLLMENT.c.id).where(ENROLLMENT.c.id == journey.id).with_for_update(key_share=True)
    )
    verdict = objection_to(connection, slug, person, now)
    if verdict is not None:
        raise CourseError(f"may not be mailed: {verdict}")
    beginning = f"lesson:{journey.id}:{lesson}{RESENT}"
    again = DELIVERY.c.occurrence.startswith(beginning, autoescape=True)
    mine = (DELIVERY.c.subscriber_id == person, DELIVERY.c.enrollment_id == journey.id)
    earlier = connection.execute(
        select(DELIVERY.c.occurrence, DELIVERY.c.state).where(*mine, again)
    ).all()
    if {mail.state for mail in earlier} & {"queued", "sending", "deferred", "held"}:
        raise CourseError(f"is being sent {lesson} again already")
    today = connection.execute(
        select(func.count()).where(
            *mine,
            DELIVERY.c.occurrence.contains(RESENT, autoescape=True),
            DELIVERY.c.planned_at > literal(now - _DAY, UtcDateTime),
        )
    ).scalar_one()
    if today >= RESENDS_PER_DAY:
        raise CourseError(f"was sent {today} lessons again within a day; try it tomorrow")
    # Not how many there are: the first of them may be old enough to be gone.
    number = max((int(mail.occurrence.removeprefix(beginning)) for mail in earlier), default=0) + 1
    values = bindings(now, (), "") | {
        "of_slug": lesson,
        "of_enrollment": journey.id,
        "of_occurrence": f"{beginning}{number}",
    }
    if not outbox.queue(connection, _AGAIN, values):
        raise CourseError("may not be mailed")
    return number


def _journey(connection: Connection, slug: str, person: int) -> _Journey:
    row = connection.execute(
        select(*(ENROLLMENT.c[name] for name in _Journey.__dataclass_fields__))
        .join(COURSE, COURSE.c.id == ENROLLMENT.c.course_id)
        .where(COURSE.c.slug == slug, ENROLLMENT.c.subscriber_id == person)
        .order_by(ENROLLMENT.c.id.desc())
        .limit(1)
    ).first()
    if row is None:
        raise CourseError(f"has not taken {slug}")
    if row.state == "cancelled":
        raise CourseError(f"has left {slug}")
    return _Journey(*row)


def _require_had(connection: Connection, slug: str, lesson: str, journey: _Journey) -> None:
    steps = connection.execute(
        select(LESSON.c.position, LESSON.c.slug)
        .where(LESSON.c.structure_id == journey.structure_id)
        .order_by(LESSON.c.position)
    ).all()
    places = {step.slug: step.position for step in steps}
    if lesson not in places:
        known = ", ".join(places)
        raise CourseError(f"has no lesson {quoted(lesson)} in {slug}; it is made of {known}")
    began = connection.execute(
        select(DELIVERY.c.first_started_at).where(
            DELIVERY.c.enrollment_id == journey.id,
            DELIVERY.c.occurrence == f"lesson:{journey.id}:{lesson}",
        )
    ).scalar()
    # One that is under way has its own second attempts.
    if began is None or places[lesson] >= journey.next_position:
        following = next((s.slug for s in steps if s.position == journey.next_position), None)
        then = f"; next is {following}" if following else ""
        raise CourseError(f"has not had {lesson} yet{then}")
