"""Commands that keep the house: the database, the demo."""

import typer

from l3mail.cli.context import House

PANEL = "House"

group = typer.Typer(name="db", help="Keep the database.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Hang the commands into the panel "House"."""
    app.add_typer(group, rich_help_panel=PANEL)


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
