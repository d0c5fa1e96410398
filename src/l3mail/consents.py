"""The evidence of consent: acts in a chain that shows whether anybody changed one.

Each act has `digest = H(salt, content)` and `link = H(link before, digest)`. Erasing a person
takes content and salt and leaves both hashes, so the chain still verifies and says nothing of
anybody. Cutting off the newest acts shows only against a link noted elsewhere: the weekly report.
Owns the rows of `consent` and of `wording`; decides nothing about who is mailed.
"""

import hashlib
import json
import secrets
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, insert, null, select, update

from l3mail.database import upsert
from l3mail.locales import chain
from l3mail.models import CONSENT, WORDING, WORKSPACE


@dataclass(frozen=True, slots=True)
class Verification:
    """How many acts there are, the `seq` of the first that does not fit, and the newest link."""

    acts: int
    broken_at: int | None
    link: bytes


def note(
    connection: Connection,
    act: str,
    subscriber_id: int,
    content: Mapping[str, Any],
    now: datetime,
) -> int:
    """Append one act and return its number.

    `content` is what a court would ask for: which streams, which wording and its hash, by which
    form, what was mailed. It must hold JSON values only.
    """
    values = _act(_newest_link(connection), act, subscriber_id, content, now)
    return int(
        connection.execute(insert(CONSENT).values(**values).returning(CONSENT.c.seq)).scalar_one()
    )


def note_all(
    connection: Connection,
    act: str,
    contents: Sequence[tuple[int, Mapping[str, Any]]],
    now: datetime,
) -> None:
    """Append one act for each (subscriber, content), in their order, with one statement."""
    rows: list[dict[str, Any]] = []
    before = _newest_link(connection)
    for subscriber_id, content in contents:
        rows.append(_act(before, act, subscriber_id, content, now))
        before = rows[-1]["link"]
    if rows:
        connection.execute(insert(CONSENT), rows)


def _act(
    before: bytes, act: str, subscriber_id: int, content: Mapping[str, Any], now: datetime
) -> dict[str, Any]:
    salt = secrets.token_bytes(16)
    digest = _digest(salt, act, subscriber_id, content, now)
    return {
        "subscriber_id": subscriber_id,
        "act": act,
        "content": dict(content),
        "at": now,
        "salt": salt,
        "digest": digest,
        "link": _hash(before, digest),
    }


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


def declare_wording(
    connection: Connection, name: str, locale: str, text: str, now: datetime
) -> tuple[int, bool]:
    """Make `text` the current wording of `name` in `locale`; its id, and whether it was not.

    `name` is a kind of stream (newsletter, lifecycle, course), a stream's slug, or `tracking`.
    A text that was current before keeps its id; `created_at` says since when it is current (again).
    """
    digest = hashlib.sha256(text.encode()).hexdigest()
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


def verify(connection: Connection) -> Verification:
    """Walk the whole chain; erased acts count by their hashes alone."""
    link: bytes = connection.execute(select(WORKSPACE.c.chain_start)).scalar_one()
    acts = 0
    broken_at: int | None = None
    for row in connection.execute(select(CONSENT).order_by(CONSENT.c.seq)):
        acts += 1
        link = _hash(link, row.digest)
        if row.link != link or not _is_whole_or_erased(row):
            broken_at = broken_at or row.seq
    return Verification(acts, broken_at, link)


def _is_whole_or_erased(row: Row[Any]) -> bool:
    """Erased means all of it: a row that kept its words and lost its salt proves nothing."""
    told = (row.act, row.subscriber_id, row.content, row.at)
    if row.salt is None:
        return told == (None, None, None, None)
    if None in told:
        return False
    digest = _digest(row.salt, row.act, row.subscriber_id, row.content, row.at)
    return bool(row.digest == digest)


def forget(connection: Connection, subscriber_id: int) -> int:
    """Take from a person's acts all but their hashes; return how many there were."""
    return forget_all(connection, {subscriber_id})


def forget_all(connection: Connection, subscriber_ids: Collection[int]) -> int:
    """`forget` for several people at once."""
    rows = connection.execute(
        update(CONSENT)
        .where(CONSENT.c.subscriber_id.in_(sorted(subscriber_ids)))
        .values(subscriber_id=None, act=None, content=null(), at=None, salt=None)
        .returning(CONSENT.c.seq)
    ).all()
    return len(rows)


def _newest_link(connection: Connection) -> bytes:
    # The row's lock puts writers in one order; SQLite's writers are in one already.
    start: bytes = connection.execute(
        select(WORKSPACE.c.chain_start).with_for_update()
    ).scalar_one()
    newest: bytes | None = connection.execute(
        select(CONSENT.c.link).order_by(CONSENT.c.seq.desc()).limit(1)
    ).scalar()
    return start if newest is None else newest


def _digest(
    salt: bytes, act: str, subscriber_id: int, content: Mapping[str, Any], at: datetime
) -> bytes:
    row = [act, subscriber_id, at.astimezone(UTC).isoformat(), content]
    canonical = json.dumps(row, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return _hash(salt, canonical.encode())


def _hash(first: bytes, second: bytes) -> bytes:
    # The length keeps one pair of inputs from passing for another.
    return hashlib.blake2b(
        len(first).to_bytes(4) + first + second, digest_size=32, person=b"l3mail-consent"
    ).digest()
