"""A house's own colours, logo and font: what they change in mails, and which cannot be read."""

from pathlib import Path

import pytest

from l3mail.content import Design
from l3mail.content.designs import PAIRS, contrast, unreadable
from l3mail.content.layouts import read_layout
from l3mail.rendering import fill
from l3mail.settings.sections import Palette
from tests.fakes.library import BASE, ROOT, Shelf, values

LOGO = "media/logo.png"


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    shelf = Shelf(tmp_path)
    shelf.image(LOGO, 120, 48)
    shelf.lesson("> Ein Zitat\n\n[Zum Kurs](https://kurs.example.org)")
    return shelf


def page(shelf: Shelf, **design: object) -> str:
    """The HTML of a lesson in a house of this design."""
    shelf.design = Design(**design)  # type: ignore[arg-type]
    assert shelf.findings == []
    text = shelf.compiled()
    assert text.compiled is not None
    return fill(text.compiled, "html", values(hrefs=text.hrefs))


@pytest.mark.parametrize(
    ("one", "other", "ratio"),
    [
        ("#000000", "#ffffff", 21.0),
        ("#ffffff", "#000000", 21.0),
        ("#777777", "#ffffff", 4.48),  # the grey that just fails
        ("#767676", "#ffffff", 4.54),  # and the one that just passes
        ("#0000ff", "#ffffff", 8.59),
        ("#ffffff", "#ffffff", 1.0),
    ],
)
def test_contrast_is_that_of_wcag(one: str, other: str, ratio: float) -> None:
    assert contrast(one, other) == pytest.approx(ratio, abs=0.005)


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_the_shipped_colours_can_be_read(mode: str) -> None:
    folder = ROOT / "templates" / "layouts"
    layout = read_layout("mail", {path.name: path.read_text() for path in folder.iterdir()})
    palette = getattr(layout, mode)
    assert palette.keys() == Palette.model_fields.keys()
    assert list(unreadable(palette)) == []


def test_every_token_can_be_set_and_is_judged() -> None:
    assert {token for pair in PAIRS for token in pair} == Palette.model_fields.keys() - {"line"}


def test_a_house_has_its_own_colours_in_every_style(shelf: Shelf) -> None:
    before = page(shelf)
    assert "#0b5f5a" in before
    after = page(shelf, light={"accent": "#7a1f3d"}, dark={"accent": "#ffb3c7"})
    assert "#0b5f5a" not in after
    assert "border-left:4px solid #7a1f3d" in after
    assert "#ffb3c7" in after


def test_colours_that_cannot_be_read_are_refused_with_their_contrast(shelf: Shelf) -> None:
    shelf.design = Design(light={"accent": "#ffcc00"})
    told = shelf.findings
    assert (
        "l3mail.toml:1: light: accent #ffcc00 on card #ffffff has a contrast of 1.5, needed are"
        " 4.5; take a darker accent, or another card" in told
    )
    assert all(not one.startswith("templates/") for one in told)


@pytest.mark.parametrize(
    ("colours", "advice"),
    [
        ({"accent": "#333333", "on_accent": "#666666"}, "take a lighter on_accent"),
        ({"card": "#101010"}, "take a lighter ink"),
        ({"ink": "#aaaaaa"}, "take a darker ink"),
    ],
)
def test_the_advice_is_the_way_out(shelf: Shelf, colours: dict[str, str], advice: str) -> None:
    shelf.design = Design(light=colours)
    assert any(advice in one for one in shelf.findings)


def test_a_logo_for_the_night_alone_is_refused(shelf: Shelf) -> None:
    shelf.design = Design(logo_dark=LOGO)
    assert any("logo_dark is for dark screens" in one for one in shelf.findings)


def test_inner_words_of_the_compiler_are_no_signs_in_a_claim(shelf: Shelf) -> None:
    assert "Wir zqjv0z zqjt0z" in page(shelf, claim="Wir zqjv0z zqjt0z")


def test_a_layout_whose_own_colours_cannot_be_read_is_refused_at_their_line(shelf: Shelf) -> None:
    file = shelf.folder / "templates/layouts/head.mjml"
    file.write_text(file.read_text().replace('soft: "#51615f"', 'soft: "#a0a8a6"'))
    assert [one.partition(": ")[0] for one in shelf.findings] == [
        "templates/layouts/head.mjml:6:66"
    ] * 2


@pytest.mark.parametrize("colour", ["red", "#fff", "#12345g", "url(x)"])
def test_what_is_no_colour_in_a_layout_is_refused(shelf: Shelf, colour: str) -> None:
    file = shelf.folder / "templates/layouts/head.mjml"
    file.write_text(file.read_text().replace('ink: "#1f2b2a"', f'ink: "{colour}"'))
    assert any(f'ink is "{colour}", no colour' in one for one in shelf.findings)


def test_a_logo_stands_above_and_another_for_the_night(shelf: Shelf) -> None:
    shelf.image("media/logo-dunkel.png", 121, 48)
    one = page(shelf, logo=LOGO)
    assert one.count(f'src="{BASE}/media/') == 1
    assert "by-night" not in one.partition("<body")[2]
    both = page(shelf, logo=LOGO, logo_dark="media/logo-dunkel.png")
    assert both.count(f'src="{BASE}/media/') == 2
    body = both.partition("<body")[2]
    assert body.index("by-day") < body.index("display:none;mso-hide:all")


def test_logos_are_published_with_each_text(shelf: Shelf) -> None:
    shelf.design = Design(logo=LOGO)
    assert [medium.path for medium in shelf.compiled().media] == [LOGO]


def test_a_logo_that_is_missing_is_told_of_the_settings(shelf: Shelf) -> None:
    shelf.design = Design(logo="media/lego.png")
    told = shelf.findings
    assert any(
        one.startswith("l3mail.toml:1:") and 'did you mean "media/logo' in one for one in told
    )


def test_claim_and_font_are_the_houses_own_and_harmless(shelf: Shelf) -> None:
    html = page(shelf, claim="Lernen & <b>leben</b> {{ greeting }}", font="Verdana, sans-serif")
    assert "Lernen &amp; &lt;b&gt;leben&lt;/b&gt; {{ greeting }}" in html
    assert "font-family:Verdana, sans-serif" in html
    assert "Cantarell" not in html
