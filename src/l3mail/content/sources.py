"""The texts of a workspace as they lie in its folders, read and named.

Owns which file is which text: folders, slugs, locales by suffix. Reads files below the folder it
is given and nothing else: no link out of it, nothing huge. What a text says is not looked at.
"""

import difflib
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from l3mail import slugs
from l3mail.content.clients import CLIENTS
from l3mail.content.curricula import Curriculum, read_curriculum
from l3mail.content.designs import SETTINGS, Design
from l3mail.content.findings import Faults, Finding
from l3mail.content.mappings import Mapped, read_mapping, split_front_matter
from l3mail.content.matter import NAME, Kind, Matter, read_matter
from l3mail.content.wordings import Wording, read_wording
from l3mail.errors import ContentError, quoted
from l3mail.locales import canonical

LARGEST_FILE = 1_000_000
# What XML cannot hold (XML 1.0, section 2.2), and with it no MJML.
_UNWRITABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
COURSE_FILE = "course.yaml"
_LESSON = re.compile(r"\d{1,3}-" + NAME.pattern)
_LOCALE = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*")
_FOLDERS: tuple[tuple[str, Kind], ...] = (
    ("newsletters", "newsletter"),
    ("newsletters/lifecycle", "lifecycle"),
    ("templates/notices", "notice"),
)


@dataclass(frozen=True, slots=True)
class Source:
    """One text as its file says it; `text` is the whole file, `body` what follows the keys."""

    path: str
    slug: str
    locale: str
    kind: Kind
    text: str
    matter: Matter
    mapped: Mapped
    body: str
    body_line: int
    findings: tuple[Finding, ...] = ()

    @property
    def course(self) -> str | None:
        """The slug of the course a text belongs to."""
        own = self.kind in {"lesson", "evaluation", "welcome"}
        return self.slug.partition("/")[0] if own else None


@dataclass(frozen=True)
class Library:
    """Everything a workspace's files say, and what its settings declare to it.

    `attributes` and `streams` are names from l3mail.toml; `locale` is the workspace's own.
    `layouts`, `components` and `documents` are the texts of these folders of templates/ by file
    name, `words` that of words.toml. `house` is who writes; `clients` are the mail programs that
    are asked after.
    """

    folder: Path
    locale: str
    attributes: frozenset[str]
    streams: frozenset[str]
    sources: tuple[Source, ...] = ()
    curricula: tuple[Curriculum, ...] = ()
    wordings: tuple[Wording, ...] = ()
    courses: frozenset[str] = frozenset()
    layouts: dict[str, str] = field(default_factory=dict)
    components: dict[str, str] = field(default_factory=dict)
    design: Design = field(default_factory=Design)
    words: str = ""
    clients: frozenset[str] = frozenset(CLIENTS)
    findings: tuple[Finding, ...] = ()
    house: str = ""
    documents: dict[str, str] = field(default_factory=dict)

    @cached_property
    def texts(self) -> dict[str, str]:
        """Every file that was read, whole, by its path."""
        frames = {f"templates/layouts/{name}": text for name, text in self.layouts.items()}
        frames |= {f"templates/components/{name}": text for name, text in self.components.items()}
        own = {"templates/words.toml": self.words, SETTINGS: self.design.written}
        return frames | own | {source.path: source.text for source in self.sources}

    def find(self, name: str, locale: str | None = None) -> Source:
        """The text of a slug or a file's path; raises ContentError with the nearest known one."""
        wanted = name.removeprefix("./")
        by_path = [source for source in self.sources if source.path == wanted]
        by_slug = by_path or [source for source in self.sources if source.slug == wanted]
        slug = slugs.of_file(wanted)
        named = by_slug or [source for source in self.sources if source.slug == slug]
        if not named:
            named = self._by_last_part(wanted)
        if locale is None:
            own = [source for source in named if source.locale == self.locale]
            return (own or named)[0]
        for tag in [*fallbacks(locale), self.locale]:
            for source in self.sources:
                if source.slug == named[0].slug and source.locale == tag:
                    return source
        return named[0]

    def _by_last_part(self, wanted: str) -> list[Source]:
        """Texts whose file or slug ends so; raises ContentError with the nearest."""
        last = wanted.rpartition("/")[2].removesuffix(".md")
        slugs = sorted({source.slug for source in self.sources})
        if "/" not in wanted:
            by_file = [s for s in self.sources if s.path.rpartition("/")[2] == wanted]
            found = by_file or [s for s in self.sources if s.slug.partition("/")[2] == last]
            named = sorted({source.slug for source in found})
            if len(named) == 1:
                return found
            if named:
                raise ContentError(f"{quoted(wanted)} could be {' or '.join(named)}; write one")
        parts = {slug.partition("/")[2]: slug for slug in slugs}
        near = difflib.get_close_matches(wanted.lower(), slugs, n=1, cutoff=0.75)
        near = near or difflib.get_close_matches(last.lower(), parts, n=1, cutoff=0.5)
        near = near or [part for part in parts if len(last) > 2 and last.lower() in part][:1]
        hint = "`l3mail content status` lists all"
        if near:
            hint = f"did you mean {quoted(parts.get(near[0], near[0]))}?"
        raise ContentError(f"{quoted(wanted)} is no text here; {hint}")


def fallbacks(locale: str) -> Iterator[str]:
    """A locale and what it falls back to, cut subtag by subtag: de-simple, de."""
    parts = locale.split("-")
    for length in range(len(parts), 0, -1):
        yield "-".join(parts[:length])


def read_library(
    folder: Path,
    *,
    locale: str,
    attributes: frozenset[str] = frozenset(),
    streams: frozenset[str] = frozenset(),
    design: Design | None = None,
    house: str = "",
    clients: Collection[str] = CLIENTS,
) -> Library:
    """Read a workspace's texts; what can't be read is a finding, not an exception."""
    shelf = _Shelf(folder.resolve(), locale, attributes)
    for course in shelf.folders("lessons"):
        shelf.read_course(course)
    for place, kind in _FOLDERS:
        for path in shelf.files(place, ".md"):
            shelf.read_text(path, kind, slugs.FOLDERS[place])
    for path in shelf.files("templates/wordings", ".md"):
        shelf.read_wording(path, streams | shelf.courses)
    layouts, components = shelf.frames("templates/layouts"), shelf.frames("templates/components")
    documents = shelf.frames("templates/documents")
    words = [path for path in shelf.files("templates", ".toml") if path.name == "words.toml"]
    shelf.note_doubles()
    return Library(
        folder=shelf.folder,
        locale=locale,
        attributes=attributes,
        streams=streams,
        sources=tuple(shelf.sources),
        curricula=tuple(shelf.curricula),
        wordings=tuple(shelf.wordings),
        courses=frozenset(shelf.courses),
        layouts=layouts,
        components=components,
        design=design or Design(),
        clients=frozenset(clients),
        words=(shelf.read(words[0]) or "") if words else "",
        findings=tuple(shelf.findings),
        house=house,
        documents=documents,
    )


def read_papers(folder: Path, *, locale: str, design: Design, house: str) -> Library:
    """A library without any text: what papers of the house are made of."""
    shelf = _Shelf(folder.resolve(), locale)
    return Library(
        folder=shelf.folder,
        locale=locale,
        attributes=frozenset(),
        streams=frozenset(),
        layouts=shelf.frames("templates/layouts"),
        documents=shelf.frames("templates/documents"),
        design=design,
        house=house,
    )


def read_file(library: Library, path: Path) -> tuple[str | None, list[Finding]]:
    """A file's text, None where it is none, and what is wrong with it."""
    shelf = _Shelf(library.folder, library.locale)
    return shelf.read(path), shelf.findings


def locale_of(file: str, own: str) -> str | None:
    """The locale a file's name ends in, `own` without one, None for what is none."""
    locale = file.removesuffix(".md").partition(".")[2]
    if not locale:
        return own
    return canonical(locale) if _LOCALE.fullmatch(locale) else None


class _Shelf:
    """Collects one workspace's texts while its folders are walked."""

    def __init__(self, folder: Path, locale: str, attributes: Collection[str] = ()) -> None:
        self.folder = folder
        self.locale = locale
        self.attributes = attributes
        self.sources: list[Source] = []
        self.curricula: list[Curriculum] = []
        self.wordings: list[Wording] = []
        self.courses: set[str] = set()
        self.findings: list[Finding] = []

    def shown(self, path: Path) -> str:
        return path.relative_to(self.folder).as_posix()

    def faults_of(self, path: Path, text: str) -> Faults:
        """Where the faults of one file are noted."""
        return Faults(self.shown(path), texts={self.shown(path): text})

    def refuse(self, path: Path, message: str, severity: str = "error") -> None:
        faults = Faults(self.shown(path))
        (faults.error if severity == "error" else faults.warn)(1, message)
        self.findings += faults.found

    def folders(self, place: str) -> list[Path]:
        found = []
        for path in self._entries(place):
            if path.is_dir() and self._inside(path):
                if NAME.fullmatch(path.name):
                    found.append(path)
                else:
                    self.refuse(path, "no course; name its folder in a-z, 0-9 and -")
        return found

    def files(self, place: str, ending: str) -> list[Path]:
        return [
            path
            for path in self._entries(place)
            if path.name.endswith(ending) and path.is_file() and self._inside(path)
        ]

    def frames(self, place: str) -> dict[str, str]:
        """The texts of a folder by file name, those that can be read."""
        read = {path.name: self.read(path) for path in self.files(place, "")}
        return {name: text for name, text in read.items() if text is not None}

    def _entries(self, place: str) -> list[Path]:
        folder = self.folder / place
        if not folder.is_dir() or not self._inside(folder):
            return []
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))

    def _inside(self, path: Path) -> bool:
        if path.resolve().is_relative_to(self.folder):
            return True
        self.refuse(path, "leads out of the workspace; copy the file here instead of linking it")
        return False

    def read(self, path: Path) -> str | None:
        """A file's text with line ends of one kind; None, with a finding, if it is none."""
        try:
            if path.stat().st_size > LARGEST_FILE:
                self.refuse(path, f"larger than {LARGEST_FILE:,} bytes; shorten it")
                return None
            text = path.read_bytes().decode("utf-8-sig")
        except UnicodeDecodeError as error:
            sound = error.object[: error.start].decode("utf-8-sig")
            line, column = sound.count("\n") + 1, len(sound) - sound.rfind("\n")
            faults = Faults(self.shown(path))
            faults.error(line, "this line is not UTF-8 text; save the file as UTF-8", column)
            self.findings += faults.found
            return None
        except OSError as error:
            self.refuse(path, f"cannot be read: {error.strerror}")
            return None
        if "\0" in text:
            self.refuse(path, "holds a NUL, so it is no text; save it as UTF-8")
            return None
        text = text.replace("\r\n", "\n").replace("\r", "\n")
        if odd := _UNWRITABLE.search(text):
            faults = Faults(self.shown(path))
            faults.error(
                text.count("\n", 0, odd.start()) + 1,
                f"a hidden sign stands here (U+{ord(odd[0]):04X}); delete it",
                odd.start() - text.rfind("\n", 0, odd.start()),
            )
            self.findings += faults.found
            return None
        return text

    def read_course(self, folder: Path) -> None:
        self.courses.add(folder.name)
        numbered = set()  # also of files that cannot be read: each has its own finding
        for path in self.files(f"lessons/{folder.name}", ".md"):
            name = path.name.removesuffix(".md").partition(".")[0]
            if _LESSON.fullmatch(name):
                numbered.add(name)
                self.read_text(path, "lesson", folder.name)
            elif name == "welcome":
                self.read_text(path, "welcome", folder.name)
            elif name == "evaluation":
                self.read_text(path, "evaluation", folder.name)
            elif name.casefold() != "readme":
                self.refuse(path, "no lesson; name it like 01-start.md", "warning")
        path = folder / COURSE_FILE
        if not path.is_file():
            self.refuse(path, f"is missing; a course needs its {COURSE_FILE}")
            return
        text = self.read(path) if self._inside(path) else None
        if text is None:
            return
        faults = self.faults_of(path, text)
        mapped = read_mapping(text, faults)
        if not faults.broken:
            own = [s for s in self.sources if s.course == folder.name]
            names = numbered | {source.slug.partition("/")[2] for source in own}
            curriculum = read_curriculum(
                folder.name, mapped, names, faults, attributes=self.attributes
            )
            if curriculum is not None:
                self.curricula.append(curriculum)
                self._note_left_out(curriculum)
        self.findings += faults.found

    def _note_left_out(self, curriculum: Curriculum) -> None:
        """Warn of lessons that nobody would get, because course.yaml does not name them."""
        taken = {slug for slug, _ in curriculum.lessons}
        for source in self.sources:
            if (
                source.kind == "lesson"
                and source.course == curriculum.slug
                and source.slug not in taken
                and not source.matter.draft
            ):
                path = self.folder / source.path
                self.refuse(
                    path,
                    f"{path.name} is in no course; add it to lessons in {COURSE_FILE}, or leave"
                    " lessons out to take all in order",
                    "warning",
                )

    def _named(self, path: Path) -> tuple[str, str, str] | None:
        """Name, locale and text of a file, or None with a finding; a readme is nobody's text."""
        name, _, locale = path.name.removesuffix(".md").partition(".")
        if name.casefold() == "readme":
            return None
        if not NAME.fullmatch(name):
            self.refuse(path, "a file's name becomes its slug; use a-z, 0-9 and -")
            return None
        if locale and not _LOCALE.fullmatch(locale):
            self.refuse(path, f"{quoted(locale)} is no locale; name it like {name}.de-simple.md")
            return None
        text = self.read(path)
        return None if text is None else (name, canonical(locale) or self.locale, text)

    def read_wording(self, path: Path, streams: Collection[str]) -> None:
        named = self._named(path)
        if named is None:
            return
        faults = self.faults_of(path, named[2])
        wording = read_wording(*named, streams=streams, faults=faults)
        self.findings += faults.found
        if wording is not None:
            self.wordings.append(wording)

    def read_text(self, path: Path, kind: Kind, prefix: str) -> None:
        named = self._named(path)
        if named is None:
            return
        name, locale, text = named
        faults = self.faults_of(path, text)
        mapped, body, begins = split_front_matter(text, faults)
        matter = read_matter(kind, mapped, faults)
        self.sources.append(
            Source(
                path=self.shown(path),
                slug=f"{prefix}/{name}",
                locale=locale,
                kind=kind,
                text=text,
                matter=matter,
                mapped=mapped,
                body=body,
                body_line=begins,
                findings=tuple(faults.found),
            )
        )

    def note_doubles(self) -> None:
        """Refuse the second of two files that are the same text."""
        seen: dict[tuple[str, str], Source] = {}
        for course in sorted(self.courses & set(slugs.FOLDERS.values())):
            self.refuse(self.folder / "lessons" / course, "this name is taken; rename the course")
        kept = []
        for source in self.sources:
            first = seen.setdefault((source.slug, source.locale), source)
            if first is source:
                kept.append(source)
                continue
            message = f"{source.slug} in {source.locale} is {first.path} already; delete one"
            self.findings.append(Finding(source.path, 1, "error", message))
        self.sources[:] = kept
