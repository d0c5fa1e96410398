"""From MJML to HTML: which elements there are, and what a mail may not load.

Owns the table of elements that mrml makes HTML of, and every fault at the line it was written in.
"""

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from html.parser import HTMLParser
from typing import Final
from xml.parsers import expat

from mjml import mjml2html

from l3mail.content.findings import Faults, suggestion
from l3mail.errors import quoted

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
_FOREIGN_TAGS: Final = frozenset(
    "link script iframe object embed form input video audio source base".split()
)
_LOADING: Final = frozenset("src srcset background poster data".split())
_LOADING_CSS: Final = re.compile(r"url\s*\(|@import|image-set\s*\(", re.IGNORECASE)
_CSS_ESCAPE: Final = re.compile(r"\\(?:([0-9a-fA-F]{1,6})\s?|(.))", re.DOTALL)


def to_html(filled: str, written: str, faults: Faults) -> str | None:
    """MJML to HTML; None, with every fault at the line of `written` that it comes from."""
    lines = _Lines(filled, written)
    if not _elements_known(filled, lines, faults):
        return None
    try:
        html = mjml2html(filled, disable_comments=False, fonts={})
    except ValueError as error:
        found = re.search(r"at position (\d+)", str(error))
        begins = int(found[1]) if found else 0
        at = filled.encode()[:begins].count(b"\n") + 1
        faults.error(lines.source(at), f"MJML cannot be read: {error}")
        return None
    for problem in foreign_resources(html):
        faults.error(lines.holding(problem.where), problem.message, problem.where)
    return None if faults.broken else html


def check_piece(filled: str, written: str, faults: Faults) -> None:
    """Note what is wrong with a piece of MJML, filled, at the lines it was written in."""
    lines = _Lines(filled, written)
    if _elements_known(f"<mjml>{filled}</mjml>", lines, faults):
        for problem in foreign_resources(filled):
            faults.error(lines.holding(problem.where), problem.message, problem.where)


class _Lines:
    """From lines of filled MJML back to the lines it was written in."""

    def __init__(self, filled: str, written: str) -> None:
        self.filled = filled.split("\n")
        self.written = written.split("\n")

    def source(self, line: int) -> int:
        matcher = difflib.SequenceMatcher(None, self.filled, self.written, autojunk=False)
        nearest = 1
        for filled, written, size in matcher.get_matching_blocks():
            if filled < line <= filled + size:
                return written + line - filled
            if size and filled + size < line:
                nearest = written + size + 1
        return min(nearest, len(self.written))

    def holding(self, text: str) -> int:
        for number, line in enumerate(self.written, start=1):
            if text and text in line:
                return number
        return 1


def _elements_known(mjml: str, lines: _Lines, faults: Faults) -> bool:
    """Read MJML as XML, which mrml does not quite, and hold its elements against our table."""
    if "<!" in re.sub(r"<!--.*?-->", "", mjml, flags=re.DOTALL):
        faults.error(
            lines.holding("<!"), "a declaration (<!…>) is not for layouts; delete it", "<!"
        )
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
            faults.error(lines.source(at), f"{quoted(name)} may not stand inside text", f"<{name}")
        elif missing := [one for one in _OWN_PICTURES.get(name, ()) if one not in attributes]:
            faults.error(
                lines.source(at),
                f"{quoted(name)} needs {missing[0]}, an address of ours; its own picture would come"
                " from elsewhere",
                f"<{name}",
            )
        elif name in LACKING:
            message = f"{quoted(name)} is not for mails here: {LACKING[name]}"
            faults.error(lines.source(at), message, f"<{name}")
        elif name == "mj-style" and attributes.get("inline"):
            message = '"inline" of mj-style is not for mails here: write style="…" where it belongs'
            faults.error(lines.source(at), message, "inline=")
        elif not inside and name not in ELEMENTS:
            nearest = suggestion(name, ELEMENTS)
            faults.error(
                lines.source(at), f"{quoted(name)} is no element here; {nearest}", f"<{name}"
            )

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
        self.found += _foreign_for_outlook(data)

    def _note(self, where: str, message: str) -> None:
        self.found.append(Foreign(where, message))


@lru_cache(maxsize=512)
def _foreign_for_outlook(comment: str) -> tuple[Foreign, ...]:
    # A mail has about a hundred of them, most the same in all mails; a longer one is rare.
    found = foreign_resources(re.sub(r"^\[if[^\]]*\]>|<!\[endif\]$", "", comment))
    if _loads(comment):
        words = "a comment for Outlook loads a foreign resource; delete it"
        found.append(Foreign("<!--", words))
    return tuple(found)
