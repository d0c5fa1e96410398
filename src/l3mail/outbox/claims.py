"""The life of a claimed delivery until it has ended: intent, outcome, take-over.

`begin` writes the intent (`sending`) and is the last gate before SMTP; `record` writes what
came of it. Both are fenced, so a holder that overslept its lease changes nothing. Every verb may
be repeated without harm.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    ColumnElement,
    Connection,
    String,
    and_,
    bindparam,
    case,
    cast,
    exists,
    func,
    literal,
    null,
    or_,
    select,
    tuple_,
    update,
)

from l3mail.models import CAMPAIGN, DELIVERY, SUBSCRIBER, UtcDateTime
from l3mail.models.columns import among
from l3mail.models.prepared import Prepared
from l3mail.outbox.details import TEXT, load
from l3mail.outbox.leases import LEASE, NO_LEASE, Claim
from l3mail.outbox.outcomes import (
    TRIES_IN_DOUBT,
    UNCERTAIN_REST,
    UNPUBLISHED,
    Attempt,
    Cause,
    Outcome,
    Started,
    Uncertainty,
    retry_at,
)
from l3mail.planning import (
    NO_RESTRAINT,
    NOW,
    Candidate,
    Restraint,
    another,
    bindings,
    is_bulk,
    is_over_cap,
    is_restrained,
    kept_back,
    mailable,
    objection,
    until_cap_is_free,
    until_quiet_ends,
)


@dataclass(frozen=True, slots=True)
class Gate:
    """What the last check before SMTP needs to know: who asks, since when, and the rules.

    `measures` is whether mails measure those who agreed to it, `restraint` what people are spared.
    """

    owner: str
    now: datetime
    staff: Collection[str]
    fallback_locale: str
    measures: bool = False
    restraint: Restraint = NO_RESTRAINT

    @property
    def counts(self) -> bool:
        """Whether mails to one person are counted, so that senders come to them in turn."""
        return self.restraint.cap is not None


_TIMELY = or_(DELIVERY.c.lapses_at.is_(None), DELIVERY.c.lapses_at > NOW)
_PROOF = cast(DELIVERY.c.id, String) + ":" + cast(DELIVERY.c.fence, String)
_NAMED = among(DELIVERY.c.id, "ids", BigInteger())
_HELD = and_(
    _NAMED,
    among(_PROOF, "claims", String()),
    DELIVERY.c.state == "queued",
    # No bare column: SQLite would walk all that the owner has leased to find these few.
    func.coalesce(DELIVERY.c.lease_owner, "") == bindparam("owner"),
    DELIVERY.c.lease_until > NOW,
)
_AGREES = exists(
    select(SUBSCRIBER.c.id)
    .where(SUBSCRIBER.c.id == DELIVERY.c.subscriber_id, SUBSCRIBER.c.tracking)
    .correlate(DELIVERY)
)
_INTENT = (
    update(DELIVERY)
    .where(_HELD, _TIMELY, mailable(Candidate.delivery()), ~kept_back(), TEXT.is_not(None))
    .values(
        state="sending",
        started_at=NOW,
        first_started_at=func.coalesce(DELIVERY.c.first_started_at, NOW),
        ended_at=None,
        attempts=DELIVERY.c.attempts + 1,
        message_id=TEXT,
        # Anew on each attempt: who withdraws between two is not measured by the second.
        tracked=and_(bindparam("measures", type_=Boolean), DELIVERY.c.purpose == "stream", _AGREES),
        lease_until=bindparam("lease"),
    )
    .returning(DELIVERY.c.id)
)
_OF_SAME_MOMENT = among(another().c.id, "ids", BigInteger())
# Nobody pays for a rule that there is not, or that has nothing to say at this hour.
_BEGIN = {
    None: Prepared(_INTENT),
    "quiet": Prepared(_INTENT.where(~is_bulk())),
    "cap": Prepared(_INTENT.where(~is_over_cap(_OF_SAME_MOMENT))),
}
_PEOPLE = (
    select(SUBSCRIBER.c.id)
    .where(SUBSCRIBER.c.id.in_(select(DELIVERY.c.subscriber_id).where(_NAMED)))
    .order_by(SUBSCRIBER.c.id)
)
_HOLD = _PEOPLE.with_for_update(read=True)
# Two senders that begin a mail to the same person count one after the other.
_HOLD_ALONE = _PEOPLE.with_for_update(key_share=True)
_ENDING: dict[str, Any] = {"ended_at": NOW, **NO_LEASE}
_WHY_NOT = objection(Candidate.delivery())
_SET_ASIDE = (
    update(DELIVERY)
    .where(_HELD, ~_TIMELY)
    .values(state="lapsed", reason="its moment passed before it could be sent", **_ENDING),
    update(DELIVERY)
    .where(_HELD, _WHY_NOT.is_not(None))
    .values(state="cancelled", reason=_WHY_NOT, **_ENDING),
    update(DELIVERY)
    .where(_HELD, ~kept_back(), TEXT.is_(None))
    .values(state="held", reason=UNPUBLISHED, **NO_LEASE),
)
_SPARE = {
    "quiet": update(DELIVERY)
    .where(_HELD, is_bulk(), ~kept_back())
    .values(until_quiet_ends() | NO_LEASE),
    "cap": update(DELIVERY)
    .where(_HELD, is_over_cap(), ~kept_back())
    .values(until_cap_is_free() | NO_LEASE),
}
_LET_GO = update(DELIVERY).where(_HELD).values(NO_LEASE)
"""What becomes of claimed rows that did not start and that none of the above ended or held.

They were kept back, or, on PostgreSQL, what hindered them ended between two of these statements.
"""


def begin(connection: Connection, claims: Sequence[Claim], gate: Gate) -> list[Started]:
    """Write the intent for every claim that still holds and may be mailed; return those.

    A row is left out, and loses its lease, when its moment passed (`lapsed`), when nobody may
    mail the person any more (`cancelled`, with the reason), when an operator keeps it back (it
    stays `queued`), or when nothing is published under its slug or people are to be spared it
    now (`held`). A row whose lease was lost is left alone.
    """
    if not claims:
        return []
    rule = gate.restraint.rule_at(gate.now)
    values = _values(claims, gate) | {"lease": gate.now + LEASE, "measures": gate.measures}
    hold_people(connection, values["ids"], alone=gate.counts)
    started = [number for (number,) in _BEGIN[rule].returned(connection, values)]
    if len(started) < len(claims):
        spare = () if rule is None else (_SPARE[rule],)
        for statement in (*_SET_ASIDE, *spare, _LET_GO):
            connection.execute(statement, values)
    return load(connection, started)


def spare(connection: Connection, claims: Sequence[Claim], gate: Gate) -> list[Claim]:
    """Hold those of the claims that people are to be spared now; return the others.

    `begin` looks again, a few at a time: here it is decided for many at once, before anybody opens
    a connection for them.
    """
    rule = gate.restraint.rule_at(gate.now)
    if rule is None or not claims:
        return list(claims)
    rows = connection.execute(_SPARE[rule].returning(DELIVERY.c.id), _values(claims, gate))
    spared = set(rows.scalars())
    return [claimed for claimed in claims if claimed.id not in spared]


def _values(claims: Sequence[Claim], gate: Gate) -> dict[str, Any]:
    """What the statements about these claims bind."""
    values = bindings(gate.now, gate.staff, gate.fallback_locale) | {
        "ids": [claimed.id for claimed in claims],
        "claims": [f"{claimed.id}:{claimed.fence}" for claimed in claims],
        "owner": gate.owner,
    }
    return values | gate.restraint.bindings(gate.now) if gate.restraint else values


def hold_people(connection: Connection, ids: Sequence[int], *, alone: bool = False) -> None:
    """Hold the people of these deliveries as they are until the transaction ends.

    Whoever leaves holds their row: what begins here has not left, or waits and sees it. `alone`
    keeps other senders waiting as well: of two mails to the same person they count one after the
    other. Whoever holds people twice holds them alone both times, or neither.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(_HOLD_ALONE if alone else _HOLD, {"ids": ids})


def note_shown(
    connection: Connection, deliveries: Sequence[Started], bits: ColumnElement[int]
) -> dict[int, int]:
    """Add bits, a number asked of a row of SUBSCRIBER, to what is shown in these; return the sums.

    For deliveries that have just begun and of which nothing was noted before.
    """
    whose = select(bits).where(SUBSCRIBER.c.id == DELIVERY.c.subscriber_id).correlate(DELIVERY)
    rows = connection.execute(
        update(DELIVERY)
        .where(_NAMED)
        .values(shown=func.coalesce(DELIVERY.c.shown, 0) + whose.scalar_subquery())
        .returning(DELIVERY.c.id, DELIVERY.c.shown),
        {"ids": [delivery.id for delivery in deliveries]},
    )
    return {row.id: row.shown for row in rows}


def unbegin(connection: Connection, deliveries: Sequence[Started]) -> None:
    """Queue rows again that came to no dialogue, as if they had not been begun.

    The attempt does not count, nor do the five days run for it. Also one taken over in the
    meantime: it is certain now that nothing left. What was held because of it is judged anew.
    """
    if not deliveries:
        return
    is_first = DELIVERY.c.attempts == 1
    connection.execute(
        update(DELIVERY)
        .where(
            tuple_(DELIVERY.c.id, DELIVERY.c.fence).in_([(d.id, d.fence) for d in deliveries]),
            or_(DELIVERY.c.state == "sending", DELIVERY.c.state == "uncertain"),
        )
        .values(
            state="queued",
            reason=null(),
            attempts=DELIVERY.c.attempts - 1,
            first_started_at=case((is_first, null()), else_=DELIVERY.c.first_started_at),
            ended_at=null(),
            next_attempt_at=null(),
            **NO_LEASE,
        )
    )
    whose = select(DELIVERY.c.subscriber_id).where(
        DELIVERY.c.id.in_([delivery.id for delivery in deliveries])
    )
    connection.execute(
        update(DELIVERY)
        .where(is_restrained(), DELIVERY.c.subscriber_id.in_(whose))
        .values(next_attempt_at=DELIVERY.c.planned_at)
    )


_HEARABLE = (
    DELIVERY.c.state == "sending",
    DELIVERY.c.state == "uncertain",
    # Under the same fence: settled, and claimed by nobody since.
    DELIVERY.c.state == "queued",
)
_IS_ERASED = exists(
    select(SUBSCRIBER.c.id)
    .where(SUBSCRIBER.c.id == DELIVERY.c.subscriber_id, SUBSCRIBER.c.erased_at.is_not(None))
    .correlate(DELIVERY)
)
_RECORD = Prepared(
    update(DELIVERY)
    .where(
        DELIVERY.c.id == bindparam("of"),
        DELIVERY.c.fence == bindparam("under"),
        or_(*_HEARABLE),
    )
    .values(
        state=bindparam("to"),
        reason=bindparam("because"),
        ended_at=bindparam("ended"),
        next_attempt_at=bindparam("again"),
        # Kept when a once uncertain row ends: a possible duplicate is never silent.
        uncertain_at=func.coalesce(
            bindparam("doubted", type_=UtcDateTime), DELIVERY.c.uncertain_at
        ),
        reply_stage=bindparam("stage"),
        reply_code=bindparam("code"),
        reply_status=bindparam("status"),
        # A relay's words may name the person: of one erased in mid-dialogue none are kept.
        reply_text=case((_IS_ERASED, null()), else_=bindparam("text")),
        **NO_LEASE,
    )
)


def unheard(connection: Connection, deliveries: Sequence[Started]) -> list[Started]:
    """Those whose outcome `record` would write now: not yet written, not begun anew."""
    if not deliveries:
        return []
    rows = connection.execute(
        select(DELIVERY.c.id).where(
            tuple_(DELIVERY.c.id, DELIVERY.c.fence).in_([(d.id, d.fence) for d in deliveries]),
            or_(*_HEARABLE),
        )
    )
    ids = set(rows.scalars())
    return [delivery for delivery in deliveries if delivery.id in ids]


def record(
    connection: Connection,
    attempts: Sequence[Attempt],
    now: datetime,
    policy: Mapping[str, Uncertainty],
) -> None:
    """Write what attempts returned; a refusal of our sender also pauses its campaign.

    Repeating is harmless, and so is being late: a row taken over in the meantime (`uncertain`,
    or queued again) still learns the truth, one claimed anew by somebody else is left alone.
    """
    if not attempts:
        return
    _RECORD.each(connection, [_consequence(attempt, now, policy) for attempt in attempts])
    refused = {
        # No words of the relay: they may name the person, and this outlives an erasure.
        attempt.delivery.campaign_id: (
            f"our sender was refused: {attempt.code} {attempt.status or ''}".rstrip()
            + f", see delivery {attempt.delivery.id}"
        )
        for attempt in attempts
        if attempt.cause is Cause.SENDER and attempt.delivery.campaign_id is not None
    }
    for campaign_id, reason in refused.items():
        connection.execute(
            update(CAMPAIGN)
            .where(CAMPAIGN.c.id == campaign_id, CAMPAIGN.c.paused_at.is_(None))
            .values(paused_at=now, paused_reason=reason)
        )


def _consequence(
    attempt: Attempt, now: datetime, policy: Mapping[str, Uncertainty]
) -> dict[str, Any]:
    delivery = attempt.delivery
    values: dict[str, Any] = {
        "of": delivery.id,
        "under": delivery.fence,
        "to": "accepted",
        "because": None,
        "ended": now,
        "again": None,
        "doubted": None,
        "stage": attempt.stage,
        "code": attempt.code,
        "status": attempt.status,
        "text": attempt.text,
    }
    match attempt.outcome:
        case Outcome.ACCEPTED:
            pass
        case Outcome.REJECTED:
            values |= {"to": "failed", "because": attempt.cause}
        case Outcome.UNKNOWN:
            values |= {
                "to": "uncertain",
                "because": "the connection ended after the mail was handed over",
                "again": _resend_at(delivery, now, policy),
                "doubted": now,
            }
        case Outcome.DEFERRED:
            again = retry_at(delivery.id, delivery.attempts, delivery.first_started_at, now)
            closed = attempt.reused and attempt.stage == "mail" and attempt.code in (None, 421)
            if closed or attempt.stray:
                # A kept connection that the relay closed says nothing about this mail.
                again = now
            values |= (
                {"to": "failed", "because": "given up after five days"}
                if again is None
                else {"to": "deferred", "ended": None, "again": again}
            )
    return values


def _resend_at(
    delivery: Started, now: datetime, policy: Mapping[str, Uncertainty]
) -> datetime | None:
    resend = policy[delivery.kind] is Uncertainty.RESEND and delivery.attempts < TRIES_IN_DOUBT
    return now + UNCERTAIN_REST if resend else None


def take_over(
    connection: Connection,
    owner: str,
    now: datetime,
    policy: Mapping[str, Uncertainty],
    *,
    alone: bool,
) -> int:
    """Turn intents of senders that are gone into `uncertain`; return how many.

    Another sender is gone when its lease ran out or, for the holder of the only sender's lock
    (`alone`), in any case. Queued rows of the gone become claimable.
    """
    # Never our own: a clock set forward ends our leases, and we know that we live.
    gone = DELIVERY.c.lease_owner != owner
    if not alone:
        gone &= DELIVERY.c.lease_until <= now

    def theirs(state: str) -> ColumnElement[bool]:
        # Rows that a process frozen in mid-transaction holds must not hold up everybody: next time.
        rows = select(DELIVERY.c.id).where(gone, DELIVERY.c.state == state)
        return DELIVERY.c.id.in_(select(rows.with_for_update(skip_locked=True).cte(state).c.id))

    resend = [kind for kind, choice in policy.items() if choice is Uncertainty.RESEND]
    uncertain = connection.execute(
        update(DELIVERY)
        .where(theirs("sending"))
        .values(
            state="uncertain",
            reason="its sender ended in mid-dialogue",
            # What an earlier attempt was told says nothing of this one.
            reply_stage=null(),
            reply_code=null(),
            reply_status=null(),
            reply_text=null(),
            uncertain_at=now,
            ended_at=now,
            next_attempt_at=case(
                (
                    and_(DELIVERY.c.kind.in_(resend), DELIVERY.c.attempts < TRIES_IN_DOUBT),
                    literal(now + UNCERTAIN_REST, UtcDateTime),
                ),
                else_=null(),
            ),
            **NO_LEASE,
        )
        .returning(DELIVERY.c.id)
    ).all()
    # Queued ones only: on PostgreSQL a row may have begun since the statement above looked.
    connection.execute(update(DELIVERY).where(theirs("queued")).values(**NO_LEASE))
    return len(uncertain)


def settle(connection: Connection, now: datetime) -> int:
    """Queue again the uncertain rows whose policy is to resend and whose rest is over."""
    rows = connection.execute(
        update(DELIVERY)
        .where(DELIVERY.c.state == "uncertain", DELIVERY.c.next_attempt_at <= now)
        .values(state="queued", ended_at=None, next_attempt_at=None, **NO_LEASE)
        .returning(DELIVERY.c.id)
    ).all()
    return len(rows)
