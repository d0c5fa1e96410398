"""What a figure is: a name, what it should reach, and what was measured.

A measuring module has its goals as constants, so that they can be told where nothing could be
measured, and a function `figures(size)` that yields one Figure for each.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from statistics import median


class Size(StrEnum):
    """How much is measured: `full` is what goals are judged by, `quick` shows that it works."""

    FULL = "full"
    QUICK = "quick"


@dataclass(frozen=True, slots=True)
class Scale:
    """How many mails a round has, and how many rounds there are."""

    mails: int
    rounds: int


class MissingError(Exception):
    """What a figure is measured against is not on this machine; the figure says so."""


@dataclass(frozen=True, slots=True)
class Goal:
    """What a figure should reach: `goal` and, beyond it, `moonshot`.

    `unit` stands behind the number ("x", "ms", "MB", "s"); `less_is_better` turns both round.
    `in_the_way` is what profiles say of where the rest goes; it is told where one is not reached.
    """

    name: str
    goal: float | None
    moonshot: float | None = None
    unit: str = "x"
    less_is_better: bool = False
    in_the_way: str = ""


@dataclass(frozen=True, slots=True)
class Figure:
    """A goal and what one run came to; `detail` says what was set against what, in absolute terms.

    Without a measured value `detail` says what was missing, or how it `failed`.
    """

    goal: Goal
    measured: float | None
    detail: str
    failed: bool = False

    @property
    def verdict(self) -> str:
        """`moonshot`, `met`, `missed`, or `reported` where nothing is to reach.

        Without a value `not measured`, or `failed`.
        """
        if self.failed:
            return "failed"
        if self.measured is None:
            return "not measured"
        if self._reaches(self.goal.moonshot):
            return "moonshot"
        if self.goal.goal is None:
            return "reported"
        return "met" if self._reaches(self.goal.goal) else "missed"

    @property
    def missing(self) -> dict[str, float]:
        """What is measured and not reached, `goal` or `moonshot`, with the share that is."""
        if self.measured is None:
            return {}
        limits = {"goal": self.goal.goal, "moonshot": self.goal.moonshot}
        return {
            name: limit / self.measured if self.goal.less_is_better else self.measured / limit
            for name, limit in limits.items()
            if limit is not None and not self._reaches(limit)
        }

    def _reaches(self, limit: float | None) -> bool:
        if limit is None or self.measured is None:
            return False
        return self.measured <= limit if self.goal.less_is_better else self.measured >= limit


def middle(values: list[float]) -> float:
    """The median of paired rounds: one disturbed round does not move it."""
    return median(values)


def in_turns(rounds: int, **sides: Callable[[], float]) -> dict[str, list[float]]:
    """What each side came to in each round, measured one right after the other."""
    measured: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(rounds):
        # Every other round in reverse: nobody always comes first.
        for name in reversed(sides) if turn % 2 else sides:
            measured[name].append(sides[name]())
    return measured


def ratio(measured: Mapping[str, list[float]], one: str, other: str) -> float:
    """One side through another: that of each round, and of these the middle one."""
    pairs = zip(measured[one], measured[other], strict=True)
    return middle([ours / theirs for ours, theirs in pairs])
