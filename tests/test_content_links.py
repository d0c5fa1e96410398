"""Numbered links: one place for each in both parts, filled for each mail; and the pixel's place."""

import re
from pathlib import Path

import pytest

from l3mail.content import Text
from l3mail.content.compiling import LARGEST_HTML
from l3mail.content.links import LONGEST_MEASURED, PIXEL, longest
from l3mail.rendering import fill
from tests.fakes.library import BASE, Shelf, values

BODY = """\
[Zum Video](https://video.example/watch?v=1&t=2 "video")

Lesen Sie die [Seite](https://seite.example), die **[Seite](https://seite.example)** und
<https://bare.example/x>, schreiben Sie [uns](mailto:amt@stadt.example) oder [ja](interest:video).

[![Eine Tafel](media/tafel.png)](https://bild.example "bild")

- [Punkt](https://seite.example "punkt")

{% if district %}
[Nur hier](https://nur.example/{{ district }})
{% endif %}
"""
LINKS = (
    ("https://video.example/watch?v=1&t=2", "video"),
    ("https://seite.example", None),
    ("https://bare.example/x", None),
    ("https://bild.example", "bild"),
    ("https://seite.example", "punkt"),
)


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    shelf = Shelf(tmp_path)
    shelf.image()
    return shelf


@pytest.fixture
def text(shelf: Shelf) -> Text:
    shelf.lesson(BODY)
    return shelf.compiled()


def filled(text: Text, **others: object) -> tuple[str, str]:
    assert text.compiled is not None
    given = values({"district": "Nord"}, **{"hrefs": text.hrefs} | others)
    return fill(text.compiled, "text", given), fill(text.compiled, "html", given)


def errors(shelf: Shelf) -> list[str]:
    return [told for told in shelf.findings if ": warning: " not in told]


def test_every_link_out_of_the_house_has_a_number(text: Text) -> None:
    assert text.links == LINKS
    assert text.hrefs == {number: url for number, (url, _) in enumerate(LINKS, start=1)}


def test_both_parts_lead_to_where_the_mail_says(text: Text) -> None:
    numbers = {number: str(number) for number in text.hrefs}
    plain, page = filled(text, trail=f"{BASE}/c/token/", hrefs=numbers)
    for part in (plain, page):
        assert set(re.findall(rf"{BASE}/c/token/(\d)", part)) == set(numbers.values())
    # Where nobody is measured the address itself stands there; its words stay what they are.
    assert re.findall(r"(?:video|seite|bild|bare)\.example", plain) == []
    assert re.findall(r"(?:video|seite|bild|bare)\.example", page) == ["bare.example"]
    assert f"Zum Video: {BASE}/c/token/1\n" in plain
    assert plain.count(f"Seite: {BASE}/c/token/2\n") == 1  # told once below its paragraph


def test_where_nobody_is_measured_links_lead_straight_there(text: Text) -> None:
    plain, page = filled(text)
    for url in text.hrefs.values():
        assert url in plain
        assert f'href="{url.replace("&", "&amp;")}"' in page


def test_a_link_that_differs_from_person_to_person_has_no_number(text: Text) -> None:
    plain, page = filled(text, hrefs=dict.fromkeys(text.hrefs, "x"))
    assert "https://nur.example/Nord" in plain
    assert 'href="https://nur.example/Nord"' in page


def test_the_pixel_is_the_last_thing_in_a_streams_mail_and_in_no_notice(
    shelf: Shelf, text: Text
) -> None:
    _, page = filled(text, pixel=f"{BASE}/o/token.gif")
    image = f'<img src="{BASE}/o/token.gif" width="1" height="1" alt=""'
    assert page.count(image) == 1
    assert "<" not in page.partition(image)[2].partition("/>")[2].replace("</body>", "").replace(
        "</html>", ""
    )
    assert "/o/token.gif" not in filled(text)[1]
    shelf.text("templates/notices/confirmation.md", "[Bestätigen]({{ links.confirm }})")
    notice = shelf.compiled("notice/confirmation").compiled
    assert notice is not None
    assert "pixel" not in notice["html"]


def test_what_only_the_compiler_may_write_is_refused_in_texts_and_layouts(shelf: Shelf) -> None:
    for body in (
        "{{ hrefs[1] }}",
        "[a]({{ hrefs[1] }})",
        "{{ trail }}",
        "{{ pixel }}",
        "{% if pixel %}a{% endif %}",
        '{% for hrefs in ["a"] %}\n[b c](https://x.example)\n{% endfor %}',
        '{% for pixel in ["a"] %}b{% endfor %}',
    ):
        shelf.lesson(body)
        assert errors(shelf), body
    shelf.lesson("gut")
    assert errors(shelf) == []
    layout = shelf.folder / "templates" / "layouts" / "mail.txt"
    layout.write_text(layout.read_text(encoding="utf-8") + "{{ pixel }}", encoding="utf-8")
    assert [told for told in shelf.findings if "mail.txt" in told and "pixel" in told]


def test_the_longest_addresses_a_mail_may_get_count_for_its_size(shelf: Shelf) -> None:
    """Short as they are written, these links would pass; measured, Gmail would cut the mail."""
    shelf.lesson("\n".join(f"- [Nummer {n}](https://a.example/{n})" for n in range(440)))
    (told,) = errors(shelf)
    assert "over 102 KB" in told
    shelf.lesson("\n".join(f"- [Nummer {n}](https://a.example/{n})" for n in range(200)))
    text = shelf.compiled()
    assert text.compiled is not None
    assert longest(text.compiled["html"], text.links) < LARGEST_HTML
    assert longest(PIXEL, ()) == len(PIXEL) - len("{{ pixel }}") + LONGEST_MEASURED
    assert (
        longest("{{ trail }}{{ hrefs[1] }}", (("https://a.example/" + "&" * 60, None),))
        == 18 + 5 * 60
    )


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("![](media/Foto von hier.jpg)", ":4:1: "),
        ("Hier ist\ndas [Blatt](media/mein blatt.pdf) zum Üben.", ":5:5: "),
    ],
)
def test_a_name_with_a_space_is_told_and_not_sent_as_it_was_typed(
    shelf: Shelf, body: str, says: str
) -> None:
    shelf.lesson(body)
    (fault,) = shelf.findings
    assert says in fault
    assert "stays plain words, for an address has no space; name the file in a-z" in fault


def test_titles_of_links_and_prose_in_brackets_are_no_such_names(shelf: Shelf) -> None:
    shelf.lesson('[Zum Kurs](https://a.example "kurs") [sic] (so steht es da), `[a](b c)`.')
    assert shelf.findings == []


@pytest.mark.parametrize(
    ("link", "mend"),
    [
        ("www.stadt.example", "write https://www.stadt.example"),
        ("kurs@stadt.example", "write mailto:kurs@stadt.example"),
    ],
)
def test_a_link_without_its_beginning_is_told_how_to_write_it(
    shelf: Shelf, link: str, mend: str
) -> None:
    shelf.lesson(f"[Zum Kurs]({link})")
    (fault,) = shelf.findings
    assert fault.endswith(mend)
