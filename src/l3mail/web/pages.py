"""From a page's name and values to HTML.

Owns the templates: the package's, under those of the workspace. Values are hostile and escaped;
a page must not know where they came from.
"""

import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, TemplateError
from markupsafe import Markup

from l3mail.locales import direction
from l3mail.settings import Settings
from l3mail.web.words import Words

_LOG = logging.getLogger(__name__)
_OWN = Path(__file__).with_name("pages")
_SHORT = 200
"""Characters a text may have that stands on a page as a whole."""
_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-ZÄÖÜ„“\"])")


class Pages:
    """The pages of one workspace."""

    def __init__(
        self, settings: Settings, words: Words, prefix: str, *, closed: bool = False
    ) -> None:
        """`prefix` is the path of BASE_URL, before every link of ours.

        A `closed` house offers nothing that it has stopped.
        """
        own = FileSystemLoader(_OWN)
        theirs = settings.folder / "templates" / "pages"
        self._own = _environment(own)
        self._theirs = _environment(FileSystemLoader([theirs, _OWN])) if theirs.is_dir() else None
        self._words = words
        self._locale = settings.workspace.locale
        self._shared = {
            "root": prefix,
            "closed": closed,
            "house": settings.workspace.name,
            "impressum": settings.impressum,
            "support": _support(settings),
            "sender": settings.sender.from_.address,
        }

    def fill(self, name: str, tag: str, values: Mapping[str, Any]) -> str:
        """The page `name` in a language; a template of the workspace that fails gives way."""

        def say(word: str, **gaps: object) -> str:
            return self._words.say(tag, word, **gaps)

        titles = self._locale.partition("-")[0]
        # Titles are the workspace's own and in one language, whatever the page around them speaks.
        tongue = "" if tag.partition("-")[0] == titles else Markup(' lang="{}"').format(titles)
        shared = {**self._shared, "locale": tag, "dir": direction(tag), "w": say, "tongue": tongue}
        context = {**shared, **values}
        if self._theirs is not None:
            try:
                return self._theirs.get_template(f"{name}.html").render(context)
            except (TemplateError, TypeError, ValueError, LookupError, ArithmeticError) as fault:
                # People must be able to unsubscribe, whatever somebody wrote into a template.
                _LOG.warning("templates/pages/%s.html is not used: %s", name, fault)
        return self._own.get_template(f"{name}.html").render(context)


def _environment(loader: FileSystemLoader) -> Environment:
    environment = Environment(
        loader=loader,
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["core"] = core
    return environment


def core(text: str) -> str:
    """What stands at once where a long text is a click away: its first sentence."""
    return text if len(text) <= _SHORT else _SENTENCE.split(text, maxsplit=1)[0]


def _support(settings: Settings) -> str:
    """Where people write to when they need a person."""
    reply_to = settings.sender.reply_to
    return settings.impressum.email or (reply_to or settings.sender.from_).address
