"""All that is wrong with a workspace's texts, in the order of its files.

Owns nothing but the sum: every fault is known where it is found.
"""

from collections.abc import Iterable

from l3mail.content.compiling import Text, check_frames, compile_text
from l3mail.content.findings import Finding
from l3mail.content.sources import Library


def compile_all(library: Library) -> list[Text]:
    """Every text of the library, compiled as far as it is sound."""
    return [compile_text(library, source) for source in library.sources]


def check(library: Library, texts: Iterable[Text] | None = None) -> list[Finding]:
    """Every finding once, by file and line; `texts` are the library's if compiled already."""
    found = {*library.findings, *check_frames(library)}
    for text in compile_all(library) if texts is None else texts:
        found.update(text.findings)
    return sorted(found)
