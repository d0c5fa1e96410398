"""A document as Markdown, for those who keep their papers in a wiki or in git."""

import re
from collections.abc import Iterator, Sequence

from l3mail.reports.documents import Block, Bullets, Document, Paragraph, Table

_MARKED = re.compile(r"([\\|*_<>\[\]#])")
_CODE = re.compile(r"(`[^`]*`)")


def to_markdown(document: Document) -> str:
    """The whole document; what people or settings say stays text. Charts and figures have none."""
    about = f"{_text(document.house)}, {_text(document.subtitle)}"
    lines = [f"# {_text(document.title)}", "", about]
    for sentence in document.lead:
        lines += ["", _text(sentence)]
    for section in document.sections:
        lines += ["", f"{'#' * section.level} {_text(section.title)}"]
        for block in section.blocks:
            lines += ["", *_lines(block)]
    for sentence in document.footer:
        lines += ["", _text(sentence)]
    return "\n".join(lines) + "\n"


def _lines(block: Block) -> Iterator[str]:
    match block:
        case Paragraph():
            yield _text(block.text)
        case Bullets():
            yield from (f"- {_text(item)}" for item in block.items)
        case Table():
            yield _row(block.columns)
            yield "|" + "---|" * len(block.columns)
            yield from (_row(row) for row in block.rows)
        case _:
            raise TypeError(f"{type(block).__name__} has no form in Markdown")


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(_text(cell) for cell in cells) + " |"


def _text(text: str) -> str:
    """Text that Markdown takes for nothing else, but for commands in backticks."""
    parts = _CODE.split(" ".join(text.split()))
    return "".join(
        part if number % 2 else _MARKED.sub(r"\\\1", part) for number, part in enumerate(parts)
    )
