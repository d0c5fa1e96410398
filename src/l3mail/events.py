"""Append-only facts about people and mails.

Owns the rows of `event`; what follows from a fact is asked of it by queries elsewhere.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, insert

from l3mail.models import EVENT


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
