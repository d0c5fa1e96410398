"""What every page needs at hand, and one visit of somebody who came to the door.

Owns the choice of language for a visit, the reading of its form and the shape of an answer. Must
not know which pages there are.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Annotated, Any, Protocol, TypeVar
from urllib.parse import urlencode, urlsplit

from fastapi import Depends, Request
from fastapi.responses import HTMLResponse
from sqlalchemy import Connection
from starlette.exceptions import HTTPException

from l3mail.clocks import Clock
from l3mail.courses import Together
from l3mail.database import Database
from l3mail.events import Guestbook
from l3mail.locales import accepted, choose, date_in_words, moment_in_words
from l3mail.settings import Settings
from l3mail.subscribers import Rules
from l3mail.tokens import Tokens
from l3mail.web.limits import Ceilings, Network, visitor
from l3mail.web.pages import Pages
from l3mail.web.words import Words

T = TypeVar("T")
Verb = Callable[[Connection], T]
Form = Mapping[str, Sequence[str]]
MOST_FIELDS = 100


@dataclass(frozen=True)
class Door:
    """What the pages of one workspace share; nothing of it belongs to a visit."""

    settings: Settings
    database: Database
    tokens: Tokens
    clock: Clock
    rules: Rules
    words: Words
    pages: Pages
    ceilings: Ceilings
    trusted: Sequence[Network]
    wake: Callable[[], None]
    late: Callable[[Connection, datetime], Sequence[str]]
    silent_for: Callable[[], timedelta | None]
    book: Guestbook
    together: Together = field(default_factory=Together)
    closed: bool = False

    @property
    def prefix(self) -> str:
        """The path of BASE_URL, before every link of ours."""
        return urlsplit(self.settings.web.base_url).path


class Speaker(Protocol):
    """Who says something of a workspace in one language: a visit, or what is made for a visitor."""

    @property
    def tag(self) -> str:
        """The language."""

    @property
    def settings(self) -> Settings:
        """Those of the workspace."""

    def say(self, word: str, **values: object) -> str:
        """A word in the language."""


class Visit:
    """One request, and the answers to it."""

    def __init__(self, door: Door, request: Request) -> None:
        """Somebody is at the door."""
        self.door = door
        self.request = request
        self.now = door.clock.now()
        self._tag = self.choose(None)

    def choose(self, of_person: str | None) -> str:
        """Speak the language asked for, the person's, or the browser's; say which it is."""
        wishes = (
            self.request.query_params.get("locale"),
            of_person,
            *accepted(self.request.headers.get("accept-language", "")),
        )
        known = self.door.words.locales
        self._tag = choose(wishes, known, self.door.settings.workspace.locale)
        return self._tag

    @property
    def tag(self) -> str:
        """The language this visit is answered in."""
        return self._tag

    @property
    def settings(self) -> Settings:
        """The workspace's."""
        return self.door.settings

    def speak(self, tag: str) -> None:
        """Answer in the language a form was shown in, if we have words for it."""
        self._tag = choose([tag], self.door.words.locales, self._tag)

    def say(self, word: str, **values: object) -> str:
        """A word in the visit's language."""
        return self.door.words.say(self._tag, word, **values)

    def day(self, moment: datetime) -> str:
        """The local day of a moment, in words."""
        return date_in_words(moment.astimezone(self.door.settings.zone).date(), self._tag)

    def moment(self, moment: datetime) -> str:
        """Local day and time of a moment, in words."""
        return moment_in_words(moment.astimezone(self.door.settings.zone), self._tag)

    def page(self, name: str, status: int = 200, **values: Any) -> HTMLResponse:
        """The page `name`, in the visit's language."""
        values = {"languages": self._languages(), **values}
        html = self.door.pages.fill(name, self._tag, values)
        # A lone surrogate cannot be written; what got this far is shown as a question mark.
        return HTMLResponse(html.encode("utf-8", "replace"), status)

    def note(self, word: str, status: int = 200, *, way_on: bool = False) -> HTMLResponse:
        """A page that only says something."""
        return self.page("note", status, word=word, way_on=way_on)

    def stale(self, email: str = "", error: str = "", status: int = 404) -> HTMLResponse:
        """The one page every broken, foreign or expired link leads to, with a way on.

        A house that has stopped mails no new links.
        """
        if self.door.closed:
            return self.note("goodbye", status)
        return self.page("stale", status, email=email, error=error)

    async def form(self) -> dict[str, list[str]]:
        """The fields that were sent, each with all its values; HTTPException 400 if unreadable."""
        try:
            sent = await self.request.form(max_files=0, max_fields=MOST_FIELDS)
        except (ValueError, KeyError, LookupError) as fault:  # an unknown charset, a broken head
            raise HTTPException(400) from fault
        fields: dict[str, list[str]] = {}
        for name, value in sent.multi_items():
            if isinstance(value, str):
                fields.setdefault(name, []).append(value)
        return fields

    async def write(self, verb: Verb[T]) -> T:
        """Run a changing verb in a thread of its own."""
        return await self.door.database.writes(verb)

    async def read(self, verb: Verb[T]) -> T:
        """Run an asking verb in a thread of its own."""
        return await self.door.database.reads(verb)

    @property
    def address(self) -> str:
        """Where the visit came from, as far as a proxy we trust can be believed."""
        peer = self.request.client.host if self.request.client else ""
        return visitor(peer, self.request.headers.getlist("x-forwarded-for"), self.door.trusted)

    def _languages(self) -> list[dict[str, str]]:
        rest = [
            (name, value)
            for name, value in self.request.query_params.multi_items()
            if name != "locale"
        ][:20]
        return [
            {
                "tag": tag,
                "name": self.door.words.say(tag, "house.language"),
                "href": "?" + urlencode([*rest, ("locale", tag)], errors="replace"),
            }
            for tag in self.door.words.locales
        ]


async def _arrive(request: Request) -> Visit:
    return Visit(request.app.state.door, request)


Visiting = Annotated[Visit, Depends(_arrive)]


def one(form: Form, name: str) -> str:
    """The first value of a field, or nothing."""
    return next(iter(form.get(name, ())), "")
