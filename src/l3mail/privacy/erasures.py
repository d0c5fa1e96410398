"""Erasing: what of a person goes and what stays, counted before; again, after a restore.

A backup knows nothing of what was erased after it was made. So the numbers of the erased, which
say nothing of anybody, are noted outside the database too, in `state/erased`: a database that was
put back has the same numbers, and is made to forget the same people. Neither does it know who moved
to another address: their numbers stand in `state/moved`, and their data rest in what was put back,
so that nobody is mailed at an address that is no longer theirs.
"""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Table, func, select

from l3mail import staff, subscribers, suppressions
from l3mail.models import (
    CERTIFICATE,
    CONSENT,
    DELIVERY,
    ENROLLMENT,
    EVENT,
    LINK_REQUEST,
    SIGNUP,
    SUBSCRIBER,
    SUBSCRIPTION,
    WORKSPACE,
    UtcDateTime,
)
from l3mail.subscribers import Rules, restricting

FILE: Final = "erased"
MOVED: Final = "moved"
_WAITING: Final = ("held", "queued", "deferred")


@dataclass(frozen=True, slots=True)
class Going:
    """What is held on somebody, by what becomes of it.

    `gone` are rows that go or are emptied, `mails` those that stay without a name; `acts` of
    consent are kept until `proof_until`, or reduced to checksums at once where that is None.
    `staff_mails` went to the same address as one of the staff, and stay until they are old.
    """

    gone: Mapping[str, int]
    mails: int
    acts: int
    proof_until: date | None
    suppression: str | None
    staff_mails: int


def foresee(
    connection: Connection, rules: Rules, subscriber_id: int, now: datetime, *, keep_proof: bool
) -> Going:
    """What erasing somebody now would come to."""
    person = connection.execute(select(SUBSCRIBER).where(SUBSCRIBER.c.id == subscriber_id)).one()

    def count(table: Table, *which: Any) -> int:
        of_person = table.c.subscriber_id == subscriber_id
        query = select(func.count()).select_from(table).where(of_person, *which)
        return int(connection.execute(query).scalar_one())

    waiting = count(DELIVERY, DELIVERY.c.state.in_(_WAITING))
    proofs = count(CONSENT, CONSENT.c.act.in_(subscribers.PROOFS))
    certificates = (
        select(func.count())
        .select_from(CERTIFICATE)
        .join(ENROLLMENT, ENROLLMENT.c.id == CERTIFICATE.c.enrollment_id)
        .where(ENROLLMENT.c.subscriber_id == subscriber_id)
    )
    as_staff = select(func.count()).where(staff.is_to(person.address or ""))
    barred = suppressions.find(connection, person.address_key)
    return Going(
        gone={
            "subscription": count(SUBSCRIPTION),
            "enrollment": count(ENROLLMENT),
            "waiting mail": waiting,
            "sign-up": count(SIGNUP),
            "answer": count(EVENT, EVENT.c.kind == "answered"),
            "certificate": int(connection.execute(certificates).scalar_one()),
            "link": count(LINK_REQUEST),
        },
        mails=count(DELIVERY) - waiting,
        acts=count(CONSENT, CONSENT.c.act.is_not(None)),
        proof_until=subscribers.proof_until(rules, now) if keep_proof and proofs else None,
        suppression=barred.reason if barred else None,
        staff_mails=int(connection.execute(as_staff).scalar_one()),
    )


def listing(connection: Connection, rules: Rules) -> list[dict[str, Any]]:
    """Whose data rest, and whose proof is kept though they are erased; the longest ago first."""
    resting = connection.execute(
        select(SUBSCRIBER.c.id, SUBSCRIBER.c.address, SUBSCRIBER.c.restricted_at)
        .where(SUBSCRIBER.c.restricted_at.is_not(None))
        .order_by(SUBSCRIBER.c.restricted_at, SUBSCRIBER.c.id)
    )
    kept = connection.execute(
        select(SUBSCRIBER.c.id, SUBSCRIBER.c.erased_at, func.count().label("acts"))
        .join(CONSENT, CONSENT.c.subscriber_id == SUBSCRIBER.c.id)
        .where(SUBSCRIBER.c.erased_at.is_not(None), CONSENT.c.act.is_not(None))
        .group_by(SUBSCRIBER.c.id, SUBSCRIBER.c.erased_at)
        .order_by(SUBSCRIBER.c.erased_at, SUBSCRIBER.c.id)
    )
    found: list[dict[str, Any]] = [
        {
            "state": "restricted",
            "number": row.id,
            "email": row.address,
            "since": row.restricted_at,
            "proof_until": None,
            "acts": 0,
        }
        for row in resting
    ]
    found += [
        {
            "state": "erased",
            "number": row.id,
            "email": None,
            "since": row.erased_at,
            "proof_until": subscribers.proof_until(rules, row.erased_at).isoformat(),
            "acts": row.acts,
        }
        for row in kept
    ]
    return found


def note(connection: Connection, state_dir: Path) -> int:
    """Add to `state/erased` and `state/moved` who is not noted there; how many came in.

    Idempotent, and so is what it is for: killed in between, it is done with the next one. Raises
    OSError.
    """
    uuid = connection.execute(select(WORKSPACE.c.uuid)).scalar_one()
    erased = select(SUBSCRIBER.c.id, SUBSCRIBER.c.erased_at).where(
        SUBSCRIBER.c.erased_at.is_not(None)
    )
    moved = (
        select(CONSENT.c.subscriber_id, func.max(CONSENT.c.at, type_=UtcDateTime))
        .where(CONSENT.c.act == "address_changed")
        .group_by(CONSENT.c.subscriber_id)
    )
    return sum(
        _add(state_dir, name, uuid, connection.execute(query.order_by(query.selected_columns[0])))
        for name, query in ((FILE, erased), (MOVED, moved))
    )


def _add(state_dir: Path, name: str, uuid: str, rows: Iterable[Any]) -> int:
    known = noted(state_dir, uuid, name)
    new = [(number, at) for number, at in rows if known.get(number) != at]
    if new:
        text = "".join(f"{uuid} {number} {at.isoformat()}\n" for number, at in new)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        with os.fdopen(os.open(state_dir / name, flags, 0o600), "a", encoding="ascii") as file:
            # What a power cut left of a line must not spoil the next one.
            file.write("\n" + text if file.tell() else text)
            file.flush()
            os.fsync(file.fileno())
    return len(new)


def noted(state_dir: Path, uuid: str, name: str = FILE) -> dict[int, datetime]:
    """Who of a database is noted there, and since when; lines that can't be read are none."""
    try:
        text = (state_dir / name).read_text(encoding="ascii", errors="replace")
    except FileNotFoundError:
        return {}
    found: dict[int, datetime] = {}
    for line in text.splitlines():
        try:
            of, number, at = line.split()
            if of == uuid:
                found[int(number)] = datetime.fromisoformat(at)
        except ValueError:
            continue
    return found


def known_again(connection: Connection, state_dir: Path, copied_at: datetime) -> list[int]:
    """Whom a database that was put back knows, although they were erased after it was copied."""
    return _living(connection, state_dir, FILE, copied_at)


def left_again(connection: Connection, state_dir: Path, copied_at: datetime) -> list[int]:
    """Who moved after a database that was put back was copied, and stands there as they were."""
    return _living(connection, state_dir, MOVED, copied_at, SUBSCRIBER.c.restricted_at.is_(None))


def _living(
    connection: Connection, state_dir: Path, name: str, copied_at: datetime, *which: Any
) -> list[int]:
    uuid = connection.execute(select(WORKSPACE.c.uuid)).scalar_one()
    late = {number for number, at in noted(state_dir, uuid, name).items() if at > copied_at}
    if not late:
        return []
    rows = connection.execute(
        select(SUBSCRIBER.c.id).where(SUBSCRIBER.c.erased_at.is_(None), *which)
    )
    return sorted(late & set(rows.scalars()))


def again(
    connection: Connection, rules: Rules, state_dir: Path, copied_at: datetime, now: datetime
) -> int:
    """Erase in a database that was put back whoever was erased after it was copied; how many."""
    alive = known_again(connection, state_dir, copied_at)
    for number in alive:
        subscribers.erase(connection, rules, number, now, by="restore")
    return len(alive)


def let_rest(
    connection: Connection, rules: Rules, state_dir: Path, copied_at: datetime, now: datetime
) -> int:
    """Let the data rest of who moved after a database that was put back was copied; how many."""
    left = left_again(connection, state_dir, copied_at)
    for number in left:
        restricting.restrict(connection, rules, number, now)
    return len(left)
