"""Where a text is being read: what is wrong there is told with its place.

Owns the line a fault is noted at; its column is found by the piece it is about. Knows no Markdown
but the lines of its nodes.
"""

from dataclasses import dataclass

from markdown_it.tree import SyntaxTreeNode

from l3mail.content.findings import Faults


@dataclass
class Place:
    """The line that is being read, of a text whose Markdown begins on `first_line`."""

    first_line: int
    faults: Faults
    line: int = 0

    def __post_init__(self) -> None:
        self.line = self.line or self.first_line

    def enter(self, node: SyntaxTreeNode) -> None:
        """Go on to a block; inline nodes have no line of their own."""
        if node.map:
            self.line = self.first_line + node.map[0]

    def line_of(self, node: SyntaxTreeNode) -> int:
        """Where a node begins."""
        return self.first_line + (0 if node.is_root or not node.map else node.map[0])

    def refuse(self, message: str, at: str = "") -> None:
        """Note an error here; `at` is the piece of the line that it is about."""
        self.faults.error(self.line, message, at)

    def warn(self, message: str, at: str = "") -> None:
        """Note here what a careful editor would mend."""
        self.faults.warn(self.line, message, at)
