"""The archive: issues that have gone out, for everybody to read.

Reads campaigns, their mails and the versions pinned for them, and owns no row.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, and_, exists, not_, or_, select

from l3mail.models import CAMPAIGN, CAMPAIGN_MESSAGE, DELIVERY, MESSAGE, STREAM

_IN_FORCE = MESSAGE.alias("in_force")
_IS_SAID = _IN_FORCE.c.compiled["archive"].as_boolean()
_PINNED = (
    select(CAMPAIGN_MESSAGE.c.campaign_id)
    .join(MESSAGE, MESSAGE.c.id == CAMPAIGN_MESSAGE.c.message_id)
    .join(
        _IN_FORCE,
        and_(
            _IN_FORCE.c.slug == MESSAGE.c.slug,
            _IN_FORCE.c.locale == MESSAGE.c.locale,
            _IN_FORCE.c.superseded_at.is_(None),
        ),
    )
)
_OWN = _PINNED.where(CAMPAIGN_MESSAGE.c.campaign_id == CAMPAIGN.c.id).correlate(CAMPAIGN)
_GONE_OUT = (
    select(
        CAMPAIGN.c.id,
        CAMPAIGN.c.slug,
        STREAM.c.slug.label("stream"),
        STREAM.c.title,
        CAMPAIGN.c.segment,
        CAMPAIGN.c.scheduled_at,
    )
    .join(STREAM, STREAM.c.id == CAMPAIGN.c.stream_id)
    .where(
        STREAM.c.kind == "newsletter",
        CAMPAIGN.c.cancelled_at.is_(None),
        exists(
            select(DELIVERY.c.id).where(
                DELIVERY.c.campaign_id == CAMPAIGN.c.id, DELIVERY.c.state == "accepted"
            )
        ),
        exists(_OWN),
        not_(exists(_OWN.where(_IS_SAID.is_(False)))),
        or_(CAMPAIGN.c.segment.is_(None), exists(_OWN.where(_IS_SAID.is_(True)))),
    )
    .order_by(CAMPAIGN.c.scheduled_at.desc(), CAMPAIGN.c.id.desc())
)
_VERSIONS = _PINNED.add_columns(
    CAMPAIGN_MESSAGE.c.locale,
    CAMPAIGN_MESSAGE.c.message_id,
    MESSAGE.c.compiled["subject"].as_string().label("subject"),
    MESSAGE.c.compiled["preheader"].as_string().label("preheader"),
).order_by(CAMPAIGN_MESSAGE.c.campaign_id, CAMPAIGN_MESSAGE.c.locale)


@dataclass(frozen=True, slots=True)
class Version:
    """An issue in one language, as it was sent; subject and preheader may hold placeholders."""

    locale: str
    message_id: int
    subject: str
    preheader: str


@dataclass(frozen=True, slots=True)
class SentIssue:
    """An issue that has gone out and that everybody may read; `versions` are in order of locale."""

    slug: str
    stream: str
    title: str
    sent_at: datetime
    versions: Sequence[Version]


def archived(
    connection: Connection,
    *,
    stream: str | None = None,
    slug: str | None = None,
    private: Collection[str] = (),
    skip: int = 0,
    most: int = 1,
) -> list[SentIssue]:
    """Issues that everybody may read, newest first: of all streams but the `private`, or of one.

    An issue is one when a mail of its campaign was accepted and nobody cancelled it. What its
    `archive` says holds, as it is published now; without it an issue sent to a segment stays
    with those it was for.
    """
    query = _GONE_OUT.where(STREAM.c.slug.not_in(sorted(private)))
    if stream is not None:
        query = query.where(STREAM.c.slug == stream)
    if slug is not None:
        query = query.where(CAMPAIGN.c.slug == slug)
    rows = connection.execute(query.limit(most).offset(skip)).all()
    versions: dict[int, list[Version]] = {row.id: [] for row in rows}
    for v in connection.execute(_VERSIONS.where(CAMPAIGN_MESSAGE.c.campaign_id.in_(versions))):
        shown = Version(v.locale, v.message_id, v.subject or "", v.preheader or "")
        versions[v.campaign_id].append(shown)
    return [
        SentIssue(row.slug, row.stream, row.title, row.scheduled_at, versions[row.id])
        for row in rows
    ]


def streams_archived(connection: Connection, private: Collection[str] = ()) -> dict[str, str]:
    """The streams that everybody may read an issue of: their titles by slug."""
    issues = _GONE_OUT.with_only_columns(CAMPAIGN.c.stream_id).order_by(None).correlate(None)
    rows = connection.execute(
        select(STREAM.c.slug, STREAM.c.title)
        .where(STREAM.c.id.in_(issues), STREAM.c.slug.not_in(sorted(private)))
        .order_by(STREAM.c.id)
    )
    return {row.slug: row.title for row in rows}
