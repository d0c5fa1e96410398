"""Mails to the person on duty, planned from rows: on both databases and a virtual clock."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Connection, event

from l3mail import actions, alarms, courses, newsletters, outbox, publishing, rounds
from l3mail.alarms import Duty
from l3mail.alarms.letters import Part
from l3mail.database import Database
from l3mail.errors import L3mailError
from l3mail.models import DELIVERY, ENROLLMENT, MESSAGE
from l3mail.outbox import Attempt, Outcome
from l3mail.outbox import Cause as Refusal
from l3mail.rendering import fill
from l3mail.rounds import Agenda
from l3mail.segments import Question
from l3mail.subscribers import Rules
from tests.fakes.chromium import CHROMIUM, browser, faults
from tests.fakes.village import BACKENDS, MONDAY_TEN, PEPPER, POLICY, Village, ground

BERLIN = ZoneInfo("Europe/Berlin")
OFFICE = "amt@stadt.example"
DUTY = Duty((OFFICE,), "Bildung in Musterstadt", BERLIN, "de")
ISSUE = "newsletter/2026-12"
HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)


@pytest.fixture(scope="module", params=BACKENDS)
def database(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Database]:
    with ground(request.param, tmp_path_factory.mktemp("alarms")) as database:
        yield database


@pytest.fixture
def village(database: Database) -> Village:
    village = Village(database)
    village.empty()
    return village


@pytest.fixture
def postgres_village(tmp_path: Path) -> Iterator[Village]:
    with ground("postgres", tmp_path) as database:
        yield Village(database)


def no_segment(connection: Connection, name: str, now: datetime) -> Question:
    raise L3mailError(f"{name} is gone, says ada@schule.example")


def agenda(duty: Duty = DUTY) -> Agenda:
    rules = Rules(PEPPER, duty.zone, duty.locale)
    return Agenda(rules, no_segment, planners=(alarms.planner(duty),))


def tick(village: Village, duty: Duty = DUTY) -> list[str]:
    """The subjects of what one round writes to the staff."""
    before = {row["id"] for row in notices(village)}
    rounds.run(village.database, village.clock, agenda(duty))
    new = [row for row in notices(village) if row["id"] not in before]
    return [part(village, row, "subject") for row in new]


def notices(village: Village) -> list[dict[str, object]]:
    return [row for row in village.rows() if row["kind"] == "notice"]


def part(village: Village, row: dict[str, object], name: str) -> str:
    (text,) = village.do(publishing.load, [row["message_id"]]).values()  # type: ignore[list-item]
    return fill(text.compiled, name, {})


def text(village: Village) -> str:
    """The newest mail to the staff."""
    return part(village, notices(village)[-1], "text")


def send(village: Village) -> list[int]:
    """What goes to the staff now."""
    started = village.start(lane=0)
    for delivery in started:
        village.record(delivery, Outcome.ACCEPTED)
    return [delivery.id for delivery in started]


def advance(village: Village, by: timedelta) -> None:
    village.clock.advance(by)


# -- what begins, and what does not


def waits(village: Village) -> None:
    village.delivery(
        village.learner(), due_at=village.now - 2 * HOUR, planned_at=village.now - HOUR
    )
    advance(village, MINUTE)


def doubts(village: Village) -> None:
    village.delivery(village.learner(), state="uncertain", next_attempt_at=None)


def resends(village: Village) -> None:
    village.delivery(village.learner(), state="uncertain", next_attempt_at=village.now + HOUR)


def halts(village: Village) -> None:
    village.delivery(
        village.learner(), due_at=village.now - 2 * HOUR, planned_at=village.now - HOUR
    )
    village.do(outbox.halt, "everything", "", "me", village.now)


def refuses(village: Village) -> None:
    village.do(outbox.halt, "message", "kurs/01", outbox.BY_ITSELF, village.now)


def issue(village: Village, segment: str | None = None) -> int:
    reader = village.person("bea@schule.example")
    village.subscribe(reader, village.stream("newsletter", "newsletter"))
    village.publish(ISSUE, stream="newsletter")
    now = village.now
    return village.do(newsletters.schedule, ISSUE, now, segment=segment, by="me", now=now)


def pauses(village: Village) -> None:
    village.do(newsletters.pause, issue(village), village.now, "paused by me")


def asks_in_vain(village: Village) -> None:
    issue(village, "alle")


def refuses_issue(village: Village) -> None:
    issue(village)
    rounds.run(village.database, village.clock, Agenda(agenda().rules, no_segment))
    (started,) = village.start(lane=2)
    attempt = Attempt(started, Outcome.REJECTED, "mail", code=550, cause=Refusal.SENDER)
    village.do(outbox.record, [attempt], village.now, POLICY)


def school(village: Village, *, published: bool = True, learners: int = 1, **rules: object) -> int:
    outline = courses.Outline(
        "kurs",
        "Kurs",
        {"every_days": 1, "at": "10:00"},
        [("kurs/01", "lesson"), ("kurs/02", "lesson")],
        rules=dict(rules),
    )
    structure = village.do(courses.define, outline, village.stream(), village.now)
    for slug, _ in outline.lessons if published else ():
        village.publish(slug)
    for n in range(learners):
        person = village.learner(f"p{n}@schule.example")
        village.do(courses.enroll, "kurs", person, village.now, BERLIN)
    return structure


def unpublished(village: Village) -> None:
    advance(village, HOUR)
    school(village, published=False)


def fails(village: Village) -> None:
    village.delivery(village.learner(), state="failed", reason="content", ended_at=village.now)


def holds(village: Village) -> None:
    village.delivery(village.learner(), state="held", reason="cap")


CAUSES: dict[str, tuple[Callable[[Village], None], list[str]]] = {
    "nothing": (lambda _: None, []),
    "mail waits that nobody works at": (waits, ["E-Mails warten"]),
    "uncertain, and no rule settles it": (doubts, ["Ungewisse E-Mails"]),
    "uncertain, and sent again by rule": (resends, []),
    "an operator's halt": (halts, []),
    "the relay refuses our sender": (refuses, ["Absender abgelehnt (kurs/01)"]),
    "the relay refuses an issue's sender": (
        refuses_issue,
        [f"{ISSUE} ruht", f"{ISSUE}, Mo 10:00: 1 geplant, 0 angenommen, 0 ungewiss, 1 gescheitert"],
    ),
    "a campaign is paused": (pauses, [f"{ISSUE} ruht"]),
    "a segment can't be asked": (asks_in_vain, [f"{ISSUE} ruht"]),
    "unpublished and due in 48 hours": (unpublished, ["kurs/01 ist nicht veröffentlicht"]),
    "failed ones are counted elsewhere": (fails, []),
    "held ones wait for what they wait for": (holds, []),
}


@pytest.mark.parametrize(("begin", "told"), CAUSES.values(), ids=CAUSES)
def test_which_causes_fetch_somebody(
    village: Village, begin: Callable[[Village], None], told: list[str]
) -> None:
    assert tick(village) == []
    begin(village)
    assert tick(village) == [f"[Bildung in Musterstadt] {subject}" for subject in told]
    assert tick(village) == []
    for row in notices(village):
        slug = "notice/clear" if "clear" in str(row["occurrence"]) else "notice/alarm"
        assert (row["purpose"], row["slug"], row["address"]) == ("staff", slug, OFFICE)
        assert "schule.example" not in text(village)
        assert "`l3mail " in text(village)


def test_a_course_without_an_open_day_is_told_of(village: Village) -> None:
    tick(village)
    school(village, learners=2)
    never: dict[str, Any] = {"closed": ["2026-11-20..2099-12-31"]}
    structure = school(village, learners=0, **never)
    for row in village.rows(ENROLLMENT):
        village.change(ENROLLMENT, row["id"], structure_id=structure)
    advance(village, timedelta(days=4))
    assert tick(village) == ["[Bildung in Musterstadt] Kein offener Tag im Kurs kurs"]
    assert "2 Lernende im Kurs kurs finden seit 23.11.2026, 10:00 Uhr keinen" in text(village)


def test_a_lesson_that_was_due_without_a_text_is_not_over(village: Village) -> None:
    """Held, it is nobody's next lesson any more, and yet nobody has it."""
    tick(village)
    school(village, published=False)
    assert tick(village) == ["[Bildung in Musterstadt] kurs/01 ist nicht veröffentlicht"]
    village.start()
    assert [row["state"] for row in village.rows() if row["kind"] == "lesson"] == ["held"]
    assert tick(village) == []
    village.publish("kurs/01")
    village.publish("kurs/02")
    subject = "Wieder in Ordnung: „kurs/01 ist nicht veröffentlicht“"
    assert tick(village) == [f"[Bildung in Musterstadt] {subject}"]


# -- waiting, which is not the same as late


def test_late_is_no_alarm_while_somebody_works_at_it(village: Village) -> None:
    waits(village)
    claims = village.claim()
    assert tick(village) == []
    village.give_back(claims)
    assert len(tick(village)) == 1


def test_what_a_house_that_slept_has_just_planned_is_about_to_go(village: Village) -> None:
    school(village)
    advance(village, 3 * HOUR)
    assert tick(village) == []
    assert [row["state"] for row in village.rows()] == ["queued"]


@pytest.mark.parametrize(
    "command", ["resume", "resume kind lesson", "db reconcile", "outbox retry 7", "content revert"]
)
def test_what_an_operator_has_just_let_go_is_about_to_go(village: Village, command: str) -> None:
    waits(village)
    village.do(actions.note, "me", command, {}, village.now)
    assert tick(village) == []
    advance(village, 2 * MINUTE)
    assert len(tick(village)) == 1


@pytest.mark.parametrize("command", ["newsletters reject newsletter/1", "halt", "segments save"])
def test_what_lets_nothing_go_does_not_keep_the_alarm_back(village: Village, command: str) -> None:
    waits(village)
    village.do(actions.note, "me", command, {}, village.now)
    assert len(tick(village)) == 1


def test_what_a_halt_hides_is_not_over(village: Village) -> None:
    waits(village)
    assert len(tick(village)) == 1
    village.do(outbox.halt, "everything", "", "me", village.now)
    assert tick(village) == []
    village.do(outbox.resume)
    assert tick(village) == []


def test_it_is_over_when_the_last_late_mail_is_gone(village: Village) -> None:
    waits(village)
    assert len(tick(village)) == 1
    claims = village.claim()
    assert tick(village) == []
    for started in village.begin(claims):
        village.record(started, Outcome.ACCEPTED)
    send(village)
    assert tick(village) == ["[Bildung in Musterstadt] Wieder in Ordnung: „E-Mails warten“"]
    assert "gemeldet am 23.11.2026, 10:01 Uhr" in text(village)
    assert tick(village) == []


# -- what it says, to whom, how often


def test_several_causes_of_one_moment_are_one_mail_with_the_rest_beside(village: Village) -> None:
    doubts(village)
    pauses(village)
    holds_for = village.person("cem@schule.example")
    village.delivery(holds_for, state="held", reason="cap")
    village.do(outbox.halt, "kind", "lifecycle", "me", village.now)
    assert tick(village) == ["[Bildung in Musterstadt] Ungewisse E-Mails und eine weitere Meldung"]
    (row,) = notices(village)
    assert row["occurrence"] == "notice:uncertain:2026-11-23T09"
    assert part(village, row, "text") == (
        "Ungewisse E-Mails und eine weitere Meldung\n\n"
        "Stand 23.11.2026, 10:00 Uhr: Bitte sehen Sie einmal nach.\n\n"
        "Neu\n"
        "- 1 ungewiss: `l3mail outbox list --status uncertain` zeigt sie,"
        " `l3mail outbox resolve --message SLUG` klärt alle einer Ausgabe oder Lektion auf einmal\n"
        f"- {ISSUE} ruht (paused by me), 0 warten: `l3mail newsletters resume` setzt fort\n\n"
        "Außerdem\n"
        "- kind lifecycle ist seit 23.11.2026, 10:00 Uhr angehalten (von me):"
        " `l3mail resume` hebt das auf\n"
        "- 1 zurückgehalten: `l3mail outbox list --status held`\n\n"
        "Wie es steht, zeigt `l3mail status`. Solange etwas andauert, erinnern wir Sie einmal am"
        " Tag daran; ist es vorbei, schreiben wir Ihnen noch einmal.\n\n"
        "-- \nBildung in Musterstadt\n"
    )
    html = part(village, row, "html")
    assert "<code>l3mail outbox list --status uncertain</code>" in html
    assert "prefers-color-scheme: dark" in html
    assert "http" not in html


def test_it_is_repeated_once_a_day_while_it_lasts(village: Village) -> None:
    doubts(village)
    told = []
    for _ in range(50):
        told += [subject.partition("] ")[2] for subject in tick(village)]
        send(village)
        advance(village, HOUR)
    assert told == ["Ungewisse E-Mails", *["Noch immer: Ungewisse E-Mails"] * 2]
    assert "(gemeldet am 23.11.2026, 10:00 Uhr)" in text(village)


def test_an_alarm_the_relay_never_took_lapses_and_what_lasts_is_told_anew(village: Village) -> None:
    doubts(village)
    assert len(tick(village)) == 1
    advance(village, 7 * HOUR)
    # The relay is back: the old alarm is not sent any more.
    assert send(village) == []
    assert [row["state"] for row in notices(village)] == ["lapsed"]
    assert tick(village) == ["[Bildung in Musterstadt] Noch immer: Ungewisse E-Mails"]
    assert tick(village) == []
    assert len(send(village)) == 1


def test_everybody_on_duty_gets_it_in_the_houses_language(village: Village) -> None:
    doubts(village)
    english = replace(DUTY, to=(OFFICE, "it@stadt.example"), locale="en", house="L3 <b>")
    assert tick(village, english) == ["[L3 <b>] Uncertain mails"] * 2
    (row, _) = notices(village)
    assert "please have a look" in part(village, row, "text")
    assert '<html lang="en">' in part(village, row, "html")
    assert "L3 &lt;b&gt;" in part(village, row, "html")


def test_while_nobody_is_on_duty_nothing_is_written(village: Village) -> None:
    doubts(village)
    nobody = replace(DUTY, to=())
    assert tick(village, nobody) == []
    assert not village.rows(MESSAGE)
    assert village.do(rounds.next_moment, village.now, agenda(nobody)) is None


def test_it_can_be_halted_like_any_mail(village: Village) -> None:
    doubts(village)
    tick(village)
    village.do(outbox.require_slug, "notice/alarm")
    village.do(outbox.halt, "message", "notice/alarm", "me", village.now)
    assert send(village) == []


def test_an_alarm_is_no_cause_for_an_alarm(village: Village) -> None:
    """Halted, it waits for nobody; else it is late like any mail, and that is told."""
    doubts(village)
    tick(village)
    village.do(outbox.halt, "kind", "notice", "me", village.now)
    advance(village, 2 * HOUR)
    assert tick(village) == []


def test_two_tickers_at_once_write_one_mail(village: Village) -> None:
    doubts(village)
    tick(village, replace(DUTY, to=()))
    barrier = threading.Barrier(2)

    def together() -> None:
        barrier.wait()
        rounds.run(village.database, village.clock, agenda())

    threads = [threading.Thread(target=together) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(notices(village)) == 1


@pytest.mark.postgres
def test_who_comes_second_sees_what_the_first_told(postgres_village: Village) -> None:
    """The second looks while the first has not committed; on SQLite it would have to wait."""
    village = postgres_village
    doubts(village)

    def first(connection: Connection) -> int:
        planned = rounds.due(connection, village.now, agenda()).planned
        assert village.do(rounds.due, village.now, agenda()).planned == 0
        return planned

    assert village.database.write(first) == 1
    assert tick(village) == []


def test_looking_for_alarms_scans_no_large_table(sqlite_village: Village) -> None:
    """Every few seconds, so of indexes alone: by SQLite's own account."""
    village = sqlite_village
    tick(village)
    school(village)
    waits(village)
    asks_in_vain(village)
    advance(village, HOUR)
    rounds.run(village.database, village.clock, Agenda(agenda().rules, no_segment))
    asked: list[tuple[str, Any]] = []

    def note(_connection: object, _cursor: object, statement: str, values: Any, *_: object) -> None:
        asked.append((statement, values))

    def verb(connection: Connection) -> list[str]:
        event.listen(connection, "before_cursor_execute", note)
        agenda().planners[0].step(connection, village.now, agenda())
        event.remove(connection, "before_cursor_execute", note)
        return [
            str(row[3])
            for statement, values in asked
            if not statement.startswith("INSERT")
            for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values)
        ]

    steps = village.database.write(verb)
    assert "SEARCH delivery USING INDEX delivery_slot (due_at>? AND due_at<?)" in steps
    scans = [step for step in steps if step.startswith("SCAN") and "INDEX" not in step]
    assert not {step.split()[1] for step in scans} & {"delivery", "enrollment", "subscriber"}, scans


# -- the ceiling of sign-ups


def test_the_ceiling_is_told_once_an_hour(village: Village) -> None:
    def ring() -> int:
        return village.do(alarms.ring, village.now, DUTY, 600)

    assert [ring(), ring()] == [1, 0]
    advance(village, HOUR)
    assert ring() == 1
    (row, _) = notices(village)
    assert (row["slug"], row["occurrence"]) == ("notice/signups", "notice:signups:2026-11-23T09")
    assert "mehr als 600 Anmeldungen" in text(village)
    assert village.do(alarms.ring, village.now + HOUR, replace(DUTY, to=()), 600) == 0


def test_the_ceiling_of_an_event_is_told_beside_that_of_all(sqlite_village: Village) -> None:
    village = sqlite_village

    def ring(source: str) -> int:
        return village.do(alarms.ring, village.now, DUTY, 600, source=source)

    assert [ring(""), ring("stadtfest"), ring("stadtfest"), ring("fachtag")] == [1, 1, 0, 1]
    occurrences = [str(row["occurrence"]) for row in notices(village)]
    assert sorted(occurrences) == [
        "notice:signups:2026-11-23T09",
        "notice:signups:fachtag:2026-11-23T09",
        "notice:signups:stadtfest:2026-11-23T09",
    ]


# -- the all-clear


def lesson_ends(village: Village, outcome: Outcome = Outcome.ACCEPTED, n: int = 99) -> None:
    for started in village.begin(village.claim(limit=n)):
        village.record(started, outcome, stage="dot", code=450)


def clear(village: Village) -> list[str]:
    return [subject.partition("] ")[2] for subject in tick(village)]


@pytest.fixture
def town(village: Village) -> Village:
    """Three learners whose first lesson is due at ten on Tuesday; somebody is on duty."""
    advance(village, MINUTE)
    assert tick(village) == []
    school(village, learners=3)
    advance(village, timedelta(days=1) - MINUTE)
    return village


def test_all_is_clear_when_the_last_mail_of_a_slot_has_ended(town: Village) -> None:
    assert clear(town) == []
    lesson_ends(town, n=2)
    assert clear(town) == []
    lesson_ends(town)
    assert clear(town) == ["Di 10:00: 3 geplant, 3 angenommen, 0 ungewiss"]
    assert clear(town) == []
    (row,) = notices(town)
    assert (row["slug"], row["occurrence"]) == (
        "notice/clear",
        "notice:clear:2026-11-24T09:00:00Z",
    )
    assert "kurs: 3 geplant, 3 angenommen, 0 ungewiss" in text(town)
    assert "Es ist nichts zu tun." in text(town)
    advance(town, timedelta(days=1))
    tick(town)
    lesson_ends(town)
    assert clear(town) == ["Mi 10:00: 3 geplant, 3 angenommen, 0 ungewiss"]


def test_a_slot_is_not_through_while_somebody_is_not_planned_for(town: Village) -> None:
    small = replace(agenda(), batch=2, planners=())
    assert town.do(rounds.due, town.now, small).planned == 2
    lesson_ends(town)
    assert town.do(agenda().planners[0].step, town.now, agenda()).planned == 0
    assert clear(town) == []
    lesson_ends(town)
    assert clear(town) == ["Di 10:00: 3 geplant, 3 angenommen, 0 ungewiss"]


def test_after_two_hours_it_says_what_still_waits(town: Village) -> None:
    clear(town)
    lesson_ends(town, n=1)
    lesson_ends(town, Outcome.DEFERRED, n=1)
    advance(town, 2 * HOUR - MINUTE)
    assert not any("geplant" in subject for subject in clear(town))
    advance(town, MINUTE)
    expected = "Di 10:00: 3 geplant, 1 angenommen, 0 ungewiss, 1 verschoben, 1 warten noch"
    assert expected in clear(town)
    assert "Nach zwei Stunden sind 2 noch unterwegs" in text(town)
    lesson_ends(town)
    assert not any("geplant" in subject for subject in clear(town))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"state": "failed"}, "1 gescheitert"),
        ({"state": "cancelled"}, "1 nicht gesendet"),
        ({"state": "lapsed"}, "1 nicht gesendet"),
        ({"state": "uncertain", "next_attempt_at": None}, "1 ungewiss"),
    ],
    ids=lambda value: value if isinstance(value, str) else value["state"],
)
def test_whatever_ended_is_counted(town: Village, values: dict[str, object], words: str) -> None:
    clear(town)
    lesson_ends(town, n=2)
    (row,) = [row for row in town.rows() if row["state"] == "queued"]
    town.change(DELIVERY, row["id"], ended_at=town.now, **values)
    (subject,) = [subject for subject in clear(town) if "geplant" in subject]
    assert subject.startswith("Di 10:00: 3 geplant, 2 angenommen, ")
    assert words in subject


def test_what_a_rule_will_settle_is_waited_for(town: Village) -> None:
    clear(town)
    lesson_ends(town, Outcome.UNKNOWN)
    assert clear(town) == []
    advance(town, timedelta(minutes=11))
    town.settle()
    lesson_ends(town)
    assert clear(town) == ["Di 10:00: 3 geplant, 3 angenommen, 0 ungewiss"]


def test_courses_of_one_slot_share_a_mail(town: Village) -> None:
    outline = courses.Outline(
        "anderer", "Anderer", {"every_days": 1, "at": "10:00"}, [("kurs/01", "lesson")]
    )
    town.do(courses.define, outline, town.stream("anderer"), town.now)
    person = town.person("zoe@schule.example")
    town.subscribe(person, town.stream("anderer"))
    town.do(courses.enroll, "anderer", person, town.now, BERLIN)
    tick(town)
    lesson_ends(town)
    assert clear(town) == ["Di 10:00: 4 geplant, 4 angenommen, 0 ungewiss"]
    assert "- anderer: 1 geplant" in text(town)
    assert "- kurs: 3 geplant" in text(town)


def test_a_welcome_is_no_slot(town: Village) -> None:
    person = town.learner("zoe@schule.example")
    journey = town.do(courses.enroll, "kurs", person, town.now, BERLIN)
    welcomed_at = town.now - MINUTE
    town.delivery(person, "welcome", enrollment_id=journey, due_at=welcomed_at)
    lesson_ends(town)
    assert clear(town) == []


def test_what_was_before_somebody_was_on_duty_is_not_told(village: Village) -> None:
    school(village, learners=2)
    nobody = replace(DUTY, to=())
    tick(village, nobody)
    lesson_ends(village)
    advance(village, MINUTE)
    assert clear(village) == []
    advance(village, 3 * HOUR)
    assert clear(village) == []


def test_a_slot_of_a_house_that_slept_is_told_when_it_is_through(town: Village) -> None:
    advance(town, 5 * HOUR)
    assert clear(town) == []
    lesson_ends(town)
    assert clear(town) == ["Di 10:00: 3 geplant, 3 angenommen, 0 ungewiss"]


def test_a_campaign_has_an_all_clear_of_its_own(town: Village) -> None:
    number = issue(town)
    tick(town)
    lesson_ends(town)
    assert clear(town) == ["Di 10:00: 3 geplant, 3 angenommen, 0 ungewiss"]
    for started in town.start(lane=2):
        town.record(started, Outcome.ACCEPTED)
    assert clear(town) == [f"{ISSUE}, Di 10:00: 1 geplant, 1 angenommen, 0 ungewiss"]
    assert notices(town)[-1]["occurrence"] == f"notice:clear:campaign-{number}"
    assert clear(town) == []


def test_the_first_campaign_of_a_new_house_has_its_all_clear(village: Village) -> None:
    issue(village)
    tick(village)
    for started in village.start(lane=2):
        village.record(started, Outcome.ACCEPTED)
    assert clear(village) == [f"{ISSUE}, Mo 10:00: 1 geplant, 1 angenommen, 0 ungewiss"]


def test_a_campaign_cancelled_before_it_was_planned_is_not_told(town: Village) -> None:
    number = issue(town)
    town.do(newsletters.cancel, number, town.now)
    assert clear(town) == []
    advance(town, 3 * HOUR)
    assert not any(ISSUE in subject for subject in clear(town))


def test_what_a_rule_holds_of_a_campaign_is_told_with_its_moment(town: Village) -> None:
    clear(town)
    issue(town)
    advance(town, MINUTE)
    tick(town)
    (row,) = [row for row in town.rows() if row["slug"] == ISSUE]
    until = town.now + timedelta(days=1)
    held = {"state": "held", "reason": "quiet hours 20:00-08:00", "next_attempt_at": until}
    town.change(DELIVERY, row["id"], **held)
    assert not any(ISSUE in subject for subject in clear(town))
    advance(town, timedelta(hours=2))
    (subject,) = [subject for subject in clear(town) if ISSUE in subject]
    assert subject == f"{ISSUE}, Di 10:00: 1 geplant, 0 angenommen, 0 ungewiss, 1 zurückgehalten"
    (notice,) = [row for row in notices(town) if "campaign" in str(row["occurrence"])]
    words = " ".join(part(town, notice, "text").split())
    assert "1 sind zurückgehalten (Ruhezeiten oder Höchstzahl je Person)" in words
    assert "noch unterwegs" not in words


def test_a_slot_told_of_hides_no_older_one_that_is_under_way(town: Village) -> None:
    clear(town)
    number = issue(town)
    advance(town, MINUTE)
    tick(town)
    for started in town.start(lane=2):
        town.record(started, Outcome.ACCEPTED)
    assert clear(town) == [f"{ISSUE}, Di 10:00: 1 geplant, 1 angenommen, 0 ungewiss"]
    lesson_ends(town)
    assert clear(town) == ["Di 10:00: 3 geplant, 3 angenommen, 0 ungewiss"]
    assert number
    assert clear(town) == []


def test_two_tickers_give_one_all_clear(town: Village) -> None:
    clear(town)
    lesson_ends(town)
    barrier = threading.Barrier(2)

    def together() -> None:
        barrier.wait()
        rounds.run(town.database, town.clock, agenda())

    threads = [threading.Thread(target=together) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(notices(town)) == 1


def test_a_clock_that_ran_ahead_does_not_silence_the_all_clear(village: Village) -> None:
    village.clock.set(MONDAY_TEN + timedelta(days=400))
    tick(village)
    village.clock.set(MONDAY_TEN)
    school(village)
    tick(village)
    lesson_ends(village)
    assert clear(village) == ["Mo 10:00: 1 geplant, 1 angenommen, 0 ungewiss"]


@pytest.mark.browser
@pytest.mark.slow
@pytest.mark.skipif(not CHROMIUM.exists(), reason=f"needs a browser: {CHROMIUM}")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_in_a_mail(scheme: str) -> None:
    parts = [
        Part(["Stand: `l3mail status`"]),
        Part(["eins", "zwei " * 50, "`l3mail " + "x" * 100 + "`"], "Neu"),
        Part(["Ansehen"], link="about:blank"),
    ]
    html = DUTY.sheet("E-Mails warten", parts).html()
    size = {"width": 320, "height": 640}
    with browser("about:blank", color_scheme=scheme, viewport=size) as page:
        page.set_content(html)
        assert faults(page) == []
