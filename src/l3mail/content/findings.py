"""What is wrong in a file, where, and what to write instead.

Owns the shape of a finding, the search for its column, and the words for "did you mean". Knows no
file format.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import unquote

from l3mail.errors import ContentError, did_you_mean

Severity = Literal["error", "warning"]


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One fault of one line; `path` is relative to the workspace.

    Lines and columns count from 1, in characters; column 0 is none: the whole line is meant.
    """

    path: str
    line: int
    column: int = field(default=0, kw_only=True)
    severity: Severity
    message: str

    def __str__(self) -> str:
        mark = "" if self.severity == "error" else "warning: "
        place = f"{self.line}:{self.column}" if self.column else str(self.line)
        return f"{self.path}:{place}: {mark}{self.message}"


@dataclass(slots=True)
class Faults:
    """Collects the findings of one file, and of others beside it.

    `texts` are whole files by path, in which columns are looked up. `reveal` brings back what is
    hidden in a message's words.
    """

    path: str
    found: list[Finding] = field(default_factory=list)
    texts: Mapping[str, str] = field(default_factory=dict)
    reveal: Callable[[str], str] = str

    def beside(self, path: str) -> "Faults":
        """Faults of another file, which go the same way."""
        return Faults(path, self.found, self.texts, self.reveal)

    def apart(self) -> "Faults":
        """Faults of the same file that are counted by themselves."""
        return Faults(self.path, [], self.texts, self.reveal)

    def error(self, line: int, message: str, at: str | int = "", within: str = "") -> None:
        """Note something that keeps the text from being published.

        `at` is the piece of the line that it is about, or its column; `within` what is around
        that, where the line may hold it twice.
        """
        self._note("error", line, message, at, within)

    def warn(self, line: int, message: str, at: str | int = "", within: str = "") -> None:
        """Note something a careful editor would mend."""
        self._note("warning", line, message, at, within)

    def _note(
        self, severity: Severity, line: int, message: str, at: str | int, within: str
    ) -> None:
        column = at if isinstance(at, int) else self._column(line, at, within)
        finding = Finding(self.path, line, severity, self.reveal(message), column=column)
        if finding not in self.found:
            self.found.append(finding)

    def _column(self, line: int, at: str, within: str) -> int:
        """Where in its line a piece begins; 0 where it is not in it as it stands."""
        lines = self.texts.get(self.path, "").split("\n")
        written = lines[line - 1] if 0 < line <= len(lines) else ""
        around = max(0, written.find(self.reveal(within)))
        # An address comes back from Markdown as mail programs need it.
        for piece in (self.reveal(at), unquote(self.reveal(at))):
            if piece and (found := written.find(piece, around)) >= 0:
                return found + 1
        return around + 1 if within and self.reveal(within) in written else 0

    @property
    def broken(self) -> bool:
        """Whether an error was noted."""
        return any(finding.severity == "error" for finding in self.found)


class FaultyError(ContentError):
    """A file around the texts has faults of its own, told where they stand."""

    def __init__(self, findings: Iterable[Finding]) -> None:
        """Carry the `findings`; the message is a line for each."""
        self.findings = tuple(findings)
        super().__init__("\n".join(map(str, self.findings)))


def line_of(piece: str, text: str) -> int:
    """The line of a text a piece begins in; the first where it is not in it as it stands."""
    return place_of(piece, text)[0]


def place_of(piece: str, text: str) -> tuple[int, int]:
    """The line and column a piece begins at; 1 and 0 where it is not in the text as it stands."""
    before, found, _ = text.partition(piece)
    if not found:
        return 1, 0
    return before.count("\n") + 1, len(before) - before.rfind("\n")


def suggestion(word: str, known: Iterable[str]) -> str:
    """The second half of "x is not …": the nearest known word, or all of them if none is near."""
    names = sorted(known)
    otherwise = f"known are {', '.join(names)}" if names else "none is known here"
    return did_you_mean(word.lower(), names, otherwise, cutoff=0.5)
