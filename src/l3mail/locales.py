"""Language tags: which one to speak, which way it runs, and how it says dates.

Owns the falling back from a tag to a shorter one. Must not know which words exist: the tags there
are words for are passed in. Babel is asked with language and territory only, because it knows no
`de-simple`.
"""

import re
from collections.abc import Collection, Iterator
from datetime import date, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from babel import Locale

LONGEST_TAG = 35
"""Characters (RFC 5646 section 4.4.1); what is longer is refused unread."""

_TAG = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8})*")
_RANGE = re.compile(
    r"\s*([A-Za-z]{2,3}(?:-[A-Za-z0-9]{1,8})*|\*)\s*(?:;\s*q=([01](?:\.\d{1,3})?)\s*)?"
)
_LETTERS = re.compile(r"[A-Za-z]{2,8}")
_MOST_RANGES = 20
_YEAR = re.compile(r"[,\s]*y+\b")
_MONTH = re.compile(r"\s*M+\b")
_HERE = {"en": "150", "pt": "PT"}
"""Where a language without a territory is spoken to people in Europe: day first, 24 hours."""


def chain(tag: str) -> Iterator[str]:
    """The tag and what it falls back to, subtags cut from the right: de-simple, de (RFC 4647 3.4).

    Says nothing for what is no tag.
    """
    if len(tag) > LONGEST_TAG or not _TAG.fullmatch(tag):
        return
    parts = tag.split("-")
    for length in range(len(parts), 0, -1):
        # A single letter only announces what followed it.
        if len(parts[length - 1]) > 1:
            yield "-".join([parts[0].lower(), *parts[1:length]])


def canonical(tag: str) -> str:
    """One spelling for a tag: `de-simple`, `de-AT`, `sr-Latn` (RFC 5646 section 2.1.1).

    Tags are compared as they stand in rows, so each must be written in one way only.
    """
    language, *rest = tag.strip().split("-")
    cased = {2: str.upper, 4: str.title}
    return "-".join([language.lower(), *(cased.get(len(part), str.lower)(part) for part in rest)])


def choose(wishes: Collection[str | None], known: Collection[str], fallback: str) -> str:
    """The first of `wishes`, each by its chain, that is among `known`; else `fallback`."""
    folded = {tag.casefold(): tag for tag in known}
    for wish in wishes:
        for tag in chain(wish or ""):
            if tag.casefold() in folded:
                return folded[tag.casefold()]
    return fallback


def accepted(header: str) -> list[str]:
    """The tags of an Accept-Language header, dearest first (RFC 9110 section 12.5.4).

    What cannot be read is skipped, `*` and what is refused with `q=0` too.
    """
    wishes = []
    for position, part in enumerate(header.split(",")[:_MOST_RANGES]):
        match = _RANGE.fullmatch(part[: LONGEST_TAG + 10])
        if match and match[1] != "*" and float(match[2] or 1) > 0:
            wishes.append((-float(match[2] or 1), position, match[1]))
    return [tag for _, _, tag in sorted(wishes)]


def direction(tag: str) -> str:
    """`rtl` or `ltr`, as HTML's `dir` wants it."""
    return _spoken(tag).text_direction


def own_name(tag: str) -> str:
    """What a language calls itself, such as "Українська"; the tag where that is not known."""
    spoken = _spoken(tag)
    name = spoken.get_language_name() if spoken.language == tag.partition("-")[0].lower() else None
    return name[:1].upper() + name[1:] if name else tag


def date_in_words(day: date, tag: str) -> str:
    """Such as "Montag, 30. November 2026"."""
    from babel.dates import format_date  # noqa: PLC0415 - costs 40 ms that falling back never needs

    return format_date(day, "full", locale=_spoken(tag))


def long_date(day: date, tag: str) -> str:
    """Such as "30. November 2026", for what is kept."""
    from babel.dates import format_date  # noqa: PLC0415 - costs 40 ms that falling back never needs

    return format_date(day, "long", locale=_spoken(tag))


def short_date(day: date, tag: str) -> str:
    """Such as "30.11.2026", for columns and lists."""
    from babel.dates import format_date  # noqa: PLC0415 - costs 40 ms that falling back never needs

    return format_date(day, "medium", locale=_spoken(tag))


def moment_in_words(moment: datetime, tag: str) -> str:
    """Such as "Montag, 30. November 2026, 10:00", by the wall clock `moment` carries."""
    from babel.dates import format_time  # noqa: PLC0415 - costs 40 ms that falling back never needs

    at = format_time(moment, "short", tzinfo=moment.tzinfo, locale=_spoken(tag))
    return f"{date_in_words(moment.date(), tag)}, {at}"


def weekday_in_words(day: date, tag: str) -> str:
    """Such as "Montag, 30. November": the day where the year is known."""
    from babel.dates import format_date  # noqa: PLC0415 - costs 40 ms that falling back never needs

    locale = _spoken(tag)
    pattern = _YEAR.sub("", locale.date_formats["full"].pattern)
    return format_date(day, pattern, locale=locale)


def day_of_year(month: int, day: int, tag: str) -> str:
    """Such as "17. Mai", of a day that every year has, or only a leap year."""
    from babel.dates import format_date  # noqa: PLC0415 - costs 40 ms that falling back never needs

    locale = _spoken(tag)
    pattern = _YEAR.sub("", locale.date_formats["long"].pattern)
    return format_date(date(2000, month, day), pattern, locale=locale)


def days_in_words(first: date, last: date, tag: str) -> str:
    """Such as "23.–29. November 2026", or one day."""
    from babel.dates import format_date  # noqa: PLC0415 - costs 40 ms that falling back never needs

    locale = _spoken(tag)
    whole = short = locale.date_formats["long"].pattern
    if first.year == last.year:
        short = _YEAR.sub("", short)
        # Where the month goes before, "November 23–29" would need another order.
        if first.month == last.month and short.startswith("d"):
            short = _MONTH.sub("", short)
    end = format_date(last, whole, locale=locale)
    if first == last:
        return end
    dash = "–" if first.month == last.month else " – "
    return format_date(first, short, locale=locale) + dash + end


def slot_in_words(moment: datetime, tag: str) -> str:
    """Such as "Mo., 30.11., 10:00", by the wall clock `moment` carries: for columns."""
    from babel.dates import format_skeleton  # noqa: PLC0415 - costs 40 ms that falling back never needs

    day = format_skeleton("MEd", moment.date(), locale=_spoken(tag))
    return f"{day}, {time_in_words(moment, tag)}"


def time_in_words(moment: datetime, tag: str) -> str:
    """Such as "10:00", by the wall clock `moment` carries."""
    from babel.dates import format_time  # noqa: PLC0415 - costs 40 ms that falling back never needs

    return format_time(moment, "short", tzinfo=moment.tzinfo, locale=_spoken(tag))


def number(n: int, tag: str) -> str:
    """Such as "12.345"."""
    from babel.numbers import format_decimal  # noqa: PLC0415 - costs 40 ms that falling back never needs

    return format_decimal(n, locale=_spoken(tag))


def percentage(part: int, whole: int, tag: str) -> str:
    """Such as "85 %", rounded to whole ones; `whole` is not 0."""
    from babel.numbers import format_percent  # noqa: PLC0415 - costs 40 ms that falling back never needs

    return format_percent(part / whole, locale=_spoken(tag))


def _spoken(tag: str) -> "Locale":
    """What Babel knows of a tag: its language, with its territory if there is one."""
    from babel import Locale, UnknownLocaleError  # noqa: PLC0415 - costs 40 ms that falling back never needs

    # Letters alone: Babel takes "mr " and "-MR" for languages and then finds no such file.
    language, *rest = (part if _LETTERS.fullmatch(part) else "" for part in tag.strip().split("-"))
    if not language:
        return Locale("de")
    territory = next((part.upper() for part in rest if len(part) == 2), None)
    territory = territory or _HERE.get(language.lower())
    for wish in (territory, None):
        try:
            return Locale(language.lower(), territory=wish)
        except (UnknownLocaleError, ValueError):
            continue
    return Locale("de")
