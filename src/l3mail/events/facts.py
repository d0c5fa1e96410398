"""Adding facts; nothing that was added is changed, but an interest can be taken back.

Owns their columns.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select

from l3mail.models import EVENT, SUBSCRIBER, UtcDateTime

_COLUMNS = (
    "kind",
    "at",
    "subscriber_id",
    "delivery_id",
    "message_id",
    "link_id",
    "enrollment_id",
    "name",
    "verdict",
)


def append(connection: Connection, facts: Sequence[dict[str, Any]]) -> None:
    """Add facts, each a mapping with at least `kind` and `at`; never changes what is there."""
    if facts:
        connection.execute(
            insert(EVENT),
            [
                {name: fact.get(name) for name in _COLUMNS} | {"data": fact.get("data", {})}
                for fact in facts
            ],
        )


def append_once(connection: Connection, fact: dict[str, Any], since: datetime) -> bool:
    """Add a fact of a person, unless one of its kind and `name` is there since then.

    Says whether it was added.
    """
    # The person's row puts two presses of one button in order; SQLite's writers are in one already.
    connection.execute(
        select(SUBSCRIBER.c.id).where(SUBSCRIBER.c.id == fact["subscriber_id"]).with_for_update()
    )
    before = connection.execute(
        select(EVENT.c.id)
        .where(
            EVENT.c.subscriber_id == fact["subscriber_id"],
            EVENT.c.kind == fact["kind"],
            EVENT.c.name.is_not_distinct_from(fact.get("name")),
            EVENT.c.at >= since,
        )
        .limit(1)
    )
    if before.first() is not None:
        return False
    append(connection, [fact])
    return True


def interests(connection: Connection, subscriber_id: int) -> dict[str, datetime]:
    """What somebody said to be interested in, by name, and when last."""
    rows = connection.execute(
        select(EVENT.c.name, func.max(EVENT.c.at, type_=UtcDateTime).label("at"))
        .where(
            EVENT.c.subscriber_id == subscriber_id,
            EVENT.c.kind == "interested",
            EVENT.c.name.is_not(None),
        )
        .group_by(EVENT.c.name)
        .order_by(EVENT.c.name)
    )
    return {row.name: row.at for row in rows}


def take_back_interest(connection: Connection, subscriber_id: int, name: str) -> bool:
    """Forget that somebody said to be interested, however often; whether they had.

    Segments and triggers ask what is there: to both it was never said, and can be said anew.
    """
    taken = connection.execute(
        delete(EVENT)
        .where(
            EVENT.c.subscriber_id == subscriber_id,
            EVENT.c.kind == "interested",
            EVENT.c.name == name,
        )
        .returning(EVENT.c.id)
    )
    return bool(taken.all())
