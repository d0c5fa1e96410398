"""Directives in Markdown: what each looks like in both parts, and what stays what it was."""

import re
from pathlib import Path

import pytest

from l3mail.content.components import COMPONENTS
from l3mail.rendering import fill
from tests.fakes.library import BASE, ROOT, Shelf, values

EVENT = """\
::: event vorlesen
title: Vorlesen in vielen Sprachen
when: Donnerstag, 3. Dezember, 17 Uhr
where: Stadtteilbibliothek Nord
link: https://biblio.example.org/vorlesen

Für Kinder **ab vier** Jahren.
:::
"""


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    shelf = Shelf(tmp_path)
    shelf.image()
    return shelf


def parts(shelf: Shelf, body: str, **person: str) -> tuple[str, str]:
    """HTML and text of a sound lesson."""
    shelf.lesson(body)
    assert shelf.findings == []
    text = shelf.compiled()
    assert text.compiled is not None
    filled = values(person, hrefs=text.hrefs)
    return fill(text.compiled, "html", filled), fill(text.compiled, "text", filled)


def test_every_component_has_both_partials_and_no_partial_is_without_one() -> None:
    folder = ROOT / "templates" / "components"
    wanted = {f"{name}.{ending}" for name in COMPONENTS for ending in ("mjml", "txt")}
    assert {path.name for path in folder.iterdir()} == wanted


def test_an_event_says_when_and_where_in_both_parts(shelf: Shelf) -> None:
    page, text = parts(shelf, EVENT)
    assert "Donnerstag, 3. Dezember, 17 Uhr" in page
    assert "Für Kinder <strong>ab vier</strong> Jahren." in page
    assert 'href="https://biblio.example.org/vorlesen"' in page
    assert (
        "Vorlesen in vielen Sprachen\n---------------------------\n"
        "Donnerstag, 3. Dezember, 17 Uhr\nStadtteilbibliothek Nord\n\nFür Kinder ab vier Jahren."
        "\n\nMehr dazu: https://biblio.example.org/vorlesen\n" in text
    )


def test_the_link_of_a_block_has_the_name_behind_it(shelf: Shelf) -> None:
    shelf.lesson(EVENT)
    assert shelf.compiled().links == (("https://biblio.example.org/vorlesen", "vorlesen"),)


def test_what_was_written_in_a_key_is_text_and_no_more(shelf: Shelf) -> None:
    page, text = parts(shelf, "::: card\ntitle: <b>A & B</b> [[ light ]] {\u2060{ x }}\n\nc\n:::")
    assert "&lt;b&gt;A &amp; B&lt;/b&gt; [[ light ]]" in page
    assert "<b>A & B</b> [[ light ]]" in text


def test_placeholders_work_in_keys_and_are_escaped(shelf: Shelf) -> None:
    body = '::: card\ntitle: Für {{ first_name|default("Sie") }}\n\nText.\n:::'
    page, text = parts(shelf, body, first_name="<i>Änne</i>")
    assert "Für &lt;i&gt;Änne&lt;/i&gt;" in page
    assert "Für <i>Änne</i>\n" in text


def test_a_condition_holds_a_whole_block(shelf: Shelf) -> None:
    block = "::: tip\nIn {{ district }}.\n:::"
    body = f"Vorher.\n\n{{% if district %}}\n\n{block}\n\n{{% endif %}}\n\nNachher."
    with_it, text_with = parts(shelf, body, district="Gorbitz")
    without, text_without = parts(shelf, body)
    assert "In Gorbitz." in with_it
    assert "Tipp: In Gorbitz." in text_with
    assert "Tipp" not in without
    assert "Tipp" not in text_without
    for page in (with_it, without):
        assert page.count("<table") == page.count("</table>")
        assert page.count("<div") == page.count("</div>")


def test_conditions_that_share_a_line_hold_a_block_and_a_paragraph(shelf: Shelf) -> None:
    tip = "::: tip\nIm Stadtteil.\n:::"
    body = (
        f"Vorher.\n\n{{% if district %}}\n\n{tip}\n\n{{% endif %}}{{% if last_name %}}\n\n"
        "Mit Namen.\n\n{% endif %}\n\nNachher."
    )
    for person in ({}, {"district": "Gorbitz"}, {"last_name": "X"}):
        page, text = parts(shelf, body, **person)
        assert ("Im Stadtteil." in page) is ("Im Stadtteil." in text) is ("district" in person)
        assert ("Mit Namen." in page) is ("Mit Namen." in text) is ("last_name" in person)
        assert page.count("<table") == page.count("</table>")
        assert page.count("<div") == page.count("</div>")


TIP = "\n\n::: tip\nb\n:::\n\n"


@pytest.mark.parametrize(
    "body",
    [
        "{% if district %}\n\na\n\n{% endif %}{% if last_name %}" + TIP + "{% endif %}\n\nc",
        "{% if district %}{% if last_name %}\n\na\n\n{% endif %}" + TIP + "{% endif %}\n\nc",
        "{% for n in [1] %}\n\na\n\n{% endfor %}{% if district %}" + TIP + "{% endif %}",
        "{% if district %}" + TIP + "{% else %}\n\na\n\n{% endif %}\n\nc",
    ],
)
def test_conditions_around_blocks_leave_the_page_whole(shelf: Shelf, body: str) -> None:
    for person in ({}, {"district": "a"}, {"last_name": "b"}, {"district": "a", "last_name": "b"}):
        page, _ = parts(shelf, body, **person)
        for tag in ("table", "tbody", "tr", "td", "div"):
            assert page.count(f"<{tag}") == page.count(f"</{tag}>"), (tag, person)


def test_fences_inside_and_around_blocks_end_where_they_do_in_markdown(shelf: Shelf) -> None:
    body = "::: tip\n```\n:::\n````\n\n```a``` und b\n:::\n\nDanach."
    _, text = parts(shelf, body)
    assert "Tipp:\n    :::\n\na und b\n\nDanach." in text


def test_a_loop_repeats_a_block(shelf: Shelf) -> None:
    page, text = parts(
        shelf, "{% for n in [1, 2, 3] %}\n\n::: tip\nNummer {{ n }}.\n:::\n\n{% endfor %}"
    )
    assert [page.count(f"Nummer {n}.") for n in (1, 2, 3)] == [1, 1, 1]
    assert text.count("Tipp: Nummer") == 3


def test_a_condition_inside_a_block_leaves_the_block(shelf: Shelf) -> None:
    body = "::: card\nImmer.\n\n{% if district %}\nIn {{ district }}.\n{% endif %}\n:::"
    assert "In Gorbitz." in parts(shelf, body, district="Gorbitz")[0]
    page, text = parts(shelf, body)
    assert "Immer." in page
    assert text.count("Immer.") == 1


def test_a_video_is_a_picture_and_a_button_with_one_goal(shelf: Shelf) -> None:
    body = (
        "::: video film\ntitle: Hochkant\nlink: https://video.example.org/1\nlength: 1:30 Minuten\n"
        "image: media/tafel.png\nalt: Eine Frau filmt sich selbst.\n:::"
    )
    page, text = parts(shelf, body)
    assert page.count('href="https://video.example.org/1"') == 2
    assert 'alt="Video ansehen: Hochkant (Eine Frau filmt sich selbst.)"' in page
    assert "[Eine Frau filmt sich selbst.]\n\nVideo ansehen" in text
    assert f"{BASE}/media/" in page
    assert "Video ansehen: Hochkant (1:30 Minuten)\nhttps://video.example.org/1\n" in text


@pytest.mark.parametrize(
    ("body", "shows"),
    [
        ("Kurz.", "Tipp: Kurz.\n"),
        ("- a\n- b", "Tipp:\n- a\n- b\n"),
        ("## Kopf", "Tipp:\nKopf\n====\n"),
        ("> Zitat", "Tipp:\n> Zitat\n"),
    ],
)
def test_a_tip_as_text_leaves_lists_their_lines(shelf: Shelf, body: str, shows: str) -> None:
    assert shows in parts(shelf, f"::: tip\n{body}\n:::")[1]


def test_an_address_to_write_to_is_one_in_text(shelf: Shelf) -> None:
    body = "::: event\ntitle: a\nwhen: b\nlink: mailto:a@example.org\n:::"
    assert "Mehr dazu: a@example.org\n" in parts(shelf, body)[1]


@pytest.mark.parametrize(("title", "rule"), [("T", "---"), ("T" * 200, "-" * 72)])
def test_the_line_below_a_title_has_a_sound_length(shelf: Shelf, title: str, rule: str) -> None:
    assert f"{title}\n{rule}\n" in parts(shelf, f"::: card\ntitle: {title}\n\na\n:::")[1]


def test_a_portrait_says_who_speaks(shelf: Shelf) -> None:
    body = (
        "::: portrait\nimage: media/tafel.png\nalt: Ein Mann an der Werkbank\nname: Amir Haddad\n"
        "role: leitet die Werkstatt\n\n> Wir reparieren alles.\n:::"
    )
    page, text = parts(shelf, body)
    assert 'alt="Ein Mann an der Werkbank"' in page
    assert "> Wir reparieren alles.\n\nAmir Haddad, leitet die Werkstatt\n" in text


def test_a_picture_that_only_decorates_is_told_to_nobody(shelf: Shelf) -> None:
    page, text = parts(shelf, "::: hero\nimage: media/tafel.png\nalt: -\n\nHallo.\n:::")
    assert 'alt=""' in page
    assert "[" not in text.partition("Hallo.")[0]


def test_a_checklist_is_a_list_whose_marks_nobody_hears(shelf: Shelf) -> None:
    page, text = parts(shelf, "::: checklist\n- Licht\n- Ton\n:::\n\n- Punkt")
    assert page.count('<span aria-hidden="true">☐</span>') == 2
    assert page.count('role="list"') == 1
    assert "[ ] Licht\n[ ] Ton\n" in text
    assert "- Punkt" in text


@pytest.mark.parametrize("kind", ["", "secondary", "wide"])
def test_a_button_of_each_kind_leads_where_its_link_does(shelf: Shelf, kind: str) -> None:
    page, text = parts(shelf, f"::: button {kind}\n[Zum Kurs](https://kurs.example.org)\n:::")
    assert page.count('href="https://kurs.example.org"') == 1
    assert "Zum Kurs: https://kurs.example.org\n" in text


def test_an_interest_is_a_button_that_notes_its_name(shelf: Shelf) -> None:
    page, text = parts(shelf, "::: card\n::: interest video\nSchicken Sie < mir\n:::\n:::")
    assert page.count(f'href="{BASE}/interest/token?of=video"') == 1
    assert "Schicken Sie &lt; mir" in page
    assert f"Schicken Sie < mir: {BASE}/interest/token?of=video\n" in text
    compiled = shelf.compiled().compiled
    assert compiled is not None
    assert compiled["interests"] == ["video"]
    _, text = parts(shelf, "::: interest video\n:::")
    assert f"Ja, das interessiert mich: {BASE}/interest/token?of=video" in text


@pytest.mark.parametrize(
    ("head", "says"),
    [
        ("interest", "interest needs a name behind it; write ::: interest video"),
        ("interest Mein Video", '"Mein Video" is no name for an interest'),
    ],
)
def test_an_interest_has_a_name(shelf: Shelf, head: str, says: str) -> None:
    shelf.lesson(f"::: {head}\nJa\n:::")
    (fault,) = shelf.findings
    assert says in fault


QUIZ = """\
::: quiz q1
Wie halten Sie das **Telefon**
für ein Video?

- [ ] quer
- [x] hochkant, 5 < 6
- [ ] `egal`

Hochkant füllt das Bild.

Und es ist leichter.
:::
"""
FEEDBACK = """\
::: feedback nutzen
from: gar nicht
to: sehr
comment: yes

Wie hat Ihnen die Lektion geholfen?
:::
"""


def test_each_answer_of_a_quiz_is_a_link_to_its_page_with_that_answer_chosen(shelf: Shelf) -> None:
    page, text = parts(shelf, QUIZ)
    for value in "abc":
        assert f'href="{BASE}/quiz/token?of=q1&amp;pick={value}"' in page
    assert "b) hochkant, 5 &lt; 6</a></li>" in page
    assert "Wie halten Sie das Telefon für ein Video?</h2>" in page
    assert f"a) quer: {BASE}/quiz/token?of=q1&pick=a\nb) hochkant, 5 < 6: {BASE}" in text
    assert "Frage: Wie halten Sie das Telefon für ein Video?\n" in text
    for part in (page, text):
        assert "füllt das Bild" not in part


def test_done_is_a_button_and_the_own_progress_in_words(shelf: Shelf) -> None:
    page, text = parts(shelf, "::: done\nHeute < gelernt\n:::")
    assert f'href="{BASE}/done/token"' in page
    assert "Heute &lt; gelernt" in page
    assert f"Heute < gelernt: {BASE}/done/token\nSie haben schon an 3 von 30 Tagen gelernt." in text
    assert "Sie haben schon an 3 von 30 Tagen gelernt." in page
    (bar,) = re.findall(r"<table[^>]*aria-hidden.*?</table>", page)
    assert ('role="presentation"' in bar, bar.count("<td"), 'width="10%"' in bar) == (True, 2, True)


def test_done_without_words_takes_those_of_the_house(shelf: Shelf) -> None:
    page, text = parts(shelf, "::: done\n:::")
    assert f"Heute gelernt: {BASE}/done/token" in text
    assert re.search(r"Heute gelernt\s*</a>", page)


@pytest.mark.parametrize(
    ("done", "days", "words", "cells"),
    [
        (0, 30, None, 0),
        (29, 30, "29 von 30", 2),
        (30, 30, "an 30 Tagen", 1),
        (31, 30, "an 31 Tagen", 1),
    ],
)
def test_the_progress_says_nothing_before_the_first_day_and_is_never_overfull(
    shelf: Shelf, done: int, days: int, words: str | None, cells: int
) -> None:
    shelf.lesson("::: done\n:::")
    told = {"title": "Kurs", "slug": "kurs", "lesson": 2, "lessons": 6, "together": "0"}
    compiled = shelf.compiled().compiled
    assert compiled is not None
    page = fill(compiled, "html", values(course={**told, "done": done, "days": days}))
    assert ("Tagen gelernt" in page) is (words is not None)
    assert words is None or words in page
    bars = re.findall(r"<table[^>]*aria-hidden.*?</table>", page)
    assert sum(bar.count("<td") for bar in bars) == cells


@pytest.mark.parametrize(
    "body", ["**Heute** gelernt", "Heute\n\ngelernt", "[Heute](https://x.example)", "- Heute"]
)
def test_done_holds_the_words_of_one_button(shelf: Shelf, body: str) -> None:
    shelf.lesson(f"::: done\n{body}\n:::")
    (fault,) = shelf.findings
    assert "01-start.md:4: done holds its button in one line, without marks" in fault


def test_days_are_asked_for_in_a_course_alone(shelf: Shelf) -> None:
    shelf.text("newsletters/2026-12.md", "Guten Tag.\n\n::: done\n:::", 'subject: "Neues"')
    assert any(":6: done is for the texts of a course" in fault for fault in shelf.findings)


@pytest.mark.parametrize(
    ("body", "counted"),
    [
        ("Guten Tag.", None),
        ("{{ course.lesson }}", None),
        ("{{ course.done }}", ["done"]),
        ("{% if course.together != '0' %}x{% endif %}", ["together"]),
        ("::: done\n:::", ["days", "done"]),
    ],
)
def test_a_text_says_what_is_counted_for_it(
    shelf: Shelf, body: str, counted: list[str] | None
) -> None:
    shelf.lesson(body)
    compiled = shelf.compiled().compiled
    assert compiled is not None
    assert compiled.get("counted") == counted


def test_what_a_quiz_knows_is_compiled_in_plain_words(shelf: Shelf) -> None:
    shelf.lesson(QUIZ)
    compiled = shelf.compiled().compiled
    assert compiled is not None
    assert compiled["questions"] == [
        {
            "name": "q1",
            "kind": "quiz",
            "text": "Wie halten Sie das Telefon für ein Video?",
            "options": [
                {"value": "a", "text": "quer", "right": False},
                {"value": "b", "text": "hochkant, 5 < 6", "right": True},
                {"value": "c", "text": "egal", "right": False},
            ],
            "explanation": "Hochkant füllt das Bild.\n\nUnd es ist leichter.",
            "comment": False,
        }
    ]


def test_a_quiz_says_that_several_answers_are_right_where_they_are(shelf: Shelf) -> None:
    hint = "Mehrere Antworten sind richtig."
    assert hint not in parts(shelf, QUIZ)[0]
    page, text = parts(shelf, QUIZ.replace("[ ] quer", "[X] quer"))
    assert hint in page
    assert hint in text


def test_feedback_is_a_row_of_five_links_with_words_at_both_ends(shelf: Shelf) -> None:
    page, text = parts(shelf, FEEDBACK)
    links = re.findall(r'aria-label="([^"]*)"[^>]*href="([^"]*)"', page)
    said = ["1 (gar nicht)", "2", "3", "4", "5 (sehr)"]
    assert [words for words, _ in links] == said
    assert links[3][1] == f"{BASE}/feedback/token?of=nutzen&amp;pick=4"
    assert "1 = gar nicht, 5 = sehr." in page
    for n, words in enumerate(said, start=1):
        assert f"{words}: {BASE}/feedback/token?of=nutzen&pick={n}\n" in text
    compiled = shelf.compiled().compiled
    assert compiled is not None
    (question,) = compiled["questions"]
    assert (question["kind"], question["comment"]) == ("feedback", True)
    assert [one["text"] for one in question["options"]] == said


def test_a_text_without_questions_is_compiled_as_ever(shelf: Shelf) -> None:
    shelf.lesson("Guten Tag.")
    assert "questions" not in (shelf.compiled().compiled or {})


def test_titles_of_blocks_keep_the_order_of_headings(shelf: Shelf) -> None:
    page, _ = parts(shelf, f"{EVENT}\n## Danach\n\n{EVENT}")
    assert re.findall(r"<(h\d)[^>]*>Vorlesen", page) == ["h2", "h3"]


def test_a_heading_below_a_blocks_title_is_in_order(shelf: Shelf) -> None:
    page, _ = parts(shelf, "::: card\ntitle: Titel\n\n### Unter\n\nText\n:::")
    assert re.findall(r"<(h\d)", page) == ["h2", "h3"]


def test_a_fence_shows_a_block_instead_of_being_one(shelf: Shelf) -> None:
    _, text = parts(shelf, "So geht ein Tipp:\n\n```\n::: tip\na\n:::\n```")
    assert "    ::: tip\n    a\n    :::" in text


def test_a_partial_that_is_missing_is_named(shelf: Shelf) -> None:
    (shelf.folder / "templates/components/tip.txt").unlink()
    shelf.lesson("::: tip\na\n:::")
    assert any("templates/components/tip.txt is missing" in told for told in shelf.findings)


def test_a_fault_of_a_partial_is_told_where_it_stands(shelf: Shelf) -> None:
    shelf.put("templates/components/tip.mjml", "<mj-section>\n[[ nobody ]]\n</mj-section>")
    shelf.lesson("::: tip\na\n:::")
    assert any(t.startswith("templates/components/tip.mjml:2:") for t in shelf.findings)


@pytest.mark.parametrize(
    ("piece", "says"),
    [
        ("<mj-txt>a</mj-txt>", '"mj-txt" is no element here; did you mean "mj-text"?'),
        ('<mj-image src="https://x.example/a.png" alt="" />', "is a foreign resource"),
        ("<mj-text>a</mj-column>", "MJML is not well formed"),
        ("<mj-text>{{ frist_name }}</mj-text>", "is no placeholder"),
    ],
)
def test_what_is_wrong_in_a_partial_is_told_there(shelf: Shelf, piece: str, says: str) -> None:
    row = f"<mj-section>\n<mj-column>\n{piece}\n</mj-column>\n</mj-section>"
    shelf.put("templates/components/tip.mjml", row)
    shelf.lesson("::: tip\na\n:::\n\n::: tip\nb\n:::")
    told = [one for one in shelf.findings if one.startswith("templates/components/tip.mjml:3:")]
    assert any(says in one for one in told), shelf.findings
