"""Writing lists to a file, row by row: people, answers."""

import io
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, zip_longest
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any, TextIO

import typer
from typer.core import TyperCommand

from l3mail.errors import SpreadsheetError

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from l3mail.database import Database
    from l3mail.subscribers.exports import Asked


AsCsv = Annotated[
    Path | None,
    typer.Option("--csv", metavar="[FILE]", help="Write a CSV file; without a name, print it."),
]
AsJson = Annotated[
    Path | None,
    typer.Option("--json", metavar="[FILE]", help="Write JSON; without a name, print it."),
]


class MayPrint(TyperCommand):
    """A command whose --csv and --json may stand without a file, and then print."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the arguments, with the file that is left out filled in."""
        filled = []
        for word, following in zip_longest(args, args[1:]):
            filled.append(word)
            bare = following is None or following.startswith("--")
            if bare and word in {"--csv", "--json"}:
                filled.append("-")
        return super().parse_args(ctx, filled)


def target_of(csv: Path | None, json: Path | None) -> Path:
    """Where to write to, `-` being standard output; refuses both forms and neither."""
    if (csv is None) == (json is None):
        raise typer.BadParameter("say one of --csv and --json, with a file or without")
    return csv or json or Path("-")


def write_csv(database: "Database", asked: "Asked", target: Path, declared: Sequence[str]) -> int:
    """Write people as CSV that a spreadsheet opens and `import` reads back; how many.

    Columns are the declared attributes and those that somebody has besides.
    """
    from l3mail.subscribers import exports

    def verb(connection: "Connection") -> int:
        names = sorted({*declared, *exports.attribute_names(connection, asked)})
        people = exports.everybody(connection, asked)
        cells = (exports.as_cells(person, names) for person in people)
        return write_lines(target, [*exports.COLUMNS, *names], cells)

    return database.read(verb)


def write_json(
    database: "Database", asked: "Asked", target: Path, shown: Callable[[dict[str, Any]], Any]
) -> int:
    """Write people as a JSON list, one to a line; how many."""
    from l3mail.subscribers import exports

    def verb(connection: "Connection") -> int:
        return write_list(target, map(shown, exports.everybody(connection, asked)))

    return database.read(verb)


def write_lines(target: Path, header: Sequence[str], rows: Iterable[Sequence[str]]) -> int:
    """Write rows as CSV, none of whose cells is a formula; how many, without the header."""
    from l3mail.subscribers import spreadsheets

    count = -1  # the header is a line too
    with opened_for_writing(target) as file:
        for line in spreadsheets.write(chain([header], rows)):
            file.write(line)
            count += 1
    return count


def write_list(target: Path, rows: Iterable[Any]) -> int:
    """Write rows as a JSON list, one to a line; how many."""
    count = 0
    with opened_for_writing(target, mark=False) as file:
        for row in rows:
            file.write("[\n" if count == 0 else ",\n")
            file.write(json.dumps(row, ensure_ascii=False))
            count += 1
        file.write("\n]\n" if count else "[]\n")
    return count


@contextmanager
def opened_for_writing(target: Path, *, mark: bool = True) -> Iterator[TextIO]:
    """A file only its owner may read, or standard output for `-`.

    `mark` begins it with a byte order mark: without one a spreadsheet guesses the encoding. A file
    appears under its name when it is complete.
    """
    if str(target) == "-":
        yield sys.stdout
        return
    encoding = "utf-8-sig" if mark else "utf-8"
    with (
        private_file(target) as file,
        io.TextIOWrapper(file, encoding=encoding, newline="") as text,
    ):
        yield text


@contextmanager
def private_file(target: Path, mode: int = 0o600) -> Iterator[IO[bytes]]:
    """A file only its owner may read; it appears under its name when it is complete.

    Raises SpreadsheetError where it can't be written.
    """
    part = target.with_name(target.name + ".part")
    try:
        part.unlink(missing_ok=True)
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        try:
            with os.fdopen(descriptor, "wb") as file:
                yield file
            part.replace(target)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
    except OSError as error:
        why = error.strerror or str(error)
        if isinstance(error, FileNotFoundError):
            why = f"there is no folder {target.parent}; make it first"
        raise SpreadsheetError(f"{target} can't be written: {why}") from error


def write_public(target: Path, content: bytes) -> str:
    """Write a file as open as its maker's others, and return what to say of it.

    Raises SpreadsheetError where it can't be written.
    """
    beside = instead(target)
    with private_file(target, 0o666) as file:  # less what the umask takes
        file.write(content)
    return f"Wrote {target}{beside}."


def instead(target: Path) -> str:
    """What to say besides of a file that is about to be written: whether another gives way."""
    return ", in place of what was there" if target.exists() else ""
