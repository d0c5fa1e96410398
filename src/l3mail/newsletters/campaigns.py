"""Campaigns: one sending of one issue to an audience, scheduled, planned, paused, cancelled.

Owns campaigns and the versions pinned for them, and plans their deliveries batch by batch in
one statement each. Knows the time only as `now`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    and_,
    bindparam,
    exists,
    func,
    insert,
    or_,
    select,
    update,
)

from l3mail.audiences import Questions
from l3mail.database import upsert
from l3mail.errors import L3mailError, NewsletterError, quoted
from l3mail.models import CAMPAIGN, CAMPAIGN_MESSAGE, DELIVERY, STREAM
from l3mail.models.columns import ONE
from l3mail.newsletters.issues import issue
from l3mail.outbox import TAKEN_BACK
from l3mail.planning import CAMPAIGNS, NOW, bindings, campaign_due

BATCH = 5_000
"""Rows one step writes at most: whoever wants to write behind it waits about a tenth of a second.

The caller asks again until a step says that it is done.
"""

_MOMENT = "%a %Y-%m-%d %H:%M"
_WAITING = ("queued", "deferred", "held")


@dataclass(frozen=True, slots=True)
class Planned:
    """What one planning step did.

    `deliveries` were made, `withdrawn` ended with their campaign, `paused` campaigns whose
    segment can't be asked; `more` says that the step ended at its limit and wants another.
    """

    deliveries: int = 0
    withdrawn: int = 0
    paused: int = 0
    more: bool = False


@dataclass(frozen=True, slots=True)
class Campaign:
    """One sending of one issue; `states` counts its deliveries, states without rows absent."""

    id: int
    slug: str
    stream: str
    segment: str | None
    scheduled_at: datetime
    scheduled_by: str
    planned_at: datetime | None
    paused_at: datetime | None
    paused_reason: str | None
    cancelled_at: datetime | None
    states: Mapping[str, int]

    def status(self, now: datetime) -> str:
        """One of scheduled, planning, sending, paused, cancelled, finished; asked of the rows."""
        if self.cancelled_at:
            return "cancelled"
        if self.paused_at:
            return "paused"
        if self.planned_at is None:
            return "scheduled" if self.scheduled_at > now else "planning"
        return "sending" if self.waiting or self.states.get("sending") else "finished"

    @property
    def waiting(self) -> int:
        """Deliveries that are planned and not begun."""
        return sum(self.states.get(state, 0) for state in _WAITING)


def schedule(
    connection: Connection,
    slug: str,
    at: datetime,
    *,
    segment: str | None,
    by: str,
    now: datetime,
) -> int:
    """Schedule the issue's current versions for its stream and return the campaign's number.

    What is published under the slug later does not reach this campaign. `segment`, a
    saved name or a question, goes before the one the issue names; whether it can be asked the
    caller has to see. Raises NewsletterError for a past time, an unpublished issue, and while
    another campaign of the issue is not cancelled, with moments in the zone of `at`.
    """
    if at < now:
        raise NewsletterError(f"{at:{_MOMENT}} is past; name a time to come, or now")
    found = issue(connection, slug, lock=True)
    other = connection.execute(
        select(CAMPAIGN.c.id, CAMPAIGN.c.scheduled_at).where(
            CAMPAIGN.c.slug == slug, CAMPAIGN.c.cancelled_at.is_(None)
        )
    ).first()
    if other is not None:
        raise NewsletterError(
            f"{slug} is scheduled already: campaign {other.id}, for"
            f" {other.scheduled_at.astimezone(at.tzinfo):{_MOMENT}}; cancel that one first"
        )
    campaign_id = connection.execute(
        insert(CAMPAIGN)
        .values(
            slug=slug,
            stream_id=found.stream_id,
            segment=segment or found.segment,
            scheduled_at=at,
            scheduled_by=by,
        )
        .returning(CAMPAIGN.c.id)
    ).scalar_one()
    connection.execute(
        insert(CAMPAIGN_MESSAGE),
        [
            {"campaign_id": campaign_id, "locale": locale, "message_id": message_id}
            for locale, message_id, _ in found.versions
        ],
    )
    return int(campaign_id)


def plan(
    connection: Connection,
    now: datetime,
    *,
    question: Questions,
    fallback_locale: str,
    limit: int = BATCH,
) -> Planned:
    """Queue the mails of campaigns that are due, the longest due first; `limit` at most.

    Replaying adds nothing, and a step that was interrupted is gone on with. A campaign is
    planned when nobody of its audience is without a row. One whose segment can't be asked is
    paused, with the reason, and keeps no other waiting. Also withdraws what a sender returned
    to the queue after its campaign was cancelled.
    """
    due = connection.execute(_DUE, {"now": now}).all()
    deliveries = paused = 0
    for campaign in due:
        room = limit - deliveries
        if room <= 0:
            return Planned(deliveries, 0, paused, more=True)
        try:
            asked = question(connection, campaign.segment, now) if campaign.segment else None
        except L3mailError as fault:
            reason = f"its segment {quoted(campaign.segment)} can't be asked: {fault}"
            paused += pause(connection, campaign.id, now, reason)
            continue
        yes = asked.yes if asked else None
        values = bindings(now, (), fallback_locale) | {"campaign": campaign.id}
        # From where the last batch ended, or each would look through all that went before; whom
        # that leaves out is found in a last look at everybody.
        mark = connection.execute(_MARK, {"campaign": campaign.id}).scalar() or 0
        new = 0
        for after in (mark, 0) if mark else (0,):
            if new < room:
                new += _queue(connection, yes, values | {"after": after, "batch": room - new})
        deliveries += new
        if new < room:
            connection.execute(
                update(CAMPAIGN).where(CAMPAIGN.c.id == campaign.id).values(planned_at=now)
            )
    withdrawn = withdraw(connection, now, limit - deliveries) if deliveries < limit else 0
    return Planned(deliveries, withdrawn, paused, more=deliveries + withdrawn >= limit)


_IS_DUE = (
    CAMPAIGN.c.planned_at.is_(None),
    CAMPAIGN.c.scheduled_at <= NOW,
    CAMPAIGN.c.paused_at.is_(None),
    CAMPAIGN.c.cancelled_at.is_(None),
)
_DUE = (
    select(CAMPAIGN.c.id, CAMPAIGN.c.segment)
    .where(*_IS_DUE)
    .order_by(CAMPAIGN.c.scheduled_at, CAMPAIGN.c.id)
    # Two planners at once would each take the other's rows for nothing left to plan; and
    # whoever cancels waits until the batch is written, and then finds it.
    .with_for_update(skip_locked=True)
)
_MARK = (
    select(DELIVERY.c.subscriber_id)
    .where(DELIVERY.c.campaign_id == bindparam("campaign"), DELIVERY.c.state == "queued")
    .order_by(DELIVERY.c.id.desc())
    .limit(1)
)
"""Whom the last batch ended with, as far as it has not been sent."""


def _queue(
    connection: Connection, yes: ColumnElement[Any] | None, values: Mapping[str, Any]
) -> int:
    planned = (
        upsert(connection, DELIVERY)
        .from_select(CAMPAIGNS, campaign_due(yes))
        .on_conflict_do_nothing(index_elements=[DELIVERY.c.subscriber_id, DELIVERY.c.occurrence])
        .returning(DELIVERY.c.id)
    )
    return len(connection.execute(planned, values).all())


def pause(connection: Connection, campaign_id: int, now: datetime, reason: str) -> bool:
    """Keep back what is not begun, before the next dialogue; False where it changed nothing."""
    return _mark(
        connection,
        campaign_id,
        CAMPAIGN.c.paused_at.is_(None),
        {"paused_at": now, "paused_reason": reason},
    )


def resume(connection: Connection, campaign_id: int) -> bool:
    """Let a paused campaign go on; False where it was not paused."""
    return _mark(
        connection,
        campaign_id,
        CAMPAIGN.c.paused_at.is_not(None),
        {"paused_at": None, "paused_reason": None},
    )


def cancel(connection: Connection, campaign_id: int, now: datetime) -> bool:
    """End a campaign for good, before the next dialogue; False where it was cancelled already.

    `withdraw` ends its rows; until then they are kept back.
    """
    return _mark(connection, campaign_id, None, {"cancelled_at": now})


def _mark(
    connection: Connection,
    campaign_id: int,
    condition: ColumnElement[bool] | None,
    values: Mapping[str, Any],
) -> bool:
    statement = update(CAMPAIGN).where(
        CAMPAIGN.c.id == campaign_id, CAMPAIGN.c.cancelled_at.is_(None)
    )
    if condition is not None:
        statement = statement.where(condition)
    changed = connection.execute(statement.values(**values).returning(CAMPAIGN.c.id))
    return changed.first() is not None


_OF_CANCELLED = DELIVERY.c.campaign_id.in_(
    select(CAMPAIGN.c.id).where(CAMPAIGN.c.cancelled_at.is_not(None))
)


_WOULD_GO_AGAIN = and_(DELIVERY.c.state == "uncertain", DELIVERY.c.next_attempt_at.is_not(None))
_END_DOUBT = update(DELIVERY).where(_OF_CANCELLED, _WOULD_GO_AGAIN).values(next_attempt_at=None)
_IS_WAITING = DELIVERY.c.state.in_(_WAITING)
_WITHDRAW = (
    update(DELIVERY)
    .where(
        DELIVERY.c.id.in_(
            select(DELIVERY.c.id).where(_OF_CANCELLED, _IS_WAITING).limit(bindparam("batch"))
        ),
        _IS_WAITING,
    )
    .values(TAKEN_BACK | {"state": "cancelled", "reason": "campaign cancelled", "ended_at": NOW})
    .returning(DELIVERY.c.id)
)


_FIRST_UNDER_WAY = (
    select(DELIVERY.c.id)
    .where(DELIVERY.c.campaign_id == CAMPAIGN.c.id, or_(_IS_WAITING, _WOULD_GO_AGAIN))
    .order_by(DELIVERY.c.campaign_id)
    .limit(ONE)
    .correlate(CAMPAIGN)
    .scalar_subquery()
)
ANY_CAMPAIGN_DUE = or_(
    exists(select(CAMPAIGN.c.id).where(*_IS_DUE)),
    # One after the other, by the index: PostgreSQL might join them from the mails' side.
    exists(
        select(CAMPAIGN.c.id).where(
            CAMPAIGN.c.cancelled_at.is_not(None), _FIRST_UNDER_WAY.is_not(None)
        )
    ),
)
"""Whether `plan` has anything to do."""


def withdraw(connection: Connection, now: datetime, limit: int = BATCH) -> int:
    """End rows of cancelled campaigns that are not begun, `limit` at most; return how many.

    One in mid-dialogue can't be called back, and is withdrawn when it comes to be tried again;
    one in doubt stays in doubt, and is not sent again.
    """
    connection.execute(_END_DOUBT)
    return len(connection.execute(_WITHDRAW, {"now": now, "batch": limit}).all())


_IS_PAUSED = (CAMPAIGN.c.paused_at.is_not(None), CAMPAIGN.c.cancelled_at.is_(None))
ANY_PAUSED = exists(select(CAMPAIGN.c.id).where(*_IS_PAUSED))
"""Whether there is a paused campaign."""


def find(connection: Connection, slug: str) -> Campaign | None:
    """The issue's campaign, the newest where earlier ones were cancelled."""
    return next(iter(campaigns(connection, slug)), None)


def campaigns(
    connection: Connection, slug: str | None = None, *, paused: bool = False
) -> list[Campaign]:
    """The campaigns of one issue or of all, newest first, with their deliveries counted.

    `paused` ones alone, where asked for.
    """
    query = (
        select(CAMPAIGN, STREAM.c.slug.label("stream"))
        .join(STREAM, STREAM.c.id == CAMPAIGN.c.stream_id)
        .order_by(CAMPAIGN.c.id.desc())
    )
    counts = (
        select(DELIVERY.c.campaign_id, DELIVERY.c.state, func.count().label("n"))
        .where(DELIVERY.c.campaign_id.is_not(None))
        .group_by(DELIVERY.c.campaign_id, DELIVERY.c.state)
    )
    if slug is not None:
        query = query.where(CAMPAIGN.c.slug == slug)
        ids = select(CAMPAIGN.c.id).where(CAMPAIGN.c.slug == slug)
        counts = counts.where(DELIVERY.c.campaign_id.in_(ids))
    if paused:
        query = query.where(*_IS_PAUSED)
        ids = select(CAMPAIGN.c.id).where(*_IS_PAUSED)
        counts = counts.where(DELIVERY.c.campaign_id.in_(ids))
    rows = connection.execute(query).all()
    states: dict[int, dict[str, int]] = {}
    for row in connection.execute(counts) if rows else ():
        states.setdefault(row.campaign_id, {})[row.state] = row.n
    names = [name for name in Campaign.__dataclass_fields__ if name != "states"]
    return [
        Campaign(**{name: row._mapping[name] for name in names}, states=states.get(row.id, {}))
        for row in rows
    ]
