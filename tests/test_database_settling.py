"""A restore that was interrupted: whichever command comes next ends it or tells of it."""

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from l3mail import database
from l3mail.backups import staging
from l3mail.cli import app
from l3mail.errors import BackupError, SchemaError
from tests.fakes.disaster import Disaster, hour, on_a_sunday

COMMANDS = {
    "answers export": "--json",
    "answers list": "",
    "consent export": "p0@schule.example",
    "consent list": "",
    "consent show": "p0@schule.example",
    "consent verify": "",
    "content diff": "",
    "content history": "kurs/01",
    "content publish": "",
    "content revert": "kurs/01",
    "content status": "",
    "courses cancel": "kurs p0@schule.example --yes",
    "courses certificates": "kurs",
    "courses enroll": "kurs p0@schule.example",
    "courses list": "",
    "courses pause": "kurs p0@schule.example",
    "courses progress": "kurs",
    "courses resend": "kurs 01 ada@schule.example",
    "courses resume": "kurs p0@schule.example",
    "courses show": "kurs",
    "db backup": "",
    "db reconcile": "",
    "db restore": "nothing.tar.gz",
    "db upgrade": "",
    "doctor": "--seconds 1",
    "explain": "p0@schule.example",
    "form end": "fest",
    "form html": "",
    "form list": "",
    "form qr": "--source fest",
    "form show": "fest",
    "halt": "",
    "leave": "umzug",
    "newsletters cancel": "newsletter/2026-12",
    "newsletters list": "",
    "newsletters pause": "newsletter/2026-12",
    "newsletters reject": "newsletter/2026-12 --reason falsch",
    "newsletters release": "newsletter/2026-12",
    "newsletters resume": "newsletter/2026-12",
    "newsletters schedule": "newsletter/2026-12 --at 2026-12-01T10:00",
    "newsletters show": "newsletter/2026-12",
    "outbox cancel": "1",
    "outbox list": "",
    "outbox resolve": "1 --arrived",
    "outbox retry": "1",
    "outbox show": "1",
    "privacy correct": "p0@schule.example --first-name Ada",
    "privacy erase": "p0@schule.example",
    "privacy export": "p0@schule.example --json",
    "privacy list": "",
    "privacy record": "",
    "privacy restrict": "p0@schule.example",
    "privacy retention": "",
    "report course": "kurs",
    "report newsletter": "newsletter/2026-12",
    "report period": "--from 2026-11-01",
    "report weekly": "",
    "resume": "",
    "run": "",
    "segments count": "true",
    "segments delete": "alle",
    "segments list": "",
    "segments save": "alle true",
    "segments show": "alle",
    "simulate": "",
    "status": "",
    "subscribers add": "neu@schule.example",
    "subscribers convert": "",
    "subscribers erase": "p0@schule.example",
    "subscribers export": "--json",
    "subscribers import": "people.csv",
    "subscribers list": "",
    "subscribers show": "p0@schule.example",
    "subscribers suppress": "p0@schule.example --reason never",
    "subscribers unsubscribe": "p0@schule.example",
    "triggers approve": "1",
    "triggers list": "",
    "triggers pause": "lifecycle/jahrestag",
    "triggers pending": "",
    "triggers reject": "1",
    "triggers resume": "lifecycle/jahrestag",
    "triggers show": "lifecycle/jahrestag",
    "web": "",
    "worker": "",
}
"""Each with the words that bring it as far as the database."""
STATELESS = {"check", "demo", "help", "init", "preview", "service"}
"""What reads the workspace's files alone, or none, or makes another one."""


UNDONE = (
    "A restore that was interrupted is undone: database, pepper and keys are as they were; pictures"
    " of the backup may lie in state/media now."
)


def all_commands() -> Iterator[str]:
    def within(group: Any, *path: str) -> Iterator[str]:
        for name, command in group.commands.items():
            if hasattr(command, "commands"):
                yield from within(command, *path, name)
            else:
                yield " ".join((*path, name))

    yield from within(typer.main.get_command(app))


@pytest.fixture
def office(tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Disaster]:
    with on_a_sunday("sqlite", tmp_path, capsys, monkeypatch) as disaster:
        (tmp_path / "people.csv").write_text("email,streams\nneu@schule.example,kurs\n")
        monkeypatch.chdir(tmp_path)
        yield disaster


def interrupt(office: Disaster) -> None:
    """As a power cut leaves it between the decision and the swap of the databases."""
    folder = office.state / "restoring"
    folder.mkdir()
    staging.ready_file(office.file).write_bytes(office.file.read_bytes())
    staging.decide(folder, "20261122T120000Z", hour(22, 13))


def test_every_command_is_in_one_of_the_two_lists() -> None:
    assert sorted(all_commands()) == sorted([*COMMANDS, *STATELESS])


@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_opens_the_database_before_an_interrupted_restore_is_settled_or_told(
    office: Disaster, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    interrupt(office)
    looked: list[bool] = []

    def opening(*_parts: Any) -> None:
        looked.append((office.state / "restoring").exists())
        raise SchemaError("as far as this")

    monkeypatch.setattr(database.Database, "__init__", opening)
    said = office.run(*command.split(), *COMMANDS[command].split(), code=1) + office.error
    assert True not in looked
    settled = not (office.state / "restoring").exists()
    assert (UNDONE in said) == settled
    assert settled or "failed   restore" in said


def test_doctor_tells_of_an_interrupted_restore_first_and_leaves_it(office: Disaster) -> None:
    interrupt(office)
    before = sorted(office.state.iterdir())
    said = office.run("doctor", "--seconds", "1", code=1).splitlines()
    (line,) = [line for line in said if line.split()[1] == "restore"]
    assert "`l3mail status` ends it" in line
    # Nothing else is said of a state in between.
    assert not {"state", "pepper", "key", "database"} & {line.split()[1] for line in said}
    assert sorted(office.state.iterdir()) == before
    office.run("status")
    assert "interrupted" not in office.run("doctor", "--seconds", "1")


def test_a_folder_that_went_while_it_was_claimed_is_no_claim(
    office: Disaster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One opens it, another ends and takes it away, a third begins: two would restore at once."""
    folder, lock = office.state / "restoring", fcntl.flock
    thirds: list[int] = []

    def flock(descriptor: int, how: int) -> None:
        if not thirds:
            folder.rmdir()
            folder.mkdir()
            thirds.append(os.open(folder, os.O_RDONLY))
            lock(thirds[0], how)
        lock(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", flock)
    with (
        pytest.raises(BackupError, match="a restore is under way"),
        staging.claimed(office.settings),
    ):
        pass
    os.close(thirds[0])
    with staging.claimed(office.settings) as claimed:
        assert claimed.exists()


def test_a_folder_that_is_gone_by_then_is_made_again(
    office: Disaster, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, lock = office.state / "restoring", fcntl.flock
    gone: list[int] = []

    def flock(descriptor: int, how: int) -> None:
        if not gone:
            folder.rmdir()
        gone.append(descriptor)
        lock(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", flock)
    before = len(list(Path("/proc/self/fd").iterdir()))
    with staging.claimed(office.settings) as claimed:
        assert claimed.is_dir()
        with (
            pytest.raises(BackupError, match="a restore is under way"),
            staging.claimed(office.settings),
        ):
            pass
    assert not folder.exists()
    assert len(list(Path("/proc/self/fd").iterdir())) == before
