"""Fixtures every test may ask for; `database` runs a test on SQLite and on PostgreSQL."""

import logging
import shutil
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from hypothesis import settings

from l3mail import migrations
from l3mail.database import Database, opened
from tests.fakes.postgres import drop_database, fresh_database, postgres_url
from tests.fakes.village import MONDAY_TEN, Village

# A busy machine is no fault of the code under test.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@pytest.fixture(autouse=True)
def logs_of_its_own() -> Iterator[None]:
    """What a command that ran in this process made of the logs does not outlive its test."""
    ours = logging.getLogger("l3mail")
    level, handlers = ours.level, ours.handlers[:]
    yield
    ours.setLevel(level)
    ours.handlers[:] = handlers


@cache
def _prepared_postgres() -> str:
    """A database with the schema in it, copied for each test: faster than migrating each."""
    server = postgres_url()
    prepared = fresh_database(server)
    with opened(prepared) as database:
        migrations.upgrade(database, MONDAY_TEN)
    return prepared


@pytest.fixture(scope="session")
def prepared_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with the schema in it, copied for each test: faster than migrating each."""
    path = tmp_path_factory.mktemp("prepared") / "l3mail.sqlite3"
    with opened(f"sqlite:///{path}") as database:
        migrations.upgrade(database, MONDAY_TEN)
    return path


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def database_url(
    request: pytest.FixtureRequest, tmp_path: Path, prepared_sqlite: Path
) -> Iterator[str]:
    """An empty database at the current schema."""
    if request.param == "sqlite":
        yield f"sqlite:///{shutil.copy(prepared_sqlite, tmp_path)}"
        return
    prepared = _prepared_postgres()
    url = fresh_database(postgres_url(), template=prepared.rpartition("/")[2].partition("?")[0])
    yield url
    drop_database(url)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    with opened(database_url) as database:
        yield database


@pytest.fixture
def village(database: Database) -> Village:
    return Village(database)


@pytest.fixture
def sqlite_village(tmp_path: Path, prepared_sqlite: Path) -> Iterator[Village]:
    """A village on SQLite alone, for tests whose subject is not the database."""
    with opened(f"sqlite:///{shutil.copy(prepared_sqlite, tmp_path)}") as database:
        yield Village(database)
