"""A text filled as it stands, and the mail of it by the standard library.

Slow and right whatever a text does: the way of those that cannot be pressed.
"""

import hashlib
from collections.abc import Iterable, Mapping
from email.message import EmailMessage
from email.policy import SMTP
from functools import lru_cache
from typing import Any

from jinja2 import Template, TemplateError

from l3mail.errors import RenderingError
from l3mail.rendering.heads import LONGEST_LINE, Head, block
from l3mail.rendering.sandbox import LONGEST_PART, run, sandbox, scope_of

FAULTS = (TemplateError, ArithmeticError, LookupError, RecursionError, TypeError, ValueError)
"""All that a text can raise by what it is or is given."""

# RFC 2045 section 6.7 (5); `email` would give lines of quoted-printable two more.
_POLICY = SMTP.clone(max_line_length=76)


def fill(compiled: Mapping[str, Any], part: str, values: Mapping[str, Any]) -> str:
    """One part with a person's values; values are escaped in the HTML part only."""
    try:
        template = _template(compiled[part], html=part == "html")
        return _counted(run(template, scope_of(values)))
    except FAULTS as fault:
        raise RenderingError(part, f"{type(fault).__name__}: {fault}") from fault


def write(compiled: Mapping[str, Any], values: Mapping[str, Any], head: Head) -> bytes:
    """The whole mail with CRLF line ends: text part first, HTML part if there is one."""
    above = block(head, fill(compiled, "subject", values))
    mail = EmailMessage(policy=_POLICY)
    _set_body(mail, fill(compiled, "text", values), "plain")
    if compiled.get("html"):
        mail.make_alternative(boundary=boundary_of(head.message_id))
        alternative = EmailMessage(policy=_POLICY)
        _set_body(alternative, fill(compiled, "html", values), "html")
        del alternative["MIME-Version"]
        mail.attach(alternative)
    return above.encode() + mail.as_bytes(policy=_POLICY.clone(max_line_length=LONGEST_LINE))


def boundary_of(message_id: str) -> str:
    """What stands between the parts; a random one would make the same mail differ each time."""
    return f"=_{hashlib.blake2b(message_id.encode(), digest_size=15).hexdigest()}"


def _counted(chunks: Iterable[str]) -> str:
    """Join what a template says, and stop one that does not end."""
    parts: list[str] = []
    length = 0
    for chunk in chunks:
        length += len(chunk)
        if length > LONGEST_PART:
            raise OverflowError(f"more than {LONGEST_PART:,} characters")
        parts.append(chunk)
    return "".join(parts)


def _set_body(mail: EmailMessage, text: str, subtype: str) -> None:
    # Quoted-printable keeps every line under 998 octets whatever the HTML does, and needs
    # neither 8BITMIME nor a relay that leaves the text alone (RFC 5322 section 2.1.1). Half a
    # character of a broken value is no reason to send nobody anything.
    whole = text.encode("utf-8", "replace").decode()
    mail.set_content(whole, subtype=subtype, charset="utf-8", cte="quoted-printable")


@lru_cache(maxsize=256)
def _template(source: str, *, html: bool) -> Template:
    own = sandbox(html=html)
    return own.build(own.read(source))
