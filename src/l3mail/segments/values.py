"""What a value looks like beside an attribute of each kind, and the words for it."""

import re
from datetime import date
from typing import Final

from l3mail.segments.language import Kind

_ISO_DAY: Final = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_MONTH_DAY: Final = re.compile(r"(?:--)?\d\d-\d\d", re.ASCII)
_LEAP_YEAR: Final = "2028-"  # in which every birthday exists

EXPECTED: Final[dict[Kind, str]] = {
    "text": 'a text in quotes as "x"',
    "choice": 'a text in quotes as "x"',
    "number": "a number as 2.5",
    "whole": "a whole number as 60",
    "days": "a whole number of days as 30",
    "date": 'a day as "2026-11-21" or today - 30',
    "birthday": 'a day without a year as "03-15", or today',
    "bool": "True or False",
}


def example(kind: Kind) -> str:
    """How such an attribute is compared."""
    return {
        "text": 'as in == "x"',
        "choice": 'as in == "x"',
        "date": 'as in >= "2026-11-21"',
        "birthday": 'as in == "03-15"',
    }.get(kind, "as in >= 60")


def is_day(text: str) -> bool:
    """Whether a text is a day of the calendar, 2026-11-21."""
    if not _ISO_DAY.fullmatch(text):
        return False
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def is_month_day(text: str) -> bool:
    """Whether a text is a day without a year, 03-15."""
    return bool(_MONTH_DAY.fullmatch(text)) and is_day(_LEAP_YEAR + text.removeprefix("--"))
