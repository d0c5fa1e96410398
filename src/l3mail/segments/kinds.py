"""Declared attributes as SQL: a value by its kind, and values that are of another one.

Owns what stands in a person's attributes though l3mail.toml declares it otherwise: a number that
came as text before anybody declared one. Knows no tree's answer.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, String, and_, case, func, literal, true

from l3mail.models import SUBSCRIBER
from l3mail.segments.language import Combined, Compare, Kind, Named, Node, Not
from l3mail.segments.members import NUMBERS, TRUTHS, JsonKind, JsonNumber, JsonText, JsonWord

Column = ColumnElement[Any]

_OF_THEIR_OWN: Final = frozenset({"number", "bool", "date"})
_DATE: Final = "____-__-__"
_A_DATE: Final = "2000-01-01"


def valued(name: str, kind: Kind) -> Column:
    """A declared attribute of one person, NULL where it is missing or of another kind."""
    if kind == "number":
        return JsonNumber(SUBSCRIBER.c.attributes, literal(name, String))
    text = _text(name)
    if kind == "bool":
        return case((text.in_(("true", "false")), text))
    if kind == "date":
        word = _word(name)
        return case((word.like(_DATE), word))
    return func.nullif(text, "", type_=String)


def is_of_another(name: str, kind: Kind, choices: Sequence[str] = ()) -> Column:
    """Whether a person has a value that is none of this kind; `choices` are those of a choice.

    Asked of everybody: what is nearly always so is asked first, and one that is missing is taken
    for one of this kind, for each look into the JSON costs.
    """
    given = func.nullif(_text(name), "", type_=String)
    if kind == "number":
        return and_(_is_none_of(name, NUMBERS), given.is_not(None))
    if kind == "bool":
        said = func.coalesce(given, "true", type_=String)
        return and_(_is_none_of(name, TRUTHS), said.not_in(("true", "false")))
    if kind == "date":
        word = func.nullif(_word(name), "", type_=String)
        return func.coalesce(word, _A_DATE, type_=String).not_like(_DATE)
    if kind == "choice":
        listed = tuple(choices) or ("",)
        return func.coalesce(given, listed[0], type_=String).not_in(listed)
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


def _is_none_of(name: str, words: Sequence[str]) -> Column:
    kind = JsonKind(SUBSCRIBER.c.attributes, literal(name, String))
    return func.coalesce(kind, words[0], type_=String).not_in(words)


def _word(name: str) -> Column:
    return JsonWord(SUBSCRIBER.c.attributes, literal(name, String))


def _text(name: str) -> Column:
    return JsonText(SUBSCRIBER.c.attributes, literal(name, String))
