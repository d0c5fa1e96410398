"""Openings and clicks: what is written of them, and of whom.

Owns the rule of consent at the moment of a visit. Of a person who agrees to be measured a visit
becomes a fact; of everybody else it is one more in a count that knows a text, a link and a day.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Literal
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, select

from l3mail.database import upsert
from l3mail.events.facts import append
from l3mail.models import COUNTER, DELIVERY, EVENT, LINK, SUBSCRIBER

Verdict = Literal["raw", "human", "machine", "unsure"]


@dataclass(frozen=True, slots=True)
class Visit:
    """An opening of a mail, or a click on the link with `link_id`, as it came in.

    `delivery_id` is None where the mail measured nobody. `verdict` is what the request alone says.
    """

    kind: Literal["opened", "clicked"]
    at: datetime
    message_id: int
    link_id: int | None = None
    delivery_id: int | None = None
    verdict: Verdict = "raw"


def record_visits(
    connection: Connection, visits: Sequence[Visit], *, mode: str, zone: ZoneInfo
) -> None:
    """Write visits down as `[tracking] mode` and each person's consent allow at this moment.

    A fact only of who agrees and is not erased; else a count on the local day, without what
    certainly was a machine; nothing at all where the mode is `off`.
    """
    if mode == "off":
        return
    personal = {visit.delivery_id for visit in visits if visit.delivery_id is not None}
    agreeing = _agreeing(connection, personal) if mode == "consent" else {}
    facts: list[dict[str, Any]] = []
    counts: Counter[tuple[int, int, str, date]] = Counter()
    for visit in visits:
        if visit.delivery_id in agreeing:
            facts.append(
                {
                    "kind": visit.kind,
                    "at": visit.at,
                    "delivery_id": visit.delivery_id,
                    "message_id": visit.message_id,
                    "link_id": visit.link_id,
                    "verdict": visit.verdict,
                    **agreeing[visit.delivery_id],
                }
            )
        elif visit.verdict != "machine":
            day = visit.at.astimezone(zone).date()
            counts[visit.message_id, visit.link_id or 0, visit.kind, day] += 1
    append(connection, facts)
    _count(connection, counts)


def _agreeing(
    connection: Connection, delivery_ids: Collection[int]
) -> dict[int | None, dict[str, Any]]:
    """Of deliveries whose person may be measured now: the person, and the journey they belong to.

    The person's row is held: who withdraws in this moment waits for what is being written, and
    nothing is written of them after.
    """
    rows = connection.execute(
        select(DELIVERY.c.id, DELIVERY.c.subscriber_id, DELIVERY.c.enrollment_id)
        .join(SUBSCRIBER, SUBSCRIBER.c.id == DELIVERY.c.subscriber_id)
        .where(
            DELIVERY.c.id.in_(sorted(delivery_ids)),
            SUBSCRIBER.c.tracking,
            SUBSCRIBER.c.erased_at.is_(None),
        )
        .order_by(SUBSCRIBER.c.id)
        .with_for_update(read=True, of=SUBSCRIBER)
    )
    return {
        row.id: {"subscriber_id": row.subscriber_id, "enrollment_id": row.enrollment_id}
        for row in rows
    }


def _count(connection: Connection, counts: Counter[tuple[int, int, str, date]]) -> None:
    if not counts:
        return
    adding = upsert(connection, COUNTER)
    names = ("message_id", "link_id", "kind", "day")
    connection.execute(
        adding.on_conflict_do_update(
            index_elements=list(names), set_={"n": COUNTER.c.n + adding.excluded.n}
        ),
        # In one order for everybody, so that two batches never wait for each other.
        [dict(zip(names, key, strict=True)) | {"n": n} for key, n in sorted(counts.items())],
    )


def of_delivery(connection: Connection, delivery_id: int) -> list[dict[str, Any]]:
    """What is known of a delivery's openings and clicks, the first one first.

    Each with `kind`, `at`, `verdict`; a click also with `link` (its number), `name` and `url`.
    """
    rows = connection.execute(
        select(
            EVENT.c.kind,
            EVENT.c.at,
            EVENT.c.verdict,
            LINK.c.number.label("link"),
            LINK.c.name,
            LINK.c.url,
        )
        .select_from(EVENT.outerjoin(LINK, LINK.c.id == EVENT.c.link_id))
        .where(EVENT.c.delivery_id == delivery_id, EVENT.c.kind.in_(("opened", "clicked")))
        .order_by(EVENT.c.at, EVENT.c.id)
    )
    return [dict(row._mapping) for row in rows]
