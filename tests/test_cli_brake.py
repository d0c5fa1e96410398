"""The emergency brake needs nothing but the place of the database."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from l3mail import outbox
from l3mail.cli.sending import place_of
from l3mail.settings import FILE, Settings
from tests.fakes.desk import Desk, at_a_desk


@pytest.fixture
def desk(tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    with at_a_desk(tmp_path, capsys, monkeypatch) as desk:
        yield desk


def write(desk: Desk, text: str) -> None:
    (desk.folder / FILE).write_text(text, encoding="utf-8")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        pytest.param("[alerts]\ntoo = 1", f"{FILE}:2: ", id="a key that is none"),
        pytest.param('[relay]\nport = "x"', f"{FILE}:2: ", id="a value that is none"),
        pytest.param("[alerts\nto = 1", f"{FILE}:1: ", id="no TOML"),
        pytest.param("[sender]\nfrom = „Amt“ # no database", f"{FILE}:2: ", id="quotes"),
    ],
)
def test_a_faulty_setting_elsewhere_stops_no_brake(desk: Desk, text: str, told: str) -> None:
    write(desk, text)
    assert desk.run("halt").startswith("Halted in state/l3mail.sqlite3: everything; ")
    assert desk.error.startswith(f"l3mail: warning: {told}")
    assert desk.village.do(outbox.is_halted)


def test_neither_pepper_nor_key_stop_the_brake(desk: Desk) -> None:
    for name in ("pepper", "secret.key"):
        (desk.folder / "state" / name).unlink()
    desk.run("halt")
    assert desk.village.do(outbox.is_halted)


@pytest.mark.parametrize(
    "text",
    ['[database]\nurl = "mysql://x"', "[database\nurl = 1", 'database.url = "sqlite'],
    ids=str,
)
def test_without_the_place_of_the_database_the_brake_says_so(desk: Desk, text: str) -> None:
    write(desk, text)
    desk.run("halt", code=1)
    assert desk.error.splitlines()[-1] == (
        f"l3mail: so nobody knows where the database is: correct [database] in {FILE} first"
    )
    assert not desk.village.do(outbox.is_halted)


ELSEWHERE = 'url = "postgresql://nobody@127.0.0.1:1/x"\n'


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(f"[databse]\n{ELSEWHERE}", id="a table misspelt"),
        pytest.param(f"[Database]\n{ELSEWHERE}", id="in capitals"),
        pytest.param(f"[databse]\n{ELSEWHERE}x =", id="misspelt and broken"),
        pytest.param(f'["data\\u0062ase"]\n{ELSEWHERE}x =', id="escaped and broken"),
        pytest.param(f"[alerts]\n{ELSEWHERE}", id="below another table"),
        pytest.param(ELSEWHERE, id="below none"),
        pytest.param(f"[alerts]\nto = [{{{ELSEWHERE.strip()}}}]", id="in a list"),
        pytest.param("[databse]\nfile = 'x'", id="no address at all"),
        pytest.param('database = ""', id="no table"),
    ],
)
def test_a_place_that_stands_where_nobody_looks_is_not_the_usual_one(desk: Desk, text: str) -> None:
    write(desk, text)
    desk.run("halt", code=1)
    assert "so nobody knows where the database is" in desk.error
    assert not desk.village.do(outbox.is_halted)


@pytest.mark.parametrize("coding", ["utf-16", "utf-16-le"])
def test_a_file_that_is_no_utf_8_names_no_usual_place(desk: Desk, coding: str) -> None:
    (desk.folder / FILE).write_bytes(f"[database]\n{ELSEWHERE}".encode(coding))
    desk.run("halt", code=1)
    assert "so nobody knows where the database is" in desk.error
    assert not desk.village.do(outbox.is_halted)


def test_a_place_that_lost_a_letter_is_not_believed_and_one_that_lost_none_is(desk: Desk) -> None:
    place = f"sqlite:///{desk.folder}/state/%sl3mail.sqlite3"
    for name, code in (("ü", 1), ("", 0)):
        text = f'[workspace]\nname = "Bücher"\n[database]\nurl = "{place % name}"'
        (desk.folder / FILE).write_bytes(text.encode("latin-1"))
        desk.run("halt", code=code)
        assert desk.village.do(outbox.is_halted) is (code == 0)


def test_a_variable_that_all_but_names_the_database_stops_the_brake_and_another_does_not(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("L3MAIL_SMTP_HSOT", "mail.example")
    assert "Halted in state/l3mail.sqlite3" in desk.run("halt", "--kind", "lesson")
    monkeypatch.setenv("L3MAIL_DATABSE_URL", "postgresql://nobody@127.0.0.1:1/x")
    desk.run("halt", code=1)
    assert "did you mean L3MAIL_DATABASE_URL?" in desk.error
    assert "so nobody knows where the database is" in desk.error


def test_web_addresses_and_remarks_in_a_broken_file_are_no_place_of_a_database(desk: Desk) -> None:
    write(desk, f'[web]\nbase_url = "https://kurs.example"\n# {ELSEWHERE}broken =')
    desk.run("halt")
    assert desk.village.do(outbox.is_halted)


@pytest.mark.parametrize(
    ("url", "place"),
    [
        (None, "state/l3mail.sqlite3"),
        ("sqlite:////srv/rows.sqlite3", "/srv/rows.sqlite3"),
        ("postgresql://amt:geheim@db.example:5433/kurs", "db.example:5433/kurs"),
        ("postgresql:///kurs?host=/run/pg&password=geheim", "/run/pg/kurs"),
        ("postgresql:///kurs", "localhost/kurs"),
    ],
)
def test_what_was_halted_is_named_without_a_secret(url: str | None, place: str) -> None:
    settings = Settings.model_validate({"folder": Path("/amt"), "database": {"url": url}})
    assert place_of(settings) == place


def test_a_place_given_by_the_environment_counts_whatever_the_file_says(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = desk.folder / "state" / "l3mail.sqlite3"
    monkeypatch.setenv("L3MAIL_DATABASE_URL", f"sqlite:///{place}")
    write(desk, "[database\nurl = 1")
    desk.run("halt")
    assert desk.village.do(outbox.is_halted)


def test_what_lets_mail_out_again_wants_sound_settings(desk: Desk) -> None:
    desk.run("halt")
    write(desk, "[alerts]\ntoo = 1")
    desk.run("resume", "--yes", code=1)
    assert desk.village.do(outbox.is_halted)
