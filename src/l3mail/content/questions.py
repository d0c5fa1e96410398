"""Questions in a text: what a quiz asks and explains, what a feedback has at its two ends.

Owns their syntax and what of them is compiled: plain words, for a page shows them to whoever has
the link, without a person's values.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from markdown_it.tree import SyntaxTreeNode

from l3mail.content.markdown import Directive
from l3mail.content.sentinels import Sentinels

VALUES: Final = "abcdef"
"""What the options of a quiz are stored as, in their order."""

MOST_MARKS: Final = 5
"""A feedback goes from 1 to so many."""

_OPTION = re.compile(r"\[([ xX])\]\s+(\S.*)", re.DOTALL)
_YES: Final = frozenset({"yes", "no"})
_SHAPE: Final = "write the question, a list whose lines begin with - [ ] or - [x], an explanation"

Refuse = Callable[[SyntaxTreeNode, str], None]


@dataclass(frozen=True, slots=True)
class Option:
    """One answer somebody may give: what is stored, and its words."""

    value: str
    text: str
    right: bool = False


@dataclass(frozen=True, slots=True)
class Question:
    """One question of a text, in plain words; `comment` asks for words of one's own besides.

    A `conditional` one is not put to everybody.
    """

    name: str
    kind: str
    text: str
    options: tuple[Option, ...]
    explanation: str = ""
    comment: bool = False
    conditional: bool = False

    @property
    def several(self) -> bool:
        """Whether more than one answer is right."""
        return sum(option.right for option in self.options) > 1

    def shown(self, pages: Mapping[str, str]) -> dict[str, Any]:
        """What its partials are told: all but what is right; `pages` are links by value."""
        options = [
            {"value": option.value, "text": option.text, "href": pages[option.value]}
            for option in self.options
        ]
        return {"question": self.text, "several": self.several, "options": options}

    @property
    def compiled(self) -> dict[str, Any]:
        """As it stands in a published version."""
        more = {"conditional": True} if self.conditional else {}
        return more | {
            "name": self.name,
            "kind": self.kind,
            "text": self.text,
            "options": [
                {"value": option.value, "text": option.text, "right": option.right}
                for option in self.options
            ],
            "explanation": self.explanation,
            "comment": self.comment,
        }


def read_question(
    head: Directive, node: SyntaxTreeNode, sentinels: Sentinels, refuse: Refuse
) -> Question | None:
    """The question between the lines of a directive; None, with the fault told, if it is none."""
    reader = _Reader(sentinels, refuse)
    if head.name == "quiz":
        return reader.quiz(head, node)
    return reader.feedback(head, node)


@dataclass
class _Reader:
    sentinels: Sentinels
    refuse: Refuse
    sound: bool = True

    def quiz(self, head: Directive, node: SyntaxTreeNode) -> Question | None:
        parts = node.children
        kinds = [part.type for part in parts]
        if kinds[:2] != ["paragraph", "bullet_list"] or set(kinds[2:]) - {"paragraph"}:
            self._fault(node, f"a quiz holds one question; {_SHAPE}")
            return None
        text = self._words(parts[0])
        options = self._options(parts[1])
        explanation = "\n\n".join(self._words(part) for part in parts[2:])
        return (
            Question(head.argument, "quiz", text, options, explanation=explanation)
            if self.sound
            else None
        )

    def feedback(self, head: Directive, node: SyntaxTreeNode) -> Question | None:
        if [part.type for part in node.children] != ["paragraph"]:
            self._fault(node, "feedback holds one question; write it in one paragraph")
            return None
        text = self._words(node.children[0])
        low, high = (self._said(head, name, node) for name in ("from", "to"))
        comment = self._said(head, "comment", node) or "no"
        if comment not in _YES:
            self._fault(node, '"comment" is yes or no; write comment: yes')
        ends = {1: low, MOST_MARKS: high}
        options = tuple(
            Option(str(mark), f"{mark} ({ends[mark]})" if ends.get(mark) else str(mark))
            for mark in range(1, MOST_MARKS + 1)
        )
        if not self.sound:
            return None
        return Question(head.argument, "feedback", text, options, comment=comment == "yes")

    def _options(self, node: SyntaxTreeNode) -> tuple[Option, ...]:
        options = []
        for value, item in zip(VALUES, node.children, strict=False):
            held = item.children
            single = len(held) == 1 and held[0].type == "paragraph"
            found = _OPTION.fullmatch(self._words(held[0])) if single else None
            if found is None:
                self._fault(item, "an answer begins with [ ], a right one with [x], and is short")
                continue
            options.append(Option(value, found[2], found[1] != " "))
        if len(node.children) > len(VALUES):
            self._fault(node, f"a quiz has {len(VALUES)} answers at most; leave some out")
        elif len(node.children) < 2:
            self._fault(node, "a quiz needs two answers at least; write another line - [ ]")
        elif self.sound and not any(option.right for option in options):
            self._fault(node, "no answer of this quiz is right; mark one with [x]")
        texts = [option.text for option in options]
        if len(set(texts)) < len(texts):
            self._fault(node, "two answers of this quiz are the same; change one")
        return tuple(options)

    def _said(self, head: Directive, name: str, node: SyntaxTreeNode) -> str:
        said = head.values.get(name, "").strip()
        self._check_plain(said, node)
        return said

    def _words(self, node: SyntaxTreeNode) -> str:
        """A paragraph as plain words."""
        text = "".join(self._flat(child.children, node) for child in node.children)
        self._check_plain(text, node)
        return "\n".join(" ".join(line.split()) for line in text.split("\n")).strip()

    def _flat(self, nodes: Sequence[SyntaxTreeNode], block: SyntaxTreeNode) -> str:
        words = ""
        for node in nodes:
            match node.type:
                case "text" | "code_inline":
                    words += node.content
                case "softbreak":
                    words += " "
                case "hardbreak":
                    words += "\n"
                case "strong" | "em":
                    words += self._flat(node.children, block)
                case _:
                    self._fault(
                        block, "a question is words alone; put links and pictures above or below it"
                    )
        return words

    def _check_plain(self, text: str, node: SyntaxTreeNode) -> None:
        if self.sentinels.any.search(text):
            self._fault(node, "a placeholder may not stand in a question: its page knows no person")

    def _fault(self, node: SyntaxTreeNode, message: str) -> None:
        self.sound = False
        self.refuse(node, message)
