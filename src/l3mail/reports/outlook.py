"""What comes next: seven days of mails, holidays they would fall on, questions that wait.

Reads only, and computes what no row says yet.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, func, select

from l3mail import courses, newsletters
from l3mail.audiences import Questions
from l3mail.calendars import Closed, wall_to_utc
from l3mail.errors import ClosedDaysError, L3mailError
from l3mail.models import (
    APPROVAL,
    CAMPAIGN,
    COURSE,
    DELIVERY,
    ENROLLMENT,
    STRUCTURE,
    TRIGGER,
    UtcDateTime,
)

Lifecycle = Callable[[Connection, datetime], Sequence[tuple[datetime, str, int]]]
"""What triggers have due next, as (moment, slug, people); asked where there are any."""

AHEAD = timedelta(days=7)
HOLIDAYS_AHEAD = timedelta(days=14)
STUCK_FOR = timedelta(hours=48)
"""A lesson nobody planned for so long, with the house running, finds no day to go out on."""

_NATIONAL = {
    "Europe/Berlin": "DE",
    "Europe/Busingen": "DE",
    "Europe/Vienna": "AT",
    "Europe/Zurich": "CH",
}
"""Whose holidays are meant where a course names no calendar: those of the whole country."""


@dataclass(frozen=True, slots=True)
class Coming:
    """Mails due at one moment: what, of which kind, for how many; None where that is open."""

    due_at: datetime
    slug: str
    kind: str
    people: int | None


@dataclass(frozen=True, slots=True)
class Holiday:
    """A day with a name on which `lessons` are due all the same."""

    on: date
    name: str
    lessons: int


@dataclass(frozen=True, slots=True)
class Question:
    """A batch of lifecycle mails that waits for a person's yes."""

    slug: str
    people: int
    due_at: datetime
    lapses_at: datetime | None


@dataclass(frozen=True, slots=True)
class Stuck:
    """Learners of a course who are due since `since` and get nothing."""

    course: str
    learners: int
    since: datetime


@dataclass(frozen=True, slots=True)
class Outlook:
    """The days from `first_on` to `last_on`, and what else is known of what comes."""

    first_on: date
    last_on: date
    coming: Sequence[Coming]
    holidays: Sequence[Holiday]
    questions: Sequence[Question]
    stuck: Sequence[Stuck]


def look(
    connection: Connection,
    now: datetime,
    zone: ZoneInfo,
    *,
    language: str,
    questions: Questions | None = None,
    lifecycle: Lifecycle | None = None,
) -> Outlook:
    """Look ahead from now: today and six more days, for holidays a week further.

    With `questions`, how many people a campaign would reach is counted, too. Holidays are named in
    `language`.
    """
    today = now.astimezone(zone).date()
    until, farther = (
        wall_to_utc(today + length, time(), zone) for length in (AHEAD, HOLIDAYS_AHEAD)
    )
    lessons = courses.timetable(connection, now, farther, zone)
    coming = [Coming(at, slug, "lesson", n) for at, slug, n in lessons if at < until]
    coming += _campaigns(connection, now, until, questions)
    if lifecycle is not None:
        coming += [
            Coming(max(at, now), slug, "lifecycle", people)
            for at, slug, people in lifecycle(connection, now)
            if at < until
        ]
    return Outlook(
        first_on=today,
        last_on=today + AHEAD - timedelta(days=1),
        coming=tuple(sorted(coming, key=lambda one: (one.due_at, one.kind, one.slug))),
        holidays=tuple(_holidays(connection, lessons, zone, language)),
        questions=tuple(_questions(connection)),
        stuck=tuple(_stuck(connection, now)),
    )


def _campaigns(
    connection: Connection, now: datetime, until: datetime, questions: Questions | None
) -> list[Coming]:
    rows = connection.execute(
        select(CAMPAIGN).where(
            CAMPAIGN.c.planned_at.is_(None),
            CAMPAIGN.c.paused_at.is_(None),
            CAMPAIGN.c.cancelled_at.is_(None),
            CAMPAIGN.c.scheduled_at < until,
        )
    ).all()
    found = []
    for row in rows:
        people = None
        if questions is not None:
            try:
                asked = questions(connection, row.segment, now) if row.segment else None
                people = newsletters.audience(connection, row.stream_id, asked, now, but=row.id).yes
            except L3mailError:
                pass  # what pauses the campaign when it is due is told then
        found.append(Coming(max(row.scheduled_at, now), row.slug, "newsletter", people))
    return found


def _holidays(
    connection: Connection,
    lessons: Sequence[tuple[datetime, str, int]],
    zone: ZoneInfo,
    language: str,
) -> list[Holiday]:
    """Days of these lessons that are holidays, by the country's calendar and the courses' own."""
    rules = connection.execute(select(STRUCTURE.c.rules)).scalars()
    named = {code for one in rules if isinstance(code := one.get("skip_holidays"), str)}
    calendars = []
    for code in sorted(named) or ([_NATIONAL[zone.key]] if zone.key in _NATIONAL else []):
        try:
            calendars.append(Closed(code))
        except ClosedDaysError:
            continue
    due: dict[date, int] = {}
    for at, _, people in lessons:
        day = at.astimezone(zone).date()
        due[day] = due.get(day, 0) + people
    found = []
    for day, people in sorted(due.items()):
        name = next((n for calendar in calendars if (n := calendar.on(day, language))), None)
        if name:
            found.append(Holiday(day, name, people))
    return found


def _questions(connection: Connection) -> list[Question]:
    waiting = (
        select(func.count(DELIVERY.c.id))
        .where(DELIVERY.c.approval_id == APPROVAL.c.id, DELIVERY.c.state == "held")
        .correlate(APPROVAL)
        .scalar_subquery()
    )
    rows = connection.execute(
        select(TRIGGER.c.slug, waiting, APPROVAL.c.due_at, APPROVAL.c.lapses_at)
        .join(TRIGGER, TRIGGER.c.id == APPROVAL.c.trigger_id)
        .where(APPROVAL.c.decision.is_(None))
        .order_by(APPROVAL.c.due_at, APPROVAL.c.id)
    )
    return [Question(*row) for row in rows]


def _stuck(connection: Connection, now: datetime) -> list[Stuck]:
    rows = connection.execute(
        select(COURSE.c.slug, func.count(), func.min(ENROLLMENT.c.next_due_at, type_=UtcDateTime))
        .join(COURSE, COURSE.c.id == ENROLLMENT.c.course_id)
        .where(ENROLLMENT.c.state == "active", ENROLLMENT.c.next_due_at < now - STUCK_FOR)
        .group_by(COURSE.c.slug)
        .order_by(COURSE.c.slug)
    )
    return [Stuck(*row) for row in rows]
