"""Why somebody is in a segment, whom it selects, and in which words the database is asked."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from l3mail.cli import charts
from l3mail.models import ACTIONS, SUBSCRIBER
from l3mail.settings import FILE, Attribute
from l3mail.subscribers import conversions
from tests.fakes.desk import SETTINGS, Desk, at_a_desk

ADA = "ada@schule.example"
MIXED = (
    'segment("west") and (not opened("kurs/01") or birthday in this_month)'
    ' and not (attrs.role == "vhs" or attrs.role == "")'
)


@pytest.fixture
def desk(tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    with at_a_desk(tmp_path, capsys, monkeypatch) as desk:
        more = '[tracking]\nmode = "consent"\n[attributes.role]\n'
        (tmp_path / FILE).write_text(SETTINGS + more, encoding="utf-8")
        desk.village.publish("kurs/01")
        desk.learner(ADA, district="Gorbitz", birth_month=3, birth_day=1, attributes={"role": "x"})
        desk.run("segments", "save", "west", 'district in ["Gorbitz", "Prohlis"]')
        desk.run("segments", "save", "mixed", MIXED)
        yield desk


def lines(desk: Desk, *words: str) -> list[str]:
    return [" ".join(line.split()) for line in desk.run("segments", *words).splitlines()]


def test_segments_are_saved_counted_shown_and_deleted(desk: Desk) -> None:
    desk.run("segments", "delete", "mixed", "--yes")
    gorbitz = 'district == "Gorbitz"'
    saved = desk.run("--as", "frau-amt", "segments", "save", "gorbitz", gorbitz)
    assert saved == "Saved gorbitz: 1 person\nunknown: 0\n"
    assert desk.run("segments", "count", "gorbitz") == (
        "1 person\nunknown: 0\nmay be mailed: kurs 1\n"
        f"\nDISTRICT\tPEOPLE\tSHARE\nGorbitz\t1\t100 %\t{'#' * 20}\n"
    )
    assert desk.run("segments", "list", "--search", "east") == "No segments.\n"
    desk.run("segments", "save", "old", 'segment("west") and age >= 60')
    asking = [one["name"] for one in desk.json("segments", "list", "--segment", "west")]
    desk.run("segments", "delete", "old", "--yes")
    assert asking == ["old"]
    assert desk.json("segments", "count", 'not opened("kurs/01")') == {
        "count": 0,
        "unknown": 1,
        "mailable": {},
        "by": {"attribute": "district", "values": []},
    }
    listed, _ = desk.json("segments", "list")
    assert (listed["name"], listed["expression"], listed["last_count"]) == ("gorbitz", gorbitz, 1)
    shown = desk.json("segments", "show", "gorbitz")
    assert (shown["count"], shown["used_by"]) == (1, [])
    desk.run("segments", "delete", "gorbitz", code=1)
    deleted = desk.run("segments", "delete", "gorbitz", "--yes")
    assert deleted == f"gorbitz: {gorbitz} (1 person when it was saved)\nDeleted gorbitz.\n"
    desk.run("segments", "delete", "west", "--yes")
    assert desk.run("segments", "list") == "No segments.\n"
    actions = [(row["who"], row["command"], row["counts"]) for row in desk.village.rows(ACTIONS)]
    assert ("frau-amt", "segments save gorbitz", {"segments": 1, "people": 1}) in actions
    assert ("segments delete gorbitz", {"segments": 1}) in [action[1:] for action in actions]


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        ('last_name == "Berg"', ["last_name"]),
        ('attrs.role == "y" and not (salutation == "" or birthday == "12-24")', ["salutation"]),
        ('district == "Nord"', []),
        ('district == "Gorbitz"', []),
        ("joined_days < 0", []),
    ],
    ids=["an attribute", "deep within", "somebody has one", "somebody is found", "no attribute"],
)
def test_who_finds_nobody_is_told_what_is_known_of_nobody(
    desk: Desk, asked: str, named: list[str]
) -> None:
    told = desk.run("segments", "count", asked).splitlines()
    line = "Nobody has a value in {}: an import or the sign-up form fills it in."
    assert [one for one in told if one.startswith("Nobody has")] == [line.format(n) for n in named]


def test_a_segment_whose_words_are_gone_is_shown_with_its_problem(desk: Desk) -> None:
    desk.run("segments", "save", "vhs", 'attrs.role == "vhs"')
    (desk.folder / FILE).write_text(SETTINGS, encoding="utf-8")
    assert '"attrs.role" is not known' in desk.run("segments", "show", "vhs")
    desk.run("segments", "count", "vhs", code=1)


def test_each_part_of_a_question_is_told_with_its_answer_and_the_persons_own(desk: Desk) -> None:
    assert lines(desk, "show", "mixed", "--explain", ADA)[:12] == [
        f"mixed can't know about {ADA} without their consent to measuring.",
        "",
        'unknown segment("mixed")',
        "unknown all of these",
        'yes segment("west")',
        'yes district in ["Gorbitz", "Prohlis"]: district is "Gorbitz"',
        "unknown one of these",
        'unknown not opened("kurs/01"): no consent to tracking',
        'no birthday in this_month: birthday is "03-01"',
        "yes not",
        "no one of these",
        'no attrs.role == "vhs": attrs.role is "x"',
    ]
    desk.village.change(SUBSCRIBER, 1, tracking=True, attributes={})
    told = lines(desk, "show", "mixed", "--explain", ADA)
    assert told[0] == f"mixed does not select {ADA} now."
    assert 'yes attrs.role == "": attrs.role is missing' in told
    assert 'yes not opened("kurs/01")' in told
    told = lines(desk, "show", 'district == "Gorbitz"', "--explain", ADA)
    assert told[0] == f"the question selects {ADA} now."


def test_the_same_for_programs(desk: Desk) -> None:
    told = desk.json("segments", "show", "west", "--explain", ADA)
    assert (told["email"], told["answer"], told["mailable"]) == (ADA, "yes", True)
    assert told["question"] == {
        "kind": "segment",
        "text": 'segment("west")',
        "answer": "yes",
        "parts": [
            {
                "kind": "fact",
                "text": 'district in ["Gorbitz", "Prohlis"]',
                "answer": "yes",
                "attribute": "district",
                "value": "Gorbitz",
                "why": 'district is "Gorbitz"',
            }
        ],
    }
    shown = desk.json("segments", "show", "joined >= today - 30")
    assert shown == {
        "expression": "joined >= today - 30",
        "count": 1,
        "unknown": 0,
        "used_by": [],
    }


def test_who_is_selected_and_may_not_be_mailed_is_told_as_explain_tells_it(desk: Desk) -> None:
    told = lines(desk, "show", "west", "--explain", ADA)
    stream = next(line for line in told if line.startswith("stream kurs: confirmed since"))
    assert told[told.index(stream) - 1] == "May be mailed:"
    desk.run("subscribers", "suppress", ADA, "--yes")
    told = lines(desk, "show", "west", "--explain", ADA)
    assert told[0] == f"west selects {ADA} now."
    barred = [line for line in told if line.startswith("suppressed since")]
    assert "May not be mailed, whatever selects them:" in told
    assert barred
    explained = [" ".join(line.split()) for line in desk.run("explain", ADA).splitlines()]
    assert {*barred, stream} <= set(explained)


def test_a_statement_that_is_pasted_counts_the_same(desk: Desk) -> None:
    database = sqlite3.connect(desk.folder / "state" / "l3mail.sqlite3")
    for text in ("west", "mixed", 'district == "Gorbitz" and birthday in days(today, today + 99)'):
        counted = desk.json("segments", "count", text)
        (row,) = database.execute(desk.run("segments", "count", text, "--sql"))
        assert row == (counted["count"], counted["unknown"])
        statement = desk.run("segments", "show", text, "--sql")
        told = desk.json("segments", "show", text, "--sql")
        assert told == {"database": "sqlite", "sql": statement.rstrip("\n")}
        people = list(database.execute(statement))
        assert len(people) == counted["count"]
    database.close()


@pytest.mark.parametrize(
    ("words", "code", "line"),
    [
        (["show", "wset", "--explain", ADA], 1, 'no saved segment "wset"; did you mean "west"?'),
        (["show", "west", "--explain", "bob@schule.example"], 1, "is not known here"),
        (["show", "west", "--explain", "bob"], 1, "is not an address"),
        (["show", "west", "--explain", ADA, "--sql"], 2, "--sql goes without --explain"),
        (["count", "west", "--by", "distrikt"], 1, 'did you mean "district"?'),
        (["count", "west", "--by", "email"], 1, "take district or age"),
        (
            ["count", 'distric == "x"'],
            1,
            'segment, line 1, column 1: "distric" is not known; did you mean "district"?',
        ),
        (["count", "east"], 1, 'segment: there is no saved segment "east";'),
        (["count", 'stream("kurz")'], 1, '"kurz" is not a stream; did you mean "kurs"'),
        (["show", "east"], 1, 'segment: there is no saved segment "east";'),
        (["delete", "east", "--yes"], 1, 'segment: there is no saved segment "east";'),
        (["save", "West", "True"], 1, "can't be the name of a segment"),
        (["save", "west", '__import__("os")'], 1, '"__import__" is not known'),
    ],
)
def test_a_wrong_word_is_one_clear_line(desk: Desk, words: list[str], code: int, line: str) -> None:
    desk.run("segments", *words, code=code)
    assert line in " ".join(desk.error.split())
    assert code == 2 or len(desk.error.splitlines()) == 1


def test_a_chart_has_the_most_frequent_the_others_and_those_without() -> None:
    many: list[tuple[str | None, int]] = [(f"d{n}", 50 - n) for n in range(20)]
    told = charts.top([*many, (None, 7)], "no district", "others")
    assert told[:12] == many[:12]
    assert told[12:] == [("8 others", sum(n for _, n in many[12:])), ("no district", 7)]
    assert charts.top(many[:13], "no district", "others") == many[:13]
    assert charts.top([], "no district", "others") == []


def test_a_chart_fits_eighty_columns_in_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")
    long = "Johannstadt/Südvorstadt-Ost am Großen Garten und weiter"
    values = [(long, 1_234_567), ("\x1b[31m", 1)]
    charts.print_bars("DISTRICT", values, 1_300_000)
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 80
    assert "\x1b" not in shown
    assert "< 1 %" in shown
    assert shown.count("█") > 10


def test_values_older_than_their_declaration_are_named_and_put_right(desk: Desk) -> None:
    told = {"uma": "3", "bob": "2,5", "eve": "viele", "kim": 4, "liv": ""}
    for name, value in told.items():
        desk.learner(f"{name}@schule.example", attributes={"kinder": value, "seit": "1.9.2026"})
    desk.learner("tom@schule.example", attributes={"gast": "ja", "stufe": "Kita"})
    with (desk.folder / "l3mail.toml").open("a", encoding="utf-8") as file:
        file.write(
            '[attributes.kinder]\ntype = "number"\n[attributes.seit]\ntype = "date"\n'
            '[attributes.gast]\ntype = "bool"\n'
            '[attributes.stufe]\ntype = "choice"\nchoices = ["kita"]\n'
        )
    counted = desk.run("segments", "count", "attrs.kinder >= 2")
    assert (
        "1 person\nunknown: 3 people without consent to be asked about or with a value" in counted
    )
    note = "attrs.kinder of 3 people is no number; `l3mail subscribers convert --dry-run`"
    assert note in desk.error
    desk.run("segments", "save", "familien", "not attrs.kinder >= 2")
    assert note in desk.error
    assert desk.json("segments", "show", "familien")["misfits"] == {"kinder": 3}
    assert desk.json("segments", "count", "familien", "--by", "locale")["count"] == 3
    said = desk.run("segments", "show", "familien", "--explain", "uma@schule.example")
    assert 'attrs.kinder is "3", of another kind' in said
    assert "consent to measuring" not in said
    doctor = desk.run("doctor", "--seconds", "1", code=1)
    assert "attrs.gast (1), attrs.kinder (3), attrs.seit (5), attrs.stufe (1)" in doctor

    before = desk.village.rows(SUBSCRIBER)
    said = desk.run("subscribers", "convert", "--dry-run", code=1)
    assert "kinder: 2 values read as number, 1 can't be read" in said
    assert 'eve@schule.example: kinder "viele" is no number' in said
    assert desk.village.rows(SUBSCRIBER) == before
    desk.run("subscribers", "convert", "--yes", code=1)
    kept = [row["attributes"] for row in desk.village.rows(SUBSCRIBER)][1:]
    assert [one.get("kinder") for one in kept] == [3, 2.5, "viele", 4, "", None]
    assert {one["seit"] for one in kept[:5]} == {"2026-09-01"}
    assert kept[5] == {"gast": True, "stufe": "kita"}
    assert desk.json("segments", "count", "attrs.kinder >= 2")["count"] == 3
    desk.run("segments", "count", 'attrs.stufe == "kita"')
    assert "note" not in desk.error
    assert desk.village.rows(ACTIONS)[-1]["counts"] == {"values": 9}


def test_a_value_answered_meanwhile_is_not_converted(desk: Desk) -> None:
    person = desk.learner("uma@schule.example", attributes={"kinder": "3"})
    attributes = {"kinder": Attribute(type="number")}
    found = desk.village.do(conversions.find, attributes)
    desk.village.change(SUBSCRIBER, person, attributes={"kinder": 1})
    assert desk.village.do(conversions.convert, found) == 0
    assert desk.village.row(SUBSCRIBER, person)["attributes"] == {"kinder": 1}
