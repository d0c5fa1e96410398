"""The schema's history, and whether a database stands where this program expects it.

Owns Alembic. Knows the tables; knows nothing of what they are for.
"""

import secrets
import uuid
from datetime import datetime
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, select

from l3mail.database import Database
from l3mail.errors import SchemaError
from l3mail.models import WORKSPACE


def upgrade(database: Database, now: datetime) -> str:
    """Bring the schema to the newest revision, transactionally, and return that revision.

    Safe to repeat. Raises SchemaError when the database is newer than this program.
    """
    config = alembic_config()
    with database.migrating() as connection:
        _refuse_newer(connection, config)
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        _name(connection, now)
        return revision(connection) or ""


def require_current(connection: Connection) -> None:
    """Raise SchemaError unless the database is exactly at this program's revision."""
    config = alembic_config()
    _refuse_newer(connection, config)
    head = ScriptDirectory.from_config(config).get_current_head()
    present = revision(connection)
    if present is None:
        raise SchemaError("there is no database yet; run `l3mail db upgrade`")
    if present != head:
        raise SchemaError("the database is older than this program; run `l3mail db upgrade`")


def build(connection: Connection, at: str) -> None:
    """Make the tables of a revision where there are none, and no rows."""
    config = alembic_config()
    config.attributes["connection"] = connection
    command.upgrade(config, at)


def newest() -> str:
    """The revision this program expects."""
    return ScriptDirectory.from_config(alembic_config()).get_current_head() or ""


def knows(revision: str) -> bool:
    """Whether a revision is of this program or of an older one."""
    scripts = ScriptDirectory.from_config(alembic_config()).walk_revisions()
    return revision in {script.revision for script in scripts}


def alembic_config() -> Config:
    """Where the revisions are; the caller adds `attributes["connection"]`."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    return config


def revision(connection: Connection) -> str | None:
    """The revision a database is at; None where there are no tables."""
    return MigrationContext.configure(connection).get_current_revision()


def _refuse_newer(connection: Connection, config: Config) -> None:
    present = revision(connection)
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if present is not None and present not in known:
        raise SchemaError(
            f"the database is at revision {present}, which this program does not know;"
            " install the newer l3mail that made it"
        )


def _name(connection: Connection, now: datetime) -> None:
    """Give a new database its identity, and its consent chain a first link nobody can guess."""
    if connection.execute(select(WORKSPACE.c.id)).first() is None:
        connection.execute(
            WORKSPACE.insert().values(
                id=1, uuid=uuid.uuid4().hex, created_at=now, chain_start=secrets.token_bytes(32)
            )
        )
