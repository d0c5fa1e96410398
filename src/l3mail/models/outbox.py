"""The outbox and what governs it: deliveries, halts, and the workspace they belong to.

A delivery exists before any SMTP and says, by its state, everything that is known about
one mail to one person. Nothing here knows how a mail is made or handed over.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, Index, LargeBinary, UniqueConstraint, text
from sqlmodel import Field

from l3mail.models.columns import (
    AUTOINCREMENT,
    Id,
    Table,
    counted,
    identifier,
    instant,
    json,
    one_of,
    reference,
    where,
    word,
)

PURPOSES = ("stream", "request", "staff")
KINDS = (
    "confirmation",
    "welcome",
    "lesson",
    "evaluation",
    "newsletter",
    "lifecycle",
    "report",
    "notice",
)
DELIVERY_STATES = (
    "held",
    "queued",
    "sending",
    "accepted",
    "deferred",
    "failed",
    "uncertain",
    "cancelled",
    "lapsed",
)


class Delivery(Table, table=True):
    """One mail to one person: the outbox row.

    `occurrence` names what the mail is about and is unique per person, so planning the same
    thing twice adds nothing. A claim is a lease on a row that stays `queued`; `sending` with
    `started_at` is the committed intent. `fence` rises with each claim: a holder whose fence
    is old may start nothing. `message_id` is set by the intent (campaigns and approvals pin
    theirs earlier) and never changes after. `tracked` is whether the mail measures its person,
    who had agreed when the intent was written. `shown` has a bit for each condition of the text,
    set where its person was shown that part; the first intent decides, and where there are none it
    is NULL. `uncertain_at` stays when a row that was once
    uncertain is settled, so no possible duplicate is ever silent. `lane` is the claim order:
    0 requests and staff, 1 courses, 2 bulk. `details` and `reply_text` may speak of the person
    and go with them when they are erased.
    """

    __table_args__ = (
        one_of("purpose", PURPOSES),
        one_of("kind", KINDS),
        one_of("state", DELIVERY_STATES),
        CheckConstraint(
            "(purpose = 'staff' AND subscriber_id IS NULL AND address IS NOT NULL)"
            " OR (purpose <> 'staff' AND subscriber_id IS NOT NULL AND address IS NULL)",
            name="addressed",
        ),
        CheckConstraint("purpose <> 'stream' OR stream_id IS NOT NULL", name="stream_named"),
        CheckConstraint("lane BETWEEN 0 AND 2", name="lane_known"),
        CheckConstraint(
            "state <> 'sending' OR (started_at IS NOT NULL AND lease_owner IS NOT NULL)",
            name="intent_complete",
        ),
        UniqueConstraint("subscriber_id", "occurrence"),
        Index(
            "delivery_staff_occurrence",
            "address",
            "occurrence",
            unique=True,
            **where("subscriber_id IS NULL"),
        ),
        Index("delivery_queued", "lane", "id", **where("state = 'queued'")),
        Index("delivery_deferred", "next_attempt_at", **where("state = 'deferred'")),
        Index("delivery_leased", "lease_owner", "lease_until", **where("lease_owner IS NOT NULL")),
        # One state each: SQLite uses a partial index only where the query says the same.
        Index("delivery_uncertain", "next_attempt_at", **where("state = 'uncertain'")),
        Index("delivery_failed", "id", **where("state = 'failed'")),
        Index("delivery_held", "next_attempt_at", "id", **where("state = 'held'")),
        Index("delivery_campaign", "campaign_id", "state", **where("campaign_id IS NOT NULL")),
        # The mails of one lesson slot, whatever course they belong to.
        Index("delivery_slot", "due_at", "id", **where("enrollment_id IS NOT NULL")),
        Index("delivery_enrollment", "enrollment_id", **where("enrollment_id IS NOT NULL")),
        Index("delivery_signup", "signup_id", **where("signup_id IS NOT NULL")),
        Index("delivery_link_request", "link_request_id", **where("link_request_id IS NOT NULL")),
        Index("delivery_approval", "approval_id", **where("approval_id IS NOT NULL")),
        Index("delivery_staff_message", "message_id", **where("purpose = 'staff'")),
        Index(
            "delivery_requests", "subscriber_id", "first_started_at", **where("purpose = 'request'")
        ),
        AUTOINCREMENT,
    )

    id: int | None = identifier()
    purpose: str = word()
    kind: str
    occurrence: str
    subscriber_id: int | None = reference("subscriber.id", optional=True)
    address: str | None = None
    # No foreign key: streams are never deleted, and from where the number is read (a subscription,
    # campaign, course or trigger) it is one already. The other keys keep what a mail is proved by,
    # or goes by, from being deleted. PostgreSQL asks for every row anew: it took 13 % of planning.
    stream_id: int | None = Field(default=None, sa_type=Id)
    generation: int = counted(1)
    signup_id: int | None = reference("signup.id", optional=True)
    link_request_id: int | None = reference("link_request.id", optional=True)
    enrollment_id: int | None = reference("enrollment.id", optional=True)
    campaign_id: int | None = reference("campaign.id", optional=True)
    approval_id: int | None = reference("approval.id", optional=True)
    slug: str
    message_id: int | None = reference("message.id", optional=True)
    tracked: bool = Field(default=False, sa_column_kwargs={"server_default": text("false")})
    shown: int | None = None
    details: dict[str, Any] = json()
    lane: int = counted(1)
    state: str = word()
    reason: str | None = None
    due_at: datetime = instant()
    planned_at: datetime = instant()
    lapses_at: datetime | None = instant(optional=True)
    lease_owner: str | None = None
    lease_until: datetime | None = instant(optional=True)
    fence: int = counted(0)
    attempts: int = counted(0)
    first_started_at: datetime | None = instant(optional=True)
    started_at: datetime | None = instant(optional=True)
    ended_at: datetime | None = instant(optional=True)
    next_attempt_at: datetime | None = instant(optional=True)
    uncertain_at: datetime | None = instant(optional=True)
    reply_stage: str | None = None
    reply_code: int | None = None
    reply_status: str | None = None
    reply_text: str | None = None


class Halt(Table, table=True):
    """A halt in force: over everything, one kind, or one message's slug."""

    __table_args__ = (
        one_of("scope", ("everything", "kind", "message")),
        UniqueConstraint("scope", "subject"),
        AUTOINCREMENT,
    )

    id: int | None = identifier()
    scope: str
    subject: str = ""
    halted_at: datetime = instant()
    halted_by: str


class Workspace(Table, table=True):
    """The one row that says which database this is.

    `uuid` goes into every Message-ID, so that two workspaces on one sender domain differ.
    `chain_start` is what the first consent is chained to.
    """

    __table_args__ = (CheckConstraint("id = 1", name="only_one"),)

    id: int = Field(primary_key=True, sa_type=Id)
    uuid: str
    created_at: datetime = instant()
    chain_start: bytes = Field(sa_type=LargeBinary)
