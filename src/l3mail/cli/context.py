"""What every command shares: the workspace, who acts, and how things are printed."""

import getpass
import json
import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from l3mail.clocks import Clock
    from l3mail.database import Database
    from l3mail.settings import Settings

T = TypeVar("T")

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would change; change nothing.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


@dataclass
class House:
    """One invocation: the workspace it is about and the person behind it."""

    folder: Path | None = None
    acting: str | None = None

    @cached_property
    def settings(self) -> "Settings":
        """The workspace's settings, read when first needed."""
        from l3mail.settings import find_workspace, load_settings

        return load_settings(find_workspace(Path.cwd(), self.folder, os.environ), os.environ)

    @cached_property
    def clock(self) -> "Clock":
        """The machine's clock."""
        from l3mail.clocks import SystemClock

        return SystemClock()

    @property
    def who(self) -> str:
        """Whose name stands beside a change: `--as`, else the login name."""
        return self.acting or getpass.getuser()

    @contextmanager
    def database(self) -> "Iterator[Database]":
        """The workspace's database."""
        from l3mail.wiring import open_database

        with open_database(self.settings) as database:
            yield database

    def change(
        self, command: str, verb: "Callable[[Connection], tuple[T, Mapping[str, Any]]]"
    ) -> T:
        """Run a changing verb and note it, in the same transaction; the verb returns its counts."""
        from l3mail import actions

        def noted(connection: "Connection") -> T:
            result, counts = verb(connection)
            actions.note(connection, self.who, command, counts, self.clock.now())
            return result

        with self.database() as database:
            return database.write(noted)


def confirm(question: str, *, yes: bool) -> None:
    """Ask before mail goes out or rows go away; without a terminal, `--yes` must be given."""
    if yes:
        return
    if not sys.stdin.isatty():
        typer.echo("l3mail: this needs a yes; run it in a terminal or add --yes", err=True)
        raise typer.Exit(1)
    typer.confirm(question, abort=True)


def print_json(value: object) -> None:
    """JSON for programs: UTF-8, instants in ISO form."""
    typer.echo(json.dumps(value, ensure_ascii=False, indent=2, default=str))


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]], empty: str) -> None:
    """A table as wide as the terminal, or `empty` when there is nothing to show."""
    if not rows:
        typer.echo(empty)
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        # Text, not markup: an address or a slug may contain brackets.
        table.add_row(*(Text("" if cell is None else str(cell)) for cell in row))
    Console().print(table)


def start_logging(log_format: str) -> None:
    """Lines to stderr, one for each tick or queue's end, none for each mail."""
    handler = logging.StreamHandler()
    if log_format == "json":
        handler.setFormatter(_JsonFormatter())
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    root = logging.getLogger("l3mail")
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return json.dumps(
            {
                "at": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
                "level": record.levelname.lower(),
                "logger": record.name,
                "message": record.getMessage(),
            },
            ensure_ascii=False,
        )
