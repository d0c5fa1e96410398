"""What a check-up found: one line for each thing that was looked at.

Owns the shape of a finding. Knows nothing of what is looked at.
"""

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """How it stands with one thing; `unknown` is what can't be seen from here."""

    OK = "ok"
    WARNING = "warning"
    UNKNOWN = "unknown"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at: what is so, and, where it is not well, what to do."""

    name: str
    verdict: Verdict
    words: str


def ok(name: str, words: str) -> Check:
    """All is well."""
    return Check(name, Verdict.OK, words)


def warn(name: str, words: str) -> Check:
    """It works, but somebody should look."""
    return Check(name, Verdict.WARNING, words)


def unknown(name: str, words: str) -> Check:
    """It can't be seen from here."""
    return Check(name, Verdict.UNKNOWN, words)


def fail(name: str, words: str) -> Check:
    """It does not work."""
    return Check(name, Verdict.FAILED, words)
