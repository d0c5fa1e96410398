"""What an operator sees before an issue goes out, and the second look, and the second person."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from l3mail import newsletters, outbox
from l3mail.models import ACTIONS, CAMPAIGN, DELIVERY, SUBSCRIBER
from l3mail.planning import NO_RESTRAINT, Restraint
from l3mail.settings import load_settings
from l3mail.wiring import make_agenda, restraint_of
from tests.fakes.desk import SETTINGS, TUESDAY, Desk, at_a_desk
from tests.fakes.village import Village

FIRST, SECOND = "newsletter/2026-11", "newsletter/2026-12"
TWO = (
    "[sending]\ntwo_persons = true\n[alerts]\napprovers = ['ada@amt.example', 'bea@amt.example']\n"
)
SCHEDULE = ("newsletters", "schedule", "2026-12", "--at", "now")


@pytest.fixture
def desk(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Desk]:
    """Two readers who had an issue yesterday, and a second issue."""
    with at_a_desk(tmp_path, capsys, monkeypatch) as desk:
        town = desk.village
        town.stream("newsletter", "newsletter")
        come(town, "ada", "bea")
        for slug in (FIRST, SECOND):
            town.publish(slug, stream="newsletter")
        town.clock.set(TUESDAY - timedelta(days=1))
        schedule: dict[str, Any] = {"segment": None, "by": "editor", "now": town.now}
        town.do(newsletters.schedule, FIRST, town.now, **schedule)
        plan(desk)
        town.clock.set(TUESDAY)
        yield desk


def come(town: Village, *names: str, **values: Any) -> None:
    for name in names:
        person = town.person(f"{name}@schule.example", **values)
        town.subscribe(person, town.stream("newsletter"))


def crowd(town: Village, count: int = 5) -> None:
    come(town, *(f"p{n}" for n in range(count)))


def plan(desk: Desk) -> None:
    ask = make_agenda(load_settings(desk.folder, {})).questions
    town = desk.village
    town.do(newsletters.plan, town.now, question=ask, fallback_locale="de")


def say(desk: Desk, toml: str) -> Restraint:
    (desk.folder / "l3mail.toml").write_text(SETTINGS + toml, encoding="utf-8")
    return restraint_of(load_settings(desk.folder, {}))


def test_the_audience_is_shown_with_all_who_get_it_later_otherwise_or_not(desk: Desk) -> None:
    town = desk.village
    say(desk, '[sending]\nquiet_hours = "06:00-11:00"\nfrequency_cap = { mails = 1 }\n')
    come(town, "cem", locale="en")
    come(town, "dan", restricted_at=town.now)
    come(town, "eva")
    town.suppress(5, "complaint")
    row = town.rows(DELIVERY)[0]["id"]
    town.change(DELIVERY, row, state="accepted", first_started_at=town.now - timedelta(days=1))
    shown = desk.run(*SCHEDULE, "--sample", "2", "--dry-run")
    for line in (
        "           reaches  3 people\n",
        '    other language  1 person of "en" get it in "de"\n',
        "         held back  3 people: quiet hours until Tue 2026-11-24 11:00\n",
        "         held back  1 person: had 1 or more in 7 days (frequency cap)\n",
        "  may not be mailed  1 person: restricted\n",
        "  may not be mailed  1 person: suppressed: complaint\n",
        "         last time  newsletter/2026-11, Mon 2026-11-23 10:00: 2 people\n",
    ):
        assert line.strip() in shown
    assert max(map(len, shown.splitlines())) <= 80
    assert shown.count("@schule.example") == 2
    found = desk.json(*SCHEDULE, "--dry-run")["audience"]
    assert found["held"] == {
        "frequency_cap": 1,
        "quiet_hours": 3,
        "quiet_until": "2026-11-24T11:00:00+01:00",
    }
    assert found["languages"] == [{"locale": "en", "gets": "de", "count": 1}]
    assert (found["outgrown"], found["last"]["same_segment"], found["sample"]) == (False, True, [])
    assert "would reach  3 people" in desk.run("newsletters", "show", "2026-12", "--sample", "1")


def test_many_more_than_the_last_time_want_their_number_said(desk: Desk) -> None:
    crowd(desk.village)
    shown = desk.run(*SCHEDULE, "--yes", code=1)
    assert "second look  more than 3 times as many as the last time" in shown
    assert "it reaches 7 people, more than 3 times the 2 of the last time" in desk.error
    assert "say so with --expect 7" in desk.error
    desk.run(*SCHEDULE, "--yes", "--expect", "5", code=1)
    assert "it reaches 7 people, and 5 were expected" in desk.error
    assert len(desk.village.rows(CAMPAIGN)) == 1
    assert "Scheduled" in desk.run(*SCHEDULE, "--yes", "--expect", "7")
    assert desk.village.rows(CAMPAIGN)[-1]["expected"] == 7


@pytest.mark.parametrize(("typed", "goes"), [("7", True), ("70", False), ("", False)])
def test_in_a_terminal_the_number_is_typed(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, typed: str, goes: bool
) -> None:
    crowd(desk.village)
    answers = ["y", typed]
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("typer.prompt", lambda *_, **__: answers.pop(0))
    shown = desk.run(*SCHEDULE, code=0 if goes else 1)
    assert "That is more than 3 times the 2 of the last time" in shown
    assert ("Scheduled" in shown, "Nothing is changed." in shown) == (goes, not goes)


def test_where_the_settings_want_no_second_look_there_is_none(desk: Desk) -> None:
    say(desk, "[sending]\ngrowth = 0\n")
    crowd(desk.village)
    assert "Scheduled" in desk.run(*SCHEDULE, "--yes")


# -- the second person


def wait_for_release(desk: Desk, by: str = "ada") -> str:
    say(desk, TWO)
    desk.log_in(by)
    return desk.run(*SCHEDULE, "--yes")


def test_the_second_person_is_shown_what_goes_out_and_not_what_was_published_since(
    desk: Desk,
) -> None:
    crowd(desk.village)
    say(desk, TWO)
    desk.log_in("ada")
    desk.run(*SCHEDULE, "--yes", "--expect", "7")
    desk.village.stream("few", "newsletter")
    desk.village.publish(SECOND, stream="few")
    desk.log_in("bea")
    shown = desk.run("newsletters", "release", "2026-12", "--dry-run")
    assert "reaches  7 people" in shown
    assert "subject (de)" in shown
    assert "published anew since" in desk.error


def listed(desk: Desk) -> str:
    return str(desk.json("newsletters", "list")[-1]["status"])


def test_an_issue_waits_until_somebody_else_releases_it(desk: Desk) -> None:
    shown = " ".join(wait_for_release(desk).split())
    assert "waits until Thu 2026-11-26 10:00 for somebody else's yes" in shown
    assert "bea@amt.example is asked by mail" in shown
    assert listed(desk) == "awaiting release"
    assert "waits for  somebody else's yes until" in desk.run("newsletters", "show", "2026-12")
    order = ("newsletters", "release", "2026-12")
    desk.run(*order, "--yes", code=1)
    assert "was scheduled by ada: somebody else has to release it" in desk.error
    assert "--as makes no second person of one login" in desk.error
    desk.log_in("bea")
    desk.run(*order, code=1)
    assert "release newsletter/2026-12 to 2 people? To say yes" in desk.error
    assert "reaches  2 people" in desk.run(*order, "--dry-run")
    plan(desk)
    assert len(desk.village.rows()) == 2
    assert desk.run(*order, "--yes").endswith(f"Released: {SECOND}.\n")
    plan(desk)
    assert len(desk.village.rows()) == 4
    done = desk.village.rows(ACTIONS)[-1]
    assert (done["who"], done["command"]) == ("bea", f"newsletters release {SECOND}")
    assert "released_by  bea" in desk.run("newsletters", "show", "2026-12")


@pytest.mark.parametrize(
    ("schedules", "releases"), [((), ("--as", "bea")), (("--as", "bea"), ())], ids=["yes", "wish"]
)
def test_one_login_is_one_person_whatever_name_it_gives_itself(
    desk: Desk, schedules: tuple[str, ...], releases: tuple[str, ...]
) -> None:
    say(desk, TWO)
    desk.log_in("ada")
    desk.run(*schedules, *SCHEDULE, "--yes")
    order = (*releases, "newsletters", "release", "2026-12", "--yes")
    desk.run(*order, code=1)
    assert "somebody else has to release it" in desk.error
    assert desk.village.rows(CAMPAIGN)[-1]["released_at"] is None
    # A name of one's own is heard, too: whoever lent it can't say the second yes.
    desk.log_in("bea")
    if schedules:
        desk.run("newsletters", "release", "2026-12", "--yes", code=1)
        desk.log_in("cem")
    desk.run("newsletters", "release", "2026-12", "--yes")


def test_a_rejected_issue_says_why_and_may_be_scheduled_anew(desk: Desk) -> None:
    wait_for_release(desk)
    desk.log_in("bea")
    order = ("newsletters", "reject", "2026-12", "--reason", "wrong date")
    desk.run(*order, code=1)
    assert "Rejected" in desk.run(*order, "--yes")
    assert listed(desk) == "cancelled"
    shown = desk.run("newsletters", "show", "2026-12")
    assert "cancelled_reason  rejected by bea: wrong date" in shown
    desk.log_in("ada")
    assert "Scheduled" in desk.run(*SCHEDULE, "--yes")
    assert listed(desk) == "awaiting release"
    desk.run("newsletters", "reject", "2026-11", "--reason", "x", "--yes", code=1)
    assert "waits for no release" in desk.error


# -- why a mail waits


def known(desk: Desk, name: str) -> int:
    person = desk.learner(f"{name}@amt.example")
    desk.village.subscribe(person, desk.village.stream("newsletter"))
    return person


def test_what_is_held_says_by_what_until_when_and_what_to_do(desk: Desk) -> None:
    town = desk.village
    reader = known(desk, "gus")
    town.restraint = say(desk, "[sending.frequency_cap]\nmails = 1\npatience_days = 3\n")
    values: dict[str, Any] = {"slug": SECOND, "stream_id": town.stream("newsletter")}
    town.delivery(reader, "newsletter", **values)
    held = town.delivery(reader, "newsletter", **values)
    town.start(lane=2)
    told = desk.json("explain", "gus@amt.example")["deliveries"][-1]
    assert told["why"] == (
        "held back; frequency cap: 1 mail in 7 days; not sent unless it is free before"
        " Fri 2026-11-27 10:00"
    )
    assert told["to_do"] is None
    (row,) = desk.json("outbox", "list", "--status", "held")
    assert (row["id"], row["reason"]) == (held, "frequency cap: 1 mail in 7 days")
    assert row["held_until"] == "2026-11-27T10:00:00+01:00"
    listing = desk.run("outbox", "list", "--status", "held")
    assert "frequency cap: 1 mail in 7 days, until 2026-11-27 10:00" in listing
    desk.run("outbox", "retry", str(held), "--yes", code=1)
    assert f"{held} is held (frequency cap: 1 mail in 7 days); what is held waits" in desk.error
    assert desk.json("status")["held"] == 1


@pytest.mark.parametrize(
    ("arrange", "to_do"),
    [
        (lambda t, n: t.change(DELIVERY, n, state="held", reason=outbox.UNPUBLISHED),
         f"`l3mail content publish {SECOND}` lets it go"),
        (lambda t, n: t.change(DELIVERY, n, state="held", reason=outbox.AWAITING_APPROVAL),
         "`l3mail triggers pending` shows what waits for a yes"),
        (lambda t, n: t.do(outbox.halt, "kind", "newsletter", "op", t.now),
         "`l3mail resume` lets it go"),
        (lambda t, n: t.change(CAMPAIGN, 1, paused_at=t.now),
         f"`l3mail newsletters resume {SECOND}` lets it go on"),
        (lambda t, n: t.change(DELIVERY, n, state="failed", reason="content"),
         "`l3mail outbox retry {n}` once it is mended"),
        (lambda t, n: t.change(DELIVERY, n, state="failed", reason="person"), None),
        (lambda t, n: t.change(SUBSCRIBER, 3, restricted_at=t.now), None),
        (lambda t, n: None, None),
    ],
    ids=["unpublished", "approval", "halted", "paused", "failed", "dead", "restricted", "queued"],
)  # fmt: skip
def test_it_is_said_what_can_be_done(
    desk: Desk, arrange: Callable[[Village, int], object], to_do: str | None
) -> None:
    town = desk.village
    reader = known(desk, "gus")
    values: dict[str, Any] = {"slug": SECOND, "stream_id": town.stream("newsletter")}
    number = town.delivery(reader, "newsletter", campaign_id=1, **values)
    arrange(town, number)
    (told,) = desk.json("explain", "gus@amt.example")["deliveries"]
    assert told["to_do"] == (to_do and to_do.format(n=number))
    assert town.restraint is NO_RESTRAINT


def test_a_campaign_that_waits_for_its_release_is_told_to_whom_it_will_go(desk: Desk) -> None:
    known(desk, "gus")
    wait_for_release(desk)
    campaigns = desk.json("explain", "gus@amt.example")["campaigns"]
    (one,) = [one for one in campaigns if one["message"] == SECOND]
    assert one["status"] == "awaiting release"
    assert f"`l3mail newsletters release {SECOND}`" in one["why"]
