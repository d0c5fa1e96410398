"""Who may be mailed, as SQL: the one predicate that planning and the intent both ask.

What changes from one execution to the next (the moment, the staff list, the workspace's locale)
are bound parameters, given by `bindings`, so that a statement is built and compiled once.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    FromClause,
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
    DELIVERY,
    LINK_REQUEST,
    SIGNUP,
    SUBSCRIBER,
    SUBSCRIPTION,
    SUPPRESSION,
    UtcDateTime,
)
from l3mail.models.columns import among

CONFIRMATIONS_PER_DAY = 1
CONFIRMATIONS_PER_30_DAYS = 3
FRESH_LINKS_PER_DAY = 3
FRESH_LINKS_PER_30_DAYS = 20

TRIED: Final = "notice/test"
"""What test mails are called among the staff's: one can be halted as such."""

NOW = bindparam("now", type_=UtcDateTime)
_DAY_AGO = bindparam("day_ago", type_=UtcDateTime)
_MONTH_AGO = bindparam("month_ago", type_=UtcDateTime)
_OUR_DOMAIN = bindparam("our_domain", type_=String)

Column = ColumnElement[Any]

# What the predicate asks of stands under a name of its own: a planner selects from the same
# tables, and an EXISTS that named them alike would ask of anybody instead of this person.
_LINK_REQUEST = LINK_REQUEST.alias("link_request_of_mail")
_SIGNUP = SIGNUP.alias("signup_of_mail")
_SUBSCRIBER = SUBSCRIBER.alias("subscriber_of_mail")
_SUBSCRIPTION = SUBSCRIPTION.alias("subscription_of_mail")
_SUPPRESSION = SUPPRESSION.alias("suppression_of_mail")


def bindings(now: datetime, staff: Collection[str], fallback_locale: str) -> dict[str, Any]:
    """Values for every parameter that the expressions of this package bind.

    `staff` are addresses, and perhaps "@" with the domain of ours: whoever has an address there may
    get the test mails that an operator sends them, and nothing else.
    """
    ours = next((f"%{one}" for one in sorted(staff) if one.startswith("@")), "")
    return {
        "now": now,
        "day_ago": now - timedelta(hours=24),
        "month_ago": now - timedelta(days=30),
        "staff": sorted(staff),
        "our_domain": ours,
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
    slug: Column = field(default_factory=lambda: literal(""), kw_only=True)

    @classmethod
    def delivery(cls) -> "Candidate":
        """The row of the outbox itself."""
        return cls(**{name: DELIVERY.c[name] for name in cls.__dataclass_fields__})

    @property
    def known_purpose(self) -> str | None:
        """The purpose of all rows alike, where whoever makes the statement knows it."""
        return str(self.purpose.value) if isinstance(self.purpose, BindParameter) else None

    def of_person(self, says: Callable[[FromClause], Column]) -> Column:
        """Whether something is so of its person's row."""
        its_own = _SUBSCRIBER.c.id == self.subscriber_id
        return exists(select(_SUBSCRIBER.c.id).where(its_own, says(_SUBSCRIBER)))

    def of_membership(self, says: Callable[[FromClause], Column]) -> Column:
        """Whether its person has joined its stream, and something is so of that row."""
        its_own = and_(
            _SUBSCRIPTION.c.subscriber_id == self.subscriber_id,
            _SUBSCRIPTION.c.stream_id == self.stream_id,
        )
        return exists(select(_SUBSCRIPTION.c.id).where(its_own, says(_SUBSCRIPTION)))


@dataclass(frozen=True)
class Joined(Candidate):
    """A candidate whose person and membership stand in its own row, joined by whoever plans.

    They are asked there, and not looked up again for each person.
    """

    person: FromClause
    membership: FromClause

    def of_person(self, says: Callable[[FromClause], Column]) -> Column:
        """Whether something is so of its person's row."""
        return says(self.person)

    def of_membership(self, says: Callable[[FromClause], Column]) -> Column:
        """Whether something is so of its membership's row."""
        return says(self.membership)


def objections(candidate: Candidate) -> tuple[tuple[Column, str], ...]:
    """Every ground on which nobody may mail this candidate, with its reason, in order.

    A hard bounce bars everything except a confirmation mail: confirming is what lifts it. Where
    the purpose is known, nothing is asked that concerns another.
    """
    of_ours = and_(candidate.slug == TRIED, candidate.address.like(_OUR_DOMAIN))
    not_staff = not_(or_(among(candidate.address, "staff", String()), of_ours))
    erased = candidate.of_person(lambda person: person.c.erased_at.is_not(None))
    restricted = candidate.of_person(lambda person: person.c.restricted_at.is_not(None))
    barred = candidate.of_person(lambda person: _suppressed(candidate, person))
    left = candidate.of_membership(lambda own: own.c.state == "unsubscribed")
    not_confirmed = not_(
        candidate.of_membership(
            lambda own: and_(own.c.state == "confirmed", own.c.generation == candidate.generation)
        )
    )
    personal = ("stream", "request")
    grounds = (
        (("staff",), not_staff, "address is not listed as staff"),
        (personal, erased, "erased"),
        (personal, restricted, "restricted"),
        (personal, barred, "suppressed"),
        (("stream",), left, "unsubscribed"),
        (("stream",), not_confirmed, "not confirmed"),
        (("request",), not_(_requested(candidate)), "request is closed"),
        (("request",), _over_limit(candidate), "request limit reached"),
    )
    known = candidate.known_purpose
    return tuple(
        (ground if known else and_(candidate.purpose.in_(purposes), ground), reason)
        for purposes, ground, reason in grounds
        if known is None or known in purposes
    )


def mailable(candidate: Candidate) -> Column:
    """Whether this candidate may be mailed now: nothing reaches SMTP past it."""
    return and_(*(not_(ground) for ground, _ in objections(candidate)))


def objection(candidate: Candidate) -> Column:
    """The first reason against mailing this candidate, or NULL."""
    grounds = objections(candidate)
    return case(*((ground, literal(reason)) for ground, reason in grounds), else_=None)


def _suppressed(candidate: Candidate, person: FromClause) -> Column:
    return exists(
        select(_SUPPRESSION.c.reason)
        .where(
            _SUPPRESSION.c.address_key == person.c.address_key,
            not_(and_(_SUPPRESSION.c.reason == "hard_bounce", candidate.kind == "confirmation")),
        )
        .correlate_except(_SUPPRESSION)
    )


def _requested(candidate: Candidate) -> Column:
    signup = exists(
        select(_SIGNUP.c.id).where(
            _SIGNUP.c.id == candidate.signup_id,
            _SIGNUP.c.subscriber_id == candidate.subscriber_id,
            _SIGNUP.c.generation == candidate.generation,
            _SIGNUP.c.confirmed_at.is_(None),
            _SIGNUP.c.refused_at.is_(None),
            _SIGNUP.c.expires_at > NOW,
        )
    )
    link = exists(
        select(_LINK_REQUEST.c.id).where(
            _LINK_REQUEST.c.id == candidate.link_request_id,
            _LINK_REQUEST.c.subscriber_id == candidate.subscriber_id,
            _LINK_REQUEST.c.generation == candidate.generation,
            _LINK_REQUEST.c.used_at.is_(None),
            _LINK_REQUEST.c.expires_at > NOW,
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

    def begun(since: Column, *which: Column) -> Column:
        return (
            select(func.count())
            .where(
                other.c.subscriber_id == candidate.subscriber_id,
                other.c.purpose == "request",
                or_(*which),
                or_(candidate.id.is_(None), other.c.id != candidate.id),
                # What a clock that ran ahead put into the future bars nobody.
                or_(
                    and_(other.c.first_started_at > since, other.c.first_started_at <= NOW), waiting
                ),
            )
            .scalar_subquery()
        )

    of_signup = other.c.signup_id.is_not(None)
    of_link = other.c.link_request_id.is_not(None)
    asks = other.c.kind == "confirmation"
    return case(
        (
            candidate.signup_id.is_not(None),
            or_(
                begun(_DAY_AGO, of_signup) >= CONFIRMATIONS_PER_DAY,
                begun(_MONTH_AGO, of_signup, asks) >= CONFIRMATIONS_PER_30_DAYS,
            ),
        ),
        (
            candidate.link_request_id.is_not(None),
            or_(
                begun(_DAY_AGO, of_link) >= FRESH_LINKS_PER_DAY,
                begun(_MONTH_AGO, of_link) >= FRESH_LINKS_PER_30_DAYS,
                # An address that somebody else named is asked no oftener than by a form.
                and_(
                    candidate.kind == "confirmation",
                    begun(_MONTH_AGO, asks) >= CONFIRMATIONS_PER_30_DAYS,
                ),
            ),
        ),
        else_=true(),
    )
