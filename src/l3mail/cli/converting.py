"""The command that reads values anew whose attribute was declared after they came."""

from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Any

import typer

from l3mail.cli.context import DryRun, House, Json, Yes, confirm, counted, print_json
from l3mail.cli.importing import Dates
from l3mail.errors import printable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection

    from l3mail.subscribers.conversions import Misfit

_SHOWN = 10
COMMAND = "l3mail subscribers convert"


def convert(
    context: typer.Context,
    *,
    dates: Dates = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Read values anew that came before l3mail.toml declared what they are.

    A text "3" becomes the number 3, "ja" becomes yes, "1.9.2026" a day. What
    can't be read stays, and is named. Exit 1 where there is any such value.

    Example: l3mail subscribers convert --dry-run
    """
    from l3mail.subscribers import conversions

    house: House = context.obj
    if dates not in {None, "day", "month"}:
        raise typer.BadParameter(f"--dates {dates!r} is neither day nor month")
    attributes = house.settings.attributes
    with house.database() as database:
        found = database.read(
            lambda connection: conversions.find(connection, attributes, dates)  # type: ignore[arg-type]
        )
        right = [one for one in found if not one.reason]
        if not as_json:
            _tell(found, {name: declared.type for name, declared in attributes.items()})
        if right and not dry_run:
            confirm(f"Convert {counted(len(right), 'value')}?", yes=yes)
            for start in range(0, len(right), conversions.BATCH):
                batch = right[start : start + conversions.BATCH]
                database.write(partial(_batch, house=house, batch=batch))
    if as_json:
        print_json({"dry_run": dry_run} | _view(found))
    elif right:
        typer.echo("Dry run, nothing is changed." if dry_run else "Converted.")
    if len(right) < len(found):
        raise typer.Exit(1)


def _batch(connection: "Connection", *, house: House, batch: "Sequence[Misfit]") -> None:
    from l3mail import actions
    from l3mail.subscribers import conversions

    done = conversions.convert(connection, batch)
    counts = {"values": done}
    actions.note(connection, house.who, "subscribers convert", counts, house.clock.now())


def _tell(found: "Sequence[Misfit]", types: "Mapping[str, str]") -> None:
    if not found:
        typer.echo("All values are what l3mail.toml declares.")
    numbers = Counter(one.name for one in found)
    unreadable = [one for one in found if one.reason]
    stuck = Counter(one.name for one in unreadable)
    for name, number in sorted(numbers.items()):
        rest = f", {stuck[name]:,} can't be read" if stuck[name] else ""
        told = f"{counted(number - stuck[name], 'value')} read as {types[name]}{rest}"
        typer.echo(f"{name}: {told}")
    for one in unreadable[:_SHOWN]:
        typer.echo(f"  {printable(one.email, 60)}: {printable(one.reason, 200)}")
    if len(unreadable) > _SHOWN:
        typer.echo(f"  and {len(unreadable) - _SHOWN:,} more: --json")


def _view(found: "Sequence[Misfit]") -> dict[str, Any]:
    return {
        "converted": [
            {"email": one.email, "attribute": one.name, "before": one.before, "after": one.after}
            for one in found
            if not one.reason
        ],
        "unreadable": [
            {"email": one.email, "attribute": one.name, "value": one.before, "reason": one.reason}
            for one in found
            if one.reason
        ],
    }


def misfits_in_words(numbers: "Mapping[str, int]", types: "Mapping[str, str]") -> str:
    """Of how many people which attribute is not what it is declared to be, and what to do."""
    told = ", ".join(
        f"attrs.{name} of {counted(number, 'person', 'people')} is no {types[name]}"
        for name, number in numbers.items()
    )
    return f"{told}; `{COMMAND} --dry-run` shows what can be read"
