"""What people agree to, as it lies in templates/wordings: plain texts, one for each box.

Owns which names there may be and what a wording must look like. When one is in force is decided
elsewhere: a changed text leaves old proofs as they were.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass

from l3mail.content.findings import Faults, suggestion
from l3mail.errors import quoted

LONGEST_WORDING = 4_000
BOXES = ("newsletter", "lifecycle", "course", "tracking")
"""Names every workspace may use: the kinds of streams, and tracking; a stream's slug is another."""


@dataclass(frozen=True, slots=True)
class Wording:
    """One text that stands beside a box: a kind of stream, a stream's slug, or `tracking`."""

    name: str
    locale: str
    text: str
    path: str


def read_wording(
    name: str, locale: str, text: str, *, streams: Collection[str], faults: Faults
) -> Wording | None:
    """The wording a file holds, or None with what is wrong with it noted in `faults`."""
    words = text.strip()
    known = {*BOXES, *streams}
    if name not in known:
        faults.error(1, f"{quoted(name)} is no stream or kind of stream; {suggestion(name, known)}")
    elif not words:
        faults.error(1, "is empty; write what people agree to, or delete the file")
    elif len(words) > LONGEST_WORDING:
        faults.error(1, f"is longer than {LONGEST_WORDING:,} characters; nobody can agree to that")
    elif found := re.search(r"\{[{%]", text):
        line = text.count("\n", 0, found.start()) + 1
        column = found.start() - text.rfind("\n", 0, found.start())
        faults.error(
            line, "holds a placeholder; what people agree to must be the same for everybody", column
        )
    else:
        return Wording(name, locale, words, faults.path)
    return None
