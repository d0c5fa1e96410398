"""Approvals: batches of triggered mails that go out only after a person's yes.

Owns approvals and the versions pinned for them. A batch is shown before it is due; its mails are
planned when it is, held until somebody decides, and lapse with their moment. The states of
deliveries are the outbox's.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Connection, exists, func, insert, select, update

from l3mail import outbox
from l3mail.database import upsert
from l3mail.errors import TriggerError, quoted
from l3mail.models import APPROVAL, APPROVAL_MESSAGE, DELIVERY, MESSAGE, TRIGGER
from l3mail.planning import NOW
from l3mail.triggers.declaring import Trigger
from l3mail.triggers.rules import Occasion

Decision = Literal["approved", "rejected"]


@dataclass(frozen=True, slots=True)
class Batch:
    """An approval as planning needs it: `decision` None while nobody has decided."""

    id: int
    decision: str | None


@dataclass(frozen=True, slots=True)
class Pending:
    """A batch that waits for a yes: `held` mails are planned, none before it is due.

    `messages` are the ids of the versions that were pinned, by locale.
    """

    id: int
    slug: str
    occasion: str
    due_at: datetime
    requested_at: datetime
    lapses_at: datetime
    held: int
    messages: Mapping[str, int]


_STATE: Mapping[str | None, tuple[str, str | None]] = {
    None: ("held", outbox.AWAITING_APPROVAL),
    "approved": ("queued", None),
}


def state_of(batch: Batch) -> tuple[str, str | None] | None:
    """In which state, and for which reason, a batch's mails are planned; None if not at all."""
    return _STATE.get(batch.decision)


def known(
    connection: Connection, trigger: Trigger, occasion: str, *, lock: bool = False
) -> Batch | None:
    """The batch of an occasion, if it was opened.

    With `lock`, whoever decides meanwhile waits, and then finds the rows that were planned.
    """
    query = select(APPROVAL.c.id, APPROVAL.c.decision).where(
        APPROVAL.c.trigger_id == trigger.id, APPROVAL.c.occasion == occasion
    )
    row = connection.execute(query.with_for_update() if lock else query).first()
    return None if row is None else Batch(*row)


def open_(connection: Connection, trigger: Trigger, occasion: Occasion, now: datetime) -> Batch:
    """Show a batch for approval with the versions in force: what is shown is what is sent.

    Idempotent; a text published later does not reach a batch that is open.
    """
    name = occasion.name(trigger.rule.kind)
    made = connection.execute(
        upsert(connection, APPROVAL)
        .values(
            trigger_id=trigger.id,
            occasion=name,
            due_at=occasion.due_at,
            requested_at=now,
            lapses_at=occasion.lapses_at,
        )
        .on_conflict_do_nothing(index_elements=[APPROVAL.c.trigger_id, APPROVAL.c.occasion])
        .returning(APPROVAL.c.id)
    ).scalar()
    if made is not None:
        versions = select(MESSAGE.c.locale, MESSAGE.c.id).where(
            MESSAGE.c.slug == trigger.slug, MESSAGE.c.superseded_at.is_(None)
        )
        connection.execute(
            insert(APPROVAL_MESSAGE),
            [
                {"approval_id": made, "locale": row.locale, "message_id": row.id}
                for row in connection.execute(versions)
            ],
        )
    batch = known(connection, trigger, name, lock=True)
    assert batch is not None
    return batch


def decide(
    connection: Connection, approval_id: int, decision: Decision, by: str, now: datetime
) -> int:
    """Approve or reject a batch; return how many planned mails that queued or ended.

    Mails that are due later follow the decision by themselves. Raises TriggerError where it was
    decided already or its moment has passed.
    """
    row = connection.execute(
        select(APPROVAL, TRIGGER.c.slug)
        .join(TRIGGER, TRIGGER.c.id == APPROVAL.c.trigger_id)
        .where(APPROVAL.c.id == approval_id)
        .with_for_update(of=APPROVAL)
    ).first()
    if row is None:
        raise TriggerError(
            f"there is no approval {approval_id}; `l3mail triggers pending` shows what waits"
        )
    what = f"approval {approval_id}, {row.slug} of {row.occasion},"
    if row.decision == "lapsed" or (row.decision is None and row.lapses_at <= now):
        raise TriggerError(f"{what} lapsed at {row.lapses_at:%Y-%m-%d %H:%M} UTC; it stays unsent")
    if row.decision is not None:
        raise TriggerError(f"{what} was {row.decision} by {quoted(row.decided_by or '')} already")
    connection.execute(
        update(APPROVAL)
        .where(APPROVAL.c.id == approval_id)
        .values(decision=decision, decided_at=now, decided_by=by)
    )
    if decision == "approved":
        return len(outbox.queue_approved(connection, approval_id))
    return len(outbox.end_unapproved(connection, approval_id, "cancelled", now))


IS_LAPSING = exists(
    select(APPROVAL.c.id).where(APPROVAL.c.decision.is_(None), APPROVAL.c.lapses_at <= NOW)
)
"""Whether `lapse` has anything to end."""


def lapse(connection: Connection, now: datetime) -> int:
    """End the batches nobody decided in time, and their mails; return how many mails."""
    gone = connection.execute(
        update(APPROVAL)
        .where(APPROVAL.c.decision.is_(None), APPROVAL.c.lapses_at <= now)
        .values(decision="lapsed", decided_at=now)
        .returning(APPROVAL.c.id)
    )
    return sum(
        len(outbox.end_unapproved(connection, approval_id, "lapsed", now))
        for approval_id in gone.scalars().all()
    )


_HELD = (
    select(func.count())
    .where(DELIVERY.c.approval_id == APPROVAL.c.id, DELIVERY.c.state == "held")
    .scalar_subquery()
)
_PENDING = (
    select(
        APPROVAL.c.id,
        TRIGGER.c.slug,
        APPROVAL.c.occasion,
        APPROVAL.c.due_at,
        APPROVAL.c.requested_at,
        APPROVAL.c.lapses_at,
        _HELD.label("held"),
    )
    .join(TRIGGER, TRIGGER.c.id == APPROVAL.c.trigger_id)
    .where(APPROVAL.c.decision.is_(None), APPROVAL.c.lapses_at > NOW)
    .order_by(APPROVAL.c.due_at, APPROVAL.c.id)
)


def pending(connection: Connection, now: datetime, slug: str | None = None) -> list[Pending]:
    """The batches that wait for a yes and may still go out, the first due first."""
    query = _PENDING if slug is None else _PENDING.where(TRIGGER.c.slug == slug)
    rows = connection.execute(query, {"now": now}).all()
    if not rows:
        return []
    pins: dict[int, dict[str, int]] = {}
    for row in connection.execute(
        select(APPROVAL_MESSAGE).where(APPROVAL_MESSAGE.c.approval_id.in_([r.id for r in rows]))
    ):
        pins.setdefault(row.approval_id, {})[row.locale] = row.message_id
    return [Pending(*row, messages=pins.get(row.id, {})) for row in rows]


def decided(connection: Connection, trigger: Trigger, limit: int = 5) -> list[dict[str, Any]]:
    """A trigger's last batches that were decided or lapsed, the newest first."""
    rows = connection.execute(
        select(
            APPROVAL.c.id,
            APPROVAL.c.occasion,
            APPROVAL.c.due_at,
            APPROVAL.c.decision,
            APPROVAL.c.decided_at,
            APPROVAL.c.decided_by,
        )
        .where(APPROVAL.c.trigger_id == trigger.id, APPROVAL.c.decision.is_not(None))
        .order_by(APPROVAL.c.id.desc())
        .limit(limit)
    )
    return [dict(row._mapping) for row in rows]
