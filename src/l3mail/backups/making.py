"""Making a backup: copied, judged as a stranger would judge it, and only then given its name."""

import os
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Connection, func, inspect, select, table

from l3mail import migrations
from l3mail.backups import copies, tables
from l3mail.backups.archives import Manifest, Tell, digest, opened_archive, unpack, write_archive
from l3mail.backups.drafts import drafting
from l3mail.database import Database, opened
from l3mail.errors import BackupError
from l3mail.models import DELIVERY, WORKSPACE
from l3mail.settings import FILE, KEY_FILE, PEPPER_FILE, Settings, sync_folder

DATABASE = "database.sqlite3"
TABLES = "tables"
MEDIA = "media"
STAMP = "%Y%m%dT%H%M%SZ"


@dataclass(frozen=True, slots=True)
class Backup:
    """A backup that was made: where, how large in bytes, and what it says of itself."""

    path: Path
    size: int
    manifest: Manifest


def name_of(uuid: str, at: datetime) -> str:
    """What a backup is called: by its database and its moment, so that names sort by age."""
    return f"l3mail-{uuid[:8]}-{at.astimezone(UTC):{STAMP}}.tar.gz"


def back_up(
    settings: Settings,
    database: Database,
    now: datetime,
    tell: Tell,
    *,
    target: Path,
    media: Path | None,
    with_key: bool,
) -> Backup:
    """Make a backup of all the rows at this moment; whoever works goes on.

    `target` is a folder or the file's name to be. The pepper is always in it: without it no
    suppression is known. Raises BackupError, and leaves nothing behind, where it is not sound.
    """
    folder = target if target.is_dir() else target.parent
    try:
        with drafting(folder) as room:
            manifest, members = _collect(
                settings, database, now, tell, room=room, media=media, with_key=with_key
            )
            path = target / name_of(manifest.uuid, now) if target.is_dir() else target
            packed = room / f"packed-{secrets.token_hex(4)}"
            packed.touch(mode=0o600)
            with packed.open("wb") as stream:
                write_archive(stream, manifest, members, tell)
                stream.flush()
                os.fsync(stream.fileno())
            _prove(packed, manifest, room / "proof", tell)
            size = packed.stat().st_size
            packed.replace(path)
            sync_folder(path.parent)
    except OSError as error:
        where = error.filename or folder
        raise BackupError(
            f"no backup: {where}: {error.strerror}; make room, or name --out"
        ) from error
    return Backup(path, size, manifest)


def _collect(
    settings: Settings,
    database: Database,
    now: datetime,
    tell: Tell,
    *,
    room: Path,
    media: Path | None,
    with_key: bool,
) -> tuple[Manifest, list[tuple[str, Path]]]:
    members: list[tuple[str, Path]] = []
    if settings.database_file is not None:
        copy = room / DATABASE
        rows = copies.copy(settings.database_file, copy, tell)
        members.append((DATABASE, copy))
        with opened(f"sqlite:///{copy}") as copied:
            facts = replace(copied.read(_facts), rows=rows)
        # Opening it made it a database with companions again; they hold nothing.
        for companion in copies.COMPANIONS:
            copy.with_name(copy.name + companion).unlink(missing_ok=True)
    else:
        (room / TABLES).mkdir()

        def verb(connection: Connection) -> "tuple[_Facts, list[str]]":
            return _facts(connection), tables.dump(connection, room / TABLES, tell)

        facts, names = database.read(verb)
        members += [(f"{TABLES}/{name}", room / TABLES / name) for name in names]
    members += _beside(settings, media, with_key=with_key)
    manifest = Manifest(
        database="sqlite" if settings.database_file else "postgresql",
        uuid=facts.uuid,
        revision=facts.revision,
        copied_at=now,
        highest=facts.highest,
        rows=facts.rows,
        files={name: digest(path) for name, path in members},
    )
    return manifest, members


def _beside(settings: Settings, media: Path | None, *, with_key: bool) -> list[tuple[str, Path]]:
    """What rows can't do without and what one wants to have at hand."""
    state = settings.state_dir
    found = [(PEPPER_FILE, state / PEPPER_FILE)]
    if (settings.folder / FILE).exists():
        found.append((FILE, settings.folder / FILE))
    if with_key:
        if not (state / KEY_FILE).exists():
            raise BackupError(
                f"there is no {state / KEY_FILE}: the keys are in L3MAIL_SECRET_KEY, which no"
                " backup of l3mail holds; leave out --with-key and keep them elsewhere"
            )
        found.append((KEY_FILE, state / KEY_FILE))
    if media is not None and media.is_dir():
        files = sorted(path for path in media.rglob("*") if path.is_file())
        found += [(f"{MEDIA}/{path.relative_to(media).as_posix()}", path) for path in files]
    return found


def _prove(packed: Path, manifest: Manifest, room: Path, tell: Tell) -> None:
    """Open what was packed as somebody would who has nothing else."""
    room.mkdir()
    with opened_archive(packed) as (said, tar):
        if said != manifest:
            raise BackupError("the backup does not say what was put in; try again")
        unpack(packed, said, tar, room, tell)
    if manifest.database == "sqlite":
        copies.require_sound(room / DATABASE)
        with opened(f"sqlite:///{room / DATABASE}") as copied:
            rows = copied.read(_facts).rows
    else:
        rows = tables.count(room / TABLES)
    if rows != manifest.rows:
        raise BackupError("the copy has other rows than the database had; try again")


@dataclass(frozen=True, slots=True)
class _Facts:
    uuid: str
    revision: str
    highest: int
    rows: Mapping[str, int]


def _facts(connection: Connection) -> _Facts:
    revision = migrations.revision(connection)
    if revision is None:
        raise BackupError("there is no database yet, so there is nothing to back up")
    begun = select(func.max(DELIVERY.c.id)).where(DELIVERY.c.first_started_at.is_not(None))
    return _Facts(
        uuid=connection.execute(select(WORKSPACE.c.uuid)).scalar_one(),
        revision=revision,
        highest=connection.execute(begun).scalar() or 0,
        rows={
            name: int(
                connection.execute(select(func.count()).select_from(table(name))).scalar_one()
            )
            for name in sorted(inspect(connection).get_table_names())
        },
    )


def prune(made: Backup, keep: int) -> list[Path]:
    """Delete all but the newest backups of this database in the folder of the one just made.

    Only what bears the name that backups are given by themselves.
    """
    ours = re.compile(rf"l3mail-{made.manifest.uuid[:8]}-\d{{8}}T\d{{6}}Z\.tar\.gz")
    found = sorted(path for path in made.path.parent.iterdir() if ours.fullmatch(path.name))
    old = [path for path in found[: max(len(found) - keep, 0)] if path != made.path]
    for path in old:
        path.unlink()
    return old
