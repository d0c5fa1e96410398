"""Looks at many: taken a part at a time, gone on with where they ended, nobody missed or twice."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection

from l3mail import triggers
from l3mail.models import APPROVAL, DELIVERY, EVENT, SUBSCRIBER, SUBSCRIPTION, TRIGGER
from l3mail.triggers import Planned, glances
from l3mail.triggers.glances import Glance
from tests.fakes.parish import (
    SLUG,
    agree_to_tracking,
    berlin,
    declare,
    friend,
    happen,
    mails,
    plan,
    plan_all,
    shown,
    terms,
)
from tests.fakes.village import Village
from tests.test_triggers import EVERY_KIND, everything_happens

LONG_AGO = berlin("2024-01-10 12:00")
TEN = "2027-05-10 10:00"
EVERYBODY = {"yearly": {"on": "05-10"}, "inactive": {"after": "9d"}}


def crowd(village: Village, kind: str, people: int = 7, **rule: str) -> list[int]:
    """So many people who are all due on 10 May 2027, and a rule in force since the day before."""
    village.clock.set(berlin("2027-05-09 12:00"))
    declare(village, trigger=kind, **EVERYBODY[kind] | rule)
    found = [friend(village, f"p{n}", joined=LONG_AGO) for n in range(people)]
    for person in found:
        village.change(SUBSCRIBER, person, created_at=berlin("2027-05-01 12:00"), tracking=True)
    village.clock.set(berlin("2027-05-01 12:00"))
    for person in found:
        agree_to_tracking(village, person)
    village.clock.set(berlin(TEN))
    return found


def mailed(village: Village) -> list[int]:
    return [person for person, _, _ in mails(village)]


def mark(village: Village) -> tuple[object, object]:
    row = village.row(TRIGGER, 1)
    return row["looked_to"], row["looked_to_at"]


@pytest.mark.parametrize("kind", EVERYBODY)
def test_everybody_is_looked_at_a_part_at_a_time(village: Village, kind: str) -> None:
    people = crowd(village, kind)
    assert plan(village, limit=3) == Planned(3, more=True)
    assert mailed(village) == people[:3]
    assert mark(village) == (people[2], None)
    # Whoever is before the mark is not asked for again: this one would be found.
    first = village.row(DELIVERY, 1)["occurrence"]
    village.change(DELIVERY, 1, occurrence="another")
    assert plan(village, limit=3) == Planned(3, more=True)
    assert mark(village) == (people[5], None)
    assert plan(village, limit=3) == Planned(1)
    village.change(DELIVERY, 1, occurrence=first)
    assert mailed(village) == people
    assert mark(village) == (None, None)
    assert shown(village.row(TRIGGER, 1)["planned_until"]) == "2027-05-10 09:00"
    assert plan(village, limit=3) == Planned()


def test_a_part_in_which_nobody_is_due_is_not_the_end(village: Village) -> None:
    people = crowd(village, "inactive")
    for person in people[:-1]:
        happen(village, person, "answered", at=village.now - timedelta(hours=1))
    assert plan(village, limit=2) == Planned(0, more=True)
    assert plan(village, limit=2) == Planned(0, more=True)
    assert plan_all(village, limit=2) == 1
    assert mailed(village) == people[-1:]


@pytest.mark.parametrize("kind", EVERYBODY)
def test_a_part_that_is_killed_leaves_no_mark_and_is_taken_again(
    village: Village, kind: str
) -> None:
    people = crowd(village, kind)
    plan(village, limit=3)

    def killed(connection: Connection) -> None:
        assert triggers.plan(connection, terms(village), 3).deliveries == 3
        raise InterruptedError

    with pytest.raises(InterruptedError):
        village.do(killed)
    assert mark(village) == (people[2], None)
    assert mailed(village) == people[:3]
    assert plan_all(village, limit=3) == 4
    assert mailed(village) == people


def test_where_numbers_have_gaps_parts_are_as_many_people_all_the_same(village: Village) -> None:
    """A restored database goes on far above the numbers it knows."""
    people = crowd(village, "yearly", people=2)
    people += [
        village.insert(
            SUBSCRIBER, id=1_000_000 + n, address=f"q{n}@x.example", address_key=bytes([n]) * 16,
            created_at=LONG_AGO,
        )
        for n in range(3)
    ]  # fmt: skip
    for person in people[2:]:
        subscription = village.subscribe(person, village.stream("lifecycle"))
        village.change(SUBSCRIPTION, subscription, confirmed_at=LONG_AGO)
    assert [plan(village, limit=2).deliveries for _ in range(3)] == [2, 2, 1]
    assert mailed(village) == people


@pytest.mark.parametrize("kind", EVERYBODY)
def test_a_look_for_another_day_begins_anew(village: Village, kind: str) -> None:
    """What an interrupted look left out is not passed by on the next day it is due for."""
    people = crowd(village, kind)
    plan(village, limit=3)
    declare(village, trigger=kind, **EVERYBODY[kind] | {"at": "11:00"})
    village.change(TRIGGER, 1, active_since=berlin("2027-05-10 08:00"))
    village.clock.set(berlin("2027-05-10 11:00"))
    plan_all(village, limit=3)
    assert sorted(mailed(village)) == people


def test_a_mark_of_yesterday_hides_nobody_today(village: Village) -> None:
    people = crowd(village, "inactive", valid_for="2h")
    plan(village, limit=3)
    assert mark(village) == (people[2], None)
    # Nobody went on before the day's mailing had lapsed; on the next day others are due.
    for person in people[:2]:
        happen(village, person, "answered", at=berlin("2027-05-02 12:00"))
    village.clock.set(berlin("2027-05-11 09:30"))
    plan_all(village, limit=3)
    assert mailed(village)[3:] == people[:2]


def test_everybody_who_joins_while_a_look_goes_on_has_the_day_s_mail(village: Village) -> None:
    people = crowd(village, "yearly")
    village.change(SUBSCRIPTION, 1, state="unconfirmed", confirmed_at=None)
    plan(village, limit=3)
    village.change(SUBSCRIPTION, 1, state="confirmed", confirmed_at=village.now)
    plan_all(village, limit=3)
    plan_all(village, limit=3)
    assert sorted(mailed(village)) == people


# -- facts


def backlog(village: Village, **rule: str) -> list[int]:
    """So many people who asked for something, a minute apart save for three at one moment."""
    village.clock.set(berlin("2027-05-10 08:00"))
    declare(village, trigger="interested", of="video", **rule)
    people = [friend(village, f"p{n}") for n in range(7)]
    for n, person in enumerate(people):
        minute = timedelta(minutes=3 if 3 <= n <= 5 else n)
        happen(village, person, "interested", name="video", at=village.now + minute)
    village.clock.set(berlin(TEN))
    return people


@pytest.mark.parametrize("rule", [{}, {"at": "10:00"}], ids=["at once", "at ten"])
def test_a_backlog_is_not_looked_through_anew_for_each_part(
    village: Village, rule: dict[str, str]
) -> None:
    """Three facts of one moment are told apart, and whom nobody may mail counts as looked at."""
    people = backlog(village, **rule)
    village.suppress(people[0], "complaint")
    assert plan(village, limit=4) == Planned(3, more=True)
    assert mark(village)[0] == 4
    # Were it looked at again, this one would be found.
    village.change(DELIVERY, 1, occurrence="another")
    assert plan(village, limit=4) == Planned(3)
    assert mailed(village) == people[1:]
    assert mark(village) == (None, None)


def test_what_comes_to_be_known_while_a_look_goes_on_is_answered_next(village: Village) -> None:
    people = backlog(village)
    assert plan(village, limit=4).more
    village.clock.set(berlin("2027-05-10 10:20"))
    late = friend(village, "late")
    happen(village, late, "interested", name="video", at=berlin("2027-05-10 09:59"))
    village.change(EVENT, 8, at=berlin("2027-05-10 08:00"))
    happen(village, late, "interested", name="video", at=berlin("2027-05-10 09:40"))
    plan_all(village, limit=4)
    assert shown(village.row(TRIGGER, 1)["planned_until"]) == TEN
    plan_all(village, limit=4)
    assert sorted(mailed(village)) == sorted([*people, late])


def test_a_look_at_what_is_fresh_gives_way_to_one_at_all_that_is_valid(village: Village) -> None:
    people = backlog(village)
    plan_all(village, limit=100)
    village.change(DELIVERY, 1, occurrence="another")  # as if that had been left out
    for n in range(3):
        happen(village, friend(village, f"q{n}"), "interested", name="video")
    assert plan(village, "2027-05-10 10:01", limit=2) == Planned(2, more=True)
    # At the next of its hundred looks all is looked at from the beginning, and not from the mark.
    village.clock.set(berlin("2027-05-10 14:00"))
    assert plan_all(village, limit=2) == 2
    assert mailed(village).count(people[0]) == 2


def test_a_short_look_is_not_kept_waiting_by_a_long_one(village: Village) -> None:
    crowd(village, "yearly")
    assert plan(village, limit=3).more
    declare(village, "lifecycle/zz", trigger="interested", of="video")
    happen(village, friend(village, "late"), "interested", name="video")
    assert plan(village, limit=3) == Planned(3, more=True)
    assert any(row["slug"] == "lifecycle/zz" for row in village.rows())


# -- batches that wait for a yes


def test_a_batch_is_shown_as_soon_as_a_part_finds_anybody(village: Village) -> None:
    people = crowd(village, "inactive", approval="required", at="11:00")
    for person in people[:3]:
        happen(village, person, "answered", at=village.now - timedelta(hours=1))
    assert plan(village, limit=2) == Planned(0, more=True)
    assert village.rows(APPROVAL) == []
    assert plan(village, limit=2) == Planned()
    assert len(village.rows(APPROVAL)) == 1
    village.clock.set(berlin("2027-05-10 11:00"))
    assert plan_all(village, limit=2) == 4
    assert mailed(village) == people[3:]


@pytest.mark.parametrize(
    "rule",
    [
        {"trigger": "yearly", "on": "05-10"},
        {"trigger": "birthday"},
        {"trigger": "interested", "of": "video"},
    ],
    ids=lambda rule: rule["trigger"],
)
def test_a_batch_that_is_open_leaves_nothing_to_do_until_it_is_due(
    village: Village, rule: dict[str, Any]
) -> None:
    """Else its trigger would be locked and looked at again every few seconds until then."""
    village.clock.set(berlin("2027-05-09 12:00"))
    declare(village, approval="required", at="11:00", **rule)
    ada = friend(village, joined=LONG_AGO, birth_month=5, birth_day=10)
    happen(village, ada, "interested", name="video")
    plan_all(village, limit=100)
    village.clock.set(berlin("2027-05-10 08:00"))
    assert village.do(glances.look, terms(village)).busy == {1}
    plan_all(village, limit=100)
    assert len(village.rows(APPROVAL)) == 1
    village.clock.set(berlin("2027-05-10 08:00") + timedelta(seconds=5))
    assert village.do(glances.look, terms(village)).busy == set()
    village.clock.set(berlin("2027-05-10 11:00"))
    assert plan_all(village, limit=100) == 1


def test_whom_a_batch_is_for_is_looked_for_once(village: Village) -> None:
    people = crowd(village, "inactive", approval="required", at="11:00")
    for person in people:
        happen(village, person, "answered", at=village.now - timedelta(hours=1))
    assert plan_all(village, limit=2) == 0
    assert village.do(glances.look, terms(village)).busy == set()
    assert plan(village) == Planned()
    assert village.rows(APPROVAL) == []


# -- a glance


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_a_glance_leaves_nothing_undone(
    village: Village, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the hour: after planning what a glance finds, there is no more to be found."""
    everything_happens(village, kind, people=3)
    glance = glances.look
    for hour in range(-30, 54, 3):
        village.clock.set(berlin(TEN) + timedelta(hours=hour))
        if hour == 3:
            friend(village, "late", birth_month=5, birth_day=10)
        plan_all(village, limit=2)
        before = village.rows()
        monkeypatch.setattr(glances, "look", lambda *_: Glance({1}, True))
        plan_all(village, limit=2)
        monkeypatch.setattr(glances, "look", glance)
        assert village.rows() == before
    assert {row["subscriber_id"] for row in village.rows()} >= {1, 2, 3}


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_where_nothing_is_due_a_glance_is_all(village: Village, kind: str) -> None:
    everything_happens(village, kind, people=2)
    plan_all(village, limit=2)
    assert village.do(glances.look, terms(village)) == Glance(set(), False)


def test_a_glance_sees_each_trigger_by_its_own_facts(village: Village) -> None:
    """Several of one shape are asked in one statement, and are not taken for each other."""
    village.clock.set(berlin("2027-05-10 08:00"))
    for name in ("a", "b", "c"):
        declare(village, f"lifecycle/{name}", trigger="interested", of=name)
    declare(village, SLUG, trigger="joined")
    plan(village, TEN)
    happen(village, friend(village, joined=LONG_AGO), "interested", name="b")
    assert village.do(glances.look, terms(village)).busy == {2}
    friend(village, "bea")
    assert village.do(glances.look, terms(village)).busy == {2, 4}
    plan(village)
    assert village.do(glances.look, terms(village)).busy == set()
