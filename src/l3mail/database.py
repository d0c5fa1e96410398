"""Connections: who may write, in which order, and how durable a commit is.

Owns engines, transactions and the threads they run in. A *verb* is a function of an open
`Connection`; each runs in exactly one transaction, no transaction spans an `await`, and no
verb runs on the event loop. Knows no table.

SQLite: one writer thread per process takes every write in order (`BEGIN IMMEDIATE`, WAL,
`synchronous=FULL`: a committed row survives power loss), beside read-only connections.
PostgreSQL: the same verbs on a small pool.
"""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, Table, create_engine, event, make_url
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

from l3mail.errors import DatabaseUnavailableError

BUSY_TIMEOUT_SECONDS = 10
POSTGRES_WRITERS = 4
READERS = 4

T = TypeVar("T")
Verb = Callable[[Connection], T]


class Database:
    """The workspace's database, open in this process."""

    def __init__(self, url: str) -> None:
        """Prepare `url` (`sqlite:///path` or `postgresql+psycopg://…`); nothing connects yet."""
        self.is_sqlite = make_url(url).get_backend_name() == "sqlite"
        writers = 1 if self.is_sqlite else POSTGRES_WRITERS
        self.engine = _sqlite(url) if self.is_sqlite else _postgres(url)
        self._read_engine = _sqlite(url, read_only=True) if self.is_sqlite else self.engine
        self._writing = ThreadPoolExecutor(writers, thread_name_prefix="l3mail-write")
        self._reading = ThreadPoolExecutor(READERS, thread_name_prefix="l3mail-read")

    def write(self, verb: Verb[T]) -> T:
        """Run `verb` in one transaction, after every write begun before it; return once durable."""
        return self._write(verb).result()

    def read(self, verb: Verb[T]) -> T:
        """Run `verb` on a snapshot that it can't change."""
        return self._read(verb).result()

    async def writes(self, verb: Verb[T]) -> T:
        """`write` for coroutines."""
        return await asyncio.wrap_future(self._write(verb))

    async def reads(self, verb: Verb[T]) -> T:
        """`read` for coroutines."""
        return await asyncio.wrap_future(self._read(verb))

    def close(self) -> None:
        """Let what was begun end, then close every connection."""
        self._writing.shutdown()
        self._reading.shutdown()
        self._read_engine.dispose()
        self.engine.dispose()

    def _write(self, verb: Verb[T]) -> Future[T]:
        return self._writing.submit(_transact, self.engine, verb)

    def _read(self, verb: Verb[T]) -> Future[T]:
        return self._reading.submit(_transact, self._read_engine, verb)


@contextmanager
def opened(url: str) -> Iterator[Database]:
    """Open a database for the length of a `with` block."""
    database = Database(url)
    try:
        yield database
    finally:
        database.close()


def upsert(connection: Connection, table: Table) -> "sqlite.Insert | postgresql.Insert":
    """An INSERT that can be given `on_conflict_…`; the two databases spell it alike."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    statement: sqlite.Insert | postgresql.Insert = dialect.insert(table)
    return statement


# SQLite calls a mistake in our SQL operational too; only these pass by themselves or by an
# operator's hand (primary result codes, sqlite.org/rescode.html).
_PASSING = ("BUSY", "LOCKED", "FULL", "IOERR", "CANTOPEN", "READONLY", "NOMEM", "PROTOCOL")


def _transact(engine: Engine, verb: Verb[T]) -> T:
    try:
        with engine.begin() as connection:
            return verb(connection)
    except (OperationalError, InterfaceError) as fault:
        # Whether a failed commit was durable is unknown here: callers act by key and fence,
        # so that doing the same again is harmless.
        if _is_passing(fault):
            raise DatabaseUnavailableError(_first_line(fault)) from fault
        raise


def _is_passing(fault: DBAPIError) -> bool:
    """Whether the database, and not the statement, is what failed."""
    name = getattr(fault.orig, "sqlite_errorname", None)
    return name is None or name.removeprefix("SQLITE_").startswith(_PASSING)


def _first_line(fault: DBAPIError) -> str:
    lines = str(fault.orig).strip().splitlines()
    return lines[0] if lines else type(fault.orig).__name__


def _sqlite(url: str, *, read_only: bool = False) -> Engine:
    engine = create_engine(url, connect_args={"timeout": BUSY_TIMEOUT_SECONDS})

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _record: Any) -> None:
        # The driver must not open transactions by itself: `begin` below says which kind.
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode = WAL")
        cursor.execute("PRAGMA synchronous = FULL")
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.execute("PRAGMA secure_delete = ON")
        if read_only:
            cursor.execute("PRAGMA query_only = ON")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # A deferred transaction that reads and then writes can fail without waiting for the
        # lock; an immediate one waits for it at the start.
        connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")

    return engine


def _postgres(url: str) -> Engine:
    return create_engine(
        url,
        pool_size=POSTGRES_WRITERS + READERS,
        pool_pre_ping=True,
        connect_args={"options": "-c timezone=utc"},
    )
