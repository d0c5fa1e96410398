"""What lies in `state/restoring` is believed only as far as a restore can have laid it there."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from l3mail import outbox
from l3mail.backups import staging
from l3mail.backups.drafts import PREFIX, drafting
from l3mail.models import ACTIONS
from l3mail.reconciling import RESTORE
from l3mail.settings import DatabaseSection
from tests.fakes.disaster import Disaster, hour, on_a_sunday


@pytest.fixture
def desk(tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Disaster]:
    with on_a_sunday("sqlite", tmp_path, capsys, monkeypatch) as disaster:
        yield disaster


@pytest.fixture
def folder(desk: Disaster) -> Path:
    """The folder of a restore, as if one had been interrupted before it did anything."""
    folder = desk.state / "restoring"
    folder.mkdir()
    return folder


def is_halted(desk: Disaster) -> bool:
    with desk.village() as village:
        return bool(village.do(outbox.is_halted))


@pytest.mark.parametrize("command", ["status", "halt"])
def test_a_link_in_its_place_leads_nowhere(desk: Disaster, command: str) -> None:
    documents = desk.folder / "documents"
    documents.mkdir()
    (documents / "pepper").write_text("mine", encoding="ascii")
    (desk.state / "restoring").symlink_to(documents)
    desk.run(command, code=int(command != "halt"))
    assert f"{desk.state / 'restoring'} is no folder, so no restore made it" in desk.error
    with pytest.raises(NotADirectoryError), staging.claimed(desk.settings):
        pass
    assert (documents / "pepper").read_text(encoding="ascii") == "mine"
    assert is_halted(desk) is (command == "halt")


def test_what_is_ours_is_cleared_with_its_drafts(desk: Disaster, folder: Path) -> None:
    for name in ("pepper", "secret.key", f".plan.json.{'0a' * 8}", f".pepper.{'0b' * 8}"):
        (folder / name).write_text("x", encoding="ascii")
    desk.run("status")
    assert not folder.exists()


@pytest.mark.parametrize("name", ["thesis.txt", "pepper/", ".pepper.x", "pepper@"])
def test_what_is_not_ours_is_told_and_left(desk: Disaster, folder: Path, name: str) -> None:
    stranger = folder / name.rstrip("/@")
    if name.endswith("/"):
        stranger.mkdir()
    elif name.endswith("@"):
        stranger.symlink_to(desk.state / "pepper")
    else:
        stranger.write_text("x", encoding="ascii")
    desk.run("status", code=1)
    assert str(stranger) in desk.error
    assert len(desk.error.splitlines()) == 1
    assert "Halted in state/l3mail.sqlite3" in desk.run("halt")
    assert desk.error.startswith("l3mail: warning: ")
    assert stranger.exists()
    assert is_halted(desk)


AT = "2026-11-22T12:00:00+00:00"
STAMP = "20261122T120000Z"


@pytest.mark.parametrize(
    "plan",
    [
        b"",
        b"{}",
        b"[]",
        b"\xff",
        b"[" * 100_000,
        json.dumps({"at": "yesterday", "stamp": STAMP}).encode(),
        json.dumps({"at": 5, "stamp": STAMP}).encode(),
        json.dumps({"at": AT[:19], "stamp": STAMP}).encode(),
        json.dumps({"at": AT, "stamp": f"../{STAMP}"}).encode(),
        json.dumps({"at": AT, "stamp": [STAMP]}).encode(),
    ],
    ids=lambda plan: plan[:60].decode("latin-1") or "nothing",
)
def test_a_plan_that_makes_no_sense_is_told_and_stops_everything_but_the_brake(
    desk: Disaster, folder: Path, plan: bytes
) -> None:
    (folder / "plan.json").write_bytes(plan)
    desk.run("status", code=1)
    assert f"{folder / 'plan.json'} is damaged" in desk.error
    assert f"take {folder} away" in desk.error
    assert len(desk.error.splitlines()) == 1
    assert "Halted in state/l3mail.sqlite3" in desk.run("halt")
    assert is_halted(desk)
    assert (folder / "plan.json").read_bytes() == plan


@pytest.mark.parametrize("lost", [False, True], ids=["a new one lies ready", "none is there"])
def test_the_brake_stops_where_nobody_knows_which_database_will_be_the_one(
    desk: Disaster, folder: Path, *, lost: bool
) -> None:
    (folder / "plan.json").write_bytes(b"")
    if lost:
        desk.file.unlink()
    else:
        staging.ready_file(desk.file).write_bytes(desk.file.read_bytes())
    desk.run("halt", code=1)
    assert "plan.json is damaged" in desk.error
    assert desk.file.exists() is not lost


def test_the_brake_ends_a_restore_that_can_be_ended(desk: Disaster, folder: Path) -> None:
    staging.ready_file(desk.file).write_bytes(b"new")
    staging.decide(folder, STAMP, hour(22, 13))
    desk.run("halt")
    assert "is undone" in desk.error
    assert is_halted(desk)
    assert not folder.exists()


def come_as_far_as_the_database(desk: Disaster, folder: Path, pepper: str) -> None:
    """As a restore leaves it, its database in its place and its pepper not yet."""
    with desk.village() as village:
        village.insert(ACTIONS, at=hour(22, 13), who="me", command=RESTORE, counts={})
    (folder / "pepper").write_text(pepper, encoding="ascii")
    staging.decide(folder, STAMP, hour(22, 13))


def test_a_new_database_in_its_place_takes_its_pepper(desk: Disaster, folder: Path) -> None:
    come_as_far_as_the_database(desk, folder, "ab" * 64)
    desk.run("status")
    assert "is at its end now" in desk.error
    assert (desk.state / "pepper").read_text(encoding="ascii") == "ab" * 64


@pytest.mark.parametrize("present", [True, False], ids=["the old one", "none"])
def test_a_pepper_is_not_replaced_for_a_database_that_never_came(
    desk: Disaster, folder: Path, *, present: bool
) -> None:
    mine = (desk.state / "pepper").read_bytes()
    (folder / "pepper").write_text("ab" * 64, encoding="ascii")
    staging.decide(folder, STAMP, hour(22, 13))
    if not present:
        desk.file.unlink()
    desk.run("status", code=int(not present))
    assert "is undone" in desk.error
    assert (desk.state / "pepper").read_bytes() == mine
    assert not folder.exists()
    assert desk.file.exists() is present


@pytest.mark.parametrize("pepper", ["", "ab", "kein Pfeffer", "Pfeffer äöü"])
def test_what_is_no_pepper_replaces_none(desk: Disaster, folder: Path, pepper: str) -> None:
    mine = (desk.state / "pepper").read_bytes()
    come_as_far_as_the_database(desk, folder, "ab" * 64)
    (folder / "pepper").write_text(pepper, encoding="utf-8")
    desk.run("status", code=1)
    assert f"{folder / 'pepper'} " in desk.error
    assert len(desk.error.splitlines()) == 1
    assert (desk.state / "pepper").read_bytes() == mine
    desk.run("halt")
    assert is_halted(desk)


DRAFT = f".pepper.{'0c' * 8}"


def leave(folder: Path) -> list[Path]:
    """What a kill leaves there of people's data and of the pepper."""
    folder.mkdir(parents=True, exist_ok=True)
    draft = folder / f"{PREFIX}left"
    draft.mkdir()
    (draft / "database.sqlite3").write_text("people", encoding="ascii")
    (folder / DRAFT).write_text("ab", encoding="ascii")
    return [draft, folder / DRAFT]


def test_whoever_ends_a_restore_clears_what_it_left_but_not_what_is_at_work(
    desk: Disaster, folder: Path
) -> None:
    with drafting(desk.state) as busy:
        left = leave(desk.state)
        desk.run("status")
        assert [path.exists() for path in [busy, *left]] == [True, True, False]
    folder.mkdir()
    desk.run("status")
    assert not any(path.exists() for path in left)


def test_where_the_database_lies_elsewhere_its_drafts_are_cleared_there(
    desk: Disaster, folder: Path
) -> None:
    elsewhere = desk.folder / "rows"
    left, _ = leave(elsewhere)
    settings = desk.settings.model_copy(
        update={"database": DatabaseSection(url=SecretStr("sqlite:///rows/x.sqlite3"))}
    )
    staging.settle_restore(settings)
    assert not left.exists()
    assert not folder.exists()


def test_doctor_names_what_a_kill_left_and_not_what_is_at_work(desk: Disaster) -> None:
    assert "leftovers" not in desk.run("doctor", "--seconds", "1")
    left = [*leave(desk.state), leave(desk.state / "backups")[0]]
    left.append(staging.ready_file(desk.file))
    left[-1].write_bytes(b"new")
    (line,) = [
        line
        for line in desk.run("doctor", "--seconds", "1").splitlines()
        if line.split()[:2] == ["warning", "leftovers"]
    ]
    for path in left:
        assert str(path) in line
        assert path.exists()
    with drafting(desk.state / "backups") as busy:
        assert busy.name not in desk.run("doctor", "--seconds", "1")
