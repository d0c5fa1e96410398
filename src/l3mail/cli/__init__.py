"""The operator's door: commands, their help, their exit codes.

Imports nothing heavy until a command runs, so that `--help` is instant. Exit 0 ok, 1 refused
or failed with one line on stderr, 2 wrong usage.
"""

import inspect
import sys
from pathlib import Path
from typing import Annotated

import typer
from typer.exceptions import TyperException

from l3mail.cli import (
    answers,
    consent,
    content,
    courses,
    databases,
    doctor,
    explain,
    forms,
    guiding,
    house,
    leaving,
    newsletters,
    outbox,
    previewing,
    privacy,
    reports,
    running,
    segments,
    sending,
    service,
    simulating,
    status,
    subscribers,
    triggers,
)
from l3mail.cli.context import House, say
from l3mail.cli.overview import Overview
from l3mail.cli.usage import refuse
from l3mail.errors import L3mailError

app = typer.Typer(
    name="l3mail",
    cls=Overview,
    help="Send courses, lifecycle mailings and newsletters by files and commands.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"l3mail {version('l3mail')}")
        raise typer.Exit


@app.callback()
def main_options(
    context: typer.Context,
    workspace: Annotated[
        Path | None,
        typer.Option(help="Folder with l3mail.toml; default: here or above.", show_default=False),
    ] = None,
    acting: Annotated[
        str | None,
        typer.Option("--as", help="Who to note for this change; default: your login name."),
    ] = None,
    _show_version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=_version, help="Print the version."),
    ] = False,
) -> None:
    """Collect what every command shares."""
    context.obj = House(workspace, acting)


content.register(app)
previewing.register(app)
answers.register(app)
guiding.register(app)
courses.register(app)
explain.register(app)
subscribers.register(app)
privacy.register(app)
segments.register(app)
consent.register(app)
forms.register(app)
running.register(app)
sending.register(app)
status.register(app)
newsletters.register(app)
triggers.register(app)
simulating.register(app)
outbox.register(app)
house.register(app)
leaving.register(app)
databases.register(app)
doctor.register(app)
service.register(app)
reports.register(app)


def _let_flow(part: typer.Typer) -> None:
    """Let a docstring's paragraphs flow in help: where they break is the source's business."""
    for command in part.registered_commands:
        paragraphs = (inspect.getdoc(command.callback) or "").split("\n\n")
        command.help = "\n\n".join(" ".join(one.split()) for one in paragraphs)
    for group in part.registered_groups:
        if group.typer_instance is not None:
            _let_flow(group.typer_instance)


_let_flow(app)


def main() -> None:
    """Run the command line; the console script."""
    try:
        code = app(standalone_mode=False)
    except TyperException as error:
        refuse(error)
    except typer.Abort:
        typer.echo("l3mail: stopped; nothing is changed", err=True)
        sys.exit(1)
    except L3mailError as error:
        for line in str(error).splitlines():
            say(f"l3mail: {line}", 8, err=True)
        sys.exit(1)
    except PermissionError as error:
        from l3mail import owners

        where = Path(str(error.filename or "."))
        say(f"l3mail: {where}: {error.strerror}{owners.mend(where)}", 8, err=True)
        sys.exit(1)
    sys.exit(code if isinstance(code, int) else 0)
