"""The demo's mail server: takes every mail into a folder, and fails in four instructive ways."""

import email
import email.policy
import html
import re
import socket
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from functools import cached_property
from pathlib import Path

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

GREYLISTED = "gerda@kita-sonne.example"
"""Is told to come again, the first time."""
UNKNOWN = "nils@schule-am-park.example"
FULL = "vera@vhs-nord.example"
SILENT = "stina@bibliothek-west.example"
"""Takes a mail and drops the connection before saying so, once: the case nobody can decide."""
ROOM = 5
"""Mails that fit into the small mailbox."""
SILENT_AT = 3

_LINK = re.compile(r"https?://[^\s<>\"'()]+")
_IMAGE = re.compile(r"<img\b[^>]*?\ssrc=\"([^\"]+)\"")
_QUESTION = re.compile(r"(https?://\S+/(?:quiz|feedback)/\S+?\?of=([^\s&]+)&pick=)\w")
_LANGUAGE = re.compile(r'<html[^>]* lang="([^"]*)"')


@dataclass(frozen=True)
class Arrived:
    """One mail that was taken, and when; the same mail may come twice."""

    address: str
    at: datetime
    mail: EmailMessage
    content: bytes

    @cached_property
    def subject(self) -> str:
        """The subject."""
        return str(self.mail["Subject"])

    @cached_property
    def message_id(self) -> str:
        """The Message-ID, without its brackets."""
        return str(self.mail["Message-ID"]).strip("<> ")

    @cached_property
    def stream(self) -> str:
        """The slug the mail's List-Id begins with; "" for a mail of no stream."""
        return str(self.mail["List-Id"] or "").rpartition("<")[2].partition(".")[0]

    @property
    def one_click(self) -> str:
        """Where the mail program's own button leads (RFC 8058); "" where there is none."""
        return str(self.mail["List-Unsubscribe"] or "").strip("<> ")

    @cached_property
    def language(self) -> str:
        """The language the HTML part says it is in."""
        found = _LANGUAGE.search(self.html)
        return found[1] if found else ""

    @cached_property
    def links(self) -> list[str]:
        """Every web address in the mail, each once: in its headers, its text, its HTML."""
        said = [self.one_click, self.text, html.unescape(self.html)]
        return sorted({found for part in said for found in _LINK.findall(part)})

    @cached_property
    def images(self) -> list[str]:
        """The images a mail program fetches to show the mail, each once."""
        found = _IMAGE.findall(self.html)
        return list(dict.fromkeys(html.unescape(address) for address in found))

    @property
    def pixels(self) -> list[str]:
        """Those images that say whose mail was opened."""
        return [address for address in self.images if "/o/" in address]

    @property
    def measured(self) -> list[str]:
        """The links that lead elsewhere by way of a page of ours that counts them."""
        return [link for link in self.links if "/c/" in link]

    def button(self, wish: str) -> str:
        """Where the button for an interest leads; "" where the mail has none."""
        ending = f"?of={wish}"
        return next((link for link in self.links if link.endswith(ending)), "")

    @cached_property
    def questions(self) -> list[str]:
        """Where the mail's questions lead, in order; the letter or mark that is tapped follows."""
        asked: dict[str, str] = {}
        for link, name in _QUESTION.findall(self.text):
            asked.setdefault(name, link)
        return list(asked.values())

    def link(self, of: str) -> str:
        """The first link of the text part under a route, such as "confirm"; "" for none."""
        found = re.search(rf"https?://[^\s<>]*/{of}/[^\s<>]+", self.text)
        return found[0] if found else ""

    @cached_property
    def html(self) -> str:
        """The HTML part."""
        return self._part("html")

    @cached_property
    def text(self) -> str:
        """The text part."""
        return self._part("plain")

    def _part(self, subtype: str) -> str:
        part = self.mail.get_body((subtype,))
        return str(part.get_content()) if part is not None else ""


class Mailbox:
    """What arrived, in order, and one file for each mail."""

    def __init__(self, folder: Path, now: Callable[[], datetime]) -> None:
        """Write into `folder`, which exists."""
        self.folder = folder
        self.arrived: list[Arrived] = []
        self._now = now
        self._tried: Counter[str] = Counter()

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Say yes to all but those whose names say otherwise."""
        self._tried[address] += 1
        if address == UNKNOWN:
            return "550 5.1.1 no such mailbox"
        if address == FULL and self._tried[address] > ROOM:
            return "552 5.2.2 mailbox full"
        if address == GREYLISTED and self._tried[address] == 1:
            return "450 4.2.1 greylisted, come again"
        envelope.rcpt_tos.append(address)
        return "250 ok"

    async def handle_DATA(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        """Keep the mail; once, keep it and fall silent."""
        content = envelope.content
        address = envelope.rcpt_tos[0]
        assert isinstance(content, bytes)
        mail = email.message_from_bytes(content, policy=email.policy.default)
        assert isinstance(mail, EmailMessage)
        self.arrived.append(Arrived(address, self._now(), mail, content))
        (self.folder / f"{len(self.arrived):03}-{address}.eml").write_bytes(content)
        if address == SILENT and self._tried[address] == SILENT_AT:
            assert server.transport is not None
            server.transport.close()
        return "250 2.0.0 taken"

    def newest(self, address: str, holding: Callable[[Arrived], str]) -> str:
        """What the newest mail of somebody holds of what is looked for; "" where none does."""
        mine = (one for one in reversed(self.arrived) if one.address == address)
        return next((found for one in mine if (found := holding(one))), "")


@contextmanager
def running(folder: Path, now: Callable[[], datetime]) -> Iterator[tuple[int, Mailbox]]:
    """The server on a free port of this machine; yields the port and its mailbox."""
    mailbox = Mailbox(folder, now)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    # The controller must know its port beforehand: it knocks at it to see that it runs.
    controller = Controller(mailbox, hostname="127.0.0.1", port=port)
    controller.start()
    try:
        yield port, mailbox
    finally:
        controller.stop()
