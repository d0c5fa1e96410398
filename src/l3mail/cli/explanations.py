"""What `explain` tells: everything that decides whether a person is mailed, in words.

Only reads. The verdict of the present moment is `planning.objection`, as planning asks it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, String, case, exists, literal, or_, select

from l3mail import conditions, courses, outbox, subscribers, suppressions, triggers
from l3mail.addresses import Address, address_key
from l3mail.audiences import Questions
from l3mail.cli.moments import told
from l3mail.errors import L3mailError
from l3mail.models import (
    CAMPAIGN,
    COURSE,
    DELIVERY,
    ENROLLMENT,
    SIGNUP,
    STREAM,
    SUBSCRIBER,
    SUBSCRIPTION,
)
from l3mail.newsletters import AWAITING_RELEASE
from l3mail.outbox import HaltInForce
from l3mail.planning import (
    CONFIRMATIONS_PER_30_DAYS,
    CONFIRMATIONS_PER_DAY,
    Candidate,
    bindings,
    current_message,
    objection,
)

UNPUBLISHED = "nothing is published under this slug"
_CAMPAIGNS = 10
_WAITING = ("queued", "deferred", "held")
_WORDS = {
    "queued": "waits to be sent",
    "held": "held back",
    "sending": "is being handed over",
    "accepted": "accepted by the mail server",
    "deferred": "the mail server said: later",
    "failed": "failed",
    "uncertain": "handed over, but the answer got lost",
    "cancelled": "was not sent",
    "lapsed": "was not sent",
}


@dataclass(frozen=True, slots=True)
class Asked:
    """Who asks, of which workspace, and when."""

    rules: subscribers.Rules
    now: datetime
    zone: ZoneInfo
    staff: frozenset[str]
    fallback_locale: str
    questions: Questions

    @property
    def values(self) -> dict[str, Any]:
        """What the predicate binds."""
        return bindings(self.now, self.staff, self.fallback_locale)


def barred(connection: Connection, asked: Asked, address: Address) -> dict[str, Any] | None:
    """The suppression of an address, whether or not its person is known."""
    row = suppressions.find(connection, address_key(address, asked.rules.pepper))
    names = ("reason", "note", "suppressed_at")
    return None if row is None else {name: row._mapping[name] for name in names}


def facts(
    connection: Connection, asked: Asked, address: Address, limit: int
) -> dict[str, Any] | None:
    """All of it as JSON values and instants; None for an unknown address."""
    person = subscribers.find(connection, asked.rules, address)
    if person is None:
        return None
    row = connection.execute(
        select(SUBSCRIBER, subscribers.status_of().label("status")).where(SUBSCRIBER.c.id == person)
    ).one()
    halts = outbox.halts(connection)
    bar = barred(connection, asked, address)
    never = "but suppressed" if bar else "but restricted" if row.restricted_at else None
    return {
        "email": row.address,
        "status": row.status,
        "known_since": row.created_at,
        "suppressed": bar,
        "restricted_at": row.restricted_at,
        "subscriptions": _subscriptions(connection, person),
        "signups": _signups(connection, asked, person),
        "enrollments": [
            _journey(connection, asked, enrollment, row.locale or "", halts)
            for enrollment in _enrollments(connection, person)
        ],
        "campaigns": _campaigns(connection, asked, person, never),
        "triggers": _triggers(connection, asked, person, never),
        "deliveries": _deliveries(connection, asked, person, halts, limit),
    }


def _subscriptions(connection: Connection, person: int) -> list[dict[str, Any]]:
    rows = connection.execute(
        select(
            STREAM.c.slug.label("stream"),
            SUBSCRIPTION.c.state.label("status"),
            SUBSCRIPTION.c.created_at.label("asked_at"),
            SUBSCRIPTION.c.confirmed_at,
            SUBSCRIPTION.c.unsubscribed_at,
        )
        .join(STREAM, STREAM.c.id == SUBSCRIPTION.c.stream_id)
        .where(SUBSCRIPTION.c.subscriber_id == person)
        .order_by(STREAM.c.slug)
    )
    return [dict(row._mapping) for row in rows]


def _signups(connection: Connection, asked: Asked, person: int) -> list[dict[str, Any]]:
    """Requests to join that still wait for the person's yes."""
    rows = connection.execute(
        select(SIGNUP.c.id, SIGNUP.c.streams, SIGNUP.c.requested_at, SIGNUP.c.expires_at)
        .where(
            SIGNUP.c.subscriber_id == person,
            SIGNUP.c.confirmed_at.is_(None),
            SIGNUP.c.refused_at.is_(None),
        )
        .order_by(SIGNUP.c.id)
    )
    mails = connection.execute(
        select(DELIVERY.c.signup_id, DELIVERY.c.first_started_at, DELIVERY.c.state).where(
            DELIVERY.c.subscriber_id == person, DELIVERY.c.signup_id.is_not(None)
        )
    ).all()
    open_ = []
    for row in rows:
        expired = row.expires_at <= asked.now
        unasked = not expired and all(mail.signup_id != row.id for mail in mails)
        open_.append(
            {
                "streams": row.streams,
                "requested_at": row.requested_at,
                "expires_at": row.expires_at,
                "expired": expired,
                "limit": _limit(mails, asked.now) if unasked else None,
            }
        )
    return open_


def _limit(mails: Sequence[Any], now: datetime) -> dict[str, Any] | None:
    """What keeps back a confirmation for which there is no mail; `planning` counts the same."""
    started = (m.first_started_at for m in mails if m.first_started_at)
    began = sorted((at for at in started if at <= now), reverse=True)
    waiting = sum(m.first_started_at is None and m.state in {"queued", "held"} for m in mails)
    limits = (
        (CONFIRMATIONS_PER_DAY, timedelta(days=1), "a day"),
        (CONFIRMATIONS_PER_30_DAYS, timedelta(days=30), "in 30 days"),
    )
    found = None
    for most, span, words in limits:
        counted = [at for at in began if at > now - span]
        if len(counted) + waiting < most:
            continue
        # The one whose going out of the count makes room; those that wait have not begun.
        room = most - waiting
        free_at = counted[room - 1] + span if room > 0 else None
        if found is None or (free_at and found["next_at"] and free_at > found["next_at"]):
            found = {
                "at_most": f"{most} {words}",
                "last_began_at": began[0] if began else None,
                "next_at": free_at,
            }
    return found


def _enrollments(connection: Connection, person: int) -> Sequence[Any]:
    return connection.execute(
        select(ENROLLMENT, COURSE.c.slug.label("course"))
        .join(COURSE, COURSE.c.id == ENROLLMENT.c.course_id)
        .where(ENROLLMENT.c.subscriber_id == person)
        .order_by(ENROLLMENT.c.id)
    ).all()


def _journey(
    connection: Connection, asked: Asked, row: Any, locale: str, halts: Sequence[HaltInForce]
) -> dict[str, Any]:
    """One enrollment: what comes next, and all that keeps it back."""
    journey = {
        "course": row.course,
        "status": row.state,
        "started_at": row.started_at,
        "ended_at": row.ended_at,
        "paused_until": row.paused_until,
        "next_message": None,
        "next_due_at": None,
        "kept_back_by": [],
    }
    if row.state not in courses.RUNNING:
        return journey
    lessons = courses.dates(connection, row.id, asked.zone)
    following = next((one for one in lessons[row.next_position :] if one.sent_at is None), None)
    if following is None:
        return journey
    grounds = []
    if row.state == "paused":
        grounds.append("the learner pauses")
    verdict = courses.objection_to(connection, row.course, row.subscriber_id, asked.now)
    if verdict is not None:
        grounds.append(verdict)
    grounds += _halted(halts, following.kind, following.slug)
    text = select(current_message(literal(following.slug, String), literal(locale, String)))
    if connection.execute(text, asked.values).scalar() is None:
        grounds.append(UNPUBLISHED)
    return journey | {
        "next_message": following.slug,
        "next_due_at": following.planned_at,
        "kept_back_by": grounds,
    }


def _halted(halts: Sequence[HaltInForce], kind: str, slug: str) -> list[str]:
    subjects = {("everything", ""), ("kind", kind), ("message", slug)}
    return [
        f"{f'{halt.scope} {halt.subject}'.strip()} is halted since {halt.halted_at:%Y-%m-%d}"
        f" by {halt.halted_by}"
        for halt in halts
        if (halt.scope, halt.subject) in subjects
    ]


def _campaigns(
    connection: Connection, asked: Asked, person: int, never: str | None
) -> list[dict[str, Any]]:
    """Campaigns of the person's streams that hold no mail for them: to come, or gone by.

    `never` is why none that is to come will reach them.
    """
    own = select(DELIVERY.c.id).where(
        DELIVERY.c.campaign_id == CAMPAIGN.c.id, DELIVERY.c.subscriber_id == person
    )
    rows = connection.execute(
        select(
            CAMPAIGN,
            STREAM.c.slug.label("stream"),
            SUBSCRIPTION.c.confirmed_at,
            SUBSCRIPTION.c.unsubscribed_at,
            SUBSCRIPTION.c.state,
        )
        .join(STREAM, STREAM.c.id == CAMPAIGN.c.stream_id)
        .join(
            SUBSCRIPTION,
            (SUBSCRIPTION.c.stream_id == CAMPAIGN.c.stream_id)
            & (SUBSCRIPTION.c.subscriber_id == person),
        )
        .where(
            or_(CAMPAIGN.c.cancelled_at.is_(None), CAMPAIGN.c.cancelled_reason.is_not(None)),
            ~exists(own),
        )
        .order_by(CAMPAIGN.c.scheduled_at.desc())
        .limit(_CAMPAIGNS)
    ).all()
    return [
        {
            "message": row.slug,
            "due_at": row.scheduled_at,
            "status": _standing(row),
            "why": never
            if never and row.planned_at is None
            else "; ".join(_why_not(connection, asked, person, row)),
        }
        for row in reversed(rows)
    ]


def _standing(row: Any) -> str:
    if row.cancelled_at is not None:
        return "cancelled"
    if row.planned_at is not None:
        return "passed by"
    if row.paused_at is not None:
        return "paused"
    is_unreleased = row.lapses_at is not None and row.released_at is None
    return "awaiting release" if is_unreleased else "scheduled"


def _triggers(
    connection: Connection, asked: Asked, person: int, never: str | None
) -> list[dict[str, Any]]:
    """What goes out by itself: when to this person, or why not; `never` bars all of it."""
    terms = triggers.Terms(asked.now, asked.zone, asked.questions, asked.fallback_locale)
    return [
        one | {"due_at": None, "why": never} if never and one["due_at"] else one
        for one in triggers.for_person(connection, person, terms)
    ]


def _why_not(connection: Connection, asked: Asked, person: int, row: Any) -> list[str]:
    """What is known to speak against a campaign's mail to a person, then or now."""
    if row.cancelled_at is not None:
        return [row.cancelled_reason]
    grounds = []
    planned_at = row.planned_at
    if planned_at is None and row.paused_at is not None:
        grounds.append(f"{row.paused_reason or 'by an operator'}; {_resume(row.slug)}")
    elif planned_at is None and row.lapses_at is not None and row.released_at is None:
        grounds.append(f"{AWAITING_RELEASE}: `l3mail newsletters release {row.slug}`")
    if planned_at is None and row.state != "confirmed":
        grounds.append(f"{row.stream} is {row.state}")
    if planned_at is not None and (row.confirmed_at is None or row.confirmed_at > planned_at):
        grounds.append(f"had not confirmed {row.stream} when it was planned")
    if planned_at is not None and row.unsubscribed_at and row.unsubscribed_at <= planned_at:
        grounds.append(f"had unsubscribed from {row.stream} when it was planned")
    if row.segment is not None:
        grounds.append(f"its segment {row.segment} {_answer(connection, asked, person, row)}")
    return grounds


def _answer(connection: Connection, asked: Asked, person: int, row: Any) -> str:
    try:
        question = asked.questions(connection, row.segment, asked.now)
    except L3mailError as fault:
        return f"can't be asked: {fault}"
    words = case(
        (question.yes, literal("selects them now")),
        (
            question.unknown,
            literal("can't know about them; `l3mail segments show --explain` says why"),
        ),
        else_=literal("doesn't select them now"),
    )
    return str(connection.execute(select(words).where(SUBSCRIBER.c.id == person)).scalar_one())


def _deliveries(
    connection: Connection, asked: Asked, person: int, halts: Sequence[HaltInForce], limit: int
) -> list[dict[str, Any]]:
    verdict = case(
        (DELIVERY.c.state.in_(_WAITING), objection(Candidate.delivery())), else_=None
    ).label("verdict")
    rows = connection.execute(
        select(DELIVERY, verdict, CAMPAIGN.c.paused_reason, CAMPAIGN.c.paused_at)
        .select_from(DELIVERY.outerjoin(CAMPAIGN, CAMPAIGN.c.id == DELIVERY.c.campaign_id))
        .where(DELIVERY.c.subscriber_id == person)
        .order_by(DELIVERY.c.id.desc())
        .limit(limit),
        asked.values,
    ).all()
    parts = conditions.told(connection, [(row.id, row.message_id, row.shown) for row in rows])
    return [
        {
            "id": row.id,
            "kind": row.kind,
            "message": row.slug,
            "status": row.state,
            "why": _why(row, asked.zone, halts, parts.get(row.id, ())),
            "to_do": _to_do(row, halts),
            "parts": parts.get(row.id, []),
            "due_at": row.due_at,
            "started_at": row.started_at,
            "ended_at": row.ended_at,
            "next_attempt_at": row.next_attempt_at,
        }
        for row in reversed(rows)
    ]


def _why(
    row: Any, zone: ZoneInfo, halts: Sequence[HaltInForce], parts: Sequence[Mapping[str, Any]]
) -> str:
    """A delivery's state in words, with its reason, the relay's, and what keeps it back now."""
    words = [_WORDS[row.state]]
    if row.reason:
        words.append(row.reason)
    if row.state == "held" and row.next_attempt_at is not None:
        words.append(held_until(row.next_attempt_at, row.lapses_at, zone))
    if row.state in {"failed", "deferred"} and row.reply_text:
        words.append(f"{row.reply_code or ''} {row.reply_text}".strip())
    if row.state == "accepted" and row.uncertain_at is not None:
        words.append("after it had been in doubt, so it may have come twice")
    if row.state in _WAITING:
        words += _halted(halts, row.kind, row.slug)
        if row.paused_at is not None:
            words.append(f"its campaign is paused: {row.paused_reason or 'by an operator'}")
        if row.verdict is not None:
            words.append(f"will not be sent as things are: {row.verdict}")
    words += [
        f"{'with' if one['shown'] else 'without'} the part {'else of ' * one['else']}if {one['if']}"
        for one in parts
    ]
    return "; ".join(words)


def held_until(until: datetime, lapses_at: datetime | None, zone: ZoneInfo) -> str:
    """When a mail goes on that a rule holds, or that it comes too late then."""
    if lapses_at is not None and lapses_at <= until:
        return f"not sent unless it is free before {told(lapses_at, zone)}"
    return f"goes on by itself {told(until, zone)}"


def _to_do(row: Any, halts: Sequence[HaltInForce]) -> str | None:
    """What a person can do about a mail that does not go; None where it is nothing."""
    if row.state == "uncertain" and row.next_attempt_at is None:
        return f"find out, then `l3mail outbox resolve {row.id}`"
    if row.state == "failed" and row.reason != str(outbox.Cause.PERSON):
        return f"`l3mail outbox retry {row.id}` once it is mended"
    if row.state not in _WAITING or row.verdict is not None:
        return None
    if row.state == "held" and row.reason == outbox.UNPUBLISHED:
        return f"`l3mail content publish {row.slug}` lets it go"
    if row.state == "held" and row.reason == outbox.AWAITING_APPROVAL:
        return "`l3mail triggers pending` shows what waits for a yes"
    if row.paused_at is not None:
        return _resume(row.slug)
    return "`l3mail resume` lets it go" if _halted(halts, row.kind, row.slug) else None


def _resume(slug: str) -> str:
    return f"`l3mail newsletters resume {slug}` lets it go on"


def localised(value: Any, zone: ZoneInfo) -> Any:
    """The same with every instant in the workspace's zone, in ISO form."""
    if isinstance(value, datetime):
        return value.astimezone(zone).isoformat()
    if isinstance(value, Mapping):
        return {key: localised(item, zone) for key, item in value.items()}
    if isinstance(value, list):
        return [localised(item, zone) for item in value]
    return value
