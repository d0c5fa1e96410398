"""The words of copies and records in one language: German or else English.

Owns words.toml and record.toml beside it.
"""

import re
from collections.abc import Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Any, Final

from l3mail import locales
from l3mail.errors import printable
from l3mail.reports import wording

_LONGEST: Final = 20_000
_OURS: Final = frozenset({"state", "kind", "act", "reason", "judged"})
"""Keys whose values are words of ours; under all others people may have written what they like."""

_CHECKSUMS: Final = frozenset({"hash", "digest", "message_hash"})
"""Keys for programs alone."""

_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?[+-]\d\d:\d\d")
_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_YEARLESS = re.compile(r"--(\d\d)-(\d\d)")


class Words(wording.Words):
    """Speaks as a report does, with words of our own."""

    FILES = tuple(Path(__file__).with_name(name) for name in ("words.toml", "record.toml"))

    def day(self, day: date) -> str:
        """A day with its year."""
        return locales.long_date(day, self.tag)

    def field(self, name: str) -> str:
        """What a key of a copy is called: in English as it is, in words."""
        return str(self.table("field").get(name, name.replace("_", " ")))

    def shown(self, value: Any, key: str = "") -> str:
        """A value of a copy as people read it; "" for nothing. `key` says whose word it is."""
        if value is None or value == "":
            return ""
        if isinstance(value, bool):
            return self.say("title.yes" if value else "title.no")
        if isinstance(value, Mapping):
            told = ((str(name), inner) for name, inner in value.items() if name not in _CHECKSUMS)
            pairs = ((name, self.shown(inner, name)) for name, inner in told)
            return "; ".join(f"{self.field(name)}: {inner}" for name, inner in pairs if inner)
        if isinstance(value, list | tuple):
            items = [self.shown(one) for one in value]
            return (" | " if any("; " in one for one in items) else ", ").join(filter(None, items))
        if isinstance(value, str):
            if key == "birthday" and (found := _YEARLESS.fullmatch(value)):
                return locales.day_of_year(int(found[1]), int(found[2]), self.tag)
            known = self.table("word").get(value) if key in _OURS else None
            return str(known or self._text(value))
        return str(value)

    def _text(self, text: str) -> str:
        if _INSTANT.fullmatch(text):
            at = datetime.fromisoformat(text).astimezone(self._zone)
            day = locales.short_date(at.date(), self.tag)
            return f"{day}, {locales.time_in_words(at, self.tag)}"
        if _DAY.fullmatch(text):
            return locales.short_date(date.fromisoformat(text), self.tag)
        return printable(" ".join(text.split()), _LONGEST)
