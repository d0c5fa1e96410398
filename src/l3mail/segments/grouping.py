"""People told apart by an attribute: how many have which value of it.

Owns which attributes that can be. Knows no person and no count.
"""

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from l3mail.errors import SegmentError, quoted
from l3mail.segments import kinds
from l3mail.segments.language import Expression, Vocabulary
from l3mail.segments.parsing import parse_attribute
from l3mail.segments.questions import Column, Compiling
from l3mail.segments.telling import shown_name, shown_value


class Grouping(NamedTuple):
    """An attribute by its name: each person's value, NULL where missing, and how it is shown."""

    name: str
    column: Column
    shown: Callable[[Any], Any]


def grouping(
    text: str,
    vocabulary: Vocabulary,
    now: datetime,
    zone: ZoneInfo,
    fallback_locale: str | None = None,
) -> Grouping:
    """Tell people apart by the attribute that a text names, as it stands at `now`.

    Raises `SegmentError` where there is none, or where nearly everybody has a value of their own.
    """
    node = parse_attribute(text, vocabulary)
    name = shown_name(node)
    if not node.declared and (node.kind == "days" or node.name in {"joined", "email"}):
        raise SegmentError(f"{quoted(name)} tells nearly everybody apart; take district or age")
    column = Compiling(now, zone, "off", fallback_locale).attribute(node)
    return Grouping(name, column, lambda own: shown_value(node, own, now, zone))


def asked_attributes(
    expression: Expression, now: datetime, zone: ZoneInfo, fallback_locale: str | None = None
) -> list[Grouping]:
    """The attributes that an expression compares with something, each once, as they come."""
    compiling = Compiling(now, zone, "off", fallback_locale)
    nodes = {shown_name(node): node for node in kinds.comparisons(expression.tree)}
    return [
        Grouping(name, compiling.attribute(node), partial(shown_value, node, now=now, zone=zone))
        for name, node in nodes.items()
        if node.kind != "days"
    ]
