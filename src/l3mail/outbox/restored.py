"""The brake of a restored database: nothing goes out and nothing is planned until it is reconciled.

It is a halt of everything under a subject of its own. So whatever stops at a halt stops at it,
on every host and before the next dialogue; `resume` passes it by, `db reconcile` lifts it.
"""

from collections.abc import Iterator
from datetime import datetime

from sqlalchemy import Connection, and_, delete, func, select, text
from sqlalchemy import Table as SqlTable

from l3mail.models import DELIVERY, HALT, METADATA
from l3mail.outbox.orders import RESTORED, halt

GAP = 1_000_000
"""How far numbers jump over those that a lost future may have given away."""

_BRAKE = and_(HALT.c.scope == "everything", HALT.c.subject == RESTORED)
_RESTORED_AT = select(HALT.c.halted_at).where(_BRAKE)
RESTORED_AT = _RESTORED_AT.scalar_subquery()
"""What `restored_at` says, for who asks more in the same statement."""


def restored_at(connection: Connection) -> datetime | None:
    """Since when this database is known to be a restored copy; None once it is reconciled."""
    return connection.execute(_RESTORED_AT).scalar()


def hold_back(connection: Connection, by: str, now: datetime, highest: int = 0) -> bool:
    """Pull the brake and let every number jump; False where that was done already.

    `highest` is the highest delivery known to have been started anywhere.
    """
    if not halt(connection, "everything", RESTORED, by, now):
        return False
    jump(connection, highest)
    return True


def let_go(connection: Connection) -> None:
    """Lift the brake."""
    connection.execute(delete(HALT).where(_BRAKE))


def jump(connection: Connection, highest: int = 0) -> None:
    """Let new rows begin far above every number that may stand in a mail already.

    Message-IDs and the tokens of links are made of these numbers: one that a lost future gave
    to somebody must never be somebody else's. How many it gave is known of deliveries at most.
    """
    for table in _numbered():
        above = max(last_number(connection, table), highest if table is DELIVERY else 0) + GAP
        values = {"name": table.name, "above": above}
        if connection.dialect.name == "postgresql":
            connection.execute(
                text("SELECT setval(pg_get_serial_sequence(:name, 'id')::regclass, :above)"), values
            )
            continue
        connection.execute(text("DELETE FROM sqlite_sequence WHERE name = :name"), values)
        connection.execute(
            text("INSERT INTO sqlite_sequence (name, seq) VALUES (:name, :above)"), values
        )


def last_number(connection: Connection, table: SqlTable = DELIVERY) -> int:
    """The highest number ever given to a row of a table, 0 before the first."""
    query = (
        "SELECT pg_sequence_last_value(pg_get_serial_sequence(:name, 'id')::regclass)"
        if connection.dialect.name == "postgresql"
        else "SELECT seq FROM sqlite_sequence WHERE name = :name"
    )
    given = connection.execute(text(query), {"name": table.name}).scalar() or 0
    present = connection.execute(select(func.max(table.c.id))).scalar() or 0
    return max(int(given), int(present))


def _numbered() -> Iterator[SqlTable]:
    """The tables whose rows the database numbers and somebody outside may know by number.

    Evidence of consents is numbered otherwise and stays without a gap.
    """
    for table in METADATA.sorted_tables:
        if "id" in table.c and table.dialect_options["sqlite"]["autoincrement"]:
            yield table
