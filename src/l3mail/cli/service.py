"""The command that prints what a server needs to keep l3mail running."""

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from l3mail.cli.context import House

if TYPE_CHECKING:
    from l3mail.upkeep.units import Post

PANEL = "House"


def register(app: typer.Typer) -> None:
    """Hang the command into the panel "House"."""
    app.command("service", rich_help_panel=PANEL)(service)


def service(
    context: typer.Context,
    unit: Annotated[bool, typer.Option("--unit", help="Only l3mail.service.")] = False,
    worker: Annotated[bool, typer.Option("--worker", help="Only l3mail-worker@.service.")] = False,
    proxy: Annotated[bool, typer.Option("--proxy", help="Only the proxy's blocks.")] = False,
    metrics: Annotated[
        bool, typer.Option("--metrics", help="Only a job for Prometheus, with its token.")
    ] = False,
) -> None:
    """Print systemd units and a reverse-proxy block for this workspace.

    Nothing is installed: each begins with what to do with it.

    Example: l3mail service --unit
    """
    from l3mail.upkeep import units

    house: House = context.obj
    every = not (unit or worker or proxy or metrics)
    post = _post(house)
    parts = [
        (unit, units.service_unit(post)),
        (worker, units.worker_unit(post)),
        (proxy, units.proxy_blocks(house.settings)),
    ]
    wanted = [text for asked, text in parts if asked or every]
    if metrics:  # never by itself: it holds a secret
        wanted.append(units.scrape_block(house.settings, _metrics_token(house)))
    typer.echo("\n".join(wanted), nl=False)


def _metrics_token(house: House) -> str:
    from l3mail.tokens import Purpose
    from l3mail.wiring import load_tokens

    return load_tokens(house.settings).make(Purpose.METRICS)


def _post(house: House) -> "Post":
    from l3mail.upkeep.units import Post

    settings = house.settings
    owned = settings.state_dir if settings.state_dir.exists() else settings.folder
    try:
        user, group = owned.owner(), owned.group()
    except KeyError:  # its owner has a number, but no name any more
        user = group = "root"
    is_root = user == "root"
    return Post(settings, _program(), None if is_root else user, None if is_root else group)


def _program() -> tuple[str, ...]:
    """The words that start this very program, from any folder."""
    called = shutil.which(sys.argv[0])
    if called is None or Path(called).name == "__main__.py":
        return (sys.executable, "-m", "l3mail")
    # Not resolved: a link on the PATH stays right when what it points to is upgraded.
    return (str(Path(called).absolute()),)
