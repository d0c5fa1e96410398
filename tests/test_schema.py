"""The schema on both databases: what it forbids, how it migrates, how it keeps instants."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import (
    CheckConstraint,
    Connection,
    Engine,
    Table,
    create_engine,
    delete,
    event,
    insert,
    inspect,
    literal,
    select,
    text,
)
from sqlalchemy.exc import IntegrityError, StatementError

from l3mail import migrations
from l3mail.database import Database, opened
from l3mail.errors import SchemaError
from l3mail.models import (
    AGING,
    APPROVAL,
    CAMPAIGN,
    CONSENT,
    CONSENT_ACTS,
    COURSE,
    DELIVERY,
    DELIVERY_STATES,
    ENROLLMENT,
    ENROLLMENT_STATES,
    EVENT,
    EVENT_KINDS,
    HALT,
    KINDS,
    LESSON,
    MESSAGE,
    METADATA,
    PURPOSES,
    SOURCE,
    STREAM,
    STREAM_KINDS,
    STRUCTURE,
    SUBSCRIBER,
    SUBSCRIPTION,
    SUBSCRIPTION_STATES,
    SUPPRESSION,
    SUPPRESSION_REASONS,
    TRIGGER,
    VERDICTS,
    WORKSPACE,
    UtcDateTime,
)
from tests.fakes.postgres import drop_database, fresh_database, postgres_url
from tests.fakes.village import BACKENDS, MONDAY_TEN, Village, ground


@pytest.fixture(scope="module", params=BACKENDS)
def database(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Database]:
    with ground(request.param, tmp_path_factory.mktemp("schema")) as database:
        yield database


@pytest.fixture
def village(database: Database) -> Village:
    village = Village(database)
    village.empty()
    return village


@pytest.fixture(params=BACKENDS)
def empty_url(request: pytest.FixtureRequest, tmp_path: Any) -> Iterator[str]:
    """A database without any table."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'empty.sqlite3'}"
        return
    url = fresh_database(postgres_url())
    yield url
    drop_database(url)


@pytest.fixture
def empty(empty_url: str) -> Iterator[Database]:
    with opened(empty_url) as database:
        yield database


# -- the models and the migration say the same


def test_the_migration_makes_what_the_models_say(database: Database) -> None:
    def differences(connection: Connection) -> list[Any]:
        options = {"compare_type": True, "target_metadata": METADATA}
        context = MigrationContext.configure(connection, opts=options)
        return list(compare_metadata(context, METADATA))

    assert database.read(differences) == []


def test_the_migration_makes_every_check_of_the_models(database: Database) -> None:
    """Alembic compares no CHECKs; the table of forbidden rows shows what they do."""
    wanted = {
        (table.name, str(constraint.name))
        for table in METADATA.sorted_tables
        for constraint in table.constraints
        if isinstance(constraint, CheckConstraint)
    }
    inspector = inspect(database.engine)
    found = {
        (table, str(check["name"]))
        for table in inspector.get_table_names()
        for check in inspector.get_check_constraints(table)
    }
    assert found == wanted
    assert len(wanted) >= 15


# -- what no row can say

Row = tuple[Table, dict[str, Any]]


def world(village: Village) -> dict[str, int]:
    """One of everything that rows can point to."""
    stream, person, message = village.stream(), village.person(), village.publish()
    then = {"created_at": village.now}
    course = village.insert(COURSE, slug="kurs", title="Kurs", stream_id=stream, **then)
    structure = village.insert(STRUCTURE, course_id=course, hash="", **then)
    trigger = village.insert(TRIGGER, slug="t", kind="yearly", stream_id=stream)
    names = {"stream_id": stream, "subscriber_id": person, "message_id": message}
    return names | {"course_id": course, "structure_id": structure, "trigger_id": trigger}


NEEDS: dict[Table, tuple[tuple[str, ...], dict[str, Any]]] = {
    # What a row of the table points to, and its other columns.
    DELIVERY: (
        ("subscriber_id", "stream_id"),
        {"purpose": "stream", "kind": "lesson", "occurrence": "o", "slug": "s", "state": "queued"}
        | {"due_at": MONDAY_TEN, "planned_at": MONDAY_TEN},
    ),
    HALT: ((), {"scope": "kind", "halted_at": MONDAY_TEN, "halted_by": "eva"}),
    SUBSCRIPTION: (
        ("subscriber_id", "stream_id"),
        {"state": "confirmed", "created_at": MONDAY_TEN},
    ),
    STREAM: ((), {"slug": "x", "kind": "course", "title": "X", "created_at": MONDAY_TEN}),
    SUPPRESSION: ((), {"address_key": b"k", "reason": "never", "suppressed_at": MONDAY_TEN}),
    EVENT: (("subscriber_id",), {"kind": "opened", "at": MONDAY_TEN, "verdict": "human"}),
    ENROLLMENT: (
        ("subscriber_id", "course_id", "structure_id"),
        {"state": "active", "anchor_on": date(2026, 11, 23), "started_at": MONDAY_TEN},
    ),
    LESSON: (("structure_id",), {"position": 0, "slug": "s", "kind": "lesson"}),
    APPROVAL: (
        ("trigger_id",),
        {"occasion": "o", "due_at": MONDAY_TEN, "requested_at": MONDAY_TEN, "decision": "approved"},
    ),
    CONSENT: (("subscriber_id",), {"act": "confirmed", "digest": b"", "link": b""}),
}
STAFF = {"purpose": "staff", "kind": "report", "subscriber_id": None, "stream_id": None}
LEASED = {"lease_owner": "sender-1", "started_at": MONDAY_TEN}

ALLOWED: list[Row] = [
    *((DELIVERY, {"state": state} | LEASED) for state in DELIVERY_STATES),
    *((DELIVERY, {"kind": kind}) for kind in KINDS),
    *((DELIVERY, {"purpose": purpose}) for purpose in PURPOSES if purpose != "staff"),
    (DELIVERY, STAFF | {"address": "amt@stadt.example"}),
    (DELIVERY, {"purpose": "request", "stream_id": None}),
    *((HALT, {"scope": scope}) for scope in ("everything", "kind", "message")),
    *((SUBSCRIPTION, {"state": state}) for state in SUBSCRIPTION_STATES),
    *((STREAM, {"kind": kind}) for kind in STREAM_KINDS),
    *((SUPPRESSION, {"reason": reason}) for reason in SUPPRESSION_REASONS),
    *((EVENT, {"kind": kind}) for kind in EVENT_KINDS),
    *((EVENT, {"verdict": verdict}) for verdict in (*VERDICTS, None)),
    *((ENROLLMENT, {"state": state}) for state in ENROLLMENT_STATES),
    *((LESSON, {"kind": kind}) for kind in ("lesson", "evaluation")),
    *((APPROVAL, {"decision": way}) for way in ("approved", "rejected", "lapsed", None)),
    *((CONSENT, {"act": act}) for act in (*CONSENT_ACTS, None)),
]
FORBIDDEN: dict[str, Row] = {
    "an unknown purpose": (DELIVERY, {"purpose": "gossip"}),
    "an unknown kind": (DELIVERY, {"kind": "advert"}),
    "an unknown state": (DELIVERY, {"state": "sent"}),
    "a stream mail to nobody": (DELIVERY, {"subscriber_id": None}),
    "a stream mail with an address": (DELIVERY, {"address": "a@x.example"}),
    "a request to an address": (
        DELIVERY,
        {"purpose": "request", "subscriber_id": None, "address": "a@x.example"},
    ),
    "a staff mail without an address": (DELIVERY, STAFF),
    "a staff mail to a subscriber": (
        DELIVERY,
        {"purpose": "staff", "kind": "report", "address": "a@x.example"},
    ),
    "a stream mail of no stream": (DELIVERY, {"stream_id": None}),
    "sending without a sender": (DELIVERY, {"state": "sending", "started_at": MONDAY_TEN}),
    "sending never started": (DELIVERY, {"state": "sending", "lease_owner": "sender-1"}),
    "a halt of something else": (HALT, {"scope": "weather"}),
    "an unknown subscription": (SUBSCRIPTION, {"state": "maybe"}),
    "an unknown stream": (STREAM, {"kind": "radio"}),
    "an unknown suppression": (SUPPRESSION, {"reason": "bored"}),
    "an unknown event": (EVENT, {"kind": "yawned"}),
    "an unknown verdict": (EVENT, {"verdict": "ghost"}),
    "an unknown enrollment": (ENROLLMENT, {"state": "completed"}),
    "an unknown lesson": (LESSON, {"kind": "party"}),
    "an unknown decision": (APPROVAL, {"decision": "maybe"}),
    "an unknown act": (CONSENT, {"act": "nodded"}),
    "a person nobody knows": (SUBSCRIPTION, {"subscriber_id": 10**9}),
}


def put(village: Village, row: Row, names: dict[str, int]) -> None:
    table, values = row
    points, rest = NEEDS[table]
    whole = {name: names[name] for name in points} | rest | values
    village.database.write(lambda connection: connection.execute(insert(table).values(**whole)))


@pytest.mark.parametrize("row", FORBIDDEN.values(), ids=FORBIDDEN.keys())
def test_the_database_refuses_what_no_row_may_say(village: Village, row: Row) -> None:
    names = world(village)
    with pytest.raises(IntegrityError):
        put(village, row, names)
    put(village, (row[0], {}), names)  # the same row without the fault


def test_the_database_takes_every_row_that_may_be(village: Village) -> None:
    for row in ALLOWED:
        village.empty()
        put(village, row, world(village))


def test_there_is_one_workspace(village: Village) -> None:
    (workspace,) = village.rows(WORKSPACE)
    assert (workspace["id"], len(workspace["uuid"]), len(workspace["chain_start"])) == (1, 32, 32)
    with pytest.raises(IntegrityError):
        village.insert(WORKSPACE, **workspace | {"id": 2})


# -- deleting


def test_an_id_is_never_given_twice(village: Village) -> None:
    first = village.delivery(village.learner())
    village.database.write(
        lambda connection: connection.execute(delete(DELIVERY).where(DELIVERY.c.id == first))
    )
    (person,) = village.rows(SUBSCRIBER)
    assert village.delivery(person["id"]) > first


def test_every_numbered_table_counts_on_in_sqlite(tmp_path: Any) -> None:
    """Without AUTOINCREMENT SQLite gives a deleted newest id to the next row."""
    with ground("sqlite", tmp_path) as database:
        rows = database.read(
            lambda c: c.execute(
                text("SELECT name FROM sqlite_master WHERE sql LIKE '%AUTOINCREMENT%'")
            ).all()
        )
    numbered = {
        table.name
        for table in METADATA.sorted_tables
        if len(table.primary_key) == 1 and table not in {AGING, SOURCE, SUPPRESSION, WORKSPACE}
    }
    assert {row[0] for row in rows} == numbered


POINTED: dict[str, Callable[[Village, int], tuple[Table, int]]] = {
    "a person with deliveries": lambda v, d: (SUBSCRIBER, v.row(DELIVERY, d)["subscriber_id"]),
    "a text that was sent": lambda v, d: (MESSAGE, v.row(DELIVERY, d)["message_id"]),
    "a campaign with deliveries": lambda v, d: (CAMPAIGN, v.row(DELIVERY, d)["campaign_id"]),
    "a stream with subscriptions": lambda v, d: (STREAM, v.row(DELIVERY, d)["stream_id"]),
}


@pytest.mark.parametrize("what", POINTED.values(), ids=POINTED.keys())
def test_what_others_point_to_cannot_be_deleted(
    village: Village, what: Callable[[Village, int], tuple[Table, int]]
) -> None:
    text_id, campaign = village.publish(), village.campaign()
    delivery = village.delivery(village.learner(), message_id=text_id, campaign_id=campaign)
    table, row = what(village, delivery)
    with pytest.raises(IntegrityError):
        village.do(lambda c: c.execute(delete(table).where(table.c.id == row)))
    assert village.row(table, row)["id"] == row


def test_no_check_makes_a_list_for_every_row_that_is_written() -> None:
    """SQLite does, for an IN in a CHECK: it cost as much as writing a delivery."""
    checks = [one for table in METADATA.sorted_tables for one in table.constraints]
    spelt = [str(one.sqltext) for one in checks if isinstance(one, CheckConstraint)]
    assert any("state = 'queued'" in one for one in spelt)
    assert not [one for one in spelt if " IN " in one]


# -- migrating


def test_upgrading_twice_changes_nothing(empty: Database) -> None:
    revision = migrations.upgrade(empty, MONDAY_TEN)
    (workspace,) = Village(empty).rows(WORKSPACE)
    assert workspace["created_at"] == MONDAY_TEN
    assert migrations.upgrade(empty, MONDAY_TEN + timedelta(days=1)) == revision
    assert Village(empty).rows(WORKSPACE) == [workspace]
    empty.read(migrations.require_current)


def test_two_workspaces_differ(empty: Database, database: Database) -> None:
    migrations.upgrade(empty, MONDAY_TEN)
    one, other = Village(empty).rows(WORKSPACE)[0], Village(database).rows(WORKSPACE)[0]
    assert one["uuid"] != other["uuid"]
    assert one["chain_start"] != other["chain_start"]


def test_a_database_of_a_newer_program_is_refused_and_left_alone(empty: Database) -> None:
    migrations.upgrade(empty, MONDAY_TEN)
    empty.write(lambda c: c.execute(text("UPDATE alembic_version SET version_num = '9999'")))
    line = "revision 9999, which this program does not know; install the newer l3mail"
    with pytest.raises(SchemaError, match=line):
        migrations.upgrade(empty, MONDAY_TEN)
    with pytest.raises(SchemaError, match=line):
        empty.read(migrations.require_current)
    found = empty.read(lambda c: c.execute(text("SELECT version_num FROM alembic_version")).all())
    assert found == [("9999",)]


@pytest.mark.parametrize("emptied", [False, True], ids=["no tables", "no revision"])
def test_a_database_of_an_older_program_is_refused(empty: Database, emptied: bool) -> None:
    if not emptied and empty.is_sqlite:
        with empty.migrating():
            pass  # a file, and nothing in it
    if emptied:
        migrations.upgrade(empty, MONDAY_TEN)
        empty.write(lambda c: c.execute(text("DELETE FROM alembic_version")))
    with pytest.raises(SchemaError, match="run `l3mail db upgrade`"):
        empty.read(migrations.require_current)


class PulledPlugError(Exception):
    """The migration ends here."""


@pytest.mark.parametrize(
    "last_words", ["CREATE TABLE delivery", "INSERT INTO alembic_version", "INSERT INTO workspace"]
)
def test_a_migration_that_fails_in_mid_way_leaves_nothing_behind(
    empty: Database, last_words: str
) -> None:
    def fail(_connection: Connection, _cursor: Any, statement: str, *_rest: Any) -> None:
        if statement.strip().startswith(last_words):
            raise PulledPlugError(statement)

    event.listen(Engine, "after_cursor_execute", fail)
    with pytest.raises(PulledPlugError):
        migrations.upgrade(empty, MONDAY_TEN)
    event.remove(Engine, "after_cursor_execute", fail)
    assert inspect(empty.engine).get_table_names() == []
    migrations.upgrade(empty, MONDAY_TEN)
    empty.read(migrations.require_current)


KILLED = """
import os, sys
from datetime import UTC, datetime
from sqlalchemy import Engine, Engine, event
from l3mail import migrations
from l3mail.database import Database

@event.listens_for(Engine, "after_cursor_execute")
def die(connection, cursor, statement, *rest):
    if "CREATE TABLE delivery" in statement:
        os.kill(os.getpid(), 9)

migrations.upgrade(Database(sys.argv[1]), datetime(2026, 11, 23, tzinfo=UTC))
"""


@pytest.mark.slow
def test_a_migration_killed_in_mid_way_leaves_nothing_behind(empty_url: str) -> None:
    killed = subprocess.run([sys.executable, "-c", KILLED, empty_url], check=False)
    assert killed.returncode == -9
    with opened(empty_url) as database:
        assert inspect(database.engine).get_table_names() == []
        migrations.upgrade(database, MONDAY_TEN)
        database.read(migrations.require_current)


# -- instants

ZONES = [UTC, ZoneInfo("Europe/Berlin"), ZoneInfo("Asia/Kathmandu"), ZoneInfo("Pacific/Apia")]
INSTANTS = st.datetimes(
    datetime(1970, 1, 2), datetime(2200, 1, 1), timezones=st.sampled_from(ZONES)
) | st.builds(
    lambda moment, minutes: moment.replace(tzinfo=timezone(timedelta(minutes=minutes))),
    st.datetimes(datetime(1970, 1, 2), datetime(2200, 1, 1)),
    st.integers(-14 * 60, 14 * 60),
)


@settings(max_examples=40)
@given(one=INSTANTS, other=INSTANTS)
def test_instants_come_back_in_utc_and_compare_rightly_whatever_zone_was_put_in(
    database: Database, one: datetime, other: datetime
) -> None:
    first, second = (literal(moment, UtcDateTime) for moment in (one, other))
    query = select(first, first < second, first == second)
    found, before, same = database.read(lambda connection: connection.execute(query).one())
    # Python compares instants of two zones wrongly in the repeated hour (PEP 495).
    one, other = one.astimezone(UTC), other.astimezone(UTC)
    assert (found, found.tzinfo) == (one, UTC)
    assert (bool(before), bool(same)) == (one < other, one == other)


def test_a_stored_instant_is_the_same_for_a_session_of_any_zone(village: Village) -> None:
    moment = datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=ZoneInfo("Europe/Berlin"))
    stream = village.insert(STREAM, slug="s", kind="course", title="", created_at=moment)
    assert village.row(STREAM, stream)["created_at"] == datetime(2026, 10, 25, 1, 30, tzinfo=UTC)
    # A session that asked for no zone gets the server's, which here is Kathmandu's.
    plain = create_engine(village.database.engine.url)
    with plain.connect() as connection:
        query = select(STREAM.c.created_at).where(STREAM.c.id == stream)
        assert connection.execute(query).scalar_one().isoformat() == "2026-10-25T01:30:00+00:00"
    plain.dispose()


def test_a_naive_instant_is_refused(village: Village) -> None:
    with pytest.raises(StatementError, match="every stored instant needs a zone"):
        village.insert(STREAM, slug="s", kind="course", title="", created_at=datetime(2026, 1, 1))
    assert village.rows(STREAM) == []
