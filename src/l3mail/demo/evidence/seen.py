"""What there is to look at when the demo is over: rows, mails, and what its people did.

Owns the reading; claims nothing.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Row, Select, select

from l3mail.demo.mailserver import Arrived
from l3mail.demo.people import COURSE
from l3mail.models import (
    DELIVERY,
    ENROLLMENT,
    LESSON,
    STREAM,
    SUBSCRIBER,
    SUBSCRIPTION,
)
from l3mail.simulations import Forecast
from l3mail.tokens import Tokens


@dataclass(frozen=True, slots=True)
class Claim:
    """One thing the demo shows: whether it is so, and what was counted."""

    name: str
    holds: bool
    words: str


@dataclass(frozen=True, slots=True)
class Summary:
    """What rows and mails say in the end; `pages` are those to open in a browser."""

    folder: Path
    pages: tuple[Path, ...]
    people: int
    mails: int
    states: Counter[str]
    claims: tuple[Claim, ...]


@dataclass(slots=True)
class Deeds:
    """What the demo's people themselves did, by address, which no row can know better.

    `asked` is in which language the form was filled in, `again` who filled it in once more,
    `pressed` and `left` when the button was pressed, `paused` for how many weeks. `opened` is how
    often a scanner opened links, `dead` how often in vain. By address and Message-ID: when a mail
    was `read` and a link of it `followed`; `wished` is when the button for an interest was pressed.
    `answered` is what was sent to a question, by address, Message-ID and its name, the last last.
    `collected` is somebody's certificate, and whether it was verified by its code.
    `foreseen` is what the office was told is to come, `approved` when it said yes to a text.
    """

    asked: dict[str, str] = field(default_factory=dict)
    again: set[str] = field(default_factory=set)
    pressed: dict[str, datetime] = field(default_factory=dict)
    left: dict[str, datetime] = field(default_factory=dict)
    paused: dict[str, int] = field(default_factory=dict)
    opened: Counter[str] = field(default_factory=Counter)
    dead: int = 0
    read: dict[tuple[str, str], datetime] = field(default_factory=dict)
    followed: dict[tuple[str, str], datetime] = field(default_factory=dict)
    wished: dict[tuple[str, str], datetime] = field(default_factory=dict)
    answered: defaultdict[tuple[str, str, str], list[str]] = field(
        default_factory=lambda: defaultdict(list)
    )
    collected: dict[str, tuple[bytes, bool]] = field(default_factory=dict)
    foreseen: list[Forecast] = field(default_factory=list)
    approved: defaultdict[str, list[datetime]] = field(default_factory=lambda: defaultdict(list))


class Evidence:
    """What there is to look at: a finished demo's rows, the mails that arrived, who asked."""

    def __init__(
        self,
        connection: Connection,
        arrived: Sequence[Arrived],
        deeds: Deeds,
        zone: ZoneInfo,
        tokens: Tokens,
    ) -> None:
        self.connection = connection
        self.arrived = arrived
        self.asked = deeds.asked.keys()
        self.deeds = deeds
        self.zone = zone
        self.tokens = tokens

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
    def addresses(self) -> dict[int, str]:
        """Whose number is whose."""
        query = select(SUBSCRIBER.c.id, SUBSCRIBER.c.address)
        return {row.id: row.address for row in self.rows(query) if row.address}

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

    def arrivals(self, *slugs: str) -> list[tuple[str, str, datetime]]:
        """Of the mails with these texts: address, text, and when by the house's clock."""
        found = []
        for one in self.arrived:
            row = self.delivery(one)
            if row is not None and row.slug in slugs:
                found.append((one.address, row.slug, self.local(one.at)))
        return sorted(found)

    def members(self, stream: str, at: datetime) -> set[str]:
        """Who had confirmed a stream by a moment, and has not left it since."""
        return {
            address
            for (address, slug), m in self.memberships.items()
            if slug == stream
            and m.state == "confirmed"
            and m.confirmed_at is not None
            and m.confirmed_at <= at
        }

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
