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
    found = {*library.findings, *check_frames(library), *_untranslated(library)}
    for text in compile_all(library) if texts is None else texts:
        found.update(text.findings)
    return sorted(found)


def _untranslated(library: Library) -> list[Finding]:
    """Texts that are missing in the workspace's own language, which all others fall back to."""
    own = {source.slug for source in library.sources if source.locale == library.locale}
    return [
        Finding(
            source.path,
            1,
            "error",
            f"{source.slug} has no text in {library.locale}, the workspace's language; write one",
        )
        for source in library.sources
        if source.slug not in own and not source.matter.draft
    ]
