"""What people may ask of us, as an operator types it: messages, exit codes, files."""

import json
import re
import shlex
import shutil
import stat
import zipfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from l3mail.addresses import address_key, parse_address
from l3mail.database import opened
from l3mail.models import ACTIONS, CONSENT, METADATA, SUBSCRIBER, SUPPRESSION
from l3mail.settings import DATABASE_FILE, FILE, load_pepper, make_state
from tests.fakes.desk import SETTINGS, TUESDAY, Desk
from tests.fakes.inhabitant import settled
from tests.fakes.village import PEPPER, Village

ADA = "ada@schule.example"
MORE = """
[attributes.role]
type = "choice"
choices = ["vhs", "schule"]
[attributes.size]
type = "number"
"""


@pytest.fixture
def desk(
    tmp_path: Path, prepared_sqlite: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Desk]:
    (tmp_path / FILE).write_text(SETTINGS + MORE, encoding="utf-8")
    make_state(tmp_path / "state")
    file = tmp_path / "state" / DATABASE_FILE
    shutil.copy(prepared_sqlite, file)
    monkeypatch.chdir(tmp_path)
    with opened(f"sqlite:///{file}") as database:
        village = Village(database)
        village.clock.set(TUESDAY)
        desk = Desk(tmp_path, village, capsys, monkeypatch)
        desk.learner(ADA, first_name="Ada", district="Gorbitz")
        yield desk


def done(desk: Desk) -> tuple[str, dict[str, Any]]:
    last = desk.village.rows(ACTIONS)[-1]
    return last["command"], last["counts"]


def person(desk: Desk) -> dict[str, Any]:
    key = address_key(parse_address(ADA), load_pepper(desk.folder / "state"))
    (row,) = (one for one in desk.village.rows(SUBSCRIBER) if one["address_key"] == key)
    return row


# -- export


def test_an_export_is_a_zip_only_its_owner_may_read(desk: Desk) -> None:
    told = desk.run("privacy", "export", ADA)
    (file,) = desk.folder.glob("*.zip")
    assert file.name == "auskunft-1.zip" in told
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    with zipfile.ZipFile(file) as archive:
        assert "Gorbitz" in archive.read("auskunft.html").decode()
    assert done(desk) == ("privacy export", {"subscribers": 1})
    assert not list(desk.folder.glob("*.part"))


def test_an_export_may_be_json_in_a_file_or_printed(desk: Desk) -> None:
    desk.run("privacy", "export", ADA, "--out", "ada.json")
    printed = desk.json("privacy", "export", ADA)
    assert json.loads(Path("ada.json").read_text(encoding="utf-8")) == printed
    assert printed["person"]["email"] == ADA


@pytest.mark.parametrize(
    ("words", "code", "fault"),
    [
        pytest.param(("bea@schule.example",), 1, "nobody here has the address", id="stranger"),
        pytest.param((ADA, "--out", "ada.pdf"), 2, "neither a .zip nor a .json", id="other form"),
        pytest.param((ADA, "--out", "a.zip", "--json"), 2, "--json prints", id="both"),
        pytest.param((ADA, "--out", "no/a.zip"), 1, "can't be written", id="no folder"),
    ],
)
def test_an_export_that_can_not_be_says_why(
    desk: Desk, words: tuple[str, ...], code: int, fault: str
) -> None:
    desk.run("privacy", "export", *words, code=code)
    assert fault in " ".join(desk.error.replace("│", " ").split())
    assert desk.village.rows(ACTIONS) == []


# -- erase


def test_erasing_shows_what_goes_and_what_stays_and_asks(desk: Desk) -> None:
    desk.village.delivery(1, state="accepted")
    told = desk.run("privacy", "erase", ADA, "--dry-run")
    assert "goes   name, address, birthday, attributes,\n" in told
    assert "1 subscription, 0 enrollments, 0 waiting mails, 0 sign-ups" in told
    assert "0 acts of consent; only their checksums stay" in told
    assert "stays  1 mail, counted without a name" in told
    assert told.endswith("Dry run: nothing is erased.\n")
    desk.run("privacy", "erase", ADA, code=1)
    assert person(desk)["first_name"] == "Ada"
    desk.run("privacy", "erase", ADA, "--yes")
    assert desk.village.row(SUBSCRIBER, 1)["first_name"] is None
    assert done(desk) == ("privacy erase", {"subscribers": 1})


@pytest.mark.parametrize(
    ("setting", "words", "kept"),
    [
        pytest.param("keep", (), True, id="kept as set"),
        pytest.param("erase", (), False, id="erased as set"),
        pytest.param("keep", ("--with-proof",), False, id="erased as said"),
        pytest.param("erase", ("--keep-proof",), True, id="kept as said"),
    ],
)
def test_proof_is_kept_or_goes_as_is_set_or_said(
    desk: Desk, setting: str, words: tuple[str, ...], kept: bool
) -> None:
    with (desk.folder / FILE).open("a", encoding="utf-8") as file:
        file.write(f'[privacy]\nproof_on_erasure = "{setting}"\n[streams.newsletter]\ntitle="N"\n')
    vouched = ("--stream", "newsletter", "--confirmed", "--consent-note", "Ordner 7")
    desk.run("subscribers", "add", "bea@schule.example", *vouched)
    told = desk.run("subscribers", "erase", "bea@schule.example", *words, "--yes")
    assert ("kept apart as proof until 2029-12-31" in told) is kept
    assert any(row["content"] for row in desk.village.rows(CONSENT)) is kept


def test_who_is_erased_and_never_wants_mail_leaves_a_keyed_hash(desk: Desk) -> None:
    key = person(desk)["address_key"]
    told = desk.run("privacy", "erase", ADA, "--never", "--yes")
    assert "never mailed (never), as a keyed hash" in told
    (barred,) = desk.village.rows(SUPPRESSION)
    assert (barred["address_key"], barred["reason"], barred["note"]) == (key, "never", None)


def test_after_erasing_no_file_of_the_state_holds_anything_of_the_person(desk: Desk) -> None:
    """Bytes, not rows: what was there before stands in freed pages and in the log."""
    state = desk.folder / "state"
    (state / "pepper").write_text(PEPPER.hex())
    ada = settled(desk.village, "eva@schule.example")
    held = b"".join(file.read_bytes() for file in state.iterdir())
    assert all(canary.encode() in held for canary in ada.canaries if canary[0] == "A")
    desk.run("privacy", "erase", ada.address, "--with-proof", "--yes")
    for file in state.rglob("*"):
        content = file.read_bytes() if file.is_file() else b""
        found = [one for one in (*ada.canaries, "eva@") if one.encode() in content]
        assert found == [], file.name
        assert ada.key.hex().encode() not in content, file.name
    assert {row["address_key"] for row in desk.village.rows(SUPPRESSION)} == {ada.key}


# -- correct


def test_a_correction_shows_before_and_after_asks_and_says_how_to_take_it_back(desk: Desk) -> None:
    words = ("--last-name", "Lovelace", "--clear", "district", "--attr", "size=12")
    born = desk.run("privacy", "correct", ADA, "--birthday", "10.12.", "--dry-run")
    assert "  birthday: (nothing) -> 10 December\n" in born
    told = desk.run("privacy", "correct", ADA, *words, "--dry-run")
    assert "  last_name: (nothing) -> Lovelace\n" in told
    assert "  district: Gorbitz -> (nothing)\n" in told
    assert "  attrs.size: (nothing) -> 12\n" in told
    desk.run("privacy", "correct", ADA, *words, code=1)
    before = person(desk)
    assert before["last_name"] is None
    told = desk.run("privacy", "correct", ADA, *words, "--yes")
    after = person(desk)
    assert (after["last_name"], after["district"], after["attributes"]) == (
        "Lovelace",
        None,
        {"size": 12},
    )
    assert done(desk) == ("privacy correct", {"corrected": ["attrs.size", "district", "last_name"]})
    back = shlex.split(told.splitlines()[-1].partition("take it back: ")[2])[1:]
    desk.run(*back, "--yes")
    assert person(desk) == before


@pytest.mark.parametrize("birthday", ["1980-05-17", "--05-17"])
def test_every_kind_of_value_can_be_put_back(desk: Desk, birthday: str) -> None:
    first = (f"--birthday={birthday}", "--locale", "en", "--attr", "role=vhs", "--attr", "size=-3")
    desk.run("privacy", "correct", ADA, *first, "--yes")
    before = person(desk)
    clear = ("--clear", "birthday", "--clear", "locale", "--clear", "role", "--clear", "attrs.size")
    told = desk.run("privacy", "correct", ADA, *clear, "--yes")
    assert (person(desk)["birth_month"], person(desk)["attributes"]) == (None, {})
    back = shlex.split(told.splitlines()[-1].partition("take it back: ")[2])[1:]
    desk.run(*back, "--yes")
    assert person(desk) == before


@pytest.mark.parametrize(
    ("words", "code", "fault"),
    [
        pytest.param((), 2, "say what to put right", id="nothing"),
        pytest.param(("--clear", "email"), 1, "is no field here", id="no field"),
        pytest.param(("--last-name", " "), 1, "say --clear last_name", id="empty"),
        pytest.param(("--attr", "role=vh"), 1, 'did you mean "vhs"?', id="no choice"),
        pytest.param(("--attr", "rol=vhs"), 1, 'did you mean "role"?', id="misspelt"),
        pytest.param(("--attr", "role"), 2, "has no value", id="no value"),
        pytest.param(("--birthday", "31.02."), 1, "no day of the calendar", id="no day"),
    ],
)
def test_a_correction_that_can_not_be_says_why(
    desk: Desk, words: tuple[str, ...], code: int, fault: str
) -> None:
    desk.run("privacy", "correct", ADA, *words, "--yes", code=code)
    assert fault in " ".join(desk.error.replace("│", " ").split())
    assert desk.village.rows(ACTIONS) == []


def test_a_correction_of_what_is_so_already_changes_nothing(desk: Desk) -> None:
    assert "nothing is changed" in desk.run("privacy", "correct", ADA, "--first-name", "Ada")
    assert desk.village.rows(ACTIONS) == []


# -- restrict


def test_who_is_restricted_is_stored_and_in_no_list_that_leaves_the_house(desk: Desk) -> None:
    desk.learner("bea@schule.example")
    note = "rief an, auch von ada@privat.example"
    told = desk.run("privacy", "restrict", ADA, "--note", note)
    assert f"`l3mail privacy restrict {ADA} --lift` ends it" in told
    assert done(desk)[1] == {"subscribers": 1, "note": "rief an, auch von (address)"}
    assert "restricted already" in desk.run("privacy", "restrict", ADA)
    assert [one["email"] for one in json.loads(desk.run("subscribers", "export", "--json"))] == [
        "bea@schule.example"
    ]
    assert desk.json("segments", "count", "stream('kurs')")["count"] == 1
    assert "active, restricted" in desk.run("subscribers", "list")
    assert "restricted  2026-11-24  only stored" in desk.run("subscribers", "show", ADA)
    assert "restricted since" in desk.run("explain", ADA)
    assert "is used again" in desk.run("privacy", "restrict", ADA, "--lift")
    assert desk.json("segments", "count", "stream('kurs')")["count"] == 2
    assert "was not restricted" in desk.run("privacy", "restrict", ADA, "--lift")


# -- record


def test_the_record_is_printed_or_written_as_page_or_markdown(desk: Desk) -> None:
    printed = desk.run("privacy", "record")
    assert printed.startswith("# Verzeichnis der Verarbeitungstätigkeit\n")
    told = desk.run("privacy", "record", "--out", "verzeichnis.html")
    assert "lists what is left for you to fill in" in told
    assert "<html lang=" in Path("verzeichnis.html").read_text(encoding="utf-8")
    desk.run("privacy", "record", "--out", "verzeichnis.md")
    assert Path("verzeichnis.md").read_text(encoding="utf-8") == printed
    desk.run("privacy", "record", "--out", "verzeichnis.doc", code=2)


# -- list, retention


def test_the_list_tells_of_the_restricted_and_of_kept_proof_without_a_name(desk: Desk) -> None:
    assert "Nobody is restricted" in desk.run("privacy", "list")
    desk.run("privacy", "restrict", ADA)
    with (desk.folder / FILE).open("a", encoding="utf-8") as file:
        file.write('[streams.newsletter]\ntitle="N"\n')
    vouched = ("--stream", "newsletter", "--confirmed", "--consent-note", "Ordner 7")
    desk.run("subscribers", "add", "bea@schule.example", *vouched)
    desk.run("privacy", "erase", "bea@schule.example", "--keep-proof", "--yes")
    told = desk.json("privacy", "list")
    assert [(one["state"], one["email"], one["proof_until"]) for one in told] == [
        ("restricted", ADA, None),
        ("erased", None, "2029-12-31"),
    ]
    assert "number 2" in desk.run("privacy", "list")
    assert desk.json("privacy", "list", "--status", "restricted") == told[:1]
    assert desk.json("privacy", "list", "--search", "2") == told[1:]
    assert desk.json("privacy", "list", "--limit", "1") == told[1:]
    assert "The newest 1 of 2" in desk.run("privacy", "list", "--limit", "1")
    desk.run("privacy", "list", "--status", "gone", code=2)


def test_what_is_too_old_is_shown_before_it_goes(desk: Desk) -> None:
    past = TUESDAY - timedelta(days=3 * 365 + 40)
    for moment in (past, TUESDAY - timedelta(days=40)):
        ended = {"started_at": moment, "ended_at": moment, "due_at": moment}
        desk.village.delivery(1, "lesson", **{"state": "accepted"} | ended)
    told = desk.run("privacy", "retention", "--dry-run")
    assert re.search(r"deliveries\s+36 months\s+1\s+0\s+2029-10-16", told)
    assert desk.json("privacy", "retention")[0]["goes"] == 1
    desk.run("privacy", "retention", code=1)
    assert len(desk.village.rows()) == 2
    assert "1 row went" in desk.run("privacy", "retention", "--yes")
    assert len(desk.village.rows()) == 1
    assert done(desk) == ("privacy retention", {"gone": 1})
    assert "There is nothing to do." in desk.run("privacy", "retention")


def test_another_address_has_to_answer_for_itself(desk: Desk) -> None:
    desk.village.publish("notice/new-address")
    new = ("--email", "bea@schule.example")
    told = desk.run("privacy", "correct", ADA, *new, "--dry-run")
    assert f"email: {ADA} -> bea@schule.example, once it has said yes" in told
    assert desk.village.rows() == []
    assert "is asked" in desk.run("privacy", "correct", ADA, *new, "--yes")
    assert [row["slug"] for row in desk.village.rows()] == ["notice/new-address"]
    assert person(desk)["address"] == ADA
    assert done(desk) == ("privacy correct --email", {"asked": 1})
    desk.run("privacy", "correct", ADA, "--email", ADA, "--yes", code=1)
    assert "that is the address on file" in desk.error
    desk.run("privacy", "correct", ADA, *new, "--last-name", "L", code=2)


@pytest.mark.parametrize("door", ["a wish", "a sign-up"])
def test_an_address_that_stands_in_a_wish_or_a_sign_up_alone_is_erased(
    desk: Desk, door: str
) -> None:
    bea = "bea@schule.example"
    desk.village.publish("notice/new-address")
    desk.village.publish("notice/confirmation")
    if door == "a wish":
        desk.run("privacy", "correct", ADA, "--email", bea, "--yes")
    else:
        with (desk.folder / FILE).open("a", encoding="utf-8") as file:
            file.write('[streams.newsletter]\ntitle="N"\n')
        desk.run("subscribers", "add", bea, "--stream", "newsletter", "--last-name", "Lovelace")
    assert "Erased." in desk.run("privacy", "erase", bea, "--yes")
    rows = [desk.village.rows(table) for table in METADATA.sorted_tables]
    assert [word for word in (bea, "Lovelace") if word in str(rows)] == []
    assert person(desk)["address"] == ADA
    assert [row["state"] for row in desk.village.rows()] == ["queued"]
    assert desk.village.start(lane=0) == []
