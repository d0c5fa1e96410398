"""A tree as the text it could have been read from.

Owns how each part is written. Knows no SQL.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from l3mail.segments.days import Span, Today
from l3mail.segments.language import ATTRS, Call, Combined, Compare, Count, Named, Node, Not, Truth


def written(node: Node) -> str:
    """The text of a part; read again, it is the same part."""
    match node:
        case Truth(value):
            return str(value)
        case Named(name):
            return f'segment("{name}")'
        case Not(Compare() as item) if item.operator == "in" and item.kind != "bool":
            return _compared(item, "!=", "not in")
        case Not(Count(call, "in", values)):
            return _beside(written(call), values, "!=", "not in")
        case Not(item):
            return f"not {_within(item)}"
        case Combined(every, items):
            return (" and " if every else " or ").join(_within(item) for item in items)
        case Compare():
            return _compared(node, "==", "in")
        case Count(call, operator, values):
            if operator == "in":
                return _beside(written(call), values, "==", "in")
            return f"{written(call)} {operator} {values[0]}"
        case Call(function, arguments):
            return f"{function}({', '.join(map(_literal, arguments))})"


def shown_name(node: Compare) -> str:
    """An attribute as it is written."""
    return f"{ATTRS}.{node.name}" if node.declared else node.name


def shown_value(node: Node, own: Any, now: datetime, zone: ZoneInfo) -> Any:
    """What a person has of what a part is about, as it would be written beside it."""
    if own is None or not isinstance(node, Compare):
        return own
    if isinstance(own, datetime):
        day = own.astimezone(zone).date()
        days = (now.astimezone(zone).date() - day).days
        return days if node.kind == "days" else day.isoformat()
    if node.kind == "birthday":
        return f"{own // 100:02d}-{own % 100:02d}"
    if node.kind == "bool":
        return own in {True, "true"}
    return own


def _within(node: Node) -> str:
    text = written(node)
    return f"({text})" if isinstance(node, Combined) else text


def _compared(node: Compare, same: str, among: str) -> str:
    name = shown_name(node)
    if node.operator != "in":
        return f"{name} {node.operator} {_literal(node.values[0])}"
    if node.kind == "bool" and node.values == (True,) and same == "==":
        return name
    return _beside(name, node.values, same, among)


def _beside(name: str, values: Sequence[object], same: str, among: str) -> str:
    if len(values) > 1:
        return f"{name} {among} [{', '.join(map(_literal, values))}]"
    return f"{name} {among if isinstance(values[0], Span) else same} {_literal(values[0])}"


def _literal(value: object) -> str:
    if not isinstance(value, str) or isinstance(value, Span | Today):
        return str(value)
    # Neither a backslash nor both kinds of quotes can be in a text that was read.
    return f"'{value}'" if '"' in value else f'"{value}"'
