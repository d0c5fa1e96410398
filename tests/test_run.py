"""`run` and `web` as they are started: real processes, a real relay, real sockets."""

import asyncio
import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Connection, func, select
from typer.testing import CliRunner

from l3mail import courses, newsletters, rounds
from l3mail.cli import app
from l3mail.cli.context import House
from l3mail.cli.running import _lateness, _live
from l3mail.clocks import FixedClock, SystemClock
from l3mail.database import Database, opened
from l3mail.events import Guestbook, Visit
from l3mail.models import CAMPAIGN, COUNTER, ENROLLMENT, EVENT
from l3mail.rounds import Agenda, Round
from l3mail.ticks import Ticker
from l3mail.tokens import Purpose
from l3mail.upkeep import ground
from l3mail.wiring import load_tokens, make_agenda
from tests.fakes.listener import listening
from tests.fakes.office import Office, await_lines, end
from tests.fakes.sink import running_sink
from tests.fakes.village import Village

ISSUE = "newsletter/2026-12"
NOBODY_LISTENS = 9  # the discard port


def noon() -> str:
    """A zone in which it is about noon: what is late is sent only by day."""
    ahead = 12 - SystemClock().now().hour
    return f"Etc/GMT{-ahead:+d}" if ahead else "Etc/GMT"


def settings(port: int) -> str:
    return (
        f'[workspace]\ntimezone = "{noon()}"\n'
        '[sender]\nfrom = "Bildung <kurs@stadt.example>"\n'
        f"[relay]\nport = {port}\n"
    )


def village(database: Database) -> Village:
    return Village(database, FixedClock(SystemClock().now()))


def enroll(office: Office) -> None:
    """A learner whose first lesson was due an hour ago, and a reader whose issue is due."""
    zone = ZoneInfo(office.settings.workspace.timezone)
    with opened(office.settings.database_url) as database:
        town = village(database)
        due = town.now.astimezone(zone) - timedelta(hours=1)
        outline = courses.Outline(
            "kurs",
            "Kurs",
            {"every_days": 1, "at": f"{due:%H:00}"},
            [("kurs/01", "lesson"), ("kurs/02", "lesson")],
        )
        town.do(courses.define, outline, town.stream(), town.now)
        for slug, _ in outline.lessons:
            town.publish(slug)
        joined_at = town.now - timedelta(hours=3)
        town.do(courses.enroll, "kurs", town.learner(), joined_at, zone)
        town.subscribe(town.person("bea@schule.example"), town.stream("newsletter", "newsletter"))
        town.publish(ISSUE, stream="newsletter")
        town.do(newsletters.schedule, ISSUE, town.now, segment=None, by="me", now=town.now)


@pytest.fixture
def relay(tmp_path: Path) -> Iterator[tuple[int, Path]]:
    with running_sink(tmp_path) as (port, log):
        yield port, log


@contextmanager
def running(office: Office, *arguments: str) -> Iterator["tuple[subprocess.Popen[bytes], str]"]:
    """A server process and the address of its pages; ended in any case."""
    process = office.start(*arguments, "--port", "0")
    try:
        lines = 0
        while True:
            lines = await_lines(office.log, lines, process)
            text = office.log.read_text()
            found = re.search(r"pages at (http://127\.0\.0\.1:\d+)\n", text)
            if found or process.poll() is not None:
                assert found, text
                break
        yield process, found[1]
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def answer(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=30) as response:
            return response.status, response.read().decode("utf-8", "replace")
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read().decode()


def test_once_plans_and_sends_what_is_due_and_leads_on(
    tmp_path: Path, relay: tuple[int, Path]
) -> None:
    office = Office(tmp_path, settings(relay[0]))
    enroll(office)
    result = office.run("run", "--once")
    assert result.returncode == 0, result.stderr
    assert result.stdout == "2 planned, 2 accepted, 0 deferred, 0 failed, 0 uncertain\n"
    assert len(relay[1].read_text().splitlines()) == 2
    assert {row["state"] for row in office.rows()} == {"accepted"}
    with opened(office.settings.database_url) as database:
        (enrollment,) = village(database).rows(ENROLLMENT)
        assert enrollment["next_position"] == 1
        assert enrollment["next_due_at"] > SystemClock().now()
    again = office.run("run", "--once", "--json")
    assert json.loads(again.stdout)["planned"] == 0
    assert len(relay[1].read_text().splitlines()) == 2


def test_once_sends_what_is_planned_though_a_step_is_at_fault(
    tmp_path: Path, relay: tuple[int, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    office = Office(tmp_path, settings(relay[0]))
    enroll(office)

    def faulty(*_: object) -> rounds.Round:
        raise ZeroDivisionError

    monkeypatch.setattr(rounds, "STEPS", (faulty, *rounds.STEPS))
    result = CliRunner().invoke(app, ["--workspace", str(tmp_path), "run", "--once"])
    assert isinstance(result.exception, ZeroDivisionError)
    assert len(relay[1].read_text().splitlines()) == 2


def test_once_with_the_relay_down_says_so_and_keeps_what_it_planned(tmp_path: Path) -> None:
    office = Office(tmp_path, settings(NOBODY_LISTENS))
    enroll(office)
    result = office.run("run", "--once")
    assert result.returncode == 1
    assert result.stdout.startswith("2 planned, 0 accepted")
    assert "l3mail: the relay is down" in result.stderr.splitlines()[-1]
    assert {row["state"] for row in office.rows()} == {"queued"}


def on_duty(port: int, url: str = "") -> str:
    heart = f'heartbeat_url = "{url}"\n' if url else ""
    return settings(port) + f'[alerts]\nto = ["it@stadt.example"]\n{heart}'


def test_the_person_on_duty_is_written_to_and_the_outside_told_that_we_live(
    tmp_path: Path, relay: tuple[int, Path]
) -> None:
    with listening() as listener:
        office = Office(tmp_path, on_duty(relay[0], listener.url))
        with opened(office.settings.database_url) as database:
            town = village(database)
            town.delivery(town.learner(), state="uncertain", next_attempt_at=None)
        result = office.run("run", "--once")
        assert result.returncode == 0, result.stderr
        assert [path for _, path, _ in listener.heard] == ["/ping"]
    # Beside last week's report, where Monday's hour has come.
    (row,) = (row for row in office.rows() if row["slug"] == "notice/alarm")
    assert (row["address"], row["state"]) == ("it@stadt.example", "accepted")


def test_while_the_relay_is_down_the_heart_is_silent(tmp_path: Path) -> None:
    with listening() as listener:
        office = Office(tmp_path, on_duty(NOBODY_LISTENS, listener.url))
        enroll(office)
        assert office.run("run", "--once").returncode == 1
        assert listener.heard == []


def test_a_server_that_runs_tells_the_outside_that_it_lives(
    tmp_path: Path, relay: tuple[int, Path]
) -> None:
    with listening() as listener:
        office = Office(tmp_path, on_duty(relay[0], listener.url))
        with running(office, "run") as (process, _):
            while not listener.heard:
                assert process.poll() is None
            assert end(process, signal.SIGTERM) == 0
        assert len(listener.heard) == 1


def to_staff(office: Office) -> list[str]:
    return [row["slug"] for row in office.rows() if row["purpose"] == "staff"]


def test_sign_ups_over_their_ceiling_are_told_to_the_person_on_duty(tmp_path: Path) -> None:
    newsletter = '[signup]\noverall = 1\n[streams.newsletter]\ntitle = "Neues"\n'
    office = Office(tmp_path, on_duty(NOBODY_LISTENS) + newsletter)
    with running(office, "web") as (process, pages):
        for name in ("ada", "bea", "cem"):
            form = json.dumps({"email": f"{name}@schule.example", "stream": ["newsletter"]})
            head = {"Content-Type": "application/json"}
            url = f"{pages}/api/subscriptions"
            with (
                suppress(urllib.error.HTTPError),
                urllib.request.urlopen(
                    urllib.request.Request(url, form.encode(), head), timeout=30
                ),
            ):
                pass
        while "notice/signups" not in to_staff(office):
            assert process.poll() is None
        assert end(process, signal.SIGTERM) == 0
    # Beside it the report of the week before, which a tick may have come to.
    assert sorted(set(to_staff(office)) | {"report/weekly"}) == ["notice/signups", "report/weekly"]
    assert to_staff(office).count("notice/signups") == 1
    assert "more than 1 sign-ups" in office.log.read_text()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_run_sends_answers_and_ends_cleanly(
    tmp_path: Path, relay: tuple[int, Path], number: signal.Signals
) -> None:
    office = Office(tmp_path, settings(relay[0]))
    enroll(office)
    with running(office, "run") as (process, pages):
        await_lines(relay[1], 1, process)
        status, _ = answer(f"{pages}/healthz")
        assert status == 200
        assert end(process, number) == 0
    states = [row["state"] for row in office.rows()]
    assert states == ["accepted", "accepted"]
    assert all(row["lease_owner"] is None for row in office.rows())
    log = office.log.read_text()
    assert "Traceback" not in log
    assert "tick: 2 planned" in log


def test_asked_to_stop_in_mid_queue_nothing_is_uncertain(tmp_path: Path) -> None:
    with running_sink(tmp_path, "--delay-ms", "20") as (port, log):
        office = Office(tmp_path, settings(port))
        office.fill(300)
        with running(office, "run") as (process, _):
            await_lines(log, 20, process)
            assert end(process, signal.SIGTERM) == 0
        assert {row["state"] for row in office.rows()} == {"accepted", "queued"}
        accepted = sum(row["state"] == "accepted" for row in office.rows())
        assert len(log.read_text().splitlines()) == accepted


def test_health_is_503_while_the_relay_is_down(tmp_path: Path) -> None:
    office = Office(tmp_path, settings(NOBODY_LISTENS))
    office.fill(1)
    with running(office, "run") as (process, pages):
        while (status := answer(f"{pages}/healthz")[0]) == 200:
            assert process.poll() is None
        assert status == 503
        assert end(process, signal.SIGTERM) == 0
    assert [row["state"] for row in office.rows()] == ["queued"]


def test_web_says_that_the_relay_is_late_though_it_sends_nothing_itself(tmp_path: Path) -> None:
    office = Office(tmp_path, settings(NOBODY_LISTENS))
    office.fill(1)  # due weeks ago
    with running(office, "web") as (process, pages):
        status, text = answer(f"{pages}/healthz")
        assert (status, json.loads(text)["late"]) == (503, ["the relay is late"])
        assert 'l3mail_deliveries{state="queued"} 1' in answer(f"{pages}/metrics")[1]
        assert end(process, signal.SIGTERM) == 0


@pytest.mark.parametrize(("command", "ending"), [("run", "TERM"), ("web", "INT"), ("web", "KILL")])
def test_visits_are_in_when_it_ends_and_one_who_kills_it_loses_the_last_moment_at_most(
    tmp_path: Path, relay: tuple[int, Path], command: str, ending: str
) -> None:
    office = Office(tmp_path, settings(relay[0]) + '[tracking]\nmode = "consent"\n')
    with opened(office.settings.database_url) as database:
        town = village(database)
        message = town.publish("kurs/01")
        town.number_links(message, "https://a.example")
        mail = town.delivery(town.learner(tracking=True), message_id=message, state="accepted")
    token = load_tokens(office.settings).make(Purpose.TRACK, mail)
    with running(office, command) as (process, pages):
        for _ in range(20):
            assert answer(f"{pages}/o/{token}.gif")[0] == 200
        if ending == "KILL":
            while not visits(office):
                assert process.poll() is None
        assert end(process, signal.Signals[f"SIG{ending}"]) == (-9 if ending == "KILL" else 0)
    assert visits(office) == 20 or ending == "KILL"
    assert "Traceback" not in office.log.read_text()


def test_a_visit_of_a_moment_ago_is_in_before_the_tick_looks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    office = Office(tmp_path, settings(NOBODY_LISTENS) + '[tracking]\nmode = "aggregate"\n')
    books: list[Guestbook] = []
    seen: list[int] = []

    class Seen(Guestbook):
        def __init__(self, *arguments: Any, **named: Any) -> None:
            super().__init__(*arguments, **named)
            books.append(self)

    class OneTick(Ticker):
        async def run(self) -> None:
            books[0].add(Visit("opened", self._clock.now(), message))
            await self.tick()
            raise EOFError

    def look(connection: Connection, _now: datetime, _agenda: Agenda) -> Round:
        seen.append(connection.execute(select(func.sum(COUNTER.c.n))).scalar() or 0)
        return Round()

    monkeypatch.setattr("l3mail.events.Guestbook", Seen)
    monkeypatch.setattr("l3mail.ticks.Ticker", OneTick)
    monkeypatch.setattr(rounds, "STEPS", (look,))
    with (
        opened(office.settings.database_url) as database,
        socket.create_server(("127.0.0.1", 0)) as door,
    ):
        message = village(database).publish("kurs/01")
        with pytest.raises(EOFError):
            asyncio.run(_live(House(tmp_path), database, door, None))
    assert seen == [1]


def visits(office: Office) -> int:
    with opened(office.settings.database_url) as database:
        return len(village(database).rows(EVENT))


def test_health_says_in_words_that_the_disk_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    office = Office(tmp_path, settings(NOBODY_LISTENS))
    assert ground.lack_of_space(office.settings) == ""
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=3 * 1024 * 1024))
    assert ground.lack_of_space(office.settings) == "the disk is full: 3 MB free"
    with opened(office.settings.database_url) as database:
        town = village(database)
        ticker = Ticker(database, town.clock, make_agenda(office.settings))
        house = House(tmp_path)
        late = town.do(_lateness(house, database, ticker, None), town.now)
        assert late == ["the disk is full: 3 MB free"]
        ticker.fault = "database or disk is full"
        late = town.do(_lateness(house, database, ticker, None), town.now)
        assert late[0] == "the database can't be written: database or disk is full"


def test_a_second_run_is_refused_and_names_the_first(
    tmp_path: Path, relay: tuple[int, Path]
) -> None:
    office = Office(tmp_path, settings(relay[0]))
    with running(office, "run") as (process, _):
        for arguments in (("run",), ("run", "--once"), ("worker", "--once")):
            second = office.run(*arguments)
            assert second.returncode == 1
            assert f"is held by process {process.pid}" in second.stderr
        assert end(process, signal.SIGTERM) == 0


def test_web_plans_and_answers_beside_a_worker_and_sends_nothing(
    tmp_path: Path, relay: tuple[int, Path]
) -> None:
    office = Office(tmp_path, settings(relay[0]))
    enroll(office)
    with running(office, "web") as (process, pages):
        assert answer(f"{pages}/healthz")[0] == 200
        await_lines(office.log, 1, process)
        assert end(process, signal.SIGTERM) == 0
    assert {row["state"] for row in office.rows()} == {"queued"}
    assert office.run("worker", "--once").returncode == 0
    assert {row["state"] for row in office.rows()} == {"accepted"}


def test_after_the_end_the_pages_say_so_and_nothing_is_planned(
    tmp_path: Path, relay: tuple[int, Path]
) -> None:
    office = Office(tmp_path, settings(relay[0]))
    enroll(office)
    with running(office, "web", "--goodbye") as (process, pages):
        assert answer(f"{pages}/healthz")[0] == 200
        assert answer(f"{pages}/subscribe")[0] == 410
        assert end(process, signal.SIGTERM) == 0
    assert office.rows() == []


def test_a_port_that_is_taken_is_one_line_and_exit_1(
    tmp_path: Path, relay: tuple[int, Path]
) -> None:
    office = Office(tmp_path, settings(relay[0]))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = office.run("run", "--port", str(port))
    assert result.returncode == 1
    assert result.stderr == (
        f"l3mail: can't listen at 127.0.0.1 port {port}: Address already in use;"
        " choose others by --host and --port\n"
    )


def test_a_relay_that_must_not_be_used_yet_is_named_before_anything_runs(tmp_path: Path) -> None:
    office = Office(tmp_path, '[relay]\nhost = "mail.stadt.example"\n')
    result = office.run("run")
    assert result.returncode == 1
    assert "web.base_url" in result.stderr


@pytest.mark.parametrize(
    "arguments", [("--once", "--port", "1"), ("--json",)], ids=["a port", "json"]
)
def test_options_that_do_not_go_together_are_wrong_usage(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    office = Office(tmp_path, settings(NOBODY_LISTENS))
    assert office.run("run", *arguments).returncode == 2


def test_a_halt_is_said_before_anything_else(tmp_path: Path, relay: tuple[int, Path]) -> None:
    office = Office(tmp_path, settings(relay[0]))
    enroll(office)
    office.run("halt")
    result = office.run("run", "--once")
    assert result.returncode == 0
    assert "WARNING everything, halted " in result.stderr.splitlines()[0]
    assert result.stdout.startswith("2 planned, 0 accepted")
    assert {row["state"] for row in office.rows()} == {"queued"}


@pytest.mark.parametrize(
    "words",
    [
        ["run"],
        ["web"],
        ["status"],
        *(
            ["newsletters", name]
            for name in ("list", "show", "schedule", "pause", "resume", "cancel")
        ),
    ],
    ids=" ".join,
)
def test_every_command_has_an_example(words: list[str]) -> None:
    text = CliRunner().invoke(app, [*words, "--help"]).stdout
    assert "Example: l3mail " + " ".join(words) in text


@pytest.mark.parametrize(
    ("broken", "line"),
    [
        ("Sender.run = broken", "ZeroDivisionError"),
        ("uvicorn.Server.serve = over", "l3mail: the web server ended by itself"),
    ],
    ids=["a fault", "an end nobody asked for"],
)
def test_one_part_that_breaks_stops_the_others_and_the_process(
    tmp_path: Path, broken: str, line: str
) -> None:
    """A sender that died must not leave pages behind that take sign-ups nobody answers."""
    office = Office(tmp_path, settings(NOBODY_LISTENS))
    code = (
        "import sys, uvicorn\nfrom l3mail.sending import Sender\n"
        "async def broken(self, **_): raise ZeroDivisionError\n"
        "async def over(self, *_): pass\n"
        f"{broken}\n"
        "from l3mail.cli import main\n"
        f"sys.argv = ['l3mail', '--workspace', {str(tmp_path)!r}, 'run', '--port', '0']\nmain()\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        env=office.environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 1
    assert line in result.stderr
    with opened(office.settings.database_url) as database:
        assert village(database).rows(CAMPAIGN) == []
