"""What people are spared: bulk mail in quiet hours, and more of it than the cap allows."""

import re
from collections.abc import Iterator
from datetime import datetime, time, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import text
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import OperationalError

from l3mail import outbox, rounds, simulations
from l3mail.models import CAMPAIGN, DELIVERY
from l3mail.outbox import Outcome
from l3mail.outbox.claims import _BEGIN
from l3mail.planning import NO_RESTRAINT, Cap, QuietHours, Restraint
from l3mail.rounds import Agenda
from l3mail.settings import load_settings
from l3mail.simulations import Terms
from l3mail.subscribers import Rules
from l3mail.wiring import restraint_of
from tests.fakes.parish import ASKING, berlin
from tests.fakes.post import send
from tests.fakes.relay import Relay
from tests.fakes.village import BACKENDS, MONDAY_TEN, PEPPER, Village, ground

BERLIN = ZoneInfo("Europe/Berlin")
NIGHT = QuietHours(time(20), time(8), BERLIN)
WEEK, DAY, HOUR = timedelta(days=7), timedelta(days=1), timedelta(hours=1)
ONE_A_WEEK = Cap(1, 7, timedelta(days=3))
CAPPED = Restraint(cap=ONE_A_WEEK)
HUSHED = Restraint(quiet=NIGHT)
AGENDA = Agenda(Rules(PEPPER, BERLIN, "de"), ASKING.question)
BULK = 2


@pytest.fixture(scope="module", params=BACKENDS)
def base(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with ground(request.param, tmp_path_factory.mktemp("restraint")) as database:
        yield database


@pytest.fixture
def town(base: Any) -> Village:
    """Ada, who reads the newsletter and takes the course."""
    village = Village(base, restraint=CAPPED)
    village.empty()
    village.publish()
    village.publish("newsletter/1")
    village.subscribe(village.learner(), village.stream("newsletter", "newsletter"))
    return village


def ada(town: Village) -> int:
    return int(town.ask(DELIVERY.metadata.tables["subscriber"].select())[0].id)


def mail(town: Village, kind: str = "newsletter", **values: Any) -> int:
    return town.delivery(ada(town), kind, **{"slug": "newsletter/1"} | values)


def begun(town: Village, ago: timedelta, **values: Any) -> int:
    at = town.now - ago
    moments = dict.fromkeys(("first_started_at", "started_at", "ended_at"), at)
    return mail(town, **{"state": "accepted"} | moments | values)


def go_on(town: Village) -> tuple[int, int]:
    return town.do(outbox.go_on, town.now, 100)


# -- quiet hours


@pytest.mark.parametrize(
    ("hours", "now", "until"),
    [
        ("20:00-08:00", "2026-11-23 19:59:59", None),
        ("20:00-08:00", "2026-11-23 20:00", "2026-11-24 08:00"),
        ("20:00-08:00", "2026-11-24 00:00", "2026-11-24 08:00"),
        ("20:00-08:00", "2026-11-24 07:59:59", "2026-11-24 08:00"),
        ("20:00-08:00", "2026-11-24 08:00", None),
        ("12:00-14:00", "2026-11-24 13:00", "2026-11-24 14:00"),
        ("12:00-14:00", "2026-11-24 14:00", None),
        ("00:00-06:00", "2026-11-24 00:00", "2026-11-24 06:00"),
        # The night in which summer begins is an hour shorter; 02:30 is 03:30 there.
        ("20:00-08:00", "2027-03-28 04:00", "2027-03-28 08:00"),
        ("02:30-03:15", "2027-03-28 03:20", None),
        # And that in which it ends an hour longer: 02:30 is the first of the two.
        ("20:00-02:30", "2026-10-25 02:29", "2026-10-25 02:30"),
        ("20:00-02:30", "2026-10-25 02:30", None),
    ],
)
def test_quiet_hours_are_the_clocks_of_the_place(hours: str, now: str, until: str | None) -> None:
    begins, ends = map(time.fromisoformat, hours.split("-"))
    expected = berlin(until) if until else None
    assert QuietHours(begins, ends, BERLIN).until(berlin(now)) == expected


def test_the_second_of_two_hours_alike_is_past_the_quiet_ones() -> None:
    quiet = QuietHours(time(20), time(2, 30), BERLIN)
    again = datetime(2026, 10, 25, 2, 10, fold=1, tzinfo=BERLIN)
    assert quiet.until(again) is None


@pytest.mark.parametrize(
    ("kind", "values", "is_held"),
    [
        ("newsletter", {}, True),
        ("lifecycle", {}, True),
        ("lesson", {}, False),
        ("welcome", {}, False),
        ("evaluation", {}, False),
    ],
)
def test_only_bulk_mail_waits_for_the_morning(
    town: Village, kind: str, values: dict[str, Any], is_held: bool
) -> None:
    town.restraint = HUSHED
    number = mail(town, kind)
    town.clock.set(berlin("2026-11-23 22:00"))
    started = town.start(lane=BULK if is_held else 1)
    assert [one.id for one in started] == ([] if is_held else [number])
    if is_held:
        row = town.row(DELIVERY, number)
        assert (row["state"], row["reason"]) == ("held", "quiet hours 20:00-08:00")
        assert row["next_attempt_at"] == berlin("2026-11-24 08:00")
        assert row["lease_owner"] is None
        assert row["lapses_at"] is None
        assert go_on(town) == (0, 0)
        town.clock.set(berlin("2026-11-24 08:00"))
        assert go_on(town) == (1, 0)
        assert [one.id for one in town.start(lane=BULK)] == [number]


def test_mails_to_staff_and_answers_to_requests_go_at_night(town: Village) -> None:
    town.restraint = HUSHED
    town.publish("notice/report")
    town.clock.set(berlin("2026-11-23 22:00"))
    report = town.report(slug="notice/report")
    asked = town.request(ada(town), town.signup(ada(town)))
    assert {one.id for one in town.start(lane=0)} == {report, asked}


def test_a_second_attempt_waits_for_the_morning_and_keeps_its_count(town: Village) -> None:
    town.restraint = Restraint(NIGHT, ONE_A_WEEK)
    number = mail(town)
    (started,) = town.start(lane=BULK)
    town.record(started, Outcome.DEFERRED)
    town.clock.set(berlin("2026-11-23 23:00"))
    assert town.begin(town.claim_retries()) == []
    assert town.state(number) == "held"
    town.clock.set(berlin("2026-11-24 08:00"))
    assert go_on(town) == (1, 0)
    # It has its place in the cap already.
    (again,) = town.start(lane=BULK)
    assert (again.id, again.attempts) == (number, 2)
    assert again.first_started_at == MONDAY_TEN


def test_what_lapses_in_the_night_does_not_wait_for_the_morning(town: Village) -> None:
    town.restraint = HUSHED
    town.clock.set(berlin("2026-11-23 22:00"))
    number = mail(town, "lifecycle", lapses_at=berlin("2026-11-24 03:00"))
    assert town.start(lane=BULK) == []
    assert town.row(DELIVERY, number)["next_attempt_at"] == berlin("2026-11-24 03:00")
    town.clock.set(berlin("2026-11-24 03:00"))
    assert go_on(town) == (0, 1)
    row = town.row(DELIVERY, number)
    assert (row["state"], row["ended_at"]) == ("lapsed", town.now)
    assert row["reason"] == "quiet hours 20:00-08:00; its moment passed before it was free"


# -- the cap


@pytest.mark.parametrize(
    ("earlier", "cap", "is_held"),
    [
        ([], Cap(1, 7, DAY), False),
        ([WEEK - timedelta(seconds=1)], Cap(1, 7, DAY), True),
        ([WEEK], Cap(1, 7, DAY), False),
        ([DAY], Cap(2, 7, DAY), False),
        ([DAY, 2 * DAY], Cap(2, 7, DAY), True),
        ([DAY, 8 * DAY], Cap(2, 7, DAY), False),
        ([DAY, 2 * DAY, 3 * DAY], Cap(2, 7, DAY), True),
        # What a clock that ran ahead began bars nobody.
        ([-30 * DAY], Cap(1, 7, DAY), False),
        # Two senders' clocks differ by a little.
        ([timedelta(minutes=-1)], Cap(1, 7, DAY), True),
    ],
)
def test_nobody_gets_more_than_the_cap(
    town: Village, earlier: list[timedelta], cap: Cap, is_held: bool
) -> None:
    for ago in earlier:
        begun(town, ago)
    # None of these counts: not bulk, not theirs, not begun.
    begun(town, HOUR, kind="lesson")
    other = town.person("bea@schule.example")
    begun(town, HOUR, subscriber_id=other)
    mail(town, state="cancelled")
    town.restraint = Restraint(cap=cap)
    number = mail(town, "lifecycle")
    assert bool(town.start(lane=BULK)) is not is_held
    if is_held:
        row = town.row(DELIVERY, number)
        counted = sorted(earlier)[cap.mails - 1]
        assert row["reason"] == cap.reason
        free_at, lapses_at = town.now - counted + cap.days * DAY, town.now + cap.patience
        assert row["lapses_at"] == lapses_at
        assert row["next_attempt_at"] == min(free_at, lapses_at)


def test_of_two_campaigns_at_once_exactly_one_goes(town: Village) -> None:
    first, second = mail(town), mail(town)
    assert [one.id for one in town.start(lane=BULK)] == [first]
    row = town.row(DELIVERY, second)
    assert (row["state"], row["reason"]) == ("held", "frequency cap: 1 mail in 7 days")
    assert row["next_attempt_at"] == town.now + 3 * DAY  # when its patience ends
    town.clock.advance(3 * DAY)
    assert go_on(town) == (0, 1)
    assert town.state(second) == "lapsed"


def test_of_two_that_wait_the_second_may_go_where_the_first_may_not(town: Village) -> None:
    first = mail(town, slug="newsletter/nobody-published")
    second = mail(town)
    assert town.start(lane=BULK) == []
    assert (town.state(first), town.state(second)) == ("held", "queued")
    assert [one.id for one in town.start(lane=BULK)] == [second]


def test_what_was_held_for_a_mail_that_never_left_is_judged_anew(town: Village) -> None:
    first = mail(town)
    (started,) = town.start(lane=BULK)
    second = mail(town)
    assert town.start(lane=BULK) == []
    # No relay is there: the first is as if it had not begun, and then it is cancelled.
    town.do(outbox.unbegin, [started])
    town.do(outbox.cancel, [first], town.now)
    assert go_on(town) == (1, 0)
    assert [one.id for one in town.start(lane=BULK)] == [second]


def test_when_the_cap_is_free_again_it_goes(town: Village) -> None:
    begun(town, WEEK - HOUR)
    number = mail(town)
    assert town.start(lane=BULK) == []
    town.clock.advance(HOUR)
    assert rounds.run(town.database, town.clock, AGENDA).let_on == 1
    assert [one.id for one in town.start(lane=BULK)] == [number]
    assert rounds.run(town.database, town.clock, AGENDA).let_on == 0


def test_the_round_knows_when_the_next_may_go(town: Village) -> None:
    begun(town, WEEK - HOUR)
    mail(town)
    town.start(lane=BULK)
    assert town.do(rounds.next_moment, town.now, AGENDA) == town.now + HOUR


def test_lessons_neither_count_nor_wait(town: Village) -> None:
    lessons = [mail(town, "lesson") for _ in range(3)]
    assert [one.id for one in town.start()] == lessons
    assert len([mail(town), *town.start(lane=BULK)]) == 2


def test_who_left_in_the_meantime_is_not_held(town: Village) -> None:
    begun(town, DAY)
    number = mail(town, generation=7)
    town.start(lane=BULK)
    assert town.row(DELIVERY, number)["reason"] == "not confirmed"


def test_what_a_paused_campaign_keeps_back_is_left_to_it(town: Village) -> None:
    begun(town, DAY)
    campaign = town.campaign()
    number = mail(town, campaign_id=campaign)
    claims = town.claim(lane=BULK)
    town.change(CAMPAIGN, campaign, paused_at=town.now)
    assert town.do(outbox.spare, claims, town.gate()) == claims
    assert town.begin(claims) == []
    assert town.state(number) == "queued"


def test_many_are_spared_before_anybody_opens_a_connection(town: Village) -> None:
    begun(town, DAY)
    held, lesson = mail(town), mail(town, "lesson")
    claims = town.claim(lane=BULK) + town.claim(lane=1)
    left = town.do(outbox.spare, claims, town.gate())
    assert [claim.id for claim in left] == [lesson]
    assert town.state(held) == "held"
    claims = town.claim(lane=1, owner="another")
    town.restraint = HUSHED
    assert town.do(outbox.spare, claims, town.gate()) == claims


@pytest.mark.parametrize(
    ("now", "goes_on"),
    [
        (CAPPED, False),
        (Restraint(NIGHT, ONE_A_WEEK), False),
        (Restraint(cap=Cap(2, 7, DAY)), True),
        (HUSHED, True),
        (NO_RESTRAINT, True),
    ],
    ids=["as it was", "quiet hours besides", "a larger cap", "quiet hours alone", "none"],
)
def test_a_rule_that_changed_is_asked_anew_when_a_sender_begins(
    town: Village, now: Restraint, goes_on: bool
) -> None:
    begun(town, DAY)
    mail(town)
    town.start(lane=BULK)
    assert town.do(outbox.reconsider, now, town.now) == goes_on
    assert go_on(town) == (int(goes_on), 0)


def test_what_is_spared_needs_nobody_and_retry_leaves_it_where_it_is(town: Village) -> None:
    begun(town, DAY)
    number = mail(town)
    town.start(lane=BULK)
    assert town.do(outbox.needs, town.now).held == 0
    assert town.do(outbox.retry, [number]) == []
    assert town.do(outbox.cancel, [number], town.now) == [number]


def test_another_sender_waits_until_it_is_known_who_began(town: Village) -> None:
    if town.database.is_sqlite:
        pytest.skip("SQLite has one writer")
    mail(town)
    claims = town.claim(lane=BULK)
    mail(town)
    others = town.claim("another", lane=BULK)

    def both(connection: Any) -> None:
        assert len(outbox.begin(connection, claims, town.gate())) == 1

        def late(other: Any) -> None:
            other.execute(text("SET LOCAL lock_timeout = '50ms'"))
            outbox.begin(other, others, town.gate("another"))

        with connection.engine.begin() as other, pytest.raises(OperationalError, match="lock"):
            late(other)

    town.do(both)
    assert town.begin(others, "another") == []


# -- around it


def test_without_rules_the_intent_asks_what_it_always_asked() -> None:
    """A house without cap and quiet hours pays nothing for them."""
    asked = {
        rule: str(one._statement.compile(dialect=sqlite.dialect())) for rule, one in _BEGIN.items()
    }
    assert "mail_of_person" not in asked[None]
    assert "'newsletter'" not in asked[None]
    assert re.search("mail_of_person", asked["cap"])


def test_in_quiet_hours_a_sender_opens_no_connection(sqlite_village: Village) -> None:
    town = sqlite_village
    town.publish("newsletter/1")
    people = [town.learner(f"p{n}@schule.example") for n in range(30)]
    for person in people:
        town.delivery(person, "newsletter", slug="newsletter/1")
    town.clock.set(berlin("2026-11-23 22:00"))
    with Relay() as relay:
        send(town, relay, restraint=HUSHED)
        assert relay.sessions == 0
        assert outbox_states(town) == {"held": 30}
        town.clock.set(berlin("2026-11-24 08:00"))
        go_on(town)
        send(town, relay, restraint=HUSHED)
    assert outbox_states(town) == {"accepted": 30}


def outbox_states(town: Village) -> dict[str, int]:
    return {state: n for state, n in town.do(outbox.counts).items() if n}


def foresee(town: Village, restraint: Restraint) -> list[tuple[str, str]]:
    terms = Terms(town.now, town.now + 14 * DAY, restraint=restraint)
    found = town.database.read(lambda c: simulations.simulate(c, terms, AGENDA))
    return [(one.message, f"{one.due_at.astimezone(BERLIN):%a %d %H:%M}") for one in found]


def test_a_simulation_keeps_to_the_rules(sqlite_village: Village) -> None:
    town = sqlite_village
    for slug in ("newsletter/1", "newsletter/2", "newsletter/3"):
        town.publish(slug)
    stream = town.stream("newsletter", "newsletter")
    person = town.learner()
    town.subscribe(person, stream)
    for n, hours in enumerate((0, 11, 24), start=1):
        values = {"slug": f"newsletter/{n}", "scheduled_at": town.now + hours * HOUR}
        town.insert(CAMPAIGN, stream_id=stream, scheduled_by="editor", **values)
    plain = foresee(town, NO_RESTRAINT)
    assert [moment for _, moment in plain] == ["Mon 23 10:00", "Mon 23 21:00", "Tue 24 10:00"]
    assert foresee(town, HUSHED)[1] == ("newsletter/2", "Tue 24 08:00")
    patient = Restraint(NIGHT, Cap(2, 7, 30 * DAY))
    assert foresee(town, patient) == [
        ("newsletter/1", "Mon 23 10:00"),
        ("newsletter/2", "Tue 24 08:00"),
        ("newsletter/3", "Mon 30 10:00"),
    ]
    assert len(foresee(town, Restraint(cap=Cap(1, 7, DAY)))) == 1


def test_a_simulation_tells_when_what_is_held_now_goes_on(sqlite_village: Village) -> None:
    town = sqlite_village
    town.publish("newsletter/1")
    town.restraint = HUSHED
    town.clock.set(berlin("2026-11-23 22:00"))
    town.delivery(town.learner(), "newsletter", slug="newsletter/1")
    town.start(lane=BULK)
    assert foresee(town, HUSHED) == [("newsletter/1", "Tue 24 08:00")]


def test_the_settings_say_what_people_are_spared(tmp_path: Path) -> None:
    def read(toml: str) -> Restraint:
        (tmp_path / "l3mail.toml").write_text(toml, encoding="utf-8")
        return restraint_of(load_settings(tmp_path, {}))

    assert not read("")
    assert not read("[sending]\nfrequency_cap = { days = 3 }")
    found = read('[sending]\nquiet_hours = "20:00-08:00"\nfrequency_cap = { mails = 3, days = 5 }')
    assert found == Restraint(NIGHT, Cap(3, 5, WEEK))
