"""The forms a report takes: the same facts, safe and readable in each, in German and English."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from typing import Any

import pytest

from l3mail import phrases
from l3mail.rendering import fill
from l3mail.reports import Report, letter, needs_of, tell, to_json, to_mail, to_page, to_text
from l3mail.reports.hiding import breakdown
from l3mail.reports.joining import Pair
from l3mail.reports.outlook import Coming
from l3mail.reports.wording import Words
from tests.fakes.reports import BERLIN, STATIONERY, empty_report, full_report
from tests.fakes.village import MONDAY_TEN

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "{{ 7 * 7 }}{% for x in y %}",
    "{n} {0} {",
    "\u202etxet\u2066 \u200b\x07",
    "a\n\nb\r\nc",
    "&amp; <b>",
    "`rm -rf /` <i>`",
    "W" * 400,
    "\u00adweich\u00a0fest",
]
VOID = {"meta", "img", "br", "hr", "input", "link", "path", "rect"}


class Outline(HTMLParser):
    """What stands in a page: its tags, whether they are closed, its text, its references."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.text += data


def forms(report: Report) -> tuple[str, str, str]:
    document = tell(report)
    return to_page(document), to_mail(document, STATIONERY[document.language]), to_text(document)


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
@pytest.mark.parametrize("locale", ["de", "en"])
def test_whatever_people_call_things_is_text_in_every_form(name: str, locale: str) -> None:
    page, mail, text = forms(full_report(name, locale=locale, house=name))
    calm = [set(Outline(form).tags) for form in forms(full_report(locale=locale))[:2]]
    for html, tags in zip((page, mail), calm, strict=True):
        outline = Outline(html)
        assert outline.open == []
        assert set(outline.tags) <= tags
        assert not [one for one in outline.attributes if one[0].startswith("on")]
    for form in (page, mail, text):
        assert not re.search("[\u202a-\u202e\u2066-\u2069\u200b-\u200f\x00-\x08\x0e-\x1f]", form)
    assert max(map(len, text.splitlines())) <= 72


def test_as_mail_it_says_the_same_through_the_template_engine() -> None:
    document = tell(full_report("{{ 7 * 7 }}{% if x %}{# y #}"))
    mail = letter(document, STATIONERY["de"])
    assert mail.html is not None
    for part, said in (("text", mail.text), ("html", mail.html), ("subject", mail.subject)):
        assert part == "subject" or "7 * 7" in said
        compiled = {part: re.sub(r"\{(?=[{%#])", '{{ "{" }}', said)}
        assert fill(compiled, part, {}) == said


@pytest.mark.parametrize("form", [0, 1], ids=["page", "mail"])
@pytest.mark.parametrize("locale", ["de", "en"])
def test_html_stands_alone_and_is_well_made(form: int, locale: str) -> None:
    html = forms(full_report(locale=locale))[form]
    outline = Outline(html)
    assert not {"script", "link", "img", "iframe", "object", "form", "a"} & set(outline.tags)
    spaces = re.sub(r'xmlns(:\w)?="[^"]*"', "", html)
    assert not re.search(r"url\(|@import|https?://|src=|href=", spaces)
    assert f'<html lang="{locale}" dir="ltr"' in html
    assert outline.tags.count("h1") == 1
    levels = [int(tag[1]) for tag in outline.tags if re.fullmatch("h[1-6]", tag)]
    assert all(later <= earlier + 1 for earlier, later in pairwise(levels))
    assert len(html) < 200_000


def test_every_table_has_a_caption_and_headings_with_scope() -> None:
    page, _, _ = forms(full_report())
    tables = re.findall(r"<table role=\"table\".*?</table>", page, re.DOTALL)
    assert len(tables) > 6
    for table in tables:
        assert "<caption>" in table
        assert 'scope="col"' in table
        assert 'scope="row"' in table


def test_the_chart_has_a_name_a_description_and_the_numbers_of_its_table() -> None:
    page, mail, _ = forms(full_report())
    (chart,) = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    named = re.search(r'role="img" aria-labelledby="(\S+) (\S+)"', chart)
    assert named is not None
    assert f'<title id="{named[1]}">' in chart
    assert f'<desc id="{named[2]}">' in chart
    for number in ("37", "36", "35"):
        assert f">{number}</text>" in chart
        assert f'data-label="angenommen">{number}</td>' in page
    assert "<svg" not in mail


@pytest.mark.parametrize(
    ("locale", "language", "title", "number"),
    [
        ("de", "de", "Wochenbericht 47/2026", "1.234"),
        ("de-simple", "de", "Wochenbericht 47/2026", "1.234"),
        ("en", "en", "Weekly report 47/2026", "1,234"),
        ("fr", "en", "Weekly report 47/2026", "1,234"),
    ],
)
def test_it_speaks_the_workspace_s_language_or_else_english(
    locale: str, language: str, title: str, number: str
) -> None:
    document = tell(full_report(locale=locale))
    text = to_text(document)
    assert (document.language, document.title) == (language, title)
    assert number in text


def test_both_languages_have_the_same_words_with_the_same_gaps() -> None:
    def gaps(table: Any) -> Any:
        if isinstance(table, str):
            return sorted(set(re.findall(r"\{(\w+)\}", table)) - {"n"})
        return {name: gaps(inner) for name, inner in table.items()}

    def plain(table: Any) -> Any:
        return {
            name: gaps(inner.get("many", inner) if isinstance(inner, dict) else inner)
            for name, inner in table.items()
        }

    languages = {
        tag: {t: plain(words) for t, words in tables.items()}
        for tag, tables in phrases.read(Words.FILES).items()
    }
    assert languages["de"] == languages["en"]


def test_it_begins_with_what_happened_what_is_needed_and_what_comes() -> None:
    document = tell(full_report())
    assert [sentence.replace("\u00a0", " ") for sentence in document.lead] == [
        (
            "Der Mailserver hat 1.234 von 1.242 fälligen E-Mails angenommen, und 50 Personen haben"
            " ihre Anmeldung bestätigt (Vorwoche: 29)."
        ),
        "8 Dinge warten auf Sie, sie stehen gleich hier darunter.",
        (
            "In den nächsten sieben Tagen kommen 214 Lektionen und 1 Versand; als Erstes „Flyer“ am"
            " Montag, 23. November, 10:00 Uhr."
        ),
    ]
    assert [section.name for section in document.sections] == [
        "needs", "figures", "courses", "course-1", "mailings", "links", "origins", "calendar",
        "proof",
    ]  # fmt: skip
    assert len(needs_of(full_report())) == 8


def test_rates_stand_only_where_enough_is_measured() -> None:
    _, _, text = forms(full_report())
    said = " ".join(text.replace("\u00a0", " ").split())
    assert "messbar 190 (48 %), geöffnet 101 (53 %), geklickt 33 (17 %), Klicks ohne" in said
    assert "Messbar sind 192 von 401 angenommenen E-Mails (48 % von allen)" in said
    assert (
        "lifecycle/birthday fällig 3, angenommen 3, messbar 2 (67 %), Klicks ohne Person verdeckt"
        in said
    )


def test_where_nobody_is_measured_no_empty_columns_stand() -> None:
    report = full_report()
    silent = [replace(one, reach=replace(one.reach, measurable=0)) for one in report.mails.mailings]
    document = tell(replace(report, mails=replace(report.mails, mailings=tuple(silent))))
    (section,) = [one for one in document.sections if one.name == "mailings"]
    text = to_text(replace(document, sections=(section,), lead=()))
    assert "geöffnet" not in text
    assert "darum stehen keine Quoten da" in " ".join(text.split())


def test_hidden_numbers_are_in_no_form() -> None:
    report = full_report("Gorbitz")
    page, _, text = forms(report)
    view = to_json(report, tell(report), [])
    hidden = [one for one in view["people"]["by_source"] if one["source"] in {"Fest", "VHS"}]
    assert [one["now"] for one in hidden] == [
        {"people": None, "hidden": "covered"},
        {"people": None, "hidden": "small"},
    ]
    assert "&lt; 5" in page
    assert "verdeckt" in text


def test_an_empty_house_gets_a_friendly_page_and_no_tables() -> None:
    for locale in ("de", "en"):
        page, mail, text = forms(empty_report(locale=locale))
        assert '<table role="table"' not in page
        assert "l3mail subscribers add" in text
        assert "l3mail subscribers add" in mail
        assert "0" * 64 in text.replace("\n", "")
        assert len(text.splitlines()) < 50


def test_where_nobody_signed_up_nothing_is_broken_down() -> None:
    report = full_report()
    nobody = replace(report, joining=replace(report.joining, confirmed=Pair(0, 0)))
    assert "origins" not in [section.name for section in tell(nobody).sections]
    few = breakdown({"VHS": 2}, {})
    some = replace(report, joining=replace(report.joining, by_source=few))
    assert "Nach Quelle: zu wenige Anmeldungen" in to_text(tell(some))
    assert "VHS" not in to_text(tell(some)).partition("Nach Quelle")[2].partition("Stadtteil")[0]


def test_a_broken_chain_is_the_first_thing_told() -> None:
    report = full_report()
    broken = replace(report, proof=replace(report.proof, broken_at=17))
    assert "17" in needs_of(broken)[0]
    assert "zuerst bei Nummer 17" in " ".join(to_text(tell(broken)).split())


def test_the_newest_link_is_whole_in_text_and_page() -> None:
    page, mail, text = forms(full_report())
    anchor = bytes(range(32)).hex()
    assert anchor in page
    assert anchor in mail
    assert anchor in text


def test_many_lessons_of_a_day_become_one_row_for_each_slot() -> None:
    report = full_report("Kurs der Stadt")
    coming = [Coming(MONDAY_TEN, f"kurs/{n:02}", "lesson", 2) for n in range(60)]
    crowded = replace(report, outlook=replace(report.outlook, coming=tuple(coming)))
    text = to_text(tell(crowded))
    assert re.search(r"Lektionen: Kurs der Stadt\s+120", text)


JSON_SHAPE = {
    "schema": 1,
    "top": {
        "schema", "house", "locale", "week", "from", "until", "is_over", "written_at", "sentences",
        "needs", "mails", "people", "courses", "next", "proof",
    },
    "mails": {"kinds", "mailings", "links", "not_counted"},
    "people": {
        "members", "requested", "confirmed", "unsubscribed", "streams", "by_source", "by_district",
        "acts",
    },
    "lesson": {
        "message", "kind", "due", "accepted", "measurable", "measurable_share", "opened", "clicked",
        "opened_rate", "clicked_rate", "answered", "accepted_now", "ahead",
    },
    "next": {"from", "until", "calendar", "holidays", "approvals", "stuck"},
    "proof": {"acts", "verified", "broken_at", "link"},
}  # fmt: skip


def test_the_json_keeps_its_names() -> None:
    report = full_report()
    view = json.loads(json.dumps(to_json(report, tell(report), needs_of(report))))
    assert view["schema"] == JSON_SHAPE["schema"]
    assert set(view) == JSON_SHAPE["top"]
    for name in ("mails", "people", "next", "proof"):
        assert set(view[name]) == JSON_SHAPE[name]
    assert set(view["courses"][0]["lessons"][0]) == JSON_SHAPE["lesson"]
    (few,) = [one for one in view["mails"]["mailings"] if one["kind"] == "lifecycle"]
    assert (few["measurable"], few["opened"], few["opened_rate"]) == (2, None, None)
    assert view["next"]["approvals"] == [
        {
            "message": "lifecycle/birthday",
            "people": 3,
            "lapses_at": "2026-11-24T10:00:00+01:00",
        }
    ]
    (stuck,) = view["next"]["stuck"]
    assert (stuck["learners"], stuck["since"]) == (2, "2026-11-19T10:00:00+01:00")
    assert view["next"]["calendar"][0]["due_at"] == "2026-11-23T10:00:00+01:00"


def test_words_choose_by_number() -> None:
    words = Words("de", BERLIN)
    assert words.say("lead.lessons", n=1) == "1 Lektion"
    assert words.say("lead.lessons", n=1200) == "1.200 Lektionen"
    assert words.say("lead.people", n=0) == "niemand hat eine Anmeldung bestätigt"
