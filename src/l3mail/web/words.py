"""The words of the pages, by language: the starter's, under those of the workspace.

Owns the reading of both files and the falling back from one language to the next. A word nobody
has is its own name on the page, never a fault.
"""

import logging
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from l3mail.locales import chain
from l3mail.starter import starter

LAST = "de"
"""The language every word exists in."""

_LOG = logging.getLogger(__name__)
_GAP = re.compile(r"\{(\w+)\}")
WORDS_FILE = Path("templates") / "pages.toml"


class Words:
    """What the pages say; `locales` are the languages they say it in."""

    def __init__(self, *layers: Mapping[str, Mapping[str, str]]) -> None:
        """Take layers of words by language and name (`page.word`), the strongest first."""
        self._layers = layers
        self.locales = tuple(sorted({tag for layer in layers for tag in layer}))

    def say(self, tag: str, name: str, **values: object) -> str:
        """The word `name` in a language, with its gaps filled; values are not escaped here."""
        text = next(
            (
                layer[spoken][name]
                for spoken in (*chain(tag), LAST)
                for layer in self._layers
                if name in layer.get(spoken, {})
            ),
            name,
        )
        return _GAP.sub(lambda gap: str(values.get(gap[1], "")), text)


def read_words(workspace: Path) -> Words:
    """The words of the starter, and over them the workspace's if there are any to be read."""
    own = _flat(tomllib.loads((starter() / WORDS_FILE).read_text(encoding="utf-8")))
    try:
        theirs = _flat(tomllib.loads((workspace / WORDS_FILE).read_text(encoding="utf-8-sig")))
    except FileNotFoundError:
        return Words(own)
    except (OSError, ValueError) as fault:
        # A page in our words is better than none: people want to unsubscribe.
        _LOG.warning("%s is not used: %s", workspace / WORDS_FILE, fault)
        return Words(own)
    return Words(theirs, own)


def _flat(tables: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """`{"de": {"page.word": "…"}}` of nested tables; what is no text is left out."""
    return {
        tag: {
            f"{page}.{name}": text
            for page, texts in pages.items()
            if isinstance(texts, dict)
            for name, text in texts.items()
            if isinstance(text, str)
        }
        for tag, pages in tables.items()
        if isinstance(pages, dict) and list(chain(tag))
    }
