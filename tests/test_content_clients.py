"""What mail programs do not show: a table of facts, and the warnings that are made of it."""

from pathlib import Path

import pytest

from l3mail.content import Finding, check, read_library
from l3mail.content.clients import CLIENTS, FEATURES, PICTURES, check_support
from l3mail.content.findings import Faults
from l3mail.settings.programs import MAIL_PROGRAMS
from tests.fakes.library import ROOT, Shelf

FOUND = {
    "display:flex": '<p style="display: flex">',
    "display:grid": ".a { display:inline-grid }",
    "position": '<p style="position:absolute">',
    "float": '<img style="float:left" alt="" />',
    "a CSS variable": "color: var(--ink)",
    "a gradient": "background:linear-gradient(#000000, #ffffff)",
    "an animation": "@keyframes weg { }",
    "transform": "transform:rotate(3deg)",
    "filter": "clip-path:circle(50%)",
    "object-fit": "object-fit:cover",
    "aspect-ratio": "aspect-ratio:4/3",
    "opacity": "opacity:0.5",
    "visibility": "visibility:hidden",
    "generated content": "li::before { content:'x' }",
    ":checked": "input:checked { }",
    ":has()": "p:has(a) { }",
    ":nth-child()": "tr:nth-child(2) { }",
    "calc()": "width:calc(100% - 20px)",
    "a unit of the screen or of the root": "font-size:1.2rem",
    "a see-through colour": "color:rgba(0,0,0,0.5)",
    "a colour in lch or lab": "color:oklch(50% 0 0)",
    "light-dark()": "color:light-dark(black, white)",
    "a logical side": "padding-inline-start:3px",
    "a negative margin": "margin:0 0 -4px",
    "@supports": "@supports (display:block) { }",
    "<svg>": "<svg></svg>",
    "<details>": "<details>",
    "<progress>": "<meter>",
    "a form": "<button>",
    "hidden": "<p hidden>",
    "mj-carousel": "<mj-carousel>",
    "mj-accordion": "<mj-accordion>",
    "a menu that folds": '<mj-navbar hamburger="hamburger">',
    "a WebP picture": "![Ein Bild](media/bild.webp)",
}


def told(text: str, clients: tuple[str, ...] = CLIENTS) -> list[Finding]:
    faults = Faults("x.mjml")
    check_support(text, faults, clients, (*FEATURES, *PICTURES))
    return faults.found


@pytest.mark.parametrize("feature", [*FEATURES, *PICTURES], ids=lambda feature: feature.name)
def test_a_feature_is_found_and_names_client_and_mend(feature: object) -> None:
    name = getattr(feature, "name", "")
    (finding,) = told(f"<mjml>\n  {FOUND[name]}")
    lacking = getattr(feature, "lacking", ())
    assert set(lacking) <= set(CLIENTS)
    assert (finding.line, finding.severity) == (2, "warning")
    assert finding.message.startswith(f"{name} is not for {', '.join(lacking)}: ")
    assert finding.message.endswith(f"; {getattr(feature, 'mend', '')}")


def test_only_those_clients_are_named_that_are_asked_after() -> None:
    flex = FOUND["display:flex"]
    (finding,) = told(flex, ("gmail", "outlook-windows"))
    assert "is not for outlook-windows: " in finding.message
    assert told(flex, ("gmail", "thunderbird")) == []


@pytest.mark.parametrize("text", ["<!-- display:flex -->", "[# position:fixed #]", "{# <svg> #}"])
def test_what_no_reader_gets_is_not_told(text: str) -> None:
    assert told(text) == []


def test_what_outlook_alone_reads_is_told() -> None:
    assert told("<!--[if mso]><svg></svg><![endif]-->")


def test_settings_know_the_same_programs() -> None:
    assert MAIL_PROGRAMS == CLIENTS


def test_a_workspace_may_look_after_fewer(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    shelf.lesson()
    file = shelf.folder / "templates/components/tip.mjml"
    file.write_text(file.read_text() + '<!-- --><mj-raw><p style="float:left"></p></mj-raw>')
    everybody = check(shelf.library)
    assert ["float is not for outlook-windows" in str(one) for one in everybody] == [True]
    phones = read_library(shelf.folder, locale="de", clients=("gmail", "apple-mail"))
    assert check(phones) == []


def test_the_shipped_templates_use_what_all_can_show() -> None:
    for folder in ("layouts", "components"):
        for file in (ROOT / "templates" / folder).glob("*.mjml"):
            assert told(file.read_text(encoding="utf-8")) == [], file
