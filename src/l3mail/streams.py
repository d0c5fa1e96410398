"""What one can join: the newsletter, lifecycle mailings, each course.

Owns the rows of `stream`. Who has joined is the subscribers' matter.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, select, update

from l3mail.database import upsert
from l3mail.models import STREAM


@dataclass(frozen=True, slots=True)
class Offer:
    """One stream, as somebody who has not joined sees it; `kind` newsletter, lifecycle, course."""

    id: int
    slug: str
    kind: str
    title: str


def declare(connection: Connection, slug: str, kind: str, title: str, now: datetime) -> int:
    """Make sure the stream `slug` exists and bears `title`; return its id. Idempotent.

    `kind` is one of newsletter, lifecycle, course, and stays what it was first: who joined a
    newsletter did not join a course.
    """
    connection.execute(
        upsert(connection, STREAM)
        .values(slug=slug, kind=kind, title=title, created_at=now)
        .on_conflict_do_nothing(index_elements=[STREAM.c.slug])
    )
    connection.execute(
        update(STREAM).where(STREAM.c.slug == slug, STREAM.c.title != title).values(title=title)
    )
    return int(connection.execute(select(STREAM.c.id).where(STREAM.c.slug == slug)).scalar_one())


def find(connection: Connection, slug: str) -> int | None:
    """The id of the stream `slug`, if there is one."""
    return connection.execute(select(STREAM.c.id).where(STREAM.c.slug == slug)).scalar()


def offers(connection: Connection) -> list[Offer]:
    """All there is to join, in the order it was declared."""
    rows = connection.execute(
        select(STREAM.c.id, STREAM.c.slug, STREAM.c.kind, STREAM.c.title).order_by(STREAM.c.id)
    )
    return [Offer(*row) for row in rows]
