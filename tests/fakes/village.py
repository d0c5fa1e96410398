"""People, streams, texts and deliveries put straight into a database, for tests of what follows."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import pytest
from sqlalchemy import Connection, Select, Table, delete, func, insert, select, update

from l3mail import migrations, outbox, publishing, suppressions
from l3mail.addresses import address_key, parse_address
from l3mail.clocks import FixedClock
from l3mail.database import Database, opened
from l3mail.models import (
    CAMPAIGN,
    DELIVERY,
    LINK,
    LINK_REQUEST,
    METADATA,
    SIGNUP,
    STREAM,
    SUBSCRIBER,
    SUBSCRIPTION,
    WORKSPACE,
)
from l3mail.outbox import Attempt, Claim, Gate, Outcome, Started, Uncertainty
from l3mail.planning import NO_RESTRAINT, Restraint
from l3mail.settings import Uncertain
from tests.fakes.postgres import drop_database, fresh_database, postgres_url

BACKENDS = ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)]
PEPPER = b"pepper of the test village, 32 b"
MONDAY_TEN = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)  # 10:00 in Berlin
POLICY = {kind: Uncertainty(choice) for kind, choice in Uncertain().model_dump().items()}
TEXT = {"subject": "Lektion", "text": "{{ greeting }},\nlos geht es.\n", "html": ""}
P = ParamSpec("P")
T = TypeVar("T")
LANE_OF = {"confirmation": 0, "notice": 0, "report": 0, "newsletter": 2, "lifecycle": 2}


@dataclass
class Village:
    """A database with somebody in it; every verb commits, and `clock` says when."""

    database: Database
    clock: FixedClock = field(default_factory=lambda: FixedClock(MONDAY_TEN))
    owner: str = "sender-1"
    staff: frozenset[str] = frozenset({"amt@stadt.example"})
    locale: str = "de"
    measures: bool = False
    restraint: Restraint = NO_RESTRAINT

    @property
    def now(self) -> datetime:
        return self.clock.now()

    def do(
        self, verb: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run a verb in a transaction of its own."""
        return self.database.write(lambda connection: verb(connection, *args, **kwargs))

    def ask(self, query: Select[Any], **values: Any) -> list[Any]:
        """The rows of a SELECT."""
        return self.database.read(lambda connection: list(connection.execute(query, values)))

    def insert(self, table: Table, **values: Any) -> int:
        primary = next(iter(table.primary_key.columns))

        def verb(connection: Connection) -> int:
            return int(
                connection.execute(insert(table).values(**values).returning(primary)).scalar_one()
            )

        return self.database.write(verb)

    def change(self, table: Table, row_id: int, **values: Any) -> None:
        self.database.write(
            lambda connection: connection.execute(
                update(table).where(table.c.id == row_id).values(**values)
            )
        )

    def stream(self, slug: str = "kurs", kind: str = "course") -> int:
        found = self.database.read(
            lambda connection: connection.execute(
                select(STREAM.c.id).where(STREAM.c.slug == slug)
            ).scalar()
        )
        return found or self.insert(STREAM, slug=slug, kind=kind, title=slug, created_at=self.now)

    def person(self, address: str = "ada@schule.example", **values: Any) -> int:
        parsed = parse_address(address)
        return self.insert(
            SUBSCRIBER,
            address=parsed.address,
            address_key=address_key(parsed, PEPPER),
            created_at=self.now,
            **values,
        )

    def subscribe(self, person: int, stream: int, state: str = "confirmed", **values: Any) -> int:
        return self.insert(
            SUBSCRIPTION,
            subscriber_id=person,
            stream_id=stream,
            state=state,
            created_at=self.now,
            **{"confirmed_at": self.now if state == "confirmed" else None} | values,
        )

    def learner(self, address: str = "ada@schule.example", **values: Any) -> int:
        """A person confirmed for the course."""
        person = self.person(address, **values)
        self.subscribe(person, self.stream())
        return person

    def crowd(self, streams: Sequence[int], people: Sequence[dict[str, Any]]) -> list[int]:
        """So many people confirmed for these streams, in few statements; `p0` is the first one.

        Each has the values given, and `p{n}@schule.example` where no address is among them.
        """
        rows = [
            {
                "address": (parsed := parse_address(f"p{n}@schule.example")).address,
                "address_key": address_key(parsed, PEPPER),
                "created_at": self.now,
                **values,
            }
            for n, values in enumerate(people)
        ]
        numbers = self.insert_all(SUBSCRIBER, rows)
        joined = {"state": "confirmed", "created_at": self.now, "confirmed_at": self.now}
        self.insert_all(
            SUBSCRIPTION,
            [
                joined | {"subscriber_id": number, "stream_id": stream}
                for stream in streams
                for number in numbers
            ],
        )
        return numbers

    def insert_all(self, table: Table, rows: Sequence[dict[str, Any]]) -> list[int]:
        """Rows in one go, each with the same columns; their ids in the same order."""
        primary = next(iter(table.primary_key.columns))
        statement = insert(table).returning(primary, sort_by_parameter_order=True)
        return self.database.write(
            lambda connection: list(connection.execute(statement, list(rows)).scalars())
        )

    def publish(self, slug: str = "kurs/01", locale: str = "de", **parts: str) -> int:
        return self.database.write(
            lambda connection: publishing.publish(
                connection,
                slug=slug,
                locale=locale,
                source="",
                compiled=TEXT | parts,
                by="editor",
                now=self.now,
            )
        )

    def number_links(self, message: int, *urls: str, name: str | None = None) -> list[int]:
        """Give a version links, from 1; the first one may have a name."""
        return [
            self.insert(LINK, message_id=message, number=n, url=url, name=name if n == 1 else None)
            for n, url in enumerate(urls, start=1)
        ]

    def suppress(self, person: int, reason: str) -> None:
        key = self.row(SUBSCRIBER, person)["address_key"]
        self.do(suppressions.suppress, {key}, reason, self.now)

    def campaign(self, slug: str = "newsletter/2026-12") -> int:
        return self.insert(
            CAMPAIGN,
            slug=slug,
            stream_id=self.stream("newsletter", "newsletter"),
            scheduled_at=self.now,
            scheduled_by="editor",
        )

    def signup(self, person: int, **values: Any) -> int:
        key = self.row(SUBSCRIBER, person)["address_key"]
        return self.insert(
            SIGNUP,
            **{
                "subscriber_id": person,
                "address_key": key,
                "streams": ["kurs"],
                "signup_values": {},
                "requested_at": self.now,
                "expires_at": self.now + timedelta(days=7),
            }
            | values,
        )

    def link_request(self, person: int, **values: Any) -> int:
        return self.insert(
            LINK_REQUEST,
            **{
                "subscriber_id": person,
                "purpose": "data",
                "requested_at": self.now,
                "expires_at": self.now + timedelta(hours=1),
            }
            | values,
        )

    def delivery(self, person: int | None, kind: str = "lesson", **values: Any) -> int:
        """A queued row with text published under its slug; `occurrence` is made up if not given."""
        number = self.database.read(
            lambda connection: connection.execute(select(func.count(DELIVERY.c.id))).scalar_one()
        )
        row = {
            "purpose": "stream",
            "kind": kind,
            "occurrence": f"test:{number}",
            "subscriber_id": person,
            "stream_id": self.stream(),
            "slug": "kurs/01",
            "lane": LANE_OF.get(kind, 1),
            "state": "queued",
            "due_at": self.now,
            "planned_at": self.now,
        } | values
        if row["purpose"] != "stream":
            row["stream_id"] = None
        return self.insert(DELIVERY, **row)

    def request(self, person: int, signup: int, kind: str = "confirmation", **values: Any) -> int:
        """A queued mail that answers a sign-up."""
        return self.delivery(person, kind, **{"purpose": "request", "signup_id": signup} | values)

    def report(self, address: str = "amt@stadt.example", **values: Any) -> int:
        """A queued mail to staff."""
        return self.delivery(None, "report", purpose="staff", address=address, **values)

    def row(self, table: Table, row_id: int) -> dict[str, Any]:
        return self.database.read(
            lambda connection: dict(
                connection.execute(select(table).where(table.c.id == row_id)).one()._mapping
            )
        )

    def rows(self, table: Table = DELIVERY) -> list[dict[str, Any]]:
        return self.database.read(
            lambda connection: [dict(row._mapping) for row in connection.execute(select(table))]
        )

    def state(self, delivery: int) -> str:
        return str(self.row(DELIVERY, delivery)["state"])

    # -- the sender's steps, one at a time

    def claim(
        self, owner: str | None = None, *, lane: int = 1, after: int = 0, limit: int = 500
    ) -> list[Claim]:
        return self.database.write(
            lambda connection: outbox.claim(
                connection, owner or self.owner, self.now, lane=lane, after=after, limit=limit
            )
        )

    def claim_retries(self, owner: str | None = None, *, limit: int = 500) -> list[Claim]:
        return self.do(outbox.claim_retries, owner or self.owner, self.now, limit=limit)

    def begin(self, claims: Sequence[Claim], owner: str | None = None) -> list[Started]:
        return self.do(outbox.begin, claims, self.gate(owner))

    def gate(self, owner: str | None = None) -> Gate:
        return Gate(
            owner or self.owner, self.now, self.staff, self.locale, self.measures, self.restraint
        )

    def start(self, *, lane: int = 1) -> list[Started]:
        """Claim and begin what is in a lane."""
        return self.begin(self.claim(lane=lane))

    def record(self, delivery: Started, outcome: Outcome, **values: Any) -> None:
        attempt = Attempt(delivery, outcome, values.pop("stage", "dot"), **values)
        self.database.write(
            lambda connection: outbox.record(connection, [attempt], self.now, POLICY)
        )

    def take_over(self, owner: str = "sender-2", *, alone: bool = True) -> int:
        return self.database.write(
            lambda connection: outbox.take_over(connection, owner, self.now, POLICY, alone=alone)
        )

    def settle(self) -> int:
        return self.do(outbox.settle, self.now)

    def renew(self, owner: str | None = None) -> None:
        self.do(outbox.renew, owner or self.owner, self.now)

    def give_back(self, claims: Sequence[Claim], owner: str | None = None) -> None:
        self.do(outbox.give_back, owner or self.owner, claims)

    def empty(self) -> None:
        """Send everybody away; ids go on counting."""

        def verb(connection: Connection) -> None:
            for table in reversed(METADATA.sorted_tables):
                if table is not WORKSPACE:
                    connection.execute(delete(table))

        self.database.write(verb)


@contextmanager
def ground(backend: str, folder: Path) -> Iterator[Database]:
    """A database of its own for all cases of a table, which `empty` it in between.

    `backend` is `sqlite` or `postgres`. A fresh database for each case would cost more than
    the case.
    """
    file = f"sqlite:///{folder / 'ground.sqlite3'}"
    url = file if backend == "sqlite" else fresh_database(postgres_url())
    with opened(url) as database:
        migrations.upgrade(database, MONDAY_TEN)
        yield database
    if backend == "postgres":
        drop_database(url)
