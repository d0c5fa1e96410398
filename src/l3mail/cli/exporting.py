"""Writing the list of people to a file, row by row."""

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from l3mail.errors import SpreadsheetError

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from l3mail.database import Database
    from l3mail.subscribers.exports import Asked


def write_csv(database: "Database", asked: "Asked", target: Path, declared: Sequence[str]) -> int:
    """Write people as CSV that a spreadsheet opens and `import` reads back; how many.

    Columns are the declared attributes and those that somebody has besides.
    """
    from l3mail.subscribers import exports, spreadsheets

    def verb(connection: "Connection") -> int:
        names = sorted({*declared, *exports.attribute_names(connection, asked)})
        count = -1  # the header is a line too

        def rows() -> Iterator[Sequence[str]]:
            yield [*exports.COLUMNS, *names]
            for person in exports.everybody(connection, asked):
                yield exports.as_cells(person, names)

        with opened_for_writing(target) as file:
            for line in spreadsheets.write(rows()):
                file.write(line)
                count += 1
        return count

    return database.read(verb)


def write_json(
    database: "Database", asked: "Asked", target: Path, shown: Callable[[dict[str, Any]], Any]
) -> int:
    """Write people as a JSON list, one to a line; how many."""
    from l3mail.subscribers import exports

    def verb(connection: "Connection") -> int:
        count = 0
        with opened_for_writing(target, mark=False) as file:
            for person in exports.everybody(connection, asked):
                file.write("[\n" if count == 0 else ",\n")
                file.write(json.dumps(shown(person), ensure_ascii=False))
                count += 1
            file.write("\n]\n" if count else "[]\n")
        return count

    return database.read(verb)


@contextmanager
def opened_for_writing(target: Path, *, mark: bool = True) -> Iterator[TextIO]:
    """A file only its owner may read, or standard output for `-`.

    `mark` begins it with a byte order mark: without one a spreadsheet guesses the encoding. A file
    appears under its name when it is complete.
    """
    if str(target) == "-":
        yield sys.stdout
        return
    part = target.with_name(target.name + ".part")
    try:
        part.unlink(missing_ok=True)
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            encoding = "utf-8-sig" if mark else "utf-8"
            with os.fdopen(descriptor, "w", encoding=encoding, newline="") as file:
                yield file
            part.replace(target)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise SpreadsheetError(f"{target} can't be written: {error.strerror or error}") from error
