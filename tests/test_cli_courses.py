"""Courses at the operator's door, on a workspace on disk and a clock that stands still."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from l3mail import events
from l3mail.addresses import address_key, parse_address
from l3mail.models import ACTIONS, CONSENT, DELIVERY, ENROLLMENT, METADATA, SUBSCRIBER
from l3mail.settings import load_pepper
from tests.fakes.desk import Desk, at_a_desk
from tests.fakes.village import MONDAY_TEN
from tests.test_courses import DAILY, enroll, plan, school, tick


@pytest.fixture
def desk(tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    with at_a_desk(tmp_path, capsys, monkeypatch) as desk:
        school(desk.village)
        yield desk


def states(desk: Desk) -> list[str]:
    return [row["state"] for row in desk.village.rows(ENROLLMENT)]


def test_list_is_in_slug_order_and_shows_rhythm_and_numbers(desk: Desk) -> None:
    school(desk.village, DAILY)
    enroll(desk.village, desk.learner("ada@schule.example"))
    listed = desk.json("courses", "list")
    assert [course["slug"] for course in listed] == ["kurs", "tag"]
    assert listed[0]["cadence"] == {"weekday": "mon", "at": "10:00"}
    assert (listed[0]["active"], listed[0]["finished"]) == (1, 0)
    assert len(listed[0]["lessons"]) == 7
    line = desk.run("courses", "list").splitlines()[1]
    assert 'weekday: mon, at: "10:00"' in line


@pytest.mark.parametrize(
    ("options", "slugs"),
    [
        (["--search", "TAG"], ["tag"]),
        (["--status", "active"], ["kurs"]),
        (["--limit", "1"], ["kurs"]),
        (["--search", "nichts"], []),
        (["--segment", 'district == "Nord"'], ["kurs"]),
        (["--segment", 'district == "Nord"', "--status", "paused"], []),
        (["--segment", 'district == "Süd"'], []),
    ],
)
def test_list_can_be_narrowed(desk: Desk, options: list[str], slugs: list[str]) -> None:
    school(desk.village, DAILY)
    enroll(desk.village, desk.learner("ada@schule.example", district="Nord"))
    assert [course["slug"] for course in desk.json("courses", "list", *options)] == slugs


@pytest.mark.parametrize("named", ["lessons/kurs", "lessons/kurs/", "lessons/kurs/course.yaml"])
def test_a_course_may_be_named_by_its_folder(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, named: str
) -> None:
    monkeypatch.chdir(desk.folder)
    assert desk.json("courses", "show", named)["slug"] == "kurs"
    desk.run("courses", "show", named.replace("kurs", "krus"), code=1)
    assert 'did you mean "kurs"?' in desk.error
    (desk.folder / "lessons" / "kurs").mkdir(parents=True, exist_ok=True)
    monkeypatch.chdir(desk.folder / "lessons" / "kurs")
    assert desk.json("courses", "show", ".")["slug"] == "kurs"


def test_show_names_every_lesson_and_an_unknown_course_its_neighbour(desk: Desk) -> None:
    assert "kurs/evaluation (evaluation)" in desk.run("courses", "show", "kurs")
    desk.run("courses", "show", "krus", code=1)
    assert desk.error == 'l3mail: there is no course "krus"; did you mean "kurs"?\n'


def test_enroll_counts_start_as_the_moment_of_confirmation(desk: Desk) -> None:
    desk.learner("ada@schule.example")
    (done,) = desk.json(
        "courses", "enroll", "kurs", "ada@schule.example", "--start", "2026-12-07 10:00"
    )
    assert done["status"] == "enrolled"
    assert done["next_due_at"] == "2026-12-07T10:00:00+01:00"
    assert desk.village.rows(ACTIONS)[-1]["command"] == "courses enroll kurs"
    assert desk.village.rows(ACTIONS)[-1]["counts"] == {"enrolled": 1}


def test_from_is_start_by_another_name_and_now_is_the_default(desk: Desk) -> None:
    desk.learner("ada@schule.example")
    desk.learner("bea@schule.example")
    desk.run("courses", "enroll", "kurs", "ada@schule.example", "--from", "2026-12-08")
    desk.run("courses", "enroll", "kurs", "bea@schule.example")
    assert [str(row["anchor_on"]) for row in desk.village.rows(ENROLLMENT)] == [
        "2026-12-14",
        "2026-11-30",
    ]


def test_enroll_anchors_anew_who_has_had_nothing_and_refuses_who_has(desk: Desk) -> None:
    desk.learner("ada@schule.example")
    order = ("courses", "enroll", "kurs", "ada@schule.example")
    desk.run(*order)
    assert "re-anchored" in desk.run(*order, "--start", "2026-12-14")
    desk.village.clock.set(datetime(2026, 12, 14, 9, tzinfo=UTC))
    tick(desk.village)
    desk.run(*order, code=1)
    assert "runs already; --restart" in desk.error
    assert "restarted" in desk.run(*order, "--restart", at=desk.village.now)
    assert states(desk) == ["cancelled", "active"]
    assert desk.village.row(ENROLLMENT, 2)["next_position"] == 0


def test_who_has_finished_begins_again_only_by_order(desk: Desk) -> None:
    enroll(desk.village, desk.learner("ada@schule.example"))
    desk.village.change(ENROLLMENT, 1, state="finished", next_due_at=None)
    desk.run("courses", "enroll", "kurs", "ada@schule.example", code=1)
    assert "finished already" in desk.error
    desk.run("courses", "enroll", "kurs", "ada@schule.example", "--restart")
    assert states(desk) == ["finished", "active"]


def test_an_unknown_address_is_added_only_with_a_proof(desk: Desk) -> None:
    order = ("courses", "enroll", "kurs", "neu@schule.example")
    desk.run(*order, code=1)
    assert "neu@schule.example is not known here" in desk.error
    assert desk.village.rows(SUBSCRIBER) == []
    desk.run(*order, "--confirmed", code=2)
    desk.run(*order, "--consent-note", "Liste", code=2)
    (done,) = desk.json(*order, "--confirmed", "--consent-note", "Liste vom 3. November")
    assert done["status"] == "enrolled"
    assert [row["act"] for row in desk.village.rows(CONSENT)] == ["attested"]
    assert states(desk) == ["active"]


def test_who_is_known_and_has_not_confirmed_is_asked_and_not_enrolled(desk: Desk) -> None:
    person = desk.learner("ada@schule.example")
    other = desk.village.stream("anderer-kurs")
    desk.village.database.write(
        lambda c: c.exec_driver_sql(f"UPDATE subscription SET stream_id = {other}")
    )
    out = desk.run("courses", "enroll", "kurs", "ada@schule.example")
    assert "asked by mail to confirm" in out
    assert states(desk) == []
    (mail,) = desk.village.rows(DELIVERY)
    assert (mail["kind"], mail["subscriber_id"]) == ("confirmation", person)


def test_who_may_not_be_mailed_is_not_enrolled_whoever_vouches(desk: Desk) -> None:
    person = desk.learner("ada@schule.example")
    desk.village.suppress(person, "complaint")
    order = ("courses", "enroll", "kurs", "ada@schule.example")
    desk.run(*order, code=1)
    assert "may not be mailed: suppressed" in desk.error
    desk.run(*order, "--confirmed", "--consent-note", "Liste", code=1)
    assert states(desk) == []


def test_one_bad_address_keeps_nobody_else_from_being_enrolled(desk: Desk) -> None:
    desk.learner("ada@schule.example")
    out = desk.run(
        "courses", "enroll", "kurs", "fremd@schule.example", "kein-at", "ada@schule.example", code=1
    )
    assert "ada@schule.example  enrolled" in out
    assert len(desk.error.splitlines()) == 2
    assert states(desk) == ["active"]


@pytest.mark.parametrize("start", ["morgen", "2026-13-01", "2026-12-01T25:00", "9999-12-31"])
def test_a_start_that_is_no_moment_is_wrong_usage(desk: Desk, start: str) -> None:
    desk.learner("ada@schule.example")
    code = 1 if start == "9999-12-31" else 2
    desk.run("courses", "enroll", "kurs", "ada@schule.example", "--start", start, code=code)
    assert states(desk) == []


def test_pause_for_weeks_until_a_day_or_until_resumed(desk: Desk) -> None:
    enroll(desk.village, desk.learner("ada@schule.example"))
    order = ("courses", "pause", "kurs", "ada@schule.example")
    ends = [
        desk.json(*order, *options)[0]["paused_until"]
        for options in ([], ["--weeks", "2"], ["--until", "2026-12-10"])
    ]
    assert ends == [None, "2026-12-08T10:00:00+01:00", "2026-12-10T00:00:00+01:00"]
    desk.run(*order, "--until", "2026-11-01", code=2)
    desk.run(*order, "--until", "2026-12-10", "--weeks", "2", code=2)
    assert states(desk) == ["paused"]
    shown = desk.run("subscribers", "show", "ada@schule.example")
    assert "course  kurs: paused until 2026-12-10, next 2026-12-14\n" in shown
    (done,) = desk.json("courses", "resume", "kurs", "ada@schule.example")
    assert done["next_due_at"] == "2026-11-30T10:00:00+01:00"
    desk.run("courses", "resume", "kurs", "ada@schule.example", code=1)
    assert "ada@schule.example does not pause" in desk.error


def test_a_pause_of_weeks_across_the_change_of_clocks_keeps_the_hour(desk: Desk) -> None:
    enroll(desk.village, desk.learner("ada@schule.example"))
    (done,) = desk.json("courses", "pause", "kurs", "ada@schule.example", "--weeks", "20")
    assert done["paused_until"] == "2027-04-13T10:00:00+02:00"


def test_cancel_asks_and_without_a_terminal_needs_yes(desk: Desk) -> None:
    enroll(desk.village, desk.learner("ada@schule.example"))
    order = ("courses", "cancel", "kurs", "ada@schule.example")
    desk.run(*order, code=1)
    assert states(desk) == ["active"]
    desk.run(*order, "--yes")
    assert states(desk) == ["cancelled"]
    desk.run(*order, "--yes", code=1)
    assert "does not take kurs now" in desk.error


def test_progress_shows_the_funnel_and_who_is_where(desk: Desk) -> None:
    people = [desk.learner(f"p{n}@schule.example") for n in range(3)]
    for person in people:
        enroll(desk.village, person)
    desk.village.clock.set(MONDAY_TEN + timedelta(days=7))
    plan(desk.village)
    first, second, third = desk.village.rows(DELIVERY)
    for row, state in ((first, "accepted"), (second, "failed"), (third, "uncertain")):
        desk.village.change(DELIVERY, row["id"], state=state, ended_at=desk.village.now)
    tick(desk.village)
    found = desk.json("courses", "progress", "kurs")
    step = found["lessons"][0]
    assert step["message"] == "kurs/01"
    assert [step[n] for n in ("planned", "accepted", "failed", "uncertain")] == [3, 1, 1, 1]
    assert found["lessons"][1]["ahead"] == 3
    assert {place["message"] for place in found["people"]} == {"kurs/02"}
    assert len(desk.json("courses", "progress", "kurs", "--search", "p1@")["people"]) == 1
    assert len(desk.json("courses", "progress", "kurs", "--search", "p%")["people"]) == 0
    assert desk.json("courses", "progress", "kurs", "--status", "paused")["people"] == []
    assert "p2@schule.example\tactive\tkurs/02" in desk.run("courses", "progress", "kurs")
    assert "newest 1" in desk.run("courses", "progress", "kurs", "--limit", "1")


def test_a_state_there_is_not_is_wrong_usage(desk: Desk) -> None:
    desk.run("courses", "list", "--status", "asleep", code=2)
    desk.run("courses", "progress", "kurs", "--status", "asleep", code=2)


EXAMPLES: list[tuple[str, ...]] = [
    *(("courses", name) for name in ("list", "show", "enroll", "pause", "resume", "cancel")),
    ("courses", "progress"),
    ("simulate",),
    ("explain",),
]


@pytest.mark.parametrize("words", EXAMPLES, ids=" ".join)
def test_help_has_an_example_and_fits_the_width(desk: Desk, words: tuple[str, ...]) -> None:
    text = desk.run(*words, "--help")
    assert "Example: l3mail " + " ".join(words) in text


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("enroll", "kurs", "bea@schule.example"), "enrolled"),
        (("enroll", "kurs", "cem@schule.example"), "asked by mail"),
        (
            ("enroll", "kurs", "neu@schule.example", "--confirmed", "--consent-note", "Liste"),
            "enrolled",
        ),
        (("pause", "kurs", "ada@schule.example"), "paused"),
        (("cancel", "kurs", "ada@schule.example"), "cancelled"),
        (("resume", "kurs", "dan@schule.example"), "resumed"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_dry_run_tells_and_changes_nothing(desk: Desk, words: tuple[str, ...], told: str) -> None:
    for name in ("ada", "dan"):
        enroll(desk.village, desk.learner(f"{name}@schule.example"))
    desk.learner("bea@schule.example")
    desk.village.subscribe(
        desk.village.person("cem@schule.example"), desk.village.stream("newsletter", "newsletter")
    )
    person = max(row["id"] for row in desk.village.rows(SUBSCRIBER))
    parsed = parse_address("cem@schule.example")
    key = address_key(parsed, load_pepper(desk.folder / "state"))
    desk.village.change(SUBSCRIBER, person, address_key=key)
    desk.run("courses", "pause", "kurs", "dan@schule.example")
    before = everything(desk)
    said = desk.run("courses", *words, "--dry-run")
    assert told in said
    assert said.endswith("This was a dry run; nothing is changed.\n")
    assert everything(desk) == before
    (shown,) = desk.json("courses", *words, "--dry-run")
    assert shown["email"] == words[2]
    assert everything(desk) == before


def everything(desk: Desk) -> dict[str, list[dict[str, Any]]]:
    return {table.name: desk.village.rows(table) for table in METADATA.sorted_tables}


def test_a_dry_run_names_whom_it_does_not_fit(desk: Desk) -> None:
    desk.run("courses", "cancel", "kurs", "nobody@schule.example", "--dry-run", code=1)
    assert "nobody@schule.example is not known here" in desk.error


def test_progress_can_be_asked_of_a_segment(desk: Desk) -> None:
    for name, district in (("ada", "Nord"), ("bea", "Süd")):
        enroll(desk.village, desk.learner(f"{name}@schule.example", district=district))
    shown = desk.json("courses", "progress", "kurs", "--segment", 'district == "Nord"')
    assert [place["email"] for place in shown["people"]] == ["ada@schule.example"]
    assert len(desk.json("courses", "progress", "kurs")["people"]) == 2


def test_days_done_are_told_where_somebody_has_some(desk: Desk) -> None:
    person = desk.learner("ada@schule.example")
    enrollment = enroll(desk.village, person)
    assert "DAYS" not in desk.run("courses", "progress", "kurs")
    assert "days done" not in desk.run("courses", "show", "kurs")
    for n in range(3):
        fact = {"at": desk.village.now, "subscriber_id": person, "enrollment_id": enrollment}
        desk.village.do(events.mark, fact, MONDAY_TEN.date() + timedelta(days=n))
    assert "days done  3\n" in desk.run("courses", "show", "kurs")
    assert desk.json("courses", "show", "kurs")["done_days"] == 3
    found = desk.json("courses", "progress", "kurs")
    assert (found["done_days"], found["people"][0]["done_days"]) == (3, 3)
    assert "Days done by all: 3\n" in desk.run("courses", "progress", "kurs")


# -- a lesson once more

ADA, BEA = "ada@schule.example", "bea@schule.example"
RESEND = ("courses", "resend", "kurs", "01")


@pytest.fixture
def taught(desk: Desk) -> Desk:
    """Ada had the first lesson of kurs; bea waits for it."""
    enroll(desk.village, desk.learner(ADA))
    desk.village.clock.set(MONDAY_TEN + timedelta(days=7))
    tick(desk.village)
    desk.village.clock.advance(timedelta(hours=1))
    tick(desk.village)  # led on
    enroll(desk.village, desk.learner(BEA))
    return desk


def resend(desk: Desk, *words: str, code: int = 0) -> str:
    return desk.run(*RESEND, *words, at=desk.village.now, code=code)


def occurrences(desk: Desk) -> list[tuple[str, str]]:
    return [(row["occurrence"], row["state"]) for row in desk.village.rows()]


def test_a_lesson_is_sent_once_more_and_the_course_goes_on_as_it_would(taught: Desk) -> None:
    (before,) = [row for row in taught.village.rows(ENROLLMENT) if row["subscriber_id"] == 1]
    assert "kurs/01, once more (1)" in resend(taught, ADA, "--yes")
    assert occurrences(taught) == [
        ("lesson:1:kurs/01", "accepted"),
        ("lesson:1:kurs/01:resend:1", "queued"),
    ]
    row = taught.village.rows()[-1]
    assert (row["kind"], row["lane"], row["enrollment_id"]) == ("lesson", 1, 1)
    assert row["message_id"] is None  # as it is published when it goes
    resend(taught, ADA, "--yes", code=1)
    assert "is being sent kurs/01 again already" in taught.error
    tick(taught.village)
    taught.village.clock.advance(timedelta(hours=1))
    tick(taught.village)
    (after,) = [row for row in taught.village.rows(ENROLLMENT) if row["subscriber_id"] == 1]
    assert after == before
    action = taught.village.rows(ACTIONS)[0]
    assert (action["command"], action["counts"]) == ("courses resend kurs/01 kurs", {"queued": 1})


def test_it_shows_who_and_who_not_and_asks(taught: Desk) -> None:
    shown = resend(taught, ADA, BEA, "nobody@schule.example", code=1)
    assert f"{ADA}  kurs/01, once more (1)" in shown
    assert f"not: {BEA} has not had kurs/01 yet; next is kurs/01" in shown
    assert "not: nobody@schule.example is not known here" in shown
    assert "send kurs/01 again to 1 learner? To say yes" in taught.error
    assert len(taught.village.rows()) == 1
    resend(taught, ADA, "--dry-run")
    assert len(taught.village.rows()) == 1


@pytest.mark.parametrize(
    ("lesson", "who", "said"),
    [
        ("02", ADA, "has not had kurs/02 yet; next is kurs/02"),
        ("kurs/99", ADA, 'has no lesson "kurs/99" in kurs; it is made of kurs/01'),
        ("01", "cem@schule.example", "has not taken kurs"),
    ],
)
def test_what_they_have_not_had_is_not_sent_again(
    taught: Desk, lesson: str, who: str, said: str
) -> None:
    taught.learner("cem@schule.example")
    order = ("courses", "resend", "kurs", lesson, who, "--yes")
    taught.run(*order, at=taught.village.now, code=1)
    assert said in taught.error
    assert len(taught.village.rows()) == 1


def test_who_may_not_be_mailed_is_sent_nothing_again(taught: Desk) -> None:
    taught.village.change(SUBSCRIBER, 1, restricted_at=taught.village.now)
    resend(taught, ADA, "--yes", code=1)
    assert f"{ADA} may not be mailed: restricted" in taught.error


def test_nobody_is_sent_more_than_three_again_within_a_day(taught: Desk) -> None:
    for _ in range(3):
        resend(taught, ADA, "--yes")
        tick(taught.village)
    resend(taught, ADA, "--yes", code=1)
    assert "was sent 3 lessons again within a day" in taught.error
    taught.village.clock.advance(timedelta(days=1, seconds=1))
    assert "once more (4)" in resend(taught, ADA, "--yes")
