"""A statement as text that can be read, and pasted into sqlite3 or psql as it stands.

Owns the spelling of its values and its lines. Asks no database.
"""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy import ClauseElement

_WORDS = ("SELECT", "FROM", "WHERE", "AND", "OR", "ORDER BY", "LEFT OUTER JOIN", "JOIN")
_PIECE = re.compile(
    r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|[()]|\s+(?=(?:"""
    + "|".join(word.replace(" ", r"\s+") for word in _WORDS)
    + r""")\b)|\s+|[^\s()'"]+"""
)
_BREAK = re.compile("|".join(word.replace(" ", r"\s+") for word in _WORDS))


def as_text(statement: "ClauseElement", backend: str) -> str:
    """The statement for `sqlite` or `postgresql`, each bound value spelt out in its place."""
    from sqlalchemy.dialects import postgresql, sqlite

    # Neither is connected: nothing of a driver, such as doubled percent signs, may get in.
    dialects = {"sqlite": sqlite.dialect, "postgresql": postgresql.dialect}
    dialect = dialects[backend](paramstyle="named")
    compiled = statement.compile(dialect=dialect, compile_kwargs={"literal_binds": True})
    return "\n".join(_lines(str(compiled))) + ";"


def _lines(sql: str) -> Iterator[str]:
    """A line for each part of a statement, further in for each bracket that is open."""
    line, depth = "", 0
    pieces = [piece if piece.strip() else " " for piece in _PIECE.findall(sql)]
    for number, piece in enumerate(pieces):
        begins = piece == " " and _BREAK.match("".join(pieces[number + 1 : number + 6]))
        if begins and line.strip() and not line.endswith("OUTER"):
            yield line.rstrip()
            line = "  " * depth
            continue
        depth += (piece == "(") - (piece == ")")
        line += piece if piece != " " or line.strip() else ""
    yield line.rstrip()
