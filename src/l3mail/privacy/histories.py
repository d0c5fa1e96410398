"""What came of it: the mails to a person, what they did, and what was measured of them.

Reads only.
"""

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Select, func, select

from l3mail import conditions
from l3mail.models import CAMPAIGN, COURSE, DELIVERY, ENROLLMENT, EVENT, LINK, MESSAGE, STREAM

_MEASURED: Final = ("opened", "clicked")
_AT_ONCE: Final = 500


def mails(connection: Connection, which: ColumnElement[bool]) -> list[dict[str, Any]]:
    """All mails of a condition, oldest first: what each was, and what came of it."""
    rows = connection.execute(
        select(
            DELIVERY,
            MESSAGE.c.compiled["subject"].label("subject"),
            STREAM.c.slug.label("stream"),
            CAMPAIGN.c.segment,
        )
        .select_from(DELIVERY)
        .outerjoin(MESSAGE, MESSAGE.c.id == DELIVERY.c.message_id)
        .outerjoin(STREAM, STREAM.c.id == DELIVERY.c.stream_id)
        .outerjoin(CAMPAIGN, CAMPAIGN.c.id == DELIVERY.c.campaign_id)
        .where(which)
        .order_by(DELIVERY.c.id)
    ).all()
    noted = [(row.id, row.message_id, row.shown) for row in rows]
    parts: dict[int, Any] = {}
    for first in range(0, len(noted), _AT_ONCE):
        parts |= conditions.told(connection, noted[first : first + _AT_ONCE])
    return [_mail(row, parts.get(row.id, [])) for row in rows]


def _mail(row: Any, parts: Any) -> dict[str, Any]:
    return {
        "number": row.id,
        "kind": row.kind,
        "text": row.slug,
        "subject": row.subject,
        "stream": row.stream,
        "segment": row.segment,
        **({"address": row.address} if row.address else {}),
        "state": row.state,
        "reason": row.reason,
        "planned_at": row.planned_at,
        "due_at": row.due_at,
        "first_tried_at": row.first_started_at,
        "ended_at": row.ended_at,
        "in_doubt_at": row.uncertain_at,
        "attempts": row.attempts,
        "measured": row.tracked,
        "parts": parts,
        "details": row.details,
        "mail_server_said": {
            "code": row.reply_code,
            "status": row.reply_status,
            "text": row.reply_text,
        },
    }


def answers(connection: Connection, subscriber_id: int) -> list[dict[str, Any]]:
    """Every answer ever given, in its words where the text still has them."""
    rows = connection.execute(
        _events(subscriber_id)
        .add_columns(MESSAGE.c.compiled["questions"].label("questions"))
        .where(EVENT.c.kind == "answered")
    )
    return [_answer(row) for row in rows]


def _answer(row: Any) -> dict[str, Any]:
    asked: Mapping[str, Any] = next(
        (one for one in row.questions or () if one["name"] == row.name), {}
    )
    value = str(row.data.get("value", ""))
    known = [one["text"] for one in asked.get("options", ()) if one["value"] in value]
    return {
        "at": row.at,
        "course": row.course,
        "text": row.text,
        "question": row.name,
        "question_text": asked.get("text"),
        "answer_text": "; ".join(known) or None,
        "said": row.data,
    }


def acts(connection: Connection, subscriber_id: int) -> list[dict[str, Any]]:
    """What somebody did, or came back from their address; all but answers and measurements."""
    rows = connection.execute(
        _events(subscriber_id).where(EVENT.c.kind.not_in(("answered", *_MEASURED)))
    )
    return [
        {
            "at": row.at,
            "act": row.kind,
            "name": row.name,
            "course": row.course,
            "text": row.text,
            "mail": row.delivery_id,
            "said": row.data,
        }
        for row in rows
    ]


def measured(connection: Connection, subscriber_id: int) -> list[dict[str, Any]]:
    """Openings and clicks, and whose they seem to be: a person's or a machine's."""
    rows = connection.execute(_events(subscriber_id).where(EVENT.c.kind.in_(_MEASURED)))
    return [
        {
            "at": row.at,
            "act": row.kind,
            "text": row.text,
            "mail": row.delivery_id,
            "link": row.url,
            "link_name": row.link_name,
            "judged": row.verdict,
            "said": row.data,
        }
        for row in rows
    ]


def _events(subscriber_id: int) -> Select[Any]:
    message = func.coalesce(EVENT.c.message_id, DELIVERY.c.message_id)
    return (
        select(
            EVENT,
            func.coalesce(DELIVERY.c.slug, MESSAGE.c.slug).label("text"),
            COURSE.c.slug.label("course"),
            LINK.c.url,
            LINK.c.name.label("link_name"),
        )
        .select_from(EVENT)
        .outerjoin(DELIVERY, DELIVERY.c.id == EVENT.c.delivery_id)
        .outerjoin(MESSAGE, MESSAGE.c.id == message)
        .outerjoin(ENROLLMENT, ENROLLMENT.c.id == EVENT.c.enrollment_id)
        .outerjoin(COURSE, COURSE.c.id == ENROLLMENT.c.course_id)
        .outerjoin(LINK, LINK.c.id == EVENT.c.link_id)
        .where(EVENT.c.subscriber_id == subscriber_id)
        .order_by(EVENT.c.at, EVENT.c.id)
    )
