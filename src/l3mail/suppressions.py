"""Addresses never to be mailed, known only by their keyed hash.

A person's own "never" and a complaint outrank a hard bounce, which one confirmation lifts.
Knows no address, no person and no mail.
"""

from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, case, delete, literal, select

from l3mail.database import upsert
from l3mail.models import SUPPRESSION, SUPPRESSION_REASONS

STRONGEST_FIRST = tuple(sorted(SUPPRESSION_REASONS, key=lambda known: known == "hard_bounce"))
"""The reasons in order of strength: a person's own word outranks what a server said."""


def find(connection: Connection, address_key: bytes | None) -> Row[Any] | None:
    """The suppression of an address, if there is one; an erased person's key is None."""
    if address_key is None:
        return None
    query = select(SUPPRESSION).where(SUPPRESSION.c.address_key == address_key)
    return connection.execute(query).first()


def suppress(
    connection: Connection,
    address_keys: Collection[bytes],
    reason: str,
    now: datetime,
    note: str | None = None,
) -> None:
    """Bar addresses; a stronger reason replaces a weaker one, the same or a weaker changes nothing.

    The order of strength is `STRONGEST_FIRST`.
    """
    if not address_keys:
        return
    statement = upsert(connection, SUPPRESSION)
    new = statement.excluded
    stronger = _rank(new.reason) < _rank(SUPPRESSION.c.reason)
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=[SUPPRESSION.c.address_key],
            set_={name: new[name] for name in ("reason", "note", "suppressed_at")},
            where=stronger,
        ),
        [
            {"address_key": key, "reason": reason, "note": note, "suppressed_at": now}
            for key in sorted(address_keys)
        ],
    )


def lift(connection: Connection, address_key: bytes, reason: str) -> bool:
    """Let an address be mailed again that was barred for `reason`; False if it is not, or no more.

    Whoever lifts has read the reason before; a complaint that came since stays.
    """
    lifted = connection.execute(
        delete(SUPPRESSION)
        .where(SUPPRESSION.c.address_key == address_key, SUPPRESSION.c.reason == reason)
        .returning(SUPPRESSION.c.reason)
    )
    return lifted.first() is not None


def _rank(reason: ColumnElement[str]) -> ColumnElement[int]:
    ranks = ((reason == known, literal(n)) for n, known in enumerate(STRONGEST_FIRST))
    return case(*ranks, else_=99)
