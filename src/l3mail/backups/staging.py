"""A restore between its decision and its end, and what a crash leaves of it.

A database, a pepper and keys can't change at one moment. So what is new lies ready under other
names first, a plan says so, and the database's own swap decides: before it all goes back to what
was, after it all goes on to what is new. Whoever opens the database next settles it before that.
"""

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, inspect, select

from l3mail.backups import copies
from l3mail.backups.drafts import abandoned, clear_abandoned
from l3mail.backups.making import STAMP
from l3mail.database import opened
from l3mail.errors import BackupError
from l3mail.models import ACTIONS
from l3mail.reconciling import RESTORE
from l3mail.settings import (
    BACKUPS_FOLDER,
    KEY_FILE,
    PEPPER_FILE,
    RESTORING,
    Settings,
    drafts_of,
    pepper_of,
    sync_folder,
    write_durably,
)

PLAN = "plan.json"
_LARGEST_PLAN = 500


@dataclass(frozen=True, slots=True)
class Settled:
    """How a restore ended: `done`, or undone; under which names what was there is kept."""

    done: bool
    aside: tuple[str, ...]


@contextmanager
def claimed(settings: Settings) -> Iterator[Path]:
    """The folder where a restore lays ready what is new, for one process alone."""
    folder = settings.state_dir / RESTORING
    descriptor = None
    while descriptor is None:
        descriptor = _locked(folder)
    try:
        try:
            yield folder
        finally:
            with suppress(OSError):  # what is not settled lies there for the next
                folder.rmdir()
    finally:
        os.close(descriptor)


def _locked(folder: Path) -> int | None:
    """The folder, made and locked; None where another process took it away in between."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with suppress(FileNotFoundError), ExitStack() as ending:
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_DIRECTORY
        descriptor = os.open(folder, flags)
        ending.callback(os.close, descriptor)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BackupError("a restore is under way here; wait until it has ended") from None
        # Else the lock is on what has no name any more, and hinders nobody.
        if os.path.samestat(os.fstat(descriptor), folder.stat()):
            ending.pop_all()
            return descriptor
    return None


def ready_file(file: Path) -> Path:
    """Under which name a SQLite database lies ready beside the one it replaces."""
    return file.with_name(f".{file.name}.{RESTORING}")


def aside_of(file: Path, stamp: str) -> Path:
    """Under which name what a restore replaces is kept."""
    return file.with_name(f"{file.name}.before-{stamp}")


def differs(file: Path, content: bytes) -> bool:
    """Whether a secret is there and another one."""
    return file.exists() and file.read_bytes().split() != content.split()


def stamp_of(at: datetime) -> str:
    """The name of a moment in what is kept from before it."""
    return f"{at.astimezone(UTC):{STAMP}}"


def decide(folder: Path, stamp: str, at: datetime) -> None:
    """Write down that all lies ready, durably: from here on the database decides."""
    said = {"stamp": stamp, "at": at.isoformat()}
    write_durably(folder / PLAN, json.dumps(said).encode("ascii"))


def settle_restore(settings: Settings) -> Settled | None:
    """End a restore that was interrupted, before anybody opens the database; None if none was.

    Raises BackupError while one is under way.
    """
    folder = settings.state_dir / RESTORING
    if not folder.exists():
        return None
    if folder.is_symlink() or not folder.is_dir():
        raise BackupError(f"{folder} is no folder, so no restore made it: take it away")
    try:
        with claimed(settings) as folder:
            settled = settle(settings, folder)
            with suppress(OSError):  # where nothing can be cleared, doctor names it
                _clear(settings)
            return settled
    except OSError as error:
        raise BackupError(
            f"a restore was interrupted and can't be ended: {error.filename}: {error.strerror}"
        ) from error


def _clear(settings: Settings) -> None:
    """Clear the copies of people's data and of secrets that a restore left when it was killed."""
    for draft in _drafts_of_secrets(settings):
        draft.unlink(missing_ok=True)
    file = settings.database_file
    clear_abandoned(file.parent if file else settings.state_dir)


def _drafts_of_secrets(settings: Settings) -> list[Path]:
    secrets = (settings.state_dir / name for name in (PEPPER_FILE, KEY_FILE))
    return [draft for secret in secrets for draft in drafts_of(secret)]


def leftovers(settings: Settings) -> list[Path]:
    """What a kill left of people's data and of secrets; [] while a restore is to be settled.

    Whoever settles it clears what it left. Names nothing that somebody works in.
    """
    state, file = settings.state_dir, settings.database_file
    if (state / RESTORING).exists():
        return []
    found = {ready_file(file)} if file and ready_file(file).exists() else set()
    for folder in (state, state / BACKUPS_FOLDER, file.parent if file else state):
        with suppress(OSError):
            found.update(abandoned(folder))
    with suppress(OSError):
        found.update(_drafts_of_secrets(settings))
    return sorted(found)


def is_torn(settings: Settings) -> bool:
    """Whether it is open which database will be the one, as long as a restore is not settled."""
    file = settings.database_file
    return file is not None and (ready_file(file).exists() or not file.exists())


def settle(settings: Settings, folder: Path) -> Settled | None:
    """End what the plan in a claimed folder says, and clear the folder; may be repeated.

    Raises BackupError for what no restore laid there.
    """
    lying = _require_ours(folder)
    settled = None
    if plan := _plan(folder):
        settled = _settle(settings, folder, *plan)
        (folder / PLAN).unlink()
        sync_folder(folder)
    if settings.database_file is not None:
        ready_file(settings.database_file).unlink(missing_ok=True)
    for left in lying:
        left.unlink(missing_ok=True)
    return settled


def _require_ours(folder: Path) -> list[Path]:
    """What lies in the folder; nothing is believed or deleted beside what is nobody's of us."""
    names = [folder / name for name in (PLAN, PEPPER_FILE, KEY_FILE)]
    ours = {*names, *(draft for name in names for draft in drafts_of(name))}
    lying = sorted(folder.iterdir())
    for one in lying:
        if one not in ours or one.is_symlink() or not one.is_file():
            raise BackupError(f"{one} was not laid there by a restore: take it away")
    return lying


def _plan(folder: Path) -> tuple[str, datetime] | None:
    """The stamp and the moment that `decide` wrote down; raises BackupError for what it never does.

    A restore that nobody can end is begun again.
    """
    path = folder / PLAN
    try:
        with path.open("rb") as file:
            said: dict[str, Any] = json.loads(file.read(_LARGEST_PLAN).decode("ascii"))
        at = datetime.fromisoformat(said["at"])
        if at.tzinfo is not None and said["stamp"] == stamp_of(at):
            return said["stamp"], at
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError):
        pass  # told below
    raise BackupError(
        f"{path} is damaged, so nobody knows how a restore ended: {_begin_again(folder)}"
    )


def _begin_again(folder: Path) -> str:
    return f"take {folder} away, and if there was one, repeat `l3mail db restore`"


def _settle(settings: Settings, folder: Path, stamp: str, at: datetime) -> Settled:
    file = settings.database_file
    aside: list[str] = []
    if file is not None:
        new = ready_file(file)
        if new.exists() and file.exists():
            copies.unlink_twins(file, aside_of(file, stamp))
            return Settled(False, ())
        if new.exists():
            # Nothing bears the database's name: it ended between the two, or there was none.
            aside += map(str, copies.swap(new, file, aside_of(file, stamp)))
    if not _is_restored(settings, at):
        return Settled(False, tuple(aside))
    _require_pepper(folder / PEPPER_FILE)
    for name in (PEPPER_FILE, KEY_FILE):
        if (folder / name).exists():
            aside += _put_secret(settings.state_dir / name, folder / name, stamp)
    return Settled(True, tuple(aside))


def _is_restored(settings: Settings, at: datetime) -> bool:
    """Whether the database in its place is the one that was put back at this moment."""
    if settings.database_file is not None and not settings.database_file.exists():
        return False

    def verb(connection: Connection) -> bool:
        if not inspect(connection).has_table(ACTIONS.name):
            return False
        noted = select(ACTIONS.c.id).where(ACTIONS.c.command == RESTORE, ACTIONS.c.at == at)
        return connection.execute(noted).first() is not None

    with opened(settings.database_url) as database:
        return database.read(verb)


def _require_pepper(path: Path) -> None:
    try:
        if path.exists():
            pepper_of(path.read_text(encoding="ascii", errors="replace"))
    except ValueError as error:
        raise BackupError(f"{path} {error}: {_begin_again(path.parent)}") from error


def _put_secret(place: Path, copy: Path, stamp: str) -> list[str]:
    content = copy.read_bytes()
    aside = []
    if place.exists():
        if not differs(place, content):
            return []
        kept = aside_of(place, stamp)
        if not (kept.exists() and kept.samefile(place)):
            kept.hardlink_to(place)
        aside.append(str(kept))
    write_durably(place, content)
    return aside


def lay_ready(copy: Path, file: Path) -> None:
    """Give a whole database file the name it lies ready under, durably."""
    with copy.open("rb") as content:
        os.fsync(content.fileno())
    shutil.move(copy, ready_file(file))
    sync_folder(file.parent)
