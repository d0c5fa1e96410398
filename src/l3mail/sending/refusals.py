"""What a refusal means beyond its own row: for an address, for a message, for the rest."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import Connection

from l3mail import events, outbox, suppressions
from l3mail.errors import L3mailError
from l3mail.outbox import Attempt, Cause, Outcome, Started
from l3mail.sending.replies import LOGIN_WANTED

REFUSALS_ENDURED = 3
"""So many refusals of our sender in a row halt a message that has no campaign to pause; so many
fresh sessions closed at the first mail make a relay that is down."""


def distrusted_slugs(
    before: Mapping[str, int], finished: Sequence[Attempt]
) -> tuple[list[str], Counter[str]]:
    """Slugs without a campaign to pause, refused as ours too often in a row; and the counts.

    The counts hold once the outcomes are written: a commit that failed is judged again.
    """
    found, refusals = [], Counter(before)
    for attempt in finished:
        slug = attempt.delivery.slug
        if attempt.outcome is Outcome.ACCEPTED:
            refusals[slug] = 0
        elif (
            attempt.outcome is Outcome.REJECTED
            and attempt.cause is Cause.SENDER
            and attempt.delivery.campaign_id is None
        ):
            refusals[slug] += 1
            if refusals[slug] >= REFUSALS_ENDURED:
                found.append(slug)
                refusals[slug] = 0
    return found, refusals


def without_login(finished: Sequence[Attempt]) -> tuple[list[Attempt], list[Started]]:
    """Attempts with an outcome, and deliveries whose session was refused for want of a login.

    Only a session's first MAIL says so of all mails alike; what is said later, or of a recipient,
    is an answer to that mail.
    """
    barred = [a for a in finished if _is_barred(a)]
    if not barred:
        return list(finished), []
    return [a for a in finished if not _is_barred(a)], [a.delivery for a in barred]


def _is_barred(attempt: Attempt) -> bool:
    return attempt.code in LOGIN_WANTED and attempt.stage == "mail" and not attempt.reused


def unsendable(delivery: Started, fault: Exception) -> Attempt:
    """The end of a mail that could not be made, or whose address no mail may go to."""
    words = str(fault) if isinstance(fault, L3mailError) else f"{fault!r}"
    return Attempt(delivery, Outcome.REJECTED, "rendering", text=words, cause=Cause.CONTENT)


def follow_up(connection: Connection, finished: Sequence[Attempt], now: datetime) -> None:
    """What a refusal means for the address: only a mailbox that does not exist bars it.

    Before the outcomes are written, because afterwards it would be news no more.
    """
    dead = [attempt.delivery for attempt in finished if attempt.cause is Cause.PERSON]
    dead = outbox.unheard(connection, dead)
    keys = {delivery.address_key for delivery in dead if delivery.address_key is not None}
    suppressions.suppress(connection, keys, "hard_bounce", now)
    events.append(
        connection,
        [
            {
                "kind": "bounced",
                "at": now,
                "subscriber_id": delivery.subscriber_id,
                "delivery_id": delivery.id,
                "message_id": delivery.message_id,
            }
            for delivery in dead
            if delivery.subscriber_id is not None
        ],
    )
