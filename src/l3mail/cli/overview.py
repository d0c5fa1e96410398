"""What `l3mail --help` shows: every command in its panel, on one screen.

Owns the few words each command gets there; its own help says the rest.
"""

import os
import shutil
import sys
from collections.abc import Iterator
from itertools import zip_longest
from typing import Any

import typer
from typer.core import TyperGroup

FEW_WORDS = {
    "check": "find faults in the texts",
    "preview": "see a text as its mail",
    "content": "publish, compare, go back",
    "answers": "what learners wrote",
    "help": "what can stand in a text",
    "subscribers": "add, import, find people",
    "segments": "ask who is meant",
    "courses": "enroll, pause, cancel",
    "explain": "why a mail came, or not",
    "privacy": "what is a person's right",
    "consent": "the proof, and its chain",
    "form": "to sign up, on paper too",
    "run": "all, in one process",
    "web": "only pages and planning",
    "worker": "only sending",
    "halt": "the emergency brake",
    "resume": "let mail flow again",
    "status": "the queue; who is needed",
    "simulate": "who will get what when",
    "newsletters": "schedule, pause, cancel",
    "triggers": "mailings with an occasion",
    "outbox": "single mails; try again",
    "report": "a week, course or issue",
    "inbound": "read bounces and replies",
    "init": "lay out a workspace",
    "demo": "ten weeks in time-lapse",
    "doctor": "is all as it should be?",
    "service": "systemd unit, proxy block",
    "db": "keep the database",
    "leave": "all in open formats",
}
LONGEST = 25
"""Characters; with a name before them, two commands share a line of 80."""

PANELS = ("Content", "People", "Sending", "House")
_NAME = 12
_WIDTH = 80


class Overview(TyperGroup):
    """The commands' group, whose help fits a screen."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Print the overview; the group's own options stand in one line."""
        styled = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        for line in _lines(self, ctx):
            heading = line.startswith("──")
            typer.echo(typer.style(line, bold=True) if heading and styled else line)


def _lines(group: TyperGroup, context: Any) -> Iterator[str]:
    columns = 2 if shutil.get_terminal_size().columns >= _WIDTH else 1
    yield f"Usage: {context.command_path} [--workspace DIR] [--as WHO] [--version] COMMAND ..."
    yield f"{group.help}".strip()
    yield "DIR holds l3mail.toml (default: here or above); WHO is noted beside changes."
    for panel in PANELS:
        entries = [
            f"{name:<{_NAME}}{FEW_WORDS.get(name) or _shortened(command)}"
            for name, command in group.commands.items()
            if getattr(command, "rich_help_panel", None) == panel and not command.hidden
        ]
        yield f"── {panel} ".ljust(_WIDTH - 2 if columns == 2 else 40, "─")
        rows = -(-len(entries) // columns)
        for left, right in zip_longest(entries[:rows], entries[rows:], fillvalue=""):
            yield f" {left:<{_NAME + LONGEST + 1}} {right}".rstrip()
    yield f"`{context.command_path} COMMAND --help` says more, and gives an example."


def _shortened(command: Any) -> str:
    """The beginning of a command's help, up to the last whole word that fits."""
    words = str(command.get_short_help_str(limit=200))
    if len(words) <= LONGEST:
        return words.rstrip(".")
    return words[:LONGEST].rpartition(" ")[0].rstrip(",.;:")
