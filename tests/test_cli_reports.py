"""`l3mail report`, as an operator types it."""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from l3mail.models import ACTIONS, CAMPAIGN, DELIVERY
from tests.fakes.desk import TUESDAY, Desk, at_a_desk
from tests.test_courses import enroll, school, tick

OFFICE = "amt@stadt.example"
DUTY = "it@stadt.example"
READERS = f'\n[alerts]\nto = ["{DUTY}"]\n[reports]\nto = ["{OFFICE}", "leitung@stadt.example"]\n'


@pytest.fixture
def desk(tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    """A Tuesday in week 48; on Monday one learner had the first lesson."""
    with at_a_desk(tmp_path, capsys, monkeypatch) as desk:
        village = desk.village
        village.clock.set(TUESDAY - timedelta(days=1))
        school(village)
        enroll(village, desk.learner("ada@schule.example"))
        tick(village)
        village.clock.set(TUESDAY)
        yield desk


def name_readers(desk: Desk) -> None:
    file = desk.folder / "l3mail.toml"
    file.write_text(file.read_text(encoding="utf-8") + READERS, encoding="utf-8")


def test_the_last_whole_week_is_printed_as_text(desk: Desk) -> None:
    text = desk.run("report", "weekly")
    assert text.startswith("Wochenbericht 47/2026\n16.–22. November 2026\n")
    assert text == desk.run("report", "weekly", "--week", "2026-W47", "--text")
    assert text == desk.run("report", "weekly", "--week", "2026w47")


def test_the_present_week_is_told_until_now(desk: Desk) -> None:
    text = desk.run("report", "weekly", "--week", "2026-W48")
    assert "bis jetzt: Dienstag, 24. November, 10:00" in " ".join(text.split())
    found = desk.json("report", "weekly", "--week", "2026-W48")
    assert (found["week"], found["is_over"]) == ("2026-W48", False)
    assert found["courses"][0]["lessons"][0]["accepted_now"] == 1


def test_all_forms_are_written_and_named(desk: Desk, tmp_path: Path) -> None:
    out = tmp_path / "a" / "b"
    told = desk.run("report", "weekly", "--week", "2026-W48", "--out", str(out)).splitlines()
    files = [out / f"report-2026-W48.{suffix}" for suffix in ("html", "txt", "json")]
    assert told == [str(file) for file in files]
    html, text, view = (file.read_text(encoding="utf-8") for file in files)
    assert html.startswith("<!doctype html>")
    assert text.startswith("Wochenbericht 48/2026")
    assert json.loads(view)["week"] == "2026-W48"
    (out / "datei").write_text("", encoding="utf-8")
    desk.run("report", "weekly", "--out", str(out / "datei"), code=1)
    assert "cannot be written" in desk.error
    assert len(desk.error.splitlines()) == 1


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["weekly", "--week", "2026-W60"], 1, "is no week; write it such as 2026-W47"),
        (["weekly", "--week", "2026-W50"], 1, "is to come"),
        (["weekly", "--dry-run"], 2, "--dry-run goes with --send"),
        (["weekly", "--send", "--json"], 2, "--send mails and prints nothing"),
        (["weekly", "--json", "--text"], 2, "one of --text, --json and --out"),
        (["weekly", "--send"], 1, "nobody is named to get reports"),
        (["period", "--from", "2026-11-20", "--until", "2026-11-01"], 1, "lies before"),
        (["period", "--from", "nie"], 2, "is no moment"),
        (["newsletter", "2027-01"], 1, "was never scheduled"),
        (["course", "kusr"], 1, 'did you mean "kurs"?'),
    ],
)
def test_what_cannot_be_reported_is_said_in_one_line(
    desk: Desk, words: list[str], code: int, said: str
) -> None:
    desk.run("report", *words, code=code)
    assert said in desk.error
    assert len(desk.error.splitlines()) == 1


def test_sending_shows_to_whom_and_asks(desk: Desk) -> None:
    name_readers(desk)
    shown = desk.run("report", "weekly", "--send", "--dry-run")
    assert OFFICE in shown
    assert DUTY not in shown
    desk.run("report", "weekly", "--send", code=1)
    assert "mail it to 2 addresses?" in desk.error
    assert not [row for row in desk.village.rows() if row["kind"] == "report"]


def test_what_is_sent_by_hand_is_not_sent_again_on_monday_or_by_hand(desk: Desk) -> None:
    name_readers(desk)
    assert "Queued: 2 reports" in desk.run("report", "weekly", "--send", "--yes")
    again = desk.run("report", "weekly", "--send", "--yes")
    assert again.count("has the report on 2026-W47") == 2
    mails = [row for row in desk.village.rows(DELIVERY) if row["kind"] == "report"]
    assert {(row["address"], row["occurrence"]) for row in mails} == {
        (OFFICE, "report:2026-W47"),
        ("leitung@stadt.example", "report:2026-W47"),
    }
    (action,) = desk.village.rows(ACTIONS)
    assert (action["command"], action["counts"]) == (
        "report weekly --send 2026-W47",
        {"deliveries": 2},
    )


def test_other_days_an_issue_and_a_course_have_reports(desk: Desk) -> None:
    period = desk.json("report", "period", "--from", "2026-11-01", "--until", "2026-11-30")
    assert (period["week"], period["from"], period["until"]) == (None, "2026-11-01", "2026-11-30")
    course = desk.json("report", "course", "kurs")
    assert course["learners"]["active"] == 1
    assert "Bericht zum Kurs" in desk.run("report", "course", "kurs")
    campaign = desk.village.campaign()
    desk.village.change(CAMPAIGN, campaign, scheduled_at=TUESDAY - timedelta(hours=1))
    desk.village.delivery(
        1, "newsletter", slug="newsletter/2026-12", due_at=TUESDAY - timedelta(hours=1)
    )
    assert desk.json("report", "newsletter", "2026-12")["mailings"][0]["planned"] == 1
    assert "Bericht zum Versand" in desk.run("report", "newsletter", "newsletter/2026-12")


def test_every_report_says_how_it_is_used(desk: Desk) -> None:
    for name in ("weekly", "period", "newsletter", "course"):
        assert "Example: l3mail report" in desk.run("report", name, "--help")
