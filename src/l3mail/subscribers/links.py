"""Fresh links: the way back in for whoever lost theirs, by mail to the address on file.

Owns link requests. Asking tells a stranger nothing: not whether the address is known.
"""

from datetime import datetime

from sqlalchemy import (
    Connection,
    String,
    and_,
    cast,
    delete,
    exists,
    insert,
    literal,
    or_,
    select,
)

from l3mail.addresses import Address, address_key
from l3mail.models import DELIVERY, LINK_REQUEST, SUBSCRIBER, SUBSCRIPTION, UtcDateTime
from l3mail.subscribers import offers, profiles, signups
from l3mail.subscribers.mails import mail, queue
from l3mail.subscribers.terms import Rules

FRESH_LINK = "notice/fresh-link"

_KNOWS_MORE = or_(
    *(
        SUBSCRIBER.c[name].is_not(None)
        for name in (*profiles.NAMES, "birth_month", "locale", "restricted_at")
    )
)
_MEMBERSHIP = select(SUBSCRIPTION.c.id).where(SUBSCRIPTION.c.subscriber_id == SUBSCRIBER.c.id)
_OFFERED = select(LINK_REQUEST.c.id).where(
    LINK_REQUEST.c.subscriber_id == SUBSCRIBER.c.id,
    LINK_REQUEST.c.purpose.in_((offers.OFFER, offers.FAREWELL)),
)
_TOLD_US_SOMETHING = or_(
    exists(_MEMBERSHIP.where(SUBSCRIPTION.c.state != "unconfirmed")),
    # Of whom nothing is known but that somebody wants to move there, or left, it told us nothing.
    and_(~exists(_MEMBERSHIP), or_(~exists(_OFFERED), _KNOWS_MORE)),
)


def request_link(connection: Connection, rules: Rules, address: Address, now: datetime) -> None:
    """Mail a fresh link to the address, if it is one we know; three a day at most.

    Somebody who only ever asked to join is mailed their confirmation again instead.
    """
    key = address_key(address, rules.pepper)
    # One lock for all that follows, and nobody's where the address is unknown.
    connection.execute(
        select(SUBSCRIBER.c.id)
        .where(SUBSCRIBER.c.address_key == key)
        .with_for_update(key_share=True)
    )
    made = connection.execute(
        insert(LINK_REQUEST)
        .from_select(
            ["subscriber_id", "purpose", "request_values", "requested_at", "expires_at"],
            select(
                SUBSCRIBER.c.id,
                literal("preferences"),
                literal({}, LINK_REQUEST.c.request_values.type),
                literal(now, UtcDateTime),
                literal(now + rules.link_lifetime, UtcDateTime),
            ).where(
                SUBSCRIBER.c.address_key == key,
                SUBSCRIBER.c.erased_at.is_(None),
                _TOLD_US_SOMETHING,
            ),
        )
        .returning(LINK_REQUEST.c.id)
    ).scalar()
    # For a stranger the same is asked of no row; of NULL it would be asked of every row.
    request_id = made or 0
    asking = mail(
        "request",
        "notice",
        subscriber_id=LINK_REQUEST.c.subscriber_id,
        generation=LINK_REQUEST.c.generation,
        link_request_id=LINK_REQUEST.c.id,
        occurrence=literal("notice:fresh-link:") + cast(LINK_REQUEST.c.id, String),
        slug=literal(FRESH_LINK),
        lane=0,
        lapses_at=LINK_REQUEST.c.expires_at,
    )
    queue(connection, rules, asking.where(LINK_REQUEST.c.id == request_id), now)
    # Past the limit there is no mail, and then nothing to keep.
    connection.execute(
        delete(LINK_REQUEST).where(
            LINK_REQUEST.c.id == request_id,
            ~exists(select(DELIVERY.c.id).where(DELIVERY.c.link_request_id == LINK_REQUEST.c.id)),
        )
    )
    signups.ask_again(connection, rules, key, now)


def redeem_link(connection: Connection, link_request_id: int, now: datetime) -> int | None:
    """Whom a fresh link belongs to while it is valid; it may be opened again and again."""
    return connection.execute(
        select(LINK_REQUEST.c.subscriber_id)
        .join(SUBSCRIBER, SUBSCRIBER.c.id == LINK_REQUEST.c.subscriber_id)
        .where(
            LINK_REQUEST.c.id == link_request_id,
            LINK_REQUEST.c.purpose.not_in(offers.PURPOSES),
            LINK_REQUEST.c.used_at.is_(None),
            LINK_REQUEST.c.expires_at > now,
            SUBSCRIBER.c.erased_at.is_(None),
        )
    ).scalar()


def is_orphaned(connection: Connection, link_request_id: int) -> bool:
    """Whether a link was made for somebody who is erased; not if they only never answered."""
    owner = connection.execute(
        select(SUBSCRIBER.c.id)
        .join(LINK_REQUEST, LINK_REQUEST.c.subscriber_id == SUBSCRIBER.c.id)
        .where(
            LINK_REQUEST.c.id == link_request_id,
            SUBSCRIBER.c.erased_at.is_not(None),
            SUBSCRIBER.c.address_key.is_(None),
        )
    )
    return owner.first() is not None
