"""A sender and pages on a database that is cut off, locked or out of room, as real processes.

`L3MAIL_KILLS=500` takes so many images of a power cut.
"""

import contextlib
import os
import random
import re
import resource
import shutil
import signal
import sqlite3
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from l3mail.database import opened
from l3mail.sending import contradiction, read_mark
from tests.fakes.office import HOLDING, Office, arrivals, await_lines, beside_a_sink, end
from tests.test_kill import KILLS

CONNECTIONS = 2
PEOPLE = 1200


@pytest.mark.slow
def test_every_image_of_a_power_cut_is_sound_and_knows_what_had_arrived(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    seed = random.SystemRandom().randrange(2**32)
    record_property("seed", seed)
    chance = random.Random(seed)
    images, seen_sizes = min(KILLS, 500), set()
    options = ("--delay-ms", "4", "--seed", str(seed))
    with beside_a_sink(tmp_path, *options, connections=CONNECTIONS) as (office, log):
        office.fill(max(images * 40, 400))
        database = office.settings.state_dir / "l3mail.sqlite3"
        worker = office.start("worker")
        for number in range(images):
            await_lines(log, len(arrivals(log)) + chance.randrange(30), worker)
            worker.send_signal(signal.SIGSTOP)
            # A stop is not immediate: only what arrived before it took hold had to be durable.
            arrived = arrivals(log)
            os.waitpid(worker.pid, os.WUNTRACED)
            image = tmp_path / f"image-{number}.sqlite3"
            for end_of_name in ("", "-wal"):
                # Without the shared memory, which a power cut takes away.
                shutil.copy(f"{database}{end_of_name}", f"{image}{end_of_name}")
            seen_sizes.add(Path(f"{image}-wal").stat().st_size)
            with closing(sqlite3.connect(image)) as copy:
                assert copy.execute("PRAGMA integrity_check").fetchone() == ("ok",)
                rows = dict(copy.execute("SELECT id, state FROM delivery").fetchall())
            assert {rows[one] for one in arrived} <= {"sending", "accepted"}
            assert sum(state == "sending" for state in rows.values()) <= CONNECTIONS
            # Hundreds of them would fill a disk.
            for file in tmp_path.glob(f"{image.name}*"):
                file.unlink()
            # Only now: while one is looked at, the queue of all the others must not run out.
            worker.send_signal(signal.SIGCONT)
        assert worker.poll() is None, "it sent everything before the last image"
        end(worker, signal.SIGKILL)
        mark = read_mark(office.settings.state_dir)
        assert mark is not None
        with opened(office.settings.database_url) as after:
            # A sender that was killed left no mark that its own database does not bear out.
            assert after.read(lambda connection: contradiction(connection, mark)) is None
    assert len(seen_sizes) > 1, "the images are all of one moment"


# -- no room, no turn


class House:
    """`run` with its pages, a sink for its mails, and a signup form to knock at."""

    def __init__(self, office: Office, log: Path) -> None:
        self.office = office
        self.log = log
        self.process = office.start("run", "--port", "0")
        self._pages = httpx.Client(base_url=self._address(), timeout=60)

    def _address(self) -> str:
        while True:
            found = re.search(r"pages at (http://\S+)", self.office.log.read_text())
            if found:
                return found[1]
            assert self.process.poll() is None, self.office.log.read_text()

    def sign_up(self) -> httpx.Response:
        return self._pages.post(
            "/api/subscriptions", json={"email": "neu@schule.example", "stream": ["newsletter"]}
        )

    def health(self) -> httpx.Response:
        return self._pages.get("/healthz")

    def await_answer(self, *codes: int) -> httpx.Response:
        """Knock until it answers so."""
        while True:
            answer = self.sign_up()
            if answer.status_code in codes:
                return answer
            assert self.process.poll() is None, self.office.log.read_text()

    def close(self) -> None:
        self._pages.close()
        if self.process.poll() is None:
            end(self.process, signal.SIGTERM)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    options = ("--delay-ms", "10")
    with beside_a_sink(tmp_path, *options, connections=CONNECTIONS, more=FORM) as (office, log):
        office.fill(PEOPLE)
        with contextlib.closing(House(office, log)) as running:
            yield running


FORM = """
[streams.newsletter]
kind = "newsletter"
title = "Rundbrief"
"""


def require_all_once(house: House) -> None:
    await_lines(house.log, PEOPLE - 1, house.process)
    assert end(house.process, signal.SIGTERM) == 0
    states = Counter(row["state"] for row in house.office.rows() if row["kind"] == "lesson")
    assert states == {"accepted": PEOPLE}
    lessons = {row["id"] for row in house.office.rows() if row["kind"] == "lesson"}
    arrived = arrivals(house.log)
    assert {number: arrived[number] for number in lessons} == dict.fromkeys(lessons, 1)


def require_silence(house: House) -> None:
    """No mail is handed over beyond those whose dialogue had begun."""
    before = arrivals(house.log).total()
    for _ in range(20):
        assert house.sign_up().status_code == 503
    assert arrivals(house.log).total() - before <= CONNECTIONS
    assert arrivals(house.log).total() < PEOPLE / 2


@pytest.mark.slow
def test_a_full_disk_stops_mails_before_their_dialogue_and_they_go_on_when_there_is_room(
    house: House,
) -> None:
    await_lines(house.log, 20, house.process)
    # The kernel then refuses every byte beyond, as a full disk does.
    before = resource.prlimit(
        house.process.pid, resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY)
    )
    answer = house.await_answer(503)
    assert int(answer.headers["retry-after"]) > 0
    require_silence(house)
    resource.prlimit(house.process.pid, resource.RLIMIT_FSIZE, before)
    house.await_answer(200, 202)
    require_all_once(house)


@pytest.mark.slow
def test_a_writer_that_keeps_the_database_stops_mails_before_their_dialogue(house: House) -> None:
    await_lines(house.log, 20, house.process)
    database = house.office.settings.state_dir / "l3mail.sqlite3"
    with closing(sqlite3.connect(database, 30, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        answer = house.await_answer(503)
        assert int(answer.headers["retry-after"]) > 0
        assert arrivals(house.log).total() < PEOPLE / 2
        mails = arrivals(house.log).total()
        assert house.sign_up().status_code == 503
        assert arrivals(house.log).total() == mails
        other.execute("ROLLBACK")
    house.await_answer(200, 202)
    require_all_once(house)


@pytest.mark.slow
def test_run_on_a_restored_copy_answers_pages_and_sends_once_it_is_reconciled(
    tmp_path: Path,
) -> None:
    with beside_a_sink(tmp_path, connections=CONNECTIONS, more=FORM) as (office, log):
        office.fill(20)
        assert office.run("db", "backup", str(tmp_path / "b.tar.gz")).returncode == 0
        assert office.run("worker", "--once").returncode == 0
        put_back = office.run("db", "restore", str(tmp_path / "b.tar.gz"), "--yes")
        assert put_back.returncode == 0, put_back.stderr
        with contextlib.closing(House(office, log)) as house:
            health = house.health()
            assert health.status_code == 503
            assert "db reconcile" in health.text
            house.await_answer(200, 202)
            assert arrivals(log).total() == 20
            # Nobody has to stop it for that.
            done = office.run("db", "reconcile", "--yes")
            assert done.returncode == 0, done.stderr
            assert house.health().status_code == 200
            assert {row["state"] for row in office.rows() if row["kind"] == "lesson"} == {
                "uncertain"
            }
            again = office.run("outbox", "resolve", "--message", "kurs/01", "--resend", "--yes")
            assert again.returncode == 0, again.stderr
            await_lines(log, 39, house.process)
        assert set(arrivals(log).values()) == {2}, "the same mails, under the same Message-IDs"


@pytest.mark.slow
def test_a_backup_without_room_leaves_nothing_behind(tmp_path: Path) -> None:
    office = Office(tmp_path, HOLDING.format(port=1, connections=1))
    office.fill(50)
    made = subprocess.run(
        ["/bin/sh", "-c", 'ulimit -f 100 && exec "$@"', "sh", *office.command("db", "backup")],
        env=office.environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert made.returncode == 1
    (line,) = made.stderr.splitlines()
    assert line.startswith("l3mail: ")
    assert not list((office.settings.state_dir / "backups").iterdir())
