"""Alembic's entry: run the revisions on the connection the caller opened."""

from typing import Any, Literal

from alembic import context
from alembic.autogenerate.api import AutogenContext
from sqlmodel.sql.sqltypes import AutoString

from l3mail.models import METADATA
from l3mail.models.columns import Id, Json, UtcDateTime, Word


def render(kind: str, item: Any, _context: AutogenContext) -> str | Literal[False]:
    """Spell our column types by their short names in generated revisions."""
    if kind == "type" and isinstance(item, Id | Json | UtcDateTime):
        return f"{type(item).__name__}()"
    if kind == "type" and isinstance(item, AutoString | Word):
        return "sa.String()"
    return False


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    render_as_batch=True,
    render_item=render,
    compare_type=True,
    # Both databases roll DDL back; the caller's transaction makes an upgrade all or nothing.
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
