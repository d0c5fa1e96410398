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
    Date,
    ScalarSelect,
    Select,
    String,
    and_,
    bindparam,
    case,
    cast,
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
    CAMPAIGN_MESSAGE,
    COURSE,
    DELIVERY,
    ENROLLMENT,
    HALT,
    LESSON,
    LINK_REQUEST,
    MESSAGE,
    SIGNUP,
    SUBSCRIBER,
    SUBSCRIPTION,
    SUPPRESSION,
    Id,
    UtcDateTime,
)

LANES = (0, 1, 2)
LANE_OF_COURSES = 1
LANE_OF_BULK = 2
"""Claim order of `delivery.lane`: requests and staff, then courses, then bulk.

Somebody who waits for a confirmation is not to wait behind fifty thousand newsletters.
"""

CONFIRMATIONS_PER_DAY = 1
CONFIRMATIONS_PER_30_DAYS = 3
FRESH_LINKS_PER_DAY = 3
FRESH_LINKS_PER_30_DAYS = 20

NOW = bindparam("now", type_=UtcDateTime)
_DAY_AGO = bindparam("day_ago", type_=UtcDateTime)
_MONTH_AGO = bindparam("month_ago", type_=UtcDateTime)
_STAFF: BindParameter[str] = bindparam("staff", expanding=True)
FALLBACK = bindparam("fallback_locale", type_=String)

Column = ColumnElement[Any]

# What the predicate asks of stands under a name of its own: a planner selects from the same
# tables, and an EXISTS that named them alike would ask of anybody instead of this person.
_CAMPAIGN = CAMPAIGN.alias("campaign_of_mail")
_HALT = HALT.alias("halt_in_force")
_LINK_REQUEST = LINK_REQUEST.alias("link_request_of_mail")
_MESSAGE = MESSAGE.alias("message_in_locale")
_SIGNUP = SIGNUP.alias("signup_of_mail")
_SUBSCRIBER = SUBSCRIBER.alias("subscriber_of_mail")
_SUBSCRIPTION = SUBSCRIPTION.alias("subscription_of_mail")
_SUPPRESSION = SUPPRESSION.alias("suppression_of_mail")
_ISSUE = CAMPAIGN.alias("campaign_due")
_PINNED = CAMPAIGN_MESSAGE.alias("message_pinned")
_PLANNED = DELIVERY.alias("delivery_planned")


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
    fate = select(_SUBSCRIBER.c.id).where(_SUBSCRIBER.c.id == candidate.subscriber_id)
    barred = (
        select(_SUPPRESSION.c.reason)
        .join(_SUBSCRIBER, _SUBSCRIBER.c.address_key == _SUPPRESSION.c.address_key)
        .where(
            _SUBSCRIBER.c.id == candidate.subscriber_id,
            not_(and_(_SUPPRESSION.c.reason == "hard_bounce", candidate.kind == "confirmation")),
        )
    )
    request = candidate.purpose == "request"
    return (
        (
            and_(candidate.purpose == "staff", candidate.address.not_in(_STAFF)),
            "address is not listed as staff",
        ),
        (and_(person, exists(fate.where(_SUBSCRIBER.c.erased_at.is_not(None)))), "erased"),
        (and_(person, exists(fate.where(_SUBSCRIBER.c.restricted_at.is_not(None)))), "restricted"),
        (and_(person, exists(barred)), "suppressed"),
        (and_(candidate.purpose == "stream", _unsubscribed(candidate)), "unsubscribed"),
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


def kept_back() -> Column:
    """Whether an operator's halt, or a paused or cancelled campaign, keeps a delivery back."""
    halted = exists(
        select(_HALT.c.id).where(
            or_(
                _HALT.c.scope == "everything",
                and_(_HALT.c.scope == "kind", _HALT.c.subject == DELIVERY.c.kind),
                and_(_HALT.c.scope == "message", _HALT.c.subject == DELIVERY.c.slug),
            )
        )
    )
    return or_(halted, stopped())


def stopped() -> Column:
    """Whether a paused or cancelled campaign keeps a delivery back."""
    campaign = exists(
        select(_CAMPAIGN.c.id).where(
            _CAMPAIGN.c.id == DELIVERY.c.campaign_id,
            or_(_CAMPAIGN.c.paused_at.is_not(None), _CAMPAIGN.c.cancelled_at.is_not(None)),
        )
    )
    return and_(DELIVERY.c.campaign_id.is_not(None), campaign)


def current_message(slug: Column, locale: Column) -> ColumnElement[int]:
    """The id of the published version of `slug` nearest to a person's locale, or NULL.

    Subtags are cut from the right (`de-simple`, then `de`), then the same with the
    workspace's locale (RFC 4647 section 3.4).
    """
    offered = select(_MESSAGE.c.id).where(
        _MESSAGE.c.slug == slug, _MESSAGE.c.superseded_at.is_(None)
    )
    return func.coalesce(
        nearest(offered, _MESSAGE.c.locale, locale),
        nearest(offered, _MESSAGE.c.locale, FALLBACK),
    )


def _pinned_message(campaign_id: Column, locale: Column) -> ColumnElement[int]:
    """The version pinned for a campaign nearest to a person's locale, as `current_message`.

    Never NULL, which would let a later version in: an issue that is written in neither
    language goes out in the one it has.
    """
    offered = select(_PINNED.c.message_id).where(_PINNED.c.campaign_id == campaign_id)
    return func.coalesce(
        nearest(offered, _PINNED.c.locale, locale),
        nearest(offered, _PINNED.c.locale, FALLBACK),
        offered.order_by(_PINNED.c.locale).limit(1).scalar_subquery(),
    )


def nearest(offered: Select[Any], locale: Column, wanted: Column) -> ScalarSelect[int]:
    """Of what is offered, the one whose `locale` is nearest to the one wanted, or NULL."""
    # SQLite 3.40 finds no outer column in an inner ORDER BY: `wanted` must stay out of it.
    return (
        offered.where(_covers(locale, wanted))
        .order_by(func.length(locale).desc())
        .limit(1)
        .scalar_subquery()
    )


LESSONS = (
    "purpose",
    "kind",
    "occurrence",
    "subscriber_id",
    "stream_id",
    "generation",
    "enrollment_id",
    "slug",
    "lane",
    "state",
    "due_at",
    "planned_at",
)
"""The columns of a delivery that `lessons_due` fills, in its order."""


def lessons_due() -> Select[Any]:
    """One row for each enrollment of a cohort whose next lesson is due and may be mailed.

    A cohort shares structure, anchor, due moment and the day of its last lesson, so that the
    calendar is asked once for all of it. Binds `bindings`, the four `cohort_…` parameters
    (`cohort()`), and `batch`, the number of rows at most.
    """
    candidate = Candidate(
        id=literal(None, Id),
        purpose=literal("stream"),
        kind=LESSON.c.kind,
        subscriber_id=ENROLLMENT.c.subscriber_id,
        address=literal(None, String),
        stream_id=COURSE.c.stream_id,
        generation=SUBSCRIPTION.c.generation,
        signup_id=literal(None, Id),
        link_request_id=literal(None, Id),
    )
    occurrence = literal("lesson:") + cast(ENROLLMENT.c.id, String) + ":" + LESSON.c.slug
    return (
        select(
            candidate.purpose,
            candidate.kind,
            occurrence,
            candidate.subscriber_id,
            candidate.stream_id,
            candidate.generation,
            ENROLLMENT.c.id,
            LESSON.c.slug,
            literal(LANE_OF_COURSES),
            literal("queued"),
            ENROLLMENT.c.next_due_at,
            NOW,
        )
        .select_from(ENROLLMENT)
        .join(COURSE, COURSE.c.id == ENROLLMENT.c.course_id)
        .join(
            LESSON,
            and_(
                LESSON.c.structure_id == ENROLLMENT.c.structure_id,
                LESSON.c.position == ENROLLMENT.c.next_position,
            ),
        )
        .join(
            SUBSCRIPTION,
            and_(
                SUBSCRIPTION.c.subscriber_id == ENROLLMENT.c.subscriber_id,
                SUBSCRIPTION.c.stream_id == COURSE.c.stream_id,
            ),
        )
        .where(in_cohort(), mailable(candidate))
        .limit(bindparam("batch"))
    )


def in_cohort() -> Column:
    """Whether an enrollment belongs to the cohort that the `cohort_…` parameters name."""
    last_lesson_on = bindparam("cohort_last_lesson_on", type_=Date)
    return and_(
        ENROLLMENT.c.state == "active",
        ENROLLMENT.c.structure_id == bindparam("cohort_structure_id"),
        ENROLLMENT.c.anchor_on == bindparam("cohort_anchor_on"),
        ENROLLMENT.c.next_due_at == bindparam("cohort_due_at"),
        ENROLLMENT.c.last_lesson_on.is_not_distinct_from(last_lesson_on),
    )


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
            _pinned_message(_ISSUE.c.id, SUBSCRIBER.c.locale),
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


def _covers(offered: Column, wanted: Column) -> Column:
    return or_(offered == wanted, func.substr(wanted, 1, func.length(offered) + 1) == offered + "-")


def _confirmed(candidate: Candidate) -> Column:
    return exists(
        select(_SUBSCRIPTION.c.id).where(
            _SUBSCRIPTION.c.subscriber_id == candidate.subscriber_id,
            _SUBSCRIPTION.c.stream_id == candidate.stream_id,
            _SUBSCRIPTION.c.state == "confirmed",
            _SUBSCRIPTION.c.generation == candidate.generation,
        )
    )


def _unsubscribed(candidate: Candidate) -> Column:
    return exists(
        select(_SUBSCRIPTION.c.id).where(
            _SUBSCRIPTION.c.subscriber_id == candidate.subscriber_id,
            _SUBSCRIPTION.c.stream_id == candidate.stream_id,
            _SUBSCRIPTION.c.state == "unsubscribed",
        )
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

    def begun(since: Column, column: str) -> Column:
        return (
            select(func.count())
            .where(
                other.c.subscriber_id == candidate.subscriber_id,
                other.c.purpose == "request",
                other.c[column].is_not(None),
                or_(candidate.id.is_(None), other.c.id != candidate.id),
                # What a clock that ran ahead put into the future bars nobody.
                or_(
                    and_(other.c.first_started_at > since, other.c.first_started_at <= NOW), waiting
                ),
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
            or_(
                begun(_DAY_AGO, "link_request_id") >= FRESH_LINKS_PER_DAY,
                begun(_MONTH_AGO, "link_request_id") >= FRESH_LINKS_PER_30_DAYS,
            ),
        ),
        else_=true(),
    )
