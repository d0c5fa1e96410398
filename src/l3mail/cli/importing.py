"""The command that reads people from a file: its options, its questions, what it says."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from l3mail.cli import directory
from l3mail.cli.context import DryRun, House, Json, Yes, confirm, print_json
from l3mail.errors import SpreadsheetError, printable

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from l3mail.database import Database
    from l3mail.subscribers.entries import Entry, Reading, Rejection, Vocabulary
    from l3mail.subscribers.imports import Order, Tally
    from l3mail.subscribers.spreadsheets import Sheet

_REASONS_SHOWN = 10


def import_(
    context: typer.Context,
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE.csv", exists=True, dir_okay=False, help="The file to read."),
    ],
    *,
    mapping: Annotated[
        list[str] | None,
        typer.Option("--map", metavar="A=B,…", help='"E-Mail=email,Notiz=-"; - leaves one out.'),
    ] = None,
    stream: Annotated[
        list[str] | None,
        typer.Option(
            "--stream", metavar="STREAM", help="All join this, besides what their row names."
        ),
    ] = None,
    confirmed: Annotated[
        bool, typer.Option("--confirmed", help="You hold their consent: no mail asks for it.")
    ] = False,
    consent_note: Annotated[
        str, typer.Option(metavar="TEXT", help="With --confirmed: where the proof is.")
    ] = "",
    as_: Annotated[
        str | None,
        typer.Option("--as", metavar="WHAT", help="unsubscribed, bounced or complained."),
    ] = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Read people from a CSV file; a mail asks each to confirm, unless --confirmed.

    Columns are email, first_name, last_name, salutation, locale, district,
    birthday, streams (a;b) and the attributes of l3mail.toml. What is not
    taken goes to FILE.rejected.csv, each row with its reason.

    Example: l3mail subscribers import people.csv --stream newsletter --dry-run
    """
    house: House = context.obj
    directory.require_proof(confirmed=confirmed, note=consent_note, streams=None)
    order = _order(house, as_, consent_note, confirmed=confirmed)
    with house.database() as database:
        sheet, reading = _read(
            house, database, file, mapping=_pairs(mapping or []), named=stream or [], order=order
        )
        work = _Work(house, database, order, quiet=as_json)
        if dry_run or (order.way == "invite" and not yes):
            foreseen = work.foresee(reading)
            if dry_run:
                _conclude(sheet, None, foreseen, as_json=as_json, dry_run=True)
                return
            if foreseen.invited:
                _tell(work.say, foreseen)
                mails = "1 person" if foreseen.invited == 1 else f"{foreseen.invited:,} people"
                confirm(f"Mail {mails} to ask for their consent?", yes=yes)
        house.notice_restore(database)
        tally = work.take(reading)
    _finish(file, sheet, tally, as_json=as_json)


def _finish(file: Path, sheet: "Sheet", tally: "Tally", *, as_json: bool) -> None:
    if not tally.rejections:
        _conclude(sheet, None, tally, as_json=as_json, dry_run=False)
        return
    try:
        rejected = _write_rejected(file, sheet, tally.rejections)
    except SpreadsheetError:
        # The rows that fit are in: their reasons must not be lost with the file.
        _conclude(sheet, None, tally, as_json=as_json, dry_run=False, every_reason=True)
        raise
    _conclude(sheet, rejected, tally, as_json=as_json, dry_run=False)
    raise typer.Exit(1)


def _order(house: House, as_: str | None, note: str, *, confirmed: bool) -> "Order":
    from l3mail.subscribers import values
    from l3mail.subscribers.imports import WAYS_OUT, Order

    if as_ is None:
        return Order("attest" if confirmed else "invite", house.who, values.plain(note))
    if as_ not in WAYS_OUT:
        raise typer.BadParameter(f"--as {as_!r} is not known; known are {', '.join(WAYS_OUT)}")
    if confirmed:
        raise typer.BadParameter("--as and --confirmed contradict each other")
    return Order(WAYS_OUT[as_], house.who)


def _pairs(mapping: "Sequence[str]") -> dict[str, str]:
    pairs = {}
    for pair in (part for text in mapping for part in text.split(",") if part.strip()):
        source, equals, target = pair.rpartition("=")
        if not equals or not target.strip():
            raise typer.BadParameter(f'--map {pair!r} is no pair; write "E-Mail=email"')
        pairs[source.strip()] = target.strip()
    return pairs


def _read(
    house: House,
    database: "Database",
    file: Path,
    *,
    mapping: dict[str, str],
    named: "Sequence[str]",
    order: "Order",
) -> "tuple[Sheet, Reading]":
    """The file as far as it can be judged by itself."""
    from l3mail.settings import FILE
    from l3mail.subscribers import entries, spreadsheets, values

    known = database.read(lambda connection: directory.streams(connection, house.settings))
    vocabulary = entries.Vocabulary(
        house.settings.attributes, known, house.clock.now().astimezone(house.settings.zone).date()
    )
    joined = [values.stream(slug, known) for slug in named]
    try:
        data = file.read_bytes()
    except OSError as error:
        raise SpreadsheetError(f"{file} can't be read: {error.strerror or error}") from error
    columns = (*entries.COLUMNS, *vocabulary.attributes, *mapping)
    sheet = spreadsheets.read(data, file.name, columns)
    _require_columns(mapping, sheet, vocabulary)
    targets = entries.columns(sheet, mapping, vocabulary)
    for target in targets:
        if target and target not in {*entries.COLUMNS, *vocabulary.attributes}:
            typer.echo(f"note: {target} is not declared in {FILE}; kept as text", err=True)
    if order.way == "attest" and not joined and "streams" not in targets:
        raise typer.BadParameter("--confirmed needs --stream, or a column streams in the file")
    return sheet, entries.read(sheet, targets, joined, vocabulary)


def _require_columns(mapping: dict[str, str], sheet: "Sheet", vocabulary: "Vocabulary") -> None:
    from l3mail.subscribers import entries, values

    titles = {title.casefold() for title in sheet.header}
    known = {*entries.COLUMNS, *vocabulary.attributes}
    for source, target in mapping.items():
        if source.casefold() not in titles:
            near = values.near(source, sheet.header, "column")
            raise typer.BadParameter(f'--map: {sheet.name} has no column "{source}"; {near}')
        free = values.free_attribute(target, known)
        if target not in known and target != entries.IGNORE and not free:
            near = values.near(target, known, "column")
            raise typer.BadParameter(f'--map: "{target}" is no column here; {near}')


class _Work:
    """Going through a file's people batch by batch, with a bar on a terminal."""

    def __init__(self, house: House, database: "Database", order: "Order", *, quiet: bool) -> None:
        self.house = house
        self.database = database
        self.order = order
        # What a program reads from standard output must stay JSON.
        self.say = partial(typer.echo, err=quiet)

    def foresee(self, reading: "Reading") -> "Tally":
        """What would come of it; changes nothing."""
        from l3mail.subscribers.imports import Tally, foresee, judge

        people, order = directory.rules(self.house), self.order

        def verb(connection: "Connection", batch: "Sequence[Entry]") -> Tally:
            now = self.house.clock.now()
            return foresee(judge(connection, people, batch, order, now), order)

        total = Tally(rejections=tuple(reading.rejections))
        with _bar("judging", len(reading.entries)) as advance:
            for batch in _batches(reading.entries):
                total += self.database.read(partial(verb, batch=batch))
                advance(len(batch))
        return total

    def take(self, reading: "Reading") -> "Tally":
        """Do it. The first transaction notes that it began, the last what came of it."""
        from l3mail import actions
        from l3mail.subscribers.imports import Tally, take

        people, order, house = directory.rules(self.house), self.order, self.house
        batches = list(_batches(reading.entries))

        def verb(
            connection: "Connection", batch: "Sequence[Entry]", number: int, before: Tally
        ) -> Tally:
            now = house.clock.now()
            if number == 1:
                directory.declare_streams(connection, house)
            tally = before + take(connection, people, batch, order, now)
            command = f"subscribers import ({order.way})"
            if number == len(batches):
                actions.note(connection, house.who, command, tally.counts(), now)
            elif number == 1:
                counts = {"rows": len(reading.entries)}
                actions.note(connection, house.who, f"{command} begun", counts, now)
            return tally

        total = Tally(rejections=tuple(reading.rejections))
        with _bar("importing", len(reading.entries)) as advance:
            for number, batch in enumerate(batches, 1):
                total = self.database.write(partial(verb, batch=batch, number=number, before=total))
                advance(len(batch))
        return total


def _batches(entries: "Sequence[Entry]") -> "Iterator[Sequence[Entry]]":
    from l3mail.subscribers.imports import BATCH

    for start in range(0, len(entries), BATCH):
        yield entries[start : start + BATCH]


@contextmanager
def _bar(what: str, total: int) -> "Iterator[Callable[[int], None]]":
    from l3mail.subscribers.imports import BATCH

    # One transaction is over before a bar is drawn.
    if total <= BATCH or not sys.stderr.isatty():
        yield lambda _count: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=total)
        yield lambda count: progress.advance(task, count)


def _write_rejected(file: Path, sheet: "Sheet", rejections: "Sequence[Rejection]") -> Path:
    from l3mail.cli.exporting import opened_for_writing
    from l3mail.subscribers import entries, spreadsheets

    target = file.with_suffix(".rejected.csv")
    with opened_for_writing(target) as out:
        for line in spreadsheets.write(entries.rejected(sheet, rejections), sheet.separator):
            out.write(line)
    return target


def _conclude(
    sheet: "Sheet",
    rejected: Path | None,
    tally: "Tally",
    *,
    as_json: bool,
    dry_run: bool,
    every_reason: bool = False,
) -> None:
    if as_json:
        print_json(_figures(sheet, rejected, tally) | {"dry_run": dry_run})
        return
    if dry_run:
        typer.echo("Dry run, nothing is changed.")
    _tell(typer.echo, tally)
    rejections = _in_order(tally)
    shown = len(rejections) if every_reason else _REASONS_SHOWN
    for rejection in rejections[:shown]:
        typer.echo(f"  line {rejection.row.line}: {printable(rejection.reason, 300)}")
    if len(rejections) > shown:
        typer.echo(f"  and {len(rejections) - shown:,} more")
    if rejected:
        typer.echo(f"Rejected rows, each with its reason: {rejected}")


def _tell(say: "Callable[[str], object]", tally: "Tally") -> None:
    """The figures that are not zero, in a line or two."""
    rejected = len(tally.rejections)
    say(f"{_number(tally.taken + rejected, 'row')}: {tally.taken:,} taken, {rejected:,} rejected")
    figures = (
        (tally.people, "new person", "new people"),
        (tally.joined, "subscription confirmed", "subscriptions confirmed"),
        (tally.invited, "asked to confirm", "asked to confirm"),
        (tally.mails, "confirmation mail", "confirmation mails"),
        (tally.left, "subscription ended", "subscriptions ended"),
        (tally.suppressed, "suppressed", "suppressed"),
        (tally.unchanged, "already as the file says", "already as the file says"),
    )
    words = [
        f"{figure:,} {one if figure == 1 else more}" for figure, one, more in figures if figure
    ]
    if words:
        say(f"  {', '.join(words)}")


def _number(count: int, what: str) -> str:
    return f"{count:,} {what}" + ("" if count == 1 else "s")


def _figures(sheet: "Sheet", rejected: Path | None, tally: "Tally") -> dict[str, Any]:
    rejections = _in_order(tally)
    names = ("taken", "people", "joined", "invited", "mails", "left", "suppressed", "unchanged")
    return {
        "file": sheet.name,
        "encoding": sheet.encoding,
        "separator": sheet.separator,
        "rows": tally.taken + len(rejections),
        **{name: getattr(tally, name) for name in names},
        "rejected": len(rejections),
        "rejected_file": str(rejected) if rejected else None,
        "rejections": [
            {"line": rejection.row.line, "reason": rejection.reason} for rejection in rejections
        ],
    }


def _in_order(tally: "Tally") -> "list[Rejection]":
    return sorted(tally.rejections, key=lambda rejection: rejection.row.line)
