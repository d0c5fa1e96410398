"""What comes of a text: two parts that say the same, escaped, and nothing from elsewhere."""

import re
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from l3mail import content
from l3mail.content import Text, foreign_resources
from l3mail.content.images import image_size
from l3mail.content.placeholders import NAMES, OURS, PARTS
from l3mail.rendering import fill
from tests.fakes.library import BASE, COURSE, LESSON, Shelf, png, values

SAMPLE = """\
## Willkommen

{{ greeting }},

schön, dass Sie **dabei** sind, *wirklich*: lesen Sie die
[Seite des Medienzentrums](https://medien.example.org/?a=1&b=2 "zentrum").

{% if district %}
In {{ district }} treffen wir uns.
{% endif %}

### Was Sie brauchen

- einen Rechner
- 20 Minuten
  - und Geduld
- {{ first_name|default("Lust") }}

7. Lesen
8. Ausprobieren

> Ein Zitat
> in zwei Zeilen

![Eine Tafel](media/tafel.png)

[Zum Video](https://video.example.org/watch?v=1 "video-1")

---

[Ja, schicken](interest:video)

Das [Arbeitsblatt](media/blatt.pdf) und `Code`.
"""


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    shelf = Shelf(tmp_path)
    shelf.image()
    shelf.put("media/blatt.pdf", b"%PDF-1.7")
    return shelf


@pytest.fixture
def sample(shelf: Shelf) -> Text:
    shelf.lesson(SAMPLE, "subject: \"Los, {{ first_name|default('Sie') }}\"")
    return shelf.compiled()


class Page(HTMLParser):
    """An HTML part taken apart; every element must be closed in its turn."""

    EMPTY = frozenset({"meta", "img", "br", "hr"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []
        self.images: list[dict[str, str | None]] = []
        self.attributes: dict[str, dict[str, str | None]] = {}
        self.words: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.attributes.setdefault(tag, given)
        if tag == "a" and (href := given.get("href")):
            self.links.append(href)
        if tag == "img":
            self.images.append(given)
        if tag == "table":
            assert given.get("role") == "presentation"
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words.append(data)


def parts(text: Text, person: dict[str, Any] | None = None) -> tuple[Page, str]:
    assert text.compiled is not None
    filled = values(person, hrefs=text.hrefs)
    page = Page(fill(text.compiled, "html", filled))
    return page, fill(text.compiled, "text", filled)


PERSON = {"first_name": "Ada", "last_name": "Licht", "district": "Gorbitz"}


def test_the_html_is_well_formed_for_everybody(sample: Text) -> None:
    for person in ({}, PERSON, {"first_name": '<b>"&'}):
        parts(sample, dict(person))


def test_both_parts_hold_the_same_links(sample: Text) -> None:
    page, text = parts(sample)
    links = [link for link in page.links if not link.startswith("mailto:")]
    assert set(links) == set(re.findall(r"https?://[^\s)]+", text))
    assert f"{BASE}/unsubscribe/token" in links
    assert "https://medien.example.org/?a=1&b=2" in links


def test_the_text_part_reads_as_text(sample: Text) -> None:
    _, text = parts(sample, PERSON)
    body = text.partition("Lektion 2 von 6\n")[2].partition("-" * 56)[0]
    digest = sample.media[1].digest
    assert body.strip() == (
        "Willkommen\n==========\n\n"
        "Guten Tag Ada Licht,\n\n"
        "schön, dass Sie dabei sind, wirklich: lesen Sie die"
        " Seite des Medienzentrums.\n"
        "Seite des Medienzentrums: https://medien.example.org/?a=1&b=2\n\n"
        "In Gorbitz treffen wir uns.\n\n"
        "Was Sie brauchen\n----------------\n\n"
        "- einen Rechner\n- 20 Minuten\n  - und Geduld\n- Ada\n\n"
        "7. Lesen\n8. Ausprobieren\n\n"
        "> Ein Zitat in zwei Zeilen\n\n"
        "[Eine Tafel]\n\n"
        "Zum Video: https://video.example.org/watch?v=1\n\n"
        "* * *\n\n"
        f"Ja, schicken: {BASE}/interest/token?of=video\n\n"
        f"Das Arbeitsblatt und Code.\nArbeitsblatt: {BASE}/media/{digest}/blatt.pdf"
    )


def test_a_part_under_a_false_condition_leaves_no_trace(sample: Text) -> None:
    page, text = parts(sample)
    assert "treffen" not in text + "".join(page.words)
    assert "\n\n\n\n" not in text


def test_values_are_escaped_in_the_html_part_and_literal_in_the_text(sample: Text) -> None:
    assert sample.compiled is not None
    hostile = {"first_name": "<script>{{ 7*7 }}</script>", "district": '"><img src=x>'}
    filled = values(hostile, hrefs=sample.hrefs)
    html = fill(sample.compiled, "html", filled)
    assert "<script" not in html
    assert "<img src=x" not in html
    assert "<script>{{ 7*7 }}</script>" in fill(sample.compiled, "text", filled)


def test_links_images_interests_and_media_are_listed(sample: Text) -> None:
    assert sample.links == (
        ("https://medien.example.org/?a=1&b=2", "zentrum"),
        ("https://video.example.org/watch?v=1", "video-1"),
    )
    assert sample.compiled is not None
    assert sample.compiled["interests"] == ["video"]
    assert [name for _, name in sample.compiled["media"]] == ["tafel.png", "blatt.pdf"]
    page, _ = parts(sample)
    (image,) = page.images
    assert image["src"] == f"{BASE}/media/{sample.media[0].digest}/tafel.png"
    assert (image["alt"], image["width"]) == ("Eine Tafel", "300")


def test_compiling_again_gives_the_same(shelf: Shelf, sample: Text) -> None:
    assert shelf.compiled().compiled == sample.compiled


def test_nothing_is_loaded_from_elsewhere(sample: Text) -> None:
    assert sample.compiled is not None
    assert foreign_resources(sample.compiled["html"]) == []
    assert "fonts.googleapis" not in sample.compiled["html"]


@pytest.mark.parametrize(
    ("locale", "lang", "way", "words"),
    [
        ("de", "de", "ltr", "Abmelden"),
        ("de-simple", "de-simple", "ltr", "Keine E-Mails mehr bekommen"),
        ("en-GB", "en-GB", "ltr", "Unsubscribe"),
        ("uk", "uk", "ltr", "Відписатися"),
        ("ar", "ar", "rtl", "إلغاء الاشتراك"),
        ("fa", "fa", "rtl", "Abmelden"),
    ],
)
def test_language_and_direction_follow_the_locale(
    shelf: Shelf, locale: str, lang: str, way: str, words: str
) -> None:
    shelf.lesson()
    shelf.text(f"lessons/kurs/01-start.{locale}.md")
    page, text = parts(shelf.compiled(locale=locale))
    assert (page.attributes["html"]["lang"], page.attributes["html"]["dir"]) == (lang, way)
    assert words in text
    assert words in "".join(page.words)


def test_a_notice_has_an_impressum_and_no_way_to_unsubscribe(shelf: Shelf) -> None:
    shelf.text("templates/notices/confirmation.md", "[Bestätigen]({{ links.confirm }})")
    page, text = parts(shelf.compiled("notice/confirmation"))
    assert f"{BASE}/confirm/token" in page.links
    assert f"{BASE}/confirm/token" in text
    assert not any("unsubscribe" in link for link in page.links)
    assert "Stadt Musterhausen" in text
    assert "Stadt Musterhausen" in "".join(page.words)


@pytest.mark.parametrize(("days", "shown"), [(1, "Tag 2 von 6"), (2, "Lektion 2 von 6")])
def test_a_course_with_a_lesson_each_day_counts_days(shelf: Shelf, days: int, shown: str) -> None:
    shelf.lesson()
    shelf.course(yaml=f'title: Kurs\ncadence: {{every_days: {days}, at: "07:30"}}\n')
    page, text = parts(shelf.compiled())
    assert shown in text
    assert shown in "".join(page.words)


def test_progress_is_shown_in_lessons_only(shelf: Shelf) -> None:
    shelf.lesson()
    shelf.text("newsletters/2026-12.md")
    assert "Lektion 2 von 6" in parts(shelf.compiled())[1]
    assert "Lektion 2 von 6" not in parts(shelf.compiled("newsletter/2026-12"))[1]


def test_mails_of_a_stream_can_be_passed_on_and_answers_to_requests_cannot(shelf: Shelf) -> None:
    shelf.lesson()
    shelf.text("newsletters/2026-12.md")
    shelf.text("templates/notices/confirmation.md", "[Bestätigen]({{ links.confirm }})")
    link = f"{BASE}/recommend/token"
    for slug, has in (("kurs/01-start", 1), ("newsletter/2026-12", 1), ("notice/confirmation", 0)):
        page, text = parts(shelf.compiled(slug))
        assert text.count(f"Weiterempfehlen: {link}") == has, slug
        assert sum(link in one for one in page.links) == has, slug
    compiled = shelf.compiled().compiled
    assert compiled is not None
    without = values() | {"links": values()["links"] | {"recommend": ""}}
    assert "Weiterempfehlen" not in fill(compiled, "text", without)
    assert "Weiterempfehlen" not in fill(compiled, "html", without)


def test_the_sender_is_the_texts_own_or_its_courses(shelf: Shelf) -> None:
    shelf.lesson()
    shelf.text("lessons/kurs/02-video.md", matter=f'{LESSON}\nreply_to: "frage@stadt.example"')
    shelf.course(yaml=COURSE + 'from: "Kurs <kurs@stadt.example>"\n')
    first, second = shelf.compiled().compiled, shelf.compiled("kurs/02-video").compiled
    assert first is not None
    assert second is not None
    assert (first["from"], first["reply_to"]) == ('"Kurs" <kurs@stadt.example>', None)
    assert (second["from"], second["reply_to"]) == (first["from"], "frage@stadt.example")


def test_what_looks_like_jinja_after_markdown_stays_text(shelf: Shelf) -> None:
    shelf.lesson("eins {\\{ secret }} zwei {**{{ greeting }}** {\\% set %}")
    page, text = parts(shelf.compiled())
    assert "eins {{ secret }} zwei {Guten Tag {% set %}" in text
    assert "eins {{ secret }} zwei {Guten Tag {% set %}" in "".join(page.words)


def test_conditions_and_loops_work_in_sentences_lists_and_around_blocks(shelf: Shelf) -> None:
    shelf.lesson(
        "Hallo{% if first_name %} {{ first_name }}{% endif %}!\n"
        "{% if attrs.role == 'vhs' %}\n- {{ attrs.role }}\n{% else %}\n- andere\n{% endif %}\n"
        "{% for n in range(2) %}\nNummer {{ n }}\n{% endfor %}\n"
        "- a\n\n  {% if district %}\n\n  b {{ district }}\n\n  {% endif %}\n- c\n"
    )
    text = shelf.compiled()
    body = parts(text, {"attributes": {"role": "vhs"}, "district": "X"})[1]
    assert "Hallo!\n\n- vhs\n\nNummer 0\nNummer 1\n\n- a\n\n  b X\n" in body
    assert "Hallo Ada!\n\n- andere" in parts(text, {"first_name": "Ada"})[1]


def test_an_empty_value_counts_as_missing_for_default(shelf: Shelf) -> None:
    shelf.lesson('{{ first_name|default("du") }} und {{ attrs.role|default("ich") }}')
    assert "du und ich" in parts(shelf.compiled())[1]


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        ("![](media/tafel.png 'decorative')", ""),
        ("[![Tafel](media/tafel.png)](https://x.example)", "https://x.example"),
        ("<https://x.example/a>", "https://x.example/a"),
        ("[uns](mailto:amt@stadt.example) schreiben", "uns (amt@stadt.example)"),
        ("[an](tel:+49351000) rufen", "an rufen\nan: tel:+49351000"),
        ("[x y]({{ links.view }}#oben) ansehen", f"x y ansehen\nx y: {BASE}/view/token#oben"),
        ("[die Stadt]({{ links.home }})", f"die Stadt: {BASE}/home/token"),
        ("Siehe <https://x.example/a>.", "Siehe https://x.example/a ."),
        ("- a [b c](https://x.example), d\n- e", "- a b c, d\n  b c: https://x.example\n- e"),
        ("> a [b c](https://x.example).", "> a b c.\n> b c: https://x.example\n"),
    ],
)
def test_links_and_images_of_many_shapes(shelf: Shelf, body: str, shown: str) -> None:
    shelf.lesson(body)
    _, text = parts(shelf.compiled())
    assert shown in text


def test_nothing_but_white_space_follows_an_address_in_the_text_part(shelf: Shelf) -> None:
    shelf.lesson(
        "([a b](https://x.example/1)), [c d](https://x.example/2). <https://x.example/3>!\n\n"
        "## Zur [Seite](https://x.example/4)?\n\n"
        "{% if locale %}[e f](https://x.example/5).{% endif %} *[g h](https://x.example/6)*."
    )
    _, text = parts(shelf.compiled(), {"locale": "de"})
    found = re.findall(r"https://x\.example/(\d)(\S*)", text)
    assert sorted(found) == [(str(n), "") for n in range(1, 7)]


def test_a_link_under_a_false_condition_leaves_no_address(shelf: Shelf) -> None:
    shelf.lesson("a {% if district %}[b c](https://x.example).{% endif %} d")
    assert "x.example" not in parts(shelf.compiled())[1]


PROSE = st.text(
    alphabet=st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), max_size=200
)
MARKS = st.sampled_from(
    ["**", "_", "> ", "- ", "1. ", "#", "\n", "\n\n", "`", "](", "[", "!", "{", "}", "%", "\\", "&"]
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.one_of(PROSE, MARKS), max_size=30))
def test_whatever_is_written_is_an_error_or_a_mail(shelf: Shelf, pieces: list[str]) -> None:
    shelf.lesson("".join(pieces))
    for text in content.compile_all(shelf.library):
        if text.compiled is not None:
            parts(text)


def test_content_and_rendering_know_the_same_names(shelf: Shelf) -> None:
    filled = values()
    assert set(filled) == NAMES | OURS
    for name in ("course", "links", "house", "impressum"):
        assert set(filled[name]) == PARTS[name]


SIZES = {
    "PNG": (png(300, 200), (300, 200)),
    "GIF": (b"GIF89a" + bytes([44, 1, 200, 0]) + b"\0" * 20, (300, 200)),
    "JPEG": (
        b"\xff\xd8\xff\xe0\0\x04ab\xff\xff\xc0\0\x11\x08\0\xc8\x01\x2c" + b"\0" * 20,
        (300, 200),
    ),
    "WebP": (b"RIFF\0\0\0\0WEBPVP8X" + b"\0" * 8 + b"\x2b\x01\0\xc7\0\0", (300, 200)),
    "lossy WebP": (b"RIFF\0\0\0\0WEBPVP8 " + b"\0" * 10 + b"\x2c\x01\xc8\0" + b"\0", (300, 200)),
    "cut off": (png(300, 200)[:20], None),
    "empty": (b"", None),
    "zero wide": (png(300, 200)[:16] + b"\0" * 20, None),
    "JPEG without a frame": (b"\xff\xd8\xff\xe0\0\x04ab" + b"\0" * 30, None),
    "JPEG without end": (b"\xff\xd8" + b"\xff" * 500, None),
}


@pytest.mark.parametrize(("data", "size"), SIZES.values(), ids=SIZES.keys())
def test_an_images_size_is_read_from_its_header(data: bytes, size: tuple[int, int] | None) -> None:
    assert image_size(data) == size


@given(st.binary(max_size=300))
def test_no_bytes_break_the_reading_of_a_size(data: bytes) -> None:
    for start in (b"", b"\xff\xd8", b"RIFF\0\0\0\0WEBPVP8L", b"GIF89a", b"\x89PNG\r\n\x1a\n"):
        image_size(start + data)


def test_the_title_is_the_subject(sample: Text) -> None:
    assert sample.compiled is not None
    filled = values({"first_name": "A<b>"}, hrefs=sample.hrefs)
    html = fill(sample.compiled, "html", filled)
    found = re.search("<title>(.*?)</title>", html)
    assert found is not None
    assert unescape(found[1]) == "Los, A<b>"


def test_paragraphs_of_a_quote_stand_apart(shelf: Shelf) -> None:
    shelf.lesson("> eins\n>\n> zwei\n\ndrei")
    compiled = shelf.compiled().compiled
    assert compiled is not None
    assert '<p style="margin:0 0 10px">eins</p><p style="margin:0">zwei</p>' in compiled["html"]
    assert '<p style="margin:0">drei</p>' in compiled["html"]
