"""Where a link of a text may lead, and how those are written that can be measured.

Owns the judgement of an address and the names that only the compiler may write: `trail` and
`hrefs`, the addresses of a mail's numbered links in two pieces, what they begin with and what is
each one's own; and `pixel`, the image that says it was opened. What stands behind them is decided
for each mail, when it is filled.
"""

import html
import re
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from l3mail.content.sentinels import Sentinels
from l3mail.errors import quoted

LONGEST_MEASURED = 160
"""Octets the address of a measured link comes to at most: BASE_URL, route, token and number."""

PIXEL = (
    '{% if pixel %}<img src="{{ pixel }}" width="1" height="1" alt=""'
    ' style="display:block;width:1px;height:1px;border:0" />{% endif %}'
)

_SCHEMES = ("http", "https", "mailto", "tel")
_MAILBOX = re.compile(r"[^\s@:/]+@[^\s@:/]+")
_HREF = re.compile(r"\{\{ trail \}\}\{\{ hrefs\[(\d+)\] \}\}")


def fault_of(url: str, sentinels: Sentinels) -> str | None:
    """Why a written-out address is not for mails; None for one that is."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return f"{quoted(url)} is no address; write https://…"
    scheme = parts.scheme.lower()
    if scheme not in _SCHEMES or (scheme.startswith("http") and not parts.hostname):
        if url.startswith("www."):
            return f"{quoted(url)} is not for mails; write https://{url}"
        if _MAILBOX.fullmatch(url):
            return f"{quoted(url)} is not for mails; write mailto:{url}"
        known = "https, http, mailto, tel, interest: and media/"
        return f"{quoted(url)} is not for mails; links may be {known}"
    if sentinels.any.search(parts.netloc):
        return "a placeholder may not be the host of a link; write the host out"
    return None


def is_numbered(url: str, sentinels: Sentinels) -> bool:
    """Whether a link gets a number: it leads out of the house, and everybody to the same place."""
    return not sentinels.any.search(url) and url.startswith(("http:", "https:"))


def place_of(number: int) -> str:
    """The placeholders of a numbered link.

    Two, because a mail's measured links differ in their last digits only: what is long is the
    same in all of them, and escaped and encoded once.
    """
    return f"{{{{ trail }}}}{{{{ hrefs[{number}] }}}}"


def with_pixel(page: str) -> str:
    """A page with the place for the pixel at its end."""
    before, body, after = page.rpartition("</body>")
    return before + PIXEL + body + after


def longest(page: str, links: Sequence[tuple[str, str | None]]) -> int:
    """The octets of a page with the longest addresses its links may get."""
    direct: Mapping[str, str] = {str(n): url for n, (url, _) in enumerate(links, start=1)}

    def address(found: re.Match[str]) -> str:
        return "x" * max(LONGEST_MEASURED, len(html.escape(direct.get(found[1], ""))))

    return len(_HREF.sub(address, page).replace("{{ pixel }}", "x" * LONGEST_MEASURED).encode())
