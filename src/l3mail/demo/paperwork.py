"""The demo's papers to open: the reports on each week, the issue and the course; certificates.

Owns their names and their folder. What they say is the house's.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from sqlalchemy import Connection

from l3mail import reports
from l3mail.demo.people import BEGIN, COURSE, ISSUE, ISSUE_AT
from l3mail.reports import Document, Terms
from l3mail.settings import Settings
from l3mail.wiring import report_terms

REPORT: Final = "report"
CERTIFICATES: Final = "certificates"
_WEEK: Final = timedelta(weeks=1)


def write(connection: Connection, settings: Settings, now: datetime, folder: Path) -> Path:
    """Write every report into a demo's folder; return that of the fullest week."""
    terms = report_terms(connection, settings)
    documents = _weeks(connection, terms, now)
    issue = reports.look_at_issue(connection, ISSUE, now, terms)
    documents[ISSUE.replace("/", "-")] = reports.tell_issue(issue, terms)
    course = reports.look_at_course(connection, COURSE, now, terms)
    documents[COURSE] = reports.tell_course(course, terms)
    (folder / REPORT).mkdir(exist_ok=True)
    for name, document in documents.items():
        _place(folder, name).write_text(reports.to_page(document), encoding="utf-8")
    return _place(folder, _name(ISSUE_AT, terms))


def keep(papers: Mapping[str, bytes], folder: Path) -> tuple[Path, ...]:
    """Write certificates by whose address they are into a demo's folder; return the first."""
    (folder / CERTIFICATES).mkdir(exist_ok=True)
    places = [folder / CERTIFICATES / f"{address.partition('@')[0]}.pdf" for address in papers]
    for place, paper in zip(places, papers.values(), strict=True):
        place.write_bytes(paper)
    return tuple(places[:1])


def _weeks(connection: Connection, terms: Terms, now: datetime) -> dict[str, Document]:
    found = {}
    at = BEGIN
    while (span := reports.week(_name(at, terms), terms.zone, now)).is_over:
        found[span.week] = reports.tell(reports.look(connection, span, now, terms))
        at += _WEEK
    return found


def _name(at: datetime, terms: Terms) -> str:
    return f"{at.astimezone(terms.zone):%G-W%V}"


def _place(folder: Path, name: str) -> Path:
    return folder / REPORT / f"report-{name}.html"
