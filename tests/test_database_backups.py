"""Backups: made while others write, judged before they get a name, put back whole or not at all."""

import errno
import gzip
import io
import json
import os
import re
import shutil
import signal
import sqlite3
import stat
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from l3mail import backups, outbox
from l3mail.backups import copies, opened_archive, staging, tables
from l3mail.backups.archives import write_archive
from l3mail.backups.drafts import PREFIX, drafting
from l3mail.database import Database, opened
from l3mail.models import ACTIONS, SUBSCRIBER
from tests.fakes.disaster import PEOPLE, Disaster, hour, on_a_sunday
from tests.fakes.office import HOLDING, Office, await_lines, beside_a_sink, end
from tests.fakes.postgres import drop_database, fresh_database, postgres_url
from tests.fakes.village import BACKENDS


@pytest.fixture(params=BACKENDS)
def house(
    request: pytest.FixtureRequest, tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Disaster]:
    """A workspace with three learners, on a Sunday."""
    with on_a_sunday(request.param, tmp_path, capsys, monkeypatch) as disaster:
        yield disaster


@pytest.fixture
def desk(tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Disaster]:
    """The same on SQLite alone."""
    with on_a_sunday("sqlite", tmp_path, capsys, monkeypatch) as disaster:
        yield disaster


def back_up(house: Disaster, *more: str) -> Path:
    return Path(house.json("db", "backup", *more)["file"])


def members(backup: Path) -> dict[str, bytes]:
    with tarfile.open(backup) as tar:
        files = {member.name: tar.extractfile(member) for member in tar}
        return {name: file.read() for name, file in files.items() if file}


def test_a_backup_is_one_closed_file_that_says_what_it_holds(house: Disaster) -> None:
    told = house.json("db", "backup")
    backup = Path(told["file"])
    assert backup.parent == house.state / "backups"
    assert stat.S_IMODE(backup.stat().st_mode) == 0o600
    assert stat.S_IMODE(backup.parent.stat().st_mode) == 0o700
    assert list(backup.parent.iterdir()) == [backup]
    found = members(backup)
    assert next(iter(found)) == "manifest.json"
    assert found["pepper"] == (house.state / "pepper").read_bytes()
    assert "l3mail.toml" in found
    assert "secret.key" not in found
    manifest = found.pop("manifest.json").decode()
    assert "@" not in manifest
    assert json.loads(manifest)["rows"]["subscriber"] == len(PEOPLE)
    assert set(json.loads(manifest)["files"]) == set(found)


def test_keys_are_in_it_only_on_demand(desk: Disaster) -> None:
    found = members(back_up(desk, "--with-key"))
    assert found["secret.key"] == (desk.state / "secret.key").read_bytes()


def test_pruning_keeps_the_newest_and_touches_only_its_own_files(desk: Disaster) -> None:
    folder = desk.folder / "elsewhere"
    folder.mkdir()
    for name in ("letter.tar.gz", "l3mail-00000000-20200101T000000Z.tar.gz"):
        (folder / name).write_text("somebody else's", encoding="utf-8")
    made = []
    for at in range(9, 13):
        desk.clock.set(hour(23, at))
        made.append(back_up(desk, "--out", str(folder), "--keep", "2"))
    left = {path.name for path in folder.iterdir()}
    assert left == {
        "letter.tar.gz",
        "l3mail-00000000-20200101T000000Z.tar.gz",
        *(path.name for path in made[-2:]),
    }


def test_a_backup_that_cannot_be_written_whole_leaves_nothing_behind(
    desk: Disaster, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("l3mail.backups.making.write_archive", full)
    desk.run("db", "backup", code=1)
    assert "No space left" in desk.error
    assert not list((desk.state / "backups").iterdir())


def test_a_copy_with_other_rows_is_never_called_a_backup(
    desk: Disaster, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = copies._copy

    def lossy(origin: Any, made: sqlite3.Connection, tell: Any) -> dict[str, int]:
        rows = whole(origin, made, tell)
        made.execute("DELETE FROM actions")
        return rows

    with desk.village() as village:
        village.insert(ACTIONS, at=village.now, who="ada", command="x", counts={})
    monkeypatch.setattr(copies, "_copy", lossy)
    desk.run("db", "backup", code=1)
    assert "other rows" in desk.error
    assert not list((desk.state / "backups").iterdir())


@pytest.mark.parametrize("house", BACKENDS[1:], indirect=True, ids=["postgres"])
def test_a_table_that_was_not_copied_whole_is_never_called_a_backup(
    house: Disaster, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = tables._copied

    def lossy(connection: Any, name: str) -> Iterator[bytes]:
        content = b"".join(whole(connection, name))
        yield content[: content.rindex(b"\n", 0, -1) + 1] if name == "subscriber" else content

    monkeypatch.setattr(tables, "_copied", lossy)
    house.run("db", "backup", code=1)
    assert "other rows" in house.error


def test_texts_of_several_lines_and_with_quotes_are_one_row_each(house: Disaster) -> None:
    with house.village() as village:
        who = 'ada\n"the\r\nfirst", \n\n'
        village.insert(ACTIONS, at=village.now, who=who, command='""', counts={})
        village.insert(ACTIONS, at=village.now, who="", command='"\n', counts={})
    assert house.json("db", "backup")["rows"]["actions"] == 2


def test_what_a_killed_backup_or_restore_left_is_cleared_but_not_what_is_at_work(
    desk: Disaster,
) -> None:
    kept = desk.state / "backups"
    for folder in (kept, desk.state):
        (folder / f"{PREFIX}left").mkdir(parents=True)
        (folder / f"{PREFIX}left" / "database.sqlite3").write_text("people", encoding="ascii")
    with drafting(desk.state) as draft:
        assert [path.name for path in desk.state.glob(f"{PREFIX}*")] == [draft.name]
        backup = back_up(desk)
        assert list(kept.iterdir()) == [backup]
        desk.run("db", "restore", str(backup), "--yes")
        assert list(desk.state.glob(f"{PREFIX}*")) == [draft]


@pytest.mark.slow
@pytest.mark.parametrize("kind", BACKENDS)
def test_a_backup_made_while_mails_go_out_knows_every_mail_that_had_arrived(
    tmp_path: Path, kind: str
) -> None:
    url = fresh_database(postgres_url()) if kind == "postgres" else None
    options = ("--delay-ms", "5")
    with beside_a_sink(tmp_path, *options, connections=4, database_url=url) as (office, log):
        office.fill(2000)
        worker = office.start("worker")
        await_lines(log, 50, worker)
        arrived = log.read_text().splitlines()
        made = office.run("db", "backup", str(tmp_path / "b.tar.gz"))
        still_sending = worker.poll() is None
        more = len(log.read_text().splitlines())
        assert end(worker, signal.SIGTERM) == 0
    assert made.returncode == 0, made.stderr
    assert still_sending
    assert len(arrived) < more, "mails went on while the backup was made"
    shutil.rmtree(office.settings.state_dir)
    if url:
        drop_database(url)
        office.database_url = url = fresh_database(postgres_url())
    put_back = office.run("db", "restore", str(tmp_path / "b.tar.gz"))
    assert put_back.returncode == 0, put_back.stderr
    states = {row["id"]: row["state"] for row in office.rows()}
    numbers = {int(line.lstrip("<").partition(".")[0]) for line in arrived}
    assert {states[number] for number in numbers} <= {"sending", "accepted"}
    assert len(states) == 2000
    if url:
        drop_database(url)


# -- back again


def test_restored_on_an_empty_machine_everything_is_as_it_was(house: Disaster) -> None:
    house.live(hour(23, 12))
    backup = back_up(house, str(house.folder / "b.tar.gz"), "--with-key")
    with house.village() as village:
        before = village.rows(), village.rows(SUBSCRIBER)
        if not village.database.is_sqlite:
            village.database.write(lambda c: c.execute(text("DROP SCHEMA public CASCADE")))
            village.database.write(lambda c: c.execute(text("CREATE SCHEMA public")))
    secrets = {name: (house.state / name).read_bytes() for name in ("pepper", "secret.key")}
    shutil.rmtree(house.state)
    house.run("db", "restore", str(backup))
    with house.village() as village:
        assert (village.rows(), village.rows(SUBSCRIBER)) == before
    assert {name: (house.state / name).read_bytes() for name in secrets} == secrets
    assert stat.S_IMODE((house.state / "pepper").stat().st_mode) == 0o600


def test_what_was_there_is_kept_beside_and_asked_about(house: Disaster) -> None:
    backup = back_up(house)
    with house.village() as village:
        village.person("neu@schule.example")
    house.run("db", "restore", str(backup), code=1)
    with house.village() as village:
        assert len(village.rows(SUBSCRIBER)) == len(PEOPLE) + 1
    told = house.json("db", "restore", str(backup), "--yes")
    with house.village() as village:
        assert len(village.rows(SUBSCRIBER)) == len(PEOPLE)
        (kept,) = told["kept"]
        if village.database.is_sqlite:
            n = people_of(kept)
        else:
            schema = kept.removeprefix("schema ")
            query = text(f"SELECT count(*) FROM {schema}.subscriber")
            n = village.database.read(lambda c: c.execute(query).scalar_one())
    assert n == len(PEOPLE) + 1


def test_an_unfinished_wal_of_the_old_database_is_not_taken_for_the_new_ones(
    desk: Disaster,
) -> None:
    backup = back_up(desk)
    with desk.village() as village:
        village.person("neu@schule.example")
        # As a crash leaves it: the newest rows stand in the log alone.
        for name in ("", "-wal"):
            shutil.copy(f"{desk.file}{name}", f"{desk.folder / 'crashed'}{name}")
    for name in ("", "-wal"):
        shutil.copy(f"{desk.folder / 'crashed'}{name}", f"{desk.file}{name}")
    (kept,) = desk.json("db", "restore", str(backup), "--yes")["kept"]
    with desk.village() as village:
        assert len(village.rows(SUBSCRIBER)) == len(PEOPLE)
    assert people_of(kept) == len(PEOPLE) + 1


def people_of(file: Path) -> int:
    with opened(f"sqlite:///{file}") as database:
        query = text("SELECT count(*) FROM subscriber")
        return int(database.read(lambda c: c.execute(query).scalar_one()))


def test_a_log_whose_database_is_gone_is_not_taken_for_the_new_ones(desk: Disaster) -> None:
    backup = back_up(desk)
    with desk.village() as village:
        village.person("neu@schule.example")
        shutil.copy(f"{desk.file}-wal", desk.folder / "wal")
    # A crash, and somebody has moved the damaged file away, but not what lay beside it.
    desk.file.unlink()
    shutil.copy(desk.folder / "wal", f"{desk.file}-wal")
    desk.run("db", "restore", str(backup), "--yes")
    with desk.village() as village:
        assert len(village.rows(SUBSCRIBER)) == len(PEOPLE)
        assert village.do(outbox.restored_at) is not None


class Killed(BaseException):
    """The end of a process between two of its steps."""


@pytest.mark.parametrize("left", range(8))
def test_whoever_is_killed_while_swapping_leaves_no_half_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left: int
) -> None:
    place, aside, new = (tmp_path / name for name in ("db", "db.before", "new"))
    logs: dict[str, bytes] = {}
    for path in (place, new):
        with closing(sqlite3.connect(path)) as database:
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("CREATE TABLE said (what)")
            database.execute("INSERT INTO said VALUES (?)", (path.name,))
            database.commit()
            if path == place:
                database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                database.execute("INSERT INTO said VALUES ('last')")
                database.commit()
                logs = {one: Path(f"{place}{one}").read_bytes() for one in ("", "-wal")}
    for one, content in logs.items():
        Path(f"{place}{one}").write_bytes(content)
    steps = iter(range(left))

    def step(work: Any) -> Any:
        def killed(*arguments: Any, **named: Any) -> Any:
            if next(steps, None) is None:
                raise Killed
            return work(*arguments, **named)

        return killed

    with monkeypatch.context() as patched:
        for name in ("hardlink_to", "unlink", "replace", "rename"):
            patched.setattr(Path, name, step(getattr(Path, name)))
        with suppress(Killed):
            copies.swap(new, place, aside)
    if place.exists():
        assert said(place) in (["db", "last"], ["new"])
    else:
        assert said(aside) == ["db", "last"]
    if new.exists():
        copies.swap(new, place, tmp_path / "db.again")
    assert said(place) == ["new"]


def killed_at(house: Disaster, backup: Path, steps: int, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Put a backup back until so many steps are done; whether there was another one."""
    left = iter(range(steps))

    def step(work: Any) -> Any:
        def killed(*arguments: Any, **named: Any) -> Any:
            if next(left, None) is None:
                raise Killed
            return work(*arguments, **named)

        return killed

    plan = backups.inspect(house.settings, backup)
    with monkeypatch.context() as patched:
        for owner, names in (
            (Path, ("hardlink_to", "unlink", "replace", "rename", "write_bytes")),
            (Database, ("write", "migrating")),
            (tables, ("set_aside", "load")),
            (shutil, ("move",)),
        ):
            for name in names:
                patched.setattr(owner, name, step(getattr(owner, name)))
        try:
            backups.restore(
                house.settings,
                plan,
                "me",
                house.clock.now(),
                lambda _what, _share: None,
                media=house.state / "media",
                with_key=True,
            )
        except Killed:
            return True
    return False


def test_a_restore_that_ends_anywhere_leaves_the_old_house_or_the_new_one_under_its_brake(
    house: Disaster, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup = back_up(house, str(house.folder / "b.tar.gz"), "--with-key")
    mine = {"pepper": "ab" * 64, "secret.key": "cd" * 32}
    theirs = {name: (house.state / name).read_text(encoding="ascii").strip() for name in mine}
    steps, ends, there = 0, [], True
    while there:
        for name, secret in mine.items():
            (house.state / name).write_text(secret, encoding="ascii")
        with house.village() as village:
            village.do(outbox.let_go)
            village.person(f"neu{steps}@schule.example")
            people = len(village.rows(SUBSCRIBER))
            for name in ("", "-wal") if village.database.is_sqlite else ():
                # As a crash leaves it: the newest rows stand in the log alone.
                shutil.copy(f"{house.file}{name}", f"{house.folder / 'crashed'}{name}")
        for left in house.folder.glob("crashed*"):
            shutil.copy(left, f"{house.file}{left.name.removeprefix('crashed')}")
        house.clock.advance(timedelta(seconds=1))
        there = killed_at(house, backup, steps, monkeypatch)
        house.json("status")  # whoever comes next
        with house.village() as village:
            found = len(village.rows(SUBSCRIBER)), village.do(outbox.restored_at)
        secrets = {name: (house.state / name).read_text(encoding="ascii").strip() for name in mine}
        old = ((people, None), mine)
        assert (found, secrets) in (old, ((len(PEOPLE), house.clock.now()), theirs)), steps
        ends.append((found, secrets) == old)
        assert not list(house.state.glob("*restoring*")), steps
        if ends[-1]:
            stamp = f"{house.clock.now():%Y%m%dT%H%M%SZ}"
            assert not list(house.state.glob(f"*{stamp}*")), "one file under two names"
        steps += 1
    # Once it has gone forward it never goes back.
    assert ends == sorted(ends, reverse=True)
    assert set(ends) == {True, False}


def test_while_a_backup_is_put_back_nobody_else_opens_the_database(desk: Disaster) -> None:
    backup = back_up(desk)
    with staging.claimed(desk.settings):
        desk.run("status", code=1)
        assert "a restore is under way" in desk.error
        desk.run("db", "restore", str(backup), "--yes", code=1)
    desk.run("status")


def said(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as database:
        return [what for (what,) in database.execute("SELECT what FROM said ORDER BY rowid")]


def test_the_mark_of_the_last_sender_survives_a_restore(desk: Disaster) -> None:
    backup = back_up(desk)
    desk.live(hour(23, 12))
    before = (desk.state / "high-water").read_bytes()
    desk.run("db", "restore", str(backup), "--yes")
    assert (desk.state / "high-water").read_bytes() == before


@pytest.mark.slow
@pytest.mark.parametrize("kind", BACKENDS)
def test_nothing_is_put_back_while_somebody_has_the_database_open(
    tmp_path: Path, kind: str
) -> None:
    url = fresh_database(postgres_url()) if kind == "postgres" else None
    office = Office(tmp_path, HOLDING.format(port=1, connections=1), database_url=url)
    assert office.run("db", "backup", str(tmp_path / "b.tar.gz")).returncode == 0
    pages = office.start("web", "--port", "0")
    try:
        await_lines(office.log, 0, pages)
        refused = office.run("db", "restore", str(tmp_path / "b.tar.gz"), "--yes")
    finally:
        end(pages, signal.SIGTERM)
    assert refused.returncode == 1
    assert "l3mail run" in refused.stderr
    assert office.run("db", "restore", str(tmp_path / "b.tar.gz"), "--yes").returncode == 0
    if url:
        drop_database(url)


# -- what is refused


def forge(backup: Path, **changes: Any) -> Path:
    """The same backup with another manifest."""
    with opened_archive(backup) as (manifest, tar):
        room = backup.with_suffix(".room")
        tar.extractall(room, filter="data")
    forged = backup.with_name("forged.tar.gz")
    found = [(name, room / name.removeprefix("../")) for name in manifest.files]
    with forged.open("wb") as stream:
        write_archive(stream, replace(manifest, **changes), found, lambda _what, _share: None)
    return forged


@pytest.mark.parametrize(
    "lie",
    [
        {"files": ["pepper"]},
        {"files": None},
        {"files": {"pepper": 5}},
        {"rows": {}},
        {"rows": []},
        {"highest": "x"},
        {"highest": 2**63 - 1},
        {"uuid": 5},
        {"copied_at": "2026-11-22T00:00:00"},
    ],
    ids=str,
)
def test_a_manifest_that_makes_no_sense_is_told_and_changes_nothing(
    desk: Disaster, lie: dict[str, Any]
) -> None:
    backup, before = back_up(desk), desk.file.read_bytes()
    said = json.loads(members(backup)["manifest.json"]) | lie
    content = json.dumps(said).encode()
    head = tarfile.TarInfo("manifest.json")
    head.size = len(content)
    with tarfile.open(backup, "w:gz") as tar:
        tar.addfile(head, io.BytesIO(content))
    desk.run("db", "restore", str(backup), "--yes", code=1)
    assert "manifest.json" in desk.error
    assert desk.file.read_bytes() == before


def flipped(backup: Path) -> Path:
    """A bit of what was packed is another; many bits of a packed file mean nothing."""
    spoilt = whole = backup.read_bytes()
    for place in range(len(whole) // 2, len(whole)):
        spoilt = whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]
        try:
            is_same = gzip.decompress(spoilt) == gzip.decompress(whole)
        except (OSError, EOFError, zlib.error):
            is_same = False
        if not is_same:
            break
    backup.write_bytes(spoilt)
    return backup


def cut(backup: Path) -> Path:
    backup.write_bytes(backup.read_bytes()[: backup.stat().st_size // 2])
    return backup


def no_backup(backup: Path) -> Path:
    backup.write_text("hello", encoding="utf-8")
    return backup


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (flipped, "(damaged|not what was put in|no whole backup|lacks)"),
        (cut, "(no whole backup|damaged|lacks)"),
        (no_backup, "no whole backup"),
        (lambda backup: backup.with_name("nowhere.tar.gz"), "No such file"),
        (lambda backup: forge(backup, revision="9999"), "newer l3mail"),
        (lambda backup: forge(backup, database="postgresql"), "postgresql"),
        (lambda backup: forge(backup, format=2), "another format"),
        (lambda backup: forge(backup, files={"pepper": "0" * 64}), "not what was put in"),
    ],
    ids=["flipped", "cut", "none", "nowhere", "newer", "kind", "format", "hash"],
)
def test_a_backup_that_is_not_whole_or_does_not_fit_changes_nothing(
    desk: Disaster, spoil: Any, words: str
) -> None:
    backup = spoil(back_up(desk, str(desk.folder / "b.tar.gz")))
    before = sorted(desk.state.iterdir()), desk.file.read_bytes()
    desk.run("db", "restore", str(backup), "--yes", code=1)
    assert re.search(words, desk.error), desk.error
    assert len(desk.error.splitlines()) == 1
    assert (sorted(desk.state.iterdir()), desk.file.read_bytes()) == before


def test_another_pepper_is_never_replaced_unasked(desk: Disaster) -> None:
    backup = back_up(desk)
    mine = "ab" * 64 + "\n"
    (desk.state / "pepper").write_text(mine, encoding="ascii")
    desk.run("db", "restore", str(backup), "--yes", code=1)
    assert "--take-pepper" in desk.error
    assert (desk.state / "pepper").read_text(encoding="ascii") == mine
    told = desk.json("db", "restore", str(backup), "--yes", "--take-pepper")
    kept = [Path(name) for name in told["kept"] if "pepper" in Path(name).name]
    assert [path.read_text(encoding="ascii") for path in kept] == [mine]
    assert (desk.state / "pepper").read_bytes() == members(backup)["pepper"]


@pytest.mark.parametrize("pepper", ["kein Pfeffer\n", "abcd\n"], ids=["not hex", "short"])
def test_a_pepper_that_is_none_is_refused_and_changes_nothing(desk: Disaster, pepper: str) -> None:
    good = (desk.state / "pepper").read_bytes()
    (desk.state / "pepper").write_text(pepper, encoding="ascii")
    backup = back_up(desk)
    (desk.state / "pepper").write_bytes(good)
    before = sorted(desk.state.iterdir()), desk.file.read_bytes()
    desk.run("db", "restore", str(backup), "--yes", "--take-pepper", code=1)
    assert re.search(r"the pepper in .* (is damaged, not hex|has 2 bytes).*; take", desk.error)
    assert len(desk.error.splitlines()) == 1
    assert (sorted(desk.state.iterdir()), desk.file.read_bytes()) == before


def test_a_key_of_the_backup_replaces_another_one_only_on_demand(desk: Disaster) -> None:
    backup = back_up(desk, "--with-key")
    mine = "cd" * 32 + "\n"
    (desk.state / "secret.key").write_text(mine, encoding="ascii")
    desk.run("db", "restore", str(backup), "--yes")
    assert (desk.state / "secret.key").read_text(encoding="ascii") == mine
    desk.clock.set(hour(24, 9))
    desk.run("db", "restore", str(backup), "--yes", "--with-key")
    assert (desk.state / "secret.key").read_bytes() == members(backup)["secret.key"]
