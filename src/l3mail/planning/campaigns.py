"""Campaigns that are due, as SQL: one statement for an audience."""

from typing import Any

from sqlalchemy import Select, String, and_, bindparam, cast, exists, literal, not_, select, true

from l3mail.models import CAMPAIGN, DELIVERY, SUBSCRIBER, SUBSCRIPTION, Id
from l3mail.planning.lanes import LANE_OF_BULK
from l3mail.planning.permission import NOW, Candidate, Column, mailable
from l3mail.planning.versions import pinned_message

_ISSUE = CAMPAIGN.alias("campaign_due")
_PLANNED = DELIVERY.alias("delivery_planned")

CAMPAIGNS = (
    "purpose",
    "kind",
    "occurrence",
    "subscriber_id",
    "stream_id",
    "generation",
    "campaign_id",
    "slug",
    "message_id",
    "lane",
    "state",
    "due_at",
    "planned_at",
)
"""The columns of a delivery that `campaign_due` fills, in its order."""


MEMBER = SUBSCRIPTION.alias("subscription_in_audience")
IS_MEMBER = MEMBER.c.state == "confirmed"


def member() -> Candidate:
    """A newsletter to one of an audience: SUBSCRIBER, who is confirmed by MEMBER.

    Nothing but SUBSCRIBER bears its own name there: that is whom a segment's question is about,
    and it may look into any other table.
    """
    return Candidate(
        id=literal(None, Id),
        purpose=literal("stream"),
        kind=literal("newsletter"),
        subscriber_id=SUBSCRIBER.c.id,
        address=literal(None, String),
        stream_id=MEMBER.c.stream_id,
        generation=MEMBER.c.generation,
        signup_id=literal(None, Id),
        link_request_id=literal(None, Id),
    )


def campaign_due(yes: Column | None) -> Select[Any]:
    """One row for each person of a campaign's audience who may be mailed and has no row yet.

    `yes` is what its segment asks of SUBSCRIBER; None asks nothing. In the order of their
    numbers. Binds `bindings`, `campaign`, `after`, the person after whom to look, and `batch`,
    the number of rows at most.
    """
    candidate = member()
    occurrence = literal("campaign:") + cast(_ISSUE.c.id, String)
    is_planned = exists(
        select(_PLANNED.c.id).where(
            _PLANNED.c.subscriber_id == SUBSCRIBER.c.id, _PLANNED.c.occurrence == occurrence
        )
    )
    return (
        select(
            candidate.purpose,
            candidate.kind,
            occurrence,
            candidate.subscriber_id,
            candidate.stream_id,
            candidate.generation,
            _ISSUE.c.id,
            _ISSUE.c.slug,
            pinned_message(_ISSUE.c.id, SUBSCRIBER.c.locale),
            literal(LANE_OF_BULK),
            literal("queued"),
            _ISSUE.c.scheduled_at,
            NOW,
        )
        .select_from(_ISSUE)
        .join(MEMBER, and_(MEMBER.c.stream_id == _ISSUE.c.stream_id, IS_MEMBER))
        .join(SUBSCRIBER, SUBSCRIBER.c.id == MEMBER.c.subscriber_id)
        .where(
            _ISSUE.c.id == bindparam("campaign"),
            MEMBER.c.subscriber_id > bindparam("after"),
            not_(is_planned),
            mailable(candidate),
            true() if yes is None else yes,
        )
        .order_by(MEMBER.c.subscriber_id)
        .limit(bindparam("batch"))
    )
