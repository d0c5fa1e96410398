"""Tables in a terminal: as wide as it is, broken only where a reader expects it.

Pure: it is given texts and a width, and returns lines. Must not know what they say.
"""

import re
from collections.abc import Collection, Mapping, Sequence

GAP = 2
ROOMY = 20
"""So wide a column stays while there are others to shrink."""
SHORTEST_HEADING = 4

_PIECE = re.compile(r"\s+|[^\s/@.-]*[/@.-]|[^\s/@.-]+")


def lay_out(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    width: int,
    solid: Collection[str] = (),
) -> list[str]:
    """The lines of a table with its heading, in `width` as long as that is possible at all.

    The last columns shrink first, those in `solid` only when nothing else helps. Cells break at
    blanks and after / - @ . alone, headings never: a narrow one is abbreviated.
    """
    widths = _widths(columns, rows, width, solid)
    lines = [
        _joined([_abbreviated(name, w) for name, w in zip(columns, widths, strict=True)], widths)
    ]
    for row in rows:
        cells = [wrap(cell, w) for cell, w in zip(row, widths, strict=True)]
        for number in range(max(map(len, cells))):
            part = [cell[number] if number < len(cell) else "" for cell in cells]
            lines.append(_joined(part, widths))
    return lines


def wrap(text: str, width: int) -> list[str]:
    """A text in lines of `width`; a piece that is longer than a line is cut."""
    lines, line = [], ""
    for piece in _PIECE.findall(text):
        if measure(line + piece) > width and line:
            lines.append(line.rstrip())
            line = ""
        rest = piece if line else piece.lstrip()
        while measure(rest) > width:
            cut = next(n for n in range(len(rest), 0, -1) if n == 1 or measure(rest[:n]) <= width)
            lines.append(rest[:cut])
            rest = rest[cut:]
        line += rest
    return [*lines, line.rstrip()] if line.rstrip() or not lines else lines


def measure(text: str) -> int:
    """How many columns of a terminal a text takes."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def _widths(
    columns: Sequence[str], rows: Sequence[Sequence[str]], width: int, solid: Collection[str]
) -> list[int]:
    count = len(columns)
    cells = [[row[n] for row in rows] for n in range(count)]
    full = [max(map(measure, texts), default=0) for texts in cells]
    piece = [
        max((measure(one) for text in texts for one in _PIECE.findall(text)), default=0)
        for texts in cells
    ]
    short = [min(len(name), SHORTEST_HEADING) for name in columns]
    named = [max(piece[n], len(columns[n])) for n in range(count)]
    widths = [max(full[n], len(columns[n])) for n in range(count)]
    soft = [n for n in reversed(range(count)) if columns[n] not in solid]
    hard = [n for n in reversed(range(count)) if columns[n] in solid]
    least = [max(piece[n], short[n]) for n in range(count)]
    room = width - GAP * (count - 1)
    for group, floors in (
        *(([n], {n: max(named[n], ROOMY)}) for n in soft),
        (soft, dict(enumerate(named))),
        *(([n], {n: max(full[n], short[n])}) for n in (*soft, *hard)),
        (soft, dict(enumerate(least))),
        (hard, dict(enumerate(least))),
        (soft, {n: max(short[n], 8) for n in soft}),
        *(([n], {n: short[n]}) for n in (*soft, *hard)),
    ):
        _shrink(widths, group, floors, room)
    return widths


def _shrink(widths: list[int], group: Sequence[int], floors: Mapping[int, int], room: int) -> None:
    """Take from the widest of a group, step by step, until all fits or each is at its floor."""
    while sum(widths) > room:
        wide = [n for n in group if widths[n] > max(floors[n], 1)]
        if not wide:
            return
        widths[max(wide, key=lambda n: widths[n])] -= 1


def _abbreviated(heading: str, width: int) -> str:
    return heading if len(heading) <= width else heading[: max(width - 1, 1)].rstrip() + "."


def _joined(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = [cell + " " * (w - measure(cell)) for cell, w in zip(cells, widths, strict=True)]
    return (" " * GAP).join(padded).rstrip()
