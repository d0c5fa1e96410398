"""Column types and the few spellings every table shares.

Owns how instants, identifiers and JSON reach SQLite and PostgreSQL. Knows no table.
"""

from collections.abc import Callable, Collection
from datetime import UTC, datetime
from json import dumps
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    DateTime,
    Integer,
    MetaData,
    String,
    bindparam,
    literal_column,
    text,
)
from sqlalchemy.dialects import sqlite
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.engine import Dialect
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.expression import ColumnElement
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.sql.operators import OperatorType
from sqlalchemy.types import TypeDecorator, TypeEngine
from sqlmodel import Field, SQLModel


class _Text(sqlite.DATETIME):
    """An instant as SQLite keeps it, in the form SQLAlchemy writes too: each mail has ten."""

    def bind_processor(self, dialect: Dialect) -> Callable[[datetime | None], str | None]:
        def written(value: datetime | None) -> str | None:
            return None if value is None else value.isoformat(" ", "microseconds")[:_INSTANT]

        return written

    def result_processor(
        self, dialect: Dialect, coltype: object
    ) -> Callable[[str | None], datetime | None]:
        def read(text: str | None) -> datetime | None:
            return None if text is None else datetime.fromisoformat(f"{text}+00:00")

        return read


_INSTANT = len("2026-11-23 09:00:00.000000")


class UtcDateTime(TypeDecorator[datetime]):
    """An aware instant, stored in UTC and returned in UTC on every database.

    SQLite keeps text in whatever zone it is given and PostgreSQL returns the session's
    zone; both would let a local time slip in unseen. A naive value is refused.
    """

    impl = DateTime(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Choose the spelling per dialect."""
        if dialect.name == "sqlite":
            return dialect.type_descriptor(_Text())  # type: ignore[no-untyped-call]
        return dialect.type_descriptor(self.impl_instance)

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Refuse naive values; SQLite's text compares rightly only in one zone."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"naive datetime {value!r}: every stored instant needs a zone")
        return value if value.tzinfo is UTC else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return an aware UTC value."""
        if value is None:
            return None
        return value if value.tzinfo is UTC else value.astimezone(UTC)


class Id(TypeDecorator[int]):
    """A 64-bit identifier; on SQLite `INTEGER`, which alone can be the row id."""

    impl = BigInteger
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Choose the spelling per dialect."""
        return dialect.type_descriptor(Integer() if dialect.name == "sqlite" else BigInteger())


class Json(TypeDecorator[Any]):
    """A JSON value; `JSONB` on PostgreSQL."""

    impl = JSON
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Choose the spelling per dialect."""
        return dialect.type_descriptor(JSONB() if dialect.name == "postgresql" else JSON())


class Word(TypeDecorator[str]):
    """One of a closed list of words, written into statements as it stands.

    Indexes over one word's rows (`state = 'queued'`) serve only statements that say the word: for
    one that is bound, SQLite prepares the statement anew at every call to look what it is, and a
    generic plan of PostgreSQL never sees it.
    """

    impl = String
    cache_ok = True

    class Comparator(TypeDecorator.Comparator[str]):
        """Compares with plain words spelt out, and with everything else as ever."""

        def operate(self, op: OperatorType, *other: Any, **kwargs: Any) -> ColumnElement[Any]:
            """Spell out the words on the other side, also those of a list."""
            return super().operate(op, *(_spelt(value) for value in other), **kwargs)

    comparator_factory = Comparator


def _spelt(value: Any) -> Any:
    if isinstance(value, str) and value.isascii() and value.isidentifier():
        return literal_column(f"'{value}'", String())
    if isinstance(value, tuple | list | set | frozenset):
        return [_spelt(word) for word in sorted(value)]
    return value


class _List(TypeDecorator[Collection[Any]]):
    """A list bound as one value: an array on PostgreSQL, JSON on SQLite."""

    impl = String
    cache_ok = True

    def __init__(self, item: TypeEngine[Any]) -> None:
        super().__init__()
        self.item = item

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        is_array = dialect.name == "postgresql"
        return dialect.type_descriptor(ARRAY(self.item) if is_array else String())

    def process_bind_param(self, value: Collection[Any] | None, dialect: Dialect) -> Any:
        return list(value or ()) if dialect.name == "postgresql" else dumps(list(value or ()))


class _Among(FunctionElement[bool]):
    type = Boolean()
    inherit_cache = True

    def self_group(self, against: OperatorType | None = None) -> "_Among":
        # In brackets of its own, and never `= 1`, which hides it from SQLite's planner.
        return self

    @property
    def item(self) -> TypeEngine[Any]:
        _, values = self.clauses
        assert isinstance(values.type, _List)
        return values.type.item


@compiles(_Among, "sqlite")
def _among_on_sqlite(element: _Among, compiler: SQLCompiler, **kw: Any) -> str:
    column, values = (compiler.process(one, **kw) for one in element.clauses)
    # Without a type SQLite finds no index for what it compares.
    kind = "INTEGER" if isinstance(element.item, Integer) else "TEXT"
    return f"({column} IN (SELECT CAST(value AS {kind}) FROM json_each({values})))"  # noqa: S608 - no value


@compiles(_Among, "postgresql")
def _among_on_postgresql(element: _Among, compiler: SQLCompiler, **kw: Any) -> str:
    column, values = (compiler.process(one, **kw) for one in element.clauses)
    return f"({column} = ANY({values}))"


def among(column: ColumnElement[Any], name: str, item: TypeEngine[Any]) -> ColumnElement[bool]:
    """Whether a column's value is in the list bound to `name`.

    `in_` binds element by element: a statement for each length, and made anew at each call. For
    one that runs for a few mails at a time that costs more than what the database does.
    """
    return _Among(column, bindparam(name, type_=_List(item)))


class Table(SQLModel):
    """What every table is: a model whose constraints have names migrations can speak of."""

    metadata = MetaData(
        naming_convention={
            "ix": "%(table_name)s_%(column_0_N_name)s",
            "uq": "%(table_name)s_%(column_0_N_name)s_key",
            "ck": "%(table_name)s_%(constraint_name)s",
            "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
            "pk": "%(table_name)s_pkey",
        }
    )


AUTOINCREMENT: dict[str, Any] = {"sqlite_autoincrement": True}
"""Table option: an id is never given twice, even after its row was deleted.

Message-IDs are made of delivery ids, and evidence names its neighbours by number.
"""


def identifier() -> Any:
    """Primary key that the database assigns."""
    return Field(default=None, primary_key=True, sa_type=Id)


def reference(column: str, *, optional: bool = False, index: bool = False) -> Any:
    """Foreign key to `column` (`table.id`)."""
    return Field(
        default=None if optional else ...,
        foreign_key=column,
        sa_type=Id,
        index=index,
        nullable=optional,
    )


def instant(*, optional: bool = False) -> Any:
    """Aware UTC instant (`_at`)."""
    return Field(default=None if optional else ..., sa_type=UtcDateTime, nullable=optional)


def json(*, optional: bool = False) -> Any:
    """JSON column; an optional one is SQL NULL, never JSON null."""
    if optional:
        return Field(default=None, sa_type=Json, nullable=True)
    return Field(
        default_factory=dict, sa_type=Json, sa_column_kwargs={"server_default": text("'{}'")}
    )


def counted(start: int = 0) -> Any:
    """Integer that plain INSERTs may leave out."""
    return Field(default=start, sa_column_kwargs={"server_default": text(str(start))})


def word(*, optional: bool = False) -> Any:
    """One of the words that `one_of` lists for the column."""
    if optional:
        return Field(default=None, sa_type=Word, nullable=True)
    return Field(sa_type=Word)


ONE = literal_column("1", Integer())
"""A LIMIT that is written as it stands: for a bound one PostgreSQL's generic plan expects many."""


def where(condition: str) -> dict[str, Any]:
    """Index options that make it partial on both databases."""
    return {"sqlite_where": text(condition), "postgresql_where": text(condition)}


def one_of(column: str, values: tuple[str, ...]) -> CheckConstraint:
    """CHECK that `column` holds one of `values`; text, because both databases know it."""
    # Not IN: in a CHECK, SQLite makes its list anew for every row, which costs as much as the row.
    listed = " OR ".join(f"{column} = '{value}'" for value in values)
    return CheckConstraint(listed, name=f"{column}_known")
