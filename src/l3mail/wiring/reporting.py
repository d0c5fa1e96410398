"""The weekly report of a workspace: what its settings and files have to say to it."""

import threading
from concurrent.futures import Future, wait
from datetime import datetime

from sqlalchemy import Connection

from l3mail import content, publishing, reports
from l3mail.database import opened
from l3mail.errors import L3mailError
from l3mail.publishing import Standing
from l3mail.reports import Span, Terms
from l3mail.rounds import Agenda
from l3mail.settings import Settings, sending_problems
from l3mail.staff import Letter
from l3mail.starter import starter
from l3mail.wiring.contents import compile_content, read_content
from l3mail.wiring.rules import asking_terms, make_rules

PATIENCE_SECONDS = 0.02
"""So long one step waits for a letter; whoever wants to write behind it hardly feels it."""


def report_terms(connection: Connection, settings: Settings) -> Terms:
    """What a report needs to know of this workspace, its files included."""
    return Terms(
        house=settings.workspace.name,
        locale=settings.workspace.locale,
        zone=settings.zone,
        problems=tuple(sending_problems(settings)),
        standings=tuple(_standings(connection, settings)),
        agenda=Agenda(make_rules(settings), asking_terms(settings).question),
    )


def _standings(connection: Connection, settings: Settings) -> list[Standing]:
    try:
        _, texts = compile_content(settings)
    except L3mailError:
        # A report without this is better than none; `l3mail check` says what is wrong.
        return []
    return publishing.standings(connection, texts)


def weekly_letter(connection: Connection, settings: Settings, span: Span, now: datetime) -> Letter:
    """The real report as a letter; takes seconds in a large house."""
    report = reports.look(connection, span, now, report_terms(connection, settings))
    document = reports.tell(report)
    try:
        own = content.stationery(read_content(settings), document.language)
        return reports.letter(document, own)
    except L3mailError:
        # `l3mail check` says what is wrong with the house's own; the report goes out all the same.
        shipped = content.read_library(starter(), locale=settings.workspace.locale)
        return reports.letter(document, content.stationery(shipped, document.language))


class Scribe:
    """Writes a workspace's letters beside whoever plans: seconds of reading hold up no writer."""

    def __init__(self, settings: Settings) -> None:
        """Nothing is read before a letter is asked for."""
        self._settings = settings
        self._writing: tuple[str, Future[Letter]] | None = None

    def write(self, span: Span, now: datetime) -> Letter | None:
        """The letter on a week; None while it is being written, so ask again."""
        if self._writing is None or self._writing[0] != span.name:
            self._writing = span.name, self._begin(span, now)
        letter = self._writing[1]
        # Not by the time-out of `result`: a time-out while it was written would look the same.
        if not wait({letter}, PATIENCE_SECONDS).done:
            return None
        self._writing = None
        return letter.result()

    def _begin(self, span: Span, now: datetime) -> Future[Letter]:
        letter: Future[Letter] = Future()

        def fulfil() -> None:
            try:
                letter.set_result(self._letter(span, now))
            except BaseException as fault:  # noqa: BLE001 - raised where the letter is asked for
                letter.set_exception(fault)

        # A daemon: whoever stops the house does not wait for a letter that is begun anew later.
        threading.Thread(target=fulfil, name="l3mail-report", daemon=True).start()
        return letter

    def _letter(self, span: Span, now: datetime) -> Letter:
        with opened(self._settings.database_url) as database:
            return database.read_here(lambda c: weekly_letter(c, self._settings, span, now))
