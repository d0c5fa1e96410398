"""The report in a real browser: axe finds nothing, nothing is too wide, nothing is asked for."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from l3mail.reports import tell, to_mail, to_page
from tests.fakes.chromium import ARGUMENTS, CHROMIUM, faults
from tests.fakes.reports import STATIONERY, empty_report, full_report

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(
        not CHROMIUM.exists(), reason=f"needs a browser: {CHROMIUM} (Debian's package chromium)"
    ),
]
LONG = "Donaudampfschifffahrtsgesellschaft" * 4


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pages")
    for name, report in (
        ("full", full_report()),
        ("english", full_report(locale="en")),
        ("long", full_report(LONG)),
        ("empty", empty_report()),
    ):
        document = tell(report)
        (folder / f"{name}.html").write_text(to_page(document), encoding="utf-8")
        mail = to_mail(document, STATIONERY[document.language])
        (folder / f"{name}-mail.html").write_text(mail, encoding="utf-8")
    return folder


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [375, 1024])
def test_axe_finds_nothing_and_nothing_is_too_wide(
    chromium: Any, folder: Path, width: int, scheme: str
) -> None:
    found = {}
    page = chromium.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    for file in sorted(folder.iterdir()):
        page.goto(file.as_uri())
        # A mail is an article with a name; around it are a mail program's own landmarks.
        found[file.name] = [fault for fault in faults(page) if not fault.startswith("region: ")]
    page.close()
    assert {name: faults for name, faults in found.items() if faults} == {}
    assert [url for url in asked if not url.startswith("file:")] == []


def test_on_paper_it_is_light_and_no_wider_than_a_page(chromium: Any, folder: Path) -> None:
    page = chromium.new_page(viewport={"width": 680, "height": 900}, color_scheme="dark")
    page.emulate_media(media="print", color_scheme="dark")
    for name in ("full", "long"):
        page.goto((folder / f"{name}.html").as_uri())
        ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
        ink = page.evaluate("getComputedStyle(document.querySelector('h1')).color")
        assert (ground, ink) == ("rgb(255, 255, 255)", "rgb(31, 43, 42)")
        assert page.evaluate("document.documentElement.scrollWidth") <= 680
    page.close()
