"""What an editor writes above a text after it was sent: what was corrected, and who may read it."""

import re
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.library import LESSON, Shelf

ISSUE = 'subject: "Dezember"'
WRITE = 'write each as {on: 2026-12-03, text: "…"}, behind a dash of its own'


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path)


def issue(shelf: Shelf, more: str = "", locale: str = "de") -> dict[str, Any]:
    suffix = "" if locale == "de" else f".{locale}"
    shelf.text(f"newsletters/2026-12{suffix}.md", matter=f"{ISSUE}\n{more}".strip())
    compiled = shelf.compiled("newsletter/2026-12", locale).compiled
    assert compiled is not None
    return dict(compiled)


@pytest.mark.parametrize(
    "written",
    [
        'corrections: [{on: 2026-12-03, text: "Um 17 Uhr."}]',
        'corrections:\n  - on: 2026-12-03\n    text: "Um 17\n      Uhr."',
        'corrections:\n- {on: "2026-12-03", text: Um 17 Uhr.}',
        'corrections:\n- {"on": 2026-12-03, "text": "Um 17 Uhr."}',
    ],
    ids=["in one line", "in lines", "a day in quotes", "keys in quotes"],
)
def test_a_correction_has_a_day_and_words(shelf: Shelf, written: str) -> None:
    assert issue(shelf, written)["corrections"] == [
        {"on": "2026-12-03", "heading": "Berichtigt am 3. Dezember 2026:", "text": "Um 17 Uhr."}
    ]


@pytest.mark.parametrize(
    ("locale", "heading"),
    [
        ("de-simple", "Verbessert am 3. Dezember 2026:"),
        ("en", "Corrected on 3 December 2026:"),
        ("uk", "Виправлено 3 грудня 2026\u202fр.:"),
        ("ar", "صُحّح في 3 ديسمبر 2026:"),
        ("fr", "Berichtigt am 3 décembre 2026:"),
    ],
)
def test_its_day_is_in_the_language_of_the_text(shelf: Shelf, locale: str, heading: str) -> None:
    said = issue(shelf, 'corrections: [{on: 2026-12-03, text: "x"}]', locale)["corrections"]
    assert said[0]["heading"] == heading


def test_no_mail_holds_a_correction(shelf: Shelf) -> None:
    compiled = issue(shelf, 'corrections: [{on: 2026-12-03, text: "KANARI {{ x }}"}]')
    assert "KANARI" not in compiled["html"] + compiled["text"]
    assert "corrections" not in issue(shelf)


@pytest.mark.parametrize(
    "written",
    [
        "corrections: gestern",
        "corrections: []",
        "corrections: [gestern]",
        'corrections: {on: 2026-12-03, text: "x"}',
        'corrections: [{on: 2026-12-03, text: "x"}, {on: 2026-12-04}]',
        'corrections: [{on: gestern, text: "x"}]',
        'corrections: [{on: 2026-12-03 10:00:00, text: "x"}]',
        'corrections: [{on: 2026-12-03, text: "x", by: "Eva"}]',
        'corrections: [{on: 2026-12-03, text: " "}]',
        "corrections: [{on: 2026-12-03, text: 7}]",
    ],
)
def test_what_is_no_correction_is_told_with_how_to_write_one(shelf: Shelf, written: str) -> None:
    shelf.lesson(matter=f"{LESSON}\n{written}")
    (told,) = shelf.findings
    assert re.match(r'lessons/kurs/01-start\.md:3:\d+: "corrections" is ', told)
    assert told.endswith(WRITE)


def test_a_notice_has_no_corrections(shelf: Shelf) -> None:
    matter = 'subject: "Bitte bestätigen"\ncorrections: [{on: 2026-12-03, text: "x"}]'
    shelf.text("templates/notices/confirmation.md", matter=matter)
    assert [told for told in shelf.findings if "confirmation.md:3:" in told and "notices" in told]


@pytest.mark.parametrize("said", [True, False])
def test_an_issue_may_say_whether_everybody_reads_it(shelf: Shelf, said: bool) -> None:
    assert issue(shelf, f"archive: {str(said).lower()}")["archive"] is said
    assert "archive" not in issue(shelf)


def test_only_issues_are_for_the_archive(shelf: Shelf) -> None:
    shelf.lesson(matter=f"{LESSON}\narchive: true")
    shelf.text(
        "newsletters/lifecycle/b.md", matter='subject: "b"\ntrigger: birthday\narchive: true'
    )
    told = [one for one in shelf.findings if '"archive" is not a key here' in one]
    assert len(told) == 2
