"""What is told besides findings: where links lead, how far courses are there, smaller pictures."""

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

import typer

from l3mail.cli.context import bar
from l3mail.errors import printable

if TYPE_CHECKING:
    from l3mail.content import Finding, Library, Text
    from l3mail.wiring.contents import Kept


def tell_translated(library: "Library", courses: Collection[str | None]) -> None:
    """How far these courses are there in other languages, a line for each."""
    from l3mail.content import translated

    for one in translated(library):
        if one.path.rpartition("/")[2] in courses:
            typer.echo(str(one))


def tell_smaller(kept: "Sequence[Kept]") -> None:
    """Which pictures were made smaller, a line for each."""
    for one in kept:
        if one.medium.recipe and one.after < one.before and not one.medium.path.endswith(".md"):
            before, after = (f"{size / 1000:,.0f} KB" for size in (one.before, one.after))
            typer.echo(f"{printable(one.medium.path, 200)}: {before} -> {after}")


def asked(texts: "Sequence[Text]") -> "list[Finding]":
    """What the links lead to, with a bar for who waits."""
    from l3mail.upkeep import links

    what = "asking where links lead"
    with bar(what) as tell:
        return links.look(texts, lambda share: tell(what, share))
