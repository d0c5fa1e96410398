"""Going through a file's people: in batches, with a bar, and what is said of it in the end."""

import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from l3mail.cli import directory
from l3mail.cli.context import House, counted, print_json
from l3mail.cli.moments import told_birthday
from l3mail.errors import printable

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from l3mail.database import Database
    from l3mail.subscribers.entries import Entry, Reading, Rejection
    from l3mail.subscribers.imports import Order, Tally, Verdict
    from l3mail.subscribers.spreadsheets import Sheet

    Part = tuple[Order, Sequence[Entry]]

_REASONS_SHOWN = 10
_FIGURES = (
    "taken",
    "people",
    "updated",
    "joined",
    "invited",
    "mails",
    "left",
    "suppressed",
    "unchanged",
)
_ENCODINGS = {
    "utf-8-sig": "UTF-8",
    "utf-8": "UTF-8",
    "utf-16": "UTF-16",
    "utf-32": "UTF-32",
    "cp1252": "Windows-1252",
    "iso8859-15": "ISO-8859-15",
    "mac-roman": "MacRoman",
}


def parted(reading: "Reading", order: "Order") -> "list[Part]":
    """Who is to be dealt with how: first those who have left elsewhere, then all others."""
    from l3mail.subscribers import tools
    from l3mail.subscribers.imports import WAYS_OUT, Order

    parts: list[Part] = []
    for state in tools.OUT:
        left = [entry for entry in reading.entries if entry.state == state]
        if left:
            parts.append((Order(WAYS_OUT[state], order.by), left))
    others = [entry for entry in reading.entries if entry.state == tools.ACTIVE]
    if others or not parts:
        parts.append((order, others))
    return parts


@dataclass(frozen=True, slots=True)
class Change:
    """One value of a known person: what is known, what the file says, and what becomes of it.

    `kind` is `filled`, `replaced` or `kept`.
    """

    line: int
    email: str
    name: str
    before: Any
    after: Any
    kind: str


@dataclass(slots=True)
class Changes:
    """All changes by field and kind, and of the first `most` what they are; None is all.

    `lost` are, by address, all values that the file's take the place of.
    """

    most: int | None
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    first: list[Change] = field(default_factory=list)
    lost: dict[str, dict[str, Any]] = field(default_factory=dict)
    people: int = 0

    def add(self, verdicts: "Sequence[Verdict]", *, update: bool) -> None:
        """Note what rows say otherwise of people who are known."""
        for verdict in verdicts:
            self.people += bool(verdict.differences)
            done = {*verdict.fills, *verdict.fills.get("attributes", ())}
            done |= {"birthday"} if "birth_month" in done else set()
            for one in verdict.differences:
                empty = one.before is None
                kind = "filled" if empty else "replaced" if update else "kept"
                if one.name not in done:
                    kind = "kept"
                self.counts[one.name, kind] += 1
                address = verdict.entry.request.address.display
                if kind == "replaced":
                    self.lost.setdefault(address, {})[one.name] = one.before
                if self.most is None or len(self.first) < self.most:
                    line = verdict.entry.row.line
                    self.first.append(Change(line, address, one.name, one.before, one.after, kind))

    @property
    def replaced(self) -> int:
        """How many known values would be lost."""
        return sum(n for (_, kind), n in self.counts.items() if kind == "replaced")


class Work:
    """Going through a file's people batch by batch, with a bar on a terminal.

    `tool` is whose export it is; `shown` how many changes are kept to be shown, None for all.
    """

    def __init__(
        self,
        house: House,
        database: "Database",
        parts: "list[Part]",
        tool: str | None,
        *,
        quiet: bool,
        shown: int | None,
    ) -> None:
        self.house = house
        self.database = database
        self.parts = parts
        self.changes = Changes(shown)
        self.foreseen = False
        self._tool = tool
        # What a program reads from standard output must stay JSON.
        self.say = partial(typer.echo, err=quiet)

    def is_first_of_tool(self) -> bool:
        """Whether people of a tool come in before anybody said who has left it."""
        joining = all(order.way in {"invite", "attest"} for order, _ in self.parts)
        if self._tool is None or not joining:
            return False
        from l3mail import actions
        from l3mail.subscribers.imports import WAYS_OUT

        ways = WAYS_OUT.values()
        commands = {_command(way, of) for way in ways for of in (None, self._tool)}
        return not self.database.read(lambda connection: actions.has_run(connection, commands))

    def foresee(self, rejections: "Sequence[Rejection]") -> "Tally":
        """What would come of it; changes nothing."""
        from l3mail.subscribers.imports import Tally, foresee, judge

        people = directory.rules(self.house)
        self.foreseen = True

        def verb(connection: "Connection", batch: "Sequence[Entry]", order: "Order") -> Tally:
            verdicts = judge(connection, people, batch, order, self.house.clock.now())
            self.changes.add([one for one in verdicts if not one.reason], update=order.update)
            return foresee(verdicts, order)

        total = Tally(rejections=tuple(rejections))
        with _bar("judging", self._total()) as advance:
            for order, entries in self.parts:
                for batch in _batches(entries):
                    total += self.database.read(partial(verb, batch=batch, order=order))
                    advance(len(batch))
        return total

    def take(self, rejections: "Sequence[Rejection]") -> "Tally":
        """Do it. The first transaction of a part notes that it began, the last what came of it."""
        from l3mail.subscribers.imports import Tally

        total = Tally(rejections=tuple(rejections))
        with _bar("importing", self._total()) as advance:
            for number, (order, entries) in enumerate(self.parts):
                # Rows that can't even be read are noted once, with the part that comes last.
                is_last = number == len(self.parts) - 1
                before = Tally(rejections=tuple(rejections)) if is_last else Tally()
                done = self._take_part(order, list(_batches(entries)), before, advance)
                total += replace(done, rejections=done.rejections[len(before.rejections) :])
        return total

    def _take_part(
        self,
        order: "Order",
        batches: "list[Sequence[Entry]]",
        before: "Tally",
        advance: Callable[[int], None],
    ) -> "Tally":
        from l3mail import actions
        from l3mail.subscribers.imports import Tally, take

        people, house = directory.rules(self.house), self.house
        command = _command(order.way, self._tool)
        rows = sum(len(batch) for batch in batches)

        def verb(
            connection: "Connection", batch: "Sequence[Entry]", number: int, before: Tally
        ) -> Tally:
            now = house.clock.now()
            if number == 1:
                directory.declare_streams(connection, house)
            tally = before + take(connection, people, batch, order, now)
            if number == len(batches):
                actions.note(connection, house.who, command, tally.counts(), now)
            elif number == 1:
                actions.note(connection, house.who, f"{command} begun", {"rows": rows}, now)
            return tally

        total = before
        for number, batch in enumerate(batches, 1):
            total = self.database.write(partial(verb, batch=batch, number=number, before=total))
            advance(len(batch))
        return total

    def _total(self) -> int:
        return sum(len(entries) for _, entries in self.parts)


def _command(way: str, tool: str | None) -> str:
    """How an import is noted among the actions."""
    return f"subscribers import ({way}, {tool})" if tool else f"subscribers import ({way})"


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
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        Task,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class Speed(TextColumn):
        def render(self, task: Task) -> Text:
            speed = task.finished_speed or task.speed
            return Text(f"{speed:,.0f} rows/s" if speed else "")

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        Speed(""),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=total)
        yield lambda count: progress.advance(task, count)


def write_rejected(file: Path, sheet: "Sheet", rejections: "Sequence[Rejection]") -> Path:
    """Write the rows that were not taken beside the file, each with its reason."""
    from l3mail.cli.exporting import opened_for_writing
    from l3mail.subscribers import entries, spreadsheets

    target = file.with_suffix(".rejected.csv")
    with opened_for_writing(target) as out:
        for line in spreadsheets.write(entries.rejected(sheet, rejections), sheet.separator):
            out.write(line)
    return target


def write_lost(file: Path, changes: Changes, separator: str) -> Path:
    """Write the values that are about to be lost beside the file, to be imported again.

    Never in the place of an earlier one: what that holds is nowhere else.
    """
    from l3mail.cli.exporting import opened_for_writing
    from l3mail.subscribers import spreadsheets
    from l3mail.subscribers.exports import as_cell

    names = sorted({name for values in changes.lost.values() for name in values})
    rows = [
        [email, *(as_cell(values.get(name)) for name in names)]
        for email, values in changes.lost.items()
    ]
    target, number = file.with_suffix(".before.csv"), 1
    while target.exists():
        number += 1
        target = file.with_suffix(f".before-{number}.csv")
    with opened_for_writing(target) as out:
        for line in spreadsheets.write([["email", *names], *rows], separator):
            out.write(line)
    return target


# -- what is said


def in_words(sheet: "Sheet", orders: "Mapping[str, str]") -> str:
    """How a file was understood: its encoding, its separator, its days."""
    separator = "TAB" if sheet.separator == "\t" else sheet.separator
    encoding = _ENCODINGS.get(sheet.encoding, sheet.encoding)
    days = "".join(
        f", {name} in both orders" if order == "both" else f", {name} {order} first"
        for name, order in orders.items()
    )
    return f"{sheet.name} read as {encoding}, separated by {separator}{days}"


def conclude(
    sheet: "Sheet",
    rejected: Path | None,
    tally: "Tally",
    work: Work,
    *,
    as_json: bool,
    dry_run: bool,
    every_reason: bool = False,
) -> None:
    """Say what came of it, or would come."""
    if as_json:
        figures = _figures(sheet, rejected, tally) | {"dry_run": dry_run}
        if work.foreseen:
            figures["changes"] = [
                {name: getattr(one, name) for name in one.__slots__} for one in work.changes.first
            ]
        print_json(figures)
        return
    if dry_run:
        typer.echo("Dry run, nothing is changed.")
    tell(typer.echo, tally)
    if dry_run:
        update = any(order.update for order, _ in work.parts)
        tell_changes(typer.echo, work.changes, update=update)
    rejections = _in_order(tally)
    shown = len(rejections) if every_reason else _REASONS_SHOWN
    for rejection in rejections[:shown]:
        typer.echo(f"  line {rejection.row.line}: {printable(rejection.reason, 300)}")
    if len(rejections) > shown:
        typer.echo(f"  and {len(rejections) - shown:,} more")
    if rejected:
        typer.echo(f"Rejected rows, each with its reason: {rejected}")


def tell(say: "Callable[[str], object]", tally: "Tally") -> None:
    """The figures that are not zero, in a line or two."""
    rejected = len(tally.rejections)
    rows = counted(tally.taken + rejected, "row")
    say(f"{rows}: {tally.taken:,} taken, {rejected:,} rejected")
    figures = (
        (tally.people, "new person", "new people"),
        (tally.updated, "known person with values taken", "known people with values taken"),
        (tally.joined, "subscription confirmed", "subscriptions confirmed"),
        (tally.invited, "asked to confirm", "asked to confirm"),
        (tally.mails, "confirmation mail", "confirmation mails"),
        (tally.left, "subscription ended", "subscriptions ended"),
        (tally.suppressed, "suppressed", "suppressed"),
        (tally.unchanged, "unchanged", "unchanged"),
    )
    words = [counted(figure, one, more) for figure, one, more in figures if figure]
    if words:
        say(f"  {', '.join(words)}")


def tell_changes(say: "Callable[[str], object]", changes: Changes, *, update: bool) -> None:
    """Field by field what the file says otherwise of people who are known, and the first few."""
    if not changes.counts:
        return
    known = counted(changes.people, "person", "people")
    say(f"  Values of {known} known already differ from the file:")
    stay = "left as they are" + ("" if update else " (--update takes the file's)")
    for name in sorted({name for name, _ in changes.counts}):
        told = [
            f"{changes.counts[name, kind]:,} {words}"
            for kind, words in (
                ("filled", "filled in"),
                ("replaced", "replaced"),
                ("kept", stay),
            )
            if changes.counts[name, kind]
        ]
        say(f"    {name}: {', '.join(told)}")
    for one in changes.first:
        before, after = (
            "nothing" if value is None else printable(_told(one.name, value), 40)
            for value in (one.before, one.after)
        )
        stays = ", stays" if one.kind == "kept" else ""
        email = printable(one.email, 60)
        say(f"    line {one.line}: {email}: {one.name} {before} -> {after}{stays}")
    if (more := sum(changes.counts.values()) - len(changes.first)) > 0:
        say(f"    and {more:,} more: --show N or --json")


def _told(name: str, value: Any) -> str:
    return told_birthday(value) if name == "birthday" else str(value)


def _figures(sheet: "Sheet", rejected: Path | None, tally: "Tally") -> dict[str, Any]:
    rejections = _in_order(tally)
    return {
        "file": sheet.name,
        "encoding": sheet.encoding,
        "separator": sheet.separator,
        "rows": tally.taken + len(rejections),
        **{name: getattr(tally, name) for name in _FIGURES},
        "rejected": len(rejections),
        "rejected_file": str(rejected) if rejected else None,
        "rejections": [
            {"line": rejection.row.line, "reason": rejection.reason} for rejection in rejections
        ],
    }


def _in_order(tally: "Tally") -> "list[Rejection]":
    return sorted(tally.rejections, key=lambda rejection: rejection.row.line)
