"""The command that shows the future: who gets what when, without sending anything."""

import json
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from l3mail.cli.context import House, Json, counted, print_json
from l3mail.cli.moments import parse_moment
from l3mail.errors import ForecastError, printable

if TYPE_CHECKING:
    from l3mail.outbox import HaltInForce
    from l3mail.simulations import Forecast, Terms

PANEL = "Sending"
ROOM_FOR_NAMES = 16
"""So much of a line is left for names, or they get a line of their own."""
Mail = Mapping[str, Any]


def register(app: typer.Typer) -> None:
    """Hang the command into the panel "Sending"."""
    app.command("simulate", rich_help_panel=PANEL)(simulate)


def simulate(
    context: typer.Context,
    *,
    since: Annotated[
        str | None,
        typer.Option(
            "--from", metavar="WHEN", help='1.12.2026 or "2026-12-01 10:00"; default: now.'
        ),
    ] = None,
    until: Annotated[
        str | None, typer.Option(metavar="WHEN", help="Where to end, included.")
    ] = None,
    weeks: Annotated[
        int | None, typer.Option(min=1, max=520, help="Or so many weeks; default: 4.")
    ] = None,
    diff: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Compare with what --json printed before."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Show who gets what when from now on; nothing is sent.

    On a virtual clock: every mail counts as accepted, and nobody clicks, joins or leaves.

    Example: l3mail simulate --weeks 8
    """
    from l3mail import outbox, simulations
    from l3mail.wiring import make_agenda

    house: House = context.obj
    agenda = make_agenda(house.settings, rehearsing=True)
    terms = _terms(house, since, until, weeks)
    before = None if diff is None else _read(diff)
    with house.database() as database, _progress(terms) as tell:
        found = database.read(
            lambda connection: simulations.simulate(connection, terms, agenda, tell)
        )
        halts = database.read(outbox.halts)
    mails = [_view(house, forecast) for forecast in found]
    if before is not None:
        _compare(before, mails, as_json=as_json)
    elif as_json:
        print_json(mails)
    else:
        _print(house, terms, mails, halts)


def _terms(house: House, since: str | None, until: str | None, weeks: int | None) -> "Terms":
    from l3mail.simulations import Terms
    from l3mail.wiring import restraint_of, staff_of

    if until is not None and weeks is not None:
        raise typer.BadParameter("say --until or --weeks, not both")
    settings, now = house.settings, house.clock.now()
    begin = None if since is None else parse_moment(since, settings.zone)
    # Weeks of the calendar, so that the hour of day stays what it is.
    local = (begin or now).astimezone(settings.zone) + timedelta(weeks=weeks or 4)
    end = parse_moment(until, settings.zone, end_of_day=True) if until else local
    if end < (begin or now):
        raise typer.BadParameter("the end lies before the beginning")
    return Terms(
        now=now,
        until=end.astimezone(now.tzinfo),
        since=begin,
        staff=staff_of(settings),
        fallback_locale=settings.workspace.locale,
        restraint=restraint_of(settings),
    )


@contextmanager
def _progress(terms: "Terms") -> Iterator[Callable[[datetime], None]]:
    """A bar on stderr while the virtual clock runs, where somebody can see it."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    length = (terms.until - terms.begin).total_seconds() or 1.0
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        console=Console(stderr=True),
        transient=True,
    ) as progress:
        task = progress.add_task("copying", total=length)

        def tell(moment: datetime) -> None:
            done = (moment - terms.begin).total_seconds()
            progress.update(task, completed=done, description=f"{moment:%Y-%m-%d}")

        yield tell


def _view(house: House, forecast: "Forecast") -> dict[str, Any]:
    view = {
        "email": forecast.email,
        "kind": forecast.kind,
        "message": forecast.message,
        "due_at": forecast.due_at.astimezone(house.settings.zone).isoformat(),
        "status": forecast.status,
    }
    return view | ({"reason": forecast.reason} if forecast.reason else {})


def _print(
    house: House, terms: "Terms", mails: Sequence[Mail], halts: "Sequence[HaltInForce]"
) -> None:
    shown = replace(terms, since=terms.since or terms.now)
    begin, end = (
        f"{moment.astimezone(house.settings.zone):%Y-%m-%d %H:%M}"
        for moment in (shown.since or shown.now, shown.until)
    )
    whom = counted(len({mail["email"] for mail in mails}), "person", "people")
    typer.echo(f"Simulation from {begin} to {end}: {counted(len(mails), 'mail')} to {whom}.")
    typer.echo("Every mail counts as accepted; nobody clicks, joins or leaves; nothing is sent.")
    for halt in halts:
        words = f"{halt.scope} {halt.subject}".strip()
        typer.echo(f"Halted now, and taken as lifted: {printable(words, 60)}.")
    widest = max((len(_what(mail)) for mail in mails), default=0)
    for day, of_day in groupby(mails, key=lambda mail: str(mail["due_at"])[:10]):
        if sys.stdout.isatty():
            typer.echo(f"\n{datetime.fromisoformat(day):%a} {day}")
        groups: dict[tuple[str, ...], list[Mail]] = {}
        for mail in of_day:
            key = (str(mail["due_at"])[11:16], _what(mail))
            groups.setdefault(key, []).append(mail)
        for (clock, message), alike in sorted(groups.items()):
            _print_group((f"{day} {clock}", message), f"  {clock}  {message:<{widest}}", alike)
    held = {(mail["message"], mail["reason"]) for mail in mails if mail["status"] == "held"}
    for message, reason in sorted(held):
        typer.echo(f"\nheld: {printable(message, 200)}:\n      {reason}")


def _what(mail: Mail) -> str:
    note = "" if mail["status"] == "planned" else f" {mail['status']}"
    return printable(f"{mail['message']}{note}", 200)


def _print_group(facts: Sequence[str], head: str, alike: Sequence[Mail]) -> None:
    """A group's number and people: as many as fit, or into a pipe all facts with tabs between."""
    names = [printable(str(mail["email"]), 300) for mail in alike]
    if not sys.stdout.isatty():
        typer.echo("\t".join((*facts, str(len(alike)), _named(names, 5))))
        return
    line = f"{head}  {len(alike):>4}  "
    room = shutil.get_terminal_size().columns - len(line)
    if room < ROOM_FOR_NAMES:
        typer.echo(line.rstrip())
        line = " " * 9
        room = shutil.get_terminal_size().columns - len(line)
    told = next(
        (told for n in range(5, 0, -1) if len(told := _named(names, n)) <= room),
        printable(_named(names, 1), max(room - 1, 8)),
    )
    typer.echo(line + told)


def _named(names: Sequence[str], shown: int) -> str:
    rest = len(names) - shown
    return ", ".join(names[:shown]) + (f" and {rest} more" if rest > 0 else "")


def _read(path: Path) -> list[Mail]:
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ForecastError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError:
        before = None
    if not isinstance(before, list) or not all(_is_mail(mail) for mail in before):
        raise ForecastError(f"{path} is no forecast; `l3mail simulate --json > FILE` writes one")
    return before


def _is_mail(mail: object) -> bool:
    if not isinstance(mail, dict):
        return False
    if not all(isinstance(mail.get(name), str) for name in ("email", "message", "due_at")):
        return False
    try:
        return datetime.fromisoformat(mail["due_at"]).tzinfo is not None
    except ValueError:
        return False


def _compare(before: Sequence[Mail], mails: Sequence[Mail], *, as_json: bool) -> None:
    from l3mail import simulations

    found = simulations.compare(before, mails)
    if as_json:
        moved = [{"before": old, "after": new} for old, new in found.moved]
        print_json({"added": found.added, "removed": found.removed, "moved": moved})
        return
    if not found:
        typer.echo("Nothing differs.")
    groups: dict[tuple[str, str, str], list[Mail]] = {}
    for word, several in (("added", found.added), ("removed", found.removed)):
        for mail in several:
            groups.setdefault((word, _when(mail), str(mail["message"])), []).append(mail)
    for old, new in found.moved:
        when = f"{_when(old)} -> {_when(new)}"
        groups.setdefault(("moved", when, str(new["message"])), []).append(new)
    for (word, when, message), alike in groups.items():
        slug = printable(message, 200)
        _print_group((word, when, slug), f"{word:<8} {when}  {slug}", alike)


def _when(mail: Mail) -> str:
    return str(mail["due_at"])[:16].replace("T", " ")
