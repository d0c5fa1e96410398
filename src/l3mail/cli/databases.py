"""Commands that keep the database: bring it up to date, back it up, put it back, reconcile it."""

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from l3mail.cli import reconciling
from l3mail.cli.context import House, Json, Yes, bar, confirm, counted, print_json
from l3mail.cli.moments import told
from l3mail.errors import BackupError, L3mailError

if TYPE_CHECKING:
    from l3mail.backups import Backup, Manifest, Plan

PANEL = "House"
MEGABYTE = 1_000_000

group = typer.Typer(name="db", help="Keep the database.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Hang the commands into the panel "House"."""
    app.add_typer(group, rich_help_panel=PANEL)


@group.command("upgrade")
def upgrade(
    context: typer.Context,
    *,
    start_empty: Annotated[
        bool,
        typer.Option(
            "--start-empty", help="Make an empty database although there was another one here."
        ),
    ] = False,
) -> None:
    """Bring the database to this version of l3mail; creates it where there never was one.

    Example: l3mail db upgrade
    """
    house: House = context.obj
    _upgrade(house, start_empty=start_empty)


def _upgrade(house: House, *, start_empty: bool) -> None:
    from l3mail import actions, migrations, publishing
    from l3mail.database import opened
    from l3mail.settings import PEPPER_FILE, make_state, require_secrets
    from l3mail.wiring import is_founded, only_sender

    house.settle_restore()
    new = False
    if is_founded(house.settings):
        require_secrets(house.settings)
    else:
        _prepare_founding(house, start_empty=start_empty)
        new = not (house.settings.state_dir / PEPPER_FILE).exists()
        make_state(house.settings.state_dir)
    with (
        opened(house.settings.database_url) as database,
        only_sender(database),
    ):
        now = house.clock.now()
        revision = migrations.upgrade(database, now)
        told = {"revision": revision}
        database.write(lambda one: actions.note(one, house.who, "db upgrade", told, now))
        published = database.read(publishing.published_slugs)
    if new:
        typer.echo(f"Made {house.settings.state_dir}: pepper and key; back up the whole folder.")
    typer.echo(f"The database is at revision {revision}.")
    if not published:
        typer.echo("No text is published yet: `l3mail content publish` does it.")


def _prepare_founding(house: House, *, start_empty: bool) -> None:
    """Refuse a new database over what is left of another one, unless that is wanted.

    What its last writes left is then kept beside: SQLite would take it for the new one's.
    """
    from l3mail import backups
    from l3mail.errors import DatabaseLostError
    from l3mail.wiring import require_nothing_lost

    try:
        require_nothing_lost(house.settings)
    except DatabaseLostError as error:
        if not start_empty:
            raise DatabaseLostError(
                f"{error}; or begin again with nobody and nothing: `l3mail db upgrade"
                " --start-empty`"
            ) from error
        file = house.settings.database_file
        for path in backups.set_leftovers_aside(file, house.clock.now()) if file else []:
            typer.echo(f"Kept beside: {path}")


# -- backup


@group.command("backup")
def backup(
    context: typer.Context,
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="Write this file.", show_default=False)
    ] = None,
    *,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Put it here, dated; default: state/backups.", show_default=False
        ),
    ] = None,
    with_key: Annotated[
        bool, typer.Option("--with-key", help="Put the keys that sign links in, too.")
    ] = False,
    keep: Annotated[
        int | None,
        typer.Option(
            min=1, help="Then delete all but so many of the newest there.", show_default=False
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Back up the database, the pepper and the settings while everything runs.

    One file, readable by you alone, which has been opened and compared before its name is printed.

    Example: l3mail db backup --with-key --keep 14
    """
    from l3mail import backups
    from l3mail.database import opened
    from l3mail.settings import BACKUPS_FOLDER
    from l3mail.wiring import MEDIA_FOLDER, require_founded

    house: House = context.obj
    if file is not None and (out is not None or keep is not None):
        raise typer.BadParameter("FILE is one file; --out and --keep are for a folder of them")
    house.settle_restore()
    settings = house.settings
    if settings.database_file is not None:
        require_founded(settings)
    target = _place(file, out or settings.state_dir / BACKUPS_FOLDER)
    with opened(settings.database_url) as database, bar("reading") as tell:
        made = backups.back_up(
            settings,
            database,
            house.clock.now(),
            tell,
            target=target,
            media=settings.state_dir / MEDIA_FOLDER,
            with_key=with_key,
        )
    old = backups.prune(made, keep) if keep is not None else []
    if as_json:
        print_json(_backup_view(made, old))
    else:
        _tell_backup(made, old, with_key=with_key)


def _place(file: Path | None, folder: Path) -> Path:
    """The file a backup is to be, or the folder it is to lie in, made if it has to be."""
    if file is not None:
        if file.is_dir():
            raise BackupError(f"{file} is a folder; say --out {file}")
        return file
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise BackupError(
            f"{folder} can't be made: {error.strerror}; name another --out"
        ) from error
    return folder


def _backup_view(made: "Backup", old: "list[Path]") -> dict[str, Any]:
    said = made.manifest
    return {
        "file": str(made.path),
        "bytes": made.size,
        "copied_at": said.copied_at.isoformat(),
        "uuid": said.uuid,
        "revision": said.revision,
        "rows": dict(said.rows),
        "files": sorted(said.files),
        "deleted": [str(path) for path in old],
    }


def _tell_backup(made: "Backup", old: "list[Path]", *, with_key: bool) -> None:
    rows = made.manifest.rows
    typer.echo(
        f"{made.path}: {made.size / MEGABYTE:,.1f} MB, {sum(rows.values()):,} rows"
        f" ({_contents(made.manifest)})."
    )
    pages = "every page, every reference, " if made.manifest.database == "sqlite" else ""
    typer.echo(f"Opened again and compared: {pages}every file and every count is in order.")
    if old:
        typer.echo(f"Deleted {counted(len(old), 'older backup')}.")
    inside = ", the pepper and the keys of links" if with_key else " and the pepper"
    typer.echo(f"It holds people's data{inside}: put it on another machine, closed to others.")
    keys = "" if with_key else "state/secret.key (without it no link mailed so far works) and "
    typer.echo(f"Keep besides: {keys}the workspace's own files, as in git.")


def _contents(manifest: "Manifest") -> str:
    people = counted(manifest.rows["subscriber"], "person", "people")
    return f"{people}, {counted(manifest.rows['delivery'], 'delivery')}"


# -- restore


@group.command("restore")
def restore(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `db backup` made.")],
    *,
    with_key: Annotated[
        bool, typer.Option("--with-key", help="Put the backup's keys back, too.")
    ] = False,
    take_pepper: Annotated[
        bool,
        typer.Option("--take-pepper", help="Take the backup's pepper instead of another one here."),
    ] = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Put a backup back; what is there now is kept beside, and nothing is sent until `reconcile`.

    Example: l3mail db restore state/backups/l3mail-1f2e3d4c-20261122T020000Z.tar.gz
    """
    from l3mail import backups
    from l3mail.settings import KEY_FILE
    from l3mail.wiring import MEDIA_FOLDER

    house: House = context.obj
    house.settle_restore()
    settings = house.settings
    plan = backups.inspect(settings, file)
    _judge(house, plan, with_key=with_key, take_pepper=take_pepper, as_json=as_json)
    if plan.present:
        confirm(
            "Put it in the place of the database that is here? That one is kept beside.", yes=yes
        )
    if plan.present:
        _note_the_erased(house)
    with bar("reading") as tell:
        done = backups.restore(
            settings,
            plan,
            house.who,
            house.clock.now(),
            tell,
            media=settings.state_dir / MEDIA_FOLDER,
            with_key=with_key or not (settings.state_dir / KEY_FILE).exists(),
        )
    if as_json:
        print_json(
            {"restored": str(file), "kept": list(done.aside), "upgrade": not plan.is_current}
        )
        return
    typer.echo(f"Restored as of {told(plan.manifest.copied_at, house.settings.zone)}.")
    for name in done.aside:
        typer.echo(f"Kept beside: {name}")
    if not done.has_key and not settings.secret_keys:
        typer.echo("state/secret.key is missing and not in this backup: put yours back first.")
    if not plan.is_current:
        typer.echo("Next: `l3mail db upgrade`, for the backup is of an older l3mail.")
    typer.echo(
        "Nothing is planned or sent until `l3mail db reconcile`, which shows what may have been"
        " sent after the backup was made."
    )


def _note_the_erased(house: House) -> None:
    """Keep who was erased, so that what is put back forgets them too, where that can be read."""
    from sqlalchemy.exc import SQLAlchemyError

    from l3mail.database import opened
    from l3mail.wiring import leave_no_trace

    with suppress(L3mailError, SQLAlchemyError), opened(house.settings.database_url) as database:
        leave_no_trace(house.settings, database)


def _judge(house: House, plan: "Plan", *, with_key: bool, take_pepper: bool, as_json: bool) -> None:
    """Tell what the backup is, and refuse what somebody has to decide."""
    said = plan.manifest
    if not as_json:
        typer.echo(f"A backup of {told(said.copied_at, house.settings.zone)}: {_contents(said)}.")
    # A pepper that no database stands beside is one that no row was made with.
    if plan.other_pepper and plan.present and not take_pepper:
        raise BackupError(
            "state/pepper is another one than the backup's, and rows are only known by the one"
            " they were made with: add --take-pepper to take the backup's (yours is kept beside)"
        )
    if with_key and not plan.has_key:
        raise BackupError("the backup holds no keys; leave out --with-key")
    if house.settings.secret_keys or with_key:
        return
    if plan.other_key:
        typer.echo(
            "state/secret.key is another one than the backup's: no link in a mail sent so far works"
            " with it. Add --with-key to take the backup's (yours is kept beside).",
            err=True,
        )
    elif not plan.has_key and not plan.present:
        typer.echo(
            "The backup holds no keys: links in mails sent so far work only if state/secret.key is"
            " the one of then.",
            err=True,
        )


group.command("reconcile")(reconciling.reconcile)
