"""Who may not open a workspace learns in one line whose it is, and as whom to try."""

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import Connection

from l3mail import migrations, owners
from l3mail.database import opened
from l3mail.errors import DatabaseClosedError
from tests.fakes.desk import TUESDAY, Desk, at_a_desk


@pytest.fixture
def closed(tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A desk before a workspace whose `state/` only somebody else may look into."""
    state, look = tmp_path / "state", Path.stat

    def stat(self: Path, **how: Any) -> os.stat_result:
        if state in self.parents:
            raise PermissionError(13, "Permission denied", str(self))
        return look(self, **how)

    with at_a_desk(tmp_path, capsys, monkeypatch) as desk:
        desk.village.database.close()
        monkeypatch.setattr(Path, "stat", stat)
        monkeypatch.setattr(os, "geteuid", lambda: 12345)
        monkeypatch.setattr(Path, "owner", lambda _self: "dienst")
        yield desk


COMMANDS = ["status", "content publish", "subscribers list", "halt", "db upgrade", "db backup"]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_closed_state_is_one_line_with_its_owner(closed: Desk, command: str) -> None:
    closed.run(*command.split(), code=1)
    (line,) = [line for line in closed.error.splitlines() if "warning" not in line]
    place = closed.folder / "state"
    assert line.startswith(f"l3mail: {place}/")
    assert line.endswith(
        f": Permission denied; {place} belongs to dienst: run `sudo -u dienst l3mail …`"
    )


def test_doctor_goes_on_and_says_whose_it_is(closed: Desk) -> None:
    said = closed.run("doctor", "--seconds", "1", code=1)
    (line,) = [line for line in said.splitlines() if line.split()[1] == "database"]
    assert "run `sudo -u dienst l3mail …`" in line
    assert "clock" in said


@pytest.mark.parametrize(
    ("rights", "closed"),
    [(0o500, True), (0o300, True), (0o600, True), (0o700, False), (0o770, False)],
)
def test_who_may_not_open_what_is_their_own_learns_how(
    tmp_path: Path, rights: int, closed: bool
) -> None:
    tmp_path.chmod(rights)
    try:
        advice = owners.mend(tmp_path)
    finally:
        tmp_path.chmod(0o700)
    told = f"; {tmp_path} is yours, but closed: run `chmod u+rwX {tmp_path}`"
    assert advice == (told if closed else "")


@pytest.mark.parametrize(("rights", "closed"), [(0o400, True), (0o200, True), (0o600, False)])
def test_a_file_of_ones_own_needs_no_right_to_be_run(
    tmp_path: Path, rights: int, closed: bool
) -> None:
    file = tmp_path / "l3mail.sqlite3"
    file.touch()
    file.chmod(rights)
    told = f"; {file} is yours, but closed: run `chmod u+rwX {file}`"
    assert owners.mend(file) == (told if closed else "")


def test_a_file_that_is_open_in_a_folder_that_is_not_is_mended_at_the_folder(
    tmp_path: Path,
) -> None:
    """SQLite writes beside its file, too."""
    file = tmp_path / "l3mail.sqlite3"
    file.touch(0o600)
    tmp_path.chmod(0o500)
    try:
        assert owners.mend(file).endswith(f"run `chmod u+rwX {tmp_path}`")
    finally:
        tmp_path.chmod(0o700)


def test_of_what_is_not_there_the_folder_around_it_is_looked_at(tmp_path: Path) -> None:
    assert owners.mend(tmp_path / "no" / "such") == ""
    tmp_path.chmod(0o500)
    try:
        assert owners.mend(tmp_path / "no" / "such").endswith(f"run `chmod u+rwX {tmp_path}`")
    finally:
        tmp_path.chmod(0o700)


@pytest.mark.parametrize("whose", ["mine", "another's"])
def test_where_nothing_can_be_written_at_all_no_owner_is_blamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whose: str
) -> None:
    """What a disk mounted to be read takes from nobody, neither rights nor another user change."""
    mounted = SimpleNamespace(f_flag=os.ST_RDONLY | os.ST_NOSUID)
    monkeypatch.setattr(os, "statvfs", lambda _path: mounted)
    if whose == "another's":
        monkeypatch.setattr(os, "geteuid", lambda: 12345)
    tmp_path.chmod(0o500)
    try:
        assert owners.mend(tmp_path) == ""
    finally:
        tmp_path.chmod(0o700)


def test_a_database_that_is_open_and_cannot_be_written_is_told_in_the_system_s_words_alone(
    tmp_path: Path,
) -> None:
    url = f"sqlite:///{tmp_path / 'l3mail.sqlite3'}"
    with opened(url) as database:
        migrations.upgrade(database, TUESDAY)

        def verb(connection: Connection) -> None:
            connection.exec_driver_sql("PRAGMA query_only = ON")
            connection.exec_driver_sql("CREATE TABLE t (x)")

        with pytest.raises(DatabaseClosedError) as told:
            database.write(verb)
    assert str(told.value).endswith("(attempt to write a readonly database)")


def test_an_owner_without_a_name_is_named_as_sudo_takes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nameless(_path: Path) -> str:
        raise KeyError("no such user")

    monkeypatch.setattr(Path, "owner", nameless)
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    assert f"run `sudo -u #{os.getuid()} l3mail …`" in owners.mend(tmp_path)
