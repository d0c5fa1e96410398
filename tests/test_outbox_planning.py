"""Planning a whole cohort by one statement, as every planner does it, on both databases."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    Select,
    String,
    cast,
    literal,
    null,
    select,
)

from l3mail import outbox
from l3mail.database import Database, upsert
from l3mail.models import (
    DELIVERY,
    LINK_REQUEST,
    MESSAGE,
    SIGNUP,
    SUBSCRIBER,
    SUBSCRIPTION,
    SUPPRESSION,
    UtcDateTime,
)
from l3mail.outbox import queueing
from l3mail.planning import (
    MEMBER,
    Candidate,
    bindings,
    current_message,
    mailable,
    member,
    objection,
)
from tests.fakes.village import BACKENDS, Village, ground


@pytest.fixture(scope="module", params=BACKENDS)
def database(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Database]:
    with ground(request.param, tmp_path_factory.mktemp("cohorts")) as database:
        yield database


@pytest.fixture
def village(database: Database) -> Village:
    village = Village(database)
    village.empty()
    village.publish()
    return village


Columns = dict[str, ColumnElement[Any]]


def cohort(village: Village, columns: Columns, source: FromClause) -> Select[Any]:
    """The deliveries of all rows of `source` that the predicate lets pass."""
    fixed: Columns = {
        "occurrence": literal("campaign:1"),
        "slug": literal("kurs/01"),
        "state": literal("queued"),
        "due_at": literal(village.now, UtcDateTime),
        "planned_at": literal(village.now, UtcDateTime),
    }
    unknown = {
        name: cast(null(), DELIVERY.c[name].type)
        for name in Candidate.__dataclass_fields__
        if name not in columns
    }
    chosen = mailable(Candidate(**columns, **unknown))
    whole = columns | fixed
    return (
        select(*(column.label(name) for name, column in whole.items()))
        .select_from(source)
        .where(chosen)
    )


def planned(village: Village, columns: Columns, source: FromClause) -> list[int]:
    """Plan the cohort; return whom a mail was planned for."""
    whom = cohort(village, columns, source)

    def verb(connection: Connection) -> list[int]:
        names = [column.name for column in whom.selected_columns]
        statement = upsert(connection, DELIVERY).from_select(names, whom).on_conflict_do_nothing()
        rows = connection.execute(
            statement.returning(DELIVERY.c.subscriber_id), bindings(village.now, (), "de")
        )
        return sorted(row.subscriber_id for row in rows)

    return village.database.write(verb)


STREAM: Columns = {
    "purpose": literal("stream"),
    "kind": literal("newsletter"),
    "subscriber_id": SUBSCRIPTION.c.subscriber_id,
    "stream_id": SUBSCRIPTION.c.stream_id,
    "generation": SUBSCRIPTION.c.generation,
}
SOURCES: dict[str, FromClause] = {
    # The tables a planner selects from are those the predicate asks; each must mean its own.
    "subscriptions": SUBSCRIPTION,
    "with their subscribers": SUBSCRIPTION.join(SUBSCRIBER),
    "with whoever is suppressed": SUBSCRIPTION.join(SUBSCRIBER).outerjoin(
        SUPPRESSION, SUPPRESSION.c.address_key == SUBSCRIBER.c.address_key
    ),
}


def neighbours(village: Village) -> list[int]:
    """The two of six who may be mailed."""
    people = [village.learner(f"p{n}@schule.example") for n in range(5)]
    village.subscribe(village.person("p5@schule.example"), village.stream(), "unsubscribed")
    village.change(SUBSCRIBER, people[1], restricted_at=village.now)
    village.change(SUBSCRIBER, people[2], erased_at=village.now, address=None)
    village.suppress(people[3], "hard_bounce")
    return [people[0], people[4]]


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES.keys())
def test_a_cohort_is_judged_person_by_person(village: Village, source: FromClause) -> None:
    wanted = neighbours(village)
    assert planned(village, STREAM, source) == wanted


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES.keys())
def test_planning_again_adds_nothing_but_the_new(village: Village, source: FromClause) -> None:
    wanted = neighbours(village)
    assert planned(village, STREAM, source) == wanted
    before = village.rows()
    assert planned(village, STREAM, source) == []
    assert village.rows() == before
    late = village.learner("late@schule.example")
    assert planned(village, STREAM, source) == [late]
    assert [one.subscriber_id for one in village.start()] == [*wanted, late]


def test_whoever_joins_its_people_judges_them_as_the_outbox_does(village: Village) -> None:
    """Asked where they stand or looked up by number, the answer is one."""
    wanted = neighbours(village)
    village.subscribe(village.person("p6@schule.example"), village.stream(), "unconfirmed")
    joined = member()
    unknown = {
        "address": cast(null(), String),
        "purpose": cast(literal("stream"), String),
        "kind": cast(literal("newsletter"), String),
    }
    names = Candidate.__dataclass_fields__
    asked = Candidate(**{name: (vars(joined) | unknown)[name] for name in names})
    people = MEMBER.join(SUBSCRIBER, SUBSCRIBER.c.id == MEMBER.c.subscriber_id)
    query = select(SUBSCRIBER.c.id, objection(joined), objection(asked)).select_from(people)
    rows = village.ask(query, **bindings(village.now, (), "de"))
    assert [row[1] for row in rows] == [row[2] for row in rows]
    assert sorted(row[0] for row in rows if row[1] is None) == wanted
    assert len({row[1] for row in rows}) == 6


def test_what_is_queued_is_counted_or_not_written(database: Database, village: Village) -> None:
    """Python's SQLite counts no rows of a statement that begins with WITH, and says less than none.

    PostgreSQL counts them.
    """
    neighbours(village)
    whom = cohort(village, STREAM, SUBSCRIPTION)
    values = bindings(village.now, (), "de")
    due = whom.cte("due")
    within = select(due).where(due.c.subscriber_id > 0)
    if database.is_sqlite:
        with pytest.raises(ValueError, match="may hold no WITH"):
            village.do(queueing.queue, within, values)
        assert village.rows() == []
        assert village.do(queueing.queue, whom, values) == 2
    else:
        assert village.do(queueing.queue, within, values) == 2
    assert village.do(queueing.queue, whom, values) == 0
    assert len(village.rows()) == 2


@pytest.mark.parametrize("table", [SIGNUP, LINK_REQUEST], ids=["sign-ups", "link requests"])
def test_a_cohort_of_requests_is_judged_request_by_request(village: Village, table: Any) -> None:
    make = village.signup if table is SIGNUP else village.link_request
    people = [village.person(f"p{n}@schule.example") for n in range(3)]
    make(people[0])
    make(people[1], expires_at=village.now)
    make(people[2], expires_at=village.now - timedelta(days=1))
    columns: Columns = {
        "purpose": literal("request"),
        "kind": literal("confirmation"),
        "subscriber_id": table.c.subscriber_id,
        "generation": table.c.generation,
        "signup_id" if table is SIGNUP else "link_request_id": table.c.id,
    }
    assert planned(village, columns, table) == people[:1]


def test_a_planned_row_passes_the_gate_and_one_outdated_since_does_not(village: Village) -> None:
    stays, goes = neighbours(village)
    assert planned(village, STREAM, SUBSCRIPTION) == [stays, goes]
    village.suppress(goes, "complaint")
    assert [one.subscriber_id for one in village.start()] == [stays]
    assert village.do(outbox.counts)["cancelled"] == 1


def test_the_text_of_a_cohort_is_chosen_person_by_person(village: Village) -> None:
    """Also where the query itself looks at messages, as a glimpse at the queue does."""
    english = village.publish(locale="en")
    german = village.publish(locale="de")
    for locale in ("en", None, "en-GB", "uk"):
        village.learner(f"{locale}@schule.example", locale=locale)
    nearest = current_message(literal("kurs/01"), SUBSCRIBER.c.locale)
    query = select(nearest).select_from(SUBSCRIBER).order_by(SUBSCRIBER.c.id)
    expected = [(english,), (german,), (english,), (german,)]
    assert village.ask(query, fallback_locale="de") == expected
    beside = query.join(MESSAGE, MESSAGE.c.locale == "de")
    assert village.ask(beside, fallback_locale="de") == expected
