"""The ground the house stands on: settings, secrets, disk, database, texts.

Owns what is looked at on this machine. Opens no socket but the database's, and changes nothing:
what is missing is told, not made.
"""

import os
import shutil
import stat
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection, func, select

from l3mail import audiences, migrations, needs, owners, publishing
from l3mail.content import Finding, Text, check
from l3mail.database import Database, opened
from l3mail.errors import (
    DatabaseClosedError,
    DatabaseLostError,
    DatabaseUnavailableError,
    RestoredError,
    SchemaError,
    StateError,
    WorkspaceError,
)
from l3mail.models import ACTIONS, DELIVERY, MESSAGE, UtcDateTime
from l3mail.settings import (
    KEY_FILE,
    PEPPER_FILE,
    RESTORING,
    Settings,
    load_pepper,
    load_retired_keys,
    load_secret_keys,
    samples_left,
    unready,
)
from l3mail.starter import starter
from l3mail.upkeep.checks import Check, fail, ok, warn
from l3mail.wiring import asking_terms, compile_content, require_founded, suspect_restore

ISSUES = "newsletters"
MEGABYTE = 1024 * 1024
FULL = 10 * MEGABYTE
LITTLE_SPACE = 100 * MEGABYTE
MODEST_SPACE = 1024 * MEGABYTE
SKEW = timedelta(minutes=1)
"""So far clocks may differ without anybody noticing."""
_FEW_CHARACTERS = 8
"""A key made at random of 32 hex digits has more different ones, but for once in 10^10."""


def look_at_settings(settings: Settings) -> Iterator[Check]:
    """Whether what strangers read is filled in, and somebody hears of alarms."""
    missing = unready(settings)
    if not missing:
        yield ok("settings", f"complete; mail goes out as {settings.sender.from_.text}")
    elif settings.relay_is_loopback:
        # Trying things out at home is no fault, and one line says what is still to come.
        yield warn(
            "settings",
            f"good for trying out; {len(missing)} things to fill in before a real relay, first:"
            f" {missing[0]}",
        )
    else:
        for line in missing:
            yield fail("settings", line)
    if not settings.relay_is_loopback:
        for line in (*samples_left(settings), *_sample_issues(settings)):
            yield warn("samples", line)
    if not settings.alerts.to:
        yield warn(
            "alerts",
            'nobody is told when something breaks; write to = ["name@example.org"] below [alerts]',
        )


def _sample_issues(settings: Settings) -> Iterator[str]:
    """Issues that are word for word the starter's."""
    try:
        samples = sorted((starter() / ISSUES).glob("*.md"))
    except WorkspaceError:
        return
    for sample in samples:
        file = settings.folder / ISSUES / sample.name
        if file.is_file() and file.read_bytes() == sample.read_bytes():
            yield f"{ISSUES}/{file.name} is the sample as `init` laid it out; write your own first"


def look_for_interruption(settings: Settings) -> Check | None:
    """Whether a restore is not at its end: database, pepper and keys may not belong together."""
    folder = settings.state_dir / RESTORING
    try:
        folder.stat()
    except OSError:
        return None  # a folder that is closed is told where `state/` is looked at
    return fail(
        "restore",
        f"{folder} is there: a restore is under way, or was interrupted and `l3mail status` ends"
        " it; then look again",
    )


def look_at_state(settings: Settings) -> Iterator[Check]:
    """Whether `state/` is there, ours, closed to others, and its secrets with it."""
    folder = settings.state_dir
    try:
        found = folder.stat()
    except OSError as error:
        yield fail("state", f"{folder}: {error.strerror}; `l3mail db upgrade` makes it")
        return
    rights = stat.S_IMODE(found.st_mode)
    owner = owners.owner_of(folder)
    if not os.access(folder, os.W_OK | os.X_OK):
        yield fail("state", f"{folder} may not be opened or written{owners.mend(folder)}")
    elif rights & 0o007:
        yield fail(
            "state", f"{folder} is open to others (mode {rights:04o}); run `chmod o= {folder}`"
        )
    elif found.st_uid != os.geteuid():
        yield warn(
            "state",
            f"{folder} belongs to {owner}, and you are somebody else: files made now may be closed"
            f" to the service; run `sudo -u {owner} l3mail …`",
        )
    else:
        yield ok("state", f"{folder} is closed to others (mode {rights:04o}), and writable")
    try:
        load_pepper(folder)
    except StateError as error:
        yield fail("pepper", str(error))
    else:
        yield ok("pepper", f"{folder / PEPPER_FILE} is there; it belongs into every backup")
    yield _keys(settings)


def _keys(settings: Settings) -> Check:
    try:
        keys = [key.get_secret_value() for key in load_secret_keys(settings)]
        retired = load_retired_keys(settings)
    except StateError as error:
        return fail("key", str(error))
    file = settings.state_dir / KEY_FILE
    where = "L3MAIL_SECRET_KEY" if settings.secret_keys else str(file)
    if any(len(set(key)) < _FEW_CHARACTERS for key in (keys[0], *keys[1:])):
        return warn(
            "key",
            f"a key in {where} can be guessed; put a new one before it, made with"
            " `openssl rand -hex 32`",
        )
    words = f"{where}: one key signs"
    if len(keys) > 1:
        words += (
            f", {len(keys) - 1} older still read every link; after a month write `retired:` before"
            " them"
        )
    if retired:
        words += f", {len(retired)} retired still let people unsubscribe"
    if settings.secret_keys and file.exists():
        return warn("key", f"{words}; {file} is not used, keep only one of the two")
    return ok("key", words)


def look_at_disk(settings: Settings) -> Check:
    """Whether there is room for rows, backups and reports."""
    folder = settings.state_dir if settings.state_dir.exists() else settings.folder
    free = shutil.disk_usage(folder).free
    words = f"{free // MEGABYTE:,} MB free at {folder}"
    if free < LITTLE_SPACE:
        return fail("disk", f"{words}; without room no mail can be planned or sent: make some")
    if free < max(MODEST_SPACE, 2 * _size(settings)):
        return warn("disk", f"{words}; a backup needs as much as the database, so make some room")
    return ok("disk", words)


def lack_of_space(settings: Settings) -> str:
    """That the disk is all but full, in words that name no folder; "" where there is room."""
    try:
        free = shutil.disk_usage(settings.state_dir).free
    except OSError:
        return "the disk does not answer"
    return f"the disk is full: {free // MEGABYTE:,} MB free" if free < FULL else ""


def _size(settings: Settings) -> int:
    try:
        return settings.database_file.stat().st_size if settings.database_file else 0
    except OSError:
        return 0  # told where the database is looked at


def look_at_database(
    settings: Settings, now: datetime, texts: Sequence[Text], findings: Sequence[Finding]
) -> Iterator[Check]:
    """Whether rows can be read and written, are safe in a power cut, and know of nothing wrong."""
    try:
        if settings.database_file is not None:
            require_founded(settings)
        with opened(settings.database_url) as database:
            database.read(migrations.require_current)
            yield from _look_at_rows(database, settings, now, texts, findings)
    except (
        DatabaseLostError,
        SchemaError,
        DatabaseClosedError,
        DatabaseUnavailableError,
        StateError,
    ) as error:
        yield fail("database", str(error))


def _look_at_rows(
    database: Database,
    settings: Settings,
    now: datetime,
    texts: Sequence[Text],
    findings: Sequence[Finding],
) -> Iterator[Check]:
    terms = asking_terms(settings)
    database.write(lambda _connection: None)  # raises where nothing can be written
    unsafe = database.read(_unsafe)
    if unsafe:
        yield fail("database", unsafe)
    else:
        kind = "SQLite, WAL and FULL" if database.is_sqlite else "PostgreSQL"
        yield ok("database", f"{kind}: takes writes, keeps them in a power cut; schema is current")
    yield from _look_for_restore(database, settings)
    newest = database.read(_newest_row)
    if newest is not None and newest > now + SKEW:
        at = f"{newest.astimezone(settings.zone):%Y-%m-%d %H:%M}"
        yield fail(
            "rows",
            f"a row was written at {at}, which is still to come; correct the machine's clock",
        )
    wanted = database.read(lambda connection: needs.look(connection, now))
    if wanted:
        words = f"{len(wanted)} things need a person" if len(wanted) > 1 else "a person is needed"
        yield warn("needs", f"{words}; `l3mail status` says why")
    misfits = database.read(lambda one: audiences.misfits(one, settings.attributes, terms))
    if misfits:
        names = ", ".join(f"attrs.{name} ({n:,})" for name, n in misfits.items())
        yield warn(
            "values",
            f"people have values that are not what l3mail.toml declares: {names};"
            " `l3mail subscribers convert --dry-run` shows what can be read",
        )
    yield _content(database.read(lambda one: publishing.standings(one, texts)), findings)


def _look_for_restore(database: Database, settings: Settings) -> Iterator[Check]:
    """Whether this is the database that the last sender here knew."""
    try:
        why = suspect_restore(settings, database)
    except StateError as error:
        yield fail("restore", str(error))
        return
    if why:
        yield fail("restore", str(RestoredError(why)))


def _unsafe(connection: Connection) -> str | None:
    """Why a committed row would not survive a power cut, if so."""
    if connection.dialect.name == "sqlite":
        mode = connection.exec_driver_sql("PRAGMA journal_mode").scalar_one()
        # What another filesystem can't do, SQLite leaves out in silence.
        if mode != "wal":
            return (
                f"SQLite could not switch to WAL here (journal_mode is {mode}); put state/ on a"
                " local disk, not on a network share"
            )
        return None
    for name in ("fsync", "synchronous_commit", "full_page_writes"):
        if connection.exec_driver_sql(f"SHOW {name}").scalar_one() == "off":
            return f"PostgreSQL runs with {name} = off, which can lose or repeat mails; set it on"
    return None


def _newest_row(connection: Connection) -> datetime | None:
    """When a row was last written, as it says itself."""
    moments = [
        connection.execute(select(func.max(column, type_=UtcDateTime))).scalar_one()
        for column in (ACTIONS.c.at, DELIVERY.c.planned_at, MESSAGE.c.published_at)
    ]
    return max((moment for moment in moments if moment is not None), default=None)


def _content(standings: Sequence[publishing.Standing], findings: Sequence[Finding]) -> Check:
    count = {
        state: sum(one.state == state for one in standings)
        for state in ("published", "changed", "new", "draft", "broken", "gone")
    }
    if not any(one.published_at for one in standings):
        return fail("content", "no text is published; `l3mail content publish` does it")
    in_force = sum(one.published_at is not None for one in standings)
    rest = ", ".join(f"{n} {state}" for state, n in count.items() if n and state != "published")
    words = f"{in_force} texts are published" + (f"; files: {rest}" if rest else "")
    errors = [finding for finding in findings if finding.severity == "error"]
    if count["broken"] or errors:
        first = f", first {errors[0]}" if errors else ""
        return warn("content", f"{words}; `l3mail check` names what is wrong{first}")
    if count["changed"] or count["new"]:
        return ok("content", f"{words}; `l3mail content diff` shows what is not published")
    return ok("content", words)


def look_at_content(settings: Settings) -> tuple[list[Text], list[Finding]]:
    """The workspace's texts, compiled, and all that is wrong with them."""
    library, texts = compile_content(settings)
    return texts, check(library, texts)
