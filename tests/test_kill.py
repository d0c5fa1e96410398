"""Senders that are killed in mid-dialogue: nothing lost, nothing twice in silence.

`L3MAIL_KILLS=500 L3MAIL_STOPS=200 pytest tests/test_kill.py --junit-xml=kills.xml` is the long
form; the file then holds its seed and how many mails were accepted and uncertain.
"""

import json
import os
import random
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from l3mail.models import DELIVERY
from tests.fakes.office import arrivals, await_lines, beside_a_sink, end
from tests.fakes.postgres import drop_database, fresh_database, postgres_url

KILLS = int(os.environ.get("L3MAIL_KILLS", "10"))
STOPS = int(os.environ.get("L3MAIL_STOPS", "3"))
CONNECTIONS = 8
# What a sender hands over between two kills, at most: the queue must outlast them all.
PER_KILL = 60
# What is left after the last of them goes in one run: about half of the queue.
REST_SECONDS = 120 + max(KILLS, STOPS) * PER_KILL / 50
# With PIPELINING the next envelope leaves with the dot, and every kill may find one announced.
LOCKSTEP: tuple[str, ...] = ()
PIPELINING = ("--pipelining",)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        pytest.param("sqlite", LOCKSTEP, id="sqlite-lockstep"),
        pytest.param("sqlite", PIPELINING, id="sqlite-pipelining"),
        pytest.param("postgres", PIPELINING, id="postgres", marks=pytest.mark.postgres),
    ],
)
def test_killed_senders_lose_nothing_and_repeat_nothing_in_silence(
    tmp_path: Path,
    kind: str,
    options: tuple[str, ...],
    record_property: Callable[[str, object], None],
) -> None:
    seed = random.SystemRandom().randrange(2**32)
    record_property("seed", seed)
    chance = random.Random(seed)
    url = fresh_database(postgres_url()) if kind == "postgres" else None
    options = ("--delay-ms", "20", "--seed", str(seed), *options)
    with beside_a_sink(tmp_path, *options, connections=CONNECTIONS, database_url=url) as (
        office,
        log,
    ):
        office.fill(KILLS * PER_KILL)
        in_doubt = 0
        for _ in range(KILLS):
            worker = office.start("worker")
            seen = log.read_bytes().count(b"\n")
            await_lines(log, seen + chance.randrange(PER_KILL), worker)
            end(worker, signal.SIGKILL)
            if url:
                # Others may be alive for all the next sender knows: it would wait for the lease.
                office.expire_leases()
            now_in_doubt = office.count(DELIVERY.c.state.in_(["sending", "uncertain"]))
            assert now_in_doubt - in_doubt <= CONNECTIONS
            in_doubt = now_in_doubt
        finished = office.run("worker", "--once", seconds=REST_SECONDS)
        assert finished.returncode == 0, finished.stderr
        arrived = arrivals(log)
        listed = office.run("outbox", "list", "--status", "uncertain", "--limit", "9999", "--json")
    rows = office.rows()
    if url:
        drop_database(url)
    assert arrived.keys() <= {row["id"] for row in rows}
    accepted = [arrived[row["id"]] for row in rows if row["state"] == "accepted"]
    uncertain = [arrived[row["id"]] for row in rows if row["state"] == "uncertain"]
    record_property("accepted", len(accepted))
    record_property("uncertain", len(uncertain))
    assert len(accepted) + len(uncertain) == len(rows)
    assert set(accepted) == {1}, "an accepted mail was lost or arrived twice"
    assert set(uncertain) <= {0, 1}, "an uncertain mail was sent again"
    assert 0 < len(uncertain) <= KILLS * CONNECTIONS
    assert len(json.loads(listed.stdout)) == len(uncertain)


@pytest.mark.slow
@pytest.mark.parametrize("options", [LOCKSTEP, PIPELINING], ids=["lockstep", "pipelining"])
def test_a_sender_asked_to_stop_again_and_again_leaves_nothing_uncertain(
    tmp_path: Path, options: tuple[str, ...], record_property: Callable[[str, object], None]
) -> None:
    seed = random.SystemRandom().randrange(2**32)
    record_property("seed", seed)
    chance = random.Random(seed)
    options = ("--delay-ms", "20", "--seed", str(seed), *options)
    with beside_a_sink(tmp_path, *options, connections=CONNECTIONS) as (office, log):
        office.fill(STOPS * PER_KILL)
        for _ in range(STOPS):
            worker = office.start("worker")
            seen = log.read_bytes().count(b"\n")
            await_lines(log, seen + chance.randrange(PER_KILL), worker)
            assert end(worker, signal.SIGTERM) == 0
            assert office.count(DELIVERY.c.state.not_in(["queued", "accepted"])) == 0
            assert office.count(DELIVERY.c.lease_owner.is_not(None)) == 0
        assert office.run("worker", "--once", seconds=REST_SECONDS).returncode == 0
        arrived = arrivals(log)
    assert {row["state"] for row in office.rows()} == {"accepted"}
    assert set(arrived.values()) == {1}
    assert len(arrived) == STOPS * PER_KILL
