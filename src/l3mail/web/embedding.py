"""The form for signing up as it stands on other people's pages, and on paper.

Owns what is handed out: a piece of HTML that posts to us, and a sheet with a code for a camera. It
asks what our own page asks, by the same functions. No script, nothing fetched from anywhere, no
cookie; what is wrong with a form comes back on our own page, filled in.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import Connection

from l3mail.errors import SourceError, did_you_mean, quoted
from l3mail.settings import Settings
from l3mail.web.asking import what_is_asked
from l3mail.web.pages import Pages
from l3mail.web.words import Words, read_words


@dataclass(frozen=True)
class Speaker:
    """What is said in one language before anybody has come."""

    settings: Settings
    words: Words
    tag: str

    def say(self, word: str, **values: object) -> str:
        """A word in the language."""
        return self.words.say(self.tag, word, **values)


def speaker(settings: Settings, locale: str | None) -> Speaker:
    """Who speaks a language that the pages speak; without one, the workspace's.

    Raises SourceError for one they do not.
    """
    words = read_words(settings.folder)
    tag = locale or settings.workspace.locale
    if locale and tag not in words.locales:
        known = f"there are {', '.join(words.locales)}"
        hint = did_you_mean(tag, words.locales, known)
        raise SourceError(f"no page speaks {quoted(tag)}; {hint}")
    return Speaker(settings, words, tag)


def embedded_form(
    connection: Connection,
    speaker: Speaker,
    among: Sequence[str] = (),
    source: str = "",
    *,
    styled: bool = False,
) -> str:
    """The form as HTML to put into a page, for the streams `among` or for all.

    Every stream has a box of its own, also an only one: on a foreign page nothing else says what
    the button agrees to. `styled` brings a style along that follows the page's own colours.
    """
    asked = what_is_asked(connection, speaker, among, always_boxes=True)
    if not asked.streams:
        raise SourceError("there is nothing to sign up for yet; `l3mail content publish` offers it")
    settings = speaker.settings
    pages = Pages(settings, speaker.words, urlsplit(settings.web.base_url).path)
    values: Mapping[str, Any] = {
        "action": f"{settings.web.base_url}/subscribe",
        "asked": asked,
        "among": among,
        "source": source,
        "styled": styled,
    }
    return pages.fill("embedded", speaker.tag, values)


def handout_values(speaker: Speaker, titles: Sequence[str], link: str) -> dict[str, Any]:
    """What `handout.typ` names, for a paper that leads to `link`."""
    impressum = speaker.settings.impressum
    words = ("alt", "scan", "typed", "steps", "step1", "step2", "step3")
    title = titles[0] if len(titles) == 1 else speaker.say("handout.title")
    contact = speaker.say(
        "handout.contact",
        house=impressum.name or speaker.settings.workspace.name,
        email=impressum.email or speaker.settings.sender.from_.address,
    )
    if impressum.privacy_url:
        contact += " " + speaker.say("handout.privacy", url=impressum.privacy_url)
    return {
        "title": title,
        "lead": speaker.say("handout.lead"),
        "link": link,
        "offers": list(titles),
        "titles_lang": speaker.settings.workspace.locale.partition("-")[0],
        "contact": contact,
        "words": {name: speaker.say(f"handout.{name}", title=title) for name in words},
    }
