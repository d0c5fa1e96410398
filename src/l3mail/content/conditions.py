"""Conditions in a text: parts that only some people get.

Owns their numbers and the tags a mail is filled by. What a condition asks is in the language of
segments, of which nothing is known here: it never becomes a part of the text.
"""

from typing import Final

from markdown_it.token import Token
from markdown_it.tree import SyntaxTreeNode

from l3mail.content.markdown import CONDITION, condition_of
from l3mail.content.places import Place
from l3mail.content.references import Asked, References

MOST: Final = 30
"""Conditions of one text, an else counted as another: what was shown is kept as one number."""


def number_all(root: SyntaxTreeNode, references: References, place: Place) -> None:
    """Give each condition its number, and its part the tags around it; note what is wrong."""
    for node in root.walk():
        if node.type == CONDITION:
            place.enter(node)
            _number(node, references, place)
    parts = [condition_of(node) for node in root.children if node.type == CONDITION]
    if len(parts) == len(root.children) and not any(part.otherwise for part in parts) and parts:
        place.enter(root.children[0])
        place.warn("all of this text is for some people only; who gets no part gets an empty mail")


def is_conditional(node: SyntaxTreeNode) -> bool:
    """Whether a block stands in a part that not everybody gets."""
    above = node.parent
    while above is not None and above.type != CONDITION:
        above = above.parent
    return above is not None


def _number(node: SyntaxTreeNode, references: References, place: Place) -> None:
    condition, sentinels = condition_of(node), references.sentinels
    if condition.fault:
        place.refuse(condition.fault)
    elif sentinels.any.search(condition.asks):
        place.refuse('a condition is written without braces, as in ::: if district == "Nord"')
    elif not node.children:
        name = "else" if condition.otherwise else "::: if"
        place.refuse(f"{name} is empty; write something below it, or delete it")
    known = [(one.asks, one.otherwise) for one in references.conditions]
    mine = (condition.asks, condition.otherwise)
    if mine not in known:
        if len(known) == MOST:
            place.refuse(f"a text has {MOST} conditions at most, an else counted; join some")
        known.append(mine)
        references.conditions.append(Asked(*mine, place.line))
    begins = sentinels.hide(f"{{% if when[{known.index(mine)}] %}}")
    node.children = [_tag(begins, node), *node.children, _tag(sentinels.hide("{% endif %}"), node)]


def _tag(content: str, of: SyntaxTreeNode) -> SyntaxTreeNode:
    """A line of tags that nobody wrote; it has the place of its condition."""
    token = Token("tags", "", 0, content=content, map=list(of.map or (0, 1)), level=of.level + 1)
    tag = SyntaxTreeNode([token], create_root=False)
    tag.parent = of
    return tag
