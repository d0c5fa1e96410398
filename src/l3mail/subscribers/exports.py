"""The list: who is known, found by what an operator asks, in pages or as a whole.

Owns the columns people are listed and exported by. Reads only; must not know files or terminals.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, exists, func, or_, select

from l3mail import subscribers
from l3mail.models import DELIVERY, STREAM, SUBSCRIBER, SUBSCRIPTION
from l3mail.subscribers import profiles

STATUSES = ("unconfirmed", "active", "unsubscribed", "suppressed")
COLUMNS = (
    "email",
    "first_name",
    "last_name",
    "salutation",
    "locale",
    "district",
    "birthday",
    "streams",
    "status",
    "tracking",
    "created_at",
)
_PAGE = 1_000


@dataclass(frozen=True, slots=True)
class Asked:
    """Which people; everything left out means all of them. `segment` is a condition on them."""

    search: str | None = None
    status: str | None = None
    stream: str | None = None
    segment: ColumnElement[bool] | None = None


def listing(connection: Connection, asked: Asked, limit: int) -> list[dict[str, Any]]:
    """The newest `limit` people asked for, the newest last, with their memberships."""
    query = _people(asked).order_by(SUBSCRIBER.c.id.desc()).limit(limit)
    rows = [dict(row) for row in connection.execute(query).mappings()]
    return _with_memberships(connection, rows[::-1])


def count(connection: Connection, asked: Asked) -> int:
    """How many people are asked for."""
    query = select(func.count()).select_from(_people(asked).subquery())
    return int(connection.execute(query).scalar_one())


def everybody(connection: Connection, asked: Asked) -> Iterator[dict[str, Any]]:
    """All people asked for, oldest first, read page by page; not whose data rest (Art. 18)."""
    last = 0
    while True:
        query = _used(asked).where(SUBSCRIBER.c.id > last).order_by(SUBSCRIBER.c.id).limit(_PAGE)
        rows = [dict(row) for row in connection.execute(query).mappings()]
        yield from _with_memberships(connection, rows)
        if len(rows) < _PAGE:
            return
        last = rows[-1]["id"]


def attribute_names(connection: Connection, asked: Asked) -> set[str]:
    """The attributes that anybody asked for has."""
    query = _used(asked).with_only_columns(SUBSCRIBER.c.attributes)
    names: set[str] = set()
    for (attributes,) in connection.execute(query.execution_options(yield_per=_PAGE)):
        names |= attributes.keys()
    return names


def as_cells(person: Mapping[str, Any], attributes: Sequence[str]) -> list[str]:
    """A person's row of a CSV file: `COLUMNS`, then these attributes. `import` reads it back."""
    plain = dict(person) | {
        "streams": ";".join(
            s["stream"] for s in person["subscriptions"] if s["status"] == "confirmed"
        )
    }
    return [
        *(as_cell(plain[name]) for name in COLUMNS),
        *(as_cell(person["attributes"].get(name)) for name in attributes),
    ]


def delivery_counts(connection: Connection, subscriber_id: int) -> dict[str, int]:
    """How many mails to this person are in which state."""
    query = (
        select(DELIVERY.c.state, func.count())
        .where(DELIVERY.c.subscriber_id == subscriber_id)
        .group_by(DELIVERY.c.state)
    )
    return {row.state: row[1] for row in connection.execute(query)}


def _people(asked: Asked) -> Select[Any]:
    status = subscribers.status_of()
    query = select(SUBSCRIBER, status.label("status")).where(SUBSCRIBER.c.erased_at.is_(None))
    if asked.search:
        for word in asked.search.split():
            query = query.where(
                or_(
                    *(
                        SUBSCRIBER.c[name].icontains(word, autoescape=True)
                        for name in ("address", "first_name", "last_name", "district")
                    )
                )
            )
    if asked.status:
        query = query.where(status == asked.status)
    if asked.stream:
        query = query.where(
            exists(
                select(SUBSCRIPTION.c.id)
                .join(STREAM, STREAM.c.id == SUBSCRIPTION.c.stream_id)
                .where(
                    SUBSCRIPTION.c.subscriber_id == SUBSCRIBER.c.id, STREAM.c.slug == asked.stream
                )
            )
        )
    return query if asked.segment is None else query.where(asked.segment)


def _used(asked: Asked) -> Select[Any]:
    return _people(asked).where(SUBSCRIBER.c.restricted_at.is_(None))


def _with_memberships(
    connection: Connection, rows: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    by_person: dict[int, list[dict[str, Any]]] = {row["id"]: [] for row in rows}
    query = (
        select(SUBSCRIPTION, STREAM.c.slug)
        .join(STREAM, STREAM.c.id == SUBSCRIPTION.c.stream_id)
        .where(SUBSCRIPTION.c.subscriber_id.in_(by_person))
        .order_by(STREAM.c.slug)
    )
    for row in connection.execute(query).mappings() if rows else ():
        by_person[row["subscriber_id"]].append(
            {
                "stream": row["slug"],
                "status": row["state"],
                "confirmed_at": row["confirmed_at"],
                "unsubscribed_at": row["unsubscribed_at"],
                "source": row["source"],
            }
        )
    return [_person(row, by_person[row["id"]]) for row in rows]


def _person(row: Mapping[str, Any], subscriptions: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "id": row["id"],
        "email": row["address"],
        "status": row["status"],
        **{name: row[name] for name in ("first_name", "last_name", "salutation")},
        "locale": row["locale"],
        "district": row["district"],
        "birthday": profiles.written_birthday(row),
        "tracking": row["tracking"],
        "created_at": row["created_at"],
        "restricted_at": row["restricted_at"],
        "attributes": row["attributes"],
        "subscriptions": subscriptions,
    }


def as_cell(value: object) -> str:
    """One value as text that `import` reads back."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "ja" if value else "nein"
    return value.isoformat() if isinstance(value, datetime) else str(value)
