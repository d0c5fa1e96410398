"""What spares people who may be mailed: no bulk mail in quiet hours, nor more than a cap allows.

A newsletter or lifecycle mailing that may not go for that is held until it may. Lessons, requests
and mails to staff are none of it: somebody waits for them.
"""

from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Any, Literal
from zoneinfo import ZoneInfo

from sqlalchemy import FromClause, String, and_, bindparam, case, func, or_, select

from l3mail.calendars import wall_to_utc
from l3mail.models import DELIVERY, Id, UtcDateTime
from l3mail.planning.moments import Later
from l3mail.planning.permission import NOW, Column

_DAY = timedelta(days=1)
_SKEW = timedelta(hours=1)
"""So far two senders' clocks may differ. What a clock that ran further ahead began bars nobody."""

_MAILS = bindparam("cap_mails", type_=Id)
_SINCE = bindparam("cap_since", type_=UtcDateTime)
_UNTIL = bindparam("cap_until", type_=UtcDateTime)


@dataclass(frozen=True, slots=True)
class QuietHours:
    """Hours of the day, by the clocks of a zone; they may go past midnight."""

    begins: time
    ends: time
    zone: ZoneInfo

    def until(self, now: datetime) -> datetime | None:
        """When they end that `now` is in; None outside of them."""
        today = now.astimezone(self.zone).date()
        for day in (today - _DAY, today):
            last = day if self.begins < self.ends else day + _DAY
            ends = wall_to_utc(last, self.ends, self.zone)
            if wall_to_utc(day, self.begins, self.zone) <= now < ends:
                return ends
        return None

    @property
    def reason(self) -> str:
        """Why a mail is held that they keep back."""
        return f"quiet hours {self.begins:%H:%M}-{self.ends:%H:%M}"


@dataclass(frozen=True, slots=True)
class Cap:
    """At most so many bulk mails for a person within any so many days.

    One that had to wait for longer than `patience` lapses.
    """

    mails: int
    days: int
    patience: timedelta

    @property
    def reason(self) -> str:
        """Why a mail is held that it keeps back."""
        mails = "1 mail" if self.mails == 1 else f"{self.mails} mails"
        return f"frequency cap: {mails} in {'a day' if self.days == 1 else f'{self.days} days'}"


@dataclass(frozen=True, slots=True)
class Restraint:
    """What a workspace keeps to; false where it is nothing."""

    quiet: QuietHours | None = None
    cap: Cap | None = None

    def __bool__(self) -> bool:
        return bool(self.quiet or self.cap)

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why mails may be held as the rules are now."""
        return tuple(rule.reason for rule in (self.quiet, self.cap) if rule)

    def quiet_until(self, now: datetime) -> datetime | None:
        """When the quiet hours end, if it is them."""
        return self.quiet.until(now) if self.quiet else None

    def rule_at(self, now: datetime) -> Literal["quiet", "cap"] | None:
        """Which rule spares people: in quiet hours nothing goes, so nothing is counted."""
        if self.quiet_until(now):
            return "quiet"
        return "cap" if self.cap else None

    def bindings(self, now: datetime) -> dict[str, Any]:
        """Values for the parameters that the expressions of this module bind, beside NOW."""
        cap = self.cap or Cap(1, 1, _DAY)
        return {
            "quiet_until": self.quiet_until(now) or now,
            "quiet_reason": self.quiet.reason if self.quiet else "",
            "cap_mails": cap.mails,
            "cap_others": cap.mails - 1,
            "cap_since": now - timedelta(days=cap.days),
            "cap_until": now + _SKEW,
            "cap_seconds": int(timedelta(days=cap.days).total_seconds()),
            "cap_reason": cap.reason,
            "patience_until": now + cap.patience,
        }


NO_RESTRAINT = Restraint()
"""Nobody is spared anything."""


def is_bulk(mail: FromClause = DELIVERY) -> Column:
    """Whether a mail is one that people are spared."""
    return and_(
        mail.c.purpose == "stream", or_(mail.c.kind == "newsletter", mail.c.kind == "lifecycle")
    )


# Found by their person: the rows of one are few.
_MAIL = DELIVERY.alias("mail_of_person")
_IS_ANOTHER = (_MAIL.c.subscriber_id == DELIVERY.c.subscriber_id, is_bulk(_MAIL))
_BEGUN = and_(_MAIL.c.first_started_at > _SINCE, _MAIL.c.first_started_at <= _UNTIL)


def mails_begun(person: Column) -> Column:
    """How many bulk mails to a person were begun within the cap's days."""
    return (
        select(func.count())
        .where(_MAIL.c.subscriber_id == person, is_bulk(_MAIL), _BEGUN)
        .correlate_except(_MAIL)
        .scalar_subquery()
    )


def is_over_cap(together: Column | None = None) -> Column:
    """Whether a delivery that was never begun finds its person's cap used up.

    Of those of the alias that `together` names (they are to begin in the same moment), the older
    ones count as if they had begun.
    """
    counted: Column = _BEGUN
    if together is not None:
        ahead = and_(_MAIL.c.id < DELIVERY.c.id, _MAIL.c.first_started_at.is_(None), together)
        counted = or_(_BEGUN, ahead)
    begun = select(func.count()).where(*_IS_ANOTHER, counted).correlate(DELIVERY).scalar_subquery()
    return and_(is_bulk(), DELIVERY.c.first_started_at.is_(None), begun >= _MAILS)


def another() -> FromClause:
    """Under which name `is_over_cap` looks at a person's other mails."""
    return _MAIL


def until_quiet_ends() -> dict[str, Any]:
    """What is written of a bulk mail that quiet hours keep back."""
    until = bindparam("quiet_until", type_=UtcDateTime)
    return {
        "state": "held",
        "reason": bindparam("quiet_reason", type_=String),
        "next_attempt_at": case((DELIVERY.c.lapses_at < until, DELIVERY.c.lapses_at), else_=until),
    }


def until_cap_is_free() -> dict[str, Any]:
    """What is written of a mail that the cap keeps back: until the oldest that counts does no more.

    Or until its moment passes, where that is sooner.
    """
    oldest = (
        select(Later(_MAIL.c.first_started_at, bindparam("cap_seconds", type_=Id)))
        .where(*_IS_ANOTHER, _BEGUN)
        .order_by(_MAIL.c.first_started_at.desc())
        .limit(1)
        .offset(bindparam("cap_others", type_=Id))
        .correlate(DELIVERY)
        .scalar_subquery()
    )
    lapses_at = func.coalesce(
        DELIVERY.c.lapses_at, bindparam("patience_until", type_=UtcDateTime), type_=UtcDateTime()
    )
    return {
        "state": "held",
        "reason": bindparam("cap_reason", type_=String),
        "next_attempt_at": case((oldest < lapses_at, oldest), else_=lapses_at),
        "lapses_at": lapses_at,
    }


def is_restrained() -> Column:
    """Whether a delivery is held by one of these rules, and goes on by itself."""
    return and_(DELIVERY.c.state == "held", DELIVERY.c.next_attempt_at.is_not(None))


TO_GO_ON = (is_restrained(), DELIVERY.c.next_attempt_at <= NOW)
"""Of those held, whose moment has come."""
