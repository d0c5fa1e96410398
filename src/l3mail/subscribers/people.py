"""Subscriber rows: one for each address ever met, found by its key, locked while it changes.

Owns who is who. Every verb that changes what is known of a person holds that person's row first,
so that two of them at once act one after the other (SQLite's writers do anyway).
"""

from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, case, null, select

from l3mail.addresses import Address, address_key
from l3mail.database import upsert
from l3mail.models import SUBSCRIBER
from l3mail.subscribers.terms import Rules


def meet(connection: Connection, rules: Rules, address: Address, now: datetime) -> Row[Any]:
    """The subscriber of an address, locked; a row with nothing but the address if there was none.

    Somebody whose sign-up ran out, and of whom only the key was left, is known again.
    """
    statement = upsert(connection, SUBSCRIBER).values(
        address=address.address, address_key=address_key(address, rules.pepper), created_at=now
    )
    forgotten = SUBSCRIBER.c.erased_at.is_not(None)
    new = statement.excluded
    return connection.execute(
        # Changing the row, if only to itself, is what locks and returns it.
        statement.on_conflict_do_update(
            index_elements=[SUBSCRIBER.c.address_key],
            set_={
                "address": case((forgotten, new.address), else_=SUBSCRIBER.c.address),
                "created_at": case((forgotten, new.created_at), else_=SUBSCRIBER.c.created_at),
                "erased_at": null(),
            },
        ).returning(SUBSCRIBER)
    ).one()


def lock(connection: Connection, subscriber_id: int | None) -> Row[Any] | None:
    """A subscriber's row, held until the transaction ends; None if unknown.

    Not so tightly that planning, whose new rows refer to this one, would have to wait.
    """
    if subscriber_id is None:
        return None
    return connection.execute(
        select(SUBSCRIBER).where(SUBSCRIBER.c.id == subscriber_id).with_for_update(key_share=True)
    ).first()


def hold(connection: Connection, subscriber_id: int) -> bool:
    """Keep somebody's row as it is until the transaction ends; whether they are still there."""
    person = lock(connection, subscriber_id)
    return person is not None and person.erased_at is None


def lock_all(connection: Connection, subscriber_ids: Collection[int]) -> None:
    """Hold several people as `lock` does, in one order, so that nobody waits in a ring."""
    connection.execute(
        select(SUBSCRIBER.c.id)
        .where(SUBSCRIBER.c.id.in_(sorted(subscriber_ids)))
        .order_by(SUBSCRIBER.c.id)
        .with_for_update(key_share=True)
    ).all()


def find(connection: Connection, rules: Rules, address: Address) -> int | None:
    """The subscriber an address belongs to, if any."""
    return connection.execute(
        select(SUBSCRIBER.c.id).where(
            SUBSCRIBER.c.address_key == address_key(address, rules.pepper),
            SUBSCRIBER.c.erased_at.is_(None),
        )
    ).scalar()
