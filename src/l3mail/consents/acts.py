"""Acts of evidence: how one is appended to the chain, and how erasing takes its words back."""

import secrets
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, null, select, update

from l3mail.consents.hashes import digest_of, joined
from l3mail.models import CONSENT, WORKSPACE


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
    digest = digest_of(salt, act, subscriber_id, content, now)
    return {
        "subscriber_id": subscriber_id,
        "act": act,
        "content": dict(content),
        "at": now,
        "salt": salt,
        "digest": digest,
        "link": joined(before, digest),
    }


def forget(connection: Connection, subscriber_id: int) -> int:
    """Take from a person's acts all but their hashes; return how many there were.

    Whose they were stays, as the number of a tombstone: an act without words is in order only
    where its person is erased.
    """
    return forget_all(connection, {subscriber_id})


def forget_all(connection: Connection, subscriber_ids: Collection[int]) -> int:
    """`forget` for several people at once."""
    rows = connection.execute(
        update(CONSENT)
        .where(CONSENT.c.subscriber_id.in_(sorted(subscriber_ids)), CONSENT.c.salt.is_not(None))
        .values(act=None, content=null(), at=None, salt=None)
        .returning(CONSENT.c.seq)
    ).all()
    return len(rows)


def hold(connection: Connection) -> bytes:
    """Take the chain until the transaction ends, so that nobody else appends; return its start.

    Whoever also changes deliveries holds the chain before them and after people's rows: in one
    order nobody waits for each other.
    """
    # The row's lock puts writers in one order; SQLite's writers are in one already.
    start: bytes = connection.execute(
        select(WORKSPACE.c.chain_start).with_for_update()
    ).scalar_one()
    return start


def _newest_link(connection: Connection) -> bytes:
    start = hold(connection)
    newest: bytes | None = connection.execute(
        select(CONSENT.c.link).order_by(CONSENT.c.seq.desc()).limit(1)
    ).scalar()
    return start if newest is None else newest
