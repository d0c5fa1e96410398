"""Who came and who left: sign-ups, confirmations and departures, by offer, source and district.

Reads only. What somebody said of themselves is broken down only as far as `hiding` lets it.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, case, func, select

from l3mail.models import DELIVERY, EVENT, MESSAGE, SIGNUP, STREAM, SUBSCRIBER, SUBSCRIPTION
from l3mail.reports.hiding import Breakdown, Cell, breakdown
from l3mail.reports.mails import at_least, within
from l3mail.reports.spans import Span


@dataclass(frozen=True, slots=True)
class Pair:
    """A number, and that of the span before."""

    now: int
    before: int


@dataclass(frozen=True, slots=True)
class OfferFigures:
    """One stream: who confirmed and left it in the span, and how many are in it now.

    A retired one is told of as long as somebody is in it or has just left.
    """

    slug: str
    title: str
    kind: str
    confirmed: Pair
    left: Pair
    members: int


@dataclass(frozen=True, slots=True)
class Act:
    """Something people did by a button of a mail: `name` as its author called it."""

    kind: str
    slug: str
    name: str
    people: Cell


@dataclass(frozen=True, slots=True)
class Joining:
    """Sign-ups requested; people who confirmed and who left; whence and where those confirmed."""

    requested: Pair
    confirmed: Pair
    left: Pair
    offers: Sequence[OfferFigures]
    by_source: Breakdown
    by_district: Breakdown
    acts: Sequence[Act]
    members: int


def look(connection: Connection, span: Span, before: Span) -> Joining:
    """Look at who joined and left in a span."""
    offers = _offers(connection, span, before)
    confirmed, sources, districts = _origins(connection, span, before)
    # Counting distinct numbers would sort them; an index has them in their order.
    people = (
        select(SUBSCRIPTION.c.subscriber_id)
        .where(SUBSCRIPTION.c.state == "confirmed")
        .group_by(SUBSCRIPTION.c.subscriber_id)
        .subquery()
    )
    members = select(func.count()).select_from(people)
    return Joining(
        requested=_requested(connection, span, before),
        confirmed=confirmed,
        left=_left(connection, span, before),
        offers=tuple(offers),
        by_source=sources,
        by_district=districts,
        acts=tuple(_acts(connection, span)),
        members=int(connection.execute(members).scalar_one()),
    )


def _requested(connection: Connection, span: Span, before: Span) -> Pair:
    def count(one: Span) -> int:
        query = select(func.count()).where(within(SIGNUP.c.requested_at, one))
        return int(connection.execute(query).scalar_one())

    return Pair(count(span), count(before))


def _left(connection: Connection, span: Span, before: Span) -> Pair:
    def count(one: Span) -> int:
        query = select(func.count(SUBSCRIPTION.c.subscriber_id.distinct())).where(
            SUBSCRIPTION.c.state == "unsubscribed", within(SUBSCRIPTION.c.unsubscribed_at, one)
        )
        return int(connection.execute(query).scalar_one())

    return Pair(count(span), count(before))


def _offers(connection: Connection, span: Span, before: Span) -> list[OfferFigures]:
    confirmed = _by_stream(connection, SUBSCRIPTION.c.confirmed_at, span, before)
    has_left = SUBSCRIPTION.c.state == "unsubscribed"
    left = _by_stream(connection, SUBSCRIPTION.c.unsubscribed_at, span, before, has_left)
    query = (
        select(SUBSCRIPTION.c.stream_id, func.count())
        .where(SUBSCRIPTION.c.state == "confirmed")
        .group_by(SUBSCRIPTION.c.stream_id)
    )
    members: dict[int, int] = dict(connection.execute(query).all())
    none = Pair(0, 0)
    offers = [
        (
            stream,
            confirmed.get(stream.id, none),
            left.get(stream.id, none),
            members.get(stream.id, 0),
        )
        for stream in connection.execute(select(STREAM).order_by(STREAM.c.id))
    ]
    return [
        OfferFigures(stream.slug, stream.title, stream.kind, joined, gone, there)
        for stream, joined, gone, there in offers
        if stream.retired_at is None or there or (joined, gone) != (none, none)
    ]


def _by_stream(
    connection: Connection,
    moment: ColumnElement[datetime],
    span: Span,
    before: Span,
    *conditions: ColumnElement[bool],
) -> dict[int, Pair]:
    """How many subscriptions of each stream have a moment in the span, and in the one before.

    Asked apart from how many there are: those few are counted in one walk along the table, where
    all together would be looked up stream by stream, each at another place of the file.
    """
    is_now = case((moment >= span.since, 1), else_=0)
    query = (
        select(SUBSCRIPTION.c.stream_id, func.sum(is_now), func.count())
        .where(moment >= before.since, moment < span.until, *conditions)
        .group_by(SUBSCRIPTION.c.stream_id)
    )
    return {stream: Pair(int(now), n - int(now)) for stream, now, n in connection.execute(query)}


def _origins(connection: Connection, span: Span, before: Span) -> tuple[Pair, Breakdown, Breakdown]:
    """How many people confirmed anything, and these by source and district; "" where unknown."""
    is_now = case((SUBSCRIPTION.c.confirmed_at >= span.since, 1), else_=0)
    people = (
        select(
            is_now.label("is_now"),
            func.min(SUBSCRIPTION.c.source).label("source"),
            func.min(SUBSCRIBER.c.district).label("district"),
        )
        .join(SUBSCRIBER, SUBSCRIBER.c.id == SUBSCRIPTION.c.subscriber_id)
        .where(
            SUBSCRIPTION.c.confirmed_at >= before.since, SUBSCRIPTION.c.confirmed_at < span.until
        )
        .group_by(SUBSCRIPTION.c.subscriber_id, is_now)
        .subquery()
    )

    query = select(people.c.is_now, people.c.source, people.c.district, func.count())
    sources: tuple[Counter[str], Counter[str]] = (Counter(), Counter())
    districts: tuple[Counter[str], Counter[str]] = (Counter(), Counter())
    for now, source, district, n in connection.execute(
        query.group_by(people.c.is_now, people.c.source, people.c.district)
    ):
        column = 0 if now else 1
        sources[column][source or ""] += n
        districts[column][district or ""] += n
    total = Pair(sources[0].total(), sources[1].total())
    return total, breakdown(*sources), breakdown(*districts)


def _acts(connection: Connection, span: Span) -> list[Act]:
    # An interest is the same whichever mail it was shown by; a question is its text's own.
    of_question = func.coalesce(DELIVERY.c.slug, MESSAGE.c.slug, "")
    slug = case((EVENT.c.kind == "interested", ""), else_=of_question)
    query = (
        select(EVENT.c.kind, slug, EVENT.c.name, func.count(EVENT.c.subscriber_id.distinct()))
        .select_from(EVENT)
        .outerjoin(DELIVERY, DELIVERY.c.id == EVENT.c.delivery_id)
        .outerjoin(MESSAGE, MESSAGE.c.id == EVENT.c.message_id)
        .where(
            EVENT.c.kind.in_(("answered", "interested")),
            EVENT.c.subscriber_id.is_not(None),
            within(EVENT.c.at, span),
        )
        .group_by(EVENT.c.kind, slug, EVENT.c.name)
        .order_by(EVENT.c.kind, slug, EVENT.c.name)
    )
    return [
        Act(kind, about, name or "", at_least(n))
        for kind, about, name, n in connection.execute(query)
    ]
