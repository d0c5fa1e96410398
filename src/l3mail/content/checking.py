"""All that is wrong with a workspace's texts, in the order of its files.

Owns nothing but the sum: every fault is known where it is found.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from l3mail.content import papers, worksheets
from l3mail.content.compiling import Text, compile_text
from l3mail.content.findings import Finding, suggestion
from l3mail.content.frames import check_frames
from l3mail.content.sources import Library, fallbacks
from l3mail.content.stationery import check_stationery
from l3mail.errors import quoted

_NOT_HERE = {
    "joined": "is nothing one can join here",
    "finished": "is no course here",
}


def compile_all(library: Library) -> list[Text]:
    """Every text of the library, compiled as far as it is sound."""
    return [compile_text(library, source) for source in library.sources]


def check(library: Library, texts: Iterable[Text] | None = None) -> list[Finding]:
    """Every finding once, by file and line; `texts` are the library's if compiled already."""
    compiled = compile_all(library) if texts is None else list(texts)
    found = {*library.findings, *_untranslated(library)}
    found.update(check_frames(library), check_stationery(library))
    found.update(papers.findings_of(library), worksheets.findings_of(library))
    for text in compiled:
        found.update(text.findings)
    found.update(_unheard_of(library, compiled))
    return sorted(found)


def _unheard_of(library: Library, texts: Iterable[Text]) -> list[Finding]:
    """Triggers that wait for something no text offers.

    A warning only: a text that was published before may still offer it.
    """
    slugs = {source.slug for source in library.sources}
    interests: set[str] = set()
    links: set[str] = set()
    questions: set[str] = set()
    rules = []
    for text in texts:
        if text.compiled is not None:
            interests.update(text.compiled["interests"])
            links.update(name for _, name in text.links if name)
            questions.update(one["name"] for one in text.compiled.get("questions", ()))
            rules.append((text.source, text.compiled.get("rule", {})))
    known = {
        "interested": interests,
        "clicked": slugs | links,
        "answered": slugs | questions,
        "finished": library.courses,
        "joined": library.courses | library.streams,
    }
    return [
        Finding(
            source.path,
            source.mapped.line("of"),
            "warning",
            f"{quoted(rule['of'])} {_NOT_HERE.get(rule['trigger'], 'is offered by no text here')};"
            f" {suggestion(rule['of'], known[rule['trigger']])}",
            column=source.mapped.column("of"),
        )
        for source, rule in rules
        if "of" in rule and rule["of"] not in known[rule["trigger"]]
    ]


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


@dataclass(frozen=True, slots=True)
class Translated:
    """How far a course is there in another language; its other texts fall back to a nearer one."""

    path: str
    locale: str
    texts: int
    of: int
    fallback: str

    def __str__(self) -> str:
        there = f"{self.texts} of {self.of} texts"
        return f"{self.path}: {self.locale}: {there}, the others fall back to {self.fallback}"


def translated(library: Library) -> list[Translated]:
    """Courses that change their language on the way: a variant of some texts, not of all.

    No fault: a translation grows text by text, and everybody gets what there is.
    """
    found = []
    for course in sorted(library.courses):
        texts: dict[str, set[str]] = {}
        for source in library.sources:
            if source.course == course and not source.matter.draft:
                texts.setdefault(source.locale, set()).add(source.slug)
        own = texts.pop(library.locale, set())
        for locale, slugs in sorted(texts.items()):
            if own - slugs:
                others = (tag for tag in fallbacks(locale) if tag != locale and tag in texts)
                nearest = next(others, library.locale)
                path = f"lessons/{course}"
                found.append(Translated(path, locale, len(own & slugs), len(own), nearest))
    return found
