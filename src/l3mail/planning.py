"""Who may be mailed, as SQL: the one predicate that planning and the intent both ask.

Pure: builds expressions over the tables. What changes from one execution to the next (the
moment, the staff list, the workspace's locale) are bound parameters, given by `bindings`, so
that a statement is built and compiled once. Knows no session, clock or settings.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    ScalarSelect,
    String,
    and_,
    bindparam,
    case,
    exists,
    func,
    literal,
    not_,
    or_,
    select,
    true,
)

from l3mail.models import (
    CAMPAIGN,
    DELIVERY,
    HALT,
    LINK_REQUEST,
    MESSAGE,
    SIGNUP,
    SUBSCRIBER,
    SUBSCRIPTION,
    SUPPRESSION,
    UtcDateTime,
)

LANES = (0, 1, 2)
"""Claim order: requests and staff, then courses, then bulk.

Somebody who waits for a confirmation is not to wait behind fifty thousand newsletters.
"""

CONFIRMATIONS_PER_DAY = 1
CONFIRMATIONS_PER_30_DAYS = 3
FRESH_LINKS_PER_DAY = 3

NOW = bindparam("now", type_=UtcDateTime)
_DAY_AGO = bindparam("day_ago", type_=UtcDateTime)
_MONTH_AGO = bindparam("month_ago", type_=UtcDateTime)
_STAFF: BindParameter[str] = bindparam("staff", expanding=True)
_FALLBACK = bindparam("fallback_locale", type_=String)

Column = ColumnElement[Any]


def bindings(now: datetime, staff: Collection[str], fallback_locale: str) -> dict[str, Any]:
    """Values for every parameter that the expressions of this module bind."""
    return {
        "now": now,
        "day_ago": now - timedelta(hours=24),
        "month_ago": now - timedelta(days=30),
        "staff": sorted(staff),
        "fallback_locale": fallback_locale,
    }


@dataclass(frozen=True)
class Candidate:
    """The columns of what may become, or is, a delivery."""

    id: Column
    purpose: Column
    kind: Column
    subscriber_id: Column
    address: Column
    stream_id: Column
    generation: Column
    signup_id: Column
    link_request_id: Column

    @classmethod
    def delivery(cls) -> "Candidate":
        """The row of the outbox itself."""
        return cls(**{name: DELIVERY.c[name] for name in cls.__dataclass_fields__})


def objections(candidate: Candidate) -> tuple[tuple[Column, str], ...]:
    """Every ground on which nobody may mail this candidate, with its reason, in order.

    A hard bounce bars everything except a confirmation mail: confirming is what lifts it.
    """
    person = candidate.purpose != "staff"
    fate = select(SUBSCRIBER.c.id).where(SUBSCRIBER.c.id == candidate.subscriber_id)
    barred = (
        select(SUPPRESSION.c.reason)
        .join(SUBSCRIBER, SUBSCRIBER.c.address_key == SUPPRESSION.c.address_key)
        .where(
            SUBSCRIBER.c.id == candidate.subscriber_id,
            not_(and_(SUPPRESSION.c.reason == "hard_bounce", candidate.kind == "confirmation")),
        )
    )
    request = candidate.purpose == "request"
    return (
        (
            and_(candidate.purpose == "staff", candidate.address.not_in(_STAFF)),
            "address is not listed as staff",
        ),
        (and_(person, exists(fate.where(SUBSCRIBER.c.erased_at.is_not(None)))), "erased"),
        (and_(person, exists(fate.where(SUBSCRIBER.c.restricted_at.is_not(None)))), "restricted"),
        (and_(person, exists(barred)), "suppressed"),
        (and_(candidate.purpose == "stream", not_(_confirmed(candidate))), "not confirmed"),
        (and_(request, not_(_requested(candidate))), "request is closed"),
        (and_(request, _over_limit(candidate)), "request limit reached"),
    )


def mailable(candidate: Candidate) -> Column:
    """Whether this candidate may be mailed now: nothing reaches SMTP past it."""
    return and_(*(not_(ground) for ground, _ in objections(candidate)))


def objection(candidate: Candidate) -> Column:
    """The first reason against mailing this candidate, or NULL."""
    grounds = objections(candidate)
    return case(*((ground, literal(reason)) for ground, reason in grounds), else_=None)


def braked() -> Column:
    """Whether an operator's halt, or a paused or cancelled campaign, keeps a delivery back."""
    halted = exists(
        select(HALT.c.id).where(
            or_(
                HALT.c.scope == "everything",
                and_(HALT.c.scope == "kind", HALT.c.subject == DELIVERY.c.kind),
                and_(HALT.c.scope == "message", HALT.c.subject == DELIVERY.c.slug),
            )
        )
    )
    stopped = exists(
        select(CAMPAIGN.c.id).where(
            CAMPAIGN.c.id == DELIVERY.c.campaign_id,
            or_(CAMPAIGN.c.paused_at.is_not(None), CAMPAIGN.c.cancelled_at.is_not(None)),
        )
    )
    return or_(halted, and_(DELIVERY.c.campaign_id.is_not(None), stopped))


def current_message(slug: Column, locale: Column) -> ScalarSelect[int]:
    """Scalar: the id of the published version of `slug` nearest to a person's locale.

    Subtags are cut from the right (`de-simple`, then `de`), then the same with the
    workspace's locale (RFC 4647 section 3.4).
    """
    own = _covers(MESSAGE.c.locale, locale)
    return (
        select(MESSAGE.c.id)
        .where(
            MESSAGE.c.slug == slug,
            MESSAGE.c.superseded_at.is_(None),
            or_(own, _covers(MESSAGE.c.locale, _FALLBACK)),
        )
        .order_by(case((own, 0), else_=1), func.length(MESSAGE.c.locale).desc())
        .limit(1)
        .scalar_subquery()
    )


def _covers(offered: Column, wanted: Column) -> Column:
    return or_(offered == wanted, func.substr(wanted, 1, func.length(offered) + 1) == offered + "-")


def _confirmed(candidate: Candidate) -> Column:
    return exists(
        select(SUBSCRIPTION.c.id).where(
            SUBSCRIPTION.c.subscriber_id == candidate.subscriber_id,
            SUBSCRIPTION.c.stream_id == candidate.stream_id,
            SUBSCRIPTION.c.state == "confirmed",
            SUBSCRIPTION.c.generation == candidate.generation,
        )
    )


def _requested(candidate: Candidate) -> Column:
    signup = exists(
        select(SIGNUP.c.id).where(
            SIGNUP.c.id == candidate.signup_id,
            SIGNUP.c.subscriber_id == candidate.subscriber_id,
            SIGNUP.c.generation == candidate.generation,
            SIGNUP.c.confirmed_at.is_(None),
            SIGNUP.c.refused_at.is_(None),
            SIGNUP.c.expires_at > NOW,
        )
    )
    link = exists(
        select(LINK_REQUEST.c.id).where(
            LINK_REQUEST.c.id == candidate.link_request_id,
            LINK_REQUEST.c.subscriber_id == candidate.subscriber_id,
            LINK_REQUEST.c.generation == candidate.generation,
            LINK_REQUEST.c.used_at.is_(None),
            LINK_REQUEST.c.expires_at > NOW,
        )
    )
    return or_(signup, link)


def _over_limit(candidate: Candidate) -> Column:
    """Whether this person's other requests use up the limit.

    Counted are mails begun within the time, and older ones still waiting: of two that wait
    together, the older goes.
    """
    other = DELIVERY.alias("other_request")
    waiting = and_(
        other.c.first_started_at.is_(None),
        other.c.state.in_(("queued", "held")),
        or_(candidate.id.is_(None), other.c.id < candidate.id),
    )

    def begun(since: Column, column: str) -> Column:
        return (
            select(func.count())
            .where(
                other.c.subscriber_id == candidate.subscriber_id,
                other.c.purpose == "request",
                other.c[column].is_not(None),
                or_(candidate.id.is_(None), other.c.id != candidate.id),
                or_(other.c.first_started_at > since, waiting),
            )
            .scalar_subquery()
        )

    return case(
        (
            candidate.signup_id.is_not(None),
            or_(
                begun(_DAY_AGO, "signup_id") >= CONFIRMATIONS_PER_DAY,
                begun(_MONTH_AGO, "signup_id") >= CONFIRMATIONS_PER_30_DAYS,
            ),
        ),
        (
            candidate.link_request_id.is_not(None),
            begun(_DAY_AGO, "link_request_id") >= FRESH_LINKS_PER_DAY,
        ),
        else_=true(),
    )
