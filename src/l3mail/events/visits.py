"""Openings and clicks: what is written of them, and of whom.

Owns the rule of consent at the moment of a visit. Of a person who agrees to be measured a visit
becomes a fact; of everybody else it is one more in a count that knows a text, a link and a day.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Literal
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, func, select

from l3mail.database import upsert
from l3mail.events.facts import append
from l3mail.models import COUNTER, DELIVERY, EVENT, LINK, MESSAGE, SUBSCRIBER

MOST_A_DAY = 100
"""Visits by one mail's link, or its pixel, that are kept as facts of a local day."""

Verdict = Literal["raw", "human", "machine", "unsure"]


@dataclass(frozen=True, slots=True)
class Visit:
    """An opening of a mail, or a click on the link with `link_id`, as it came in.

    `delivery_id` is None where the mail measured nobody; where there is one, `message_id` may be
    left to it. `verdict` is what the request alone says.
    """

    kind: Literal["opened", "clicked"]
    at: datetime
    message_id: int | None = None
    link_id: int | None = None
    delivery_id: int | None = None
    verdict: Verdict = "raw"


def record_visits(
    connection: Connection, visits: Sequence[Visit], *, mode: str, zone: ZoneInfo
) -> None:
    """Write visits down as `[tracking] mode` and each person's consent allow at this moment.

    A fact only of who agrees and is not erased; else a count on the local day, without what
    certainly was a machine; nothing at all where the mode is `off`, or of a text nobody knows.
    """
    if mode == "off" or not visits:
        return
    personal = {visit.delivery_id for visit in visits if visit.delivery_id is not None}
    agreeing = _agreeing(connection, personal) if mode == "consent" else {}
    text_of = _texts(connection, visits)
    counts: Counter[tuple[int, int, str, date]] = Counter()
    for day, of_day in _by_day(visits, zone):
        facts: list[tuple[Visit, int]] = []
        for visit in of_day:
            message = text_of(visit)
            if message is None:
                continue
            if visit.delivery_id in agreeing:
                facts.append((visit, message))
            elif visit.verdict != "machine":
                counts[message, visit.link_id or 0, visit.kind, day] += 1
        append(connection, list(_within_ceiling(connection, facts, agreeing, day, zone)))
    _count(connection, counts)


def _texts(connection: Connection, visits: Sequence[Visit]) -> Callable[[Visit], int | None]:
    """Which version each visit belongs to, None where there is none such.

    What was looked up at the request may be gone by now, and one such row would refuse them all.
    """
    unsaid = {
        visit.delivery_id
        for visit in visits
        if visit.message_id is None and visit.delivery_id is not None
    }
    query = select(DELIVERY.c.id, DELIVERY.c.message_id).where(
        DELIVERY.c.id.in_(sorted(unsaid)), DELIVERY.c.message_id.is_not(None)
    )
    sent = {row.id: row.message_id for row in connection.execute(query)} if unsaid else {}
    said = {visit.message_id for visit in visits if visit.message_id is not None}
    known = set(
        connection.execute(select(MESSAGE.c.id).where(MESSAGE.c.id.in_(sorted(said)))).scalars()
    )

    def text_of(visit: Visit) -> int | None:
        if visit.message_id is None:
            return sent.get(visit.delivery_id)
        return visit.message_id if visit.message_id in known else None

    return text_of


def _by_day(visits: Iterable[Visit], zone: ZoneInfo) -> Iterator[tuple[date, list[Visit]]]:
    """Visits by the local day of each, the first day first: as a rule there is one."""
    days: dict[date, list[Visit]] = defaultdict(list)
    begin = end = datetime.min.replace(tzinfo=UTC)
    of_day: list[Visit] = []
    for visit in visits:
        if not begin <= visit.at < end:
            day = visit.at.astimezone(zone).date()
            begin, end = _midnight(day, zone), _midnight(day + timedelta(days=1), zone)
            of_day = days[day]
        of_day.append(visit)
    yield from sorted(days.items())


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time.min, zone).astimezone(UTC)


def _within_ceiling(
    connection: Connection,
    facts: Collection[tuple[Visit, int]],
    agreeing: Mapping[int | None, Mapping[str, Any]],
    day: date,
    zone: ZoneInfo,
) -> Iterator[dict[str, Any]]:
    """The visits of a day that are kept, as facts: of each link and the pixel only the first ones.

    Once one of a mail's was reached, nobody can tell from what is kept who comes by the others on
    that day: `unsure`, what else it may be.
    """
    if not facts:
        return
    deliveries = {visit.delivery_id for visit, _ in facts if visit.delivery_id is not None}
    kept: Counter[tuple[int | None, str, int]] = Counter()
    for delivery, kind, link, n in connection.execute(
        select(EVENT.c.delivery_id, EVENT.c.kind, EVENT.c.link_id, func.count())
        .where(
            EVENT.c.delivery_id.in_(sorted(deliveries)),
            EVENT.c.kind.in_(("opened", "clicked")),
            EVENT.c.at >= _midnight(day, zone),
            EVENT.c.at < _midnight(day + timedelta(days=1), zone),
        )
        .group_by(EVENT.c.delivery_id, EVENT.c.kind, EVENT.c.link_id)
    ):
        kept[delivery, kind, link or 0] = n
    full = {key[0] for key, n in kept.items() if n >= MOST_A_DAY}
    for visit, message in facts:
        key = (visit.delivery_id, visit.kind, visit.link_id or 0)
        if kept[key] >= MOST_A_DAY:
            full.add(visit.delivery_id)
            continue
        verdict = visit.verdict
        if verdict == "raw" and visit.delivery_id in full:
            verdict = "unsure"
        kept[key] += 1
        yield {
            "kind": visit.kind,
            "at": visit.at,
            "delivery_id": visit.delivery_id,
            "message_id": message,
            "link_id": visit.link_id,
            "verdict": verdict,
            **agreeing[visit.delivery_id],
        }


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
            SUBSCRIBER.c.restricted_at.is_(None),
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
