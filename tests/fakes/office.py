"""A workspace on disk with a queue in it, and the real command line run against it.

For tests that need processes: to kill them, to signal them, to run two at once.
"""

import os
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, Connection, func, insert, select, true, update

from l3mail import migrations, publishing
from l3mail.addresses import address_key, parse_address
from l3mail.database import opened
from l3mail.models import DELIVERY, STREAM, SUBSCRIBER, SUBSCRIPTION
from l3mail.settings import DATABASE_FILE, FILE, Settings, load_pepper, load_settings, make_state
from tests.fakes import warm
from tests.fakes.sink import running_sink
from tests.fakes.village import TEXT

ROOT = Path(__file__).resolve().parents[2]
THEN = datetime(2026, 11, 1, 9, tzinfo=UTC)

HOLDING = """
[sender]
from = "Bildung <kurs@stadt.example>"
[relay]
port = {port}
connections = {connections}
[uncertain]
lesson = "hold"
"""
"""Settings of an office that sends nothing again by itself: each doubt stays to be counted."""
_LOOK_AGAIN_SECONDS = 0.002


@cache
def _empty_database() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / DATABASE_FILE
        with opened(f"sqlite:///{file}") as database:
            migrations.upgrade(database, THEN)
        return file.read_bytes()


@dataclass
class Office:
    """One workspace; `settings_text` is its whole l3mail.toml."""

    folder: Path
    settings_text: str
    database_url: str | None = None

    def __post_init__(self) -> None:
        (self.folder / FILE).write_text(self.settings_text, encoding="utf-8")
        make_state(self.settings.state_dir)
        file = self.settings.state_dir / DATABASE_FILE
        if self.database_url is None and not file.exists():
            # The schema is made once and copied for each office.
            file.write_bytes(_empty_database())
            file.chmod(0o600)
            return
        with opened(self.settings.database_url) as database:
            migrations.upgrade(database, THEN)

    @property
    def environment(self) -> dict[str, str]:
        given = {"L3MAIL_DATABASE_URL": self.database_url} if self.database_url else {}
        return {**os.environ, **given, "COLUMNS": "80"}

    @property
    def settings(self) -> Settings:
        return load_settings(self.folder, self.environment)

    def fill(self, deliveries: int, kind: str = "lesson") -> None:
        """Queue one mail each for so many confirmed people."""
        pepper = load_pepper(self.settings.state_dir)
        addresses = [parse_address(f"p{n}@schule.example") for n in range(deliveries)]

        def verb(connection: Connection) -> None:
            stream = connection.execute(
                insert(STREAM)
                .values(slug="kurs", kind="course", title="Kurs", created_at=THEN)
                .returning(STREAM.c.id)
            ).scalar_one()
            people = [
                {"address": a.address, "address_key": address_key(a, pepper), "created_at": THEN}
                for a in addresses
            ]
            connection.execute(insert(SUBSCRIBER), people)
            ids = connection.execute(select(SUBSCRIBER.c.id)).scalars().all()
            shared = {"stream_id": stream}
            connection.execute(
                insert(SUBSCRIPTION),
                [
                    shared | {"subscriber_id": n, "state": "confirmed", "created_at": THEN}
                    for n in ids
                ],
            )
            row = shared | {"purpose": "stream", "kind": kind, "occurrence": "lesson:1:kurs/01"}
            row |= {"slug": "kurs/01", "state": "queued", "due_at": THEN, "planned_at": THEN}
            connection.execute(insert(DELIVERY), [row | {"subscriber_id": n} for n in ids])
            publishing.publish(
                connection,
                slug="kurs/01",
                locale="de",
                source="",
                compiled=TEXT | {"html": "<p>{{ greeting }}</p>"},
                by="editor",
                now=THEN,
            )

        with opened(self.settings.database_url) as database:
            database.write(verb)

    def rows(self) -> list[dict[str, Any]]:
        with opened(self.settings.database_url) as database:
            return database.read(
                lambda connection: [
                    dict(row._mapping)
                    for row in connection.execute(select(DELIVERY).order_by(DELIVERY.c.id))
                ]
            )

    def count(self, *conditions: ColumnElement[bool]) -> int:
        """How many deliveries are so."""
        with opened(self.settings.database_url) as database:
            return database.read(
                lambda connection: connection.execute(
                    select(func.count(DELIVERY.c.id)).where(*conditions)
                ).scalar_one()
            )

    def expire_leases(self, of: "subprocess.Popen[bytes] | None" = None) -> None:
        """As if the time of a lease had passed: of every one, or of those one process holds."""
        whose = DELIVERY.c.lease_owner.contains(f":{of.pid}:") if of else true()
        with opened(self.settings.database_url) as database:
            database.write(
                lambda connection: connection.execute(
                    update(DELIVERY)
                    .where(DELIVERY.c.lease_until.is_not(None), whose)
                    .values(lease_until=THEN)
                )
            )

    def arguments(self, *arguments: str) -> list[str]:
        return ["--workspace", str(self.folder), *arguments]

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "l3mail", *self.arguments(*arguments)]

    def run(self, *arguments: str, seconds: float = 120) -> "subprocess.CompletedProcess[str]":
        """Run a command to its end, which has to come within so many seconds."""
        return warm.run(self.arguments(*arguments), self.environment, seconds)

    def start(self, *arguments: str) -> "subprocess.Popen[bytes]":
        """Start a command and leave it running; end it with `end`. It writes to `log`."""
        # A file, not a pipe: nobody reads while it runs, and a full pipe would stop it.
        with self.log.open("ab") as log:
            return subprocess.Popen(
                self.command(*arguments),
                cwd=ROOT,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    @property
    def log(self) -> Path:
        """What started commands wrote."""
        return self.folder / "office.log"


def end(process: "subprocess.Popen[bytes]", number: signal.Signals) -> int:
    """Signal a process, wait until it is gone, and return its exit code."""
    process.send_signal(number)
    return process.wait(timeout=60)


def await_lines(log: Path, more_than: int, writer: "subprocess.Popen[bytes]") -> int:
    """Wait until a log has more lines than that, or its writer has ended; the count."""
    count = 0
    with log.open("rb") as lines:
        while True:
            has_ended = writer.poll() is not None
            while part := lines.read(1 << 20):
                count += part.count(b"\n")
            if count > more_than or has_ended:
                return count
            # Not by looking again and again: those who are waited for need the processor.
            with suppress(subprocess.TimeoutExpired):
                writer.wait(_LOOK_AGAIN_SECONDS)


def arrivals(log: Path) -> Counter[int]:
    """How often each delivery arrived at a sink; a kill tears no line of it, the sink lives on."""
    ids = (line.split("\t")[0] for line in log.read_text().splitlines())
    return Counter(int(message_id.lstrip("<").partition(".")[0]) for message_id in ids)


@contextmanager
def beside_a_sink(
    folder: Path,
    *options: str,
    connections: int,
    database_url: str | None = None,
    more: str = "",
) -> Iterator[tuple[Office, Path]]:
    """An office that sends nothing again by itself, a sink that takes its mail, and the sink's log.

    `options` are the sink's, `more` is said in the office's settings.
    """
    with running_sink(folder, *options) as (port, log):
        settings_text = HOLDING.format(port=port, connections=connections) + more
        yield Office(folder, settings_text, database_url=database_url), log
