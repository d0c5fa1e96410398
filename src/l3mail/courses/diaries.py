"""A learner's days: which ones a course has, which are done, which may still be entered.

Owns when a day may be entered: today, and yesterday for who forgot, from the first lesson's day
on. A lesson has the days until the next one to itself, and the last one as many; an evaluation has
none. That days are kept is the matter of events.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from sqlalchemy import BigInteger, Connection, func, select

from l3mail import events
from l3mail.calendars import parse_cadence
from l3mail.courses.lessons import ENDED
from l3mail.models import COURSE, DELIVERY, ENROLLMENT, LESSON, STRUCTURE, UtcDateTime
from l3mail.models.columns import among

_DAY = timedelta(days=1)
_OVER = (*ENDED, "uncertain")


@dataclass(frozen=True, slots=True)
class Diary:
    """One enrollment's days: `days` is how many its course has, by plan, from `first_on` on.

    `last_on` is the last of them, None while lessons are still to come. `asked` is how many days
    done complete the course, 0 where they do not. Who has cancelled enters nothing.
    """

    enrollment_id: int
    course: str
    title: str
    state: str
    first_on: date
    last_on: date | None
    days: int
    done: frozenset[date]
    asked: int = 0

    @property
    def is_cancelled(self) -> bool:
        """Whether the learner left, or began anew."""
        return self.state == "cancelled"

    def open_on(self, today: date) -> tuple[date, ...]:
        """The days that may be entered or taken back, today first."""
        if self.is_cancelled:
            return ()
        last_on = today if self.last_on is None else self.last_on
        return tuple(day for day in (today, today - _DAY) if self.first_on <= day <= last_on)

    def listed_on(self, today: date) -> list[date]:
        """The days to show in order: the plan's, and what else is done or may be."""
        planned = {self.first_on + n * _DAY for n in range(self.days)}
        return sorted(planned | self.done | set(self.open_on(today)))


def diary(connection: Connection, enrollment_id: int, zone: ZoneInfo) -> Diary | None:
    """An enrollment's days; None where there is no such enrollment."""
    row = connection.execute(
        select(
            COURSE.c.slug,
            COURSE.c.title,
            ENROLLMENT.c.state,
            ENROLLMENT.c.anchor_on,
            ENROLLMENT.c.structure_id,
            STRUCTURE.c.cadence,
            STRUCTURE.c.rules,
        )
        .join(COURSE, COURSE.c.id == ENROLLMENT.c.course_id)
        .join(STRUCTURE, STRUCTURE.c.id == ENROLLMENT.c.structure_id)
        .where(ENROLLMENT.c.id == enrollment_id)
    ).first()
    if row is None:
        return None
    lessons, last = _lessons(connection, enrollment_id, row.structure_id, zone)
    stride = parse_cadence(row.cadence).days
    return Diary(
        enrollment_id=enrollment_id,
        course=row.slug,
        title=row.title,
        state=row.state,
        first_on=row.anchor_on,
        last_on=None if last is None else last + (stride - 1) * _DAY,
        days=lessons * stride,
        done=events.days(connection, enrollment_id),
        asked=int(row.rules.get("complete_after", 0)),
    )


def _lessons(
    connection: Connection, enrollment_id: int, structure_id: int, zone: ZoneInfo
) -> tuple[int, date | None]:
    """How many lessons there are, and the local day of the last one, None while any is to come."""
    lessons = select(func.count()).where(
        LESSON.c.structure_id == structure_id, LESSON.c.kind == "lesson"
    )
    came, last = connection.execute(
        select(func.count(DELIVERY.c.id), func.max(DELIVERY.c.ended_at, type_=UtcDateTime)).where(
            DELIVERY.c.enrollment_id == enrollment_id,
            DELIVERY.c.kind == "lesson",
            DELIVERY.c.state.in_(_OVER),
        )
    ).one()
    total = int(connection.execute(lessons).scalar_one())
    return total, last.astimezone(zone).date() if last is not None and came >= total else None


class DaysDone(NamedTuple):
    """How many days somebody has done, of how many the course has by plan."""

    done: int
    days: int


_PLANS = (
    select(
        ENROLLMENT.c.id,
        STRUCTURE.c.cadence,
        select(func.count())
        .where(LESSON.c.structure_id == STRUCTURE.c.id, LESSON.c.kind == "lesson")
        .correlate(STRUCTURE)
        .scalar_subquery(),
    )
    .join(STRUCTURE, STRUCTURE.c.id == ENROLLMENT.c.structure_id)
    .where(among(ENROLLMENT.c.id, "ids", BigInteger()))
)


def days_done(connection: Connection, enrollments: Collection[int]) -> dict[int, DaysDone]:
    """By enrollment: two statements for however many."""
    if not enrollments:
        return {}
    done = events.counts(connection, enrollments)
    rows = connection.execute(_PLANS, {"ids": sorted(set(enrollments))})
    return {
        number: DaysDone(done.get(number, 0), lessons * parse_cadence(cadence).days)
        for number, cadence, lessons in rows
    }


COUNTED_FOR = timedelta(minutes=1)
"""For so long everybody's days are not counted again: a challenge writes to all its learners in the
same minutes, and they answer in the next."""


class Together:
    """Everybody's days in a course, as counted within the last minute."""

    def __init__(self) -> None:
        """Nothing is counted before somebody asks."""
        self._counted: dict[str, tuple[int, datetime]] = {}

    def of(self, connection: Connection, course: str, now: datetime, *, anew: bool = False) -> int:
        """The number of a course there is; `anew` for who has just changed it."""
        found = self._counted.get(course)
        if anew or found is None or not timedelta() <= now - found[1] < COUNTED_FOR:
            found = self._counted[course] = (events.together(connection, course), now)
        return found[0]
