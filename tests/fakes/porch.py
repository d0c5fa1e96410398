"""The subscribers' door before a village, and somebody who knocks: a browser without scripts."""

import re
import socket
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import uvicorn
from httpx import Response
from sqlalchemy import Table, func, select

from l3mail import streams
from l3mail.events import Guestbook
from l3mail.models import METADATA, SIGNUP
from l3mail.settings import Settings, load_settings
from l3mail.subscribers import Rules
from l3mail.tokens import Purpose, Tokens
from l3mail.web import create_app
from tests.fakes.village import PEPPER, Village

with warnings.catch_warnings():
    # Starlette would rather have httpx's successor; both speak to an application alike.
    warnings.simplefilter("ignore", DeprecationWarning)
    warnings.simplefilter("ignore", UserWarning)
    from starlette.testclient import TestClient as TestClient  # noqa: PLC0414 - for tests too

KEY = "the porch's key, thirty-two characters"
TOKENS = Tokens([KEY])
BASE_URL = "http://porch.example"
SETTINGS = f"""
[workspace]
name = "Bildung in Musterstadt"
[sender]
from = "Bildung <kurs@stadt.example>"
[impressum]
name = "Landeshauptstadt Musterstadt"
address = "Rathausplatz 1, 12345 Musterstadt"
email = "bildung@stadt.example"
phone = "+49 351 0000"
privacy_url = "https://stadt.example/privacy"
[web]
base_url = "{BASE_URL}"
"""


class Porch:
    """A running door; `client` visits it, and `later` lets the form grow old enough."""

    def __init__(
        self, village: Village, client: TestClient, settings: Settings, book: Guestbook
    ) -> None:
        self.village = village
        self.client = client
        self.settings = settings
        self.book = book
        self.links: list[str] = []

    def token(self, purpose: Purpose, *numbers: int, **values: Any) -> str:
        return TOKENS.make(purpose, *numbers, **values)

    def newest(self, table: Table) -> dict[str, Any]:
        """The row made last."""
        return max(self.village.rows(table), key=lambda row: int(row["id"]))

    def confirmation(self) -> str:
        """The link of the newest sign-up's confirmation mail."""
        signup = self.newest(SIGNUP)
        numbers = (signup["id"], signup["generation"])
        return "/confirm/" + self.token(Purpose.CONFIRM, *numbers, expires_at=signup["expires_at"])

    def sign_up(self, email: str = "ada@schule.example", **values: Any) -> Response:
        """Fill in the form as somebody would who takes their time."""
        form = form_of(self.client.get("/subscribe").text)
        self.village.clock.advance(timedelta(seconds=20))
        data = {**form, "email": email, "stream": ["kurs"], **values}
        answer: Response = self.client.post("/subscribe", data=data)
        return answer

    def dump(self) -> dict[str, list[dict[str, Any]]]:
        """Every row of every table, visits that waited among them."""
        self.book.flush()
        return {table.name: self.village.rows(table) for table in METADATA.sorted_tables}

    def signups(self) -> int:
        return int(self.village.ask(select(func.count(SIGNUP.c.id)))[0][0])


def open_settings(folder: Path, more: str = "", base_url: str = BASE_URL) -> Settings:
    """The porch's l3mail.toml, with `more` behind it."""
    text = SETTINGS.replace(BASE_URL, base_url) + more
    (folder / "l3mail.toml").write_text(text, encoding="utf-8")
    return load_settings(folder, {})


def declare_streams(village: Village) -> None:
    """What there is to join: the newsletter and a course."""
    village.do(streams.declare, "newsletter", "newsletter", "Bildung im Stadtteil", village.now)
    village.do(streams.declare, "kurs", "course", "Digital kommunizieren", village.now)


@contextmanager
def open_porch(
    village: Village,
    folder: Path,
    more: str = "",
    base_url: str = BASE_URL,
    tokens: Tokens = TOKENS,
    **values: Any,
) -> Iterator[Porch]:
    """The door of a village, with the newsletter and a course to join."""
    settings = open_settings(folder, more, base_url)
    declare_streams(village)
    rules = Rules(pepper=PEPPER, zone=settings.zone, fallback_locale=settings.workspace.locale)
    book = Guestbook(village.database, mode=settings.tracking.mode, zone=settings.zone)
    app = create_app(settings, village.database, tokens, village.clock, rules, book=book, **values)
    # Outside of its lifespan: what waits in the book is written when a test says so.
    client = TestClient(app, base_url=BASE_URL, follow_redirects=False)
    yield Porch(village, client, settings, book)


@contextmanager
def served(village: Village, settings: Settings) -> Iterator[str]:
    """The door over real HTTP, at a free port of this machine; its address."""
    rules = Rules(pepper=PEPPER, zone=settings.zone, fallback_locale=settings.workspace.locale)
    app = create_app(settings, village.database, TOKENS, village.clock, rules)
    config = uvicorn.Config(
        app, log_config=None, access_log=False, proxy_headers=False, ws="none", lifespan="off"
    )
    server = uvicorn.Server(config)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()  # who comes before the server has started waits
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


class Form(HTMLParser):
    """What a browser would send back of a page's forms, and the links on it."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.forms: list[dict[str, list[str]]] = []
        self.buttons: list[tuple[int, str, str]] = []
        self.links: list[str] = []
        self.ids: set[str] = set()
        self._select = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.ids.add(given.get("id", ""))
        if tag == "form":
            self.forms.append({})
        elif tag == "a":
            self.links.append(given.get("href", ""))
        elif tag == "button" and self.forms:
            self.buttons.append(
                (len(self.forms) - 1, given.get("name", ""), given.get("value", ""))
            )
        elif tag == "select":
            self._select = given.get("name", "")
        elif tag == "option" and "selected" in given:
            self._put(self._select, given.get("value", ""))
        elif tag == "input" and self.forms:
            box = given.get("type") in {"checkbox", "radio"}
            if not box or "checked" in given:
                self._put(given.get("name", ""), given.get("value", ""))

    def _put(self, name: str, value: str) -> None:
        if self.forms and name:
            self.forms[-1].setdefault(name, []).append(value)


def form_of(html: str, number: int = 0) -> dict[str, list[str]]:
    """The fields of one form on a page, as they stand there."""
    return Form(html).forms[number]


def title_of(html: str) -> str:
    """The first heading."""
    found = re.search(r"<h1>(.*?)</h1>", html, re.DOTALL)
    return found[1].strip() if found else ""
