"""Worksheets at the desk: one is looked at as the PDF it becomes."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from l3mail.errors import ContentError, printable

if TYPE_CHECKING:
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
    target.write_bytes(made)
    typer.echo(f"Wrote {target}.")
    return True
