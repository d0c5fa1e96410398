"""What the demo may claim: counted from the rows and the mails that arrived, nothing counted along.

Owns the claims. Reads only. Each claim says by its numbers what it found and can fail; whoever
adds one adds a function to `CLAIMS`.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Row, Select, func, select

from l3mail import consents
from l3mail.demo.mailserver import Arrived
from l3mail.demo.people import COURSE, DISTRICT, ISSUE, NEWSLETTER
from l3mail.locales import choose
from l3mail.models import (
    CAMPAIGN,
    CONSENT,
    DELIVERY,
    ENROLLMENT,
    LESSON,
    MESSAGE,
    METADATA,
    STREAM,
    SUBSCRIBER,
    SUBSCRIPTION,
)

_WEEK_DAYS = 7


@dataclass(frozen=True, slots=True)
class Claim:
    """One thing the demo shows: whether it is so, and what was counted."""

    name: str
    holds: bool
    words: str


@dataclass(frozen=True, slots=True)
class Summary:
    """What rows and mails say in the end."""

    folder: Path
    people: int
    mails: int
    states: Counter[str]
    claims: tuple[Claim, ...]


@dataclass(slots=True)
class Deeds:
    """What the demo's people themselves did, by address, which no row can know better.

    `asked` is in which language the form was filled in, `again` who filled it in once more,
    `pressed` and `left` when the button was pressed, `paused` for how many weeks. `opened` is how
    often a scanner opened links, `dead` how often in vain.
    """

    asked: dict[str, str] = field(default_factory=dict)
    again: set[str] = field(default_factory=set)
    pressed: dict[str, datetime] = field(default_factory=dict)
    left: dict[str, datetime] = field(default_factory=dict)
    paused: dict[str, int] = field(default_factory=dict)
    opened: Counter[str] = field(default_factory=Counter)
    dead: int = 0


class Evidence:
    """What there is to look at: a finished demo's rows, the mails that arrived, who asked."""

    def __init__(
        self,
        connection: Connection,
        arrived: Sequence[Arrived],
        deeds: "Deeds",
        zone: ZoneInfo,
    ) -> None:
        self.connection = connection
        self.arrived = arrived
        self.asked = deeds.asked.keys()
        self.deeds = deeds
        self.zone = zone

    def rows(self, query: Select[Any]) -> Sequence[Row[Any]]:
        """The rows of a query."""
        return self.connection.execute(query).all()

    def local(self, at: datetime) -> datetime:
        """A moment as the house's clock shows it."""
        return at.astimezone(self.zone)

    @cached_property
    def deliveries(self) -> dict[int, Row[Any]]:
        """Every delivery by its number."""
        query = select(DELIVERY).order_by(DELIVERY.c.id)
        return {row.id: row for row in self.rows(query)}

    def delivery(self, one: Arrived) -> Row[Any] | None:
        """The row that a mail's Message-ID names."""
        number = one.message_id.partition(".")[0]
        return self.deliveries.get(int(number)) if number.isdigit() else None

    @cached_property
    def memberships(self) -> dict[tuple[str, str], Row[Any]]:
        """By address and stream."""
        query = (
            select(
                SUBSCRIBER.c.address,
                SUBSCRIBER.c.district,
                STREAM.c.slug,
                SUBSCRIPTION.c.state,
                SUBSCRIPTION.c.confirmed_at,
                SUBSCRIPTION.c.unsubscribed_at,
            )
            .join(SUBSCRIPTION, SUBSCRIPTION.c.subscriber_id == SUBSCRIBER.c.id)
            .join(STREAM, STREAM.c.id == SUBSCRIPTION.c.stream_id)
        )
        return {(row.address, row.slug): row for row in self.rows(query)}

    @cached_property
    def lessons(self) -> list[str]:
        """The course's plan."""
        query = select(LESSON.c.slug).where(LESSON.c.slug.startswith(f"{COURSE}/"))
        return [row.slug for row in self.rows(query.order_by(LESSON.c.position))]

    @cached_property
    def journeys(self) -> dict[int, list[tuple[str, datetime]]]:
        """By enrollment that was not cancelled: what arrived of the course's plan, and when first.

        Welcome mails are not of the plan.
        """
        going = select(ENROLLMENT.c.id).where(ENROLLMENT.c.state != "cancelled")
        found: dict[int, list[tuple[str, datetime]]] = {row.id: [] for row in self.rows(going)}
        seen: set[str] = set()
        for one in self.arrived:
            row = self.delivery(one)
            if row is None or row.slug not in self.lessons or one.message_id in seen:
                continue
            seen.add(one.message_id)
            if row.enrollment_id in found:
                found[row.enrollment_id].append((row.slug, self.local(one.at)))
        return found

    @cached_property
    def whole(self) -> list[list[datetime]]:
        """The moments of those who had the whole plan, each step once and in order."""
        return [
            [at for _, at in journey]
            for journey in self.journeys.values()
            if [slug for slug, _ in journey] == self.lessons
        ]


def look(evidence: Evidence, folder: Path) -> Summary:
    """Every claim, and how many people, mails and deliveries it is about."""
    return Summary(
        folder=folder,
        people=len(evidence.asked),
        mails=len(evidence.arrived),
        states=Counter(row.state for row in evidence.deliveries.values()),
        claims=tuple(claim(evidence) for claim in CLAIMS),
    )


# -- who is mailed


def _confirmed(seen: Evidence) -> Claim:
    acts = select(func.count(CONSENT.c.subscriber_id.distinct())).where(
        CONSENT.c.act == "confirmed"
    )
    confirmed = seen.connection.execute(acts).scalar_one()
    known = {address for address, _ in seen.memberships}
    unread = seen.asked - known
    return Claim(
        "confirmed",
        confirmed == len(known) and known <= seen.asked,
        f"{len(seen.asked)} people filled in the form, {confirmed} confirmed from their mail,"
        f" {len(unread)} did not",
    )


def _forgotten(seen: Evidence) -> Claim:
    gone = seen.asked - {address for address, _ in seen.memberships}
    found = sum(
        any(address in str(row) for address in gone)
        for table in METADATA.sorted_tables
        for row in seen.rows(select(table))
    )
    return Claim(
        "forgotten",
        bool(gone) and found == 0,
        f"of the {len(gone)} who did not, {found} rows keep the address",
    )


def _asked(seen: Evidence) -> Claim:
    wrong = 0
    for one in seen.arrived:
        member = seen.memberships.get((one.address, one.stream))
        since = member.confirmed_at if member else None
        wrong += bool(one.stream) and (since is None or one.at < since)
    return Claim(
        "asked", wrong == 0, f"{wrong} mails came before their course or newsletter was confirmed"
    )


def _by_hand(seen: Evidence) -> Claim:
    pressed = seen.deeds.pressed
    otherwise = sum(
        m.confirmed_at is not None and m.confirmed_at != pressed.get(m.address)
        for m in seen.memberships.values()
    )
    scanned = [m for m in seen.memberships.values() if m.address in seen.deeds.opened]
    gone = sum(m.unsubscribed_at is not None for m in scanned)
    return Claim(
        "by hand",
        otherwise == gone == seen.deeds.dead == 0,
        f"a scanner opened links {seen.deeds.opened.total()} times, {seen.deeds.dead} in vain;"
        f" {otherwise + gone} confirmed or left by it",
    )


def _left(seen: Evidence) -> Claim:
    course = {m.address: m for (_, slug), m in seen.memberships.items() if slug == COURSE}
    left = {who: m.unsubscribed_at for who, m in course.items() if m.state == "unsubscribed"}
    pressed = seen.deeds.left
    late = sum(
        one.stream == COURSE and one.address in pressed and one.at >= pressed[one.address]
        for one in seen.arrived
    )
    queued = sum(row.state == "cancelled" for row in seen.deliveries.values())
    return Claim(
        "left",
        left == pressed and late == 0 and queued == len(left) > 0,
        f"{len(left)} left by one click while {queued} mail was queued; {late} mails came after",
    )


def _once_enrolled(seen: Evidence) -> Claim:
    told = sum(
        row.slug == "notice/already-subscribed" and row.state == "accepted"
        for row in seen.deliveries.values()
    )
    query = select(ENROLLMENT.c.subscriber_id).group_by(ENROLLMENT.c.subscriber_id)
    twice = len(seen.rows(query.having(func.count() > 1)))
    return Claim(
        "enrolled",
        told == len(seen.deeds.again) and twice == 0,
        f"{told} signed up again and was told so; {twice} people are in the course twice",
    )


def _proved(seen: Evidence) -> Claim:
    chain = consents.verify(seen.connection)
    where = "holds" if chain.broken_at is None else f"is broken at act {chain.broken_at}"
    return Claim(
        "proved",
        chain.broken_at is None,
        f"{chain.acts} acts of consent are on record; their chain {where}",
    )


# -- what arrives


def _arrived(seen: Evidence) -> Claim:
    accepted = {n for n, row in seen.deliveries.items() if row.state == "accepted"}
    named = [seen.delivery(one) for one in seen.arrived]
    unknown = sum(row is None or row.id not in accepted for row in named)
    lost = len(accepted - {row.id for row in named if row is not None})
    return Claim(
        "arrived",
        unknown == lost == 0,
        f"{len(accepted)} deliveries were accepted, {lost} of them never arrived;"
        f" {unknown} mails without one",
    )


def _repeated(seen: Evidence) -> Claim:
    names: dict[tuple[str, str], set[str]] = defaultdict(set)
    for one in seen.arrived:
        if one.stream:
            names[one.address, one.subject].add(one.message_id)
    again = sum(len(ids) > 1 for ids in names.values())
    return Claim("repeated", again == 0, f"{again} mails of a stream came under two Message-IDs")


def _resent(seen: Evidence) -> Claim:
    times = Counter(one.message_id for one in seen.arrived)
    twice = {message_id.partition(".")[0] for message_id, n in times.items() if n > 1}
    doubted = {str(n) for n, row in seen.deliveries.items() if row.uncertain_at is not None}
    return Claim(
        "resent",
        bool(doubted) and twice == doubted,
        f"{len(doubted)} lost its answer; {len(twice)} came again, under the same Message-ID",
    )


def _in_their_language(seen: Evidence) -> Claim:
    texts: dict[str, set[str]] = defaultdict(set)
    for row in seen.rows(select(MESSAGE.c.slug, MESSAGE.c.locale)):
        texts[row.slug].add(row.locale)
    tongues = Counter(one.language for one in seen.arrived)
    other = 0
    for one in seen.arrived:
        text = seen.delivery(one)
        if text is not None:
            wanted = choose([seen.deeds.asked.get(one.address)], sorted(texts[text.slug]), "de")
            other += one.language != wanted
    counts = ", ".join(f"{n} {tongue}" for tongue, n in tongues.most_common())
    return Claim("language", other == 0, f"{counts}; {other} in another language than was there")


# -- the course


def _complete(seen: Evidence) -> Claim:
    refused = sum(
        row.state == "failed" and row.enrollment_id is not None for row in seen.deliveries.values()
    )
    steps = sum(len(journey) for journey in seen.journeys.values())
    planned = len(seen.journeys) * len(seen.lessons)
    return Claim(
        "complete",
        bool(seen.whole) and steps + refused == planned,
        f"{len(seen.whole)} of {len(seen.journeys)} learners had all {len(seen.lessons)} mails"
        f" in order; {refused} mails refused (mailbox full)",
    )


def _on_mondays(seen: Evidence) -> Claim:
    mondays = sum(all(at.weekday() == 0 for at in journey) for journey in seen.whole)
    on_end = [max(_gaps(journey)) == _WEEK_DAYS for journey in seen.whole]
    pauses = [max(_gaps(journey)) for journey in seen.whole if max(_gaps(journey)) > _WEEK_DAYS]
    expected = [_WEEK_DAYS * (weeks + 1) for weeks in seen.deeds.paused.values()]
    rest = f", {len(pauses)} with a pause ({pauses[0]} days)" if pauses else ""
    return Claim(
        "mondays",
        mondays == len(seen.whole) and pauses == expected,
        f"{mondays} on Mondays only: {sum(on_end)} week after week{rest}",
    )


def _gaps(journey: Sequence[datetime]) -> list[int]:
    """Local days from one to the next; daylight saving ended in between."""
    days: list[date] = [at.date() for at in journey]
    return [(later - earlier).days for earlier, later in pairwise(days)]


def _sharp(seen: Evidence) -> Claim:
    sharp = sum(all(f"{at:%H:%M:%S}" == "10:00:00" for at in journey) for journey in seen.whole)
    offsets = {f"{at:%z}" for journey in seen.whole for at in journey}
    return Claim(
        "sharp",
        sharp == len(seen.whole) > 0,
        f"{sharp} always at 10:00 sharp, at {' and '.join(sorted(offsets, reverse=True))}",
    )


def _not_crowded(seen: Evidence) -> Claim:
    days = [[at.date() for _, at in journey] for journey in seen.journeys.values()]
    twice = sum(len(set(one)) < len(one) for one in days)
    return Claim("crowded", twice == 0, f"{twice} had two lessons on one day")


# -- the newsletter


def _issue(seen: Evidence) -> Claim:
    members = [m for (_, slug), m in seen.memberships.items() if slug == NEWSLETTER]
    readers = [m for m in members if m.state == "confirmed"]
    meant = {m.address for m in readers if m.district == DISTRICT}
    row = seen.rows(select(CAMPAIGN.c.id, CAMPAIGN.c.scheduled_at).where(CAMPAIGN.c.slug == ISSUE))
    got = [one for one in seen.arrived if one.stream == NEWSLETTER]
    prompt = [one for one in got if row and one.at == row[0].scheduled_at]
    at = f"{seen.local(row[0].scheduled_at):%a %d %b %H:%M}" if row else "never"
    there = {one.address for one in got}
    return Claim(
        "issue",
        bool(meant) and there == meant and len(prompt) == len(got),
        f"{ISSUE}: {len(there & meant)} of {len(meant)} in {DISTRICT},"
        f" {len(there - meant)} others, {len(prompt)} on {at}",
    )


CLAIMS: tuple[Callable[[Evidence], Claim], ...] = (
    _confirmed,
    _forgotten,
    _asked,
    _by_hand,
    _left,
    _once_enrolled,
    _proved,
    _arrived,
    _repeated,
    _resent,
    _in_their_language,
    _complete,
    _on_mondays,
    _sharp,
    _not_crowded,
    _issue,
)
