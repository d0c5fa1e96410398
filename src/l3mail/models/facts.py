"""Tables that only grow: what happened, how often, and which operator did what."""

from datetime import date, datetime
from typing import Any

from sqlalchemy import Index, PrimaryKeyConstraint, text
from sqlmodel import Field

from l3mail.models.columns import (
    AUTOINCREMENT,
    Id,
    Table,
    identifier,
    instant,
    json,
    one_of,
    reference,
    where,
    word,
)
from l3mail.models.outbox import DELIVERY_STATES, KINDS

EVENT_KINDS = (
    "opened",
    "clicked",
    "answered",
    "interested",
    "done",
    "bounced",
    "complained",
    "replied",
    "confirmed",
    "unsubscribed",
)
VERDICTS = ("raw", "human", "machine", "unsure")


class Event(Table, table=True):
    """An append-only fact about a person or a mail; no address, IP or user agent in it.

    `name` is what was asked or offered: a question, an interest; of what is `done`, the local day,
    once for an enrollment. `verdict` says who seems to have opened or clicked: `raw` until it is
    settled, NULL for acts that need no judging.
    """

    __table_args__ = (
        one_of("kind", EVENT_KINDS),
        one_of("verdict", VERDICTS),
        Index(
            "event_subscriber", "subscriber_id", "kind", "at", **where("subscriber_id IS NOT NULL")
        ),
        Index("event_message", "message_id", "kind", "at", **where("message_id IS NOT NULL")),
        Index("event_kind", "kind", "at"),
        Index("event_name", "name", "kind", "at", **where("name IS NOT NULL")),
        Index("event_raw", "at", **where("verdict = 'raw'")),
        Index("event_delivery", "delivery_id", **where("delivery_id IS NOT NULL")),
        Index("event_link", "link_id", **where("link_id IS NOT NULL")),
        Index("event_enrollment", "enrollment_id", **where("enrollment_id IS NOT NULL")),
        Index("event_done", "enrollment_id", "name", unique=True, **where("kind = 'done'")),
        AUTOINCREMENT,
    )

    id: int | None = identifier()
    kind: str
    at: datetime = instant()
    subscriber_id: int | None = reference("subscriber.id", optional=True)
    delivery_id: int | None = reference("delivery.id", optional=True)
    message_id: int | None = reference("message.id", optional=True)
    link_id: int | None = reference("link.id", optional=True)
    enrollment_id: int | None = reference("enrollment.id", optional=True)
    name: str | None = None
    verdict: str | None = word(optional=True)
    data: dict[str, Any] = json()


class Counter(Table, table=True):
    """How often something happened on a day, without any person; `link_id` 0 is the opening."""

    __table_args__ = (
        one_of("kind", ("opened", "clicked")),
        PrimaryKeyConstraint("message_id", "link_id", "kind", "day"),
    )

    message_id: int = reference("message.id")
    link_id: int = Field(sa_type=Id)
    kind: str
    day: date
    n: int


class Aging(Table, table=True):
    """How far the daily walk through what may be too old has come, by what it walks through.

    `reached` is the number looked at last, 0 between two walks; `finished_on` the local day of the
    last whole one.
    """

    name: str = Field(primary_key=True)
    reached: int = Field(default=0, sa_type=Id, sa_column_kwargs={"server_default": text("0")})
    finished_on: date | None = None


class AgedDelivery(Table, table=True):
    """How many mails of a day went when they were too old; nobody's any more.

    `day` is the local day they fell due on.
    """

    __tablename__ = "aged_delivery"
    __table_args__ = (
        PrimaryKeyConstraint("day", "kind", "slug", "state", "tracked"),
        one_of("kind", KINDS),
        one_of("state", DELIVERY_STATES),
    )

    day: date
    kind: str
    slug: str
    state: str
    tracked: bool
    n: int


class AgedEvent(Table, table=True):
    """How many events of a local day went when they were too old; nobody's any more."""

    __tablename__ = "aged_event"
    __table_args__ = (
        PrimaryKeyConstraint("day", "kind", "slug", "name", "verdict"),
        one_of("kind", EVENT_KINDS),
    )

    day: date
    kind: str
    slug: str
    name: str
    verdict: str
    n: int


class Action(Table, table=True):
    """What an operator did: who, which command, how many rows."""

    __tablename__ = "actions"
    __table_args__ = (AUTOINCREMENT,)

    id: int | None = identifier()
    at: datetime = instant()
    who: str
    command: str
    counts: dict[str, Any] = json()
