"""Layouts: the frame around every text, as MJML and as plain text, and their words.

Owns the reading of templates/layouts and words.toml, and what a layout includes. `[[ ]]` and
`[% %]` are filled here, at publishing; what is left for sending passes as sentinels.
"""

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Final

from jinja2 import FunctionLoader, StrictUndefined, Template, TemplateError, TemplateSyntaxError
from jinja2.sandbox import ImmutableSandboxedEnvironment
from markupsafe import Markup

from l3mail.content.findings import Faults, FaultyError, Finding, line_of, suggestion
from l3mail.content.mappings import split_front_matter
from l3mail.content.sources import fallbacks
from l3mail.errors import ContentError, quoted

FOLDER: Final = "templates/layouts"
WORDS: Final = "templates/words.toml"
PLAIN: Final = "mail.txt"
"""The text frame of every layout that has none of its own name."""

_INCLUDE: Final = re.compile(
    r"""<!--.*?-->|<mj-include\b((?:[^>"']|"[^"]*"|'[^']*')*?)(?:/>|>\s*</mj-include\s*>)""",
    re.DOTALL,
)
_ATTRIBUTE: Final = re.compile(r"""([\w-]+)\s*=\s*["']([^"']*)["']""")
_INCLUDED_AS: Final = {
    "mjml": ("", ""),
    "html": ("<mj-raw>", "</mj-raw>"),
    "css": ("<mj-style>", "</mj-style>"),
}
_COLOUR: Final = re.compile(r"#[0-9a-fA-F]{6}")
_TOML_PLACE: Final = re.compile(r" \(at line (\d+), column (\d+)\)")
_NAMED: Final = re.compile(r"'(\w+)' is undefined|has no attribute '(\w+)'")
_IS_WHOLE: Final = "<mjml"
_TABLES: Final = ("light", "dark", "inline")


LARGEST_FRAME: Final = 1_000_000
"""Characters of a layout with all it includes: files that include each other often grow fast."""

_Origin = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Frame:
    """A layout's MJML with what it includes; `origins` are file and line each line comes from."""

    text: str
    origins: tuple[_Origin, ...]

    def told(self, found: Iterable[Finding], texts: Mapping[str, str]) -> list[Finding]:
        """Findings in lines of the frame, where these were written; `texts` are files by path."""
        written = self.text.split("\n")
        placed = []
        for fault in found:
            at = min(fault.line, len(self.origins)) - 1
            path, line = self.origins[at]
            # A line that is put together of two files has no columns of either.
            whole = written[at] in texts.get(path, "").split("\n")[line - 1 : line]
            column = fault.column if whole else 0
            placed.append(replace(fault, path=path, line=line, column=column))
        return placed


@dataclass(frozen=True, slots=True)
class Layout:
    """One frame of mails: MJML and text, colours and inline styles.

    `written` says in which file and line the colours `light` and `dark` begin; `findings` what is
    wrong with what it includes.
    """

    path: str
    mjml: Frame
    text_path: str
    text: str
    light: Mapping[str, str]
    dark: Mapping[str, str]
    inline: Mapping[str, str]
    written: Mapping[str, _Origin]
    findings: tuple[Finding, ...] = ()


def layout_for(kind: str, files: Mapping[str, str]) -> str:
    """The layout of texts of a kind that name none: their kind's own, where there is one."""
    own = "lesson" if kind in {"welcome", "evaluation"} else kind
    return own if f"{own}.mjml" in files else PLAIN.removesuffix(".txt")


def read_layout(name: str, files: Mapping[str, str]) -> Layout:
    """The layout of a name from the texts of the layouts folder; raises ContentError.

    Colours and styles of what it includes are its own too, unless it says otherwise.
    """
    return _read_layout(name, tuple(files.items()))


@lru_cache(maxsize=32)
def _read_layout(name: str, all_files: tuple[tuple[str, str], ...]) -> Layout:
    files = dict(all_files)
    file = f"{name}.mjml"
    if file not in files:
        known = [
            known.removesuffix(".mjml")
            for known, text in files.items()
            if known.endswith(".mjml") and _IS_WHOLE in text
        ]
        raise ContentError(f"{quoted(name)} is no layout in {FOLDER}; {suggestion(name, known)}")
    plain = f"{name}.txt" if f"{name}.txt" in files else PLAIN
    if plain not in files:
        raise ContentError(f"{FOLDER}/{PLAIN} is missing, the frame of the text part")
    unfolding = _Unfolding(files)
    frame = unfolding.unfold(file)
    tables: dict[str, dict[str, str]] = {key: {} for key in _TABLES}
    written: dict[str, _Origin] = {}
    for piece in unfolding.pieces:
        said, lines = _tables(piece, files[piece])
        for key, table in said.items():
            tables[key] |= table
            written[key] = (f"{FOLDER}/{piece}", lines[key])
    return Layout(
        f"{FOLDER}/{file}",
        frame,
        f"{FOLDER}/{plain}",
        files[plain],
        **tables,
        written=written,
        findings=tuple(unfolding.found),
    )


class _Unfolding:
    """Puts each `<mj-include path="…" />` in its place, as MJML describes it.

    A path names a file beside the layouts; nothing is loaded from anywhere else. `pieces` are the
    files that were read, what includes behind what it includes.
    """

    def __init__(self, files: Mapping[str, str]) -> None:
        self.files = files
        self.pieces: dict[str, None] = {}
        self.found: list[Finding] = []
        self.text: list[str] = []
        self.origins: list[_Origin] = []
        self.length = 0
        self.blank = True

    def unfold(self, name: str) -> Frame:
        self._put_file(name, ())
        return Frame("".join(self.text), tuple(self.origins))

    def _put_file(self, name: str, within: tuple[str, ...]) -> None:
        path = f"{FOLDER}/{name}"
        _, body, line = split_front_matter(self.files[name], Faults(path))
        at = 0
        for found in _INCLUDE.finditer(body):
            if found[1] is not None:
                self._put(body[at : found.start()], path, line + body.count("\n", 0, at))
                here = path, line + body.count("\n", 0, found.start())
                self._include(found[1], here, (*within, name))
                at = found.end()
        self._put(body[at:], path, line + body.count("\n", 0, at))
        self.pieces[name] = None

    def _include(self, attributes: str, here: _Origin, within: tuple[str, ...]) -> None:
        said = dict(_ATTRIBUTE.findall(attributes))
        name, kind = said.get("path", "").removeprefix("./"), said.get("type", "mjml")
        fault = ""
        if name not in self.files:
            fault = f"{quoted(name)} is no file to include; {suggestion(name, self.files)}"
        elif name in within:
            fault = f"{quoted(name)} includes itself in the end; leave one of them out"
        elif kind not in _INCLUDED_AS or "css-inline" in said:
            fault = 'an include is of type "mjml", "html" or "css", and never inlined'
        elif _IS_WHOLE in self.files[name]:
            fault = f"{quoted(name)} is a whole mail; include only the piece you need"
        elif self.length > LARGEST_FRAME:
            fault = "with all it includes this layout is too large; include less"
        if fault:
            faults = Faults(here[0], self.found, {here[0]: self.files[within[-1]]})
            faults.error(here[1], fault, "<mj-include")
            return
        before, after = _INCLUDED_AS[kind]
        self._put(before, *here)
        self._put_file(name, within)
        self._put(after, *here)

    def _put(self, text: str, path: str, line: int) -> None:
        """Add text; a line comes from where the first of it comes that is not blank."""
        for number, piece in enumerate(text.split("\n")):
            origin = (path, line + number)
            if number or not self.origins:
                self.origins.append(origin)
                self.blank = True
            if self.blank:
                self.origins[-1] = origin
            self.blank = self.blank and not piece.strip()
        self.text.append(text)
        self.length += len(text)


@lru_cache(maxsize=64)
def _tables(file: str, text: str) -> tuple[Mapping[str, Mapping[str, str]], Mapping[str, int]]:
    """The colours and styles above a file's MJML, and their lines; raises ContentError."""
    faults = Faults(f"{FOLDER}/{file}", texts={f"{FOLDER}/{file}": text})
    mapped, _, _ = split_front_matter(text, faults)
    for key, table in mapped.values.items():
        line = mapped.line(key)
        if key not in _TABLES:
            faults.error(line, f"{quoted(key)} is not a key here; {suggestion(key, _TABLES)}", key)
        elif not isinstance(table, dict) or not all(
            isinstance(part, str) for pair in table.items() for part in pair
        ):
            message = f'"{key}" should be a table of texts'
            faults.error(line, message, mapped.column(key))
        elif key != "inline":
            for token, colour in table.items():
                if not _COLOUR.fullmatch(colour):
                    message = f'{token} is {quoted(colour)}, no colour; write it like "#0b5f5a"'
                    faults.error(line, message, colour, f"{token}:")
    if faults.broken:
        raise FaultyError(faults.found)
    return mapped.values, {key: mapped.line(key) for key in mapped.values}


def read_words(text: str, locale: str, workspace_locale: str) -> dict[str, str]:
    """The words of a locale, each from the nearest locale that has it; raises FaultyError."""
    return dict(_read_words(text, locale, workspace_locale))


@lru_cache(maxsize=64)
def _read_words(text: str, locale: str, workspace_locale: str) -> dict[str, str]:
    try:
        tables: dict[str, Any] = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = _TOML_PLACE.search(str(error))
        line, column = (int(found[1]), int(found[2])) if found else (text.count("\n") + 1, 0)
        message = f'{_TOML_PLACE.sub("", str(error))}; write a line such as view = "…"'
        raise FaultyError([Finding(WORDS, line, "error", message, column=column)]) from error
    words: dict[str, str] = {}
    for tag in [*fallbacks(locale), *fallbacks(workspace_locale), *sorted(tables)]:
        table = tables.get(tag, {})
        if not isinstance(table, dict) or not all(isinstance(v, str) for v in table.values()):
            message = f'[{tag}] should hold lines such as view = "…"'
            raise FaultyError([Finding(WORDS, line_of(f"[{tag}", text), "error", message)])
        words = table | words
    return words


def fill_frame(
    path: str, text: str, values: Mapping[str, Any], *, files: Mapping[str, str], faults: Faults
) -> str | None:
    """Fill a frame's compile-time markers; None, with the fault noted, if they are wrong.

    `files` are what `[% include %]` may name, besides.
    """
    escape = path.endswith(".mjml")
    try:
        if not files:
            return _frame(text, escape=escape).render(values)
        return _environment(escape=escape, files=files).from_string(text).render(values)
    except TemplateSyntaxError as error:
        own = faults if error.name is None else faults.beside(f"{FOLDER}/{error.name}")
        own.error(error.lineno, f"Jinja cannot read this: {error.message}")
    except (TemplateError, ArithmeticError, LookupError, TypeError, ValueError) as error:
        line, file = _place_of(error, files)
        own = faults if file is None else faults.beside(f"{FOLDER}/{file}")
        named = _NAMED.search(str(error))
        own.error(line, f"this marker fails: {error}", named[named.lastindex or 0] if named else "")
    return None


def _environment(*, escape: bool, files: Mapping[str, str]) -> ImmutableSandboxedEnvironment:
    return ImmutableSandboxedEnvironment(
        variable_start_string="[[",
        variable_end_string="]]",
        block_start_string="[%",
        block_end_string="%]",
        comment_start_string="[#",
        comment_end_string="#]",
        undefined=StrictUndefined,
        autoescape=escape,
        keep_trailing_newline=True,
        # A file's name as its own: what fails in it is told there.
        loader=FunctionLoader(lambda name: (files[name], name, None) if name in files else None),
    )


@lru_cache(maxsize=256)
def _frame(text: str, *, escape: bool) -> Template:
    # Partials and styles: few, and filled again for each block of each text.
    return _environment(escape=escape, files={}).from_string(text)


def _place_of(error: BaseException, files: Mapping[str, str]) -> tuple[int, str | None]:
    """The template's line in a traceback that Jinja has rewritten, and its file if included."""
    place: tuple[int, str | None] = (1, None)
    trace = error.__traceback__
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if file == "<template>" or file in files:
            place = (trace.tb_lineno, file if file in files else None)
        trace = trace.tb_next
    return place


def marked(mjml: str) -> Markup:
    """MJML made by us, to be put into a frame as it is."""
    return Markup(mjml)  # noqa: S704 - escaped where it was made
