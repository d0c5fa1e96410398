"""The rows behind a change of address, from the asking to the day nobody counts it any more.

A change has two link requests: the person's own, which holds the address as it was typed and
counts against their limit, and the offer to whoever has the new address, which is mailed. Once
it is taken there is a third, the farewell to the address that is left. Owns how they are found and
closed. Must not know what moving means.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, case, delete, exists, func, or_, select, update

from l3mail.models import DELIVERY, LINK_REQUEST
from l3mail.planning import FRESH_LINKS_PER_30_DAYS, FRESH_LINKS_PER_DAY

MOVE, MOVE_OVER = "move", "move over"
OFFER, OFFER_OVER = "address", "address over"
FAREWELL, FAREWELL_OVER = "farewell", "farewell over"
_OVER = {MOVE: MOVE_OVER, OFFER: OFFER_OVER, FAREWELL: FAREWELL_OVER}
PURPOSES = (*_OVER, *_OVER.values())
"""What no fresh link is for."""


@dataclass(frozen=True, slots=True)
class Offered:
    """An offer that is open, and the wish behind it."""

    offer_id: int
    person: int
    holder: int
    address: str
    by: str
    requested_at: datetime


def is_over_limit(connection: Connection, subscriber_id: int, now: datetime) -> bool:
    """Whether somebody asked as often for other addresses as one may for fresh links.

    The limit of the new address is that of its mails; this one keeps a person from having many
    addresses mailed.
    """

    def since(moment: datetime) -> int:
        query = select(func.count()).where(
            LINK_REQUEST.c.subscriber_id == subscriber_id,
            LINK_REQUEST.c.purpose.in_((MOVE, MOVE_OVER)),
            LINK_REQUEST.c.requested_at > moment,
        )
        return int(connection.execute(query).scalar_one())

    return (
        since(now - timedelta(days=1)) >= FRESH_LINKS_PER_DAY
        or since(now - timedelta(days=30)) >= FRESH_LINKS_PER_30_DAYS
    )


def pending(connection: Connection, subscriber_id: int, now: datetime) -> Row[Any] | None:
    """The wish of a person that is still open, if there is one."""
    return connection.execute(
        select(LINK_REQUEST)
        .where(
            LINK_REQUEST.c.subscriber_id == subscriber_id,
            LINK_REQUEST.c.purpose == MOVE,
            LINK_REQUEST.c.used_at.is_(None),
            LINK_REQUEST.c.expires_at > now,
        )
        .order_by(LINK_REQUEST.c.id.desc())
        .limit(1)
    ).first()


def find(connection: Connection, offer_id: int, now: datetime) -> Offered | None:
    """An offer by its number, while it and the wish behind it are open."""
    offer = _open(connection, offer_id, OFFER, now)
    move = _open(connection, offer.request_values.get("move", 0), MOVE, now) if offer else None
    if offer is None or move is None:
        return None
    return Offered(
        offer_id=offer.id,
        person=move.subscriber_id,
        holder=offer.subscriber_id,
        address=move.request_values["address"],
        by=move.request_values["by"],
        requested_at=move.requested_at,
    )


def _open(connection: Connection, number: int, purpose: str, now: datetime) -> Row[Any] | None:
    return connection.execute(
        select(LINK_REQUEST).where(
            LINK_REQUEST.c.id == number,
            LINK_REQUEST.c.purpose == purpose,
            LINK_REQUEST.c.used_at.is_(None),
            LINK_REQUEST.c.expires_at > now,
        )
    ).first()


def accepted(connection: Connection, offer_id: int) -> Row[Any] | None:
    """The offer, if it was this one that was taken."""
    row = connection.execute(
        select(LINK_REQUEST).where(LINK_REQUEST.c.id == offer_id, LINK_REQUEST.c.purpose == OFFER)
    ).first()
    return row if row is not None and "closed" in row.request_values else None


def withdraw(connection: Connection, subscriber_id: int, now: datetime) -> set[int]:
    """Close a person's wishes and their offers; whom those were made to."""
    return _close(connection, _open_rows(connection, subscriber_id, MOVE), "offer", now)


def turn_away(connection: Connection, holder: int, now: datetime) -> None:
    """Close what an address was offered, and the wishes behind: those name it in plain words."""
    _close(connection, _open_rows(connection, holder, OFFER), "move", now)


def others(connection: Connection, subscriber_id: int) -> set[int]:
    """Who is at the other end of somebody's wishes and offers, as long as these are not closed."""
    ids = [
        row.request_values[end]
        for purpose, end in ((MOVE, "offer"), (OFFER, "move"))
        for row in _open_rows(connection, subscriber_id, purpose)
    ]
    rows = connection.execute(
        select(LINK_REQUEST.c.subscriber_id).where(LINK_REQUEST.c.id.in_(ids))
    )
    return set(rows.scalars())


def _open_rows(connection: Connection, subscriber_id: int, purpose: str) -> Sequence[Any]:
    return connection.execute(
        select(LINK_REQUEST.c.id, LINK_REQUEST.c.request_values).where(
            LINK_REQUEST.c.subscriber_id == subscriber_id,
            LINK_REQUEST.c.purpose == purpose,
            LINK_REQUEST.c.used_at.is_(None),
        )
    ).all()


def _close(connection: Connection, rows: Sequence[Any], end: str, now: datetime) -> set[int]:
    """Empty requests and what is at their other end; whom offers among them were made to."""
    if not rows:
        return set()
    ids = [row.id for row in rows] + [row.request_values[end] for row in rows]
    closed = connection.execute(
        update(LINK_REQUEST)
        .where(LINK_REQUEST.c.id.in_(ids), LINK_REQUEST.c.used_at.is_(None))
        .values(used_at=now, request_values={})
        .returning(LINK_REQUEST.c.purpose, LINK_REQUEST.c.subscriber_id)
    )
    return {row.subscriber_id for row in closed if row.purpose == OFFER}


def recall(connection: Connection, subscriber_id: int, now: datetime) -> set[int]:
    """Close the farewells to addresses that somebody left; whom they were to go to."""
    closed = connection.execute(
        update(LINK_REQUEST)
        .where(
            LINK_REQUEST.c.purpose == FAREWELL,
            LINK_REQUEST.c.used_at.is_(None),
            LINK_REQUEST.c.request_values["person"].as_integer() == subscriber_id,
        )
        .values(used_at=now, request_values={})
        .returning(LINK_REQUEST.c.subscriber_id)
    )
    return set(closed.scalars())


def expire(connection: Connection, now: datetime, limit: int) -> tuple[int, set[int]]:
    """Empty the requests whose time is over; how many, and whom they were mailed to.

    A farewell is over as soon as its mail is: until then it keeps the address that was left.
    """
    unsaid = exists(
        select(DELIVERY.c.id).where(
            DELIVERY.c.link_request_id == LINK_REQUEST.c.id,
            DELIVERY.c.state.not_in(("accepted", "failed", "cancelled", "lapsed")),
        )
    )
    over = connection.execute(
        select(LINK_REQUEST.c.id)
        .where(
            LINK_REQUEST.c.purpose.in_(_OVER),
            or_(LINK_REQUEST.c.expires_at <= now, LINK_REQUEST.c.purpose == FAREWELL),
            or_(LINK_REQUEST.c.expires_at <= now, ~unsaid),
        )
        .limit(limit)
    )
    ids = sorted(over.scalars())
    emptied = connection.execute(
        update(LINK_REQUEST)
        .where(LINK_REQUEST.c.id.in_(ids))
        .values(
            purpose=case(_OVER, value=LINK_REQUEST.c.purpose),
            used_at=func.coalesce(LINK_REQUEST.c.used_at, now),
            request_values={},
        )
        .returning(LINK_REQUEST.c.purpose, LINK_REQUEST.c.subscriber_id)
    ).all()
    return len(ids), {row.subscriber_id for row in emptied if row.purpose != MOVE_OVER}


def let_go(connection: Connection, before: datetime, limit: int) -> set[int]:
    """Delete requests that no limit counts any more; whose they were."""
    rows = connection.execute(
        select(LINK_REQUEST.c.id, LINK_REQUEST.c.subscriber_id)
        .where(
            LINK_REQUEST.c.purpose.in_(_OVER.values()),
            LINK_REQUEST.c.expires_at <= before,
        )
        .limit(limit)
    ).all()
    ids = [row.id for row in rows]
    if ids:
        mailed = DELIVERY.c.link_request_id.in_(ids)
        connection.execute(update(DELIVERY).where(mailed).values(link_request_id=None))
        connection.execute(delete(LINK_REQUEST).where(LINK_REQUEST.c.id.in_(ids)))
    return {row.subscriber_id for row in rows}
