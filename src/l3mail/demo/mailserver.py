"""The demo's mail server: takes every mail into a folder, and fails in four instructive ways."""

import socket
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes
from email.policy import compat32
from pathlib import Path

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

GREYLISTED = "grau@kita-sonne.example"
UNKNOWN = "niemand@schule-am-park.example"
FULL = "voll@vhs-nord.example"
SILENT = "stumm@bibliothek-west.example"
"""Takes a mail and drops the connection before saying so, once: the case nobody can decide."""


class Mailbox:
    """What arrived: one file per mail, and (addressee, subject, Message-ID) in order."""

    def __init__(self, folder: Path) -> None:
        """Write into `folder`, which exists."""
        self.folder = folder
        self.arrived: list[tuple[str, str, str]] = []
        self._tried: set[str] = set()

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Say yes to all but those whose names say otherwise."""
        if address == UNKNOWN:
            return "550 5.1.1 no such mailbox"
        if address == FULL:
            return "552 5.2.2 mailbox full"
        if address == GREYLISTED and self._first_time(address):
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
        mail = message_from_bytes(content, policy=compat32)
        self.arrived.append((address, str(mail["Subject"]), str(mail["Message-ID"])))
        number = len(self.arrived)
        (self.folder / f"{number:03}-{address}.eml").write_bytes(content)
        if address == SILENT and self._first_time(address):
            assert server.transport is not None
            server.transport.close()
        return "250 2.0.0 taken"

    def by_subject(self) -> dict[tuple[str, str], list[str]]:
        """Message-IDs by addressee and subject."""
        found: dict[tuple[str, str], list[str]] = defaultdict(list)
        for address, subject, message_id in self.arrived:
            found[address, subject].append(message_id)
        return found

    def _first_time(self, address: str) -> bool:
        new = address not in self._tried
        self._tried.add(address)
        return new


@contextmanager
def running(folder: Path) -> Iterator[tuple[int, Mailbox]]:
    """The server on a free port of this machine; yields the port and its mailbox."""
    mailbox = Mailbox(folder)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    # The controller must know its port beforehand: it knocks at it to see that it runs.
    controller = Controller(mailbox, hostname="127.0.0.1", port=port)
    controller.start()
    try:
        yield port, mailbox
    finally:
        controller.stop()
