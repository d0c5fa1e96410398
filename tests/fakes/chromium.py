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


def faults(page: Any) -> list[str]:
    """What axe has against a page, and whether it is wider than its window."""
    axe = import_module("axe_playwright_python.sync_playwright")  # has no types
    found = axe.Axe().run(page, options={"runOnly": WCAG}).response["violations"]
    wide = page.evaluate("document.documentElement.scrollWidth > window.innerWidth")
    return [f"{fault['id']}: {fault['nodes'][0]['html']}" for fault in found] + ["wide"] * wide
