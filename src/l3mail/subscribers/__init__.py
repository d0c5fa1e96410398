"""People: how they come in, say yes, change their mind, and go.

Owns subscribers, subscriptions, sign-ups and link requests, and leaves the evidence of each act.
Every verb takes one open connection and is one transaction. Nobody is mailed from here but
through delivery rows that `planning.mailable` lets pass. Must not know web, files or SMTP.
"""

from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table

from l3mail.addresses import Address
from l3mail.models import SUBSCRIBER
from l3mail.subscribers.terms import (
    SIGNUP_STATES,
    Attested,
    Confirmed,
    EnrollmentStanding,
    Joined,
    Refused,
    Request,
    Rules,
    SignupState,
    Standing,
    StreamName,
    StreamStanding,
)


def sign_up(connection: Connection, rules: Rules, request: Request, now: datetime) -> None:
    """Take a request to join streams, and queue the mail that asks the address itself.

    The same statements run, and nothing is answered, whoever the address belongs to. Raises
    SubscriberError for an unknown stream, none at all, or a birthday that is no date: all of
    which do not depend on the person either.
    """
    raise NotImplementedError


def plan_confirmations(
    connection: Connection, rules: Rules, now: datetime, limit: int = 500
) -> int:
    """Queue the mails of open sign-ups that the limit kept back when they came; return how many.

    For every round. Whoever signs up for a second stream on the day they confirmed the first
    would wait for a mail that never comes.
    """
    raise NotImplementedError


def look_up_signup(
    connection: Connection, signup_id: int, generation: int, now: datetime
) -> SignupState | None:
    """What a confirm link leads to; None where there is no such sign-up (any more)."""
    raise NotImplementedError


def confirm(  # noqa: PLR0917 - as a link and its page say it, in that order
    connection: Connection,
    rules: Rules,
    signup_id: int,
    generation: int,
    streams: Collection[str],
    now: datetime,
) -> Confirmed | None:
    """Confirm exactly `streams` (those the page listed) as far as the sign-up asks for them.

    Enrolls in courses, queues their welcome, lifts a hard bounce. Again, it changes nothing and
    answers the present state. None where the link is without effect: unknown, old, expired,
    refused, or the address is barred.
    """
    raise NotImplementedError


def refuse(
    connection: Connection, rules: Rules, signup_id: int, generation: int, now: datetime
) -> bool:
    """Take "this wasn't me, never again" at its word: unsubscribe everything, bar the address.

    False where there is no such sign-up.
    """
    raise NotImplementedError


def unsubscribe(
    connection: Connection,
    subscriber_id: int,
    streams: Collection[str] | None,
    now: datetime,
    how: str,
) -> list[str]:
    """End memberships, whatever generation the link had; return the slugs that changed.

    `streams` None means everything. `how` is one-click, page, preferences, operator, import,
    refusal or erasure. Cancels courses and takes the streams out of open sign-ups.
    """
    raise NotImplementedError


def standing(connection: Connection, subscriber_id: int) -> Standing | None:
    """What a person's own pages show; None when unknown or erased."""
    raise NotImplementedError


def set_preferences(
    connection: Connection,
    subscriber_id: int,
    now: datetime,
    *,
    locale: str | None = None,
    tracking: bool | None = None,
    wording_id: int | None = None,
) -> None:
    """Change language or consent to tracking; None leaves as it is.

    A change of tracking leaves a consent act, with the wording that was shown.
    """
    raise NotImplementedError


def request_link(connection: Connection, rules: Rules, address: Address, now: datetime) -> None:
    """Mail a fresh link to the address, if it is one we know; three a day at most.

    Somebody who only ever asked to join is mailed their confirmation again instead.
    """
    raise NotImplementedError


def redeem_link(connection: Connection, link_request_id: int, now: datetime) -> int | None:
    """Whom a fresh link belongs to while it is valid; it may be opened again and again."""
    raise NotImplementedError


def attest(
    connection: Connection, rules: Rules, request: Request, *, note: str, by: str, now: datetime
) -> Attested | Refused:
    """Record an operator's word that this person consented; nobody is enrolled by it.

    All of the row or nothing: refused where the address is barred or one of the streams was
    unsubscribed. Values fill what is empty and never overwrite what a person said.
    """
    raise NotImplementedError


def find(connection: Connection, rules: Rules, address: Address) -> int | None:
    """The subscriber an address belongs to, if any."""
    raise NotImplementedError


def show(connection: Connection, subscriber_id: int) -> dict[str, Any] | None:
    """Everything known of one person as JSON values; None when unknown.

    The shape is that of `subscribers show --json`.
    """
    raise NotImplementedError


def status_of(subscriber: Table = SUBSCRIBER) -> ColumnElement[str]:
    """`unconfirmed`, `active`, `unsubscribed` or `suppressed`, as SQL over subscriber rows."""
    raise NotImplementedError


def erase(
    connection: Connection,
    rules: Rules,
    subscriber_id: int,
    now: datetime,
    *,
    by: str,
    keep_proof: bool = True,
) -> None:
    """Leave a tombstone: all that is personal goes, counts and a suppression's hash stay.

    `keep_proof` keeps the consent chain, restricted, until its date (DSGVO Art. 17(3)(e)).
    """
    raise NotImplementedError


def purge(connection: Connection, now: datetime, limit: int) -> int:
    """Delete what ran out: unconfirmed sign-ups, and people known by nothing else.

    Returns how many sign-ups went; fewer than `limit` means that all are done.
    """
    raise NotImplementedError


__all__ = [
    "SIGNUP_STATES",
    "Attested",
    "Confirmed",
    "EnrollmentStanding",
    "Joined",
    "Refused",
    "Request",
    "Rules",
    "SignupState",
    "Standing",
    "StreamName",
    "StreamStanding",
    "attest",
    "confirm",
    "erase",
    "find",
    "look_up_signup",
    "plan_confirmations",
    "purge",
    "redeem_link",
    "refuse",
    "request_link",
    "set_preferences",
    "show",
    "sign_up",
    "standing",
    "status_of",
    "unsubscribe",
]
