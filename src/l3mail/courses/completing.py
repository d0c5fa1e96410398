"""Completing a course: the learner's own act, for whom each quiz of it is answered.

Owns `completed_at`. Finished, the plan's running out, is another thing and decided elsewhere.
"""

from datetime import datetime

from sqlalchemy import Connection, select, update

from l3mail import events
from l3mail.models import ENROLLMENT, LESSON, MESSAGE, SUBSCRIBER
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
    if not quizzes or None in quizzes or quizzes - events.answered(connection, enrollment_id):
        return False
    noted = connection.execute(
        update(ENROLLMENT)
        .where(ENROLLMENT.c.id == enrollment_id, ENROLLMENT.c.completed_at.is_(None))
        .values(completed_at=now)
        .returning(ENROLLMENT.c.id)
    )
    return noted.first() is not None


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
