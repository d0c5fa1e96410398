"""From a segment's text to its tree: what is not known by name is an error that says where.

Owns the list of Python's syntax that is allowed, and the limits of size and depth. Knows no SQL.
"""

import ast
from collections.abc import Iterable
from typing import Final, NoReturn

from l3mail.errors import did_you_mean, quoted
from l3mail.segments.days import (
    BETWEEN,
    EXAMPLE,
    SPANS,
    TODAY,
    WORDS,
    Day,
    Span,
    Today,
    is_backwards,
)
from l3mail.segments.grammar import Place, at, counted_from_today, syntax
from l3mail.segments.language import (
    ATTRS,
    BUILT_IN,
    FUNCTIONS,
    Call,
    Combined,
    Compare,
    Count,
    Expression,
    Kind,
    Named,
    Node,
    Not,
    Operator,
    Reference,
    Signature,
    Truth,
    Value,
    Vocabulary,
)
from l3mail.segments.slips import decimal_comma
from l3mail.segments.values import EXPECTED, example, is_day, is_month_day

UNDECLARED: Final = "l3mail.toml declares one as [attributes.NAME]"

LONGEST_VALUE: Final = 200
DEEPEST: Final = 20
LONGEST_LIST: Final = 200
# With saved segments put in their place; SQLite's deepest expression is 1,000.
MOST_PARTS: Final = 300
MOST_VALUES: Final = 2_000
LONGEST_CHAIN: Final = 10
LARGEST_NUMBER: Final = 10**15

_OPERATORS: Final[dict[type[ast.cmpop], str]] = {
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.In: "in",
    ast.NotIn: "not in",
}
_MIRRORED: Final = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}
_ORDERS: Final[dict[str, Operator]] = {"<": "<", "<=": "<=", ">": ">", ">=": ">="}
DAYS_OF: Final[frozenset[Kind]] = frozenset({"date", "birthday"})
"""Kinds that are compared with days counted from today."""

_DAY_EXAMPLES: Final = ("birthday in this_week", f"joined >= {TODAY} - 30")
_ORDERED: Final[frozenset[Kind]] = frozenset({"number", "date", "whole", "days", "birthday"})

_NOT_HERE: Final[tuple[tuple[type[ast.AST], str], ...]] = (
    (ast.BinOp, "nothing is calculated here; combine questions with and, or, not"),
    (ast.UnaryOp, "nothing is calculated here; combine questions with and, or, not"),
    (ast.Subscript, f"square brackets only hold a list after in; write {ATTRS}.name"),
    (ast.JoinedStr, "a text in quotes has no f before it"),
    (ast.IfExp, "there is no if inside a question; use and, or, not"),
)

_NAMED: Final[dict[Reference, str]] = {
    "stream": "a stream",
    "course": "a course",
    "message": "a published text",
    "segment": "a saved segment",
}


def parse(text: str, vocabulary: Vocabulary) -> Expression:
    """Understand a text, with the saved segments it names put in their place.

    Raises `SegmentError` with line and column (from 1) where something is not of the language,
    not in the vocabulary, of the wrong type, too large, or a segment that asks for itself.
    """
    return Expression(text, _Parsing(vocabulary).read(text, ""))


def parse_attribute(text: str, vocabulary: Vocabulary) -> Compare:
    """The attribute that a text names, beside no value; raises `SegmentError` as `parse` does."""
    asked = _Text(_Parsing(vocabulary), text, "")
    if not isinstance(asked.tree, ast.Name | ast.Attribute):
        asked.refuse(asked.tree, f"expected an attribute, such as district or {ATTRS}.name")
    name, declared, kind, _ = asked.attribute(asked.tree)
    return Compare(name, declared, kind, "in", ())


class _Parsing:
    """One call of `parse`: what was read so far, over all segments named."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self.parts = 0
        self.values = 0
        self.chain: list[str] = []
        self.read_before: dict[str, tuple[Node, int, int]] = {}

    def read(self, text: str, name: str) -> Node:
        return _Text(self, text, name).node()

    def inlined(self, name: str, place: "Place") -> Node:
        """The tree of a saved segment; `place` is where it is named."""
        saved = self.vocabulary.segments
        assert saved is not None
        if name in self.chain:
            circle = [*self.chain[self.chain.index(name) :], name]
            place.refuse("goes in a circle: " + " asks for ".join(quoted(one) for one in circle))
        if len(self.chain) >= LONGEST_CHAIN:
            place.refuse(f"segments name each other over more than {LONGEST_CHAIN} steps")
        if name not in self.read_before:
            self.chain.append(name)
            parts, values = self.parts, self.values
            node = self.read(saved[name], name)
            self.read_before[name] = (node, self.parts - parts, self.values - values)
            self.chain.pop()
            return Named(name, node)
        node, parts, values = self.read_before[name]
        self.count(place, parts, values)
        return Named(name, node)

    def count(self, place: "Place", parts: int, values: int) -> None:
        self.parts += parts
        self.values += values
        if self.parts > MOST_PARTS or self.values > MOST_VALUES:
            place.refuse(
                f"too large: at most {MOST_PARTS} questions and {MOST_VALUES} values,"
                " those of the segments it names included"
            )


class _Text:
    """One text on its way into a tree."""

    def __init__(self, parsing: _Parsing, text: str, name: str) -> None:
        self.parsing = parsing
        self.vocabulary = parsing.vocabulary
        self.name = name
        self.source = text.strip()
        self.tree = syntax(text, name)

    def node(self) -> Node:
        return self.question(self.tree, 1)

    def place(self, node: ast.AST) -> Place:
        return Place(node, self.name, self.source)

    def refuse(self, node: ast.AST, problem: str) -> NoReturn:
        self.place(node).refuse(problem)

    def question(self, node: ast.expr, depth: int) -> Node:
        """Something that is true, false or unknown of a person."""
        if depth > DEEPEST:
            self.refuse(node, f"nested deeper than {DEEPEST}; save a part as a segment of its own")
        self.parsing.count(self.place(node), 1, 0)
        match node:
            case ast.BoolOp(op=op, values=values):
                items = tuple(self.question(value, depth + 1) for value in values)
                return Combined(isinstance(op, ast.And), items)
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return Not(self.question(operand, depth + 1))
            case ast.Compare():
                return self.comparison(node)
            case ast.Call():
                return self.call(node)
            case ast.Constant(value=bool(value)):
                return Truth(value)
            case ast.Name() | ast.Attribute():
                return self.alone(node)
            case ast.Constant() | ast.List() | ast.Tuple() | ast.Set():
                if isinstance(node, ast.Tuple) and (found := decimal_comma(self.source)):
                    raise at(self.source, *found, self.name)
                self.refuse(node, 'a value alone is no question; compare it, as in district == "x"')
        return self.foreign(node)

    def alone(self, node: ast.Name | ast.Attribute) -> Node:
        name, declared, kind, _ = self.attribute(node)
        if kind != "bool":
            shown = _shown(name, declared)
            self.refuse(node, f"{quoted(shown)} alone is no question; compare it, {example(kind)}")
        self.parsing.count(self.place(node), 0, 1)
        return Compare(name, declared, "bool", "in", (True,))

    def foreign(self, node: ast.AST) -> NoReturn:
        for kind, hint in _NOT_HERE:
            if isinstance(node, kind):
                self.refuse(node, hint)
        self.refuse(node, "this is not part of the language of segments")

    def comparison(self, node: ast.Compare) -> Node:
        sides = [node.left, *node.comparators]
        pairs = zip(sides, node.ops, sides[1:], strict=False)
        items = tuple(self.pair(left, op, right) for left, op, right in pairs)
        if len(items) == 1:
            return items[0]
        self.parsing.count(self.place(node), len(items), 0)
        return Combined(every=True, items=items)

    def pair(self, left: ast.expr, op: ast.cmpop, right: ast.expr) -> Node:
        operator = _OPERATORS.get(type(op))
        if operator is None:
            self.refuse(left, "is is not used here; write == or !=")
        named_left, named_right = (_is_named(side) for side in (left, right))
        if named_left and named_right and not _is_word(right):
            self.refuse(right, "compare an attribute with a value; a text stands in quotes")
        if not named_left and not named_right:
            for side in (left, right):
                if isinstance(side, ast.Call):
                    self.refuse(side, "a function is a question of its own, compared with nothing")
                if not isinstance(side, ast.Constant | ast.List | ast.Tuple | ast.Set):
                    self.literal(side)  # which says what is wrong with it
            self.refuse(left, "compare an attribute with a value, as in age >= 60")
        if named_right and not named_left:
            if operator in {"in", "not in"}:
                self.refuse(right, 'after in stands a list, as in district in ["x", "y"]')
            left, right, operator = right, left, _MIRRORED[operator]
        if isinstance(left, ast.Call):
            return self.counted(left, operator, right)
        assert isinstance(left, ast.Name | ast.Attribute)
        return self.compared(left, operator, right)

    def counted(self, left: ast.Call, operator: str, right: ast.expr) -> Node:
        call = self.called(left)
        numbers = self.values(left, operator, right, "days", ())
        values = tuple(number for number in numbers if isinstance(number, int))
        if operator in _ORDERS:
            return Count(call, _ORDERS[operator], values)
        same = Count(call, "in", values)
        return Not(same) if operator in {"!=", "not in"} else same

    def values(
        self, left: ast.expr, operator: str, right: ast.expr, kind: Kind, choices: tuple[str, ...]
    ) -> tuple[Value, ...]:
        if operator in {"in", "not in"} and (span := self.span(right)):
            if kind not in DAYS_OF:
                self.refuse(right, f"{span} are days; expected {EXPECTED[kind]}")
            self.parsing.count(self.place(left), 0, 2)
            return (span,)
        several = self.listed(right) if operator in {"in", "not in"} else [right]
        self.parsing.count(self.place(left), 0, len(several))
        return tuple(self.value(one, kind, choices) for one in several)

    def compared(self, left: ast.Name | ast.Attribute, operator: str, right: ast.expr) -> Node:
        name, declared, kind, choices = self.attribute(left)
        values = self.values(left, operator, right, kind, choices)
        if operator in _ORDERS:
            if kind not in _ORDERED or values == ("",):
                what = (
                    "a missing value" if kind in _ORDERED else f"{quoted(_shown(name, declared))}"
                )
                self.refuse(left, f"{what} has no order; use ==, != or in")
            if kind == "birthday" and isinstance(values[0], Today):
                self.refuse(left, f"a birthday comes every year; write {name} in {EXAMPLE}")
            return Compare(name, declared, kind, _ORDERS[operator], values)
        same = Compare(name, declared, kind, "in", values)
        return Not(same) if operator in {"!=", "not in"} else same

    def listed(self, node: ast.expr) -> list[ast.expr]:
        if not isinstance(node, ast.List | ast.Tuple | ast.Set):
            near = _nearest(node.id, SPANS) if isinstance(node, ast.Name) else ""
            self.refuse(node, f'after in stands a list, as in district in ["x", "y"]{near}')
        if len(node.elts) > LONGEST_LIST:
            self.refuse(node, f"a list of {len(node.elts)} values; at most {LONGEST_LIST}")
        if not node.elts:
            self.refuse(node, "an empty list selects nobody; name at least one value")
        return node.elts

    def span(self, node: ast.expr) -> Span | None:
        """The days that stand after `in`: a word for them, or the first and the last."""
        match node:
            case ast.Name(id=word) if word in SPANS:
                return Span(word)
            case ast.Call(func=ast.Name(id=called), args=[first, last], keywords=[]) if (
                called == BETWEEN
            ):
                span = Span("", self.day(first), self.day(last))
                if is_backwards(span):
                    self.refuse(last, "the last day is before the first")
                return span
            case ast.Call(func=ast.Name(id=called)) if called == BETWEEN:
                self.refuse(node, f"expected the first and the last day; write {EXAMPLE}")
        return None

    def day(self, node: ast.expr) -> Day:
        found = self.value(node, "date", ())
        if found == "" or not isinstance(found, str | Today):
            self.refuse(node, f"expected {EXPECTED['date']}; write {EXAMPLE}")
        return found

    def attribute(self, node: ast.Name | ast.Attribute) -> tuple[str, bool, Kind, tuple[str, ...]]:
        """Which attribute a name stands for, whether a declared one, and what it holds."""
        if isinstance(node, ast.Attribute):
            if not (isinstance(node.value, ast.Name) and node.value.id == ATTRS):
                self.refuse(node, f"only {ATTRS} has a dot after it, as in {ATTRS}.role")
            declared = self.vocabulary.attributes.get(node.attr)
            if declared is None:
                shown = f"{ATTRS}.{node.attr}"
                known = [f"{ATTRS}.{one}" for one in self.vocabulary.attributes]
                hint = did_you_mean(shown, known, UNDECLARED, cutoff=0.8)
                self.refuse(node, f"{quoted(shown)} is not known; {hint}")
            return node.attr, True, declared.type, declared.choices
        if node.id in FUNCTIONS:
            self.refuse(node, f"{node.id} is a function; write {FUNCTIONS[node.id].example}")
        if node.id in WORDS:
            self.refuse(node, f"{node.id} is no question; write {_DAY_EXAMPLES[node.id == TODAY]}")
        if node.id == ATTRS:
            self.refuse(node, f"{ATTRS} alone means nothing; write {ATTRS}.name")
        if node.id not in BUILT_IN:
            declared_names = [f"{ATTRS}.{one}" for one in self.vocabulary.attributes]
            if node.id in self.vocabulary.attributes:
                self.refuse(node, f"{quoted(node.id)} is declared; write {ATTRS}.{node.id}")
            known = [*BUILT_IN, *FUNCTIONS, *declared_names, *WORDS, "True", "False"]
            self.unknown(node, node.id, known)
        return node.id, False, BUILT_IN[node.id], ()

    def unknown(self, node: ast.AST, name: str, known: Iterable[str]) -> NoReturn:
        self.refuse(node, f"{quoted(name)} is not known{_nearest(name, known)}")

    def call(self, node: ast.Call) -> Node:
        call = self.called(node)
        if FUNCTIONS[call.function].counts:
            shown = FUNCTIONS[call.function].example
            self.refuse(node, f"{call.function} alone is no question; compare it, as in {shown}")
        if call.function == "segment" and self.vocabulary.segments is not None:
            return self.parsing.inlined(call.arguments[0], self.place(node))
        return call

    def called(self, node: ast.Call) -> Call:
        if not isinstance(node.func, ast.Name):
            self.refuse(node, "this is not a function of the language of segments")
        function = node.func.id
        signature = FUNCTIONS.get(function)
        if signature is None:
            if function == BETWEEN:
                self.refuse(node, f"{BETWEEN} stands after in; write birthday in {EXAMPLE}")
            if function in WORDS:
                self.refuse(node, f"{quoted(function)} is no function; write it without brackets")
            if function in BUILT_IN or function == ATTRS:
                self.refuse(node, f"{quoted(function)} is no function; write it without brackets")
            self.unknown(node, function, [*FUNCTIONS, *BUILT_IN])
        arguments = self.arguments(node, signature)
        self.parsing.count(self.place(node), 0, len(arguments))
        if signature.names is not None:
            self.check_named(node.args[0], arguments[0], signature.names)
        return Call(function, arguments)

    def arguments(self, node: ast.Call, signature: Signature) -> tuple[str, ...]:
        if node.keywords or any(isinstance(one, ast.Starred) for one in node.args):
            self.refuse(node, f"arguments stand in their order, as in {signature.example}")
        if not signature.needed <= len(node.args) <= len(signature.parameters):
            self.refuse(
                node,
                f"expected {', '.join(signature.parameters)};"
                f" found {len(node.args)} arguments; write {signature.example}",
            )
        texts = []
        for one in node.args:
            text = self.literal(one)
            if not isinstance(text, str) or not text:
                self.refuse(one, f"expected a text in quotes, as in {signature.example}")
            texts.append(text)
        return tuple(texts)

    def check_named(self, node: ast.expr, name: str, what: Reference) -> None:
        known = {
            "stream": self.vocabulary.streams,
            "course": self.vocabulary.courses,
            "message": self.vocabulary.messages,
            "segment": self.vocabulary.segments,
        }[what]
        if known is not None and name not in known:
            self.refuse(node, f"{quoted(name)} is not {_NAMED[what]}{_nearest(name, known)}")

    def literal(self, node: ast.expr, kind: Kind = "text") -> Value:
        """A text, a number or a truth as it is written, beside an attribute of that kind."""
        match node:
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int(n) | float(n))) if (
                not isinstance(n, bool)
            ):
                return -self.number(node, n)
            case ast.Constant(value=bool(truth)):
                return truth
            case ast.Constant(value=int(n) | float(n)):
                return self.number(node, n)
            case ast.Constant(value=str(text)):
                return self.text(node, text)
            case ast.Constant(value=None):
                self.refuse(node, 'there is no None here; a missing value is ""')
            case ast.Name(id=word) if word in SPANS:
                self.refuse(node, f"{word} are several days; write in {word}")
            case ast.Name(id=name):
                near = _nearest(name, WORDS) if kind in DAYS_OF else ""
                what = f"expected {EXPECTED[kind]}" if near else "expected a value"
                self.refuse(node, f"{what}; a text stands in quotes: {quoted(name)}{near}")
            case ast.List() | ast.Tuple() | ast.Set():
                self.refuse(node, "expected one value; a list stands only after in")
            case ast.Constant():
                self.refuse(node, "expected a text in quotes, a number, True or False")
        return self.foreign(node)

    def number(self, node: ast.AST, number: float) -> int | float:
        if abs(number) > LARGEST_NUMBER:  # no literal is NaN
            self.refuse(node, "this number is too large")
        return number

    def text(self, node: ast.expr, text: str) -> str:
        written = ast.get_source_segment(self.source, node)
        if written not in {f'"{text}"', f"'{text}'"}:
            # Side by side Python glues texts: a forgotten comma would go unseen.
            self.refuse(node, "expected one text in plain quotes; is a comma missing?")
        if len(text) > LONGEST_VALUE:
            self.refuse(node, f"a text of {len(text)} characters; at most {LONGEST_VALUE}")
        return text

    def value(self, node: ast.expr, kind: Kind, choices: tuple[str, ...]) -> Value:
        """What a literal, or a day counted from today, means beside an attribute of that kind."""
        counted = counted_from_today(node)
        if isinstance(counted, str):
            self.refuse(node, counted)
        if counted is not None and kind in DAYS_OF:
            return counted
        found: Value = counted if counted is not None else self.literal(node, kind)
        if found == "" and kind != "days":
            return ""
        problem = f"expected {EXPECTED[kind]}, found {quoted(str(found))}"
        match kind:
            case "bool":
                fits = isinstance(found, bool)
            case "number":
                fits = isinstance(found, int | float) and not isinstance(found, bool)
            case "whole" | "days":
                fits = isinstance(found, int) and not isinstance(found, bool)
            case "date":
                fits = isinstance(found, str) and is_day(found)
            case "birthday":
                fits = isinstance(found, str) and is_month_day(found)
            case "choice":
                fits = isinstance(found, str) and found in choices
                if isinstance(found, str):
                    listed = ", ".join(quoted(one) for one in choices[:20])
                    near = _nearest(found, choices) or f"; choices are {listed}"
                    problem = f"{quoted(found)} is not a choice of this attribute{near}"
            case _:
                fits = isinstance(found, str)
        if not fits:
            self.refuse(node, problem)
        return found


def _shown(name: str, declared: bool) -> str:
    return f"{ATTRS}.{name}" if declared else name


def _is_named(node: ast.expr) -> bool:
    """Whether this can stand beside a value: an attribute, or a function that counts."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        signature = FUNCTIONS.get(node.func.id)
        return signature is not None and signature.counts
    if isinstance(node, ast.Name) and node.id in WORDS:
        return False
    return isinstance(node, ast.Name | ast.Attribute)


def _is_word(node: ast.expr) -> bool:
    """Whether a name can only be a text that lacks its quotes."""
    return isinstance(node, ast.Name) and node.id not in {*BUILT_IN, *FUNCTIONS, ATTRS}


def _nearest(name: str, known: Iterable[str]) -> str:
    hint = did_you_mean(name, known, "")
    return hint and f"; {hint}"
