"""What `check` asks and tells besides findings: where links lead, how far courses are there."""

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

import typer

from l3mail.cli.context import bar

if TYPE_CHECKING:
    from l3mail.content import Finding, Library, Text


def tell_translated(library: "Library", courses: Collection[str | None]) -> None:
    """How far these courses are there in other languages, a line for each."""
    from l3mail.content import translated

    for one in translated(library):
        if one.path.rpartition("/")[2] in courses:
            typer.echo(str(one))


def asked(texts: "Sequence[Text]") -> "list[Finding]":
    """What the links lead to, with a bar for who waits."""
    from l3mail.upkeep import links

    what = "asking where links lead"
    with bar(what) as tell:
        return links.look(texts, lambda share: tell(what, share))
