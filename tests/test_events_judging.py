"""Verdicts on openings and clicks, row by row as `judging` states them."""

import random
from datetime import datetime, timedelta
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l3mail.events.judging import Judgement, Mark, judge
from tests.fakes.village import MONDAY_TEN

OPENING = 0


class Shape(NamedTuple):
    """Links of the mail; (second, link or OPENING, verdict) of each visit."""

    links: int
    visits: list[tuple[float, int, str]]


SHAPES = {
    "three links in ten seconds are a machine's": Shape(
        5, [(0, 1, "machine"), (4, 2, "machine"), (10, 3, "machine")]
    ),
    "three links in more than ten seconds are nobody's we could name": Shape(
        5, [(0, 1, "unsure"), (4, 2, "unsure"), (10.001, 3, "unsure")]
    ),
    "both links of a mail are a machine's": Shape(2, [(0, 1, "machine"), (10, 2, "machine")]),
    "both links of a mail in peace are a person's": Shape(2, [(0, 1, "human"), (11, 2, "human")]),
    "an opening inside a burst is the machine's": Shape(
        3, [(0, OPENING, "machine"), (1, 1, "machine"), (2, 2, "machine"), (3, 3, "machine")]
    ),
    "an opening between the clicks too": Shape(
        2, [(0, 1, "machine"), (1, OPENING, "machine"), (2, 2, "machine")]
    ),
    "who comes after the burst is a person": Shape(
        3,
        [
            *((n, n + 1, "machine") for n in range(3)),
            (3600, OPENING, "human"),
            (3610, 2, "human"),
        ],
    ),
    "a burst is only as long as it is": Shape(
        3, [*((n, n + 1, "machine") for n in range(3)), (13, 1, "human")]
    ),
    "the same link at once again is unclear": Shape(
        5, [(0, 1, "human"), (2, 1, "unsure"), (4, 1, "unsure")]
    ),
    "the same link later again is the person's": Shape(5, [(0, 1, "human"), (2.001, 1, "human")]),
    "the same opening at once again is unclear": Shape(
        5, [(0, OPENING, "human"), (1, OPENING, "unsure")]
    ),
    "an opening is a person's": Shape(5, [(0, OPENING, "human")]),
    "one of several links is a person's, whose program loads no images": Shape(
        5, [(0, 1, "human")]
    ),
    "the only link, opened before": Shape(1, [(0, OPENING, "human"), (3, 1, "human")]),
    "the only link, opened the day before": Shape(1, [(0, OPENING, "human"), (86_400, 1, "human")]),
    "the only link, opened too shortly before": Shape(
        1, [(0, OPENING, "human"), (2.999, 1, "unsure")]
    ),
    "the only link, opened after": Shape(1, [(0, 1, "unsure"), (5, OPENING, "human")]),
    "the only link, not opened": Shape(1, [(0, 1, "unsure")]),
    "two of many links quickly, not opened": Shape(5, [(0, 1, "unsure"), (10, 2, "unsure")]),
    "two of many links quickly, opened before": Shape(
        5, [(0, OPENING, "human"), (5, 1, "human"), (12, 2, "human")]
    ),
    "two of three links quickly are not all of them": Shape(
        3, [(0, 1, "unsure"), (1, 2, "unsure")]
    ),
    "a link of a text whose links are gone": Shape(0, [(0, 1, "unsure")]),
    "nothing": Shape(3, []),
}


def marks(shape: Shape) -> list[Mark]:
    return [
        Mark(number, MONDAY_TEN + timedelta(seconds=second), link or None)
        for number, (second, link, _) in enumerate(shape.visits)
    ]


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_each_shape_has_its_verdict(shape: Shape) -> None:
    found = judge(marks(shape), shape.links)
    assert [found[n] for n in range(len(shape.visits))] == [row[2] for row in shape.visits]


def test_what_was_judged_before_is_a_clue_and_keeps_its_verdict() -> None:
    """HEAD on two links and GET on the third: all three belong to the machine."""
    given = [
        Mark(1, MONDAY_TEN, 1, is_raw=False),
        Mark(2, MONDAY_TEN, 2, is_raw=False),
        Mark(3, MONDAY_TEN, 3),
    ]
    assert judge(given, 3) == {3: "machine"}


def test_an_opening_that_may_be_apples_is_no_clue() -> None:
    unsure = Mark(1, MONDAY_TEN, None, is_raw=False)
    click = Mark(2, MONDAY_TEN + timedelta(minutes=1), 7)
    assert judge([unsure, click], 1) == {2: "unsure"}
    assert judge([unsure, click], 1, opened_at=MONDAY_TEN) == {2: "human"}


VISITS = st.lists(st.tuples(st.integers(0, 400), st.integers(0, 4)), max_size=14)


@given(VISITS, st.integers(0, 5))
def test_a_window_that_slides_finds_what_every_window_finds(
    visits: list[tuple[int, int]], links: int
) -> None:
    """Against the rule as it is said: some ten seconds around a visit, with so many links."""
    rows = [
        Mark(n, MONDAY_TEN + timedelta(seconds=tenth / 10), link or None)
        for n, (tenth, link) in enumerate(visits)
    ]
    found = judge(rows, links)
    for mark in rows:
        starts = [
            row.at for row in rows if timedelta() <= mark.at - row.at <= timedelta(seconds=10)
        ]
        most = max(len(_links_from(rows, start)) for start in starts)
        is_burst = most >= 3 or (links >= 2 and most >= links)
        assert (found[mark.id] == "machine") == is_burst


def _links_from(rows: list[Mark], start: datetime) -> set[int]:
    window = (row for row in rows if timedelta() <= row.at - start <= timedelta(seconds=10))
    return {row.link_id for row in window if row.link_id is not None}


@given(VISITS, st.integers(0, 5), st.randoms())
def test_the_order_of_arrival_changes_no_verdict(
    visits: list[tuple[int, int]], links: int, shuffled: random.Random
) -> None:
    rows = [
        Mark(n, MONDAY_TEN + timedelta(seconds=tenth / 10), link or None)
        for n, (tenth, link) in enumerate(visits)
    ]
    expected: dict[int, Judgement] = judge(rows, links)
    shuffled.shuffle(rows)
    assert judge(rows, links) == expected
