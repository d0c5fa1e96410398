"""What a relay says, read from bytes and judged: pure parsing, no sockets.

A reply is judged by its stage and by its enhanced status code where it has one (RFC 3463);
bare text counts only for the few phrases that say the mailbox does not exist.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from l3mail.errors import printable
from l3mail.outbox import Cause, Outcome

LONGEST_LINE = 4096
LONGEST_REPLY = 65536
WORDS_KEPT = 500
"""Characters of a relay's words that are kept."""

_LINE = re.compile(rb"([2-5][0-9]{2})([ -]|$)(.*)", re.DOTALL)
_STATUS = re.compile(r"([245]\.\d{1,3}\.\d{1,3})(?:\s|$)")
_NO_MAILBOX = re.compile(
    r"user unknown|unknown user|no such (?:user|mailbox|recipient)|(?:user|mailbox|recipient)"
    r"(?: address)? (?:does not exist|not found)|unknown (?:recipient|mailbox)",
    re.IGNORECASE,
)

_PERSON = frozenset({"5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10", "5.2.1"})
"""Codes that say: this address is no mailbox (RFC 3463 sections 3.2, 3.3; RFC 7505)."""

_SENDER = frozenset({"5.1.7", "5.1.8", "5.5.1", "4.7.28"})
"""Codes besides X.7.X that speak of us, not of the recipient."""


class NonsenseError(Exception):
    """The relay sent something that is no SMTP reply."""


@dataclass(frozen=True, slots=True)
class Reply:
    """One whole reply: `code` of three digits, enhanced `status` if given, printable `text`."""

    code: int
    status: str | None
    text: str


class ReplyReader:
    """Cuts a byte stream into replies (RFC 5321 section 4.2.1), whatever its packets."""

    def __init__(self) -> None:
        """Start between two replies."""
        self._rest = b""
        self._lines: list[tuple[bytes, bytes]] = []
        self._size = 0

    @property
    def in_mid_reply(self) -> bool:
        """Whether part of a reply has come."""
        return bool(self._rest or self._lines)

    def feed(self, data: bytes) -> Iterator[Reply]:
        """Yield the replies that `data` completes; raise NonsenseError at what is none.

        What came before the nonsense was said: a mail that was taken stays taken.
        """
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            if (reply := self._line(line.rstrip(b"\r"))) is not None:
                yield reply
        if len(self._rest) > LONGEST_LINE:
            raise NonsenseError("a reply line without end")

    def _line(self, line: bytes) -> Reply | None:
        match = _LINE.fullmatch(line)
        if match is None or len(line) > LONGEST_LINE:
            raise NonsenseError(f"not a reply: {_words(line[:80])}")
        code, separator, text = match.groups()
        self._size += len(line)
        if self._size > LONGEST_REPLY or (self._lines and self._lines[0][0] != code):
            raise NonsenseError("a reply without end, or with two codes")
        self._lines.append((code, text))
        if separator == b"-":
            return None
        texts, self._lines, self._size = tuple(text for _, text in self._lines), [], 0
        return _reply(int(code), texts)


# Three of the four replies to a mail are the same for all of them.
@lru_cache(maxsize=64)
def _reply(code: int, texts: tuple[bytes, ...]) -> Reply:
    words = [_words(text) for text in texts]
    status = _STATUS.match(words[0])
    return Reply(code, status.group(1) if status else None, " ".join(words)[:WORDS_KEPT])


def _words(text: bytes) -> str:
    return printable(" ".join(text.decode("utf-8", "replace").split()), WORDS_KEPT)


_CLOSING = 421

LOGIN_WANTED = (530, 535)
"""Codes that speak of the session, not of a mail (RFC 4954 section 6)."""


def judge(reply: Reply, stage: str) -> tuple[Outcome, Cause | None]:
    """What a refusal (4yz or 5yz) at `stage` means: try later or not, and whose problem it is."""
    if reply.code in LOGIN_WANTED:
        return Outcome.DEFERRED, Cause.SENDER
    if reply.code < 500:
        ours = reply.status in _SENDER
        return Outcome.DEFERRED, Cause.SENDER if ours else None
    return Outcome.REJECTED, _cause(reply, stage)


_GREYLISTING = re.compile(r"gr[ea]y.?list", re.IGNORECASE)
_SLOWER = re.compile(
    r"\brate\b|too (?:many|much|fast|quickly)|throttl|slow|limit|exceed|quota", re.IGNORECASE
)
_BUSY = frozenset({"4.3.1", "4.3.2", "4.4.5", "4.7.28"})
"""Codes of a relay that has too much to do, or too much of us (RFC 3463)."""


def asks_for_patience(
    stage: str, code: int | None, status: str | None, text: str, *, reused: bool = False
) -> bool:
    """Whether an answer says that we send too fast, rather than something of one recipient.

    At MAIL nothing is known of the recipient, so what is refused for now is us; later a mailbox
    may be greylisted or full, and only a code or words about load and rates count.
    """
    if code is None or not 400 <= code < 500 or code in LOGIN_WANTED:
        return False
    status = status or ""
    if reused and stage == "mail" and code == _CLOSING:
        # A kept connection that was idle for too long; too many at once are told by new ones.
        return bool(_SLOWER.search(text)) or status in _BUSY
    if status.startswith("4.2.") or _GREYLISTING.search(text):
        return False
    if code == _CLOSING or stage == "mail" or status in _BUSY:
        return True
    return bool(_SLOWER.search(text)) and (status.startswith("4.7.") or not status)


_ABOUT_US = re.compile(r"sender|verif|callback|callout|return.?path", re.IGNORECASE)
_TOO_FAST = re.compile(r"\brate\b|too many|too quickly", re.IGNORECASE)


def _cause(reply: Reply, stage: str) -> Cause:
    status = reply.status or ""
    if status in _PERSON and stage != "mail":
        return Cause.SOFT if _TOO_FAST.search(reply.text) else Cause.PERSON
    if not status and stage == "rcpt" and _ABOUT_US.search(reply.text):
        return Cause.SENDER
    if stage == "mail" or status in _SENDER or status.startswith("5.7."):
        return Cause.SENDER
    if not status and stage == "rcpt" and _NO_MAILBOX.search(reply.text):
        return Cause.PERSON
    return Cause.SOFT
