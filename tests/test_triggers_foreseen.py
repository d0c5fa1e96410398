"""What triggers will have due in the next days: told at once, as it would be from day to day."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from bench import multitude as multitudes
from sqlalchemy import Connection, event

from l3mail import triggers
from l3mail.triggers import Expected, Terms
from tests.fakes.parish import ASKING, BERLIN, berlin, declare, friend, happen, terms
from tests.fakes.village import BACKENDS, Village
from tests.test_triggers import EVERY_KIND, everything_happens

WEEK = timedelta(days=7)
EXPECTED = ("birthday", "joined")
"""Kinds that somebody of the crowd has due in any week."""


@pytest.fixture(scope="module", params=BACKENDS)
def multitude(request: pytest.FixtureRequest) -> Iterator[Village]:
    """Some thousand people and every kind of trigger, at noon on a Wednesday."""
    with multitudes.multitude(request.param, 4_000) as one:
        yield Village(one.database, one.clock)


def from_moment_to_moment(connection: Connection, now: Terms, until: datetime) -> list[Expected]:
    """What is due next, asked again at each moment that is found."""
    found = triggers.upcoming(connection, now)
    moment = now.now
    while later := [one.due_at for one in found if moment < one.due_at < until]:
        moment = min(later)
        following = triggers.upcoming(connection, replace(now, now=moment))
        found += [one for one in following if one.due_at > moment and one not in found]
    ahead = [one for one in found if one.due_at < until]
    return sorted(ahead, key=lambda one: (one.due_at, one.slug))


@pytest.mark.parametrize("hours", [0, 11, 14, 94.5])
def test_a_week_is_foreseen_as_if_it_were_asked_from_moment_to_moment(
    multitude: Village, hours: float
) -> None:
    now = Terms(multitude.now + timedelta(hours=hours), BERLIN, ASKING.question, "de")
    at_once = multitude.do(triggers.foreseen, now, now.now + WEEK)
    step_by_step = multitude.do(from_moment_to_moment, now, now.now + WEEK)
    assert at_once == step_by_step
    assert len(at_once) > 10
    assert {one.slug for one in at_once} >= {f"lifecycle/{kind}" for kind in EXPECTED}


# From moment to moment, a silence is lost sight of behind a day that nobody has: see below.
@pytest.mark.parametrize("kind", sorted(EVERY_KIND.keys() - {"inactive"}))
def test_a_mailing_of_any_kind_is_foreseen_as_it_comes(village: Village, kind: str) -> None:
    everything_happens(village, kind, people=3)
    for hours in (-200, -60, -10, -4, 0, 5, 30):
        village.clock.set(berlin("2027-05-10 13:00") + timedelta(hours=hours))
        now = terms(village)
        at_once = village.do(triggers.foreseen, now, now.now + WEEK)
        assert at_once == village.do(from_moment_to_moment, now, now.now + WEEK), hours


def statements(village: Village) -> int:
    asked: list[str] = []

    def verb(connection: Connection) -> list[Expected]:
        def note(_c: object, _cur: object, sql: str, *_rest: Any) -> None:
            asked.append(sql)

        event.listen(connection, "before_cursor_execute", note)
        try:
            return triggers.foreseen(connection, terms(village), village.now + WEEK)
        finally:
            event.remove(connection, "before_cursor_execute", note)

    assert village.do(verb)
    return len(asked)


def test_as_many_statements_are_asked_however_many_facts_there_are(village: Village) -> None:
    village.clock.set(berlin("2027-05-01 12:00"))
    declare(village, trigger="interested", of="video", after="2d")
    declare(village, "lifecycle/ort", trigger="joined", after="1d", segment="locale == 'de'")
    for n in range(2):
        happen(village, friend(village, f"p{n}", locale="de"), "interested", name="video")
        village.clock.advance(timedelta(minutes=5))
    few = statements(village)
    for n in range(2, 9):
        happen(village, friend(village, f"p{n}", locale="de"), "interested", name="video")
        village.clock.advance(timedelta(minutes=5))
    assert statements(village) == few


def test_a_segment_is_asked_of_the_day_a_mail_is_due_on(village: Village) -> None:
    """Who will have been there for two days by then is in, who has not is out."""
    village.clock.set(berlin("2027-05-01 12:00"))
    declare(village, trigger="interested", of="a", after="1d", segment="joined_days >= 2")
    declare(village, "lifecycle/b", trigger="interested", of="b", after="2d",
            segment="joined_days >= 2")  # fmt: skip
    ada = friend(village)
    for name in ("a", "b"):
        happen(village, ada, "interested", name=name)
    found = village.do(triggers.foreseen, terms(village), village.now + WEEK)
    assert [(one.slug, one.people) for one in found] == [("lifecycle/b", 1)]


def test_a_silence_is_foreseen_behind_days_that_nobody_has(village: Village) -> None:
    everything_happens(village, "inactive", people=3)
    village.clock.set(berlin("2027-05-08 01:00"))
    found = village.do(triggers.foreseen, terms(village), village.now + WEEK)
    assert [(one.due_at, one.people) for one in found] == [(berlin("2027-05-10 09:00"), 3)]
