"""What operators did: one row for each changing command, never changed or deleted."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, select

from l3mail.models import ACTIONS


def note(
    connection: Connection, who: str, command: str, counts: Mapping[str, Any], now: datetime
) -> None:
    """Add the row that says who ran `command` and how many rows it changed."""
    connection.execute(
        insert(ACTIONS).values(at=now, who=who, command=command, counts=dict(counts))
    )


def has_run(connection: Connection, commands: Collection[str]) -> bool:
    """Whether any of these commands, as it was noted, has ever changed something here."""
    query = select(ACTIONS.c.id).where(ACTIONS.c.command.in_(sorted(commands))).limit(1)
    return connection.execute(query).first() is not None
