"""Markup, formulas and templates in everything a person may say, at once, and then everywhere.

The canaries come in by the doors that strangers use. Wherever they are shown, they are literal or
escaped; where nobody needs them, in logs, links and errors, they are not.
"""

import csv
import io
import logging
import re
import shlex
import shutil
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from l3mail.addresses import address_key, parse_address
from l3mail.models import SUBSCRIBER
from l3mail.settings import load_pepper
from l3mail.tokens import Purpose
from tests.fakes.desk import Desk, at_a_desk
from tests.fakes.midst import FORM, SETTINGS, Knock, Midst, knocking, midst
from tests.fakes.porch import TOKENS, Porch, open_porch

BITE = "<img src=x onerror=kanari()>{{ 7*7 }}{% raw %}[red]%(x)s{0}</title>\"'&"
"""What a page, a template, a terminal, a log and a format would each make something of."""


def canary(place: str) -> str:
    """One that a spreadsheet bites on too, told apart by where it was typed."""
    return f"=cmd|{place}{BITE}"


PLACES = ("first_name", "last_name", "salutation", "district", "ziel")
SOURCE, COMMENT = canary("source")[:60], canary("comment")
COMMANDS = """
subscribers list
subscribers show eve@schule.example
subscribers show eve@schule.example --json
subscribers export --csv
subscribers export --json
explain eve@schule.example
answers list
answers list --json
answers export --csv
outbox list
outbox list --json
courses progress kurs
status
segments count 'attrs.ziel != "x"'
report weekly --out reports
privacy export eve@schule.example
consent list
consent show eve@schule.example
simulate --weeks 2
"""


@pytest.fixture
def desk(tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    with at_a_desk(tmp_path, capsys, monkeypatch) as desk:
        yield desk


class Tags(HTMLParser):
    """Every tag of a page, with the names of its attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, tuple[str, ...]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, tuple(name for name, _ in attrs)))


def is_harmless(html: str) -> bool:
    """Whether nothing on a page runs, and no template was filled twice."""
    runs = [one for one in Tags(html).found if "onerror" in one[1]]
    return not runs and "=cmd|first_name<img" not in html and "49{%" not in html


def post(knock: Knock, path: str, **said: Any) -> int:
    return knock("POST", path, urlencode(said, doseq=True).encode(), FORM).status


def come_in(porch: Porch, knock: Knock, someone: Midst) -> tuple[int, int]:
    """Eve signs up with a canary in every field, confirms, and says more."""
    said = {place: canary(place) for place in PLACES}
    said |= {"email": "eve@schule.example", "source": SOURCE}
    assert post(knock, "/subscribe", stream=["kurs", "newsletter"], **said) == 200
    confirm = porch.confirmation()
    page = knock("GET", confirm)
    assert b"=cmd|first_name" in page.body
    assert is_harmless(page.body.decode())
    assert post(knock, confirm, stream=["kurs", "newsletter"]) == 200
    village = porch.village
    (eve,) = (row["id"] for row in village.rows(SUBSCRIBER) if row["address"].startswith("eve@"))
    now: dict[str, Any] = dict.fromkeys(("started_at", "first_started_at", "ended_at"), village.now)
    values: dict[str, Any] = {"message_id": someone.message, "state": "accepted", "tracked": True}
    lesson = village.delivery(eve, **values, **now)
    act = TOKENS.make(Purpose.ACT, lesson)
    assert post(knock, f"/feedback/{act}", of="nutzen", answer="5", comment=COMMENT) == 200
    return eve, lesson


def test_what_people_say_of_themselves_is_only_ever_shown(
    desk: Desk, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.DEBUG)
    village = desk.village
    with open_porch(village, desk.folder, SETTINGS) as porch, knocking(porch) as knock:
        someone = midst(village)
        eve, lesson = come_in(porch, knock, someone)
        (row,) = (row for row in village.rows(SUBSCRIBER) if row["id"] == eve)
        assert {row[place] for place in PLACES[:4]} == {canary(place) for place in PLACES[:4]}
        assert row["attributes"] == {"ziel": canary("ziel")}
        fresh = village.link_request(eve)
        whose = {
            "preferences": (Purpose.PREFERENCES, (0, fresh)),
            "view": (Purpose.VIEW, (lesson,)),
        }
        acts = ("course", "done", "certificate", "quiz", "feedback")
        whose |= dict.fromkeys(acts, (Purpose.ACT, (lesson,)))
        for page, (purpose, numbers) in whose.items():
            answer = knock("GET", f"/{page}/{TOKENS.make(purpose, *numbers)}")
            assert is_harmless(answer.body.decode()), page
        for path in ("/metrics", "/healthz", "/archive", "/together/kurs"):
            assert b"cmd|" not in knock("GET", path).body
    # The porch has a pepper of its own.
    key = address_key(parse_address("eve@schule.example"), load_pepper(desk.folder / "state"))
    village.change(SUBSCRIBER, eve, address_key=key)
    monkeypatch.chdir(desk.folder)
    told = {line: desk.run(*shlex.split(line)) for line in COMMANDS.strip().splitlines()}
    for line, said in told.items():
        assert not re.search(
            "[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e]", said.replace("\r\n", "\n")
        ), line
        assert "49{%" not in said, line
        if line.endswith("--csv"):
            cells = [cell for row in csv.reader(io.StringIO(said)) for cell in row]
            assert any("cmd|" in cell for cell in cells), line
            assert not [cell for cell in cells if cell.startswith(tuple("=+-@\t\r"))], line
    assert canary("first_name") in told["subscribers show eve@schule.example"]
    (copy,) = desk.folder.glob("*.zip")
    shutil.unpack_archive(copy, desk.folder / "copy")
    pages = [path for path in desk.folder.rglob("*.html") if "templates" not in path.parts]
    assert {path.parts[-2] for path in pages} >= {"copy", "reports"}
    for written in pages:
        assert is_harmless(written.read_text("utf-8")), written.name
    logged = "\n".join(record.getMessage() for record in caplog.records)
    assert "cmd|" not in logged
    assert "eve@" not in logged
