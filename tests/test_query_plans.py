"""What is asked at every tick walks through no large table, by the databases' own account."""

import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from datetime import time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from bench import multitude as multitudes
from sqlalchemy import Connection, event, func, select

from l3mail import alarms, courses, events, newsletters, outbox, rounds, triggers
from l3mail.alarms import Asking, Duty
from l3mail.events import Visit
from l3mail.models import CAMPAIGN, DELIVERY, SUBSCRIBER, TRIGGER
from l3mail.outbox import Claim, Gate
from l3mail.planning import Cap, Restraint
from l3mail.reports import Mondays, placeholder
from l3mail.rounds import Agenda, Round
from l3mail.subscribers import Rules
from l3mail.triggers import Terms
from tests.fakes.parish import ASKING, berlin, declare, happen, terms
from tests.fakes.village import BACKENDS, PEPPER, POLICY, Village
from tests.test_triggers import everything_happens

BERLIN = ZoneInfo("Europe/Berlin")
CAPPED = Restraint(cap=Cap(3, 7, timedelta(days=7)))
# Tables that grow with people or mails; the rest stays small.
LARGE = ("delivery", "enrollment", "subscriber", "subscription", "event", "suppression")
# Of those, indexes that hold only what is under way or wants somebody: they may be walked.
SHORT = (
    "delivery_queued",
    "delivery_deferred",
    "delivery_leased",
    "delivery_uncertain",
    "delivery_held",
    "enrollment_paused",
    "event_raw",
)


def _triggers(moment: str) -> Callable[[Connection, Village], object]:
    return lambda c, _: triggers.plan(c, Terms(berlin(moment), BERLIN, ASKING.question, "de"))


def _watched() -> Agenda:
    """All that a house plans whose staff is told how it fares."""
    office = "it@amt.example"
    duty = Duty((office,), "Amt", BERLIN, "de")
    asking = Asking((office,), lambda *_: "", lambda _: {})
    mondays = Mondays(frozenset({office}), time(8), BERLIN, placeholder("de"))
    planners = (alarms.planner(duty), alarms.asker(duty, asking), mondays.planner())
    return Agenda(Rules(PEPPER, BERLIN, "de"), ASKING.question, planners=planners)


def _nothing_due(connection: Connection, village: Village) -> None:
    while rounds.due(connection, village.now, _watched()) != Round():
        pass


TICK: dict[str, Callable[[Connection, Village], object]] = {
    "claim": lambda c, v: outbox.claim(c, "me", v.now, lane=1, after=0, limit=500),
    "claim_retries": lambda c, v: outbox.claim_retries(c, "me", v.now, limit=500),
    "begin": lambda c, v: outbox.begin(c, [Claim(1, 1)], Gate("me", v.now, v.staff, "de")),
    "begin, capped": lambda c, v: outbox.begin(
        c, [Claim(1, 1)], Gate("me", v.now, v.staff, "de", restraint=CAPPED)
    ),
    "spare": lambda c, v: outbox.spare(
        c, [Claim(1, 1)], Gate("me", v.now, v.staff, "de", restraint=CAPPED)
    ),
    "go on": lambda c, v: outbox.go_on(c, v.now, 500),
    "reconsider": lambda c, v: outbox.reconsider(c, CAPPED, v.now),
    "settle": lambda c, v: outbox.settle(c, v.now),
    "settle visits": lambda c, v: events.settle(c, v.now, 500),
    "when to settle visits": lambda c, v: events.next_settlement(c, v.now),
    "record visits": lambda c, v: events.record_visits(
        c, [Visit("opened", v.now, 1, delivery_id=1)], mode="consent", zone=BERLIN
    ),
    "renew": lambda c, v: outbox.renew(c, "me", v.now),
    "take_over, alone": lambda c, v: outbox.take_over(c, "me", v.now, POLICY, alone=True),
    "take_over": lambda c, v: outbox.take_over(c, "me", v.now, POLICY, alone=False),
    "release": lambda c, v: outbox.release(c, "me"),
    "give_back": lambda c, v: outbox.give_back(c, "me", [Claim(1, 1)]),
    "plan": lambda c, v: courses.plan(c, v.now, BERLIN),
    "campaigns": lambda c, v: newsletters.plan(
        c, v.now, question=ASKING.question, fallback_locale="de"
    ),
    "triggers": _triggers("2026-11-23 12:00"),
    "triggers, some due": _triggers("2026-11-24 12:00"),
    "triggers, a day later": _triggers("2026-11-25 12:00"),
    "wake": lambda c, v: courses.wake(c, v.now, BERLIN, 500),
    "advance": lambda c, v: courses.advance(c, v.now, BERLIN),
    "a whole round": lambda c, v: rounds.due(c, v.now, _watched()),
    "a round of nothing": _nothing_due,
    "a stretch": lambda c, v: rounds.Stretch.whole(v.clock, _watched())(c),
    "late": lambda c, v: outbox.is_late(c, v.now),
}


@pytest.mark.parametrize("ask", TICK.values(), ids=TICK)
def test_a_tick_scans_no_large_table(
    sqlite_village: Village, ask: Callable[[Connection, Village], object]
) -> None:
    village = sqlite_village
    village.publish()
    stream = village.stream()
    outline = courses.Outline(
        "kurs", "Kurs", {"weekday": "mon", "at": "10:00"}, [("kurs/01", "lesson")]
    )
    person = village.learner()
    village.database.write(lambda c: courses.define(c, outline, stream, village.now))
    village.database.write(lambda c: courses.enroll(c, "kurs", person, village.now, BERLIN))
    delivery = village.delivery(person)
    visit = {"kind": "opened", "at": village.now - timedelta(hours=1), "verdict": "raw"}
    village.do(events.append, [visit | {"delivery_id": delivery, "message_id": 1}])
    village.subscribe(person, village.stream("newsletter", "newsletter"))
    cancelled = village.campaign()
    village.change(CAMPAIGN, cancelled, cancelled_at=village.now)
    village.delivery(person, "newsletter", campaign_id=cancelled)
    village.campaign("newsletter/2027-01")
    _put_triggers_in_force(village, person)
    steps = plan_of(village, lambda connection: ask(connection, village))
    assert steps
    assert not walks(steps), steps


@pytest.fixture(scope="module", params=BACKENDS)
def multitude(request: pytest.FixtureRequest) -> Iterator[Village]:
    """Some thousand people, so that no plan is made for an empty table."""
    with multitudes.multitude(request.param, 4_000) as one:
        yield Village(one.database, one.clock)


# What is due for everybody may be found by looking at everybody.
IDLE = {name: ask for name, ask in TICK.items() if not name.startswith("triggers")}


@pytest.mark.parametrize("ask", IDLE.values(), ids=IDLE)
def test_a_tick_walks_through_no_multitude(
    multitude: Village, ask: Callable[[Connection, Village], object]
) -> None:
    steps = plan_of(multitude, lambda connection: ask(connection, multitude))
    assert steps
    assert not walks(steps), steps


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_idle_tick_asks_little_and_writes_nothing(backend: str) -> None:
    """A statement takes some ten times as long to be sent and read as to be answered."""
    asked: list[str] = []

    def note(_c: object, _cur: object, sql: str, *_rest: Any) -> None:
        asked.append(" ".join(sql.split()))

    with multitudes.multitude(backend, 1_000) as one:

        def verb(connection: Connection) -> Round:
            event.listen(connection, "before_cursor_execute", note)
            return rounds.Stretch.whole(one.clock, one.agenda)(connection)

        assert one.database.write(verb) == Round()
    assert len(asked) <= 12, asked
    assert all(sql.startswith("SELECT") for sql in asked), asked
    # On PostgreSQL a row that is locked is written.
    assert not any("FOR UPDATE" in sql for sql in asked), asked


def test_what_begins_is_found_by_its_number(multitude: Village) -> None:
    """A sender leases hundreds and begins a few at a time, while a newsletter to all is queued."""
    steps = plan_of(multitude, lambda connection: TICK["begin"](connection, multitude))
    assert any("PRIMARY KEY" in step or "delivery_pkey" in step for step in steps)
    assert not any("delivery_queued" in step or "delivery_leased" in step for step in steps)


def test_a_walk_is_seen(multitude: Village) -> None:
    """A table, or an index from end to end, is no search."""
    for query in (
        select(DELIVERY.c.id).where(DELIVERY.c.reply_text == "x"),
        select(func.count(SUBSCRIBER.c.birth_month)),
    ):
        assert walks(plan_of(multitude, lambda c, query=query: c.execute(query).all()))  # type: ignore[misc]


def test_without_its_index_a_statement_walks(multitude: Village) -> None:
    def verb(connection: Connection) -> list[str]:
        connection.exec_driver_sql("DROP INDEX delivery_deferred")
        steps = explained(connection, lambda c: TICK["claim_retries"](c, multitude))
        connection.rollback()
        return steps

    assert walks(multitude.database.write(verb))


def test_visits_are_settled_by_the_index_of_raw_ones(sqlite_village: Village) -> None:
    now = sqlite_village.now
    for ask in (lambda c: events.settle(c, now, 500), lambda c: events.next_settlement(c, now)):
        (step,) = plan_of(sqlite_village, ask)
        assert "INDEX event_raw" in step


FACTS = {
    "birthday": "subscriber USING INDEX subscriber_birthday",
    "anniversary": "subscription_in_audience USING INDEX subscription_confirmed_at",
    "joined": "subscription_joined USING INDEX subscription_confirmed_at",
    "interested": "event_of_trigger USING INDEX event_name",
    "answered": "event_of_trigger USING INDEX event_name",
    "clicked": "event_of_trigger USING INDEX event_kind",
    "finished": "enrollment_of_trigger USING INDEX enrollment_finished",
}


@pytest.mark.parametrize(("kind", "begins"), FACTS.items(), ids=FACTS)
def test_a_mailing_is_found_from_its_facts_and_not_from_its_stream(
    sqlite_village: Village, kind: str, begins: str
) -> None:
    """All who are in the stream would be looked at every few seconds, for next to nobody."""
    everything_happens(sqlite_village, kind)
    steps = plan_of(sqlite_village, lambda c: triggers.plan(c, terms(sqlite_village)))
    people = [step for step in steps if "subscription_in_audience" in step]
    assert any(begins in step for step in steps), steps
    assert all("subscription_confirmed (" not in step for step in people), steps


def _put_triggers_in_force(village: Village, person: int) -> None:
    """One of each kind that the calendar or a fact decides; the yearly one is planned already."""
    village.subscribe(person, village.stream("lifecycle", "lifecycle"))
    for kind, rule in {
        "birthday": {},
        "anniversary": {},
        "joined": {"after": "1d"},
        "interested": {"of": "video", "at": "10:00"},
        "answered": {"of": "q1"},
        "clicked": {"of": "video"},
        "finished": {"of": "kurs"},
    }.items():
        declare(village, f"lifecycle/{kind}", trigger=kind, **rule)
    for kind in ("interested", "answered"):
        happen(village, person, kind, name="video")
    declare(village, "lifecycle/tag", trigger="yearly", on="11-24")
    (tag,) = [one for one in village.do(triggers.listing) if one.slug == "lifecycle/tag"]
    village.change(TRIGGER, tag.id, planned_until=berlin("2026-11-24 09:00"))


_ASKED = itertools.count()


def walks(steps: Sequence[str]) -> list[str]:
    """The steps that go through a large table, or through an index of it, from end to end."""
    return [step for step in steps if _walked(step) in LARGE and not _is_short(step)]


def _walked(step: str) -> str | None:
    """The table a step walks through; PostgreSQL's steps are told with their conditions."""
    if step.startswith("SCAN"):
        return step.split()[1]
    found = re.search(r"(?:Seq|Index|Index Only) Scan\b.*? on (\w+)", step)
    return found[1] if found and "Index Cond" not in step else None


def _is_short(step: str) -> bool:
    return any(re.search(rf"\b{name}\b", step) for name in SHORT)


def plan_of(village: Village, ask: Callable[[Connection], object]) -> list[str]:
    """What the database does for every statement of a verb, a line for each table."""
    return village.database.write(lambda connection: explained(connection, ask))


def explained(connection: Connection, ask: Callable[[Connection], object]) -> list[str]:
    asked: list[tuple[str, Any]] = []

    def note(_connection: object, _cursor: object, statement: str, values: Any, *_: object) -> None:
        asked.append((statement, values))

    event.listen(connection, "before_cursor_execute", note)
    ask(connection)
    event.remove(connection, "before_cursor_execute", note)
    steps: list[str] = []
    for statement, values in asked:
        if connection.dialect.name == "sqlite":
            # Each in words of its own: one that was prepared before a change of the schema tells
            # what was so before.
            query = f"EXPLAIN QUERY PLAN {statement} -- {next(_ASKED)}"
            rows = connection.exec_driver_sql(query, values)
            steps += [str(row[3]) for row in rows]
            continue
        for (line,) in connection.exec_driver_sql(f"EXPLAIN {statement}", values):
            if "Scan" in line:
                steps.append(line.strip(" ->"))
            elif "Index Cond" in line:
                steps[-1] += f"; {line.strip()}"
    return steps
