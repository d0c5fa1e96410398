"""What is too old goes and is counted, and nothing goes out again because it was forgotten."""

from collections.abc import Callable, Iterator
from datetime import date, datetime, time, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import event, select

from l3mail import retention, rounds, triggers
from l3mail.database import Database
from l3mail.models import (
    AGED_DELIVERY,
    AGED_EVENT,
    CAMPAIGN,
    DELIVERY,
    ENROLLMENT,
    EVENT,
    LINK_REQUEST,
    TRIGGER,
)
from l3mail.outbox import Outcome
from l3mail.retention import Terms
from l3mail.rounds import Agenda
from tests.fakes.newcomer import RULES, Newcomer, settle
from tests.fakes.parish import (
    ASKING,
    BERLIN,
    agree_to_tracking,
    berlin,
    click,
    declare,
    finish,
    friend,
    happen,
    terms,
)
from tests.fakes.village import BACKENDS, MONDAY_TEN, Village, ground
from tests.test_triggers import EVERY_KIND, everything_happens

SHORT = Terms(BERLIN, events_months=1, deliveries_months=2)
LATER = berlin("2027-08-20 09:00")


@pytest.fixture(scope="module", params=BACKENDS)
def place(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Database]:
    with ground(request.param, tmp_path_factory.mktemp("retention")) as database:
        yield database


@pytest.fixture
def village(place: Database) -> Village:
    village = Village(place)
    village.empty()
    return village


def walk(village: Village, at: datetime = LATER, limit: int = 100) -> int:
    """A whole day's walk; how many rows went."""
    village.clock.set(at)
    gone = 0
    for _ in range(100):
        step = village.do(retention.age_out, at, SHORT, limit)
        gone += step.gone
        if not step.more:
            return gone
    raise AssertionError("the walk comes to no end")


def old(village: Village, person: int, kind: str = "lesson", **values: Any) -> int:
    """A mail of the village's own time, taken by the relay."""
    ended = {"state": "accepted", "started_at": village.now, "ended_at": village.now}
    return village.delivery(person, kind, **ended | values)


# -- what goes, and what it leaves


def test_what_is_too_old_goes_and_is_counted_by_its_local_day(village: Village) -> None:
    person = village.learner()
    mail = old(village, person, tracked=True)
    for kind in ("opened", "clicked"):
        happen(village, person, kind, delivery_id=mail, verdict="human")
    happen(village, person, "interested", name="video")
    young = old(village, person, due_at=LATER, ended_at=LATER, started_at=LATER)
    assert walk(village) == 3
    assert [row["id"] for row in village.rows(DELIVERY)] == [young]
    counted = [(row["day"], row["slug"], row["n"]) for row in village.rows(AGED_DELIVERY)]
    assert counted == [(date(2026, 11, 23), "kurs/01", 1)]
    told = {(row["kind"], row["slug"], row["name"], row["n"]) for row in village.rows(AGED_EVENT)}
    assert told == {("opened", "kurs/01", "", 1), ("clicked", "kurs/01", "", 1)}
    (kept,) = village.rows(EVENT)
    assert kept["kind"] == "interested"


def test_a_days_walk_is_done_once_and_in_pieces(village: Village) -> None:
    person = village.person()
    for _ in range(7):
        old(village, person)
    old(village, person, due_at=LATER, ended_at=LATER, started_at=LATER)
    steps = [village.do(retention.age_out, LATER, SHORT, 3) for _ in range(5)]
    assert [step.gone for step in steps] == [3, 3, 1, 0, 0]
    assert [step.more for step in steps] == [True] * 3 + [False] * 2
    old(village, person)
    assert walk(village) == 0
    assert walk(village, LATER + timedelta(days=1)) == 1
    assert sum(row["n"] for row in village.rows(AGED_DELIVERY)) == 8


STAYS: dict[str, Callable[[Village, int], Any]] = {
    "a lesson of a course under way": lambda v, p: old(v, p, enrollment_id=_journey(v, p)),
    "a mail in doubt": lambda v, p: old(v, p, state="uncertain", uncertain_at=v.now),
    "a mail that waits": lambda v, p: v.delivery(p, state="held", reason="approval"),
    "an issue still planned": lambda v, p: old(v, p, "newsletter", campaign_id=v.campaign()),
    "a mail that ended late": lambda v, p: old(v, p, ended_at=LATER),
}
"""What stays as it is."""
EMPTIED: dict[str, Callable[[Village, int], Any]] = {
    "once ever": lambda v, p: old(v, p, "lifecycle", occurrence="trigger:a:ever"),
    "once for a fact": lambda v, p: old(v, p, "lifecycle", occurrence="trigger:a:7"),
    "this year's": lambda v, p: old(v, p, "lifecycle", occurrence="yearly:a:2027"),
    "last year's": lambda v, p: old(v, p, "lifecycle", occurrence="yearly:a:2026"),
}
"""What stays without its words."""
GOES: dict[str, Callable[[Village, int], Any]] = {
    "a yearly mail of long ago": lambda v, p: old(v, p, "lifecycle", occurrence="yearly:a:2025"),
    "an issue that was planned": lambda v, p: old(v, p, "newsletter", campaign_id=_planned(v)),
    "a lesson of a course that ended": lambda v, p: old(
        v, p, enrollment_id=_journey(v, p, state="cancelled", ended_at=v.now)
    ),
    "once ever, of somebody erased": lambda v, _: old(
        v, v.person("b@x.example", erased_at=v.now), "lifecycle", occurrence="trigger:a:ever"
    ),
    "a report to the staff": lambda v, _: v.report(state="accepted", ended_at=v.now),
    "a link asked for": lambda v, p: old(
        v, p, "notice", purpose="request", link_request_id=v.link_request(p)
    ),
}


def _planned(village: Village) -> int:
    campaign = village.campaign()
    village.change(CAMPAIGN, campaign, planned_at=village.now)
    return campaign


def _journey(village: Village, person: int, **values: Any) -> int:
    enrollment = finish(village, person)
    village.change(ENROLLMENT, enrollment, **{"state": "active", "ended_at": None} | values)
    return enrollment


@pytest.mark.parametrize(
    ("make", "fate"),
    [
        pytest.param(make, fate, id=name)
        for fate, table in (("stays", STAYS), ("emptied", EMPTIED), ("goes", GOES))
        for name, make in table.items()
    ],
)
def test_what_planning_would_miss_stays_and_all_else_goes(
    village: Village, make: Callable[[Village, int], Any], fate: str
) -> None:
    person = village.learner()
    make(village, person)
    (mail,) = village.rows(DELIVERY)
    village.change(DELIVERY, mail["id"], details={"x": 1}, reply_text="250 an Ada", shown=1)
    busy = village.person("bea@schule.example")
    old(village, busy, due_at=LATER, ended_at=LATER, started_at=LATER)
    walk(village)
    walk(village, LATER + timedelta(days=1))
    kept = [row for row in village.rows(DELIVERY) if row["id"] == mail["id"]]
    assert bool(kept) is (fate != "goes")
    if kept:
        emptied = (kept[0]["details"], kept[0]["reply_text"], kept[0]["shown"])
        full = ({"x": 1}, "250 an Ada", 1)
        assert emptied == (({}, None, None) if fate == "emptied" else full)
        assert village.rows(AGED_DELIVERY) == []
    assert village.rows(LINK_REQUEST) == []


def test_the_mail_a_sender_noted_as_its_last_stays_in_a_house_gone_quiet(village: Village) -> None:
    person = village.learner()
    first = old(village, person)
    village.clock.advance(timedelta(minutes=1))
    last = old(village, person)
    assert walk(village) == 1
    assert [row["id"] for row in village.rows(DELIVERY)] == [last] != [first]


def test_the_mail_that_asked_stays_as_long_as_the_proof_does(sqlite_village: Village) -> None:
    settle(sqlite_village)
    ada = Newcomer(sqlite_village)
    ada.join("newsletter")
    person = ada.person
    old(sqlite_village, person, due_at=LATER, ended_at=LATER, started_at=LATER)
    walk(sqlite_village)
    assert "notice/confirmation" in [row["slug"] for row in sqlite_village.rows(DELIVERY)]
    ada.erase(keep_proof=False)
    walk(sqlite_village, LATER + timedelta(days=1))
    assert [row["due_at"] for row in sqlite_village.rows(DELIVERY)] == [LATER]


# -- no effect on planning


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_nothing_is_planned_again_after_what_it_came_from_went(village: Village, kind: str) -> None:
    everything_happens(village, kind)
    assert village.do(triggers.plan, terms(village), 100).deliveries == 1
    (mail,) = village.rows(DELIVERY)
    village.change(DELIVERY, mail["id"], state="accepted", ended_at=village.now)
    village.clock.set(LATER)
    # Planned as it goes on: only silence and the calendar may have something new to say.
    while village.do(triggers.plan, terms(village), 100).more:
        pass
    before = {row["occurrence"]: row["id"] for row in village.rows(DELIVERY)}
    walk(village)
    village.change(TRIGGER, 1, planned_until=None)  # as if the mark had been lost
    while village.do(triggers.plan, terms(village), 100).more:
        pass
    again = [row for row in village.rows(DELIVERY) if row["id"] > max(before.values())]
    assert [row["occurrence"] for row in again if row["occurrence"] in before] == []


ACTS = (3, 80, 204, 330)
"""Days on which somebody clicks, answers and finishes a course."""


def life(village: Village, kept: Terms | None) -> list[tuple[int, str]]:
    """A year of a house, on the days that matter; all that was ever planned, in its order."""
    settle(village)
    agenda = Agenda(RULES, ASKING.question, kept=kept)
    for kind, rule in EVERY_KIND.items():
        declare(village, f"lifecycle/{kind}", trigger=kind, **rule)
    declare(village, "lifecycle/once", trigger="clicked", of="video", once="ever")
    people = [
        friend(village, f"p{n}", birth_month=5, birth_day=n + 1, joined=village.now)
        for n in range(3)
    ]
    for person in people:
        agree_to_tracking(village, person)
    ada = Newcomer(village)
    ada.join()
    planned: list[tuple[int, str]] = []
    last = 0
    days = {*range(2, 40, 9), *range(40, 380, 50), 160, 168, *ACTS, *(day + 1 for day in ACTS)}
    for day in sorted(days):
        village.clock.set(MONDAY_TEN + timedelta(days=day))
        if day in ACTS:
            # The same person each time: what is sent once ever would be due again.
            _happen_to(village, people[0])
        rounds.run(village.database, village.clock, agenda, chores=True)
        for lane in (0, 1, 2):
            for mail in village.start(lane=lane):
                village.record(mail, Outcome.ACCEPTED, code=250)
        query = select(DELIVERY.c.id, DELIVERY.c.subscriber_id, DELIVERY.c.occurrence)
        new = village.ask(query.where(DELIVERY.c.id > last).order_by(DELIVERY.c.id))
        planned += [(row.subscriber_id, row.occurrence) for row in new]
        last = max([last, *(row.id for row in new)])
    return planned


def _happen_to(village: Village, person: int) -> None:
    click(village, person)
    for kind in ("interested", "answered"):
        happen(village, person, kind, name="video")
    finish(village, person)


def test_a_house_that_forgets_plans_what_one_that_remembers_does(tmp_path: Path) -> None:
    told = []
    for name, kept in (("long", None), ("short", SHORT)):
        (tmp_path / name).mkdir()
        with ground("sqlite", tmp_path / name) as database:
            village = Village(database)
            told.append(life(village, kept))
            gone = sum(row["n"] for row in village.rows(AGED_EVENT))
            assert bool(gone) is (kept is not None)
    assert told[0] == told[1]
    assert len(told[0]) == len(set(told[0])) > 15


# -- when


@pytest.mark.parametrize(
    ("now", "months", "day"),
    [
        ("2026-11-23 10:00", 14, date(2025, 9, 23)),
        ("2027-03-31 10:00", 1, date(2027, 2, 28)),
        ("2028-03-31 10:00", 1, date(2028, 2, 29)),
        ("2026-12-01 00:10", 36, date(2023, 12, 1)),
    ],
)
def test_months_are_those_of_the_local_calendar(now: str, months: int, day: date) -> None:
    at = retention.since(berlin(now), months, BERLIN).astimezone(BERLIN)
    assert (at.date(), at.hour) == (day, 0)


@pytest.mark.parametrize("zone", ["Europe/Berlin", "Pacific/Auckland"])
def test_what_grows_old_next_is_said_to_the_day(sqlite_village: Village, zone: str) -> None:
    kept = Terms(ZoneInfo(zone), events_months=1, deliveries_months=2)
    person = sqlite_village.learner()
    for days in range(0, 120, 7):
        at = MONDAY_TEN + timedelta(days=days)
        old(sqlite_village, person, due_at=at, ended_at=at, started_at=at)
    now = MONDAY_TEN + timedelta(days=130)

    def look(at: datetime) -> retention.Foreseen:
        mails, _ = sqlite_village.do(retention.foresee, at, kept)
        return mails

    first = look(now)
    assert (first.goes > 5, first.emptied) == (True, 0)
    assert first.next_on is not None
    noon = datetime.combine(first.next_on, time(12), kept.zone)
    assert look(noon - timedelta(days=1)).goes == first.goes
    assert look(noon).goes == first.goes + 1


def test_a_walk_reads_by_number_and_looks_at_so_many_only(sqlite_village: Village) -> None:
    person = sqlite_village.learner()
    old(sqlite_village, person)
    asked: list[str] = []

    def heard(_c: Any, _cu: Any, statement: str, values: Any, *_: Any) -> None:
        if statement.startswith("SELECT") and " LIMIT " in statement:
            asked.append(statement)

    with sqlite_village.database.engine.connect() as connection:
        event.listen(connection, "before_cursor_execute", heard)
        for _ in range(2):
            retention.age_out(connection, LATER, SHORT, 500)
    walks = [one for one in asked if "fate" in one]
    assert len(walks) == 2
    for statement in walks:
        values = ("2026",) * statement.count("?")
        explained = f"EXPLAIN QUERY PLAN {statement}"
        plan = sqlite_village.database.read(
            partial(lambda sql, bound, c: c.exec_driver_sql(sql, bound).all(), explained, values)
        )
        words = " | ".join(str(row[-1]) for row in plan)
        assert "USE TEMP B-TREE" not in words, words
        assert "USING INTEGER PRIMARY KEY (rowid>?)" in words, words


def test_a_report_on_old_days_adds_up_and_says_what_is_gone(sqlite_village: Village) -> None:
    from l3mail.reports import Terms as Telling
    from l3mail.reports import days, look, tell

    village = sqlite_village
    person = village.learner()
    for _ in range(3):
        mail = old(village, person)
        happen(village, person, "opened", delivery_id=mail, verdict="human")
    happen(village, person, "interested", name="video")
    old(village, person, due_at=LATER, ended_at=LATER, started_at=LATER)
    village.report(state="accepted", ended_at=village.now)
    day = date(2026, 11, 23)
    telling = Telling("Amt", "de", BERLIN, agenda=Agenda(RULES, ASKING.question))

    def report() -> Any:
        span = days(day, day, BERLIN, LATER)
        return village.database.read(lambda one: look(one, span, LATER, telling))

    before = report().mails
    walk(village)
    after = report()
    assert [one.states for one in after.mails.kinds] == [one.states for one in before.kinds]
    assert (before.total(), after.mails.total("accepted")) == (3, 3)
    said = {section.name: section for section in tell(after).sections}
    assert "3 Ereignisse aus diesen Tagen" in str(said["aged"].blocks)
