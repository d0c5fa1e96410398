"""Bars beside numbers: how many people have which value, in as many columns as there are.

Owns the drawing. Counts nothing.
"""

import os
import shutil
import sys
from collections.abc import Sequence

import typer

from l3mail.cli.tables import measure, wrap
from l3mail.errors import printable

_SHOWN = 12
_LONGEST_NAME = 30
_WIDEST_BAR = 40
_NARROWEST_BAR = 8
_GAP = "  "

Value = tuple[str, int]


def top(values: Sequence[tuple[str | None, int]], without: str, others: str) -> list[Value]:
    """The most frequent values, the rest as one, and last those who have none."""
    named = [(value, n) for value, n in values if value is not None]
    missing = sum(n for value, n in values if value is None)
    shown, rest = named[:_SHOWN], named[_SHOWN:]
    if len(rest) == 1:  # a line for it is no longer than one for "others"
        shown, rest = named, []
    found = list(shown)
    if rest:
        found.append((f"{len(rest)} {others}", sum(n for _, n in rest)))
    return [*found, (without, missing)] if missing else found


def print_bars(heading: str, values: Sequence[Value], total: int) -> None:
    """A line for each value: its number, its share of `total`, and a bar; the largest one is full.

    Into a pipe cells are apart by tabs, and bars are made of #.
    """
    most = max(n for _, n in values)
    if not sys.stdout.isatty():
        typer.echo(f"{heading}\tPEOPLE\tSHARE")
        for name, n in values:
            bar = "#" * _length(n, most, 20)
            typer.echo(f"{printable(name, 200)}\t{n}\t{_share(n, total)}\t{bar}")
        return
    plain = bool(os.environ.get("NO_COLOR"))
    names = [_shortened(name) for name, _ in values]
    wide = max(measure(name) for name in (heading, *names))
    numbers = [f"{n:,}" for _, n in values]
    number_wide = max(len(number) for number in ("PEOPLE", *numbers))
    head = f"{heading}{' ' * (wide - measure(heading))}{_GAP}{'PEOPLE':>{number_wide}}"
    typer.echo(head if plain else typer.style(head, bold=True))
    width = shutil.get_terminal_size().columns
    room = min(_WIDEST_BAR, width - wide - number_wide - len(_GAP) * 3 - 5)
    for name, number, (_, n) in zip(names, numbers, values, strict=True):
        bar = _bar(n, most, room) if room >= _NARROWEST_BAR else ""
        line = f"{name}{' ' * (wide - measure(name))}{_GAP}{number:>{number_wide}}"
        line += f"{_GAP}{_share(n, total):>5}"
        coloured = bar if plain else typer.style(bar, fg="cyan")
        typer.echo(f"{line}{_GAP}{coloured}" if bar else line)


def _shortened(name: str) -> str:
    shown = printable(name, 200)
    return shown if measure(shown) <= _LONGEST_NAME else wrap(shown, _LONGEST_NAME - 1)[0] + "…"


def _share(n: int, total: int) -> str:
    return f"{100 * n / total:.0f} %" if n * 200 >= total else "< 1 %"


def _length(n: int, most: int, room: int) -> int:
    return max(1, round(n * room / most)) if n else 0


def _bar(n: int, most: int, room: int) -> str:
    encoding = (sys.stdout.encoding or "").casefold()
    return ("█" if "utf" in encoding else "#") * _length(n, most, room)
