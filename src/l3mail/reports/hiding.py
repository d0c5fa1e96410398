"""Small cells: which numbers of a breakdown are shown, so that nobody few are can be counted out.

Pure. A number below five is hidden, and where the others and their known total would give it away,
the next larger one too, or the whole breakdown. Whoever knows these rules as well still can't tell
a hidden number: tests/test_reports_hiding.py tries everything.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

FEWEST = 5
"""So many people a cell must speak of to be shown."""

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
    counts = {label: n for label, n in counts.items() if n}
    small = sorted(label for label, n in counts.items() if n < FEWEST)
    shown = sorted(
        (label for label, n in counts.items() if n >= FEWEST),
        key=lambda label: (counts[label], label),
    )
    covered = _to_cover(counts, small, shown)
    if covered is None:
        return None
    cells = {label: Cell(n) for label, n in counts.items()}
    cells |= dict.fromkeys(small, Cell(None, "small")) | dict.fromkeys(covered, _NOTHING)
    return cells


def _to_cover(
    counts: Mapping[str, int], small: Sequence[str], shown: Sequence[str]
) -> Sequence[str] | None:
    """Which larger cells must go with the small ones; None where no choice would do."""
    least, most = len(small), (FEWEST - 1) * len(small)
    together = sum(counts[label] for label in small)
    if not small:
        return ()
    # Not the sums beside the outermost either: who saw a cell covered would know it was for them.
    if len(small) > 1 and least + 1 < together < most - 1:
        return ()
    if not shown:
        return None
    total = together + counts[shown[0]]
    suspected = range(least, most + 1) if len(small) == 1 else (least, least + 1, most - 1, most)
    possible = {s for s in suspected if _could_be_smallest(total - s, counts, shown)}
    telling = possible if len(small) == 1 else possible & {least + 1, most - 1}
    return shown[:1] if len(telling) > (len(small) == 1) else None


def _could_be_smallest(n: int, counts: Mapping[str, int], shown: Sequence[str]) -> bool:
    """Whether the covered cell, were it `n`, would have been the one to cover."""
    if n < FEWEST or len(shown) == 1:
        return n >= FEWEST
    return (n, shown[0]) < (counts[shown[1]], shown[1])
