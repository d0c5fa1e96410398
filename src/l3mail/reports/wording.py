"""A report's words, numbers and dates in one language: German or else English.

Owns words.toml beside it, and how foreign text is tamed before it stands in a sentence.
"""

from datetime import date, datetime
from pathlib import Path
from typing import ClassVar
from zoneinfo import ZoneInfo

from l3mail import locales
from l3mail.errors import printable
from l3mail.phrases import Phrases

LONGEST = 90
"""Characters of a name, title or link in a report."""


class Words(Phrases):
    """What to say in a workspace of this locale, by the clocks of `zone`."""

    FILES: ClassVar[tuple[Path, ...]] = (Path(__file__).with_name("words.toml"),)

    def __init__(self, locale: str, zone: ZoneInfo) -> None:
        """Speak the locale's language if there are words for it."""
        super().__init__(locale)
        self._zone = zone

    def say(self, name: str, /, **gaps: object) -> str:
        """The words called `table.key`, gaps filled; a number `n` chooses none, one or many."""
        words = self.phrase(name)
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
