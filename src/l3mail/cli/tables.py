"""Tables in a terminal: as wide as it is, broken only where a reader expects it.

Pure: it is given texts and a width, and returns lines. Must not know what they say.
"""

import re
from collections.abc import Collection, Mapping, Sequence

GAP = 2
INDENT = 4
MOST_LINES = 4
"""So many a row may take side by side with the next; more of them are no table."""
ROOMY = 20
"""So wide a column of sentences stays while there are other ways to find room."""
SHORTEST_HEADING = 4

_WORD = re.compile(r"\s+|\S+")
_PIECE = re.compile(r"\s+|[^\s/@.-]*[/@.-]|[^\s/@.-]+")


def lay_out(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    width: int,
    solid: Collection[str] = (),
) -> list[str]:
    """The lines of a table with its heading, in `width` as long as that is possible at all.

    A column that nobody has anything in is left out. Where room is short, headings are abbreviated
    and sentences folded, the last ones first; where that is not enough, each row goes on in a
    second line and more, so that names and addresses stay whole. Only where even that is too wide
    are these broken, after / - @ . alone, those in `solid` last of all.
    """
    filled = [n for n in range(len(columns)) if not rows or any(row[n] for row in rows)]
    columns = [columns[n] for n in filled]
    rows = [[row[n] for n in filled] for row in rows]
    parts = _parted(columns, rows, width, MOST_LINES)
    if not parts:
        return _lines(columns, rows, _widths(columns, rows, width, solid))
    lines = []
    for row in ([], *rows):
        begin = 0
        for number, widths in enumerate(parts):
            end = begin + len(widths)
            found = _lines(columns[begin:end], [row[begin:end]] if row else [], widths)
            indent = " " * INDENT if number else ""
            lines += [indent + line for line in found[1 if row else 0 :] if line or not number]
            begin = end
    return lines


def wrap(text: str, width: int) -> list[str]:
    """A text in lines of `width`: a word that is longer than a line breaks, a long piece is cut."""
    lines, line = [], ""
    words = _WORD.findall(text)
    for piece in (
        one for word in words for one in ([word] if measure(word) <= width else _pieces(word))
    ):
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


def _pieces(word: str) -> list[str]:
    return _PIECE.findall(word)


def measure(text: str) -> int:
    """How many columns of a terminal a text takes."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def _lines(
    columns: Sequence[str], rows: Sequence[Sequence[str]], widths: Sequence[int]
) -> list[str]:
    """The heading, and each row folded into its widths."""
    names = [_abbreviated(name, w) for name, w in zip(columns, widths, strict=True)]
    lines = [_joined(names, widths)]
    for row in rows:
        cells = [wrap(cell, w) for cell, w in zip(row, widths, strict=True)]
        for number in range(max(map(len, cells))):
            part = [cell[number] if number < len(cell) else "" for cell in cells]
            lines.append(_joined(part, widths))
    return lines


def _parted(
    columns: Sequence[str], rows: Sequence[Sequence[str]], width: int, most: int
) -> list[list[int]]:
    """The widths of the `most` lines, or fewer, that each row takes; none where it takes more.

    Only in the last of them is a sentence folded: what follows it would stand far away.
    """
    widths = _whole(columns, rows, width)
    if widths is not None:
        return [widths]
    later = width if most < MOST_LINES else width - INDENT
    for cut in range(len(columns) - 1, 0, -1) if most > 1 else ():
        first = _whole(columns[:cut], [row[:cut] for row in rows], width, folded=False)
        if first is None:
            continue
        rest = _parted(columns[cut:], [row[cut:] for row in rows], later, most - 1)
        if rest:
            return [first, *rest]
    return []


def _whole(
    columns: Sequence[str], rows: Sequence[Sequence[str]], width: int, *, folded: bool = True
) -> list[int] | None:
    """Widths in which no word is broken and no sentence narrow; None where there are none.

    If not `folded`, no cell takes more than a line.
    """
    count = range(len(columns))
    full = [max((measure(row[n]) for row in rows), default=0) for n in count]
    word = [max((measure(one) for row in rows for one in row[n].split()), default=0) for n in count]
    widths = [max(full[n], len(columns[n])) for n in count]
    room = width - GAP * (len(columns) - 1)
    # A heading is told by its column before its end is read; half a name is no name.
    short = {n: max(full[n], min(len(columns[n]), SHORTEST_HEADING)) for n in count}
    _shrink(widths, list(count), short, room)
    for n in reversed(count if folded else range(0)):
        _shrink(widths, [n], {n: max(word[n], min(short[n], ROOMY))}, room)
    return widths if sum(widths) <= room else None


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
