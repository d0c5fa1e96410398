"""The command that prints a guide: what can be written, where no command asks for it."""

import sys
from importlib.resources import files
from typing import Annotated

import typer

from l3mail.errors import did_you_mean, quoted

PANEL = "Content"


def register(app: typer.Typer) -> None:
    """Hang the command into the panel "Content"."""
    app.command("help", rich_help_panel=PANEL)(guide)


def guide(
    topic: Annotated[
        str, typer.Argument(help="What to read about; without it all there is.", show_default=False)
    ] = "",
) -> None:
    """Print a guide: `content` says how texts are written, `moving` how to move in and out.

    Example: l3mail help content
    """
    folder = files("l3mail.cli") / "guides"
    topics = sorted(file.name.removesuffix(".md") for file in folder.iterdir())
    if not topic:
        for name in topics:
            title = (folder / f"{name}.md").read_text(encoding="utf-8").splitlines()[0]
            typer.echo(f"l3mail help {name}  {title.lstrip('# ')}")
        return
    if topic not in topics:
        hint = did_you_mean(topic, topics, f"guides are {', '.join(topics)}")
        raise typer.BadParameter(
            f"{quoted(topic)} has no guide; {hint} For commands: l3mail --help"
        )
    text = (folder / f"{topic}.md").read_text(encoding="utf-8")
    if not sys.stdout.isatty():
        typer.echo(text, nl=False)
        return
    from rich.console import Console
    from rich.markdown import Markdown

    Console(highlight=False).print(Markdown(text, code_theme="bw"))
