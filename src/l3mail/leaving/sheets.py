"""What goes along when a house is left: which tables, as which files, with which columns.

Owns the list of files and their queries, and which tables stay behind. Every table of the schema
is in one of the two (a test walks them). Reads only; must not know files or what columns mean in
words.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from json import dumps
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    Select,
    Table,
    and_,
    case,
    exists,
    func,
    or_,
    select,
)

from l3mail.models import (
    ACTIONS,
    AGED_DELIVERY,
    AGED_EVENT,
    APPROVAL,
    APPROVAL_MESSAGE,
    CAMPAIGN,
    CAMPAIGN_MESSAGE,
    CERTIFICATE,
    CONSENT,
    COUNTER,
    COURSE,
    DELIVERY,
    ENROLLMENT,
    EVENT,
    HALT,
    LESSON,
    LINK,
    MESSAGE,
    SEGMENT,
    SIGNUP,
    SOURCE,
    STREAM,
    STRUCTURE,
    SUBSCRIBER,
    SUBSCRIPTION,
    SUPPRESSION,
    TRIGGER,
    WORDING,
    WORKSPACE,
)

_PAGE = 2_000


@dataclass(frozen=True, slots=True)
class Sheet:
    """One CSV file: the table whose rows it has, its columns, and what they are joined from.

    `only` keeps some of the rows; a sheet without has them all.
    """

    name: str
    table: Table
    columns: Mapping[str, ColumnElement[Any]]
    source: FromClause
    order: Sequence[ColumnElement[Any]]
    only: ColumnElement[bool] | None = None

    @property
    def query(self) -> Select[Any]:
        """The rows, in an order that stays."""
        labelled = [column.label(name) for name, column in self.columns.items()]
        query = select(*labelled).select_from(self.source).order_by(*self.order)
        return query if self.only is None else query.where(self.only)


LEFT_BEHIND = ("aging", "link_request")
"""Tables that only say where our own work stands: how far a walk came, which links still open."""

WITH_PEOPLE = ("subscriber",)
"""Tables written in a shape of their own: people, with their attributes as columns."""

COLUMNS_LEFT_BEHIND: Mapping[str, Sequence[str]] = {
    "actions": ("id",),
    "campaign": ("reached", "segment_mark"),
    "certificate": ("id", "code", "corrections"),
    "course": ("id",),
    "delivery": (
        "details",
        "fence",
        "generation",
        "lane",
        "lease_owner",
        "lease_until",
        "link_request_id",
        "next_attempt_at",
        "reply_stage",
        "shown",
        "signup_id",
        "stream_id",
    ),
    "enrollment": ("last_lesson_on",),
    "halt": ("id",),
    "message": ("source", "compiled"),
    "segment": ("id",),
    "signup": ("address_key", "generation", "wording_id"),
    "stream": ("id",),
    "structure": ("hash",),
    "subscription": ("id", "generation"),
    "suppression": ("address_key",),
    "trigger": ("looked_to", "looked_to_at", "looking_for", "planned_until"),
    "workspace": ("id",),
    "wording": ("text",),
}
"""What stays of tables that go along: secrets, numbers of ours, texts with files of their own."""


def _of(table: Table, *names: str) -> dict[str, ColumnElement[Any]]:
    return {name: table.c[name] for name in names}


def _whose(number: ColumnElement[Any]) -> dict[str, ColumnElement[Any]]:
    return {"person": number, "email": SUBSCRIBER.c.address}


def _with_person(table: Table) -> FromClause:
    return table.outerjoin(SUBSCRIBER, SUBSCRIBER.c.id == table.c.subscriber_id)


def _mine(
    name: str,
    table: Table,
    columns: Mapping[str, ColumnElement[Any]],
    source: FromClause | None = None,
    *,
    only: ColumnElement[bool] | None = None,
) -> Sheet:
    order = tuple(table.primary_key.columns)
    return Sheet(name, table, columns, table if source is None else source, order, only)


SHEETS: tuple[Sheet, ...] = (
    _mine(
        "subscriptions",
        SUBSCRIPTION,
        _whose(SUBSCRIPTION.c.subscriber_id)
        | {"stream": STREAM.c.slug}
        | _of(SUBSCRIPTION, "state", "source", "created_at", "confirmed_at", "unsubscribed_at"),
        _with_person(SUBSCRIPTION).join(STREAM, STREAM.c.id == SUBSCRIPTION.c.stream_id),
    ),
    _mine(
        "consents",
        CONSENT,
        _of(CONSENT, "seq")
        | _whose(CONSENT.c.subscriber_id)
        | _of(CONSENT, "act", "at", "content", "salt", "digest", "link"),
        _with_person(CONSENT),
    ),
    _mine(
        "wordings",
        WORDING,
        _of(WORDING, "id", "name", "locale", "hash", "created_at"),
    ),
    _mine(
        "suppressions",
        SUPPRESSION,
        {"email": SUBSCRIBER.c.address} | _of(SUPPRESSION, "reason", "note", "suppressed_at"),
        SUPPRESSION.outerjoin(SUBSCRIBER, SUBSCRIBER.c.address_key == SUPPRESSION.c.address_key),
    ),
    _mine(
        "signups",
        SIGNUP,
        _of(SIGNUP, "id")
        | _whose(SIGNUP.c.subscriber_id)
        | _of(SIGNUP, "streams")
        | {"values": SIGNUP.c.signup_values}
        | _of(SIGNUP, "locale", "source", "requested_at", "expires_at")
        | _of(SIGNUP, "confirmed_at", "refused_at"),
        _with_person(SIGNUP),
    ),
    _mine("streams", STREAM, _of(STREAM, "slug", "kind", "title", "created_at", "retired_at")),
    _mine("segments", SEGMENT, _of(SEGMENT, "name", "expression", "saved_at", "last_count")),
    _mine(
        "courses",
        COURSE,
        _of(COURSE, "slug", "title")
        | {"stream": STREAM.c.slug, "structure": COURSE.c.current_structure_id}
        | _of(COURSE, "asks", "created_at"),
        COURSE.join(STREAM, STREAM.c.id == COURSE.c.stream_id),
    ),
    _mine(
        "course_structures",
        STRUCTURE,
        {"structure": STRUCTURE.c.id, "course": COURSE.c.slug}
        | _of(STRUCTURE, "cadence", "rules", "created_at"),
        STRUCTURE.join(COURSE, COURSE.c.id == STRUCTURE.c.course_id),
    ),
    _mine(
        "course_lessons",
        LESSON,
        {"structure": LESSON.c.structure_id} | _of(LESSON, "position", "slug", "kind"),
    ),
    _mine(
        "enrollments",
        ENROLLMENT,
        _of(ENROLLMENT, "id")
        | _whose(ENROLLMENT.c.subscriber_id)
        | {"course": COURSE.c.slug, "structure": ENROLLMENT.c.structure_id}
        | _of(ENROLLMENT, "state", "anchor_on", "next_position", "next_due_at", "started_at")
        | _of(ENROLLMENT, "paused_until", "ended_at", "completed_at"),
        _with_person(ENROLLMENT).join(COURSE, COURSE.c.id == ENROLLMENT.c.course_id),
    ),
    _mine(
        "certificates",
        CERTIFICATE,
        {"enrollment": CERTIFICATE.c.enrollment_id, "email": SUBSCRIBER.c.address}
        | _of(CERTIFICATE, "name", "title", "completed_at", "issued_at"),
        CERTIFICATE.join(ENROLLMENT, ENROLLMENT.c.id == CERTIFICATE.c.enrollment_id).outerjoin(
            SUBSCRIBER, SUBSCRIBER.c.id == ENROLLMENT.c.subscriber_id
        ),
    ),
    _mine(
        "texts",
        MESSAGE,
        _of(MESSAGE, "id", "slug", "locale", "hash", "published_at", "published_by")
        | _of(MESSAGE, "superseded_at", "generated"),
    ),
    _mine("links", LINK, {"text": LINK.c.message_id} | _of(LINK, "id", "number", "url", "name")),
    _mine(
        "campaigns",
        CAMPAIGN,
        _of(CAMPAIGN, "id", "slug")
        | {"stream": STREAM.c.slug}
        | _of(CAMPAIGN, "segment", "scheduled_at", "scheduled_by", "planned_at")
        | _of(CAMPAIGN, "expected", "lapses_at", "released_at", "released_by")
        | _of(CAMPAIGN, "paused_at", "paused_reason", "cancelled_at", "cancelled_reason"),
        CAMPAIGN.join(STREAM, STREAM.c.id == CAMPAIGN.c.stream_id),
    ),
    _mine(
        "campaign_texts",
        CAMPAIGN_MESSAGE,
        {
            "campaign": CAMPAIGN_MESSAGE.c.campaign_id,
            "locale": CAMPAIGN_MESSAGE.c.locale,
            "text": CAMPAIGN_MESSAGE.c.message_id,
        },
    ),
    _mine(
        "triggers",
        TRIGGER,
        _of(TRIGGER, "id", "slug", "kind")
        | {"stream": STREAM.c.slug}
        | _of(TRIGGER, "rule", "active_since", "retired_at"),
        TRIGGER.join(STREAM, STREAM.c.id == TRIGGER.c.stream_id),
    ),
    _mine(
        "approvals",
        APPROVAL,
        _of(APPROVAL, "id")
        | {"trigger": APPROVAL.c.trigger_id}
        | _of(APPROVAL, "occasion", "due_at", "requested_at", "lapses_at")
        | _of(APPROVAL, "decision", "decided_at", "decided_by"),
    ),
    _mine(
        "approval_texts",
        APPROVAL_MESSAGE,
        {
            "approval": APPROVAL_MESSAGE.c.approval_id,
            "locale": APPROVAL_MESSAGE.c.locale,
            "text": APPROVAL_MESSAGE.c.message_id,
        },
    ),
    _mine(
        "deliveries",
        DELIVERY,
        _of(DELIVERY, "id")
        | {
            "person": DELIVERY.c.subscriber_id,
            "email": func.coalesce(DELIVERY.c.address, SUBSCRIBER.c.address),
        }
        | _of(DELIVERY, "purpose", "kind", "occurrence", "slug")
        | {
            "stream": STREAM.c.slug,
            "text": DELIVERY.c.message_id,
            "campaign": DELIVERY.c.campaign_id,
            "enrollment": DELIVERY.c.enrollment_id,
            "approval": DELIVERY.c.approval_id,
        }
        | _of(DELIVERY, "state", "reason", "tracked", "due_at", "lapses_at", "planned_at")
        | _of(DELIVERY, "first_started_at", "started_at", "ended_at")
        | _of(DELIVERY, "uncertain_at", "attempts", "reply_code", "reply_status", "reply_text"),
        _with_person(DELIVERY).outerjoin(STREAM, STREAM.c.id == DELIVERY.c.stream_id),
    ),
    _mine(
        "events",
        EVENT,
        _of(EVENT, "id", "at", "kind")
        | _whose(EVENT.c.subscriber_id)
        | {
            "delivery": EVENT.c.delivery_id,
            "text": EVENT.c.message_id,
            "link": EVENT.c.link_id,
            "enrollment": EVENT.c.enrollment_id,
        }
        | _of(EVENT, "name", "verdict", "data"),
        _with_person(EVENT),
    ),
    _mine(
        "answers",
        EVENT,
        _of(EVENT, "at")
        | _whose(EVENT.c.subscriber_id)
        | {
            "slug": func.coalesce(DELIVERY.c.slug, MESSAGE.c.slug),
            "enrollment": EVENT.c.enrollment_id,
            "question": EVENT.c.name,
            "value": EVENT.c.data["value"],
            "comment": EVENT.c.data["comment"],
        },
        _with_person(EVENT)
        .outerjoin(DELIVERY, DELIVERY.c.id == EVENT.c.delivery_id)
        .outerjoin(MESSAGE, MESSAGE.c.id == EVENT.c.message_id),
        only=EVENT.c.kind == "answered",
    ),
    _mine(
        "counters",
        COUNTER,
        {"text": COUNTER.c.message_id, "slug": MESSAGE.c.slug, "link": COUNTER.c.link_id}
        | _of(COUNTER, "kind", "day", "n"),
        COUNTER.join(MESSAGE, MESSAGE.c.id == COUNTER.c.message_id),
    ),
    _mine(
        "aged_deliveries",
        AGED_DELIVERY,
        _of(AGED_DELIVERY, "day", "kind", "slug", "state", "tracked", "n"),
    ),
    _mine(
        "aged_events",
        AGED_EVENT,
        _of(AGED_EVENT, "day", "kind", "slug", "name", "verdict", "n"),
    ),
    _mine(
        "sources",
        SOURCE,
        _of(SOURCE, "name", "title", "per_hour", "ends_at", "created_at", "created_by"),
    ),
    _mine("actions", ACTIONS, _of(ACTIONS, "at", "who", "command", "counts")),
    _mine("halts", HALT, _of(HALT, "scope", "subject", "halted_at", "halted_by")),
    _mine("workspace", WORKSPACE, _of(WORKSPACE, "uuid", "created_at", "chain_start")),
)


_MAY_BE_PROCESSED = (SUBSCRIBER.c.restricted_at.is_(None), SUBSCRIBER.c.erased_at.is_(None))
_IS_BARRED = exists(
    select(SUPPRESSION.c.reason)
    .where(SUPPRESSION.c.address_key == SUBSCRIBER.c.address_key)
    .correlate(SUBSCRIBER)
)


def mailable(stream_id: int) -> Sheet:
    """Those who may be mailed for a stream now, as the next tool takes them in."""
    return Sheet(
        "lists",
        SUBSCRIPTION,
        {"email": SUBSCRIBER.c.address}
        | _of(SUBSCRIBER, "first_name", "last_name", "salutation", "locale")
        | _of(SUBSCRIPTION, "confirmed_at"),
        SUBSCRIPTION.join(SUBSCRIBER, SUBSCRIBER.c.id == SUBSCRIPTION.c.subscriber_id),
        (SUBSCRIPTION.c.id,),
        and_(
            SUBSCRIPTION.c.stream_id == stream_id,
            SUBSCRIPTION.c.state == "confirmed",
            *_MAY_BE_PROCESSED,
            ~_IS_BARRED,
        ),
    )


def _holds(state: str) -> ColumnElement[bool]:
    return exists(
        select(SUBSCRIPTION.c.id)
        .where(SUBSCRIPTION.c.subscriber_id == SUBSCRIBER.c.id, SUBSCRIPTION.c.state == state)
        .correlate(SUBSCRIBER)
    )


RESTRICTED = Sheet(
    "restricted",
    SUBSCRIBER,
    {"person": SUBSCRIBER.c.id, "email": SUBSCRIBER.c.address}
    | _of(SUBSCRIBER, "first_name", "last_name", "restricted_at"),
    SUBSCRIBER,
    (SUBSCRIBER.c.id,),
    and_(SUBSCRIBER.c.restricted_at.is_not(None), SUBSCRIBER.c.erased_at.is_(None)),
)
DO_NOT_MAIL = Sheet(
    "lists/do-not-mail",
    SUBSCRIBER,
    {
        "email": SUBSCRIBER.c.address,
        "reason": case(
            (SUPPRESSION.c.reason.is_not(None), SUPPRESSION.c.reason),
            (SUBSCRIBER.c.restricted_at.is_not(None), "restricted"),
            else_="unsubscribed",
        ),
    },
    SUBSCRIBER.outerjoin(SUPPRESSION, SUPPRESSION.c.address_key == SUBSCRIBER.c.address_key),
    (SUBSCRIBER.c.id,),
    and_(
        SUBSCRIBER.c.erased_at.is_(None),
        or_(
            SUPPRESSION.c.reason.is_not(None),
            SUBSCRIBER.c.restricted_at.is_not(None),
            and_(_holds("unsubscribed"), ~_holds("confirmed")),
        ),
    ),
)


def count(connection: Connection, sheet: Sheet) -> int:
    """How many rows a sheet has."""
    query = select(func.count()).select_from(sheet.query.order_by(None).subquery())
    return int(connection.execute(query).scalar_one())


def rows(connection: Connection, sheet: Sheet) -> Iterator[list[str]]:
    """A sheet's rows as cells, read a page at a time."""
    for row in connection.execute(sheet.query.execution_options(yield_per=_PAGE)):
        yield [cell(value) for value in row]


def cell(value: object) -> str:
    """A value as text that every program reads: ISO moments, JSON, bytes in hex, true and false."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict | list):
        return dumps(value, ensure_ascii=False, sort_keys=True)
    return str(value)
