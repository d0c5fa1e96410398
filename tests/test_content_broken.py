"""Files with one fault each, in `tests/broken`: `l3mail check` tells it, once, in its place.

What it says of each stands in `tests/broken/findings.toml`.
"""

import json
import shutil
import tomllib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from l3mail.cli import app
from l3mail.database import opened
from l3mail.models import CAMPAIGN, MESSAGE
from l3mail.settings import load_settings
from tests.fakes.library import COURSE, ROOT, png
from tests.fakes.office import Office
from tests.fakes.village import Village

FOLDER = Path(__file__).parent / "broken"
LESSON = "lessons/kurs/01-start.md"
SOUND = '---\nsubject: "Lektion"\n---\nGuten Tag.\n\n::: tip\nLeise sprechen.\n:::\n'
SETTINGS = """
[streams.newsletter]
title = "Neues"
[streams.lifecycle]
title = "Grüße"
kind = "lifecycle"
[attributes.role]
title = "Einrichtung"
"""


@dataclass(frozen=True)
class Broken:
    """A file, where it is laid, and what is said of it."""

    file: str
    finding: str
    place: str = LESSON
    octets: dict[str, int] = field(default_factory=dict)
    other: str = ""
    fill: str = ""

    @property
    def text(self) -> bytes:
        text = (FOLDER / self.file).read_bytes()
        return text + (self.fill * 4000).encode()


TABLE = tomllib.loads((FOLDER / "findings.toml").read_text(encoding="utf-8"))
CASES = [Broken(file, **values) for file, values in TABLE.items()]


def put(folder: Path, place: str, text: bytes) -> None:
    file = folder / place
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(text)


def lay_out(folder: Path, broken: Broken) -> None:
    """A sound workspace of one lesson, with the broken file in it."""
    for frames in ("layouts", "components"):
        shutil.copytree(ROOT / "templates" / frames, folder / "templates" / frames)
    shutil.copy(ROOT / "templates" / "words.toml", folder / "templates")
    for picture in ("media/tafel.png", "media/tafel.webp"):
        put(folder, picture, png(300, 200))
    put(folder, "l3mail.toml", b"")
    put(folder, "lessons/kurs/course.yaml", COURSE.encode())
    put(folder, LESSON, SOUND.encode())
    for place, octets in broken.octets.items():
        put(folder, place, bytes(octets))
    if broken.other:
        put(folder, broken.other, SOUND.encode())
    put(folder, broken.place, broken.text)
    settings = folder / "l3mail.toml"
    settings.write_text(settings.read_text() + SETTINGS)


def said_of(folder: Path, *words: str) -> Any:
    return CliRunner().invoke(app, ["--workspace", str(folder), "check", *words])


@pytest.mark.parametrize("broken", CASES, ids=lambda broken: broken.file)
def test_a_broken_file_is_told_once_in_its_place(tmp_path: Path, broken: Broken) -> None:
    lay_out(tmp_path, broken)
    result = said_of(tmp_path)
    *lines, sum_up = result.stdout.splitlines()
    lines = [line for line in lines if "the others fall back to" not in line]
    if not broken.finding:
        assert lines == []
        assert result.exit_code == 0
        return
    (line,) = lines
    assert line.startswith(f"{broken.place}:{broken.finding}"), line
    warned = broken.finding.partition(": ")[2].startswith("warning: ")
    assert result.exit_code == (0 if warned else 1)
    assert sum_up.endswith("0 errors, 1 warning." if warned else "1 error, 0 warnings.")


def test_the_place_of_a_finding_is_there_for_programs_too(tmp_path: Path) -> None:
    lay_out(tmp_path, next(one for one in CASES if one.file == "link-javascript.md"))
    (finding,) = json.loads(said_of(tmp_path, "--json").stdout)
    assert {name: finding[name] for name in ("path", "line", "column", "severity")} == {
        "path": LESSON,
        "line": 4,
        "column": 25,
        "severity": "error",
    }


REFUSED = (
    "link-javascript.md",
    "placeholder-unknown.md",
    "block-open.md",
    "text-over-102-kilobytes.md",
)
ISSUE = "newsletters/2026-12.md"


@pytest.mark.parametrize("file", REFUSED)
def test_what_check_refuses_is_not_published_and_not_scheduled(tmp_path: Path, file: str) -> None:
    broken = next(one for one in CASES if one.file == file)
    lay_out(tmp_path, replace(broken, place=ISSUE))
    Office(tmp_path, (tmp_path / "l3mail.toml").read_text())
    told = f"{ISSUE}:{broken.finding}"
    assert told in said_of(tmp_path, ISSUE).stdout
    publish = ("content", "publish", ISSUE, "--yes")
    schedule = ("newsletters", "schedule", ISSUE, "--at", "2099-12-01 10:00", "--yes")
    for command in (publish, schedule):
        result = CliRunner().invoke(app, ["--workspace", str(tmp_path), *command])
        assert result.exit_code != 0
        assert told in f"{result.stderr}{result.exception}"
    with opened(load_settings(tmp_path, {}).database_url) as database:
        village = Village(database)
        assert village.rows(MESSAGE) == village.rows(CAMPAIGN) == []


def test_each_broken_file_is_in_the_table() -> None:
    lying = {path.name for path in FOLDER.iterdir()} - {"findings.toml"}
    assert lying == set(TABLE)
    assert len(lying) >= 60
