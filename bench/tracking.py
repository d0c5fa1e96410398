"""Openings and clicks: how many requests a second `l3mail web` answers, and what that costs it.

Set against a FastAPI application with buffered inserts (`plainweb`), each a process of its own,
under the same visitors in a third one. Whatever was answered must be in the database in the end.
"""

import os
import re
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from itsdangerous import Signer
from sqlalchemy import Connection, func, insert, select, update

from bench.crowd import ISSUE, crowd, plan
from bench.figures import Figure, Goal, MissingError, Size, middle
from bench.plainweb import Plain
from bench.visitors import CONNECTIONS
from l3mail.models import DELIVERY, EVENT, LINK, MESSAGE, SUBSCRIBER
from l3mail.settings import Settings
from l3mail.tokens import Purpose
from l3mail.wiring import load_tokens, open_database

GOAL = Goal(
    "tracking requests / uvicorn + FastAPI with buffered inserts",
    3.0,
    5.0,
    in_the_way=(
        "Of a request's CPU time the kernel's receive and send take some 60 %, which both have;"
        " ours, from the path to the event in the buffer, is a quarter, the rest the event loop's."
        " Less than that is another server, or several processes."
    ),
)
LINKS = 3
KEY = "the plain application's key, thirty-two"


@dataclass
class Served:
    """A server in a process of its own, and what it is asked for; `answers` so far."""

    process: "subprocess.Popen[str]"
    port: int
    paths: Path
    answers: int = 0

    def measure(self, seconds: float) -> "Measured":
        """What it does for so long."""
        before = self._processor_seconds()
        command = [sys.executable, "-m", "bench.visitors", str(self.port), str(seconds)]
        done = subprocess.run(
            [*command, str(self.paths)], check=True, stdout=subprocess.PIPE, text=True
        )
        spent = self._processor_seconds() - before
        answers, took = done.stdout.split()
        self.answers += int(answers)
        return Measured(int(answers) / float(took), spent / int(answers) * 1e6)

    def _processor_seconds(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Measured:
    """Requests a second, and microseconds of the server's processor for each."""

    rate: float
    cost: float


def figures(size: Size) -> Iterator[Figure]:
    """How many times as many requests a second."""
    # Rounds of one length: on a busy machine a short one is given more of it than a long one.
    people, seconds, rounds = (2_000, 3.0, 5) if size is Size.FULL else (50, 0.2, 1)
    with crowd(people) as made, tempfile.TemporaryDirectory(prefix="l3mail-bench-") as folder:
        settings = made.settings
        plan(made)
        deliveries = _send(settings)
        ours = _paths(Path(folder) / "ours", _our_tokens(settings, deliveries))
        theirs = _paths(Path(folder) / "theirs", _plain_tokens(deliveries))
        plain = Path(folder) / "plain.sqlite3"
        command = [sys.executable, "-m", "l3mail", "--workspace", str(settings.folder)]
        other = [sys.executable, "-m", "bench.plainweb", str(plain), KEY]
        other += [f"https://stadt.example/{n}" for n in range(LINKS)]
        with (
            _serving([*command, "web", "--port", "0"], ours) as house,
            _serving(other, theirs) as app,
        ):
            first = house.measure(0).cost, app.measure(0).cost  # each path once
            pairs = [(house.measure(seconds), app.measure(seconds)) for _ in range(rounds)]
        written = _written(settings), _written_plainly(plain)
    if written != (house.answers, app.answers):
        raise MissingError(
            f"{house.answers} and {app.answers} visits were answered, {written} written"
        )
    rates = [middle([pair[who].rate for pair in pairs]) for who in (0, 1)]
    costs = [middle([pair[who].cost for pair in pairs]) for who in (0, 1)]
    yield Figure(
        GOAL,
        middle([mine.rate / plainly.rate for mine, plainly in pairs]),
        f"{rates[0]:,.0f} a second against {rates[1]:,.0f}; {costs[0]:.0f} µs of a processor each"
        f" against {costs[1]:.0f} (at the first visit {first[0]:.0f} against {first[1]:.0f}); one"
        f" opening to {LINKS} clicks, {CONNECTIONS} kept connections",
    )


def _send(settings: Settings) -> list[int]:
    """Let everybody have agreed and every mail be sent; the deliveries."""
    file = settings.folder / "l3mail.toml"
    file.write_text(file.read_text(encoding="utf-8") + '[tracking]\nmode = "consent"\n', "utf-8")
    with open_database(settings) as database:

        def verb(connection: Connection) -> list[int]:
            message = connection.execute(
                select(MESSAGE.c.id).where(MESSAGE.c.slug == ISSUE)
            ).scalar_one()
            numbered = select(func.count()).where(LINK.c.message_id == message)
            for number in range(connection.execute(numbered).scalar_one() + 1, LINKS + 1):
                url = f"https://stadt.example/{number}"
                row = {"message_id": message, "number": number, "url": url}
                connection.execute(insert(LINK).values(row))
            connection.execute(update(SUBSCRIBER).values(tracking=True))
            connection.execute(
                update(DELIVERY).values(state="accepted", message_id=message, tracked=True)
            )
            return list(connection.execute(select(DELIVERY.c.id)).scalars())

        return database.write(verb)


def _our_tokens(settings: Settings, deliveries: list[int]) -> list[str]:
    tokens = load_tokens(settings)
    return [tokens.make(Purpose.TRACK, delivery) for delivery in deliveries]


def _plain_tokens(deliveries: list[int]) -> list[str]:
    signer: Signer = Plain("", KEY, []).signer
    return [signer.sign(str(delivery)).decode() for delivery in deliveries]


def _paths(file: Path, tokens: list[str]) -> Path:
    lines = [f"/o/{token}.gif" for token in tokens]
    lines += [f"/c/{token}/{n}" for n in range(1, LINKS + 1) for token in tokens]
    file.write_text("\n".join(lines))
    return file


@contextmanager
def _serving(command: list[str], paths: Path) -> Iterator[Served]:
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        yield Served(process, _port(process.stderr), paths)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def _port(lines: IO[str]) -> int:
    said = []
    for line in lines:
        said.append(line)
        if found := re.search(r"pages at http://127\.0\.0\.1:(\d+)", line):
            threading.Thread(target=lines.read, daemon=True).start()
            return int(found[1])
    raise MissingError("a server did not start: " + "".join(said))


def _written(settings: Settings) -> int:
    with open_database(settings) as database:
        rows = select(func.count()).select_from(EVENT)
        return int(database.read(lambda connection: connection.execute(rows).scalar_one()))


def _written_plainly(plain: Path) -> int:
    with sqlite3.connect(plain) as connection:
        return int(connection.execute("SELECT count(*) FROM event").fetchone()[0])
