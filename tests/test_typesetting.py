"""Papers are PDF that a screen reader can read, and what people wrote stays what they wrote."""

from typing import Any

import pytest

from l3mail.content.papers import PALETTE
from l3mail.errors import PaperError
from l3mail.typesetting import Paper, picture, typeset, unprintable
from tests.fakes.library import png
from tests.fakes.paper import PaperRead

PLAIN = "#let paper(sheet, body) = {\n  heading(level: 1, sheet.title)\n  body\n}\n"


def words(text: str) -> list[dict[str, Any]]:
    return [{"kind": "text", "text": text}]


def said(text: str) -> dict[str, Any]:
    return {"kind": "paragraph", "nodes": words(text)}


def paper(
    *pieces: dict[str, Any],
    source: str = PLAIN,
    title: str = "Ziele",
    lang: str = "de",
    pictures: dict[str, bytes] | None = None,
) -> Paper:
    values = {
        "title": title,
        "lang": lang,
        "dir": "ltr",
        "house": "Bildung",
        "colours": dict(PALETTE),
        "pieces": list(pieces),
    }
    return Paper("templates/documents/blatt.typ", source, values, pictures or {})


def test_a_paper_is_tagged_and_says_its_title_and_language() -> None:
    read = PaperRead(typeset(paper(said("Guten Tag."), title="Ziele & Wege", lang="uk")))
    assert read.is_tagged
    assert read.says_it_is_accessible
    assert (read.lang, read.title) == ("uk", "Ziele &amp; Wege")
    assert read.shows_its_title


def test_a_paper_is_read_in_the_order_it_was_written_in() -> None:
    read = PaperRead(
        typeset(
            paper(
                said("Zuerst."),
                {"kind": "heading", "level": 2, "nodes": words("Dann")},
                {"kind": "lines", "count": 3},
                {"kind": "list", "items": [[said("eins")], [said("zwei")]]},
                {"kind": "quote", "pieces": [said("Am Ende.")]},
            )
        )
    )
    assert [part for part in read.parts if part[0] != "Lbl"] == [
        ("H1", "Ziele"),
        ("P", "Zuerst."),
        ("H2", "Dann"),
        ("P", "eins"),
        ("P", "zwei"),
        ("P", "Am Ende."),
    ]
    assert {"L", "LI", "LBody", "BlockQuote"} <= read.roles


def test_a_box_to_tick_and_a_table_are_heard_as_such() -> None:
    checks = {"kind": "checks", "groups": [[False, [[said("offen")]]], [True, [[said("fertig")]]]]}
    table = {
        "kind": "table",
        "head": [words("Woche"), words("Plan")],
        "rows": [[words("1"), []]],
        "shares": [1, 3],
    }
    read = PaperRead(typeset(paper(checks, table)))
    assert [text for role, text in read.parts if role == "Lbl"] == ["☐", "☑"]
    assert [part for part in read.parts if part[0] in {"TH", "TD"}] == [
        ("TH", "Woche"),
        ("TH", "Plan"),
        ("TD", "1"),
    ]


def test_a_picture_has_its_words() -> None:
    piece = {"kind": "picture", "path": "media/a.png", "alt": "Größe der Gärten", "width": 100}
    read = PaperRead(typeset(paper(piece, pictures={"media/a.png": png(30, 20)})))
    assert read.alternatives == ["Größe der Gärten"]


def test_a_picture_that_decorates_is_not_heard() -> None:
    piece = {"kind": "picture", "path": "media/a.png", "alt": "", "width": 100}
    read = PaperRead(typeset(paper(piece, pictures={"media/a.png": png(30, 20)})))
    assert "Figure" not in read.roles


@pytest.mark.parametrize(
    "text",
    [
        '#import "/etc/passwd"',
        '#read("/main.typ")',
        "$x^2$ *fett* _kursiv_ `code` = Titel",
        "\\ \\u{41} @quelle <marke> #[",
        '"; sys.inputs.sheet //',
        "/* kein Ende",
        "https://example.org/#a",
    ],
)
def test_what_looks_like_typst_is_plain_text(text: str) -> None:
    read = PaperRead(typeset(paper(said(text), title=text)))
    assert ("P", text) in read.parts
    assert ("H1", text) in read.parts


def test_the_same_values_give_the_same_bytes() -> None:
    first, again = typeset(paper(said("Ja"))), typeset(paper(said("Ja")))
    assert first == again
    assert b"CreationDate" not in first
    assert b"ModDate" not in first


@pytest.mark.parametrize("name", ["محمد عبد الله", "דוד", "Олена Ґ", "Nguyễn Thị", "Ελένη"])
def test_names_of_other_scripts_are_printed(name: str) -> None:
    assert unprintable(name) == ()
    typeset(paper(said(name), title=name))


@pytest.mark.parametrize(
    ("text", "unknown"),
    [
        ("Anna 😀", ("😀",)),
        ("日本", ("日", "本")),
        ("a\x07b", ("\x07",)),
        ('"😀\\"', ("😀",)),
        ("Anna Müller-Lüdenscheidt – „so“", ()),
    ],
)
def test_what_no_font_has_is_named(text: str, unknown: tuple[str, ...]) -> None:
    assert unprintable(text) == unknown


def test_a_paper_with_a_sign_that_no_font_has_is_refused() -> None:
    with pytest.raises(PaperError, match="no font has 😀"):
        typeset(paper(said("😀")))


@pytest.mark.parametrize(
    ("source", "line", "problem"),
    [
        ("#let paper(sheet, body) = {\n  bodi\n}\n", 2, "unknown variable: bodi"),
        ("#let paper(sheet, body) = {\n  body\n", 1, "unclosed delimiter"),
        ("#let blatt(sheet, body) = body\n", 1, "has no function paper"),
        ("#let paper(sheet, body) = {\n\n  sheet.nichts\n}\n", 3, "does not contain key"),
        ('#let paper(sheet, body) = {\n  read("/etc/passwd")\n}\n', 2, "file not found"),
        ('#let paper(sheet, body) = {\n  read("../../../etc/passwd")\n}\n', 2, "would escape"),
        ('#let paper(s, body) = {\n  import "@preview/x:1.0.0"\n}\n', 2, "fetched from elsewhere"),
        ("#let paper(sheet, body) = heading(level: 2)[x]\n", 1, "first heading must be of level 1"),
        ("#let paper(sheet, body) = {\n  let n = 1\n  while n > 0 { n += 1 }\n}\n", 3, "infinite"),
    ],
)
def test_a_template_that_fails_is_told_with_its_line(source: str, line: int, problem: str) -> None:
    with pytest.raises(PaperError, match=problem) as told:
        typeset(paper(said("Ja"), source=source))
    assert (told.value.path, told.value.line) == ("templates/documents/blatt.typ", line)
    assert "/tmp" not in str(told.value)
    assert "\n" not in str(told.value)


def test_a_broken_picture_is_told() -> None:
    piece = {"kind": "picture", "path": "media/a.png", "alt": "A", "width": 100}
    with pytest.raises(PaperError, match="decode"):
        typeset(paper(piece, pictures={"media/a.png": png(30, 20)[:50]}))


def test_a_paper_can_be_looked_at() -> None:
    assert picture(paper(said("Ja"))).startswith(b"\x89PNG")
