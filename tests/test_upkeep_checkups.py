"""The check-up against relays that misbehave, files that are open, clocks that are wrong."""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from l3mail.cli import app
from l3mail.clocks import FixedClock, SystemClock
from l3mail.database import opened
from l3mail.errors import L3mailError
from l3mail.models import ACTIONS
from l3mail.settings import FILE, Settings, load_settings
from l3mail.starter import lay_out
from l3mail.upkeep import ground, pages, samples
from l3mail.upkeep.checks import Check, Verdict
from l3mail.upkeep.checkups import Reach, examine
from l3mail.upkeep.relays import look_at_relay
from tests.fakes.office import Office
from tests.fakes.post import HANG_SECONDS, relay_of
from tests.fakes.relay import Fault, Relay
from tests.fakes.village import Village

SETTINGS = """
[workspace]
name = "Bildung in Musterdorf"
[sender]
from = "Bildung <kurs@stadt.example>"
[alerts]
to = ["amt@stadt.example"]
"""
REAL = """
[workspace]
name = "Bildung"
[sender]
from = "Bildung <kurs@bildung.dresden.de>"
[impressum]
name = "Landeshauptstadt Dresden"
address = "Dr.-Külz-Ring 19, 01067 Dresden"
email = "bildung@dresden.de"
privacy_url = "https://www.dresden.de/datenschutz"
[relay]
host = "mail.dresden.de"
username = "l3mail"
[web]
base_url = "https://kurse.dresden.de/lernen"
port = 8123
trusted_proxies = ["10.1.2.3/32"]
"""
NOBODY_LISTENS = 9
NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return Office(tmp_path, SETTINGS)


def of(checks: "list[Check] | Iterator[Check]", name: str) -> Check:
    (found,) = [check for check in checks if check.name == name]
    return found


def asked(relay: Relay, settings: Settings, seconds: float = 5.0, **values: Any) -> list[Check]:
    checks, _ = look_at_relay(relay_of(relay, **values), settings, NOW, seconds)
    return checks


# -- the relay


@pytest.mark.parametrize("security", ["none", "starttls", "tls"])
def test_a_relay_that_takes_us_is_asked_for_no_recipient(office: Office, security: Any) -> None:
    login = None if security == "none" else ("l3mail", "geheim")
    with Relay(tls=security, auth=login, size=30_000_000, smtputf8=True) as relay:
        checks = asked(relay, office.settings)
        relay.wait_until(lambda book: book.open_sessions == 0)
        verbs = [command.verb for command in relay.commands[1]]
    assert {check.verdict for check in checks} == {Verdict.OK}
    assert verbs[-3:] == ["MAIL", "RSET", "QUIT"]
    assert not relay.violations
    assert "takes mails up to 30,000,000 bytes" in of(checks, "offers").words
    told = of(checks, "relay").words
    assert ("TLSv1" in told, "logged in as l3mail" in told) == (login is not None,) * 2


@pytest.mark.parametrize(
    ("fault", "name", "verdict", "words"),
    [
        (
            Fault(None, "connect", "reply", b"554 5.7.1 not you"),
            "relay",
            "failed",
            "hand over mail",
        ),
        (Fault(None, "connect", "close"), "relay", "failed", "check host and port"),
        (Fault(None, "connect", "hang"), "relay", "failed", "no answer in time"),
        (Fault(None, "mail", "reply", b"550 5.7.1 no"), "sender", "failed", "send as it"),
        (
            Fault(None, "mail", "reply", b"530 5.7.0 authentication required"),
            "sender",
            "failed",
            "the relay wants a login: set username below [relay] and L3MAIL_SMTP_PASSWORD",
        ),
        (
            Fault(None, "mail", "reply", b"530 5.7.0 Must issue a STARTTLS command first"),
            "sender",
            "failed",
            'set tls = "starttls" below [relay]',
        ),
        (Fault(None, "mail", "reply", b"451 4.7.1 later"), "sender", "warning", "try again later"),
        (Fault(None, "mail", "reply", b"421 4.3.2 bye"), "sender", "warning", "try again later"),
        (Fault(None, "mail", "close"), "sender", "failed", "went away"),
        (Fault(None, "mail", "hang"), "sender", "failed", "silent for"),
    ],
    ids=lambda value: value.id if isinstance(value, Fault) else "",
)
def test_what_a_relay_does_wrong_is_said_with_what_to_do(
    office: Office, fault: Fault, name: str, verdict: str, words: str
) -> None:
    seconds = HANG_SECONDS if fault.action == "hang" else 5.0
    with Relay(faults={1: fault}) as relay:
        check = of(asked(relay, office.settings, seconds), name)
    assert check.verdict == verdict
    assert words in check.words


def test_a_login_that_is_refused_says_where_it_is_set(office: Office) -> None:
    with Relay(tls="starttls", auth=("l3mail", "recht")) as relay:
        mistyped = replace(relay_of(relay), password="geheim")
        checks, _ = look_at_relay(mistyped, office.settings, NOW, 5.0)
    check = of(checks, "relay")
    assert check.verdict is Verdict.FAILED
    assert "check relay.username and L3MAIL_SMTP_PASSWORD" in check.words
    assert "geheim" not in check.words


@pytest.mark.parametrize("security", ["starttls", "tls"])
@pytest.mark.parametrize("certificate", ["wrong-name", "untrusted"])
def test_a_wrong_certificate_is_the_relays_fault_and_told(
    office: Office, security: Any, certificate: Any
) -> None:
    with Relay(tls=security, certificate=certificate) as relay:
        check = of(asked(relay, office.settings), "relay")
    assert check.verdict is Verdict.FAILED
    assert "ask the IT which name its certificate has" in check.words


def test_tls_that_is_not_offered_is_no_reason_to_do_without(office: Office) -> None:
    with Relay() as relay:
        check = of(asked(relay, office.settings, tls="starttls"), "relay")
        assert not [one for one in relay.commands[1] if one.verb == "MAIL"]
    assert check.verdict is Verdict.FAILED
    assert '"relay.tls" right?' in check.words


def test_a_small_limit_is_worth_a_word(office: Office) -> None:
    with Relay(size=200_000) as relay:
        check = of(asked(relay, office.settings), "offers")
    assert check.verdict is Verdict.WARNING
    assert "ask the IT for 1,000,000" in check.words


# -- this machine


def test_what_is_left_of_the_starter_is_warned_of_before_strangers_read_it(
    tmp_path: Path,
) -> None:
    lay_out(tmp_path)
    sample = "is the sample as `init` laid it out"

    def warned(text: str) -> str:
        (tmp_path / FILE).write_text(text, encoding="utf-8")
        checks = [*ground.look_at_settings(load_settings(tmp_path, {}))]
        return "\n".join(check.words for check in checks if check.name == "samples")

    at_home = SETTINGS.replace("Musterdorf", "Musterstadt")
    assert not warned(at_home), "what is tried out at home may be a sample"
    for name in ("Bildung in Musterstadt", "l3mail"):
        assert '"workspace.name" is' in warned(REAL.replace('name = "Bildung"', f'name = "{name}"'))
    assert "workspace.name" not in warned(REAL)
    assert f"newsletters/2026-12.md {sample}" in warned(REAL)
    with (tmp_path / "newsletters" / "2026-12.md").open("a") as issue:
        issue.write("Und noch etwas.")
    assert not warned(REAL)


def test_secrets_that_others_can_read_fail(office: Office) -> None:
    state = office.settings.state_dir
    checks = list(ground.look_at_state(office.settings))
    assert [check.verdict for check in checks] == [Verdict.OK] * 3
    (state / "secret.key").chmod(0o644)
    (state / "pepper").unlink()
    state.chmod(0o755)
    checks = list(ground.look_at_state(office.settings))
    assert [check.verdict for check in checks] == [Verdict.FAILED] * 3
    assert "chmod o= " in of(checks, "state").words
    assert "chmod 600" in of(checks, "key").words
    assert "restore it from your backup" in of(checks, "pepper").words


@pytest.mark.parametrize(
    ("lines", "verdict", "words"),
    [
        (["a" * 64], "warning", "can be guessed"),
        (["0123456789abcdef" * 4, "fedcba9876543210" * 4], "ok", "1 older still read every link"),
        (["0123456789abcdef" * 4, "retired:" + "fedcba98" * 8], "ok", "1 retired still let people"),
    ],
    ids=["weak", "rotated", "retired"],
)
def test_keys_are_judged_and_never_shown(
    office: Office, lines: list[str], verdict: str, words: str
) -> None:
    (office.settings.state_dir / "secret.key").write_text("\n".join(lines))
    check = of(ground.look_at_state(office.settings), "key")
    assert check.verdict == verdict
    assert words in check.words
    assert not any(line.removeprefix("retired:") in check.words for line in lines)


def test_nothing_is_made_where_nothing_is(tmp_path: Path) -> None:
    (tmp_path / "l3mail.toml").write_text(SETTINGS)
    result = doctor(tmp_path, "--json", port=NOBODY_LISTENS)
    failed = {one["check"] for one in json.loads(result.stdout) if one["status"] == "failed"}
    assert failed == {"state", "database", "relay"}
    assert not (tmp_path / "state").exists()


def test_a_database_of_another_time_is_told(office: Office) -> None:
    def look() -> list[Check]:
        return list(ground.look_at_database(office.settings, SystemClock().now(), [], []))

    assert of(look(), "database").verdict is Verdict.OK
    with opened(office.settings.database_url) as database:
        Village(database, FixedClock(SystemClock().now())).insert(
            ACTIONS,
            at=SystemClock().now() + timedelta(days=1),
            who="me",
            command="halt",
            counts={},
        )
    assert "still to come; correct the machine's clock" in of(look(), "rows").words
    with opened(office.settings.database_url) as database:
        database.write(
            lambda one: one.exec_driver_sql("UPDATE alembic_version SET version_num = '9'")
        )
    check = of(look(), "database")
    assert check.verdict is Verdict.FAILED
    assert "revision 9" in check.words


def test_a_database_that_forgets_in_a_power_cut_fails(village: Village, office: Office) -> None:
    def look() -> Check:
        checks = ground._look_at_rows(village.database, office.settings, village.now, [], [])
        return of(list(checks), "database")

    if village.database.is_sqlite:
        assert "takes writes, keeps them in a power cut" in look().words
        return
    # The server of the tests need not survive anything, and is found out.
    assert look().verdict is Verdict.FAILED
    assert "fsync = off" in look().words


def test_a_full_disk_fails_before_it_stops_anything(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ground.look_at_disk(office.settings).verdict is not Verdict.FAILED
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 1024})())
    assert ground.look_at_disk(office.settings).verdict is Verdict.FAILED


# -- the pages and the clock


class _Answer(BaseHTTPRequestHandler):
    status, body = 200, b""

    def do_GET(self) -> None:
        self.send_response(self.status)
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def answering(status: int, body: str) -> Iterator[str]:
    handler = type("Answer", (_Answer,), {"status": status, "body": body.encode()})
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("status", "body", "verdict", "words"),
    [
        (200, '{"status": "ok", "late": []}', "ok", "nothing is late"),
        (503, '{"status": "late", "late": ["the tick is late"]}', "warning", "the tick is late"),
        (200, "<h1>Welcome to nginx!</h1>", "failed", "not as l3mail does"),
        (404, "[]", "failed", "answers 404"),
    ],
    ids=["well", "late", "somebody else", "a proxy that knows no path"],
)
def test_what_answers_at_base_url_is_judged(
    tmp_path: Path, status: int, body: str, verdict: str, words: str
) -> None:
    with answering(status, body) as base_url:
        office = Office(tmp_path, SETTINGS + f'[web]\nbase_url = "{base_url}"\n')
        check, _ = pages.look_at_pages(office.settings, 5.0, online=False)
    assert check.verdict == verdict
    assert words in check.words


def test_another_machine_is_asked_only_when_told_to(tmp_path: Path) -> None:
    office = Office(tmp_path, '[web]\nbase_url = "https://kurse.invalid"\n')
    check, _ = pages.look_at_pages(office.settings, 5.0, online=False)
    assert check.verdict is Verdict.UNKNOWN
    assert "--online" in check.words


@pytest.mark.parametrize(
    ("greeting", "verdict", "words"),
    [
        (b"220 mx ESMTP Exim 4.96 Mon, 23 Nov 2026 10:00:01 +0100", "ok", "is 1 s ahead"),
        (b"220 mx ESMTP Exim 4.96 Mon, 23 Nov 2026 09:55:00 +0100", "failed", "NTP"),
        (b"220 mx ESMTP 99 Foo 2026 99:99:99 +0100", "ok", "no other clock"),
        (b"220 mx ESMTP Postfix", "ok", "no other clock"),
    ],
    ids=["right", "wrong", "no date", "silent"],
)
def test_our_clock_is_compared_with_the_relays(
    office: Office, greeting: bytes, verdict: str, words: str
) -> None:
    with Relay(faults={1: Fault(None, "connect", "reply", greeting)}) as relay:
        checks = list(examine(office.settings, FixedClock(NOW), Reach(), relay_of(relay)))
    check = of(checks, "clock")
    assert check.verdict == verdict
    assert words in check.words


# -- a mail as it arrived

MAIL = (
    "Authentication-Results: mx.example; spf=pass smtp.mailfrom=x; dkim=pass; dmarc={dmarc}\r\n"
    "DKIM-Signature: v=1; a=rsa-sha256; d={signer}; s=one; h=From:To:Subject:\r\n"
    "\t{headers}; bh=x; b=x\r\n"
    "From: kurs@stadt.example\r\n{more}\r\nHallo\r\n"
)
BOTH = "List-Unsubscribe:List-Unsubscribe-Post"
POST = "List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"


@pytest.mark.parametrize(
    ("values", "verdicts", "words"),
    [
        ({}, {"dkim": "ok", "arrival": "ok"}, "both List-Unsubscribe headers"),
        ({"headers": "Date"}, {"dkim": "failed", "arrival": "ok"}, "leaves out list-unsubscribe,"),
        (
            {"headers": "List-Unsubscribe"},
            {"dkim": "failed", "arrival": "ok"},
            "leaves out list-unsubscribe-post,",
        ),
        ({"signer": "brevo.com"}, {"dkim": "failed", "arrival": "ok"}, "signed for brevo.com"),
        ({"signer": "mail.stadt.example"}, {"dkim": "ok", "arrival": "ok"}, "signed for"),
        ({"signer": "example"}, {"dkim": "failed", "arrival": "ok"}, "not for stadt.example"),
        ({"dmarc": "fail"}, {"dkim": "ok", "arrival": "warning"}, "dmarc=fail"),
        ({"more": ""}, {"sample": "failed"}, "no List-Unsubscribe-Post"),
    ],
    ids=["well", "neither", "half", "stranger", "below", "suffix", "judged", "no bulk mail"],
)
def test_a_mail_as_it_arrived_tells_how_it_was_signed(
    office: Office, values: dict[str, str], verdicts: dict[str, str], words: str
) -> None:
    plain = {"signer": "stadt.example", "headers": BOTH, "dmarc": "pass", "more": POST}
    file = office.folder / "mail.eml"
    file.write_bytes(MAIL.format(**plain | values).encode())
    checks = list(samples.look_at_sample(file, office.settings))
    assert {check.name: str(check.verdict) for check in checks} == verdicts
    assert words in " ".join(check.words for check in checks)


def test_an_unsigned_mail_and_no_mail_are_told_apart(office: Office) -> None:
    file = office.folder / "mail.eml"
    file.write_bytes(f"From: a@b.example\r\n{POST}\r\nHallo\r\n".encode())
    assert "is not signed" in of(samples.look_at_sample(file, office.settings), "dkim").words
    file.write_bytes(b"\x00\xff" * 1000)
    with pytest.raises(L3mailError, match="is no mail"):
        list(samples.look_at_sample(file, office.settings))
    with pytest.raises(L3mailError, match="can't be read"):
        list(samples.look_at_sample(office.folder / "none.eml", office.settings))


# -- the command


def doctor(folder: Path, *words: str, port: int = 0, **environ: str) -> Result:
    env = {"L3MAIL_SMTP_PORT": str(port), **environ} if port else environ
    return CliRunner().invoke(app, ["--workspace", str(folder), "doctor", *words], env=env)


def test_every_check_is_a_line_and_a_failed_one_exit_1(office: Office) -> None:
    with Relay() as relay:
        well = doctor(office.folder, port=relay.port)
        as_json = json.loads(doctor(office.folder, "--json", port=relay.port).stdout)
    lines = well.stdout.splitlines()
    assert well.exit_code == 1  # nothing is published in this office
    assert lines[-1] == "1 failed, 2 warnings."
    shapes = r"(ok|warning|unknown|failed)\s+[a-z]+\s+\S.*"
    assert all(re.fullmatch(shapes, line) for line in lines[:-1])
    assert [line.split()[1] for line in lines[:-1]] == [one["check"] for one in as_json]
    assert {one["status"] for one in as_json} == {"ok", "warning", "failed"}
    assert {"check", "status", "says"} == as_json[0].keys()


def test_a_workspace_in_order_exits_0(tmp_path: Path) -> None:
    initialised = CliRunner().invoke(app, ["init", str(tmp_path / "w")])
    assert initialised.exit_code == 0, initialised.output
    with Relay() as relay:
        result = doctor(tmp_path / "w", port=relay.port)
    assert result.exit_code == 0, result.stdout
    assert result.stdout.splitlines()[-1].startswith("Nothing failed, ")


def test_broken_settings_are_a_finding_too(tmp_path: Path) -> None:
    (tmp_path / "l3mail.toml").write_text("[relay]\nprt = 25\n[web]\nport = 0\n")
    result = doctor(tmp_path)
    assert result.exit_code == 1
    assert result.stdout.splitlines()[0].startswith('failed   settings  l3mail.toml:2: "relay.prt"')
    assert result.stdout.splitlines()[-1] == "2 failed."


def test_the_letter_goes_alone(office: Office) -> None:
    assert doctor(office.folder, "--letter", "--json").exit_code == 2


@pytest.mark.parametrize(
    ("locale", "begins"),
    [
        ("de", "Betreff: E-Mail-Versand für „Bildung“"),
        ("de-simple", "Betreff"),
        ("en", "Subject:"),
        ("fr", "Subject:"),
    ],
)
def test_the_letter_holds_what_the_it_must_know(tmp_path: Path, locale: str, begins: str) -> None:
    (tmp_path / "l3mail.toml").write_text(
        REAL.replace("[sender]", f'locale = "{locale}"\n[sender]')
    )
    result = doctor(tmp_path, "--letter", L3MAIL_SMTP_PASSWORD="geheim")
    assert result.exit_code == 0
    letter = result.stdout
    assert letter.startswith(begins)
    for value in (
        "mail.dresden.de:587",
        "STARTTLS",
        "l3mail",
        "kurs@bildung.dresden.de",
        "v=spf1 include:mail.dresden.de -all",
        "d=bildung.dresden.de",
        "List-Unsubscribe:List-Unsubscribe-Post",
        "_dmarc.bildung.dresden.de",
        "https://kurse.dresden.de/lernen",
        "http://127.0.0.1:8123",
        "/lernen/unsubscribe/",
        "10.1.2.3/32",
        str(tmp_path / "state"),
        "Landeshauptstadt Dresden",
    ):
        assert value in letter, value
    assert "geheim" not in letter + result.stderr
    assert "{" not in letter
    assert max(map(len, letter.replace(str(tmp_path), "").splitlines())) <= 100
    assert result.stderr == ""


def test_what_we_must_fill_in_ourselves_is_not_in_the_letter(office: Office) -> None:
    result = doctor(office.folder, "--letter")
    assert "bitte nennen Sie uns Namen und Port" in result.stdout
    assert "127.0.0.1:8000" not in result.stdout.replace("http://127.0.0.1:8000", "")
    assert "before you send this letter" in result.stderr
    assert "before you send" not in result.stdout
