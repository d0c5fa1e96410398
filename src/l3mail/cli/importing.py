"""The command that reads people from a file: its options and its questions."""

import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from l3mail.cli import directory
from l3mail.cli.context import DryRun, House, Json, Yes, confirm, counted
from l3mail.cli.intake import (
    Work,
    conclude,
    parted,
    tell,
    tell_changes,
    write_lost,
    write_rejected,
)
from l3mail.errors import SpreadsheetError, did_you_mean, printable

if TYPE_CHECKING:
    from l3mail.database import Database
    from l3mail.subscribers.entries import Manner, Reading, Vocabulary
    from l3mail.subscribers.imports import Order, Tally
    from l3mail.subscribers.spreadsheets import Sheet


File = Annotated[
    Path,
    typer.Argument(metavar="FILE.csv", exists=True, dir_okay=False, help="The file to read."),
]
Mapping = Annotated[
    list[str] | None,
    typer.Option("--map", metavar="A=B,…", help='"E-Mail=email,Notiz=-"; - leaves one out.'),
]
Streams = Annotated[
    list[str] | None,
    typer.Option("--stream", metavar="STREAM", help="All join this, besides what their row names."),
]
Confirmed = Annotated[
    bool, typer.Option("--confirmed", help="You hold their consent: no mail asks for it.")
]
Note = Annotated[str, typer.Option(metavar="TEXT", help="With --confirmed: where the proof is.")]
As = Annotated[
    str | None,
    typer.Option("--as", metavar="WHAT", help="unsubscribed, bounced, complained or blocked."),
]
FromTool = Annotated[
    str | None,
    typer.Option(metavar="TOOL", help="mailchimp, brevo, cleverreach, mailerlite or listmonk."),
]
Lists = Annotated[
    list[str] | None,
    typer.Option("--list", metavar="A=STREAM", help="Who has the tool's list or tag A joins."),
]
Update = Annotated[
    bool, typer.Option("--update", help="Let the file's values take the place of known ones.")
]
Dates = Annotated[
    str | None, typer.Option(metavar="FIRST", help="What 5/6/1980 begins with: day or month.")
]
Encoding = Annotated[
    str | None, typer.Option(metavar="NAME", help="How the file is written, if misread.")
]
Show = Annotated[
    int, typer.Option("--show", metavar="N", min=0, help="Show so many changes of values.")
]


def import_(
    context: typer.Context,
    file: File,
    *,
    mapping: Mapping = None,
    stream: Streams = None,
    confirmed: Confirmed = False,
    consent_note: Note = "",
    as_: As = None,
    from_tool: FromTool = None,
    lists: Lists = None,
    update: Update = False,
    dates: Dates = None,
    encoding: Encoding = None,
    show: Show = 5,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Read people from a CSV file; a mail asks each to confirm, unless --confirmed.

    Columns are email, first_name, last_name, salutation, locale, district,
    birthday, streams (a;b) and the attributes of l3mail.toml. What is not
    taken goes to FILE.rejected.csv, each row with its reason. What is known
    of a person stays. Coming from another tool: l3mail help moving

    Example: l3mail subscribers import people.csv --stream newsletter --dry-run
    """
    house: House = context.obj
    directory.require_proof(confirmed=confirmed, note=consent_note, streams=None)
    order = _order(house, as_, consent_note, confirmed=confirmed, update=update)
    with house.database() as database:
        order = _aware(order, database)
        vocabulary = _vocabulary(house, database)
        manner = _manner(from_tool, lists or (), dates, vocabulary, states=as_ is None)
        sheet, reading = _read(
            file,
            vocabulary,
            manner,
            mapping=_pairs("--map", mapping or ()),
            named=stream or (),
            order=order,
            encoding=_encoding(encoding),
        )
        shown = None if as_json else show
        work = Work(house, database, parted(reading, order), from_tool, quiet=as_json, shown=shown)
        if dry_run or order.update or (order.way == "invite" and not yes):
            foreseen = work.foresee(reading.rejections)
            if dry_run:
                _warn_of_order(work, order)
                conclude(sheet, None, foreseen, work, as_json=as_json, dry_run=True)
                return
            if not yes:
                _ask(work, foreseen, order)
        if _warn_of_order(work, order):
            confirm("Go on without them?", yes=yes)
        house.notice_restore(database)
        _keep_lost(file, sheet, work)
        tally = work.take(reading.rejections)
    _finish(file, sheet, tally, work, as_json=as_json)


def _ask(work: Work, foreseen: "Tally", order: "Order") -> None:
    """Before mail goes out, and before a known value is lost."""
    if foreseen.invited or work.changes.replaced:
        tell(work.say, foreseen)
        tell_changes(work.say, work.changes, update=order.update)
    if work.changes.replaced:
        values = counted(work.changes.replaced, "known value")
        confirm(f"Let the file take the place of {values}?", yes=False)
    if foreseen.invited:
        mails = counted(foreseen.invited, "person", "people")
        confirm(f"Mail {mails} to ask for their consent?", yes=False)


def _warn_of_order(work: Work, order: "Order") -> bool:
    """Say that people who left elsewhere would be mailed, if nobody told us who they are."""
    if order.way not in {"invite", "attest"} or not work.is_first_of_tool():
        return False
    typer.echo(
        "note: nobody who unsubscribed or bounced there is known here yet; import those first,"
        " or people who left are mailed again (l3mail help moving)",
        err=True,
    )
    return True


def _keep_lost(file: Path, sheet: "Sheet", work: Work) -> None:
    """Write down what is about to be replaced, before it is; nothing where nothing is."""
    if not work.changes.lost:
        return
    target = write_lost(file, work.changes, sheet.separator)
    values = counted(work.changes.replaced, "value")
    typer.echo(
        f"note: {values} of {counted(len(work.changes.lost), 'person', 'people')} kept in {target};"
        f" to take them back: l3mail subscribers import {shlex.quote(str(target))} --update",
        err=True,
    )


def _finish(file: Path, sheet: "Sheet", tally: "Tally", work: Work, *, as_json: bool) -> None:
    if not tally.rejections:
        conclude(sheet, None, tally, work, as_json=as_json, dry_run=False)
        return
    try:
        rejected = write_rejected(file, sheet, tally.rejections)
    except SpreadsheetError:
        # The rows that fit are in: their reasons must not be lost with the file.
        conclude(sheet, None, tally, work, as_json=as_json, dry_run=False, every_reason=True)
        raise
    conclude(sheet, rejected, tally, work, as_json=as_json, dry_run=False)
    raise typer.Exit(1)


def _order(house: House, as_: str | None, note: str, *, confirmed: bool, update: bool) -> "Order":
    from l3mail.subscribers import values
    from l3mail.subscribers.imports import WAYS_OUT, Order

    if as_ is None:
        way = "attest" if confirmed else "invite"
        return Order(way, house.who, values.plain(note), update)  # type: ignore[arg-type]
    if as_ not in WAYS_OUT:
        raise typer.BadParameter(f"--as {as_!r} is not known; known are {', '.join(WAYS_OUT)}")
    if confirmed:
        raise typer.BadParameter("--as and --confirmed contradict each other")
    if update:
        raise typer.BadParameter("--as and --update contradict each other")
    return Order(WAYS_OUT[as_], house.who)


def _aware(order: "Order", database: "Database") -> "Order":
    """The order, knowing who moved: their old address stands in lists for years to come."""
    from l3mail import subscribers

    moved = database.read(subscribers.left_behind) if order.way == "attest" else {}
    return replace(order, moved=moved)


def _manner(
    tool: str | None,
    lists: "Sequence[str]",
    dates: str | None,
    vocabulary: "Vocabulary",
    *,
    states: bool,
) -> "Manner":
    from l3mail.subscribers import values
    from l3mail.subscribers.entries import Manner
    from l3mail.subscribers.tools import TOOLS

    if tool is not None and tool not in TOOLS:
        hint = did_you_mean(tool, TOOLS, f"known are {', '.join(TOOLS)}")
        raise typer.BadParameter(f"--from-tool {tool!r} is not known; {hint}")
    if lists and tool is None:
        raise typer.BadParameter("--list goes with --from-tool")
    if dates not in {None, "day", "month"}:
        raise typer.BadParameter(f"--dates {dates!r} is neither day nor month")
    named = {
        name.casefold(): values.stream(stream, vocabulary.streams)
        for name, stream in _pairs("--list", lists).items()
    }
    return Manner(TOOLS[tool] if tool else None, states, named, dates)  # type: ignore[arg-type]


def _encoding(name: str | None) -> str | None:
    from l3mail.subscribers.spreadsheets import ENCODINGS

    if name is not None and name.casefold() not in ENCODINGS:
        raise typer.BadParameter(f"--encoding {name!r}: known are {', '.join(ENCODINGS)}")
    return name and name.casefold()


def _pairs(option: str, texts: "Sequence[str]") -> dict[str, str]:
    """What `A=B,C=D` says; a comma within a name is part of it."""
    pairs: dict[str, str] = {}
    for text in texts:
        name = ""
        for part in text.split(","):
            name += part
            source, equals, target = name.rpartition("=")
            if equals and target.strip():
                pairs[source.strip()] = target.strip()
                name = ""
            elif name.strip():
                name += ","
        if name.strip():
            known = '"E-Mail=email"' if option == "--map" else '"Blog=newsletter"'
            raise typer.BadParameter(f"{option} {name.rstrip(',')!r} is no pair; write {known}")
    return pairs


def _vocabulary(house: House, database: "Database") -> "Vocabulary":
    from l3mail.subscribers.entries import Vocabulary

    known = database.read(lambda connection: directory.streams(connection, house.settings))
    today = house.clock.now().astimezone(house.settings.zone).date()
    return Vocabulary(house.settings.attributes, known, today)


def _read(
    file: Path,
    vocabulary: "Vocabulary",
    manner: "Manner",
    *,
    mapping: dict[str, str],
    named: "Sequence[str]",
    order: "Order",
    encoding: str | None,
) -> "tuple[Sheet, Reading]":
    """The file as far as it can be judged by itself."""
    from l3mail.settings import FILE
    from l3mail.subscribers import entries, spreadsheets, values

    joined = [values.stream(slug, vocabulary.streams) for slug in named]
    try:
        data = file.read_bytes()
    except OSError as error:
        raise SpreadsheetError(f"{file} can't be read: {error.strerror or error}") from error
    of_tool = manner.tool.columns if manner.tool else ()
    of_ours = (*entries.COLUMNS, *entries.IN_GERMAN, *vocabulary.attributes)
    columns = (*of_ours, *mapping, *of_tool)
    sheet = spreadsheets.read(data, file.name, columns, encoding)
    _require_columns(mapping, sheet, vocabulary)
    targets = entries.columns(sheet, mapping, vocabulary, manner)
    known = {*entries.COLUMNS, *vocabulary.attributes, *entries.OF_TOOLS}
    for target in targets:
        if target and target not in known:
            typer.echo(
                f"note: {target} is not declared in {FILE}; kept as text, and segments can't ask"
                f" for it; declare [attributes.{target}] before you import, or --map renames it",
                err=True,
            )
    no_stream = not joined and "streams" not in targets and not manner.lists
    if order.way == "attest" and no_stream:
        raise typer.BadParameter("--confirmed needs --stream, or a column streams in the file")
    reading = entries.read(sheet, targets, joined, vocabulary, manner)
    _tell_reading(sheet, reading, targets)
    return sheet, reading


def _tell_reading(sheet: "Sheet", reading: "Reading", targets: "Sequence[str | None]") -> None:
    """How the file was understood, where somebody may have to say otherwise."""
    from l3mail.cli.intake import in_words
    from l3mail.subscribers import entries, tools

    has_lists = tools.LISTS in targets
    german = "".join(
        f", {printable(title, 60)} as {target}"
        for title, target in zip(sheet.header, targets, strict=True)
        if target and entries.IN_GERMAN.get(title.casefold()) == target
    )
    typer.echo(f"note: {in_words(sheet, reading.orders)}{german}", err=True)
    if reading.titles:
        most = ", ".join(f"{title} ({n:,})" for title, n in reading.titles.most_common(3))
        typer.echo(
            f"note: salutations that are only a title: {most}; a mail begins with the salutation,"
            ' so write "Liebe Frau Groß", or leave the column out with --map "NAME=-"',
            err=True,
        )
    if has_lists and reading.unnamed:
        most = ", ".join(f"{name} ({n:,})" for name, n in reading.unnamed.most_common(8))
        typer.echo(f"note: lists and tags that no --list names are left out: {most}", err=True)


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
