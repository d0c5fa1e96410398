"""Days done: on which local days somebody says to have learned.

Owns that a day counts once for an enrollment, and the counting. A fact that whoever said it may
take back: a button pressed in error says nothing. Which days are open is the course's matter.
"""

from collections.abc import Collection
from datetime import date, datetime
from typing import Any, Final

from sqlalchemy import BigInteger, Connection, delete, func, select

from l3mail.events.facts import append
from l3mail.models import COURSE, ENROLLMENT, EVENT, SUBSCRIBER
from l3mail.models.columns import among

IS_DONE: Final = EVENT.c.kind == "done"
IS_ONE_DONE: Final = EVENT.c.kind.concat("") == "done"
"""The same where the rows of few journeys are looked for: SQLite, which knows no numbers of rows,
would rather go through the days of everybody."""


def mark(connection: Connection, fact: dict[str, Any], day: date) -> bool:
    """Add a day done, unless it is there; whether it was added.

    `fact` is one of `append`'s, without `kind` and `name`; it says `subscriber_id` and
    `enrollment_id`.
    """
    _in_order(connection, fact["subscriber_id"])
    if day in days(connection, fact["enrollment_id"]):
        return False
    append(connection, [{**fact, "kind": "done", "name": day.isoformat()}])
    return True


def unmark(connection: Connection, subscriber_id: int, enrollment_id: int, day: date) -> bool:
    """Take a day back; whether it was there."""
    _in_order(connection, subscriber_id)
    taken = connection.execute(
        delete(EVENT)
        .where(IS_ONE_DONE, EVENT.c.enrollment_id == enrollment_id, EVENT.c.name == day.isoformat())
        .returning(EVENT.c.id)
    )
    return taken.first() is not None


def days(connection: Connection, enrollment_id: int) -> frozenset[date]:
    """The days done in an enrollment."""
    found = select(EVENT.c.name).where(IS_ONE_DONE, EVENT.c.enrollment_id == enrollment_id)
    return frozenset(date.fromisoformat(day) for day in connection.execute(found).scalars())


_COUNTS = (
    select(EVENT.c.enrollment_id, func.count())
    .where(IS_ONE_DONE, among(EVENT.c.enrollment_id, "ids", BigInteger()))
    .group_by(EVENT.c.enrollment_id)
)


def counts(connection: Connection, enrollments: Collection[int]) -> dict[int, int]:
    """By enrollment, how many days are done; those without any are left out."""
    if not enrollments:
        return {}
    rows = connection.execute(_COUNTS, {"ids": sorted(set(enrollments))})
    return {int(number): int(n) for number, n in rows}


def together(connection: Connection, course: str) -> int:
    """The days done of everybody who ever took a course."""
    found = (
        select(func.count())
        .select_from(EVENT)
        .join(ENROLLMENT, ENROLLMENT.c.id == EVENT.c.enrollment_id)
        .join(COURSE, COURSE.c.id == ENROLLMENT.c.course_id)
        .where(IS_DONE, COURSE.c.slug == course)
    )
    return int(connection.execute(found).scalar_one())


def by_course(
    connection: Connection, since: datetime | None = None, until: datetime | None = None
) -> dict[int, int]:
    """By course, the days of everybody that were entered in a time; those without are left out."""
    query = (
        select(ENROLLMENT.c.course_id, func.count())
        .select_from(EVENT)
        .join(ENROLLMENT, ENROLLMENT.c.id == EVENT.c.enrollment_id)
        .where(IS_DONE)
        .group_by(ENROLLMENT.c.course_id)
    )
    if since is not None:
        query = query.where(EVENT.c.at >= since)
    if until is not None:
        query = query.where(EVENT.c.at < until)
    return {int(course): int(n) for course, n in connection.execute(query)}


def _in_order(connection: Connection, subscriber_id: int) -> None:
    # The person's row puts two presses of one button in order; SQLite's writers are in one already.
    connection.execute(
        select(SUBSCRIBER.c.id)
        .where(SUBSCRIBER.c.id == subscriber_id)
        .with_for_update(key_share=True)
    )
