"""What `docs/sizing.md` says of partitions is true: its DDL runs, and keeps what it promises."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import Column, Connection, MetaData, String, Table, insert, select, text, update
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import DBAPIError

from l3mail import consents, events, newsletters, outbox
from l3mail.database import Database
from l3mail.models import CAMPAIGN, CAMPAIGN_MESSAGE, DELIVERY, EVENT, Id
from l3mail.outbox import Outcome
from l3mail.planning import LANE_OF_BULK, bindings, campaign_due, mailing
from l3mail.segments import Question
from tests.fakes.village import Village, ground

pytestmark = pytest.mark.postgres

FIRST_WINDOW = 10_000_000_000
PLANNED = Table(
    "planned",
    MetaData(),
    Column("subscriber_id", Id),
    Column("occurrence", String),
)


def paper() -> str:
    return (Path(__file__).resolve().parent.parent / "docs" / "sizing.md").read_text("utf-8")


def ddl(heading: str) -> list[str]:
    """The statements of the block that begins with this comment."""
    blocks = re.findall(r"```sql\n-- ([^\n]*)\n(.*?)```", paper(), re.DOTALL)
    [found] = [body for about, body in blocks if about.startswith(heading)]
    bare = re.sub(r"^--.*$", "", found, flags=re.MULTILINE)
    return [statement for part in bare.split(";\n") if (statement := part.strip())]


def carry_out(database: Database, *statements: str) -> None:
    """Each alone: what detaches a partition wants no transaction."""
    with database.engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        for statement in statements:
            connection.execute(text(statement))


@pytest.fixture
def village(tmp_path: Path) -> Iterator[Village]:
    """A house of three readers with a mail each from before, partitioned as the paper says."""
    with ground("postgres", tmp_path) as database:
        village = Village(database)
        village.publish("newsletter/2026-12")
        newsletter = village.stream("newsletter", "newsletter")
        for n in range(3):
            person = village.person(f"p{n}@schule.example", tracking=True)
            village.subscribe(person, newsletter)
            village.delivery(person, "newsletter", state="accepted", occurrence=f"test:{n}")
        village.report(occurrence="report:2026-W47", state="accepted")
        village.insert(EVENT, kind="answered", at=village.now, delivery_id=1, data={})
        carry_out(database, *re.findall(r"`(ALTER TABLE delivery SET [^`]+)`", paper()))
        for block in ("delivery:", "the key:", "event:", "when a month begins:"):
            carry_out(database, *ddl(block))
        yield village


def schedule(village: Village) -> int:
    """A campaign that is due, with its part of the key."""
    number = village.campaign()
    values = {"campaign_id": number, "locale": "de", "message_id": 1}
    village.database.write(lambda c: c.execute(insert(CAMPAIGN_MESSAGE).values(values)))
    carry_out(
        village.database,
        f"CREATE TABLE planned_campaign_{number} PARTITION OF planned_campaign"
        f" FOR VALUES IN ('campaign:{number}')",
    )
    return number


def planning(connection: Connection, village: Village, campaign: int) -> list[int]:
    """The paper's planning statement around the SELECT that planning really uses."""
    due = campaign_due(("de",), "de").cte("due")
    key = (due.c.subscriber_id, due.c.occurrence)
    new = (
        postgresql.insert(PLANNED)
        .from_select(["subscriber_id", "occurrence"], select(*key))
        .on_conflict_do_nothing()
        .returning(PLANNED.c.subscriber_id, PLANNED.c.occurrence)
        .cte("new")
    )
    matching = (new.c.subscriber_id == key[0]) & (new.c.occurrence == key[1])
    rows = select(*due.c).select_from(due.join(new, matching))
    adding = insert(DELIVERY).from_select(due.c.keys(), rows, include_defaults=False)
    stream = village.stream("newsletter", "newsletter")
    values = bindings(village.now, (), "de") | {"after": 0, "until": 100}
    values |= mailing(campaign, stream, "newsletter/2026-12", village.now, [1])
    return sorted(connection.execute(adding.returning(DELIVERY.c.id), values).scalars())


def plan(village: Village, campaign: int) -> list[int]:
    return village.do(planning, village, campaign)


def unasked(*_: object) -> Question:
    raise AssertionError("this campaign has no segment")


def forget_rows(village: Village) -> None:
    """Let planning see nobody's row: what is left to keep the promise is the key."""
    carry_out(village.database, "DELETE FROM delivery WHERE campaign_id IS NOT NULL")


def test_planned_once_is_planned_once_whatever_became_of_the_rows(village: Village) -> None:
    campaign = schedule(village)

    assert len(plan(village, campaign)) == 3
    assert plan(village, campaign) == []
    forget_rows(village)
    assert plan(village, campaign) == []


def test_a_second_planner_waits_for_the_first_and_finds_nothing_left(village: Village) -> None:
    campaign = schedule(village)
    waiting = text(
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )

    with ThreadPoolExecutor(1) as other:
        with village.database.engine.begin() as first:
            assert len(planning(first, village, campaign)) == 3
            second = other.submit(plan, village, campaign)
            while not (second.done() or village.ask(waiting)[0].count):  # type: ignore[arg-type]
                pass
        assert second.result() == []


def test_a_campaign_whose_key_is_gone_fails_and_mails_nobody(village: Village) -> None:
    campaign = schedule(village)
    plan(village, campaign)
    carry_out(village.database, f"DROP TABLE planned_campaign_{campaign}")
    forget_rows(village)

    with pytest.raises(DBAPIError, match="no partition of relation"):
        plan(village, campaign)


def test_todays_planning_is_refused_and_todays_letters_to_staff_lose_their_key(
    village: Village,
) -> None:
    schedule(village)

    with pytest.raises(DBAPIError, match="no unique or exclusion constraint matching"):
        village.do(newsletters.plan, village.now, question=unasked, fallback_locale="de")
    village.report(occurrence="report:2026-W47")
    assert len([row for row in village.rows() if row["occurrence"] == "report:2026-W47"]) == 2


def test_senders_work_on_partitions_as_they_are(village: Village) -> None:
    rows = plan(village, schedule(village))
    assert min(rows) > FIRST_WINDOW, "in the window of their month"
    assert outbox.last_number(village.database.engine.connect()) == max(rows)

    first, second, third = village.start(lane=LANE_OF_BULK)
    village.record(first, Outcome.ACCEPTED, code=250)
    village.record(second, Outcome.DEFERRED, code=450)
    assert village.take_over() == 1

    assert [village.state(row) for row in rows] == ["accepted", "deferred", "uncertain"]
    assert third.id == rows[2]


def test_a_month_goes_with_its_mails_and_visits_and_leaves_the_rest(village: Village) -> None:
    rows = plan(village, schedule(village))
    village.database.write(
        lambda c: c.execute(update(DELIVERY).where(DELIVERY.c.id > 4).values(state="accepted"))
    )
    person = village.rows()[0]["subscriber_id"]
    village.do(consents.note, "attested", person, {"streams": ["newsletter"]}, village.now)
    january = village.now.replace(year=2027, month=1)
    fact = {"kind": "opened", "subscriber_id": person, "delivery_id": rows[0], "verdict": "human"}
    village.do(events.append, [fact | {"at": january}, fact | {"at": village.now}])

    carry_out(village.database, *ddl("when a month may go:"))

    assert [row["id"] for row in village.rows()] == [1, 2, 3, 4]
    left = sorted((row["kind"], row["at"]) for row in village.rows(EVENT))
    assert left == [("answered", village.now), ("opened", village.now)]
    assert village.do(consents.verify).broken_at is None
    assert village.ask(select(CAMPAIGN.c.id)), "who planned it is known"


@pytest.mark.parametrize("table", [DELIVERY, EVENT], ids=["delivery", "event"])
def test_every_index_of_today_is_on_the_paper(village: Village, table: Table) -> None:
    question = text(
        "SELECT pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid = CAST(:table AS regclass)"
    )
    found = village.database.read(lambda c: list(c.execute(question, {"table": table.name})))
    there = {re.sub(r"^.* USING btree |::text|[()]", "", shape) for (shape,) in found}

    for index in table.indexes:
        condition = index.dialect_options["postgresql"]["where"]
        columns = ", ".join(column.name for column in index.columns)
        assert (columns if condition is None else f"{columns} WHERE {condition}") in there
