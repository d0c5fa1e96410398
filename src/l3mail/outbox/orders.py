"""What operators ask of the outbox: list, halt, resume, retry, resolve, cancel, and what waits.

Each changing verb touches only rows in a state where the order makes sense and returns the
ids it changed, so that the rest can be named to the operator.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    delete,
    exists,
    false,
    func,
    or_,
    select,
    true,
    update,
)

from l3mail.database import upsert
from l3mail.errors import OutboxError, did_you_mean, quoted
from l3mail.models import (
    ACTIONS,
    DELIVERY,
    DELIVERY_STATES,
    HALT,
    MESSAGE,
    SUBSCRIBER,
    UtcDateTime,
)
from l3mail.outbox.outcomes import AWAITING_APPROVAL, UNPUBLISHED, Cause
from l3mail.planning import LANE_OF_BULK, is_restrained, kept_back

TAKEN_BACK: dict[str, Any] = {
    "next_attempt_at": None,
    "lease_owner": None,
    "lease_until": None,
    "fence": DELIVERY.c.fence + 1,
}
"""What every change of a row's state from outside the sender also writes.

The lease goes, and with the fence raised a sender that holds one starts nothing.
"""

LATE_AFTER = timedelta(minutes=15)
"""So long may mail wait while nothing goes, before the relay counts as late."""

RESTORED = "restored"
"""The subject of the halt of everything that lies on a restored database; no order lifts it."""

BY_ITSELF = "l3mail"
"""Who halted a message that no person halted: the sender, whose mail was refused as ours."""

Settlement = Literal["arrived", "resend", "give-up"]


@dataclass(frozen=True, slots=True)
class HaltInForce:
    """A halt in force."""

    scope: str
    subject: str
    halted_at: datetime
    halted_by: str

    @property
    def is_brake(self) -> bool:
        """Whether it lies on a restored database, and only `db reconcile` lifts it."""
        return (self.scope, self.subject) == ("everything", RESTORED)


def counts(connection: Connection) -> dict[str, int]:
    """How many deliveries are in each state; states without rows count 0."""
    query = select(DELIVERY.c.state, func.count().label("n")).group_by(DELIVERY.c.state)
    return dict.fromkeys(DELIVERY_STATES, 0) | {r.state: r.n for r in connection.execute(query)}


@dataclass(frozen=True, slots=True)
class Needs:
    """What of the outbox waits for a person, though not at once.

    `held` rows are those no approval is asked for and no moment is set; `failed` ones ended since
    the moment asked for, without those whose address is dead, which nobody can mend.
    """

    held: int
    failed: int


def needs(connection: Connection, since: datetime) -> Needs:
    """Look for rows that need a person."""

    def count(*conditions: ColumnElement[bool]) -> int:
        return int(connection.execute(select(func.count()).where(*conditions)).scalar_one())

    return Needs(
        held=count(
            DELIVERY.c.state == "held",
            ~is_restrained(),
            DELIVERY.c.reason.is_distinct_from(AWAITING_APPROVAL),
        ),
        failed=count(
            DELIVERY.c.state == "failed",
            DELIVERY.c.ended_at > since,
            DELIVERY.c.reason.is_distinct_from(str(Cause.PERSON)),
        ),
    )


_DOUBTED = select(func.count()).where(
    DELIVERY.c.state == "uncertain", DELIVERY.c.next_attempt_at.is_(None)
)
_OLDEST = select(func.min(DELIVERY.c.due_at, type_=UtcDateTime)).where(
    DELIVERY.c.state == "queued", DELIVERY.c.lane < LANE_OF_BULK, ~kept_back()
)


WAITING_SINCE = _OLDEST.scalar_subquery()
DOUBTED = _DOUBTED.scalar_subquery()
ANY_HALT = exists(select(HALT.c.id))
"""What `waiting_since`, `doubted` and `halts` say, for who asks more in the same statement."""


def doubted(connection: Connection, slug: str | None = None) -> int:
    """How many rows, perhaps of one message, are uncertain that no rule will send again."""
    query = _DOUBTED if slug is None else _DOUBTED.where(DELIVERY.c.slug == slug)
    return int(connection.execute(query).scalar_one())


def waiting_since(connection: Connection) -> datetime | None:
    """When the oldest mail fell due that should be gone; bulk may wait for hours and is not it."""
    return connection.execute(_OLDEST).scalar()


def left_alone(connection: Connection, before: datetime) -> int:
    """How many mails a sender could have begun with since then, bulk included."""
    query = select(func.count()).where(
        DELIVERY.c.state == "queued",
        DELIVERY.c.due_at < before,
        DELIVERY.c.planned_at < before,
        ~kept_back(),
    )
    return int(connection.execute(query).scalar_one())


def next_attempt(connection: Connection) -> datetime | None:
    """When the first of the mails that the relay put off is tried again."""
    query = select(func.min(DELIVERY.c.next_attempt_at, type_=UtcDateTime))
    return connection.execute(query.where(DELIVERY.c.state == "deferred")).scalar()


def is_late(connection: Connection, now: datetime) -> bool:
    """Whether mail waits that should be gone, and none at all has gone lately.

    A long queue that drains is not late, however old its rows are.
    """
    before = now - LATE_AFTER
    if connection.execute(_waits(before).limit(1)).first() is None:
        return False
    # Newest first: where mail flows, one of the newest rows says so.
    flowing = select(DELIVERY.c.id).where(DELIVERY.c.ended_at > before)
    return connection.execute(flowing.order_by(DELIVERY.c.id.desc()).limit(1)).first() is None


def _waits(before: datetime) -> Select[Any]:
    """Mail that should be gone and could have gone since then."""
    return select(DELIVERY.c.id).where(
        DELIVERY.c.state == "queued",
        DELIVERY.c.lane < LANE_OF_BULK,
        DELIVERY.c.due_at < before,
        # Planned late, by whatever slept, it has not waited yet.
        DELIVERY.c.planned_at < before,
        ~kept_back(),
    )


_LETTING_GO = ("resume%", "db reconcile%", "outbox re%", "content publish%", "content revert%")
"""What `actions` calls the commands that let go what waited, however long: the brake is off, a row
is queued again, a text is there at last. What only lets go of bulk, which may wait, is not here."""
_LATEST_ACTIONS = 20
_A_MOMENT = timedelta(minutes=1)


def is_stalled(connection: Connection, now: datetime, patience: timedelta) -> bool:
    """Whether mail that could go for so long is in nobody's hands: sender gone, or relay down.

    Less than `waiting_since` says: what was planned or let go a moment ago is late, and yet about
    to go, and so is what stands behind rows that a sender has leased.
    """
    at_work = select(DELIVERY.c.id).where(
        DELIVERY.c.lease_owner.is_not(None), DELIVERY.c.lease_until > now
    )
    # The newest only: operators and their cron jobs write a row for each command.
    latest = (
        select(ACTIONS.c.at, ACTIONS.c.command)
        .order_by(ACTIONS.c.id.desc())
        .limit(_LATEST_ACTIONS)
        .subquery()
    )
    let_go = select(latest.c.at).where(
        latest.c.at > now - _A_MOMENT,
        or_(*(latest.c.command.like(words) for words in _LETTING_GO)),
    )
    query = select(exists(_waits(now - patience)) & ~exists(at_work) & ~exists(let_go))
    return bool(connection.execute(query).scalar_one())


def listing(
    connection: Connection,
    *,
    states: Collection[str] = (),
    search: str | None = None,
    people: ColumnElement[bool] | None = None,
    limit: int | None = None,
) -> list[dict[str, Any]]:
    """Deliveries with the address they go to, newest last; `search` looks into address and slug.

    `people` is a condition on whom they go to; mails to staff go to none of them.
    """
    query = _with_address()
    if states:
        query = query.where(DELIVERY.c.state.in_(sorted(states)))
    if search:
        places = (SUBSCRIBER.c.address, DELIVERY.c.address, DELIVERY.c.slug)
        query = query.where(or_(*(place.icontains(search, autoescape=True) for place in places)))
    if people is not None:
        query = query.where(SUBSCRIBER.c.id.is_not(None), people)
    query = query.order_by(DELIVERY.c.id.desc()).limit(limit)
    return [dict(row._mapping) for row in reversed(connection.execute(query).all())]


def lookup(connection: Connection, ids: Collection[int]) -> list[dict[str, Any]]:
    """Deliveries by id, in id order; unknown ids are absent."""
    query = _with_address().where(DELIVERY.c.id.in_(sorted(ids))).order_by(DELIVERY.c.id)
    return [dict(row._mapping) for row in connection.execute(query)]


def _with_address() -> Select[Any]:
    return select(
        DELIVERY, func.coalesce(SUBSCRIBER.c.address, DELIVERY.c.address).label("email")
    ).select_from(DELIVERY.outerjoin(SUBSCRIBER, SUBSCRIBER.c.id == DELIVERY.c.subscriber_id))


def halt(connection: Connection, scope: str, subject: str, by: str, now: datetime) -> bool:
    """Halt, effective before the next dialogue; False where that was halted already."""
    pulled = connection.execute(
        upsert(connection, HALT)
        .values(scope=scope, subject=subject, halted_by=by, halted_at=now)
        .on_conflict_do_nothing()
        .returning(HALT.c.id)
    )
    return pulled.first() is not None


_HALTED = select(HALT.c.id).where(HALT.c.scope == "everything")


def is_halted(connection: Connection) -> bool:
    """Whether everything is halted."""
    return connection.execute(_HALTED).first() is not None


def require_slug(connection: Connection, slug: str) -> None:
    """Raise OutboxError, with the nearest known one, unless a message or delivery has this slug."""
    known = select(MESSAGE.c.slug).union(select(DELIVERY.c.slug))
    slugs = sorted(connection.execute(known).scalars())
    if slug in slugs:
        return
    otherwise = "`l3mail content status` shows what there is"
    hint = did_you_mean(slug, slugs, otherwise, cutoff=0.3)
    raise OutboxError(f"{quoted(slug)} is no message; {hint}")


def waiting(connection: Connection, scope: str, subject: str) -> int:
    """How many deliveries that are not begun a halt of this scope keeps back."""
    query = select(func.count()).where(
        DELIVERY.c.state.in_(("queued", "deferred", "held")), _under(scope, subject)
    )
    return int(connection.execute(query).scalar_one())


def flowing(connection: Connection, only: tuple[str, str] | None = None) -> int:
    """How many deliveries go when every halt, or `only` that (scope, subject), is lifted.

    What another halt keeps back stays, and is not among them.
    """
    found = halts(connection)
    present = [(one.scope, one.subject) for one in found]
    lifted = [(b.scope, b.subject) for b in found if _lifts(only, b)]
    kept = [one for one in present if one not in lifted]
    query = select(func.count()).where(
        DELIVERY.c.state.in_(("queued", "deferred")),
        or_(false(), *(_under(*one) for one in lifted)),
        ~or_(false(), *(_under(*one) for one in kept)),
    )
    return int(connection.execute(query).scalar_one())


def _under(scope: str, subject: str) -> ColumnElement[bool]:
    """Whether a delivery is what a halt is about."""
    column = {"kind": DELIVERY.c.kind, "message": DELIVERY.c.slug}.get(scope)
    return true() if column is None else column == subject


def halts(connection: Connection) -> list[HaltInForce]:
    """The halts in force, oldest first."""
    rows = connection.execute(
        select(HALT.c.scope, HALT.c.subject, HALT.c.halted_at, HALT.c.halted_by).order_by(HALT.c.id)
    )
    return [HaltInForce(*row) for row in rows]


def resume(connection: Connection, only: tuple[str, str] | None = None) -> list[HaltInForce]:
    """Lift every halt, or `only` that (scope, subject); return what was released.

    The brake of a restored database is none of them.
    """
    released = [b for b in halts(connection) if _lifts(only, b)]
    for in_force in released:
        connection.execute(
            delete(HALT).where(HALT.c.scope == in_force.scope, HALT.c.subject == in_force.subject)
        )
    return released


def _lifts(only: tuple[str, str] | None, in_force: HaltInForce) -> bool:
    return not in_force.is_brake and only in (None, (in_force.scope, in_force.subject))


def resolve(
    connection: Connection, ids: Sequence[int], settlement: Settlement, now: datetime
) -> list[int]:
    """Settle uncertain rows by what a person found out."""
    return _change(connection, ids, ("uncertain",), {"ended_at": now} | _SETTLED[settlement])


def resolve_all(
    connection: Connection, slug: str, settlement: Settlement, now: datetime
) -> list[int]:
    """Settle every row of one message that `doubted` counts alike."""
    rows = connection.execute(
        update(DELIVERY)
        .where(
            DELIVERY.c.state == "uncertain",
            DELIVERY.c.next_attempt_at.is_(None),
            DELIVERY.c.slug == slug,
        )
        .values(TAKEN_BACK | {"ended_at": now} | _SETTLED[settlement])
        .returning(DELIVERY.c.id)
    )
    return sorted(rows.scalars())


_SETTLED: dict[Settlement, dict[str, Any]] = {
    "arrived": {"state": "accepted", "reason": "found to have arrived"},
    "resend": {"state": "queued", "reason": "sent again by an operator", "ended_at": None},
    "give-up": {"state": "failed", "reason": "given up by an operator"},
}


RETRYABLE = ("failed", "deferred", "held")
"""The states an operator may queue again."""


def retryable(connection: Connection, slug: str, states: Collection[str]) -> dict[str, int]:
    """How many rows `retry_all` would queue again, by state; states without any are absent."""
    query = select(DELIVERY.c.state, func.count()).where(*_retryable_of(slug, states), _NO_DOUBT)
    rows = connection.execute(query.group_by(DELIVERY.c.state)).all()
    return {row[0]: row[1] for row in rows}


def doubtful(connection: Connection, slug: str, states: Collection[str]) -> int:
    """How many rows `retry_all` leaves out because their mail may have arrived once."""
    query = select(func.count()).where(*_retryable_of(slug, states), ~_NO_DOUBT)
    return int(connection.execute(query).scalar_one())


def retry_all(connection: Connection, slug: str, states: Collection[str]) -> int:
    """`retry` all rows of one message in these states; return how many.

    Without those whose mailbox does not exist, which nobody can mend, and those that may have
    arrived: somebody has decided about them one by one, or is to.
    """
    rows = connection.execute(
        update(DELIVERY)
        .where(*_retryable_of(slug, states), _NO_DOUBT)
        .values(TAKEN_BACK | _AGAIN)
        .returning(DELIVERY.c.id)
    )
    return len(rows.all())


def _retryable_of(slug: str, states: Collection[str]) -> list[ColumnElement[bool]]:
    return [
        DELIVERY.c.slug == slug,
        DELIVERY.c.state.in_(sorted(states)),
        DELIVERY.c.reason.is_distinct_from(str(Cause.PERSON)),
        _NOT_KEPT,
    ]


_NO_DOUBT = DELIVERY.c.uncertain_at.is_(None)


_AGAIN: dict[str, Any] = {
    "state": "queued",
    "reason": "tried again by an operator",
    "ended_at": None,
    # Five days of trying begin anew.
    "first_started_at": None,
    "attempts": 0,
}
_NOT_KEPT = or_(DELIVERY.c.state != "held", DELIVERY.c.reason == UNPUBLISHED)


def retry(connection: Connection, ids: Sequence[int]) -> list[int]:
    """Queue failed and deferred rows again, and those held for want of a text.

    What barred them is checked before they go. A row held for another reason waits for that: a
    learner who pauses is not mailed because somebody is impatient.
    """
    return _change(connection, ids, RETRYABLE, _AGAIN, _NOT_KEPT)


def queue_published(connection: Connection, slugs: Collection[str]) -> list[int]:
    """Queue rows again that were held because these slugs had no text; what bars them is checked.

    A row that still finds no text in its language is held again when it is to begin.
    """
    held = select(DELIVERY.c.id).where(
        DELIVERY.c.state == "held", DELIVERY.c.reason == UNPUBLISHED, DELIVERY.c.slug.in_(slugs)
    )
    rows = connection.execute(
        update(DELIVERY)
        .where(DELIVERY.c.id.in_(held))
        .values(TAKEN_BACK | {"state": "queued", "reason": None})
        .returning(DELIVERY.c.id)
    )
    return sorted(row.id for row in rows)


def queue_approved(connection: Connection, approval_id: int) -> list[int]:
    """Queue what was held for an approval that has been given; what bars it is checked."""
    return _end_waiting(connection, approval_id, {"state": "queued", "reason": None})


def end_unapproved(
    connection: Connection,
    approval_id: int,
    state: Literal["cancelled", "lapsed"],
    now: datetime,
) -> list[int]:
    """End what was held for an approval that was refused, or that nobody gave in time."""
    reason = "rejected by an approver" if state == "cancelled" else "nobody approved it in time"
    return _end_waiting(
        connection, approval_id, {"state": state, "reason": reason, "ended_at": now}
    )


def _end_waiting(connection: Connection, approval_id: int, values: dict[str, Any]) -> list[int]:
    rows = connection.execute(
        update(DELIVERY)
        .where(DELIVERY.c.approval_id == approval_id, DELIVERY.c.state == "held")
        .values(TAKEN_BACK | values)
        .returning(DELIVERY.c.id)
    )
    return sorted(row.id for row in rows)


def cancel(connection: Connection, ids: Sequence[int], now: datetime) -> list[int]:
    """Take rows out of the queue for good; one in mid-dialogue can't be called back."""
    values = {"state": "cancelled", "reason": "cancelled by an operator", "ended_at": now}
    return _change(connection, ids, ("queued", "deferred", "held", "uncertain"), values)


def _change(
    connection: Connection,
    ids: Sequence[int],
    states: Sequence[str],
    values: dict[str, Any],
    *conditions: ColumnElement[bool],
) -> list[int]:
    changed = connection.execute(
        update(DELIVERY)
        .where(DELIVERY.c.id.in_(ids), DELIVERY.c.state.in_(states), *conditions)
        .values(TAKEN_BACK | values)
        .returning(DELIVERY.c.id)
    )
    return sorted(row.id for row in changed)
