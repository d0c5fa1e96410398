"""What a sign-up form may hold, and the taming of what it does hold.

Owns names, kinds and limits of the fields. Pure: it returns values and the words for what is
wrong, and must not know pages, tokens or the database.
"""

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from l3mail.addresses import NAME_LIMIT, Address, clean_name, parse_address
from l3mail.errors import AddressError
from l3mail.settings import Attribute, Settings

PERSONAL = ("first_name", "last_name", "salutation", "birthday", "district")
AUTOCOMPLETE = {"first_name": "given-name", "last_name": "family-name", "birthday": "bday"}
YES = ("yes", "ja", "on", "true", "1")
NO = ("no", "nein", "off", "false", "0")
EARLIEST_YEAR = 1900
LONGEST_SOURCE = 60

_GERMAN_DATE = re.compile(r"(\d{1,2})\.\s*(\d{1,2})\.?\s*(\d{4})?")
_ISO_DATE = re.compile(r"(\d{4}|-)-(\d{2})-(\d{2})")

Sent = Mapping[str, Sequence[str]]
Word = tuple[str, Mapping[str, object]]


@dataclass(frozen=True)
class Filled:
    """A form as it was filled in: what to show again, what to store, and what is wrong with it.

    `errors` are words by field. `address` is there unless `email` is wrong. `among` are the streams
    a form was for, where it was not for all.
    """

    email: str = ""
    address: Address | None = None
    streams: tuple[str, ...] = ()
    values: Mapping[str, str] = field(default_factory=dict)
    stored: Mapping[str, Any] = field(default_factory=dict)
    tracking: bool = False
    source: str = ""
    among: tuple[str, ...] = ()
    errors: Mapping[str, Word] = field(default_factory=dict)


def read(sent: Sent, settings: Settings, offered: Collection[str], today: date) -> Filled:
    """Read a form; nothing in it is a fault of ours, whatever it holds."""
    errors: dict[str, Word] = {}
    email, address = _email(_first(sent, "email"), errors)
    streams = tuple(dict.fromkeys(slug for slug in sent.get("stream", ()) if slug))
    if not streams:
        errors["stream"] = ("errors.stream_missing", {})
    elif not set(streams) <= set(offered):
        errors["stream"] = ("errors.stream_unknown", {})
    values: dict[str, str] = {}
    stored: dict[str, Any] = {}
    attributes: dict[str, Any] = {}
    for name in (*PERSONAL, *settings.attributes):
        typed = _first(sent, name)
        values[name] = clean_name(typed)
        if len(typed) > NAME_LIMIT:
            errors[name] = ("errors.too_long", {"limit": NAME_LIMIT})
        elif values[name]:
            value, word = _value(name, values[name], settings.attributes, today)
            if word:
                errors[name] = (word, {})
            elif name in PERSONAL:
                stored[name] = value
            else:
                attributes[name] = value
    tracking = settings.tracking.mode == "consent" and _first(sent, "tracking").lower() in YES
    if attributes:
        stored["attributes"] = attributes
    if tracking:
        stored["tracking"] = True
    return Filled(
        email=email,
        address=address,
        streams=streams
        if "stream" not in errors
        else tuple(slug for slug in streams if slug in offered),
        values=values,
        stored=stored,
        tracking=tracking,
        source=read_source(_first(sent, "source")),
        among=tuple(sent.get("among", ())),
        errors=errors,
    )


def read_source(text: str) -> str:
    """Where somebody says they come from, in one short line."""
    return clean_name(text)[:LONGEST_SOURCE].rstrip()


def asked(asks: Iterable[Sequence[str]], settings: Settings) -> list[str]:
    """The attributes several courses ask for, each once, as far as they are still declared."""
    names = dict.fromkeys(name for one in asks for name in one)
    return [name for name in names if name in settings.attributes]


def asked_titles(settings: Settings, asks: Sequence[str]) -> list[str]:
    """What attributes are called, those declared."""
    return [settings.attributes[name].title or name for name in asked([asks], settings)]


@dataclass(frozen=True)
class Said:
    """Fields as somebody filled them in anew: texts to show again, values, None where emptied.

    `errors` are words by name; what they name has no value.
    """

    typed: Mapping[str, str]
    values: Mapping[str, Any]
    errors: Mapping[str, Word]


def read_said(
    sent: Sent, settings: Settings, names: Collection[str], today: date = date.max
) -> Said:
    """Read some fields alone; those that were not sent at all stay out of it."""
    errors: dict[str, Word] = {}
    typed: dict[str, str] = {}
    values: dict[str, Any] = {}
    for name in names:
        if name not in sent:
            continue
        text = _first(sent, name)
        typed[name] = clean_name(text)
        if len(text) > NAME_LIMIT:
            errors[name] = ("errors.too_long", {"limit": NAME_LIMIT})
        elif not typed[name]:
            values[name] = None
        else:
            value, word = _value(name, typed[name], settings.attributes, today)
            if word:
                errors[name] = (word, {})
            else:
                values[name] = value
    return Said(typed, values, errors)


def written(value: object) -> str:
    """A kept value as somebody would type it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else str(value)


def written_birthday(year: int | None, month: int | None, day: int | None) -> str:
    """A birthday as somebody would type it: 17.05.1980, or 17.05. where the year is not known."""
    return "" if month is None or day is None else f"{day:02}.{month:02}.{year or ''}"


def typed_date(kept: str) -> str:
    """A kept date as somebody would type it: `--05-17` is 17.05.; what is none stays as it is."""
    match = _ISO_DATE.fullmatch(kept)
    if match is None:
        return kept
    year, month, day = match.groups()
    return f"{day}.{month}.{'' if year == '-' else year}"


def read_birthday(text: str, today: date) -> str | None:
    """A birthday as `1980-05-17` or, without its year, `--05-17`; None if it is none."""
    if match := _GERMAN_DATE.fullmatch(text):
        day, month, year = match.groups()
    elif match := _ISO_DATE.fullmatch(text):
        year, month, day = match.groups()
        year = None if year == "-" else year
    else:
        return None
    try:
        # A leap year, so that somebody may be born on 29 February.
        born = date(int(year or 2000), int(month), int(day))
    except ValueError:
        return None
    if year is None:
        return f"--{born:%m-%d}"
    return born.isoformat() if date(EARLIEST_YEAR, 1, 1) <= born <= today else None


def _email(typed: str, errors: dict[str, Word]) -> tuple[str, Address | None]:
    shown = clean_name(typed)
    if not typed.strip():
        errors["email"] = ("errors.email_missing", {})
        return "", None
    try:
        return shown, parse_address(typed)
    except AddressError:
        errors["email"] = ("errors.email_broken", {})
        return shown, None


def _value(
    name: str, text: str, attributes: Mapping[str, Attribute], today: date
) -> tuple[Any, str | None]:
    """A field's value as it is stored, or the word for what is wrong."""
    if name == "birthday":
        value = read_birthday(text, today)
        return value, None if value else "errors.date_broken"
    if name in PERSONAL:
        return text, None
    attribute = attributes[name]
    if attribute.type == "choice":
        return text, None if text in attribute.choices else "errors.choice_broken"
    value = _TYPES[attribute.type](text)
    return value, f"errors.{attribute.type}_broken" if value is None else None


def _number(text: str) -> int | float | None:
    if not re.fullmatch(r"[+-]?\d{1,15}([.,]\d{1,6})?", text, re.ASCII):
        return None
    number = float(text.replace(",", "."))
    return int(number) if number.is_integer() else number


def _date(text: str) -> str | None:
    born = read_birthday(text, date.max)
    return born if born and not born.startswith("--") else None


def _bool(text: str) -> bool | None:
    return {**dict.fromkeys(YES, True), **dict.fromkeys(NO, False)}.get(text.lower())


_TYPES: Mapping[str, Callable[[str], Any]] = {
    "text": str,
    "number": _number,
    "date": _date,
    "bool": _bool,
}


def _first(sent: Sent, name: str) -> str:
    return next(iter(sent.get(name, ())), "")
