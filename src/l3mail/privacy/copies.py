"""The copy: everything held on one person, table by table, as JSON values (DSGVO Art. 15 and 20).

Owns which table is told where; a table that refers to people and stands nowhere here fails a
test. Left out are only what would tell of others, and secrets that prove something to us alone:
keyed hashes and salts. Reads only.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, Connection, and_, or_, select

from l3mail import certificates, staff, suppressions
from l3mail.certificates import Certificate
from l3mail.errors import SubscriberError
from l3mail.models import (
    CONSENT,
    COURSE,
    DELIVERY,
    ENROLLMENT,
    LINK_REQUEST,
    SIGNUP,
    STREAM,
    SUBSCRIBER,
    SUBSCRIPTION,
    WORDING,
)
from l3mail.outbox import TRIAL
from l3mail.privacy import histories
from l3mail.subscribers import profiles

Section = Callable[[Connection, Any], Any]
_KEYED: Final = frozenset({"address_key", "address_key_before"})


def copy_of(connection: Connection, subscriber_id: int, zone: ZoneInfo) -> dict[str, Any]:
    """All that is held on a person, in a stable order; instants in `zone`, in ISO form.

    Of an erased person that is the tombstone, and the proof where it is kept. Raises
    SubscriberError where there is nobody of that number.
    """
    person = connection.execute(
        select(SUBSCRIBER).where(SUBSCRIBER.c.id == subscriber_id)
    ).one_or_none()
    if person is None:
        raise SubscriberError(f"there is nobody of the number {subscriber_id}")
    return {name: written(told(connection, person), zone) for name, told in SECTIONS.items()}


def written(value: Any, zone: ZoneInfo) -> Any:
    """The same as JSON values: instants in the zone given, days as they are."""
    if isinstance(value, datetime):
        return value.astimezone(zone).isoformat()
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {key: written(item, zone) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [written(item, zone) for item in value]
    return value


def _person(_: Connection, person: Any) -> dict[str, Any]:
    return {
        "number": person.id,
        "email": person.address,
        "first_name": person.first_name,
        "last_name": person.last_name,
        "salutation": person.salutation,
        "birthday": profiles.written_birthday(person._mapping),
        "district": person.district,
        "language": person.locale,
        "attributes": person.attributes,
        "measuring_allowed": person.tracking,
        "known_since": person.created_at,
        "restricted_since": person.restricted_at,
        "erased_at": person.erased_at,
    }


def _suppression(connection: Connection, person: Any) -> dict[str, Any] | None:
    barred = suppressions.find(connection, person.address_key)
    return barred and {
        "reason": barred.reason,
        "note": barred.note,
        "since": barred.suppressed_at,
    }


def _subscriptions(connection: Connection, person: Any) -> list[dict[str, Any]]:
    rows = connection.execute(
        select(SUBSCRIPTION, STREAM.c.slug, STREAM.c.title, STREAM.c.kind)
        .join(STREAM, STREAM.c.id == SUBSCRIPTION.c.stream_id)
        .where(SUBSCRIPTION.c.subscriber_id == person.id)
        .order_by(STREAM.c.slug)
    )
    return [
        {
            "stream": row.slug,
            "title": row.title,
            "kind": row.kind,
            "state": row.state,
            "source": row.source,
            "since": row.created_at,
            "confirmed_at": row.confirmed_at,
            "unsubscribed_at": row.unsubscribed_at,
        }
        for row in rows
    ]


def _signups(connection: Connection, person: Any) -> list[dict[str, Any]]:
    rows = connection.execute(
        select(SIGNUP).where(SIGNUP.c.subscriber_id == person.id).order_by(SIGNUP.c.id)
    ).all()
    texts = _texts(connection, (row.signup_values.get("wordings", {}).values() for row in rows))
    return [
        {
            "requested_at": row.requested_at,
            "expires_at": row.expires_at,
            "confirmed_at": row.confirmed_at,
            "closed_at": row.refused_at,
            "streams": row.streams,
            "said": row.signup_values.get("said", {}),
            "form": row.signup_values.get("form"),
            "source": row.source,
            "language": row.locale,
            "wordings": {
                box: _with_text(wording, texts)
                for box, wording in sorted(row.signup_values.get("wordings", {}).items())
            },
        }
        for row in rows
    ]


def _consents(connection: Connection, person: Any) -> list[dict[str, Any]]:
    rows = connection.execute(
        select(CONSENT)
        .where(CONSENT.c.subscriber_id == person.id, CONSENT.c.act.is_not(None))
        .order_by(CONSENT.c.seq)
    ).all()
    texts = _texts(connection, (row.content.get("wordings", ()) for row in rows))
    return [
        {
            "number": row.seq,
            "act": row.act,
            "at": row.at,
            "evidence": {
                name: [_with_text(one, texts) for one in value] if name == "wordings" else value
                for name, value in sorted(row.content.items())
                if name not in _KEYED
            },
            "digest": bytes(row.digest).hex(),
        }
        for row in rows
    ]


def _texts(
    connection: Connection, several: Iterable[Iterable[Mapping[str, Any]]]
) -> dict[int, str]:
    """The texts of the wordings that evidence names."""
    ids = {int(one["id"]) for wordings in several for one in wordings if "id" in one}
    rows = connection.execute(select(WORDING.c.id, WORDING.c.text).where(WORDING.c.id.in_(ids)))
    return {row.id: row.text for row in rows}


def _with_text(wording: Mapping[str, Any], texts: Mapping[int, str]) -> dict[str, Any]:
    shown = {name: value for name, value in sorted(wording.items()) if name != "id"}
    return shown | {"text": texts.get(wording.get("id", 0))}


def _enrollments(connection: Connection, person: Any) -> list[dict[str, Any]]:
    rows = connection.execute(
        select(ENROLLMENT, COURSE.c.slug, COURSE.c.title)
        .join(COURSE, COURSE.c.id == ENROLLMENT.c.course_id)
        .where(ENROLLMENT.c.subscriber_id == person.id)
        .order_by(ENROLLMENT.c.id)
    ).all()
    lessons = _lessons(connection, person.id)
    issued = certificates.of_person(connection, person.id)
    return [
        {
            "course": row.slug,
            "title": row.title,
            "state": row.state,
            "started_at": row.started_at,
            "first_lesson_on": row.anchor_on,
            "next_lesson_at": row.next_due_at,
            "paused_until": row.paused_until,
            "ended_at": row.ended_at,
            "completed_at": row.completed_at,
            "lessons": lessons.get(row.id, []),
            "certificate": _certificate(issued.get(row.id)),
        }
        for row in rows
    ]


def _lessons(connection: Connection, subscriber_id: int) -> dict[int, list[dict[str, Any]]]:
    """By enrollment, the lessons that mails were made of, in the order of their mails."""
    rows = connection.execute(
        select(*(DELIVERY.c[name] for name in ("id", "slug", "state", "ended_at", "enrollment_id")))
        .where(DELIVERY.c.subscriber_id == subscriber_id, DELIVERY.c.enrollment_id.is_not(None))
        .order_by(DELIVERY.c.id)
    )
    found: dict[int, list[dict[str, Any]]] = {}
    for row in rows:
        told = {"mail": row.id, "text": row.slug, "state": row.state, "ended_at": row.ended_at}
        found.setdefault(row.enrollment_id, []).append(told)
    return found


def _certificate(issued: Certificate | None) -> dict[str, Any] | None:
    if issued is None:
        return None
    return {
        "name": issued.name,
        "course": issued.title,
        "code": issued.written_code,
        "completed_at": issued.completed_at,
        "issued_at": issued.issued_at,
        "corrections": issued.corrections,
    }


def _link_requests(connection: Connection, person: Any) -> list[dict[str, Any]]:
    rows = connection.execute(
        select(LINK_REQUEST)
        .where(LINK_REQUEST.c.subscriber_id == person.id)
        .order_by(LINK_REQUEST.c.id)
    )
    return [
        {
            "purpose": row.purpose,
            "requested_at": row.requested_at,
            "expires_at": row.expires_at,
            "used_at": row.used_at,
            "values": row.request_values,
        }
        for row in rows
    ]


def _mails(connection: Connection, person: Any) -> Sequence[dict[str, Any]]:
    return histories.mails(connection, DELIVERY.c.subscriber_id == person.id)


def _staff_mails(connection: Connection, person: Any) -> Sequence[dict[str, Any]]:
    """Mails to the same address as one of the staff, and to staff with this person's values."""
    tried_on: ColumnElement[Any] = DELIVERY.c.details[(TRIAL, "person")].as_integer()
    theirs = and_(DELIVERY.c.subscriber_id.is_(None), tried_on == person.id)
    if person.address is not None:
        theirs = or_(theirs, staff.is_to(person.address))
    return histories.mails(connection, theirs)


SECTIONS: Final[Mapping[str, Section]] = {
    "person": _person,
    "suppression": _suppression,
    "subscriptions": _subscriptions,
    "signups": _signups,
    "consents": _consents,
    "enrollments": _enrollments,
    "answers": lambda connection, person: histories.answers(connection, person.id),
    "acts": lambda connection, person: histories.acts(connection, person.id),
    "measured": lambda connection, person: histories.measured(connection, person.id),
    "mails": _mails,
    "staff_mails": _staff_mails,
    "link_requests": _link_requests,
}
"""What the copy tells, in its order."""

TABLES: Final[Mapping[str, Sequence[str]]] = {
    "subscriber": ("person",),
    "suppression": ("suppression",),
    "subscription": ("subscriptions",),
    "signup": ("signups",),
    "consent": ("consents",),
    "enrollment": ("enrollments",),
    "certificate": ("enrollments",),
    "event": ("answers", "acts", "measured"),
    "delivery": ("mails", "staff_mails"),
    "link_request": ("link_requests",),
}
"""Every table that says something of a person, and the sections that tell it."""
