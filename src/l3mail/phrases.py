"""Phrases: what is said in one language, the house's own if there are words for it, else English.

Owns how tables of words that come with the program are read, and which language is spoken. What is
said in them, and who is spoken to, is the business of those who say it.
"""

import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Final, TypeVar

from l3mail import locales

T = TypeVar("T")

Tables = Mapping[str, Mapping[str, Any]]
"""Words by table and key."""

_ELSE: Final = "en"


def in_language(words: Mapping[str, T], locale: str) -> T:
    """What people of a locale are told, of what is there by language."""
    return words[locales.choose((locale,), words.keys(), _ELSE)]


@cache
def read(files: tuple[Path, ...]) -> Mapping[str, Tables]:
    """By language the tables of these files, which hold different ones, as if they were one."""
    found: dict[str, dict[str, Mapping[str, Any]]] = {}
    for file in files:
        for language, tables in tomllib.loads(file.read_text(encoding="utf-8")).items():
            found.setdefault(language, {}).update(tables)
    return found


class Phrases:
    """The words of FILES in the language of a locale, with its territory's numbers and dates."""

    FILES: ClassVar[tuple[Path, ...]]

    def __init__(self, locale: str) -> None:
        """Speak the locale's language if there are words for it."""
        known = read(self.FILES)
        self.language = locales.choose((locale,), known.keys(), _ELSE)
        self.tag = locale if locale.partition("-")[0] == self.language else self.language
        self._tables = known[self.language]

    def table(self, name: str) -> Mapping[str, Any]:
        """All words of a table, by key."""
        return self._tables[name]

    def phrase(self, name: str) -> Any:
        """The words called `table.key`."""
        table, _, key = name.partition(".")
        return self._tables[table][key]
