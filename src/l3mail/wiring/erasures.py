"""What erasing leaves to be done outside the rows: a note beside the database, an empty log.

And the way back: what was erased after a backup was made is erased again in what was put back.
"""

import logging
from datetime import datetime

from l3mail.database import Database
from l3mail.privacy import erasures
from l3mail.settings import Settings
from l3mail.wiring.rules import make_rules

log = logging.getLogger("l3mail.erasures")


def leave_no_trace(settings: Settings, database: Database) -> bool:
    """Note who is erased or moved in `state/`, and empty SQLite's log of what they were.

    False where one of both has to wait: somebody reads, or the disk is full. Once an hour does it
    for all that pages and chores erased.
    """
    try:
        database.read(lambda connection: erasures.note(connection, settings.state_dir))
    except OSError as fault:
        log.warning(
            "state/erased or state/moved can't be written: %s; trying again", fault.strerror
        )
        return False
    return database.truncate_log()


def erase_again(settings: Settings, database: Database, copied_at: datetime, now: datetime) -> int:
    """Erase in a restored database whoever was erased after it was copied; how many."""
    rules = make_rules(settings)
    again = database.write(
        lambda connection: erasures.again(connection, rules, settings.state_dir, copied_at, now)
    )
    database.truncate_log()
    return again


def erased_since(settings: Settings, database: Database, copied_at: datetime) -> int:
    """How many people `erase_again` would erase."""
    return database.read(
        lambda connection: len(erasures.known_again(connection, settings.state_dir, copied_at))
    )


def let_movers_rest(
    settings: Settings, database: Database, copied_at: datetime, now: datetime
) -> int:
    """Let rest in a restored database whoever moved after it was copied; how many."""
    rules = make_rules(settings)
    return database.write(
        lambda connection: erasures.let_rest(connection, rules, settings.state_dir, copied_at, now)
    )


def moved_since(settings: Settings, database: Database, copied_at: datetime) -> int:
    """Whose data `let_movers_rest` would let rest, counted."""
    return database.read(
        lambda connection: len(erasures.left_again(connection, settings.state_dir, copied_at))
    )
