"""Putting the parts together for one workspace: database, relay, sender.

The only place that knows both what the settings say and what the parts need.
"""

import fcntl
import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, select

from l3mail import migrations, outbox, publishing, rendering
from l3mail.audiences import Terms as AskingTerms
from l3mail.clocks import Clock
from l3mail.database import Database, opened
from l3mail.errors import OutboxError, SenderBusyError, SettingsError
from l3mail.models import WORKSPACE
from l3mail.outbox import Started, Uncertainty
from l3mail.publishing import Published
from l3mail.rounds import Agenda
from l3mail.segments import Attribute
from l3mail.sending import Compose, Relay, Sender, Terms
from l3mail.settings import (
    Settings,
    load_pepper,
    load_retired_keys,
    load_secret_keys,
    make_state,
    sending_problems,
)
from l3mail.subscribers import Rules
from l3mail.tokens import Purpose, Tokens

LOCK_FILE = "sender.lock"


@contextmanager
def open_database(settings: Settings) -> Iterator[Database]:
    """The workspace's database, at the schema this program expects."""
    make_state(settings.state_dir)
    with opened(settings.database_url) as database:
        database.read(migrations.require_current)
        yield database


@contextmanager
def only_sender(database: Database) -> Iterator[None]:
    """Hold the database's sender lock; on PostgreSQL, where many may send, do nothing.

    It lies beside the database's file, so two workspaces that share one do not both send. Raises
    SenderBusyError naming the process that holds it. The lock is the kernel's: it ends
    with its process, however that ends.
    """
    if not database.is_sqlite:
        yield
        return
    file = database.engine.url.database
    assert file is not None  # the settings refuse databases in memory
    path = Path(file).with_name(LOCK_FILE)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _lock(descriptor, path)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, path: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        holder = os.pread(descriptor, 100, 0).decode("ascii", "replace").strip() or "unknown"
        raise SenderBusyError(
            f"{path} is held by process {holder}, which is sending already; stop it first"
        ) from None
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)


def asking_terms(settings: Settings) -> AskingTerms:
    """What segments mean in this workspace."""
    return AskingTerms(
        zone=settings.zone,
        tracking_mode=settings.tracking.mode,
        locale=settings.workspace.locale,
        attributes={n: Attribute(a.type, a.choices) for n, a in settings.attributes.items()},
        streams=tuple(settings.streams),
    )


def make_agenda(settings: Settings) -> Agenda:
    """What planning needs to know of this workspace."""
    return Agenda(make_rules(settings), asking_terms(settings).question)


def make_rules(settings: Settings) -> Rules:
    """What the verbs about people need to know of this workspace."""
    return Rules(load_pepper(settings.state_dir), settings.zone, settings.workspace.locale)


def make_sender(settings: Settings, database: Database, clock: Clock) -> Sender:
    """A sender for this workspace's relay; raises SettingsError while it must not send."""
    problems = sending_problems(settings)
    if problems:
        raise SettingsError(problems)
    terms = Terms(
        owner=f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}",
        envelope_from=settings.sender.from_.address,
        staff=frozenset({*settings.alerts.to, *settings.alerts.approvers}),
        fallback_locale=settings.workspace.locale,
        policy={
            kind: Uncertainty(choice) for kind, choice in settings.uncertain.model_dump().items()
        },
        timeouts=settings.relay.timeouts,
        connections=settings.relay.connections,
        messages_per_connection=settings.relay.messages_per_connection,
        alone=database.is_sqlite,
    )
    return Sender(database, clock, terms, make_relay(settings).open, composer(settings, database))


def make_relay(settings: Settings) -> Relay:
    """The relay as configured."""
    own_name = socket.getfqdn()
    password = settings.smtp_password
    return Relay(
        host=settings.relay.host,
        port=settings.relay.port,
        tls=settings.relay.tls,
        # RFC 5321 section 4.1.4 wants a full name; a bare host name gets mail refused.
        name=own_name if "." in own_name else settings.sender_domain,
        username=settings.relay.username,
        password=password.get_secret_value() if password else None,
        opening_seconds=settings.relay.timeouts.greeting,
    )


def load_tokens(settings: Settings) -> Tokens:
    """What signs and reads the workspace's links."""
    current, retired = load_secret_keys(settings), load_retired_keys(settings)
    return Tokens(
        [key.get_secret_value() for key in current], [key.get_secret_value() for key in retired]
    )


def composer(settings: Settings, database: Database) -> Compose:
    """How a started delivery becomes bytes in this workspace."""
    house = database.read(workspace_uuid)
    tokens = load_tokens(settings)
    domain = settings.sender_domain

    def compose(delivery: Started, text: Published) -> bytes:
        links = links_of(delivery, settings, tokens)
        reply_to = settings.sender.reply_to
        head = rendering.Head(
            message_id=f"{delivery.id}.{house}@{domain}",
            date=delivery.first_started_at.astimezone(settings.zone),
            sender=text.compiled.get("from") or settings.sender.from_.text,
            to=delivery.address,
            reply_to=text.compiled.get("reply_to") or (reply_to.address if reply_to else None),
            list_id=f"{delivery.stream}.{domain}" if delivery.stream else None,
            list_name=delivery.stream_title,
            unsubscribe_url=links["unsubscribe"] or None,
            help_url=links["preferences"] if delivery.stream else None,
        )
        values = rendering.placeholders(delivery.person, text.locale) | common_values(settings)
        values |= {"links": links, "streams": delivery.asked.get("streams", [])}
        values["course"] = {"title": "", "slug": "", "lesson": 0, "lessons": 0} | dict(
            delivery.course
        )
        return rendering.compose(text.compiled, values, head)

    return compose


def common_values(settings: Settings) -> dict[str, Any]:
    """The placeholders that say who writes: the same in every mail and on every page."""
    return {
        "house": {"name": settings.workspace.name},
        "impressum": settings.impressum.model_dump(),
        "base_url": settings.web.base_url,
    }


LINKS = ("unsubscribe", "preferences", "view", "confirm", "refuse", "interest", "course")
"""The personal links a mail may hold, each under its own route; `privacy` and `home` are all's."""


def links_of(delivery: Started, settings: Settings, tokens: Tokens) -> dict[str, str]:
    """Every link of one mail by name, "" where it makes no sense for this mail."""
    base, make = settings.web.base_url, tokens.make
    asked_until = delivery.asked.get("expires_at")
    links = dict.fromkeys(LINKS, "")
    if delivery.purpose == "stream":
        whose = (delivery.subscriber_id or 0, delivery.stream_id or 0, delivery.generation)
        links["unsubscribe"] = make(Purpose.UNSUBSCRIBE, *whose)
        links["view"] = make(Purpose.VIEW, delivery.id)
        links["interest"] = make(Purpose.ACT, delivery.id)
    if delivery.enrollment_id is not None:
        links["course"] = make(Purpose.ACT, delivery.id)
    if delivery.link_request_id is not None:
        fresh = (0, delivery.link_request_id)
        links["preferences"] = make(Purpose.PREFERENCES, *fresh, expires_at=asked_until)
    elif delivery.subscriber_id is not None and delivery.kind != "confirmation":
        links["preferences"] = make(Purpose.PREFERENCES, delivery.id)
    if delivery.signup_id is not None:
        signup = (delivery.signup_id, delivery.generation)
        links["refuse"] = make(Purpose.REFUSE, *signup, expires_at=asked_until)
        if delivery.kind == "confirmation":
            links["confirm"] = make(Purpose.CONFIRM, *signup, expires_at=asked_until)
    personal = {name: token and f"{base}/{name}/{token}" for name, token in links.items()}
    return personal | {"privacy": settings.impressum.privacy_url, "home": f"{base}/subscribe"}


def rendered(settings: Settings, database: Database, delivery_id: int) -> bytes:
    """The bytes of one delivery's mail, as it was or would be sent; raises OutboxError."""
    fallback = settings.workspace.locale

    def verb(connection: Connection) -> tuple[Started | None, dict[int, Published]]:
        delivery = outbox.glimpse(connection, delivery_id, fallback)
        return delivery, publishing.load(connection, [delivery.message_id] if delivery else [])

    delivery, texts = database.read(verb)
    if delivery is None:
        raise OutboxError(
            f"delivery {delivery_id} has no mail to show: it is unknown, its person is erased,"
            " or nothing is published under its slug"
        )
    return composer(settings, database)(delivery, texts[delivery.message_id])


def workspace_uuid(connection: Connection) -> str:
    """The database's own name, part of every Message-ID."""
    return str(connection.execute(select(WORKSPACE.c.uuid)).scalar_one())
