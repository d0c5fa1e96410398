"""For developers: `python -m l3mail.migrations 0002 "what changes"` drafts a revision.

Compares the models with a scratch database at the newest revision. Read the draft before
you commit it: Alembic sees neither renamed columns nor changed CHECKs.
"""

import sys
import tempfile
from pathlib import Path

from alembic import command

from l3mail.database import opened
from l3mail.migrations import alembic_config


def draft(revision: str, message: str) -> None:
    """Write `versions/<revision>_<message>.py`."""
    config = alembic_config()
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder) / "scratch.sqlite3"
        scratch.touch()  # a database that is not there is not made by opening it
        with opened(f"sqlite:///{scratch}") as database, database.engine.begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            command.revision(config, message, autogenerate=True, rev_id=revision)


if __name__ == "__main__":
    draft(*sys.argv[1:3])
