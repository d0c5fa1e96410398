"""What people may have changed without leaving: their data put right, or left to rest.

Restricted means stored and nothing else (DSGVO Art. 18): `planning.mailable` lets no mail pass,
and whoever picks people out leaves them out.
"""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select, update

from l3mail import courses
from l3mail.models import ENROLLMENT, SUBSCRIBER
from l3mail.subscribers import people, profiles
from l3mail.subscribers.terms import Rules

FIELDS = (*profiles.NAMES, "birthday", "locale")
"""What may be put right besides attributes, by the names forms use."""


def known(connection: Connection, subscriber_id: int) -> dict[str, Any]:
    """What of a person may be put right, by name: `FIELDS`, and each attribute as `attrs.…`."""
    person = connection.execute(select(SUBSCRIBER).where(SUBSCRIBER.c.id == subscriber_id)).one()
    return _known(person)


def _known(person: Any) -> dict[str, Any]:
    birthday = profiles.written_birthday(person._mapping)
    plain = {name: person._mapping[name] for name in (*profiles.NAMES, "locale")}
    attributes = {f"attrs.{name}": value for name, value in sorted(person.attributes.items())}
    return {**plain, "birthday": birthday, **attributes}


def correct(
    connection: Connection,
    subscriber_id: int,
    before: Mapping[str, Any],
    after: Mapping[str, Any],
) -> bool:
    """Write what is put right, None for what is to be empty, by the names of `known`.

    False, and nothing is written, where one of them is no longer as it was `before`.
    """
    person = people.lock(connection, subscriber_id)
    if person is None or person.erased_at is not None:
        return False
    now_known = _known(person)
    if any(now_known.get(name) != before.get(name) for name in after):
        return False
    columns: dict[str, Any] = {n: v for n, v in after.items() if n in (*profiles.NAMES, "locale")}
    if "birthday" in after:
        born = after["birthday"]
        parts = (None, None, None) if born is None else profiles.parse_birthday(born)
        columns |= dict(zip(profiles.BIRTH, parts, strict=True))
    said = {n.removeprefix("attrs."): v for n, v in after.items() if n.startswith("attrs.")}
    if said:
        both = {**person.attributes, **said}
        columns["attributes"] = {n: v for n, v in both.items() if v is not None}
    if columns:
        connection.execute(
            update(SUBSCRIBER).where(SUBSCRIBER.c.id == subscriber_id).values(**columns)
        )
    return True


def restrict(connection: Connection, rules: Rules, subscriber_id: int, now: datetime) -> bool:
    """Let a person's data rest from now on; False where they do, or there is nobody.

    Lessons that wait are kept back, and planned anew at the learner's own slots once it is lifted;
    all other mail that waits is withdrawn when its turn comes.
    """
    person = people.lock(connection, subscriber_id)
    if person is None or person.erased_at is not None or person.restricted_at is not None:
        return False
    connection.execute(
        update(SUBSCRIBER).where(SUBSCRIBER.c.id == subscriber_id).values(restricted_at=now)
    )
    for enrollment in _active(connection, subscriber_id):
        # A pause of no length puts a waiting lesson back to the learner's next slot.
        courses.pause(connection, enrollment, None, now)
        courses.resume(connection, enrollment, now, rules.zone)
    return True


def lift(connection: Connection, subscriber_id: int) -> bool:
    """End a restriction; False where there is none. Courses go on at the learner's next slot."""
    person = people.lock(connection, subscriber_id)
    if person is None or person.restricted_at is None:
        return False
    connection.execute(
        update(SUBSCRIBER).where(SUBSCRIBER.c.id == subscriber_id).values(restricted_at=None)
    )
    return True


def _active(connection: Connection, subscriber_id: int) -> Collection[int]:
    query = select(ENROLLMENT.c.id).where(
        ENROLLMENT.c.subscriber_id == subscriber_id, ENROLLMENT.c.state == "active"
    )
    return connection.execute(query.order_by(ENROLLMENT.c.id)).scalars().all()
