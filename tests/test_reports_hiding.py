"""Small cells stay unknown, also to somebody who knows the totals and the rules."""

from collections import defaultdict
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l3mail.reports.hiding import FEWEST, Cell, breakdown, hide

SMALL = Cell(None, "small")
COVERED = Cell(None, "covered")
Shown = tuple[object, ...]


def shown(values: tuple[int, ...]) -> Shown:
    """All that a reader sees of one column: its total, and each cell or that it is absent."""
    column = hide(dict(zip("abcd", values, strict=False)))
    if column is None:
        return (sum(values), "closed")
    return (sum(values), *(column.get(label) for label in "abcd"[: len(values)]))


@pytest.mark.parametrize(("labels", "most"), [(2, 24), (3, 20), (4, 13)])
def test_nobody_can_tell_a_hidden_cell_whatever_was_counted(labels: int, most: int) -> None:
    """Every column there can be, put together by what is seen of it: a hidden cell has two values.

    Labels that are absent are told, which is more than a report does.
    """
    alike = defaultdict(list)
    for values in product(range(most), repeat=labels):
        alike[shown(values)].append(values)
    told = []
    for seen, columns in alike.items():
        hidden = [n for n, cell in enumerate(seen[1:]) if cell in {SMALL, COVERED}]
        # Where what is hidden may be more than was tried, its other values were not tried either.
        if sum(columns[0][n] for n in hidden) < most:
            told += [
                (seen, columns)
                for n in hidden
                if seen[n + 1] == SMALL and len({column[n] for column in columns}) < 2
            ]
    assert not told


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ({"web": 12, "vhs": 9}, {"web": Cell(12), "vhs": Cell(9)}),
        # The total would give one small cell away, so the least of the others goes with it.
        (
            {"web": 30, "flyer": 9, "vhs": 2},
            {"web": Cell(30), "flyer": COVERED, "vhs": SMALL},
        ),
        # Two small ones hide each other, unless they are all ones, or all fours.
        (
            {"web": 30, "flyer": 9, "vhs": 2, "fest": 3},
            {"web": Cell(30), "flyer": Cell(9), "vhs": SMALL, "fest": SMALL},
        ),
        (
            {"web": 30, "flyer": 9, "vhs": 1, "fest": 1},
            {"web": Cell(30), "flyer": COVERED, "vhs": SMALL, "fest": SMALL},
        ),
        ({"vhs": 3}, None),
        ({"vhs": 5, "fest": 1}, None),
        ({}, {}),
    ],
)
def test_as_little_is_hidden_as_keeps_the_small_unknown(
    counts: dict[str, int], expected: dict[str, Cell] | None
) -> None:
    assert hide(counts) == expected


def test_a_label_of_the_other_column_is_no_number_of_this_one() -> None:
    found = breakdown({"web": 12, "vhs": 2, "fest": 3}, {"web": 8, "flyer": 6})
    assert {label: (now, then) for label, now, then in found.rows} == {
        "web": (Cell(12), Cell(8)),
        "flyer": (SMALL, Cell(6)),
        "vhs": (SMALL, Cell(0)),
        "fest": (SMALL, Cell(0)),
    }


def test_a_column_that_shows_nothing_names_nobody() -> None:
    assert breakdown({"vhs": 3}, {}).rows == ()
    assert breakdown({"vhs": 3}, {"web": 7}).rows == (("web", COVERED, Cell(7)),)


@given(
    st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 60)),
    st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 60)),
)
def test_no_number_below_five_is_shown_beside_another_column(
    now: dict[str, int], before: dict[str, int]
) -> None:
    """And a column shows the same whatever stands beside it: the next report repeats it."""
    found = breakdown(now, before)
    for number, counts in enumerate((now, before)):
        cells = {label: (one, other)[number] for label, one, other in found.rows}
        alone = hide(counts)
        for label, cell in cells.items():
            if cell.n:
                assert cell.n == counts[label] >= FEWEST
            if counts.get(label):
                assert cell == (COVERED if alone is None else alone[label])
        # A nought is told only where nothing is hidden, so that it is no news.
        if any(cell.n == 0 for cell in cells.values()):
            assert alone is not None
            assert not any(cell.hidden for cell in alone.values())
