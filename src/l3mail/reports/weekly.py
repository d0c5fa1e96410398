"""A report's facts, gathered at one moment from one snapshot: what every form of it is made of.

Owns what belongs together; the queries are with their subjects, the words in `telling`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, select

from l3mail import consents, needs
from l3mail.consents import Verification
from l3mail.models import MESSAGE
from l3mail.needs import Need
from l3mail.publishing import Standing
from l3mail.reports import joining, learning, mails, outlook, spans
from l3mail.reports.joining import Joining
from l3mail.reports.learning import CourseFigures
from l3mail.reports.mails import Mails
from l3mail.reports.outlook import Outlook
from l3mail.reports.spans import Span
from l3mail.rounds import Agenda

UNPUBLISHED = ("new", "changed", "broken")


@dataclass(frozen=True, slots=True)
class Terms:
    """What a report needs to know of its workspace.

    `problems` is why the settings let nothing out, `standings` how the texts in the files stand
    to what is published; both empty where nobody looked. Without an `agenda` nobody foresees what
    triggers expect, or sees what is stuck.
    """

    house: str
    locale: str
    zone: ZoneInfo
    problems: Sequence[str] = ()
    standings: Sequence[Standing] = ()
    agenda: Agenda | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """Everything a report says, in no language; its `titles` are subjects by slug."""

    house: str
    locale: str
    zone: ZoneInfo
    now: datetime
    span: Span
    before: Span
    mails: Mails
    joining: Joining
    courses: Sequence[CourseFigures]
    outlook: Outlook
    needs: Sequence[Need]
    unpublished: Sequence[Standing]
    proof: Verification
    titles: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_empty(self) -> bool:
        """Whether there is nobody here yet and nothing to count."""
        return not (
            self.mails.kinds
            or self.joining.members
            or self.joining.requested.now
            or any(course.is_taken for course in self.courses)
            or self.outlook.coming
        )


def look(connection: Connection, span: Span, now: datetime, terms: Terms) -> Report:
    """Gather a report; the same rows and moment give the same report."""
    before = spans.before(span, terms.zone)
    return Report(
        house=terms.house,
        locale=terms.locale,
        zone=terms.zone,
        now=now,
        span=span,
        before=before,
        mails=mails.look(connection, span, before),
        joining=joining.look(connection, span, before),
        courses=tuple(learning.look(connection, span)),
        outlook=outlook.look(
            connection, now, terms.zone, language=terms.locale, agenda=terms.agenda
        ),
        needs=tuple(needs.look(connection, now, terms.problems, agenda=terms.agenda)),
        unpublished=tuple(one for one in terms.standings if one.state in UNPUBLISHED),
        proof=consents.verify(connection),
        titles=titles(connection, terms.locale),
    )


def titles(connection: Connection, locale: str) -> dict[str, str]:
    """The subject in force of each text that names no person, in the locale if there is one."""
    rows = connection.execute(
        select(MESSAGE.c.slug, MESSAGE.c.locale, MESSAGE.c.compiled)
        .where(MESSAGE.c.superseded_at.is_(None), MESSAGE.c.generated.is_(False))
        .order_by(MESSAGE.c.slug, MESSAGE.c.locale)
    )
    found: dict[str, tuple[bool, str]] = {}
    for slug, tag, compiled in rows:
        subject = str(compiled.get("subject") or "")
        is_ours = tag == locale
        if subject and "{" not in subject and (slug not in found or is_ours):
            found[slug] = (is_ours, subject)
    return {slug: subject for slug, (_, subject) in found.items()}
