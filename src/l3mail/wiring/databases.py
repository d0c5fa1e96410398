"""Which database a workspace has, whether it is still there, and who alone may send from it."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from l3mail import migrations, owners
from l3mail.database import Database, opened
from l3mail.errors import DatabaseLostError, SchemaError, SenderBusyError, StateError
from l3mail.settings import BACKUPS_FOLDER, MARK_FILE, Settings, require_secrets

LOCK_FILE = "sender.lock"
WAL = "-wal"


@contextmanager
def open_database(settings: Settings, *, with_secrets: bool = True) -> Iterator[Database]:
    """The workspace's database, at the schema this program expects; makes nothing.

    Raises SchemaError where there is none, and DatabaseLostError where there was one. Without
    secrets only what needs neither pepper nor key may be done.
    """
    if settings.database_file is not None:
        require_founded(settings)
    if with_secrets:
        require_secrets(settings)
    with opened(settings.database_url) as database:
        if settings.database_file is None and database.read(migrations.revision) is None:
            require_nothing_lost(settings)
        database.read(migrations.require_current)
        yield database


def require_founded(settings: Settings) -> None:
    """Raise where there is no SQLite file; whether it was lost, or never made."""
    if not _is_file(settings.database_file):
        require_nothing_lost(settings)
        raise SchemaError("there is no database yet; run `l3mail db upgrade`")


def is_founded(settings: Settings) -> bool:
    """Whether there is a database with tables of ours."""
    if settings.database_file is not None:
        return _is_file(settings.database_file)
    with opened(settings.database_url) as database:
        return database.read(migrations.revision) is not None


def require_nothing_lost(settings: Settings) -> None:
    """Raise DatabaseLostError where no database is but something that one leaves behind."""
    if signs := _signs(settings):
        where = settings.database_file or "L3MAIL_DATABASE_URL"
        backup = newest_backup(settings)
        hint = f"put it back: `l3mail db restore {backup or 'FILE'}`"
        raise DatabaseLostError(
            f"there was a database here ({', '.join(signs)}), and there is none at {where}; {hint}"
        )


def _is_file(file: Path | None) -> bool:
    if file is None:
        return False
    try:
        return file.stat().st_size > 0
    except FileNotFoundError:
        return False
    except OSError as error:
        raise StateError(f"{file}: {error.strerror}{owners.mend(file)}") from error


def _signs(settings: Settings) -> list[str]:
    """What shows that there was a database, by its names in `state/`.

    Pepper and key show nothing: they are made before it, and taken along to another machine.
    """
    state, file = settings.state_dir, settings.database_file
    signs = [MARK_FILE] if (state / MARK_FILE).exists() else []
    if file is None:
        return signs
    wal = file.with_name(file.name + WAL)
    signs += [wal.name] if wal.exists() else []
    return signs + ([BACKUPS_FOLDER] if newest_backup(settings) else [])


def newest_backup(settings: Settings) -> Path | None:
    """The newest backup where backups lie unless told otherwise; their names end in their age."""
    found = (settings.state_dir / BACKUPS_FOLDER).glob("*.tar.gz")
    return max(found, key=lambda path: path.name.rpartition("-")[2], default=None)


@contextmanager
def only_sender(database: Database) -> Iterator[None]:
    """Hold the database's sender lock; on PostgreSQL, where many may send, do nothing.

    It lies beside the database's file, so two workspaces that share one do not both send. Raises
    SenderBusyError naming the process that holds it. The lock is the kernel's: it ends
    with its process, however that ends.
    """
    if not database.is_sqlite:
        yield
        return
    file = database.engine.url.database
    assert file is not None  # the settings refuse databases in memory
    path = Path(file).with_name(LOCK_FILE)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _lock(descriptor, path)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, path: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        holder = os.pread(descriptor, 100, 0).decode("ascii", "replace").strip() or "unknown"
        raise SenderBusyError(
            f"{path} is held by process {holder}, which is sending already; stop it first"
        ) from None
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
