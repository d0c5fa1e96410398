"""Connections: who may write, in which order, and how durable a commit is.

Owns engines, transactions and the threads they run in. A *verb* is a function of an open
`Connection`; each runs in exactly one transaction, no transaction spans an `await`, and no
verb runs on the event loop. A write's verb may be run again: PostgreSQL ends one of two
transactions that wait for each other, and nothing of that one is left. Knows no table.

SQLite: one writer thread per process takes every write in order (`BEGIN IMMEDIATE`, WAL,
`synchronous=FULL`: a committed row survives power loss), beside read-only connections.
PostgreSQL: the same verbs on a small pool.
"""

import asyncio
import json
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from sqlalchemy import Connection, Engine, Table, create_engine, event, make_url
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DatabaseError, DBAPIError, InterfaceError, OperationalError

from l3mail import owners
from l3mail.clocks import SystemClock
from l3mail.errors import (
    DatabaseClosedError,
    DatabaseUnavailableError,
    SchemaError,
    SettingsError,
)

BUSY_TIMEOUT_SECONDS = 10
"""How long a write waits for somebody else's lock before it fails."""
QUEUE_SECONDS = 10
"""How long a write waits behind others of this process before it fails."""
CONNECT_TIMEOUT_SECONDS = 10
TRIES = 3
"""How often a write is run in all when PostgreSQL ends it in favour of another."""
POSTGRES_WRITERS = 4
READERS = 4

_CLOCK = SystemClock()

T = TypeVar("T")
Verb = Callable[[Connection], T]


class Database:
    """The workspace's database, open in this process.

    Only `migrating` makes a SQLite file where there is none: an empty one in the place of one that
    was lost would hide the loss, and take the lost one's `-wal` with it.
    """

    def __init__(self, url: str) -> None:
        """Prepare `url` (`sqlite:///path` or `postgresql+psycopg://…`); nothing connects yet."""
        self._url = url
        self.is_sqlite = make_url(url).get_backend_name() == "sqlite"
        writers = 1 if self.is_sqlite else POSTGRES_WRITERS
        self.engine = _sqlite(url) if self.is_sqlite else _postgres(url)
        self._read_engine = (
            _sqlite(url, read_only=True)
            if self.is_sqlite
            else self.engine.execution_options(
                isolation_level="REPEATABLE READ", postgresql_readonly=True
            )
        )
        self._writing = ThreadPoolExecutor(writers, thread_name_prefix="l3mail-write")
        self._reading = ThreadPoolExecutor(READERS, thread_name_prefix="l3mail-read")

    def write(self, verb: Verb[T]) -> T:
        """Run `verb` in one transaction and return once it is durable.

        On SQLite after every write begun before it in this process.
        """
        return self._write(verb).result()

    def read(self, verb: Verb[T]) -> T:
        """Run `verb` on a snapshot that it can't change."""
        return self._read(verb).result()

    def read_here(self, verb: Verb[T]) -> T:
        """`read` in the caller's own thread, for one nobody waits for when the process ends."""
        return _transact(self._read_engine, verb)

    async def writes(self, verb: Verb[T]) -> T:
        """`write` for coroutines."""
        return await asyncio.wrap_future(self._write(verb))

    async def reads(self, verb: Verb[T]) -> T:
        """`read` for coroutines."""
        return await asyncio.wrap_future(self._read(verb))

    def truncate_log(self) -> bool:
        """Write SQLite's log into its file and empty it, after the writes begun before.

        What was erased still stands in the log until then. False where somebody was reading: try
        again later. PostgreSQL sees to its own.
        """
        return self._writing.submit(self._truncate_log).result()

    def _truncate_log(self) -> bool:
        if not self.is_sqlite:
            return True
        with _told(self.engine), self.engine.connect() as connection:
            driver = connection.connection.dbapi_connection
            assert driver is not None
            cursor = driver.cursor()
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            told = cursor.fetchone()
            cursor.close()
        return told is not None and not told[0]

    @contextmanager
    def migrating(self) -> Iterator[Connection]:
        """A transaction in which tables may be made anew: SQLite's foreign keys wait for its end.

        Raises SchemaError, and rolls back, when a reference then points nowhere.
        """
        if not self.is_sqlite:
            with _told(self.engine), self.engine.begin() as connection:
                # Two programs may be upgrading at once; the second finds it done.
                connection.exec_driver_sql("SELECT pg_advisory_xact_lock(33)")
                yield connection
            return
        engine = _sqlite(self._url, foreign_keys=False, creates=True)
        try:
            with _told(engine), engine.begin() as connection:
                yield connection
                dangling = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
                if dangling:
                    raise SchemaError(
                        f"{len(dangling)} references point nowhere, the first in"
                        f" {dangling[0][0]}; nothing is changed, restore a backup"
                    )
        finally:
            engine.dispose()

    def close(self) -> None:
        """Let what was begun end, then close every connection."""
        self._writing.shutdown()
        self._reading.shutdown()
        self._read_engine.dispose()
        self.engine.dispose()

    def _write(self, verb: Verb[T]) -> Future[T]:
        return self._writing.submit(self._in_time, verb, _CLOCK.monotonic())

    def _in_time(self, verb: Verb[T], asked: float) -> T:
        """Run a write unless it waited too long for its turn.

        Behind somebody else's lock each would wait its own time, and the last one for ever.
        """
        if _CLOCK.monotonic() - asked > QUEUE_SECONDS:
            raise DatabaseUnavailableError("other writes took too long")
        for _ in range(TRIES - 1):
            try:
                return _transact(self.engine, verb)
            except _YieldedError:
                continue
        return _transact(self.engine, verb)

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


class _YieldedError(DatabaseUnavailableError):
    """PostgreSQL rolled a transaction back so that another could go on."""


def _transact(engine: Engine, verb: Verb[T]) -> T:
    with _told(engine), engine.begin() as connection:
        return verb(connection)


# SQLite calls a mistake in our SQL operational too; these pass by themselves, and those need
# somebody's hand (primary result codes, sqlite.org/rescode.html).
_PASSING = ("BUSY", "LOCKED", "FULL", "IOERR", "NOMEM", "PROTOCOL")
_CLOSED = ("READONLY", "CANTOPEN", "PERM", "AUTH")
_DAMAGED = ("NOTADB", "CORRUPT")
# Deadlock detected, serialization failure: certainly rolled back (PostgreSQL, appendix A).
_YIELDED = ("40P01", "40001")


@contextmanager
def _told(engine: Engine) -> Iterator[None]:
    """Say in l3mail's words what failed when it was the database and not the statement.

    Whether a failed commit was durable is unknown then: callers act by key and fence, so that
    doing the same again is harmless.
    """
    try:
        yield
    except (OperationalError, InterfaceError, DatabaseError) as fault:
        name = getattr(fault.orig, "sqlite_errorname", "").removeprefix("SQLITE_")
        where = engine.url.database
        if name.startswith(_CLOSED):
            raise DatabaseClosedError(
                f"{where} cannot be written or opened ({_first_line(fault)})"
                f"{owners.mend(Path(where or '.'))}"
            ) from fault
        if name.startswith(_DAMAGED):
            raise SchemaError(
                f"{where} is damaged or no database ({_first_line(fault)}); restore a backup"
            ) from fault
        if getattr(fault.orig, "sqlstate", None) in _YIELDED:
            raise _YieldedError(_first_line(fault)) from fault
        gone = isinstance(fault, OperationalError | InterfaceError) and not name
        if gone or name.startswith(_PASSING):
            raise DatabaseUnavailableError(_first_line(fault)) from fault
        raise


def _first_line(fault: DBAPIError) -> str:
    lines = str(fault.orig).strip().splitlines()
    return lines[0] if lines else type(fault.orig).__name__


def _sqlite(
    url: str, *, read_only: bool = False, foreign_keys: bool = True, creates: bool = False
) -> Engine:
    engine = create_engine(
        url, connect_args={"timeout": BUSY_TIMEOUT_SECONDS}, json_deserializer=_from_json
    )

    @event.listens_for(engine, "do_connect")
    def open_existing(_dialect: Any, _record: Any, where: list[Any], how: dict[str, Any]) -> None:
        if not how.get("uri"):
            # Readers, too, have to write: SQLite's locks lie in the `-shm` beside the file.
            where[0] = f"file:{quote(where[0])}?mode={'rwc' if creates else 'rw'}"
            how["uri"] = True

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _record: Any) -> None:
        # The driver must not open transactions by itself: `begin` below says which kind.
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode = WAL")
        cursor.execute("PRAGMA synchronous = FULL")
        cursor.execute(f"PRAGMA foreign_keys = {'ON' if foreign_keys else 'OFF'}")
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


def _from_json(written: str) -> Any:
    # Most of what is kept so is empty, and each mail reads some of it.
    return {} if written == "{}" else json.loads(written)


def _postgres(url: str) -> Engine:
    try:
        return create_engine(
            url,
            pool_size=POSTGRES_WRITERS + READERS,
            pool_pre_ping=True,
            connect_args={
                # A frozen process must not hold its row locks longer than its leases.
                "options": "-c timezone=utc -c idle_in_transaction_session_timeout=60s",
                "connect_timeout": CONNECT_TIMEOUT_SECONDS,
                "keepalives_idle": CONNECT_TIMEOUT_SECONDS,
            },
        )
    except ModuleNotFoundError as missing:
        raise SettingsError(
            ["PostgreSQL needs the driver psycopg; install l3mail with its extra `postgres`"]
        ) from missing
