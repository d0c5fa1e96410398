"""Help of every command there is: it fits, shows an example, and names nothing that is not."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from l3mail.cli import app
from l3mail.cli.overview import FEW_WORDS, LONGEST, PANELS

SOURCES = Path(__file__).resolve().parent.parent / "src" / "l3mail"
ROOT: Any = typer.main.get_command(app)
# What another command's words may name although it is not there yet.
TO_COME: set[str] = set()


def commands(
    group: Any = ROOT, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


ALL = dict(commands())


def words_of(line: str) -> list[str]:
    """A command line without what it is about: pipes, and the program's name."""
    return shlex.split(line.partition(" | ")[0].partition(" > ")[0])[1:]


def fault(line: str) -> str | None:
    """What of a command line does not exist."""
    command: Any = ROOT
    options = {name for parameter in ROOT.params for name in parameter.opts}
    for word in words_of(line):
        if word.startswith("-"):
            known = {name for one in command.params for name in (*one.opts, *one.secondary_opts)}
            if word.partition("=")[0] not in known | options | {"--help", "-h"}:
                return f"{word} is no option of {command.name}"
        elif hasattr(command, "commands"):
            if re.fullmatch(r"[A-Z…]+|\.\.\.", word):
                return None  # a stand-in: `l3mail COMMAND --help`
            if word not in command.commands:
                return f"{word} is no command"
            command = command.commands[word]
    return None


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_every_command_has_help_with_an_example_that_could_be_typed(path: tuple[str, ...]) -> None:
    text = ALL[path].help or ""
    assert text.strip()
    (example,) = re.findall(r"Example: (.*)", text)
    assert example.startswith("l3mail " + " ".join(path))
    assert fault(example) is None


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_every_option_says_what_it_is_for_and_names_only_its_own(path: tuple[str, ...]) -> None:
    command = ALL[path]
    known = {name for one in command.params for name in (*one.opts, *one.secondary_opts)}
    known |= {name for one in ROOT.params for name in one.opts} | {"--help"}
    for parameter in command.params:
        said = getattr(parameter, "help", None) or ""
        assert said, f"{parameter.name} has no help"
        named = set(re.findall(r"(?<![\w`-])--[a-z][a-z-]+", said))
        assert named <= known, f"{parameter.name} names {named - known}"
    without_lines = re.sub(r"`[^`]*`|Example: .*", "", command.help or "")
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", without_lines))
    assert named <= known, f"the help names {named - known}"


def test_the_overview_fits_a_screen_in_four_panels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    lines = CliRunner().invoke(app, ["--help"]).stdout.splitlines()
    assert len(lines) <= 30
    assert max(map(len, lines)) < 80
    assert [line.split()[1] for line in lines if line.startswith("──")] == list(PANELS)
    shown = " ".join(lines)
    for name, command in ROOT.commands.items():
        assert command.rich_help_panel in PANELS
        assert re.search(rf" {name} ", shown)
    monkeypatch.setenv("COLUMNS", "60")
    narrow = CliRunner().invoke(app, ["-h"]).stdout.splitlines()
    assert max(len(line) for line in narrow if line.startswith(" ")) < 60


def test_every_command_has_its_few_words() -> None:
    assert set(ROOT.commands) <= set(FEW_WORDS)
    assert max(map(len, FEW_WORDS.values())) <= LONGEST


def hints() -> Iterator[tuple[str, str]]:
    """Every `l3mail …` that stands in our words, with the module it stands in."""
    for file in sorted(SOURCES.rglob("*.py")):
        # A line of code may be broken within a hint.
        text = re.sub(r'"\s*\n\s*f?"', "", file.read_text(encoding="utf-8"))
        for found in re.findall(r"`(l3mail [^`]+)`", text):
            plain = re.sub(r"\{[^}]*\}", "X", found).replace("\\", "")
            yield file.relative_to(SOURCES).as_posix(), plain


@pytest.mark.parametrize(("place", "hint"), sorted(set(hints())))
def test_no_hint_names_a_command_there_is_not(place: str, hint: str) -> None:
    if hint.split()[1] not in TO_COME:
        assert fault(hint) is None, place
