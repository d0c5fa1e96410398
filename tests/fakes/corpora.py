"""The corpora our promises are measured by, and the SMTP fault table as Python.

Owns where the corpora lie and how the table in `smtp-faults.md` is read; knows no socket.
The table stands here a second time because CI has no corpora: a test compares the two.
"""

import os
import re
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Self, cast, get_args

import pytest

Stage = Literal[
    "connect",  # instead of the greeting
    "tls",  # instead of the handshake, after 220 to STARTTLS or at once
    "ehlo",
    "starttls",
    "auth",
    "mail",
    "rcpt",
    "data",
    "body",  # after 354 and at least one octet of the message
    "dot",  # the final dot was read
    "sent",  # the reply to the final dot was written; what now happens is unasked for
    "rset",
    "noop",
    "quit",
    "other",
]
# "taken" is the moment after the server took the mail and before it says so.
HoldPoint = Stage | Literal["taken"]
Action = Literal["close", "rst", "hang", "half", "reply"]
Attempt = Literal[
    "relay-down",
    "deferred",
    "failed-person",
    "failed-soft",
    "failed-sender",
    "uncertain",
    "accepted",
]

WAIT_SECONDS = 10.0
_ROOT = Path(__file__).resolve().parents[2]
_ROW = re.compile(
    r"^\| (?P<case>\d+) \| (?P<stage>[^|]+) \| (?P<does>[^|]+) \| (?P<taken>yes|no) "
    r"\| (?P<outcome>[^|]+) \|$"
)
# By the beginning of the outcome's words; the first that fits wins.
_OUTCOMES: tuple[tuple[str, Attempt], ...] = (
    ("relay down", "relay-down"),
    ("deferred", "deferred"),
    ("failed, the person", "failed-person"),
    ("failed, soft", "failed-soft"),
    ("failed, our sender", "failed-sender"),
    ("uncertain", "uncertain"),
    ("accepted", "accepted"),
)


@dataclass(frozen=True)
class Fault:
    r"""One thing a server does wrong, and at which stage.

    `reply` with action "reply" is sent as it is, plus CRLF where it has no line end; its code
    decides how the server goes on (2yz and 3yz as if all were well, 421 closes). With any other
    action `reply` is written verbatim first ("half" writes `25` where none is given).
    `taken` counts at the stage "dot" only: whether the server took the mail before it acted.
    """

    case: int | None
    stage: Stage
    action: Action
    reply: bytes | None = None
    taken: bool = False
    expected: Attempt | None = None
    # One octet per packet, so that a reader sees every possible cut.
    bytewise: bool = field(default=False, kw_only=True)
    # Lets the stage pass so many times in a session before the fault is due.
    skip: int = field(default=0, kw_only=True)
    # The action waits until the test sets this event.
    gate: threading.Event | None = field(default=None, kw_only=True)

    @property
    def id(self) -> str:
        """A test id such as `05-mail-close`, `16-dot-before-close` or `dot-after-421`."""
        parts = [] if self.case is None else [f"{self.case:02}"]
        parts.append(self.stage)
        if self.stage == "dot":
            parts.append("after" if self.taken else "before")
        code = (self.reply or b"")[:3]
        answers = self.action == "reply" and code.isdigit()
        parts.append(code.decode() if answers else self.action)
        return "-".join(parts)


@dataclass(frozen=True)
class Taken:
    """One message read up to its final dot; `accepted` says whether the server took it."""

    mail_from: str
    rcpt_to: tuple[str, ...]
    data: bytes
    session: int
    at_message: int
    accepted: bool


@dataclass(frozen=True)
class Command:
    """One command line as it came, without its line end."""

    verb: str
    stage: Stage
    at_message: int
    line: bytes


@dataclass(frozen=True)
class Violation:
    """One thing the client did that SMTP forbids."""

    session: int
    at_message: int
    what: str
    evidence: bytes


class Book:
    """What the server's thread and the test's share: what was seen, and where to wait."""

    def __init__(self) -> None:
        self.changed = threading.Condition()  # its lock may be taken twice by one thread
        self._records: list[Taken | Violation] = []
        self._commands: dict[int, list[Command]] = {}
        self._counts: Counter[str] = Counter()
        self._gates: dict[HoldPoint, threading.Event] = {}

    @property
    def taken(self) -> list[Taken]:
        """The messages read up to their final dot, those not taken included."""
        return [record for record in self._copy() if isinstance(record, Taken)]

    @property
    def accepted(self) -> list[Taken]:
        """The messages the server took, whatever the client heard of it."""
        return [taken for taken in self.taken if taken.accepted]

    @property
    def violations(self) -> list[Violation]:
        """What the client did against the rules, in order."""
        return [record for record in self._copy() if isinstance(record, Violation)]

    @property
    def commands(self) -> dict[int, list[Command]]:
        """The command lines of each session, in order."""
        with self.changed:
            return {session: list(lines) for session, lines in self._commands.items()}

    def verbs(self, session: int = 1) -> list[str]:
        """The verbs of one session, in order."""
        return [command.verb for command in self.commands.get(session, [])]

    @property
    def sessions(self) -> int:
        """How many connections there were."""
        return self._counts["sessions"]

    @property
    def open_sessions(self) -> int:
        """How many connections there are."""
        return self._counts["open"]

    @property
    def max_open(self) -> int:
        """How many connections there were at once, at most."""
        return self._counts["max_open"]

    @property
    def quits(self) -> int:
        """How many sessions said QUIT."""
        return self._counts["quits"]

    @property
    def ahead(self) -> int:
        """How many final dots came with something behind them."""
        return self._counts["ahead"]

    @property
    def handshake_failures(self) -> int:
        """How many TLS handshakes failed."""
        return self._counts["handshake_failures"]

    @property
    def held(self) -> int:
        """How many sessions wait for `release`."""
        return self._counts["held"]

    def hold(self, point: HoldPoint) -> None:
        """Let every session wait at this point, before it answers, until `release`.

        At "dot" the mail is read and not taken, at "taken" it is taken. A client that leaves
        while it is held ends the session there. "tls" is no such point.
        """
        with self.changed:
            self._gates.setdefault(point, threading.Event())

    def wait_for_held(self, sessions: int = 1, timeout: float = WAIT_SECONDS) -> None:
        """Wait until so many sessions are held."""
        self.wait_until(lambda relay: relay.held >= sessions, timeout)

    def release(self, point: HoldPoint | None = None) -> None:
        """Let those held here, else everywhere, go on, and hold nobody there any more."""
        with self.changed:
            for name in [point] if point else list(self._gates):
                self._gates.pop(name).set()

    def gate_at(self, point: HoldPoint) -> threading.Event | None:
        """What a session has to wait for here, if anything."""
        with self.changed:
            return self._gates.get(point)

    def wait_until(self, fits: Callable[[Self], bool], timeout: float = WAIT_SECONDS) -> None:
        """Wait until what was recorded fits; the server may be a step behind its client."""
        with self.changed:
            assert self.changed.wait_for(lambda: fits(self), timeout), "the relay never came to it"

    def open_session(self) -> int:
        """Count a new connection; its number."""
        with self.changed:
            self._counts["sessions"] += 1
            self._counts["open"] += 1
            self._counts["max_open"] = max(self._counts["max_open"], self._counts["open"])
            self._commands[self._counts["sessions"]] = []
            self.changed.notify_all()
            return self._counts["sessions"]

    def count(self, name: str, by: int = 1) -> None:
        with self.changed:
            self._counts[name] += by
            self.changed.notify_all()

    def note(self, record: Taken | Violation) -> None:
        with self.changed:
            self._records.append(record)
            self.changed.notify_all()

    def note_command(self, session: int, command: Command) -> None:
        with self.changed:
            self._commands[session].append(command)
            self.changed.notify_all()

    def _copy(self) -> list[Taken | Violation]:
        with self.changed:
            return list(self._records)


FAULTS: tuple[Fault, ...] = (
    Fault(1, "connect", "close", None, False, "relay-down"),
    Fault(2, "connect", "reply", b"554 no service", False, "relay-down"),
    Fault(3, "connect", "hang", None, False, "relay-down"),
    Fault(4, "ehlo", "reply", b"421 bye", False, "relay-down"),
    Fault(5, "mail", "close", None, False, "deferred"),
    Fault(6, "mail", "reply", b"451 4.3.0 later", False, "deferred"),
    Fault(7, "rcpt", "close", None, False, "deferred"),
    Fault(8, "rcpt", "reply", b"450 4.2.1 greylisted", False, "deferred"),
    Fault(9, "rcpt", "reply", b"550 5.1.1 unknown", False, "failed-person"),
    Fault(10, "rcpt", "reply", b"552 5.2.2 full", False, "failed-soft"),
    Fault(11, "data", "close", None, False, "deferred"),
    Fault(12, "data", "reply", b"451 4.3.0", False, "deferred"),
    # Only a client that still holds back the dot can tell this from 18: a big mail.
    Fault(13, "body", "rst", None, False, "deferred"),
    Fault(14, "dot", "reply", b"451 4.3.0", False, "deferred"),
    Fault(15, "dot", "reply", b"554 5.7.1 spam", False, "failed-sender"),
    Fault(16, "dot", "close", None, False, "uncertain"),
    Fault(17, "dot", "close", None, True, "uncertain"),
    Fault(18, "dot", "rst", None, True, "uncertain"),
    Fault(19, "dot", "hang", None, True, "uncertain"),
    Fault(20, "dot", "half", None, True, "uncertain"),
    Fault(21, "dot", "reply", b"421 4.3.2 shutting down", True, "deferred"),
    Fault(22, "quit", "close", None, True, "accepted"),
    Fault(23, "quit", "hang", None, True, "accepted"),
)


def corpora() -> Path:
    """The folder of the corpora: `L3MAIL_CORPORA`, else `../shared/corpora` beside the checkout."""
    named = os.environ.get("L3MAIL_CORPORA")
    return Path(named) if named else _ROOT.parent / "shared" / "corpora"


def corpus(*parts: str) -> Path:
    """A file or folder of the corpora; skips the calling test where it is absent."""
    path = corpora().joinpath(*parts)
    if not path.exists():
        pytest.skip(f"corpus {'/'.join(parts)!r} not found; set L3MAIL_CORPORA")
    return path


def load_corpus_faults(path: Path) -> tuple[Fault, ...]:
    """The fault table of `smtp-faults.md`, in its order; raises ValueError at a row it can't read.

    Only lines that begin with `| <digit>` are rows of the table.
    """
    lines = path.read_text(encoding="utf-8").splitlines()
    return tuple(_fault_of_row(line) for line in lines if re.match(r"\| *\d", line))


def _fault_of_row(line: str) -> Fault:
    row = _ROW.match(line)
    if row is None:
        raise ValueError(f"not a row of the fault table: {line!r}")
    words = row["stage"].casefold()
    stage = cast(Stage, "dot" if words.startswith("final dot") else words)
    taken = row["taken"] == "yes"
    if stage == "dot" and taken != words.endswith("after"):
        raise ValueError(f"before or after, and taken, contradict each other: {line!r}")
    expected = next((value for start, value in _OUTCOMES if row["outcome"].startswith(start)), None)
    if expected is None:
        raise ValueError(f"unknown outcome: {line!r}")
    quoted = re.fullmatch(r"`([^`]+)`", row["does"])
    if quoted:
        return Fault(int(row["case"]), stage, "reply", quoted[1].encode(), taken, expected)
    action = cast(Action, row["does"].removesuffix(" after 250"))
    if stage not in get_args(Stage) or action not in get_args(Action):
        raise ValueError(f"unknown stage or action: {line!r}")
    return Fault(int(row["case"]), stage, action, None, taken, expected)
