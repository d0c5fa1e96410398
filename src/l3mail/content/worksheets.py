"""Worksheets: Markdown of media/ that becomes a PDF to print and to write on.

Owns what a worksheet may hold, and how its Markdown becomes pieces of a paper. A paper is for all:
no placeholder stands in it.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from typing import Any, Final

from markdown_it.tree import SyntaxTreeNode

from l3mail.content import pictures
from l3mail.content.findings import Faults, Finding, suggestion
from l3mail.content.images import FOLDER, image_size, read_medium
from l3mail.content.layouts import read_words
from l3mail.content.links import fault_of
from l3mail.content.mappings import Mapped, split_front_matter
from l3mail.content.markdown import (
    DIRECTIVE,
    RULED,
    directive_of,
    is_stray,
    only,
    parse_sheet,
    plain,
)
from l3mail.content.papers import paper
from l3mail.content.pictures import PictureError
from l3mail.content.sentinels import Sentinels
from l3mail.content.simplicity import is_simple, judge
from l3mail.content.sources import Library, locale_of, read_file
from l3mail.errors import ContentError, PaperError, quoted
from l3mail.typesetting import PIECES, Paper, typeset, unprintable

SUFFIX: Final = ".md"
MADE: Final = ".pdf"
TEMPLATE: Final = "worksheet"
MOST_LINES: Final = 40
DEEPEST: Final = 20
"""Levels of lists, quotes and marks; Typst stops a little below."""

_KEYS: Final = ("title", "subtitle")
_TAGS = re.compile(r"\{\{|\{%")
_BOX = re.compile(r"\[([ xX])\](?:\s+|$)")
_LONG = re.compile(r"\S{40}(?=\S)")
_WIDEST, _HIGHEST = 470, 340
"""Points a picture may take of the page."""

# The same sheets are read for each text that links to them.
_unprintable = lru_cache(maxsize=512)(unprintable)

Piece = dict[str, Any]
Cell = Sequence[Piece]


@dataclass(frozen=True, slots=True)
class Worksheet:
    """One worksheet as its file says it; `pictures` are the paths of those in it."""

    path: str
    locale: str
    values: dict[str, Any]
    pictures: tuple[str, ...]


def worksheets_of(library: Library) -> list[str]:
    """The paths of all worksheets of media/; a readme is nobody's paper."""
    media = library.folder / FOLDER
    return sorted(
        path.relative_to(library.folder).as_posix()
        for path in media.rglob(f"*{SUFFIX}")
        if path.is_file() and path.name.casefold() != "readme.md"
    )


def read_worksheet(library: Library, path: str) -> tuple[Worksheet | None, list[Finding]]:
    """A worksheet, None where something is wrong with it, and what that is."""
    text, found = read_file(library, library.folder / path)
    if text is None:
        return None, found
    faults = Faults(path, found)
    mapped, body, begins = split_front_matter(text, faults)
    locale = locale_of(Path(path).name, library.locale)
    if locale is None:
        faults.error(1, "what follows the dot is no locale; name it like blatt.de-simple.md")
    title, subtitle = (_line(mapped, key, faults) for key in _KEYS)
    if not title and not faults.broken:
        faults.error(1, '"title" is missing; write title: "…"')
    for key in mapped.values.keys() - set(_KEYS):
        message = f"{quoted(key)} is not a key here; {suggestion(key, _KEYS)}"
        faults.error(mapped.line(key), message)
    reading = _Reading(library, begins, faults)
    for number, line in enumerate(body.split("\n"), begins):
        _judge_words(line, number, faults)
    tree = parse_sheet(body)
    if deep := _line_too_deep(tree):
        faults.error(begins + deep - 1, "this is nested too deep; take some levels away")
        return None, faults.found
    pieces = reading.pieces(tree.children)
    if not pieces and not faults.broken:
        faults.error(begins, "there is no text; write one below the ---")
    if locale is None or faults.broken:
        return None, faults.found
    if is_simple(locale):
        judge(tree, begins, faults)
    values = {"title": _broken(title), "subtitle": _broken(subtitle), "pieces": pieces}
    return Worksheet(path, locale, values, tuple(dict.fromkeys(reading.pictures))), faults.found


def _line(mapped: Mapped, key: str, faults: Faults) -> str:
    """What a key says, in one line."""
    value, line = mapped.values.get(key), mapped.line(key)
    if value is None:
        return ""
    if not isinstance(value, str) or not value.isprintable():
        faults.error(line, f'{quoted(key)} should be one line of text; write {key}: "…"')
        return ""
    _judge_words(value, line, faults)
    return value.strip()


def _line_too_deep(tree: SyntaxTreeNode) -> int:
    """The first line whose blocks or marks are nested deeper than a paper can be; 0 for none."""
    at = 0
    for node in tree.walk(include_self=False):
        at = node.map[0] + 1 if node.map else at
        if node.level > DEEPEST:
            return at
    return 0


def _broken(text: str) -> str:
    """A text with places to break in words that are longer than a line may be."""
    return _LONG.sub("\\g<0>\u200b", text)


def _judge_words(text: str, line: int, faults: Faults) -> None:
    if _TAGS.search(text):
        faults.error(line, "a paper is the same for all; write it without {{ }} and {% %}")
    if unknown := _unprintable(text):
        faults.error(line, f"no font here has {' '.join(map(quoted, unknown))}; write it otherwise")


class _Reading:
    """Turns one worksheet's tree into pieces, noting what cannot be on paper."""

    def __init__(self, library: Library, first_line: int, faults: Faults) -> None:
        self._library = library
        self._first = first_line
        self._faults = faults
        self._at = first_line
        self._level = 1
        self._sentinels = Sentinels.for_texts([])
        self.pictures: list[str] = []

    def pieces(self, nodes: Sequence[SyntaxTreeNode]) -> list[Piece]:
        """The pieces of blocks; what is refused leaves none."""
        return [piece for node in nodes if (piece := self._piece(node)) is not None]

    def _refuse(self, message: str) -> None:
        self._faults.error(self._at, message)

    def _piece(self, node: SyntaxTreeNode) -> Piece | None:
        if node.map:
            self._at = self._first + node.map[0]
        match node.type:
            case "heading":
                return self._heading(node)
            case "paragraph":
                return self._paragraph(node)
            case "bullet_list":
                return self._list(node)
            case "ordered_list":
                items = [self.pieces(item.children) for item in node.children]
                return {"kind": "numbers", "start": int(node.attrs.get("start", 1)), "items": items}
            case "blockquote":
                return {"kind": "quote", "pieces": self.pieces(node.children)}
            case "fence" | "code_block":
                return {"kind": "code", "text": node.content.rstrip("\n")}
            case "hr":
                return {"kind": "rule"}
            case "table":
                return self._table(node)
            case _ if node.type == RULED:
                return self._ruled(node.content)
        if node.type == DIRECTIVE:
            name = directive_of(node).name
            self._refuse(f"{quoted(name)} is no block of a worksheet; known is `::: lines 4`")
        else:
            self._refuse("HTML is not read; write Markdown")
        return None

    def _heading(self, node: SyntaxTreeNode) -> Piece | None:
        level = int(node.tag[1:])
        if level == 1:
            self._refuse("the title stands above the text already; begin with ##")
            return None
        if level > self._level + 1:
            self._refuse(f"after a heading of level {self._level} comes {'#' * (self._level + 1)}")
            return None
        self._level = level
        return {"kind": "heading", "level": level, "nodes": self._spoken(node)}

    def _paragraph(self, node: SyntaxTreeNode) -> Piece | None:
        inner = node.children[0].children if node.children else []
        alone = only(inner)
        if alone is not None and alone.type == "image":
            return self._picture(alone)
        return {"kind": "paragraph", "nodes": self._spoken(node)}

    def _picture(self, node: SyntaxTreeNode) -> Piece | None:
        alt = plain(node.children).strip()
        if not alt and node.attrs.get("title") != "decorative":
            self._refuse("this image has no words for who does not see it; write ![words](media/…)")
            return None
        source = str(node.attrs.get("src", ""))
        try:
            medium, data = read_medium(self._library.folder, source, image=True)
            size = medium.width or 1, medium.height or 1
            wide, high = pictures.judge(data, Path(medium.name).suffix, size) or size
        except (ContentError, PictureError) as error:
            told = str(error) if isinstance(error, ContentError) else f"{quoted(source)} {error}"
            self._refuse(told)
            return None
        self.pictures.append(medium.path)
        # A dot is half a point: sharp on paper, and no larger than the page.
        width = min(wide / 2, _WIDEST, _HIGHEST * wide / high)
        return {"kind": "picture", "path": medium.path, "alt": alt, "width": round(width, 1)}

    def _list(self, node: SyntaxTreeNode) -> Piece:
        boxes = [self._box(item) for item in node.children]
        items = [self.pieces(item.children) for item in node.children]
        if not any(box is not None for box in boxes):
            return {"kind": "list", "items": items}
        if None in boxes:
            self._at = self._first + (node.map[0] if node.map else 0)
            self._refuse("some lines of this list have a box to tick, others none; write - [ ]")
        groups = groupby(zip(boxes, items, strict=True), key=lambda pair: bool(pair[0]))
        return {
            "kind": "checks",
            "groups": [[ticked, [item for _, item in pairs]] for ticked, pairs in groups],
        }

    def _box(self, item: SyntaxTreeNode) -> bool | None:
        """Whether a list's item is ticked, and without the box from now on; None without one."""
        first = item.children[0] if item.children else None
        if first is None or first.type != "paragraph" or not first.children:
            return None
        texts = first.children[0].children
        if not texts or texts[0].type != "text" or texts[0].token is None:
            return None
        found = _BOX.match(texts[0].content)
        if found is None:
            return None
        texts[0].token.content = texts[0].content[found.end() :]
        return found[1] != " "

    def _ruled(self, said: str) -> Piece | None:
        if not re.fullmatch(r"[0-9]{1,2}", said) or not 1 <= int(said) <= MOST_LINES:
            self._refuse(f"lines to write on need their number, 1 to {MOST_LINES}: `::: lines 4`")
            return None
        return {"kind": "lines", "count": int(said)}

    def _table(self, node: SyntaxTreeNode) -> Piece:
        rows = [
            [self._spoken(cell) for cell in row.children]
            for part in node.children
            for row in part.children
        ]
        head, rest = rows[0], rows[1:]
        return {"kind": "table", "head": head, "rows": rest, "shares": _shares(head, rest)}

    def _spoken(self, node: SyntaxTreeNode) -> list[Piece]:
        """The words of a block, with their marks."""
        if node.map:
            self._at = self._first + node.map[0]
        return self._words(node.children[0].children if node.children else [])

    def _words(self, nodes: Sequence[SyntaxTreeNode]) -> list[Piece]:
        return [word for node in nodes for word in self._word(node)]

    def _word(self, node: SyntaxTreeNode) -> list[Piece]:
        match node.type:
            case "text":
                if is_stray(node.content):
                    self._refuse("this line closes no block; `::: lines 4` has a number, no text")
                return [{"kind": "text", "text": _broken(node.content)}] if node.content else []
            case "softbreak":
                self._at += 1
                return [{"kind": "text", "text": " "}]
            case "hardbreak":
                self._at += 1
                return [{"kind": "break"}]
            case "strong" | "em":
                return [{"kind": node.type, "nodes": self._words(node.children)}]
            case "code_inline":
                return [{"kind": "code", "text": node.content}]
            case "link":
                return self._link(node)
            case "image":
                self._refuse("a picture stands alone, with an empty line before and after it")
            case _:
                self._refuse("HTML is not read; write Markdown")
        return []

    def _link(self, node: SyntaxTreeNode) -> list[Piece]:
        url, words = str(node.attrs.get("href", "")), plain(node.children)
        if url.startswith(f"{FOLDER}/"):
            self._refuse("a paper cannot bring files along; link to them in the mail instead")
            return []
        fault = fault_of(url, self._sentinels)
        if fault is not None or not words.strip():
            self._refuse(fault or f"{quoted(url)} has no words; write [words](…)")
            return []
        shown = re.sub(r"^(https?://|mailto:|tel:)", "", url).rstrip("/")
        same = words.strip() in {url, shown}
        shown = "" if same else _broken(shown)
        return [
            {"kind": "link", "to": url, "shown": shown, "nodes": self._words(node.children)},
        ]


def _shares(head: Sequence[Cell], rows: Sequence[Sequence[Cell]]) -> list[int]:
    """How wide the columns are to each other: by their longest cell; empty ones need room."""
    shares = []
    for column, title in enumerate(head):
        cells = [row[column] for row in rows]
        longest = max(map(_length, [title, *cells]), default=0)
        empty = cells and not any(map(_length, cells))
        room = max(14, 2 * _length(title)) if empty else 7
        shares.append(min(max(longest, room), 40))
    return shares


def _length(nodes: Cell) -> int:
    return sum(len(node.get("text", "")) + _length(node.get("nodes", ())) for node in nodes)


def gather(library: Library, path: str) -> dict[str, bytes]:
    """All that goes into a worksheet's PDF; raises ContentError where it cannot be made."""
    made = _paper_of(library, path)
    texts = {
        "sheet": json.dumps(made.values, sort_keys=True),
        "template": made.template,
        made.template: made.source,
        "pieces": PIECES,
    }
    return {name: text.encode() for name, text in texts.items()} | dict(made.pictures)


def make(path: str, ingredients: Mapping[str, bytes]) -> bytes:
    """The PDF of what was gathered."""
    held = dict(ingredients)
    values, template = json.loads(held.pop("sheet")), held.pop("template").decode()
    source = held.pop(template).decode()
    del held["pieces"]
    try:
        shown = {name: _ready(name, data) for name, data in held.items()}
        return typeset(Paper(template, source, values, shown))
    except (PaperError, PictureError) as error:
        raise ContentError(f"{path} cannot be made: {error}") from error


def _ready(name: str, data: bytes) -> bytes:
    """A picture as it may be handed out: it says as little of its place as one in a mail."""
    ending, size = Path(name).suffix, image_size(data)
    if size is None or pictures.judge(data, ending, size) is None:
        return data
    try:
        return pictures.make(data, ending)
    except PictureError as error:
        raise PictureError(f"{name} {error}") from error


def _paper_of(library: Library, path: str) -> Paper:
    sheet, found = read_worksheet(library, path)
    if sheet is None:
        first = min(one for one in found if one.severity == "error")
        raise ContentError(f"{first}; that worksheet is made into a PDF")
    words = read_words(library.words, sheet.locale, library.locale)
    said = {"page": words.get("sheet_page", "{page} / {pages}")}
    made = paper(library, TEMPLATE, sheet.locale, {**sheet.values, "words": said})
    own = {name: (library.folder / name).read_bytes() for name in sheet.pictures}
    return replace(made, pictures={**made.pictures, **own})


def findings_of(library: Library) -> list[Finding]:
    """What is wrong with worksheets, those that no text links to among them."""
    return [found for path in worksheets_of(library) for found in read_worksheet(library, path)[1]]
