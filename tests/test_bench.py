"""The bench itself: what it says of what it measured, and of what it could not. No timings."""

import io
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from types import ModuleType

import pytest
from bench import engine, naive, parts, reference, results, sizing
from bench.__main__ import count, how_long, main
from bench.crowd import crowd, plan
from bench.figures import Figure, Goal, MissingError, Size, in_turns, ratio
from bench.multitude import Multitude, fresh, settle_in
from bench.parts import Part
from bench.planning import planned_in
from bench.sender import require_all, send
from rich.console import Console
from sqlalchemy import text

from l3mail.database import opened
from l3mail.outbox import counts
from l3mail.wiring import rendered
from tests.fakes.sink import running_sink

RATIO = Goal("engine / other", 0.5, 1.0, in_the_way="The kernel copies.")
SECONDS = Goal("a year", 60, 10, unit="s", less_is_better=True)
REPORTED = Goal("two / one", None, 1.5)

Figures = Callable[[Size], Iterator[Figure]]


@pytest.fixture
def measuring(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., None]:
    """Let these be all there is to measure, and the results lie in a folder of the test's."""
    monkeypatch.setattr(results, "RESULTS", tmp_path / "RESULTS.md")

    def only(**modules: Figures) -> None:
        for name, figures in modules.items():
            module = ModuleType(f"bench.{name}")
            vars(module).update(figures=figures, RATIO=RATIO, SECONDS=SECONDS)
            monkeypatch.setitem(sys.modules, f"bench.{name}", module)
        monkeypatch.setattr(parts, "PARTS", tuple(Part(name, 1) for name in modules))

    return only


def well(size: Size) -> Iterator[Figure]:
    yield Figure(RATIO, 0.7 if size is Size.FULL else 0.1, "700/s beside 1,000/s")
    yield Figure(SECONDS, 61.0, "10,000 learners")


def in_mid_way(_: Size) -> Iterator[Figure]:
    yield Figure(RATIO, 0.7, "700/s beside 1,000/s")
    raise ZeroDivisionError("nobody came\nand more")


def without_program(_: Size) -> Iterator[Figure]:
    raise MissingError("smtp-source is not here: unpack Debian's package postfix")
    yield


def stopped(_: Size) -> Iterator[Figure]:
    yield Figure(RATIO, 0.7, "700/s beside 1,000/s")
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("goal", "measured", "verdict"),
    [
        (RATIO, 0.49, "missed"),
        (RATIO, 0.5, "met"),
        (RATIO, 1.0, "moonshot"),
        (SECONDS, 60.1, "missed"),
        (SECONDS, 60.0, "met"),
        (SECONDS, 10.0, "moonshot"),
        (REPORTED, 0.7, "reported"),
        (REPORTED, 1.5, "moonshot"),
        (RATIO, None, "not measured"),
    ],
)
def test_verdict_follows_from_goal_and_direction(
    goal: Goal, measured: float | None, verdict: str
) -> None:
    assert Figure(goal, measured, "").verdict == verdict


def test_what_failed_has_no_other_verdict() -> None:
    assert Figure(RATIO, None, "OSError: no", failed=True).verdict == "failed"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0428, "0.043 x"),
        (1.524, "1.52 x"),
        (23.44, "23.4 x"),
        (1240.4, "1,240 x"),
        (0.0, "0 x"),
        (None, "–"),
    ],
)
def test_amounts_have_as_many_digits_as_they_mean(value: float | None, text: str) -> None:
    assert results.amount(value, "x") == text


def test_table_fits_eighty_columns_and_says_goal_measured_and_verdict() -> None:
    lines = io.StringIO()
    figures = [Figure(RATIO, 0.72, "words " * 30), Figure(REPORTED, None, "PostgreSQL: make setup")]

    Console(file=lines, width=80).print(results.table(figures, Size.FULL))

    text = lines.getvalue()
    assert max(map(len, text.splitlines())) <= 80
    row = next(line for line in text.splitlines() if "engine / other" in line)
    assert row.split()[3:] == ["≥", "0.5", "≥", "1", "0.72", "x", "met"]
    assert "not measured" in text
    assert "make setup" in text


def test_table_tells_once_what_several_figures_lack() -> None:
    lines = io.StringIO()
    figures = [Figure(goal, None, "no program") for goal in (RATIO, SECONDS)]

    Console(file=lines, width=80).print(results.table(figures, Size.FULL))

    assert lines.getvalue().count("no program") == 1
    assert lines.getvalue().count("not measured") == 2


def test_full_run_is_written_down_with_its_machine_and_commit(
    measuring: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    measuring(first=well)

    assert main([]) == 0

    told = capsys.readouterr()
    assert str(results.RESULTS) in told.out
    assert "engine / other: 0.70 x, met" in told.err
    text = results.RESULTS.read_text(encoding="utf-8")
    for fact in ("date", "commit", "processor", "memory", "system", "Python", "libraries"):
        assert re.search(rf"^- {fact}: \S", text, re.MULTILINE), fact
    assert "| engine / other | ≥ 0.5 | ≥ 1 | 0.70 x | met | 700/s beside 1,000/s |" in text
    assert "| a year | ≤ 60 | ≤ 10 | 61 s | missed | 10,000 learners |" in text
    assert "- **engine / other**: 70% of the moonshot. The kernel copies.\n" in text
    assert "- **a year**: 98% of the goal, 16% of the moonshot.\n" in text


def test_what_is_reached_or_not_measured_has_nothing_in_its_way() -> None:
    assert Figure(RATIO, 1.0, "").missing == {}
    assert Figure(RATIO, None, "").missing == {}
    assert Figure(replace(SECONDS, goal=0, moonshot=None), 5, "").missing == {"goal": 0}
    text = results.as_markdown([Figure(RATIO, 1.2, ""), Figure(REPORTED, 1.6, "")], Size.FULL, {})
    assert "in the way" not in text


@pytest.mark.parametrize("words", [["--quick"], ["first"]])
def test_part_of_a_run_is_not_written_down(
    measuring: Callable[..., None], words: list[str]
) -> None:
    measuring(first=well, second=well)

    assert main(words) == 0

    assert not results.RESULTS.exists()


def test_part_of_a_run_is_written_where_somebody_asks_for_it(
    measuring: Callable[..., None], tmp_path: Path
) -> None:
    measuring(first=well, second=without_program)

    assert main(["first", "--quick", "--results", str(tmp_path / "one.md")]) == 0

    text = (tmp_path / "one.md").read_text(encoding="utf-8")
    assert "- run: quick, first" in text
    assert "0.10 x | works" in text, "only a full measurement judges"
    assert "not here" not in text


def test_one_parts_fault_is_told_and_stops_no_other(
    measuring: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    measuring(first=in_mid_way, second=well)
    parts.PARTS = (Part("nowhere", 1), *parts.PARTS)

    assert main([]) == 1

    told = capsys.readouterr()
    assert "engine / other: 0.70 x, met" in told.err
    assert "a year: –, failed" in told.err
    assert "a year: 61 s, missed" in told.err
    assert "nowhere: –, failed" in told.err
    assert "in_mid_way" in told.err, "where the fault was"
    assert "ZeroDivisionError: nobody came" in told.out
    assert not results.RESULTS.exists()


def test_missing_program_is_named_with_how_to_get_it(
    measuring: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    measuring(first=without_program, second=well)

    assert main([]) == 0

    told = capsys.readouterr()
    assert "engine / other: –, not measured" in told.err
    assert "a year: –, not measured" in told.err
    text = results.RESULTS.read_text(encoding="utf-8")
    assert "not measured | smtp-source is not here: unpack Debian's package postfix |" in text


def test_whoever_stops_it_sees_what_was_measured_by_then(
    measuring: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    measuring(first=stopped, second=well)

    assert main([]) == 130

    told = capsys.readouterr()
    assert "0.70 x" in told.out
    assert "a year" not in told.out
    assert not results.RESULTS.exists()


def test_parts_are_listed_in_the_order_of_the_goals_and_unknown_ones_are_wrong_usage(
    measuring: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    measuring(first=well, second=well)

    assert main(["--list", "second", "first"]) == 0
    assert re.findall(r"^\w+", capsys.readouterr().out, re.MULTILINE) == ["first", "second"]
    assert main(["third"]) == 2
    assert "known are first, second" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("minutes", "words"),
    [(0.2, "less than a minute"), (1.2, "about 1 minute"), (12.6, "about 13 minutes")],
)
def test_how_long_it_takes_is_told_as_people_say_it(minutes: float, words: str) -> None:
    assert how_long(minutes) == words
    assert (count(1, "part"), count(2, "part")) == ("1 part", "2 parts")


def test_every_module_that_measures_has_its_place() -> None:
    folder = Path(parts.__file__).parent
    measuring = {
        path.stem
        for path in folder.glob("*.py")
        if re.search(r"^def figures\(", path.read_text(encoding="utf-8"), re.MULTILINE)
    }

    assert {part.name for part in parts.PARTS} == measuring


def test_programs_that_are_not_there_are_missed_by_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("L3MAIL_POSTFIX", raising=False)

    with pytest.raises(MissingError, match=r"smtp-source and smtp-sink.*postfix.*L3MAIL_POSTFIX"):
        reference.postfix.__wrapped__()


def test_count_of_the_sink_is_its_last_whole_one(tmp_path: Path) -> None:
    log = tmp_path / "log"
    sink = reference.Sink(25, log)

    log.write_bytes(b"")
    assert sink.taken() == 0
    log.write_bytes(b"sess=2 quit=1 mesg=9\rsess=2 quit=1 mesg=10\rsess=2 quit=1 mesg=1")
    assert sink.taken() == 10


def test_sides_take_turns_at_coming_first_and_are_compared_round_by_round() -> None:
    said: list[str] = []
    rates = {"ours": [6.0, 2.0, 90.0], "theirs": [2.0, 1.0, 10.0]}

    def side(name: str) -> Callable[[], float]:
        def measured() -> float:
            said.append(name)
            return rates[name][said.count(name) - 1]

        return measured

    measured = in_turns(3, ours=side("ours"), theirs=side("theirs"))

    assert said == ["ours", "theirs", "theirs", "ours", "ours", "theirs"]
    assert measured == rates
    assert ratio(measured, "ours", "theirs") == 3, "the middle one of 3, 2 and 9"


@pytest.mark.parametrize(("accepted", "taken"), [(99, 100), (100, 99), (100, 101)])
def test_rate_counts_only_when_every_mail_went_once(accepted: int, taken: int) -> None:
    require_all(100, accepted=100, taken=100)
    with pytest.raises(RuntimeError, match="of 100 mails"):
        require_all(100, accepted=accepted, taken=taken)


@pytest.mark.parametrize("paper", ["README.md", "docs/sizing.md"])
def test_papers_name_only_parts_that_can_be_measured(paper: str) -> None:
    said = (Path(__file__).resolve().parent.parent / paper).read_text("utf-8")

    named = " ".join(re.findall(r'FIGURES="?([\w ]+)', said)).split()
    assert named
    assert parts.chosen(named)


@pytest.fixture
def few() -> Iterator[Multitude]:
    with fresh("sqlite") as url, opened(url) as database:
        yield settle_in(database, 120)


def test_a_tables_bytes_are_its_indexes_too(few: Multitude) -> None:
    before = sizing.bytes_of_tables(few.database)

    few.database.write(lambda c: c.execute(text("CREATE INDEX more ON subscriber (address)")))

    after = sizing.bytes_of_tables(few.database)
    grown = {name for name in after if after[name] != before[name]}
    assert grown == {"subscriber"}


def test_what_the_log_is_counted_for_is_sent_once(few: Multitude) -> None:
    planned, _ = planned_in(few, 500)
    before = few.database.read(counts)

    sent, commits = sizing.hand_over(few, 50)

    after = few.database.read(counts)
    assert sent == after["accepted"] - before["accepted"] == before["queued"] - after["queued"]
    assert 50 <= sent < 50 + sizing.AT_ONCE < planned
    # One claims; the last one only has outcomes.
    assert commits == 1 + -(-sent // sizing.AT_ONCE) + 1


def _body(mail: EmailMessage, kind: str) -> str:
    """A part with every personal token replaced by one word, and one host."""
    part = mail.get_body((kind,))
    assert part is not None
    text = part.get_content().replace("\r\n", "\n").rstrip()
    text = text.replace("http://127.0.0.1:8000", naive.BASE_URL)
    return re.sub(
        rf"({naive.BASE_URL}/(?:c|o|unsubscribe|preferences|view|interest)/)[\w.-]+?"
        r"(?=/\d|\.gif|[\s\"'<>)]|$)",
        r"\1token",
        text,
    )


@pytest.mark.slow
def test_baseline_sends_what_the_engine_sends(tmp_path: Path) -> None:
    with crowd(2, tracked=True) as people:
        plan(people)
        mails = [rendered(people.settings, people.database, n) for n in (1, 2)]
    engine.lay_out_naive(mails[0], tmp_path / "naive", 2)
    mailing = naive.Mailing(tmp_path / "naive", 25)

    for n, expected in enumerate(mails, start=1):
        recipient = mailing.session.get_one(naive.Recipient, n)
        theirs, ours = mailing.compose(recipient), message_from_bytes(expected, policy=default)
        assert str(theirs["Subject"]) == str(ours["Subject"])
        assert theirs["To"] == ours["To"]
        for kind in ("plain", "html"):
            assert _body(theirs, kind) == _body(ours, kind)
        page = theirs.get_body(("html",))
        assert page is not None
        links = re.findall(rf"{naive.BASE_URL}/c/([\w.-]+)/\d+", page.get_content())
        assert len(set(links)) == 15, "a token for each link"
    mailing.session.close()


@pytest.mark.slow
def test_senders_in_their_own_processes_send_everything_once_and_to_nobody_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("L3MAIL_SMTP_HOST", "relay.stadt.example")
    monkeypatch.setenv("L3MAIL_DATABASE_URL", "sqlite:////nowhere/l3mail.db")
    with running_sink(tmp_path) as (port, log), crowd(30, port=port, connections=2) as people:
        people.database.close()
        [sent] = send(people.settings.folder, "--plan")
        arrived = [line.split("\t")[0] for line in log.read_text().splitlines()]

    assert (sent.planned, sent.accepted) == (30, 30)
    assert len(set(arrived)) == len(arrived) == 30
    assert sent.peak_bytes >= sent.peak_bytes_when_planned > 1_000_000
    assert sent.seconds > 0
