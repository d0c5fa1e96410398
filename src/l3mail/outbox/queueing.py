"""Rows as they come into the outbox: all that a planner chose, in one statement."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Select
from sqlalchemy.dialects import postgresql, sqlite

from l3mail.database import upsert
from l3mail.models import DELIVERY


def into_queue(connection: Connection, chosen: Select[Any]) -> "sqlite.Insert | postgresql.Insert":
    """The INSERT of the rows that `planning.mails` chose, but none that is there already."""
    key = [DELIVERY.c.subscriber_id, DELIVERY.c.occurrence]
    rows = upsert(connection, DELIVERY).from_select(chosen.selected_columns.keys(), chosen)
    return rows.on_conflict_do_nothing(index_elements=key)


def queue(connection: Connection, chosen: Select[Any], values: Mapping[str, Any]) -> int:
    """Write those rows; how many they are.

    Counted by what the driver says: numbers handed over by RETURNING, only to be counted, take
    SQLite seven tenths of a row's time more and PostgreSQL a tenth. `chosen` may hold no WITH:
    Python's SQLite counts nothing then. Raises ValueError where nothing was counted.
    """
    statement = into_queue(connection, chosen).execution_options(preserve_rowcount=True)
    count = connection.execute(statement, values).rowcount
    if count < 0:
        raise ValueError("the rows were not counted: a statement to queue may hold no WITH")
    return count
