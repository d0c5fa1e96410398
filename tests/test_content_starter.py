"""The workspace that the program carries: sound, light, and readable in both designs."""

import re

import pytest

from l3mail.content import (
    Translated,
    bytes_of,
    check,
    compile_all,
    compile_text,
    translated,
    worksheet,
    worksheets_of,
)
from l3mail.rendering import fill
from l3mail.settings import load_settings
from l3mail.wiring import read_content
from tests.fakes.chromium import (
    CHROMIUM,
    OF_MAILS,
    browser,
    faults_by_day_and_night,
    faults_by_night,
)
from tests.fakes.library import BASE, ROOT, values
from tests.fakes.paper import PaperRead

# Landmarks and a first heading are the mail program's own page, not a mail's.
KEPT_FREE = 36 * 1024
"""Octets of HTML that values and personal links, some 4 KB, may still add before Gmail cuts."""


def test_the_starter_workspace_has_no_faults() -> None:
    library = read_content(load_settings(ROOT, {}))
    texts = compile_all(library)
    assert check(library, texts) == []
    course = "lessons/digital-kommunizieren"
    assert [one for one in translated(library) if one.path == course] == [
        Translated(course, locale, count, 8, "de")
        for locale, count in (("ar", 1), ("de-simple", 3), ("en", 1), ("uk", 1))
    ]
    assert {text.source.kind for text in texts} == {
        "lesson",
        "evaluation",
        "welcome",
        "newsletter",
        "lifecycle",
        "notice",
    }
    for text in texts:
        assert text.compiled is not None
        filled = values(hrefs=text.hrefs)
        assert len(fill(text.compiled, "html", filled).encode()) < 102 * 1024 - KEPT_FREE
        assert fill(text.compiled, "subject", filled).strip()


def test_a_text_read_from_right_to_left_is_so_in_every_column_and_list() -> None:
    """Gmail drops what the root says, so that each column has to say it again."""
    library = read_content(load_settings(ROOT, {}))
    text = compile_text(library, library.find("digital-kommunizieren/01-ziele", "ar-SY"))
    assert text.compiled is not None
    page = fill(text.compiled, "html", values(hrefs=text.hrefs))
    assert '<html lang="ar" dir="rtl"' in page
    assert "direction:ltr" not in page
    columns = re.findall(r'<div class="[^"]*mj-column[^>]*>', page)
    assert len(columns) > 5
    assert [column for column in columns if "direction:rtl" not in column] == []
    words = re.findall(r'<div style="font-family[^>]*>', page)
    assert len(words) > 20
    assert [said for said in words if "text-align:right" not in said] == []
    lists = re.findall(r"<[uo]l [^>]*>", page)
    answers = [said for said in lists if "list-style:none" in said]
    assert (len(lists), len(answers)) == (6, 3)
    for said in set(lists) - set(answers):
        assert "padding-right:2" in said
        assert "padding-left" not in said
    assert "border-left:4px" not in page


@pytest.mark.parametrize("locale", ["de-simple", "en", "uk", "ar"])
def test_a_variant_has_the_blocks_and_sections_of_the_text_it_is_one_of(locale: str) -> None:
    library = read_content(load_settings(ROOT, {}))
    german = library.find("digital-kommunizieren/01-ziele", "de")
    variant = library.find("digital-kommunizieren/01-ziele", locale)
    assert variant.locale == locale

    def skeleton(text: str) -> list[str]:
        return re.findall(r"^(##|:::\s?\w*|!\[|\d\. )", text, re.MULTILINE)

    assert skeleton(variant.body) == skeleton(german.body)

    def key(text: str) -> list[tuple[str, str]]:
        """Which questions there are, and where their right answers stand: what letters mean."""
        return re.findall(r"^::: (?:quiz|feedback) (\w+)|^- \[([ x])\]", text, re.MULTILINE)

    assert len(key(german.body)) == 4 + 9
    assert key(variant.body) == key(german.body)


def test_every_lesson_asks_links_on_and_has_a_worksheet() -> None:
    """What each lesson of the course holds: three quizzes, a scale, a sheet, a page to read on."""
    texts = compile_all(read_content(load_settings(ROOT, {})))
    course = [
        text
        for text in texts
        if (text.source.course, text.source.locale) == ("digital-kommunizieren", "de")
    ]
    lessons = [text for text in course if text.source.kind == "lesson"]
    assert len(lessons) == 6
    for text in lessons:
        assert text.compiled is not None
        asked = [(one["name"], one["kind"]) for one in text.compiled["questions"]]
        quizzes = [("q1", "quiz"), ("q2", "quiz"), ("q3", "quiz")]
        assert asked == [*quizzes, ("hilfreich", "feedback")], text.source.path
        assert all(one["explanation"] for one in text.compiled["questions"][:3])
        assert [one.name for one in text.media if one.name.endswith(".pdf")], text.source.path
        body = text.source.body
        assert any(text.links), text.source.path
        for said in ("## Ihre Aufgabe", "## Das Wichtigste", "diese E-Mail"):
            assert said in body, text.source.path
    (evaluation,) = [text for text in course if text.source.kind == "evaluation"]
    assert evaluation.compiled is not None
    assert [one["kind"] for one in evaluation.compiled["questions"]] == ["feedback"] * 5


def test_every_worksheet_is_two_pages_at_most_and_can_be_read_by_a_screen_reader() -> None:
    library = read_content(load_settings(ROOT, {}))
    paths = worksheets_of(library)
    numbers = {int(found[1]) for path in paths if (found := re.search(r"blatt-(\d)-", path))}
    assert numbers == {1, 2, 3, 4, 5, 6}
    for path in paths:
        paper = PaperRead(bytes_of(library, worksheet(library, path)))
        assert 1 <= paper.pages <= 2, path
        assert paper.is_tagged, path
        assert re.search(r"\b[1-6]: ", paper.title), path


def test_each_of_the_thirty_mornings_is_short_and_holds_the_goal_a_task_and_the_button() -> None:
    library = read_content(load_settings(ROOT, {}))
    mornings = [
        source
        for source in library.sources
        if source.course == "30-tage-lernen" and source.kind == "lesson"
    ]
    german = [source for source in mornings if source.locale == "de"]
    assert len(german) == 30
    for headers in ("subject", "preheader"):
        said = {getattr(source.matter, headers) for source in german}
        assert len(said) == 30, headers
    for source in mornings:
        text = source.body.strip()
        assert text.startswith("{{ greeting }},\n"), source.path
        assert len(source.matter.subject) < 50, source.path
        goal = '„{{ attrs.ziel|default("etwas Neues lernen") }}“'
        parts = [text.find(part) for part in ("**Heute:**", "\n::: done\n")]
        assert 0 < parts[0] < parts[1], source.path
        assert text.count(goal) == 1, source.path
        prose = re.sub(r"^(:::|\w+:).*$|!\[.*|\{\{.*?\}\}", "", text, flags=re.MULTILINE)
        assert 60 < len(re.findall(r"\w+", prose)) < 140, source.path


def test_each_of_the_thirty_mornings_is_the_same_in_easy_language() -> None:
    library = read_content(load_settings(ROOT, {}))
    course = [source for source in library.sources if source.course == "30-tage-lernen"]
    slugs = {source.slug for source in course}
    assert len(slugs) == 32

    def skeleton(text: str) -> list[str]:
        return re.findall(r"^(##|:::\s?\w*|!\[.*\(.*|\d\. |\*\*Heute)", text, re.MULTILINE)

    for slug in sorted(slugs - {"30-tage-lernen/welcome"}):
        simple = library.find(slug, "de-simple")
        assert simple.locale == "de-simple", slug
        pictures = [re.sub(r"!\[.*\]", "", one) for one in skeleton(simple.body)]
        german = library.find(slug, "de").body
        assert pictures == [re.sub(r"!\[.*\]", "", one) for one in skeleton(german)], slug


@pytest.mark.browser
@pytest.mark.slow
@pytest.mark.skipif(not CHROMIUM.exists(), reason=f"needs a browser: {CHROMIUM} is missing")
@pytest.mark.parametrize("quarter", range(4))
def test_mails_are_accessible_in_both_designs(quarter: int) -> None:
    """No violation that axe knows, contrast among them; nothing wider than a phone."""
    library = read_content(load_settings(ROOT, {}))
    found = {}
    with browser(BASE) as page:
        page.route("**/*", lambda route: route.abort())
        for text in compile_all(library)[quarter::4]:
            assert text.compiled is not None
            filled = values({"first_name": "Ada"}, hrefs=text.hrefs)
            page.set_content(fill(text.compiled, "html", filled), wait_until="commit")
            # Its other languages have the same pictures, blocks and buttons (the test above).
            look = faults_by_day_and_night if text.source.locale == "de" else faults_by_night
            found[text.source.path] = look(page, OF_MAILS)
    assert len(found) > 20
    assert {path: faults for path, faults in found.items() if faults} == {}
