"""A report's words, numbers and dates in one language: German or else English.

Owns words.toml beside it, and how foreign text is tamed before it stands in a sentence.
"""

import tomllib
from collections.abc import Mapping
from datetime import date, datetime
from functools import cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from l3mail import locales
from l3mail.errors import printable

LONGEST = 90
"""Characters of a name, title or link in a report."""

_FILE = Path(__file__).with_name("words.toml")
_FALLBACK = "en"


@cache
def _languages() -> Mapping[str, Any]:
    return tomllib.loads(_FILE.read_text(encoding="utf-8"))


class Words:
    """What to say in a workspace of this locale, by the clocks of `zone`."""

    def __init__(
        self, locale: str, zone: ZoneInfo, languages: Mapping[str, Any] | None = None
    ) -> None:
        """Speak the locale's language if there are words for it, with its territory's numbers.

        `languages` are the words by language, where they are not a report's own.
        """
        known = _languages() if languages is None else languages
        self.language = locales.choose((locale,), known.keys(), _FALLBACK)
        self.tag = locale if locale.partition("-")[0] == self.language else self.language
        self._zone = zone
        self._tables = known[self.language]

    def say(self, name: str, /, **gaps: object) -> str:
        """The words called `table.key`, gaps filled; a number `n` chooses none, one or many."""
        table, _, key = name.partition(".")
        words = self._tables[table][key]
        if not isinstance(words, str):
            several = "one" if gaps.get("n") == 1 else "many"
            words = words["none"] if gaps.get("n") == 0 and "none" in words else words[several]
        filled = {gap: self.number(v) if isinstance(v, int) else v for gap, v in gaps.items()}
        return str(words).format(**filled)

    def number(self, n: int) -> str:
        """A number as the locale groups it."""
        return locales.number(n, self.tag)

    def share(self, part: int, whole: int) -> str:
        """A part in percent, a dash where there is no whole."""
        return locales.percentage(part, whole, self.tag) if whole else "–"

    def day(self, day: date) -> str:
        """A day with its year."""
        return locales.days_in_words(day, day, self.tag)

    def days(self, first: date, last: date) -> str:
        """Days in a row, with their year."""
        return locales.days_in_words(first, last, self.tag)

    def weekday(self, day: date) -> str:
        """A day by its weekday, without the year."""
        return locales.weekday_in_words(day, self.tag).replace(". ", ".\u00a0")

    def moment(self, at: datetime) -> str:
        """A moment near the present: weekday, day and time."""
        local = at.astimezone(self._zone)
        time = locales.time_in_words(local, self.tag)
        return self.say("title.moment", day=self.weekday(local.date()), time=time)

    def slot(self, at: datetime) -> str:
        """A moment near the present, short enough for a column."""
        return locales.slot_in_words(at.astimezone(self._zone), self.tag)

    def local_day(self, at: datetime) -> date:
        """The local day a moment is on."""
        return at.astimezone(self._zone).date()


def tamed(text: str, limit: int = LONGEST) -> str:
    """Foreign text on one line, without what could turn the line around or hide in it."""
    return printable(" ".join(text.replace("\u00ad", "").split()), limit)
