"""Who takes a course: joining, pausing, leaving, and the dates a learner can expect.

Owns enrollments. A lesson that is queued when its learner pauses is held, and goes out at the
first slot after the pause: neither lost nor sent twice.
"""

from collections.abc import Collection, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, NamedTuple
from zoneinfo import ZoneInfo

from sqlalchemy import (
    ColumnElement,
    Connection,
    Date,
    and_,
    bindparam,
    case,
    exists,
    func,
    insert,
    null,
    or_,
    select,
    update,
)

from l3mail.calendars import Timetable
from l3mail.courses.structures import timetables
from l3mail.errors import NothingOpenError
from l3mail.models import COURSE, DELIVERY, ENROLLMENT, LESSON, UtcDateTime
from l3mail.models.columns import ONE
from l3mail.outbox import TAKEN_BACK
from l3mail.planning import NOW

PAUSED = "the learner pauses"
"""Why a lesson is `held` that was queued when its learner paused."""

RUNNING = ("active", "paused")
SENT = ("accepted", "uncertain")
_LONG_AGO = datetime(1, 1, 2, tzinfo=UTC)
_MOMENT = timedelta(microseconds=1)


def enroll(
    connection: Connection, slug: str, subscriber_id: int, confirmed_at: datetime, zone: ZoneInfo
) -> int:
    """Begin the course's current structure for a person, from the first slot after confirming.

    After a cancelled or finished enrollment this is a new one, from the first lesson. The
    database refuses a second running one of the same person in the same course (`running`).
    """
    course = connection.execute(select(COURSE).where(COURSE.c.slug == slug)).one()
    structure = course.current_structure_id
    timetable, _ = timetables(connection, [structure], zone)[structure]
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


def running(connection: Connection, slug: str, subscriber_id: int) -> int | None:
    """The id of a person's active or paused enrollment in a course, if there is one."""
    return connection.execute(
        select(ENROLLMENT.c.id)
        .join(COURSE, COURSE.c.id == ENROLLMENT.c.course_id)
        .where(
            COURSE.c.slug == slug,
            ENROLLMENT.c.subscriber_id == subscriber_id,
            ENROLLMENT.c.state.in_(RUNNING),
        )
    ).scalar()


_UNSENT = or_(
    DELIVERY.c.state.in_(("queued", "deferred", "held")),
    # It would be sent again.
    and_(DELIVERY.c.state == "uncertain", DELIVERY.c.next_attempt_at.is_not(None)),
)


def cancel(
    connection: Connection, subscriber_id: int, stream_ids: Collection[int], now: datetime
) -> list[int]:
    """End a person's running enrollments in the courses of these streams; return their ids.

    Lessons planned for them and not yet handed over are cancelled too; one in mid-dialogue
    can't be called back.
    """
    return cancel_all(connection, {subscriber_id}, stream_ids, now)


def cancel_all(
    connection: Connection,
    subscriber_ids: Collection[int],
    stream_ids: Collection[int],
    now: datetime,
) -> list[int]:
    """`cancel` for several people who leave the same streams."""
    ended = connection.execute(
        update(ENROLLMENT)
        .where(
            ENROLLMENT.c.subscriber_id.in_(sorted(subscriber_ids)),
            ENROLLMENT.c.course_id.in_(
                select(COURSE.c.id).where(COURSE.c.stream_id.in_(sorted(stream_ids)))
            ),
            ENROLLMENT.c.state.in_(RUNNING),
        )
        .values(state="cancelled", ended_at=now, next_due_at=None, paused_until=None)
        .returning(ENROLLMENT.c.id)
    )
    ids = sorted(row.id for row in ended)
    if ids:
        connection.execute(
            update(DELIVERY)
            .where(DELIVERY.c.enrollment_id.in_(ids), _UNSENT)
            .values(state="cancelled", reason="the course was cancelled", ended_at=now)
            .values(TAKEN_BACK)
        )
    return ids


def is_current(enrollment: Any = ENROLLMENT) -> ColumnElement[bool]:
    """Whether a delivery is the lesson its enrollment stands at."""
    return and_(
        DELIVERY.c.enrollment_id == enrollment.c.id,
        DELIVERY.c.slug
        == select(LESSON.c.slug)
        .where(
            LESSON.c.structure_id == enrollment.c.structure_id,
            LESSON.c.position == enrollment.c.next_position,
        )
        .correlate(enrollment)
        .scalar_subquery(),
    )


IS_PAUSED_MAIL = and_(DELIVERY.c.state == "held", DELIVERY.c.reason == PAUSED)
IS_PLANNED = exists(
    select(DELIVERY.c.id).where(is_current(), ~IS_PAUSED_MAIL).correlate(ENROLLMENT)
)
"""Whether an enrollment's next lesson is a delivery that goes its way, or has gone it."""


def pause(
    connection: Connection, enrollment_id: int, until: datetime | None, now: datetime
) -> bool:
    """Stop a running enrollment until a moment, or until somebody resumes it (None).

    A lesson that waits in the outbox is held; one in mid-dialogue goes its way. Pausing again
    sets another end. False where nothing runs, or `until` is no later than `now`.
    """
    if until is not None and until <= now:
        return False
    paused = connection.execute(
        update(ENROLLMENT)
        .where(ENROLLMENT.c.id == enrollment_id, ENROLLMENT.c.state.in_(RUNNING))
        .values(state="paused", paused_until=until)
        .returning(ENROLLMENT.c.id)
    ).first()
    if paused is not None:
        _hold(connection, enrollment_id)
    return paused is not None


def _hold(connection: Connection, enrollment_id: int) -> None:
    """Keep the lesson an enrollment stands at from being sent, until planning releases it."""
    standing_at = (
        select(LESSON.c.slug)
        .join(
            ENROLLMENT,
            and_(
                LESSON.c.structure_id == ENROLLMENT.c.structure_id,
                LESSON.c.position == ENROLLMENT.c.next_position,
            ),
        )
        .where(ENROLLMENT.c.id == enrollment_id)
        .scalar_subquery()
    )
    connection.execute(
        update(DELIVERY)
        .where(
            DELIVERY.c.enrollment_id == enrollment_id,
            DELIVERY.c.slug == standing_at,
            DELIVERY.c.state.in_(("queued", "deferred", "held")),
        )
        .values(state="held", reason=PAUSED)
        .values(TAKEN_BACK)
    )


def _rests_with(*states: str) -> ColumnElement[bool]:
    """Whether a delivery waits for another attempt though its enrollment came to one of these."""
    return and_(
        DELIVERY.c.state == "deferred",
        exists(
            select(ENROLLMENT.c.id).where(
                ENROLLMENT.c.id == DELIVERY.c.enrollment_id,
                or_(*(ENROLLMENT.c.state == state for state in states)),
                is_current(),
            )
        ),
    )


_LEFT: dict[str, Any] = {"reason": "the course was cancelled", "ended_at": NOW}
_TAKE_BACK = tuple(
    update(DELIVERY).where(_rests_with(state)).values(values).values(TAKEN_BACK)
    for state, values in (
        ("paused", {"state": "held", "reason": PAUSED}),
        ("cancelled", {"state": "cancelled"} | _LEFT),
    )
)


ANYTHING_TO_TAKE_BACK = (
    select(DELIVERY.c.id)
    .where(_rests_with("paused", "cancelled"))
    .order_by(DELIVERY.c.next_attempt_at)
    .limit(ONE)
    .scalar_subquery()
    .is_not(None)
)
"""Whether `take_back` changes anything."""


def take_back(connection: Connection, now: datetime) -> None:
    """Hold or cancel lessons that were in mid-dialogue when their learner paused or left.

    The relay said "later", and by then they are not to be sent.
    """
    for statement in _TAKE_BACK:
        connection.execute(statement, {"now": now})


def resume(connection: Connection, enrollment_id: int, now: datetime, zone: ZoneInfo) -> bool:
    """End a pause: the lessons go on at the learner's first slot from `now` on.

    And on a later local day than the last lesson. False where nothing is paused.
    """
    row = connection.execute(
        select(ENROLLMENT).where(ENROLLMENT.c.id == enrollment_id, ENROLLMENT.c.state == "paused")
    ).first()
    if row is None:
        return False
    timetable, _ = timetables(connection, [row.structure_id], zone)[row.structure_id]
    due = timetable.next_due(row.anchor_on, now - _MOMENT, row.last_lesson_on)
    woken = connection.execute(
        update(ENROLLMENT)
        .where(ENROLLMENT.c.id == enrollment_id, ENROLLMENT.c.state == "paused")
        .values(_AWAKE)
        .returning(ENROLLMENT.c.id),
        {"due": due},
    )
    return woken.first() is not None


_AWAKE: dict[Any, Any] = {
    "state": "active",
    "paused_until": None,
    # Whose lesson is under way or has ended is led on by that, as everybody else.
    "next_due_at": case((IS_PLANNED, null()), else_=bindparam("due", type_=UtcDateTime)),
}
_OVER = and_(ENROLLMENT.c.state == "paused", ENROLLMENT.c.paused_until <= NOW)
_FIRST_OVER = select(func.min(ENROLLMENT.c.paused_until, type_=UtcDateTime)).where(
    ENROLLMENT.c.state == "paused"
)
ANYBODY_TO_WAKE = _FIRST_OVER.scalar_subquery() <= NOW
"""Whether `wake` ends a pause."""
_SLEEPERS = (
    select(
        ENROLLMENT.c.structure_id,
        ENROLLMENT.c.anchor_on,
        ENROLLMENT.c.last_lesson_on,
        func.min(ENROLLMENT.c.paused_until, type_=UtcDateTime).label("first"),
        func.max(ENROLLMENT.c.paused_until, type_=UtcDateTime).label("last"),
    )
    .where(_OVER)
    .group_by(ENROLLMENT.c.structure_id, ENROLLMENT.c.anchor_on, ENROLLMENT.c.last_lesson_on)
)
_IN_COHORT = and_(
    _OVER,
    ENROLLMENT.c.structure_id == bindparam("of_structure"),
    ENROLLMENT.c.anchor_on == bindparam("of_anchor"),
    ENROLLMENT.c.last_lesson_on.is_not_distinct_from(bindparam("of_day", type_=Date)),
    ENROLLMENT.c.paused_until > bindparam("after"),
    ENROLLMENT.c.paused_until <= bindparam("upto"),
)
_WAKE = (
    update(ENROLLMENT)
    .where(
        _IN_COHORT,
        ENROLLMENT.c.id.in_(select(ENROLLMENT.c.id).where(_IN_COHORT).limit(bindparam("batch"))),
    )
    .values(_AWAKE)
    .returning(ENROLLMENT.c.id)
)


def wake(connection: Connection, now: datetime, zone: ZoneInfo, limit: int) -> int:
    """End the pauses whose moment is reached, set by set, `limit` at most; return how many.

    The next lesson is due at the learner's first slot from the end of the pause on, on a later
    local day than the last lesson. Where this house slept through that slot, `plan` catches up
    by the rule that holds for everybody.
    """
    sleepers = connection.execute(_SLEEPERS, {"now": now}).all()
    found = timetables(connection, {row.structure_id for row in sleepers}, zone)
    woken = 0
    for row in sleepers:
        timetable, _ = found[row.structure_id]
        after = _LONG_AGO
        try:
            for slot in _slots(timetable, row):
                if woken >= limit:
                    return woken
                values = {
                    "now": now,
                    "of_structure": row.structure_id,
                    "of_anchor": row.anchor_on,
                    "of_day": row.last_lesson_on,
                    "after": after,
                    "upto": slot,
                    "due": slot,
                    "batch": limit - woken,
                }
                woken += len(connection.execute(_WAKE, values).all())
                if slot >= row.last:
                    break
                after = slot
        except NothingOpenError:
            # Sleeps until its course opens again, and keeps nobody else asleep.
            continue
    return woken


def _slots(timetable: Timetable, cohort: Any) -> Iterator[datetime]:
    """The slots at which those of a cohort go on who wake between its first and its last."""
    due = cohort.first - _MOMENT
    while True:
        due = timetable.next_due(cohort.anchor_on, due, cohort.last_lesson_on)
        yield due


def reanchor(
    connection: Connection, enrollment_id: int, confirmed_at: datetime, zone: ZoneInfo
) -> bool:
    """Let an active enrollment that has sent nothing begin as if confirmed at that moment.

    It keeps its structure. False, and nothing is changed, where a lesson was begun or the
    enrollment is not active.
    """
    row = connection.execute(
        select(ENROLLMENT).where(
            ENROLLMENT.c.id == enrollment_id,
            ENROLLMENT.c.state == "active",
            ENROLLMENT.c.next_position == 0,
            ~exists(
                select(DELIVERY.c.id).where(
                    DELIVERY.c.enrollment_id == enrollment_id,
                    or_(
                        DELIVERY.c.first_started_at.is_not(None),
                        DELIVERY.c.state.not_in(("queued", "held")),
                    ),
                )
            ),
        )
    ).first()
    if row is None:
        return False
    timetable, _ = timetables(connection, [row.structure_id], zone)[row.structure_id]
    anchor_on = timetable.anchor(confirmed_at)
    _hold(connection, enrollment_id)
    connection.execute(
        update(ENROLLMENT)
        .where(ENROLLMENT.c.id == enrollment_id)
        .values(
            anchor_on=anchor_on,
            next_due_at=timetable.slot(anchor_on, 0),
            started_at=confirmed_at,
        )
    )
    return True


Beginning = Literal["enrolled", "re-anchored", "restarted", "runs already", "finished already"]


def begin(
    connection: Connection,
    slug: str,
    subscriber_id: int,
    *,
    confirmed_at: datetime,
    now: datetime,
    zone: ZoneInfo,
    restart: bool = False,
) -> tuple[Beginning, int]:
    """Enroll as an operator orders it; return what became of it, and the enrollment.

    An enrollment that has sent nothing is anchored anew; one that has, or is paused or finished,
    stays as it is unless it may be restarted, which begins at the first lesson.
    """
    current = running(connection, slug, subscriber_id)
    if current is None:
        finished = connection.execute(
            select(ENROLLMENT.c.id)
            .join(COURSE, COURSE.c.id == ENROLLMENT.c.course_id)
            .where(
                COURSE.c.slug == slug,
                ENROLLMENT.c.subscriber_id == subscriber_id,
                ENROLLMENT.c.state == "finished",
            )
        ).first()
        if finished is not None and not restart:
            return "finished already", finished.id
        begun = enroll(connection, slug, subscriber_id, confirmed_at, zone)
        return "enrolled" if finished is None else "restarted", begun
    if reanchor(connection, current, confirmed_at, zone):
        return "re-anchored", current
    if not restart:
        return "runs already", current
    stream = select(COURSE.c.stream_id).where(COURSE.c.slug == slug)
    cancel(connection, subscriber_id, {connection.execute(stream).scalar_one()}, now)
    return "restarted", enroll(connection, slug, subscriber_id, confirmed_at, zone)


class Due(NamedTuple):
    """A lesson that learners wait for: the earliest moment, and how many they are."""

    slug: str
    due_at: datetime
    people: int


def next_due(connection: Connection) -> list[Due]:
    """When each next lesson of active enrollments is due, the earliest first."""
    earliest = func.min(ENROLLMENT.c.next_due_at, type_=UtcDateTime)
    rows = connection.execute(
        select(LESSON.c.slug, earliest, func.count())
        .select_from(ENROLLMENT)
        .join(
            LESSON,
            (LESSON.c.structure_id == ENROLLMENT.c.structure_id)
            & (LESSON.c.position == ENROLLMENT.c.next_position),
        )
        .where(ENROLLMENT.c.state == "active", ENROLLMENT.c.next_due_at.is_not(None))
        .group_by(LESSON.c.slug)
        .order_by(earliest, LESSON.c.slug)
    )
    return [Due(*row) for row in rows]
