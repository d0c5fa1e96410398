"""What one can join: the newsletter, lifecycle mailings, each course.

Owns the rows of `stream`. Who has joined is the subscribers' matter.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, or_, select, update

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
    """Make sure the stream `slug` is on offer and bears `title`; return its id. Idempotent.

    `kind` is one of newsletter, lifecycle, course, and stays what it was first: who joined a
    newsletter did not join a course.
    """
    connection.execute(
        upsert(connection, STREAM)
        .values(slug=slug, kind=kind, title=title, created_at=now)
        .on_conflict_do_nothing(index_elements=[STREAM.c.slug])
    )
    connection.execute(
        update(STREAM)
        .where(
            STREAM.c.slug == slug, or_(STREAM.c.title != title, STREAM.c.retired_at.is_not(None))
        )
        .values(title=title, retired_at=None)
    )
    return int(connection.execute(select(STREAM.c.id).where(STREAM.c.slug == slug)).scalar_one())


def retire(
    connection: Connection, kinds: Collection[str], keep: Collection[str], now: datetime
) -> list[str]:
    """Take every stream of these kinds off the offer but those to keep; the slugs that went.

    Nobody's membership changes: who has joined gets what still comes, and can leave.
    """
    rows = connection.execute(
        update(STREAM)
        .where(
            STREAM.c.kind.in_(sorted(kinds)),
            STREAM.c.slug.not_in(sorted(keep)),
            STREAM.c.retired_at.is_(None),
        )
        .values(retired_at=now)
        .returning(STREAM.c.slug)
    )
    return sorted(row.slug for row in rows)


def find(connection: Connection, slug: str) -> int | None:
    """The id of the stream `slug`, if there is one."""
    return connection.execute(select(STREAM.c.id).where(STREAM.c.slug == slug)).scalar()


def offers(connection: Connection, *, retired: bool = False) -> list[Offer]:
    """All there is to join, in the order it was declared; with `retired` also what there was."""
    query = select(STREAM.c.id, STREAM.c.slug, STREAM.c.kind, STREAM.c.title).order_by(STREAM.c.id)
    if not retired:
        query = query.where(STREAM.c.retired_at.is_(None))
    return [Offer(*row) for row in connection.execute(query)]
