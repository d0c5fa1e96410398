"""Reports on one thing instead of one week: an issue's sending, a course.

The same figures and words; the days are those from its beginning until now.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from l3mail import newsletters
from l3mail.errors import ReportError, quoted
from l3mail.reports import learning, mails, sections, spans
from l3mail.reports.documents import Document, Section
from l3mail.reports.learning import CourseFigures
from l3mail.reports.mails import Mails
from l3mail.reports.spans import Span
from l3mail.reports.weekly import Terms, titles
from l3mail.reports.wording import Words, tamed


@dataclass(frozen=True, slots=True)
class IssueReport:
    """One issue's sending, from its day until now."""

    slug: str
    scheduled_at: datetime
    mails: Mails
    titles: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class CourseReport:
    """One course; what happened in `span` stands beside the whole."""

    span: Span
    course: CourseFigures
    titles: Mapping[str, str]


def look_at_issue(connection: Connection, slug: str, now: datetime, terms: Terms) -> IssueReport:
    """Look at an issue's newest sending; raises ReportError where there is none that began."""
    campaign = newsletters.find(connection, slug)
    if campaign is None:
        raise ReportError(
            f"{quoted(slug)} was never scheduled; `l3mail newsletters list` shows what was"
        )
    if campaign.scheduled_at > now:
        raise ReportError(f"{slug} is scheduled and has not begun; there is nothing to report yet")
    first_on, today = _day(campaign.scheduled_at, terms.zone), _day(now, terms.zone)
    span = spans.days(first_on, today, terms.zone, now)
    found = mails.look(connection, span, spans.before(span, terms.zone), slug)
    return IssueReport(slug, campaign.scheduled_at, found, titles(connection, terms.locale))


def look_at_course(connection: Connection, slug: str, now: datetime, terms: Terms) -> CourseReport:
    """Look at a course, and at this week in it; raises CourseError where there is none."""
    span = spans.week_of(_day(now, terms.zone), terms.zone, now)
    (course,) = learning.look(connection, span, slug)
    return CourseReport(span, course, titles(connection, terms.locale))


def _day(moment: datetime, zone: ZoneInfo) -> date:
    return moment.astimezone(zone).date()


def tell_issue(report: IssueReport, terms: Terms) -> Document:
    """An issue's sending in words."""
    words = Words(terms.locale, terms.zone)
    planned, accepted = report.mails.total(), report.mails.total("accepted")
    title = sections.title_of(report.titles, report.slug)
    table = sections.mailings_blocks(report.mails, report.titles, words)
    links = sections.links_table(report.mails, report.titles, words)
    body = [Section("mailings", words.say("mailings.title"), table)]
    if links:
        body.append(Section("links", words.say("links.title"), links))
    return Document(
        language=words.language,
        title=words.say("title.newsletter"),
        subtitle=f"{title}, {words.moment(report.scheduled_at)}",
        house=tamed(terms.house),
        lead=(words.say("lead.mails", accepted=accepted, n=planned) + ".",),
        sections=tuple(body),
    )


def tell_course(report: CourseReport, terms: Terms) -> Document:
    """A course in words."""
    words = Words(terms.locale, terms.zone)
    section = sections.course_section(report.titles, report.course, words, name="course", level=2)
    return Document(
        language=words.language,
        title=words.say("title.course"),
        subtitle=tamed(report.course.title),
        house=tamed(terms.house),
        lead=(sections.learners(report.course, words),),
        sections=(section,),
    )
