"""Commands that keep the house: the database, the demo."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from l3mail.cli.context import House

if TYPE_CHECKING:
    from collections.abc import Callable

    from l3mail.demo import Moment, Summary

PANEL = "House"

group = typer.Typer(name="db", help="Keep the database.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Hang the commands into the panel "House"."""
    app.add_typer(group, rich_help_panel=PANEL)
    app.command("demo", rich_help_panel=PANEL)(demo)


@group.command("upgrade")
def upgrade(context: typer.Context) -> None:
    """Bring the database to this version of l3mail; creates it where there is none.

    Example: l3mail db upgrade
    """
    from l3mail import migrations
    from l3mail.database import opened
    from l3mail.settings import make_state

    house: House = context.obj
    make_state(house.settings.state_dir)
    with opened(house.settings.database_url) as database:
        revision = migrations.upgrade(database.engine, house.clock.now())
    typer.echo(f"The database is at revision {revision}.")


def demo(
    folder: Annotated[
        Path, typer.Option("--dir", help="Where to put the demo's workspace and mails.")
    ] = Path("state/demo"),
) -> None:
    """Run a course in time-lapse, with a mail server of its own; nothing leaves this machine.

    Example: l3mail demo
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    from l3mail.demo import play

    # What a fault of the demo's mail server looks like is in the timeline, not in a log.
    logging.getLogger("l3mail").addHandler(logging.NullHandler())
    logging.getLogger("l3mail").propagate = False
    console = Console(highlight=False)
    console.print("[bold]Ten weeks of a course in time-lapse[/bold], 24 people, one mail server.\n")
    with Progress(
        TextColumn("{task.description}"), BarColumn(), console=console, transient=True
    ) as progress:
        task = progress.add_task("", total=1.0)

        def tell(moment: "Moment") -> None:
            progress.update(task, completed=moment.share, description=f"{moment.at:%d %b %Y}")
            for line in _lines(moment):
                console.print(line)

        summary = play(folder, tell)
    _conclude(console.print, summary)


def _lines(moment: "Moment") -> list[str]:
    at = f"{moment.at:%a %d %b %H:%M}"
    lines = []
    if moment.joined:
        lines.append(f"{at}  {', '.join(moment.joined)} confirmed")
    lines += [f"{at}  {note}" for note in moment.notes]
    if moment.states:
        words = ", ".join(f"{count} {state}" for state, count in sorted(moment.states.items()))
        lines.append(f"{at}  {words}")
    return lines


def _conclude(say: "Callable[[str], None]", summary: "Summary") -> None:
    states = ", ".join(f"{count} {state}" for state, count in sorted(summary.states.items()))
    say(f"\n{summary.people} people, {summary.mails} mails arrived; deliveries: {states}")
    say(
        f"  {summary.whole} learners had all 7 mails,"
        f" {summary.mondays} of them on Mondays in a row at 10:00"
    )
    say(f"  {summary.planned_twice} occurrences planned twice for a person")
    say(f"  {summary.after_leaving} mails begun after an unsubscribe")
    say(f"  {summary.arrived_twice} mail resent after a lost answer, under the same Message-ID")
    say(f"\nMails: {summary.folder / 'mails'}. Three things to try:")
    for command in ("outbox list --status failed", "outbox show 1 --eml", "halt --kind lesson"):
        say(f"  l3mail --workspace {summary.folder} {command}")
