"""What operators mistype in a question because mail programs and other languages write it so.

Owns where such a slip stands and the words for it. Knows no syntax tree and no vocabulary.
"""

import re
from typing import Final

_TYPOGRAPHIC: Final = "\u201c\u201d\u201e\u00ab\u00bb\u2018\u2019\u201a"
_SINGLE_EQUALS: Final = re.compile(r"(?<![=<>!])=(?!=)")
_COMMA: Final = re.compile(r"\d+(,)\d+", re.ASCII)
_TEXT: Final = re.compile(r""""[^"\n]*"|'[^'\n]*'""")


def slip(source: str) -> tuple[str, int] | None:
    """What to write instead, and at which offset, in a text that is no expression; else None."""
    bare = _without_texts(source)
    found = [
        (bare.find(mark), 'typographic quotes; write straight quotes: "…"')
        for mark in _TYPOGRAPHIC
        if mark in bare
    ]
    if not found and (equals := _SINGLE_EQUALS.search(bare)):
        found = [(equals.start(), "a single = sets a value; write ==")]
    return (min(found)[1], min(found)[0]) if found else None


def decimal_comma(source: str) -> tuple[str, int] | None:
    """The same of the first number with a comma in it."""
    found = _COMMA.search(_without_texts(source))
    if found is None:
        return None
    number = found[0]
    return f"{number} is two numbers here; write {number.replace(',', '.')}", found.start()


def _without_texts(source: str) -> str:
    """As long as before, with blanks for what stands in straight quotes."""
    return _TEXT.sub(lambda text: " " * len(text[0]), source)
