"""Python's own reading of a text, once it holds nothing that could surprise it.

Owns the syntax tree and the limits of a text as such. Knows no word of the language but `segment`.
"""

import ast
from typing import Final, NoReturn

from l3mail.errors import SegmentError, quoted
from l3mail.segments.days import FARTHEST_DAY, TODAY, Today
from l3mail.segments.slips import slip

LONGEST_TEXT: Final = 2_000


def mentions(text: str) -> frozenset[str]:
    """The saved segments that a text names itself; none where it is no expression at all."""
    try:
        tree = syntax(text, "")
    except SegmentError:
        return frozenset()
    return frozenset(
        argument.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and getattr(node.func, "id", None) == "segment"
        for argument in node.args
        if isinstance(argument, ast.Constant) and isinstance(argument.value, str)
    )


def syntax(text: str, name: str) -> ast.expr:
    """Python's own reading of a text that holds nothing which could surprise it."""
    if len(text) > LONGEST_TEXT:
        raise SegmentError(f"{len(text)} characters; at most {LONGEST_TEXT}", name=name)
    source = text.strip()
    if not source:
        raise SegmentError("the question is empty; True selects everybody", name=name)
    for number, line in enumerate(source.split("\n"), start=1):
        for column, character in enumerate(line, start=1):
            if character == "\\" or character in "\0\f\v" or "\ud800" <= character <= "\udfff":
                problem = f"the character {quoted(character)} has no place here"
                raise SegmentError(problem, number, column, name)
    try:
        return ast.parse(source, mode="eval").body
    except SyntaxError as error:
        if found := slip(source):
            raise at(source, *found, name) from error
        hint = "; write it on one line or in brackets" if "\n" in source else ""
        column = max(1, error.offset or 1)
        problem = f"this can't be read as a question ({error.msg}){hint}"
        raise SegmentError(problem, max(1, error.lineno or 1), column, name) from error
    except (ValueError, RecursionError, MemoryError) as error:
        raise SegmentError("this can't be read as a question", name=name) from error


def counted_from_today(node: ast.expr) -> Today | str | None:
    """A day counted from today, or what is wrong with it; None where `today` is not spoken of."""
    match node:
        case ast.Name(id=word) if word == TODAY:
            return Today()
        case ast.BinOp(left=ast.Name(id=word), op=op, right=right) if word == TODAY:
            match right:
                case ast.Constant(value=int(n)) if not isinstance(n, bool):
                    if n > FARTHEST_DAY:
                        return f"at most {FARTHEST_DAY} days are counted from {TODAY}"
                    if isinstance(op, ast.Add | ast.Sub):
                        return Today(n if isinstance(op, ast.Add) else -n)
            return f"whole days are counted from {TODAY}, as in {TODAY} - 30"
    return None


def at(source: str, problem: str, offset: int, name: str) -> SegmentError:
    """The error of a problem at that offset of a text."""
    before = source[:offset]
    return SegmentError(problem, before.count("\n") + 1, offset - before.rfind("\n"), name)


class Place:
    """Where in which text something stands, for the error that is made of it."""

    def __init__(self, node: ast.AST, name: str, source: str) -> None:
        """Find a node of the tree of `source`, the text of the segment `name`."""
        self.name = name
        self.line: int = getattr(node, "lineno", 1)
        before = getattr(node, "col_offset", 0)
        line = source.split("\n")[self.line - 1] if source else ""
        # The syntax tree counts bytes.
        self.column = len(line.encode()[:before].decode(errors="replace")) + 1

    def refuse(self, problem: str) -> NoReturn:
        """Raise what is wrong here."""
        raise SegmentError(problem, self.line, self.column, self.name)
