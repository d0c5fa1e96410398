"""The words of the pages: every language has all of them, and every page only asks for those."""

import re
import tomllib
from pathlib import Path

import pytest

from l3mail.locales import chain
from l3mail.starter import starter
from l3mail.web.words import LAST, WORDS_FILE, Words, read_words

PAGES = Path(__file__).resolve().parents[1] / "src" / "l3mail" / "web"
TABLES = tomllib.loads((starter() / WORDS_FILE).read_text(encoding="utf-8"))


def gaps(text: str) -> set[str]:
    return set(re.findall(r"\{(\w+)\}", text))


@pytest.mark.parametrize("tag", ["de-simple", "en"])
def test_every_language_has_every_word_with_the_same_gaps(tag: str) -> None:
    for page, words in TABLES[LAST].items():
        assert TABLES[tag][page].keys() == words.keys()
        for name, text in words.items():
            assert gaps(TABLES[tag][page][name]) == gaps(text), f"{tag}.{page}.{name}"


def test_pages_ask_for_no_word_that_is_not_there() -> None:
    known = {f"{page}.{name}" for page, words in TABLES[LAST].items() for name in words}
    a_word = re.compile(rf'"((?:{"|".join(TABLES[LAST])})\.\w+)"')
    sources = [*PAGES.glob("*.py"), *(PAGES / "pages").glob("*.html")]
    asked = {
        word
        for path in sources
        for word in a_word.findall(path.read_text(encoding="utf-8"))
        if not word.endswith(("_", ".lead", ".title"))
    }
    assert asked - known - {"course.html", "stale.html", "view.html"} == set()
    assert len(asked) > 80


def test_every_field_of_a_page_says_its_type_for_the_style_goes_by_it() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in (PAGES / "pages").glob("*.html"))
    fields = re.findall(r"<input\b[^>]*>", text)
    assert len(fields) > 40
    assert [field for field in fields if " type=" not in field] == []


def test_a_word_falls_back_to_a_shorter_tag_then_to_german_then_to_its_name() -> None:
    words = Words({"en": {"a.b": "en {x}"}}, {"de": {"a.b": "de", "a.c": "nur de"}})
    assert words.say("en-GB", "a.b", x=1) == "en 1"
    assert words.say("en", "a.c") == "nur de"
    assert words.say("fr", "a.b") == "de"
    assert words.say("en", "a.d") == "a.d"


def test_a_value_is_never_read_as_a_gap() -> None:
    words = Words({"de": {"a.b": "{x} {y}"}})
    assert words.say("de", "a.b", x="{y}", y="{0.__class__}") == "{y} {0.__class__}"
    assert words.say("de", "a.b") == " "


def test_the_starter_speaks_three_languages(tmp_path: Path) -> None:
    assert read_words(tmp_path).locales == ("de", "de-simple", "en")
    assert all(list(chain(tag)) for tag in TABLES)
