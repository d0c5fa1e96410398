"""The database's threads: one order of writes, whole transactions, and faults that lose nothing."""

import asyncio
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import IntegrityError, InternalError

from l3mail import database as module
from l3mail.database import Database, opened
from l3mail.errors import DatabaseClosedError, DatabaseUnavailableError, L3mailError
from tests.fakes.postgres import postgres_url
from tests.fakes.village import BACKENDS

CREATE = text("CREATE TABLE note (id INTEGER PRIMARY KEY, words TEXT NOT NULL)")
INSERT = text("INSERT INTO note (id, words) VALUES (:id, :words)")
PATIENCE = 30  # seconds until a test that would hang fails instead


@pytest.fixture
def notes(database: Database) -> Database:
    """A database with a table that only these tests know."""
    database.write(lambda connection: connection.execute(CREATE))
    return database


@pytest.fixture
def sqlite_file(tmp_path: Path) -> Path:
    file = tmp_path / "notes.sqlite3"
    file.touch()
    return file


@pytest.fixture
def impatient(sqlite_file: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    """On SQLite, waiting 50 ms for a lock."""
    monkeypatch.setattr(module, "BUSY_TIMEOUT_SECONDS", 0.05)
    with opened(f"sqlite:///{sqlite_file}") as database:
        database.write(lambda connection: connection.execute(CREATE))
        yield database


def add(database: Database, number: int, words: str = "") -> None:
    database.write(lambda connection: connection.execute(INSERT, {"id": number, "words": words}))


def ids(database: Database) -> list[int]:
    query = text("SELECT id FROM note ORDER BY id")
    return database.read(lambda connection: list(connection.execute(query).scalars()))


def session(database: Database) -> int:
    """The server process of a write connection."""
    query = text("SELECT pg_backend_pid()")
    return database.write(lambda connection: int(connection.execute(query).scalar_one()))


# -- transactions


def test_a_verb_returns_what_it_found_after_its_commit(notes: Database) -> None:
    assert notes.write(lambda connection: 42) == 42
    add(notes, 1)
    with opened(notes.engine.url.render_as_string(hide_password=False)) as another:
        assert ids(another) == [1]


def test_a_verb_that_raises_rolls_back_all_it_did(notes: Database) -> None:
    def verb(connection: Connection) -> None:
        connection.execute(INSERT, {"id": 1, "words": ""})
        connection.execute(INSERT, {"id": 2, "words": ""})
        raise KeyError("changed my mind")

    with pytest.raises(KeyError):
        notes.write(verb)
    assert ids(notes) == []
    add(notes, 1)
    assert ids(notes) == [1]


def test_a_broken_constraint_is_the_verbs_fault_and_rolls_back(notes: Database) -> None:
    def verb(connection: Connection) -> None:
        connection.execute(INSERT, {"id": 1, "words": ""})
        connection.execute(INSERT, {"id": 1, "words": ""})

    with pytest.raises(IntegrityError):
        notes.write(verb)
    assert ids(notes) == []


def test_a_reader_sees_nothing_that_is_not_committed(notes: Database) -> None:
    def verb(connection: Connection) -> list[int]:
        connection.execute(INSERT, {"id": 1, "words": ""})
        return ids(notes)

    assert notes.write(verb) == []
    assert ids(notes) == [1]


# -- threads


def test_writes_on_sqlite_run_one_after_the_other_in_the_order_they_were_asked(
    impatient: Database,
) -> None:
    order: list[tuple[str, int]] = []

    def noted(number: int, connection: Connection) -> None:
        order.append(("begin", number))
        connection.execute(INSERT, {"id": number, "words": ""})
        order.append(("end", number))

    async def scene() -> None:
        async with asyncio.TaskGroup() as tasks:
            for number in range(50):
                tasks.create_task(impatient.writes(lambda c, n=number: noted(n, c)))  # type: ignore[misc]

    asyncio.run(scene())
    assert order == [(word, number) for number in range(50) for word in ("begin", "end")]


def test_a_write_that_waited_too_long_for_its_turn_is_not_run(
    impatient: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave, began = threading.Event(), threading.Event()
    ran: list[int] = []

    def slow(_connection: Connection) -> None:
        began.set()
        assert leave.wait(10)

    async def scene() -> list[object]:
        first = asyncio.create_task(impatient.writes(slow))
        await asyncio.to_thread(began.wait, 10)
        monkeypatch.setattr(module, "QUEUE_SECONDS", 0.0)
        others = [asyncio.create_task(impatient.writes(lambda _c: ran.append(1))) for _ in "ab"]
        await asyncio.sleep(0)
        leave.set()
        return await asyncio.gather(first, *others, return_exceptions=True)

    answers = asyncio.run(scene())
    assert [type(answer) for answer in answers[1:]] == [DatabaseUnavailableError] * 2
    assert ran == []


def test_an_open_transaction_does_not_hold_up_the_loop(notes: Database) -> None:
    """The verb can end only because the loop goes on while it runs."""
    leave = threading.Event()

    async def scene() -> str:
        loop, entered = asyncio.get_running_loop(), asyncio.Event()

        def verb(connection: Connection) -> str:
            connection.execute(INSERT, {"id": 1, "words": ""})
            loop.call_soon_threadsafe(entered.set)
            assert leave.wait(PATIENCE)
            return "done"

        writing = asyncio.create_task(notes.writes(verb))
        async with asyncio.timeout(PATIENCE):
            await entered.wait()
            count = text("SELECT count(*) FROM note")
            assert await notes.reads(lambda reader: reader.execute(count).scalar_one()) == 0
            assert not writing.done()
            leave.set()
            return await writing

    assert asyncio.run(scene()) == "done"
    assert ids(notes) == [1]


def test_no_verb_runs_on_the_callers_thread(notes: Database) -> None:
    threads = [
        notes.write(lambda _: threading.current_thread()),
        notes.read(lambda _: threading.current_thread()),
    ]
    assert threading.current_thread() not in threads
    assert threads[0] is not threads[1]


def test_closing_lets_what_was_begun_end(sqlite_file: Path) -> None:
    async def scene() -> None:
        with opened(f"sqlite:///{sqlite_file}") as database:
            database.write(lambda connection: connection.execute(CREATE))
            entered = threading.Event()

            def verb(connection: Connection) -> None:
                entered.set()
                connection.execute(INSERT, {"id": 1, "words": ""})

            writing = asyncio.create_task(database.writes(verb))
            await asyncio.sleep(0)
            assert entered.wait(PATIENCE)
        await writing

    asyncio.run(scene())
    with opened(f"sqlite:///{sqlite_file}") as database:
        assert ids(database) == [1]


# -- SQLite


@pytest.mark.parametrize("side", ["write", "read"])
def test_sqlite_keeps_what_it_committed_and_overwrites_what_it_deleted(
    impatient: Database, side: str
) -> None:
    names = ("journal_mode", "synchronous", "foreign_keys", "secure_delete")

    def verb(connection: Connection) -> list[object]:
        return [connection.execute(text(f"PRAGMA {name}")).scalar_one() for name in names]

    ask = impatient.write if side == "write" else impatient.read
    assert ask(verb) == ["wal", 2, 1, 1]


def test_a_read_cannot_write_on_sqlite(impatient: Database) -> None:
    with pytest.raises(DatabaseClosedError, match="readonly"):
        impatient.read(lambda c: c.execute(INSERT, {"id": 1, "words": ""}))
    assert ids(impatient) == []


def test_a_read_cannot_write_on_any_database(database: Database) -> None:
    with pytest.raises((DatabaseClosedError, InternalError), match=r"read.?only"):
        database.read(lambda connection: connection.exec_driver_sql("DELETE FROM halt"))
    database.write(lambda connection: connection.exec_driver_sql("DELETE FROM halt"))


def test_nobody_writes_between_what_a_verb_reads_and_what_it_writes(
    impatient: Database, sqlite_file: Path
) -> None:
    other = sqlite3.connect(sqlite_file, timeout=0, isolation_level=None, check_same_thread=False)

    def verb(connection: Connection) -> None:
        newest = connection.execute(text("SELECT coalesce(max(id), 0) FROM note")).scalar_one()
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("INSERT INTO note VALUES (1, 'another')")
        connection.execute(INSERT, {"id": newest + 1, "words": "mine"})

    impatient.write(verb)
    other.close()
    assert ids(impatient) == [1]


# -- faults


def test_a_locked_database_says_so_and_works_again_after(
    impatient: Database, sqlite_file: Path
) -> None:
    add(impatient, 1)
    other = sqlite3.connect(sqlite_file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(DatabaseUnavailableError, match="locked; nothing was lost, try again"):
        add(impatient, 2)
    assert ids(impatient) == [1]  # readers go on
    other.execute("ROLLBACK")
    other.close()
    add(impatient, 2)
    assert ids(impatient) == [1, 2]


def test_a_full_disk_loses_nothing_and_writing_goes_on_once_there_is_room(
    impatient: Database,
) -> None:
    def room(connection: Connection, pages: int) -> None:
        used = int(connection.execute(text("PRAGMA page_count")).scalar_one())
        connection.execute(text(f"PRAGMA max_page_count = {used + pages}"))

    def verb(connection: Connection) -> None:
        for number in range(100, 200):
            connection.execute(INSERT, {"id": number, "words": "x" * 4000})

    add(impatient, 1)
    impatient.write(lambda connection: room(connection, 3))
    with pytest.raises(DatabaseUnavailableError, match="full"):
        impatient.write(verb)
    assert ids(impatient) == [1]
    impatient.write(lambda connection: room(connection, 1000))
    impatient.write(verb)
    assert ids(impatient) == [1, *range(100, 200)]


def test_neither_reading_nor_writing_makes_a_database_or_touches_what_a_lost_one_left(
    tmp_path: Path,
) -> None:
    left = tmp_path / "lost.sqlite3-wal"
    left.write_bytes(b"what was written last")
    with opened(f"sqlite:///{tmp_path / 'lost.sqlite3'}") as database:
        for ask in (database.read, database.write):
            with pytest.raises(DatabaseClosedError, match="unable to open"):
                ask(lambda connection: None)
    assert [path.name for path in tmp_path.iterdir()] == [left.name]
    assert left.read_bytes() == b"what was written last"


def test_a_file_that_cannot_be_written_says_so(impatient: Database, sqlite_file: Path) -> None:
    add(impatient, 1)
    with opened(f"sqlite:///file:{sqlite_file}?mode=ro&uri=true") as database:
        with pytest.raises(DatabaseClosedError, match="readonly"):
            add(database, 2)
        assert ids(database) == [1]


@pytest.mark.parametrize(
    ("url", "words"),
    [
        pytest.param("sqlite:////nowhere/at/all.sqlite3", "unable to open", id="sqlite"),
        pytest.param(
            "postgresql+psycopg://l3mail@/l3mail?host=/nowhere",
            "connection failed|connection is bad",
            id="postgres",
            marks=pytest.mark.postgres,
        ),
    ],
)
def test_a_database_that_is_not_there_says_so(url: str, words: str) -> None:
    with opened(url) as database:
        for ask in (database.write, database.read):
            with pytest.raises(L3mailError, match=words) as caught:
                ask(lambda connection: connection.execute(text("SELECT 1")).scalar())
            assert "\n" not in str(caught.value)


@pytest.mark.parametrize("database_url", BACKENDS[1:], indirect=True, ids=["postgres"])
def test_a_connection_that_postgresql_ends_in_mid_verb_loses_nothing(notes: Database) -> None:
    end = text("SELECT pg_terminate_backend(:pid)")

    def verb(connection: Connection) -> None:
        connection.execute(INSERT, {"id": 1, "words": ""})
        pid = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
        notes.read(lambda other: other.execute(end, {"pid": pid}))
        connection.execute(INSERT, {"id": 2, "words": ""})

    with pytest.raises(DatabaseUnavailableError):
        notes.write(verb)
    assert ids(notes) == []
    add(notes, 1)
    assert ids(notes) == [1]


@pytest.mark.parametrize("database_url", BACKENDS[1:], indirect=True, ids=["postgres"])
def test_connections_that_a_restart_broke_while_idle_are_replaced_unseen(notes: Database) -> None:
    broken = session(notes)
    with opened(postgres_url()) as outside:
        outside.write(lambda c: c.execute(text("SELECT pg_terminate_backend(:p)"), {"p": broken}))
    add(notes, 1)
    assert ids(notes) == [1]


@pytest.mark.parametrize("database_url", BACKENDS[1:], indirect=True, ids=["postgres"])
def test_two_writes_that_wait_for_each_other_both_get_done(notes: Database) -> None:
    add(notes, 1)
    add(notes, 2)
    meeting = threading.Barrier(2, timeout=PATIENCE)
    runs: list[int] = []
    append = text("UPDATE note SET words = words || :mark WHERE id = :id")

    def verb(first: int, second: int) -> module.Verb[None]:
        def run(connection: Connection) -> None:
            connection.execute(text("SET LOCAL deadlock_timeout = '10ms'"))
            connection.execute(append, {"id": first, "mark": str(first)})
            runs.append(first)
            if len(runs) <= 2:  # each holds what the other wants
                meeting.wait()
            connection.execute(append, {"id": second, "mark": str(first)})

        return run

    one, other = notes._write(verb(1, 2)), notes._write(verb(2, 1))
    one.result(PATIENCE)
    other.result(PATIENCE)
    assert len(runs) == 3
    words = notes.read(lambda c: c.execute(text("SELECT words FROM note")).scalars().all())
    assert [sorted(word) for word in words] == [["1", "2"], ["1", "2"]]


@pytest.mark.parametrize("database_url", BACKENDS[1:], indirect=True, ids=["postgres"])
def test_a_write_that_always_gives_way_says_so(notes: Database) -> None:
    give_way = text("DO $$ BEGIN RAISE EXCEPTION 'after you' USING ERRCODE = '40001'; END $$")
    runs = []

    def verb(connection: Connection) -> None:
        runs.append(1)
        connection.execute(give_way)

    with pytest.raises(DatabaseUnavailableError, match="after you"):
        notes.write(verb)
    assert len(runs) == module.TRIES
