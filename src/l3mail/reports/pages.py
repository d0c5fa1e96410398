"""A report as HTML: a page that stands alone, and the plainer variant that goes by mail.

Owns the two templates and the chart's geometry. Everything is escaped; no script, no resource from
anywhere else.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Protocol

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from l3mail.locales import direction
from l3mail.reports.documents import Bar, Chart, Document

_TEMPLATES = Path(__file__).with_name("templates")
_COMMAND = re.compile(r"`([^`]+)`")
_OPTION = re.compile(r"(?<=\s)--[a-z]+")

CHART_WIDTH = 360
"""Of the drawing, in units of its own: a phone shows them as about one pixel each."""
_ROOM_FOR_NUMBERS = 52
_STEP = 38
_LONGEST_LABEL = 56


@dataclass(frozen=True, slots=True)
class Drawn:
    """One bar in the chart's own units."""

    label: str
    shown: str
    y: int
    whole: float
    part: float


def to_page(document: Document) -> str:
    """A file of its own: readable on paper, on a phone, in light and dark."""
    template = _environment().get_template("page.html")
    return template.render(d=document, dir=direction(document.language), width=CHART_WIDTH)


class Stationery(Protocol):
    """The layout of what goes to the staff."""

    @property
    def light(self) -> Mapping[str, str]:
        """Its colours by token."""

    def letter(self, title: str, body: str) -> str:
        """A whole page around well-formed HTML."""


def to_mail(document: Document, stationery: Stationery) -> str:
    """What mail programs show of it: tables, styles in place, no drawing."""
    body = _environment().get_template("mail.html").render(d=document, light=stationery.light)
    return stationery.letter(f"{document.title} – {document.house}", body)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"spoken": spoken, "drawn": drawn}
    environment.tests["kind"] = lambda block, name: type(block).__name__ == name
    return environment


def spoken(text: str) -> Markup:
    """A sentence with its commands marked up; all else is text."""
    return Markup(_COMMAND.sub(_as_code, str(escape(text))))  # noqa: S704 - escaped just here


def _as_code(command: re.Match[str]) -> str:
    """A command whose options are not torn apart at the line's end."""
    words = _OPTION.sub(r'<span style="white-space:nowrap">\g<0></span>', command[1])
    return f"<code>{words}</code>"


def drawn(chart: Chart) -> Sequence[Drawn]:
    """Where each bar stands and how long it is."""
    most = max((bar.whole for bar in chart.bars), default=0) or 1
    return [
        _bar(number, bar, (CHART_WIDTH - _ROOM_FOR_NUMBERS) / most)
        for number, bar in enumerate(chart.bars)
    ]


def _bar(number: int, bar: Bar, unit: float) -> Drawn:
    label = bar.label
    if len(label) > _LONGEST_LABEL:
        label = label[: _LONGEST_LABEL - 1].rstrip() + "…"
    return Drawn(
        label, bar.shown, number * _STEP, round(bar.whole * unit, 1), round(bar.part * unit, 1)
    )
