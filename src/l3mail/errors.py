"""Every error l3mail raises on purpose: one tree, rooted in `L3mailError`.

An error is one line that says what is wrong, where, and what to do about it;
what a caller needs to decide travels as attributes. Expected outcomes (a relay
that says "later", somebody already unsubscribed) are values, never errors.
This module knows nothing else of the house.
"""

import difflib
from collections.abc import Iterable
from datetime import date, datetime
from typing import Literal

_LONGEST_WORD = 200
"""Characters: comparing takes the square of them."""


class L3mailError(Exception):
    """Root of the tree; `str()` of it is the one line an operator reads."""


class DatabaseUnavailableError(L3mailError):
    """The database did not take or answer a transaction: locked, full, gone or restarting."""

    def __init__(self, detail: str) -> None:
        """Carry the driver's own words as `detail`."""
        self.detail = detail
        super().__init__(f"database not available: {detail}; nothing was lost, try again")


class DatabaseClosedError(L3mailError):
    """The database can't be opened or written by this user; waiting does not help."""


class SchemaError(L3mailError):
    """The database's schema is not the one this program was made for."""


class DatabaseLostError(L3mailError):
    """There is no database where there was one; an empty one would hide that."""


class SenderBusyError(L3mailError):
    """Another process of this workspace is already sending."""


def printable(text: str, limit: int) -> str:
    """Bring foreign text onto one line, cut after `limit` characters.

    Everything unprintable (controls, bidi, zero-width, surrogates) becomes an escape.
    """
    if len(text) <= limit and text.isprintable():
        return text
    shown = "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text[:limit]
    )
    return shown + ("…" if len(text) > limit else "")


def quoted(text: str, limit: int = 60) -> str:
    """Show foreign text inside an error line: `printable` and in quotes."""
    return '"' + printable(text, limit).replace('"', '\\"') + '"'


def did_you_mean(word: str, known: Iterable[str], otherwise: str, cutoff: float = 0.6) -> str:
    """The end of an error line: the nearest of the known words, or what else helps."""
    near = difflib.get_close_matches(word[:_LONGEST_WORD], list(known), n=1, cutoff=cutoff)
    return f"did you mean {quoted(near[0])}?" if near else otherwise


class AddressError(L3mailError):
    """A text is no e-mail address that mail can be sent to."""

    def __init__(self, text: str, reason: str) -> None:
        """Carry the hostile `text` as it came and the `reason`; the message shows both tamed."""
        self.text = text
        self.reason = reason
        super().__init__(
            f"{quoted(text)} is not an address we can mail: {reason};"
            " write it as name@example.org or leave it out"
        )


class EntryError(L3mailError):
    """A value that was given for a person is none we can keep."""


class SourceError(L3mailError):
    """A place people sign up from can't be called or kept so."""


class SpreadsheetError(L3mailError):
    """A file of people can't be read as a table, or not as one of people."""


class HeaderInjectionError(L3mailError):
    """A value that was to become a mail header could smuggle in a second header."""

    def __init__(self, value: str, reason: str) -> None:
        """Carry the hostile `value` as it came and the `reason`; the message shows it tamed."""
        self.value = value
        self.reason = reason
        super().__init__(
            f"{quoted(value)} cannot stand in a mail header: it holds {reason};"
            " correct the name or the text it came from"
        )


class WorkspaceError(L3mailError):
    """There is no workspace where one was looked for."""


class SettingsError(L3mailError):
    """The configuration has faults; `str()` is one line for each."""

    def __init__(self, problems: list[str]) -> None:
        """Carry every fault as its own line in `problems`, in the order of the file."""
        self.problems = problems
        super().__init__("\n".join(problems))


class PaperError(L3mailError):
    """A paper can't be set: its template fails, or something in it can't be printed."""

    def __init__(self, path: str, line: int, problem: str) -> None:
        """Carry the template's `path` and `line`, and the `problem` with what to do about it."""
        self.path = path
        self.line = line
        self.problem = problem
        super().__init__(f"{path}:{line}: {problem}")


class ContentError(L3mailError):
    """A text is not what was asked for, or has faults; `str()` is one line for each."""


class RestoredError(L3mailError):
    """The database is a restored copy that nobody has reconciled yet: nothing may be sent."""

    def __init__(self, why: str) -> None:
        """Say what betrays it, and what to do."""
        super().__init__(
            f"this database is a restored copy ({why}), so nothing is sent; `l3mail db reconcile`"
            " shows what may have been sent already, and releases it"
        )


class BackupError(L3mailError):
    """A backup can't be made, is not sound, or may not be put back here."""


class StateError(L3mailError):
    """A file in `state/` is missing, damaged or readable by others."""


class NaiveDatetimeError(L3mailError, ValueError):
    """A datetime without a zone came where an instant is needed."""

    def __init__(self, moment: datetime) -> None:
        """Carry the offending `moment`."""
        self.moment = moment
        super().__init__(f"{moment.isoformat()} names no zone, so it is no instant; attach one")


class TimeRuleError(L3mailError):
    """A time rule of a course cannot be followed as written."""

    def __init__(self, key: str, problem: str) -> None:
        """Carry the `key` of course.yaml that is wrong and the `problem` without it."""
        self.key = key
        self.problem = problem
        super().__init__(f"{key}: {problem}")


class CadenceError(TimeRuleError):
    """A cadence or a grace period is not one we know how to keep."""


class ClosedDaysError(TimeRuleError):
    """A holiday calendar or a closed range is not one we can read."""


class NothingOpenError(L3mailError):
    """Every slot of a plan falls on a closed day, for years on end."""

    def __init__(self, since: date, until: date) -> None:
        """Carry the days `since` and `until` which no open slot was found."""
        self.since = since
        self.until = until
        super().__init__(
            f"no open slot from {since} to {until}: shorten `closed` or drop `skip_holidays`"
        )


class RenderingError(L3mailError):
    """A published text could not be filled with one person's values."""

    def __init__(self, part: str, detail: str) -> None:
        """Name the `part` (subject, text, html) and say in `detail` what failed."""
        self.part = part
        self.detail = detail
        super().__init__(f"the {part} could not be rendered: {detail}")


class RelayDownError(L3mailError):
    """The relay took no connection, refused the greeting, TLS or the login; no mail was begun."""

    def __init__(
        self, words: str, stage: Literal["connection", "greeting", "tls", "login"] = "connection"
    ) -> None:
        """Carry how far the session came before it failed."""
        self.stage = stage
        super().__init__(words)


class OutboxError(L3mailError):
    """An order does not fit the delivery it names."""


class CourseError(L3mailError):
    """A course can't be taught as it is described."""


class NewsletterError(L3mailError):
    """An issue can't be scheduled, or its campaign is not as an order wants it."""


class TriggerError(L3mailError):
    """A lifecycle mailing's rule can't be followed, or its batch is not as an order wants it."""


class ForecastError(L3mailError):
    """A file is no forecast that `simulate --json` wrote."""


class TokenError(L3mailError):
    """A link's token was not made by us, was changed, or has ended."""

    def __init__(self, reason: Literal["broken", "expired"], token: object = None) -> None:
        """Say the `reason`, and carry the `token` that ended, as evidence."""
        self.reason = reason
        self.token = token
        super().__init__(f"the link is {reason}; ask for a new one")


class SegmentError(L3mailError):
    """A question over subscribers can't be understood, or a saved one can't be changed so."""

    def __init__(
        self, problem: str, line: int | None = None, column: int | None = None, name: str = ""
    ) -> None:
        """Carry `problem` without its place; `name` is the saved segment the place is in."""
        self.problem = problem
        self.line = line
        self.column = column
        self.name = name
        where = f"segment {quoted(name)}" if name else "segment"
        if line is not None:
            where += f", line {line}, column {column}"
        super().__init__(f"{where}: {problem}")


class SubscriberError(L3mailError):
    """What is asked for a person can't be done as it is asked."""


class DemoError(L3mailError):
    """The demo's own people could not go on: a page or a mail was not as they need it."""


class ReportError(L3mailError):
    """A report is asked for that nobody can write."""
