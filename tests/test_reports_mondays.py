"""The weekly report mails itself: on Monday, once, however late, and to the staff alone."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import update

from l3mail import reports, rounds, simulations, wiring
from l3mail.audiences import Terms as AskingTerms
from l3mail.database import Database
from l3mail.models import DELIVERY, MESSAGE, WORKSPACE
from l3mail.reports import Mondays, Span, placeholder, spans
from l3mail.rounds import Agenda
from l3mail.settings import load_settings
from l3mail.staff import Letter
from l3mail.subscribers import Rules
from l3mail.wiring.reporting import Scribe
from tests.fakes.desk import Desk, at_a_desk
from tests.fakes.village import BACKENDS, PEPPER, Village, ground
from tests.test_courses import enroll, school

BERLIN = ZoneInfo("Europe/Berlin")
OFFICE = "amt@stadt.example"
SECOND = "leitung@stadt.example"
EIGHT = datetime(2026, 11, 23, 7, 0, tzinfo=UTC)  # Monday, 08:00 in Berlin
MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)
WEEK = timedelta(weeks=1)


@pytest.fixture(scope="module", params=BACKENDS)
def database(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Database]:
    with ground(request.param, tmp_path_factory.mktemp("mondays")) as database:
        yield database


@pytest.fixture
def village(database: Database) -> Village:
    village = Village(database)
    village.empty()
    set_up_at(village, EIGHT - 20 * WEEK)
    return village


def set_up_at(village: Village, moment: datetime) -> None:
    village.database.write(lambda c: c.execute(update(WORKSPACE).values(created_at=moment)))


def agenda(*to: str) -> Agenda:
    mondays = Mondays(frozenset(to or (OFFICE,)), time(8), BERLIN, placeholder("de"))
    terms = AskingTerms(BERLIN, "off", "de", {}, ())
    return Agenda(Rules(PEPPER, BERLIN, "de"), terms.question, planners=(mondays.planner(),))


def live(village: Village, moment: datetime, *to: str) -> int:
    village.clock.set(moment)
    return rounds.run(village.database, village.clock, agenda(*to)).planned


def mailed(village: Village) -> list[tuple[str, str]]:
    return [(row["address"], row["occurrence"]) for row in village.rows(DELIVERY)]


def next_moment(village: Village, now: datetime, *to: str) -> datetime | None:
    return village.database.read(lambda c: rounds.next_moment(c, now, agenda(*to)))


def test_it_is_planned_on_monday_at_eight_and_only_once(village: Village) -> None:
    assert live(village, EIGHT - MINUTE) == 0
    assert live(village, EIGHT) == 1
    for later in (EIGHT, EIGHT + MINUTE, EIGHT + 6 * DAY):
        assert live(village, later) == 0
    (row,) = village.rows(DELIVERY)
    assert (row["purpose"], row["kind"], row["slug"]) == ("staff", "report", "report/weekly")
    assert (row["occurrence"], row["due_at"]) == ("report:2026-W47", EIGHT)


def test_whoever_slept_sends_it_late_in_the_week_and_not_twice(village: Village) -> None:
    assert live(village, EIGHT + 5 * DAY) == 1
    assert mailed(village) == [(OFFICE, "report:2026-W47")]
    assert live(village, EIGHT + 3 * WEEK) == 1
    assert mailed(village)[1:] == [(OFFICE, "report:2026-W50")]


def test_who_is_named_later_in_the_week_gets_it_too(village: Village) -> None:
    live(village, EIGHT)
    assert live(village, EIGHT + DAY, OFFICE, SECOND) == 1
    assert mailed(village)[1:] == [(SECOND, "report:2026-W47")]


def test_nobody_named_means_nothing_planned(village: Village) -> None:
    nobody = Mondays(frozenset(), time(8), BERLIN, placeholder("de"))
    assert village.do(nobody.step, EIGHT, agenda()).planned == 0
    assert village.do(nobody.next_moment, EIGHT, agenda()) is None


def test_a_new_house_tells_nothing_of_weeks_before_it(village: Village) -> None:
    set_up_at(village, EIGHT + DAY)
    assert live(village, EIGHT + 2 * DAY) == 0
    assert next_moment(village, EIGHT + 2 * DAY) == EIGHT + WEEK
    assert live(village, EIGHT + WEEK) == 1


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (EIGHT - MINUTE, EIGHT),
        (EIGHT, EIGHT + WEEK),
        (EIGHT + 6 * DAY, EIGHT + WEEK),
        # Clocks go forward on Sunday, 28 March 2027, and back on 25 October 2026.
        (datetime(2027, 3, 22, 7, 0, tzinfo=UTC), datetime(2027, 3, 29, 6, 0, tzinfo=UTC)),
        (datetime(2026, 10, 19, 6, 0, tzinfo=UTC), datetime(2026, 10, 26, 7, 0, tzinfo=UTC)),
    ],
)
def test_the_next_moment_is_monday_at_eight_by_the_clocks(
    village: Village, now: datetime, expected: datetime
) -> None:
    assert next_moment(village, now) == expected


def test_a_letter_still_being_written_is_asked_for_again(village: Village) -> None:
    asked: list[str] = []

    def write(span: Span, _now: datetime) -> Letter | None:
        asked.append(span.week)
        return None if len(asked) < 3 else Letter("report/weekly", "report", "de", "x", "x\n")

    mondays = Mondays(frozenset({OFFICE}), time(8), BERLIN, write)
    patient = Agenda(agenda().rules, agenda().questions, planners=(mondays.planner(),))
    village.clock.set(EIGHT)
    assert rounds.run(village.database, village.clock, patient).planned == 1
    assert asked == ["2026-W47"] * 3


def test_a_simulation_foresees_every_monday_and_the_house_then_does_it(village: Village) -> None:
    school(village)
    enroll(village, village.learner())
    village.clock.set(EIGHT + DAY)
    live(village, village.now)
    terms = simulations.Terms(
        village.now, village.now + 8 * WEEK, staff=frozenset({OFFICE}), fallback_locale="de"
    )
    foreseen = village.database.read(lambda c: simulations.simulate(c, terms, agenda()))
    told = [(mail.kind, mail.message, mail.email, mail.due_at) for mail in foreseen]
    assert [one for one in told if one[0] == "report"][1:] == [
        ("report", "report/weekly", OFFICE, EIGHT + number * WEEK) for number in range(1, 9)
    ]
    for number in range(1, 9):
        live(village, EIGHT + number * WEEK + MINUTE)
    came = [row["due_at"] for row in village.rows(DELIVERY) if row["kind"] == "report"]
    assert sorted(came) == [EIGHT + number * WEEK for number in range(9)]


def test_who_left_the_staff_gets_no_report(village: Village) -> None:
    live(village, EIGHT, OFFICE, SECOND)
    started = village.begin(village.claim(lane=0))
    assert [one.address for one in started] == [OFFICE]
    (gone,) = (row for row in village.rows(DELIVERY) if row["address"] == SECOND)
    assert (gone["state"], gone["reason"]) == ("cancelled", "address is not listed as staff")


# -- the real letter, in a workspace


@pytest.fixture
def desk(tmp_path: Path, capsys: object, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    with at_a_desk(tmp_path, capsys, monkeypatch) as desk:
        file = tmp_path / "l3mail.toml"
        text = file.read_text(encoding="utf-8") + f'\n[reports]\nto = ["{OFFICE}"]\n'
        file.write_text(text, encoding="utf-8")
        set_up_at(desk.village, EIGHT - 3 * WEEK)
        yield desk


def test_the_house_writes_the_real_report_beside_its_planning(desk: Desk) -> None:
    settings = load_settings(desk.folder, {})
    village = desk.village
    assert rounds.run(village.database, village.clock, wiring.make_agenda(settings)).planned == 1
    (message,) = village.rows(MESSAGE)
    assert message["compiled"]["subject"].startswith("Wochenbericht 47/2026")
    assert "Noch hat sich niemand angemeldet" in message["compiled"]["text"]
    assert "<h1" in message["compiled"]["html"]
    rehearsed = wiring.make_agenda(settings, rehearsing=True)
    assert rounds.run(village.database, village.clock, rehearsed).planned == 0


@pytest.mark.parametrize(
    "text", [None, "", "---\nlight: {accent: rot}\n---\n<mjml>", "<mjml><mj-x>"]
)
def test_with_a_broken_layout_or_none_the_report_goes_out_on_ours(
    desk: Desk, text: str | None
) -> None:
    file = desk.folder / "templates" / "layouts" / "report.mjml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.unlink(missing_ok=True)
    if text is not None:
        file.write_text(text, encoding="utf-8")
    settings, village = load_settings(desk.folder, {}), desk.village
    assert rounds.run(village.database, village.clock, wiring.make_agenda(settings)).planned == 1
    (message,) = village.rows(MESSAGE)
    assert "<h1" in message["compiled"]["html"]
    assert "prefers-color-scheme: dark" in message["compiled"]["html"]


def test_a_fault_in_writing_is_told_and_tried_again(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = load_settings(desk.folder, {})
    agenda_, look = wiring.make_agenda(settings), reports.look

    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(reports, "look", broken)
    with pytest.raises(ZeroDivisionError):
        rounds.run(desk.village.database, desk.village.clock, agenda_)
    monkeypatch.setattr(reports, "look", look)
    assert rounds.run(desk.village.database, desk.village.clock, agenda_).planned == 1


def test_nobody_waits_for_a_letter_when_the_house_stops(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python waits at its end for every thread that is no daemon, a database's readers too."""
    settings, village = load_settings(desk.folder, {}), desk.village
    begun, go_on = threading.Event(), threading.Event()
    look = reports.look

    def slow(*terms: Any) -> Any:
        begun.set()
        go_on.wait()
        return look(*terms)

    monkeypatch.setattr(reports, "look", slow)
    scribe = Scribe(settings)
    span, before = spans.last_week(village.now, settings.zone), set(threading.enumerate())
    assert scribe.write(span, village.now) is None
    begun.wait()
    writing = set(threading.enumerate()) - before
    assert writing
    assert all(thread.daemon for thread in writing)
    go_on.set()
    while (letter := scribe.write(span, village.now)) is None:
        pass
    assert letter.kind == "report"


def test_simulate_lists_the_report_as_a_real_run_does(desk: Desk) -> None:
    rows = [row for row in desk.json("simulate", "--weeks", "3") if row["kind"] == "report"]
    assert [(row["email"], row["message"], row["due_at"]) for row in rows] == [
        (OFFICE, "report/weekly", f"{day}T08:00:00+01:00")
        for day in ("2026-11-23", "2026-11-30", "2026-12-07", "2026-12-14")
    ]
