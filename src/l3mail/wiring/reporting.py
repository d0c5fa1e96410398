"""The weekly report of a workspace: what its settings and files have to say to it."""

from datetime import datetime

from sqlalchemy import Connection

from l3mail import publishing, reports
from l3mail.errors import L3mailError
from l3mail.publishing import Standing
from l3mail.reports import Span, Terms, Write
from l3mail.settings import Settings, sending_problems
from l3mail.staff import Letter
from l3mail.wiring.contents import compile_content
from l3mail.wiring.rules import asking_terms


def report_terms(connection: Connection, settings: Settings) -> Terms:
    """What a report needs to know of this workspace, its files included."""
    return Terms(
        house=settings.workspace.name,
        locale=settings.workspace.locale,
        zone=settings.zone,
        problems=tuple(sending_problems(settings)),
        standings=tuple(_standings(connection, settings)),
        questions=asking_terms(settings).question,
    )


def _standings(connection: Connection, settings: Settings) -> list[Standing]:
    try:
        _, texts = compile_content(settings)
    except L3mailError:
        # A report without this is better than none; `l3mail check` says what is wrong.
        return []
    return publishing.standings(connection, texts)


def weekly_letter(settings: Settings) -> Write:
    """Writes the real report as a letter."""

    def write(connection: Connection, span: Span, now: datetime) -> Letter:
        report = reports.look(connection, span, now, report_terms(connection, settings))
        return reports.letter(reports.tell(report))

    return write
