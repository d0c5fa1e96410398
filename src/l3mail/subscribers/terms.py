"""The words people's verbs are spoken in: what they are told, and what they answer.

Plain values. Must not know how any of it is stored.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal
from zoneinfo import ZoneInfo

from l3mail.addresses import Address

SignupStateName = Literal["open", "confirmed", "refused", "expired"]
MoveAsked = Literal["mailed", "unmailed", "same", "too_often", "unknown"]
"""What became of a wish to change an address: whether the new one was mailed, which is only for
operators to know; or that it is the address on file, that it was asked too often, that there is
nobody who could move."""
SIGNUP_STATES: tuple[SignupStateName, ...] = ("open", "confirmed", "refused", "expired")


@dataclass(frozen=True, slots=True)
class Rules:
    """What the verbs need to know of the workspace.

    `proof_months` is how long proof of consent is kept after the end, to that year's end;
    `keeps_proof` whether it is kept where somebody is erased and nothing else is said.
    """

    pepper: bytes
    zone: ZoneInfo
    fallback_locale: str
    signup_lifetime: timedelta = timedelta(days=7)
    link_lifetime: timedelta = timedelta(hours=1)
    offer_lifetime: timedelta = timedelta(hours=24)
    proof_months: int = 36
    keeps_proof: bool = True


@dataclass(frozen=True, slots=True)
class Request:
    """What a form, a CSV row or an operator asks for one address.

    `values` may hold first_name, last_name, salutation, district, birthday ("1980-05-17" or
    "--05-17"), attributes (a mapping of JSON values, typed as declared) and tracking (bool).
    `form` is web, api, operator or import. `wordings` are the ids of the texts that stood beside
    the boxes; left empty, those current for the streams are taken as seen.
    """

    address: Address
    streams: tuple[str, ...]
    values: Mapping[str, Any] = field(default_factory=dict)
    locale: str | None = None
    source: str | None = None
    form: str = "web"
    wordings: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class StreamName:
    """A stream as a page or mail names it."""

    slug: str
    title: str
    kind: str


@dataclass(frozen=True, slots=True)
class SignupState:
    """What a page may say of a sign-up.

    `streams` are those it would confirm now; once confirmed, those it did confirm and that are
    still confirmed. `locale` is the language the form was filled in. `tracking` says that the
    form's box for it was ticked; the page asks with a box of its own. `said` is what the form said
    of the person and confirming would keep: somebody else may have filled it in. `barred` says
    that the address gets no mail for good, by this link or another. `left` are those of a confirmed
    one that were unsubscribed from since.
    """

    state: SignupStateName
    streams: tuple[StreamName, ...]
    locale: str | None
    subscriber_id: int
    expires_at: datetime
    tracking: bool = False
    said: Mapping[str, Any] = field(default_factory=dict)
    barred: bool = False
    left: tuple[StreamName, ...] = ()


@dataclass(frozen=True, slots=True)
class Joined:
    """A stream that is confirmed now; a course's with the dates of its lessons, (slug, moment)."""

    slug: str
    title: str
    kind: str
    dates: tuple[tuple[str, datetime], ...] = ()


@dataclass(frozen=True, slots=True)
class Confirmed:
    """What a POST confirm came to; `changed` is False where all of it was confirmed before."""

    subscriber_id: int
    streams: tuple[Joined, ...]
    changed: bool = True


@dataclass(frozen=True, slots=True)
class Move:
    """What the link in a mail to a new address leads to.

    `state` is `open`, `taken` (the address has a registration of its own) or `changed`.
    `locale` is the language of the person who asked. `closed` are the titles of what somebody
    had asked for at the new address and not confirmed, and which ended with the change.
    """

    state: Literal["open", "taken", "changed"]
    locale: str | None
    closed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Attested:
    """An operator's word was recorded; `streams` are the slugs it newly confirmed."""

    subscriber_id: int
    streams: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Refused:
    """Why an operator's word does not count for this address, in one line."""

    reason: str


@dataclass(frozen=True, slots=True)
class StreamStanding:
    """One membership; `state` is unconfirmed, confirmed or unsubscribed."""

    id: int
    slug: str
    title: str
    kind: str
    state: str
    generation: int
    confirmed_at: datetime | None
    unsubscribed_at: datetime | None


@dataclass(frozen=True, slots=True)
class EnrollmentStanding:
    """One journey; `received` of `total` lessons were handed to the mail server."""

    id: int
    course: str
    title: str
    state: str
    next_due_at: datetime | None
    paused_until: datetime | None
    received: int
    total: int
    started_at: datetime
    completed_at: datetime | None


@dataclass(frozen=True, slots=True)
class Standing:
    """All a person's pages show: memberships by slug, journeys oldest first."""

    subscriber_id: int
    address: str
    streams: tuple[StreamStanding, ...]
    enrollments: tuple[EnrollmentStanding, ...]
    locale: str | None
    tracking: bool
    suppressed: str | None
    restricted: bool
