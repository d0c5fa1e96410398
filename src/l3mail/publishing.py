"""Published messages: what may be sent, by version.

Owns the message rows and their numbered links. A published version never changes; publishing
again supersedes it. Senders read text from here and from nowhere else.
"""

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, select, update

from l3mail.models import LINK, MESSAGE


@dataclass(frozen=True, slots=True)
class Published:
    """One published version, ready to be filled: Jinja sources by part."""

    id: int
    slug: str
    locale: str
    compiled: Mapping[str, Any]


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
) -> int:
    """Make a compiled text the current version of `slug` in `locale`; return its id.

    Publishing what is already current changes nothing. `links` are (url, name) in the order
    of their numbers, from 1.
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
    message_id: int = connection.execute(
        insert(MESSAGE)
        .values(
            hash=digest,
            slug=slug,
            locale=locale,
            source=source,
            compiled=dict(compiled),
            published_at=now,
            published_by=by,
        )
        .returning(MESSAGE.c.id)
    ).scalar_one()
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
    rows = connection.execute(
        select(MESSAGE.c.id, MESSAGE.c.slug, MESSAGE.c.locale, MESSAGE.c.compiled).where(
            MESSAGE.c.id.in_(sorted(ids))
        )
    )
    return {row.id: Published(*row) for row in rows}


def _hash(source: str, compiled: Mapping[str, Any]) -> str:
    canonical = json.dumps([source, compiled], sort_keys=True, ensure_ascii=False)
    return hashlib.blake2b(canonical.encode(), digest_size=32).hexdigest()
