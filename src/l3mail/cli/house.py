"""Commands that make a workspace: a new one, and the demo's."""

import logging
import textwrap
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from l3mail.cli.context import House, program

if TYPE_CHECKING:
    from collections.abc import Callable

    from l3mail.demo import Moment, Summary

PANEL = "House"


def register(app: typer.Typer) -> None:
    """Hang the commands into the panel "House"."""
    app.command("demo", rich_help_panel=PANEL)(demo)
    app.command("init", rich_help_panel=PANEL)(init)


def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new or empty folder.")],
) -> None:
    """Lay out a workspace with a first course, all of it published.

    Interrupted, it goes on where it was when it is called again.

    Example: l3mail init kurse
    """
    from l3mail.settings import FILE
    from l3mail.starter import lay_out, left_as_it_is
    from l3mail.wiring import set_up

    files = lay_out(folder)
    house = House(folder)
    publication = set_up(house.settings, by=house.who, now=house.clock.now())
    if not publication:
        raise left_as_it_is(folder / FILE)
    texts, courses = len(publication.changes), ", ".join(publication.courses)
    word = "course" if len(publication.courses) == 1 else "courses"
    typer.echo(f"Made {folder}: {len(files)} files, {texts} texts published, {word} {courses}.")
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
    """Live through ten weeks of a course in seconds; nothing leaves this machine.

    Example: l3mail demo
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

    from l3mail.demo import play
    from l3mail.web import create_app

    # What a fault of the demo's mail server looks like is in the timeline, not in a log.
    logging.getLogger("l3mail").addHandler(logging.NullHandler())
    logging.getLogger("l3mail").propagate = False
    console = Console(highlight=False, markup=False, soft_wrap=True)
    console.print("Ten weeks in time-lapse: real pages, real mails, nothing leaves this machine.\n")
    bar = (TextColumn("{task.description}"), BarColumn(bar_width=None), TaskProgressColumn())
    with Progress(*bar, console=console, transient=True, expand=True) as progress:
        task = progress.add_task("setting up", total=1.0)

        def tell(moment: "Moment") -> None:
            progress.update(task, completed=moment.share, description=f"{moment.at:%a %d %b %Y}")
            for line in _lines(moment):
                progress.console.print(line)

        summary = play(folder, tell, create_app)
        progress.update(task, completed=1.0)
    if console.is_terminal:
        console.print()  # in a pipe, the bar's end has left an empty line already
    _conclude(console.print, summary)


WIDTH = 80
_EXPECTED = {(kind, "accepted") for kind in ("confirmation", "welcome", "notice")}
"""What goes out whenever people act: worth a line only where it went otherwise."""


def _lines(moment: "Moment") -> "list[str]":
    """What the timeline says of a moment, nothing of most; no line is longer than a terminal."""
    notes = list(moment.notes)
    by_kind: dict[str, list[str]] = {}
    # As they come in a course: the evaluation last.
    counts = sorted(moment.mails.items(), key=lambda item: (item[0][0] == "evaluation", item[0]))
    for (kind, state, no), number in counts:
        if (kind, state) not in _EXPECTED:
            by_kind.setdefault(kind, []).append(f"{number} {state}" + (f" ({no})" if no else ""))
    notes += [f"{kind}: {', '.join(states)}" for kind, states in by_kind.items()]
    return [line for note in notes for line in _wrapped(f"{moment.at:%a %d %b %H:%M}  ", note)]


def _wrapped(head: str, text: str) -> list[str]:
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=head,
        subsequent_indent=" " * len(head),
        break_on_hyphens=False,
    )


def _conclude(say: "Callable[[str], None]", summary: "Summary") -> None:
    from l3mail.demo import LEAVES

    states = ", ".join(f"{count} {state}" for state, count in sorted(summary.states.items()))
    say(f"{summary.people} people, {summary.mails} mails arrived; deliveries: {states}")
    say("Counted from the rows and the mails:")
    for claim in summary.claims:
        for line in _wrapped("  ok  " if claim.holds else "  NO  ", claim.words):
            say(line)
    say("\nTo look at, in a browser:")
    for page in summary.pages:
        say(f"  {page}")
    say(f"The mails themselves are in {summary.folder / 'mails'}. Three things to try:")
    for command in (f"explain {LEAVES}", "outbox list --status failed", "web"):
        say(f"  {program()} --workspace {quote(str(summary.folder))} {command}")
    say("While the last one runs, the mails' links to our own pages work.")
    if not all(claim.holds for claim in summary.claims):
        raise typer.Exit(1)
