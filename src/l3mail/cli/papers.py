"""Papers at the desk: a worksheet as the PDF it becomes, and who has a certificate."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from l3mail.cli.context import House, Json, print_json, print_table
from l3mail.cli.exporting import write_public
from l3mail.cli.moments import told
from l3mail.cli.naming import Course
from l3mail.errors import ContentError, printable

if TYPE_CHECKING:
    from datetime import datetime
    from zoneinfo import ZoneInfo

    from l3mail.content import Library


def print_worksheet(library: "Library", path: str, target: Path | None) -> bool:
    """Write a worksheet's PDF; whether `path` is one at all. Raises ContentError."""
    from l3mail.content import bytes_of, worksheet, worksheets_of

    if path not in worksheets_of(library):
        if target is not None:
            raise ContentError(f"{printable(path, 100)} is no worksheet of media/; leave --pdf out")
        return False
    if target is None:
        raise ContentError(f"{path} becomes a PDF; write --pdf FILE, and look at that")
    made = bytes_of(library, worksheet(library, path))
    typer.echo(write_public(target, made))
    return True


def certificates(
    context: typer.Context,
    course: Course,
    limit: Annotated[int, typer.Option(min=1, help="At most so many people, the latest.")] = 100,
    as_json: Json = False,
) -> None:
    """List who has completed a course, with the certificates that were asked for.

    Example: l3mail courses certificates kurs
    """
    from dataclasses import asdict

    from l3mail import certificates, courses

    house: House = context.obj
    with house.database() as database:
        found = database.read(
            lambda connection: certificates.listing(
                connection, courses.overview(connection, course).slug, limit + 1
            )
        )
    shown, base, zone = found[:limit], house.settings.web.base_url, house.settings.zone
    if as_json:
        moments = ("completed_at", "issued_at")
        print_json(
            [
                asdict(one)
                | {name: _local(getattr(one, name), zone) for name in moments}
                | {"verify": f"{base}/verify/{one.code}" if one.code else None}
                for one in shown
            ]
        )
        return
    print_table(
        ("ADDRESS", "COMPLETED", "NAME ON IT", "ISSUED", "VERIFY"),
        [
            (
                one.email,
                told(one.completed_at, zone),
                one.name or "-",
                told(one.issued_at, zone) if one.issued_at else "not asked for",
                f"/verify/{one.code}" if one.code else "-",
            )
            for one in shown
        ],
        empty="Nobody has completed this course yet.",
        solid=("COMPLETED", "ISSUED"),
    )
    if len(found) > limit:
        typer.echo(f"The latest {limit}; --limit shows more.")


def _local(moment: "datetime | None", zone: "ZoneInfo") -> "datetime | None":
    return None if moment is None else moment.astimezone(zone)
