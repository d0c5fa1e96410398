"""Moving: a person takes another address, once that address itself has said yes.

Until then all mails go to the old one. Whoever asks learns nothing of the new address: the same
rows are written and nothing is answered, whether it is unknown, barred or has a registration of
its own. What the mail to it leads to, only who reads it there can see. Two registrations are
never made one.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    Connection,
    Row,
    String,
    cast,
    delete,
    exists,
    func,
    insert,
    literal,
    or_,
    select,
    update,
)

from l3mail import consents, suppressions
from l3mail.addresses import Address, address_key, parse_address
from l3mail.models import (
    CONSENT,
    DELIVERY,
    ENROLLMENT,
    LINK_REQUEST,
    MESSAGE,
    SIGNUP,
    SUBSCRIBER,
    SUBSCRIPTION,
)
from l3mail.planning import current_message
from l3mail.subscribers import erasing, offers, people, profiles, signups
from l3mail.subscribers.mails import mail, queue
from l3mail.subscribers.offers import Offered
from l3mail.subscribers.subscriptions import key_of
from l3mail.subscribers.terms import Move, MoveAsked, Rules

NEW_ADDRESS = "notice/new-address"
ADDRESS_CHANGED = "notice/address-changed"


def ask_new_address(
    connection: Connection,
    rules: Rules,
    subscriber_id: int,
    address: Address,
    now: datetime,
    *,
    by: str = "person",
    locale: str | None = None,
) -> MoveAsked:
    """Mail an address the question whether a person may be written to there from now on.

    Nothing changes before it is answered. A later wish takes the place of an earlier one. `by` is
    `person` or who asked in their name; `locale` is the language of the mail, else the person's.
    Only an operator may be told what comes back, and a person that it is their own address or
    was asked too often: both say nothing of the other.
    """
    key = address_key(address, rules.pepper)
    person = _hold(connection, key, subscriber_id)
    if person is None or person.erased_at is not None:
        return "unknown"
    if person.address_key == key:
        return "same"
    if offers.is_over_limit(connection, subscriber_id, now):
        return "too_often"
    withdraw_move(connection, subscriber_id, now)
    holder = people.meet(connection, rules, address, now)
    move_id = _request(connection, rules, subscriber_id, offers.MOVE, {}, now)
    offer_id = _request(connection, rules, holder.id, offers.OFFER, {"move": move_id}, now)
    wish = {"offer": offer_id, "address": address.address, "by": by}
    connection.execute(
        update(LINK_REQUEST).where(LINK_REQUEST.c.id == move_id).values(request_values=wish)
    )
    tag = profiles.language(locale) or person.locale or rules.fallback_locale
    asking = mail(
        "request",
        # Like a sign-up's: of hard bounces one is forgiven, where the address answers.
        "confirmation",
        subscriber_id=LINK_REQUEST.c.subscriber_id,
        generation=LINK_REQUEST.c.generation,
        link_request_id=LINK_REQUEST.c.id,
        occurrence=literal("notice:new-address:") + cast(LINK_REQUEST.c.id, String),
        slug=literal(NEW_ADDRESS),
        lane=0,
        lapses_at=LINK_REQUEST.c.expires_at,
        message_id=current_message(literal(NEW_ADDRESS), literal(tag)),
    )
    queued = queue(connection, rules, asking.where(LINK_REQUEST.c.id == offer_id), now)
    return "mailed" if queued else "unmailed"


def pending_move(connection: Connection, subscriber_id: int, now: datetime) -> str | None:
    """The address somebody wants to move to, as they typed it, while its answer is awaited."""
    wish = offers.pending(connection, subscriber_id, now)
    return None if wish is None else str(wish.request_values["address"])


def withdraw_move(connection: Connection, subscriber_id: int, now: datetime) -> bool:
    """Let a person stay where they are: what was mailed leads nowhere; whether there was a wish."""
    people.lock(connection, subscriber_id)
    holders = offers.withdraw(connection, subscriber_id, now)
    erasing.forget_strangers(connection, holders, now)
    return bool(holders)


def look_up_move(connection: Connection, offer_id: int, now: datetime) -> Move | None:
    """What the link in the mail leads to; None where it has no effect any more."""
    offer = offers.find(connection, offer_id, now)
    if offer is None:
        return _changed(connection, offer_id)
    return _judge(connection, offer)


def take_new_address(
    connection: Connection,
    rules: Rules,
    offer_id: int,
    now: datetime,
) -> Move | None:
    """The new address says yes: the person is known by it from now on.

    Whatever belongs to the person stays, what is queued goes to the new address, and every link
    that was mailed to the old one for a request dies. The old one is told of it. Again, it changes
    nothing.
    """
    offer = offers.find(connection, offer_id, now)
    if offer is None:
        return _changed(connection, offer_id)
    others = offers.others(connection, offer.holder)
    people.lock_all(connection, {offer.person, offer.holder, *others})
    # Asked again now that both are held.
    offer = offers.find(connection, offer_id, now)
    if offer is None:
        return _changed(connection, offer_id)
    state = _judge(connection, offer)
    if state is None or state.state != "open":
        return state
    person, holder = (people.lock(connection, one) for one in (offer.person, offer.holder))
    assert person is not None
    assert holder is not None
    barred = suppressions.find(connection, holder.address_key)
    lifted = barred is not None
    if lifted and not suppressions.lift(connection, holder.address_key, signups.LIFTABLE):
        return None  # something stronger came in between
    evidence = {
        "address_key": key_of(holder),
        "address_key_before": key_of(person),
        "by": offer.by,
        "requested_at": offer.requested_at.isoformat(),
        "proved_by": "a link that was mailed to the new address",
        "mails": _mails(connection, offer.offer_id),
        "lifted_hard_bounce": lifted,
    }
    closed = _clear(connection, holder.id, now)
    connection.execute(
        update(SUBSCRIBER)
        .where(SUBSCRIBER.c.id == person.id)
        .values(address=offer.address, address_key=holder.address_key)
    )
    _end_links(connection, offer, holder.address_key, closed, now)
    consents.note(connection, "address_changed", person.id, evidence, now)
    _bid_farewell(connection, rules, person, now)
    return Move("changed", person.locale, tuple(closed))


def end_moves(connection: Connection, now: datetime, limit: int) -> int:
    """Forget wishes nobody answered and who is known by nothing else; how many ran out.

    What limits counted goes thirty days later.
    """
    count, holders = offers.expire(connection, now, limit)
    erasing.forget_strangers(connection, holders, now)
    gone = offers.let_go(connection, now - erasing.LIMITS_REACH_BACK, limit)
    if gone:
        connection.execute(
            update(SUBSCRIBER)
            .where(
                SUBSCRIBER.c.id.in_(sorted(gone)),
                SUBSCRIBER.c.erased_at.is_not(None),
                ~exists(select(SIGNUP.c.id).where(SIGNUP.c.subscriber_id == SUBSCRIBER.c.id)),
                ~exists(
                    select(LINK_REQUEST.c.id).where(
                        LINK_REQUEST.c.subscriber_id == SUBSCRIBER.c.id,
                        LINK_REQUEST.c.purpose.in_(offers.PURPOSES),
                    )
                ),
            )
            .values(address_key=None)
        )
    return count


def left_behind(connection: Connection) -> dict[bytes, datetime]:
    """The addresses that people moved away from, by their keys, and when; reads the whole chain."""
    rows = connection.execute(
        select(CONSENT.c.content["address_key_before"].as_string(), CONSENT.c.at)
        .where(CONSENT.c.act == "address_changed")
        .order_by(CONSENT.c.seq)
    )
    return {bytes.fromhex(key): at for key, at in rows if key}


def _hold(connection: Connection, key: bytes, subscriber_id: int) -> Row[Any] | None:
    """The person, locked, and whoever has the new address as well: the lower number first."""
    other = connection.execute(
        select(SUBSCRIBER.c.id).where(SUBSCRIBER.c.address_key == key)
    ).scalar()
    people.lock_all(connection, {subscriber_id, other or subscriber_id})
    return people.lock(connection, subscriber_id)


def _request(  # noqa: PLR0917 - one row
    connection: Connection,
    rules: Rules,
    subscriber_id: int,
    purpose: str,
    values: dict[str, Any],
    now: datetime,
) -> int:
    return int(
        connection.execute(
            insert(LINK_REQUEST)
            .values(
                subscriber_id=subscriber_id,
                purpose=purpose,
                request_values=values,
                requested_at=now,
                expires_at=now + rules.offer_lifetime,
            )
            .returning(LINK_REQUEST.c.id)
        ).scalar_one()
    )


def _judge(connection: Connection, offer: Offered) -> Move | None:
    """How an open offer stands: whether there is anybody to move, and the address is free."""
    query = select(SUBSCRIBER).where(SUBSCRIBER.c.id.in_((offer.person, offer.holder)))
    found = {row.id: row for row in connection.execute(query)}
    person, holder = found[offer.person], found[offer.holder]
    if person.erased_at is not None or holder.erased_at is not None:
        return None
    barred = suppressions.find(connection, holder.address_key)
    if barred is not None and barred.reason != signups.LIFTABLE:
        return None
    return Move("taken" if _is_known(connection, holder) else "open", person.locale)


def _is_known(connection: Connection, holder: Row[Any]) -> bool:
    """Whether an address is more than one that somebody typed into a form."""
    told = (*profiles.NAMES, "birth_month", "locale", "restricted_at", "tracking", "attributes")
    if any(holder._mapping[name] for name in told):
        return True
    learns = exists(select(ENROLLMENT.c.id).where(ENROLLMENT.c.subscriber_id == holder.id))
    joined = exists(
        select(SUBSCRIPTION.c.id).where(
            SUBSCRIPTION.c.subscriber_id == holder.id, SUBSCRIPTION.c.state != "unconfirmed"
        )
    )
    return bool(connection.execute(select(or_(joined, learns))).scalar())


def _changed(connection: Connection, offer_id: int) -> Move | None:
    """What the link shows that was followed before, while its time lasts."""
    row = offers.accepted(connection, offer_id)
    if row is None:
        return None
    locale = select(SUBSCRIBER.c.locale).where(SUBSCRIBER.c.id == row.subscriber_id)
    return Move("changed", connection.execute(locale).scalar(), tuple(row.request_values["closed"]))


def _clear(connection: Connection, holder: int, now: datetime) -> list[str]:
    """Make room: of who was only an address a tombstone stays; titles of what ended unconfirmed."""
    asked = connection.execute(
        select(SIGNUP.c.streams).where(
            SIGNUP.c.subscriber_id == holder, signups.IS_OPEN, SIGNUP.c.expires_at > now
        )
    ).scalars()
    slugs = list(dict.fromkeys(slug for listed in asked for slug in listed))
    titles = [str(stream.title) for stream in signups.streams_named(connection, slugs)]
    erasing.let_signups_go(connection, holder, now)
    connection.execute(
        delete(SUBSCRIPTION).where(
            SUBSCRIPTION.c.subscriber_id == holder, SUBSCRIPTION.c.state == "unconfirmed"
        )
    )
    # Whoever else wants to move here has asked for what is somebody's now.
    offers.turn_away(connection, holder, now)
    erasing.bury(connection, {holder}, now)
    return titles


def _end_links(
    connection: Connection, offer: Offered, key: bytes, closed: list[str], now: datetime
) -> None:
    """Nothing that was mailed for a request works any more, but this offer's link says so.

    Sign-ups that are open stay so; a mail of theirs that still waits goes to the new address.
    """
    connection.execute(
        update(LINK_REQUEST)
        .where(LINK_REQUEST.c.subscriber_id.in_((offer.person, offer.holder)))
        .values(used_at=func.coalesce(LINK_REQUEST.c.used_at, now), request_values={})
    )
    connection.execute(
        update(LINK_REQUEST)
        .where(LINK_REQUEST.c.id == offer.offer_id)
        .values(subscriber_id=offer.person, request_values={"closed": closed})
    )
    connection.execute(
        update(SIGNUP)
        .where(SIGNUP.c.subscriber_id == offer.person)
        .values(address_key=key, generation=SIGNUP.c.generation + 1)
    )
    connection.execute(
        update(DELIVERY)
        .where(
            DELIVERY.c.subscriber_id == offer.person,
            DELIVERY.c.signup_id.is_not(None),
            DELIVERY.c.state.in_(("queued", "held", "deferred")),
        )
        .values(generation=DELIVERY.c.generation + 1)
    )


def _bid_farewell(connection: Connection, rules: Rules, left: Row[Any], now: datetime) -> None:
    """Tell the address that was left: who reads mail there learns if it was somebody else's doing.

    It is nobody's any more, and is forgotten as soon as it is told.
    """
    nobody = people.meet(connection, rules, parse_address(left.address), now)
    request = _request(connection, rules, nobody.id, offers.FAREWELL, {"person": left.id}, now)
    telling = mail(
        "request",
        "notice",
        subscriber_id=LINK_REQUEST.c.subscriber_id,
        generation=LINK_REQUEST.c.generation,
        link_request_id=LINK_REQUEST.c.id,
        occurrence=literal("notice:address-changed:") + cast(LINK_REQUEST.c.id, String),
        slug=literal(ADDRESS_CHANGED),
        lane=0,
        lapses_at=LINK_REQUEST.c.expires_at,
        message_id=current_message(
            literal(ADDRESS_CHANGED), literal(left.locale or rules.fallback_locale)
        ),
    )
    queue(connection, rules, telling.where(LINK_REQUEST.c.id == request), now)


def _mails(connection: Connection, offer_id: int) -> list[dict[str, Any]]:
    """Which mails asked, and the hash of what they said."""
    rows = connection.execute(
        select(DELIVERY.c.id, DELIVERY.c.first_started_at, MESSAGE.c.locale, MESSAGE.c.hash)
        .join(MESSAGE, MESSAGE.c.id == DELIVERY.c.message_id)
        .where(DELIVERY.c.link_request_id == offer_id, DELIVERY.c.first_started_at.is_not(None))
        .order_by(DELIVERY.c.id)
    )
    return [
        {
            "delivery": row.id,
            "message": NEW_ADDRESS,
            "locale": row.locale,
            "hash": row.hash,
            "started_at": row.first_started_at.isoformat(),
        }
        for row in rows
    ]
