"""Retention: what is older than it may be kept is counted by days and goes.

Once a local day both tables that grow are walked through in the order of their numbers, so many
rows at a time, as far as the first that is young enough. Whatever planning would miss stays, so
that nothing goes out again because it was forgotten: mails of courses under way, of campaigns
still planned, in doubt, and those that are sent once; of these all that may speak of the person
is emptied. What went stands in `aged_delivery` and `aged_event` for reports.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Select,
    String,
    Table,
    and_,
    bindparam,
    case,
    delete,
    exists,
    func,
    literal,
    not_,
    or_,
    select,
    update,
)

from l3mail.calendars import wall_to_utc
from l3mail.database import upsert
from l3mail.models import (
    AGED_DELIVERY,
    AGED_EVENT,
    AGING,
    CAMPAIGN,
    CONSENT,
    DELIVERY,
    ENROLLMENT,
    EVENT,
    LINK_REQUEST,
    MESSAGE,
    SUBSCRIBER,
    UtcDateTime,
)
from l3mail.models.columns import among
from l3mail.segments.acts import SIGNS_OF_LIFE

PIECE: Final = 400
"""Rows one step looks at: whoever wants to write behind it waits less than a tenth of a second."""

_NEWEST: Final = 1_000
_CUTOFF = bindparam("cutoff", type_=UtcDateTime)
_LAST_BEGUN = bindparam("last_begun", type_=UtcDateTime)
_ENDED: Final = ("accepted", "failed", "cancelled", "lapsed")
_STAYS: Final = "stays"
_EMPTIED: Final = "emptied"
_GOES: Final = "goes"

_LATER = EVENT.alias("later_sign")


@dataclass(frozen=True, slots=True)
class Terms:
    """How long what is kept, by the calendar of `zone`."""

    zone: ZoneInfo
    events_months: int = 14
    deliveries_months: int = 36


@dataclass(frozen=True, slots=True)
class Aged:
    """What one step did: rows that went; `more` says that the day's walk is not at its end."""

    gone: int = 0
    more: bool = False


@dataclass(frozen=True, slots=True)
class Foreseen:
    """What of a table would go now, what would be emptied; `next_on` is when more grows old."""

    name: str
    months: int
    goes: int
    emptied: int
    next_on: date | None


@dataclass(frozen=True, slots=True)
class _Walk:
    """One of the two tables: what is asked of its rows, and what becomes of them."""

    table: Table
    moment: ColumnElement[Any]
    rows: Select[Any]
    fate: ColumnElement[Any]
    counted: Table


def since(now: datetime, months: int, zone: ZoneInfo) -> datetime:
    """The moment before which things are older than so many months: a local midnight."""
    today = now.astimezone(zone).date()
    count = today.year * 12 + today.month - 1 - months
    year, month = divmod(count, 12)
    # The 31st of a month that is shorter ends with it.
    day = next(d for d in range(today.day, 0, -1) if _is_day(year, month + 1, d))
    return wall_to_utc(date(year, month + 1, day), time.min, zone)


def _is_day(year: int, month: int, day: int) -> bool:
    try:
        date(year, month, day)
    except ValueError:
        return False
    return True


def _lives(table: Table) -> ColumnElement[bool]:
    return exists(
        select(SUBSCRIBER.c.id)
        .where(SUBSCRIBER.c.id == table.c.subscriber_id, SUBSCRIBER.c.erased_at.is_(None))
        .correlate(table)
    )


def _under_way(table: Table) -> ColumnElement[bool]:
    return exists(
        select(ENROLLMENT.c.id)
        .where(
            ENROLLMENT.c.id == table.c.enrollment_id, ENROLLMENT.c.state.in_(("active", "paused"))
        )
        .correlate(table)
    )


_OLD_MAIL = and_(
    DELIVERY.c.state.in_(_ENDED),
    func.coalesce(DELIVERY.c.ended_at, DELIVERY.c.due_at) < _CUTOFF,
    DELIVERY.c.due_at < _CUTOFF,
)
_STILL_PLANNED = exists(
    select(CAMPAIGN.c.id)
    .where(
        CAMPAIGN.c.id == DELIVERY.c.campaign_id,
        CAMPAIGN.c.planned_at.is_(None),
        CAMPAIGN.c.cancelled_at.is_(None),
    )
    .correlate(DELIVERY)
)
# Who was asked is proved by the mail that asked, as long as there is something to prove.
_PROVES = and_(
    DELIVERY.c.signup_id.is_not(None),
    exists(
        select(CONSENT.c.seq)
        .where(CONSENT.c.subscriber_id == DELIVERY.c.subscriber_id, CONSENT.c.act.is_not(None))
        .correlate(DELIVERY)
    ),
)
_ONCE = and_(DELIVERY.c.occurrence.like("trigger:%"), _lives(DELIVERY))
_THIS_YEAR = or_(
    *(
        DELIVERY.c.occurrence.like(literal("yearly:%:") + bindparam(name, type_=String))
        for name in ("this_year", "last_year")
    )
)
_MAIL_FATE = case(
    (not_(_OLD_MAIL), _STAYS),
    # By it a sender knows that this database is no older copy.
    (DELIVERY.c.started_at >= _LAST_BEGUN, _STAYS),
    (or_(_under_way(DELIVERY), _STILL_PLANNED, _PROVES), _STAYS),
    (or_(_ONCE, _THIS_YEAR), _EMPTIED),
    else_=_GOES,
)
# What tells one silence from the next: without it the same silence would be answered once more.
_LAST_SIGN = and_(
    EVENT.c.kind.in_(("opened", "clicked", *SIGNS_OF_LIFE)),
    _lives(EVENT),
    not_(
        exists(
            select(_LATER.c.id)
            .where(
                _LATER.c.subscriber_id == EVENT.c.subscriber_id,
                _LATER.c.id > EVENT.c.id,
                _LATER.c.kind.in_(("opened", "clicked", *SIGNS_OF_LIFE)),
                or_(_LATER.c.verdict == "human", _LATER.c.kind.in_(SIGNS_OF_LIFE)),
            )
            .correlate(EVENT)
        )
    ),
)
_EVENT_FATE = case(
    (EVENT.c.at >= _CUTOFF, _STAYS),
    (func.coalesce(EVENT.c.verdict == "raw", False), _STAYS),
    (_under_way(EVENT), _STAYS),
    (_LAST_SIGN, _EMPTIED),
    else_=_GOES,
)
_SLUG = func.coalesce(DELIVERY.c.slug, MESSAGE.c.slug, "")
_WALKS: Final[Mapping[str, _Walk]] = {
    "deliveries": _Walk(
        DELIVERY,
        DELIVERY.c.due_at,
        select(
            DELIVERY.c.id,
            DELIVERY.c.due_at.label("moment"),
            _MAIL_FATE.label("fate"),
            DELIVERY.c.kind,
            DELIVERY.c.slug,
            DELIVERY.c.state,
            DELIVERY.c.tracked,
            (DELIVERY.c.purpose != "staff").label("counts"),
            or_(DELIVERY.c.reply_text.is_not(None), DELIVERY.c.shown.is_not(None)).label("full"),
            DELIVERY.c.details.label("data"),
        ),
        _MAIL_FATE,
        AGED_DELIVERY,
    ),
    "events": _Walk(
        EVENT,
        EVENT.c.at,
        select(
            EVENT.c.id,
            EVENT.c.at.label("moment"),
            _EVENT_FATE.label("fate"),
            EVENT.c.kind,
            _SLUG.label("slug"),
            func.coalesce(EVENT.c.name, "").label("name"),
            func.coalesce(EVENT.c.verdict, "").label("verdict"),
            EVENT.c.subscriber_id.is_not(None).label("counts"),
            literal(False).label("full"),
            EVENT.c.data.label("data"),
        )
        .select_from(EVENT)
        .outerjoin(DELIVERY, DELIVERY.c.id == EVENT.c.delivery_id)
        .outerjoin(MESSAGE, MESSAGE.c.id == EVENT.c.message_id),
        _EVENT_FATE,
        AGED_EVENT,
    ),
}


def age_out(connection: Connection, now: datetime, terms: Terms, limit: int = PIECE) -> Aged:
    """One step of the day's walk; nothing once it is at its end."""
    today = now.astimezone(terms.zone).date()
    rows = connection.execute(select(AGING.c.name, AGING.c.finished_on).with_for_update())
    done = {row.name: row.finished_on for row in rows}
    # Events first: they are kept for a shorter time, and know their text by their mail.
    for name in ("events", "deliveries"):
        if done.get(name) == today:
            continue
        gone, is_over = _step(connection, name, now, terms, limit)
        if gone or not is_over:
            return Aged(gone, more=True)
    return Aged()


def turn(connection: Connection, name: str, now: datetime, zone: ZoneInfo) -> int | None:
    """How far another walk of today has come, by its own name; None once it is at its end."""
    row = connection.execute(select(AGING).where(AGING.c.name == name).with_for_update()).first()
    if row is not None and row.finished_on == now.astimezone(zone).date():
        return None
    return 0 if row is None else int(row.reached)


def note_turn(
    connection: Connection, name: str, reached: int | None, now: datetime, zone: ZoneInfo
) -> None:
    """Note how far a walk has come; None is its end for today."""
    position: dict[str, Any] = {"reached": reached or 0}
    if reached is None:
        position["finished_on"] = now.astimezone(zone).date()
    connection.execute(
        upsert(connection, AGING)
        .values(name=name, **position)
        .on_conflict_do_update(index_elements=[AGING.c.name], set_=position)
    )


def begin_again(connection: Connection) -> None:
    """Walk once more today, from the beginning."""
    names = AGING.c.name.in_(_WALKS)
    connection.execute(update(AGING).where(names).values(reached=0, finished_on=None))


def _step(
    connection: Connection, name: str, now: datetime, terms: Terms, limit: int
) -> tuple[int, bool]:
    walk = _WALKS[name]
    reached = connection.execute(select(AGING.c.reached).where(AGING.c.name == name)).scalar() or 0
    values = _values(connection, name, now, terms)
    rows = connection.execute(
        walk.rows.where(walk.table.c.id > reached).order_by(walk.table.c.id).limit(limit), values
    ).all()
    old = [row for row in rows if row.moment < values["cutoff"]]
    going = [row for row in old if row.fate == _GOES]
    _count(connection, walk.counted, [row for row in going if row.counts], terms.zone)
    _delete(connection, name, [row.id for row in going])
    _empty(connection, name, [r.id for r in old if r.fate == _EMPTIED and (r.full or r.data)])
    is_over = len(rows) < limit or not old
    note_turn(connection, name, None if is_over else rows[-1].id, now, terms.zone)
    return len(going), is_over


def _values(connection: Connection, name: str, now: datetime, terms: Terms) -> dict[str, Any]:
    months = terms.deliveries_months if name == "deliveries" else terms.events_months
    cutoff = since(now, months, terms.zone)
    values: dict[str, Any] = {"cutoff": cutoff}
    if name == "deliveries":
        year = now.astimezone(terms.zone).year
        values |= {"this_year": str(year), "last_year": str(year - 1)}
        values["last_begun"] = _last_begun(connection, cutoff)
    return values


def _last_begun(connection: Connection, cutoff: datetime) -> datetime:
    """When the last mail was begun that a sender may have noted as its last; else `cutoff`."""
    newest = select(DELIVERY.c.started_at).order_by(DELIVERY.c.id.desc()).limit(_NEWEST).subquery()
    latest = select(func.max(newest.c.started_at, type_=UtcDateTime))
    begun: datetime | None = connection.execute(latest).scalar()
    if begun is not None and begun >= cutoff:
        return begun
    # A house that has been quiet for so long: then it has the time to look at all of them.
    everything = select(func.max(DELIVERY.c.started_at, type_=UtcDateTime))
    ever: datetime | None = connection.execute(everything).scalar()
    return ever or cutoff


def _count(connection: Connection, table: Table, rows: Iterable[Any], zone: ZoneInfo) -> None:
    names = [column.name for column in table.primary_key if column.name != "day"]
    counts = Counter(
        (row.moment.astimezone(zone).date(), *(getattr(row, name) for name in names))
        for row in rows
    )
    if not counts:
        return
    adding = upsert(connection, table)
    connection.execute(
        adding.on_conflict_do_update(
            index_elements=["day", *names], set_={"n": table.c.n + adding.excluded.n}
        ),
        [dict(zip(("day", *names), key, strict=True)) | {"n": n} for key, n in counts.items()],
    )


_IDS: Final = "ids"
_OF_MAILS = update(EVENT).where(among(EVENT.c.delivery_id, _IDS, BigInteger()))
_REQUESTS = (
    select(DELIVERY.c.link_request_id)
    .where(among(DELIVERY.c.id, _IDS, BigInteger()), DELIVERY.c.link_request_id.is_not(None))
    .distinct()
)


def _delete(connection: Connection, name: str, ids: Sequence[int]) -> None:
    if not ids:
        return
    table, values = _WALKS[name].table, {_IDS: list(ids)}
    asked: Sequence[int] = ()
    if name == "deliveries":
        asked = [one for one in connection.execute(_REQUESTS, values).scalars() if one is not None]
        connection.execute(_OF_MAILS.values(delivery_id=None), values)
    connection.execute(delete(table).where(among(table.c.id, _IDS, BigInteger())), values)
    if asked:
        answered = exists(
            select(DELIVERY.c.id)
            .where(DELIVERY.c.link_request_id == LINK_REQUEST.c.id)
            .correlate(LINK_REQUEST)
        )
        old = among(LINK_REQUEST.c.id, _IDS, BigInteger())
        connection.execute(delete(LINK_REQUEST).where(old, not_(answered)), {_IDS: asked})


def _empty(connection: Connection, name: str, ids: Sequence[int]) -> None:
    if not ids:
        return
    table = _WALKS[name].table
    bare: dict[str, Any] = {"details": {}, "reply_text": None, "shown": None}
    connection.execute(
        update(table)
        .where(among(table.c.id, _IDS, BigInteger()))
        .values(bare if name == "deliveries" else {"data": {}}),
        {_IDS: list(ids)},
    )


def foresee(connection: Connection, now: datetime, terms: Terms) -> list[Foreseen]:
    """What would go now, and when the next grows old; reads all that is old: that takes a while."""
    found = []
    for name, walk in _WALKS.items():
        values = _values(connection, name, now, terms)
        rows = connection.execute(
            select(walk.fate.label("fate"), func.count())
            .select_from(walk.table)
            .where(walk.moment < _CUTOFF)
            .group_by("fate"),
            values,
        )
        fates = {fate: int(n) for fate, n in rows}
        next_at = connection.execute(
            select(func.min(walk.moment, type_=UtcDateTime)).where(walk.moment >= _CUTOFF), values
        ).scalar()
        months = terms.deliveries_months if name == "deliveries" else terms.events_months
        found.append(
            Foreseen(
                name,
                months,
                fates.get(_GOES, 0),
                fates.get(_EMPTIED, 0),
                None if next_at is None else _grows_old(next_at, months, terms.zone),
            )
        )
    return found


def _grows_old(moment: datetime, months: int, zone: ZoneInfo) -> date:
    """The first local day on which a moment is too old."""
    after = moment.astimezone(zone).date() + timedelta(days=1)
    year, month = divmod(after.year * 12 + after.month - 1 + months, 12)
    if _is_day(year, month + 1, after.day):
        return date(year, month + 1, after.day)
    year, month = divmod(year * 12 + month + 1, 12)
    return date(year, month + 1, 1)
