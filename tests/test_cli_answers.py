"""Answers at the operator's door: what counts is listed and exported, and no cell is a formula."""

import csv
import io
import json
import shlex
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from l3mail.models import DELIVERY, EVENT, MESSAGE
from tests.fakes.desk import Desk, at_a_desk
from tests.fakes.questions import FEEDBACK, QUIZ, SEVERAL, ask
from tests.test_courses import enroll, school

COLUMNS = ["answered_at", "email", "course", "lesson", "question", "value", "words", "comment"]


@pytest.fixture
def desk(tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    """Ada answered two lessons of the course, one question twice; Bob an issue, in his words."""
    with at_a_desk(tmp_path, capsys, monkeypatch) as desk:
        school(desk.village)
        village = desk.village
        ada, bob = (
            desk.learner("ada@schule.example", last_name="Lovelace"),
            desk.learner("bob@x.de"),
        )
        journey = enroll(village, ada)
        for slug in ("kurs/01", "kurs/02"):
            delivery = sent(desk, ada, slug, enrollment_id=journey)
            said(desk, delivery, "q1", "a")
            village.clock.advance(timedelta(minutes=1))
            said(desk, delivery, "q1", "b")
        said(desk, sent(desk, ada, "kurs/02", enrollment_id=journey), "q2", "ac")
        issue = sent(desk, bob, "newsletter/2026-12", kind="newsletter")
        said(desk, issue, "nutzen", "5", comment='=HYPERLINK("x")\nund gut')
        yield desk


def sent(desk: Desk, person: int, slug: str, **values: Any) -> int:
    message = desk.village.publish(slug)
    ask(desk.village, message, QUIZ, SEVERAL, FEEDBACK)
    return desk.village.delivery(
        person, slug=slug, message_id=message, **{"kind": "lesson"} | values
    )


def said(desk: Desk, delivery: int, name: str, value: str, **more: str) -> None:
    row = desk.village.row(DELIVERY, delivery)
    whose = {key: row[key] for key in ("subscriber_id", "message_id", "enrollment_id")}
    data = {"value": value, "message_hash": desk.village.row(MESSAGE, row["message_id"])["hash"]}
    desk.village.insert(
        EVENT,
        kind="answered",
        at=desk.village.now,
        delivery_id=delivery,
        name=name,
        data=data | more,
        **whose,
    )


def test_only_the_latest_answer_to_each_question_is_listed_with_its_words(desk: Desk) -> None:
    found = desk.json("answers", "list")
    assert [(one["email"], one["lesson"], one["question"], one["value"]) for one in found] == [
        ("ada@schule.example", "kurs/01", "q1", "b"),
        ("ada@schule.example", "kurs/02", "q1", "b"),
        ("ada@schule.example", "kurs/02", "q2", "ac"),
        ("bob@x.de", "newsletter/2026-12", "nutzen", "5"),
    ]
    assert [one["words"] for one in found[1:]] == ["hochkant", "Licht; Blitz", "5 (sehr)"]
    assert [one["course"] for one in found] == ["kurs", "kurs", "kurs", ""]
    assert found[0]["answered_at"] == "2026-11-24T10:01:00+01:00"
    lines = desk.run("answers", "list").splitlines()
    assert lines[3].split("\t")[2:] == ["kurs/02", "q2", "ac: Licht; Blitz"]
    assert "5 (sehr) | =HYPERLINK" in lines[4]


NARROWED = {
    "--search lovelace": [0, 1, 2],
    "--search BOB": [3],
    "--search 'und gut'": [3],
    "--search %": [],
    "--course kurs": [0, 1, 2],
    "--lesson kurs/02": [1, 2],
    "--lesson lessons/kurs/02.de-simple.md": [1, 2],
    "--lesson newsletters/2026-12.md": [3],
    "--lesson 02": [1, 2],
    "--course kurs --lesson 01": [0],
    "--question q2": [2],
    "--question q": [],
    "--limit 2": [2, 3],
    "--segment 'last_name == \"Lovelace\"'": [0, 1, 2],
    "--segment 'last_name != \"Lovelace\"'": [3],
}


@pytest.mark.parametrize(("options", "places"), NARROWED.items(), ids=NARROWED.keys())
def test_list_can_be_narrowed(desk: Desk, options: str, places: list[int]) -> None:
    everything = desk.json("answers", "list")
    assert desk.json("answers", "list", *shlex.split(options)) == [
        everything[place] for place in places
    ]


def test_what_is_left_out_is_counted_and_a_course_nobody_knows_named(desk: Desk) -> None:
    assert "The newest 1 of 4; --limit shows more." in desk.run("answers", "list", "--limit", "1")
    assert desk.run("answers", "list", "--question", "q9") == "No answers.\n"
    desk.run("answers", "list", "--course", "krus", code=1)
    assert 'did you mean "kurs"?' in desk.error


def test_an_export_holds_all_and_no_formula(desk: Desk) -> None:
    printed = desk.run("answers", "export", "--csv")
    rows = list(csv.reader(io.StringIO(printed)))
    assert rows[0] == COLUMNS
    assert len(rows) == 5
    assert rows[4][4:] == ["nutzen", "5", "5 (sehr)", '\'=HYPERLINK("x")\nund gut']
    listed = desk.json("answers", "list")
    assert json.loads(desk.run("answers", "export", "--json")) == listed
    target = desk.folder / "answers.csv"
    said = desk.run("answers", "export", "--csv", str(target), "--lesson", "kurs/02")
    assert said == f"2 answers written to {target}.\n"
    assert target.stat().st_mode & 0o777 == 0o600
    desk.run("answers", "export", code=2)


def test_of_who_was_erased_nothing_is_left(desk: Desk) -> None:
    desk.run("subscribers", "erase", "ada@schule.example", "--yes")
    assert [one["email"] for one in desk.json("answers", "list")] == ["bob@x.de"]
