"""Certificates: that somebody has completed a course, in writing, and how others can look it up.

Owns the rows of `certificate`. One for an enrollment; it goes when the person is erased, and is
then no longer found. Must not know pages or papers.
"""

import base64
import re
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, delete, select, update

from l3mail.database import upsert
from l3mail.models import CERTIFICATE, COURSE, ENROLLMENT, SUBSCRIBER

MOST_CORRECTIONS: Final = 5
"""How often a name may be written anew: enough for slips, too little to hand papers out."""

_GROUP: Final = 5
_UNKNOWN: Final = "-"
"""A code that nobody has: what cannot be one is looked for like all others."""

_CODE = re.compile(r"[a-z2-7]{26}")


@dataclass(frozen=True, slots=True)
class Certificate:
    """One certificate; `name` as it is printed, `title` of the course when it was issued."""

    enrollment_id: int
    code: str
    name: str
    title: str
    completed_at: datetime
    issued_at: datetime
    corrections: int

    @property
    def written_code(self) -> str:
        """The code as people read and type it: in groups."""
        parts = range(0, len(self.code), _GROUP)
        return "-".join(self.code[at : at + _GROUP] for at in parts)


@dataclass(frozen=True, slots=True)
class Listed:
    """One learner who has completed a course; without a certificate the last three are None."""

    email: str
    completed_at: datetime
    name: str | None
    code: str | None
    issued_at: datetime | None


_COLUMNS = tuple(CERTIFICATE.c[name] for name in Certificate.__slots__)


def find(connection: Connection, enrollment_id: int) -> Certificate | None:
    """The certificate of an enrollment."""
    query = select(*_COLUMNS).where(CERTIFICATE.c.enrollment_id == enrollment_id)
    row = connection.execute(query).first()
    return None if row is None else Certificate(**row._mapping)


def of_person(connection: Connection, subscriber_id: int) -> dict[int, Certificate]:
    """All certificates of a person, by enrollment."""
    query = (
        select(*_COLUMNS)
        .join(ENROLLMENT, ENROLLMENT.c.id == CERTIFICATE.c.enrollment_id)
        .where(ENROLLMENT.c.subscriber_id == subscriber_id)
    )
    found = (Certificate(**row._mapping) for row in connection.execute(query))
    return {one.enrollment_id: one for one in found}


def look_up(connection: Connection, text: str) -> Certificate | None:
    """The certificate of a code as somebody typed it: small or large, in groups or in one.

    What can be no code is looked for too, so that nobody can tell by the time it takes.
    """
    code = re.sub(r"[\s.-]", "", text[:100]).lower()
    wanted = code if _CODE.fullmatch(code) else _UNKNOWN
    row = connection.execute(select(*_COLUMNS).where(CERTIFICATE.c.code == wanted)).first()
    return None if row is None else Certificate(**row._mapping)


def issue(
    connection: Connection,
    enrollment_id: int,
    *,
    name: str,
    title: str,
    completed_at: datetime,
    now: datetime,
) -> Certificate | None:
    """Write down that a learner has completed a course; None once the name was changed too often.

    Asked again with the same name it is the same certificate; with another it keeps its code.
    """
    connection.execute(
        upsert(connection, CERTIFICATE)
        .values(
            code=_code(),
            enrollment_id=enrollment_id,
            name=name,
            title=title,
            completed_at=completed_at,
            issued_at=now,
        )
        .on_conflict_do_nothing(index_elements=[CERTIFICATE.c.enrollment_id])
    )
    connection.execute(
        update(CERTIFICATE)
        .where(
            CERTIFICATE.c.enrollment_id == enrollment_id,
            CERTIFICATE.c.name != name,
            CERTIFICATE.c.corrections < MOST_CORRECTIONS,
        )
        .values(name=name, corrections=CERTIFICATE.c.corrections + 1)
    )
    kept = find(connection, enrollment_id)
    return kept if kept is not None and kept.name == name else None


def listing(connection: Connection, course: str, limit: int) -> list[Listed]:
    """Who has completed a course, the latest first, with the certificates that were asked for."""
    query = (
        select(
            SUBSCRIBER.c.address,
            ENROLLMENT.c.completed_at,
            CERTIFICATE.c.name,
            CERTIFICATE.c.code,
            CERTIFICATE.c.issued_at,
        )
        .select_from(ENROLLMENT)
        .join(COURSE, COURSE.c.id == ENROLLMENT.c.course_id)
        .join(SUBSCRIBER, SUBSCRIBER.c.id == ENROLLMENT.c.subscriber_id)
        .outerjoin(CERTIFICATE, CERTIFICATE.c.enrollment_id == ENROLLMENT.c.id)
        .where(
            COURSE.c.slug == course,
            ENROLLMENT.c.completed_at.is_not(None),
            SUBSCRIBER.c.erased_at.is_(None),
            SUBSCRIBER.c.restricted_at.is_(None),
        )
        .order_by(ENROLLMENT.c.completed_at.desc(), ENROLLMENT.c.id.desc())
        .limit(limit)
    )
    return [Listed(*row) for row in connection.execute(query)]


def forget(connection: Connection, subscriber_ids: Collection[int]) -> None:
    """Delete every certificate of these people."""
    theirs = select(ENROLLMENT.c.id).where(ENROLLMENT.c.subscriber_id.in_(sorted(subscriber_ids)))
    connection.execute(delete(CERTIFICATE).where(CERTIFICATE.c.enrollment_id.in_(theirs)))


def _code() -> str:
    """128 random bits in letters and digits that nobody mistakes for one another."""
    return base64.b32encode(secrets.token_bytes(16)).decode("ascii").rstrip("=").lower()
