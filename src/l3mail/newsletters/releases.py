"""Releases: the yes of a second person, without which a campaign of two persons never goes out.

Owns who may give it and what a campaign's segment meant when it was shown. Knows no settings.
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, and_, exists, or_, select, update

from l3mail.errors import NewsletterError
from l3mail.models import CAMPAIGN, CAMPAIGN_MESSAGE, MESSAGE, SEGMENT
from l3mail.planning import NOW
from l3mail.segments import mentions

AWAITING_RELEASE = "waits for its release by a second person"
LAPSED = "nobody released it in time"

IS_UNRELEASED = and_(
    CAMPAIGN.c.lapses_at.is_not(None),
    CAMPAIGN.c.released_at.is_(None),
    CAMPAIGN.c.cancelled_at.is_(None),
)
"""Whether a campaign waits for a second person."""
MAY_GO = or_(CAMPAIGN.c.lapses_at.is_(None), CAMPAIGN.c.released_at.is_not(None))
"""Whether a campaign wants no release, or has it."""
_TOO_LATE = and_(IS_UNRELEASED, CAMPAIGN.c.lapses_at <= NOW)
ANY_TOO_LATE = exists(select(CAMPAIGN.c.id).where(_TOO_LATE))
"""Whether `lapse` has anything to end."""


ANY_UNRELEASED = exists(select(CAMPAIGN.c.id).where(IS_UNRELEASED, CAMPAIGN.c.scheduled_at <= NOW))
"""Whether a campaign is due that nobody has released."""


@dataclass(frozen=True, slots=True)
class Unreleased:
    """A campaign that waits for a second person; `expected` is how many people were shown."""

    id: int
    slug: str
    stream_id: int
    segment: str | None
    scheduled_at: datetime
    scheduled_by: str
    lapses_at: datetime
    expected: int | None


_UNRELEASED = (
    select(*(CAMPAIGN.c[name] for name in Unreleased.__dataclass_fields__))
    .where(IS_UNRELEASED, CAMPAIGN.c.lapses_at > NOW)
    .order_by(CAMPAIGN.c.scheduled_at, CAMPAIGN.c.id)
)


def unreleased(connection: Connection, now: datetime) -> list[Unreleased]:
    """The campaigns that wait for a second person and may still go out, the first due first."""
    return [Unreleased(*row) for row in connection.execute(_UNRELEASED, {"now": now})]


def pinned(connection: Connection, campaign_id: int) -> dict[str, int]:
    """The versions of a campaign's issue, by locale: what is shown of it is what is sent."""
    rows = connection.execute(
        select(CAMPAIGN_MESSAGE.c.locale, CAMPAIGN_MESSAGE.c.message_id).where(
            CAMPAIGN_MESSAGE.c.campaign_id == campaign_id
        )
    )
    return {row.locale: row.message_id for row in rows}


def texts(connection: Connection, campaign_id: int) -> list[tuple[str, str, bool]]:
    """What a campaign sends: (locale, subject, whether that is still what is published)."""
    rows = connection.execute(
        select(
            CAMPAIGN_MESSAGE.c.locale,
            MESSAGE.c.compiled["subject"].as_string(),
            MESSAGE.c.superseded_at.is_(None),
        )
        .join(MESSAGE, MESSAGE.c.id == CAMPAIGN_MESSAGE.c.message_id)
        .where(CAMPAIGN_MESSAGE.c.campaign_id == campaign_id)
        .order_by(CAMPAIGN_MESSAGE.c.locale)
    )
    return [(locale, subject or "", bool(is_current)) for locale, subject, is_current in rows]


def is_same_person(one: str, other: str) -> bool:
    """Whether two names may be one person: alike, or one the name before the @ of the other.

    Names are an operator's at the machine ("ada"), with the login behind it where that is another
    ("bea (ada)": either may be meant), or an address. In doubt they are the same.
    """
    return any(_is_same(first, second) for first in _names(one) for second in _names(other))


def _names(signed: str) -> list[str]:
    return [part.strip(" ()") for part in signed.casefold().split(" (")]


def _is_same(first: str, second: str) -> bool:
    if first == second:
        return True
    both_addresses = "@" in first and "@" in second
    return not both_addresses and first.partition("@")[0] == second.partition("@")[0]


def segment_mark(connection: Connection, segment: str | None) -> str | None:
    """What stands for all that a segment means by its text and those it names; None without one."""
    if segment is None:
        return None
    saved = {row.name: row.expression for row in connection.execute(select(SEGMENT))}
    meant, reached = {"": segment}, {segment.strip()} & saved.keys() or mentions(segment)
    while reached:
        meant |= {name: saved.get(name, "") for name in reached}
        named = {other for name in reached for other in mentions(saved.get(name, ""))}
        reached = named - meant.keys()
    text = "\0".join(f"{name}\1{meant[name]}" for name in sorted(meant))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def require_releasable(
    connection: Connection, campaign_id: int, by: str, now: datetime, *, lock: bool = False
) -> None:
    """Raise NewsletterError where a campaign waits for no yes any more, or not for that of `by`.

    With `lock`, whoever changes it meanwhile waits for this transaction.
    """
    query = select(CAMPAIGN).where(CAMPAIGN.c.id == campaign_id)
    row = connection.execute(query.with_for_update() if lock else query).first()
    if row is None or row.lapses_at is None:
        raise NewsletterError("it wants no release by a second person")
    if row.cancelled_at is not None:
        raise NewsletterError(f"{row.slug} was cancelled: {row.cancelled_reason or 'by command'}")
    if row.released_at is not None:
        raise NewsletterError(f"{row.slug} was released by {row.released_by}")
    if row.lapses_at <= now:
        raise NewsletterError(f"{row.slug}: {LAPSED}; schedule it again")
    if is_same_person(row.scheduled_by, by):
        raise NewsletterError(
            f"{row.slug} was scheduled by {row.scheduled_by}: somebody else has to release it, on"
            " the page they were mailed or under a login of their own (--as makes no second person"
            " of one login)"
        )
    if row.segment_mark != segment_mark(connection, row.segment):
        raise NewsletterError(
            f"{row.slug}: its segment was changed since it was scheduled; cancel it and schedule it"
            " again"
        )


def release(connection: Connection, campaign_id: int, by: str, now: datetime) -> None:
    """Let a campaign go out at its moment, by a second person's yes; raises NewsletterError."""
    require_releasable(connection, campaign_id, by, now, lock=True)
    connection.execute(
        update(CAMPAIGN).where(CAMPAIGN.c.id == campaign_id).values(released_at=now, released_by=by)
    )


def reject(connection: Connection, campaign_id: int, by: str, reason: str, now: datetime) -> None:
    """End a campaign that waits for its release; raises NewsletterError where it does not."""
    ended = connection.execute(
        update(CAMPAIGN)
        .where(CAMPAIGN.c.id == campaign_id, IS_UNRELEASED)
        .values(
            cancelled_at=now,
            cancelled_reason=f"rejected by {by}" + (f": {reason}" if reason else ""),
        )
        .returning(CAMPAIGN.c.id)
    )
    if ended.first() is None:
        raise NewsletterError("it waits for no release; `l3mail newsletters cancel` ends it")


def lapse(connection: Connection, now: datetime) -> int:
    """End the campaigns that nobody released in time; how many."""
    ended = connection.execute(
        update(CAMPAIGN)
        .where(_TOO_LATE)
        .values(cancelled_at=now, cancelled_reason=LAPSED)
        .returning(CAMPAIGN.c.id),
        {"now": now},
    )
    return len(ended.all())
