"""A SQLite database as one file of its own: copied while others write, judged, put back.

Owns the files beside it (`-wal`, `-shm`) and the locks that tell whether somebody has it open.
"""

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from l3mail.backups.archives import Tell
from l3mail.database import BUSY_TIMEOUT_SECONDS
from l3mail.errors import BackupError
from l3mail.settings import sync_folder

PAGES = 1_000
"""Copied at a time; between two the bar moves."""

# Where SQLite's locks lie in a database's file (sqlite.org/src: PENDING_BYTE and what follows).
_LOCKS_AT = 0x40000000
_LOCKS_LONG = 512
COMPANIONS = ("-wal", "-shm")


def copy(source: Path, target: Path, tell: Tell) -> dict[str, int]:
    """Copy a database to a new file as it is at one moment, while others go on writing.

    Returns how many rows each table had at that moment, by the original's own word.

    Writers wait for nothing: in WAL mode a reader is in nobody's way. The one open transaction
    keeps the copy from beginning anew whenever somebody commits.
    """
    target.touch(mode=0o600)
    try:
        with (
            closing(sqlite3.connect(source, BUSY_TIMEOUT_SECONDS, isolation_level=None)) as origin,
            closing(sqlite3.connect(target, isolation_level=None)) as made,
        ):
            rows = _copy(origin, made, tell)
    except sqlite3.Error as error:
        raise BackupError(
            f"no backup: {source} can't be copied ({error}); make room and try again"
        ) from error
    with target.open("rb") as file:
        os.fsync(file.fileno())
    return rows


def _copy(origin: sqlite3.Connection, made: sqlite3.Connection, tell: Tell) -> dict[str, int]:
    origin.execute("BEGIN")
    rows = count(origin)

    def progress(_status: int, left: int, all_of: int) -> None:
        tell("copying", (all_of - left) / (all_of or 1))

    origin.backup(made, pages=PAGES, progress=progress)
    origin.execute("COMMIT")
    # One file, without companions, until it is opened as a database again.
    made.execute("PRAGMA journal_mode = DELETE")
    return rows


def count(database: sqlite3.Connection) -> dict[str, int]:
    """How many rows each table has."""
    names = database.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'"
    ).fetchall()
    counts = {}
    for (name,) in sorted(names):
        # A table of the database's own list, which no outsider names.
        (counts[name],) = database.execute(f'SELECT count(*) FROM "{name}"').fetchone()  # noqa: S608 - see above
    return counts


def require_sound(path: Path) -> None:
    """Raise BackupError unless SQLite finds every page and every reference in order."""
    try:
        with closing(sqlite3.connect(path, isolation_level=None)) as database:
            said = database.execute("PRAGMA integrity_check(1)").fetchone()[0]
            dangling = database.execute("PRAGMA foreign_key_check").fetchone()
    except sqlite3.Error as error:
        said, dangling = str(error), None
    if said != "ok":
        raise BackupError(f"the copy is not sound ({said}); take another one")
    if dangling:
        raise BackupError(f"a reference in the copy's {dangling[0]} points nowhere; take another")


@contextmanager
def alone_with(path: Path) -> Iterator[None]:
    """Keep everybody else from opening a database; raises BackupError while somebody has it open.

    By the very locks SQLite takes: in WAL mode whoever has a database open holds one all the
    time. So it works where the database is too damaged to be opened, too. Nobody has one open that
    is not there.
    """
    if not path.exists():
        yield
        return
    with path.open("rb+") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, _LOCKS_LONG, _LOCKS_AT)
        except OSError:
            raise BackupError(
                f"{path} is in use: stop `l3mail run`, `web` and `worker` first, and whatever else"
                " has it open"
            ) from None
        yield


def set_companions_aside(place: Path, stamp: str) -> list[Path]:
    """Rename what a lost database left beside its place; returns where it is kept."""
    kept = []
    for companion in COMPANIONS:
        beside = place.with_name(place.name + companion)
        if beside.exists():
            kept.append(beside.rename(place.with_name(f"{place.name}.before-{stamp}{companion}")))
    if kept:
        sync_folder(place.parent)
    return kept


def swap(new: Path, place: Path, aside: Path) -> list[Path]:
    """Put a database in the place of another, whose files are kept under `aside`; durable.

    Returns where they are kept. Whatever lies beside the old one has to go before the new one has
    its name, or would be taken for the new one's; and without it the old one would lack what it
    learnt last. So the old one is whole under the other name first, and where anything lies beside
    it, for a moment nothing bears its name: whoever is interrupted finds no database, never half
    of one, and may do the same again.
    """
    beside = [place.with_name(place.name + companion) for companion in COMPANIONS]
    beside = [file for file in beside if file.exists()]
    kept = []
    for file in (place, *beside):
        if file.exists():
            kept.append(_twin(file, place, aside))
            if not (kept[-1].exists() and kept[-1].samefile(file)):
                kept[-1].hardlink_to(file)
    if beside:
        sync_folder(place.parent)
        for file in (place, *beside):
            file.unlink(missing_ok=True)
    new.replace(place)
    sync_folder(place.parent)
    return kept


def unlink_twins(place: Path, aside: Path) -> None:
    """Take back what an interrupted swap linked aside: one file must not be two databases."""
    for file in (place, *(place.with_name(place.name + one) for one in COMPANIONS)):
        twin = _twin(file, place, aside)
        if file.exists() and twin.exists() and twin.samefile(file):
            twin.unlink()


def _twin(file: Path, place: Path, aside: Path) -> Path:
    return aside.with_name(aside.name + file.name.removeprefix(place.name))
