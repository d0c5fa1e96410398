"""A database that was lost and put back: it sends nothing twice and loses nothing in silence."""

import shutil
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from l3mail import outbox, reconciling, rounds
from l3mail.cli import main
from l3mail.database import Database, opened
from l3mail.errors import RestoredError
from l3mail.models import ACTIONS, DELIVERY, ENROLLMENT, SUBSCRIBER, TRIGGER, WORKSPACE
from l3mail.sending import read_mark
from l3mail.wiring import Reconciliation, make_agenda
from tests.fakes.disaster import ISSUE, LESSONS, PEOPLE, YEARLY, Disaster, hour, on_a_sunday
from tests.fakes.village import BACKENDS
from tests.test_database_backups import forge


@pytest.fixture(params=BACKENDS)
def lost(
    request: pytest.FixtureRequest, tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Disaster]:
    """A workspace that was backed up on a Monday at noon and went on for a week."""
    with on_a_sunday(request.param, tmp_path, capsys, monkeypatch) as disaster:
        disaster.live(hour(23, 12))
        disaster.run("db", "backup", str(tmp_path / "monday.tar.gz"))
        disaster.live(hour(30, 14))
        yield disaster


@pytest.fixture
def office(tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Disaster]:
    """The same on SQLite, on its first Sunday."""
    with on_a_sunday("sqlite", tmp_path, capsys, monkeypatch) as disaster:
        yield disaster


@pytest.fixture
def desk_words(tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The real command line on the bare folder; all it says."""

    def run(*words: str, code: int = 1) -> str:
        monkeypatch.setattr(sys, "argv", ["l3mail", "--workspace", str(tmp_path), *words])
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        assert ended.value.code == code, captured.out + captured.err
        return str(captured.out + captured.err)

    return run


LOST = [*((p, ISSUE) for p in PEOPLE), *((p, YEARLY) for p in PEOPLE)]
LOST += [(p, LESSONS[1]) for p in PEOPLE]


def restore(disaster: Disaster) -> None:
    disaster.run("db", "restore", str(disaster.folder / "monday.tar.gz"), "--yes")


def test_the_drill_nobody_gets_a_mail_twice_and_every_doubt_is_listed(lost: Disaster) -> None:
    assert lost.arrived() == dict.fromkeys([*LOST, *((p, LESSONS[0]) for p in PEOPLE)], 1)
    restore(lost)
    with pytest.raises(RestoredError, match="db reconcile"):
        lost.live(hour(30, 15))

    foreseen = lost.json("db", "reconcile", "--dry-run")
    assert (foreseen["uncertain"], foreseen["released"]) == (len(LOST), False)
    done = lost.json("db", "reconcile", "--yes")
    assert {m["message"]: m["mails"] for m in done["mails"]} == {
        mail["message"]: mail["mails"] for mail in foreseen["mails"]
    }
    assert lost.listed() == dict.fromkeys(LOST, 1)

    lost.live(hour(28, 12, month=12))
    everything = [(p, slug) for p in PEOPLE for slug in (*LESSONS, ISSUE, YEARLY)]
    assert lost.arrived() == dict.fromkeys(everything, 1)
    assert len(set(lost.message_ids())) == len(lost.message_ids())


def test_a_backup_made_by_a_clock_that_ran_ahead_hides_nothing_of_the_lost_time(
    lost: Disaster,
) -> None:
    backup = lost.folder / "monday.tar.gz"
    ahead = forge(backup, copied_at=hour(30, 14, month=12))
    lost.run("db", "restore", str(ahead), "--yes")
    lost.run("db", "reconcile", "--yes")
    lost.live(hour(30, 18))
    assert max(lost.arrived().values()) == 1


def test_before_it_is_reconciled_a_restored_database_neither_plans_nor_sends(
    lost: Disaster,
) -> None:
    restore(lost)
    mails = len(lost.relay.accepted)
    for command in (("worker", "--once"), ("run", "--once")):
        lost.run(*command, code=1)
        (line,) = lost.error.splitlines()
        assert "l3mail db reconcile" in line
    lost.run("resume", "--yes")
    assert "l3mail db reconcile" in lost.run("status", "--check", code=1)
    assert lost.json("status")["halted"]
    with lost.village() as village:
        assert village.do(outbox.is_halted)
        agenda = make_agenda(lost.settings, rehearsing=True)
        assert not rounds.run(village.database, lost.clock, agenda, chores=True).planned
        assert village.rows(ENROLLMENT)[0]["next_due_at"] == hour(30, 10)
    assert len(lost.relay.accepted) == mails


def test_no_number_of_the_lost_time_is_given_to_somebody_else(lost: Disaster) -> None:
    with lost.village() as village:
        newcomer = village.person("spaet@schule.example")
        latest = max(row["id"] for row in village.rows())
    restore(lost)
    with lost.village() as village:
        assert village.person("ganz-spaet@schule.example") > newcomer + 1000
    lost.run("db", "reconcile", "--yes")
    with lost.village() as village:
        numbers = [row["id"] for row in village.rows()]
    assert min(number for number in numbers if number > len(PEOPLE)) > latest + 1000


def test_what_fell_due_after_the_last_mail_of_the_lost_time_is_sent(lost: Disaster) -> None:
    restore(lost)
    until = hour(24, 10).isoformat()
    done = lost.json("db", "reconcile", "--sent-until", until, "--yes")
    assert [mail["message"] for mail in done["mails"]] == [YEARLY]
    lost.clock.advance(timedelta(minutes=1))
    lost.live(hour(1, 12, month=12))
    # The relay knows better than the operator who named that moment: these came again.
    assert lost.arrived()[PEOPLE[0], ISSUE] == 2
    assert lost.arrived()[PEOPLE[0], YEARLY] == 1


def test_reconciling_is_noted_keeps_the_identity_and_is_done_once(lost: Disaster) -> None:
    with lost.village() as village:
        (before,) = village.rows(WORKSPACE)
    restore(lost)
    lost.run("db", "reconcile", "--yes")
    assert "nothing to reconcile" in lost.run("db", "reconcile")
    with lost.village() as village:
        (after,) = village.rows(WORKSPACE)
        commands = [row["command"] for row in village.rows(ACTIONS)]
    assert after["uuid"] == before["uuid"]
    assert commands[-2:] == ["db restore", "db reconcile"]
    mark = read_mark(lost.state)
    assert mark is not None
    assert mark.last is None


def test_whoever_wants_json_gets_nothing_else_even_where_somebody_has_to_say_yes(
    lost: Disaster,
) -> None:
    restore(lost)
    assert lost.run("db", "reconcile", "--json", code=1) == ""
    assert f"{len(PEOPLE):,}  newsletter    {ISSUE}" in lost.error
    assert "--yes" in lost.error


def test_the_same_backup_put_back_a_second_time_is_noticed_again(lost: Disaster) -> None:
    for _ in range(2):
        restore(lost)
        lost.run("db", "reconcile", "--yes")
        lost.clock.advance(timedelta(minutes=1))
    lost.live(hour(7, 12, month=12))
    assert set(lost.arrived().values()) == {1}


def test_doubts_of_one_message_are_settled_together(lost: Disaster) -> None:
    restore(lost)
    lost.run("db", "reconcile", "--yes")
    lost.run("outbox", "resolve", "--message", ISSUE, "--arrived", "--yes")
    assert not [slug for _, slug in lost.listed() if slug == ISSUE]
    assert lost.listed("accepted")[PEOPLE[0], ISSUE] == 1
    lost.run("outbox", "resolve", "--message", "newsletter/2026-11", "--arrived", code=1)
    assert "did you mean" in lost.error


def test_a_mail_that_waited_when_the_copy_was_made_is_in_doubt_too(lost: Disaster) -> None:
    restore(lost)
    now = lost.clock.now()
    old: dict[str, Any] = {"planned_at": hour(23, 11), "due_at": hour(23, 11)}
    with lost.village() as village:
        learner = village.rows(SUBSCRIBER)[0]["id"]

        def row(state: str, **values: Any) -> int:
            return village.delivery(learner, slug=f"kurs/{state}", state=state, **old | values)

        doubted = [
            row("queued"),
            row("deferred", next_attempt_at=hour(23, 13)),
            row("held"),
            row("sending", started_at=hour(23, 11), lease_owner="gone"),
            row("uncertain", next_attempt_at=now + timedelta(minutes=10)),
        ]
        certain = {
            row("queued", due_at=now, planned_at=now): "queued",
            row("deferred", next_attempt_at=now + timedelta(hours=1)): "deferred",
            village.report(**old): "queued",
        }
    lost.run("db", "reconcile", "--yes")
    with lost.village() as village:
        for number in doubted:
            found = village.row(DELIVERY, number)
            assert (found["state"], found["next_attempt_at"]) == ("uncertain", None)
        assert {number: village.state(number) for number in certain} == certain


def dump(office: Disaster) -> list[str]:
    with closing(sqlite3.connect(office.file)) as database:
        return list(database.iterdump())


def test_foreseeing_holds_no_writer(office: Disaster, monkeypatch: pytest.MonkeyPatch) -> None:
    office.live(hour(23, 12))
    office.run("db", "backup", str(office.folder / "monday.tar.gz"))
    office.live(hour(30, 14))
    restore(office)
    planning, wrote = rounds.due, []

    def due(connection: Connection, *rest: Any) -> rounds.Round:
        with closing(sqlite3.connect(office.file, timeout=0, isolation_level=None)) as page:
            page.execute("BEGIN IMMEDIATE")
            wrote.append(page.execute("UPDATE workspace SET uuid = uuid").rowcount)
            page.execute("COMMIT")
        return planning(connection, *rest)

    monkeypatch.setattr(rounds, "due", due)
    assert office.json("db", "reconcile", "--dry-run")["uncertain"] == len(LOST)
    assert wrote


def test_a_dry_run_changes_nothing_not_even_the_brake(office: Disaster) -> None:
    office.live(hour(23, 12))
    copy = copied(office)
    office.live(hour(24, 14))
    put_back(office, copy)
    before, mark = dump(office), (office.state / "high-water").read_bytes()
    foreseen = office.json("db", "reconcile", "--dry-run")
    assert foreseen["uncertain"] == 2 * len(PEOPLE)
    assert (dump(office), (office.state / "high-water").read_bytes()) == (before, mark)
    done = office.json("db", "reconcile", "--yes")
    assert done == foreseen | {"released": True}
    nothing = office.json("db", "reconcile")
    assert nothing.keys() == done.keys()
    assert (nothing["restored"], nothing["released"], nothing["mails"]) == (False, False, [])
    assert office.json("db", "reconcile", "--dry-run") == nothing


def test_reconciling_that_ends_anywhere_keeps_the_brake_and_is_done_again(
    lost: Disaster, monkeypatch: pytest.MonkeyPatch
) -> None:
    restore(lost)
    whole, left = Database.write, [0]

    def write(database: Database, verb: Any) -> Any:
        done = whole(database, verb)
        left[0] -= 1
        if not left[0]:
            raise KeyboardInterrupt  # it is written, and whoever wrote it is gone
        return done

    writes = 0
    with monkeypatch.context() as patch:
        patch.setattr(reconciling, "PIECE", 2)
        patch.setattr(Database, "write", write)
        while not left[0]:
            writes += 1
            left[0] = writes
            with opened(lost.settings.database_url) as database:
                assert database.read(outbox.restored_at)
                work = Reconciliation(lost.settings, database, lost.clock.now())
                with suppress(KeyboardInterrupt):
                    work.carry_out("me")
    assert writes > 3
    assert lost.listed() == dict.fromkeys(LOST, 1)


def test_what_is_foreseen_of_an_interrupted_reconciling_begins_where_it_goes_on(
    lost: Disaster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it ended last is of no course: a copy in memory of what planning asks for lacks it."""
    restore(lost)
    with lost.village() as village:
        village.change(TRIGGER, 1, retired_at=village.now)
    whole, end = rounds.due, hour(29, 0)
    lived: list[datetime] = []

    def due(connection: Connection, now: datetime, *rest: Any) -> rounds.Round:
        if now > end:
            raise KeyboardInterrupt
        lived.append(now)
        return whole(connection, now, *rest)

    monkeypatch.setattr(rounds, "due", due)
    with opened(lost.settings.database_url) as database:

        def work() -> Reconciliation:
            return Reconciliation(lost.settings, database, lost.clock.now())

        with pytest.raises(KeyboardInterrupt):
            work().carry_out("me")
        assert {slug for _, slug in lost.listed()} == {ISSUE}
        end = hour(1, 0, month=12)
        lived.clear()
        foreseen, moments = work().foresee(), lived.copy()
        lived.clear()
        assert work().carry_out("me") == foreseen
        assert moments == lived
    assert lived[0] == hour(24, 12)


# A database that is gone


READING = [
    "status",
    "doctor",
    "outbox list",
    "run --once",
    "worker --once",
    "db backup",
    "db upgrade",
]


def lose(office: Disaster, *, but: str = "") -> None:
    """As after `rm` of the database, with all that lies beside it but one."""
    office.file.unlink()
    for suffix in ("-wal", "-shm"):
        beside = office.file.with_name(office.file.name + suffix)
        beside.unlink(missing_ok=True)
        if suffix == but:
            beside.write_bytes(b"what was written last")


def left(office: Disaster) -> dict[str, bytes]:
    return {
        str(path.relative_to(office.state)): path.read_bytes()
        for path in sorted(office.state.rglob("*"))
        if path.is_file() and path.name != "sender.lock"
    }


@pytest.mark.parametrize("command", READING)
def test_no_command_makes_a_new_database_over_one_that_was_lost(
    office: Disaster, command: str
) -> None:
    office.live(hour(23, 12))
    lose(office, but="-wal")
    before = left(office)
    said = office.run(*command.split(), code=1)
    assert "there was a database here (high-water, l3mail.sqlite3-wal" in said + office.error
    assert "l3mail db restore FILE" in said + office.error
    assert left(office) == before


def test_a_lost_database_is_told_with_its_newest_backup(office: Disaster) -> None:
    backups = [office.run("db", "backup").split(": ")[0]]
    office.clock.advance(timedelta(days=1))
    backups.append(office.run("db", "backup").split(": ")[0])
    lose(office)
    office.run("status", code=1)
    (line,) = office.error.splitlines()
    assert f"l3mail db restore {backups[1]}" in line


@pytest.mark.parametrize("pepper", ["lost", "another", "the same"])
def test_after_a_loss_the_backup_is_put_back_by_its_name_alone(
    office: Disaster, pepper: str
) -> None:
    backup = office.folder / "monday.tar.gz"
    office.run("db", "backup", str(backup), "--with-key")
    before = (office.state / "pepper").read_bytes()
    lose(office, but="-wal")
    if pepper != "the same":
        (office.state / "pepper").unlink()
    if pepper == "another":
        (office.state / "pepper").write_text("ab" * 64)
        (office.state / "pepper").chmod(0o600)
    office.run("db", "restore", str(backup), "--yes")
    assert "--with-key" not in office.error
    assert (office.state / "pepper").read_bytes() == before
    office.run("db", "reconcile", "--yes")
    office.run("status")


def test_a_restore_beside_another_key_says_what_becomes_of_links(office: Disaster) -> None:
    backup = office.folder / "monday.tar.gz"
    office.run("db", "backup", str(backup), "--with-key")
    key = office.state / "secret.key"
    before = key.read_bytes()
    lose(office)
    key.write_text("n" * 32)
    office.run("db", "restore", str(backup), "--yes")
    assert "no link in a mail sent so far works" in office.error
    assert "--with-key" in office.error
    assert key.read_text() == "n" * 32
    office.clock.advance(timedelta(minutes=1))
    office.run("db", "restore", str(backup), "--yes", "--with-key")
    assert not office.error
    assert key.read_bytes() == before


def test_a_backup_without_keys_says_which_key_it_needs(office: Disaster) -> None:
    backup = office.folder / "monday.tar.gz"
    office.run("db", "backup", str(backup))
    lose(office)
    office.run("db", "restore", str(backup), "--yes")
    assert "only if state/secret.key is the one of then" in office.error


def test_whoever_wants_to_begin_again_over_a_lost_database_has_to_say_so(office: Disaster) -> None:
    lose(office, but="-wal")
    pepper = (office.state / "pepper").read_bytes()
    office.run("db", "upgrade", code=1)
    assert "l3mail db upgrade --start-empty" in office.error
    said = office.run("db", "upgrade", "--start-empty")
    (aside,) = [
        line.removeprefix("Kept beside: ") for line in said.splitlines() if "beside" in line
    ]
    assert Path(aside).read_bytes() == b"what was written last"
    assert (office.state / "pepper").read_bytes() == pepper
    office.run("status")


def test_a_workspace_without_a_database_is_only_looked_at(tmp_path: Path, desk_words: Any) -> None:
    (tmp_path / "l3mail.toml").write_text("", encoding="utf-8")
    assert "there is no database yet; run `l3mail db upgrade`" in desk_words("status")
    desk_words("doctor")
    assert [path.name for path in tmp_path.iterdir()] == ["l3mail.toml"]
    desk_words("db", "upgrade", code=0)
    assert {"pepper", "secret.key", "l3mail.sqlite3"} <= {
        path.name for path in (tmp_path / "state").iterdir()
    }


# A copy that was put back by hand


def copied(office: Disaster) -> Path:
    return Path(shutil.copy(office.file, office.folder / "by-hand.sqlite3"))


def put_back(office: Disaster, copy: Path) -> None:
    shutil.copy(copy, office.file)


def test_a_file_put_back_by_hand_is_noticed_by_the_next_sender(office: Disaster) -> None:
    office.live(hour(23, 12))
    copy = copied(office)
    office.live(hour(24, 14))
    put_back(office, copy)
    assert "restored copy" in office.run("status")
    assert "restored copy" in office.run("doctor", code=1)
    office.run("worker", "--once", code=1)
    assert "l3mail db reconcile" in office.error
    assert office.json("db", "reconcile", "--yes")["uncertain"] == 2 * len(PEOPLE)
    office.live(hour(30, 12))
    assert set(office.arrived().values()) == {1}


@pytest.mark.parametrize("imported", [False, True], ids=["added", "imported"])
def test_who_is_added_to_a_copy_nobody_noticed_gets_no_number_of_the_lost_time(
    office: Disaster, imported: bool
) -> None:
    with office.village() as village:
        village.publish("notice/confirmation", subject="notice/confirmation")
    shutil.copy(office.file, office.folder / "copy")
    office.live(hour(23, 12))
    shutil.copy(office.folder / "copy", office.file)
    office.clock.set(hour(23, 13))
    if imported:
        (office.folder / "new.csv").write_text("email,streams\nneu@schule.example,kurs\n")
        office.run("subscribers", "import", str(office.folder / "new.csv"), "--yes")
    else:
        office.run("subscribers", "add", "neu@schule.example", "--stream", "kurs")
    office.run("db", "reconcile", "--yes")
    office.live(hour(23, 15))
    ids = office.message_ids()
    assert len(ids) == len(set(ids)) == len(PEOPLE) + 1


def test_a_copy_is_noticed_although_only_an_old_row_was_tried_again(office: Disaster) -> None:
    office.live(hour(23, 12))
    with office.village() as village:
        again = village.rows()[0]["id"]
        village.change(
            DELIVERY, again, state="deferred", next_attempt_at=hour(23, 13), ended_at=None
        )
    copy = copied(office)
    office.live(hour(23, 14))
    with office.village() as village:
        assert village.state(again) == "accepted"
    put_back(office, copy)
    with pytest.raises(RestoredError, match="does not know"):
        office.live(hour(23, 15))


def test_a_copy_made_between_claim_and_start_is_noticed(office: Disaster) -> None:
    office.live(hour(23, 9))
    with office.village() as village:
        delivery = village.delivery(1, slug=LESSONS[0], occurrence="again")
        village.claim()
    copy = copied(office)
    with office.village() as village:
        village.change(DELIVERY, delivery, lease_owner=None, lease_until=None, fence=0)
    office.live(hour(23, 9) + timedelta(minutes=5))
    put_back(office, copy)
    with pytest.raises(RestoredError, match="does not know"):
        office.live(hour(23, 15))


def test_the_database_that_was_always_here_is_never_taken_for_a_copy(office: Disaster) -> None:
    office.live(hour(24, 14))
    with office.village() as village:
        last = max(village.rows(), key=lambda row: row["started_at"])["id"]
        village.do(outbox.resolve, [last], "arrived", village.now)
        village.change(DELIVERY, last, state="failed")
        village.do(outbox.retry, [last])
    office.clock.set(hour(22, 13))  # and the clock was put back
    office.live(hour(7, 12, month=12))


def test_another_database_in_its_place_is_refused(office: Disaster) -> None:
    office.live(hour(23, 12))
    for name in ("", "-wal", "-shm"):
        office.file.with_name(office.file.name + name).unlink(missing_ok=True)
    office.run("db", "upgrade", "--start-empty")
    office.run("worker", "--once", code=1)
    assert "beside another database" in office.error
    office.run("db", "reconcile", "--yes")
    office.live(hour(23, 13))


def test_a_damaged_mark_says_what_to_do(office: Disaster) -> None:
    office.live(hour(23, 12))
    (office.state / "high-water").write_text("{", encoding="ascii")
    office.run("worker", "--once", code=1)
    assert "--sent-until" in office.error
    office.clock.advance(timedelta(hours=1))
    office.json("db", "reconcile", "--sent-until", office.clock.now().isoformat(), "--yes")
    office.live(hour(24, 14))
    assert set(office.arrived().values()) == {1}
