"""A PostgreSQL database as one CSV file a table: copied in a snapshot, put back in a transaction.

By COPY and the house's own migrations: no program beside l3mail is needed, and no version has to
match. Each file has a head line and opens in any spreadsheet. NULL is an empty field, an empty
text is quoted.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, MetaData, text

from l3mail import migrations
from l3mail.backups.archives import Tell
from l3mail.errors import BackupError

NUMBERS = "numbers.json"
"""How far each table has counted: numbers are never given twice."""
VERSION = "alembic_version"
_CHUNK = 1 << 16

_TABLES = text(
    "SELECT table_name FROM information_schema.tables"
    " WHERE table_schema = current_schema() AND table_type = 'BASE TABLE' ORDER BY table_name"
)
_COLUMNS = text(
    "SELECT column_name FROM information_schema.columns"
    " WHERE table_schema = current_schema() AND table_name = :name ORDER BY ordinal_position"
)
_NUMBERED = text(
    "SELECT c.table_name, c.column_name,"
    " pg_sequence_last_value(pg_get_serial_sequence(c.table_name, c.column_name)::regclass)"
    " FROM information_schema.columns c WHERE c.table_schema = current_schema()"
    " AND pg_get_serial_sequence(c.table_name, c.column_name) IS NOT NULL"
)
_OTHERS = text(
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
    " AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
)


def dump(connection: Connection, folder: Path, tell: Tell) -> list[str]:
    """Write every table into a folder; return the names of the files."""
    names = present(connection)
    for done, name in enumerate(names):
        tell("copying", done / len(names))
        with (folder / f"{name}.csv").open("wb") as file:
            for chunk in _copied(connection, name):
                file.write(chunk)
    numbers = [list(row) for row in connection.execute(_NUMBERED)]
    (folder / NUMBERS).write_text(json.dumps(numbers), encoding="ascii")
    return [*(f"{name}.csv" for name in names), NUMBERS]


def count(folder: Path) -> dict[str, int]:
    """How many rows each table's file has."""
    return {path.stem: _rows(path) for path in folder.glob("*.csv")}


def _rows(path: Path) -> int:
    rows, quoted = -1, False  # the first line is the head
    with path.open("rb") as file:
        for line in file:
            # A quote in a text is doubled, so only an odd number says that the text goes on.
            quoted ^= line.count(b'"') % 2 == 1
            rows += not quoted
    return rows


def present(connection: Connection) -> list[str]:
    """The tables there are."""
    return list(connection.execute(_TABLES).scalars())


def others(connection: Connection) -> int:
    """How many other sessions have this database open."""
    return int(connection.execute(_OTHERS).scalar_one())


def _copied(connection: Connection, name: str) -> Iterator[bytes]:
    with (
        _cursor(connection) as cursor,
        cursor.copy(
            f"COPY {_listed(connection, name)} TO STDOUT WITH (FORMAT csv, HEADER)"
        ) as rows,
    ):
        for chunk in rows:
            yield bytes(chunk)


def _cursor(connection: Connection) -> Any:
    driver: Any = connection.connection.driver_connection
    return driver.cursor()


def _listed(connection: Connection, name: str) -> str:
    columns = connection.execute(_COLUMNS, {"name": name}).scalars()
    return f'"{name}" ({", ".join(_quoted(column) for column in columns)})'


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def set_aside(connection: Connection, schema: str) -> None:
    """Move all tables, with their numbers and indexes, into a schema of their own."""
    tables = present(connection)
    connection.execute(text(f"CREATE SCHEMA {_quoted(schema)}"))
    for name in tables:
        connection.execute(text(f"ALTER TABLE {_quoted(name)} SET SCHEMA {_quoted(schema)}"))


def load(connection: Connection, folder: Path, revision: str, tell: Tell) -> None:
    """Make the tables as they were at a revision and fill them; nothing may be there before."""
    migrations.build(connection, revision)
    made = MetaData()
    made.reflect(connection)
    tables = [table.name for table in made.sorted_tables if table.name != VERSION]
    dumped = {path.stem for path in folder.glob("*.csv")} - {VERSION}
    if dumped != set(tables):
        raise BackupError(
            f"the backup's tables are not those of revision {revision}"
            f" ({', '.join(sorted(dumped ^ set(tables)))}); take another one"
        )
    for done, name in enumerate(tables):
        tell("filling", done / len(tables))
        with (folder / f"{name}.csv").open("rb") as file:
            _fill(connection, name, file)
    for name, column, last in json.loads((folder / NUMBERS).read_text(encoding="ascii")):
        if last is not None:
            connection.execute(
                text("SELECT setval(pg_get_serial_sequence(:name, :column)::regclass, :last)"),
                {"name": name, "column": column, "last": last},
            )


def _fill(connection: Connection, name: str, file: Any) -> None:
    head = file.readline().decode("utf-8").strip()
    columns = ", ".join(_quoted(column) for column in head.split(","))
    with (
        _cursor(connection) as cursor,
        cursor.copy(f"COPY {_quoted(name)} ({columns}) FROM STDIN WITH (FORMAT csv)") as rows,
    ):
        while chunk := file.read(_CHUNK):
            rows.write(chunk)
