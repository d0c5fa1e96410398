"""Declared attributes as SQL: a value by its kind, and values that are of another one.

Owns what stands in a person's attributes though l3mail.toml declares it otherwise: a number that
came as text before anybody declared one. Knows no tree's answer.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, String, and_, case, func, literal, true

from l3mail.models import SUBSCRIBER
from l3mail.segments.language import Combined, Compare, Kind, Named, Node, Not
from l3mail.segments.members import JsonNumber, JsonText

Column = ColumnElement[Any]

_OF_THEIR_OWN: Final = frozenset({"number", "bool", "date"})


def valued(name: str, kind: Kind) -> Column:
    """A declared attribute of one person, NULL where it is missing or of another kind."""
    if kind == "number":
        return JsonNumber(SUBSCRIBER.c.attributes, literal(name, String))
    text = _text(name)
    if kind == "bool":
        return case((text.in_(("true", "false")), text))
    if kind == "date":
        return case((text.like("____-__-__"), text))
    return func.nullif(text, "", type_=String)


def is_of_another(name: str, kind: Kind, choices: Sequence[str] = ()) -> Column:
    """Whether a person has a value that is none of this kind; `choices` are those of a choice."""
    given = func.coalesce(func.nullif(_text(name), ""), "", type_=String) != ""
    if kind in _OF_THEIR_OWN:
        return and_(given, valued(name, kind).is_(None))
    if kind == "choice":
        return and_(given, func.coalesce(_text(name), "").not_in(choices or ("",)))
    return ~true()


def another(name: str, kind: Kind) -> Column:
    """The value of another kind that a person has, as text; NULL for all others."""
    return case((is_of_another(name, kind), _text(name)))


def comparisons(node: Node) -> Iterator[Compare]:
    """What a tree compares with attributes, in the order it is written."""
    match node:
        case Not() | Named():
            yield from comparisons(node.item)
        case Combined():
            for item in node.items:
                yield from comparisons(item)
        case Compare():
            yield node


def may_be_of_another(node: Compare) -> bool:
    """Whether a comparison can meet a value that it does not understand."""
    return node.declared and node.kind in _OF_THEIR_OWN


def _text(name: str) -> Column:
    return JsonText(SUBSCRIBER.c.attributes, literal(name, String))
