"""Two sender processes on one PostgreSQL beside one alone, into a sink that is never the limit.

Needs the PostgreSQL that the tests bring along. On two cores the senders share them with the
database and the sink, so the ratio is reported rather than demanded; that no row is sent twice is.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import make_url
from tests.fakes.postgres import drop_database, fresh_database, postgres_url

from bench import reference
from bench.crowd import crowd, keep, plan
from bench.figures import Figure, Goal, MissingError, Scale, Size, middle
from bench.sender import send

ONCE = Goal("PostgreSQL, 2 workers: mails too few or too many", 0, unit="", less_is_better=True)
FASTER = Goal(
    "PostgreSQL, 2 workers / 1",
    None,
    1.5,
    in_the_way="Two workers, PostgreSQL and the sink share two cores, and one worker with its"
    " database and sink keeps both of them busy already: this wants a machine with more.",
)


SCALES = {Size.FULL: Scale(6_000, 3), Size.QUICK: Scale(400, 1)}


def figures(size: Size) -> Iterator[Figure]:
    """Whether every mail went once, and how much faster two are."""
    scale = SCALES[size]
    rates: dict[int, list[float]] = {1: [], 2: []}
    wrong = 0
    with reference.counting_sink() as sink, tempfile.TemporaryDirectory() as folder:
        queue = Queue(Path(folder) / "workspace", sink, scale.mails)
        try:
            for turn in range(scale.rounds):
                for senders in (2, 1) if turn % 2 else (1, 2):
                    rate, astray = queue.drain(senders)
                    rates[senders].append(rate)
                    wrong += astray
        finally:
            queue.close()
    yield Figure(
        ONCE,
        wrong,
        f"{2 * scale.rounds} runs of {scale.mails:,} mails, by rows accepted and the sink's count",
    )
    ratio = middle([two / one for one, two in zip(rates[1], rates[2], strict=True)])
    yield Figure(
        FASTER,
        ratio,
        f"{middle(rates[2]):,.0f}/s beside {middle(rates[1]):,.0f}/s, 20 connections each;"
        " PostgreSQL without fsync, on the same cores",
    )


class Queue:
    """A database in which everything is planned, to be copied for every round."""

    def __init__(self, workspace: Path, sink: reference.Sink, mails: int) -> None:
        """Make the database, its people and their mails."""
        self._workspace, self._sink, self._mails = workspace, sink, mails
        self._server = _server()
        self._stock = fresh_database(self._server)
        environment = {"L3MAIL_DATABASE_URL": self._stock}
        with crowd(mails, port=sink.port, tracked=True, environment=environment) as people:
            plan(people)
            keep(people, workspace)

    def drain(self, senders: int) -> tuple[float, int]:
        """Send all with so many processes: mails a second, and how many went wrong.

        All rows accepted and as many mails taken means that each went once.
        """
        before = self._sink.taken()
        url = fresh_database(self._server, template=str(make_url(self._stock).database))
        try:
            environment = {"L3MAIL_DATABASE_URL": url}
            sent = send(self._workspace, senders=senders, environment=environment)
        finally:
            drop_database(url)
        taken = self._sink.taken() - before
        accepted = max(one.accepted for one in sent)
        span = max(one.ended for one in sent) - min(one.began for one in sent)
        return self._mails / span, abs(taken - self._mails) + abs(accepted - self._mails)

    def close(self) -> None:
        """Drop what was made."""
        drop_database(self._stock)


def _server() -> str:
    try:
        return postgres_url()
    except pytest.skip.Exception as missing:
        raise MissingError(
            "PostgreSQL comes with the development dependencies, which `make setup` installs"
        ) from missing
