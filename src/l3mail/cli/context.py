"""What every command shares: the workspace, who acts, and how things are printed."""

import getpass
import json
import logging
import os
import shutil
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, tzinfo
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from l3mail.errors import printable

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
    in_emergency: bool = False

    @cached_property
    def settings(self) -> "Settings":
        """The workspace's settings, read when first needed."""
        from l3mail.settings import find_workspace, load_settings

        return load_settings(find_workspace(Path.cwd(), self.folder, os.environ), os.environ)

    def pull_together(self) -> list[str]:
        """Take of the settings what says where the rows are, whatever else is wrong; the faults.

        From then on neither pepper nor key is asked for.
        """
        from l3mail.settings import find_workspace, load_whereabouts

        workspace = find_workspace(Path.cwd(), self.folder, os.environ)
        self.settings, faults = load_whereabouts(workspace, os.environ)
        self.in_emergency = True
        return faults

    @cached_property
    def clock(self) -> "Clock":
        """The machine's clock."""
        from l3mail.clocks import SystemClock

        return SystemClock()

    @property
    def who(self) -> str:
        """Whose name stands beside a change: `--as`, else the login's name or number."""
        try:
            return self.acting or getpass.getuser()
        except (KeyError, OSError):  # a container's user need not have a name
            return f"uid {os.getuid()}"

    @property
    def login(self) -> str:
        """The machine's name for who runs this, whatever `--as` and the environment say."""
        import pwd

        try:
            return pwd.getpwuid(os.getuid()).pw_name
        except KeyError:
            return f"uid {os.getuid()}"

    @property
    def signed(self) -> str:
        """`who`, and the login behind a name that is another: what a yes is given by."""
        return self.login if self.who == self.login else f"{self.who} ({self.login})"

    @contextmanager
    def database(self) -> "Iterator[Database]":
        """The workspace's database."""
        from l3mail.wiring import open_database

        self.settle_restore()
        with open_database(self.settings, with_secrets=not self.in_emergency) as database:
            yield database

    def settle_restore(self) -> None:
        """End a restore that was interrupted, before anybody opens the database.

        In an emergency one that can't be ended is told and left, if it is clear which database is
        the one.
        """
        from l3mail.settings import RESTORING

        if not (self.settings.state_dir / RESTORING).exists():
            return
        from l3mail.backups import is_torn, settle_restore
        from l3mail.errors import BackupError

        try:
            settled = settle_restore(self.settings)
        except BackupError as error:
            if not self.in_emergency or is_torn(self.settings):
                raise
            warn(str(error))
            return
        if settled:
            # Pictures are put in before the decision: named by what is in them, they harm nobody.
            undone = (
                "is undone: database, pepper and keys are as they were; pictures of the backup may"
                " lie in state/media now"
            )
            end = "is at its end now" if settled.done else undone
            typer.echo(f"A restore that was interrupted {end}.", err=True)

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
            self.notice_restore(database)
            return database.write(noted)

    def notice_restore(self, database: "Database") -> None:
        """Pull the brake of a restored copy before rows are made whose numbers went out already."""
        from l3mail.errors import StateError
        from l3mail.wiring import detect_restore

        with suppress(StateError):  # a damaged mark is the sender's to tell; nothing goes out
            detect_restore(self.settings, database, self.clock)


def program() -> str:
    """How this program was called, so that a hint can be typed as it stands."""
    name = Path(sys.argv[0])
    if name.name == "__main__.py":
        return "python -m l3mail"
    return "l3mail" if shutil.which("l3mail") == str(name) else str(name)


def counted(number: int, one: str, many: str | None = None) -> str:
    """A number with its noun: `1 delivery`, `2 deliveries`."""
    plural = many or (f"{one[:-1]}ies" if one.endswith("y") else f"{one}s")
    return f"{number:,} {one if number == 1 else plural}"


def confirm(question: str, *, yes: bool) -> None:
    """Ask before mail goes out or rows go away; without a terminal, `--yes` must be given."""
    if yes:
        return
    if not sys.stdin.isatty():
        asked = printable(question, 1000)
        typer.echo(f"l3mail: {asked} To say yes, run it in a terminal or add --yes", err=True)
        raise typer.Exit(1)
    answer = typer.prompt(f"{question} [y/N]", default="n", show_default=False)
    if answer.strip().casefold() not in {"y", "yes", "j", "ja"}:
        typer.echo("Nothing is changed.")
        raise typer.Exit(1)


def say(text: str, under: int = 0, *, err: bool = False) -> None:
    """A line of words; where a terminal is too narrow for it, the rest goes `under` columns in.

    It breaks at blanks alone, so that addresses and options stay whole. Elsewhere it is one line.
    """
    stream = sys.stderr if err else sys.stdout
    width = shutil.get_terminal_size().columns
    if len(text) > width and stream.isatty():
        import textwrap

        text = textwrap.fill(
            text,
            width,
            subsequent_indent=" " * min(under, width // 2),
            break_on_hyphens=False,
            break_long_words=False,
        )
    typer.echo(text, err=err)


def warn(text: str) -> None:
    """What somebody should know, though the command goes on."""
    say(f"l3mail: warning: {text}", 8, err=True)


def require_states(wanted: Sequence[str] | None, known: Sequence[str]) -> None:
    """Refuse, as wrong usage, a --status that is none of the known ones."""
    for state in wanted or ():
        if state not in known:
            raise typer.BadParameter(f"{state!r} is no state; known are {', '.join(known)}")


@contextmanager
def bar(what: str) -> Iterator[Callable[[str, float], None]]:
    """A bar on a terminal's stderr, nothing elsewhere; told what is done now, and its share."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

    console = Console(stderr=True)
    if not console.is_interactive:
        yield lambda _what, _share: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(what, total=1.0)
        yield lambda what, share: progress.update(task, description=what, completed=share)


def print_json(value: object) -> None:
    """JSON for programs: UTF-8, instants in ISO form."""
    typer.echo(json.dumps(value, ensure_ascii=False, indent=2, default=_plain))


def _plain(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def print_table(
    columns: Sequence[str],
    rows: Sequence[Sequence[object]],
    empty: str,
    solid: Collection[str] = (),
    spare: Collection[str] = (),
) -> None:
    """A table as wide as the terminal, or `empty` when there is nothing to show.

    Columns named in `solid` are folded last of all; a terminal does without those that are empty,
    and without those in `spare` that count nothing but 0. Into a pipe a row is a line, its cells
    apart by tabs and always as many, so that `grep` and `cut` work.
    """
    if not rows:
        typer.echo(empty)
        return
    if not sys.stdout.isatty():
        for row in (columns, *rows):
            typer.echo("\t".join(printable(str(cell or ""), 1000) for cell in row))
        return
    from l3mail.cli.tables import lay_out

    cells = [[printable(str(cell or ""), 1000) for cell in row] for row in rows]
    for n, name in enumerate(columns):
        if name in spare and all(row[n] in {"", "0"} for row in cells):
            cells = [[*row[:n], "", *row[n + 1 :]] for row in cells]
    width = shutil.get_terminal_size().columns
    heading, *lines = lay_out(columns, cells, width, solid)
    typer.echo(heading if os.environ.get("NO_COLOR") else typer.style(heading, bold=True))
    for line in lines:
        typer.echo(line)


def start_logging(log_format: str, zone: tzinfo) -> None:
    """Lines to stderr, one for each tick or queue's end, none for each mail.

    They are stamped by the clocks of `zone`, whatever the machine's are set to.
    """
    handler = logging.StreamHandler()
    handler.setFormatter((_JsonFormatter if log_format == "json" else _TextFormatter)(zone))
    root = logging.getLogger("l3mail")
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)


class _TextFormatter(logging.Formatter):
    """A line for people, and beneath it the trace of what went wrong, if anything did."""

    def __init__(self, zone: tzinfo) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s")
        self._zone = zone

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802
        """The moment of a record, with its offset."""
        at = datetime.fromtimestamp(record.created, self._zone)
        return at.isoformat(sep=datefmt or " ", timespec="seconds")


class _JsonFormatter(_TextFormatter):
    """The same for programs."""

    def format(self, record: logging.LogRecord) -> str:
        return json.dumps(
            {
                "at": self.formatTime(record, "T"),
                "level": record.levelname.lower(),
                "logger": record.name,
                "message": record.getMessage(),
            },
            ensure_ascii=False,
        )
