"""A real browser, and what axe has against a page; whoever uses it skips where there is none."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


@contextmanager
def browser(base: str, **values: Any) -> Iterator[Any]:
    """A page of Chromium's; `values` are those of a context."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        page = chromium.new_page(base_url=base, **{"locale": "de-DE"} | values)
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        yield page
        assert [url for url in asked if not url.startswith(base)] == []
        chromium.close()


OF_MAILS = WCAG[:-1]
"""Of what is best for pages a mail has little: its landmarks are those of the mail program."""

OF_THE_LOOK = {"type": "rule", "values": ["color-contrast", "link-in-text-block", "target-size"]}
"""What axe judges by colours and sizes: all else is the same by night and on a wide screen."""
SIZES = ({"width": 375, "height": 812}, {"width": 1024, "height": 768})
NARROW = {"width": 320, "height": 640}
"""1280 pixels at 400 % zoom (WCAG 2.2, success criterion 1.4.10)."""


def faults(page: Any, only: Any = WCAG) -> list[str]:
    """What axe has against a page, and whether it is wider than its window."""
    if not page.evaluate("'axe' in window"):
        axe = import_module("axe_playwright_python.sync_playwright")  # has no types
        page.evaluate(axe.Axe().axe_script)
    asked = {"runOnly": only, "resultTypes": ["violations"]}
    found = page.evaluate("asked => axe.run(document, asked)", asked)["violations"]
    wide = page.evaluate("document.documentElement.scrollWidth > window.innerWidth")
    return [f"{fault['id']}: {fault['nodes'][0]['html']}" for fault in found] + ["wide"] * wide


def faults_by_night(page: Any, only: Any = WCAG) -> list[str]:
    """The same once, on the narrowest window: for other words on what is looked at by day too."""
    page.set_viewport_size(NARROW)
    page.emulate_media(color_scheme="dark")
    return faults(page, only)


def faults_by_day_and_night(page: Any, only: Any = WCAG) -> list[str]:
    """The same on a phone and on a desk, in the light and in the dark design."""
    page.set_viewport_size(NARROW)
    found = faults(page, only)
    for size in SIZES:
        page.set_viewport_size(size)
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            found += [f"{scheme}, {size['width']}: {one}" for one in faults(page, OF_THE_LOOK)]
    page.emulate_media(color_scheme="light")
    return found
