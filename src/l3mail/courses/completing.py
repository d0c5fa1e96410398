"""Completing a course: the learner's own act, for whom each quiz of it is answered.

A course may also ask for days done (`complete_after`), beside its quizzes or without any; as many
as it asked for when the learner began, for a rule of the journey is pinned with its order and
spacing. One that asks for neither is never completed.

Owns `completed_at`. Finished, the plan's running out, is another thing and decided elsewhere.
"""

from datetime import datetime

from sqlalchemy import Connection, exists, select, update

from l3mail import events
from l3mail.models import CERTIFICATE, ENROLLMENT, LESSON, MESSAGE, STRUCTURE, SUBSCRIBER
from l3mail.planning import bindings, current_message


def complete(
    connection: Connection, enrollment_id: int, now: datetime, fallback_locale: str
) -> bool:
    """Note that an enrollment is completed, if it is and nobody noted it; whether this was now.

    What there is to answer are the quizzes of the structure's lessons, in the versions in force
    that the learner would be sent; while one of them is not published, nobody knows all. A quiz
    that is not put to everybody is none of them.
    """
    quizzes = _quizzes(connection, enrollment_id, now, fallback_locale)
    days = _days_asked(connection, enrollment_id)
    if not (quizzes or days) or None in quizzes:
        return False
    if quizzes and quizzes - events.answered(connection, enrollment_id):
        return False
    if days and len(events.days(connection, enrollment_id)) < days:
        return False
    noted = connection.execute(
        update(ENROLLMENT)
        .where(ENROLLMENT.c.id == enrollment_id, ENROLLMENT.c.completed_at.is_(None))
        .values(completed_at=now)
        .returning(ENROLLMENT.c.id)
    )
    return noted.first() is not None


def reconsider(connection: Connection, enrollment_id: int) -> bool:
    """Take a completion back that a day taken back had made; whether it was.

    One that somebody has a certificate of stays: others may have seen it.
    """
    days = _days_asked(connection, enrollment_id)
    if len(events.days(connection, enrollment_id)) >= days:
        return False
    taken = connection.execute(
        update(ENROLLMENT)
        .where(
            ENROLLMENT.c.id == enrollment_id,
            ENROLLMENT.c.completed_at.is_not(None),
            ~exists(select(CERTIFICATE.c.id).where(CERTIFICATE.c.enrollment_id == enrollment_id)),
        )
        .values(completed_at=None)
        .returning(ENROLLMENT.c.id)
    )
    return taken.first() is not None


def _days_asked(connection: Connection, enrollment_id: int) -> int:
    """How many days done complete the course; 0 where they do not."""
    rules = connection.execute(
        select(STRUCTURE.c.rules)
        .join(ENROLLMENT, ENROLLMENT.c.structure_id == STRUCTURE.c.id)
        .where(ENROLLMENT.c.id == enrollment_id)
    ).scalar()
    return int((rules or {}).get("complete_after", 0))


def _quizzes(
    connection: Connection, enrollment_id: int, now: datetime, fallback_locale: str
) -> set[tuple[str, str] | None]:
    """Every quiz of the course, as slug and name; None for those of a lesson not published yet."""
    query = (
        select(LESSON.c.slug, MESSAGE.c.id, MESSAGE.c.compiled["questions"])
        .select_from(ENROLLMENT)
        .join(SUBSCRIBER, SUBSCRIBER.c.id == ENROLLMENT.c.subscriber_id)
        .join(LESSON, LESSON.c.structure_id == ENROLLMENT.c.structure_id)
        .outerjoin(MESSAGE, MESSAGE.c.id == current_message(LESSON.c.slug, SUBSCRIBER.c.locale))
        .where(ENROLLMENT.c.id == enrollment_id)
    )
    quizzes: set[tuple[str, str] | None] = set()
    for slug, message, questions in connection.execute(query, bindings(now, (), fallback_locale)):
        asked = [
            one["name"]
            for one in questions or ()
            if one["kind"] == "quiz" and not one.get("conditional")
        ]
        quizzes.update([None] if message is None else ((slug, name) for name in asked))
    return quizzes
