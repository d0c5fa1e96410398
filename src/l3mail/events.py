"""Append-only facts about people and mails.

Owns the rows of `event`; what follows from a fact is asked of it by queries elsewhere.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, select

from l3mail.models import EVENT, SUBSCRIBER


def append(connection: Connection, facts: Sequence[dict[str, Any]]) -> None:
    """Add facts, each a mapping with at least `kind` and `at`; never changes what is there."""
    if facts:
        columns = ("kind", "at", "subscriber_id", "delivery_id", "message_id", "link_id", "verdict")
        connection.execute(
            insert(EVENT),
            [
                {name: fact.get(name) for name in columns} | {"data": fact.get("data", {})}
                for fact in facts
            ],
        )


def append_once(
    connection: Connection, fact: dict[str, Any], since: datetime, same: Sequence[str]
) -> bool:
    """Add a fact of a person, unless one of its kind is there since then that is alike.

    Alike means that `data` has the same values under the names `same`. Says whether it was added.
    """
    # The person's row puts two presses of one button in order; SQLite's writers are in one already.
    connection.execute(
        select(SUBSCRIBER.c.id).where(SUBSCRIBER.c.id == fact["subscriber_id"]).with_for_update()
    )
    before = connection.execute(
        select(EVENT.c.data).where(
            EVENT.c.subscriber_id == fact["subscriber_id"],
            EVENT.c.kind == fact["kind"],
            EVENT.c.at >= since,
        )
    ).scalars()
    data = fact.get("data", {})
    if any(all(told.get(name) == data.get(name) for name in same) for told in before):
        return False
    append(connection, [fact])
    return True
