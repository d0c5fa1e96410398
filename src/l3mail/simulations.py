"""The future on a virtual clock: who gets what when, and nothing is sent or changed.

Copies the facts it needs by SELECTs into a database in memory and runs the real planning
statements there, from one due moment to the next. Every mail that may go out counts as accepted
at once, nobody clicks, leaves or approves, and halts in force are taken as lifted.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    Table,
    Update,
    and_,
    case,
    create_engine,
    event,
    exists,
    func,
    insert,
    literal,
    or_,
    select,
    update,
)
from sqlalchemy.pool import StaticPool

from l3mail import courses, rounds
from l3mail.models import (
    APPROVAL,
    APPROVAL_MESSAGE,
    CAMPAIGN,
    CAMPAIGN_MESSAGE,
    COURSE,
    DELIVERY,
    ENROLLMENT,
    EVENT,
    LESSON,
    LINK,
    LINK_REQUEST,
    MESSAGE,
    METADATA,
    SEGMENT,
    SIGNUP,
    STREAM,
    STRUCTURE,
    SUBSCRIBER,
    SUBSCRIPTION,
    SUPPRESSION,
    TRIGGER,
    WORDING,
    WORKSPACE,
)
from l3mail.newsletters import AWAITING_RELEASE, IS_UNRELEASED
from l3mail.outbox import AWAITING_APPROVAL
from l3mail.outbox.details import TEXT
from l3mail.planning import (
    NO_RESTRAINT,
    NOW,
    Candidate,
    Restraint,
    another,
    bindings,
    is_bulk,
    is_over_cap,
    is_restrained,
    mailable,
    stopped,
    until_cap_is_free,
    until_quiet_ends,
)
from l3mail.rounds import Agenda

CHUNK = 5_000
_WHOLE = (
    SUBSCRIBER,
    STREAM,
    SUBSCRIPTION,
    SUPPRESSION,
    MESSAGE,
    LINK,
    COURSE,
    STRUCTURE,
    LESSON,
    ENROLLMENT,
    CAMPAIGN,
    CAMPAIGN_MESSAGE,
    TRIGGER,
    APPROVAL,
    APPROVAL_MESSAGE,
    SEGMENT,
    SIGNUP,
    LINK_REQUEST,
    WORDING,
    WORKSPACE,
)
_UNENDED = DELIVERY.c.state.in_(("queued", "held", "sending", "deferred"))
_AGAIN = (DELIVERY.c.state == "uncertain") & DELIVERY.c.next_attempt_at.is_not(None)
_UNPLANNED = CAMPAIGN.c.planned_at.is_(None) & CAMPAIGN.c.cancelled_at.is_(None)


@dataclass(frozen=True, slots=True)
class Terms:
    """What a simulation supposes of the house.

    `since` None means whatever goes out from now on, also what is overdue; else nothing due
    before it is told. `until` is included. `staff` are the addresses reports may go to, and
    `restraint` is what people are spared.
    """

    now: datetime
    until: datetime
    since: datetime | None = None
    staff: frozenset[str] = frozenset()
    fallback_locale: str = "de"
    restraint: Restraint = NO_RESTRAINT

    @property
    def begin(self) -> datetime:
        """Where the virtual clock starts: now, or in the past where that is asked for."""
        return self.now if self.since is None else min(self.now, self.since)


@dataclass(frozen=True, slots=True, order=True)
class Forecast:
    """One mail to come.

    `status` is planned, or held with the reason when it could not go out as things are.
    """

    due_at: datetime
    email: str
    message: str
    kind: str
    status: str = "planned"
    reason: str | None = None


@contextmanager
def copied(connection: Connection) -> Iterator[Connection]:
    """A database in memory with the facts that planning asks for; `connection` is only read."""
    engine = create_engine(
        "sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False}
    )

    @event.listens_for(engine, "connect")
    def configure(opened: Any, _record: Any) -> None:
        # Without transactions: there is nothing to lose and nobody to wait for.
        opened.isolation_level = None
        opened.execute("PRAGMA journal_mode = OFF")

    try:
        with engine.connect() as memory:
            METADATA.create_all(memory)
            for table in _WHOLE:
                _copy(connection, memory, table, select(table))
            _copy(connection, memory, DELIVERY, select(DELIVERY).where(_needed(connection)))
            if _asks_for_history(connection):
                _copy(connection, memory, EVENT, select(EVENT))
            yield memory
    finally:
        engine.dispose()


def _copy(source: Connection, target: Connection, table: Table, query: Select[Any]) -> None:
    for rows in source.execute(query.execution_options(yield_per=CHUNK)).partitions():
        target.execute(insert(table), [dict(row._mapping) for row in rows])


def _needed(connection: Connection) -> ColumnElement[bool]:
    """Which deliveries bear on what comes: all of them where a segment may ask for history."""
    if _asks_for_history(connection):
        return DELIVERY.c.id.is_not(None)
    running = exists(
        select(ENROLLMENT.c.id).where(
            ENROLLMENT.c.id == DELIVERY.c.enrollment_id, ENROLLMENT.c.state.in_(courses.RUNNING)
        )
    )
    return or_(_UNENDED, _AGAIN, DELIVERY.c.purpose == "request", running)


def _asks_for_history(connection: Connection) -> bool:
    asks = select(literal(1)).where(
        or_(
            exists(select(CAMPAIGN.c.id).where(_UNPLANNED)),
            exists(select(TRIGGER.c.id).where(TRIGGER.c.retired_at.is_(None))),
        )
    )
    return connection.execute(asks).first() is not None


def simulate(
    connection: Connection,
    terms: Terms,
    agenda: Agenda,
    tell: Callable[[datetime], None] = lambda _: None,
) -> list[Forecast]:
    """What goes out until `terms.until` as things are now, by moment and address.

    `agenda` is what the house's own rounds plan by; `tell` hears of each virtual moment.
    """
    with copied(connection) as memory:
        memory.execute(update(DELIVERY).where(or_(_UNENDED, _AGAIN), _NOT_HELD).values(_REQUEUED))
        memory.execute(update(DELIVERY).where(is_restrained()).values(_SPARED))
        memory.execute(update(CAMPAIGN).where(IS_UNRELEASED).values(_AS_IF_RELEASED))
        now: datetime | None = terms.begin
        while now is not None and now <= terms.until:
            tell(now)
            _live_through(memory, now, terms, agenda)
            now = rounds.next_moment(memory, now, agenda)
        return _told(memory, terms)


_ENDED_SINCE = DELIVERY.c.ended_at > NOW
# What these words mark was not so in the database that was copied.
_SIMULATED = "simulated"
_UNPUBLISHED = "nothing is published under this slug"
_NOT_HELD = DELIVERY.c.state != "held"
_AS_IF_RELEASED = {"released_at": CAMPAIGN.c.scheduled_at, "released_by": _SIMULATED}
_REQUEUED = {"state": "queued", "next_attempt_at": None, "lease_owner": None}
# Halts are taken as lifted; a campaign somebody paused stays where it is.
_QUEUED = and_(DELIVERY.c.state == "queued", ~stopped())
# Where the clock starts in the past, what waits in the outbox today is still not sent before its
# time.
_HANDED_OVER_AT = case((DELIVERY.c.due_at > NOW, DELIVERY.c.due_at), else_=NOW)
_SET_ASIDE = (
    update(DELIVERY)
    .where(_QUEUED, DELIVERY.c.lapses_at <= NOW)
    .values(state="lapsed", ended_at=NOW),
    update(DELIVERY)
    .where(_QUEUED, ~mailable(Candidate.delivery()))
    .values(state="cancelled", ended_at=NOW),
    update(DELIVERY).where(_QUEUED, TEXT.is_(None)).values(state="held", reason=_UNPUBLISHED),
)
_HANDED_OVER = (
    update(DELIVERY)
    .where(_QUEUED)
    .values(
        state="accepted",
        reason=_SIMULATED,
        first_started_at=func.coalesce(DELIVERY.c.first_started_at, _HANDED_OVER_AT),
        started_at=_HANDED_OVER_AT,
        ended_at=_HANDED_OVER_AT,
    )
)
_OTHER_IS_QUEUED = another().c.state == "queued"
# What was spared somebody is told of when it goes out, not when it was due.
_SPARED = {"reply_stage": "held"}
_SPARING: dict[str | None, tuple[Update, ...]] = {
    None: (),
    "quiet": (update(DELIVERY).where(_QUEUED, is_bulk()).values(until_quiet_ends() | _SPARED),),
    "cap": (
        _HANDED_OVER.where(~is_over_cap(_OTHER_IS_QUEUED)),
        # Those that had to stand back for one that stays may go now: looked at again.
        update(DELIVERY).where(_QUEUED, is_over_cap()).values(until_cap_is_free() | _SPARED),
    ),
}
"""By the rule that holds. After `_SET_ASIDE` and before `_HANDED_OVER` it is what a sender and a
relay without faults make of the queue, as `outbox.begin` would judge it."""


def _live_through(memory: Connection, now: datetime, terms: Terms, agenda: Agenda) -> None:
    """All that happens at one moment: plan, hand over, lead on, until nothing is left to do."""
    values = bindings(now, terms.staff, terms.fallback_locale) | terms.restraint.bindings(now)
    sparing = _SPARING[terms.restraint.rule_at(now)]
    while True:
        more = rounds.due(memory, now, agenda).more
        waiting = memory.execute(select(DELIVERY.c.id).where(_QUEUED).limit(1)).first()
        if waiting is not None:
            for statement in (*_SET_ASIDE, *sparing, _HANDED_OVER):
                memory.execute(statement, values)
        elif not more:
            return


def _told(memory: Connection, terms: Terms) -> list[Forecast]:
    email = func.coalesce(SUBSCRIBER.c.address, DELIVERY.c.address, "")
    planned = DELIVERY.c.reason == _SIMULATED
    unpublished = and_(DELIVERY.c.state == "held", DELIVERY.c.reason == _UNPUBLISHED)
    # What lapsed in the meantime waited, and with a yes would have gone out.
    unapproved = and_(
        DELIVERY.c.approval_id.is_not(None),
        or_(DELIVERY.c.state == "held", (DELIVERY.c.state == "lapsed") & _ENDED_SINCE),
    )
    unreleased = DELIVERY.c.campaign_id.in_(
        select(CAMPAIGN.c.id).where(CAMPAIGN.c.released_by == _SIMULATED)
    )
    status = case((unreleased, "held"), (planned, "planned"), else_="held")
    reason = case(
        (unpublished, _UNPUBLISHED),
        (unapproved, AWAITING_APPROVAL),
        (unreleased, AWAITING_RELEASE),
        else_=None,
    )
    was_spared = and_(planned, DELIVERY.c.reply_stage == _SPARED["reply_stage"])
    due_at = case((was_spared, DELIVERY.c.started_at), else_=DELIVERY.c.due_at)
    query = (
        select(due_at, email, DELIVERY.c.slug, DELIVERY.c.kind, status, reason)
        .select_from(DELIVERY.outerjoin(SUBSCRIBER, SUBSCRIBER.c.id == DELIVERY.c.subscriber_id))
        .where(
            or_(planned, unpublished, unapproved),
            due_at <= terms.until,
        )
    )
    if terms.since is not None:
        query = query.where(due_at >= terms.since)
    rows = memory.execute(query, {"now": terms.now})
    return sorted(Forecast(*row) for row in rows)


@dataclass(frozen=True, slots=True)
class Difference:
    """How a forecast differs from an earlier one: pairs in `moved` are (before, now)."""

    added: Sequence[Mapping[str, Any]]
    removed: Sequence[Mapping[str, Any]]
    moved: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]]

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.moved)


def compare(before: Sequence[Mapping[str, Any]], now: Sequence[Mapping[str, Any]]) -> Difference:
    """Compare two forecasts in the shape of `simulate --json`, mail by mail.

    The same mail to the same address at another moment has moved.
    """
    added, moved = [], []
    left: dict[tuple[Any, Any], list[Mapping[str, Any]]] = {}
    for mail in sorted(before, key=_moment):
        left.setdefault((mail["email"], mail["message"]), []).append(mail)
    unmatched = []
    for mail in sorted(now, key=_moment):
        same = left.get((mail["email"], mail["message"]), [])
        twin = next((known for known in same if _moment(known) == _moment(mail)), None)
        if twin is None:
            unmatched.append(mail)
        else:
            same.remove(twin)
    for mail in unmatched:
        same = left.get((mail["email"], mail["message"]), [])
        if same:
            moved.append((same.pop(0), mail))
        else:
            added.append(mail)
    removed = sorted((mail for mails in left.values() for mail in mails), key=_moment)
    return Difference(added, removed, moved)


def _moment(mail: Mapping[str, Any]) -> datetime:
    return datetime.fromisoformat(mail["due_at"])
