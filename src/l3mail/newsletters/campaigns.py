"""Campaigns: one sending of one issue to an audience, scheduled, planned, paused, cancelled.

Owns campaigns and the versions pinned for them, and plans their deliveries batch by batch in
one statement each. Knows the time only as `now`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    and_,
    bindparam,
    case,
    exists,
    insert,
    or_,
    select,
    update,
)

from l3mail import outbox
from l3mail.audiences import Questions
from l3mail.errors import L3mailError, NewsletterError, quoted
from l3mail.models import CAMPAIGN, CAMPAIGN_MESSAGE, DELIVERY
from l3mail.models.columns import ONE
from l3mail.newsletters.issues import issue
from l3mail.newsletters.reach import is_more_than
from l3mail.newsletters.releases import ANY_TOO_LATE, MAY_GO, lapse, segment_mark
from l3mail.newsletters.standings import WAITING
from l3mail.outbox import TAKEN_BACK
from l3mail.planning import LAST, LAST_OF_STRETCH, NOW, bindings, campaign_due, mailing
from l3mail.segments import Question

BATCH = 5_000
"""Rows one step writes at most: whoever wants to write behind it waits about a tenth of a second.

The caller asks again until a step says that it is done.
"""

PASSED_BY = 4
"""So many people are looked at for each row a step may write, where most of them get no mail."""

STRETCHES = 8
"""A step has so many at most: of what room is left at its end each would hold a person or two."""

_AGAIN = ~0
"""The mark with which the second look begins; that it came to a person's number n is ~n."""
_MOMENT = "%a %Y-%m-%d %H:%M"


@dataclass(frozen=True, slots=True)
class Planned:
    """What one planning step did.

    `deliveries` were made, `withdrawn` ended with their campaign, `paused` campaigns whose
    segment can't be asked, or selects many more than were shown, `lapsed` ones that nobody
    released, `unseen` wait until `grown` has looked at them; `more` says that the step ended at its
    limit and wants another.
    """

    deliveries: int = 0
    withdrawn: int = 0
    paused: int = 0
    lapsed: int = 0
    unseen: int = 0
    more: bool = False


def schedule(
    connection: Connection,
    slug: str,
    at: datetime,
    *,
    segment: str | None,
    by: str,
    now: datetime,
    lapses_at: datetime | None = None,
) -> int:
    """Schedule the issue's current versions for its stream and return the campaign's number.

    What is published under the slug later does not reach this campaign. `segment`, a
    saved name or a question, goes before the one the issue names; whether it can be asked the
    caller has to see. With `lapses_at` it waits until then for the yes of a second person. Raises
    NewsletterError for a past time, an unpublished issue, and while another campaign of the issue
    is not cancelled, with moments in the zone of `at`.
    """
    if at < now:
        raise NewsletterError(f"{at:{_MOMENT}} is past; name a time to come, or now")
    found = issue(connection, slug, lock=True)
    other = connection.execute(
        select(CAMPAIGN.c.id, CAMPAIGN.c.scheduled_at).where(
            CAMPAIGN.c.slug == slug, CAMPAIGN.c.cancelled_at.is_(None)
        )
    ).first()
    if other is not None:
        raise NewsletterError(
            f"{slug} is scheduled already: campaign {other.id}, for"
            f" {other.scheduled_at.astimezone(at.tzinfo):{_MOMENT}}; cancel that one first"
        )
    campaign_id = connection.execute(
        insert(CAMPAIGN)
        .values(
            slug=slug,
            stream_id=found.stream_id,
            segment=segment or found.segment,
            scheduled_at=at,
            scheduled_by=by,
            lapses_at=lapses_at,
            segment_mark=lapses_at and segment_mark(connection, segment or found.segment),
        )
        .returning(CAMPAIGN.c.id)
    ).scalar_one()
    connection.execute(
        insert(CAMPAIGN_MESSAGE),
        [
            {"campaign_id": campaign_id, "locale": locale, "message_id": message_id}
            for locale, message_id, _ in found.versions
        ],
    )
    return int(campaign_id)


def expect(connection: Connection, campaign_id: int, people: int) -> None:
    """Note how many people whoever scheduled a campaign was shown."""
    _mark(connection, campaign_id, None, {"expected": people})


def plan(
    connection: Connection,
    now: datetime,
    *,
    question: Questions,
    fallback_locale: str,
    limit: int = BATCH,
    growth: float = 0,
    seen: Mapping[int, bool] | None = None,
) -> Planned:
    """Queue the mails of campaigns that are due, the longest due first; `limit` at most.

    Replaying adds nothing, and a step that was interrupted is gone on with. A step looks at no
    more people than it can while others wait to write, and all are looked at twice, in the order
    of their numbers. A reader of the campaign is whoever is confirmed in its stream, selected by
    its segment and mailable when one of the two looks comes to them. So whoever came to be that
    before the first look was over, in whatever way, is one; who comes to be it later is one unless
    the second has passed them by. What counts is when the change was committed, whichever moment
    it names. Then the campaign is planned.

    A campaign whose segment can't be asked is paused, with the reason, and keeps no other waiting;
    so is one that would begin with more than `growth` times the people its scheduler was shown.
    `seen` says so of those that `grown` has looked at, and others wait until it has; without it
    they are counted here, which may take seconds. Also withdraws what a sender returned to the
    queue after its campaign was cancelled, and ends campaigns that nobody released in time.
    """
    lapsed = lapse(connection, now)
    due = connection.execute(_DUE, {"now": now}).all()
    deliveries = paused = unseen = 0
    for campaign in due:
        room = limit - deliveries
        if room <= 0:
            return Planned(deliveries, 0, paused, lapsed, unseen, more=True)
        try:
            asked = question(connection, campaign.segment, now) if campaign.segment else None
        except L3mailError as fault:
            reason = f"its segment {quoted(campaign.segment)} can't be asked: {fault}"
            paused += pause(connection, campaign.id, now, reason)
            continue
        if _is_unseen(campaign, growth, seen):
            unseen += 1
            continue
        if doubt := _doubt(connection, campaign, asked, now, growth, seen):
            paused += pause(connection, campaign.id, now, doubt)
            continue
        look = _Look(connection, now, campaign, asked.yes if asked else None, fallback_locale)
        new, is_over = look.go_on(room)
        deliveries += new
        if not is_over:
            return Planned(deliveries, 0, paused, lapsed, unseen, more=True)
    withdrawn = withdraw(connection, now, limit - deliveries) if deliveries < limit else 0
    is_full = deliveries + withdrawn >= limit
    return Planned(deliveries, withdrawn, paused, lapsed, unseen, more=is_full)


def grown(
    connection: Connection, now: datetime, *, question: Questions, growth: float
) -> dict[int, bool]:
    """Of campaigns that are to begin, by number, whether they grew beyond what was shown.

    People are counted: where there are many that takes seconds, in which nobody should have to
    wait to write.
    """
    found: dict[int, bool] = {}
    for campaign in connection.execute(_ALL_DUE, {"now": now}).all():
        most = _most(campaign, growth)
        if most is None:
            continue
        try:
            asked = question(connection, campaign.segment, now) if campaign.segment else None
            found[campaign.id] = is_more_than(connection, campaign.stream_id, asked, now, most)
        except L3mailError:
            found[campaign.id] = False  # that it can't be asked is said when it is planned
    return found


def _most(campaign: Row[*tuple[Any, ...]], growth: float) -> int | None:
    """How many people a campaign may begin with; None where nobody asks, or it has begun."""
    if not growth or campaign.expected is None or campaign.reached != 0:
        return None
    return int(growth * max(campaign.expected, 1))


def _is_unseen(
    campaign: Row[*tuple[Any, ...]], growth: float, seen: Mapping[int, bool] | None
) -> bool:
    """Whether somebody has yet to look how a campaign grew."""
    if seen is None or campaign.id in seen:
        return False
    return _most(campaign, growth) is not None


def _doubt(  # noqa: PLR0917 - what one campaign is judged by
    connection: Connection,
    campaign: Row[*tuple[Any, ...]],
    asked: Question | None,
    now: datetime,
    growth: float,
    seen: Mapping[int, bool] | None,
) -> str | None:
    """Why a campaign should not go on without somebody looking at it again."""
    mark, most = campaign.segment_mark, _most(campaign, growth)
    if mark and mark != segment_mark(connection, campaign.segment):
        return "its segment was changed since it was released; cancel it and schedule it again"
    if most is None:
        return None
    if seen is not None:
        has_grown = seen[campaign.id]
    else:
        has_grown = is_more_than(connection, campaign.stream_id, asked, now, most)
    if not has_grown:
        return None
    grew = f"its audience grew to more than {most:,} people, and {campaign.expected:,} were"
    grew += " shown when it was scheduled"
    return f"{grew}; cancel it and schedule it again" if campaign.lapses_at else grew


_IS_DUE = (
    CAMPAIGN.c.planned_at.is_(None),
    CAMPAIGN.c.scheduled_at <= NOW,
    CAMPAIGN.c.paused_at.is_(None),
    CAMPAIGN.c.cancelled_at.is_(None),
    MAY_GO,
)
_ALL_DUE = (
    select(
        CAMPAIGN.c.id,
        CAMPAIGN.c.stream_id,
        CAMPAIGN.c.slug,
        CAMPAIGN.c.segment,
        CAMPAIGN.c.scheduled_at,
        CAMPAIGN.c.reached,
        CAMPAIGN.c.expected,
        CAMPAIGN.c.segment_mark,
        CAMPAIGN.c.lapses_at,
    )
    .where(*_IS_DUE)
    .order_by(CAMPAIGN.c.scheduled_at, CAMPAIGN.c.id)
)
# Two planners at once would each take the other's rows for nothing left to plan; and
# whoever cancels waits until the batch is written, and then finds it.
_DUE = _ALL_DUE.with_for_update(skip_locked=True)
_VERSIONS = (
    select(CAMPAIGN_MESSAGE.c.locale, CAMPAIGN_MESSAGE.c.message_id)
    .where(CAMPAIGN_MESSAGE.c.campaign_id == bindparam("campaign"))
    .order_by(CAMPAIGN_MESSAGE.c.locale)
)


class _Look:
    """The look at a campaign's audience in the order of their numbers, stretch by stretch."""

    def __init__(
        self,
        connection: Connection,
        now: datetime,
        campaign: Row[*tuple[Any, ...]],
        yes: ColumnElement[Any] | None,
        fallback_locale: str,
    ) -> None:
        self._connection = connection
        self._now = now
        self._campaign = campaign
        self._yes = [] if yes is None else [yes]
        self._fallback_locale = fallback_locale
        versions = connection.execute(_VERSIONS, {"campaign": campaign.id}).all()
        self._locales = tuple(row.locale for row in versions)
        self._values = bindings(now, (), fallback_locale) | mailing(
            campaign.id,
            campaign.stream_id,
            campaign.slug,
            campaign.scheduled_at,
            [row.message_id for row in versions],
        )

    def go_on(self, room: int) -> tuple[int, bool]:
        """Queue `room` mails at most; how many were queued, and whether nobody is left.

        Of those who get none, so many more are looked at as take no longer.
        """
        people = PASSED_BY * room
        reached, queued = self._campaign.reached, 0
        for _ in range(STRETCHES):
            if queued >= room or people <= 0 or not 0 <= reached < LAST:
                break
            some = min(room - queued, people)
            until = self._end_of(reached, some)
            queued += self._queue({"after": reached, "until": until})
            people -= some
            reached = until
        if reached == LAST:
            reached = _AGAIN
        if queued < room and people > 0 and reached < 0:
            after, until = ~reached, self._end_of(~reached, people)
            most = room - queued
            late = self._queue({"after": after, "until": until, "most": most}, again=True)
            # Where it is the most, there may be more of them in the same stretch.
            reached = ~until if late < most else reached
            queued += late
        is_over = reached == ~LAST
        self._mark({"reached": 0, "planned_at": self._now} if is_over else {"reached": reached})
        return queued, is_over

    def _end_of(self, after: int, people: int) -> int:
        values = {"of_stream": self._campaign.stream_id, "after": after, "others": people - 1}
        return self._connection.execute(LAST_OF_STRETCH, values).scalar() or LAST

    def _queue(self, which: Mapping[str, Any], *, again: bool = False) -> int:
        due = campaign_due(self._locales, self._fallback_locale, again=again).where(*self._yes)
        return outbox.queue(self._connection, due, {**self._values, **which})

    def _mark(self, values: Mapping[str, Any]) -> None:
        self._connection.execute(
            update(CAMPAIGN).where(CAMPAIGN.c.id == self._campaign.id).values(**values)
        )


def pause(connection: Connection, campaign_id: int, now: datetime, reason: str) -> bool:
    """Keep back what is not begun, before the next dialogue; False where it changed nothing."""
    return _mark(
        connection,
        campaign_id,
        CAMPAIGN.c.paused_at.is_(None),
        {"paused_at": now, "paused_reason": reason},
    )


def resume(connection: Connection, campaign_id: int) -> bool:
    """Let a paused campaign go on; False where it was not paused.

    Its first look goes on where it was, since a second one follows; that one begins again: much
    may have changed. How many people there are is not asked again, but where two persons said yes
    to that number: one of them alone is not to lift it.
    """
    return _mark(
        connection,
        campaign_id,
        CAMPAIGN.c.paused_at.is_not(None),
        {
            "paused_at": None,
            "paused_reason": None,
            "expected": case((CAMPAIGN.c.lapses_at.is_not(None), CAMPAIGN.c.expected)),
            "reached": case((CAMPAIGN.c.reached < 0, _AGAIN), else_=CAMPAIGN.c.reached),
        },
    )


def cancel(connection: Connection, campaign_id: int, now: datetime) -> bool:
    """End a campaign for good, before the next dialogue; False where it was cancelled already.

    `withdraw` ends its rows; until then they are kept back.
    """
    return _mark(connection, campaign_id, None, {"cancelled_at": now})


def _mark(
    connection: Connection,
    campaign_id: int,
    condition: ColumnElement[bool] | None,
    values: Mapping[str, Any],
) -> bool:
    statement = update(CAMPAIGN).where(
        CAMPAIGN.c.id == campaign_id, CAMPAIGN.c.cancelled_at.is_(None)
    )
    if condition is not None:
        statement = statement.where(condition)
    changed = connection.execute(statement.values(**values).returning(CAMPAIGN.c.id))
    return changed.first() is not None


_OF_CANCELLED = DELIVERY.c.campaign_id.in_(
    select(CAMPAIGN.c.id).where(CAMPAIGN.c.cancelled_at.is_not(None))
)


_WOULD_GO_AGAIN = and_(DELIVERY.c.state == "uncertain", DELIVERY.c.next_attempt_at.is_not(None))
_END_DOUBT = update(DELIVERY).where(_OF_CANCELLED, _WOULD_GO_AGAIN).values(next_attempt_at=None)
_IS_WAITING = DELIVERY.c.state.in_(WAITING)
_WITHDRAW = (
    update(DELIVERY)
    .where(
        DELIVERY.c.id.in_(
            select(DELIVERY.c.id).where(_OF_CANCELLED, _IS_WAITING).limit(bindparam("batch"))
        ),
        _IS_WAITING,
    )
    .values(TAKEN_BACK | {"state": "cancelled", "reason": "campaign cancelled", "ended_at": NOW})
    .returning(DELIVERY.c.id)
)


_FIRST_UNDER_WAY = (
    select(DELIVERY.c.id)
    .where(DELIVERY.c.campaign_id == CAMPAIGN.c.id, or_(_IS_WAITING, _WOULD_GO_AGAIN))
    .order_by(DELIVERY.c.campaign_id)
    .limit(ONE)
    .correlate(CAMPAIGN)
    .scalar_subquery()
)
ANY_CAMPAIGN_DUE = or_(
    exists(select(CAMPAIGN.c.id).where(*_IS_DUE)),
    ANY_TOO_LATE,
    # One after the other, by the index: PostgreSQL might join them from the mails' side.
    exists(
        select(CAMPAIGN.c.id).where(
            CAMPAIGN.c.cancelled_at.is_not(None), _FIRST_UNDER_WAY.is_not(None)
        )
    ),
)
"""Whether `plan` has anything to do."""


def withdraw(connection: Connection, now: datetime, limit: int = BATCH) -> int:
    """End rows of cancelled campaigns that are not begun, `limit` at most; return how many.

    One in mid-dialogue can't be called back, and is withdrawn when it comes to be tried again;
    one in doubt stays in doubt, and is not sent again.
    """
    connection.execute(_END_DOUBT)
    return len(connection.execute(_WITHDRAW, {"now": now, "batch": limit}).all())
