"""Spans of time as editors write them: "30m", "48h", "2d", "6w"."""

import re
from datetime import timedelta

_DURATION = re.compile(r"(\d{1,4})([mhdw])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def parse_duration(text: str) -> timedelta:
    """Read "30m", "48h", "2d" or "6w"; raises ValueError."""
    found = _DURATION.fullmatch(text)
    if found is None:
        raise ValueError('no span of time; write it like "2d" or "48h"')
    return timedelta(**{_UNITS[found[2]]: int(found[1])})
