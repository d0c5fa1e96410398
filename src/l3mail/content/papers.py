"""What all papers of a house have in common: its name, its colours, its logo, its templates.

Owns what a template of templates/documents may count on. Knows no worksheet, no certificate
and no handout.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from l3mail.content.findings import Finding, suggestion
from l3mail.content.images import find_medium
from l3mail.content.layouts import read_layout
from l3mail.content.sources import Library
from l3mail.errors import ContentError, PaperError
from l3mail.locales import direction
from l3mail.typesetting import Paper, typeset

FOLDER: Final = "templates/documents"
PALETTE: Final[Mapping[str, str]] = {
    "page": "#f2f5f3",
    "card": "#ffffff",
    "ink": "#1f2b2a",
    "soft": "#51615f",
    "line": "#d5dedb",
    "accent": "#0b5f5a",
    "on_accent": "#ffffff",
    "tint": "#eef5f3",
}
"""For a house whose layout names no colour: a template may count on each of these."""


SAMPLES: Final[Mapping[str, Mapping[str, Any]]] = {
    "worksheet": {"title": "A", "subtitle": "", "words": {"page": "{page}"}},
    "certificate": {
        "title": "A",
        "name": "A",
        "course": "A",
        "course_lang": "de",
        "issuer": "A",
        "link": "https://example.org/",
        "code": "A",
        "words": dict.fromkeys(
            ("head", "names", "before", "after", "issued", "verify", "valid"), "A"
        ),
    },
    "handout": {
        "title": "A",
        "lead": "A",
        "code": "",
        "link": "https://example.org/",
        "offers": ["A", "B"],
        "titles_lang": "de",
        "contact": "A",
        "words": dict.fromkeys(("alt", "scan", "typed", "steps", "step1", "step2", "step3"), "A"),
    },
}
"""What a template is tried with: all that it may ask for."""


def paper(library: Library, name: str, locale: str, values: Mapping[str, Any]) -> Paper:
    """A paper from the template `name`, with the house on it; raises ContentError."""
    file = f"{name}.typ"
    if file not in library.documents:
        raise ContentError(f"{FOLDER}/{file} is missing; {suggestion(file, library.documents)}")
    design = library.design
    logo = find_medium(library.folder, design.logo, image=True).path if design.logo else ""
    own = read_layout("mail", library.layouts).light if "mail.mjml" in library.layouts else {}
    sheet = {
        "lang": locale.partition("-")[0],
        "dir": direction(locale),
        "house": library.house,
        "claim": design.claim,
        "logo": logo,
        "colours": {**PALETTE, **own, **design.light},
        **values,
    }
    problem = fault_of(file, library.documents[file])
    if problem is not None:
        raise ContentError(str(problem))
    pictures = {logo: (library.folder / logo).read_bytes()} if logo else {}
    return Paper(f"{FOLDER}/{file}", library.documents[file], sheet, pictures)


def findings_of(library: Library) -> list[Finding]:
    """The templates of which no paper can be made."""
    faults = (fault_of(file, source) for file, source in sorted(library.documents.items()))
    return [Finding(f.path, f.line, "error", f.problem) for f in faults if f is not None]


@lru_cache(maxsize=16)
def fault_of(file: str, source: str) -> PaperError | None:
    """Why no paper can be made of a template, tried with a sample; None for one we do not know."""
    sample = SAMPLES.get(file.removesuffix(".typ"))
    if sample is None:
        return None
    house = {"lang": "de", "dir": "ltr", "house": "A", "claim": "A", "logo": "", "pieces": []}
    values = {**house, "colours": dict(PALETTE), **sample}
    try:
        typeset(Paper(f"{FOLDER}/{file}", source, values))
    except PaperError as error:
        return error
    return None
