"""The command that takes everything along: for whoever goes to another tool, or stops."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from l3mail.cli.context import DryRun, House, Json, bar, counted, print_json, say

if TYPE_CHECKING:
    from l3mail.leaving import Luggage

PANEL = "House"


def register(app: typer.Typer) -> None:
    """Hang the command into the panel "House"."""
    app.command("leave", rich_help_panel=PANEL)(leave)


def leave(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new or empty folder.")],
    *,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Write everything in open formats: people, proof, mails, texts, with a guide to it.

    Nothing is changed here, and nothing secret is taken along. Pages go on with
    `l3mail web --goodbye`.

    Example: l3mail leave umzug
    """
    from l3mail import actions, leaving

    house: House = context.obj
    with house.database() as database:
        if dry_run:
            _tell(leaving.foresee(database, house.settings), None, as_json=as_json)
            return
        with bar("leaving") as tell:
            luggage = leaving.leave(database, house.settings, folder, tell)
        now, counts = house.clock.now(), {"rows": luggage.total, "files": luggage.files}
        database.write(lambda one: actions.note(one, house.who, "leave", counts, now))
    _tell(luggage, folder, as_json=as_json)


def _tell(luggage: "Luggage", folder: Path | None, *, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "folder": str(folder) if folder else None,
                "rows": luggage.rows,
                "files": luggage.files,
                "dry_run": folder is None,
            }
        )
        return
    for name, count in luggage.rows.items():
        if count:
            typer.echo(f"  {name}.csv: {count:,}")
    if empty := [name for name, count in luggage.rows.items() if not count]:
        say(f"  with a heading alone: {', '.join(empty)}", 4)
    beside = counted(luggage.files, "text, wording or picture", "texts, wordings and pictures")
    if folder is None:
        typer.echo(f"Dry run, nothing is written. Beside these: {beside}.")
        return
    typer.echo(f"Beside these: {beside}.")
    typer.echo(f"All of it is in {folder}; begin with README.md or LIESMICH.md. It holds personal")
    typer.echo("data: keep it safe. Then: `l3mail web --goodbye` keeps unsubscribe links alive.")
