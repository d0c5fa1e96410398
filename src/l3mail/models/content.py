"""Tables about what is said and when: messages, courses, campaigns, triggers, segments.

A message row is one published version and never changes; courses pin their structure so
that learners keep the order and spacing they began with.
"""

from datetime import date, datetime
from typing import Any

from sqlalchemy import Index, PrimaryKeyConstraint, UniqueConstraint, text
from sqlmodel import Field

from l3mail.models.columns import (
    AUTOINCREMENT,
    Id,
    Json,
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

ENROLLMENT_STATES = ("active", "paused", "finished", "cancelled")


class Message(Table, table=True):
    """One published content version in one locale; the only thing that is ever sent.

    `generated` ones were written by l3mail itself, for staff: reports, alarms, questions.
    The current version of a slug and locale is the one not superseded. Reverting publishes
    an old source again as a new row, so the rows in order are the history.
    """

    __table_args__ = (
        Index("message_current", "slug", "locale", unique=True, **where("superseded_at IS NULL")),
        Index("message_hash", "hash"),
        AUTOINCREMENT,
    )

    id: int | None = identifier()
    hash: str
    slug: str
    locale: str
    source: str
    compiled: dict[str, Any] = json()
    published_at: datetime = instant()
    published_by: str
    generated: bool = Field(default=False, sa_column_kwargs={"server_default": text("false")})
    superseded_at: datetime | None = instant(optional=True)


class Link(Table, table=True):
    """The numbered links of a message; `/c/{token}/{number}` can lead nowhere else."""

    __table_args__ = (UniqueConstraint("message_id", "number"), AUTOINCREMENT)

    id: int | None = identifier()
    message_id: int = reference("message.id")
    number: int
    url: str
    name: str | None = None


class Course(Table, table=True):
    """An ordered sequence of lessons, joined through its stream.

    `asks` are the attributes that who signs up for it is asked for.
    """

    __table_args__ = (AUTOINCREMENT,)

    id: int | None = identifier()
    slug: str = Field(unique=True)
    title: str
    stream_id: int = reference("stream.id")
    current_structure_id: int | None = Field(default=None, sa_type=Id)
    asks: list[str] = Field(
        default_factory=list, sa_type=Json, sa_column_kwargs={"server_default": text("'[]'")}
    )
    created_at: datetime = instant()


class Structure(Table, table=True):
    """A course's cadence and rules as they stood when somebody enrolled."""

    __table_args__ = (UniqueConstraint("course_id", "hash"), AUTOINCREMENT)

    id: int | None = identifier()
    course_id: int = reference("course.id")
    hash: str
    cadence: dict[str, Any] = json()
    rules: dict[str, Any] = json()
    created_at: datetime = instant()


class Lesson(Table, table=True):
    """One step of a structure: the slug due at `position` (0-based); the text stays current."""

    __table_args__ = (
        PrimaryKeyConstraint("structure_id", "position"),
        one_of("kind", ("lesson", "evaluation")),
    )

    structure_id: int = reference("structure.id")
    position: int
    slug: str
    kind: str


class Enrollment(Table, table=True):
    """A subscriber's journey through a course.

    `anchor_on` is the local day of the first lesson. `next_position` advances only when the
    delivery of the lesson before has ended; `last_lesson_on` is the local day it was handed over.
    Finished means the plan ran out; completed is
    the learner's own act.
    """

    __table_args__ = (
        one_of("state", ENROLLMENT_STATES),
        Index(
            "enrollment_running",
            "subscriber_id",
            "course_id",
            unique=True,
            **where("state IN ('active', 'paused')"),
        ),
        Index("enrollment_due", "next_due_at", "structure_id", **where("state = 'active'")),
        Index("enrollment_paused", "paused_until", **where("state = 'paused'")),
        Index("enrollment_finished", "course_id", "ended_at", **where("state = 'finished'")),
        AUTOINCREMENT,
    )

    id: int | None = identifier()
    subscriber_id: int = reference("subscriber.id", index=True)
    course_id: int = reference("course.id")
    structure_id: int = reference("structure.id")
    state: str = word()
    anchor_on: date
    next_position: int = counted(0)
    next_due_at: datetime | None = instant(optional=True)
    last_lesson_on: date | None = None
    started_at: datetime = instant()
    paused_until: datetime | None = instant(optional=True)
    ended_at: datetime | None = instant(optional=True)
    completed_at: datetime | None = instant(optional=True)


class Certificate(Table, table=True):
    """What a learner who has completed a course asked to have in writing; erased with the person.

    `code` is 128 random bits as text: who has it, and only who has it, can look the rest up. `name`
    is as the learner wrote it, `corrections` how often it was written anew.
    """

    __table_args__ = (AUTOINCREMENT,)

    id: int | None = identifier()
    code: str = Field(unique=True)
    enrollment_id: int = Field(foreign_key="enrollment.id", sa_type=Id, unique=True)
    name: str
    title: str
    completed_at: datetime = instant()
    issued_at: datetime = instant()
    corrections: int = counted(0)


class Campaign(Table, table=True):
    """One sending of one issue to an audience; finished is a query over its deliveries.

    While it is being planned its people have been looked at as far as the number `reached`; below
    zero they have been looked at again, as far as the number that is its bitwise complement.

    `expected` is how many people its scheduler was shown; none once somebody let it go on with
    whoever they are. Where a second person has to release it, it ends at `lapses_at` without that,
    and `segment_mark` stands for what its segment meant when it was scheduled.
    """

    __table_args__ = (
        Index("campaign_scheduled", "scheduled_at", **where("planned_at IS NULL")),
        AUTOINCREMENT,
    )

    id: int | None = identifier()
    slug: str
    stream_id: int = reference("stream.id")
    segment: str | None = None
    scheduled_at: datetime = instant()
    scheduled_by: str
    reached: int = Field(default=0, sa_type=Id, sa_column_kwargs={"server_default": text("0")})
    planned_at: datetime | None = instant(optional=True)
    paused_at: datetime | None = instant(optional=True)
    paused_reason: str | None = None
    cancelled_at: datetime | None = instant(optional=True)
    cancelled_reason: str | None = None
    expected: int | None = None
    segment_mark: str | None = None
    lapses_at: datetime | None = instant(optional=True)
    released_at: datetime | None = instant(optional=True)
    released_by: str | None = None


class CampaignMessage(Table, table=True):
    """The version pinned per locale when a campaign was scheduled: what was seen is sent."""

    __tablename__ = "campaign_message"
    __table_args__ = (PrimaryKeyConstraint("campaign_id", "locale"),)

    campaign_id: int = reference("campaign.id")
    locale: str
    message_id: int = reference("message.id", index=True)


class Trigger(Table, table=True):
    """A rule that plans a lifecycle mailing by a query over facts.

    `active_since` is when the rule as it stands took effect, `retired_at` when it was paused.
    `planned_until` is up to which moment nobody is left whose mail was due: the last day's mailing
    of those that the calendar decides, else when it was last looked.

    A look at many is taken a part at a time, and may end between two: `looking_for` is the day's
    mailing or the moment it began with, and all is looked at up to the person, or the fact and its
    moment, in `looked_to` and `looked_to_at`. None where no look is under way.
    """

    __table_args__ = (AUTOINCREMENT,)

    id: int | None = identifier()
    slug: str = Field(unique=True)
    kind: str
    stream_id: int = reference("stream.id")
    rule: dict[str, Any] = json()
    active_since: datetime | None = instant(optional=True)
    retired_at: datetime | None = instant(optional=True)
    planned_until: datetime | None = instant(optional=True)
    looking_for: datetime | None = instant(optional=True)
    looked_to_at: datetime | None = instant(optional=True)
    looked_to: int | None = Field(default=None, sa_type=Id)


class Approval(Table, table=True):
    """One batch of triggered mails waiting for a person's yes; its texts are pinned with it.

    `occasion` names what the batch is about, unique for its trigger; its mails are due at `due_at`.
    """

    __table_args__ = (
        UniqueConstraint("trigger_id", "occasion"),
        one_of("decision", ("approved", "rejected", "lapsed")),
        AUTOINCREMENT,
    )

    id: int | None = identifier()
    trigger_id: int = reference("trigger.id")
    occasion: str
    due_at: datetime = instant()
    requested_at: datetime = instant()
    lapses_at: datetime | None = instant(optional=True)
    decision: str | None = None
    decided_at: datetime | None = instant(optional=True)
    decided_by: str | None = None


class ApprovalMessage(Table, table=True):
    """The version pinned per locale when a batch was shown for approval: what was seen is sent."""

    __tablename__ = "approval_message"
    __table_args__ = (PrimaryKeyConstraint("approval_id", "locale"),)

    approval_id: int = reference("approval.id")
    locale: str
    message_id: int = reference("message.id", index=True)


class Segment(Table, table=True):
    """A saved question over subscribers; it has no membership rows."""

    __table_args__ = (AUTOINCREMENT,)

    id: int | None = identifier()
    name: str = Field(unique=True)
    expression: str
    saved_at: datetime = instant()
    last_count: int | None = None
