"""How campaigns stand: asked of their rows and of their deliveries, kept nowhere.

Changes nothing. Knows the time only as `now`.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, exists, func, select

from l3mail.models import CAMPAIGN, DELIVERY, STREAM

WAITING = ("queued", "deferred", "held")
"""States of deliveries that are planned and not under way."""
STATUSES = (
    "awaiting release",
    "scheduled",
    "planning",
    "sending",
    "paused",
    "finished",
    "cancelled",
)
"""How a campaign may stand."""


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
    cancelled_reason: str | None
    lapses_at: datetime | None
    released_at: datetime | None
    released_by: str | None
    states: Mapping[str, int]

    @property
    def is_unreleased(self) -> bool:
        """Whether it waits for the yes of a second person."""
        return bool(self.lapses_at and not self.released_at and not self.cancelled_at)

    def status(self, now: datetime) -> str:
        """One of STATUSES; asked of the rows."""
        if self.cancelled_at:
            return "cancelled"
        if self.paused_at:
            return "paused"
        if self.is_unreleased:
            return "awaiting release"
        if self.planned_at is None:
            return "scheduled" if self.scheduled_at > now else "planning"
        return "sending" if self.waiting or self.states.get("sending") else "finished"

    @property
    def waiting(self) -> int:
        """Deliveries that are planned and not begun."""
        return sum(self.states.get(state, 0) for state in WAITING)


_IS_PAUSED = (CAMPAIGN.c.paused_at.is_not(None), CAMPAIGN.c.cancelled_at.is_(None))
ANY_PAUSED = exists(select(CAMPAIGN.c.id).where(*_IS_PAUSED))
"""Whether there is a paused campaign."""


def find(connection: Connection, slug: str) -> Campaign | None:
    """The issue's campaign, the newest where earlier ones were cancelled."""
    return next(iter(campaigns(connection, slug)), None)


def unplanned(connection: Connection, slugs: Collection[str]) -> list[tuple[str, datetime]]:
    """Which of these issues are scheduled with nothing planned yet, and when they go out."""
    rows = connection.execute(
        select(CAMPAIGN.c.slug, CAMPAIGN.c.scheduled_at)
        .where(
            CAMPAIGN.c.planned_at.is_(None),
            CAMPAIGN.c.cancelled_at.is_(None),
            CAMPAIGN.c.slug.in_(sorted(slugs)),
        )
        .order_by(CAMPAIGN.c.slug)
    )
    return [(row.slug, row.scheduled_at) for row in rows]


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
