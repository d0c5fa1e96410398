"""Tables at the width of a terminal: what shrinks, where it breaks, what stays whole."""

import os
import pty
import subprocess
import sys
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


def test_what_fits_is_left_as_it_is() -> None:
    assert lay_out(("ID", "NAME"), [("1", "ada"), ("22", "")], 80) == ["ID  NAME", "1   ada", "22"]


def test_cells_break_only_where_a_reader_expects_it() -> None:
    lines = lay_out(OUTBOX, [ROW], 80, solid=("ID", "DUE", "STATUS"))
    assert max(map(len, lines)) <= 80
    assert lines[0].split() == list(OUTBOX)
    assert lines[1].startswith("17  2026-11-30")
    words = " ".join(lines[1:]).split()
    for whole in ("kommunizieren/", "bildgestaltung", "stadtteilschule.", "greylisted,"):
        assert whole in words
    assert wrap(LESSON, 14) == ["digital-", "kommunizieren/", "04-", "bildgestaltung"]


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


def test_a_terminal_of_80_columns_gets_no_wider_line(tmp_path: Path) -> None:
    office = Office(tmp_path, '[sender]\nfrom = "Bildung <kurs@stadt.example>"\n')
    office.fill(2)
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "l3mail", "--workspace", str(tmp_path), "outbox", "list"]
    environment = {**os.environ, "COLUMNS": "80", "NO_COLOR": "1"}
    subprocess.run(command, stdout=theirs, env=environment, check=True)
    os.close(theirs)
    lines = os.read(ours, 65_536).decode().splitlines()
    os.close(ours)
    assert lines[0].split() == list(OUTBOX)
    assert lines[1].split()[-2:] == ["p0@schule.example", "queued"]
    assert max(map(len, lines)) <= 80
