"""Tables about people: who they are, what they joined, what they agreed to, who is barred.

One normalised address is one subscriber. Personal columns are nullable because erasure
leaves a tombstone that keeps deliveries and counts together.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import Index, LargeBinary, UniqueConstraint, text
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

SUBSCRIPTION_STATES = ("unconfirmed", "confirmed", "unsubscribed")
STREAM_KINDS = ("newsletter", "lifecycle", "course")
SUPPRESSION_REASONS = ("complaint", "never", "hard_bounce", "operator")
CONSENT_ACTS = (
    "requested",
    "mailed",
    "confirmed",
    "attested",
    "withdrawn",
    "refused",
    "tracking_granted",
    "tracking_withdrawn",
    "address_changed",
)


class Subscriber(Table, table=True):
    """A person, known by one address.

    `address_key` (keyed hash of the normalised address) is the identity; `address` is sent
    as it was typed. A birthday needs no year. `tracking` is consent to personal measurement.
    """

    __table_args__ = (
        Index("subscriber_birthday", "birth_month", "birth_day"),
        AUTOINCREMENT,
    )

    id: int | None = identifier()
    address: str | None = None
    address_key: bytes | None = Field(default=None, sa_type=LargeBinary, unique=True)
    first_name: str | None = None
    last_name: str | None = None
    salutation: str | None = None
    locale: str | None = None
    district: str | None = None
    birth_year: int | None = None
    birth_month: int | None = None
    birth_day: int | None = None
    attributes: dict[str, Any] = json()
    tracking: bool = Field(default=False, sa_column_kwargs={"server_default": text("false")})
    created_at: datetime = instant()
    restricted_at: datetime | None = instant(optional=True)
    erased_at: datetime | None = instant(optional=True)


class Stream(Table, table=True):
    """Something one can join: a newsletter, lifecycle mailings, a course.

    A retired one is no longer on offer; who has joined it can still leave.
    """

    __table_args__ = (one_of("kind", STREAM_KINDS), AUTOINCREMENT)

    id: int | None = identifier()
    slug: str = Field(unique=True)
    kind: str
    title: str
    created_at: datetime = instant()
    retired_at: datetime | None = instant(optional=True)


class Subscription(Table, table=True):
    """A person's membership in a stream.

    `generation` rises with every confirm, unsubscribe and "this wasn't me"; tokens and
    planned deliveries carry the generation they were made under.
    """

    __table_args__ = (
        one_of("state", SUBSCRIPTION_STATES),
        UniqueConstraint("subscriber_id", "stream_id"),
        Index(
            "subscription_confirmed", "stream_id", "subscriber_id", **where("state = 'confirmed'")
        ),
        Index(
            "subscription_confirmed_at", "stream_id", "confirmed_at", **where("state = 'confirmed'")
        ),
        AUTOINCREMENT,
    )

    id: int | None = identifier()
    subscriber_id: int = reference("subscriber.id")
    stream_id: int = reference("stream.id")
    state: str = word()
    generation: int = counted(1)
    source: str | None = None
    created_at: datetime = instant()
    confirmed_at: datetime | None = instant(optional=True)
    unsubscribed_at: datetime | None = instant(optional=True)


class Wording(Table, table=True):
    """The exact text somebody agreed to; a changed text is a new row."""

    __table_args__ = (UniqueConstraint("name", "locale", "hash"), AUTOINCREMENT)

    id: int | None = identifier()
    name: str
    locale: str
    text: str
    hash: str
    created_at: datetime = instant()


class Signup(Table, table=True):
    """One open request to join streams; its values reach the subscriber only on confirmation.

    A later request within the limit merges into the open one. Confirming confirms exactly
    `streams`. `signup_values` holds what the form said.
    """

    __table_args__ = (
        Index("signup_open", "address_key", **where("confirmed_at IS NULL AND refused_at IS NULL")),
        Index("signup_expiring", "expires_at", **where("confirmed_at IS NULL")),
        AUTOINCREMENT,
    )

    id: int | None = identifier()
    subscriber_id: int | None = reference("subscriber.id", optional=True, index=True)
    address_key: bytes = Field(sa_type=LargeBinary)
    streams: list[str] = Field(sa_type=Json)
    signup_values: dict[str, Any] = json()
    wording_id: int | None = reference("wording.id", optional=True)
    locale: str | None = None
    source: str | None = None
    generation: int = counted(1)
    requested_at: datetime = instant()
    expires_at: datetime = instant()
    confirmed_at: datetime | None = instant(optional=True)
    refused_at: datetime | None = instant(optional=True)


class Source(Table, table=True):
    """A place people sign up from, such as a poster or an event.

    Until `ends_at` so many may come from it at once; without it, it only has a name in lists. A row
    is made by operators alone, whatever visitors call the place they come from.
    """

    name: str = Field(primary_key=True)
    title: str | None = None
    per_hour: int | None = None
    ends_at: datetime | None = instant(optional=True)
    created_at: datetime = instant()
    created_by: str


class LinkRequest(Table, table=True):
    """One request for a personal link, mailed to an address.

    Mostly a fresh link to the address on file. Of a change of address there are two: the one of
    the person who asked, which is not mailed, and the one of whoever has the new address.
    """

    __tablename__ = "link_request"
    __table_args__ = (Index("link_request_expiring", "purpose", "expires_at"), AUTOINCREMENT)

    id: int | None = identifier()
    subscriber_id: int = reference("subscriber.id", index=True)
    purpose: str
    generation: int = counted(1)
    request_values: dict[str, Any] = json()
    requested_at: datetime = instant()
    expires_at: datetime = instant()
    used_at: datetime | None = instant(optional=True)


class Consent(Table, table=True):
    """One act of the consent evidence, chained to the act before it.

    `digest = H(salt || canonical content)`, `link = H(previous link || digest)`. Erasure
    empties content and salt and keeps digest and link, so the chain still verifies; and whose
    it was, since only a tombstone's act may be empty.
    """

    __table_args__ = (one_of("act", CONSENT_ACTS), AUTOINCREMENT)

    seq: int | None = Field(default=None, primary_key=True, sa_type=Id)
    subscriber_id: int | None = reference("subscriber.id", optional=True, index=True)
    act: str | None = None
    content: dict[str, Any] | None = json(optional=True)
    salt: bytes | None = Field(default=None, sa_type=LargeBinary)
    digest: bytes = Field(sa_type=LargeBinary)
    link: bytes = Field(sa_type=LargeBinary)
    at: datetime | None = instant(optional=True)


class Suppression(Table, table=True):
    """An address never to be mailed; outlives the person, as a keyed hash only."""

    __table_args__ = (one_of("reason", SUPPRESSION_REASONS),)

    address_key: bytes = Field(primary_key=True, sa_type=LargeBinary)
    reason: str
    note: str | None = None
    suppressed_at: datetime = instant()
