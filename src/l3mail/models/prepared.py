"""Statements that run for every few mails, made ready once for each kind of database.

SQLAlchemy asks the type of every value again at each call, which costs more than what the database
does with it. Here a statement is spelt once, and only what differs is handed over.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row
from sqlalchemy.engine import Dialect
from sqlalchemy.sql import ClauseElement
from sqlalchemy.sql.compiler import SQLCompiler

Processor = Callable[[Any], Any]


class Prepared:
    """A statement that writes; a list in it is bound by `among`, never by `in_`."""

    def __init__(self, statement: ClauseElement) -> None:
        """Nothing is made before the first call says which kind of database it is for."""
        self._statement = statement
        self._spellings: dict[str, _Spelling] = {}

    def returned(self, connection: Connection, values: Mapping[str, Any]) -> Sequence[Row[Any]]:
        """Run it; the rows it returns hold what the driver gives, without our types."""
        spelling = self._for(connection.dialect)
        return connection.exec_driver_sql(spelling.sql, spelling.filled(values)).all()

    def each(self, connection: Connection, several: Sequence[Mapping[str, Any]]) -> None:
        """Run it for each of several."""
        spelling = self._for(connection.dialect)
        filled = [spelling.filled(values) for values in several]
        connection.exec_driver_sql(spelling.sql, filled)

    def _for(self, dialect: Dialect) -> "_Spelling":
        found = self._spellings.get(dialect.name)
        if found is None:
            found = self._spellings[dialect.name] = _spelt(self._statement, dialect)
        return found


@dataclass(frozen=True, slots=True)
class _Spelling:
    """A statement in the words of one database.

    `standing` are values that never differ; `given` names the others, with what writes them; by
    `order` they go by position, without one by name.
    """

    sql: str
    order: tuple[str, ...] | None
    standing: Mapping[str, Any]
    given: Sequence[tuple[str, Processor | None]]

    def filled(self, values: Mapping[str, Any]) -> Any:
        named = dict(self.standing)
        for name, write in self.given:
            named[name] = values[name] if write is None else write(values[name])
        return named if self.order is None else tuple(map(named.__getitem__, self.order))


def _spelt(statement: ClauseElement, dialect: Dialect) -> _Spelling:
    compiled = statement.compile(dialect=dialect)
    assert isinstance(compiled, SQLCompiler)
    standing: dict[str, Any] = {}
    given: list[tuple[str, Processor | None]] = []
    for name, bound in compiled.binds.items():
        write = bound.type.dialect_impl(dialect).bind_processor(dialect)
        if bound.required:
            given.append((name, write))
        else:
            value = bound.effective_value
            standing[name] = value if write is None else write(value)
    order = None if compiled.positiontup is None else tuple(compiled.positiontup)
    return _Spelling(compiled.string, order, standing, given)
