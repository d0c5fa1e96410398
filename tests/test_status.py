"""`status`: what stands where, and when a person is needed."""

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from l3mail import courses, newsletters, outbox, rounds
from l3mail.clocks import FixedClock, SystemClock
from l3mail.database import opened
from l3mail.models import DELIVERY, ENROLLMENT
from l3mail.outbox import Needs
from l3mail.rounds import Due
from l3mail.segments import Question
from l3mail.subscribers import Rules
from tests.fakes.office import Office
from tests.fakes.village import MONDAY_TEN, PEPPER, Village

BERLIN = ZoneInfo("Europe/Berlin")
RULES = Rules(PEPPER, BERLIN, "de")
SETTINGS = '[sender]\nfrom = "Bildung <kurs@stadt.example>"\n[relay]\nport = 9\n'
ISSUE = "newsletter/2026-12"


def school(village: Village, *, published: bool = True) -> None:
    """A learner who waits for the first of two lessons."""
    outline = courses.Outline(
        "kurs",
        "Kurs",
        {"every_days": 1, "at": "10:00"},
        [("kurs/01", "lesson"), ("kurs/02", "lesson")],
    )
    village.do(courses.define, outline, village.stream(), village.now)
    for slug, _ in outline.lessons if published else ():
        village.publish(slug)
    village.do(courses.enroll, "kurs", village.learner(), village.now, BERLIN)


def schedule(village: Village, at: datetime) -> int:
    village.stream("newsletter", "newsletter")
    village.publish(ISSUE, stream="newsletter")
    return village.do(newsletters.schedule, ISSUE, at, segment=None, by="me", now=village.now)


def needs(village: Village) -> Needs:
    return village.do(outbox.needs, village.now - timedelta(hours=24))


def next_due(village: Village, limit: int = 5) -> list[Due]:
    return village.do(rounds.upcoming, village.now, rounds.Agenda(RULES, _nothing), limit)


# -- what the rows say, on both databases


def test_upcoming_is_what_is_due_and_not_planned_the_first_first(village: Village) -> None:
    school(village)
    schedule(village, MONDAY_TEN)
    another = village.learner("bea@schule.example")
    village.do(courses.enroll, "kurs", another, village.now, BERLIN)
    late = village.learner("cem@schule.example")
    village.do(courses.enroll, "kurs", late, village.now + timedelta(hours=1), BERLIN)
    lesson = Due(MONDAY_TEN, "kurs/01", 2)
    issue = Due(MONDAY_TEN, ISSUE, None)
    tomorrow = Due(MONDAY_TEN + timedelta(days=1), "kurs/01", 1)
    assert next_due(village) == [lesson, issue, tomorrow]
    assert next_due(village, 1) == [lesson]
    village.do(rounds._plan_lessons, village.now, rounds.Agenda(RULES, _nothing))
    assert next_due(village) == [issue, tomorrow]


def _nothing(*_: object) -> Question:
    raise AssertionError


def test_a_lesson_without_a_published_version_is_told_of_in_time(village: Village) -> None:
    school(village, published=False)
    unpublished = [Due(MONDAY_TEN, "kurs/01", 1)]
    assert village.do(rounds.unpublished, MONDAY_TEN) == unpublished
    assert village.do(rounds.unpublished, MONDAY_TEN - timedelta(seconds=1)) == []
    village.publish("kurs/01", "en")
    assert village.do(rounds.unpublished, MONDAY_TEN) == []


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"state": "uncertain", "next_attempt_at": None}, Needs(1, 0, 0, None)),
        ({"state": "uncertain", "next_attempt_at": MONDAY_TEN}, Needs(0, 0, 0, None)),
        ({"state": "held", "reason": "cap"}, Needs(0, 1, 0, None)),
        ({"state": "failed", "reason": "sender", "ended_at": MONDAY_TEN}, Needs(0, 0, 1, None)),
        ({"state": "failed", "reason": None, "ended_at": MONDAY_TEN}, Needs(0, 0, 1, None)),
        ({"state": "failed", "reason": "person", "ended_at": MONDAY_TEN}, Needs(0, 0, 0, None)),
        (
            {"state": "failed", "reason": "sender", "ended_at": MONDAY_TEN - timedelta(days=1)},
            Needs(0, 0, 0, None),
        ),
        ({"state": "queued", "due_at": MONDAY_TEN}, Needs(0, 0, 0, MONDAY_TEN)),
        ({"state": "queued", "lane": 2}, Needs(0, 0, 0, None)),
        ({"state": "deferred", "next_attempt_at": MONDAY_TEN}, Needs(0, 0, 0, None)),
        ({"state": "accepted", "ended_at": MONDAY_TEN}, Needs(0, 0, 0, None)),
    ],
    ids=lambda value: str(value) if isinstance(value, Needs) else str(value.get("state")),
)
def test_what_needs_a_person(village: Village, values: dict[str, Any], expected: Needs) -> None:
    village.delivery(village.learner(), **values)
    assert needs(village) == expected


def test_what_a_halt_keeps_back_does_not_count_as_waiting(village: Village) -> None:
    village.delivery(village.learner())
    village.do(outbox.halt, "everything", "", "me", village.now)
    assert needs(village).waiting_since is None


# -- the command


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return Office(tmp_path, SETTINGS)


def visit(office: Office, verb: Callable[[Village], object]) -> None:
    with opened(office.settings.database_url) as database:
        verb(Village(database, FixedClock(SystemClock().now())))


def status(office: Office) -> dict[str, Any]:
    result = office.run("status", "--json")
    assert result.returncode == 0, result.stderr
    shown: dict[str, Any] = json.loads(result.stdout)
    return shown


def test_an_idle_house_needs_nobody(office: Office) -> None:
    result = office.run("status", "--check")
    assert result.returncode == 0
    assert result.stdout == (
        "queue  0 queued, 0 sending, 0 uncertain, 0 failed, 0 held, 0 deferred\n"
        "next   nothing is due\n"
        "Nothing needs a person.\n"
    )
    shown = status(office)
    assert {"queued", "sending", "uncertain", "failed", "held", "deferred"} <= shown.keys()
    assert (shown["next_due_at"], shown["halted"], shown["needs"]) == (None, False, [])


def test_a_halt_is_the_first_line_and_needs_a_person(office: Office) -> None:
    office.run("halt")
    result = office.run("status", "--check")
    assert result.returncode == 1
    assert result.stdout.startswith("HALTED: everything, halted ")
    assert status(office)["halted"] is True
    assert office.run("status").returncode == 0  # only --check says so by its exit


def test_status_names_what_is_due_next_and_what_is_missing(office: Office) -> None:
    visit(office, lambda town: school(town, published=False))
    due = SystemClock().now() + timedelta(hours=30)
    visit(office, lambda town: town.change(ENROLLMENT, 1, next_due_at=due))
    shown = status(office)
    assert datetime.fromisoformat(str(shown["next_due_at"])) == due
    assert str(shown["next_due_at"]).endswith(("+01:00", "+02:00"))
    (unpublished,) = shown["unpublished"]
    assert unpublished["message"] == "kurs/01"
    result = office.run("status", "--check")
    assert result.returncode == 1
    assert "kurs/01 is not published and due" in result.stdout


def test_status_names_paused_issues_and_mails_that_wait_too_long(office: Office) -> None:
    def arrange(town: Village) -> None:
        number = schedule(town, town.now)
        town.do(newsletters.pause, number, town.now, "paused by me\x1b[2J")
        town.delivery(town.learner(), due_at=town.now - timedelta(hours=2))

    visit(office, arrange)
    result = office.run("status", "--check")
    assert result.returncode == 1
    assert f"needs  {ISSUE} is paused (paused by me\\x1b[2J), 0 wait" in result.stdout
    assert "is the relay up, is `l3mail run` running?" in result.stdout


def test_the_oldest_mail_that_waits_is_told_before_it_needs_anybody(office: Office) -> None:
    visit(office, lambda town: town.delivery(town.learner(), due_at=town.now))
    assert "oldest waiting" not in office.run("status").stdout
    visit(
        office,
        lambda town: town.delivery(
            town.learner("bea@schule.example"), due_at=town.now - timedelta(minutes=10)
        ),
    )
    result = office.run("status", "--check")
    assert re.search(
        r"oldest waiting since \w{3} [\d-]+ [\d:]+: is the relay 127.0.0.1:9 up,", result.stdout
    )
    assert result.returncode == 0


def test_status_says_when_the_settings_let_nothing_out(tmp_path: Path) -> None:
    office = Office(tmp_path, '[relay]\nhost = "mail.stadt.example"\n')
    result = office.run("status", "--check")
    assert result.returncode == 1
    assert 'sending is refused: "web.base_url"' in result.stdout


def test_what_is_overdue_is_due_next(village: Village) -> None:
    school(village)
    village.clock.set(datetime(2026, 11, 24, 9, 30, tzinfo=UTC))
    (due,) = next_due(village)
    assert due.due_at == MONDAY_TEN
    assert village.rows(DELIVERY) == []
