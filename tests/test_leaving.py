"""Leaving: everything goes along, explained, safe to open, and nothing that is secret."""

import csv
import hashlib
import json
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel, SecretStr
from sqlalchemy import Column
from sqlalchemy.sql.visitors import iterate

from l3mail import consents, leaving
from l3mail.errors import WorkspaceError
from l3mail.leaving import going, guides, words
from l3mail.leaving.sheets import (
    COLUMNS_LEFT_BEHIND,
    DO_NOT_MAIL,
    LEFT_BEHIND,
    RESTRICTED,
    SHEETS,
    WITH_PEOPLE,
    cell,
)
from l3mail.models import EVENT, METADATA, SEGMENT, SUBSCRIBER
from l3mail.settings import Settings, Web
from tests.fakes.desk import Desk, at_a_desk
from tests.fakes.porch import open_settings
from tests.fakes.village import PEPPER, Village

FORMULA = '=HYPERLINK("http://evil.example")'


def test_every_table_goes_along_or_is_said_to_stay_behind() -> None:
    whole = [sheet.table.name for sheet in SHEETS if sheet.only is None]
    named = [*whole, *WITH_PEOPLE, *LEFT_BEHIND]
    assert sorted(named) == sorted(METADATA.tables)
    assert set(LEFT_BEHIND) == set(words.LEFT_BEHIND)


def test_every_column_of_what_goes_along_does_too_or_is_said_to_stay_behind() -> None:
    """A column that is added later may not be lost in silence."""
    for sheet in (one for one in SHEETS if one.only is None):
        table = sheet.table
        told = {part for column in sheet.columns.values() for part in iterate(column)}
        # A reference is told by the slug of what it leads to.
        led_to = {part.table.name for part in told if isinstance(part, Column)}
        assert table.name in led_to
        left = {
            column.name
            for column in table.columns
            if column not in told
            and not ({key.column.table.name for key in column.foreign_keys} & led_to)
        }
        assert left == set(COLUMNS_LEFT_BEHIND.get(table.name, ())), table.name


def test_the_guide_has_words_for_every_file_and_column_and_no_others() -> None:
    sheets = (*SHEETS, RESTRICTED, DO_NOT_MAIL)
    assert set(words.FILES) == {sheet.name for sheet in sheets} | {"subscribers", "lists/*"}
    used = {column for name in words.FILES for column in guides.columns_of(name)}
    assert set(words.COLUMNS) == used
    texts = [text for pair in (*words.FILES.values(), *words.COLUMNS.values()) for text in pair]
    assert all(text and "\u2014" not in text for text in texts)


def settle(village: Village) -> dict[str, int]:
    """Somebody of every fate; their numbers by name."""
    newsletter, kurs = village.stream("newsletter", "newsletter"), village.stream()
    who = {
        "ada": village.person("ada@x.example", first_name=FORMULA, attributes={"role": "+1"}),
        "bob": village.person("bob@x.example", restricted_at=village.now),
        "eve": village.person("eve@x.example"),
        "kim": village.person("kim@x.example"),
        "zoe": village.person("zoe@x.example"),
    }
    for name in ("ada", "bob", "eve", "zoe"):
        village.subscribe(who[name], newsletter)
    village.subscribe(who["kim"], newsletter, "unsubscribed", unsubscribed_at=village.now)
    village.subscribe(who["ada"], kurs)
    village.suppress(who["eve"], "complaint")
    village.do(consents.declare_wording, "newsletter", "de", "Ja, gern.", village.now)
    village.do(consents.note, "attested", who["ada"], {"streams": ["newsletter"]}, village.now)
    message = village.publish("newsletter/2026-12", kind="newsletter", html="<p>Hallo</p>")
    village.number_links(message, "https://stadt.example/", name="mehr")
    mail = village.delivery(
        who["ada"], "newsletter", slug="newsletter/2026-12", message_id=message, state="accepted",
        campaign_id=village.campaign(),
    )  # fmt: skip
    village.insert(
        EVENT,
        kind="answered",
        at=village.now,
        subscriber_id=who["ada"],
        delivery_id=mail,
        name="q1",
        data={"value": "b", "comment": "@SUM(1)"},
    )
    village.insert(SEGMENT, name="alle", expression="true", saved_at=village.now)
    village.change(SUBSCRIBER, who["zoe"], address=None, address_key=None, erased_at=village.now)
    return who


def table(folder: Path, name: str) -> list[dict[str, str]]:
    with (folder / f"{name}.csv").open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "ws").mkdir()
    told = open_settings(tmp_path / "ws", '[alerts]\nheartbeat_url = "https://hc.example/secret"\n')
    picture = told.state_dir / "media" / "00ff00ff00ff00ff" / "bild.png"
    picture.parent.mkdir(parents=True)
    picture.write_bytes(b"\x89PNG")
    return told


def test_everything_lies_in_the_folder_as_the_guide_says(
    village: Village, settings: Settings, tmp_path: Path
) -> None:
    settle(village)
    target = tmp_path / "umzug"
    told: list[float] = []

    foreseen = leaving.foresee(village.database, settings)
    luggage = leaving.leave(
        village.database, settings, target, lambda _what, share: told.append(share)
    )

    assert luggage == foreseen
    assert (told[-1], sorted(told)) == (1.0, told)
    for sheet in SHEETS:
        if sheet.only is None:
            assert len(table(target, sheet.name)) == len(village.rows(sheet.table)), sheet.name
    for name, count in luggage.rows.items():
        assert len(table(target, name)) == count, name
    assert [row["email"] for row in table(target, "subscribers")] == [
        "ada@x.example", "eve@x.example", "kim@x.example",
    ]  # fmt: skip
    assert [row["email"] for row in table(target, "restricted")] == ["bob@x.example"]
    assert [row["email"] for row in table(target, "lists/newsletter")] == ["ada@x.example"]
    assert {row["email"]: row["reason"] for row in table(target, "lists/do-not-mail")} == {
        "bob@x.example": "restricted",
        "eve@x.example": "complaint",
        "kim@x.example": "unsubscribed",
    }
    [answer] = table(target, "answers")
    assert (answer["slug"], answer["value"]) == ("newsletter/2026-12", "b")
    assert [row["stream"] for row in table(target, "deliveries")] == ["kurs"]
    [act] = table(target, "consents")
    assert len(act["digest"]) == len(act["link"]) == 64
    people = json.loads((target / "subscribers.json").read_text(encoding="utf-8"))
    assert people[0]["first_name"] == FORMULA
    assert len(list((target / "texts").rglob("*.md"))) == 1
    assert [p.read_text() for p in (target / "html").rglob("*.html")] == ["<p>Hallo</p>"]
    assert [p.read_text() for p in (target / "wordings").iterdir()] == ["Ja, gern."]
    assert (target / "media/00ff00ff00ff00ff/bild.png").read_bytes() == b"\x89PNG"
    for guide in ("README.md", "LIESMICH.md"):
        text = (target / guide).read_text(encoding="utf-8")
        assert all(f"### {name}.csv" in text for name in luggage.rows)


def hashed(first: bytes, second: bytes) -> bytes:
    """As the guide says it."""
    size = len(first).to_bytes(4, "big")
    person = b"l3mail-consent"
    return hashlib.blake2b(size + first + second, digest_size=32, person=person).digest()


def test_whoever_has_the_folder_alone_can_verify_the_chain(
    sqlite_village: Village, settings: Settings, tmp_path: Path
) -> None:
    village = sqlite_village
    who = settle(village)
    village.do(consents.note, "withdrawn", who["kim"], {"ä": 'Nein, "danke"'}, village.now)
    village.do(consents.forget, who["ada"])
    leaving.leave(village.database, settings, tmp_path / "umzug", lambda _what, _share: None)

    [workspace] = table(tmp_path / "umzug", "workspace")
    link = bytes.fromhex(workspace["chain_start"])
    acts = table(tmp_path / "umzug", "consents")
    assert [bool(act["salt"]) for act in acts] == [False, True]
    for act in acts:
        digest = bytes.fromhex(act["digest"])
        link = hashed(link, digest)
        assert link.hex() == act["link"]
        if act["salt"]:
            told = [act["act"], int(act["person"]), act["at"], json.loads(act["content"])]
            text = json.dumps(told, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
            assert digest == hashed(bytes.fromhex(act["salt"]), text.encode())


def test_no_cell_is_a_formula_no_file_is_open_and_nothing_secret_is_in_any(
    sqlite_village: Village, settings: Settings, tmp_path: Path
) -> None:
    village = sqlite_village
    settle(village)
    target = tmp_path / "umzug"
    leaving.leave(village.database, settings, target, lambda _what, _share: None)

    for path in (target, *target.rglob("*")):
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode == (0o700 if path.is_dir() else 0o600), path
        if path.is_file() and path.suffix != ".png":
            text = path.read_text(encoding="utf-8")
            for secret in (PEPPER.decode(), PEPPER.hex(), "hc.example"):
                assert secret not in text, path
        if path.suffix == ".csv":
            for row in csv.reader(path.read_text("utf-8-sig").splitlines()):
                assert not any(one.startswith(tuple("=+-@\t\r")) for one in row)


class WebOfTomorrow(Web):
    """A section with a secret that nobody has thought of yet."""

    api_token: SecretStr = SecretStr("never-told-1")


class SettingsOfTomorrow(Settings):
    """Settings whose next version has two secrets more."""

    web: WebOfTomorrow = WebOfTomorrow()
    signing_key: SecretStr = SecretStr("never-told-2")
    signing_key_file: str = "never-told-3"


def test_a_secret_that_comes_with_a_later_version_does_not_go_along(
    sqlite_village: Village, settings: Settings, tmp_path: Path
) -> None:
    later = SettingsOfTomorrow(folder=settings.folder, alerts=settings.alerts)
    leaving.leave(sqlite_village.database, later, tmp_path / "umzug", lambda _what, _share: None)

    text = (tmp_path / "umzug" / "settings.json").read_text(encoding="utf-8")
    assert "never-told" not in text
    assert json.loads(text)["alerts"]["heartbeat_url"] == "**********"
    assert json.loads(text)["web"]["base_url"] == later.web.base_url


def test_what_is_called_a_secret_is_declared_as_one() -> None:
    def named(section: type[BaseModel]) -> Iterator[tuple[str, Any]]:
        for name, key in section.model_fields.items():
            yield name, key.annotation
            for one in (key.annotation, *get_args(key.annotation)):
                if isinstance(one, type) and issubclass(one, BaseModel):
                    yield from named(one)

    found = dict(named(Settings))
    assert {"heartbeat_url", "base_url", "smtp_password"} <= found.keys()
    for name, kind in found.items():
        if re.search(r"password|secret|token|key|pin\b", name):
            assert SecretStr in (kind, *get_args(kind)), name


def test_a_folder_with_something_in_it_is_refused_and_an_empty_one_is_taken(
    sqlite_village: Village, settings: Settings, tmp_path: Path
) -> None:
    full, empty = tmp_path / "full", tmp_path / "empty"
    for folder in (full, empty):
        folder.mkdir()
    (full / "mine.txt").write_text("mine")

    for taken in (full, full / "mine.txt"):
        with pytest.raises(WorkspaceError, match="name a new or an empty folder"):
            leaving.leave(sqlite_village.database, settings, taken, lambda _what, _share: None)
    with pytest.raises(WorkspaceError, match=f"no folder {tmp_path / 'no'}; make it first"):
        leaving.leave(sqlite_village.database, settings, tmp_path / "no/where", lambda _w, _s: None)
    leaving.leave(sqlite_village.database, settings, empty, lambda _what, _share: None)
    assert (empty / "README.md").exists()
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".")) == []


def test_who_is_interrupted_leaves_nothing_behind(
    sqlite_village: Village, settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / ".umzug.leaving-killed").mkdir()

    def stop(_what: str, _share: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        leaving.leave(sqlite_village.database, settings, tmp_path / "umzug", stop)
    assert [path.name for path in tmp_path.iterdir() if "umzug" in path.name] == []


@pytest.mark.parametrize(
    ("slug", "place"),
    [
        ("newsletter/2026-12", "newsletter/2026-12"),
        ("../../etc", "_/_/etc"),
        ("/", "_"),
        ("ä", "_"),
    ],
)
def test_no_slug_leads_out_of_the_folder(slug: str, place: str) -> None:
    assert going._safe(slug) == place


def test_cells_are_read_by_every_program() -> None:
    assert [cell(one) for one in (None, True, b"\x0f", {"b": 1, "a": "ä"}, ["x"], 3)] == [
        "", "true", "0f", '{"a": "ä", "b": 1}', '["x"]', "3",
    ]  # fmt: skip


# -- the command


@pytest.fixture
def desk(tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    with at_a_desk(tmp_path, capsys, monkeypatch) as desk:
        yield desk


def test_the_command_shows_what_it_would_write_and_writes_it(desk: Desk, tmp_path: Path) -> None:
    desk.learner("ada@x.example")
    target = tmp_path / "umzug"

    foreseen = desk.json("leave", str(target), "--dry-run")
    told = desk.run("leave", str(target), "--dry-run")
    for name, count in foreseen["rows"].items():
        assert told.count(f"  {name}.csv: {count}\n") == bool(count)
        assert bool(re.search(rf"with a heading alone: .*\b{name}(,|\n)", told)) == (not count)
    desk.run("leave", str(desk.folder / "nowhere" / "umzug"), code=1)
    assert desk.error.endswith("nowhere; make it first\n")
    assert (foreseen["rows"]["subscribers"], foreseen["dry_run"]) == (1, True)
    assert not target.exists()
    assert "begin with README.md or LIESMICH.md" in desk.run("leave", str(target))
    assert [row["email"] for row in table(target, "lists/kurs")] == ["ada@x.example"]
    desk.run("leave", str(target), code=1)
    assert "name a new or an empty folder" in desk.error
