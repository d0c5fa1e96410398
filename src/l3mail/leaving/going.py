"""Writing the folder: every file from one snapshot, readable by its owner alone, all or nothing.

Owns where files lie and how they come to be. What they hold is for `sheets` to say.
"""

import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from glob import escape
from itertools import chain
from pathlib import Path
from typing import Any, TextIO

from sqlalchemy import Connection, func, select

from l3mail.database import Database
from l3mail.errors import WorkspaceError
from l3mail.leaving import guides, sheets
from l3mail.leaving.sheets import DO_NOT_MAIL, RESTRICTED, SHEETS, Sheet
from l3mail.models import MESSAGE, STREAM, SUBSCRIBER, WORDING
from l3mail.settings import Sections, Settings, sync_folder
from l3mail.subscribers import exports, spreadsheets

Tell = Callable[[str, float], None]
"""Told what is done now, and which share of all is done."""

_TELL_EVERY = 1_000
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]")


@dataclass(slots=True)
class Luggage:
    """What was written, or would be: rows by file, and how many files lie beside them."""

    rows: dict[str, int] = field(default_factory=dict)
    files: int = 0

    @property
    def total(self) -> int:
        """All rows together."""
        return sum(self.rows.values())


def foresee(database: Database, settings: Settings) -> Luggage:
    """What `leave` would write; writes nothing."""
    luggage = database.read(_counted)
    luggage.files += len(_media(settings))
    return luggage


def leave(database: Database, settings: Settings, target: Path, tell: Tell) -> Luggage:
    """Write all there is into a new or empty folder, from one snapshot of the database.

    The folder has its name only when it is complete. Raises WorkspaceError where it can't be
    written, or holds something.
    """
    _require_free(target)
    parent = target.absolute().parent
    try:
        for abandoned in parent.glob(f".{escape(target.name)}.leaving-*"):
            shutil.rmtree(abandoned)
        part = Path(tempfile.mkdtemp(prefix=f".{target.name}.leaving-", dir=parent))
        try:
            luggage = database.read(
                lambda connection: _Packing(connection, settings, part, tell).pack()
            )
            part.replace(target)
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)
            raise
        sync_folder(parent)
    except OSError as error:
        where = error.filename or target
        raise WorkspaceError(
            f"{where}: {error.strerror or error}; nothing is left there, name another folder"
        ) from error
    return luggage


def _require_free(target: Path) -> None:
    if target.is_dir() and not any(target.iterdir()):
        return
    if target.exists() or target.is_symlink():
        raise WorkspaceError(f"{target} is there already; name a new or an empty folder")
    if not target.absolute().parent.is_dir():
        raise WorkspaceError(f"there is no folder {target.absolute().parent}; make it first")


def _counted(connection: Connection) -> Luggage:
    luggage = Luggage()
    luggage.rows["subscribers"] = exports.count(connection, _PROCESSED)
    for sheet in (*SHEETS, RESTRICTED, DO_NOT_MAIL):
        luggage.rows[sheet.name] = sheets.count(connection, sheet)
    for number, slug in _streams(connection):
        luggage.rows[f"lists/{slug}"] = sheets.count(connection, sheets.mailable(number))
    texts = connection.execute(select(func.count()).select_from(MESSAGE)).scalar_one()
    wordings = connection.execute(select(func.count()).select_from(WORDING)).scalar_one()
    luggage.files = int(texts) + int(wordings)
    return luggage


_PROCESSED = exports.Asked(segment=SUBSCRIBER.c.restricted_at.is_(None))


def _streams(connection: Connection) -> list[tuple[int, str]]:
    rows = connection.execute(select(STREAM.c.id, STREAM.c.slug).order_by(STREAM.c.slug))
    return [(number, _safe(slug)) for number, slug in rows]


def _media(settings: Settings) -> list[Path]:
    """The published pictures and papers, wherever they lie below."""
    folder = settings.state_dir / "media"
    return sorted(path for path in folder.glob("*/*") if path.is_file() and not path.is_symlink())


class _Packing:
    """One going: a snapshot, a folder, and how far it has come."""

    def __init__(
        self, connection: Connection, settings: Settings, folder: Path, tell: Tell
    ) -> None:
        self._connection = connection
        self._settings = settings
        self._folder = folder
        self._tell = tell
        self._expected = max(_counted(connection).total, 1)
        self._done = 0
        self._luggage = Luggage()

    def pack(self) -> Luggage:
        """Write every file; what was written."""
        self._people()
        for sheet in (*SHEETS, RESTRICTED, DO_NOT_MAIL):
            self._sheet(sheet.name, sheet)
        for number, slug in _streams(self._connection):
            self._sheet(f"lists/{slug}", sheets.mailable(number))
        self._texts()
        self._wordings()
        self._beside()
        with self._opened("README.md") as file:
            file.write(guides.english(self._luggage.rows))
        with self._opened("LIESMICH.md") as file:
            file.write(guides.german(self._luggage.rows))
        self._tell("done", 1.0)
        return self._luggage

    def _people(self) -> None:
        """People twice: as `import` reads them back, and with all that belongs to them."""
        names = sorted(
            {*self._settings.attributes, *exports.attribute_names(self._connection, _PROCESSED)}
        )
        people = exports.everybody(self._connection, _PROCESSED)
        with self._opened("subscribers.json") as file:

            def cells() -> Iterator[list[str]]:
                before = "[\n"
                for person in people:
                    file.write(before + json.dumps(person, ensure_ascii=False, default=sheets.cell))
                    before = ",\n"
                    yield exports.as_cells(person, names)
                file.write("[]\n" if before == "[\n" else "\n]\n")

            self._write("subscribers", [*exports.COLUMNS, *names], cells())

    def _sheet(self, name: str, sheet: Sheet) -> None:
        self._write(name, list(sheet.columns), sheets.rows(self._connection, sheet))

    def _write(self, name: str, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        count = -1  # the header is a line too
        self._tell(name, self._done / self._expected)
        with self._opened(f"{name}.csv", mark=True) as file:
            for line in spreadsheets.write(chain([header], rows)):
                file.write(line)
                count += 1
                if count % _TELL_EVERY == 0:
                    self._tell(name, min((self._done + count) / self._expected, 1.0))
        self._done += count
        self._luggage.rows[name] = count

    def _texts(self) -> None:
        query = select(
            MESSAGE.c.id, MESSAGE.c.slug, MESSAGE.c.locale, MESSAGE.c.source, MESSAGE.c.compiled
        ).order_by(MESSAGE.c.id)
        for row in self._connection.execute(query.execution_options(yield_per=50)):
            place = f"{_safe(row.slug)}/{row.id}.{_safe(row.locale)}"
            with self._opened(f"texts/{place}.md") as file:
                file.write(row.source)
            if row.compiled.get("kind") == "newsletter" and row.compiled.get("html"):
                with self._opened(f"html/{place}.html") as file:
                    file.write(row.compiled["html"])
            self._luggage.files += 1

    def _wordings(self) -> None:
        query = select(WORDING.c.id, WORDING.c.name, WORDING.c.locale, WORDING.c.text)
        for row in self._connection.execute(query.order_by(WORDING.c.id)):
            place = f"wordings/{row.id}-{_safe(row.name)}.{_safe(row.locale)}.txt"
            with self._opened(place) as file:
                file.write(row.text)
            self._luggage.files += 1

    def _beside(self) -> None:
        for path in _media(self._settings):
            with self._opened(f"media/{path.parent.name}/{path.name}"):
                shutil.copyfile(path, self._folder / "media" / path.parent.name / path.name)
            self._luggage.files += 1
        with self._opened("settings.json") as file:
            file.write(json.dumps(_told(self._settings), ensure_ascii=False, indent=2) + "\n")

    @contextmanager
    def _opened(self, name: str, *, mark: bool = False) -> Iterator[TextIO]:
        """A new file only its owner may read; `mark` tells spreadsheets that it is UTF-8."""
        path = self._folder / name
        for folder in reversed(path.relative_to(self._folder).parents):
            (self._folder / folder).mkdir(mode=0o700, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        encoding = "utf-8-sig" if mark else "utf-8"
        descriptor = os.open(path, flags, 0o600)
        with os.fdopen(descriptor, "w", encoding=encoding, newline="") as file:
            yield file


def _told(settings: Settings) -> Mapping[str, Any]:
    """What `l3mail.toml` may say, as JSON values: what is declared a secret shows as stars."""
    told: Mapping[str, Any] = settings.model_dump(
        mode="json", by_alias=True, include=set(Sections.model_fields)
    )
    return told


def _safe(name: str) -> str:
    """A slug as a path below the folder, whatever somebody published."""
    parts = (_UNSAFE.sub("_", part).strip(".") or "_" for part in name.split("/") if part)
    return "/".join(parts) or "_"
