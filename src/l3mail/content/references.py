"""What a text refers to: its numbered links, interests, questions, conditions, files of media/.

Owns the judgement of a written link and what is put in its place. Looks at no page.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from l3mail.content.images import Medium
from l3mail.content.links import fault_of, is_numbered, place_of
from l3mail.content.matter import NAME
from l3mail.content.questions import Question
from l3mail.content.sentinels import Sentinels
from l3mail.errors import ContentError, quoted


class Refuse(Protocol):
    """Takes what is wrong, and `at`, the piece of the line it is about."""

    def __call__(self, message: str, at: str = "", /) -> None: ...  # noqa: D102 - said above


_TRUSTED_START = re.compile(r"\{\{\s*(?:links\.\w+|base_url|impressum\.privacy_url)\s*\}\}")


@dataclass(frozen=True, slots=True)
class Asked:
    """What one condition of a text asks, whether it is an else, and in which line it stands."""

    asks: str
    otherwise: bool
    line: int


@dataclass
class References:
    """The references of one text, in the order they stand in it.

    `find(link, image=…)` knows the files of media/. What is wrong with a reference is told to the
    `refuse` each method is given; it then returns None.
    """

    sentinels: Sentinels
    find: Callable[..., Medium]
    links: list[tuple[str, str | None]] = field(default_factory=list)
    interests: list[str] = field(default_factory=list)
    questions: list[Question] = field(default_factory=list)
    conditions: list[Asked] = field(default_factory=list)
    media: list[Medium] = field(default_factory=list)
    _places: dict[tuple[str, str | None], str] = field(default_factory=dict)

    def target(self, url: str, refuse: Refuse) -> str | None:
        """Where a written address leads."""
        if not url.isprintable() or " " in url:
            refuse(f"{quoted(url)} has a blank or a hidden sign in it; an address has none", url)
            return None
        scheme, colon, rest = url.partition(":")
        if scheme == "interest" and colon:
            return self.interest(rest, refuse)
        if url.startswith("media/"):
            medium = self.medium(url, refuse, image=False)
            return None if medium is None else self.address_of(medium)
        if self.sentinels.any_tag.search(url):
            refuse("a tag may not stand inside a link; put {% if %} around the whole link", url)
            return None
        piece = self.sentinels.first_piece(url)
        if piece is not None:
            if not _TRUSTED_START.fullmatch(piece):
                refuse(
                    f"{piece} decides where this link leads; begin it with https:// or links.…", url
                )
                return None
        elif (fault := fault_of(url, self.sentinels)) is not None:
            refuse(fault, url)
            return None
        return url

    def interest(self, name: str, refuse: Refuse) -> str | None:
        """Where somebody says that something interests them."""
        if not NAME.fullmatch(name):
            refuse(
                f"{quoted(name)} is no name of an interest; use a-z, 0-9 and -", name or "interest:"
            )
            return None
        if name not in self.interests:
            self.interests.append(name)
        return self.sentinels.hide("{{ links.interest }}") + f"?of={name}"

    def question(self, question: Question, refuse: Refuse) -> dict[str, str]:
        """Where each answer to a question leads, by its value."""
        if any(question.name == known.name for known in self.questions):
            refuse(
                f"this text has a question {quoted(question.name)} already; name one otherwise",
                question.name,
            )
        self.questions.append(question)
        page = self.sentinels.hide(f"{{{{ links.{question.kind} }}}}") + f"?of={question.name}"
        return {option.value: f"{page}&pick={option.value}" for option in question.options}

    def medium(self, link: str, refuse: Refuse, *, image: bool) -> Medium | None:
        """A file of media/."""
        try:
            medium = self.find(link, image=image)
        except ContentError as error:
            refuse(str(error), link)
            return None
        if medium not in self.media:
            self.media.append(medium)
        return medium

    def picture(self, link: str, refuse: Refuse) -> Medium | None:
        """An image of media/; foreign ones are refused."""
        if not link.startswith("media/"):
            way = "put it into media/"
            if "://" not in link and (at := link.find("media/")) >= 0:
                way = f"write {link[at:]}"
            refuse(f"{quoted(link)} is a foreign image; {way}", link)
            return None
        return self.medium(link, refuse, image=True)

    def address_of(self, medium: Medium) -> str:
        """Where a file is fetched."""
        return self.sentinels.hide("{{ base_url }}") + f"/media/{medium.digest}/{medium.name}"

    def number(self, url: str, name: str | None, refuse: Refuse) -> str:
        """What is written for an address: its placeholder, if the link gets a number."""
        if name is not None and not NAME.fullmatch(name):
            refuse(f"{quoted(name)} should be the link's name; use a-z, 0-9 and -", name)
        if not is_numbered(url, self.sentinels):
            return url
        entry = (url, name)
        if entry not in self.links:
            self.links.append(entry)
            # One sentinel each: lines of the text part that say the same must be the same.
            self._places[entry] = self.sentinels.hide(place_of(len(self.links)))
        return self._places[entry]

    def written(self, url: str, name: str | None) -> str:
        """A target as the HTML part has it: numbered there, it is here too."""
        return self._places.get((url, name), url)
