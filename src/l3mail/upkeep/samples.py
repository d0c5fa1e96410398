"""A mail of ours as it arrived: whether it was signed as bulk mail must be.

What only the receiving side can tell: DKIM is the relay's work, and DNS is not looked up here.
"""

import re
from collections.abc import Iterator
from email.message import Message
from email.parser import BytesHeaderParser
from pathlib import Path

from l3mail.errors import L3mailError, printable
from l3mail.settings import Settings
from l3mail.upkeep.checks import Check, fail, ok, unknown, warn

MUST_COVER = ("from", "list-unsubscribe", "list-unsubscribe-post")
"""RFC 6376 section 5.4, and RFC 8058 section 4 for the other two."""

_MOST_BYTES = 1024 * 1024
_RESULT = re.compile(r"\b(spf|dkim|dmarc)=(\w+)", re.IGNORECASE)


def look_at_sample(file: Path, settings: Settings) -> Iterator[Check]:
    """What the header of a mail says of its signature and of how it was judged on arrival."""
    try:
        with file.open("rb") as mail:
            head = BytesHeaderParser().parsebytes(mail.read(_MOST_BYTES))
    except OSError as error:
        raise L3mailError(f"{file} can't be read: {error.strerror}") from error
    if not head.get("From"):
        raise L3mailError(f"{file} is no mail; save one of ours with its full header, as .eml")
    if head.get("List-Unsubscribe-Post") is None:
        yield fail(
            "sample",
            f"{file} has no List-Unsubscribe-Post; take a lesson or newsletter as it arrived"
            " outside, and if it is one, ask the IT what removes the header on the way",
        )
        return
    yield _signed(head, settings.sender_domain)
    yield _judged(head)


def _signed(head: Message, domain: str) -> Check:
    signatures = [_tags(str(value)) for value in head.get_all("DKIM-Signature", [])]
    if not signatures:
        return fail("dkim", f"the sample is not signed; ask the IT to sign with DKIM, d={domain}")
    ours = [one for one in signatures if _aligned(one.get("d", ""), domain)]
    if not ours:
        seen = ", ".join(printable(one.get("d", "?"), 100) for one in signatures)
        return fail("dkim", f"signed for {seen}, not for {domain}; ask the IT for d={domain}")
    lacking = [
        [name for name in MUST_COVER if name not in re.split(r"\s*:\s*", one.get("h", "").lower())]
        for one in ours
    ]
    if all(lacking):
        least = next(names for names in lacking if len(names) == min(map(len, lacking)))
        return fail(
            "dkim",
            f"the signature leaves out {', '.join(least)}, so one-click"
            " unsubscribing is not shown; ask the IT to sign these headers (RFC 8058 section 4)",
        )
    return ok("dkim", f"signed for {domain}, both List-Unsubscribe headers included")


def _judged(head: Message) -> Check:
    told = " ".join(str(value) for value in head.get_all("Authentication-Results", []))
    results = {name.lower(): verdict.lower() for name, verdict in reversed(_RESULT.findall(told))}
    if not results:
        return unknown("arrival", "the sample does not say how it was judged on arrival")
    words = ", ".join(
        f"{name}={printable(verdict, 20)}" for name, verdict in sorted(results.items())
    )
    if results.get("dmarc", "pass") == "pass" and "pass" in results.values():
        return ok("arrival", f"judged on arrival: {words}")
    return warn("arrival", f"judged on arrival: {words}; show the IT the sample's header")


def _tags(value: str) -> dict[str, str]:
    """The tags of a signature (RFC 6376 section 3.2), in lower case, folding undone."""
    pairs = (part.partition("=") for part in value.split(";"))
    return {name.strip().lower(): " ".join(text.split()) for name, _, text in pairs if name.strip()}


def _aligned(signer: str, domain: str) -> bool:
    """Relaxed alignment (RFC 7489 section 3.1.1), as near as it goes without a list of suffixes."""
    one, other = f".{signer.lower().rstrip('.')}", f".{domain}"
    return "." in one[1:] and (one.endswith(other) or other.endswith(one))
