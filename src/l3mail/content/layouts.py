"""Layouts: the frame around every text, as MJML and as plain text, and their words.

Owns the reading of templates/layouts and words.toml, the table of MJML elements we use, and the
way from MJML to HTML with every fault at its line. `[[ ]]` and `[% %]` are filled here, at
publishing; what is left for sending passes as sentinels.
"""

import difflib
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from html.parser import HTMLParser
from typing import Any, Final
from xml.parsers import expat

from jinja2 import DictLoader, StrictUndefined, Template, TemplateError, TemplateSyntaxError
from jinja2.sandbox import ImmutableSandboxedEnvironment
from markupsafe import Markup
from mjml import mjml2html

from l3mail.content.findings import Faults, suggestion
from l3mail.content.mappings import split_front_matter
from l3mail.content.sources import fallbacks
from l3mail.errors import ContentError, quoted

FOLDER: Final = "templates/layouts"
WORDS: Final = "templates/words.toml"
PLAIN: Final = "mail.txt"
"""The text frame of every layout that has none of its own name."""

ELEMENTS: Final = frozenset(
    "mjml mj-head mj-title mj-preview mj-attributes mj-all mj-class mj-style mj-breakpoint"
    " mj-body mj-wrapper mj-section mj-column mj-group mj-text mj-button mj-image mj-divider"
    " mj-spacer mj-table mj-raw mj-hero mj-include mj-navbar mj-navbar-link mj-carousel"
    " mj-carousel-image mj-accordion mj-accordion-element mj-accordion-title mj-accordion-text"
    " mj-social mj-social-element".split()
)
"""What mrml makes HTML of; it passes others through unseen."""

LACKING: Final[Mapping[str, str]] = {
    "mj-html-attributes": "write the attributes where they belong, inside mj-raw or mj-text",
    "mj-font": "a font from elsewhere tells its owner who reads; name fonts that devices have",
}
"""What MJML has and this house does not: said by name, for who brings a layout along."""

_OWN_PICTURES: Final[Mapping[str, tuple[str, ...]]] = {
    "mj-social-element": ("src",),
    "mj-accordion": ("icon-wrapped-url", "icon-unwrapped-url"),
    "mj-carousel": ("left-icon", "right-icon"),
}
"""What these load from elsewhere unless it is named."""

_HOLD_HTML: Final = frozenset(
    "mj-text mj-raw mj-button mj-table mj-navbar-link mj-accordion-title mj-accordion-text"
    " mj-social-element".split()
)
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
_FOREIGN_TAGS: Final = frozenset(
    "link script iframe object embed form input video audio source base".split()
)
_COLOUR: Final = re.compile(r"#[0-9a-fA-F]{6}")
_LOADING: Final = frozenset("src srcset background poster data".split())
_LOADING_CSS: Final = re.compile(r"url\s*\(|@import|image-set\s*\(", re.IGNORECASE)
_CSS_ESCAPE: Final = re.compile(r"\\(?:([0-9a-fA-F]{1,6})\s?|(.))", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Layout:
    """One frame: its MJML below the front matter, its text frame, colours and inline styles."""

    path: str
    mjml: str
    mjml_line: int
    text_path: str
    text: str
    light: Mapping[str, str]
    dark: Mapping[str, str]
    inline: Mapping[str, str]
    light_line: int = 1
    dark_line: int = 1


def read_layout(name: str, files: Mapping[str, str]) -> Layout:
    """The layout of a name from the texts of the layouts folder; raises ContentError."""
    file = f"{name}.mjml"
    if file not in files:
        known = [known.removesuffix(".mjml") for known in files if known.endswith(".mjml")]
        raise ContentError(f"{quoted(name)} is no layout in {FOLDER}; {suggestion(name, known)}")
    faults = Faults(f"{FOLDER}/{file}")
    mapped, mjml, line = split_front_matter(files[file], faults)
    tables: dict[str, dict[str, str]] = {}
    for key in ("light", "dark", "inline"):
        table = mapped.values.get(key, {})
        if not isinstance(table, dict) or not all(
            isinstance(part, str) for pair in table.items() for part in pair
        ):
            faults.error(mapped.line(key), f'"{key}" should be a table of texts')
            table = {}
        tables[key] = table
    for key in ("light", "dark"):
        for token, colour in tables[key].items():
            if not _COLOUR.fullmatch(colour):
                message = f'{token} is {quoted(colour)}, no colour; write it like "#0b5f5a"'
                faults.error(mapped.line(key), message)
    for key in mapped.values.keys() - tables.keys():
        faults.error(
            mapped.line(key), f"{quoted(key)} is not a key here; {suggestion(key, tables)}"
        )
    if faults.broken:
        raise ContentError("\n".join(map(str, faults.found)))
    plain = f"{name}.txt" if f"{name}.txt" in files else PLAIN
    if plain not in files:
        raise ContentError(f"{FOLDER}/{PLAIN} is missing, the frame of the text part")
    return Layout(
        path=f"{FOLDER}/{file}",
        mjml=mjml,
        mjml_line=line,
        text_path=f"{FOLDER}/{plain}",
        text=files[plain],
        light_line=mapped.line("light"),
        dark_line=mapped.line("dark"),
        **tables,
    )


def read_words(text: str, locale: str, workspace_locale: str) -> dict[str, str]:
    """The words of a locale, each from the nearest locale that has it; raises ContentError."""
    try:
        tables: dict[str, Any] = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ContentError(f"{WORDS}: {error}") from error
    words: dict[str, str] = {}
    for tag in [*fallbacks(locale), *fallbacks(workspace_locale), *sorted(tables)]:
        table = tables.get(tag, {})
        if not isinstance(table, dict) or not all(isinstance(v, str) for v in table.values()):
            raise ContentError(f'{WORDS}: [{tag}] should hold lines such as view = "…"')
        words = table | words
    return words


def fill_frame(
    path: str,
    text: str,
    values: Mapping[str, Any],
    *,
    files: Mapping[str, str],
    faults: Faults,
    first_line: int = 1,
) -> str | None:
    """Fill a frame's compile-time markers; None, with the fault noted, if they are wrong."""
    escape = path.endswith(".mjml")
    try:
        if not files:
            return _frame(text, escape=escape).render(values)
        whole = included(text, files, faults, first_line) if escape else text
        return _environment(escape=escape, files=files).from_string(whole).render(values)
    except TemplateSyntaxError as error:
        faults.error(first_line + error.lineno - 1, f"Jinja cannot read this: {error.message}")
    except (TemplateError, ArithmeticError, LookupError, TypeError, ValueError) as error:
        faults.error(first_line + _line_of(error) - 1, f"this marker fails: {error}")
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
        loader=DictLoader(dict(files)),
    )


@lru_cache(maxsize=256)
def _frame(text: str, *, escape: bool) -> Template:
    # Partials and styles: few, and filled again for each block of each text.
    return _environment(escape=escape, files={}).from_string(text)


def included(
    text: str,
    files: Mapping[str, str],
    faults: Faults,
    first_line: int,
    within: tuple[str, ...] = (),
) -> str:
    """The text with each `<mj-include path="…" />` replaced by that file, as MJML describes it.

    A path names a file beside the layouts; nothing is loaded from anywhere else. `within` are the
    files that led here, each of which may not come again.
    """

    def put(found: re.Match[str]) -> str:
        if found[1] is None:
            return found[0]  # a comment
        line = first_line + text.count("\n", 0, found.start())
        said = dict(_ATTRIBUTE.findall(found[1]))
        name, kind = said.get("path", "").removeprefix("./"), said.get("type", "mjml")
        held = files.get(name)
        if held is None:
            faults.error(line, f"{quoted(name)} is no file to include; {suggestion(name, files)}")
        elif name in within:
            faults.error(line, f"{quoted(name)} includes itself in the end; leave one of them out")
        elif kind not in _INCLUDED_AS or "css-inline" in said:
            faults.error(line, 'an include is of type "mjml", "html" or "css", and never inlined')
        elif "<mjml" in held:
            faults.error(line, f"{quoted(name)} is a whole mail; include only the piece you need")
        else:
            before, after = _INCLUDED_AS[kind]
            _, piece, _ = split_front_matter(held, Faults(name))
            return before + included(piece, files, faults, line, (*within, name)) + after
        return ""

    return _INCLUDE.sub(put, text)


def _line_of(error: BaseException) -> int:
    """The template's line in a traceback that Jinja has rewritten."""
    line = 1
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == "<template>":
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


def to_html(mjml: str, layout: Layout, faults: Faults) -> str | None:
    """MJML to HTML; None, with every fault at the line of the layout it comes from."""
    lines = _Lines(mjml, layout.mjml, layout.mjml_line)
    if not _elements_known(mjml, lines, faults):
        return None
    try:
        html = mjml2html(mjml, disable_comments=False, fonts={})
    except ValueError as error:
        found = re.search(r"at position (\d+)", str(error))
        begins = int(found[1]) if found else 0
        at = mjml.encode()[:begins].count(b"\n") + 1
        faults.error(lines.source(at), f"MJML cannot be read: {error}")
        return None
    for problem in foreign_resources(html):
        faults.error(lines.holding(problem.where), problem.message)
    return None if faults.broken else html


def check_piece(filled: str, written: str, faults: Faults) -> None:
    """Note what is wrong with a piece of MJML, filled, at the lines it was written in."""
    lines = _Lines(filled, written, 1)
    if _elements_known(f"<mjml>{filled}</mjml>", lines, faults):
        for problem in foreign_resources(filled):
            faults.error(lines.holding(problem.where), problem.message)


class _Lines:
    """From lines of filled MJML back to the lines it was written in, of which `first` is one."""

    def __init__(self, filled: str, written: str, first: int) -> None:
        self.filled = filled.split("\n")
        self.written = written.split("\n")
        self.first = first

    def source(self, line: int) -> int:
        matcher = difflib.SequenceMatcher(None, self.filled, self.written, autojunk=False)
        nearest = 1
        for filled, written, size in matcher.get_matching_blocks():
            if filled < line <= filled + size:
                return self.first + written + line - filled - 1
            if size and filled + size < line:
                nearest = written + size + 1
        return self.first + min(nearest, len(self.written)) - 1

    def holding(self, text: str) -> int:
        for number, line in enumerate(self.written):
            if text and text in line:
                return self.first + number
        return self.first


def _elements_known(mjml: str, lines: _Lines, faults: Faults) -> bool:
    """Read MJML as XML, which mrml does not quite, and hold its elements against our table."""
    if "<!" in re.sub(r"<!--.*?-->", "", mjml, flags=re.DOTALL):
        faults.error(lines.holding("<!"), "a declaration (<!…>) is not for layouts; delete it")
        return False
    parser = expat.ParserCreate()
    depth_of_raw = 0

    def begins(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth_of_raw
        at = parser.CurrentLineNumber
        inside = depth_of_raw > 0
        if inside or name in _HOLD_HTML:
            depth_of_raw += 1
        if inside and name.startswith("mj"):
            faults.error(lines.source(at), f"{quoted(name)} may not stand inside text")
        elif missing := [one for one in _OWN_PICTURES.get(name, ()) if one not in attributes]:
            faults.error(
                lines.source(at),
                f"{quoted(name)} needs {missing[0]}, an address of ours; its own picture would come"
                " from elsewhere",
            )
        elif name in LACKING:
            faults.error(lines.source(at), f"{quoted(name)} is not for mails here: {LACKING[name]}")
        elif name == "mj-style" and attributes.get("inline"):
            message = '"inline" of mj-style is not for mails here: write style="…" where it belongs'
            faults.error(lines.source(at), message)
        elif not inside and name not in ELEMENTS:
            nearest = suggestion(name, ELEMENTS)
            faults.error(lines.source(at), f"{quoted(name)} is no element here; {nearest}")

    def ends(_name: str) -> None:
        nonlocal depth_of_raw
        depth_of_raw = max(0, depth_of_raw - 1)

    parser.StartElementHandler = begins
    parser.EndElementHandler = ends
    try:
        parser.Parse(mjml.encode(), True)
    except expat.ExpatError as error:
        words = expat.ErrorString(error.code)
        faults.error(lines.source(error.lineno), f"MJML is not well formed: {words}")
    return not faults.broken


@dataclass(frozen=True, slots=True)
class Foreign:
    """A resource that a mail would load from elsewhere: `where` is a piece of its source."""

    where: str
    message: str


def foreign_resources(html: str) -> list[Foreign]:
    """What a mail program would load, other than images from our own routes."""
    finder = _ForeignFinder()
    finder.feed(html)
    finder.close()
    return finder.found


def _loads(css: str) -> re.Match[str] | None:
    """What in a style loads something, however it is spelt (CSS Syntax 3, section 4.3.7)."""

    def character(found: re.Match[str]) -> str:
        number = int(found[1], 16) if found[1] else 0
        return (chr(number) if 0 < number < 0x110000 else "") if found[1] else found[2]

    return _LOADING_CSS.search(_CSS_ESCAPE.sub(character, css))


class _ForeignFinder(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[Foreign] = []
        self.own = re.compile(
            r"(?:\{\{ base_url \}\}|zqjq*v\d+z)/media/[0-9a-f]{16}/[\w.-]+|\{\{ pixel \}\}"
        )

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        # What mrml makes of an accordion and of a carousel switches by hidden buttons.
        switches = tag == "input" and dict(attrs).get("type") in {"checkbox", "radio"}
        if tag in _FOREIGN_TAGS and not switches:
            where = dict(attrs).get("href") or dict(attrs).get("src") or f"<{tag}"
            self._note(where, f"<{tag}> is not for mails; delete it")
        for name, value in attrs:
            if name in _LOADING and value and not self.own.fullmatch(value):
                self._note(value, f"{quoted(value)} is a foreign resource; put it into media/")
            elif name == "style" and value and _loads(value):
                self._note("url(", "url() loads a foreign resource; delete it")
            elif name.startswith("on"):
                self._note(f"{name}=", f"{quoted(name)} is a script; delete it")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)

    def handle_data(self, data: str) -> None:
        # Of elements whose content is not HTML: style. Words of a text may say url(.
        if self.cdata_elem == "style" and (found := _loads(data)):
            where = found[0]
            self._note(where, f"{where} loads a foreign resource; delete it")

    def handle_comment(self, data: str) -> None:
        # Outlook reads what stands in conditional comments.
        within = _ForeignFinder()
        within.feed(re.sub(r"^\[if[^\]]*\]>|<!\[endif\]$", "", data))
        within.close()
        self.found += within.found
        if _loads(data):
            self._note("<!--", "a comment for Outlook loads a foreign resource; delete it")

    def _note(self, where: str, message: str) -> None:
        self.found.append(Foreign(where, message))


def marked(mjml: str) -> Markup:
    """MJML made by us, to be put into a frame as it is."""
    return Markup(mjml)  # noqa: S704 - escaped where it was made
