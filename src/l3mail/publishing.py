"""Published messages: what may be sent, by version.

Owns the message rows and their numbered links. A published version never changes; publishing
again supersedes it. Senders read text from here and from nowhere else.
"""

import difflib
import hashlib
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, get_args

from sqlalchemy import Connection, insert, select, update

from l3mail import outbox
from l3mail.models import DELIVERY, LINK, MESSAGE

if TYPE_CHECKING:
    from l3mail.content import Text

State = Literal["published", "changed", "new", "draft", "broken", "gone"]
STATES: tuple[State, ...] = get_args(State)


@dataclass(frozen=True, slots=True)
class Published:
    """One published version, ready to be filled: Jinja sources by part, links by number."""

    id: int
    slug: str
    locale: str
    compiled: Mapping[str, Any]
    links: Mapping[int, str] = field(default_factory=dict)


def publish(
    connection: Connection,
    *,
    slug: str,
    locale: str,
    source: str,
    compiled: Mapping[str, Any],
    links: Sequence[tuple[str, str | None]] = (),
    by: str,
    now: datetime,
    generated: bool = False,
) -> int:
    """Make a compiled text the current version of `slug` in `locale`; return its id.

    Publishing what is already current changes nothing. `links` are (url, name) in the order
    of their numbers, from 1. A `generated` text is l3mail's own and has no file.
    """
    digest = _hash(source, compiled)
    current = connection.execute(
        select(MESSAGE.c.id, MESSAGE.c.hash).where(
            MESSAGE.c.slug == slug, MESSAGE.c.locale == locale, MESSAGE.c.superseded_at.is_(None)
        )
    ).first()
    if current is not None:
        if current.hash == digest:
            return int(current.id)
        connection.execute(
            update(MESSAGE).where(MESSAGE.c.id == current.id).values(superseded_at=now)
        )
    # Without RETURNING, for which SQLite would get ready to look for deliveries that point here.
    written = connection.execute(
        insert(MESSAGE).values(
            hash=digest,
            slug=slug,
            locale=locale,
            source=source,
            compiled=dict(compiled),
            published_at=now,
            published_by=by,
            generated=generated,
        )
    )
    assert written.inserted_primary_key is not None
    message_id = int(written.inserted_primary_key[0])
    if links:
        connection.execute(
            insert(LINK),
            [
                {"message_id": message_id, "number": number, "url": url, "name": name}
                for number, (url, name) in enumerate(links, start=1)
            ],
        )
    return message_id


def load(connection: Connection, ids: Collection[int]) -> dict[int, Published]:
    """The named versions, current or not."""
    if not ids:
        return {}
    links: dict[int, dict[int, str]] = {number: {} for number in ids}
    for row in connection.execute(
        select(LINK.c.message_id, LINK.c.number, LINK.c.url).where(
            LINK.c.message_id.in_(sorted(ids))
        )
    ):
        links[row.message_id][row.number] = row.url
    rows = connection.execute(
        select(MESSAGE.c.id, MESSAGE.c.slug, MESSAGE.c.locale, MESSAGE.c.compiled).where(
            MESSAGE.c.id.in_(sorted(ids))
        )
    )
    return {row.id: Published(*row, links[row.id]) for row in rows}


@dataclass(frozen=True, slots=True)
class Correction:
    """What was put right in a text after it was sent: `heading` says the day in words."""

    on: str
    heading: str
    text: str


def corrections(connection: Connection, text: Published) -> list[Correction]:
    """What a version's readers should know by now, the newest first.

    The version in force says it; what this one said already when it was sent is left out.
    """
    now = connection.execute(
        select(MESSAGE.c.compiled["corrections"].label("said")).where(
            MESSAGE.c.slug == text.slug,
            MESSAGE.c.locale == text.locale,
            MESSAGE.c.superseded_at.is_(None),
        )
    ).scalar()
    before = text.compiled.get("corrections") or ()
    said = [Correction(**one) for one in now or () if one not in before]
    return sorted(said, key=lambda one: one.on, reverse=True)


@dataclass(frozen=True, slots=True)
class Target:
    """What a measured link or pixel belongs to: a version, and for a link which one and where to.

    The pixel has neither.
    """

    message_id: int
    link_id: int | None = None
    url: str = ""


def target(
    connection: Connection,
    number: int | None,
    *,
    message_id: int | None = None,
    delivery_id: int | None = None,
) -> Target | None:
    """What the link of a number, or the pixel (None), of a version leads to; None if unknown.

    The version is named, or it is the one a delivery was sent in.
    """
    if delivery_id is None:
        version = MESSAGE.c.id == message_id
    else:
        sent = select(DELIVERY.c.message_id).where(DELIVERY.c.id == delivery_id)
        version = MESSAGE.c.id == sent.scalar_subquery()
    query = select(MESSAGE.c.id).where(version)
    if number is not None:
        query = (
            query.add_columns(LINK.c.id, LINK.c.url)
            .join(LINK, LINK.c.message_id == MESSAGE.c.id)
            .where(LINK.c.number == number)
        )
    row = connection.execute(query).first()
    return None if row is None else Target(*row)


@dataclass(frozen=True, slots=True)
class InForce:
    """What of a published version says whether its file needs a closer look."""

    source: str
    published_at: datetime


def in_force(connection: Connection) -> dict[tuple[str, str], InForce]:
    """Every published version in force by slug and locale, l3mail's own texts left out."""
    query = select(
        MESSAGE.c.slug, MESSAGE.c.locale, MESSAGE.c.source, MESSAGE.c.published_at
    ).where(MESSAGE.c.superseded_at.is_(None), MESSAGE.c.generated.is_(False))
    return {
        (row.slug, row.locale): InForce(row.source, row.published_at)
        for row in connection.execute(query)
    }


@dataclass(frozen=True, slots=True)
class Standing:
    """How a text in the files and its published version stand to each other.

    `state` is that of the file; `draft` and `broken` leave the published version in force, `gone`
    has no file any more. `published_at` is None where nothing is published.
    """

    slug: str
    locale: str
    state: State
    path: str | None = None
    published_at: datetime | None = None
    published_by: str | None = None


def standings(connection: Connection, texts: "Iterable[Text]") -> list[Standing]:
    """Every text that has a file or a published version, in slug order."""
    published = {
        (row.slug, row.locale): row
        for row in connection.execute(
            select(
                MESSAGE.c.slug,
                MESSAGE.c.locale,
                MESSAGE.c.hash,
                MESSAGE.c.published_at,
                MESSAGE.c.published_by,
            ).where(MESSAGE.c.superseded_at.is_(None), MESSAGE.c.generated.is_(False))
        )
    }
    found = []
    for text in texts:
        key = (text.source.slug, text.source.locale)
        row = published.pop(key, None)
        state = _state(text, row.hash if row else None)
        since = (row.published_at, row.published_by) if row else (None, None)
        found.append(Standing(*key, state, text.source.path, *since))
    found += [
        Standing(*key, "gone", None, row.published_at, row.published_by)
        for key, row in published.items()
    ]
    return sorted(found, key=lambda standing: (standing.slug, standing.locale))


def _state(text: "Text", digest: str | None) -> State:
    if text.draft:
        return "draft"
    if text.compiled is None:
        return "broken"
    if digest is None:
        return "new"
    return "published" if digest == _hash(text.source.text, text.compiled) else "changed"


@dataclass(frozen=True, slots=True)
class Difference:
    """What publishing a text would change: unified diff lines of its source, and its outward form.

    `lines` are empty where only the layout, its words or an image differ.
    """

    slug: str
    locale: str
    path: str
    state: State
    lines: tuple[str, ...]

    @property
    def added(self) -> int:
        """Lines that come."""
        return sum(line.startswith("+") for line in self.lines[2:])

    @property
    def removed(self) -> int:
        """Lines that go."""
        return sum(line.startswith("-") for line in self.lines[2:])


def differences(connection: Connection, texts: "Sequence[Text]") -> list[Difference]:
    """The texts that publishing would change, in the order given."""
    slugs = {text.source.slug for text in texts}
    published = {
        (row.slug, row.locale): row
        for row in connection.execute(
            select(MESSAGE.c.slug, MESSAGE.c.locale, MESSAGE.c.hash, MESSAGE.c.source).where(
                MESSAGE.c.superseded_at.is_(None), MESSAGE.c.slug.in_(sorted(slugs))
            )
        )
    }
    found = []
    for text in texts:
        key = (text.source.slug, text.source.locale)
        row = published.get(key)
        state = _state(text, row.hash if row else None)
        if state not in {"new", "changed"}:
            continue
        lines = difflib.unified_diff(
            row.source.splitlines() if row else [],
            text.source.text.splitlines(),
            fromfile=f"{text.source.slug} (published)" if row else "(nothing published)",
            tofile=text.source.path,
            lineterm="",
        )
        found.append(Difference(*key, text.source.path, state, tuple(lines)))
    return found


def publish_texts(
    connection: Connection, texts: "Sequence[Text]", by: str, now: datetime
) -> list[Difference]:
    """Publish every sound text that is no draft; return what changed.

    A broken or draft text leaves its last published version in force. Deliveries that waited for
    one of these texts are queued again.
    """
    changes = differences(connection, texts)
    changed = {(change.slug, change.locale) for change in changes}
    for text in texts:
        if (text.source.slug, text.source.locale) in changed and text.compiled is not None:
            publish(
                connection,
                slug=text.source.slug,
                locale=text.source.locale,
                source=text.source.text,
                compiled=text.compiled,
                links=text.links,
                by=by,
                now=now,
            )
    if changes:
        outbox.queue_published(connection, {change.slug for change in changes})
    return changes


@dataclass(frozen=True, slots=True)
class Version:
    """One version that was published; `superseded_at` is None for the one in force."""

    id: int
    slug: str
    locale: str
    published_at: datetime
    published_by: str
    superseded_at: datetime | None


def history(connection: Connection, slug: str) -> list[Version]:
    """Every version of a slug in every language, the newest first."""
    rows = connection.execute(
        select(
            MESSAGE.c.id,
            MESSAGE.c.slug,
            MESSAGE.c.locale,
            MESSAGE.c.published_at,
            MESSAGE.c.published_by,
            MESSAGE.c.superseded_at,
        )
        .where(MESSAGE.c.slug == slug)
        .order_by(MESSAGE.c.id.desc())
    )
    return [Version(*row) for row in rows]


def revert(connection: Connection, version_id: int, by: str, now: datetime) -> int:
    """Publish an old version's words again, as a new version; return its id.

    The file stays as it is. Reverting to what is in force changes nothing.
    """
    old = connection.execute(
        select(MESSAGE).where(MESSAGE.c.id == version_id, MESSAGE.c.generated.is_(False))
    ).one()
    links = connection.execute(
        select(LINK.c.url, LINK.c.name).where(LINK.c.message_id == old.id).order_by(LINK.c.number)
    )
    return publish(
        connection,
        slug=old.slug,
        locale=old.locale,
        source=old.source,
        compiled=old.compiled,
        links=[(row.url, row.name) for row in links],
        by=by,
        now=now,
    )


def published_slugs(connection: Connection) -> frozenset[str]:
    """Every slug that has a text in force in some language."""
    query = (
        select(MESSAGE.c.slug)
        .where(MESSAGE.c.superseded_at.is_(None), MESSAGE.c.generated.is_(False))
        .distinct()
    )
    return frozenset(connection.execute(query).scalars())


def _hash(source: str, compiled: Mapping[str, Any]) -> str:
    canonical = json.dumps([source, compiled], sort_keys=True, ensure_ascii=False)
    return hashlib.blake2b(canonical.encode(), digest_size=32).hexdigest()
