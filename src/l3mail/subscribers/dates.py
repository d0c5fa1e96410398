"""Days as people write them: German, English, ISO, and the ones that can be read in two ways.

Owns the forms, and the evidence by which a whole column says which of two readings is meant.
Pure.
"""

import re
from collections.abc import Iterable
from typing import Literal

Order = Literal["day", "month", "both"]
"""Which number comes first in 5/6/1980; `both` where a column says both."""

Day = tuple[int | None, int, int]
"""Year (None where it is not said), month and day; not looked up in a calendar."""

_ISO = re.compile(r"(\d{4})[-/](\d{1,2})[-/](\d{1,2})(?:[T ]\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?Z?)?")
_DOTS = re.compile(r"(\d{1,2})\.\s?(\d{1,2})\.\s?(\d{4})?(?: 0{1,2}:00(?::00)?)?")
_YEARLESS = re.compile(r"--(\d{2})-?(\d{2})")
_PAIR = re.compile(r"(\d{1,2})([/-])(\d{1,2})(?:\2(\d{4}))?(?: 0{1,2}:00(?::00)?)?")
_DAY_NAME = re.compile(r"(\d{1,2})\.?\s*([a-zäöü]{3,9})\.?,?\s*(\d{4})?")
_NAME_DAY = re.compile(r"([a-zäöü]{3,9})\.?\s+(\d{1,2})(?:st|nd|rd|th)?(?:,?\s+(\d{4}))?")
_MONTHS = {
    name: number
    for number, names in enumerate(
        (
            "januar jänner january jan jän",
            "februar feber february feb",
            "märz maerz march mär mrz mar",
            "april apr",
            "mai may",
            "juni june jun",
            "juli july jul",
            "august aug",
            "september sept sep",
            "oktober october okt oct",
            "november nov",
            "dezember december dez dec",
        ),
        1,
    )
    for name in names.split()
}


class AmbiguousError(ValueError):
    """A day that can be read in two ways, and nothing says which is meant."""


def order_of(texts: Iterable[str]) -> Order | None:
    """What a column's own days say: one after the twelfth can't be a month; None if none does."""
    found: set[Order] = set()
    for text in texts:
        pair = _PAIR.fullmatch(text.strip())
        if pair and int(pair[1]) > 12:
            found.add("day")
        elif pair and int(pair[3]) > 12:
            found.add("month")
    if len(found) == 2:
        return "both"
    return found.pop() if found else None


def read(text: str, order: Order | None = None) -> Day | None:
    """A day in any of the forms, None for what is none.

    Raises AmbiguousError for one that can be read in two ways where `order` does not say which.
    """
    typed = text.strip()
    if match := _YEARLESS.fullmatch(typed):
        return None, int(match[1]), int(match[2])
    if match := _DOTS.fullmatch(typed):
        return _year(match[3]), int(match[2]), int(match[1])
    if match := _ISO.fullmatch(typed):
        return int(match[1]), int(match[2]), int(match[3])
    if match := _PAIR.fullmatch(typed):
        return _of_two(int(match[1]), int(match[3]), _year(match[4]), order)
    folded = typed.casefold()
    if match := _DAY_NAME.fullmatch(folded):
        day, name, year = match[1], match[2], match[3]
    elif match := _NAME_DAY.fullmatch(folded):
        name, day, year = match[1], match[2], match[3]
    else:
        return None
    return (_year(year), _MONTHS[name], int(day)) if name in _MONTHS else None


def _of_two(first: int, second: int, year: int | None, order: Order | None) -> Day:
    if first == second or second > 12:
        return year, first, second
    if first > 12:
        return year, second, first
    if order in {None, "both"}:
        raise AmbiguousError
    return (year, second, first) if order == "day" else (year, first, second)


def _year(text: str | None) -> int | None:
    return int(text) if text else None
