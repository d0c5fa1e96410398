"""The rows of a mail: which blocks stand together in its column, and which are as wide as it is.

Owns the grouping alone; how a block looks is decided elsewhere.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby

from markdown_it.tree import SyntaxTreeNode

from l3mail.content.components import COMPONENTS
from l3mail.content.markdown import DIRECTIVE, directive_of
from l3mail.content.sentinels import Sentinels


def rows(
    nodes: Sequence[SyntaxTreeNode], sentinels: Sentinels, block: Callable[[SyntaxTreeNode], str]
) -> str:
    """The whole text: what is as wide as the mail is a row, all between two of them another."""
    wide = _wide(nodes, sentinels)
    return "\n".join(
        "\n".join(map(block, row)) if is_wide else _row(map(block, row))
        for is_wide, row in groupby(nodes, key=wide.__contains__)
    )


def _wide(nodes: Sequence[SyntaxTreeNode], sentinels: Sentinels) -> set[SyntaxTreeNode]:
    """Which of them are rows by themselves, and the lines of tags around such ones."""
    wide = {node for node in nodes if _is_wide(node)}
    spans, before = _spans(nodes, sentinels), -1
    # A line may end one condition and begin another: what holds for one then does for both.
    while len(wide) > before:
        before = len(wide)
        for tags, held in spans:
            if wide.intersection(held):
                wide.update(tags)
    return wide


def _spans(
    nodes: Sequence[SyntaxTreeNode], sentinels: Sentinels
) -> list[tuple[list[SyntaxTreeNode], Sequence[SyntaxTreeNode]]]:
    """Each condition and loop among them: the lines its tags stand in, and all it reaches."""
    spans = []
    opened: list[tuple[int, list[SyntaxTreeNode]]] = []
    for number, node in enumerate(nodes):
        for name in sentinels.names(node.content) if node.type == "tags" else ():
            if name in {"if", "for"}:
                opened.append((number, []))
            if opened:
                opened[-1][1].append(node)
            if name.startswith("end") and opened:
                first, tags = opened.pop()
                spans.append((tags, nodes[first : number + 1]))
    return spans


def _is_wide(node: SyntaxTreeNode) -> bool:
    component = COMPONENTS.get(directive_of(node).name) if node.type == DIRECTIVE else None
    return component is not None and component.wide


def _row(blocks: Iterator[str]) -> str:
    held = "\n".join(blocks)
    return f'<mj-section css-class="row"><mj-column>\n{held}\n</mj-column></mj-section>'
