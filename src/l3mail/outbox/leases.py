"""Leases: which queued rows a sender holds, so that no other begins with them.

A leased row stays `queued`; only `begin` makes it an intent. Rows come back when their holder
gives them back, or when the lease runs out.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    Connection,
    Select,
    bindparam,
    false,
    func,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.sql.dml import ReturningUpdate

from l3mail.models import DELIVERY
from l3mail.outbox.domains import ADDRESS, DOMAIN
from l3mail.outbox.outcomes import PERMANENT
from l3mail.planning import NOW, kept_back

LEASE = timedelta(minutes=2)
"""How long a claim holds without a heartbeat; a sender renews it four times within."""

NO_LEASE: dict[str, Any] = {"lease_owner": None, "lease_until": None}
"""What a row without a holder has in its columns."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A leased row: its id and the fence the lease was taken under.

    `address` is the recipient's as it was then, so that an envelope may be made of it before the
    intent says whether it still holds; unless it is to go `alone`, for an answer to it was doubted.
    """

    id: int
    fence: int
    address: str = field(default="", repr=False, compare=False)
    alone: bool = field(default=False, repr=False, compare=False)

    @property
    def domain(self) -> str:
        """What follows the @-sign, as A-label."""
        return self.address.rpartition("@")[2]


_LEASED: dict[str, Any] = {
    "state": "queued",
    "next_attempt_at": None,
    "lease_owner": bindparam("owner"),
    "lease_until": bindparam("lease"),
    "fence": DELIVERY.c.fence + 1,
}


# Only an answer that may have been another's defers a mail that was refused for good.
_IS_DOUBTED = func.coalesce(DELIVERY.c.reply_code >= PERMANENT, false())


def _leasing(picked: Select[Any], *, by_domain: bool = False) -> ReturningUpdate[Any]:
    if by_domain:
        picked = picked.where(DOMAIN.not_in(bindparam("crowded", expanding=True)))
    # SKIP LOCKED lets PostgreSQL's senders pass each other; SQLite has one, and no such words.
    ids = picked.limit(bindparam("limit")).with_for_update(skip_locked=True).cte("picked")
    return (
        update(DELIVERY)
        .where(DELIVERY.c.id.in_(select(ids.c.id)))
        .values(_LEASED)
        .returning(DELIVERY.c.id, DELIVERY.c.fence, ADDRESS, _IS_DOUBTED)
    )


_QUEUED = (
    select(DELIVERY.c.id)
    .where(
        DELIVERY.c.state == "queued",
        DELIVERY.c.lane == bindparam("of_lane"),
        DELIVERY.c.id > bindparam("after"),
        or_(DELIVERY.c.lease_until.is_(None), DELIVERY.c.lease_until <= NOW),
        ~kept_back(),
    )
    .order_by(DELIVERY.c.id)
)
_DUE_AGAIN = (
    select(DELIVERY.c.id)
    .where(DELIVERY.c.state == "deferred", DELIVERY.c.next_attempt_at <= NOW, ~kept_back())
    .order_by(DELIVERY.c.next_attempt_at)
)
# Nobody pays for domains unless one of them has to wait.
_CLAIM, _CLAIM_BY_DOMAIN = _leasing(_QUEUED), _leasing(_QUEUED, by_domain=True)
_CLAIM_RETRIES = _leasing(_DUE_AGAIN)
_CLAIM_RETRIES_BY_DOMAIN = _leasing(_DUE_AGAIN, by_domain=True)


def claim(
    connection: Connection,
    owner: str,
    now: datetime,
    *,
    lane: int,
    after: int,
    limit: int,
    crowded: Sequence[str] = (),
) -> list[Claim]:
    """Lease up to `limit` queued rows of a lane with ids above `after`, in id order.

    Rows for the domains that are `crowded` are left where they are.
    """
    values = {"owner": owner, "now": now, "lease": now + LEASE, "limit": limit}
    values |= {"of_lane": lane, "after": after}
    found = _claimed(connection, _CLAIM_BY_DOMAIN if crowded else _CLAIM, values, crowded)
    return sorted(found, key=lambda claimed: claimed.id)


def claim_retries(
    connection: Connection,
    owner: str,
    now: datetime,
    *,
    limit: int,
    crowded: Sequence[str] = (),
) -> list[Claim]:
    """Lease up to `limit` deferred rows whose next attempt is due, the longest due first.

    `crowded` is as in `claim`.
    """
    values = {"owner": owner, "now": now, "lease": now + LEASE, "limit": limit}
    statement = _CLAIM_RETRIES_BY_DOMAIN if crowded else _CLAIM_RETRIES
    return _claimed(connection, statement, values, crowded)


def _claimed(
    connection: Connection,
    statement: ReturningUpdate[Any],
    values: dict[str, Any],
    crowded: Sequence[str],
) -> list[Claim]:
    if crowded:
        values = values | {"crowded": crowded}
    return [Claim(*row) for row in connection.execute(statement, values)]


def renew(connection: Connection, owner: str, now: datetime) -> None:
    """Extend the leases that `owner` still holds; one that ran out stays lost."""
    connection.execute(
        update(DELIVERY)
        .where(DELIVERY.c.lease_owner == owner, DELIVERY.c.lease_until > now)
        .values(lease_until=now + LEASE)
    )


def release(connection: Connection, owner: str) -> None:
    """Give every row that `owner` has leased and not begun back to the queue."""
    connection.execute(
        update(DELIVERY)
        .where(DELIVERY.c.lease_owner == owner, DELIVERY.c.state == "queued")
        .values(NO_LEASE)
    )


def give_back(connection: Connection, owner: str, unstarted: Sequence[Claim]) -> None:
    """Return rows to the queue that certainly saw no dialogue, whatever their intent says.

    For intents whose commit may or may not have been durable, and for what a sender holds
    when it stops.
    """
    if not unstarted:
        return
    connection.execute(
        update(DELIVERY)
        .where(
            tuple_(DELIVERY.c.id, DELIVERY.c.fence).in_([(c.id, c.fence) for c in unstarted]),
            DELIVERY.c.lease_owner == owner,
            DELIVERY.c.state.in_(("queued", "sending")),
        )
        .values(state="queued", **NO_LEASE)
    )
