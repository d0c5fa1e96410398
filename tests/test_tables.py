"""Tables at the width of a terminal: what shrinks, where it breaks, what stays whole."""

import os
import pty
import subprocess
import sys
from contextlib import suppress
from itertools import takewhile
from pathlib import Path

import pytest

from l3mail.cli.tables import lay_out, wrap
from tests.fakes.office import Office

LESSON = "digital-kommunizieren/04-bildgestaltung"
OUTBOX = ("ID", "DUE", "KIND", "MESSAGE", "ADDRESS", "STATUS", "REASON")
ROW = (
    "17",
    "2026-11-30 10:00",
    "lesson",
    LESSON,
    "somebody.with-a-name@stadtteilschule.example",
    "deferred",
    "450 4.2.1 greylisted, try again",
)


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return Office(tmp_path, '[sender]\nfrom = "Bildung <kurs@stadt.example>"\n')


def test_what_fits_is_left_as_it_is() -> None:
    assert lay_out(("ID", "NAME"), [("1", "ada"), ("22", "")], 80) == ["ID  NAME", "1   ada", "22"]


def test_a_row_that_is_too_wide_goes_on_in_a_second_line() -> None:
    lines = lay_out(OUTBOX, [ROW], 80, solid=("ID", "DUE", "STATUS"))
    assert lines == [
        "ID  DUE               KIND    MESSAGE",
        "    ADDRESS                                       STATUS    REASON",
        "17  2026-11-30 10:00  lesson  digital-kommunizieren/04-bildgestaltung",
        "    somebody.with-a-name@stadtteilschule.example  deferred  450 4.2.1",
        "                                                            greylisted, try",
        "                                                            again",
    ]


def test_an_address_stays_whole_as_long_as_it_fits_a_line() -> None:
    address = "friederike.mustermann-von-und-zu@stadtteilbibliothek-blasewitz.example"
    lines = lay_out(OUTBOX, [(*ROW[:4], address, *ROW[5:])], 80)
    assert lines[:4] == [
        "ID  DUE               KIND    MESSAGE",
        "    ADDRESS",
        "    STATUS    REASON",
        "17  2026-11-30 10:00  lesson  digital-kommunizieren/04-bildgestaltung",
    ]
    assert lines[4:] == [f"    {address}", "    deferred  450 4.2.1 greylisted, try again"]


def test_cells_break_only_where_a_reader_expects_it() -> None:
    lines = lay_out(OUTBOX, [ROW], 40, solid=("ID", "DUE", "STATUS"))
    assert max(map(len, lines)) <= 40
    assert wrap(LESSON, 14) == ["digital-", "kommunizieren/", "04-", "bildgestaltung"]
    assert wrap("Mon 2026-10-05, for 5.2.2", 14) == ["Mon", "2026-10-05,", "for 5.2.2"]


def test_a_column_of_nothing_is_left_out() -> None:
    columns = ("ISSUE", "SEGMENT", "ACCEPTED")
    assert lay_out(columns, [("newsletter/1", "", "4"), ("newsletter/2", "", "")], 80) == [
        "ISSUE         ACCEPTED",
        "newsletter/1  4",
        "newsletter/2",
    ]


def test_headings_give_way_before_a_slug_is_broken() -> None:
    columns = ("ISSUE", "STATUS", "DUE", "STREAM", "SEGMENT", "PLANNED", "ACCEPTED")
    row = ("newsletter/2026-12", "finished", "2026-12-01 10:00", "newsletter", "nord", "4", "4")
    heading, line = lay_out(columns, [row], 80)
    assert heading.split() == ["ISSUE", "STATUS", "DUE", "STREAM", "SEGM.", "PLAN.", "ACCEP."]
    assert line.split("  ")[0] == "newsletter/2026-12"


def test_sentences_fold_and_names_beside_them_stay_whole() -> None:
    columns = ("ADDRESS", "STATUS", "STREAMS", "SINCE")
    streams = "digital-kommunizieren, lifecycle, newsletter"
    row = ("mehmet@schule-am-park.example", "active", streams, "2026-10-11")
    assert lay_out(columns, [row], 73) == [
        "ADDRESS                        STATUS  STREAMS                 SINCE",
        "mehmet@schule-am-park.example  active  digital-kommunizieren,  2026-10-11",
        "                                       lifecycle, newsletter",
    ]


def test_the_last_columns_shrink_first_and_no_more_than_they_must() -> None:
    lines = lay_out(("A", "B"), [("a b c d e f", "words that go on and on and on")], 36)
    assert lines[1] == "a b c d e f  words that go on and on"


def test_headings_are_abbreviated_and_never_broken() -> None:
    columns = ("LESSON", "QUEUED", "ACCEPTED", "UNCERTAIN", "CANCELLED", "FAILED", "DEFERRED")
    heading, *lines = lay_out(columns, [(LESSON, *"123456")], 75, solid=("LESSON",))
    assert heading.split() == ["LESSON", "QUE.", "ACC.", "UNC.", "CAN.", "FAI.", "DEF."]
    assert [line.split() for line in lines] == [[LESSON, *"123456"]]


@pytest.mark.parametrize("width", [1, 5, 20, 40])
def test_no_width_is_too_small(width: int) -> None:
    text = "".join("".join(lay_out(OUTBOX, [ROW], width, solid=("ID",))[1:]).split())
    assert sorted(text) == sorted("".join(ROW).replace(" ", ""))


def test_wide_letters_take_their_room() -> None:
    assert lay_out(("A", "B"), [("日本", "x"), ("ab", "y")], 80)[1:] == ["日本  x", "ab    y"]


def terminal(workspace: Path, *words: str) -> tuple[list[str], list[str]]:
    """What a command says in a terminal of 80 columns: its output, and what went to stderr."""
    ours, theirs = pty.openpty()
    beside, others = pty.openpty()
    command = [sys.executable, "-m", "l3mail", "--workspace", str(workspace), *words]
    environment = {**os.environ, "COLUMNS": "80", "NO_COLOR": "1"}
    subprocess.run(command, stdout=theirs, stderr=others, env=environment, check=False)
    os.close(theirs)
    os.close(others)
    return _drained(ours), _drained(beside)


def _drained(end: int) -> list[str]:
    said = b""
    with suppress(OSError):  # the other end is closed, and all is read
        while part := os.read(end, 65_536):
            said += part
    os.close(end)
    return said.decode().splitlines()


def test_a_terminal_of_80_columns_gets_no_wider_line(office: Office) -> None:
    office.fill(2)
    lines, _ = terminal(office.folder, "outbox", "list")
    assert lines[0].split() == list(OUTBOX[:-1])
    assert lines[1].split()[-2:] == ["p0@schule.example", "queued"]
    assert max(map(len, lines)) <= 80


def test_a_pipe_gets_every_column_whatever_is_in_it(office: Office) -> None:
    office.fill(2)
    command = [sys.executable, "-m", "l3mail", "--workspace", str(office.folder), "outbox", "list"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert said.splitlines()[0] == "\t".join(OUTBOX)


@pytest.mark.parametrize(
    ("words", "begin", "under"),
    [
        (("status",), "needs  ", 7),
        (("doctor",), "failed   relay", 19),
        (("form", "qr", "--out", "code.svg"), "l3mail: warning: ", 8),
        (("newsletters", "show", "an-issue-that-nobody-wrote"), "l3mail: ", 8),
    ],
    ids=["status", "doctor", "a warning", "a refusal"],
)
def test_a_long_line_goes_on_beneath_itself_and_breaks_no_word(
    office: Office, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], begin: str, under: int
) -> None:
    office.fill(200)
    monkeypatch.chdir(office.folder)
    out, beside = terminal(office.folder, *words)
    lines = [*out, *beside]
    number = next(n for n, line in enumerate(lines) if line.startswith(begin))
    whole = subprocess.run(
        [sys.executable, "-m", "l3mail", "--workspace", str(office.folder), *words],
        capture_output=True,
        text=True,
        check=False,
    )
    plain = [*whole.stdout.splitlines(), *whole.stderr.splitlines()]
    first = next(line for line in plain if line.startswith(begin))
    following = lines[number + 1 :]
    folded = [lines[number], *takewhile(lambda line: line.startswith(" " * under), following)]
    assert max(map(len, folded)) <= 80 < len(first)
    assert " ".join(" ".join(folded).split()) == " ".join(first.split())
