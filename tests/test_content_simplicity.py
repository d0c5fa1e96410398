"""Easy language: sentences that are too long and words that have an easier one."""

from pathlib import Path

import pytest

from l3mail.content.simplicity import EASIER, MOST_WORDS
from tests.fakes.library import LESSON, Shelf

FITS = " ".join(["Wort"] * MOST_WORDS) + "."
TOO_LONG = " ".join(["Wort"] * (MOST_WORDS + 1)) + "."


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    shelf = Shelf(tmp_path)
    shelf.lesson()
    return shelf


def told(shelf: Shelf, body: str, matter: str = LESSON) -> list[str]:
    """What is said of a body in easy language, from its line on."""
    shelf.text("lessons/kurs/01-start.de-simple.md", body, matter)
    before = "lessons/kurs/01-start.de-simple.md:"
    return [one.removeprefix(before) for one in shelf.findings if one.startswith(before)]


@pytest.mark.parametrize(
    ("body", "line"),
    [
        pytest.param(TOO_LONG, 4, id="a paragraph"),
        pytest.param(f"Kurz.\n\n- Kurz.\n- {TOO_LONG}", 7, id="a list"),
        pytest.param(f"Kurz.\nAuch kurz. Ja!\n{TOO_LONG}", 6, id="a third line"),
        pytest.param(f"::: tip\n{TOO_LONG}\n:::", 5, id="a block"),
        pytest.param(f"> Kurz. „{TOO_LONG}“", 4, id="a quote"),
        pytest.param(TOO_LONG.replace("Wort", "**Wort**", 1), 4, id="marked words"),
        pytest.param("Wort " * MOST_WORDS + "[zum Kurs](https://a.example)", 4, id="a link"),
    ],
)
def test_a_sentence_that_is_too_long_is_told_at_its_line(
    shelf: Shelf, body: str, line: int
) -> None:
    (one,) = told(shelf, body)
    assert one.startswith(f"{line}:")
    assert ": warning: the sentence " in one
    assert f"{MOST_WORDS} at most; make two of it" in one


@pytest.mark.parametrize(
    "body",
    [
        FITS,
        f"{FITS} {FITS}",
        f"{FITS}\n{FITS}",
        "Das kostet 1.234,50 Euro, am 3. 12. 2026, um 17 Uhr, und mehr sagen wir hier nicht.",
        "Bitte mitbringen: " + FITS,
        "[Zum Kurs](https://a.example/ein/sehr/langer/pfad/mit/vielen/woertern/und/noch/einem)",
    ],
)
def test_what_is_short_enough_is_not_told(shelf: Shelf, body: str) -> None:
    assert told(shelf, body) == []


def test_a_hard_word_is_told_with_an_easy_one(shelf: Shelf) -> None:
    assert told(shelf, "Kurz.\n\nWir machen das Zeitnah.") == [
        '6:16: warning: "Zeitnah" is a hard word; write "bald"'
    ]


def test_the_subject_is_read_too(shelf: Shelf) -> None:
    (one,) = told(shelf, "Kurz.", 'subject: "Zwecks Anmeldung"')
    assert one.startswith('2:11: warning: "Zwecks" is a hard word')


def test_only_easy_language_is_judged(shelf: Shelf) -> None:
    shelf.lesson(f"Zeitnah. {TOO_LONG}")
    assert shelf.findings == []


def test_who_has_tested_a_text_decides_what_it_is_called(shelf: Shelf) -> None:
    def parts(matter: str) -> list[str]:
        shelf.text("lessons/kurs/01-start.de-simple.md", "Kurz.", matter)
        compiled = shelf.compiled(locale="de-simple").compiled
        assert compiled is not None
        return [compiled["html"], compiled["text"]]

    for part in parts(LESSON):
        assert "Dieser Text ist in Einfacher Sprache." in part
    for part in parts(f'{LESSON}\ntested_by: "Büro Klar, Mai 2026"'):
        assert "Leichter Sprache. Den Text haben geprüft: Büro Klar, Mai 2026" in part
        assert "Einfacher" not in part
    german = shelf.compiled().compiled
    assert german is not None
    assert "Sprache" not in german["html"]


def test_only_easy_texts_are_tested_so(shelf: Shelf) -> None:
    shelf.lesson(matter=f'{LESSON}\ntested_by: "Büro Klar"')
    (one,) = shelf.findings
    assert one.startswith('lessons/kurs/01-start.md:3:1: "tested_by" is for texts in easy language')


def test_easier_words_are_easy() -> None:
    used = {word for words in EASIER.values() for word in words.casefold().split()}
    assert not used & EASIER.keys()
