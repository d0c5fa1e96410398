"""One mail and what a page says of it.

Owns the reading of finished mails. Pure.
"""

import email
import email.policy
import re
from dataclasses import dataclass
from email.message import EmailMessage
from functools import cached_property
from html.parser import HTMLParser
from typing import Final

from l3mail.content import LARGEST_HTML

HEADERS: Final = tuple(
    "From Reply-To To Subject Date Message-ID List-Id List-Unsubscribe List-Unsubscribe-Post"
    " List-Help Auto-Submitted".split()
)
_HIDDEN = re.compile(r"display\s*:\s*none", re.IGNORECASE)
_FILLING = re.compile("[\\s\u00ad\u034f\u200b-\u200f\u2060\ufeff]+")
_VOID = frozenset("area base br col embed hr img input link meta source track wbr".split())


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the gallery: its heading, and what it says below."""

    title: str
    exhibits: "tuple[Exhibit, ...]"


@dataclass(frozen=True)
class Exhibit:
    """One mail to look at; `name` is its text's slug, `note` one line about this very mail."""

    name: str
    kind: str
    locale: str
    mail: bytes
    note: str = ""

    @cached_property
    def _parsed(self) -> EmailMessage:
        parsed = email.message_from_bytes(self.mail, policy=email.policy.default)
        assert isinstance(parsed, EmailMessage)
        return parsed

    @property
    def subject(self) -> str:
        """The subject; its slug where it has none."""
        return str(self._parsed["Subject"] or "") or self.name

    @property
    def sender(self) -> str:
        """Who writes, as a list of mails shows it: the name, else the address."""
        said = self._parsed["From"]
        addresses = said.addresses if said is not None else ()
        return (addresses[0].display_name or addresses[0].addr_spec) if addresses else ""

    @cached_property
    def headers(self) -> list[tuple[str, str]]:
        """The headers that matter, those it has, decoded."""
        found = ((name, self._parsed[name]) for name in HEADERS)
        return [(name, str(value)) for name, value in found if value is not None]

    @cached_property
    def html(self) -> str:
        """The HTML part; "" for none."""
        return self._body("html")

    @cached_property
    def text(self) -> str:
        """The text part; "" for none."""
        return self._body("plain")

    @cached_property
    def preheader(self) -> str:
        """The line that mail programs show behind the subject; "" where it hides none."""
        finder = _Preheader()
        finder.feed(self.html)
        finder.close()
        return _FILLING.sub(" ", "".join(finder.words)).strip()

    @property
    def kilobytes(self) -> str:
        """How much travels."""
        return _in_kilobytes(len(self.mail))

    @property
    def share(self) -> float:
        """The size of its HTML as a share of what Gmail shows before it cuts off the rest."""
        return len(self.html.encode()) / LARGEST_HTML

    @property
    def measure(self) -> str:
        """The same in words."""
        size = _in_kilobytes(len(self.html.encode()))
        return f"{size} of HTML; Gmail cuts off what is over {_in_kilobytes(LARGEST_HTML, 0)}"

    @property
    def stem(self) -> str:
        """What its files are called, before it is known who else is called so."""
        tame = re.sub(r"[^a-z0-9]+", "-", self.name.lower()).strip("-")
        return ".".join(filter(None, [tame or "mail", re.sub(r"[^\w-]+", "", self.locale)]))

    def _body(self, subtype: str) -> str:
        part = self._parsed.get_body((subtype,))
        return str(part.get_content()) if part is not None else ""


def _in_kilobytes(size: int, digits: int = 1) -> str:
    return f"{size / 1024:.{digits}f}\N{NO-BREAK SPACE}KB"


class _Preheader(HTMLParser):
    """The words of the first element that is not displayed."""

    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []
        self._depth = 0
        self._done = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _VOID or self._done:
            return
        if self._depth or _HIDDEN.search(dict(attrs).get("style") or ""):
            self._depth += 1

    def handle_endtag(self, tag: str) -> None:
        if self._depth and tag not in _VOID:
            self._depth -= 1
            self._done = self._depth == 0

    def handle_data(self, data: str) -> None:
        if self._depth:
            self.words.append(data)
