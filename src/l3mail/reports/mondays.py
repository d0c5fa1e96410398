"""The weekly report by itself: to the staff on Monday, once for each week and address.

Owns when it falls due and its occurrence. What it says it is handed: a simulation hands it a few
words, the running house the real report.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, select

from l3mail import staff
from l3mail.calendars import wall_to_utc
from l3mail.models import WORKSPACE
from l3mail.reports import spans
from l3mail.reports.documents import Document
from l3mail.reports.pages import Stationery, to_mail
from l3mail.reports.spans import Span
from l3mail.reports.texts import to_text
from l3mail.rounds import Agenda, Planner, Round
from l3mail.staff import Letter

SLUG = "report/weekly"
WEEK = timedelta(weeks=1)

Write = Callable[[Span, datetime], Letter | None]
"""Writes the letter on a week, at a moment; None while it is still being written."""


def occurrence(span: Span, now: datetime) -> str:
    """What a report's mail is about; one on days that are not over is about the moment, too."""
    return f"report:{span.name}" + ("" if span.is_over else f":{now:%Y-%m-%dT%H:%M}")


def letter(document: Document, stationery: Stationery) -> Letter:
    """A document as mail."""
    return Letter(
        slug=SLUG,
        kind="report",
        locale=document.language,
        subject=f"{document.title}, {document.house}",
        text=to_text(document),
        html=to_mail(document, stationery),
    )


def placeholder(locale: str) -> Write:
    """Writes a letter that stands for the report where nobody will read it."""

    def write(span: Span, _now: datetime) -> Letter:
        return Letter(SLUG, "report", locale, span.name, f"{span.name}\n")

    return write


@dataclass(frozen=True, slots=True)
class Mondays:
    """When the report on the week before is mailed, and to whom; nobody if `to` is empty."""

    to: frozenset[str]
    at: time
    zone: ZoneInfo
    write: Write

    def planner(self) -> Planner:
        """How rounds plan it."""
        return Planner(self.step, self.next_moment)

    def step(self, connection: Connection, now: datetime, _agenda: Agenda) -> Round:
        """Queue the last week's report from Monday on, however late in the week it is."""
        if not self.to or now < self._due(now):
            return Round()
        span = spans.last_week(now, self.zone)
        about = occurrence(span, now)
        unmailed = staff.missing(connection, about, self.to)
        if not unmailed or not self._is_known(connection, span):
            return Round()
        written = self.write(span, now)
        if written is None:
            return Round(more=True)
        planned = staff.plan(connection, written, about, unmailed, now, due_at=self._due(now))
        return Round(planned=len(planned))

    def next_moment(
        self, connection: Connection, now: datetime, _agenda: Agenda
    ) -> datetime | None:
        """The next Monday there is a week to report of."""
        if not self.to:
            return None
        due = self._due(now)
        if due <= now or not self._is_known(connection, spans.last_week(now, self.zone)):
            # Half a day more, or the week in which clocks are put forward would be skipped.
            due = self._due(due + WEEK + timedelta(hours=12))
        return due

    def _due(self, now: datetime) -> datetime:
        """The moment on the Monday of this week."""
        today = now.astimezone(self.zone).date()
        return wall_to_utc(today - timedelta(days=today.weekday()), self.at, self.zone)

    def _is_known(self, connection: Connection, span: Span) -> bool:
        """Whether this house stood in that week: it tells nothing of days before it was there."""
        created: datetime = connection.execute(select(WORKSPACE.c.created_at)).scalar_one()
        return created < span.until
