"""Several workers on one PostgreSQL, some of which die or freeze: nothing lost, nothing twice.

`L3MAIL_MAILS=100000 L3MAIL_ROUNDS=50 pytest tests/test_workers.py --junit-xml=workers.xml` is the
long form; the file then holds its seed and what it came to.
"""

import json
import os
import random
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.fakes.office import Office, arrivals, await_lines, beside_a_sink, end
from tests.fakes.postgres import crash, drop_database, fresh_database, postgres_url

pytestmark = [pytest.mark.slow, pytest.mark.postgres]

MAILS = int(os.environ.get("L3MAIL_MAILS", "600"))
ROUNDS = int(os.environ.get("L3MAIL_ROUNDS", "2"))
WORKERS = 4
VICTIMS = 2
CONNECTIONS = 4


@pytest.fixture
def url() -> Iterator[str]:
    url = fresh_database(postgres_url())
    yield url
    drop_database(url)


@contextmanager
def at_work(folder: Path, url: str, *options: str) -> Iterator[tuple[Office, Path]]:
    """An office on PostgreSQL, and the log of a relay that takes envelopes ahead."""
    with beside_a_sink(
        folder, "--pipelining", *options, connections=CONNECTIONS, database_url=url
    ) as both:
        yield both


def uncertain(office: Office) -> list[int]:
    answer = office.run("outbox", "list", "--status", "uncertain", "--limit", "99999", "--json")
    return [row["id"] for row in json.loads(answer.stdout)]


def settle(office: Office, log: Path) -> None:
    """What an operator does with the relay's log at hand: say what arrived, send the rest again."""
    arrived = arrivals(log)
    for choice, ids in (
        ("--arrived", [n for n in uncertain(office) if n in arrived]),
        ("--resend", [n for n in uncertain(office) if n not in arrived]),
    ):
        if ids:
            answer = office.run("outbox", "resolve", *map(str, ids), choice, "--yes")
            assert answer.returncode == 0, answer.stderr


def states(office: Office) -> dict[int, str]:
    return {row["id"]: row["state"] for row in office.rows()}


def test_four_workers_of_which_two_die_again_and_again_send_each_mail_once(
    tmp_path: Path, url: str, record_property: Callable[[str, object], None]
) -> None:
    seed = random.SystemRandom().randrange(2**32)
    record_property("seed", seed)
    chance = random.Random(seed)
    with at_work(tmp_path, url, "--delay-ms", "5", "--seed", str(seed)) as (office, log):
        office.fill(MAILS)
        workers = [office.start("worker") for _ in range(WORKERS)]
        for _ in range(ROUNDS):
            seen = log.read_bytes().count(b"\n")
            await_lines(log, seen + chance.randrange(MAILS // (ROUNDS + 1)), workers[0])
            for victim in chance.sample(workers, VICTIMS):
                workers.remove(victim)
                end(victim, signal.SIGKILL)
                office.expire_leases(victim)
            workers += [office.start("worker") for _ in range(VICTIMS)]
        await_lines(log, MAILS - ROUNDS * VICTIMS * CONNECTIONS - 1, workers[0])
        codes = [end(worker, signal.SIGTERM) for worker in workers]
        finished = office.run("worker", "--once")
        assert finished.returncode == 0, finished.stderr
        after = states(office)
        in_doubt = uncertain(office)
        once = arrivals(log)
        settle(office, log)
        assert office.run("worker", "--once").returncode == 0
        finally_arrived = arrivals(log)
    record_property("uncertain", len(in_doubt))
    # One that was asked to stop while it was still starting has no manners yet, and no rows.
    assert set(codes) <= {0, -signal.SIGTERM}
    assert set(after.values()) <= {"accepted", "uncertain"}
    assert {n for n, state in after.items() if state == "uncertain"} == set(in_doubt)
    assert len(in_doubt) <= ROUNDS * VICTIMS * CONNECTIONS
    assert {once[n] for n, state in after.items() if state == "accepted"} == {1}
    assert set(states(office).values()) == {"accepted"}
    assert finally_arrived == dict.fromkeys(after, 1), "settled, each mail has arrived once"


def test_a_worker_frozen_past_its_lease_starts_nothing_when_it_wakes(
    tmp_path: Path, url: str
) -> None:
    mails = 200
    with at_work(tmp_path, url, "--delay-ms", "20") as (office, log):
        office.fill(mails)
        frozen = office.start("worker")
        await_lines(log, 20, frozen)
        frozen.send_signal(signal.SIGSTOP)
        try:
            office.expire_leases(frozen)
            other = office.run("worker", "--once")
            assert other.returncode == 0, other.stderr
            while_frozen = states(office)
            arrived = arrivals(log)
        finally:
            frozen.send_signal(signal.SIGCONT)
        assert end(frozen, signal.SIGTERM) == 0
        at_last = arrivals(log)
    # Those it had in a dialogue; frozen within a transaction it also keeps the rows of that one.
    doubtful = {n for n, state in while_frozen.items() if state != "accepted"}
    assert len(doubtful) <= 2 * CONNECTIONS
    assert set(at_last) - set(arrived) <= doubtful, "it began a mail after it woke"
    assert set(at_last.values()) == {1}
    # What it had under way came to its end, and the rows learnt it.
    assert {n for n, state in states(office).items() if state == "accepted"} == set(at_last)


def test_a_database_that_dies_in_mid_commit_again_and_again_costs_no_mail(
    tmp_path: Path, url: str, record_property: Callable[[str, object], None]
) -> None:
    mails, crashes = 400, 5
    seed = random.SystemRandom().randrange(2**32)
    record_property("seed", seed)
    chance = random.Random(seed)
    with at_work(tmp_path, url, "--delay-ms", "5", "--seed", str(seed)) as (office, log):
        office.fill(mails)
        worker = office.start("worker")
        for _ in range(crashes):
            seen = log.read_bytes().count(b"\n")
            await_lines(log, seen + chance.randrange(mails // crashes), worker)
            crash()
        await_lines(log, mails - 1, worker)
        assert end(worker, signal.SIGTERM) == 0
        arrived = arrivals(log)
    # Nobody was killed: whether a commit that failed was durable is read again, not guessed.
    assert Counter(states(office).values()) == {"accepted": mails}
    assert arrived == dict.fromkeys(states(office), 1)
