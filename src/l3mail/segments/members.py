"""A member of a JSON object, alike on SQLite and PostgreSQL.

Owns the SQL of it. Knows no table.
"""

from typing import Any

from sqlalchemy import Double, String
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement


class JsonText(FunctionElement[str]):
    """A member of a JSON object as text, alike on both databases; NULL where it is missing."""

    inherit_cache = True
    type = String()


class JsonWord(FunctionElement[str]):
    """`JsonText`, in half the time on SQLite, where true and false may come as 1 and 0."""

    inherit_cache = True
    type = String()


class JsonNumber(FunctionElement[float]):
    """A member of a JSON object that is a number; NULL for everything else."""

    inherit_cache = True
    type = Double()


class JsonKind(FunctionElement[str]):
    """What a member of a JSON object is, in the database's own word; NULL where it is missing."""

    inherit_cache = True
    type = String()


NUMBERS = ("number", "integer", "real")
"""The words for what `JsonNumber` takes."""
TRUTHS = ("boolean", "true", "false")


@compiles(JsonKind, "postgresql")
def _postgres_kind(element: JsonKind, compiler: SQLCompiler, **kw: Any) -> str:
    column, key = (compiler.process(part, **kw) for part in element.clauses)
    return f"jsonb_typeof({column} -> CAST({key} AS TEXT))"


@compiles(JsonKind)
def _sqlite_kind(element: JsonKind, compiler: SQLCompiler, **kw: Any) -> str:
    column, key = (compiler.process(part, **kw) for part in element.clauses)
    return f"json_type({column}, '$.' || {key})"


@compiles(JsonText, "postgresql")
@compiles(JsonWord, "postgresql")
def _postgres_text(element: JsonText | JsonWord, compiler: SQLCompiler, **kw: Any) -> str:
    column, key = (compiler.process(part, **kw) for part in element.clauses)
    return f"({column} ->> CAST({key} AS TEXT))"


@compiles(JsonText)
def _sqlite_text(element: JsonText, compiler: SQLCompiler, **kw: Any) -> str:
    column, key = (compiler.process(part, **kw) for part in element.clauses)
    path = f"'$.' || {key}"
    # SQLite would make true and false 1 and 0.
    return (
        f"CASE json_type({column}, {path}) WHEN 'true' THEN 'true' WHEN 'false' THEN 'false'"
        f" ELSE CAST(json_extract({column}, {path}) AS TEXT) END"
    )


@compiles(JsonWord)
def _sqlite_word(element: JsonWord, compiler: SQLCompiler, **kw: Any) -> str:
    column, key = (compiler.process(part, **kw) for part in element.clauses)
    return f"json_extract({column}, '$.' || {key})"


@compiles(JsonNumber, "postgresql")
def _postgres_number(element: JsonNumber, compiler: SQLCompiler, **kw: Any) -> str:
    column, key = (compiler.process(part, **kw) for part in element.clauses)
    key = f"CAST({key} AS TEXT)"
    # JSON knows numbers that would make the cast fail, and with it everybody's answer.
    number = f"greatest(least(CAST({column} ->> {key} AS NUMERIC), 1e18), -1e18)"
    return (
        f"CASE WHEN jsonb_typeof({column} -> {key}) = 'number'"
        f" THEN CAST({number} AS DOUBLE PRECISION) END"
    )


@compiles(JsonNumber)
def _sqlite_number(element: JsonNumber, compiler: SQLCompiler, **kw: Any) -> str:
    column, key = (compiler.process(part, **kw) for part in element.clauses)
    path = f"'$.' || {key}"
    return (
        f"CASE WHEN json_type({column}, {path}) IN ('integer', 'real')"
        f" THEN json_extract({column}, {path}) END"
    )
