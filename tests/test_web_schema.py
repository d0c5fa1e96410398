"""Thousands of requests that no form of ours would send, made of a description of the pages.

The description is made of the routes and of the forms that the pages themselves show: a page that
is added is asked too. Half of the requests keep to it, with tokens that open something; the other
half breaks it somewhere. `L3MAIL_CASES` says how many there are: ten thousand take a minute.
"""

import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import Case, GenerationMode

from tests.fakes.midst import SETTINGS, Answer, Knock, Link, Midst, knocking, midst, routes
from tests.fakes.porch import BASE_URL, Porch, open_porch
from tests.fakes.village import Village

CASES = int(os.environ.get("L3MAIL_CASES", "2000"))
NASTY = [
    "",
    "9" * 30,
    "%s%n{0.__class__}",
    "{{ 7*7 }}",
    "<script>alert(1)</script>",
    "' OR 1=1 --",
    "../../etc/passwd",
    "a\r\nBcc: evil@x.example",
    "=?utf-8?q?x=0D=0ABcc:_evil=40x.de?=",
    "-1",
    "\x00",
    "\u202e\u2028",
    "é" * 500,
    "\U0001f648",
]
PLAUSIBLE: dict[str, list[str]] = {
    "email": ["ada@schule.example", "neu@schule.example", "jürgen@bücher.example"],
    "first_name": ["Ada", "Änne"],
    "birthday": ["17.5.1980", "--05-17"],
    "seats": ["3", "1,5"],
    "locale": ["de", "en", "de-simple", "tlh"],
    "source": ["plakat"],
    "stream": ["kurs", "newsletter"],
    "of": ["q1", "q2", "nutzen", "video"],
    "pick": ["a", "b"],
    "page": ["1", "2"],
    "name": ["Ada Licht"],
    "tracking": ["yes"],
    "List-Unsubscribe": ["One-Click"],
}
SEVERAL = {"stream", "shown"}
REQUIRED = {"email", "stream", "action", "choice", "decision", "answer", "of", "day"}
QUERIES = {
    "subscribe": ("stream", "source"),
    "archive": ("stream", "page"),
    "approve": ("mail",),
    "verify": ("code",),
    "quiz": ("of", "pick"),
    "feedback": ("of", "pick"),
    "interest": ("of",),
}
VISITS = {"event", "counter"}
"""Where a look may be written down."""

TRACEBACK = re.compile(rb"Traceback|File \"|sqlalchemy|sqlite3|psycopg|\.py\b")
OTHER_HEADERS = [
    {"Content-Type": "application/json"},
    {"Content-Type": "multipart/form-data; boundary=x"},
    {"Content-Type": "application/x-www-form-urlencoded; charset=utf-16"},
    {"Content-Type": "\xff"},
    {"Content-Length": "-1"},
    {"Host": "evil.example", "X-Forwarded-Host": "evil.example"},
    {"Accept-Language": "\xff;q=x,*,de;q=9"},
    {"X-Forwarded-For": "unknown, ::ffff:1%eth0, 999.1.1.1"},
    {"Range": "bytes=9-1,-", "If-Range": "x"},
    {"Cookie": "a=b; c", "Authorization": "Bearer \xff"},
]


class Fields(HTMLParser):
    """The names of a page's fields and buttons, with the values it offers."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: dict[str, list[str]] = {}
        self._select = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        name = given.get("name", "")
        if tag == "select":
            self._select = name
        if tag == "option":
            name = self._select
        if name and tag in {"input", "button", "option", "select", "textarea"}:
            offered = self.found.setdefault(name, [])
            if given.get("value"):
                offered.append(given["value"])


def _values(name: str, offered: list[str]) -> dict[str, Any]:
    """What is plausible, and a few of what is not: other ones for every field."""
    first = sum(map(ord, name)) % len(NASTY)
    nasty = (NASTY[first:] + NASTY[:first])[: 1 if offered else 2]
    return {"enum": list(dict.fromkeys([*(offered or PLAUSIBLE.get(name, [])), *nasty]))}


def _form(fields: Mapping[str, list[str]]) -> dict[str, Any]:
    """What a form may hold: each field once or, where there are boxes, several times."""
    one = {name: _values(name, offered) for name, offered in fields.items()}
    return {
        "type": "object",
        "properties": {
            name: {"type": "array", "items": values, "maxItems": 3} if name in SEVERAL else values
            for name, values in one.items()
        },
        "required": sorted(one.keys() & REQUIRED),
    }


def described(knock: Knock, someone: Midst) -> dict[str, Any]:
    """The pages as OpenAPI says it."""
    found: dict[str, dict[str, Any]] = {}
    extra = {("GET", "/c/{token}/{n}"), ("GET", "/o/{token}.gif")}
    for method, path in sorted(routes() | extra):
        plain = path.replace(":path", "")
        page = path.split("/")[1]
        if plain.endswith("/preview"):
            continue  # one page under many names
        asked = [
            {"name": name, "in": "query", "schema": _values(name, [])}
            for name in ("locale", *QUERIES.get(page, ()))
        ]
        links = _links(someone, page, plain)
        tokens = [link.token for link in links]
        parameters = [_parameter(name, tokens) for name in re.findall(r"{(\w+)", path)]
        operation: dict[str, Any] = {
            "parameters": parameters + asked,
            "responses": {"200": {"description": "an answer"}},
        }
        if method == "POST":
            operation["requestBody"] = _body(
                knock, [link.path for link in links] or ["/" + page], plain
            )
        found.setdefault(plain, {})[method.lower()] = operation
    return {"openapi": "3.1.0", "info": {"title": "l3mail", "version": "1"}, "paths": found}


def _links(someone: Midst, page: str, path: str) -> list[Link]:
    """The links that lead to a route; to one that only takes, those to what it belongs to."""
    route = re.compile(re.sub(r"{\w+}", "[^/]+", path))
    of_page = [link for link in someone.links.values() if link.page == page]
    exactly = [link for link in of_page if route.fullmatch(urlsplit(link.path).path)]
    return exactly or of_page


def _parameter(name: str, tokens: list[str]) -> dict[str, Any]:
    known = {
        "slug": ["newsletter/2026-12", "newsletter/none"],
        "course": ["kurs", "none"],
        "n": ["1", "2", "0", "-1", "9" * 20, "१"],
        "digest": ["0123456789abcdef"],
        "name": ["pages.css", "icon.svg", "a.png", "..", "%2e%2e"],
        "code": ["0" * 26],
        "rest": ["x"],
    }
    values = tokens if name == "token" else known.get(name, ["x"])
    return {"name": name, "in": "path", "required": True, "schema": {"enum": values}}


def _body(knock: Knock, shown: list[str], path: str) -> dict[str, Any]:
    fields: dict[str, list[str]] = {"locale": []}
    for where in ["/subscribe", "/link"] if path.startswith("/api/") else shown:
        answer = knock("GET", where)
        for name, offered in Fields(answer.body.decode()).found.items():
            fields.setdefault(name, []).extend(offered)
    if path.startswith("/unsubscribe/"):
        fields["List-Unsubscribe"] = []
    form = _form(fields)
    if path.startswith("/api/"):
        return {"required": True, "content": {"application/json": {"schema": form}}}
    kinds = ("application/x-www-form-urlencoded", "multipart/form-data")
    return {"content": {kind: {"schema": form} for kind in kinds}}


@pytest.fixture
def porch(sqlite_village: Village, tmp_path: Path) -> Iterator[Porch]:
    many = SETTINGS.replace("[signup]", "[signup]\nper_network = 100000\noverall = 100000\n")
    with open_porch(sqlite_village, tmp_path, many) as porch:
        yield porch


def _asked(case: Case[Any]) -> tuple[str, str, bytes, dict[str, str]] | None:
    """A case as it goes over the wire; None for one that no program could send."""
    given = case.as_transport_kwargs(base_url=BASE_URL)
    given.pop("cookies", None)
    try:
        ready = requests.Request(**given).prepare()
    except (ValueError, requests.RequestException):
        return None
    body: Any = ready.body or b""
    parts = urlsplit(ready.url or "")
    headers = {str(k): str(v) for k, v in ready.headers.items()}
    sent = body.encode() if isinstance(body, str) else bytes(body)
    return str(ready.method), f"{parts.path}?{parts.query}", sent, headers


def _check(asked: object, answer: Answer) -> None:
    assert answer.status < 500, (asked, answer)
    assert answer.header(b"referrer-policy") == b"no-referrer", (asked, answer)
    if answer.is_html:
        policy = answer.header(b"content-security-policy") or b""
        assert b"default-src 'none'" in policy, (asked, answer)
        assert b"script-src" not in policy, (asked, answer)
    assert not TRACEBACK.search(answer.body), (asked, answer)
    assert b"<script>alert" not in answer.body, (asked, answer)


def _ways(number: int, method: str, url: str, body: bytes, headers: dict[str, str]) -> list[Any]:
    """A request, and what somebody could make of it."""
    other = OTHER_HEADERS[number % len(OTHER_HEADERS)]
    more = OTHER_HEADERS[(number // 3) % len(OTHER_HEADERS)]
    if method == "POST":
        twice = body + b"&" + body if number % 2 else body[: len(body) // 2]
        return [
            (method, url, body, headers),
            (method, url, body, headers | other),
            (method, url, twice, headers | {"Content-Length": str(len(twice))}),
            (method, url, body, headers | more | {"Accept-Language": "en"}),
        ]
    return [
        (method, url, body, headers),
        ("HEAD", url, body, headers | other),
        (("OPTIONS", "PUT", "PROPFIND", "x")[number % 4], url, body, headers),
        (method, url, body, headers | other | more),
    ]


def _try(knock: Knock, operation: Any, mode: GenerationMode, cases: int) -> Counter[int]:
    """Ask for one page in this mode; how often it answered how."""
    seen: Counter[int] = Counter()

    @settings(
        max_examples=cases,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(operation.as_strategy(generation_mode=mode))
    def ask(case: Case[Any]) -> None:
        asked = _asked(case)
        if asked is None:
            return
        for one in _ways(seen.total(), *asked):
            answer = knock(*one)
            _check(one, answer)
            seen[answer.status] += 1

    ask()
    return seen


def _ask_all(knock: Knock, operations: list[Any], requests_wanted: int) -> Counter[str]:
    """So many requests, half of them in keeping with what is described."""
    cases = max(requests_wanted // (len(operations) * 2 * 4), 1)
    seen: Counter[str] = Counter()
    for operation in operations:
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            for status, times in _try(knock, operation, mode, cases).items():
                seen["asked"] += times
                if mode is GenerationMode.POSITIVE and status in {200, 202}:
                    seen[operation.path] += times
    return seen


def test_no_request_is_a_fault_of_ours(porch: Porch) -> None:
    """Nothing is 5xx, tells how the house is built, or changes anything where it only looks."""
    someone = midst(porch.village, first_name="Ada", last_name="Licht")
    with knocking(porch) as knock:
        schema = schemathesis.openapi.from_dict(described(knock, someone))
        found: list[Any] = list(schema.get_all_operations())
        operations = [one.ok() for one in found]
        reading = [one for one in operations if one.method == "get"]
        acting = [one for one in operations if one.method != "get"]
        before = {name: rows for name, rows in porch.dump().items() if name not in VISITS}
        read = _ask_all(knock, reading, CASES // 4)
        after = porch.dump()
        assert {name: after[name] for name in before} == before
        acted = _ask_all(knock, acting, CASES - CASES // 4)
    assert read["asked"] + acted["asked"] >= CASES * 3 // 4
    # Tokens and fields were such that what the pages are for was done, and not only refused.
    unreached = {one.path for one in acting if not acted[one.path]}
    assert len(unreached) <= len(acting) // 5, unreached
