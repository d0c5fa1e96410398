"""How long `l3mail --help` takes beside a bare Typer app with as many commands.

The other app has the same groups and commands and nothing behind them: what is left is what our
own modules cost before a command runs. Each start is a process of its own, in turns.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from bench.crowd import ROOT, surroundings
from bench.figures import Figure, Goal, Size, middle
from l3mail.cli import app

STARTUP = Goal(
    "l3mail --help / a bare Typer app",
    1.3,
    1.1,
    less_is_better=True,
    in_the_way="Thirty files to find and load, with every option and its help; a bare app is one.",
)
ROUNDS = {Size.FULL: 25, Size.QUICK: 3}
OURS = ("-m", "l3mail", "--help")


@dataclass(frozen=True, slots=True)
class Outline:
    """What commands an app has: its own, and those of its groups."""

    commands: tuple[str, ...]
    groups: dict[str, tuple[str, ...]]

    @property
    def count(self) -> int:
        return len(self.commands) + sum(len(names) for names in self.groups.values())


def figures(size: Size) -> Iterator[Figure]:
    """The middle of paired starts."""
    outline = outline_of(app)
    with tempfile.TemporaryDirectory() as folder:
        bare = Path(folder) / "bare.py"
        bare.write_text(bare_app(outline), encoding="utf-8")
        theirs, ours = (str(bare), "--help"), OURS
        for command in (theirs, ours):
            _seconds(command)  # the first start compiles
        pairs = []
        for turn in range(ROUNDS[size]):
            first, second = (theirs, ours) if turn % 2 else (ours, theirs)
            took = {first: _seconds(first), second: _seconds(second)}
            pairs.append((took[ours], took[theirs]))
    yield Figure(
        STARTUP,
        middle([mine / other for mine, other in pairs]),
        f"median of {len(pairs)} paired ratios; the median times are"
        f" {middle([mine for mine, _ in pairs]) * 1000:.0f} ms beside"
        f" {middle([other for _, other in pairs]) * 1000:.0f} ms, {outline.count} commands each",
    )


def outline_of(part: typer.Typer) -> Outline:
    """The commands and groups of our app."""
    group: Any = typer.main.get_command(part)
    groups = {
        name: tuple(command.commands)
        for name, command in group.commands.items()
        if hasattr(command, "commands")
    }
    return Outline(tuple(name for name in group.commands if name not in groups), groups)


def bare_app(outline: Outline) -> str:
    """A program with these commands, which do nothing."""
    lines = ["import typer", "app = typer.Typer()"]
    for number, (name, parent) in enumerate(
        [(name, "app") for name in outline.commands]
        + [(name, f"of_{group}") for group, names in outline.groups.items() for name in names]
    ):
        group = parent.removeprefix("of_")
        if f"{parent} = typer.Typer()" not in lines and parent != "app":
            lines += [f"{parent} = typer.Typer()", f"app.add_typer({parent}, name={group!r})"]
        lines += [f"@{parent}.command({name!r})", f"def command_{number}(): ..."]
    return "\n".join([*lines, "app()", ""])


def _seconds(command: tuple[str, ...]) -> float:
    began = time.perf_counter()
    subprocess.run(
        [sys.executable, *command],
        check=True,
        stdout=subprocess.DEVNULL,
        cwd=ROOT,
        env=surroundings({"COLUMNS": "80"}),
    )
    return time.perf_counter() - began
