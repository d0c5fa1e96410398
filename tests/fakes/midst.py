"""Somebody in the middle of everything: every personal link of ours they hold, and a knock.

`Knock` asks the door without a client between: thousands of requests are no work for a test.
"""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib import import_module
from pkgutil import iter_modules
from typing import Any
from urllib.parse import unquote, urlsplit

from l3mail import alarms, courses, newsletters, subscribers, triggers, web
from l3mail.addresses import parse_address
from l3mail.courses import Outline
from l3mail.models import APPROVAL, CAMPAIGN_MESSAGE, ENROLLMENT, LINK_REQUEST, MESSAGE
from l3mail.tokens import Purpose
from l3mail.web.gate import Asgi, Message, Scope
from tests.fakes.newcomer import RULES
from tests.fakes.parish import BERLIN, declare, friend, terms
from tests.fakes.porch import TOKENS, Porch
from tests.fakes.questions import FEEDBACK, QUIZ, SEVERAL, ask
from tests.fakes.village import Village

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
APPROVER = "leitung@stadt.example"
SETTINGS = f"""
[tracking]
mode = "consent"
[alerts]
to = ["it@stadt.example"]
approvers = ["{APPROVER}"]
[signup]
fields = ["first_name", "last_name", "salutation", "birthday", "district", "role", "seats"]
[attributes.ziel]
title = "Mein Lernziel"
[attributes.role]
type = "choice"
choices = ["schule", "vhs"]
[attributes.seats]
type = "number"
"""
ISSUE, WAITING = "newsletter/2026-12", "newsletter/2027-01"
URLS = ("https://medien.example/a?b=1", "https://beispiele.example")


def routes() -> set[tuple[str, str]]:
    """Method and path of every page there is, but for the pixel and the measured links."""
    modules = [import_module(f"l3mail.web.{one.name}") for one in iter_modules(web.__path__)]
    return {
        (method, route.path)
        for module in modules
        for route in getattr(getattr(module, "router", None), "routes", ())
        for method in route.methods
    }


@dataclass(frozen=True)
class Link:
    """A link with a token: `at` says where another token would be read."""

    page: str
    purpose: Purpose
    numbers: tuple[int, ...]
    expires_at: datetime | None = None
    tail: str = ""
    query: str = ""

    @property
    def token(self) -> str:
        return TOKENS.make(self.purpose, *self.numbers, expires_at=self.expires_at)

    @property
    def path(self) -> str:
        return self.at(self.token)

    def at(self, token: str) -> str:
        return f"/{self.page}/{token}{self.tail}{self.query}"


@dataclass(frozen=True)
class Midst:
    """Ada, who is confirmed, enrolled and measured, and Bob, who was just asked.

    Dora waits for another address, and Erin has a link of her own to go by.
    """

    ada: int
    bob: int
    enrollment: int
    message: int
    lesson: int
    links: Mapping[str, Link]

    def path(self, name: str) -> str:
        return self.links[name].path


def midst(village: Village, **values: Any) -> Midst:
    """Everything there is a link for; `values` are personal ones of both."""
    approval = _wait_for_a_yes(village)
    now, hour = village.now, village.now + timedelta(hours=1)
    outline = Outline(
        slug="kurs",
        title="Digital kommunizieren",
        cadence={"weekday": "mon", "at": "10:00"},
        lessons=[("kurs/01", "lesson"), ("kurs/02", "lesson")],
        rules={"complete_after": 20},
        asks=["ziel"],
    )
    village.do(courses.define, outline, village.stream("kurs"), now)
    ada = village.learner(tracking=True, **values)
    bob = village.person("bob@schule.example", **values)
    enrollment = village.do(courses.enroll, "kurs", ada, now, terms(village).zone)
    village.change(ENROLLMENT, enrollment, completed_at=now)
    message = village.publish(html="<p>{{ greeting }}</p>")
    compiled = village.row(MESSAGE, message)["compiled"] | {"interests": ["video"]}
    village.change(MESSAGE, message, compiled=compiled)
    ask(village, message, QUIZ, SEVERAL, FEEDBACK)
    village.number_links(message, *URLS)
    ended: dict[str, Any] = dict.fromkeys(("started_at", "first_started_at", "ended_at"), now)
    lesson = village.delivery(
        ada, enrollment_id=enrollment, message_id=message, state="accepted", tracked=True, **ended
    )
    _send_an_issue(village, ada)
    said = {n: v for n, v in values.items() if n in {"first_name", "last_name", "salutation"}}
    signup = village.signup(bob, streams=["kurs", "newsletter"], signup_values=said)
    fresh = village.link_request(ada)
    leaving = (ada, village.stream(), 1)
    approver = alarms.approver_number(APPROVER)
    dora, erin = (village.learner(f"{name}@schule.example", **values) for name in ("dora", "erin"))
    hers = village.link_request(erin)
    wish = _wish_for_another(village, dora)
    links = {
        "confirm": Link("confirm", Purpose.CONFIRM, (signup, 1), hour),
        "refuse": Link("refuse", Purpose.REFUSE, (signup, 1), hour),
        "unsubscribe": Link("unsubscribe", Purpose.UNSUBSCRIBE, leaving),
        "preferences": Link("preferences", Purpose.PREFERENCES, (lesson,)),
        "fresh": Link("preferences", Purpose.PREFERENCES, (0, fresh), hour),
        "data": Link("preferences", Purpose.PREFERENCES, (0, fresh), hour, tail="/data"),
        "details": Link("preferences", Purpose.PREFERENCES, (0, fresh), hour, tail="/details"),
        "another": Link("preferences", Purpose.PREFERENCES, (0, fresh), hour, tail="/address"),
        "delete": Link("preferences", Purpose.PREFERENCES, (0, hers), hour, tail="/delete"),
        "address": Link("address", Purpose.ADDRESS, (wish,), hour),
        "view": Link("view", Purpose.VIEW, (lesson,)),
        "approve": Link("approve", Purpose.APPROVE, (approval, approver), hour),
        "release": Link("release", Purpose.RELEASE, (_wait_for_release(village), approver), hour),
        "click": Link("c", Purpose.TRACK, (lesson,), tail="/1"),
        "everybody's click": Link("c", Purpose.TRACK, (0, message), tail="/2"),
        "pixel": Link("o", Purpose.TRACK, (lesson,), tail=".gif"),
    }
    queries = {"interest": "?of=video", "quiz": "?of=q1&pick=b", "feedback": "?of=nutzen"}
    for page in (*queries, "course", "done", "certificate"):
        links[page] = Link(page, Purpose.ACT, (lesson,), query=queries.get(page, ""))
    return Midst(ada, bob, enrollment, message, lesson, links)


def _wait_for_a_yes(village: Village) -> int:
    """A yearly mailing that an approver is asked about."""
    today, soon = village.now.strftime("%m-%d"), village.now.astimezone(BERLIN).hour + 1
    rule = {"trigger": "yearly", "on": today, "at": f"{soon}:00", "valid_for": "2d"}
    declare(village, approval="required", **rule)
    village.publish("lifecycle/gruss", html="<h1>Guten Tag</h1>")
    friend(village, "cleo", joined=village.now - timedelta(days=700))
    village.do(triggers.plan, terms(village), 100)
    (approval,) = village.rows(APPROVAL)
    return int(approval["id"])


def _wish_for_another(village: Village, person: int) -> int:
    """What the new address is asked."""
    new = parse_address("dora@neu.example")
    assert village.do(subscribers.ask_new_address, RULES, person, new, village.now) == "mailed"
    (row,) = [row for row in village.rows(LINK_REQUEST) if row["purpose"] == "address"]
    return int(row["id"])


def _wait_for_release(village: Village) -> int:
    """An issue that waits for a second person."""
    village.publish(WAITING, stream="newsletter", html="<h1>Guten Tag</h1>")
    at = village.now + timedelta(days=1)
    values: dict[str, Any] = {"segment": None, "by": "ada", "now": village.now}
    return village.do(newsletters.schedule, WAITING, at, **values, lapses_at=at + timedelta(days=2))


def _send_an_issue(village: Village, to: int) -> None:
    """An issue that stands in the archive."""
    campaign = village.campaign(ISSUE)
    sent = village.publish(ISSUE, html="<html><head></head><body>{{ greeting }}</body></html>")
    row = {"campaign_id": campaign, "locale": "de", "message_id": sent}
    village.insert(CAMPAIGN_MESSAGE, **row)
    values = {"campaign_id": campaign, "slug": ISSUE, "state": "accepted", "message_id": sent}
    village.delivery(to, "newsletter", **values)


# -- knocking


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes

    def header(self, name: bytes) -> bytes | None:
        return next((value for key, value in self.headers if key.lower() == name), None)

    @property
    def is_html(self) -> bool:
        return (self.header(b"content-type") or b"").startswith(b"text/html")


class Knock:
    """Requests to an application, one after the other, in a loop of its own."""

    def __init__(self, app: Asgi) -> None:
        """Stand before `app`; `door` below closes the loop."""
        self._app = app
        self._runner = asyncio.Runner()

    def __call__(
        self,
        method: str,
        url: str,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        return self._runner.run(self.ask(method, url, body, headers))

    async def ask(
        self,
        method: str,
        url: str,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """One request; `url` is a path with its query, quoted where it must be."""
        parts = urlsplit(url)
        raw = parts.path.encode("ascii")
        given = {"host": "porch.example", "content-length": str(len(body))}
        given |= {name.lower(): value for name, value in (headers or {}).items()}
        scope: Scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": unquote(parts.path),
            "raw_path": raw,
            "root_path": "",
            "query_string": parts.query.encode("ascii"),
            "headers": [
                (k.lower().encode("latin-1"), v.encode("latin-1")) for k, v in given.items()
            ],
            "client": ("192.0.2.7", 5),
            "server": ("porch.example", 80),
        }
        said: list[Message] = []
        told = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> Message:
            return told.pop() if told else {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            said.append(message)

        await self._app(scope, receive, send)
        start = said[0]
        return Answer(
            start["status"],
            tuple((bytes(name), bytes(value)) for name, value in start["headers"]),
            b"".join(one.get("body", b"") for one in said[1:]),
        )

    def close(self) -> None:
        self._runner.close()


@contextmanager
def knocking(porch: Porch) -> Iterator[Knock]:
    """A knock at the porch's door."""
    knock = Knock(porch.client.app)
    yield knock
    knock.close()
