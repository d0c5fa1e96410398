"""What is wrong in layouts, components and words, whichever text uses them or none.

Owns the sum of it: each fault is known where it is found, and told there once.
"""

import re
import tomllib
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from l3mail.content.clients import PICTURES, check_support
from l3mail.content.components import FOLDER as COMPONENTS
from l3mail.content.designs import check_palette
from l3mail.content.findings import Faults, FaultyError, Finding, line_of
from l3mail.content.layouts import FOLDER as LAYOUTS
from l3mail.content.layouts import WORDS, Layout, read_words
from l3mail.content.mappings import split_front_matter
from l3mail.content.placeholders import check_placeholders
from l3mail.content.sources import Library

_MISSING: Final = {
    r"<mjml\b(?![^>]*\slang=)": 'the mail does not say its language; write <mjml lang="[[ lang ]]"',
    r"<mjml\b(?![^>]*\sdir=)": 'the mail does not say which way it runs; write dir="[[ dir ]]"',
    r"<(?:mj-image|img)\b(?=[^>]*\ssrc=)(?![^>]*\salt=)": (
        "this image has no words for who does not see it;"
        ' write alt="…", or alt="" where it only decorates'
    ),
    r"<table\b(?![^>]*\srole=)": (
        'who hears the mail would hear a table; write role="presentation", or role="table" where'
        " it is one"
    ),
}
"""What a frame may not lack (WCAG 2.2, success criteria 1.1.1, 1.3.1 and 3.1.1)."""

_COLOUR: Final = re.compile(r"""color(?:\s*[:=]\s*["']?\s*)(#[0-9a-fA-F]{3,8})\b""")


def check_frames(library: Library) -> list[Finding]:
    """Faults in all layouts, components and words, those that no text uses among them."""
    faults = Faults(WORDS, texts=library.texts)
    for name in sorted(library.layouts):
        check_file(f"{LAYOUTS}/{name}", library, faults)
    for name in sorted(library.components):
        check_file(f"{COMPONENTS}/{name}", library, faults)
    for source in library.sources:
        check_support(
            source.body,
            faults.beside(source.path),
            library.clients,
            PICTURES,
            source.body_line,
        )
    for locale in _locales(library.words):
        try:
            words = read_words(library.words, locale, locale)
        except FaultyError as error:
            faults.found += error.findings
        else:
            check_words(words.values(), library, faults)
    return faults.found


def check_file(path: str, library: Library, faults: Faults) -> None:
    """Faults of one file of templates/, of its keys and of its placeholders."""
    faults.found += _faults_of(path, library.texts[path], library.attributes, library.clients)


@lru_cache(maxsize=256)
def _faults_of(
    path: str, text: str, attributes: frozenset[str], clients: frozenset[str]
) -> tuple[Finding, ...]:
    """Each file once, for it stands around many texts."""
    faults = Faults(path, texts={path: text})
    _, frame, line = split_front_matter(text, faults)
    check_placeholders(frame, line, faults, attributes=attributes)
    if path.endswith((".mjml", ".html", ".css")):
        check_support(text, faults, clients)
        _check_access(frame, line, faults)
    return tuple(faults.found)


def _check_access(frame: str, first_line: int, faults: Faults) -> None:
    """What those miss who hear a mail, or read it from right to left or by night."""
    for pattern, message in _MISSING.items():
        for found in re.finditer(pattern, frame):
            line = first_line + frame.count("\n", 0, found.start())
            column = found.start() - frame.rfind("\n", 0, found.start())
            faults.error(line, message, column)
    for found in _COLOUR.finditer(frame):
        line = first_line + frame.count("\n", 0, found.start())
        faults.warn(
            line,
            f"{found[1]} is no colour of the design, so nobody sees to it that it can be read by"
            " day and by night; write one like [[ light.accent ]]",
            found.start(1) - frame.rfind("\n", 0, found.start(1)),
        )


def check_words(words: Iterable[str], library: Library, faults: Faults) -> None:
    """Faults of the placeholders in words."""
    faults.found += _faults_of_words(tuple(words), library.words, library.attributes)


@lru_cache(maxsize=256)
def _faults_of_words(
    words: tuple[str, ...], text: str, attributes: frozenset[str]
) -> tuple[Finding, ...]:
    faults = Faults(WORDS, texts={WORDS: text})
    for word in words:
        check_placeholders(word, line_of(word, text), faults, attributes=attributes)
    return tuple(faults.found)


def check_colours(layout: Layout, library: Library, faults: Faults) -> None:
    """What cannot be read in the colours of a layout and of the house, light and dark."""
    for name in ("light", "dark"):
        path, line = layout.written.get(name, (layout.path, 1))
        check_palette(name, getattr(layout, name), library.design, faults.beside(path), line)


def _locales(words: str) -> list[str]:
    try:
        return sorted(tomllib.loads(words))
    except tomllib.TOMLDecodeError:
        return [""]  # told once, whichever language is asked for
