"""Campaigns that are due, as SQL: one statement for a stretch of an audience."""

from collections.abc import Sequence
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import Select, String, and_, bindparam, literal, not_, select

from l3mail.models import SUBSCRIBER, SUBSCRIPTION, Id, UtcDateTime
from l3mail.planning.lanes import LANE_OF_BULK
from l3mail.planning.mails import PLANNED, mails, planned
from l3mail.planning.permission import Joined
from l3mail.planning.versions import pinned_message

MEMBER = SUBSCRIPTION.alias("subscription_in_audience")
IS_MEMBER = MEMBER.c.state == "confirmed"


def member() -> Joined:
    """A newsletter to one of an audience: SUBSCRIBER, who is confirmed by MEMBER.

    Nothing but SUBSCRIBER bears its own name there: that is whom a segment's question is about,
    and it may look into any other table.
    """
    return Joined(
        id=literal(None, Id),
        purpose=literal("stream"),
        kind=literal("newsletter"),
        subscriber_id=SUBSCRIBER.c.id,
        address=literal(None, String),
        stream_id=MEMBER.c.stream_id,
        generation=MEMBER.c.generation,
        signup_id=literal(None, Id),
        link_request_id=literal(None, Id),
        person=SUBSCRIBER,
        membership=MEMBER,
    )


_STREAM = bindparam("of_stream", type_=Id)
_AFTER = bindparam("after", type_=Id)

LAST = 2**63 - 1
"""No number is greater."""

LAST_OF_STRETCH = (
    select(MEMBER.c.subscriber_id)
    .where(MEMBER.c.stream_id == _STREAM, IS_MEMBER, MEMBER.c.subscriber_id > _AFTER)
    .order_by(MEMBER.c.subscriber_id)
    .limit(1)
    .offset(bindparam("others"))
)
"""The number of the last of so many members after one; none where fewer are left.

Binds `of_stream`, `after`, a person's number, and `others`, how many come before the one sought.
"""


@cache
def campaign_due(
    locales: tuple[str, ...], fallback_locale: str, *, again: bool = False
) -> Select[Any]:
    """One row for each person in a stretch of a campaign's audience who may be mailed.

    In the order of their numbers; who has a row already is for the insert to find, unless they are
    looked at `again`, when as good as all have one. Binds `bindings`, the campaign's
    `mailing`, and `after` and `until`, the numbers the stretch lies between; `again` also `most`,
    the number of rows at most.
    """
    # Said of both: PostgreSQL concludes nothing from one to the other, and would read all.
    until = bindparam("until", type_=Id)
    numbers = (MEMBER.c.subscriber_id, SUBSCRIBER.c.id)
    whom = [and_(number > _AFTER, number <= until) for number in numbers]
    occurrence = bindparam("of_occurrence", type_=String)
    due = (
        mails(
            member(),
            occurrence=occurrence,
            slug=bindparam("of_slug", type_=String),
            lane=LANE_OF_BULK,
            due_at=bindparam("due", type_=UtcDateTime),
            campaign_id=bindparam("of_campaign", type_=Id),
            message_id=pinned_message(locales, SUBSCRIBER.c.locale, fallback_locale),
        )
        .select_from(MEMBER)
        .join(SUBSCRIBER, SUBSCRIBER.c.id == MEMBER.c.subscriber_id)
        .where(MEMBER.c.stream_id == _STREAM, IS_MEMBER, *whom)
        .order_by(MEMBER.c.subscriber_id)
    )
    if not again:
        return due
    had = planned(MEMBER.c.subscriber_id, PLANNED.c.occurrence == occurrence)
    return due.where(not_(had)).limit(bindparam("most", type_=Id))


def mailing(
    campaign_id: int, stream_id: int, slug: str, due_at: datetime, messages: Sequence[int]
) -> dict[str, Any]:
    """What all mails of a campaign share, as `campaign_due` binds it; `messages` one a locale."""
    return {
        "of_campaign": campaign_id,
        "of_occurrence": f"campaign:{campaign_id}",
        "of_stream": stream_id,
        "of_slug": slug,
        "due": due_at,
    } | {f"version_{n}": message for n, message in enumerate(messages)}
