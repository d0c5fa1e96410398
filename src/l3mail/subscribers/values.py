"""What may be said of a person: names, a birthday, a language, the workspace's attributes.

Owns how text from a cell or a command becomes a value worth keeping, and the words for what does
not. Pure: must not know the database, a clock or where the text came from.
"""

import difflib
import math
import re
from collections.abc import Collection, Iterable, Mapping
from datetime import date
from typing import Any

from l3mail.addresses import clean_name, header_safe
from l3mail.errors import EntryError, HeaderInjectionError, printable, quoted
from l3mail.locales import canonical
from l3mail.settings import Attribute
from l3mail.subscribers import dates

NAMES = ("first_name", "last_name", "salutation", "district")

_TEXT_LIMIT = 1_000
_OLDEST = 130  # years; beyond it a birthday is a slip of the key
_LOCALE = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*")
_NUMBER = re.compile(r"[+-]?\d{1,15}([.,]\d{1,15})?")
_TRUE = {"1", "ja", "j", "yes", "y", "true", "wahr", "x"}
_FALSE = {"0", "nein", "n", "no", "false", "falsch"}


def name(column: str, text: str) -> str:
    """A name, salutation or district on one visible line; may be empty. Raises EntryError."""
    try:
        return header_safe(clean_name(text))
    except HeaderInjectionError as error:
        raise EntryError(f"{column} {quoted(text)} holds {error.reason}") from error


def birthday(text: str, today: date, order: dates.Order | None = None) -> str:
    """A birthday as `1980-05-17`, or `--05-17` where the year is not said. Raises EntryError.

    Reads 1980-05-17, 17.5.1980, 17. Mai 1980, 17.05., --05-17, and 5/17/1980 by the order of its
    column.
    """
    found = _read_day(text, f"birthday {quoted(text)}", order)
    if found is None:
        raise EntryError(
            f"birthday {quoted(text)} is no date; write 1980-05-17, 17.5.1980, 17.05. or --05-17"
        )
    year, month, day = found
    # 2000 was a leap year: who does not tell the year may be born on 29 February.
    born = _day(year or 2000, month, day, f"birthday {quoted(text)}")
    if not year:
        return f"--{born:%m-%d}"
    if not today.year - _OLDEST <= born.year or born > today:
        raise EntryError(f"birthday {quoted(text)} is not within the last {_OLDEST} years")
    return born.isoformat()


def locale(text: str) -> str:
    """A language tag such as `de` or `de-simple`. Raises EntryError."""
    tag = canonical(text.replace("_", "-"))
    if not _LOCALE.fullmatch(tag) or len(tag) > 35:
        raise EntryError(f"locale {quoted(text)} is no language tag; write de, de-simple or en")
    return tag


def free_attribute(name: str, known: Iterable[str]) -> str | None:
    """The name under which an attribute nobody declared is kept as text, or None if it may not be.

    What looks like a known name misspelt is none: nobody would find it again.
    """
    plain_name = "_".join(name.casefold().split())
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,59}", plain_name):
        return None
    return None if difflib.get_close_matches(plain_name, known, n=1) else plain_name


def attribute(
    column: str,
    text: str,
    attributes: Mapping[str, Attribute],
    order: dates.Order | None = None,
) -> Any:
    """The value of an attribute, by its declared type; dates as ISO text. Raises EntryError.

    One that l3mail.toml does not declare is text. `order` is that of the column's dates.
    """
    declared = attributes.get(column, Attribute())
    typed = text.strip()
    where = f"{column} {quoted(text)}"
    match declared.type:
        case "number":
            return _number(typed, where)
        case "bool":
            return _truth(typed, where)
        case "date":
            return _date(typed, where, order)
        case "choice":
            return _choice(typed, declared.choices, where)
        case _:
            if len(typed) > _TEXT_LIMIT:
                raise EntryError(f"{where} is longer than {_TEXT_LIMIT:,} characters")
            return plain(typed)


def plain(text: str) -> str:
    """Somebody's text on visible lines: no control, bidi or zero-width character, no half one."""
    lines = ("".join(c if c.isprintable() else " " for c in line) for line in text.splitlines())
    return "\n".join(" ".join(line.split()) for line in lines).strip()


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that looks most like this one, if any does."""
    folded = {known_word.casefold(): known_word for known_word in known}
    close = difflib.get_close_matches(word.casefold(), folded, n=1)
    return folded[close[0]] if close else None


def near(word: str, known: Iterable[str], what: str) -> str:
    """The end of an error line: the nearest known word, else all of them, else that none is."""
    words = sorted(known)
    close = nearest(word, words)
    if close:
        return f"did you mean {quoted(close)}?"
    if not words:
        return f"there is no {what} yet"
    shown = ", ".join(printable(word, 60) for word in words[:12]) + (
        ", …" if len(words) > 12 else ""
    )
    return f"known: {shown}"


def stream(word: str, known: Collection[str]) -> str:
    """The slug of a stream that there is. Raises EntryError naming the nearest."""
    slug = word.strip()
    if slug not in known:
        raise EntryError(f"stream {quoted(slug)} is not here; {near(slug, known, 'stream')}")
    return slug


def _day(year: int, month: int, day: int, where: str) -> date:
    try:
        return date(year, month, day)
    except ValueError:
        raise EntryError(f"{where} is no day of the calendar") from None


def _read_day(text: str, where: str, order: dates.Order | None) -> dates.Day | None:
    try:
        return dates.read(text, order)
    except dates.AmbiguousError:
        both = "this column has both orders" if order else "nothing in this column says which"
        raise EntryError(
            f"{where} can be read in two ways and {both}; write 17.5.1980,"
            " or say --dates day or --dates month"
        ) from None


def _date(typed: str, where: str, order: dates.Order | None) -> str:
    found = _read_day(typed, where, order)
    if found is None or not found[0]:
        raise EntryError(f"{where} is no date; write 2026-09-01 or 1.9.2026")
    return _day(found[0], found[1], found[2], where).isoformat()


def _number(typed: str, where: str) -> int | float:
    if not _NUMBER.fullmatch(typed) or not typed.isascii():
        raise EntryError(f"{where} is no number; write 12 or 12.5, without separators")
    number = float(typed.replace(",", "."))
    if not math.isfinite(number):
        raise EntryError(f"{where} is no number we can keep")
    return int(number) if number.is_integer() else number


def _truth(typed: str, where: str) -> bool:
    word = typed.casefold()
    if word in _TRUE | _FALSE:
        return word in _TRUE
    raise EntryError(f"{where} is neither yes nor no; write ja or nein")


def _choice(typed: str, choices: tuple[str, ...], where: str) -> str:
    for choice in choices:
        if choice.casefold() == typed.casefold():
            return choice
    raise EntryError(f"{where} is no choice; {near(typed, choices, 'choice')}")
