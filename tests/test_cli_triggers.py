"""Commands on triggers as an operator types them."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from l3mail import triggers
from l3mail.models import ACTIONS, APPROVAL, SUBSCRIBER, TRIGGER
from tests.fakes.desk import Desk, at_a_desk
from tests.fakes.parish import SLUG, berlin, declare, friend, happen, plan
from tests.fakes.village import Village

LONG_AGO = berlin("2024-01-10 12:00")
YEARLY = "lifecycle/weltbildungstag"
THE_DAY = berlin("2027-09-08 08:30")
NEXT_DAY = berlin("2027-09-09 10:00")


@pytest.fixture
def desk(tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    """Two people, their birthdays, and a yearly mailing that needs approval."""
    with at_a_desk(tmp_path, capsys, monkeypatch) as desk:
        town = desk.village
        town.clock.set(berlin("2027-09-01 12:00"))
        declare(town, trigger="birthday", segment='district == "Gorbitz"')
        declare(town, YEARLY, trigger="yearly", on="09-08", approval="required", valid_for="2d")
        town.publish(YEARLY, stream="lifecycle", subject="Wem lesen Sie vor?")
        desk.learner("ada@schule.example")
        town.subscribe(1, town.stream("lifecycle"))
        town.change(SUBSCRIBER, 1, birth_month=9, birth_day=20, district="Gorbitz")
        friend(town, "bea", joined=LONG_AGO, birth_month=9, birth_day=10)
        yield desk


def actions(town: Village) -> list[tuple[str, dict[str, int]]]:
    return [(row["command"], row["counts"]) for row in town.rows(ACTIONS)]


def look(desk: Desk, *words: str, at: datetime = THE_DAY, code: int = 0) -> str:
    return desk.run("triggers", *words, at=at, code=code)


def test_the_list_says_when_each_is_due_next(desk: Desk) -> None:
    now = desk.village.now
    first, second = (line.split("\t") for line in look(desk, "list", at=now).splitlines()[1:])
    rule = 'on each person\'s birthday, at 09:00, to district == "Gorbitz", at most 1d late'
    assert first == [SLUG, "active", "2027-09-10 09:00", "", rule]
    rule = "every year on 09-08, at 09:00, at most 2d late, after approval"
    assert second == [YEARLY, "active", "2027-09-08 09:00", "", rule]
    (row,) = desk.json("triggers", "list", "--search", "welt", at=now)
    assert (row["slug"], row["trigger"], row["stream"]) == (YEARLY, "yearly", "lifecycle")
    assert row["next_due_at"] == "2027-09-08T09:00:00+02:00"
    assert look(desk, "list", "--status", "paused", at=now).startswith("Nothing goes out")
    assert look(desk, "list", "--segment", "west", at=now).startswith("Nothing goes out")
    look(desk, "list", "--status", "asleep", at=now, code=2)
    assert "The first 1;" in look(desk, "list", "--limit", "1", at=now)


def test_show_says_whom_it_would_reach_and_what_waits(desk: Desk) -> None:
    town = desk.village
    told = look(desk, "show", "gruss", at=town.now)
    assert "      next due  2027-09-10 09:00  0 people" in told
    assert "   would reach  1 person" in told
    assert "     last sent  never" in told
    plan(town, "2027-09-08 08:00")
    told = look(desk, "show", YEARLY)
    assert (
        "    approval 1  waits for approval until 2027-09-11 00:00, due 2027-09-08 09:00,"
        " 2 people: Wem lesen Sie vor?"
    ) in told
    declare(town, "lifecycle/video", trigger="interested", of="video")
    happen(town, 1, "interested", name="video", at=LONG_AGO)
    assert "  not answered  1 person: too long ago" in look(desk, "show", "video")


def test_a_trigger_that_can_not_be_asked_is_broken_and_status_says_so(desk: Desk) -> None:
    town = desk.village
    town.change(TRIGGER, 1, rule={"trigger": "birthday", "segment": "weggeworfen"})
    now = town.now
    assert f"{SLUG}\tbroken" in look(desk, "list", at=now)
    asking = desk.json("triggers", "list", "--segment", "weggeworfen", at=now)
    assert [one["slug"] for one in asking] == [SLUG]
    assert '       problem  segment: there is no saved segment "weggeworfen"' in look(
        desk, "show", "gruss", at=now
    )
    told = desk.run("status", at=now)
    assert f"needs  {SLUG} goes out to nobody (segment: there is no saved" in told


def test_pending_shows_how_many_it_is_for_before_and_after_it_is_due(desk: Desk) -> None:
    assert look(desk, "pending") == "Nothing waits for approval.\n"
    town = desk.village
    plan(town, "2027-09-08 08:00")
    (batch,) = desk.json("triggers", "pending", at=THE_DAY)
    assert (batch["slug"], batch["occasion"], batch["people"]) == (YEARLY, "2027", 2)
    assert batch["subject"] == "Wem lesen Sie vor?"
    plan(town, "2027-09-09 09:00")
    (batch,) = desk.json("triggers", "pending", at=NEXT_DAY)
    assert batch["people"] == 2
    told = desk.run("status", at=NEXT_DAY)
    assert "2 held" in told
    assert (
        f"needs  {YEARLY} waits for approval until Sat 2027-09-11 00:00, 2 people:"
        f" `l3mail triggers approve {YEARLY}`"
    ) in told
    desk.run("status", "--check", at=NEXT_DAY, code=1)


def test_approve_shows_and_asks_and_notes_who(desk: Desk) -> None:
    town = desk.village
    plan(town, "2027-09-08 08:00")
    told = look(desk, "approve", "weltbildungstag", "--dry-run")
    assert f"{YEARLY}, 2027: waits for approval" in told
    assert told.endswith("Dry run, nothing is changed.\n")
    look(desk, "approve", "weltbildungstag", code=1)
    assert "To say yes, run it in a terminal or add --yes" in desk.error
    assert town.row(APPROVAL, 1)["decision"] is None
    desk.log_in("ada")
    told = desk.run("--as", "eva", "triggers", "approve", "1", "--yes", at=THE_DAY)
    assert told.endswith(f"Approved: {YEARLY}; it goes out 2027-09-08 09:00.\n")
    assert town.row(APPROVAL, 1)["decided_by"] == "eva (ada)"
    assert actions(town) == [("triggers approve 1", {"approvals": 1, "deliveries": 0})]
    look(desk, "reject", "1", "--yes", code=1)
    assert desk.error == (
        f'l3mail: approval 1, {YEARLY} of 2027, was approved by "eva (ada)" already\n'
    )
    look(desk, "approve", YEARLY, "--yes", code=1)
    assert "waits for approval; `l3mail triggers pending`" in desk.error


def test_approve_and_reject_say_how_many_mails_that_was(desk: Desk) -> None:
    town = desk.village
    plan(town, "2027-09-09 09:00")
    told = look(desk, "approve", YEARLY, "--yes", at=NEXT_DAY)
    assert told.endswith(f"Approved: {YEARLY}; queued for 2 people.\n")
    town.clock.set(berlin("2028-09-08 10:00"))
    plan(town)
    told = look(desk, "reject", YEARLY, "--yes", at=town.now)
    assert told.endswith(f"Rejected: {YEARLY}; it is sent to nobody.\n")
    assert "approval 2  2028: rejected by" in look(desk, "show", YEARLY, at=town.now)


def test_one_that_waits_twice_is_named_by_its_number(desk: Desk) -> None:
    town = desk.village
    declare(town, trigger="birthday", approval="required", valid_for="30d")
    plan(town, "2027-09-10 08:30")
    plan(town, "2027-09-20 08:30")
    look(desk, "approve", "gruss", "--yes", at=town.now, code=1)
    assert "waits more than once; name one: 1 (2027-09-10), 3 (2027-09-20)" in desk.error


def test_paused_and_resumed_with_what_is_due_from_then_on(desk: Desk) -> None:
    town = desk.village
    assert look(desk, "pause", "gruss").startswith(f"Paused: {SLUG}.")
    assert look(desk, "pause", "gruss").startswith(f"Paused already: {SLUG}.")
    assert f"{SLUG}\tpaused" in look(desk, "list")
    assert "Dry run" in look(desk, "resume", "gruss", "--dry-run")
    told = look(desk, "resume", "gruss", "--yes")
    assert told.endswith(f"Resumed: {SLUG}, with what is due from now on.\n")
    assert look(desk, "resume", "gruss") == f"{SLUG} is not paused.\n"
    assert [command for command, _ in actions(town)] == [
        f"triggers pause {SLUG}",
        f"triggers pause {SLUG}",
        f"triggers resume {SLUG}",
    ]


def test_a_slip_in_a_name_is_answered_with_the_nearest(desk: Desk) -> None:
    look(desk, "show", "weltbildungtag", code=1)
    assert desk.error == (
        f'l3mail: there is no trigger "lifecycle/weltbildungtag"; did you mean "{YEARLY}"?\n'
    )
    look(desk, "reject", "9", "--yes", code=1)
    assert "there is no approval 9" in desk.error


EXPLAINED: dict[str, tuple[dict[str, str], str]] = {
    "a birthday": ({"trigger": "birthday"}, "next Mon 2027-09-20 09:00"),
    "an anniversary": ({"trigger": "anniversary"}, "next Fri 2028-09-01 09:00"),
    "after approval": (
        {"trigger": "yearly", "on": "12-24", "approval": "required"},
        "next Fri 2027-12-24 09:00, after approval",
    ),
    "a segment": (
        {"trigger": "birthday", "segment": "locale == 'en'"},
        "its segment locale == 'en' doesn't select them now",
    ),
    "nothing happened": ({"trigger": "interested", "of": "tanz"}, "it has not happened"),
    "to come": (
        {"trigger": "interested", "of": "video", "after": "10d"},
        "next Fri 2027-09-10 12:00",
    ),
    "before the rule": (
        {"trigger": "interested", "of": "video"},
        "it happened before this rule was in force",
    ),
    "no such course": ({"trigger": "finished", "of": "nie"}, "there is no nie"),
    "silence": ({"trigger": "inactive", "after": "90d"}, "when they were not seen for 90d"),
}


@pytest.mark.parametrize(("rule", "words"), EXPLAINED.values(), ids=EXPLAINED)
def test_explain_says_when_or_why_not(desk: Desk, rule: dict[str, str], words: str) -> None:
    town = desk.village
    happen(town, 1, "interested", name="video", at=berlin("2027-08-31 12:00"))
    declare(town, "lifecycle/erklaert", **rule)
    told = desk.run("explain", "ada@schule.example", at=town.now)
    assert f"  lifecycle/erklaert: {words}\n" in told


def test_explain_names_what_bars_a_person(desk: Desk) -> None:
    town = desk.village
    now = town.now
    desk.learner("cem@schule.example")

    def told() -> str:
        return desk.run("explain", "cem@schule.example", at=now)

    assert f"  {YEARLY}: lifecycle is not joined\n" in told()
    town.subscribe(3, town.stream("lifecycle"))
    declare(town, trigger="birthday")
    assert f"  {SLUG}: the birthday is unknown\n" in told()
    town.do(triggers.pause, SLUG, now)
    assert f"  {SLUG}: the trigger is paused\n" in told()
    town.suppress(3, "never")
    assert f"  {YEARLY}: but suppressed\n" in told()
