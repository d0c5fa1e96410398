"""Rows as they come into the outbox: all that a planner chose, in one statement."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Select

from l3mail.database import upsert
from l3mail.models import DELIVERY


def queue(connection: Connection, chosen: Select[Any], values: Mapping[str, Any]) -> int:
    """Write the rows that `planning.mails` chose, but none that is there already; how many.

    `chosen` may hold no WITH: Python's SQLite counts nothing then.
    """
    statement = (
        upsert(connection, DELIVERY)
        .from_select(chosen.selected_columns.keys(), chosen)
        .on_conflict_do_nothing(index_elements=[DELIVERY.c.subscriber_id, DELIVERY.c.occurrence])
        # Not RETURNING: fifty thousand numbers are dear to hand over, only to be counted.
        .execution_options(preserve_rowcount=True)
    )
    return connection.execute(statement, values).rowcount
