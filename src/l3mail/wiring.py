"""Putting the parts together for one workspace: database, relay, sender.

The only place that knows both what the settings say and what the parts need.
"""

import fcntl
import os
import re
import secrets
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import Connection, select

from l3mail import (
    consents,
    content,
    courses,
    migrations,
    outbox,
    publishing,
    rendering,
    segments,
    streams,
)
from l3mail.audiences import Terms as AskingTerms
from l3mail.clocks import Clock
from l3mail.database import Database, opened
from l3mail.errors import ContentError, OutboxError, SegmentError, SenderBusyError, SettingsError
from l3mail.models import SUBSCRIBER, WORKSPACE
from l3mail.outbox import Started, Uncertainty
from l3mail.publishing import Published
from l3mail.rounds import Agenda
from l3mail.segments import Attribute, Vocabulary
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


_SAVED = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")

MEDIA_FOLDER = "media"
"""Below `state/`: every image and file a published text refers to, by the hash of its bytes."""


def read_content(settings: Settings) -> content.Library:
    """The workspace's texts as they lie in its files."""
    return content.read_library(
        settings.folder,
        locale=settings.workspace.locale,
        attributes=frozenset(settings.attributes),
        streams=frozenset(settings.streams),
    )


def compile_content(settings: Settings) -> tuple[content.Library, list[content.Text]]:
    """The workspace's texts, compiled; one whose audience can't be understood is broken."""
    library = read_content(settings)
    vocabulary = Vocabulary(
        attributes=asking_terms(settings).attributes,
        streams=library.streams | library.courses,
        courses=library.courses,
        # Saved segments, and texts whose file is gone, are known to the database alone.
        messages=None,
        segments=None,
    )
    return library, [_asked(text, vocabulary) for text in content.compile_all(library)]


def _asked(text: content.Text, vocabulary: Vocabulary) -> content.Text:
    question = getattr(text.source.matter, "segment", None)
    if question is None or _SAVED.fullmatch(question):
        return text
    try:
        segments.parse(question, vocabulary)
    except SegmentError as error:
        line = text.source.mapped.line("segment")
        severity: Literal["error", "warning"] = "warning" if text.draft else "error"
        finding = content.Finding(text.source.path, line, severity, f'"segment": {error.problem}')
        return replace(text, compiled=None, findings=(*text.findings, finding))
    return text


@dataclass(frozen=True, slots=True)
class Publication:
    """What one publishing changed: texts, courses whose structure is new, and why others wait."""

    changes: list[publishing.Difference]
    courses: list[str]
    waiting: list[str]


def publish_content(
    connection: Connection,
    settings: Settings,
    library: content.Library,
    texts: Sequence[content.Text],
    *,
    by: str,
    now: datetime,
) -> Publication:
    """Publish sound texts, and define the courses they belong to, with their streams.

    A draft that was never published stays out of its course. A course with a lesson that is
    broken and has no published version keeps the structure it has, and is named. Idempotent.
    The files of media/ must have been stored by `store_media` before. What people agree to
    (templates/wordings) is in force from now on.
    """
    declare_streams(connection, settings, now)
    for wording in library.wordings:
        consents.declare_wording(connection, wording.name, wording.locale, wording.text, now)
    changes = publishing.publish_texts(connection, texts, by, now)
    published = publishing.published_slugs(connection)
    drafts = {source.slug for source in library.sources if source.matter.draft}
    concerned = {text.source.course for text in texts}
    defined, waiting = [], []
    for curriculum in library.curricula:
        if curriculum.slug not in concerned:
            continue
        lessons = [step for step in curriculum.lessons if step[0] not in drafts - published]
        missing = [slug for slug, _ in lessons if slug not in published]
        if missing or not lessons:
            lacks = ", ".join(missing) or "every lesson"
            waiting.append(f"{curriculum.slug}: its structure waits, {lacks} is not published")
            continue
        stream_id = streams.declare(connection, curriculum.slug, "course", curriculum.title, now)
        outline = courses.Outline(
            slug=curriculum.slug,
            title=curriculum.title,
            cadence=curriculum.cadence,
            lessons=lessons,
            rules=curriculum.rules,
        )
        before = courses.structure_of(connection, curriculum.slug)
        if courses.define(connection, outline, stream_id, now) != before:
            defined.append(curriculum.slug)
    return Publication(changes, defined, waiting)


def declare_streams(connection: Connection, settings: Settings, now: datetime) -> None:
    """Make sure of the streams that l3mail.toml names."""
    for slug, stream in settings.streams.items():
        streams.declare(connection, slug, stream.kind, stream.title, now)


def store_media(settings: Settings, texts: Sequence[content.Text]) -> int:
    """Keep a copy of every file these texts refer to, for as long as mails show it; how many."""
    stored = 0
    for medium in {medium for text in texts if text.compiled for medium in text.media}:
        target = settings.state_dir / MEDIA_FOLDER / medium.digest / medium.name
        if target.exists():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        data = (settings.folder / medium.path).read_bytes()
        if content.digest_of(data) != medium.digest:
            raise ContentError(f"{medium.path} changed while it was published; publish again")
        beside = target.with_name(f".{medium.name}.{os.getpid()}")
        beside.write_bytes(data)
        # Renamed, so that the web never serves half a file.
        beside.replace(target)
        stored += 1
    return stored


def set_up(settings: Settings, *, by: str, now: datetime) -> Publication:
    """Make the workspace's database and publish every sound text of its files; idempotent.

    Refuses, with SenderBusyError, while somebody sends from it.
    """
    make_state(settings.state_dir)
    library, texts = compile_content(settings)
    with opened(settings.database_url) as database, only_sender(database):
        migrations.upgrade(database, now)
        store_media(settings, texts)
        return database.write(
            lambda connection: publish_content(connection, settings, library, texts, by=by, now=now)
        )


def preview_values(
    settings: Settings, library: content.Library, source: content.Source, person: Mapping[str, Any]
) -> dict[str, Any]:
    """The values of a mail that is only looked at: its links lead nowhere and do nothing."""
    inert = f"{settings.web.base_url}/preview"
    values = rendering.placeholders(person, source.locale) | common_values(settings)
    links = dict.fromkeys(LINKS, inert)
    values["links"] = links | {"privacy": settings.impressum.privacy_url, "home": inert}
    values["streams"] = [stream.title for stream in settings.streams.values()]
    values["course"] = {"title": "", "slug": "", "lesson": 0, "lessons": 0}
    for course in library.curricula:
        if course.slug == source.course:
            lessons = [slug for slug, kind in course.lessons if kind == "lesson"]
            number = lessons.index(source.slug) + 1 if source.slug in lessons else 0
            values["course"] = {
                "title": course.title,
                "slug": course.slug,
                "lesson": number,
                "lessons": len(lessons),
            }
    return values


def person_of(connection: Connection, key: bytes) -> dict[str, Any] | None:
    """What is known of the subscriber with this address key, for a preview; None if nobody."""
    row = connection.execute(select(SUBSCRIBER).where(SUBSCRIBER.c.address_key == key)).first()
    return None if row is None else dict(row._mapping)
