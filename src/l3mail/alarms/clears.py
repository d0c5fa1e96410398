"""The all-clear: after each lesson slot and each campaign, how many mails became of it what.

Owns what counts as through, and the mail that says so. How far it has told stands in the facts of
the last such mail.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import (
    ColumnElement,
    Connection,
    and_,
    bindparam,
    exists,
    func,
    literal,
    or_,
    select,
    union_all,
)

from l3mail import staff
from l3mail.alarms.duty import Duty, take_turn
from l3mail.alarms.letters import Part, Sheet
from l3mail.courses import RESENT
from l3mail.models import CAMPAIGN, DELIVERY, ENROLLMENT, STREAM, Id, UtcDateTime
from l3mail.planning import NOW, is_restrained

CLEAR = "notice/clear"

PATIENCE = timedelta(hours=2)
"""So long is waited for the last mail; then the all-clear says what still waits."""
LOOKS_BACK = timedelta(days=3)
"""What fell due before, while nobody was on duty or nobody was awake, is let be."""
STALE_AFTER = timedelta(days=1)

_UNTIL = "until"
_MOMENT_BEFORE = timedelta(microseconds=1)
# A welcome belongs to a journey, too, and comes at any hour.
_OF_SLOT = and_(
    DELIVERY.c.enrollment_id.is_not(None),
    DELIVERY.c.kind.in_(("lesson", "evaluation")),
    # What somebody was sent once more is no slot of its own.
    ~DELIVERY.c.occurrence.contains(RESENT, autoescape=True),
)
_UNDER_WAY = or_(
    DELIVERY.c.state.in_(("queued", "sending", "deferred", "held")),
    and_(DELIVERY.c.state == "uncertain", DELIVERY.c.next_attempt_at.is_not(None)),
)
_WAITING = ("queued", "sending")
_NOT_SENT = ("cancelled", "lapsed")


@dataclass(frozen=True, slots=True)
class Batch:
    """Mails that belong together: a lesson slot, or the campaign named.

    `at` is what it is called by and `since` when it began, both the moment of a slot; a campaign
    is called by the moment it was scheduled for and begins when it is planned.
    """

    at: datetime
    since: datetime
    campaign: int | None = None
    slug: str = ""

    @property
    def occurrence(self) -> str:
        """As its all-clear is known by."""
        if self.campaign is not None:
            return f"notice:clear:campaign-{self.campaign}"
        return f"notice:clear:{self.at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"

    @property
    def rows(self) -> ColumnElement[bool]:
        """Its deliveries."""
        if self.campaign is not None:
            return DELIVERY.c.campaign_id == self.campaign
        return and_(_OF_SLOT, DELIVERY.c.due_at == self.at)


def give(connection: Connection, now: datetime, duty: Duty) -> int:
    """Plan the all-clear of whatever is through; how many mails."""
    after = _told_until(connection, now)
    if after is None:
        return 0
    through, _ = _look(connection, after, now, duty)
    if not through or not take_turn(connection):
        return 0
    # Somebody may have told it since we looked.
    through, under_way = _look(connection, after, now, duty)
    told = max((batch.since for batch in through), default=after)
    until = min([told, *(batch.since - _MOMENT_BEFORE for batch in under_way)])
    facts = {_UNTIL: max(until, after).isoformat()}
    planned = 0
    for batch in through:
        letter = duty.letter(CLEAR, _sheet(connection, duty, batch), facts)
        ids = staff.plan(
            connection, letter, batch.occurrence, duty.to, now, lapses_at=now + STALE_AFTER
        )
        planned += len(ids)
    return planned


def next_clear(connection: Connection, now: datetime) -> datetime | None:
    """When the patience with something that is under way ends."""
    after = _told_until(connection, now)
    found = [] if after is None else _begun(connection, after, now)
    moments = [batch.since + PATIENCE for batch in found]
    return min((moment for moment in moments if moment > now), default=None)


def begin(connection: Connection, now: datetime, duty: Duty) -> bool:
    """From now on all-clears are given: what was before somebody was on duty is not told.

    Before anything is planned, or the first campaign of a new house would be of the time before.
    Done once; afterwards it changes nothing, and says True: it need not be called again.
    """
    if _told_until(connection, now) is not None:
        return True
    if take_turn(connection) and _told_until(connection, now) is None:
        facts = {_UNTIL: (now - _MOMENT_BEFORE).isoformat()}
        staff.remember(connection, duty.letter(CLEAR, duty.sheet("", []), facts), now)
    # It may be rolled back yet.
    return False


def _look(
    connection: Connection, after: datetime, now: datetime, duty: Duty
) -> tuple[list[Batch], list[Batch]]:
    """What is through and not told of, and what is under way; both in the order of `since`."""
    found = _begun(connection, after, now)
    if not found:
        return [], []
    told = set(
        connection.execute(
            select(DELIVERY.c.occurrence).where(
                DELIVERY.c.subscriber_id.is_(None),
                DELIVERY.c.address.in_(duty.to),
                DELIVERY.c.occurrence.in_([batch.occurrence for batch in found]),
            )
        ).scalars()
    )
    through: list[Batch] = []
    under_way: list[Batch] = []
    for batch in found:
        if batch.occurrence not in told:
            ended = _has_ended(connection, now, batch)
            (through if ended else under_way).append(batch)
    return through, under_way


_AFTER = bindparam("after", type_=UtcDateTime)
_BEGUN = union_all(
    select(
        DELIVERY.c.due_at.label("at"),
        DELIVERY.c.due_at.label("since"),
        literal(None, Id).label("campaign"),
        literal("").label("slug"),
    )
    .where(_OF_SLOT, DELIVERY.c.due_at > _AFTER, DELIVERY.c.due_at <= NOW)
    .distinct(),
    # Cancelled before it was planned, it never sent anything.
    select(CAMPAIGN.c.scheduled_at, CAMPAIGN.c.planned_at, CAMPAIGN.c.id, CAMPAIGN.c.slug).where(
        CAMPAIGN.c.planned_at > _AFTER, CAMPAIGN.c.planned_at <= NOW
    ),
)


def _begun(connection: Connection, after: datetime, now: datetime) -> list[Batch]:
    """Slots and campaigns that began after a moment, the earliest first."""
    rows = connection.execute(_BEGUN, {"after": after, "now": now})
    found = [Batch(row.at, row.since, row.campaign, row.slug) for row in rows]
    return sorted(found, key=lambda batch: (batch.since, batch.occurrence))


def _told_until(connection: Connection, now: datetime) -> datetime | None:
    """Up to which moment all is told; None where nobody was on duty yet."""
    found = staff.latest(connection, (CLEAR,))
    if found is None:
        return None
    until = datetime.fromisoformat(found[1][_UNTIL])
    # A clock that ran ahead must not silence us until it is right; what is told is not told again.
    return max(until if until <= now else now - PATIENCE, now - LOOKS_BACK)


def _has_ended(connection: Connection, now: datetime, batch: Batch) -> bool:
    """Whether nothing of it is under way, or it has been for too long."""
    newest = select(DELIVERY.c.planned_at).where(batch.rows).order_by(DELIVERY.c.id.desc())
    planned_at = connection.execute(newest.limit(1)).scalar()
    # Planned late, by a house that slept, it has its time all the same.
    if now >= max(batch.since, planned_at or batch.since) + PATIENCE:
        return True
    # The newest first: those are sent last.
    under_way = select(DELIVERY.c.id).where(batch.rows, _UNDER_WAY).order_by(DELIVERY.c.id.desc())
    if connection.execute(under_way.limit(1)).first() is not None:
        return False
    if batch.campaign is not None:
        return True
    unplanned = select(
        exists(
            select(ENROLLMENT.c.id).where(
                ENROLLMENT.c.state == "active", ENROLLMENT.c.next_due_at == batch.at
            )
        )
    )
    return not connection.execute(unplanned).scalar_one()


def _counts(connection: Connection, batch: Batch) -> dict[str, Counter[str]]:
    """By the stream's title: how many deliveries are in which state."""
    rows = connection.execute(
        select(STREAM.c.title, DELIVERY.c.state, func.count().label("n"))
        .join(STREAM, STREAM.c.id == DELIVERY.c.stream_id)
        .where(batch.rows)
        .group_by(STREAM.c.title, DELIVERY.c.state)
        .order_by(STREAM.c.title)
    )
    found: dict[str, Counter[str]] = {}
    for row in rows:
        found.setdefault(row.title, Counter())[row.state] = row.n
    return found


_DAYS = {
    "de": "Mo Di Mi Do Fr Sa So".split(),
    "en": "Mon Tue Wed Thu Fri Sat Sun".split(),
}
_WORDS: Mapping[str, Mapping[str, str]] = {
    "de": {
        "planned": "geplant",
        "accepted": "angenommen",
        "uncertain": "ungewiss",
        "failed": "gescheitert",
        "deferred": "verschoben",
        "waiting": "warten noch",
        "held": "zurückgehalten",
        "not sent": "nicht gesendet",
    },
    "en": {
        "planned": "planned",
        "accepted": "accepted",
        "uncertain": "uncertain",
        "failed": "failed",
        "deferred": "deferred",
        "waiting": "still waiting",
        "held": "held back",
        "not sent": "not sent",
    },
}


def _tally(duty: Duty, states: Mapping[str, int]) -> str:
    """Such as "214 planned, 213 accepted, 0 uncertain, 1 failed"."""
    words = duty.say(_WORDS)
    counts = {
        "planned": sum(states.values()),
        "accepted": states.get("accepted", 0),
        "uncertain": states.get("uncertain", 0),
    }
    rest = {
        "failed": states.get("failed", 0),
        "deferred": states.get("deferred", 0),
        "waiting": sum(states.get(state, 0) for state in _WAITING),
        "held": states.get("held", 0),
        "not sent": sum(states.get(state, 0) for state in _NOT_SENT),
    }
    counts |= {word: n for word, n in rest.items() if n}
    return ", ".join(f"{n} {words[word]}" for word, n in counts.items())


def _sheet(connection: Connection, duty: Duty, batch: Batch) -> Sheet:
    counts = _counts(connection, batch)
    total: Counter[str] = sum(counts.values(), Counter())
    local = batch.at.astimezone(duty.zone)
    day = duty.say(_DAYS)[local.weekday()]
    title = f"{day} {local:%H:%M}: {_tally(duty, total)}"
    if batch.slug:
        title = f"{batch.slug}, {title}"
    lines = [] if batch.slug else [f"{name}: {_tally(duty, one)}" for name, one in counts.items()]
    moment = duty.time(batch.at)
    if batch.slug:
        lead = {"de": f"Versand vom {moment}.", "en": f"Sending of {moment}."}
    else:
        lead = {"de": f"Lektionen vom {moment}.", "en": f"Lessons of {moment}."}
    number, first = _spared(connection, batch)
    to_do = [_held(number, duty.time(first))] if first else []
    to_do += _what_to_do(total, number)
    return duty.sheet(
        title,
        [
            Part([duty.say(lead)]),
            Part(lines, duty.say({"de": "Kurse", "en": "Courses"})),
            Part([duty.say(words) for words in to_do]),
        ],
    )


def _spared(connection: Connection, batch: Batch) -> tuple[int, datetime | None]:
    """How many of it a rule of the workspace holds, and when the first of them goes on."""
    until = func.min(DELIVERY.c.next_attempt_at, type_=UtcDateTime)
    row = connection.execute(
        select(func.count().label("n"), until.label("first")).where(batch.rows, is_restrained())
    ).one()
    return row.n, row.first


def _held(number: int, moment: str) -> Mapping[str, str]:
    return {
        "de": f"{number} sind zurückgehalten (Ruhezeiten oder Höchstzahl je Person) und gehen"
        f" von selbst weiter, die ersten ab {moment}. Wodurch, zeigt `l3mail status`.",
        "en": f"{number} are held back (quiet hours or frequency cap) and go on by themselves,"
        f" the first from {moment}. `l3mail status` says by what.",
    }


def _what_to_do(total: Mapping[str, int], spared: int) -> list[Mapping[str, str]]:
    """What is left for somebody to do, a line for each."""
    under_way = sum(total.get(state, 0) for state in (*_WAITING, "deferred", "held")) - spared
    found: list[Mapping[str, str]] = []
    if under_way:
        found.append(
            {
                "de": f"Nach zwei Stunden sind {under_way} noch unterwegs; l3mail versucht es"
                " weiter. Warum, zeigen `l3mail status` und `l3mail outbox list`.",
                "en": f"After two hours {under_way} are still under way; l3mail goes on trying."
                " `l3mail status` and `l3mail outbox list` say why.",
            }
        )
    if total.get("uncertain"):
        found.append(
            {
                "de": "Was ungewiss ist, zeigt `l3mail outbox list --status uncertain`.",
                "en": "What is uncertain is listed by `l3mail outbox list --status uncertain`.",
            }
        )
    if total.get("failed"):
        found.append(
            {
                "de": "Was gescheitert ist, zeigt `l3mail outbox list --status failed`.",
                "en": "What failed is listed by `l3mail outbox list --status failed`.",
            }
        )
    if not found:
        found.append({"de": "Es ist nichts zu tun.", "en": "There is nothing to do."})
    return found
