"""The command line as operators type it: real processes on a workspace on disk."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
from pathlib import Path
from urllib.request import urlopen

import pytest

from l3mail import outbox
from l3mail.database import Database, opened
from l3mail.demo import evidence
from l3mail.models import ACTIONS, SUBSCRIBER
from l3mail.outbox import UNCERTAIN_REST
from l3mail.settings import load_settings
from tests.fakes.office import Office, await_lines, end
from tests.fakes.sink import running_sink
from tests.fakes.village import Village

SETTINGS = """
[sender]
from = "Bildung <kurs@stadt.example>"
[relay]
port = {port}
"""
NOBODY_LISTENS = 9  # the discard port


@pytest.fixture
def office(tmp_path: Path) -> Office:
    office = Office(tmp_path, SETTINGS.format(port=NOBODY_LISTENS))
    office.fill(3)
    return office


def village(office: Office) -> Village:
    return Village(Database(office.settings.database_url))


def actions(office: Office) -> list[tuple[str, dict[str, int]]]:
    with opened(office.settings.database_url) as database:
        return [(row["command"], row["counts"]) for row in Village(database).rows(ACTIONS)]


def test_help_loads_nothing_heavy() -> None:
    heavy = (
        "{'sqlalchemy', 'sqlmodel', 'fastapi', 'mjml', 'babel', 'pydantic', 'alembic', 'jinja2'}"
    )
    code = (
        "import sys\nfrom l3mail.cli import app\n"
        "try:\n    app(['--help'])\nexcept SystemExit:\n    pass\n"
        f"print('loaded', sorted({heavy} & sys.modules.keys()))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.endswith("loaded []\n")


@pytest.mark.parametrize("noun", ["outbox", "consent"])
def test_who_lists_something_waits_for_no_compiler_of_texts_and_no_sender(
    office: Office, noun: str
) -> None:
    heavy = (
        "{'mjml', 'markdown_it', 'frontmatter', 'aiosmtplib', 'fastapi', 'l3mail.content',"
        " 'jinja2', 'typst'}"
    )
    code = (
        "import sys\nfrom l3mail.cli import app\n"
        f"try:\n    app(['--workspace', {str(office.folder)!r}, {noun!r}, 'list', '--json'])\n"
        "except SystemExit:\n    pass\n"
        f"print('loaded', sorted({heavy} & sys.modules.keys()))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.startswith("[")
    assert result.stdout.endswith("loaded []\n")


def test_help_flows_in_paragraphs_and_says_real_defaults(office: Office) -> None:
    told = " ".join(office.run("courses", "enroll", "--help").stdout.split())
    assert "unless you vouch for them with --confirmed and --consent-note" in told
    lines = office.run("courses", "enroll", "--help").stdout.splitlines()
    assert not any(
        line.rstrip().endswith("for them with") and len(line.strip()) < 60 for line in lines
    )
    assert "web.host of l3mail.toml" in " ".join(
        office.run("run", "--help").stdout.replace("│", " ").split()
    )
    assert "list[str]" not in office.run("outbox", "list", "--help").stdout


def test_worker_sends_what_is_due_and_says_so_in_one_line(tmp_path: Path) -> None:
    with running_sink(tmp_path) as (port, log):
        zone = '[workspace]\ntimezone = "Asia/Kathmandu"\n'
        office = Office(tmp_path, zone + SETTINGS.format(port=port))
        office.fill(3)
        result = office.run("worker", "--once")
        assert (result.returncode, result.stdout) == (0, "")
        stamp = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\+05:45"
        assert re.fullmatch(rf"{stamp} INFO handed over 3: 3 accepted\n", result.stderr)
        assert len(log.read_text().splitlines()) == 3


def test_worker_with_the_relay_down_says_so_and_leaves_the_queue(office: Office) -> None:
    result = office.run("worker", "--once")
    assert result.returncode == 1
    said = [line for line in result.stderr.splitlines() if "127.0.0.1:9" in line]
    assert said == result.stderr.splitlines()[-1:]
    assert said[0] == (
        "l3mail: the relay is down, the queue is as it was: 127.0.0.1:9 takes no connection"
        " (connection refused); check host and port under [relay] in l3mail.toml,"
        " and whether the relay is up"
    )
    assert "trying again" not in result.stderr
    assert {row["state"] for row in office.rows()} == {"queued"}


def test_a_second_sender_is_refused_and_names_the_first(tmp_path: Path) -> None:
    with running_sink(tmp_path) as (port, log):
        office = Office(tmp_path, SETTINGS.format(port=port))
        office.fill(1)
        first = office.start("worker")
        await_lines(log, 0, first)
        second = office.run("worker", "--once")
        assert second.returncode == 1
        assert f"is held by process {first.pid}" in second.stderr
        assert end(first, signal.SIGTERM) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_asked_to_stop_in_mid_queue_it_ends_cleanly(tmp_path: Path, number: signal.Signals) -> None:
    with running_sink(tmp_path, "--delay-ms", "20") as (port, log):
        office = Office(tmp_path, SETTINGS.format(port=port))
        office.fill(300)
        worker = office.start("worker")
        await_lines(log, 20, worker)
        assert end(worker, number) == 0
        states = {row["state"] for row in office.rows()}
        accepted = sum(row["state"] == "accepted" for row in office.rows())
        assert states == {"accepted", "queued"}
        assert len(log.read_text().splitlines()) == accepted
        assert all(row["lease_owner"] is None for row in office.rows())


def test_halt_and_resume_are_noted_and_hold_the_sender(tmp_path: Path) -> None:
    with running_sink(tmp_path) as (port, log):
        office = Office(tmp_path, SETTINGS.format(port=port))
        office.fill(2)
        halted = office.run("--as", "frau-amt", "halt", "--kind", "lesson")
        assert halted.stdout.startswith(
            "Halted in state/l3mail.sqlite3: kind lesson; 2 deliveries wait."
        )
        assert "Halted already" in office.run("halt", "--kind", "lesson").stdout
        office.run("worker", "--once")
        assert log.read_text() == ""
        resumed = office.run("resume", "--yes")
        assert "Resumed: kind lesson" in resumed.stdout
        assert "by frau-amt" in resumed.stdout
        assert office.run("resume").stdout == "Nothing was halted.\n"
        office.run("worker", "--once")
        assert len(log.read_text().splitlines()) == 2
    assert actions(office)[0] == ("halt kind lesson", {"halts": 1, "deliveries": 2})
    assert actions(office)[2] == ("resume", {"halts": 1})


def test_outbox_list_prints_the_contract_as_json(office: Office) -> None:
    rows = json.loads(office.run("outbox", "list", "--json").stdout)
    assert [row["email"] for row in rows] == [f"p{n}@schule.example" for n in range(3)]
    first = {key: rows[0][key] for key in ("kind", "message", "due_at", "status")}
    assert first == {
        "kind": "lesson",
        "message": "kurs/01",
        "due_at": "2026-11-01T10:00:00+01:00",
        "status": "queued",
    }
    assert json.loads(office.run("outbox", "list", "--status", "uncertain", "--json").stdout) == []


def test_a_halt_can_be_lifted_alone_and_the_worker_names_what_stays(office: Office) -> None:
    office.run("halt", "--kind", "lesson")
    office.run("--as", "chefin", "halt", "--message", "kurs/01")
    assert "kind lesson" in office.run("resume", "--kind", "lesson").stdout
    result = office.run("worker", "--once")
    assert result.returncode == 0
    assert re.search(
        r"WARNING message kurs/01, halted .* by chefin; `l3mail resume`", result.stderr
    )
    assert "nothing was handed over" in result.stderr


def test_init_lays_out_a_workspace_that_works_and_is_never_overwritten(tmp_path: Path) -> None:
    folder = tmp_path / "kurse"
    command = [sys.executable, "-m", "l3mail"]
    made = subprocess.run(
        [*command, "init", str(folder)], capture_output=True, text=True, check=True
    )
    assert "digital-kommunizieren" in made.stdout
    for part in ("lessons", "newsletters/lifecycle", "templates/wordings", "media", "state/pepper"):
        assert (folder / part).exists(), part
    assert "state/" in (folder / ".gitignore").read_text()
    with opened(load_settings(folder, {}).database_url) as database:
        (action,) = Village(database).rows(ACTIONS)
    assert action["command"] == "init"
    assert action["counts"]["texts"] > 20
    said = [
        subprocess.run(
            [*command, *words], cwd=folder, capture_output=True, text=True, check=True
        ).stdout
        for words in (["check"], ["content", "diff"])
    ]
    assert " 0 errors, " in said[0]
    assert "No sound text differs" in said[1], "everything laid out is published"
    listed = subprocess.run(
        [*command, "outbox", "list"], cwd=folder, capture_output=True, text=True, check=True
    )
    assert listed.stdout == "No deliveries.\n"
    (folder / "l3mail.toml").write_text("# mine")
    again = subprocess.run(
        [*command, "init", str(folder)], capture_output=True, text=True, check=False
    )
    assert again.returncode == 1
    assert "is there already and is left as it is" in again.stderr
    assert (folder / "l3mail.toml").read_text() == "# mine"


def test_a_real_relay_gets_nothing_before_the_starter_is_filled_in(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "l3mail"]
    subprocess.run([*command, "init", str(tmp_path)], capture_output=True, check=True)
    text = (tmp_path / "l3mail.toml").read_text()
    (tmp_path / "l3mail.toml").write_text(text.replace("127.0.0.1", "mail.stadt.example", 1))
    result = subprocess.run(
        [*command, "worker", "--once"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert result.returncode == 1
    for key in ("web.base_url", "sender.from", "impressum.name", "impressum.privacy_url"):
        assert key in result.stderr


def test_a_damaged_or_closed_database_is_one_clear_line(office: Office) -> None:
    path = office.settings.state_dir / "l3mail.sqlite3"
    for wal in office.settings.state_dir.glob("*-wal"):
        wal.unlink()
    path.write_bytes(b"this is no database, " * 1000)
    for words in (["outbox", "list"], ["db", "upgrade"], ["worker", "--once"]):
        result = office.run(*words)
        assert result.returncode == 1
        assert "is damaged or no database" in result.stderr
        assert len(result.stderr.splitlines()) == 1


def test_outbox_list_is_a_line_a_row_in_a_pipe(office: Office) -> None:
    lines = office.run("outbox", "list", "--search", "p1@").stdout.splitlines()
    assert lines[1:] == ["2\t2026-11-01 10:00\tlesson\tkurs/01\tp1@schule.example\tqueued\t"]
    assert office.run("outbox", "list", "--status", "held").stdout == "No deliveries.\n"


def test_outbox_show_prints_the_mail_as_it_would_be_sent(office: Office) -> None:
    mail = office.run("outbox", "show", "1", "--eml").stdout
    assert "To: p0@schule.example" in mail
    assert re.search(r"^Message-ID: <1\.[0-9a-f]{32}@stadt\.example>$", mail, re.MULTILINE)
    assert "Auto-Submitted: auto-generated" in mail
    assert mail == office.run("outbox", "show", "1", "--eml").stdout
    assert json.loads(office.run("outbox", "show", "1", "--json").stdout)["status"] == "queued"


@pytest.mark.parametrize(
    ("words", "code", "line"),
    [
        (["outbox", "show", "99"], 1, "no delivery 99"),
        (["outbox", "cancel", "99", "--yes"], 1, "no delivery 99"),
        (["outbox", "retry", "1", "--yes"], 1, "1 is queued; retry takes only what is failed"),
        (["outbox", "retry", "1"], 1, "1 is queued; retry takes only what is failed"),
        (["outbox", "resolve", "1"], 2, "say one of --arrived, --resend, --give-up"),
        (["outbox", "list", "--status", "sent"], 2, "'sent' is no state"),
        (["halt", "--message", "kurs/1"], 1, '"kurs/1" is no message; did you mean "kurs/01"?'),
        (["resume", "--message", "kurs/1"], 1, '"kurs/1" is no message; did you mean "kurs/01"?'),
        (["resume", "--kind", "leson"], 1, '"leson" is not halted; did you mean "lesson"?'),
        (["outbox", "show", "p0@x.de"], 1, "`l3mail outbox list --search p0@x.de` shows"),
        (["outbox", "show", "x"], 2, "'x' is no number"),
        (["outbox", "retry", "x"], 2, "this is no whole number"),
        (["preview", "kurs/01", "--tracking", "all"], 2, "l3mail: --tracking: 'all' is not one of"),
        (["outbox", "list", "--limit", "0"], 2, "--limit: this is less than 1"),
        (["outbox", "list", "--stauts", "held"], 2, "no option --stauts; did you mean --status?"),
        (["outbx", "list"], 2, "no such command 'outbx'; did you mean 'outbox'?"),
        (["outbox", "list", "extra"], 2, "too much is said: extra; `"),
        (["outbox", "cancel"], 2, "--help` shows how"),
        (["outbox", "cancel", "1"], 1, "cancel 1 delivery? To say yes, run it in a terminal or"),
        (["outbox", "cancel", "1", "99"], 1, "cancel 1 delivery (1 of 2 can't be)? To say yes"),
        (["halt", "--kind", "spam"], 2, "'spam' is no kind of mail"),
        (["halt", "--kind", "lesson", "--message", "x/y"], 2, "not both"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_wrong_order_is_one_clear_line(
    office: Office, words: list[str], code: int, line: str
) -> None:
    result = office.run(*words)
    assert result.returncode == code
    assert result.stderr.startswith("l3mail: ")
    assert line in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert "Traceback" not in result.stderr
    assert {row["state"] for row in office.rows()} == {"queued"}


def test_who_lifts_one_halt_learns_that_everything_is_halted(office: Office) -> None:
    office.run("halt")
    office.run("--as", "chefin", "halt", "--message", "kurs/01")
    lifted = office.run("resume", "--message", "kurs/01").stdout.splitlines()
    assert [line.partition(" ")[0] for line in lifted] == ["Resumed:", "But"]
    assert "But everything, halted" in lifted[1]
    again = office.run("resume", "--message", "kurs/01")
    assert (again.returncode, again.stdout.splitlines()[0]) == (0, "Nothing was halted.")
    mistyped = office.run("resume", "--message", "kurs/1")
    assert mistyped.returncode == 1


def test_resume_says_how_many_mails_will_flow_and_asks(office: Office) -> None:
    office.run("halt", "--message", "kurs/01")
    asked = office.run("resume")
    assert asked.returncode == 1
    assert "Resume? 3 mails that wait go out as soon as a sender runs." in asked.stderr
    assert len(actions(office)) == 1
    office.run("halt")
    # Everything is halted besides: lifting the one lets nothing go, and asks nothing.
    assert office.run("resume", "--message", "kurs/01").returncode == 0
    assert office.run("resume").returncode == 1
    assert office.run("resume", "--yes").stdout.startswith("Resumed: everything")
    assert office.run("resume").stdout == "Nothing was halted.\n"


def test_deliveries_are_listed_by_whom_they_go_to(office: Office) -> None:
    people = village(office)
    people.change(SUBSCRIBER, 2, district="Nord")
    people.delivery(None, "report", purpose="staff", address="amt@stadt.example")
    people.database.close()

    def found(segment: str) -> list[str]:
        listed = json.loads(office.run("outbox", "list", "--segment", segment, "--json").stdout)
        return [row["email"] for row in listed]

    assert found('district == "Nord"') == ["p1@schule.example"]
    assert found('district != "Nord"') == ["p0@schule.example", "p2@schule.example"]
    assert office.run("outbox", "list", "--segment", "nord").returncode == 1


def test_one_delivery_waits_and_two_wait(office: Office) -> None:
    office.run("outbox", "cancel", "1", "2", "--yes")
    assert "; 1 delivery waits. " in office.run("halt").stdout


def test_moments_of_a_delivery_are_told_by_the_workspaces_clocks(office: Office) -> None:
    assert "due_at  Sun 2026-11-01 10:00\n" in office.run("outbox", "show", "1").stdout


@pytest.mark.parametrize(
    ("answer", "code", "told"),
    [("perhaps", 1, "Nothing is changed."), ("", 1, "Nothing is changed."), ("ja", 0, "cancelled")],
)
def test_only_a_clear_yes_is_a_yes(office: Office, answer: str, code: int, told: str) -> None:
    ours, theirs = pty.openpty()
    os.write(ours, f"{answer}\n".encode())
    command = [sys.executable, "-m", "l3mail", "--workspace", str(office.folder)]
    result = subprocess.run(
        [*command, "outbox", "cancel", "1"],
        stdin=theirs,
        capture_output=True,
        text=True,
        check=False,
    )
    os.close(theirs)
    os.close(ours)
    assert (result.returncode, told in result.stdout) == (code, True)
    assert "cancel 1 delivery? [y/N]" in result.stdout
    assert ("cancelled" in {row["state"] for row in office.rows()}) == (code == 0)


def test_no_workspace_is_one_clear_line(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "l3mail", "outbox", "list"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1
    assert result.stderr.startswith("l3mail: ")
    assert len(result.stderr.splitlines()) == 1


def test_an_uncertain_mail_is_settled_by_hand(office: Office) -> None:
    people = village(office)
    claims = people.claim()
    people.begin(claims)
    people.take_over()
    assert people.database.read(outbox.counts)["uncertain"] == 3
    dry = office.run("outbox", "resolve", "1", "--arrived", "--dry-run")
    assert "nothing is changed" in dry.stdout
    assert people.state(1) == "uncertain"
    office.run("outbox", "resolve", "1", "--arrived", "--yes")
    office.run("outbox", "resolve", "2", "--resend", "--yes")
    half = office.run("outbox", "resolve", "3", "1", "--give-up", "--yes")
    assert half.stdout == "3  p2@schule.example  uncertain -> failed\n"
    assert "1 is accepted" in half.stderr
    assert [people.state(n) for n in (1, 2, 3)] == ["accepted", "queued", "failed"]
    assert [counts for _, counts in actions(office)] == [{"deliveries": 1}] * 3
    assert UNCERTAIN_REST.total_seconds() == 600
    people.database.close()


def test_a_newer_database_is_refused_with_the_reason(office: Office) -> None:
    people = village(office)
    people.database.write(
        lambda connection: connection.exec_driver_sql("UPDATE alembic_version SET version_num='9'")
    )
    people.database.close()
    for words in (["outbox", "list"], ["worker", "--once"], ["db", "upgrade"]):
        result = office.run(*words)
        assert result.returncode == 1
        assert "revision 9, which this program does not know" in result.stderr


def test_upgrade_makes_a_database_and_may_be_repeated(tmp_path: Path) -> None:
    (tmp_path / "l3mail.toml").write_text("")
    command = [sys.executable, "-m", "l3mail", "--workspace", str(tmp_path)]
    early = subprocess.run(
        [*command, "outbox", "list"], capture_output=True, text=True, check=False
    )
    assert early.returncode == 1
    assert early.stderr == "l3mail: there is no database yet; run `l3mail db upgrade`\n"
    for _ in range(2):
        done = subprocess.run(
            [*command, "db", "upgrade"], capture_output=True, text=True, check=True
        )
        assert "The database is at revision 0001.\n" in done.stdout


@pytest.mark.slow
def test_the_demo_proves_its_rules(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    command = [sys.executable, "-m", "l3mail", "demo", "--dir", str(folder)]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = result.stdout.splitlines()
    assert max(len(line) for line in lines if str(folder) not in line) <= 80
    (mails,) = re.findall(
        r"^28 people, (\d+) mails arrived; deliveries: ", result.stdout, re.MULTILINE
    )
    assert sum(line.startswith("  ok  ") for line in lines) == len(evidence.CLAIMS)
    assert "  NO  " not in result.stdout
    assert len(list((folder / "mails").glob("*.eml"))) == int(mails)
    assert (folder / "gallery" / "index.html").is_file()
    assert len(list((folder / "report").glob("report-2026-W*.html"))) == 10

    tries = [line.split("--workspace")[1].split() for line in lines if "--workspace" in line]
    assert [words[1] for words in tries] == ["explain", "outbox", "web"]
    for words in tries[:2]:
        tried = subprocess.run(
            [*command[:3], "--workspace", *words], capture_output=True, text=True, check=True
        )
        assert "bert@" in tried.stdout or "vera@" in tried.stdout
    serving = subprocess.Popen(
        [*command[:3], "--workspace", *tries[2], "--port", "0"], stderr=subprocess.PIPE
    )
    assert serving.stderr is not None
    _, _, base = serving.stderr.readline().decode().strip().partition("pages at ")
    with urlopen(f"{base}/subscribe") as page:
        assert page.status == 200
    assert end(serving, signal.SIGTERM) == 0
    serving.stderr.close()

    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").touch()
    refused = subprocess.run(
        [*command[:-1], str(tmp_path / "mine")], capture_output=True, text=True, check=False
    )
    assert refused.returncode == 1
    assert "holds something else" in refused.stderr
    assert (tmp_path / "mine" / "letter.txt").exists()
