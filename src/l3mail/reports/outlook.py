"""What comes next: seven days of mails, and holidays they would fall on.

Reads only, and computes what no row says yet.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, select

from l3mail import courses, newsletters, rounds, triggers
from l3mail.calendars import Closed, wall_to_utc
from l3mail.errors import ClosedDaysError, L3mailError
from l3mail.models import CAMPAIGN, STRUCTURE
from l3mail.rounds import Agenda

AHEAD = timedelta(days=7)
HOLIDAYS_AHEAD = timedelta(days=14)

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
class Outlook:
    """The days from `first_on` to `last_on`, and the holidays of a week more."""

    first_on: date
    last_on: date
    coming: Sequence[Coming]
    holidays: Sequence[Holiday]


def look(
    connection: Connection,
    now: datetime,
    zone: ZoneInfo,
    *,
    language: str,
    agenda: Agenda | None = None,
) -> Outlook:
    """Look ahead from now: today and six more days, for holidays a week further.

    With an `agenda` also what triggers expect, and for how many a campaign would be. Holidays are
    named in `language`.
    """
    today = now.astimezone(zone).date()
    until, farther = (
        wall_to_utc(today + length, time(), zone) for length in (AHEAD, HOLIDAYS_AHEAD)
    )
    lessons = courses.timetable(connection, now, farther, zone)
    coming = [Coming(at, slug, "lesson", n) for at, slug, n in lessons if at < until]
    coming += _campaigns(connection, now, until, agenda)
    if agenda is not None:
        expected = triggers.foreseen(connection, rounds.trigger_terms(now, agenda), until)
        coming += [
            Coming(max(one.due_at, now), one.slug, "lifecycle", one.people) for one in expected
        ]
    return Outlook(
        first_on=today,
        last_on=today + AHEAD - timedelta(days=1),
        coming=tuple(sorted(coming, key=lambda one: (one.due_at, one.kind, one.slug))),
        holidays=tuple(_holidays(connection, lessons, zone, language)),
    )


def _campaigns(
    connection: Connection, now: datetime, until: datetime, agenda: Agenda | None
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
        if agenda is not None:
            try:
                asked = agenda.questions(connection, row.segment, now) if row.segment else None
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
