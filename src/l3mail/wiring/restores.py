"""Whether the database is a restored copy: what its rows say, set beside `state/high-water`."""

from sqlalchemy import Connection

from l3mail import outbox
from l3mail.clocks import Clock
from l3mail.database import Database
from l3mail.errors import RestoredError, StateError
from l3mail.sending import Mark, contradiction, read_mark
from l3mail.settings import Settings
from l3mail.wiring.mails import workspace_uuid

_WAITS = "nobody has reconciled it yet"


def suspect_restore(settings: Settings, database: Database) -> str | None:
    """Why the database is a restored copy, or None; changes nothing.

    Raises StateError where the mark is damaged.
    """
    mark = read_mark(settings.state_dir)
    return database.read(lambda connection: _suspicion(connection, mark))


def detect_restore(settings: Settings, database: Database, clock: Clock) -> str | None:
    """Look whether the database is a restored copy, and pull its brake if so; why, or None.

    For whoever is about to send, plan or number new rows. Once the brake lies, the rows say so.
    """
    mark = read_mark(settings.state_dir)

    def verb(connection: Connection) -> str | None:
        why = _suspicion(connection, mark)
        if why is not None:
            known = mark is not None and mark.uuid == workspace_uuid(connection)
            highest = mark.highest if mark and known else 0
            outbox.hold_back(connection, outbox.BY_ITSELF, clock.now(), highest)
        return why

    if database.read(lambda connection: _suspicion(connection, mark)) is None:
        return None
    return database.write(verb)


def undetected_restore(settings: Settings, database: Database) -> list[str]:
    """Why the next sender will find a restored copy, in a line; nothing once its brake lies."""
    try:
        why = suspect_restore(settings, database)
    except StateError as error:
        return [str(error)]
    if why is None or why == _WAITS:
        return []
    return [f"this database is a restored copy ({why}): `l3mail db reconcile`"]


def require_reconciled(settings: Settings, database: Database, clock: Clock) -> None:
    """Raise RestoredError while the database is a restored copy that nobody reconciled."""
    why = detect_restore(settings, database, clock)
    if why is not None:
        raise RestoredError(why)


def _suspicion(connection: Connection, mark: Mark | None) -> str | None:
    if outbox.restored_at(connection) is not None:
        return _WAITS
    return contradiction(connection, mark) if mark else None
