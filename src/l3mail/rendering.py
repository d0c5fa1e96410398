"""From a published text and a person's values to the bytes of one mail.

Pure: the same text, values and head give the same bytes, so a mail can be shown again as it
was sent. Values are hostile: the sandbox runs them, HTML escapes them, and whatever becomes
a header passes a guard of its own (an encoded word in a name could become one: CVE-2024-6923).
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from email.headerregistry import Address as HeaderAddress
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8
from email.utils import format_datetime, parseaddr
from functools import lru_cache
from typing import Any

from jinja2 import StrictUndefined, Template, TemplateError, Undefined, pass_context
from jinja2.exceptions import SecurityError
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from markupsafe import escape

from l3mail.addresses import header_safe
from l3mail.errors import HeaderInjectionError, RenderingError

LONGEST_LINE = 998
"""Octets of a line (RFC 5322 section 2.1.1)."""

LONGEST_SUBJECT = 250
LONGEST_PART = 1_000_000
LONGEST_RANGE = 1000
_SPENT = "_spent"

FILTERS = tuple("capitalize default first join last length lower round title trim upper".split())
"""The filters a text may use; none makes much of little or leaves the values it is given."""


@dataclass(frozen=True, slots=True)
class Head:
    """What stands above the text: who to whom, when, and which mail this is.

    `message_id` is without angle brackets; `sender` may carry a display name. `list_id` and
    `list_name` are for streams (RFC 2919), and so are `unsubscribe_url`, which one POST obeys
    (RFC 8058), and `help_url` (RFC 2369).
    """

    message_id: str
    date: datetime
    sender: str
    to: str
    reply_to: str | None = None
    list_id: str | None = None
    list_name: str | None = None
    unsubscribe_url: str | None = None
    help_url: str | None = None


def compose(compiled: Mapping[str, Any], values: Mapping[str, Any], head: Head) -> bytes:
    """The whole mail with CRLF line ends: text part first, HTML part if there is one.

    Raises RenderingError, with the part that failed, for a template that fails on these
    values or a value that may not become a header.
    """
    subject = fill(compiled, "subject", values)
    address = parseaddr(head.sender)[1]
    policy = SMTP if head.to.isascii() and address.isascii() else SMTPUTF8
    mail = EmailMessage(policy=policy)
    try:
        _set_head(mail, head, subject)
    except (HeaderInjectionError, ValueError) as fault:
        raise RenderingError("subject", str(fault)) from fault
    _set_body(mail, fill(compiled, "text", values), "plain")
    if compiled.get("html"):
        mail.make_alternative(boundary=_boundary(head.message_id))
        alternative = EmailMessage(policy=mail.policy)
        _set_body(alternative, fill(compiled, "html", values), "html")
        del alternative["MIME-Version"]
        mail.attach(alternative)
    # Folded, a quoted display name loses its quotes, and a comma in it makes two senders.
    return mail.as_bytes(policy=policy.clone(max_line_length=LONGEST_LINE))


def fill(compiled: Mapping[str, Any], part: str, values: Mapping[str, Any]) -> str:
    """One part with a person's values; values are escaped in the HTML part only."""
    try:
        template = _template(compiled[part], escape=part == "html")
        return _counted(template.generate({**values, _SPENT: [0]}))
    except (TemplateError, ArithmeticError, LookupError, TypeError, ValueError) as fault:
        raise RenderingError(part, f"{type(fault).__name__}: {fault}") from fault


def _counted(chunks: Iterator[str]) -> str:
    """Join what a template says, and stop one that does not end."""
    parts: list[str] = []
    length = 0
    for chunk in chunks:
        length += len(chunk)
        if length > LONGEST_PART:
            raise OverflowError(f"more than {LONGEST_PART:,} characters")
        parts.append(chunk)
    return "".join(parts)


def _set_head(mail: EmailMessage, head: Head, subject: str) -> None:
    name, address = parseaddr(head.sender)
    mail["From"] = HeaderAddress(header_safe(name), addr_spec=address)
    mail["To"] = header_safe(head.to)
    if head.reply_to:
        mail["Reply-To"] = header_safe(head.reply_to)
    mail["Subject"] = header_safe(subject[:LONGEST_SUBJECT])
    mail["Date"] = format_datetime(head.date)
    mail["Message-ID"] = f"<{header_safe(head.message_id)}>"
    if head.list_id:
        mail["List-Id"] = (
            f"{header_safe(head.list_name or '')} <{header_safe(head.list_id)}>".strip()
        )
    if head.unsubscribe_url:
        mail["List-Unsubscribe"] = f"<{header_safe(head.unsubscribe_url)}>"
        mail["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    if head.help_url:
        mail["List-Help"] = f"<{header_safe(head.help_url)}>"
    # Absence notes and other robots must not answer (RFC 3834 section 5).
    mail["Auto-Submitted"] = "auto-generated"


def _set_body(mail: EmailMessage, text: str, subtype: str) -> None:
    # Quoted-printable keeps every line under 998 octets whatever the HTML does, and needs
    # neither 8BITMIME nor a relay that leaves the text alone (RFC 5322 section 2.1.1).
    mail.set_content(text, subtype=subtype, charset="utf-8", cte="quoted-printable")


def _boundary(message_id: str) -> str:
    # A random one would make the same mail differ every time it is rendered.
    return f"=_{hashlib.blake2b(message_id.encode(), digest_size=15).hexdigest()}"


class _Sandbox(ImmutableSandboxedEnvironment):
    """Jinja's sandbox, without the operators that make much of little."""

    intercepted_binops = frozenset({"*", "**", "%"})

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Calculate with numbers only: `*` and `%` make long texts too; powers are no mail's."""
        if operator == "**" or not (
            isinstance(left, int | float) and isinstance(right, int | float)
        ):
            raise SecurityError(f"{operator} is not for texts")
        return super().call_binop(context, operator, left, right)


def _default(value: Any, instead: Any = "") -> Any:
    """What to say for a value nobody gave: our placeholders are empty, not undefined."""
    return instead if isinstance(value, Undefined) or value in {"", None} else value


@pass_context
def _join(context: Context, values: Iterable[object], separator: str = "") -> str:
    """Join, as long as a text with all its joins together stays within what a part may hold."""
    spent = context.get(_SPENT, [0])
    parts: list[str] = []
    for value in values:
        part = escape(value) if context.eval_ctx.autoescape else str(value)
        spent[0] += len(part) + len(separator)
        if spent[0] > LONGEST_PART:
            raise OverflowError(f"joined more than {LONGEST_PART:,} characters")
        parts.append(part)
    return (escape(separator) if context.eval_ctx.autoescape else separator).join(parts)


def _range(*bounds: int) -> range:
    numbers = range(*bounds)
    if len(numbers) > LONGEST_RANGE:
        raise OverflowError(f"range() of more than {LONGEST_RANGE}")
    return numbers


@lru_cache(maxsize=256)
def _template(source: str, *, escape: bool) -> Template:
    environment = _Sandbox(autoescape=escape, undefined=StrictUndefined, keep_trailing_newline=True)
    environment.globals = {"range": _range}
    known = environment.filters
    environment.filters = {name: known[name] for name in FILTERS} | {
        "default": _default,
        "join": _join,
    }
    return environment.from_string(source)


_GREETINGS = {"de": "Guten Tag", "en": "Hello"}


def placeholders(person: Mapping[str, Any], locale: str = "de") -> dict[str, Any]:
    """The values every text may use; for staff mail, which has no person, the neutral ones.

    `greeting` is the person's own salutation, else built of the names, else neutral, in the
    language of the text (`locale`).
    """
    hello = _GREETINGS.get(locale.partition("-")[0], _GREETINGS["de"])
    names = [person.get("first_name"), person.get("last_name")]
    full = " ".join(name for name in names if name)
    return {
        "greeting": person.get("salutation") or f"{hello} {full}".strip(),
        "first_name": person.get("first_name") or "",
        "last_name": person.get("last_name") or "",
        "salutation": person.get("salutation") or "",
        "district": person.get("district") or "",
        "locale": person.get("locale") or "",
        "attrs": _Attributes(person.get("attributes") or {}),
    }


class _Attributes(dict[str, Any]):
    """A person's attributes; one that is declared but was never given is empty, not unknown."""

    def __missing__(self, key: str) -> str:
        return ""
