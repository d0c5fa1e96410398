"""The pages as people reach them: whether somebody answers at BASE_URL, and what time it is there.

Owns the one request a check-up makes over HTTP. Must not know which pages there are.
"""

import http.client
import ipaddress
import json
import ssl
from datetime import datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

from l3mail.errors import printable
from l3mail.settings import Settings
from l3mail.upkeep.checks import Check, fail, ok, unknown, warn

_LONGEST_ANSWER = 65536


def look_at_pages(
    settings: Settings, seconds: float, *, online: bool
) -> tuple[Check, datetime | None]:
    """What answers at BASE_URL's /healthz, and its Date; another machine is asked if `online`."""
    base_url = settings.web.base_url
    here = is_here(base_url)
    if not here and not online:
        return unknown("pages", f"{base_url} was not asked; `l3mail doctor --online` does"), None
    url = f"{base_url}/healthz"
    try:
        status, text, date = _get(url, seconds)
    except ssl.SSLError as fault:
        words = printable(getattr(fault, "verify_message", "") or str(fault), 200)
        return fail("pages", f"{base_url}: {words}; renew or complete its certificate"), None
    except (OSError, http.client.HTTPException) as fault:
        words = printable(getattr(fault, "strerror", None) or str(fault) or "no answer", 200)
        if here:
            told = f"nobody answers at {base_url} ({words}); start `l3mail run`"
            return warn("pages", told), None
        told = (
            f"nobody answers at {base_url} ({words}); is the proxy up, and does DNS know the name?"
        )
        return fail("pages", told), None
    return _judged(base_url, status, text), None if here else date


def _judged(base_url: str, status: int, text: str) -> Check:
    try:
        answer = json.loads(text)
        late = [printable(str(one), 200) for one in answer["late"]]
    except (ValueError, TypeError, KeyError):
        return fail(
            "pages",
            f"{base_url}/healthz answers {status}, but not as l3mail does; does the proxy pass"
            " BASE_URL's whole path on?",
        )
    if status != 200:
        return warn("pages", f"{base_url} answers: {', '.join(late)}")
    return ok("pages", f"{base_url} answers, nothing is late")


def is_here(url: str) -> bool:
    """Whether a URL names this machine."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _get(url: str, seconds: float) -> tuple[int, str, datetime | None]:
    """One GET: status, body, Date."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    connection = (
        http.client.HTTPSConnection(
            host, parts.port, timeout=seconds, context=ssl.create_default_context()
        )
        if parts.scheme == "https"
        else http.client.HTTPConnection(host, parts.port, timeout=seconds)
    )
    try:
        connection.request("GET", parts.path, headers={"Accept": "application/json"})
        answer = connection.getresponse()
        text = answer.read(_LONGEST_ANSWER).decode("utf-8", "replace")
        try:
            date = parsedate_to_datetime(answer.headers["Date"] or "")
        except ValueError:
            date = None
        return answer.status, text, date
    finally:
        connection.close()
