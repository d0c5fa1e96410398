"""Evidence of the mails that ask for consent: which text was handed over, when, to the byte.

Only confirmations cost anything here; of all other mails nothing is noted.
"""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, select

from l3mail import consents, outbox
from l3mail.models import DELIVERY, MESSAGE, SUBSCRIBER
from l3mail.outbox import Attempt, Claim, Outcome

ASKING: Final = "confirmation"
"""The kind of mail that asks for consent."""


def witnessed(attempt: Attempt, content: bytes) -> Attempt:
    """The attempt; with the hash of what the relay took, where that is evidence."""
    if attempt.delivery.kind != ASKING or attempt.outcome is not Outcome.ACCEPTED:
        return attempt
    return replace(attempt, sha256=hashlib.sha256(content).hexdigest(), size=len(content))


def note_mailed(
    connection: Connection,
    finished: Sequence[Attempt],
    begun: Sequence[Claim],
    now: datetime,
    *,
    alone: bool = False,
) -> None:
    """Append an act `mailed` for each confirmation the relay took, before its outcome is written.

    Afterwards it would be noted already: again, it adds nothing. `begun` are claims that the same
    transaction begins; their people are held first, for all who hold a person and then the chain;
    `alone` where that transaction will.
    """
    taken = {attempt.delivery.id: attempt for attempt in finished if attempt.sha256 is not None}
    if not taken:
        return
    outbox.hold_people(connection, [*taken, *(claim.id for claim in begun)], alone=alone)
    consents.hold(connection)
    news = outbox.unheard(connection, [attempt.delivery for attempt in taken.values()])
    acts = [
        (known["subscriber_id"], _content(taken[known["id"]], known))
        for known in _known(connection, [delivery.id for delivery in news])
    ]
    if acts:
        consents.note_all(connection, "mailed", acts, now)


def note_found(connection: Connection, ids: Collection[int], by: str, now: datetime) -> None:
    """Append an act `mailed` for each confirmation of these that somebody found to have arrived.

    Its bytes nobody can vouch for any more; the act says who says so. Whoever changes those rows
    before this holds the chain first.
    """
    acts = [
        (known["subscriber_id"], _told(known) | {"how": "found to have arrived", "by": by})
        for known in _known(connection, ids)
        if known["kind"] == ASKING
    ]
    if acts:
        consents.note_all(connection, "mailed", acts, now)


def _known(connection: Connection, ids: Collection[int]) -> list[Mapping[str, Any]]:
    """Whose mails these are and which text they hold; of who is erased nothing is noted."""
    rows = connection.execute(
        select(
            DELIVERY.c.id,
            DELIVERY.c.kind,
            DELIVERY.c.subscriber_id,
            DELIVERY.c.signup_id,
            DELIVERY.c.started_at,
            SUBSCRIBER.c.address_key,
            MESSAGE.c.slug,
            MESSAGE.c.locale,
            MESSAGE.c.hash,
        )
        .join(SUBSCRIBER, SUBSCRIBER.c.id == DELIVERY.c.subscriber_id)
        # Of a mail lost with a database nobody knows which text it held.
        .outerjoin(MESSAGE, MESSAGE.c.id == DELIVERY.c.message_id)
        .where(DELIVERY.c.id.in_(sorted(ids)), SUBSCRIBER.c.erased_at.is_(None))
        .order_by(DELIVERY.c.id)
    )
    return [dict(row._mapping) for row in rows]


def _told(known: Mapping[str, Any]) -> dict[str, Any]:
    """What the database says of a mail."""
    key, started_at = known["address_key"], known["started_at"]
    text = {name: known[name] for name in ("slug", "locale", "hash")}
    return {
        "signup": known["signup_id"],
        "delivery": known["id"],
        "message": text if known["hash"] else None,
        "started_at": started_at and started_at.isoformat(),
        "address_key": None if key is None else bytes(key).hex(),
    }


def _content(attempt: Attempt, known: Mapping[str, Any]) -> dict[str, Any]:
    """What an act says of a mail: also what it asked, for its sign-up may ask otherwise later.

    Of the relay's answer the codes only: its words may name the person.
    """
    asked = attempt.delivery.asked
    expires_at = asked.get("expires_at")
    return {
        **_told(known),
        "sha256": attempt.sha256,
        "size": attempt.size,
        "asked": {
            "streams": list(asked.get("streams", ())),
            "expires_at": expires_at and expires_at.isoformat(),
        },
        "how": "accepted by the relay",
        "reply": {"code": attempt.code, "status": attempt.status},
    }
