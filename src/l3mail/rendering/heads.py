"""The header block of a mail: each header one line, unless encoded words need more.

Written here and not by `email`, whose encoded words grow with the line (RFC 2047 section 2 allows
75 characters), and because most of it is the same in every mail. No value becomes a header unseen:
`header_safe` has each one, and the lines of the whole block are counted.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from email.errors import MessageError
from email.headerregistry import Address
from email.utils import format_datetime, parseaddr
from functools import lru_cache
from string import ascii_letters, digits

from l3mail.addresses import header_safe
from l3mail.errors import HeaderInjectionError, RenderingError

LONGEST_LINE = 998
"""Octets of a line (RFC 5322 section 2.1.1)."""

LONGEST_SUBJECT = 250

_LONGEST_FOLD = 76
_OPENS, _CLOSES = "=?utf-8?q?", "?="
# What stands for itself in every encoded word, that of a name too (RFC 2047 section 5 (3)).
_PLAIN = frozenset(ascii_letters + digits + "!*+-/")
_ASCII = {chr(n): chr(n) if chr(n) in _PLAIN else f"={n:02X}" for n in range(128)} | {" ": "_"}


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


def block(head: Head, subject: str) -> str:
    """All headers but those of MIME, with CRLF behind each.

    ASCII but for addresses that need SMTPUTF8 (RFC 6532). Raises RenderingError for a value that
    may not become a header.
    """
    try:
        lines, text = 6, _block(head, subject)
    except (HeaderInjectionError, MessageError, ValueError, LookupError) as fault:
        raise RenderingError("subject", str(fault)) from fault
    lines += bool(head.reply_to) + bool(head.list_id) + bool(head.help_url)
    lines += 2 * bool(head.unsubscribe_url)
    ends = text.count("\r\n")
    if ends - text.count("\r\n ") != lines or not ends == text.count("\n") == text.count("\r"):
        raise RenderingError("subject", "a value would have become a header of its own")
    if len(text) > LONGEST_LINE and max(map(len, text.split("\r\n"))) > LONGEST_LINE:
        raise RenderingError("subject", f"a header of more than {LONGEST_LINE} characters")
    return text


def _block(head: Head, subject: str) -> str:
    mailbox, reply_to, list_id = _standing(head.sender, head.reply_to, head.list_id, head.list_name)
    leave = help_ = ""
    if head.unsubscribe_url:
        url = _encoded(f"<{header_safe(head.unsubscribe_url)}>", len("List-Unsubscribe: "))
        leave = f"List-Unsubscribe: {url}\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"
    if head.help_url:
        help_ = f"List-Help: {_encoded(f'<{header_safe(head.help_url)}>', len('List-Help: '))}\r\n"
    about = _encoded(header_safe(subject[:LONGEST_SUBJECT]).strip(), len("Subject: "))
    date = _written(head.date, head.date.utcoffset())
    # Absence notes and other robots must not answer (RFC 3834 section 5).
    return (
        f"From: {mailbox}\r\nTo: {header_safe(head.to)}\r\n{reply_to}Subject: {about}\r\n"
        f"Date: {date}\r\nMessage-ID: <{header_safe(head.message_id)}>\r\n"
        f"{list_id}{leave}{help_}Auto-Submitted: auto-generated\r\n"
    )


# Mails that begin together have one date. Its offset is told, for an hour that comes twice, in
# autumn, is equal to itself.
@lru_cache(maxsize=64)
def _written(date: datetime, _offset: timedelta | None) -> str:
    return format_datetime(date)


@lru_cache(maxsize=64)
def _standing(
    sender: str, reply_to: str | None, list_id: str | None, list_name: str | None
) -> tuple[str, str, str]:
    """What a message's mails have in common: From, and the lines of Reply-To and List-Id."""
    name, address = parseaddr(sender)
    who = Address(header_safe(name), addr_spec=address)
    mailbox = str(who)
    if not name.isascii():
        mailbox = _before(_encoded(name, len("From: ")), f"<{who.addr_spec}>", len("From: "))
    reply = f"Reply-To: {header_safe(reply_to)}\r\n" if reply_to else ""
    if not list_id:
        return mailbox, reply, ""
    named = _encoded(header_safe(list_name or ""), len("List-Id: "))
    shown = _before(named, f"<{header_safe(list_id)}>", len("List-Id: "))
    return mailbox, reply, f"List-Id: {shown}\r\n"


def _before(name: str, bracket: str, column: int) -> str:
    """A name and what follows it, folded where encoded words would get too long a line."""
    if not name:
        return bracket
    last = name.rpartition("\n")[2]
    begins = column if last == name else 0
    folds = _OPENS in last and begins + len(last) + 1 + len(bracket) > _LONGEST_FOLD
    return f"{name}\r\n {bracket}" if folds else f"{name} {bracket}"


def _encoded(text: str, column: int) -> str:
    """Text that begins in this column, as encoded words where it needs any (RFC 2047)."""
    if text.isascii():
        return text
    words: list[str] = []
    word = ""
    # The next line begins with a space.
    room = _LONGEST_FOLD - column - len(_OPENS) - len(_CLOSES)
    for letter in text:
        # Whole letters: each word must be readable by itself (section 5).
        coded = _ASCII.get(letter) or "".join(f"={octet:02X}" for octet in letter.encode())
        if len(word) + len(coded) > room:
            words.append(word)
            word, room = "", _LONGEST_FOLD - 1 - len(_OPENS) - len(_CLOSES)
        word += coded
    words.append(word)
    return "\r\n ".join(f"{_OPENS}{word}{_CLOSES}" for word in words)
