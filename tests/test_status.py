"""`status`: what stands where, and when a person is needed."""

import json
import re
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import pytest
from typer.testing import CliRunner

from l3mail import content, courses, newsletters, outbox, rounds, starter, wiring
from l3mail.cli import app
from l3mail.clocks import FixedClock, SystemClock
from l3mail.content import compile_text
from l3mail.database import opened
from l3mail.models import DELIVERY, ENROLLMENT
from l3mail.rounds import Due
from l3mail.segments import Question
from l3mail.settings import load_settings
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


class Waiting(NamedTuple):
    doubted: int = 0
    held: int = 0
    failed: int = 0
    since: datetime | None = None


def waiting(village: Village) -> Waiting:
    needs = village.do(outbox.needs, village.now - timedelta(hours=24))
    doubted, since = village.do(outbox.doubted), village.do(outbox.waiting_since)
    return Waiting(doubted, needs.held, needs.failed, since)


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
        ({"state": "uncertain", "next_attempt_at": None}, Waiting(doubted=1)),
        ({"state": "uncertain", "next_attempt_at": MONDAY_TEN}, Waiting()),
        ({"state": "held", "reason": "cap"}, Waiting(held=1)),
        ({"state": "failed", "reason": "sender", "ended_at": MONDAY_TEN}, Waiting(failed=1)),
        ({"state": "failed", "reason": None, "ended_at": MONDAY_TEN}, Waiting(failed=1)),
        ({"state": "failed", "reason": "person", "ended_at": MONDAY_TEN}, Waiting()),
        (
            {"state": "failed", "reason": "sender", "ended_at": MONDAY_TEN - timedelta(days=1)},
            Waiting(),
        ),
        ({"state": "queued", "due_at": MONDAY_TEN}, Waiting(since=MONDAY_TEN)),
        ({"state": "queued", "lane": 2}, Waiting()),
        ({"state": "deferred", "next_attempt_at": MONDAY_TEN}, Waiting()),
        ({"state": "accepted", "ended_at": MONDAY_TEN}, Waiting()),
    ],
    ids=lambda value: str(value) if isinstance(value, Waiting) else str(value.get("state")),
)
def test_what_needs_a_person(village: Village, values: dict[str, Any], expected: Waiting) -> None:
    village.delivery(village.learner(), **values)
    assert waiting(village) == expected


def test_what_a_halt_keeps_back_does_not_count_as_waiting(village: Village) -> None:
    village.delivery(village.learner())
    village.do(outbox.halt, "everything", "", "me", village.now)
    assert waiting(village).since is None


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


def test_what_waits_in_the_queue_or_for_its_next_attempt_comes_next(office: Office) -> None:
    again = SystemClock().now() + timedelta(minutes=30)

    def arrange(town: Village) -> None:
        for number in range(5):
            person = town.learner(f"p{number}@schule.example")
            waits: dict[str, Any] = {"due_at": town.now}
            if number > 1:
                later = timedelta(minutes=number - 2)
                waits |= {"state": "deferred", "next_attempt_at": again + later}
            town.delivery(person, **waits)

    visit(office, arrange)
    lines = office.run("status").stdout.splitlines()
    assert lines[1] == "next   now: 2 queued"
    at = f"{again.astimezone(BERLIN):%a %Y-%m-%d %H:%M}"
    assert lines[2] == f"next   {at}  3 deferred: tried again, the first of them"
    assert not any("nothing is due" in line for line in lines)
    assert datetime.fromisoformat(str(status(office)["next_attempt_at"])) == again


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


def test_status_says_what_rules_hold_and_until_when(office: Office) -> None:
    until = datetime(2030, 1, 7, 7, tzinfo=UTC)

    def arrange(town: Village) -> None:
        for number, (reason, later) in enumerate(
            [("quiet hours 20:00-08:00", 0)] * 2
            + [("frequency cap: 3 mails in 7 days", hours) for hours in (0, 24)]
        ):
            learner = town.learner(f"p{number}@schule.example")
            values = {"state": "held", "reason": reason}
            moment = until + timedelta(hours=later)
            town.delivery(learner, "newsletter", next_attempt_at=moment, **values)
        town.delivery(town.learner("bea@schule.example"), state="held", reason="paused")

    visit(office, arrange)
    lines = office.run("status").stdout.splitlines()
    assert lines[0].endswith(" 5 held, 0 deferred")
    first, last = "the first until Mon 2030-01-07 08:00", "the last until Tue 2030-01-08 08:00"
    assert lines[1:3] == [
        f"held   2 by frequency cap: 3 mails in 7 days, {first}, {last}",
        "held   2 by quiet hours 20:00-08:00, until Mon 2030-01-07 08:00",
    ]
    shown = status(office)
    assert shown["held"] == 5
    assert shown["held_by"][1] == {
        "reason": "quiet hours 20:00-08:00",
        "count": 2,
        "first_until": "2030-01-07T08:00:00+01:00",
        "last_until": "2030-01-07T08:00:00+01:00",
    }


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


# -- the texts in the files


@pytest.fixture(scope="module")
def laid_out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace as `init` makes it, all published."""
    folder = tmp_path_factory.mktemp("laid-out") / "w"
    starter.lay_out(folder)
    wiring.set_up(load_settings(folder, {}), by="me", now=SystemClock().now())
    return folder


class Kept:
    """A copy of the workspace, and which of its texts a survey compiles."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.settings = load_settings(folder, {})
        self.compiled: list[str] = []
        monkeypatch.setattr(content, "compile_text", self._compile)

    def _compile(self, library: content.Library, source: content.Source) -> content.Text:
        self.compiled.append(source.path)
        return compile_text(library, source)

    def change(self, name: str, old: str, new: str) -> str:
        file = self.folder / name
        assert old in file.read_text()
        file.write_text(file.read_text().replace(old, new, 1))
        return name

    def survey(self) -> wiring.Survey:
        self.compiled.clear()
        with opened(self.settings.database_url) as database:
            return wiring.survey_content(self.settings, database)

    def status(self, code: int, *words: str) -> str:
        arguments = ["--workspace", str(self.folder), "status", *words]
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == code, result.output
        return result.stdout


@pytest.fixture
def kept(laid_out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kept:
    shutil.copytree(laid_out, tmp_path / "w")
    return Kept(tmp_path / "w", monkeypatch)


def first_lesson(kept: Kept) -> str:
    return min(
        path.relative_to(kept.folder).as_posix()
        for path in kept.folder.glob("lessons/*/01-*.md")
        if path.name.count(".") == 1
    )


def test_what_is_as_published_costs_no_compiling(kept: Kept) -> None:
    survey = kept.survey()
    assert kept.compiled == []
    assert {one.state for one in survey.standings} == {"published"}
    assert (survey.broken, survey.unreadable) == ({}, ())
    assert "texts" not in kept.status(0, "--check")


def test_a_changed_text_is_named_and_needs_nobody(kept: Kept) -> None:
    name = first_lesson(kept)
    with (kept.folder / name).open("a") as file:
        file.write("\nNoch ein Satz.\n")
    survey = kept.survey()
    assert kept.compiled == [name]
    assert [one.path for one in survey.of("changed")] == [name]
    told = kept.status(0, "--check")
    assert f"texts  changed since published: {name}; `l3mail content diff` shows how" in told
    assert json.loads(kept.status(0, "--json"))["content"]["changed"] == [name]


def test_a_broken_lesson_of_a_course_that_is_given_needs_a_person(kept: Kept) -> None:
    name = first_lesson(kept)
    with (kept.folder / name).open("a") as file:
        file.write("\n{{ frist_name }}\n")
    slug = name.removeprefix("lessons/").removesuffix(".md")
    assert kept.survey().broken == {slug: name}
    told = kept.status(1, "--check")
    assert f"texts  broken: {name}; `l3mail check` says why" in told
    assert f"needs  {name} is broken, so {slug} can't be published" in told


def test_a_file_that_is_no_text_is_broken_too(kept: Kept) -> None:
    name = first_lesson(kept)
    (kept.folder / name).write_bytes(b"\xff\xfe")
    assert f"needs  {name} is broken" in kept.status(1, "--check")


def test_what_an_author_is_writing_is_told_and_needs_nobody(kept: Kept) -> None:
    folder = kept.folder / "newsletters"
    (folder / "2027-01.md").write_text('---\nsubject: "Neu"\ndraft: true\n---\nHallo {{ x }}\n')
    (folder / "2027-02.md").write_text('---\nsubject: "Neu"\n---\nHallo\n')
    (folder / "2027-03.md").write_text('---\nsubject: "Neu"\n---\nHallo {{ x }}\n')
    told = kept.status(0, "--check")
    assert "texts  drafts: newsletters/2027-01.md\n" in told
    assert "texts  never published: newsletters/2027-02.md; " in told
    assert "texts  broken: newsletters/2027-03.md; " in told
    assert "newsletters/2027-01.md" not in kept.compiled


def test_a_broken_issue_that_is_due_soon_needs_a_person(kept: Kept) -> None:
    name = next(
        path.relative_to(kept.folder).as_posix()
        for path in sorted(kept.folder.glob("newsletters/20*.md"))
    )
    slug = "newsletter/" + Path(name).stem
    with opened(kept.settings.database_url) as database:
        town = Village(database, FixedClock(SystemClock().now()))
        due = town.now + timedelta(hours=47)
        town.do(newsletters.schedule, slug, due, segment=None, by="me", now=town.now)
    with (kept.folder / name).open("a") as file:
        file.write("\n{{ frist_name }}\n")
    assert f"needs  {name} is broken" in kept.status(1, "--check")


def test_a_layout_that_changed_changes_every_text_in_it(kept: Kept) -> None:
    (layout,) = kept.folder.glob("templates/layouts/mail.mjml")
    kept.change(layout.relative_to(kept.folder).as_posix(), "<mj-body", "<!-- neu --><mj-body")
    touched = kept.survey()
    # A comment leaves no trace in the mail: one text of each look was enough to see that.
    everything = len(touched.standings)
    assert 0 < len(kept.compiled) < everything
    assert {one.state for one in touched.standings} == {"published"}
    kept.change("templates/words.toml", '"Impressum"', '"Kennzeichnung"')
    changed = kept.survey()
    assert len(changed.of("changed")) > everything // 2


def test_a_block_that_changed_changes_the_texts_that_hold_it(kept: Kept) -> None:
    holding = {
        path.relative_to(kept.folder).as_posix()
        for path in kept.folder.rglob("*.md")
        if "::: checklist" in path.read_text()
    }
    # Not the first lesson, which is looked at for all that look like it.
    assert holding
    assert first_lesson(kept) not in holding
    kept.change("templates/components/checklist.txt", "[[ body ]]", "Liste: [[ body ]]")
    assert {one.path for one in kept.survey().of("changed")} == holding


def test_a_colour_that_changed_changes_every_text(kept: Kept) -> None:
    settings = kept.folder / "l3mail.toml"
    settings.write_text(settings.read_text() + '\n[design.light]\naccent = "#7a1f3d"\n')
    kept.settings = load_settings(kept.folder, {})
    survey = kept.survey()
    assert len(survey.of("changed")) == len(survey.standings)


def test_an_image_that_changed_changes_the_texts_that_show_it(kept: Kept) -> None:
    with_image = {
        path.relative_to(kept.folder).as_posix()
        for path in kept.folder.rglob("*.md")
        if "media/" in path.read_text()
    }
    for image in (kept.folder / "media").rglob("*.png"):
        image.touch()
    kept.survey()
    assert set(kept.compiled) == with_image
