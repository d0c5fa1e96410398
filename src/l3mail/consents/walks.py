"""Walking the chain from its start: does each act fit, and does it still hold a link noted before?

Reads in batches: a chain of any length needs the same little memory.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

from sqlalchemy import Connection, Row, func, select

from l3mail.consents.hashes import digest_of, joined
from l3mail.consents.wordings import hash_of
from l3mail.models import CONSENT, SUBSCRIBER, WORDING, WORKSPACE

BATCH: Final = 5_000

Fault = Literal["link", "content", "emptied", "wording"]
"""What does not fit: an act was taken out, put in or moved; its own words were changed; they are
gone, though nobody erased the person; the text it names is gone or another one."""


@dataclass(frozen=True, slots=True)
class Verification:
    """How many acts there are, the `seq` of the first that does not fit and why, the newest link.

    `erased` acts count by their hashes alone. `emptied` are the acts, (`seq`, person), that lack
    their words though the person is not erased. `wordings` are ids of texts that are not what their
    hash says. `anchor_at` is the `seq` after which the chain stood at the link asked for, 0 for its
    start, None where it never did (or nobody asked); `after_anchor` acts came later.
    """

    acts: int
    broken_at: int | None
    link: bytes
    fault: Fault | None = None
    erased: int = 0
    wordings: tuple[int, ...] = ()
    anchor_at: int | None = None
    after_anchor: int = 0
    emptied: tuple[tuple[int, int | None], ...] = ()


def verify(
    connection: Connection,
    anchor: bytes | None = None,
    told: Callable[[int], None] = lambda _acts: None,
) -> Verification:
    """Walk the whole chain, looking for `anchor`; `told` hears how many acts are walked."""
    link: bytes = connection.execute(select(WORKSPACE.c.chain_start)).scalar_one()
    anchor_at = 0 if link == anchor else None
    known, changed = _texts(connection)
    acts = erased = after_anchor = 0
    broken: tuple[int, Fault] | None = None
    emptied: list[tuple[int, int | None]] = []
    reached: datetime | None = None
    for row in _rows(connection, told):
        acts += 1
        after_anchor += anchor_at is not None
        link = joined(link, row.digest)
        fault = _fault(row, link, known, reached)
        if fault == "emptied":
            emptied.append((row.seq, row.subscriber_id))
        erased += row.salt is None and fault != "emptied"
        if fault and broken is None:
            broken = (row.seq, fault)
        reached = row.at or reached
        if broken is None and link == anchor:
            anchor_at = row.seq
    broken_at, why = broken or (None, None)
    return Verification(
        acts, broken_at, link, why, erased, changed, anchor_at, after_anchor, tuple(emptied)
    )


def count(connection: Connection) -> int:
    """How many acts there are to walk."""
    return int(connection.execute(select(func.count()).select_from(CONSENT)).scalar_one())


def _rows(connection: Connection, told: Callable[[int], None]) -> Iterator[Row[Any]]:
    after, walked = 0, 0
    batch = (
        select(CONSENT, SUBSCRIBER.c.erased_at, SUBSCRIBER.c.created_at)
        .outerjoin(SUBSCRIBER, SUBSCRIBER.c.id == CONSENT.c.subscriber_id)
        .order_by(CONSENT.c.seq)
        .limit(BATCH)
    )
    while rows := connection.execute(batch.where(CONSENT.c.seq > after)).all():
        yield from rows
        after, walked = rows[-1].seq, walked + len(rows)
        told(walked)


def _fault(
    row: Row[Any], link: bytes, known: Mapping[int, str], reached: datetime | None
) -> Fault | None:
    if row.link != link:
        return "link"
    if not _is_whole_or_blank(row):
        return "content"
    if row.salt is None and not _is_forgotten(row, reached):
        return "emptied"
    named = (row.content or {}).get("wordings") or ()
    if any(known.get(wording["id"]) != wording["hash"] for wording in named):
        return "wording"
    return None


def _is_forgotten(row: Row[Any], reached: datetime | None) -> bool:
    """Whether its person is erased; or was, by `reached`, and is known again since.

    Of whom a sign-up that ran out left the key, the row comes back to life with it. `reached` is
    the moment of the newest act before that still has one.
    """
    if row.created_at is None:
        return False
    return row.erased_at is not None or reached is None or bool(reached < row.created_at)


def _is_whole_or_blank(row: Row[Any]) -> bool:
    """Blank means all of it: a row that kept its words and lost its salt proves nothing."""
    told = (row.act, row.content, row.at)
    if row.salt is None:
        return told == (None, None, None)
    if row.subscriber_id is None or None in told:
        return False
    digest = digest_of(row.salt, row.act, row.subscriber_id, row.content, row.at)
    return bool(row.digest == digest)


def _texts(connection: Connection) -> tuple[dict[int, str], tuple[int, ...]]:
    """The hashes of texts that still have theirs, by id; and the ids of those that do not."""
    rows = connection.execute(select(WORDING.c.id, WORDING.c.hash, WORDING.c.text)).all()
    whole = {row.id: row.hash for row in rows if hash_of(row.text) == row.hash}
    return whole, tuple(sorted(row.id for row in rows if row.id not in whole))
