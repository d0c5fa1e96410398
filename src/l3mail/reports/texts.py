"""A report as plain text of 72 columns: for terminals and as the text part of its mail.

Pure. Numbers stand to the right, words to the left; what is longer than a line is wrapped.
"""

import textwrap
from collections.abc import Iterator, Sequence

from l3mail.reports.documents import Block, Bullets, Chart, Document, Figures, Paragraph, Table

WIDTH = 72
_GAP = "  "
_NARROWEST_LABEL = 16
_NOTHING = frozenset({"0", "–"})


def to_text(document: Document) -> str:
    """The whole document; ends with a line's end."""
    lines = [*_wrapped(document.title), *_wrapped(document.subtitle), *_wrapped(document.house), ""]
    lines += _joined(_wrapped(sentence) for sentence in document.lead)
    for section in document.sections:
        rule = "=" if section.level == 2 else "-"
        title = _wrapped(section.title)
        lines += ["", "", *title, rule * max(map(len, title))]
        for block in section.blocks:
            lines += ["", *block_lines] if (block_lines := _block(block)) else []
    if document.footer:
        lines += ["", "-" * WIDTH, *_joined(_wrapped(line) for line in document.footer)]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _joined(paragraphs: Iterator[list[str]]) -> list[str]:
    return [line for paragraph in paragraphs for line in paragraph]


def _wrapped(text: str, width: int = WIDTH, indent: str = "", then: str | None = None) -> list[str]:
    """A text in lines; a word longer than a line is cut."""
    return textwrap.wrap(
        text.replace("\u00a0", " "),
        width,
        initial_indent=indent,
        subsequent_indent=indent if then is None else then,
        break_on_hyphens=False,
        break_long_words=True,
    ) or [""]


def _block(block: Block) -> list[str]:
    match block:
        case Paragraph(text=text):
            return _wrapped(text)
        case Bullets(items=items):
            return _joined(_wrapped(item, indent="- ", then="  ") for item in items)
        case Figures():
            return _figures(block)
        case Table():
            return _table(block)
        case Chart():
            return []  # the table beside it says the same


def _figures(block: Figures) -> list[str]:
    widest = max(len(one.value) for one in block.figures)
    return [
        line
        for one in block.figures
        for line in _wrapped(
            f"{one.label}" + (f" ({one.beside})" if one.beside else ""),
            indent=f"{one.value:>{widest}}  ",
            then=" " * (widest + 2),
        )
    ]


def _table(table: Table) -> list[str]:
    """Columns as wide as they must be, the words' columns share what is left."""
    columns = list(zip(*(table.columns, *table.rows), strict=True)) if table.rows else []
    if not columns:
        return _wrapped(table.caption)
    flexible = [0, *sorted(table.texts)]
    widths = [max(_widest_word(cells[0]), *map(len, cells[1:])) for cells in columns]
    fixed = sum(w for number, w in enumerate(widths) if number not in flexible)
    room = WIDTH - fixed - len(_GAP) * (len(columns) - 1)
    if room < _NARROWEST_LABEL * len(flexible):
        return [*_wrapped(table.caption), "", *_listed(table)]
    for number, width in _shared({n: max(map(len, columns[n])) for n in flexible}, room).items():
        widths[number] = width
    lines = [*_wrapped(table.caption), ""]
    lines += _row(table.columns, widths, flexible, bottom=True)
    lines.append(_GAP.join("-" * width for width in widths))
    for row in table.rows:
        lines += _row(row, widths, flexible)
    return lines


def _widest_word(text: str) -> int:
    return max(map(len, text.split()), default=1)


def _shared(wanted: dict[int, int], room: int) -> dict[int, int]:
    """What each flexible column gets: what it wants, or an equal part of what the others leave."""
    given: dict[int, int] = {}
    for left, (number, want) in zip(
        range(len(wanted), 0, -1), sorted(wanted.items(), key=lambda one: one[1]), strict=True
    ):
        given[number] = min(want, (room - sum(given.values())) // left)
    return given


def _row(
    cells: Sequence[str], widths: Sequence[int], flexible: Sequence[int], *, bottom: bool = False
) -> list[str]:
    """One row in as many lines as its longest cell takes; a heading stands on its rule."""
    wrapped = [_wrapped(cell, width) for cell, width in zip(cells, widths, strict=True)]
    height = max(map(len, wrapped))
    lines = []
    for number in range(height):
        parts = []
        for column, (pieces, width) in enumerate(zip(wrapped, widths, strict=True)):
            at = number - (height - len(pieces)) if bottom else number
            piece = pieces[at] if 0 <= at < len(pieces) else ""
            parts.append(f"{piece:<{width}}" if column in flexible else f"{piece:>{width}}")
        lines.append(_GAP.join(parts))
    return lines


def _listed(table: Table) -> list[str]:
    """A table too wide for the page, each row a paragraph of its own that leaves out its zeros."""
    lines: list[str] = []
    for label, *cells in table.rows:
        said = ", ".join(
            f"{head} {cell}"
            for head, cell in zip(table.columns[1:], cells, strict=True)
            if cell not in _NOTHING
        )
        lines += [*_wrapped(label), *_wrapped(said, indent="  ")]
    return lines
