"""The frame around every mail: readable in light and dark, and its faults have lines."""

import re
import socket
import tomllib
from pathlib import Path

import pytest

from l3mail.content import compile_all
from l3mail.content.conversion import foreign_resources
from l3mail.content.layouts import layout_for, read_layout
from tests.fakes.library import ROOT, Shelf

FOLDER = "templates/layouts"
LAYOUT = f"{FOLDER}/lesson.mjml"
OWN = 'light: {accent: "#4a1d6b"}\n'


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path)


def change(shelf: Shelf, old: str, new: str, path: str = "") -> tuple[str, int]:
    """Change a lesson's layout or what it includes; return in which file and line."""
    pieces = [LAYOUT, *(f"{FOLDER}/{name}.mjml" for name in ("head", "brand", "footer"))]
    file = next(
        shelf.folder / piece
        for piece in ([path] if path else pieces)
        if old in (shelf.folder / piece).read_text(encoding="utf-8")
    )
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace(old, new, 1), encoding="utf-8")
    return file.relative_to(shelf.folder).as_posix(), text[: text.index(old)].count("\n") + 1


def test_inline_styles_name_no_colour_of_their_own() -> None:
    folder = ROOT / "templates" / "layouts"
    layout = read_layout("mail", {path.name: path.read_text() for path in folder.iterdir()})
    assert layout.inline
    assert not re.findall("#[0-9a-f]{3,6}", " ".join(layout.inline.values()))


def test_the_shipped_words_are_there_in_every_language() -> None:
    words = tomllib.loads((ROOT / "templates" / "words.toml").read_text(encoding="utf-8"))
    assert set(words) == {"de", "de-simple", "en", "uk", "ar"}
    assert len({frozenset(table) for table in words.values()}) == 1
    assert all(word.strip() for table in words.values() for word in table.values())


def test_both_designs_are_declared(shelf: Shelf) -> None:
    shelf.lesson()
    compiled = shelf.compiled().compiled
    assert compiled is not None
    assert '<meta name="color-scheme" content="light dark"' in compiled["html"]
    assert "@media (prefers-color-scheme: dark)" in compiled["html"]
    assert "[data-ogsc]" in compiled["html"]
    assert 'role="article"' in compiled["html"]


FAULTS = {
    "unknown element": ("<mj-wrapper css", "<mj-wraper css", '"mj-wraper" is no element'),
    "not closed": ("</mj-column>", "", "MJML is not well formed"),
    "unknown marker": ("[[ words.view ]]", "[[ words.wiev ]]", "has no attribute 'wiev'"),
    "broken marker": ("[% if stream %]", "[% if %]", "Jinja cannot read this"),
    "unknown placeholder": ("{{ house.name }}", "{{ hous.name }}", 'did you mean "house'),
    "link to a stylesheet": (
        '<meta name="format-detection"',
        '<link rel="stylesheet" href="https://x.example/a.css" /><meta name="x"',
        "<link> is not for mails",
    ),
    "foreign font": (
        ":root { color",
        '@import "https://x.example/a.css"; :root { color',
        "@imp",
    ),
    "foreign background": (
        ".soft a { color",
        ".x { background: url(https://x.example/a.png) } .soft a { color",
        "url( loads a foreign resource",
    ),
    "foreign image": (
        "[[ body ]]",
        '<mj-image src="https://x.example/a.png" alt="" />[[ body ]]',
        "is a foreign resource",
    ),
    "script": ("<mj-raw>", "<mj-raw><script>1</script>", "<script> is not for mails"),
    "included file": (
        "<mj-head>",
        '<mj-head><mj-include path="/etc/passwd" />',
        '"/etc/passwd" is no file to include',
    ),
    "included from above": (
        "[[ body ]]",
        '<mj-include path="../../l3mail.toml" />[[ body ]]',
        "is no file to include",
    ),
    "included whole mail": (
        "[[ body ]]",
        '<mj-include path="mail.mjml" />[[ body ]]',
        "is a whole mail",
    ),
    "included as what": (
        "[[ body ]]",
        '<mj-include path="mail.txt" type="js" />[[ body ]]',
        "an include is of type",
    ),
    "attributes by selector": (
        "<mj-raw>",
        "<mj-html-attributes></mj-html-attributes><mj-raw>",
        '"mj-html-attributes" is not for mails here',
    ),
    "font from elsewhere": (
        "<mj-raw>",
        '<mj-font name="R" href="https://x.example/r.css" /><mj-raw>',
        '"mj-font" is not for mails here',
    ),
    "inlined style": ("<mj-style>", '<mj-style inline="inline">', '"inline" of mj-style is not'),
    "social icons from elsewhere": (
        '<mj-section padding="22px 0 34px">',
        '<mj-section padding="22px 0 34px"><mj-social-element name="github" />',
        '"mj-social-element" needs src',
    ),
    "entity": ("<mjml", '<!DOCTYPE x [<!ENTITY a "b">]><mjml', "is not for layouts"),
}


@pytest.mark.parametrize(("old", "new", "says"), FAULTS.values(), ids=FAULTS.keys())
def test_a_fault_in_a_layout_is_told_with_its_line(
    shelf: Shelf, old: str, new: str, says: str
) -> None:
    shelf.lesson()
    path, line = change(shelf, old, new)
    told = [one for one in shelf.findings if says in one]
    assert told, shelf.findings
    # What was not closed is found where its parent ends.
    late = 8 if not new else 0
    number = int(told[0].split(":")[1])
    assert told[0].startswith(f"{path}:")
    assert line <= number <= line + late


@pytest.mark.parametrize("name", ["links.unsubscribe", "impressum.name", "impressum.address"])
@pytest.mark.parametrize("path", ["", "templates/layouts/mail.txt"])
def test_a_layout_must_show_what_the_law_wants(shelf: Shelf, name: str, path: str) -> None:
    shelf.lesson()
    change(shelf, f"{{{{ {name} }}}}", f"{{% if locale %}}{{{{ {name} }}}}{{% endif %}}", path)
    (told,) = shelf.findings
    assert told.startswith(f"{path or LAYOUT}:1: every mail must show {{{{ {name} }}}}")


def test_each_kind_has_a_layout_and_falls_back_on_the_plain_one(shelf: Shelf) -> None:
    files = {path.name: path.read_text() for path in (shelf.folder / FOLDER).iterdir()}
    kinds = ["lesson", "newsletter", "lifecycle", "notice"]
    assert [layout_for(kind, files) for kind in kinds] == kinds
    assert [layout_for(kind, files) for kind in ("welcome", "evaluation")] == ["lesson"] * 2
    del files["notice.mjml"]
    assert layout_for("notice", files) == "mail"


def test_a_layout_may_change_colours_of_what_it_includes(shelf: Shelf) -> None:
    shelf.put(LAYOUT, (shelf.folder / LAYOUT).read_text().replace("---\n<mjml", OWN + "---\n<mjml"))
    shelf.lesson()
    compiled = shelf.compiled().compiled
    assert compiled is not None
    assert "#4a1d6b" in compiled["html"]
    assert "#0b5f5a" not in compiled["html"]
    assert "#1f2b2a" in compiled["html"]


def test_files_that_include_each_other_often_are_refused(shelf: Shelf) -> None:
    for number in range(12):
        again = f'<mj-include path="b{number + 1}.mjml" />' * 8
        shelf.put(f"{FOLDER}/b{number}.mjml", f"<!-- {'x' * 200} -->{again}")
    shelf.put(f"{FOLDER}/b12.mjml", "<mj-text>Ende</mj-text>")
    change(shelf, "[[ body ]]", '<mj-include path="b0.mjml" />[[ body ]]')
    shelf.lesson()
    assert any("this layout is too large; include less" in one for one in shelf.findings)


def test_the_staff_s_layout_is_checked_although_no_text_is_written_on_it(shelf: Shelf) -> None:
    shelf.lesson()
    path, line = change(shelf, "[[ body ]]", "[[ boddy ]]", f"{FOLDER}/report.mjml")
    assert [one for one in shelf.findings if one.startswith(f"{path}:{line}:")]
    (shelf.folder / path).unlink()
    assert shelf.findings == []


def test_a_layout_of_ones_own_can_be_named_and_include_a_part(shelf: Shelf) -> None:
    mail = (shelf.folder / LAYOUT).read_text(encoding="utf-8")
    shelf.put("templates/layouts/brief.mjml", mail.replace("[[ body ]]", '[% include "x.mjml" %]'))
    shelf.put("templates/layouts/x.mjml", "<mj-text>Amt {{ house.name }}</mj-text>[[ body ]]")
    shelf.lesson("Das ist der Text.", 'subject: "a"\nlayout: brief')
    compiled = shelf.compiled().compiled
    assert compiled is not None
    assert "Amt {{ house.name }}" in compiled["html"]
    assert "Das ist der Text." in compiled["html"]
    shelf.put("templates/layouts/x.mjml", "<mj-text>{{ first_name }}</mj-text>[[ body ]]")
    assert any('"first_name" can be empty' in told for told in shelf.findings)
    with pytest.raises(AssertionError):
        shelf.compiled()


def test_a_fault_in_the_words_is_told_with_its_line(shelf: Shelf) -> None:
    shelf.lesson()
    _, line = change(shelf, "{{ course.lesson }}", "{{ course.leson }}", "templates/words.toml")
    assert f"templates/words.toml:{line}:" in shelf.findings[0]
    shelf.put("templates/words.toml", "[de\n")
    assert "templates/words.toml:1:4: " in shelf.findings[0]


def test_a_words_fault_keeps_every_text_that_shows_it_from_being_published(shelf: Shelf) -> None:
    shelf.lesson()
    change(shelf, "{{ course.lesson }}", "{{ course.leson }}", "templates/words.toml")
    with pytest.raises(AssertionError):
        shelf.compiled()


PIECES = {
    "mj-accordion": """<mj-accordion icon-wrapped-url="{u}" icon-unwrapped-url="{u}">
        <mj-accordion-element><mj-accordion-title>Frage</mj-accordion-title>
        <mj-accordion-text>Antwort</mj-accordion-text></mj-accordion-element></mj-accordion>""",
    "mj-carousel": """<mj-carousel left-icon="{u}" right-icon="{u}">
        <mj-carousel-image src="{u}" alt="Frage" />
        <mj-carousel-image src="{u}" alt="Antwort" /></mj-carousel>""",
    "mj-navbar": """<mj-navbar><mj-navbar-link href="https://a.example">Antwort</mj-navbar-link>
        </mj-navbar>""",
    "mj-social": """<mj-social><mj-social-element src="{u}" href="https://a.example" alt="a">
        Antwort</mj-social-element></mj-social>""",
    "mj-table": "<mj-table><tr><td>Antwort</td></tr></mj-table>",
    "mj-button": "<mj-button href='https://a.example'>Antwort</mj-button>",
    "mj-image": "<mj-image src='{u}' alt='Antwort' />",
}
OURS = "{{ base_url }}/media/0123456789abcdef/icon.png"


@pytest.mark.parametrize("mjml", PIECES.values(), ids=PIECES.keys())
def test_every_element_that_makes_html_may_stand_in_a_layout(shelf: Shelf, mjml: str) -> None:
    row = f"<mj-section><mj-column>{mjml.replace('{u}', OURS)}</mj-column></mj-section>"
    change(shelf, "[[ body ]]", f"{row}[[ body ]]")
    shelf.lesson("Das ist der Text.")
    assert not [one for one in shelf.findings if "is not for gmail" not in one]
    compiled = shelf.compiled().compiled
    assert compiled is not None
    assert "Antwort" in compiled["html"]
    assert "<mj-" not in compiled["html"]


def test_an_included_part_that_jinja_cannot_read_is_a_finding_and_no_crash(shelf: Shelf) -> None:
    shelf.lesson()
    frame = (shelf.folder / "templates/layouts/mail.txt").read_text("utf-8")
    shelf.put("templates/layouts/mail.txt", '[% include "x.txt" %]\n' + frame)
    shelf.put("templates/layouts/x.txt", "{{ foo bar }}\n")
    assert any("cannot be read; write it like" in finding for finding in shelf.findings)
    assert all(text.compiled is None for text in compile_all(shelf.library))


def test_pieces_are_included_as_mjml_html_and_css(shelf: Shelf) -> None:
    shelf.put("templates/layouts/gruss.mjml", '<mj-include path="name.mjml" />')
    shelf.put(
        "templates/layouts/name.mjml",
        "<mj-section><mj-column><mj-text>[[ lang ]]: {{ house.name }}</mj-text></mj-column>"
        "</mj-section>",
    )
    shelf.put("templates/layouts/rein.html", '<p class="rein">Nur HTML</p>')
    shelf.put("templates/layouts/mehr.css", ".rein { color: [[ light.soft ]]; }")
    change(shelf, "[[ body ]]", '[[ body ]]<mj-include path="./gruss.mjml"></mj-include>')
    change(shelf, "[[ body ]]", '<mj-include type="html" path="rein.html" />[[ body ]]')
    change(shelf, "<mj-style>", "<mj-include path='mehr.css' type='css' /><mj-style>")
    shelf.lesson("Das ist der Text.")
    assert shelf.findings == []
    compiled = shelf.compiled().compiled
    assert compiled is not None
    for shown in ("de: {{ house.name }}", '<p class="rein">Nur HTML</p>', "color: #51615f"):
        assert shown in compiled["html"]


def test_front_matter_of_a_piece_is_not_part_of_the_mail(shelf: Shelf) -> None:
    row = "<mj-section><mj-column><mj-text>Fuß</mj-text></mj-column></mj-section>"
    piece = f"---\n# Der Fuß\n---\n{row}"
    shelf.put("templates/layouts/fuss.mjml", piece)
    change(shelf, "[[ body ]]", '[[ body ]]<!-- <mj-include path="nichts.mjml" /> -->')
    change(shelf, "[[ body ]]", '[[ body ]]<mj-include path="fuss.mjml" />')
    shelf.lesson()
    assert shelf.findings == []
    compiled = shelf.compiled().compiled
    assert compiled is not None
    assert "Fuß" in compiled["html"]
    assert "Der Fuß" not in compiled["html"]


@pytest.mark.parametrize("spelt", ["url(", "URL (", "u\\72l(", "\\75 rl(", "u\\rl(", "image-set("])
def test_a_style_that_loads_is_seen_however_it_is_spelt(spelt: str) -> None:
    style = f".x {{ background: {spelt}'https://x.example/a.png') }}"
    assert foreign_resources(f"<style>{style}</style>")
    assert foreign_resources(f'<p style="{style}">a</p>')
    assert not foreign_resources("<p style='content:\"\\2022\"'>a</p>")


@pytest.mark.parametrize(
    "tag",
    [
        '<link type="radio" rel="stylesheet" href="https://x.example/x.css" />',
        '<script type="radio">alert(1)</script>',
        '<iframe type="checkbox" src="x"></iframe>',
        '<form type="checkbox" action="/x"></form>',
        '<input type="text" />',
        "<p style=\"background:image-set('https://x.example/a.png' 1x)\">a</p>",
    ],
)
def test_what_loads_or_asks_is_refused_however_it_is_spelt(shelf: Shelf, tag: str) -> None:
    change(shelf, "[[ body ]]", f"<mj-raw>{tag}</mj-raw>[[ body ]]")
    shelf.lesson()
    assert shelf.findings


def test_a_piece_that_includes_itself_is_refused(shelf: Shelf) -> None:
    shelf.put("templates/layouts/a.mjml", '<mj-include path="b.mjml" />' * 6)
    shelf.put("templates/layouts/b.mjml", '<mj-include path="a.mjml" />' * 6)
    change(shelf, "[[ body ]]", '[[ body ]]<mj-include path="a.mjml" />')
    shelf.lesson()
    assert any("includes itself in the end" in told for told in shelf.findings)


def test_nothing_is_fetched_to_make_a_mail(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", refuse)
    shelf.image()
    shelf.lesson("::: hero\nimage: media/tafel.png\nalt: Tafel\n\nText.\n:::")
    assert shelf.compiled().compiled is not None
    change(shelf, "[[ body ]]", '<mj-image src="http://127.0.0.1:9/a.png" />[[ body ]]')
    assert any("foreign resource" in told for told in shelf.findings)
