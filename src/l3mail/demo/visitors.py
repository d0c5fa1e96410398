"""How the demo's people use the pages: a browser without scripts, over real HTTP.

Owns fetching, reading forms and sending them. Speaks to the demo's own door and to nobody else;
must not know rows or the mail server.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from html.parser import HTMLParser
from http.client import HTTPMessage, HTTPResponse
from typing import IO
from urllib.error import HTTPError, URLError
from urllib.parse import parse_qs, urlencode, urljoin, urlsplit
from urllib.request import HTTPRedirectHandler, ProxyHandler, Request, build_opener

from l3mail.demo.people import Person
from l3mail.errors import DemoError

PATIENCE_SECONDS = 30
TYPING = timedelta(seconds=20)
_VERIFY = re.compile(rb"https?://[^\s()]+/verify/[a-z2-7-]+")
_ELSEWHERE = {302, 303, 307}

Field = tuple[str, str]


@dataclass
class Form:
    """One form of a page: `fields` as it would be sent, and `boxes` that could be ticked."""

    fields: list[Field] = field(default_factory=list)
    boxes: set[Field] = field(default_factory=set)

    def filled(self, values: Mapping[str, str], ticks: tuple[Field, ...] = ()) -> list[Field]:
        """What is sent with these values typed or chosen and these boxes ticked.

        Raises DemoError where the form has no such field: people can't type into what is not there.
        """
        missing = values.keys() - {name for name, _ in self.fields}
        lacking = missing | {value for name, value in ticks if (name, value) not in self.boxes}
        if lacking:
            raise DemoError(f"the form has no field for {', '.join(sorted(lacking))}")
        kept = [(name, values.get(name, value)) for name, value in self.fields]
        return [*kept, *ticks]


class Page(HTMLParser):
    """An answer: its status, its forms, the moments it names, and where it leads to questions.

    `content` are its octets, for what is no page.
    """

    def __init__(self, url: str, status: int, html: str, content: bytes = b"") -> None:
        super().__init__()
        self.url = url
        self.status = status
        self.html = html
        self.content = content
        self.forms: list[Form] = []
        self.moments: list[str] = []
        self.questions: list[str] = []
        self._select = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Gather fields as a browser does."""
        given = {name: value or "" for name, value in attrs}
        here = (given.get("name", ""), given.get("value", ""))
        if tag == "form":
            self.forms.append(Form())
        elif tag == "a" and ("/quiz/" in given["href"] or "/feedback/" in given["href"]):
            self.questions.append(urljoin(self.url, given["href"]))
        elif tag == "time":
            self.moments.append(given.get("datetime", ""))
        elif tag == "select":
            self._select = here[0]
        elif tag == "option" and "selected" in given and self.forms:
            self.forms[-1].fields.append((self._select, here[1]))
        elif tag == "textarea" and self.forms:
            self.forms[-1].fields.append((here[0], ""))
        elif tag == "input" and self.forms:
            is_box = given.get("type") in {"checkbox", "radio"}
            if is_box and "checked" not in given:
                self.forms[-1].boxes.add(here)
            else:
                self.forms[-1].fields.append(here)

    def form(self, **holding: str) -> Form:
        """The form with this hidden field; raises DemoError where the page has none."""
        for form in self.forms:
            if holding.items() <= set(form.fields):
                return form
        raise DemoError(f"{_route(self.url)} answered {self.status} without the form looked for")


def question_of(link: str) -> str:
    """The name of the question a link leads to."""
    return parse_qs(urlsplit(link).query)["of"][0]


class Browser:
    """Fetches pages of one address; `let_pass` lets time go by while somebody types."""

    def __init__(self, base_url: str, let_pass: Callable[[timedelta], None]) -> None:
        self._base_url = base_url
        self._let_pass = let_pass
        # No proxy of this machine is asked: what we want is here. What is elsewhere is not fetched.
        self._opener = build_opener(ProxyHandler({}), _Stay())

    def get(self, url: str) -> Page:
        """Open a page."""
        return self._fetch(url, None)

    def post(self, url: str, fields: list[Field]) -> Page:
        """Send a form."""
        return self._fetch(url, urlencode(fields).encode())

    def sign_up(self, person: Person) -> bool:
        """Fill in the form and send it; whether the page wanted one step more."""
        page = self.get(f"{self._base_url}/subscribe?locale={person.locale}")
        typed = {"email": person.address, "first_name": person.first_name}
        typed |= {"birthday": person.birthday, "district": person.district}
        ticks = [("stream", slug) for slug in person.streams]
        fields = page.form().filled(typed, (*ticks, *_allowing(person)))
        if not person.is_hasty:
            self._let_pass(TYPING)
        answer = self.post(page.url, fields)
        asked_more = answer.status == 428
        if asked_more:
            answer = self.post(page.url, answer.form().filled({}))
        _require(answer)
        return asked_more

    def confirm(self, link: str, person: Person) -> list[str]:
        """Open a link, tick what is asked again, press; the moments the page promises."""
        page = _require(self.get(link))
        return _require(self.post(link, page.form().filled({}, _allowing(person)))).moments

    def press(self, link: str) -> None:
        """Open a link of a mail's button and press the page's own."""
        _require(self.post(link, _require(self.get(link)).form().filled({})))

    def answer(self, link: str, value: str, comment: str) -> Page:
        """Choose on a question's page, add words where it has room for them, send it.

        A choice is letters, each a box of its own, or one mark; what comes is the page after it.
        """
        form = _require(self.get(link)).form()
        offered = {answer for name, answer in [*form.fields, *form.boxes] if name == "answer"}
        if not set(value) <= offered:
            raise DemoError(f"{_route(link)} offers no answer {value}")
        sent = form.filled({"comment": comment} if comment else {})
        kept = [field for field in sent if field[0] != "answer"]
        return _require(self.post(link, [*kept, *(("answer", letter) for letter in value)]))

    def collect(self, link: str, name: str) -> bytes:
        """Write one's name on the page of the certificate, and get the paper."""
        form = _require(self.get(link)).form().filled({"name": name})
        return _require(self.post(link, form)).content

    def verify(self, paper: bytes, name: str) -> bool:
        """Follow the address on a paper; whether it names the holder, and another one nobody."""
        found = _VERIFY.search(paper)
        if found is None:
            raise DemoError("the certificate says nowhere where it is verified")
        link = found[0].decode()
        other = link[:-1] + ("a" if link[-1] != "a" else "b")
        page = self.get(link)
        return page.status == 200 and name in page.html and self.get(other).status == 404

    def approve(self, link: str) -> None:
        """Read what waits for a yes, and press that button."""
        form = _require(self.get(link)).form()
        _require(self.post(link, [*form.filled({}), ("decision", "approve")]))

    def open_mail(self, images: Iterable[str]) -> int:
        """What a mail program does when a mail is shown: fetch its images; how many."""
        return len([_require(self.get(image)) for image in images])

    def follow(self, link: str) -> None:
        """Click a link that leads elsewhere by way of us; where it leads is not on this machine."""
        page = self.get(link)
        if page.status not in _ELSEWHERE:
            raise DemoError(f"{_route(link)} answered {page.status} and leads nowhere")

    def pause(self, link: str, course: str, weeks: int) -> None:
        """Pause a course on the preferences page."""
        page = _require(self.get(link))
        form = page.form(action="pause", course=course)
        _require(self.post(link, form.filled({"weeks": str(weeks)})))

    def forbid_measuring(self, link: str) -> None:
        """Take the tick off the box on the preferences page."""
        sent = _require(self.get(link)).form(action="other").filled({})
        ticked = [field for field in sent if field[0] == "tracking"]
        if not ticked:
            raise DemoError("the preferences page does not say that measuring is allowed")
        _require(self.post(link, [field for field in sent if field not in ticked]))

    def leave(self, link: str) -> None:
        """What a mail program sends when its own button is pressed (RFC 8058)."""
        _require(self.post(link, [("List-Unsubscribe", "One-Click")]))

    def scan(self, links: Iterable[str]) -> list[int]:
        """Open those links that lead to us, by HEAD and GET, and press nothing; the answers."""
        ours = [link for link in links if link.startswith(f"{self._base_url}/")]
        return [self._fetch(one, None, method).status for one in ours for method in ("HEAD", "GET")]

    def _fetch(self, url: str, data: bytes | None, method: str | None = None) -> Page:
        if not url.startswith(f"{self._base_url}/"):
            raise DemoError("a mail of the demo leads away from this machine")
        request = Request(url, data, method=method)  # noqa: S310 - our own http address, as seen above
        try:
            with self._opener.open(request, timeout=PATIENCE_SECONDS) as answer:
                return _page(url, answer.status, answer)
        except HTTPError as answer:
            with answer:
                return _page(url, answer.code, answer)
        except URLError as fault:
            raise DemoError(f"the demo's own pages do not answer: {fault.reason}") from fault


class _Stay(HTTPRedirectHandler):
    """Takes being sent elsewhere for an answer."""

    def redirect_request(  # noqa: PLR0917 - urllib's signature
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> None:
        """Go nowhere."""


def _allowing(person: Person) -> tuple[Field, ...]:
    return (("tracking", "yes"),) if person.tracking else ()


def _page(url: str, status: int, answer: HTTPResponse | HTTPError) -> Page:
    """The page; an image or the like has no HTML."""
    body: bytes = answer.read()
    is_page = answer.headers.get_content_type() == "text/html"
    return Page(url, status, body.decode() if is_page else "", body)


def _require(page: Page) -> Page:
    if page.status != 200:
        raise DemoError(f"{_route(page.url)} answered {page.status}")
    return page


def _route(url: str) -> str:
    """The page without what is personal in its address."""
    return "/" + url.split("/", 4)[3].partition("?")[0]
