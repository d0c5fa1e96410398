"""Who may not open a workspace learns in one line whose it is, and as whom to try."""

import os
from pathlib import Path
from typing import Any

import pytest

from l3mail import owners
from tests.fakes.desk import Desk, at_a_desk


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


def test_who_may_not_open_what_is_their_own_learns_how(tmp_path: Path) -> None:
    assert owners.mend(tmp_path / "no" / "such") == (
        f"{tmp_path} is yours, but closed: run `chmod u+rwX {tmp_path}`"
    )


def test_an_owner_without_a_name_is_named_as_sudo_takes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nameless(_path: Path) -> str:
        raise KeyError("no such user")

    monkeypatch.setattr(Path, "owner", nameless)
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    assert f"run `sudo -u #{os.getuid()} l3mail …`" in owners.mend(tmp_path)
