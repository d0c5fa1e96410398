"""Issues: the published texts that can be scheduled.

Reads messages and owns no row.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, select

from l3mail.errors import NewsletterError, did_you_mean, quoted
from l3mail.models import MESSAGE, STREAM

ISSUES = "newsletter/"
"""What the slug of every issue begins with."""


@dataclass(frozen=True, slots=True)
class Issue:
    """A published issue, as it would be scheduled now: its stream, its segment, its versions.

    `versions` are (locale, message id, subject); `published_at` is the newest one's.
    """

    slug: str
    stream_id: int
    stream: str
    segment: str | None
    versions: Sequence[tuple[str, int, str]]
    published_at: datetime


def issue(connection: Connection, slug: str, *, lock: bool = False) -> Issue:
    """The issue as it is published; raises NewsletterError when it can't be scheduled at all.

    With `lock`, whoever schedules or publishes it at the same time waits for this transaction.
    """
    if not slug.startswith(ISSUES):
        raise NewsletterError(f"{quoted(slug)} is no issue; an issue is named {ISSUES}2026-12")
    query = (
        select(MESSAGE.c.id, MESSAGE.c.locale, MESSAGE.c.compiled, MESSAGE.c.published_at)
        .where(MESSAGE.c.slug == slug, MESSAGE.c.superseded_at.is_(None))
        .order_by(MESSAGE.c.locale)
    )
    rows = connection.execute(query.with_for_update() if lock else query).all()
    if not rows:
        raise NewsletterError(f"{quoted(slug)} is not published{_near(connection, slug)}")
    streams = {row.compiled.get("stream") for row in rows}
    segments = {row.compiled.get("segment") or None for row in rows}
    for key, values in (("stream", streams), ("segment", segments)):
        if len(values) > 1:
            told = ", ".join(f"{row.locale}: {row.compiled.get(key)}" for row in rows)
            raise NewsletterError(f"{slug}: its versions name different {key}s ({told})")
    stream = streams.pop()
    stream_id = connection.execute(select(STREAM.c.id).where(STREAM.c.slug == stream)).scalar()
    if stream_id is None:
        named = f'"stream" is {quoted(str(stream))}, which there is not' if stream else "no stream"
        raise NewsletterError(
            f"{slug}: {named}; name one of l3mail.toml's [streams] in the issue and publish it"
        )
    return Issue(
        slug,
        stream_id,
        str(stream),
        segments.pop(),
        [(row.locale, row.id, str(row.compiled.get("subject", ""))) for row in rows],
        max(row.published_at for row in rows),
    )


def published(connection: Connection) -> list[tuple[str, str, datetime]]:
    """Published issues as (slug, stream, since), one line each whatever its locales."""
    rows = connection.execute(
        select(MESSAGE.c.slug, MESSAGE.c.compiled, MESSAGE.c.published_at)
        .where(MESSAGE.c.slug.startswith(ISSUES), MESSAGE.c.superseded_at.is_(None))
        .order_by(MESSAGE.c.slug, MESSAGE.c.published_at)
    )
    found = {
        row.slug: (row.slug, str(row.compiled.get("stream") or ""), row.published_at)
        for row in rows
    }
    return list(found.values())


def _near(connection: Connection, slug: str) -> str:
    slugs = [known for known, _, _ in published(connection)]
    return f"; {did_you_mean(slug, slugs, f'`l3mail content publish {slug}` does it')}"
