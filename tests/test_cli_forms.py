"""`form`: codes for posters, the form for other pages, and where people come from."""

import re
import struct
import zlib
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
import segno

from l3mail import sources, streams
from l3mail.errors import SourceError
from l3mail.models import ACTIONS, SOURCE, SUBSCRIPTION
from l3mail.typesetting import codes
from tests.fakes.desk import SETTINGS, TUESDAY, Desk, at_a_desk
from tests.fakes.porch import form_of

BASE = "https://lernen.musterstadt.example"
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def desk(tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("L3MAIL_BASE_URL", BASE)
    with at_a_desk(tmp_path, capsys, monkeypatch) as desk:
        village = desk.village
        village.do(streams.declare, "newsletter", "newsletter", "Bildung & <Stadt>", TUESDAY)
        village.do(streams.declare, "kurs", "course", "Digital kommunizieren", TUESDAY)
        yield desk


def modules(link: str) -> list[list[int]]:
    """The code of a link, with its quiet zone."""
    return [list(row) for row in segno.make(link, error="m").matrix_iter(border=4)]


def pixels(png: bytes, size: int) -> list[list[int]]:
    """A picture of one bit a pixel as rows of modules of that size; dark is 1."""
    width, height, depth, colour = struct.unpack(">IIBB", png[16:26])
    assert (depth, colour, width % size) == (1, 0, 0)
    data = b"".join(
        png[start + 8 : start + 8 + struct.unpack(">I", png[start : start + 4])[0]]
        for start in (found.start() - 4 for found in re.finditer(b"IDAT", png))
    )
    raw, line = zlib.decompress(data), (width + 7) // 8 + 1
    rows = [raw[at * line + 1 : (at + 1) * line] for at in range(0, height, size)]
    assert {raw[at * line] for at in range(0, height, size)} == {0}, "nothing to be computed"
    return [[1 - (row[x // 8] >> (7 - x % 8) & 1) for x in range(0, width, size)] for row in rows]


def test_a_code_leads_to_the_form_and_says_whence(desk: Desk) -> None:
    said = desk.run(
        *("form", "qr", "--source", "Stadtfest", "--until", "2026-12-05 18:00"),
        *("--stream", "newsletter", "--locale", "de", "--out", "fest.svg"),
    )
    link = f"{BASE}/subscribe?stream=newsletter&source=stadtfest&locale=de"
    assert said.splitlines() == [
        "Wrote fest.svg.",
        link,
        "stadtfest: on until Sat 2026-12-05 18:00: 1,000 sign-ups an hour without a step more",
    ]
    assert desk.error == ""
    root = ET.fromstring((desk.folder / "fest.svg").read_bytes())
    size = len(modules(link))
    assert root.get("role") == "img"
    assert root.get("width") == root.get("height") == f"{size * codes.MILLIMETRES}mm"
    title = root.findtext(f"{SVG}title")
    assert title == f"QR-Code zur Anmeldung: Bildung & <Stadt> ({link})"
    (row,) = desk.village.rows(SOURCE)
    assert (row["name"], row["title"], row["per_hour"]) == ("stadtfest", None, None)
    assert row["ends_at"].isoformat() == "2026-12-05T17:00:00+00:00"
    (action,) = desk.village.rows(ACTIONS)
    assert (action["command"], action["counts"]) == ("form qr --source stadtfest", {"sources": 1})


def test_pixels_and_characters_are_the_same_code_with_its_quiet_zone(desk: Desk) -> None:
    desk.run("form", "qr", "--out", "a.PNG")
    expected = modules(f"{BASE}/subscribe")
    drawn = (desk.folder / "a.PNG").read_bytes()
    assert pixels(drawn, codes.DOTS) == expected
    assert not any(map(any, expected[:4])), "four modules of white"
    assert len(expected) * codes.DOTS > 800, "sharp on paper"
    lines = desk.run("form", "qr").splitlines()
    width = len(expected)
    halves = {" ": (0, 0), "▀": (1, 0), "▄": (0, 1), "█": (1, 1)}
    read = [
        [halves[sign][half] for sign in line]
        for line in lines[: (width + 1) // 2]
        for half in (0, 1)
    ]
    assert read[:width] == expected
    assert width <= 80
    assert lines[-1] == f"{BASE}/subscribe"
    coloured = codes.as_text("https://a.example", coloured=True)
    assert coloured.count("\x1b[38;2;0;0;0;48;2;255;255;255m") == len(coloured.splitlines())
    assert desk.village.rows(SOURCE) == []


def test_a_sheet_to_hand_out_types_the_address_for_who_has_no_camera(desk: Desk) -> None:
    desk.run("form", "qr", "--source", "fest", "--stream", "kurs", "--out", "fest.pdf")
    paper = (desk.folder / "fest.pdf").read_bytes()
    assert paper.startswith(b"%PDF-")
    assert b"/Lang" in paper


def test_the_same_name_again_changes_what_is_given_and_keeps_the_rest(desk: Desk) -> None:
    desk.run("form", "qr", "--source", "fest", "--until", "2026-12-05", "--title", "Fest am Fluss")
    desk.run("form", "qr", "--source", "FEST", "--ceiling", "3000")
    (found,) = desk.json("form", "list")
    assert found == {
        "source": "fest",
        "title": "Fest am Fluss",
        "until": "2026-12-05T23:59:59.999999+01:00",
        "per_hour": 3000,
        "raised": True,
        "created_at": found["created_at"],
        "created_by": found["created_by"],
        "requested": 0,
        "confirmed": 0,
    }
    made = desk.json("form", "qr", "--source", "fest", "--out", "a.svg")
    assert made["link"] == f"{BASE}/subscribe?source=fest"
    assert (made["file"], made["per_hour"]) == ("a.svg", 3000)


def test_lists_count_what_came_of_each_source_written_down_or_not(desk: Desk) -> None:
    village = desk.village
    desk.run("form", "qr", "--source", "fest", "--until", "2026-11-25")
    for number, source in enumerate(("fest", "fest", "rathaus\x1b[31m", None)):
        person = village.person(f"p{number}@schule.example")
        village.signup(person, streams=["kurs"], source=source)
        if number != 1:
            village.subscribe(person, village.stream("kurs"))
    for row in village.rows(SUBSCRIPTION):
        source = {1: "fest", 3: "rathaus\x1b[31m"}.get(row["subscriber_id"])
        village.change(SUBSCRIPTION, row["id"], source=source)
    lines = desk.run("form", "list", at=TUESDAY + timedelta(hours=1)).splitlines()
    assert lines == [
        "SOURCE\tTITLE\tEVENT UNTIL\tAN HOUR\tASKED\tCONFIRMED",
        "fest\t\tWed 2026-11-25 23:59\t1000\t2\t1",
        "rathaus\\x1b[31m\t\t\t\t1\t1",
    ]
    assert desk.run("form", "list", "--search", "nirgends") == (
        "Nobody has come from anywhere yet; `l3mail form qr --source NAME` begins.\n"
    )
    assert "The first 1 of 2" in desk.run("form", "list", "--limit", "1")
    on = [one["source"] for one in desk.json("form", "list", "--status", "on")]
    off = [one["source"] for one in desk.json("form", "list", "--status", "off")]
    assert (on, len(off)) == (["fest"], 1)
    shown = desk.run("form", "show", "fest")
    assert "on until Wed 2026-11-25 23:59: 1,000 sign-ups an hour" in shown
    assert "asked  2 sign-ups" in shown
    assert "confirmed  1 person" in shown
    late = desk.run("form", "show", "fest", at=TUESDAY + timedelta(days=9))
    assert "over since Wed 2026-11-25 23:59: the usual ceilings hold" in late
    assert desk.json("form", "show", "fest")["confirmed"] == 1


def test_an_event_can_be_ended_early(desk: Desk) -> None:
    desk.run("form", "qr", "--source", "fest", "--until", "2026-12-05")
    assert desk.run("form", "end", "fest") == "fest: the usual ceilings hold.\n"
    assert desk.json("form", "show", "fest")["raised"] is False
    desk.run("form", "end", "fest")
    desk.run("form", "end", "fset", code=1)
    assert desk.error == 'l3mail: "fset" is no source; did you mean "fest"?\n'


WRONG = [
    ("--until 2026-12-05", 2, "add --source NAME"),
    ("--source fest --until 2026-11-23", 1, "has passed; name the end of the event"),
    ("--source Über_uns!", 1, 'write "ueber-uns"'),
    ("--source fest --stream newslettr", 1, 'did you mean "newsletter"?'),
    ("--locale dee", 1, 'did you mean "de"?'),
    ("--source fest --out fest.gif", 2, "ends in none of .svg, .png or .pdf"),
    ("--source fest --out nowhere/fest.svg", 2, "make it first"),
    ("--source fest --ceiling 0", 2, "ceiling"),
]


def test_what_is_wrong_is_said_before_anything_is_changed(desk: Desk) -> None:
    for words, code, line in WRONG:
        desk.run("form", "qr", *words.split(), code=code)
        assert line in " ".join(desk.error.split()), words
    assert desk.village.rows(SOURCE) == []


def test_a_code_nobody_else_could_open_is_drawn_with_a_warning(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    for base, warns in (
        ("http://127.0.0.1:8000", "is this machine, and nobody else can open it"),
        ("http://localhost:8000", "is this machine"),
        ("http://kurse.stadt.example", "is not https"),
        (BASE, ""),
    ):
        monkeypatch.setenv("L3MAIL_BASE_URL", base)
        assert desk.run("form", "qr").endswith(f"{base}/subscribe\n")
        assert warns in desk.error
        assert bool(desk.error) is bool(warns)
        desk.run("form", "html")
        assert warns in desk.error


def test_a_code_that_takes_the_place_of_another_says_so(desk: Desk) -> None:
    told = [desk.run("form", "qr", "--out", "fest.svg").splitlines()[0] for _ in range(2)]
    assert told == ["Wrote fest.svg.", "Wrote fest.svg, in place of what was there."]


def test_an_event_of_months_is_warned_of(desk: Desk) -> None:
    desk.run("form", "qr", "--source", "fest", "--until", "2027-06-01")
    assert "189 days are long for an event" in desk.error


def test_the_form_for_another_page_is_printed_or_written(desk: Desk) -> None:
    printed = desk.run("form", "html", "--stream", "kurs", "--source", "Rathaus")
    form = form_of(printed)
    assert (form["source"], form["among"], form["locale"]) == (["rathaus"], ["kurs"], ["de"])
    assert "<style>" not in printed
    assert desk.village.rows(SOURCE) == [], "what is only printed changes nothing"
    said = desk.run("form", "html", "--style", "--locale", "en", "--out", "form.html")
    assert said == "Wrote form.html.\n"
    said = desk.run("form", "html", "--style", "--locale", "en", "--out", "form.html")
    assert said == "Wrote form.html, in place of what was there.\n"
    page = (desk.folder / "form.html").read_text(encoding="utf-8")
    assert "<style>" in page
    assert 'lang="en"' in page
    desk.run("form", "html", "--out", "form.pdf", code=2)


def test_who_has_nothing_to_offer_is_told(desk: Desk) -> None:
    desk.village.do(streams.retire, ("course", "newsletter"), (), TUESDAY)
    desk.run("form", "html", code=1)
    assert "nothing to sign up for yet" in desk.error


@pytest.mark.parametrize("name", ["", " ", "a" * 61, "a b", "-a", "a--b", "ä", "a\n", "a/b", "💐"])
def test_names_are_what_an_address_shows_as_it_is(name: str) -> None:
    if name == "a\n":
        assert sources.read_name(name) == "a"
        return
    with pytest.raises(SourceError, match=r'write "[a-z0-9-]+"$'):
        sources.read_name(name)


def test_settings_say_how_many_an_event_lets_in(desk: Desk) -> None:
    (desk.folder / "l3mail.toml").write_text(SETTINGS + "[signup]\nper_source = 50\n")
    desk.run("form", "qr", "--source", "fest", "--until", "2026-12-05")
    assert desk.json("form", "show", "fest")["per_hour"] == 50
