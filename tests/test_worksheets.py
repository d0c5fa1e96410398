"""Worksheets: what editors may write, what is told of the rest, and the PDF that texts link to."""

import io
from pathlib import Path

import pytest
from PIL import Image

from l3mail.content import Design, bytes_of, worksheet
from l3mail.errors import ContentError
from tests.fakes.library import ROOT, Shelf, png
from tests.fakes.paper import PaperRead

BLATT = "media/arbeitsblatt-1-ziele.md"
LINK = "media/arbeitsblatt-1-ziele.pdf"
TITLE = 'title: "Mein Ziel"'
TEXT = """
Nehmen Sie sich **eine halbe** Stunde *Zeit*
und einen `Stift`.

## Was möchte ich können?

::: lines 4

### Was hilft?

- [ ] eine feste Uhrzeit
- [x] ein ruhiger Ort

| Woche | Plan |
|-------|------|
| 1     |      |

> Ein Ziel ist gut, wenn Sie es merken.

![Eine Tafel mit Zielen](media/tafel.png)

1. Erstens
   - innen
2. Zweitens

Mehr bei der [Lernberatung](https://vhs.example.org/lernen).

::: lines 2
:::
"""


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    shelf = Shelf(tmp_path)
    shelf.image()
    shelf.text(BLATT, TEXT, TITLE)
    shelf.lesson(f"[Arbeitsblatt (PDF)]({LINK})")
    return shelf


def read(shelf: Shelf, path: str = BLATT) -> PaperRead:
    library = shelf.library
    return PaperRead(bytes_of(library, worksheet(library, path)))


def test_a_worksheet_becomes_a_paper_that_can_be_heard(shelf: Shelf) -> None:
    paper = read(shelf)
    assert paper.is_tagged
    assert (paper.lang, paper.title) == ("de", "Mein Ziel")
    assert paper.parts[:4] == [
        ("H1", "Mein Ziel"),
        ("P", "Nehmen Sie sich eine halbe Stunde Zeit und einen Stift."),
        ("H2", "Was möchte ich können?"),
        ("H3", "Was hilft?"),
    ]
    assert paper.alternatives == ["Eine Tafel mit Zielen"]
    assert [text for role, text in paper.parts if role == "Lbl"] == ["☐", "☑", "1.", "•", "2."]
    assert ("TH", "Plan") in paper.parts
    # Nobody can press a link on paper.
    assert "(vhs.example.org/lernen)" in paper.text


def test_a_text_links_to_the_paper_and_nothing_is_made_until_somebody_asks(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert shelf.findings == []
    monkeypatch.setattr("l3mail.content.worksheets.typeset", None)
    text = shelf.compiled()
    (medium,) = text.media
    assert (medium.path, medium.name) == (BLATT, "arbeitsblatt-1-ziele.pdf")
    assert text.compiled is not None
    assert text.compiled["media"] == [[medium.digest, medium.name]]
    assert f"/media/{medium.digest}/arbeitsblatt-1-ziele.pdf" in text.compiled["html"]


def digest(shelf: Shelf) -> str:
    (medium,) = (medium for medium in shelf.compiled().media if medium.recipe)
    return medium.digest


def test_the_digest_is_of_all_that_goes_into_the_paper(shelf: Shelf) -> None:
    seen = [digest(shelf)]
    assert digest(shelf) == seen[0]
    shelf.text(BLATT, TEXT + "\nEnde.", TITLE)
    seen.append(digest(shelf))
    shelf.image(width=301)
    seen.append(digest(shelf))
    template = shelf.folder / "templates/documents/worksheet.typ"
    template.write_text(template.read_text(encoding="utf-8") + "\n// neu\n", encoding="utf-8")
    seen.append(digest(shelf))
    shelf.design = Design(light={"accent": "#7a1f5c"})
    seen.append(digest(shelf))
    shelf.design = Design(logo="media/tafel.png", claim="Lernen")
    seen.append(digest(shelf))
    assert len(set(seen)) == len(seen)


def test_a_real_pdf_of_that_name_is_taken_instead(shelf: Shelf) -> None:
    shelf.put(LINK, b"%PDF-1.7 von Hand")
    (medium,) = shelf.compiled().media
    assert (medium.path, medium.recipe) == (LINK, "")


def test_a_worksheet_has_the_language_of_its_name(shelf: Shelf) -> None:
    shelf.text("media/blatt.ar.md", "## مرحبا\n\nأهلا وسهلا", 'title: "أهداف"')
    shelf.text("media/blatt.de-simple.md", "Hallo.", 'title: "Ziele"')
    assert read(shelf, "media/blatt.ar.md").lang == "ar"
    assert read(shelf, "media/blatt.de-simple.md").lang == "de"
    assert shelf.findings == []


def test_a_worksheet_in_easy_language_is_read_for_hard_words(shelf: Shelf) -> None:
    shelf.text("media/blatt.de-simple.md", "Das ist relevant.", 'title: "Ziele"')
    (told,) = shelf.findings
    assert told.startswith("media/blatt.de-simple.md:4: warning: ")


@pytest.mark.parametrize(
    ("body", "line", "message"),
    [
        ("::: card\nHallo\n:::", 4, '"card" is no block of a worksheet'),
        ("::: lines", 4, "need their number, 1 to 40"),
        ("::: lines viele", 4, "need their number, 1 to 40"),
        ("Ja\n\n::: lines 400", 6, "need their number, 1 to 40"),
        ("::: lines 4\nText\n:::", 6, "closes no block"),
        ("# Titel", 4, "begin with ##"),
        ("## Eins\n\n#### Vier", 6, "after a heading of level 2 comes ###"),
        ("### Drei", 4, "after a heading of level 1 comes ##"),
        ("![](media/tafel.png)", 4, "has no words for who does not see it"),
        ("Ja\n\n![Tafel](media/tafl.png)", 6, 'did you mean "media/tafel.png"?'),
        ("![Tafel](https://example.org/a.png)", 4, "is not in media/"),
        ("![Tafel](../l3mail.toml)", 4, "is not in media/"),
        ("Hier ![Tafel](media/tafel.png) stehen", 4, "a picture stands alone"),
        ("<b>Ja</b>", 4, "HTML is not read"),
        ("<div>\nJa\n</div>", 4, "HTML is not read"),
        ("Ja\n\nHallo {{ first_name }}", 6, "a paper is the same for all"),
        ("{% if district %}\nJa\n{% endif %}", 4, "a paper is the same for all"),
        ("Ja\nSuper 😀", 5, 'no font here has "😀"'),
        ("- [ ] eins\n- zwei", 4, "some lines of this list have a box"),
        ("[Ja](interest:video)", 4, "is not for mails"),
        # Typst would stop there, and first when it is published.
        ("Ja\n\n" + ">" * 25 + " tief", 6, "this is nested too deep"),
        ("\n".join("  " * n + "- a" for n in range(12)), 13, "this is nested too deep"),
        ("Ja\n\n" + "*" * 3000 + "a" + "*" * 3000, 6, "this is nested too deep"),
        ("[Blatt](media/tafel.png)", 4, "a paper cannot bring files along"),
        ("[ ](https://example.org)", 4, "has no words"),
        ("[Ja](javascript:alert)", 4, "is not for mails"),
        ("", 5, "there is no text"),
    ],
)
def test_what_cannot_be_on_paper_is_told_with_its_line(
    shelf: Shelf, body: str, line: int, message: str
) -> None:
    shelf.text(BLATT, body, TITLE)
    own = [found for found in shelf.findings if found.startswith(f"{BLATT}:")]
    assert any(found.startswith(f"{BLATT}:{line}: ") and message in found for found in own), own
    # Who links to it is told too: its text is not published with a link to nothing.
    assert f"lessons/kurs/01-start.md:4:22: {own[0]}" in "\n".join(shelf.findings)


@pytest.mark.parametrize(
    ("matter", "message"),
    [
        ('titel: "A"', 'did you mean "title"?'),
        ("title: [a, b]", "should be one line of text"),
        ('title: "😀"', "no font here has"),
        ('title: "{{ first_name }}"', "the same for all"),
        ("draft: true", '"title" is missing'),
    ],
)
def test_faults_of_the_keys_are_told(shelf: Shelf, matter: str, message: str) -> None:
    shelf.text(BLATT, "Ja.", matter)
    assert any(message in found and found.startswith(BLATT) for found in shelf.findings)


def test_the_deepest_there_may_be_becomes_a_paper(shelf: Shelf) -> None:
    marks = ["*_"[n % 2] for n in range(20)]
    words = " ".join(f"{one}a" for one in marks) + " " + " ".join(f"b{one}" for one in marks[::-1])
    shelf.text(BLATT, f"{'>' * 18} {words}\n\n{'> - ' * 6}b", TITLE)
    assert "a a a" in read(shelf).text


def test_a_file_that_is_no_text_is_told(shelf: Shelf) -> None:
    shelf.put("media/blatt.md", b"---\ntitle: A\n---\nGr\xfc\xdfe\n")
    assert any("media/blatt.md:4:3: this line is not UTF-8" in found for found in shelf.findings)


def test_a_picture_too_large_for_a_paper_is_told(shelf: Shelf) -> None:
    shelf.put("media/gross.png", png(30, 20) + b"\0" * 24_000_000)
    shelf.text(BLATT, "![Groß](media/gross.png)", TITLE)
    assert any(
        found.startswith(f"{BLATT}:4: ") and "make it smaller" in found for found in shelf.findings
    )


def test_a_photo_on_a_paper_says_as_little_of_its_place_as_one_in_a_mail(shelf: Shelf) -> None:
    told = Image.Exif()
    told[0x0112], told[0x013B] = 6, "Erika Musterfrau"
    out = io.BytesIO()
    Image.new("RGB", (3000, 200), "teal").save(out, "JPEG", exif=told)
    shelf.put("media/foto.jpg", out.getvalue())
    shelf.text(BLATT, "![Werkstatt](media/foto.jpg)", TITLE)
    assert shelf.findings == []
    library = shelf.library
    made = bytes_of(library, worksheet(library, BLATT))
    assert b"Erika" not in made
    assert b"/Width 200" in made  # taken sideways: it stands upright


def test_ten_thousand_signs_without_a_blank_are_a_paper_too(shelf: Shelf) -> None:
    shelf.text(BLATT, "x" * 10_000, f'title: "{"y" * 10_000}"')
    assert shelf.findings == []
    assert read(shelf).pages > 1


def test_a_template_that_fails_is_told_where_it_fails_and_where_it_is_needed(shelf: Shelf) -> None:
    file = shelf.folder / "templates/documents/worksheet.typ"
    file.write_text("#let paper(sheet, body) = {\n  bodi\n}\n", encoding="utf-8")
    where = "templates/documents/worksheet.typ:2: unknown variable: bodi"
    assert shelf.findings == [f"lessons/kurs/01-start.md:4:22: {where}", where]


def test_a_link_to_the_markdown_is_told_what_to_write(shelf: Shelf) -> None:
    shelf.lesson(f"[Blatt]({BLATT})")
    (told,) = shelf.findings
    assert told.endswith(f"becomes a PDF; write {LINK}")


def test_a_link_to_no_worksheet_names_the_nearest(shelf: Shelf) -> None:
    shelf.lesson("[Blatt](media/arbeitsblatt-1-zile.pdf)")
    (told,) = shelf.findings
    assert 'did you mean "media/arbeitsblatt-1-ziele.pdf"?' in told


def test_a_worksheet_out_of_the_workspace_is_none(shelf: Shelf) -> None:
    with pytest.raises(ContentError):
        worksheet(shelf.library, "media/nicht-da.md")


def test_the_starters_template_needs_no_design(shelf: Shelf) -> None:
    (shelf.folder / "templates/layouts/mail.mjml").unlink()
    assert read(shelf).title == "Mein Ziel"
    assert (ROOT / "templates/documents/worksheet.typ").is_file()
