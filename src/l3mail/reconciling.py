"""Reconciling a restored database with the time it does not remember.

What a copy does not know of is lost, but what must have happened is not: the same planning
statements over the same facts. So the lost time is lived through once more on a virtual clock, by
the house's own rounds, and every mail that was due in it ends as `uncertain`: it may have been
sent, nobody sends it again by itself, and somebody can say of each what became of it. Its row
is what keeps planning from making the same mail anew, whatever course, campaign or trigger it
is of; and learners are led on from it as from any mail in doubt.

Nothing here knows files or the relay.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Any, Protocol, TypeVar

from sqlalchemy import Connection, func, null, or_, select, update

from l3mail import outbox, rounds
from l3mail.models import ACTIONS, CAMPAIGN, DELIVERY, WORKSPACE, UtcDateTime
from l3mail.outbox.orders import TAKEN_BACK
from l3mail.rounds import Agenda

RESTORE = "db restore"
"""The command whose row in `actions` says when the copy was made."""
PIECE = 50_000
"""So many rows are put into doubt at once: web writes wait for less than a second."""
LOST = "may have been sent in the time this restored database does not remember"


T = TypeVar("T")


class Write(Protocol):
    """Runs a verb in a transaction."""

    def __call__(self, verb: Callable[[Connection], T], /) -> T:
        """What the verb returns."""


@dataclass(frozen=True, slots=True)
class Lost:
    """The time a copy does not remember, and where in it reckoning begins.

    `since` is when the copy was made, `until` when the last mail may have gone, and `brake` since
    when nothing was planned or sent any more: rows planned after it belong to this copy alone.
    """

    since: datetime
    until: datetime
    brake: datetime
    begin: datetime


@dataclass(slots=True)
class Reckoning:
    """What a lost time comes to: mails in doubt by kind and slug, and what planning may not know.

    `paused` are campaigns of that time which this copy holds paused: had they been resumed, part
    of their mails went out, and none of those are among the doubted unless they were planned.
    """

    since: datetime
    until: datetime
    doubted: Counter[tuple[str, str]] = field(default_factory=Counter)
    paused: list[str] = field(default_factory=list)


def copied_at(connection: Connection, restored_at: datetime) -> datetime:
    """When the copy was made: as `db restore` noted it, else when it last planned or began a mail.

    Too early does no harm: planning again what is planned adds nothing.
    """
    noted = connection.execute(
        select(ACTIONS.c.counts)
        .where(ACTIONS.c.command == RESTORE, ACTIONS.c.at >= restored_at)
        .order_by(ACTIONS.c.id.desc())
    ).scalar()
    made = datetime.fromisoformat(noted["copied_at"]) if noted else None
    # A clock that ran ahead makes copies of the future, after which nothing could be lost.
    if made is not None and made <= restored_at:
        return made
    before = DELIVERY.c.planned_at < restored_at
    latest = [
        connection.execute(
            select(func.max(column, type_=UtcDateTime)).where(
                before, DELIVERY.c.purpose == "stream"
            )
        ).scalar()
        for column in (DELIVERY.c.planned_at, DELIVERY.c.started_at)
    ]
    begun_at: datetime = connection.execute(select(WORKSPACE.c.created_at)).scalar_one()
    return max((at for at in latest if at is not None), default=begun_at)


def reconcile(write: Write, agenda: Agenda, lost: Lost) -> Reckoning:
    """Put into doubt whatever was due until then and is not known to have ended.

    Mails to staff are left as they are: a second report harms nobody.

    Done in pieces, each a transaction that `write` runs, so that pages go on in between. Whoever
    is interrupted does it again: it goes on at the moment it had come to.
    """
    until = lost.until
    found = Reckoning(
        lost.since, until, paused=write(lambda connection: _paused(connection, until))
    )
    # Reports and alarms of the lost time are not written anew, nor is anybody asked to approve.
    plain = replace(agenda, planners=())

    def doubt(connection: Connection, now: datetime) -> Counter[Any]:
        return _doubt(connection, now, until, lost.brake)

    def live(connection: Connection, now: datetime) -> tuple[bool, Counter[Any]]:
        more = rounds.due(connection, now, plain).more
        return more, doubt(connection, now)

    while doubted := write(partial(doubt, now=lost.begin)):
        found.doubted += doubted
    now: datetime | None = lost.begin
    while now is not None and now <= until:
        more, doubted = write(partial(live, now=now))
        found.doubted += doubted
        if not more and not doubted:
            now = write(partial(rounds.next_moment, now=now, agenda=plain))
    return found


def come_to(connection: Connection, since: datetime, until: datetime) -> datetime:
    """How far an interrupted reckoning has come: learners led on then must not live it twice.

    Asked of the rows themselves: a copy of what planning asks for need not hold what is ended.
    """
    latest = select(func.max(DELIVERY.c.uncertain_at, type_=UtcDateTime)).where(
        DELIVERY.c.reason == LOST, DELIVERY.c.uncertain_at.between(since, until)
    )
    return connection.execute(latest).scalar() or since


def _doubt(connection: Connection, now: datetime, until: datetime, brake: datetime) -> Counter[Any]:
    """End a piece of what was due, at a moment of the lost time; by kind and slug."""
    due = (
        select(DELIVERY.c.id)
        .where(
            DELIVERY.c.state.in_(("held", "queued", "deferred", "sending")),
            DELIVERY.c.purpose != "staff",
            DELIVERY.c.due_at <= until,
            DELIVERY.c.planned_at < brake,
            # Its next attempt was still to come when the last mail went.
            or_(DELIVERY.c.state != "deferred", DELIVERY.c.next_attempt_at <= until),
        )
        .limit(PIECE)
    )
    rows = connection.execute(
        update(DELIVERY)
        .where(DELIVERY.c.id.in_(due))
        .values(TAKEN_BACK | {"state": "uncertain", "reason": LOST})
        .values(uncertain_at=now, ended_at=now)
        .returning(DELIVERY.c.kind, DELIVERY.c.slug)
    ).all()
    # A rule that sends once more what was in doubt already may have been followed by then.
    connection.execute(
        update(DELIVERY)
        .where(
            DELIVERY.c.state == "uncertain",
            DELIVERY.c.next_attempt_at.is_not(None),
            DELIVERY.c.planned_at < brake,
        )
        .values(next_attempt_at=null())
    )
    return Counter((row.kind, row.slug) for row in rows)


def _paused(connection: Connection, until: datetime) -> list[str]:
    query = select(CAMPAIGN.c.slug).where(
        CAMPAIGN.c.scheduled_at <= until,
        CAMPAIGN.c.paused_at.is_not(None),
        CAMPAIGN.c.cancelled_at.is_(None),
        CAMPAIGN.c.planned_at.is_(None),
    )
    return sorted(connection.execute(query).scalars())


def release(connection: Connection) -> int:
    """Lift the brake; return the highest number a delivery may have had until now."""
    if outbox.restored_at(connection) is None:
        outbox.jump(connection)
    outbox.let_go(connection)
    return outbox.last_number(connection)
