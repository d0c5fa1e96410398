"""The sandbox that runs texts, and how much a text may make of the little it is given.

Work is counted, not timed: a deadline would fail a mail on a busy machine and send it from an idle
one. Without loops a text does little more than it is long. A loop is charged, before it begins, for
every step it could take, and whatever looks at all of a value for the length of that value.
"""

from collections.abc import Callable, Iterable, Mapping, Sized
from functools import cache
from typing import Any

from jinja2 import StrictUndefined, Template, Undefined, nodes, pass_context
from jinja2.exceptions import SecurityError
from jinja2.filters import do_round
from jinja2.runtime import Context, Macro
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer
from markupsafe import escape

from l3mail.syntax import FILTERS

LONGEST_PART = 1_000_000
"""Characters of a part, and of all that a part joins."""

LONGEST_RANGE = 1000
_LONGEST_NUMBER = 64
"""Bits: squared twenty times, two digits become a million."""

_MOST_PLACES = 15
MOST_STEPS = 1_000_000
"""Steps a part may take: one is a node of a loop's body, once, and costs a microsecond at most."""

_STEPS_OF_A_MACRO = 1000
# Characters that cost as much as a step.
_CHANGED, _COPIED, _COMPARED = 8, 1000, 10_000

_CHANGING = "capitalize lower title trim upper".split()

# No text can name these: they are no identifiers.
_METER = "-meter"
_WALK = "-walk"
_COPY = "-copy"


class _Meter:
    """How much one part has joined and looped so far; stops it when it is too much."""

    __slots__ = ("_joined", "_scope", "_steps", "_unit")

    def __init__(self, scope: Mapping[str, Any]) -> None:
        self._scope = scope
        self._joined = self._steps = self._unit = 0

    def join(self, length: int) -> None:
        self._joined += length
        if self._joined > LONGEST_PART:
            raise OverflowError(f"joined more than {LONGEST_PART:,} characters")

    def walk(self, steps: int) -> None:
        """Charge a loop; where a value is long, each step may compare all of it."""
        self._unit = self._unit or 1 + _longest(self._scope) // _COMPARED
        self.charge(steps * self._unit)

    def charge(self, steps: int) -> None:
        self._steps += steps
        if self._steps > MOST_STEPS:
            raise OverflowError(f"more than {MOST_STEPS:,} steps")


def _longest(values: object) -> int:
    match values:
        case str():
            return len(values)
        case Mapping():
            return max(map(_longest, values.values()), default=0)
        case list() | tuple():
            return max(map(_longest, values), default=0)
    return 0


class Sandbox(ImmutableSandboxedEnvironment):
    """Jinja's sandbox, without the operators and methods that make much of little."""

    intercepted_binops = frozenset({"*", "**", "%"})

    def __init__(self, *, html: bool) -> None:
        super().__init__(autoescape=html, undefined=StrictUndefined, keep_trailing_newline=True)
        known = self.filters
        self.globals = {"range": _range}
        self.filters = {name: known[name] for name in FILTERS} | {
            **{name: _charged(known[name], _CHANGED) for name in _CHANGING},
            "default": _default,
            "join": _join,
            "round": _round,
            _COPY: _charged(_copied, _COPIED),
            _WALK: _walk,
        }

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Calculate with numbers only: `*` and `%` make long texts too; powers are no mail's."""
        if operator == "**" or not (
            isinstance(left, int | float) and isinstance(right, int | float)
        ):
            raise SecurityError(f"{operator} is not for texts")
        if any(
            isinstance(one, int) and one.bit_length() > _LONGEST_NUMBER for one in (left, right)
        ):
            raise OverflowError("numbers too long to calculate with")
        return super().call_binop(context, operator, left, right)

    def is_safe_callable(self, obj: Any) -> bool:
        """Only range and a text's own macros: 'x'.center(2000000000) is a method too."""
        return obj is _range or isinstance(obj, Macro)

    def call(self, context: Context, obj: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Call, and charge a macro: it could call itself twice."""
        if isinstance(obj, Macro):
            context[_METER].walk(_STEPS_OF_A_MACRO)
        return super().call(context, obj, *args, **kwargs)

    def getattr(self, obj: Any, attribute: str) -> Any:
        """A part of a value: where it has such a key, never a method of that name."""
        if isinstance(obj, dict):
            try:
                return obj[attribute]
            except LookupError:
                pass
        return super().getattr(obj, attribute)

    def read(self, source: str) -> nodes.Template:
        """A source's syntax tree, with what its work costs; raises TemplateSyntaxError."""
        tree = self.parse(source)
        _Prices().visit(tree)
        tree.set_environment(self)
        return tree

    def build(self, tree: nodes.Template) -> Template:
        """What runs a syntax tree."""
        return Template.from_code(self, self.compile(tree), {})


class _Prices(NodeTransformer):
    """Puts the filters that charge behind what is to be paid for."""

    def visit_For(self, node: nodes.For) -> nodes.Node:  # noqa: N802 - by the node's name
        weight = 1 + sum(1 for _ in node.find_all(nodes.Node))
        self.generic_visit(node)
        node.iter = _filtered(node.iter, _WALK, nodes.Const(weight, lineno=node.lineno))
        return node

    def visit_Concat(self, node: nodes.Expr) -> nodes.Node:  # noqa: N802 - by the node's name
        self.generic_visit(node)
        return _filtered(node, _COPY)

    def visit_Add(self, node: nodes.Expr) -> nodes.Node:  # noqa: N802 - by the node's name
        return self.visit_Concat(node)


def _filtered(node: nodes.Node, name: str, *args: nodes.Expr) -> nodes.Filter:
    return nodes.Filter(node, name, list(args), [], None, None, lineno=node.lineno)


def scope_of(values: Mapping[str, Any]) -> dict[str, Any]:
    """What one part can see; each part needs its own."""
    scope = {"range": _range, **values}
    scope[_METER] = _Meter(values)
    return scope


def run(template: Template, scope: dict[str, Any]) -> Iterable[Any]:
    """What a template says, piece by piece; what fails in it comes out as it was raised."""
    return template.root_render_func(template.new_context(scope, shared=True))


@cache
def sandbox(*, html: bool) -> Sandbox:
    """The sandbox of a part."""
    return Sandbox(html=html)


def _default(value: Any, instead: Any = "") -> Any:
    """What to say for a value nobody gave: our placeholders are empty, not undefined."""
    if type(value) is str:
        return value or instead
    return instead if isinstance(value, Undefined) or value in {"", None} else value


@pass_context
def _join(context: Context, values: Iterable[object], separator: str = "") -> str:
    """Join, as long as a text with all its joins together stays within what a part may hold."""
    meter = context[_METER]
    parts: list[str] = []
    for value in values:
        part = escape(value) if context.eval_ctx.autoescape else str(value)
        meter.join(len(part) + len(separator))
        parts.append(part)
    return (escape(separator) if context.eval_ctx.autoescape else separator).join(parts)


def _round(value: Any, precision: int = 0, method: Any = "common") -> Any:
    """Round to places that a number has: for others, Jinja makes one of so many digits."""
    if abs(precision) > _MOST_PLACES:
        raise OverflowError(f"no number has {precision:,} places")
    return do_round(value, precision, method)


def _copied(value: Any) -> Any:
    """What was put together of two, as long as it stays within what a part may hold."""
    if isinstance(value, Sized) and len(value) > LONGEST_PART:
        raise OverflowError(f"put together more than {LONGEST_PART:,} characters")
    return value


def _charged(change: Callable[..., Any], letters: int) -> Callable[..., Any]:
    """A filter that costs a step for every so many letters."""

    @pass_context
    def charged(context: Context, value: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(value, str):
            context[_METER].charge(len(value) // letters)
        return change(value, *args, **kwargs)

    return charged


@pass_context
def _walk(context: Context, values: Iterable[object], weight: int) -> Iterable[object]:
    """What a loop goes over, once it is paid for."""
    known = values if isinstance(values, Sized) else list(values)
    context[_METER].walk(len(known) * weight)
    return known


def _range(*bounds: int) -> range:
    numbers = range(*bounds)
    if len(numbers) > LONGEST_RANGE:
        raise OverflowError(f"range() of more than {LONGEST_RANGE}")
    return numbers
