"""How things stand with a person: for their own pages, for operators, for lists.

Only reads.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, case, exists, func, select

from l3mail import certificates, suppressions
from l3mail.certificates import Certificate
from l3mail.models import (
    CONSENT,
    COURSE,
    DELIVERY,
    ENROLLMENT,
    LESSON,
    SIGNUP,
    STREAM,
    SUBSCRIBER,
    SUBSCRIPTION,
    SUPPRESSION,
)
from l3mail.subscribers import profiles
from l3mail.subscribers.signups import IS_OPEN
from l3mail.subscribers.terms import EnrollmentStanding, Standing, StreamStanding

_HANDED_OVER = ("accepted", "uncertain")


def status_of(subscriber: Table = SUBSCRIBER) -> ColumnElement[str]:
    """`unconfirmed`, `active`, `unsubscribed` or `suppressed`, as SQL over subscriber rows.

    A suppression outweighs all; one confirmed stream is enough to be active. Erased people have
    no status worth showing: leave them out.
    """
    barred = SUPPRESSION.alias("suppression_of_status")
    membership = SUBSCRIPTION.alias("subscription_of_status")

    def holds(state: str) -> ColumnElement[bool]:
        return exists(
            select(membership.c.id)
            .where(membership.c.subscriber_id == subscriber.c.id, membership.c.state == state)
            .correlate(subscriber)
        )

    suppressed = exists(
        select(barred.c.reason)
        .where(barred.c.address_key == subscriber.c.address_key)
        .correlate(subscriber)
    )
    return case(
        (suppressed, "suppressed"),
        (holds("confirmed"), "active"),
        (holds("unsubscribed"), "unsubscribed"),
        else_="unconfirmed",
    )


def standing(connection: Connection, subscriber_id: int) -> Standing | None:
    """What a person's own pages show; None when unknown or erased."""
    person = connection.execute(
        select(SUBSCRIBER).where(SUBSCRIBER.c.id == subscriber_id, SUBSCRIBER.c.erased_at.is_(None))
    ).first()
    if person is None:
        return None
    memberships = connection.execute(
        select(
            STREAM.c.id,
            STREAM.c.slug,
            STREAM.c.title,
            STREAM.c.kind,
            SUBSCRIPTION.c.state,
            SUBSCRIPTION.c.generation,
            SUBSCRIPTION.c.confirmed_at,
            SUBSCRIPTION.c.unsubscribed_at,
        )
        .join(SUBSCRIPTION, SUBSCRIPTION.c.stream_id == STREAM.c.id)
        .where(SUBSCRIPTION.c.subscriber_id == subscriber_id)
        .order_by(STREAM.c.slug)
    )
    barred = suppressions.find(connection, person.address_key)
    return Standing(
        subscriber_id=subscriber_id,
        address=person.address,
        streams=tuple(StreamStanding(*row) for row in memberships),
        enrollments=_enrollments(connection, subscriber_id),
        locale=person.locale,
        tracking=person.tracking,
        suppressed=None if barred is None else barred.reason,
        restricted=person.restricted_at is not None,
    )


def _enrollments(connection: Connection, subscriber_id: int) -> tuple[EnrollmentStanding, ...]:
    total = (
        select(func.count())
        .where(LESSON.c.structure_id == ENROLLMENT.c.structure_id)
        .correlate(ENROLLMENT)
        .scalar_subquery()
    )
    received = (
        select(func.count(DELIVERY.c.id))
        .where(
            DELIVERY.c.enrollment_id == ENROLLMENT.c.id,
            DELIVERY.c.kind.in_(("lesson", "evaluation")),
            DELIVERY.c.state.in_(_HANDED_OVER),
        )
        .correlate(ENROLLMENT)
        .scalar_subquery()
    )
    rows = connection.execute(
        select(
            ENROLLMENT.c.id,
            COURSE.c.slug.label("course"),
            COURSE.c.title,
            ENROLLMENT.c.state,
            ENROLLMENT.c.next_due_at,
            ENROLLMENT.c.paused_until,
            received.label("received"),
            total.label("total"),
            ENROLLMENT.c.started_at,
            ENROLLMENT.c.completed_at,
        )
        .join(COURSE, COURSE.c.id == ENROLLMENT.c.course_id)
        .where(ENROLLMENT.c.subscriber_id == subscriber_id)
        .order_by(ENROLLMENT.c.id)
    )
    return tuple(EnrollmentStanding(**row._mapping) for row in rows)


def show(connection: Connection, subscriber_id: int) -> dict[str, Any] | None:
    """Everything known of one person as JSON values; None when unknown.

    The shape is that of `subscribers show --json`. Of an erased person it shows the tombstone.
    """
    person = connection.execute(
        select(SUBSCRIBER, status_of().label("status")).where(SUBSCRIBER.c.id == subscriber_id)
    ).first()
    if person is None:
        return None
    barred = suppressions.find(connection, person.address_key)
    issued = certificates.of_person(connection, subscriber_id)
    told = {
        name: person._mapping[name]
        for name in ("status", "first_name", "last_name", "salutation", "locale", "district")
    }
    return {
        "id": person.id,
        "email": person.address,
        **told,
        "birthday": profiles.written_birthday(dict(person._mapping)),
        "attributes": person.attributes,
        "tracking": person.tracking,
        "created_at": _iso(person.created_at),
        "restricted_at": _iso(person.restricted_at),
        "erased_at": _iso(person.erased_at),
        "suppression": barred
        and {
            "reason": barred.reason,
            "note": barred.note,
            "suppressed_at": _iso(barred.suppressed_at),
        },
        "subscriptions": _subscriptions(connection, subscriber_id),
        "signups": _signups(connection, subscriber_id),
        "consents": _consents(connection, subscriber_id),
        "enrollments": [
            {
                "course": one.course,
                "title": one.title,
                "status": one.state,
                "started_at": _iso(one.started_at),
                "next_due_at": _iso(one.next_due_at),
                "paused_until": _iso(one.paused_until),
                "received": one.received,
                "total": one.total,
                "completed_at": _iso(one.completed_at),
                "certificate": _certificate(issued.get(one.id)),
            }
            for one in _enrollments(connection, subscriber_id)
        ],
    }


def _certificate(issued: Certificate | None) -> dict[str, Any] | None:
    if issued is None:
        return None
    return {"name": issued.name, "code": issued.code, "issued_at": _iso(issued.issued_at)}


def _subscriptions(connection: Connection, subscriber_id: int) -> list[dict[str, Any]]:
    rows = connection.execute(
        select(SUBSCRIPTION, STREAM.c.slug, STREAM.c.title, STREAM.c.kind)
        .join(STREAM, STREAM.c.id == SUBSCRIPTION.c.stream_id)
        .where(SUBSCRIPTION.c.subscriber_id == subscriber_id)
        .order_by(STREAM.c.slug)
    )
    return [
        {
            "stream": row.slug,
            "title": row.title,
            "kind": row.kind,
            "status": row.state,
            "source": row.source,
            "created_at": _iso(row.created_at),
            "confirmed_at": _iso(row.confirmed_at),
            "unsubscribed_at": _iso(row.unsubscribed_at),
        }
        for row in rows
    ]


def _signups(connection: Connection, subscriber_id: int) -> list[dict[str, Any]]:
    rows = connection.execute(
        select(SIGNUP).where(SIGNUP.c.subscriber_id == subscriber_id, IS_OPEN).order_by(SIGNUP.c.id)
    )
    return [
        {
            "streams": row.streams,
            "values": row.signup_values.get("said", {}),
            "locale": row.locale,
            "source": row.source,
            "requested_at": _iso(row.requested_at),
            "expires_at": _iso(row.expires_at),
        }
        for row in rows
    ]


def _consents(connection: Connection, subscriber_id: int) -> list[dict[str, Any]]:
    rows = connection.execute(
        select(CONSENT)
        .where(CONSENT.c.subscriber_id == subscriber_id, CONSENT.c.act.is_not(None))
        .order_by(CONSENT.c.seq)
    )
    return [
        {"seq": row.seq, "act": row.act, "at": _iso(row.at), "content": row.content} for row in rows
    ]


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
