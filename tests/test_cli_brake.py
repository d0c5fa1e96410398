"""The emergency brake needs nothing but the place of the database."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from l3mail import outbox
from l3mail.settings import FILE
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
    assert "Halted: everything" in desk.run("halt")
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
