"""Whether the links of texts lead somewhere: asked over the network, and only when told to.

Owns the requests and what their answers mean. A page that is closed to programs says nothing.
"""

import socket
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from http.client import HTTPException

from l3mail.content import Finding, Text
from l3mail.content.findings import place_of
from l3mail.errors import printable

AT_ONCE = 8
SECONDS = 15.0
GONE = frozenset({404, 410})
NOT_FOR_PROGRAMS = frozenset({401, 403, 405, 406, 429, 451, 999})
"""People may well be let in where these are answered."""

_WHO = {"User-Agent": "Mozilla/5.0 (compatible; l3mail check)", "Accept": "*/*"}


def look(
    texts: Iterable[Text], tell: Callable[[float], None], seconds: float = SECONDS
) -> list[Finding]:
    """Ask each address of the texts' numbered links once; `tell` hears which share is done."""
    places: dict[str, list[tuple[str, int, int]]] = {}
    for text in texts:
        for url, _ in text.links:
            place = (text.source.path, *place_of(url, text.source.text))
            places.setdefault(url, []).append(place)
    found: list[Finding] = []
    with ThreadPoolExecutor(AT_ONCE, "l3mail-links") as pool:
        asked = {pool.submit(_fault, url, seconds): url for url in places}
        for number, answer in enumerate(as_completed(asked), start=1):
            tell(number / len(asked))
            severity, words = answer.result()
            url = printable(asked[answer], 300)
            if severity:
                message = f"{url} {words}; mend the link or delete it"
                found += [
                    Finding(
                        path,
                        line,
                        "error" if severity == "error" else "warning",
                        message,
                        column=column,
                    )
                    for path, line, column in places[asked[answer]]
                ]
    return sorted(found)


def _fault(url: str, seconds: float) -> tuple[str, str]:
    """Severity and words of what is wrong; both empty where nothing is known to be."""
    request = urllib.request.Request(url, headers=_WHO)  # noqa: S310 - texts may link to http(s) only
    try:
        with urllib.request.urlopen(request, timeout=seconds):  # noqa: S310 - the same
            return "", ""
    except urllib.error.HTTPError as answer:
        if answer.code in GONE:
            return "error", f"does not exist any more ({answer.code})"
        if answer.code in NOT_FOR_PROGRAMS:
            return "", ""
        return "warning", f"answers {answer.code}"
    except urllib.error.URLError as fault:
        return _unreached(fault.reason)
    except (OSError, HTTPException, ValueError) as fault:
        return _unreached(fault)


def _unreached(reason: object) -> tuple[str, str]:
    words = printable(str(reason) or type(reason).__name__, 200)
    if isinstance(reason, ssl.SSLError):
        return "error", f"cannot be trusted: {words}"
    if isinstance(reason, socket.gaierror):
        return "error", "has a host that nobody knows"
    return "warning", f"was not reached: {words}"
