"""Going for good: at a person's wish, or because a sign-up was never answered.

Owns what a tombstone keeps. Deliveries and counts stay, nothing that says who it was, except a
suppression's keyed hash and, where kept, the proof of consent. The keyed hash also outlives an
unanswered sign-up for thirty days: without it, nobody's limit of mails would hold.
"""

from collections.abc import Collection, Sequence
from datetime import date, datetime, time, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    and_,
    delete,
    exists,
    func,
    or_,
    select,
    update,
)

from l3mail import certificates, consents, suppressions
from l3mail.calendars import wall_to_utc
from l3mail.models import (
    CONSENT,
    DELIVERY,
    EVENT,
    LINK_REQUEST,
    SIGNUP,
    SUBSCRIBER,
    SUBSCRIPTION,
    SUPPRESSION,
)
from l3mail.subscribers import offers, people, profiles, signups
from l3mail.subscribers.subscriptions import end
from l3mail.subscribers.terms import Rules

Column = ColumnElement[Any]
_ERASED_AT_ONCE = 25
"""Erasing is a dozen statements each: whoever wants to write behind these waits for so many."""

LIMITS_REACH_BACK = timedelta(days=30)
_IMPERSONAL = ("confirmed", "unsubscribed", "opened", "clicked", "interested")
"""Events whose data names streams, links and causes; the others' may quote the person."""

PROOFS = ("confirmed", "attested", "tracking_granted")
"""Acts by which somebody consented."""

_TOMBSTONE: dict[str, Any] = {
    **profiles.EMPTY,
    "address": None,
    "address_key": None,
    "restricted_at": None,
}


def erase(
    connection: Connection,
    rules: Rules,
    subscriber_id: int,
    now: datetime,
    *,
    by: str,
    keep_proof: bool | None = None,
    never: bool = False,
) -> None:
    """Leave a tombstone: all that is personal goes, counts and a suppression's hash stay.

    `never` leaves such a hash: the address is not to be mailed again, whoever asks for it.
    `keep_proof` keeps the consent chain, restricted, until its date (DSGVO Art. 17(3)(e)), which
    a last act names; None leaves it to the rules; where nobody ever consented there is nothing to
    prove. A sign-up that is open keeps its key until it runs out: "this wasn't me" must still bar
    the address. Wishes of others to move to the address end: they name it.
    """
    people.lock_all(connection, {subscriber_id, *offers.others(connection, subscriber_id)})
    person = people.lock(connection, subscriber_id)
    if person is None or person.erased_at is not None:
        return
    if never and person.address_key is not None:
        suppressions.suppress(connection, {person.address_key}, "never", now)
    proven = _is_proven(connection, subscriber_id)
    evidence = {"by": by, "proof_until": proof_until(rules, now).isoformat()}
    end(connection, person, None, now, how="erasure", evidence=evidence)
    keeps = rules.keeps_proof if keep_proof is None else keep_proof
    if not (proven and keeps):
        consents.forget(connection, subscriber_id)
    _empty(connection, {subscriber_id})
    strangers = offers.withdraw(connection, subscriber_id, now)
    strangers |= offers.recall(connection, subscriber_id, now)
    offers.turn_away(connection, subscriber_id, now)
    connection.execute(
        update(LINK_REQUEST)
        .where(LINK_REQUEST.c.subscriber_id == subscriber_id)
        .values(request_values={}, used_at=func.coalesce(LINK_REQUEST.c.used_at, now))
    )
    let_signups_go(connection, subscriber_id, now)
    # The hash and the reason stay; what was noted beside them may speak of the person.
    connection.execute(
        update(SUPPRESSION).where(SUPPRESSION.c.address_key == person.address_key).values(note=None)
    )
    connection.execute(
        update(SUBSCRIBER)
        .where(SUBSCRIBER.c.id == subscriber_id)
        .values(**_TOMBSTONE, erased_at=now)
    )
    forget_strangers(connection, strangers, now)


def proof_kept_until(
    connection: Connection, rules: Rules, subscriber_id: int, now: datetime
) -> date | None:
    """Until when proof of consent would stay if somebody were erased now; None where none would."""
    if not rules.keeps_proof or not _is_proven(connection, subscriber_id):
        return None
    return proof_until(rules, now)


def _is_proven(connection: Connection, subscriber_id: int) -> bool:
    """Whether somebody ever consented to anything."""
    proof = connection.execute(
        select(CONSENT.c.seq)
        .where(CONSENT.c.subscriber_id == subscriber_id, CONSENT.c.act.in_(PROOFS))
        .limit(1)
    )
    return proof.first() is not None


def proof_until(rules: Rules, now: datetime) -> date:
    """Until when proof of what ends now is kept: to the end of the year its months end in."""
    day = now.astimezone(rules.zone).date()
    months = day.year * 12 + day.month - 1 + rules.proof_months
    return day.replace(year=months // 12, month=12, day=31)


def expire_proofs(
    connection: Connection, rules: Rules, now: datetime, *, after: int, limit: int
) -> tuple[int, int | None]:
    """Forget the proof kept of erased people whose date has passed.

    Looks at `limit` people whose numbers come after one; how many acts went, and the number looked
    at last, None at the end of all.
    """
    looked_at = _following(connection, after, limit)
    if not looked_at:
        return 0, None
    due = connection.execute(
        select(SUBSCRIBER.c.id).where(
            SUBSCRIBER.c.id.between(looked_at[0], looked_at[-1]),
            SUBSCRIBER.c.erased_at < _owed_since(rules, now),
            exists(
                select(CONSENT.c.seq).where(
                    CONSENT.c.subscriber_id == SUBSCRIBER.c.id, CONSENT.c.salt.is_not(None)
                )
            ),
        )
    )
    gone = consents.forget_all(connection, due.scalars().all())
    return gone, looked_at[-1] if len(looked_at) == limit else None


def _following(connection: Connection, after: int, limit: int) -> Sequence[int]:
    """The numbers of so many people after one, in order."""
    numbers = select(SUBSCRIBER.c.id).where(SUBSCRIBER.c.id > after)
    return connection.execute(numbers.order_by(SUBSCRIBER.c.id).limit(limit)).scalars().all()


def _owed_since(rules: Rules, now: datetime) -> datetime:
    """The end of whatever proof is still owed of this year lies after this moment."""
    today = now.astimezone(rules.zone).date()
    months = today.year * 12 - rules.proof_months
    return wall_to_utc(date(months // 12, months % 12 + 1, 1), time.min, rules.zone)


def erase_departed(
    connection: Connection, rules: Rules, now: datetime, *, after: int, limit: int
) -> tuple[int, int | None]:
    """Erase who left everything so long ago that no proof of it is owed any more.

    Looks at `limit` people whose numbers come after one; how many were erased, and the number
    looked at last, None at the end of all. Whose data rest, and who never joined, stays.
    """
    looked_at = _following(connection, after, limit)
    if not looked_at:
        return 0, None
    membership = select(SUBSCRIPTION.c.id).where(SUBSCRIPTION.c.subscriber_id == SUBSCRIBER.c.id)
    since = _owed_since(rules, now)
    still_in = membership.where(
        or_(
            SUBSCRIPTION.c.state != "unsubscribed",
            SUBSCRIPTION.c.unsubscribed_at >= since,
            # Who left elsewhere, long ago, is remembered from the day we were told.
            SUBSCRIPTION.c.created_at >= since,
        )
    )
    asking = select(SIGNUP.c.id).where(signups.IS_OPEN, SIGNUP.c.subscriber_id == SUBSCRIBER.c.id)
    departed = connection.execute(
        select(SUBSCRIBER.c.id)
        .where(
            SUBSCRIBER.c.id.between(looked_at[0], looked_at[-1]),
            SUBSCRIBER.c.erased_at.is_(None),
            SUBSCRIBER.c.restricted_at.is_(None),
            exists(membership),
            ~exists(still_in),
            ~exists(asking),
        )
        .order_by(SUBSCRIBER.c.id)
        .limit(_ERASED_AT_ONCE)
    ).scalars()
    gone = list(departed)
    for number in gone:
        erase(connection, rules, number, now, by="retention", keep_proof=False)
    if len(gone) == _ERASED_AT_ONCE:
        return len(gone), gone[-1]
    return len(gone), looked_at[-1] if len(looked_at) == limit else None


def _empty(connection: Connection, subscriber_ids: Collection[int]) -> None:
    """Take from mails, events, memberships and certificates what speaks of these people."""
    ids = sorted(subscriber_ids)
    certificates.forget(connection, ids)
    connection.execute(
        update(DELIVERY)
        .where(DELIVERY.c.subscriber_id.in_(ids))
        .values(details={}, reply_text=None, shown=None)
    )
    connection.execute(
        update(EVENT)
        .where(EVENT.c.subscriber_id.in_(ids), EVENT.c.kind.not_in(_IMPERSONAL))
        .values(data={})
    )
    connection.execute(
        update(SUBSCRIPTION).where(SUBSCRIPTION.c.subscriber_id.in_(ids)).values(source=None)
    )


def let_signups_go(connection: Connection, subscriber_id: int, now: datetime) -> None:
    """Delete a person's sign-ups; those whose link still works are emptied and closed."""
    of_person = SIGNUP.c.subscriber_id == subscriber_id
    _delete_signups(connection, and_(of_person, SIGNUP.c.expires_at <= now))
    connection.execute(
        update(SIGNUP)
        .where(of_person)
        .values(
            streams=[],
            signup_values={},
            wording_id=None,
            locale=None,
            source=None,
            confirmed_at=None,
            refused_at=func.coalesce(SIGNUP.c.refused_at, now),
        )
    )


def _delete_signups(connection: Connection, which: Column, limit: int | None = None) -> set[int]:
    """Delete sign-ups; whose they were."""
    rows = connection.execute(
        select(SIGNUP.c.id, SIGNUP.c.subscriber_id).where(which).limit(limit)
    ).all()
    ids = [row.id for row in rows]
    if ids:
        connection.execute(
            update(DELIVERY).where(DELIVERY.c.signup_id.in_(ids)).values(signup_id=None)
        )
        connection.execute(delete(SIGNUP).where(SIGNUP.c.id.in_(ids)))
    return {row.subscriber_id for row in rows if row.subscriber_id is not None}


def purge(connection: Connection, now: datetime, limit: int) -> int:
    """Delete what ran out: unconfirmed sign-ups, and people known by nothing else.

    Returns how many sign-ups went; fewer than `limit` means that all are done. What limits
    counted goes thirty days later.
    """
    ran_out = select(SIGNUP.c.id).where(signups.IS_OPEN, SIGNUP.c.expires_at <= now).limit(limit)
    closed = connection.execute(
        update(SIGNUP)
        .where(SIGNUP.c.id.in_(ran_out), signups.IS_OPEN)
        .values(refused_at=now, signup_values={}, locale=None, source=None)
        .returning(SIGNUP.c.subscriber_id)
    )
    people_ids = closed.scalars().all()
    forget_strangers(connection, {one for one in people_ids if one is not None}, now)
    _forget_traces(connection, now, limit)
    return len(people_ids)


def forget_strangers(
    connection: Connection, subscriber_ids: Collection[int], now: datetime
) -> None:
    """Take memberships nobody answered for, and all else where that was all."""
    if not subscriber_ids:
        return
    ids = sorted(subscriber_ids)
    open_signup = select(SIGNUP.c.id).where(signups.IS_OPEN)
    connection.execute(
        delete(SUBSCRIPTION).where(
            SUBSCRIPTION.c.subscriber_id.in_(ids),
            SUBSCRIPTION.c.state == "unconfirmed",
            ~exists(open_signup.where(SIGNUP.c.subscriber_id == SUBSCRIPTION.c.subscriber_id)),
        )
    )
    known = or_(
        exists(select(SUBSCRIPTION.c.id).where(SUBSCRIPTION.c.subscriber_id == SUBSCRIBER.c.id)),
        exists(open_signup.where(SIGNUP.c.subscriber_id == SUBSCRIBER.c.id)),
        exists(
            select(LINK_REQUEST.c.id).where(
                LINK_REQUEST.c.subscriber_id == SUBSCRIBER.c.id,
                LINK_REQUEST.c.purpose.in_((offers.MOVE, offers.OFFER, offers.FAREWELL)),
                LINK_REQUEST.c.used_at.is_(None),
                LINK_REQUEST.c.expires_at > now,
            )
        ),
        *(
            SUBSCRIBER.c[name].is_not(None)
            for name in (*profiles.NAMES, "birth_month", "locale", "restricted_at")
        ),
    )
    strangers = connection.execute(
        update(SUBSCRIBER)
        .where(SUBSCRIBER.c.id.in_(ids), SUBSCRIBER.c.erased_at.is_(None), ~known)
        .values({**_TOMBSTONE, "address_key": SUBSCRIBER.c.address_key, "erased_at": now})
        .returning(SUBSCRIBER.c.id)
    )
    gone = list(strangers.scalars())
    if gone:
        consents.forget_all(connection, gone)
        _empty(connection, gone)


def bury(connection: Connection, subscriber_ids: Collection[int], now: datetime) -> None:
    """Leave a tombstone, without even the key, of people who were nothing but an address."""
    consents.forget_all(connection, subscriber_ids)
    _empty(connection, subscriber_ids)
    connection.execute(
        update(SUBSCRIBER)
        .where(SUBSCRIBER.c.id.in_(sorted(subscriber_ids)))
        .values(**_TOMBSTONE, erased_at=now)
    )


def _forget_traces(connection: Connection, now: datetime, limit: int) -> None:
    """Let go of closed sign-ups that no limit counts any more, and of the keys kept for them."""
    uncounted = and_(
        SIGNUP.c.confirmed_at.is_(None),
        SIGNUP.c.refused_at.is_not(None),
        SIGNUP.c.expires_at <= now - LIMITS_REACH_BACK,
    )
    whose = _delete_signups(connection, uncounted, limit)
    if whose:
        connection.execute(
            update(SUBSCRIBER)
            .where(
                SUBSCRIBER.c.id.in_(sorted(whose)),
                SUBSCRIBER.c.erased_at.is_not(None),
                ~exists(select(SIGNUP.c.id).where(SIGNUP.c.subscriber_id == SUBSCRIBER.c.id)),
            )
            .values(address_key=None)
        )
