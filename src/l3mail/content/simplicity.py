"""Whether a text in easy language is easy: short sentences, and words that everybody knows.

Owns the two rules and the list of words. A machine can only find what is certainly too hard; that a
text is easy only the people it is written for can say.
"""

import re
from collections.abc import Iterator
from typing import Final

from markdown_it.tree import SyntaxTreeNode

from l3mail.content.findings import Faults
from l3mail.errors import quoted

SUFFIX: Final = "-simple"
MOST_WORDS: Final = 15
"""Words of a sentence: a common measure for plain German; one that is longer can be two."""

EASIER: Final = {
    "aufgrund": "wegen",
    "bezüglich": "zu",
    "circa": "ungefähr",
    "derzeit": "jetzt",
    "diesbezüglich": "dazu",
    "diverse": "verschiedene",
    "durchführen": "machen",
    "effektiv": "wirksam",
    "effizient": "schnell und gut",
    "eventuell": "vielleicht",
    "evtl": "vielleicht",
    "gegebenenfalls": "wenn nötig",
    "ggf": "wenn nötig",
    "hinsichtlich": "zu",
    "implementieren": "einführen",
    "inklusive": "mit",
    "innovativ": "neu",
    "insbesondere": "vor allem",
    "kontinuierlich": "immer weiter",
    "mittels": "mit",
    "obgleich": "auch wenn",
    "optimieren": "besser machen",
    "partizipieren": "mitmachen",
    "relevant": "wichtig",
    "resultieren": "kommen von",
    "sowie": "und",
    "sodass": "und dann",
    "ressourcen": "Geld, Zeit oder Dinge",
    "realisieren": "machen",
    "somit": "also",
    "transparent": "offen",
    "usw": "und so weiter",
    "bzw": "oder",
    "vgl": "siehe",
    "zeitnah": "bald",
    "zielführend": "gut",
    "zudem": "auch",
    "zwecks": "für",
}
"""Words of offices and what people say instead; written forms with a dot stand without it."""

_SENTENCE_END = re.compile(r"(?<=[.!?…:])[\"“”»)]*\s+")
_WORD = re.compile(r"[^\W\d_]+(?:[-’'][^\W\d_]+)*")


def is_simple(locale: str) -> bool:
    """Whether a locale stands for easy language: de-simple."""
    return locale.endswith(SUFFIX)


def judge(root: SyntaxTreeNode, first_line: int, faults: Faults) -> None:
    """Warn of sentences that are too long and of words that have an easier one, at their lines."""
    for node in root.walk():
        if node.type != "inline" or not node.map:
            continue
        judge_words(_lines(node), first_line + node.map[0], faults)


def judge_words(text: str, line: int, faults: Faults) -> None:
    """The same of words that begin in a line."""
    for offset, sentence in _sentences(text):
        words = _WORD.findall(sentence)
        if len(words) > MOST_WORDS:
            begin = " ".join(sentence.split()[:4])
            faults.warn(
                line + offset,
                f"the sentence {quoted(begin + ' …')} has {len(words)} words, easy ones have"
                f" {MOST_WORDS} at most; make two of it",
                sentence.strip().partition("\n")[0],
            )
        for word in words:
            if easier := EASIER.get(word.casefold()):
                faults.warn(
                    line + offset, f"{quoted(word)} is a hard word; write {quoted(easier)}", word
                )


def _sentences(text: str) -> Iterator[tuple[int, str]]:
    """Each sentence with the number of lines before it."""
    at = 0
    for end in [*_SENTENCE_END.finditer(text), None]:
        piece = text[at : end.start() if end else len(text)]
        if piece.strip():
            begins = at + len(piece) - len(piece.lstrip())
            yield text.count("\n", 0, begins), piece
        at = end.end() if end else at


def _lines(node: SyntaxTreeNode) -> str:
    """The words of an inline node with its line breaks."""
    if node.type in {"softbreak", "hardbreak"}:
        return "\n"
    if node.type in {"text", "code_inline"}:
        return node.content
    return "".join(_lines(child) for child in node.children)
