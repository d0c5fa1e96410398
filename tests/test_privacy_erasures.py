"""Erased is erased: also what pages erased, and also after an older backup was put back."""

import asyncio
import stat
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from l3mail import consents, subscribers
from l3mail.addresses import parse_address
from l3mail.models import CONSENT, DELIVERY, LINK_REQUEST, METADATA, SIGNUP, SUBSCRIBER, SUPPRESSION
from l3mail.privacy import erasures
from l3mail.subscribers import Rules
from l3mail.wiring import leave_no_trace, make_rules
from tests.fakes.disaster import PEOPLE, Disaster, hour, on_a_sunday
from tests.fakes.inhabitant import settled
from tests.fakes.newcomer import RULES
from tests.fakes.village import Village

UUID = "3f2504e0-4f89-41d3-9a0c-0305e82c3301"


@pytest.fixture
def office(tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    with on_a_sunday("sqlite", tmp_path, capsys, monkeypatch) as disaster:
        yield disaster


def erase(village: Village, rules: Rules, person: int) -> None:
    village.database.write(
        lambda connection: subscribers.erase(connection, rules, person, village.now, by="amt")
    )


def test_who_was_erased_after_a_backup_is_erased_again_after_its_restore(office: Disaster) -> None:
    office.run("db", "backup", str(office.folder / "l3mail.tar.gz"))
    office.clock.advance(timedelta(hours=1))
    with office.village() as village:
        erase(village, make_rules(office.settings), 1)
    office.clock.advance(timedelta(hours=1))
    office.run("db", "restore", str(office.folder / "l3mail.tar.gz"), "--yes")
    with office.village() as village:
        assert village.row(SUBSCRIBER, 1)["address"] == PEOPLE[0]
    told = office.run("db", "reconcile", "--yes")
    assert "1 person erased in the lost time: erased here again." in told
    with office.village() as village:
        assert village.row(SUBSCRIBER, 1)["address"] is None
        assert village.row(SUBSCRIBER, 2)["address"] == PEOPLE[1]
        assert [row for row in village.rows(DELIVERY) if row["subscriber_id"] == 1] == []
    ours = (file for file in office.state.glob("l3mail.sqlite3*") if "before" not in file.name)
    assert PEOPLE[0].encode() not in b"".join(file.read_bytes() for file in ours)


def test_who_moved_after_a_backup_gets_nothing_at_the_old_address_after_its_restore(
    office: Disaster,
) -> None:
    rules = make_rules(office.settings)
    office.run("db", "backup", str(office.folder / "l3mail.tar.gz"))
    office.clock.advance(timedelta(hours=1))
    with office.village() as village:
        new = parse_address("neu@schule.example")
        village.do(subscribers.ask_new_address, rules, 1, new, village.now)
        offer = next(r["id"] for r in village.rows(LINK_REQUEST) if r["purpose"] == "address")
        village.do(subscribers.take_new_address, rules, offer, village.now)
        assert leave_no_trace(office.settings, village.database)
    text = (office.state / erasures.MOVED).read_text(encoding="ascii")
    assert (len(text.splitlines()), "@" in text) == (1, False)
    office.clock.advance(timedelta(days=8))  # a lesson went, to the new address
    office.run("db", "restore", str(office.folder / "l3mail.tar.gz"), "--yes")
    told = office.run("db", "reconcile", "--yes")
    assert "1 person moved to another address in the lost time" in told
    with office.village() as village:
        assert village.row(SUBSCRIBER, 1)["address"] == PEOPLE[0]
        assert [row["id"] for row in village.rows(SUBSCRIBER) if row["restricted_at"]] == [1]
        # What they had is in doubt as everybody's: nothing of it goes again once it is lifted.
        doubted = [
            sorted(row["slug"] for row in village.rows() if row["subscriber_id"] == person)
            for person in (1, 2)
        ]
        assert doubted[0] == doubted[1] != []
    assert "nothing to reconcile" in office.run("db", "reconcile", "--yes")


def test_who_moved_is_noted_and_let_rest_once(village: Village, tmp_path: Path) -> None:
    person, copied_at = village.person(), village.now
    village.clock.advance(timedelta(hours=1))
    village.do(consents.note, "address_changed", person, {}, village.now)

    def note() -> int:
        return village.database.read(lambda one: erasures.note(one, tmp_path))

    def rest(since: datetime) -> int:
        return village.do(erasures.let_rest, RULES, tmp_path, since, village.now)

    assert [note(), note()] == [1, 0]
    assert rest(village.now) == 0
    assert [rest(copied_at), rest(copied_at)] == [1, 0]
    assert village.row(SUBSCRIBER, person)["restricted_at"] == village.now


def test_notes_on_the_erased_say_nothing_of_anybody_and_are_made_once(
    sqlite_village: Village, tmp_path: Path
) -> None:
    ada = settled(sqlite_village)
    ada.erase()

    def note() -> int:
        return sqlite_village.database.read(lambda one: erasures.note(one, tmp_path))

    assert [note(), note()] == [1, 0]
    file = tmp_path / erasures.FILE
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    text = file.read_text(encoding="ascii")
    assert text.split()[1] == str(ada.id)
    assert [one for one in ada.canaries if one in text] == []
    file.write_text(text[:-9], encoding="ascii")  # as a power cut leaves it
    assert note() == 1
    assert sqlite_village.database.read(lambda one: erasures.note(one, tmp_path)) == 0


def test_only_what_was_erased_after_the_copy_was_made_is_erased_again(
    sqlite_village: Village, tmp_path: Path
) -> None:
    person = sqlite_village.person()
    uuid = sqlite_village.database.read(
        lambda one: one.exec_driver_sql("SELECT uuid FROM workspace").scalar_one()
    )
    copied_at = sqlite_village.now
    for when, whose in ((hour(20, 9), uuid), (hour(25, 9), UUID)):
        (tmp_path / erasures.FILE).write_text(f"{whose} {person} {when.isoformat()}\nscrap")
        again = sqlite_village.do(erasures.again, RULES, tmp_path, copied_at, sqlite_village.now)
        assert again == 0
    (tmp_path / erasures.FILE).write_text(f"{uuid} {person} {hour(25, 9).isoformat()}\n")
    again = sqlite_village.do(erasures.again, RULES, tmp_path, copied_at, sqlite_village.now)
    assert again == 1
    assert sqlite_village.row(SUBSCRIBER, person)["erased_at"] == sqlite_village.now


def test_the_ticks_chores_note_the_erased_and_empty_the_log(office: Disaster) -> None:
    from l3mail.ticks import Ticker
    from l3mail.wiring import leave_no_trace, make_agenda

    with office.village() as village:
        erase(village, make_rules(office.settings), 1)
        wal = Path(f"{office.file}-wal")
        assert PEOPLE[0].encode() in wal.read_bytes() + office.file.read_bytes()

        async def tidy() -> None:
            await asyncio.to_thread(leave_no_trace, office.settings, village.database)

        agenda = make_agenda(office.settings)
        ticker = Ticker(village.database, office.clock, agenda, tidy=tidy)
        asyncio.run(ticker.tick())
        assert PEOPLE[0].encode() not in wal.read_bytes() + office.file.read_bytes()
    assert (office.state / erasures.FILE).exists()


@pytest.mark.parametrize("keep_proof", [True, False])
def test_of_the_erased_no_table_holds_a_word(village: Village, keep_proof: bool) -> None:
    ada = settled(village)
    bea = settled(village, "bea@schule.example", mark="Bea", birthday="1961-02-03")
    village.report(state="accepted")
    ada.erase(keep_proof=keep_proof)
    for table in METADATA.sorted_tables:
        rows = village.rows(table)
        text = str(rows)
        kept = table is CONSENT and keep_proof
        # A form's source is part of the proof that it was filled in.
        found = [one for one in ada.canaries if one in text and not kept]
        assert found == [], table.name
        if table not in {SIGNUP, SUPPRESSION} and not kept:
            assert str(ada.key) not in text, table.name
            assert ada.key.hex() not in text, table.name
    assert all(
        any(one in str(village.rows(table)) for table in METADATA.sorted_tables)
        for one in bea.canaries
        if one.startswith("Bea")
    )
