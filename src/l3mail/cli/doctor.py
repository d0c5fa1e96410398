"""The command that looks whether everything a workspace needs is there."""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from l3mail.cli.context import House, Json, counted, print_json, say
from l3mail.errors import SettingsError, printable

if TYPE_CHECKING:
    from l3mail.upkeep.checks import Check

PANEL = "House"
_NAME = 9
_LONGEST = 1000


def register(app: typer.Typer) -> None:
    """Hang the command into the panel "House"."""
    app.command("doctor", rich_help_panel=PANEL)(doctor)


def doctor(
    context: typer.Context,
    *,
    letter: Annotated[
        bool, typer.Option("--letter", help="Print what to ask the city's IT for, and no checks.")
    ] = False,
    online: Annotated[
        bool, typer.Option("--online", help="Also ask BASE_URL over the network.")
    ] = False,
    sample: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="A mail of ours as it arrived outside (.eml): is it signed?",
            show_default=False,
        ),
    ] = None,
    seconds: Annotated[
        float, typer.Option(help="How long to wait for each answer.", min=0.1, max=300)
    ] = 15,
    as_json: Json = False,
) -> None:
    """Look at settings, state, database, relay, pages, clock and key; exit 1 if one failed.

    No mail is sent: the relay is asked as far as MAIL FROM, which is taken back.

    Example: l3mail doctor --online
    """
    from l3mail.upkeep.checkups import Reach, examine

    house: House = context.obj
    if letter:
        if as_json or sample or online:
            raise typer.BadParameter("--letter prints only the letter; leave the others out")
        _print_letter(house)
        return
    reach = Reach(online=online, seconds=seconds, sample=sample)
    checks = []
    examined = _without_settings(house) or chain(
        examine(house.settings, house.clock, reach), _leftovers(house)
    )
    for check in examined:
        checks.append(check)
        if not as_json:
            # As they come: a relay that hangs is seen to hang.
            words = printable(check.words, _LONGEST)
            say(f"{check.verdict:<8} {check.name:<{_NAME}} {words}", 10 + _NAME)
    if as_json:
        print_json(
            [{"check": one.name, "status": one.verdict, "says": one.words} for one in checks]
        )
    _conclude(checks, as_json=as_json)


def _without_settings(house: House) -> "list[Check]":
    """The faults of l3mail.toml, without which nothing else can be looked at."""
    from l3mail.upkeep.checks import fail

    try:
        _ = house.settings
    except SettingsError as error:
        return [fail("settings", line) for line in error.problems]
    return []


def _leftovers(house: House) -> "Iterator[Check]":
    """What a kill left, which nobody would look for."""
    from l3mail.backups import leftovers
    from l3mail.upkeep.checks import warn

    if found := leftovers(house.settings):
        yield warn(
            "leftovers",
            "a backup or restore that was killed left people's data or secrets there; delete"
            f" {', '.join(map(str, found))}",
        )


def _conclude(checks: "list[Check]", *, as_json: bool) -> None:
    from l3mail.upkeep.checks import Verdict

    failed = sum(one.verdict is Verdict.FAILED for one in checks)
    warned = sum(one.verdict is Verdict.WARNING for one in checks)
    if not as_json:
        rest = f", {counted(warned, 'warning')}" if warned else ""
        typer.echo(f"{failed} failed{rest}." if failed else f"Nothing failed{rest}.")
    if failed:
        raise typer.Exit(1)


def _print_letter(house: House) -> None:
    """The letter to stdout; what we have to fill in ourselves first, to stderr."""
    from l3mail.settings import unready
    from l3mail.upkeep.letters import write_letter
    from l3mail.wiring import make_relay

    own_name = make_relay(house.settings).name
    typer.echo(write_letter(house.settings, own_name, house.settings.workspace.locale), nl=False)
    for line in unready(house.settings):
        typer.echo(f"l3mail: before you send this letter: {line}", err=True)
