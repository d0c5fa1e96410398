"""Values that came before their attribute was declared: found, read anew, put right.

Owns what becomes of a text where l3mail.toml now says number, date, yes or no, or a choice. What
can't be read stays as it is. Must not know files or terminals.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select, update

from l3mail.errors import EntryError
from l3mail.models import SUBSCRIBER
from l3mail.segments import is_of_another
from l3mail.settings import Attribute
from l3mail.subscribers import dates, people, values

BATCH = 200


@dataclass(frozen=True, slots=True)
class Misfit:
    """One value that is not what its attribute is declared to be.

    `after` is what it is read as; `reason` says why it can't be read.
    """

    person: int
    email: str
    name: str
    before: Any
    after: Any = None
    reason: str = ""


def find(
    connection: Connection, attributes: Mapping[str, Attribute], order: dates.Order | None = None
) -> list[Misfit]:
    """All values of another kind, by person; not of those whose data rest (DSGVO Art. 18).

    `order` says which number comes first in 5/6/1980 where the values of an attribute do not.
    """
    found: list[Misfit] = []
    for name, declared in sorted(attributes.items()):
        query = (
            select(SUBSCRIBER.c.id, SUBSCRIBER.c.address, SUBSCRIBER.c.attributes)
            .where(
                SUBSCRIBER.c.erased_at.is_(None),
                SUBSCRIBER.c.restricted_at.is_(None),
                is_of_another(name, declared.type, declared.choices),
            )
            .order_by(SUBSCRIBER.c.id)
        )
        rows = [(row.id, row.address, row.attributes[name]) for row in connection.execute(query)]
        texts = [text for _, _, text in rows if isinstance(text, str)]
        first = dates.order_of(texts) or order
        found += [_read(*row, name, attributes, first) for row in rows]
    return sorted(found, key=lambda one: (one.person, one.name))


def convert(connection: Connection, misfits: Sequence[Misfit]) -> int:
    """Put right what can be read, of a batch of people; how many values. Idempotent."""
    people.lock_all(connection, {one.person for one in misfits})
    query = select(SUBSCRIBER.c.id, SUBSCRIBER.c.attributes).where(
        SUBSCRIBER.c.id.in_({one.person for one in misfits}), SUBSCRIBER.c.erased_at.is_(None)
    )
    known = {row.id: dict(row.attributes) for row in connection.execute(query)}
    # Asked of the row itself: the person may have answered since it was read.
    right = [
        one
        for one in misfits
        if not one.reason and known.get(one.person, {}).get(one.name) == one.before
    ]
    for one in right:
        known[one.person][one.name] = one.after
    for person in sorted({one.person for one in right}):
        connection.execute(
            update(SUBSCRIBER).where(SUBSCRIBER.c.id == person).values(attributes=known[person])
        )
    return len(right)


def _read(  # noqa: PLR0917 - one row
    person: int,
    email: str,
    before: Any,
    name: str,
    attributes: Mapping[str, Attribute],
    order: dates.Order | None,
) -> Misfit:
    text = ("ja" if before else "nein") if isinstance(before, bool) else before
    if isinstance(text, str | int | float):
        try:
            after = values.attribute(name, str(text), attributes, order)
        except EntryError as error:
            return Misfit(person, email, name, before, reason=str(error))
        return Misfit(person, email, name, before, after)
    return Misfit(person, email, name, before, reason=f"{name} is no single value")
