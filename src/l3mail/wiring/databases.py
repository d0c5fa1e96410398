"""Which database a workspace has, and who alone may send from it."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from l3mail import migrations
from l3mail.database import Database, opened
from l3mail.errors import SenderBusyError
from l3mail.settings import (
    Settings,
    make_state,
)

LOCK_FILE = "sender.lock"


@contextmanager
def open_database(settings: Settings) -> Iterator[Database]:
    """The workspace's database, at the schema this program expects."""
    make_state(settings.state_dir)
    with opened(settings.database_url) as database:
        database.read(migrations.require_current)
        yield database


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
