"""What is wrong in a file, where, and what to write instead.

Owns the shape of a finding and the words for "did you mean". Knows no file format.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from l3mail.errors import did_you_mean

Severity = Literal["error", "warning"]


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One fault of one line; `path` is relative to the workspace, lines count from 1."""

    path: str
    line: int
    severity: Severity
    message: str

    def __str__(self) -> str:
        mark = "" if self.severity == "error" else "warning: "
        return f"{self.path}:{self.line}: {mark}{self.message}"


@dataclass(slots=True)
class Faults:
    """Collects the findings of one file."""

    path: str
    found: list[Finding] = field(default_factory=list)

    def error(self, line: int, message: str) -> None:
        """Note something that keeps the text from being published."""
        self._note(Finding(self.path, line, "error", message))

    def warn(self, line: int, message: str) -> None:
        """Note something a careful editor would mend."""
        self._note(Finding(self.path, line, "warning", message))

    def _note(self, finding: Finding) -> None:
        if finding not in self.found:
            self.found.append(finding)

    @property
    def broken(self) -> bool:
        """Whether an error was noted."""
        return any(finding.severity == "error" for finding in self.found)


def line_of(piece: str, text: str) -> int:
    """The line of a text a piece begins in; the first where it is not in it as it stands."""
    before, found, _ = text.partition(piece)
    return before.count("\n") + 1 if found else 1


def suggestion(word: str, known: Iterable[str]) -> str:
    """The second half of "x is not …": the nearest known word, or all of them if none is near."""
    names = sorted(known)
    otherwise = f"known are {', '.join(names)}" if names else "none is known here"
    return did_you_mean(word.lower(), names, otherwise, cutoff=0.5)
