"""Commands on what people may ask of us about themselves, and what we must be able to show."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from l3mail.cli import directory, erasing, rights
from l3mail.cli.context import (
    DryRun,
    House,
    Json,
    Yes,
    bar,
    confirm,
    counted,
    print_json,
    print_table,
    require_states,
)
from l3mail.cli.directory import Email
from l3mail.cli.exporting import instead, private_file

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from l3mail.retention import Foreseen

PANEL = "People"
group = typer.Typer(
    name="privacy",
    help="Answer what people may ask: a copy, a correction, rest, erasure.",
    no_args_is_help=True,
)


def register(app: typer.Typer) -> None:
    """Hang the group into the panel "People"."""
    app.add_typer(group, rich_help_panel=PANEL)


@group.command("export")
def export(
    context: typer.Context,
    email: Email,
    *,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A .zip or .json; default: a .zip here."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Write all that is held on a person, to read and for programs (DSGVO Art. 15 and 20).

    The ZIP holds a page, the same as JSON and a guide to it.

    Example: l3mail privacy export ada@schule.example --out ada.zip
    """
    from l3mail.privacy import telling

    house: House = context.obj
    if as_json and out is not None:
        raise typer.BadParameter("--json prints; leave --out away, or name a .json with it")
    if out is not None and out.suffix not in {".zip", ".json"}:
        raise typer.BadParameter(f"{out} is neither a .zip nor a .json")

    def verb(connection: "Connection") -> tuple[str, dict[str, Any]]:
        from l3mail.privacy import copy_of

        shown, number = directory.found(connection, house, email)
        return shown, copy_of(connection, number, house.settings.zone)

    with house.database() as database:
        shown, data = database.read(verb)
    copy = telling.Copy(data, house.settings, house.clock.now())
    if as_json:
        typer.echo(telling.as_json(copy), nl=False)
        house.change("privacy export", lambda _: (None, {"subscribers": 1}))
        return
    target = out or Path(f"{copy.words.say('title.zip')}-{data['person']['number']}.zip")
    beside = instead(target)
    is_zip = target.suffix == ".zip"
    with private_file(target) as file:
        file.write(telling.as_zip(copy) if is_zip else telling.as_json(copy).encode())
    house.change("privacy export", lambda _: (None, {"subscribers": 1}))
    typer.echo(
        f"All that is held on {shown} is in {target}{beside}; only you may read it."
        " Send it where nobody else looks; then delete it."
    )


@group.command("record")
def record(
    context: typer.Context,
    *,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A .md or .html; default: print it.")
    ] = None,
) -> None:
    """Write the record of processing activities (DSGVO Art. 30), from what is really set.

    What only you can know is marked, and listed at its end.

    Example: l3mail privacy record --out verzeichnis.html
    """
    from l3mail.privacy.markdown import to_markdown
    from l3mail.privacy.processing import record as written
    from l3mail.reports import to_page

    house: House = context.obj
    if out is not None and out.suffix not in {".md", ".html"}:
        raise typer.BadParameter(f"{out} is neither a .md nor a .html")
    rules, now = directory.rules(house), house.clock.now()
    with house.database() as database:
        document = database.read(lambda one: written(one, house.settings, rules, now))
    if out is None:
        typer.echo(to_markdown(document), nl=False)
        return
    text = to_page(document) if out.suffix == ".html" else to_markdown(document)
    beside = instead(out)
    with private_file(out) as file:
        file.write(text.encode())
    typer.echo(f"{out} is written{beside}; its end lists what is left for you to fill in.")


@group.command("retention")
def retention(
    context: typer.Context,
    *,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Show what is older than it may be kept, and let it go now; `l3mail run` does it once a day.

    What went is counted by days for reports. What planning would miss stays, without its words.

    Example: l3mail privacy retention --dry-run
    """
    from l3mail import retention as keeping
    from l3mail.wiring import retention_terms

    house: House = context.obj
    kept, now = retention_terms(house.settings), house.clock.now()
    with house.database() as database:
        found = database.read(lambda connection: keeping.foresee(connection, now, kept))
    if as_json:
        print_json([directory.localised(house, asdict(one)) for one in found])
    else:
        _tell_retention(found)
    going = sum(one.goes for one in found)
    if dry_run or not going or (as_json and not yes):
        if not as_json:
            typer.echo("Dry run: nothing is changed." if dry_run else "There is nothing to do.")
        return
    confirm("Let it go now?", yes=yes)
    gone, more = 0, True
    with house.database() as database, bar("letting go") as tell:
        # A day's walk is done once; for whoever asks for it, it begins anew.
        database.write(keeping.begin_again)
        while more:
            step = database.write(lambda connection: keeping.age_out(connection, now, kept))
            gone, more = gone + step.gone, step.more
            tell("letting go", min(1.0, gone / going))
        database.truncate_log()
    house.change("privacy retention", lambda _: (None, {"gone": gone}))
    if not as_json:
        typer.echo(f"{counted(gone, 'row')} went; what they were is counted by days.")


def _tell_retention(found: "Sequence[Foreseen]") -> None:
    print_table(
        ("WHAT", "KEPT", "GOES NOW", "EMPTIED", "NEXT ON"),
        [
            (
                one.name,
                f"{one.months} months",
                f"{one.goes:,}",
                f"{one.emptied:,}",
                one.next_on.isoformat() if one.next_on else "",
            )
            for one in found
        ],
        empty="",
    )


@group.command("list")
def list_(
    context: typer.Context,
    *,
    search: Annotated[str | None, typer.Option(help="Part of an address, or a number.")] = None,
    status: Annotated[
        list[str] | None,
        typer.Option(metavar="STATUS", help="restricted or erased; may be given more than once."),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, the newest.")] = 100,
    as_json: Json = False,
) -> None:
    """List whose data rest, and whose proof of consent is kept although they are erased.

    The erased have a number and no address.

    Example: l3mail privacy list
    """
    from l3mail.privacy import erasures

    house: House = context.obj
    require_states(status, ("restricted", "erased"))
    rules, word = directory.rules(house), (search or "").casefold()
    with house.database() as database:
        found = database.read(lambda connection: erasures.listing(connection, rules))
    found = [
        row
        for row in found
        if word in (row["email"] or str(row["number"])) and (not status or row["state"] in status)
    ]
    rows = found[-limit:]
    if as_json:
        print_json([directory.localised(house, row) for row in rows])
        return
    print_table(
        ("STATE", "WHO", "SINCE", "PROOF UNTIL", "ACTS"),
        [
            (
                row["state"],
                directory.display(row["email"]) if row["email"] else f"number {row['number']}",
                directory.day(house, row["since"]),
                row["proof_until"] or "",
                row["acts"] or "",
            )
            for row in rows
        ],
        empty="Nobody is restricted, and no proof of anybody erased is kept.",
        solid=("STATE", "SINCE", "PROOF UNTIL"),
    )
    if len(found) > limit:
        typer.echo(f"The newest {limit} of {len(found)}; --limit shows more.")


group.command("correct")(rights.correct)
group.command("restrict")(rights.restrict)
group.command("erase")(erasing.erase)
