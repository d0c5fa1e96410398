"""A report as JSON values: the same facts under names that stay.

A hidden number is null, with `hidden` saying why: `small`, or `covered` where it would give a small
one away. Nothing here holds what the other forms hide.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from l3mail.needs import Cause, Need
from l3mail.reports.documents import Document
from l3mail.reports.hiding import Breakdown, Cell
from l3mail.reports.joining import Joining, Pair
from l3mail.reports.learning import CourseFigures
from l3mail.reports.mails import Mails, Reach
from l3mail.reports.outlook import Outlook
from l3mail.reports.weekly import Report

SCHEMA = 1
"""Raised when a name goes or changes its meaning; names that come do not raise it."""


def to_json(report: Report, document: Document, needs: list[str]) -> dict[str, Any]:
    """The report's facts, with the sentences and needs in the document's language."""
    span, zone = report.span, report.zone
    return {
        "schema": SCHEMA,
        "house": report.house,
        "locale": document.language,
        "week": span.week or None,
        "from": span.first_on.isoformat(),
        "until": span.last_on.isoformat(),
        "is_over": span.is_over,
        "written_at": _iso(report.now, zone),
        "sentences": list(document.lead),
        "needs": needs,
        "mails": mails(report.mails),
        "people": _people(report.joining),
        "courses": [course(one) for one in report.courses],
        "next": _next(report.outlook, report.needs, zone),
        "proof": {
            "acts": report.proof.acts,
            "verified": report.proof.broken_at is None,
            "broken_at": report.proof.broken_at,
            "link": bytes(report.proof.link).hex(),
        },
    }


def mails(found: Mails) -> dict[str, Any]:
    """Mails by kind, mailings and links."""
    return {
        "kinds": [
            {
                "kind": kind.kind,
                "planned": kind.planned,
                **kind.states,
                "planned_before": kind.planned_before,
                "accepted_before": kind.accepted_before,
            }
            for kind in found.kinds
        ],
        "mailings": [
            {
                "message": one.slug,
                "kind": one.kind,
                "planned": one.planned,
                **reach(one.reach),
                "openings_without_person": one.uncounted_openings.n,
                "clicks_without_person": one.uncounted_clicks.n,
            }
            for one in found.mailings
        ],
        "links": [
            {
                "message": link.slug,
                "link": link.name,
                **_cell(link.people),
                "clicks_without_person": link.uncounted.n,
            }
            for link in found.links
        ],
        "not_counted": {
            "machine": found.judged.machine,
            "unsure": found.judged.unsure,
            "undecided": found.judged.raw,
        },
    }


def reach(found: Reach) -> dict[str, Any]:
    """How far mails came; rates are null where too few are measurable."""
    tells = found.tells
    return {
        "accepted": found.accepted,
        "measurable": found.measurable,
        "measurable_share": _rate(found.measurable, found.accepted),
        "opened": found.opened if tells else None,
        "clicked": found.clicked if tells else None,
        "opened_rate": _rate(found.opened, found.measurable) if tells else None,
        "clicked_rate": _rate(found.clicked, found.measurable) if tells else None,
    }


def _rate(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None


def _people(joining: Joining) -> dict[str, Any]:
    return {
        "members": joining.members,
        "requested": _pair(joining.requested),
        "confirmed": _pair(joining.confirmed),
        "unsubscribed": _pair(joining.left),
        "streams": [
            {
                "stream": offer.slug,
                "title": offer.title,
                "kind": offer.kind,
                "confirmed": _pair(offer.confirmed),
                "unsubscribed": _pair(offer.left),
                "members": offer.members,
            }
            for offer in joining.offers
        ],
        "by_source": _breakdown(joining.by_source, "source"),
        "by_district": _breakdown(joining.by_district, "district"),
        "acts": [
            {"kind": act.kind, "message": act.slug, "name": act.name, **_cell(act.people)}
            for act in joining.acts
        ],
    }


def _pair(pair: Pair) -> dict[str, int]:
    return {"now": pair.now, "before": pair.before}


def _cell(cell: Cell) -> dict[str, Any]:
    return {"people": cell.n, "hidden": cell.hidden or None}


def _breakdown(found: Breakdown, name: str) -> list[dict[str, Any]]:
    return [
        {name: label or None, "now": _cell(now), "before": _cell(before)}
        for label, now, before in found.rows
    ]


def course(one: CourseFigures) -> dict[str, Any]:
    """One course with its funnel."""
    return {
        "course": one.slug,
        "title": one.title,
        "cadence": dict(one.cadence),
        "learners": dict(one.learners),
        "completed": one.completed,
        "began": one.began,
        "done_days": one.done_days,
        "done_days_now": one.done_in_span,
        "lessons": [
            {
                "message": lesson.slug,
                "kind": lesson.kind,
                "due": lesson.due,
                **reach(lesson.reach),
                "answered": lesson.answered,
                "accepted_now": lesson.in_span,
                "ahead": lesson.ahead,
            }
            for lesson in one.lessons
        ],
    }


def _next(outlook: Outlook, needs: Sequence[Need], zone: ZoneInfo) -> dict[str, Any]:
    return {
        "from": outlook.first_on.isoformat(),
        "until": outlook.last_on.isoformat(),
        "calendar": [
            {
                "due_at": _iso(one.due_at, zone),
                "message": one.slug,
                "kind": one.kind,
                "people": one.people,
            }
            for one in outlook.coming
        ],
        "holidays": [
            {"on": one.on.isoformat(), "name": one.name, "lessons": one.lessons}
            for one in outlook.holidays
        ],
        "approvals": [
            {"message": one.subject, "people": one.n, "lapses_at": one.at and _iso(one.at, zone)}
            for one in needs
            if one.cause is Cause.APPROVAL
        ],
        "stuck": [
            {"course": one.subject, "learners": one.n, "since": one.at and _iso(one.at, zone)}
            for one in needs
            if one.cause is Cause.STUCK
        ],
    }


def _iso(moment: datetime, zone: ZoneInfo) -> str:
    return moment.astimezone(zone).isoformat()
