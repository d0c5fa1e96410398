"""Answers: what somebody said to a question of a text, and which of it counts.

Owns the rule that the latest answer per enrollment and question counts. What was asked is the
text's own.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, select

from l3mail.events.facts import append
from l3mail.models import DELIVERY, EVENT, MESSAGE, SUBSCRIBER

_SAID = ("value", "comment")


@dataclass(frozen=True, slots=True)
class Sheet:
    """Whose answers to the questions of which text; outside a course there is no enrollment."""

    subscriber_id: int
    enrollment_id: int | None
    slug: str


def latest(connection: Connection, sheet: Sheet) -> dict[str, Mapping[str, Any]]:
    """What counts of a sheet, by question."""
    rows = connection.execute(
        select(EVENT.c.name, EVENT.c.data)
        .outerjoin(DELIVERY, DELIVERY.c.id == EVENT.c.delivery_id)
        .outerjoin(MESSAGE, MESSAGE.c.id == EVENT.c.message_id)
        .where(
            EVENT.c.subscriber_id == sheet.subscriber_id,
            EVENT.c.kind == "answered",
            EVENT.c.enrollment_id.is_not_distinct_from(sheet.enrollment_id),
            func.coalesce(DELIVERY.c.slug, MESSAGE.c.slug) == sheet.slug,
        )
        .order_by(EVENT.c.at, EVENT.c.id)
    )
    return {row.name: row.data for row in rows}


def answered(connection: Connection, enrollment_id: int) -> set[tuple[str, str]]:
    """Every question that is answered in an enrollment, as slug of the text and name."""
    query = (
        select(func.coalesce(DELIVERY.c.slug, MESSAGE.c.slug), EVENT.c.name)
        .select_from(EVENT)
        .outerjoin(DELIVERY, DELIVERY.c.id == EVENT.c.delivery_id)
        .outerjoin(MESSAGE, MESSAGE.c.id == EVENT.c.message_id)
        .where(EVENT.c.enrollment_id == enrollment_id, EVENT.c.kind == "answered")
    )
    return {(slug, name) for slug, name in connection.execute(query)}


def answer(connection: Connection, sheet: Sheet, fact: dict[str, Any]) -> bool:
    """Add an answer, unless it says what already counts; whether it was added.

    `fact` is one of `append`'s, without `kind` and whose it is; its data say `value` and, where
    somebody added words, `comment`.
    """
    # The person's row puts two presses of one button in order; SQLite's writers are in one already.
    connection.execute(
        select(SUBSCRIBER.c.id).where(SUBSCRIBER.c.id == sheet.subscriber_id).with_for_update()
    )
    before = latest(connection, sheet).get(fact["name"])
    if before is not None and all(before.get(key) == fact["data"].get(key) for key in _SAID):
        return False
    whose = {"subscriber_id": sheet.subscriber_id, "enrollment_id": sheet.enrollment_id}
    append(connection, [{**fact, **whose, "kind": "answered"}])
    return True
