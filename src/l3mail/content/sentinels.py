"""Jinja pieces hidden behind plain words, so that Markdown and MJML leave them alone.

Owns the hiding and the bringing back, and sees to it that nothing else in a text is read as
Jinja afterwards.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from l3mail.content.placeholders import PIECE, tag_name

_OPENING = frozenset({"if", "for"})
_CLOSING = frozenset({"endif", "endfor"})


@dataclass
class Sentinels:
    """The pieces of one text; a sentinel is a lower-case word that occurs nowhere else in it."""

    prefix: str
    pieces: list[str] = field(default_factory=list)

    @classmethod
    def for_texts(cls, texts: Iterable[str]) -> "Sentinels":
        """Sentinels whose words are in none of these texts."""
        whole = "\n".join(texts).lower()
        prefix = "zqj"
        while prefix in whole:
            prefix += "q"
        return cls(prefix)

    @property
    def _word(self) -> str:
        return rf"{self.prefix}[vt](\d+)z"

    @property
    def tags_only(self) -> re.Pattern[str]:
        """Matches a line of nothing but tags."""
        return re.compile(rf"\s*(?:{self.prefix}t\d+z\s*)+")

    @property
    def any(self) -> re.Pattern[str]:
        """Matches one sentinel."""
        return re.compile(self._word)

    @property
    def any_tag(self) -> re.Pattern[str]:
        """Matches one sentinel of a tag."""
        return re.compile(rf"{self.prefix}t\d+z")

    def hide(self, text: str) -> str:
        """The text with a sentinel for each placeholder and tag; comments go, lines stay."""
        return PIECE.sub(self._hidden, text)

    def _hidden(self, found: re.Match[str]) -> str:
        if found["comment"]:
            return "\n" * found[0].count("\n")
        # The layout decides on white space; a mark such as {%- would eat some of it.
        piece = re.sub(r"^\{([{%])[-+]", r"{\1", found[0])
        piece = re.sub(r"[-+]([}%])\}$", r"\1}", piece)
        self.pieces.append(piece)
        return f"{self.prefix}{'t' if found['tag'] else 'v'}{len(self.pieces) - 1}z"

    def show(self, text: str) -> str:
        """The text with its pieces back; a brace that would begin another is made harmless."""
        tame = re.sub(rf"\{{(?=[{{%#]|{self.prefix})", '{{ "{" }}', text)
        return re.sub(self._word, lambda found: self.pieces[int(found[1])], tame)

    def reveal(self, words: str) -> str:
        """Words for people, with the pieces as they were typed."""
        return re.sub(self._word, lambda found: self.pieces[int(found[1])], words)

    def names(self, text: str) -> list[str]:
        """What the tags of a line begin with, in their order: if, endif."""
        return [tag_name(self.pieces[int(number)]) for number in self.any.findall(text)]

    def ends_loop(self, text: str) -> bool:
        """Whether a line of tags ends a loop."""
        return "endfor" in self.names(text)

    def plain(self, text: str) -> str:
        """The text without its pieces, for measuring it."""
        return re.sub(self._word, "", text)

    def first_piece(self, text: str) -> str | None:
        """The piece a text begins with, if it begins with one."""
        found = re.match(self._word, text)
        return self.pieces[int(found[1])] if found else None

    def unbalanced(self, texts: Iterable[str]) -> bool:
        """Whether tags open in these neighbouring texts and close elsewhere, or the reverse."""
        depth = 0
        for text in texts:
            for found in self.any.finditer(text):
                name = tag_name(self.pieces[int(found[1])])
                if name in _OPENING:
                    depth += 1
                elif name and depth == 0:
                    return True
                elif name in _CLOSING:
                    depth -= 1
        return depth != 0
