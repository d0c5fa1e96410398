"""How far somebody is in a course, in lessons: its evaluation is a mail, but no lesson.

Owns the counting for pages, as mails count ("Lektion 2 von 6").
"""

from collections.abc import Collection, Mapping

from sqlalchemy import Connection, func, select

from l3mail.models import DELIVERY, ENROLLMENT, LESSON

ARRIVED = ("accepted", "uncertain")


def progress(connection: Connection, enrollments: Collection[int]) -> Mapping[int, tuple[int, int]]:
    """By enrollment, how many lessons the mail server took and how many there are."""
    wanted = ENROLLMENT.c.id.in_(sorted(enrollments))
    totals = connection.execute(
        select(ENROLLMENT.c.id, func.count(LESSON.c.slug))
        .join(LESSON, LESSON.c.structure_id == ENROLLMENT.c.structure_id)
        .where(wanted, LESSON.c.kind == "lesson")
        .group_by(ENROLLMENT.c.id)
    )
    received = connection.execute(
        select(DELIVERY.c.enrollment_id, func.count(DELIVERY.c.id))
        .join(ENROLLMENT, ENROLLMENT.c.id == DELIVERY.c.enrollment_id)
        .where(wanted, DELIVERY.c.kind == "lesson", DELIVERY.c.state.in_(ARRIVED))
        .group_by(DELIVERY.c.enrollment_id)
    )
    came: dict[int, int] = {int(number): int(count) for number, count in received}
    return {int(number): (came.get(number, 0), int(total)) for number, total in totals}
