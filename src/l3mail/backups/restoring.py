"""Putting a backup back: judged and laid ready first, then swapped, and kept from sending.

The database that was there is kept beside under a dated name, never deleted. What is put back
knows itself as a restored copy before anybody can open it.
"""

import shutil
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy import Connection

from l3mail import actions, migrations, outbox
from l3mail.backups import copies, staging, tables
from l3mail.backups.archives import Manifest, Tell, opened_archive, read_member, unpack
from l3mail.backups.drafts import drafting
from l3mail.backups.making import DATABASE, MEDIA, TABLES
from l3mail.database import opened
from l3mail.errors import BackupError, StateError
from l3mail.reconciling import RESTORE
from l3mail.sending import read_mark
from l3mail.settings import KEY_FILE, PEPPER_FILE, Settings, pepper_of, write_durably


@dataclass(frozen=True, slots=True)
class Plan:
    """What putting a backup back would mean here.

    `present` is whether a database is there that would be set aside; `other_pepper` whether the one
    here is another than the backup's, `has_key` whether it holds keys, `other_key` whether those
    here are others.
    """

    path: Path
    manifest: Manifest
    present: bool
    other_pepper: bool
    has_key: bool
    other_key: bool
    is_current: bool


@dataclass(frozen=True, slots=True)
class Restored:
    """What was put back, and under which names what was there is kept."""

    aside: tuple[str, ...]
    has_key: bool


def inspect(settings: Settings, path: Path) -> Plan:
    """Judge a backup without changing anything; raises BackupError where it does not fit here."""
    with opened_archive(path) as (manifest, tar):
        _require_fitting(settings, manifest)
        pepper = read_member(path, tar, PEPPER_FILE)
        has_key = KEY_FILE in manifest.files
        key = read_member(path, tar, KEY_FILE) if has_key else b""
    try:
        pepper_of(pepper.decode("ascii", "replace"))
    except ValueError as error:
        raise BackupError(f"the pepper in {path} {error}; take another backup") from error
    return Plan(
        path,
        manifest,
        present=_is_present(settings),
        other_pepper=staging.differs(settings.state_dir / PEPPER_FILE, pepper),
        has_key=has_key,
        other_key=has_key and staging.differs(settings.state_dir / KEY_FILE, key),
        is_current=manifest.revision == migrations.newest(),
    )


def _require_fitting(settings: Settings, manifest: Manifest) -> None:
    here = "sqlite" if settings.database_file else "postgresql"
    if manifest.database != here:
        raise BackupError(
            f"the backup is of {manifest.database}, and L3MAIL_DATABASE_URL names a {here}"
            " database; point it at one of the same kind"
        )
    if not migrations.knows(manifest.revision):
        raise BackupError(
            f"the backup is at revision {manifest.revision}, which this program does not know;"
            " install the newer l3mail that made it"
        )


def _is_present(settings: Settings) -> bool:
    if settings.database_file is not None:
        return settings.database_file.exists()
    with opened(settings.database_url) as database:
        return bool(database.read(tables.present))


def restore(
    settings: Settings,
    plan: Plan,
    who: str,
    now: datetime,
    tell: Tell,
    *,
    media: Path,
    with_key: bool,
) -> Restored:
    """Put the backup back. Raises BackupError where somebody has the database open."""
    stamp = staging.stamp_of(now)
    file = settings.database_file
    place = file.parent if file else settings.state_dir
    try:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        with staging.claimed(settings) as folder:
            staging.settle(settings, folder)
            try:
                with drafting(place) as room:
                    with opened_archive(plan.path) as (manifest, tar):
                        unpack(plan.path, manifest, tar, room, tell)
                    if (room / MEDIA).is_dir():
                        # Named by what is in them: more of them harm nobody, and so they stay
                        # where the rest is undone.
                        shutil.copytree(room / MEDIA, media, dirs_exist_ok=True)
                    mark = _Marking(settings, manifest, who, now)
                    if file is not None:
                        _lay_ready(file, room / DATABASE, mark)
                    secrets = (PEPPER_FILE, KEY_FILE)[: 1 + (with_key and plan.has_key)]
                    for name in secrets:
                        write_durably(folder / name, (room / name).read_bytes())
                    staging.decide(folder, stamp, now)
                    aside = (
                        _restore_tables(room, stamp, mark, tell)
                        if file is None
                        else _restore_file(file, stamp)
                    )
            finally:
                settled = staging.settle(settings, folder)
    except OSError as error:
        raise BackupError(
            f"{error.filename or place}: {error.strerror}; nothing is sent"
        ) from error
    kept = settled.aside if settled else ()
    return Restored((*aside, *kept), has_key=(settings.state_dir / KEY_FILE).exists())


@dataclass(frozen=True, slots=True)
class _Marking:
    """What a database is told before anybody opens it: that it is a copy, and of when."""

    settings: Settings
    manifest: Manifest
    who: str
    now: datetime

    def __call__(self, connection: Connection) -> None:
        try:
            known = read_mark(self.settings.state_dir)
        except StateError:
            known = None
        highest = known.highest if known and known.uuid == self.manifest.uuid else 0
        # A copy of a copy may lie under a brake already: that one was of an earlier time.
        outbox.let_go(connection)
        outbox.hold_back(connection, self.who, self.now, max(highest, self.manifest.highest))
        told = {"copied_at": self.manifest.copied_at.isoformat(), **self.manifest.rows}
        actions.note(connection, self.who, RESTORE, told, self.now)


def _lay_ready(file: Path, copy: Path, mark: _Marking) -> None:
    if not copy.exists():
        raise BackupError("the backup holds no database; take another one")
    copies.require_sound(copy)
    with opened(f"sqlite:///{copy}") as database:
        database.write(mark)
    # Closing it wrote all into the one file.
    if any(copy.with_name(copy.name + one).exists() for one in copies.COMPANIONS):
        raise BackupError("the copy could not be closed whole; try again")
    staging.lay_ready(copy, file)


def _restore_file(file: Path, stamp: str) -> list[str]:
    aside = staging.aside_of(file, stamp)
    with copies.alone_with(file) if file.exists() else nullcontext():
        kept = copies.swap(staging.ready_file(file), file, aside)
    return [str(one) for one in kept if one == aside or aside not in kept]


def _restore_tables(room: Path, stamp: str, mark: _Marking, tell: Tell) -> list[str]:
    schema = f"before_{stamp.casefold()}"
    with opened(mark.settings.database_url) as database, database.migrating() as connection:
        if others := tables.others(connection):
            raise BackupError(
                f"{others} other sessions have this database open: stop `l3mail run`, `web` and"
                " `worker` on every host first"
            )
        present = bool(tables.present(connection))
        if present:
            tables.set_aside(connection, schema)
        tables.load(connection, room / TABLES, mark.manifest.revision, tell)
        mark(connection)
    return [f"schema {schema}"] if present else []


def set_leftovers_aside(file: Path, now: datetime) -> list[Path]:
    """Keep what a lost SQLite database left beside its place under a dated name; where it is."""
    return copies.set_companions_aside(file, staging.stamp_of(now))
