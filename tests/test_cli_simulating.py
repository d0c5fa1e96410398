"""The future as an operator asks for it: the shape, the words, and what differs."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from l3mail.models import DELIVERY
from tests.fakes.desk import Desk, at_a_desk
from tests.test_courses import KURS, enroll, school


@pytest.fixture
def desk(tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    with at_a_desk(tmp_path, capsys, monkeypatch) as desk:
        school(desk.village)
        yield desk


def test_simulate_prints_a_list_in_the_shape_of_the_contract(desk: Desk) -> None:
    desk.learner("ada@schule.example")
    desk.run("courses", "enroll", "kurs", "ada@schule.example", "--start", "2026-12-07")
    found = desk.json("simulate", "--from", "2026-12-07", "--weeks", "8")
    assert [mail["message"] for mail in found] == [slug for slug, _ in KURS.lessons]
    assert found[0] == {
        "email": "ada@schule.example",
        "kind": "lesson",
        "message": "kurs/01",
        "due_at": "2026-12-07T10:00:00+01:00",
        "status": "planned",
    }
    assert found[-1]["kind"] == "evaluation"
    assert desk.village.rows(DELIVERY) == []


def test_simulate_covers_four_weeks_unless_told_and_an_end_day_is_included(desk: Desk) -> None:
    enroll(desk.village, desk.learner("ada@schule.example"))
    assert len(desk.json("simulate")) == 4
    assert len(desk.json("simulate", "--until", "2026-12-07")) == 2
    assert len(desk.json("simulate", "--until", "2026-12-07T09:59")) == 1
    assert len(desk.json("simulate", "--from", "2026-12-01", "--weeks", "1")) == 1
    desk.run("simulate", "--until", "2026-11-01", code=2)
    desk.run("simulate", "--until", "2026-12-01", "--weeks", "1", code=2)
    desk.run("simulate", "--weeks", "0", code=2)


def test_simulate_in_words_fits_a_screen_and_says_what_it_supposes(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(40):
        person = desk.learner(f"somebody-with-a-long-name-{number}@schule.example")
        enroll(desk.village, person)
    desk.run("halt", "--kind", "lesson")
    text = desk.run("simulate")
    assert "nobody clicks" in text
    assert "Halted now, and taken as lifted: kind lesson." in text
    assert "2026-11-30 10:00\tkurs/01\t40\tsomebody-with-a-long-name-0@" in text
    assert "and 35 more" in text
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "80")
    shown = desk.run("simulate")
    assert "Mon 2026-11-30\n  10:00  kurs/01" in shown
    assert "and 39 more" in shown
    assert max(map(len, shown.splitlines())) <= 80


def test_simulate_neither_cuts_nor_pads_a_slug(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    village = desk.village
    long = "newsletter/" + "lang-" * 8 + "er"
    person = desk.learner("ada@schule.example")
    enroll(village, person)
    village.delivery(person, "newsletter", campaign_id=village.campaign(long), slug=long)
    monkeypatch.setenv("COLUMNS", "80")
    assert f"\t{long} held\t1\tada@schule.example\n" in desk.run("simulate")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    lines = desk.run("simulate").splitlines()
    assert lines[lines.index(f"  10:00  {long} held     1") + 1] == "         ada@schule.example"
    assert f"  10:00  {'kurs/01':<{len(long) + 5}}     1" in lines
    assert max(map(len, lines)) <= 80


def test_simulate_cuts_an_address_where_the_terminal_ends(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    enroll(desk.village, desk.learner(f"{'a' * 60}@{'schule-' * 4}am-park.example"))
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    (line,) = {one for one in desk.run("simulate").splitlines() if "kurs/01" in one}
    assert len(line) == 80
    assert line.endswith("…")


def test_simulate_compares_with_an_earlier_forecast(desk: Desk) -> None:
    enroll(desk.village, desk.learner("ada@schule.example"))
    enroll(desk.village, desk.learner("bea@schule.example"))
    before = desk.folder / "before.json"
    before.write_text(desk.run("simulate", "--json"), encoding="utf-8")
    assert desk.run("simulate", "--diff", str(before)) == "Nothing differs.\n"
    desk.run("courses", "pause", "kurs", "ada@schule.example", "--weeks", "1")
    desk.run("courses", "cancel", "kurs", "bea@schule.example", "--yes")
    found = desk.json("simulate", "--diff", str(before))
    assert {mail["email"] for mail in found["removed"]} >= {"bea@schule.example"}
    assert found["moved"][0]["before"]["due_at"] == "2026-11-30T10:00:00+01:00"
    assert found["moved"][0]["after"]["due_at"] == "2026-12-07T10:00:00+01:00"
    assert "moved" in desk.run("simulate", "--diff", str(before))


@pytest.mark.parametrize("text", ["", "{}", "[1]", '[{"email": "a"}]', "[[]]", '"x"'])
def test_a_file_that_is_no_forecast_is_told_in_one_line(desk: Desk, text: str) -> None:
    path = desk.folder / "other.json"
    path.write_text(text, encoding="utf-8")
    desk.run("simulate", "--diff", str(path), code=1)
    assert "is no forecast" in desk.error
    desk.run("simulate", "--diff", str(path.with_name("none.json")), code=1)
    assert "cannot be read" in desk.error
