"""Commands on newsletters: real processes, and the reading of what is typed."""

import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
import typer

from l3mail import audiences, newsletters
from l3mail.cli.context import House
from l3mail.cli.moments import parse_moment
from l3mail.cli.scheduling import moment_of
from l3mail.clocks import FixedClock, SystemClock
from l3mail.database import opened
from l3mail.models import ACTIONS, CAMPAIGN, MESSAGE, SUBSCRIBER
from l3mail.wiring import asking_terms, make_agenda
from tests.fakes.office import ROOT, Office
from tests.fakes.village import Village

ISSUE = "newsletter/2026-12"
SETTINGS = '[sender]\nfrom = "Bildung <kurs@stadt.example>"\n[relay]\nport = 9\n'
BERLIN = ZoneInfo("Europe/Berlin")


@pytest.fixture
def office(tmp_path: Path) -> Office:
    """A published issue, and four readers of whom one must not be mailed."""
    office = Office(tmp_path, SETTINGS)

    def verb(town: Village) -> None:
        stream = town.stream("newsletter", "newsletter")
        for name in ("ada", "bea", "cem", "dan"):
            person = town.person(f"{name}@schule.example", district="Gorbitz")
            town.subscribe(person, stream)
        town.change(SUBSCRIBER, 2, district="Prohlis")
        town.change(SUBSCRIBER, 4, restricted_at=town.now)
        town.publish(ISSUE, stream="newsletter", subject="Dezember")
        terms = asking_terms(office.settings)
        town.do(audiences.save, "west", 'district == "Gorbitz"', terms, town.now)

    visit(office, verb)
    return office


def visit(office: Office, verb: Callable[[Village], object]) -> None:
    with opened(office.settings.database_url) as database:
        verb(Village(database, FixedClock(SystemClock().now())))


def campaigns(office: Office) -> list[dict[str, object]]:
    found: list[dict[str, object]] = []
    visit(office, lambda town: found.extend(town.rows(CAMPAIGN)))
    return found


def actions(office: Office) -> list[tuple[str, dict[str, int]]]:
    found: list[tuple[str, dict[str, int]]] = []
    visit(office, lambda t: found.extend((r["command"], r["counts"]) for r in t.rows(ACTIONS)))
    return found


def plan(office: Office) -> None:
    agenda = make_agenda(office.settings)

    def verb(town: Village) -> None:
        town.do(newsletters.plan, town.now, question=agenda.questions, fallback_locale="de")

    visit(office, verb)


def tomorrow() -> str:
    return f"{SystemClock().now().astimezone(BERLIN) + timedelta(days=1):%Y-%m-%d 10:00}"


def test_scheduling_shows_whom_it_reaches_who_not_and_why_and_the_last_time(
    office: Office,
) -> None:
    at = tomorrow()
    result = office.run(
        "newsletters", "schedule", "2026-12", "--at", at, "--segment", "west", "--yes"
    )
    assert result.returncode == 0, result.stderr
    for line in (
        f"{at}, stream newsletter, segment west",
        "subject (de)  Dezember",
        "reaches  2 people",
        "outside  1 person whom the segment does not select",
        "unknown  0 people",
        "may not be mailed  1 person: restricted",
        "last time  nothing has gone out in this stream yet",
        f"Scheduled {ISSUE}, campaign 1, for",
    ):
        assert line in result.stdout
    (row,) = campaigns(office)
    assert row["segment"] == "west"
    due = datetime.strptime(at, "%Y-%m-%d %H:%M").replace(tzinfo=BERLIN)
    assert row["scheduled_at"] == due
    assert actions(office)[-1] == (
        f"newsletters schedule {ISSUE}",
        {"campaigns": 1, "people": 2},
    )


def test_scheduling_without_a_terminal_wants_a_yes(office: Office) -> None:
    result = office.run("newsletters", "schedule", ISSUE, "--at", "now")
    assert result.returncode == 1
    assert "reaches  3 people" in result.stdout
    assert "add --yes" in result.stderr
    assert campaigns(office) == []


def test_a_dry_run_shows_all_and_changes_nothing(office: Office) -> None:
    result = office.run("newsletters", "schedule", ISSUE, "--at", "now", "--dry-run", "--json")
    assert result.returncode == 0
    shown = json.loads(result.stdout)
    assert (shown["slug"], shown["campaign"], shown["audience"]["count"]) == (ISSUE, None, 3)
    assert shown["audience"]["barred"] == {"restricted": 1}
    assert (campaigns(office), actions(office)) == ([], [])


@pytest.mark.parametrize(
    ("arguments", "code", "line"),
    [
        (("2026-12", "--at", "2020-01-01 10:00"), 1, "is past; name a time to come, or now"),
        (("2026-12", "--at", "tomorrow"), 2, "no time"),
        (("2026-12", "--at", "2030-01-01"), 2, "no time"),
        (("2026-21", "--at", "now"), 1, 'did you mean "newsletter/2026-12"?'),
        (("2026-12", "--at", "now", "--segment", "wets"), 1, 'did you mean "west"?'),
        (("kurs/01", "--at", "now"), 1, "is no issue"),
    ],
    ids=["past", "no time", "a day only", "unknown issue", "unknown segment", "a lesson"],
)
def test_what_can_not_be_scheduled_is_refused_before_it_is_asked(
    office: Office, arguments: tuple[str, ...], code: int, line: str
) -> None:
    result = office.run("newsletters", "schedule", *arguments, "--yes")
    assert result.returncode == code
    assert line in " ".join(result.stderr.split())
    assert campaigns(office) == []


TEXT = """\
---
subject: {subject}
stream: newsletter
---
# Ein Brief

Guten Tag.
"""


def write(office: Office, subject: str, name: str = "2027-01.md", extra: str = "") -> None:
    """A file of an issue, in a workspace with the starter's layouts."""
    folder = office.folder / "newsletters"
    folder.mkdir(exist_ok=True)
    if not (office.folder / "templates").exists():
        shutil.copytree(ROOT / "templates", office.folder / "templates")
    text = TEXT.format(subject=subject).replace("stream:", f"{extra}stream:")
    (folder / name).write_text(text, encoding="utf-8")


def published(office: Office) -> list[str]:
    found: list[str] = []
    visit(office, lambda town: found.extend(r["compiled"]["subject"] for r in town.rows(MESSAGE)))
    return found


def test_scheduling_publishes_the_file_as_it_is_and_nothing_later(tmp_path: Path) -> None:
    office = Office(tmp_path, SETTINGS + '[streams.newsletter]\ntitle = "Brief"\n')
    write(office, "Erst")
    dry = office.run("newsletters", "schedule", "2027-01", "--at", "now", "--dry-run")
    assert "subject (de)  Erst" in dry.stdout, dry.stderr
    assert published(office) == []
    done = office.run("newsletters", "schedule", "2027-01", "--at", tomorrow(), "--yes")
    assert done.returncode == 0, done.stderr
    write(office, "Dann")
    again = office.run("newsletters", "schedule", "newsletters/2027-01.md", "--at", "now", "--yes")
    assert again.returncode == 1
    assert "is scheduled already: campaign 1" in again.stderr
    assert published(office) == ["Erst"]
    corrected = office.run("content", "publish", "newsletter/2027-01", "--yes")
    assert "goes out" in corrected.stdout
    assert "with the text it was scheduled with; to send this one" in corrected.stdout


def test_a_draft_or_broken_issue_is_refused_with_its_faults(tmp_path: Path) -> None:
    office = Office(tmp_path, SETTINGS + '[streams.newsletter]\ntitle = "Brief"\n')
    write(office, "Erst", extra="draft: true\n")
    draft = office.run("newsletters", "schedule", "2027-01", "--at", "now", "--yes")
    assert (draft.returncode, "newsletters/2027-01.md: is a draft" in draft.stderr) == (1, True)
    write(office, "{{ first_nam }}")
    broken = office.run("newsletters", "schedule", "2027-01", "--at", "now", "--yes")
    assert broken.returncode == 1
    assert "newsletters/2027-01.md:2:" in broken.stderr
    assert campaigns(office) == []


def test_an_issue_is_paused_resumed_and_cancelled_by_its_name(office: Office) -> None:
    assert office.run("newsletters", "schedule", ISSUE, "--at", "now", "--yes").returncode == 0
    plan(office)
    paused = office.run("newsletters", "pause", "2026-12")
    assert paused.stdout.startswith(f"Paused: {ISSUE}; 3 deliveries wait.")
    (row,) = json.loads(office.run("newsletters", "list", "--json").stdout)
    assert (row["slug"], row["status"], row["planned"]) == (ISSUE, "paused", 3)
    resumed = office.run("newsletters", "resume", "2026-12", "--yes")
    assert "3 deliveries wait" in resumed.stdout
    assert resumed.stdout.endswith(f"Resumed: {ISSUE}.\n")
    cancelled = office.run("newsletters", "cancel", "2026-12", "--yes")
    assert cancelled.stdout.endswith(f"Cancelled: {ISSUE}; 3 deliveries withdrawn.\n")
    assert {row["state"] for row in office.rows()} == {"cancelled"}
    again = office.run("newsletters", "pause", "2026-12")
    assert again.returncode == 1
    assert "was cancelled" in again.stderr
    assert [command for command, _ in actions(office)] == [
        f"newsletters {verb} {ISSUE}" for verb in ("schedule", "pause", "resume", "cancel")
    ]


def test_to_resume_or_cancel_asks_and_a_dry_run_changes_nothing(office: Office) -> None:
    office.run("newsletters", "schedule", ISSUE, "--at", tomorrow(), "--yes")
    office.run("newsletters", "pause", ISSUE)
    for verb in ("resume", "cancel"):
        assert office.run("newsletters", verb, ISSUE).returncode == 1
        assert office.run("newsletters", verb, ISSUE, "--dry-run").returncode == 0
    (row,) = campaigns(office)
    assert row["paused_at"] is not None
    assert row["cancelled_at"] is None


def test_list_holds_issues_that_are_published_only_too(office: Office) -> None:
    (row,) = json.loads(office.run("newsletters", "list", "--json").stdout)
    assert (row["slug"], row["status"], row["due_at"]) == (ISSUE, "published", None)
    assert (
        json.loads(office.run("newsletters", "list", "--status", "scheduled", "--json").stdout)
        == []
    )
    assert office.run("newsletters", "list", "--status", "sent").returncode == 2
    assert office.run("newsletters", "list").stdout.splitlines()[1].split("\t")[:2] == [
        ISSUE,
        "published",
    ]


def test_show_says_how_an_issue_stands(office: Office) -> None:
    assert "would reach  3 people" in office.run("newsletters", "show", ISSUE).stdout
    office.run("newsletters", "schedule", ISSUE, "--at", "now", "--yes")
    plan(office)
    shown = json.loads(office.run("newsletters", "show", "2026-12", "--json").stdout)
    assert (shown["status"], shown["deliveries"]) == ("sending", {"queued": 3})
    unknown = office.run("newsletters", "show", "2026-11")
    assert (unknown.returncode, "is not published" in unknown.stderr) == (1, True)


@pytest.fixture
def house(tmp_path: Path) -> House:
    (tmp_path / "l3mail.toml").write_text(SETTINGS)
    return House(tmp_path)


@pytest.mark.parametrize(
    ("text", "moment", "remark"),
    [
        ("2026-12-01 10:00", datetime(2026, 12, 1, 9, 0, tzinfo=UTC), None),
        ("2026-12-01T10:00", datetime(2026, 12, 1, 9, 0, tzinfo=UTC), None),
        ("2026-12-01T10:00+00:00", datetime(2026, 12, 1, 10, 0, tzinfo=UTC), None),
        ("now", None, None),
        ("1.12.2026 10:00", datetime(2026, 12, 1, 9, 0, tzinfo=UTC), None),
        ("01.12.2026 9:05", datetime(2026, 12, 1, 8, 5, tzinfo=UTC), None),
        (
            "2027-03-28 02:30",
            datetime(2027, 3, 28, 1, 30, tzinfo=UTC),
            "There is no 02:30 on 2027-03-28 in Europe/Berlin: it is 03:30.",
        ),
        (
            "2026-10-25 02:30",
            datetime(2026, 10, 25, 0, 30, tzinfo=UTC),
            "02:30 comes twice on 2026-10-25 in Europe/Berlin: the first is meant.",
        ),
    ],
)
def test_a_time_is_local_and_what_the_clocks_do_to_it_is_said(
    house: House, text: str, moment: datetime | None, remark: str | None
) -> None:
    assert moment_of(house, text) == (moment, remark)


@pytest.mark.parametrize(
    "text", ["", "soon", "2026-12-01", "1.12.2026", "20261201", "10:00", "31.11.2026 10:00"]
)
def test_what_is_no_time_is_wrong_usage(house: House, text: str) -> None:
    with pytest.raises(typer.BadParameter):
        moment_of(house, text)


@pytest.mark.parametrize("day", ["2026-12-01", "1.12.2026", "01.12.2026", "1. 12. 2026"])
def test_a_day_alone_is_its_first_or_its_last_moment(day: str) -> None:
    assert parse_moment(day, BERLIN) == datetime(2026, 11, 30, 23, 0, tzinfo=UTC)
    last = datetime(2026, 12, 1, 23, 0, tzinfo=UTC) - timedelta(microseconds=1)
    assert parse_moment(day, BERLIN, end_of_day=True) == last


@pytest.mark.parametrize("text", ["1.12.", "32.1.2026", "2026-12", "10:00", "1.12.2026 25:00", "²"])
def test_what_is_no_moment_is_wrong_usage(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="is no moment; write 2026-12-01"):
        parse_moment(text, BERLIN)
