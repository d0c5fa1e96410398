"""Triggers: who gets which lifecycle mail when, once, and not when it is too late."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection

from l3mail import triggers
from l3mail.errors import L3mailError
from l3mail.models import DELIVERY, ENROLLMENT, EVENT, SUBSCRIBER, SUBSCRIPTION, TRIGGER
from l3mail.segments import Question
from l3mail.triggers import Planned
from tests.fakes.parish import (
    SLUG,
    agree_to_tracking,
    berlin,
    click,
    declare,
    finish,
    friend,
    happen,
    mails,
    plan,
    plan_all,
    shown,
    terms,
)
from tests.fakes.village import Village

LONG_AGO = berlin("2024-01-10 12:00")


@pytest.fixture
def town(village: Village) -> Village:
    """Noon, on the first of May 2027."""
    village.clock.set(berlin("2027-05-01 12:00"))
    return village


def due(village: Village) -> list[tuple[int, str]]:
    return [(person, moment) for person, _, moment in mails(village)]


# -- the calendar


def test_a_birthday_is_greeted_in_the_local_morning_once_a_year(town: Village) -> None:
    declare(town, trigger="birthday")
    ada = friend(town, birth_month=5, birth_day=10, joined=LONG_AGO)
    friend(town, "bea", birth_month=5, birth_day=11, joined=LONG_AGO)
    friend(town, "cem", joined=LONG_AGO)
    assert plan(town, "2027-05-10 08:59") == Planned()
    assert plan(town, "2027-05-10 09:00") == Planned(1)
    (row,) = town.rows()
    expected = {
        "purpose": "stream",
        "kind": "lifecycle",
        "occurrence": f"yearly:{SLUG}:2027",
        "subscriber_id": ada,
        "stream_id": town.stream("lifecycle"),
        "generation": 1,
        "approval_id": None,
        "slug": SLUG,
        "message_id": None,
        "lane": 2,
        "state": "queued",
        "reason": None,
        "due_at": berlin("2027-05-10 09:00"),
        "lapses_at": berlin("2027-05-12 00:00"),
        "planned_at": town.now,
    }
    assert expected.items() <= row.items()
    assert plan(town) == Planned()
    assert plan(town, "2028-05-10 09:00") == Planned(1)


LEAP = {
    "in a leap year on the day": ("2028-02-29 09:00", 1),
    "in another year on 1 March": ("2027-03-01 09:00", 1),
    "and not the day before": ("2027-02-28 09:00", 0),
    "nor in a leap year on 1 March": ("2028-03-01 09:00", 0),
}


@pytest.mark.parametrize(("moment", "count"), LEAP.values(), ids=LEAP)
def test_who_was_born_on_29_february_is_greeted(village: Village, moment: str, count: int) -> None:
    village.clock.set(berlin(moment) - timedelta(hours=2))
    declare(village, trigger="birthday", valid_for="1h")
    friend(village, birth_month=2, birth_day=29, joined=LONG_AGO)
    assert plan(village, moment) == Planned(count)


LATE = {
    "the same evening": ("2027-05-10 23:59", 1),
    "the day after, all day": ("2027-05-11 23:59", 1),
    "two days after": ("2027-05-12 00:00", 0),
}


@pytest.mark.parametrize(("moment", "count"), LATE.values(), ids=LATE)
def test_a_missed_birthday_is_greeted_a_day_late_and_then_no_more(
    town: Village, moment: str, count: int
) -> None:
    declare(town, trigger="birthday")
    friend(town, birth_month=5, birth_day=10, joined=LONG_AGO)
    assert plan(town, moment) == Planned(count)
    assert {m for _, m in due(town)} <= {"2027-05-10 09:00"}


def test_a_greeting_that_was_planned_and_could_not_go_out_lapses(town: Village) -> None:
    declare(town, trigger="birthday")
    friend(town, birth_month=5, birth_day=10, joined=LONG_AGO)
    plan(town, "2027-05-10 09:00")
    town.clock.set(berlin("2027-05-12 00:00"))
    assert town.start(lane=2) == []
    assert town.state(1) == "lapsed"


JOINED = {
    "joined on the day, after its moment": ("2027-05-10 14:00", "2027-05-10 14:05", 1),
    "joined on the day, asked on the next": ("2027-05-10 14:00", "2027-05-11 08:00", 0),
    "joined the day after": ("2027-05-11 08:00", "2027-05-11 09:00", 0),
    "joined before": ("2027-05-10 09:00", "2027-05-11 08:00", 1),
}


@pytest.mark.parametrize("kind", ["birthday", "yearly"])
@pytest.mark.parametrize("was_planned", [False, True], ids=["", "planned before"])
@pytest.mark.parametrize(("joined", "moment", "count"), JOINED.values(), ids=JOINED)
def test_who_joins_after_a_day_s_moment_is_greeted_on_that_day_only(
    town: Village, joined: str, moment: str, count: int, *, kind: str, was_planned: bool
) -> None:
    declare(town, trigger=kind, **({"on": "05-10"} if kind == "yearly" else {}))
    friend(town, "bea", birth_month=5, birth_day=10, joined=LONG_AGO)
    if was_planned:
        assert plan(town, "2027-05-10 09:00") == Planned(1)
    friend(town, birth_month=5, birth_day=10, joined=berlin(joined))
    if was_planned and joined == "2027-05-10 09:00":
        plan(town, "2027-05-10 09:00")  # who joins in the very second is one of the others
    assert plan(town, moment).deliveries <= 2
    assert len(town.rows()) == 1 + count


def test_a_yearly_mailing_reaches_all_of_the_stream_once_a_year(town: Village) -> None:
    declare(town, trigger="yearly", on="09-08", at="10:30")
    for name in ("ada", "bea"):
        friend(town, name, joined=LONG_AGO)
    friend(town, "cem", stream="newsletter")
    assert plan(town, "2027-09-08 10:29") == Planned()
    assert plan(town, "2027-09-08 10:30") == Planned(2)
    assert mails(town) == [
        (1, f"yearly:{SLUG}:2027", "2027-09-08 10:30"),
        (2, f"yearly:{SLUG}:2027", "2027-09-08 10:30"),
    ]
    assert {shown(row["lapses_at"]) for row in town.rows()} == {"2027-09-11 00:00"}
    assert plan(town, "2027-09-09 10:30") == Planned()
    assert plan(town, "2028-09-10 23:00") == Planned(2)


def test_an_anniversary_is_kept_from_the_first_year_on(town: Village) -> None:
    declare(town, trigger="anniversary", at="08:00")
    friend(town, joined=berlin("2027-05-10 00:00"))
    friend(town, "bea", joined=berlin("2024-05-10 23:59"))
    friend(town, "cem", joined=berlin("2024-05-11 00:00"))
    friend(town, "dan", joined=berlin("2024-02-29 12:00"))
    assert plan(town, "2027-05-10 08:00") == Planned(1)
    assert plan(town, "2027-05-11 08:00") == Planned(1)
    assert plan(town, "2028-02-29 08:00") == Planned(1)
    assert plan(town, "2028-03-01 08:00") == Planned()
    assert plan(town, "2028-05-10 08:00") == Planned(2)
    assert plan(town, "2029-03-01 08:00") == Planned(1)
    assert [person for person, _ in due(town)] == [2, 3, 4, 2, 1, 4]


# -- facts


def test_who_joined_is_written_to_so_long_after(town: Village) -> None:
    declare(town, trigger="joined", after="2d")
    friend(town, joined=town.now + timedelta(microseconds=123_456))
    assert plan(town, "2027-05-03 12:00") == Planned()
    town.clock.set(berlin("2027-05-03 12:00") + timedelta(microseconds=123_456))
    assert plan(town) == Planned(1)
    (row,) = town.rows()
    assert row["due_at"] == town.now
    assert row["lapses_at"] == town.now + timedelta(days=7)
    assert row["occurrence"] == f"trigger:{SLUG}:1.1"


def test_who_joined_another_stream_is_written_to_in_the_trigger_s_own(town: Village) -> None:
    declare(town, trigger="joined", of="kurs", after="1h")
    ada = friend(town, joined=LONG_AGO)
    town.subscribe(ada, town.stream("kurs"))
    bea = town.learner("bea@schule.example")
    assert plan(town, "2027-05-01 13:00") == Planned(1)
    assert [person for person, _ in due(town)] == [ada]
    assert bea not in {person for person, _ in due(town)}


CLICKS: dict[str, tuple[dict[str, Any], int]] = {
    "a human": ({}, 1),
    "not settled yet": ({"verdict": "raw"}, 0),
    "a machine": ({"verdict": "machine"}, 0),
    "unsure": ({"verdict": "unsure"}, 0),
    "another link": ({"name": "netzwerk"}, 0),
}


@pytest.mark.parametrize(("values", "count"), CLICKS.values(), ids=CLICKS)
def test_a_click_counts_when_it_seems_to_be_a_human_s(
    town: Village, values: dict[str, Any], count: int
) -> None:
    declare(town, trigger="clicked", of="video")
    click(town, friend(town), **values)
    assert plan(town, "2027-05-01 12:09") == Planned()
    assert plan(town, "2027-05-01 12:10") == Planned(count)
    assert [moment for _, moment in due(town)] == ["2027-05-01 12:10"] * count


@pytest.mark.parametrize(("of", "mails"), [("video", 2), ("kurs/02-video", 2)])
def test_who_clicks_again_in_the_same_mail_is_answered_once(
    town: Village, of: str, mails: int
) -> None:
    declare(town, trigger="clicked", of=of)
    ada = friend(town)
    for _ in range(2):
        message = town.publish("kurs/02-video")
        delivery = town.delivery(ada, slug="kurs/02-video", state="accepted", message_id=message)
        first = click(town, ada, delivery_id=delivery)
        link = next(row["link_id"] for row in town.rows(EVENT) if row["id"] == first)
        for _ in range(2):
            happen(
                town, ada, "clicked", verdict="human", delivery_id=delivery, link_id=link,
                message_id=message,
            )  # fmt: skip
        click(town, ada, "netzwerk", delivery_id=delivery)
    assert plan(town, "2027-05-01 13:00") == Planned(mails)
    assert plan(town) == Planned()


def test_what_happened_is_answered_at_the_next_tick_however_lately_the_last_one_was(
    town: Village,
) -> None:
    """A tick looks at what is fresh: also at what was written a little after it happened."""
    declare(town, trigger="joined")
    assert plan(town, "2027-05-02 12:00") == Planned()
    ada = friend(town, joined=berlin("2027-05-02 11:31"))
    assert plan(town, "2027-05-02 12:01") == Planned(1)
    assert due(town) == [(ada, "2027-05-02 11:31")]


@pytest.mark.parametrize(
    ("valid_for", "again"),
    [("1h", "12:05"), ("1d", "12:15"), ("7d", "14:00"), ("366d", "next day")],
)
def test_whoever_is_late_is_found_when_all_that_is_valid_is_looked_at_again(
    town: Village, valid_for: str, again: str
) -> None:
    """Imported with an earlier date, or in the segment only now."""
    declare(town, trigger="joined", valid_for=valid_for)
    assert plan(town, "2027-05-02 12:00") == Planned()
    friend(town, joined=berlin("2027-05-02 11:10"))
    assert plan(town, "2027-05-02 12:04") == Planned()
    at = "2027-05-03 02:00" if again == "next day" else f"2027-05-02 {again}"
    assert plan(town, at) == Planned(1)
    assert plan(town, at) == Planned()


def test_a_click_that_was_judged_late_is_answered_all_the_same(town: Village) -> None:
    declare(town, trigger="clicked", of="video", after="1d", at="10:00")
    fact = click(town, friend(town), verdict="raw")
    assert plan(town, "2027-05-02 12:00") == Planned()
    town.change(EVENT, fact, verdict="human")
    # All that is still valid for a week is looked at again within two hours.
    assert plan(town, "2027-05-02 14:00") == Planned(1)
    assert due(town) == [(1, "2027-05-02 10:00")]


def test_a_slug_means_any_link_of_that_text_and_any_answer_in_it(town: Village) -> None:
    declare(town, trigger="clicked", of="kurs/02-video", once="ever")
    declare(town, "lifecycle/antwort", trigger="answered", of="kurs/02-video")
    ada, bea = friend(town), friend(town, "bea")
    click(town, ada, "netzwerk")
    click(town, bea, "video", slug="kurs/03")
    delivery = town.delivery(bea, slug="kurs/02-video", state="accepted")
    happen(town, bea, "answered", name="q1", delivery_id=delivery)
    assert plan(town, "2027-05-01 12:10") == Planned(2)
    assert [row["subscriber_id"] for row in town.rows() if row["slug"] == SLUG] == [ada]
    assert [r["subscriber_id"] for r in town.rows() if r["slug"] == "lifecycle/antwort"] == [bea]


@pytest.mark.parametrize("kind", ["interested", "answered"])
def test_an_act_of_a_person_needs_no_consent_to_measuring(town: Village, kind: str) -> None:
    declare(town, trigger=kind, of="video", after="30m")
    fact = happen(town, friend(town), kind, name="video")
    happen(town, friend(town, "bea"), kind, name="netzwerk")
    assert plan(town, "2027-05-01 12:29") == Planned()
    assert plan(town, "2027-05-01 12:30") == Planned(1)
    assert mails(town) == [(1, f"trigger:{SLUG}:{fact}", "2027-05-01 12:30")]


def test_who_finished_a_course_is_written_to(town: Village) -> None:
    declare(town, trigger="finished", of="kurs", after="1d")
    ada, bea = friend(town), friend(town, "bea")
    number = finish(town, ada)
    town.change(ENROLLMENT, finish(town, bea), state="cancelled")
    finish(town, bea, "tag")
    assert plan(town, "2027-05-02 12:00") == Planned(1)
    assert mails(town) == [(ada, f"trigger:{SLUG}:{number}", "2027-05-02 12:00")]


def test_silence_is_known_only_of_those_who_agreed_to_be_measured(town: Village) -> None:
    town.clock.set(berlin("2027-02-01 12:00"))
    declare(town, trigger="inactive", after="90d")
    ada, bea = friend(town), friend(town, "bea")
    agree_to_tracking(town, ada)
    assert plan(town, "2027-05-01 12:00") == Planned()
    assert plan(town, "2027-05-02 08:59") == Planned()
    assert plan(town, "2027-05-02 09:00") == Planned(1)
    assert [row["subscriber_id"] for row in town.rows()] == [ada]
    for day in range(3, 20):
        assert plan(town, f"2027-05-{day:02} 09:00") == Planned()
    sign = happen(town, ada, "opened", verdict="human")
    assert plan(town, "2027-08-17 09:00") == Planned(1)
    assert mails(town)[-1] == (ada, f"trigger:{SLUG}:{sign}", "2027-08-17 09:00")
    assert bea not in {person for person, _ in due(town)}


def test_a_silence_older_than_the_rule_is_not_remarked_upon(town: Village) -> None:
    ada = friend(town, joined=LONG_AGO)
    town.change(SUBSCRIBER, ada, created_at=LONG_AGO)
    agree_to_tracking(town, ada)
    town.clock.set(berlin("2027-09-01 12:00"))
    declare(town, trigger="inactive", after="90d")
    for day in range(1, 20):
        assert plan(town, f"2027-09-{day:02} 12:00") == Planned()


# -- moments of the wall clock


SLOTS = {
    "the same day": ("2027-05-03 09:30", None, "2027-05-03 10:00"),
    "at the very moment": ("2027-05-03 10:00", None, "2027-05-03 10:00"),
    "after it": ("2027-05-03 10:01", None, "2027-05-04 10:00"),
    "a day later": ("2027-05-03 09:30", "1d", "2027-05-04 10:00"),
    "hours later": ("2027-05-03 09:30", "2h", "2027-05-04 10:00"),
    "a day later over the spring's change of clocks": (
        "2027-03-27 10:00",
        "1d",
        "2027-03-28 10:00",
    ),
    "a day later over the autumn's": ("2027-10-30 10:00", "1d", "2027-10-31 10:00"),
    "a day later, however late": ("2027-03-27 23:59", "1d", "2027-03-28 10:00"),
    "a day later, however early": ("2027-05-03 00:00", "1d", "2027-05-04 10:00"),
    "a day and hours later": ("2027-05-03 10:01", "25h", "2027-05-05 10:00"),
}


@pytest.mark.parametrize(("fact", "after", "expected"), SLOTS.values(), ids=SLOTS)
def test_with_a_time_of_day_days_are_those_of_the_calendar(
    village: Village, fact: str, after: str | None, expected: str
) -> None:
    village.clock.set(berlin(fact) - timedelta(days=3))
    rule = {"trigger": "interested", "of": "video", "at": "10:00"}
    declare(village, **(rule | ({"after": after} if after else {})))
    friend(village)
    village.clock.set(berlin(fact))
    happen(village, 1, "interested", name="video")
    moment = village.do(triggers.next_moment, terms(village))
    if berlin(expected) > village.now:
        assert shown(moment) == expected
    village.clock.set(berlin(expected) - timedelta(seconds=1))
    if berlin(expected) > berlin(fact):
        assert plan(village) == Planned()
    assert plan(village, expected) == Planned(1)
    assert due(village) == [(1, expected)]


def test_a_time_that_a_night_leaves_out_moves_forward(village: Village) -> None:
    village.clock.set(berlin("2027-03-20 12:00"))
    declare(village, trigger="yearly", on="03-28", at="02:30")
    friend(village, joined=LONG_AGO)
    assert plan(village, "2027-03-28 03:29") == Planned()
    assert plan(village, "2027-03-28 03:30") == Planned(1)


# -- once, and never twice


def test_once_ever_means_the_first_fact_also_where_two_fall_due_together(town: Village) -> None:
    declare(town, trigger="interested", of="video", once="ever", after="1d")
    ada, bea = friend(town), friend(town, "bea")
    for minute in (0, 5, 10):
        town.clock.set(berlin(f"2027-05-01 12:{minute:02}"))
        happen(town, ada, "interested", name="video")
    happen(town, bea, "interested", name="video")
    assert plan(town, "2027-05-02 13:00", limit=2) == Planned(1, more=True)
    assert plan_all(town, limit=2) == 1
    assert mails(town) == [
        (ada, f"trigger:{SLUG}:ever", "2027-05-02 12:00"),
        (bea, f"trigger:{SLUG}:ever", "2027-05-02 12:10"),
    ]
    happen(town, ada, "interested", name="video")
    assert plan(town, "2028-05-03 13:00") == Planned()


def test_a_rule_that_becomes_once_ever_counts_the_mails_of_before(town: Village) -> None:
    declare(town, trigger="interested", of="video", after="1d")
    happen(town, friend(town, joined=LONG_AGO), "interested", name="video")
    assert plan(town, "2027-05-02 12:00") == Planned(1)
    declare(town, trigger="interested", of="video", after="3d", once="ever")
    happen(town, friend(town, "bea", joined=LONG_AGO), "interested", name="video")
    assert plan(town, "2027-05-05 12:00") == Planned(1)
    assert due(town) == [(1, "2027-05-02 12:00"), (2, "2027-05-05 12:00")]


def test_a_full_batch_of_one_person_s_facts_keeps_nobody_waiting(town: Village) -> None:
    declare(town, trigger="interested", of="video", once="ever")
    ada, bea = friend(town), friend(town, "bea")
    for _ in range(5):
        happen(town, ada, "interested", name="video")
    happen(town, bea, "interested", name="video")
    assert plan(town, limit=3) == Planned(1, more=True)
    assert plan_all(town, limit=3) == 1
    assert sorted(person for person, _ in due(town)) == [ada, bea]


def test_once_a_year_means_the_year_it_is_due_in(town: Village) -> None:
    declare(town, trigger="interested", of="video", once="yearly", after="2d")
    friend(town)
    for moment in ("2027-12-01 12:00", "2027-12-29 12:00", "2027-12-30 12:00", "2028-01-05 12:00"):
        town.clock.set(berlin(moment))
        happen(town, 1, "interested", name="video")
    assert plan(town, "2027-12-03 12:00") == Planned(1)
    assert plan(town, "2028-01-02 12:00") == Planned(1)
    assert plan(town, "2028-01-20 12:00") == Planned()
    assert mails(town) == [
        (1, f"yearly:{SLUG}:2027", "2027-12-03 12:00"),
        (1, f"yearly:{SLUG}:2028", "2028-01-01 12:00"),
    ]


def test_a_slot_of_the_new_year_is_next_for_who_had_the_old_year_s_mail(town: Village) -> None:
    declare(town, trigger="interested", of="video", once="yearly", at="10:00")
    friend(town)
    for moment in ("2027-12-01 09:00", "2027-12-31 09:00", "2027-12-31 15:00"):
        town.clock.set(berlin(moment))
        happen(town, 1, "interested", name="video")
        plan(town)
        town.clock.advance(timedelta(hours=1))
        plan(town)
    assert [moment for _, moment in due(town)] == ["2027-12-01 10:00"]
    assert shown(town.do(triggers.next_moment, terms(town))) == "2028-01-01 10:00"
    assert plan(town, "2028-01-01 10:00") == Planned(1)


def test_without_once_each_fact_is_answered(town: Village) -> None:
    declare(town, trigger="interested", of="video")
    friend(town)
    for _ in range(3):
        happen(town, 1, "interested", name="video")
        town.clock.advance(timedelta(hours=1))
    assert plan(town) == Planned(3)
    assert plan(town) == Planned()


EVERY_KIND: dict[str, dict[str, str]] = {
    "birthday": {},
    "yearly": {"on": "05-10"},
    "anniversary": {},
    "joined": {"after": "1h"},
    "clicked": {"of": "video"},
    "interested": {"of": "video", "at": "10:00"},
    "answered": {"of": "video"},
    "finished": {"of": "kurs"},
    "inactive": {"after": "9d"},
}


def everything_happens(village: Village, kind: str, people: int = 1) -> None:
    """Facts for a mail of any kind on 10 May 2027, for so many."""
    village.clock.set(berlin("2027-04-30 12:00"))
    declare(village, trigger=kind, **EVERY_KIND[kind])
    everybody = [
        friend(village, f"p{n}", joined=berlin("2026-05-10 12:00"), birth_month=5, birth_day=10)
        for n in range(people)
    ]
    for person in everybody:
        village.change(SUBSCRIBER, person, created_at=berlin("2027-05-01 12:00"))
        agree_to_tracking(village, person)
    village.clock.set(berlin("2027-05-10 09:00"))
    for person in everybody if kind != "inactive" else ():
        click(village, person)
        happen(village, person, "interested", name="video")
        happen(village, person, "answered", name="video")
        finish(village, person)
    if kind == "joined":
        for row in village.rows(SUBSCRIPTION):
            village.change(SUBSCRIPTION, row["id"], confirmed_at=village.now)
    village.clock.set(berlin("2027-05-10 13:00"))


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_planning_again_adds_nothing(village: Village, kind: str) -> None:
    everything_happens(village, kind)
    assert plan(village) == Planned(1)
    before = village.rows()
    assert plan(village) == Planned()
    village.change(TRIGGER, 1, planned_until=None)  # as if the mark had been lost
    assert plan(village) == Planned()
    assert plan(village, "2027-05-10 18:00") == Planned()
    assert village.rows() == before


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_batches_go_on_until_everybody_is_planned(village: Village, kind: str) -> None:
    everything_happens(village, kind, people=3)
    first = plan(village, limit=2)
    assert first.more
    assert first.deliveries <= 2
    assert first.deliveries + plan_all(village, limit=2) == 3
    assert plan(village, limit=2) == Planned()
    assert sorted(person for person, _ in due(village)) == [1, 2, 3]


@pytest.mark.parametrize("kind", ["birthday", "yearly", "interested"])
def test_two_planners_at_once_make_one_delivery_each(village: Village, kind: str) -> None:
    everything_happens(village, kind, people=12)

    def work(_: int) -> None:
        while plan(village, limit=5).more:
            pass

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(work, range(2)))
    while plan(village, limit=5).more:
        pass
    assert sorted(person for person, _ in due(village)) == list(range(1, 13))


def test_a_day_is_marked_as_planned_when_nobody_of_it_is_left(town: Village) -> None:
    """So that all of a stream are looked at once, and not at every tick until it lapses."""
    everything_happens(town, "yearly", people=3)
    plan(town, limit=2)
    assert town.row(TRIGGER, 1)["planned_until"] is None
    plan(town, limit=2)
    assert shown(town.row(TRIGGER, 1)["planned_until"]) == "2027-05-10 09:00"
    town.change(DELIVERY, 3, occurrence="another")
    assert plan(town) == Planned()


AHEAD = {"anniversary": {}, "yearly": {"on": "05-10"}, "inactive": {"after": "9d"}}


@pytest.mark.parametrize("kind", AHEAD)
def test_a_clock_that_ran_ahead_takes_nobody_s_mail_once_it_is_right(
    town: Village, kind: str
) -> None:
    declare(town, trigger=kind, **AHEAD[kind])
    agree_to_tracking(town, friend(town, joined=berlin("2026-05-10 12:00")))
    assert plan(town, "2028-05-09 10:00").deliveries == 0
    assert plan(town, "2027-05-10 10:00") == Planned(1)
    assert plan(town, "2027-05-10 10:05") == Planned()
    assert shown(town.row(TRIGGER, 1)["planned_until"]) == "2027-05-10 09:00"


# -- whom nobody may mail, and whom a segment leaves out


@pytest.mark.parametrize("kind", EVERY_KIND)
@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda v: v.change(SUBSCRIPTION, 1, state="unsubscribed"), id="unsubscribed"),
        pytest.param(lambda v: v.change(SUBSCRIPTION, 1, state="unconfirmed"), id="unconfirmed"),
        pytest.param(lambda v: v.suppress(1, "complaint"), id="suppressed"),
        pytest.param(lambda v: v.change(SUBSCRIBER, 1, restricted_at=v.now), id="restricted"),
        pytest.param(lambda v: v.change(SUBSCRIBER, 1, erased_at=v.now), id="erased"),
    ],
)
def test_whom_nobody_may_mail_is_not_planned(
    village: Village, kind: str, change: Callable[[Village], None]
) -> None:
    everything_happens(village, kind)
    change(village)
    assert plan(village) == Planned()


def test_unsubscribed_between_planning_and_sending_is_not_sent(town: Village) -> None:
    everything_happens(town, "birthday", people=2)
    plan(town)
    town.change(SUBSCRIPTION, 1, state="unsubscribed", generation=2)
    assert [started.subscriber_id for started in town.start(lane=2)] == [2]
    assert town.state(1) == "cancelled"


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_a_segment_narrows_whom_a_rule_reaches(village: Village, kind: str) -> None:
    everything_happens(village, kind, people=2)
    village.change(SUBSCRIBER, 2, district="Gorbitz")
    village.change(TRIGGER, 1, rule=_rule(village) | {"segment": 'district == "Gorbitz"'})
    assert plan(village) == Planned(1)
    assert [person for person, _ in due(village)] == [2]


def _rule(village: Village) -> dict[str, Any]:
    rule: dict[str, Any] = village.row(TRIGGER, 1)["rule"]
    return rule


def test_what_nobody_knows_selects_nobody(town: Village) -> None:
    everything_happens(town, "birthday")
    town.change(SUBSCRIBER, 1, tracking=False)
    town.change(TRIGGER, 1, rule=_rule(town) | {"segment": "not inactive_days > 500"})
    assert plan(town) == Planned()


def unreadable(connection: Connection, name: str, now: object) -> Question:
    raise L3mailError("districts: no such attribute")


def test_a_segment_that_can_not_be_asked_keeps_no_other_trigger_waiting(town: Village) -> None:
    everything_happens(town, "birthday")
    town.change(TRIGGER, 1, rule=_rule(town) | {"segment": "gorbitz"})
    declare(town, "lifecycle/zweiter", trigger="joined", after="1h")
    friend(town, "neu")
    town.clock.advance(timedelta(hours=1))
    assert plan(town, question=unreadable) == Planned(1, unasked=1)
    assert town.do(triggers.unasked, terms(town, unreadable)) == [
        (SLUG, "districts: no such attribute")
    ]
    assert plan(town, question=lambda *_: Question(SUBSCRIBER.c.id > 0, SUBSCRIBER.c.id < 0)) == (
        Planned(1)
    )


# -- what was before its time, and what is too old


def test_what_was_due_before_a_rule_was_in_force_is_not_made_up_for(town: Village) -> None:
    friend(town, birth_month=5, birth_day=1, joined=LONG_AGO)
    happen(town, 1, "interested", name="video", at=town.now - timedelta(days=2))
    happen(town, 1, "interested", name="video", at=town.now - timedelta(hours=23))
    declare(town, trigger="birthday")
    declare(town, "lifecycle/video", trigger="interested", of="video", after="1d")
    assert plan(town) == Planned()
    assert plan(town, "2027-05-01 13:00") == Planned(1)
    assert due(town) == [(1, "2027-05-01 13:00")]
    (video,) = [t for t in town.do(triggers.listing) if t.slug == "lifecycle/video"]
    assert town.do(triggers.skipped, video, terms(town)) == 1


def test_after_a_long_sleep_old_facts_are_not_answered_in_a_heap(town: Village) -> None:
    declare(town, trigger="interested", of="video")
    for n in range(20):
        friend(town, f"p{n}")
        happen(town, n + 1, "interested", name="video", at=town.now + timedelta(days=n))
    assert plan(town, "2027-05-21 11:00") == Planned(7)
    assert town.do(triggers.skipped, town.do(triggers.find, SLUG), terms(town)) == 13
    assert min(moment for _, moment in due(town)) == "2027-05-14 12:00"


def test_a_rule_that_changes_or_changes_back_takes_effect_anew(town: Village) -> None:
    assert declare(town, trigger="yearly", on="05-01", at="13:00")
    friend(town, joined=LONG_AGO)
    assert not declare(town, trigger="yearly", on="05-01", at="13:00")
    assert plan(town, "2027-05-01 13:00") == Planned(1)
    town.clock.set(berlin("2028-05-01 14:00"))
    assert declare(town, trigger="yearly", on="05-01", at="12:00")
    assert plan(town) == Planned()
    assert declare(town, trigger="yearly", on="05-01", at="15:00")
    assert plan(town, "2028-05-01 15:00") == Planned(1)


def test_paused_nothing_is_planned_and_resumed_nothing_old(town: Village) -> None:
    declare(town, trigger="interested", of="video")
    friend(town)
    assert town.do(triggers.pause, SLUG, town.now)
    assert not town.do(triggers.pause, SLUG, town.now)
    happen(town, 1, "interested", name="video")
    town.clock.advance(timedelta(hours=1))
    assert plan(town) == Planned()
    assert town.do(triggers.next_moment, terms(town)) is None
    assert town.do(triggers.resume, SLUG, town.now)
    assert not town.do(triggers.resume, SLUG, town.now)
    assert plan(town) == Planned()
    happen(town, 1, "interested", name="video")
    assert plan(town) == Planned(1)


def test_a_slug_in_several_languages_has_one_trigger_and_the_workspace_s_rule(
    town: Village,
) -> None:
    town.stream("lifecycle", "lifecycle")
    for locale, on in (("en", "01-01"), ("de", "09-08")):
        rule: Any = {"trigger": "yearly", "on": on, "approval": "auto"}
        town.publish(SLUG, locale, stream="lifecycle", rule=rule)
    town.publish("lifecycle/ohne-strom", stream="nirgends", rule="x")
    assert town.do(triggers.declare_published, "de", town.now) == [SLUG]
    assert town.do(triggers.declare_published, "de", town.now) == []
    assert town.do(triggers.find, SLUG).rule.on == (9, 8)


# -- what is next


def test_the_next_moment_is_the_first_that_somebody_has(town: Village) -> None:
    declare(town, trigger="birthday")
    assert town.do(triggers.next_moment, terms(town)) is None
    friend(town, birth_month=4, birth_day=30, joined=LONG_AGO)
    assert shown(town.do(triggers.next_moment, terms(town))) == "2028-04-30 09:00"
    friend(town, "bea", birth_month=12, birth_day=31, joined=LONG_AGO)
    assert shown(town.do(triggers.next_moment, terms(town))) == "2027-12-31 09:00"
    declare(town, "lifecycle/jahrestag", trigger="anniversary", at="07:00")
    assert shown(town.do(triggers.next_moment, terms(town))) == "2027-12-31 09:00"
    friend(town, "cem", joined=berlin("2026-09-01 12:00"))
    assert shown(town.do(triggers.next_moment, terms(town))) == "2027-09-01 07:00"
    declare(town, "lifecycle/tag", trigger="yearly", on="06-01")
    assert shown(town.do(triggers.next_moment, terms(town))) == "2027-06-01 09:00"
    declare(town, "lifecycle/kurs", trigger="joined", of="kurs", after="1d")
    town.subscribe(1, town.stream("kurs"))
    assert shown(town.do(triggers.next_moment, terms(town))) == "2027-05-02 12:00"
    expected = [(one.slug, one.people) for one in town.do(triggers.upcoming, terms(town))]
    assert expected == [
        ("lifecycle/kurs", 1),
        ("lifecycle/tag", 3),
        ("lifecycle/jahrestag", 1),
        (SLUG, 1),
    ]


def test_what_is_due_and_not_planned_is_told_first(town: Village) -> None:
    declare(town, trigger="birthday")
    friend(town, birth_month=5, birth_day=2, joined=LONG_AGO)
    town.clock.set(berlin("2027-05-02 11:00"))
    told = [(shown(e.due_at), e.people) for e in town.do(triggers.upcoming, terms(town))]
    assert told == [("2027-05-02 09:00", 1), ("2028-05-02 09:00", 1)]
    plan(town)
    assert [shown(e.due_at) for e in town.do(triggers.upcoming, terms(town))] == [
        "2028-05-02 09:00"
    ]
    assert town.rows(DELIVERY)
