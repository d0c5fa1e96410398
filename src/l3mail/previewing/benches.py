"""The workbench: every text of the files as it is now, and as it was when it was last sound.

Owns what a saved file makes old. A text is compiled again only where its own file, or something
that is around it (layout, words, settings, its course, its pictures), is not what it was.
"""

import os
import secrets
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from l3mail.clocks import Clock
from l3mail.content import Finding, Library, Source, Text, check
from l3mail.errors import SettingsError
from l3mail.settings import FILE, Settings
from l3mail.wiring import compile_sources, read_content

FOLDERS = ("lessons", "newsletters", "templates", "media")
"""What is looked at, besides the settings."""

Key = tuple[str, str]
Stamps = dict[str, tuple[int, int]]


@dataclass(slots=True)
class Piece:
    """A text on the bench; `text` is None until somebody asks for it as it is now.

    `good` is the last that was sound, compiled at `good_at`.
    """

    source: Source
    made_of: tuple[Any, ...]
    text: Text | None = None
    good: Text | None = None
    good_at: datetime | None = None

    @property
    def is_broken(self) -> bool:
        """Whether what is in the file now cannot be shown."""
        return self.text is not None and self.text.compiled is None


class Bench:
    """What one workspace's files say; asked from many threads."""

    def __init__(self, settings: Settings, read: Callable[[], Settings], clock: Clock) -> None:
        """`read` reads the settings again, when their file was saved."""
        self.settings = settings
        self.faults: list[str] = []
        self._read = read
        self._clock = clock
        self._lock = threading.RLock()
        self._boot, self._turn = secrets.token_hex(4), 0
        self._stamps: Stamps = {}
        self._pieces: dict[Key, Piece] = {}
        self._library: Library | None = None
        self._findings: list[Finding] | None = None
        self.compiled = 0
        self.look()

    @property
    def revision(self) -> str:
        """Another one whenever there is something new to see."""
        return f"{self._boot}-{self._turn}"

    @property
    def library(self) -> Library:
        """The texts as they were read last."""
        assert self._library is not None
        return self._library

    def now(self) -> datetime:
        """The moment that a mail says it is from."""
        return self._clock.now()

    def look(self) -> bool:
        """Read the files again if one was saved; whether one was."""
        with self._lock:
            stamps = dict(_stamps(self.settings.folder))
            if stamps == self._stamps:
                return False
            if stamps.get(FILE) != self._stamps.get(FILE):
                self._read_settings()
            self._stamps = stamps
            self._lay_out()
            self._turn += 1
            return True

    def pieces(self) -> list[Piece]:
        """All texts, in the order of their files."""
        with self._lock:
            return list(self._pieces.values())

    def piece(self, slug: str, locale: str) -> Piece | None:
        """One text, compiled as it is now; None where there is none."""
        with self._lock:
            piece = self._pieces.get((slug, locale))
            if piece is not None and piece.text is None:
                self._compile(piece)
            return piece

    def catch_up(self) -> bool:
        """Compile one text that nobody has asked for yet; whether there was one.

        The last of them brings what only all of them together tell: `findings`.
        """
        with self._lock:
            waiting = next((one for one in self._pieces.values() if one.text is None), None)
            if waiting is not None:
                self._compile(waiting)
                return True
            if self._findings is None:
                texts = [one.text for one in self._pieces.values() if one.text is not None]
                self._findings = check(self.library, texts)
                self._turn += 1
                return True
            return False

    def findings(self, piece: Piece) -> list[Finding]:
        """What is wrong with a text, or with what is around it; while others wait, its own."""
        with self._lock:
            own = set(piece.text.findings if piece.text else ())
            known = self.library.findings if self._findings is None else self._findings
            own.update(one for one in known if one.path == piece.source.path)
            return sorted(own)

    def besides(self) -> list[Finding]:
        """What is wrong and belongs to no text: files that cannot be read, courses, settings."""
        with self._lock:
            paths = {one.source.path for one in self._pieces.values()}
            own = {f for one in self._pieces.values() if one.text for f in one.text.findings}
            known = self.library.findings if self._findings is None else self._findings
            return sorted(one for one in known if one.path not in paths and one not in own)

    def _read_settings(self) -> None:
        try:
            self.settings = self._read()
            self.faults = []
        except SettingsError as error:
            self.faults = list(error.problems)

    def _lay_out(self) -> None:
        """Put the texts of the files in place of those that lay here, keeping what is as it was."""
        library, before = read_content(self.settings), self._pieces
        pictures = {
            path: stamp
            for path, stamp in self._stamps.items()
            if path.startswith(("media/", "templates/documents/"))
        }
        frame = (
            *(library.layouts, library.components, library.words, library.design),
            *(library.attributes, library.streams, library.courses),
            *(self.settings.tracking, self.settings.attributes),
        )
        courses = {course.slug: course for course in library.curricula}
        self._pieces = {}
        for source in library.sources:
            shows = "media/" in source.text or library.design.logo
            own = courses.get(source.course or "")
            made_of = (source.path, source.text, frame, own, pictures if shows else None)
            key = (source.slug, source.locale)
            known = before.get(key)
            if known is None:
                self._pieces[key] = Piece(source, made_of)
            elif known.made_of == made_of:
                self._pieces[key] = known
            else:
                self._pieces[key] = Piece(source, made_of, None, known.good, known.good_at)
        self._library, self._findings = library, None

    def _compile(self, piece: Piece) -> None:
        (piece.text,) = compile_sources(self.settings, self.library, [piece.source])
        self.compiled += 1
        if piece.text.compiled is not None:
            piece.good, piece.good_at = piece.text, self._clock.now()


def _stamps(folder: Path) -> Iterator[tuple[str, tuple[int, int]]]:
    """When each file was written, and how long it is; what goes meanwhile is not there."""
    waiting = [folder / name for name in FOLDERS]
    try:
        said = (folder / FILE).stat()
        yield FILE, (said.st_mtime_ns, said.st_size)
    except OSError:
        pass
    while waiting:
        try:
            entries = list(os.scandir(waiting.pop()))
        except OSError:
            continue
        for entry in entries:
            if entry.name.startswith("."):
                continue
            try:
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(Path(entry.path))
                    continue
                at = entry.stat()
            except OSError:
                continue
            path = Path(entry.path).relative_to(folder).as_posix()
            yield path, (at.st_mtime_ns, at.st_size)
