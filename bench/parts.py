"""The measuring modules in the order of the goals, and how each is run without harming the rest."""

import importlib
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from bench.figures import Figure, Goal, MissingError, Size


@dataclass(frozen=True, slots=True)
class Part:
    """A module of this package, and about how many minutes its full measurement takes."""

    name: str
    minutes: float


PARTS: tuple[Part, ...] = (
    # A new module gets its place here, and nowhere else.
    Part("engine", 4),
    Part("dialogue", 2),
    Part("planning", 5),
    Part("idle", 4),
    Part("growth", 6),
    Part("segments", 6),
    Part("claims", 4),
    Part("memory", 9),
    Part("workers", 3),
    Part("tracking", 1),
    Part("rendering", 0.5),
    Part("sizing", 1),
    Part("startup", 0.5),
    Part("simulating", 1.5),
)
QUICK_MINUTES = 0.3
"""About what any part takes of a quick run."""


def minutes(parts: tuple[Part, ...], size: Size) -> float:
    """About how long these parts take together."""
    return sum(QUICK_MINUTES if size is Size.QUICK else part.minutes for part in parts)


def chosen(names: list[str]) -> tuple[Part, ...]:
    """The parts with these names in the order of the goals, all without any; raises KeyError."""
    known = {part.name: part for part in PARTS}
    for name in names:
        known[name]
    return tuple(part for part in PARTS if not names or part.name in names)


def run(name: str, size: Size, report: Callable[[str], None]) -> Iterator[Figure]:
    """One module's figures; what it could not measure, or failed at, is a figure that says so.

    `report` hears where a fault of ours was. Only what interrupts the whole run gets through.
    """
    done: set[str] = set()
    goals: list[Goal] = []
    try:
        module = importlib.import_module(f"bench.{name}")
        goals = [value for value in vars(module).values() if isinstance(value, Goal)]
        for figure in module.figures(size):
            done.add(figure.goal.name)
            yield figure
    except MissingError as missing:
        yield from _left(name, goals, done, str(missing), failed=False)
    except Exception as fault:  # noqa: BLE001 - the other parts are measured all the same
        report(traceback.format_exc())
        words = f"{type(fault).__name__}: {fault}".splitlines()[0]
        yield from _left(name, goals, done, words, failed=True)


def _left(
    name: str, goals: list[Goal], done: set[str], why: str, *, failed: bool
) -> Iterator[Figure]:
    """What the module had still to measure, as far as its constants tell."""
    left = [goal for goal in goals if goal.name not in done] or [Goal(name, None)]
    for goal in left:
        yield Figure(goal, None, why, failed=failed)
