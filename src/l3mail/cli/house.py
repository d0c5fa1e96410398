"""Commands that keep the house: the database, the demo."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from l3mail.cli.context import House, program

if TYPE_CHECKING:
    from collections.abc import Callable

    from l3mail.demo import Moment, Summary

PANEL = "House"

group = typer.Typer(name="db", help="Keep the database.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Hang the commands into the panel "House"."""
    app.add_typer(group, rich_help_panel=PANEL)
    app.command("demo", rich_help_panel=PANEL)(demo)
    app.command("init", rich_help_panel=PANEL)(init)


@group.command("upgrade")
def upgrade(context: typer.Context) -> None:
    """Bring the database to this version of l3mail; creates it where there is none.

    Example: l3mail db upgrade
    """
    house: House = context.obj
    _upgrade(house)


def _upgrade(house: House) -> None:
    from l3mail import migrations
    from l3mail.database import opened
    from l3mail.settings import make_state
    from l3mail.wiring import only_sender

    new = not house.settings.state_dir.exists()
    make_state(house.settings.state_dir)
    with (
        opened(house.settings.database_url) as database,
        only_sender(database),
    ):
        revision = migrations.upgrade(database, house.clock.now())
    if new:
        typer.echo(f"Made {house.settings.state_dir}: pepper and key; back up the whole folder.")
    typer.echo(f"The database is at revision {revision}.")


def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new or empty folder.")],
) -> None:
    """Lay out a workspace with a first course, all of it published.

    Example: l3mail init kurse
    """
    from l3mail.settings import FILE
    from l3mail.starter import lay_out
    from l3mail.wiring import set_up

    files = lay_out(folder)
    house = House(folder)
    publication = set_up(house.settings, by=house.who, now=house.clock.now())
    texts, courses = len(publication.changes), ", ".join(publication.courses)
    typer.echo(f"Made {folder}: {len(files)} files, {texts} texts published, course {courses}.")
    typer.echo(f"Pepper and key are in {folder / 'state'}: back up that whole folder.")
    command = f"{program()} --workspace {folder}"
    typer.echo(f"Fill in {folder / FILE}: sender, Impressum, relay. Then try:")
    for words in ("check", f"preview {_first_lesson(house)}", "run"):
        typer.echo(f"  {command} {words}")


def _first_lesson(house: House) -> str:
    from l3mail.wiring import read_content

    curricula = read_content(house.settings).curricula
    return next(slug for course in curricula for slug, _ in course.lessons)


def demo(
    folder: Annotated[
        Path, typer.Option("--dir", help="Where to put the demo's workspace and mails.")
    ] = Path("state/demo"),
) -> None:
    """Run a course in time-lapse; nothing leaves this machine.

    Example: l3mail demo
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    from l3mail.demo import play

    # What a fault of the demo's mail server looks like is in the timeline, not in a log.
    logging.getLogger("l3mail").addHandler(logging.NullHandler())
    logging.getLogger("l3mail").propagate = False
    console = Console(highlight=False)
    console.print("[bold]A course in time-lapse[/bold]: 24 people, one mail server.\n")
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
    say(f"{summary.people} people, {summary.mails} mails arrived; deliveries: {states}")
    say(f"  {summary.whole} learners had all 7 mails, {summary.mondays} on Mondays in a row,")
    say(f"    {summary.sharp} always at 10:00; the others waited for a slow or silent server")
    say(f"  {summary.repeated} mails arrived under two Message-IDs")
    say(f"  {summary.after_leaving} mails begun after an unsubscribe")
    say(f"  {summary.arrived_twice} mail resent after a lost answer, under the same Message-ID")
    say(f"\nMails: {summary.folder / 'mails'}. Three things to try:")
    for command in ("outbox list --status failed", "outbox show 1 --eml", "halt --kind lesson"):
        say(f"  {program()} --workspace {summary.folder} {command}")
