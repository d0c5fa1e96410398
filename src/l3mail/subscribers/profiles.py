"""What somebody says of themselves: from a form's values to what a sign-up keeps, and to columns.

Owns the taming of those values. What does not fit is left out, except a birthday that is no
date, which its owner would want to correct. Must not know the database.
"""

import re
from collections.abc import Mapping
from datetime import date
from typing import Any

from l3mail.addresses import clean_name
from l3mail.errors import SubscriberError, quoted
from l3mail.locales import canonical

NAMES = ("first_name", "last_name", "salutation", "district")
BIRTH = ("birth_year", "birth_month", "birth_day")
EMPTY: dict[str, Any] = {
    **dict.fromkeys((*NAMES, *BIRTH, "locale")),
    "attributes": {},
    "tracking": False,
}
"""The columns of somebody of whom nothing is known but the address."""

_TEXT_LIMIT = 1_000
_MOST_ATTRIBUTES = 100
_LARGEST = 10**15
_ATTRIBUTE = re.compile(r"[a-z][a-z0-9_]{0,59}")
_BIRTHDAY = re.compile(r"(?:(?P<year>\d{4})|-)-(?P<month>\d{2})-(?P<day>\d{2})", re.ASCII)
_LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*")
_LANGUAGE_LIMIT = 35
# The start of an encoded word would keep every mail to this person from being sent.
_ENCODED_WORD = re.compile(r"=+\?")


def kept(values: Mapping[str, Any]) -> dict[str, Any]:
    """What a sign-up keeps of a form's values, as JSON; empty ones are left out.

    Raises SubscriberError for a birthday that is no date.
    """
    said: dict[str, Any] = {}
    for name in NAMES:
        text = line(values.get(name))
        if text:
            said[name] = text
    birthday = values.get("birthday")
    if birthday:
        parse_birthday(str(birthday))
        said["birthday"] = str(birthday)
    attributes = values.get("attributes")
    if isinstance(attributes, Mapping):
        sound = {
            name: _value(value)
            for name, value in list(attributes.items())[:_MOST_ATTRIBUTES]
            if isinstance(name, str) and _ATTRIBUTE.fullmatch(name)
        }
        said["attributes"] = {name: value for name, value in sound.items() if value is not None}
    if values.get("tracking") is True:
        said["tracking"] = True
    return {name: value for name, value in said.items() if value != {}}


def columns(said: Mapping[str, Any], attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Columns of the subscriber that `said` fills, beside the `attributes` already known."""
    filled: dict[str, Any] = {name: said[name] for name in NAMES if name in said}
    if "birthday" in said:
        filled |= dict(zip(BIRTH, parse_birthday(said["birthday"]), strict=True))
    if "attributes" in said:
        filled["attributes"] = {**attributes, **said["attributes"]}
    return filled


def parse_birthday(text: str) -> tuple[int | None, int, int]:
    """Year (None for "--05-17"), month and day of a birthday; raises SubscriberError."""
    match = _BIRTHDAY.fullmatch(text)
    year = int(match["year"]) if match and match["year"] else None
    try:
        # 2000 was a leap year: without a year, 29 February is a birthday.
        in_year = 2000 if year is None else year
        born = match and date(in_year, int(match["month"]), int(match["day"]))
    except ValueError:
        born = None
    if born is None:
        raise SubscriberError(
            f"birthday {quoted(text)} is no date; write 1980-05-17, or --05-17 without the year"
        )
    return year, born.month, born.day


def written_birthday(person: Mapping[str, Any]) -> str | None:
    """The birthday in a subscriber's columns as `parse_birthday` reads it; None where none is."""
    year, month, day = (person[name] for name in BIRTH)
    if month is None:
        return None
    return f"{'-' if year is None else f'{year:04}'}-{month:02}-{day:02}"


def line(value: object) -> str | None:
    """A stranger's text on one tame line that may stand in a header; None if nothing is left."""
    if not isinstance(value, str):
        return None
    return clean_name(_ENCODED_WORD.sub("?", clean_name(value))) or None


def language(value: str | None) -> str | None:
    """A language tag such as `de-simple`, or None for what is none."""
    if value is None or len(value) > _LANGUAGE_LIMIT:
        return None
    tag = canonical(value)
    return tag if _LANGUAGE.fullmatch(tag) else None


def _value(value: object) -> object:
    """A JSON value that both databases keep and every reader can bear, or None."""
    if isinstance(value, str):
        spaced = " ".join(value.split())
        tame = "".join(c for c in spaced if c.isprintable())
        return _ENCODED_WORD.sub("?", tame)[:_TEXT_LIMIT].strip() or None
    if isinstance(value, bool):
        return value
    # Neither infinity nor what is no number is at most anything.
    if isinstance(value, int | float) and abs(value) <= _LARGEST:
        return value
    return None
