"""Texts that somebody may agree to, as forms show them and as evidence names them."""

import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from l3mail.database import upsert
from l3mail.locales import chain
from l3mail.models import WORDING


@dataclass(frozen=True, slots=True)
class Wording:
    """A text that somebody may agree to, as evidence names it."""

    id: int
    name: str
    locale: str
    text: str
    hash: str

    def evidence(self) -> dict[str, Any]:
        """What an act says of it; the text itself stays in its row."""
        return {"id": self.id, "name": self.name, "locale": self.locale, "hash": self.hash}

    @property
    def mark(self) -> str:
        """What a form says of the text it shows: 128 bits of its hash, and where to look for it."""
        return f"{self.name}.{self.locale}.{self.hash[:32]}"


def declare_wording(
    connection: Connection, name: str, locale: str, text: str, now: datetime
) -> tuple[int, bool]:
    """Make `text` the current wording of `name` in `locale`; its id, and whether it was not.

    `name` is a kind of stream (newsletter, lifecycle, course), a stream's slug, or `tracking`.
    A text that was current before keeps its id; `created_at` says since when it is current (again).
    """
    digest = hash_of(text)
    of_name = (WORDING.c.name == name, WORDING.c.locale == locale)
    current = connection.execute(
        select(WORDING.c.id, WORDING.c.hash)
        .where(*of_name)
        .order_by(WORDING.c.created_at.desc(), WORDING.c.id.desc())
        .limit(1)
    ).first()
    if current is not None and current.hash == digest:
        return int(current.id), False
    statement = upsert(connection, WORDING).values(
        name=name, locale=locale, text=text, hash=digest, created_at=now
    )
    declared = statement.on_conflict_do_update(
        index_elements=[WORDING.c.name, WORDING.c.locale, WORDING.c.hash],
        set_={"created_at": statement.excluded.created_at},
    ).returning(WORDING.c.id)
    return int(connection.execute(declared).scalar_one()), True


def wordings(connection: Connection, ids: Collection[int]) -> dict[str, Wording]:
    """The named wordings, in force or not, by name."""
    rows = connection.execute(
        select(WORDING.c.id, WORDING.c.name, WORDING.c.locale, WORDING.c.text, WORDING.c.hash)
        .where(WORDING.c.id.in_(sorted(ids)))
        .order_by(WORDING.c.id)
    )
    return {row.name: Wording(*row) for row in rows}


def current_wordings(connection: Connection, locale: str, fallback: str) -> dict[str, Wording]:
    """By name, the wording in force in the nearest locale: `de-simple`, then `de`, then fallback.

    What a form shows beside its boxes, and what a sign-up counts as seen.
    """
    rows = connection.execute(
        select(WORDING).order_by(WORDING.c.created_at.desc(), WORDING.c.id.desc())
    ).all()
    found: dict[str, Wording] = {}
    for tag in (*chain(locale), *chain(fallback)):
        for row in rows:
            if row.locale == tag:
                found.setdefault(row.name, Wording(row.id, row.name, tag, row.text, row.hash))
    return found


def hash_of(text: str) -> str:
    """What a text is known by in evidence: SHA-256 of its UTF-8, in hex."""
    return hashlib.sha256(text.encode()).hexdigest()


def in_force(connection: Connection, marks: Collection[str]) -> dict[str, Wording]:
    """By name, those of the texts that forms say they showed which are in force, in any locale.

    What is missing was never a text of ours, or has given way to another.
    """
    rows = connection.execute(
        select(WORDING).order_by(WORDING.c.created_at.desc(), WORDING.c.id.desc())
    ).all()
    newest: dict[tuple[str, str], Wording] = {}
    for row in rows:
        wording = Wording(row.id, row.name, row.locale, row.text, row.hash)
        newest.setdefault((row.name, row.locale), wording)
    return {one.name: one for one in newest.values() if one.mark in marks}
