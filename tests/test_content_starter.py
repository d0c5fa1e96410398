"""The workspace that the program carries: sound, light, and readable in both designs."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from l3mail.content import check, compile_all, compile_text
from l3mail.rendering import fill
from l3mail.settings import load_settings
from l3mail.wiring import read_content
from tests.fakes.library import ROOT, values

CHROMIUM = Path("/usr/bin/chromium")
# Landmarks and a first heading are the mail program's own page, not a mail's.
WCAG = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}
KEPT_FREE = 40 * 1024
"""Octets of HTML that values and personal links may still add before Gmail cuts."""


def test_the_starter_workspace_has_no_faults() -> None:
    library = read_content(load_settings(ROOT, {}))
    texts = compile_all(library)
    course = "lessons/digital-kommunizieren/course.yaml:1: warning: variant"
    assert [str(finding) for finding in check(library, texts)] == [
        f"{course} de-simple exists for 3 of 8 texts; the others fall back to de",
        f"{course} en exists for 1 of 8 texts; the others fall back to de",
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


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if not CHROMIUM.exists():
        pytest.skip(f"no browser: {CHROMIUM} is missing")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-gpu"]
        )
        yield browser
        browser.close()


@pytest.mark.browser
@pytest.mark.slow
@pytest.mark.parametrize("design", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 1024])
def test_mails_are_accessible_in_both_designs(browser: Any, design: str, width: int) -> None:
    """No violation that axe knows, contrast among them; nothing wider than a phone."""
    from axe_playwright_python.sync_playwright import Axe

    page = browser.new_page(color_scheme=design, viewport={"width": width, "height": 900})
    library = read_content(load_settings(ROOT, {}))
    one_of_each = {source.kind: source for source in library.sources}
    for text in (compile_text(library, source) for source in one_of_each.values()):
        assert text.compiled is not None
        filled = values({"first_name": "Ada"}, hrefs=text.hrefs)
        page.set_content(fill(text.compiled, "html", filled))
        found = Axe().run(page, options=WCAG).response["violations"]
        told = [(f["id"], n["target"], n["failureSummary"]) for f in found for n in f["nodes"]]
        assert told == [], text.source.slug
        assert page.evaluate("document.documentElement.scrollWidth") <= width, text.source.slug
    page.close()
