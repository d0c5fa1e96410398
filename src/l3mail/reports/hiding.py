"""Small cells: which numbers of a breakdown are shown, so that nobody few are can be counted out.

Pure. A number below five is hidden, and where the others and their known total would give it away,
the next larger one too, or the whole breakdown. Whoever knows these rules as well still can't tell
a hidden number: tests/test_reports_hiding.py tries everything.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

FEWEST = 5
"""So many people a cell must speak of to be shown."""
MOST_COVERED = 2
_MOST = FEWEST - 1

Mark = Literal["", "small", "covered"]


@dataclass(frozen=True, slots=True)
class Cell:
    """A number, or None and why: it is `small`, or it would uncover a small one (`covered`)."""

    n: int | None
    hidden: Mark = ""


@dataclass(frozen=True, slots=True)
class Breakdown:
    """A number of people by label, the present beside an earlier one, each column for itself.

    `rows` are (label, now, before), the largest that may be shown first. A column that shows
    nothing at all (`is_shown`) names no label of its own either.
    """

    rows: Sequence[tuple[str, Cell, Cell]] = ()
    is_shown: tuple[bool, bool] = (True, True)


_NOTHING = Cell(None, "covered")


def breakdown(now: Mapping[str, int], before: Mapping[str, int]) -> Breakdown:
    """What of two columns may be shown; numbers of 0 are as good as absent."""
    columns = (hide(now), hide(before))
    labels = {label for column in columns for label in column or {}}
    rows = [(label, _cell(columns[0], label), _cell(columns[1], label)) for label in labels]
    rows.sort(key=lambda row: (-(row[1].n or 0), -(row[2].n or 0), row[0]))
    return Breakdown(tuple(rows), (columns[0] is not None, columns[1] is not None))


def _cell(column: Mapping[str, Cell] | None, label: str) -> Cell:
    if column is None:
        return _NOTHING
    if label in column:
        return column[label]
    # Where nothing is hidden, everybody can see that nobody is left for this label.
    is_open = all(not cell.hidden for cell in column.values())
    return Cell(0) if is_open else Cell(None, "small")


def hide(counts: Mapping[str, int]) -> dict[str, Cell] | None:
    """One column beside its total, which is known; None where no cell of it may be shown."""
    found = sorted((n, label) for label, n in counts.items() if n)
    small = [one for one in found if one[0] < FEWEST]
    shown = found[len(small) :]
    covers = _covers(sum(n for n, _ in small), len(small), shown)
    if covers is None:
        return None
    cells = {label: Cell(n) for n, label in found}
    cells |= {label: _NOTHING for _, label in shown[:covers]}
    return cells | {label: Cell(None, "small") for _, label in small}


_Counted = tuple[int, str]


def _covers(together: int, few: int, shown: Sequence[_Counted]) -> int | None:
    """How many of the larger cells must go with the `few` small ones; None where none would do."""
    if not few or (few > 1 and together not in _suspected(few)):
        return 0
    for number in range(1, min(MOST_COVERED, len(shown)) + 1):
        if _suffices(together, few, shown, number):
            return number
    return None


def _suffices(together: int, few: int, shown: Sequence[_Counted], number: int) -> bool:
    """Whether the small cells stay unknown where the least `number` of the others are covered."""
    total = together + sum(n for n, _ in shown[:number])
    possible = set(_possible(total, few, shown, number))
    # Of several small cells any can be the odd one, so one sum beside the outermost is enough.
    return len(possible) > 1 or (few > 1 and bool(possible & {few + 1, _MOST * few - 1}))


def _suspected(few: int) -> tuple[int, ...]:
    """The sums for which small cells don't hide each other.

    Those beside the outermost are among them: who saw a cell covered would know what for.
    """
    least, most = few, _MOST * few
    return tuple(range(least, most + 1)) if few == 1 else (least, least + 1, most - 1, most)


def _possible(total: int, few: int, shown: Sequence[_Counted], number: int) -> Iterator[int]:
    """What the small cells may come to, for all that the others show: one sum after another."""
    labels = [label for _, label in shown[:number]]
    limit = shown[number] if len(shown) > number else (total + 1, "")
    for together in _suspected(few):
        for values in _splits(total - together, number):
            covered = sorted(zip(values, labels, strict=True))
            if covered[-1] < limit and (
                number == 1 or not _suffices(together, few, [*covered, *shown[number:]], number - 1)
            ):
                yield together
                break


def _splits(total: int, number: int) -> Iterator[tuple[int, ...]]:
    """Every way to come to a total with one or two cells that may be shown."""
    if number == 1:
        yield from [(total,)] if total >= FEWEST else []
    else:
        yield from ((n, total - n) for n in range(FEWEST, total - FEWEST + 1))
