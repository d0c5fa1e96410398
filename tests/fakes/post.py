"""A sender of the village's mail to a fake relay, with time-outs a test can wait for."""

import asyncio
import ssl
from dataclasses import dataclass, replace
from email.message import EmailMessage
from email.policy import SMTP
from typing import Any, Literal

from l3mail.outbox import Started
from l3mail.publishing import Published
from l3mail.sending import Pace, Relay, Sender, Tally, Terms
from l3mail.sending.sender import Compose
from l3mail.sending.versions import Decide
from tests.fakes import relay as fake
from tests.fakes.village import POLICY, Village

HANG_SECONDS = 0.25


@dataclass(frozen=True)
class Quick:
    """Time-outs: generous where nothing hangs, short where a test lets something hang."""

    mail: float = 5.0
    rcpt: float = 5.0
    data: float = 5.0
    body: float = 5.0
    dot: float = 5.0


PACE = Pace(poll=0.02, heartbeat=0.1, idle=0.2, quit=HANG_SECONDS, grace=5.0, down=(0.02,))


def composed(delivery: Started, text: Published) -> bytes:
    """A small mail whose Message-ID names its delivery."""
    mail = EmailMessage(policy=SMTP)
    mail["Message-ID"] = f"<{delivery.id}@village>"
    mail["Subject"] = text.slug
    mail.set_content("Guten Tag\n.\nein Punkt am Anfang\n")
    return mail.as_bytes()


def terms(village: Village, **changes: Any) -> Terms:
    """The terms of the village's sender."""
    plain = Terms(
        owner=village.owner,
        envelope_from="kurs@stadt.example",
        staff=village.staff,
        fallback_locale="de",
        policy=POLICY,
        timeouts=Quick(),
        connections=4,
        alone=village.database.is_sqlite,
        pace=PACE,
    )
    return replace(plain, **changes)


def relay_of(
    server: "fake.Relay",
    *,
    seconds: float = 5.0,
    tls: Literal["none", "starttls", "tls"] | None = None,
) -> Relay:
    """How our side sees the fake; `tls` may ask for more than it offers."""
    security = tls or server.tls
    context: ssl.SSLContext | None = None
    if security != "none":
        context = fake.make_authority().client_context()
    username, password = server.auth or (None, None)
    return Relay(
        host="localhost" if security != "none" else server.host,
        port=server.port,
        tls=security,
        name="client.example",
        username=username,
        password=password,
        opening_seconds=seconds,
        tls_context=context,
    )


def sender_for(
    village: Village,
    relay: Relay,
    *,
    compose: Compose = composed,
    decide: Decide | None = None,
    **changes: Any,
) -> Sender:
    its_terms = terms(village, **changes)
    opens = relay.open
    return Sender(village.database, village.clock, its_terms, opens, compose, decide=decide)


def send(village: Village, server: "fake.Relay", **changes: Any) -> Tally:
    """Send what is due to the fake and return the tally."""
    relay = changes.pop("relay", None) or relay_of(server)
    return asyncio.run(sender_for(village, relay, **changes).run(once=True))
