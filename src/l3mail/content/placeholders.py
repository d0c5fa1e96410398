"""Placeholders: which there are, and whether a text uses them as it may.

Owns the names, filters and tags a text may use, and the check of every Jinja expression by its
syntax tree. Nothing is rendered here; the values come from `rendering` at send time.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from jinja2 import Environment, TemplateSyntaxError, nodes

from l3mail.content.findings import Faults, suggestion
from l3mail.errors import quoted
from l3mail.syntax import FILTERS, NODES

NAMES: Final = frozenset(
    "greeting first_name last_name salutation district locale attrs course links house impressum"
    " base_url streams".split()
)
OURS: Final = frozenset({"hrefs", "pixel", "trail", "when"})
"""What only the compiler writes: where a mail's links lead, its pixel, which parts are shown."""

PARTS: Final[Mapping[str, frozenset[str]]] = {
    "course": frozenset("title slug lesson lessons done days together".split()),
    "links": frozenset(
        "unsubscribe preferences view confirm refuse address interest quiz feedback done course"
        " certificate together"
        " privacy home archive recommend".split()
    ),
    "house": frozenset({"name"}),
    "impressum": frozenset("name address email phone privacy_url".split()),
    "loop": frozenset("index index0 first last length revindex".split()),
}
CAN_BE_EMPTY: Final = frozenset("first_name last_name salutation district attrs".split())
TESTS: Final = frozenset(
    "defined divisibleby eq equalto even ge gt in le lt ne none number odd string".split()
)
TAGS: Final = frozenset("if elif else endif for endfor".split())
DEEPEST_LOOP = 2
LONGEST_LOOP = 1000

# The brace stands before the choice: so it is searched for as fast as a word.
PIECE = re.compile(
    r"\{(?:"
    r"(?P<comment>#.*?#\})"
    r"|(?P<value>\{(?:\"[^\"]*\"|'[^']*'|[^\"']){0,1000}?\}\})"
    r"|(?P<tag>%(?:\"[^\"]*\"|'[^']*'|[^\"']){0,1000}?%\})"
    r")",
    re.DOTALL,
)
"""One piece of Jinja in a text; a brace pair inside a quoted string ends nothing."""

_JINJA: Final = Environment(autoescape=True)
_OPENED = re.compile(r"\{[{%#]")
_CLOSED: Final = {"{{": "}}", "{%": "%}", "{#": "#}"}
_CLOSED_EXAMPLE: Final = {"{{": "{{ greeting }}", "{%": "{% if district %}", "{#": "{# note #}"}
_TAG_NAME = re.compile(r"\{%[-+]?\s*(\w*)")


def tag_name(piece: str) -> str:
    """The word a tag begins with: if, endif, for."""
    found = _TAG_NAME.match(piece)
    return found[1] if found else ""


def check_placeholders(
    text: str,
    line: int,
    faults: Faults,
    *,
    attributes: frozenset[str],
    in_course: bool = True,
    compiled: bool = False,
) -> bool:
    """Note every misuse in a text that begins on `line`; whether Jinja could read it at all.

    In a `compiled` one stands also what only the compiler may write.
    """
    if "{" not in text:
        return True
    before = len(faults.found)
    for found in PIECE.finditer(text):
        at = line + text.count("\n", 0, found.start())
        piece = found[0]
        if found["comment"]:
            continue
        if "\n" in piece:
            faults.error(
                at,
                "a placeholder or tag must fit into one line; join the lines",
                piece.partition("\n")[0],
            )
        name = tag_name(piece) if found["tag"] else ""
        if found["tag"] and name not in TAGS:
            faults.error(at, f"{{% {name} %}} is not for texts; {suggestion(name, TAGS)}", piece)
    _check_pairs(text, line, faults)
    if len(faults.found) > before:
        return False
    try:
        tree = _tree(text)
    except (TemplateSyntaxError, RecursionError) as error:
        at = getattr(error, "lineno", 1)
        piece = next(iter(_pieces(text).get(at, ())), "")
        faults.error(
            line + at - 1,
            f"{quoted(piece[:60]) if piece else 'this'} cannot be read; write it like"
            ' {{ greeting }}, {{ first_name|default("…") }} or {% if district %}',
            piece,
        )
        return False
    reader = _Reader(faults, line - 1, attributes, in_course=in_course, compiled=compiled)
    reader.pieces = _pieces(text)
    reader.read(tree)
    return True


@lru_cache(maxsize=4)
def _tree(text: str) -> nodes.Template:
    # A mail's two parts are asked for what they count, for what is wrong and for what they show.
    return _JINJA.parse(text)


def _check_pairs(text: str, line: int, faults: Faults) -> None:
    """Note what was opened and never closed, in the words of who wrote it."""
    blank = PIECE.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), text)
    for found in _OPENED.finditer(blank):
        at = line + blank.count("\n", 0, found.start())
        faults.error(
            at,
            f'"{found[0]}" has no "{_CLOSED[found[0]]}" behind it in this line;'
            f" write it like {_CLOSED_EXAMPLE[found[0]]}",
            text[found.start() :].partition("\n")[0],
        )
    waiting: list[tuple[str, int, str]] = []
    for found in PIECE.finditer(text):
        name = tag_name(found[0]) if found["tag"] else ""
        at = line + text.count("\n", 0, found.start())
        if name in {"if", "for"}:
            waiting.append((name, at, found[0]))
        elif name.startswith("end"):
            opening = name.removeprefix("end")
            if not waiting or waiting[-1][0] != opening:
                faults.error(
                    at, f"{{% {name} %}} has no {{% {opening} … %}} before it; delete it", found[0]
                )
                return
            waiting.pop()
        elif name in {"else", "elif"} and not waiting:
            faults.error(at, f"{{% {name} %}} has no {{% if … %}} before it; delete it", found[0])
            return
    for name, at, piece in waiting:
        message = f"{{% {name} … %}} has no {{% end{name} %}}; write one where the part ends"
        faults.error(at, message, piece)


def _pieces(text: str) -> dict[int, list[str]]:
    """The placeholders and tags of each line that has any."""
    found: dict[int, list[str]] = {}
    for piece in PIECE.finditer(text):
        if not piece["comment"]:
            found.setdefault(text.count("\n", 0, piece.start()) + 1, []).append(piece[0])
    return found


COUNTED: Final = frozenset({"done", "days", "together"})
"""Parts of `course` that are counted when a mail is sent, and only for those that say them."""


def counted(text: str) -> frozenset[str]:
    """Which parts of `course` a Jinja text names that are counted when it is sent."""
    paths = map(_path, _tree(text).find_all((nodes.Getattr, nodes.Getitem)))
    return COUNTED & {path[1] for path in paths if path and path[0] == "course" and len(path) == 2}


def shown(text: str) -> set[tuple[str, ...]]:
    """The placeholders a Jinja text always shows, such as ("links", "unsubscribe")."""
    body = _tree(text).body
    parts = [
        part
        for node in body
        if isinstance(node, nodes.Output)
        for part in [*node.nodes, *node.find_all(nodes.Getattr)]
    ]
    return {path for part in parts if (path := _path(part)) is not None}


@dataclass
class _Reader:
    """Walks one syntax tree; `guarded` holds the placeholders known not to be empty here."""

    faults: Faults
    offset: int
    attributes: frozenset[str]
    in_course: bool
    compiled: bool = False
    guarded: list[tuple[str, ...]] = field(default_factory=list)
    own: list[str] = field(default_factory=list)
    loops: int = 0
    pieces: Mapping[int, list[str]] = field(default_factory=dict)

    def error(self, node: nodes.Node, message: str, at: str = "") -> None:
        line = self.offset + node.lineno
        self.faults.error(line, message, at, self._around(node, at))

    def _around(self, node: nodes.Node, at: str) -> str:
        """The piece of its line that holds these words; else the first one."""
        on_line = self.pieces.get(node.lineno, [])
        return next((piece for piece in on_line if at and at in piece), "".join(on_line[:1]))

    @contextmanager
    def knowing(self, paths: list[tuple[str, ...]]) -> Iterator[None]:
        self.guarded.extend(paths)
        yield
        if paths:
            del self.guarded[-len(paths) :]

    def read(self, node: nodes.Node) -> None:
        """Check a node and all below it."""
        match node:
            case nodes.If():
                self._if(node.test, node.body, [*node.elif_, *node.else_])
            case nodes.CondExpr():
                self._if(node.test, [node.expr1], [node.expr2 or nodes.Const("")])
            case nodes.For():
                self._for(node)
            case nodes.Name() | nodes.Getattr() | nodes.Getitem():
                self._placeholder(node)
            case nodes.Filter():
                self._filter(node)
            case nodes.Test():
                if node.name not in TESTS:
                    hint = suggestion(node.name, TESTS)
                    self.error(node, f'"is {node.name}" is not known here; {hint}', node.name)
                self._below(node)
            case nodes.Call():
                self._call(node)
            case nodes.Or():
                with self.knowing(_mentioned(node.left)):
                    self.read(node.left)
                self.read(node.right)
            case nodes.Compare() | nodes.Not():
                with self.knowing(_mentioned(node)):
                    self._below(node)
            case _ if type(node) in NODES:
                self._below(node)
            case _:
                self.error(node, f"{type(node).__name__} is not for texts; keep to if and for")

    def _below(self, node: nodes.Node) -> None:
        for child in node.iter_child_nodes():
            self.read(child)

    def _if(self, test: nodes.Node, body: list[nodes.Node], other: list[nodes.Node]) -> None:
        denied = isinstance(test, nodes.Not)
        certain = _certain(test.node if isinstance(test, nodes.Not) else test)
        with self.knowing(_mentioned(test)):
            self.read(test)
        for part, known in ((body, not denied), (other, denied)):
            with self.knowing(certain if known else []):
                for node in part:
                    self.read(node)

    def _for(self, node: nodes.For) -> None:
        small = _path(node.iter) == ("streams",) or isinstance(node.iter, nodes.List | nodes.Tuple)
        small = small or (
            isinstance(node.iter, nodes.Call)
            and isinstance(node.iter.node, nodes.Name)
            and node.iter.node.name == "range"
        )
        if not small:
            self.error(
                node,
                "a loop goes over a list written here, range(n) or streams",
                ".".join(_path(node.iter) or ()),
            )
        if node.recursive:
            self.error(node, "a loop may not call itself")
        if self.loops >= DEEPEST_LOOP:
            self.error(node, "loops may not be nested deeper than two")
        self.read(node.iter)
        targets = [target.name for target in node.target.find_all(nodes.Name)]
        if isinstance(node.target, nodes.Name):
            targets.append(node.target.name)
        for name in OURS.intersection(targets):
            self.error(node, f"{quoted(name)} has a meaning of its own; call it otherwise", name)
        taken = [*targets, "loop"]
        self.own.extend(taken)
        self.loops += 1
        for part in [*([node.test] if node.test else []), *node.body, *node.else_]:
            self.read(part)
        self.loops -= 1
        del self.own[-len(taken) :]

    def _call(self, node: nodes.Call) -> None:
        name = node.node.name if isinstance(node.node, nodes.Name) else None
        if name != "range":
            shown = name or ".".join(_path(node.node) or ("this",))
            self.error(
                node, f"{quoted(shown)} is not a function here; the only one is range(n)", shown
            )
        for part in [*node.args, *node.kwargs]:
            if not isinstance(part, nodes.Const) or not isinstance(part.value, int):
                self.error(node, "range() takes whole numbers", "range")
            elif abs(part.value) > LONGEST_LOOP:
                self.error(node, f"range() goes to {LONGEST_LOOP} at most", "range")

    def _filter(self, node: nodes.Filter) -> None:
        if node.name not in FILTERS:
            hint = suggestion(node.name, FILTERS)
            self.error(node, f'"|{node.name}" is not a filter here; {hint}', node.name)
        saves = node.name == "default"  # without a text it has a fault of its own
        if node.name == "default" and not node.args:
            self.error(node, '|default needs a text, such as |default("liebe Leserin")', "default")
        below = node.node
        if below is not None:
            with self.knowing(_mentioned(below) if saves else []):
                self.read(below)
        for part in [*node.args, *node.kwargs]:
            self.read(part)

    def _placeholder(self, node: nodes.Name | nodes.Getattr | nodes.Getitem) -> None:
        if self.compiled and _is_ours(node):
            return
        path = _path(node)
        if path is None:
            self.error(node, "write a placeholder as name or name.part, such as {{ attrs.role }}")
            return
        shown = ".".join(path)
        if path[0] in self.own and path[0] != "loop":
            if len(path) > 1:
                self.error(
                    node, f"{quoted(shown)} is not known here; write {{{{ {path[0]} }}}}", shown
                )
            return
        known = NAMES | set(self.own)
        if path[0] not in known:
            self.error(
                node, f"{quoted(shown)} is no placeholder; {suggestion(path[0], known)}", shown
            )
            return
        parts = self.attributes if path[0] == "attrs" else PARTS.get(path[0])
        if not self._parts_known(node, path, parts):
            return
        if path[0] in CAN_BE_EMPTY and path not in self.guarded:
            self.error(
                node,
                f'{quoted(shown)} can be empty; write {{{{ {shown}|default("…") }}}}'
                f" or put it inside {{% if {shown} %}}",
                shown,
            )
        if path[0] == "course" and not self.in_course and path not in self.guarded:
            message = f"{quoted(shown)} is empty outside a course"
            around = self._around(node, shown)
            self.faults.warn(self.offset + node.lineno, message, shown, around)

    def _parts_known(
        self, node: nodes.Node, path: tuple[str, ...], parts: frozenset[str] | None
    ) -> bool:
        shown = ".".join(path)
        if parts is None:
            if len(path) > 1:
                self.error(
                    node, f"{quoted(shown)} is no placeholder; write {{{{ {path[0]} }}}}", shown
                )
                return False
            return True
        if len(path) == 1:
            hint = suggestion("", parts) if parts else "declare it in l3mail.toml, [attributes.…]"
            self.error(node, f"{quoted(shown)} has parts, name one; {hint}", shown)
            return False
        if path[1] not in parts or len(path) > 2:
            hint = suggestion(shown, (f"{path[0]}.{part}" for part in parts))
            if not parts:
                hint = f"declare it in l3mail.toml, [attributes.{path[1]}]"
            self.error(node, f"{quoted(shown)} is no placeholder; {hint}", shown)
            return False
        return True


def _is_ours(node: nodes.Node) -> bool:
    """Whether this is `pixel`, `trail`, or `hrefs` or `when` with a number."""
    match node:
        case nodes.Name(name="pixel" | "trail"):
            return True
        case nodes.Getitem(node=nodes.Name(name="hrefs" | "when"), arg=nodes.Const(value=int())):
            return True
    return False


def _path(node: nodes.Node) -> tuple[str, ...] | None:
    """What a placeholder names, as parts; None for anything else."""
    match node:
        case nodes.Name():
            return (node.name,)
        case nodes.Getattr():
            above = _path(node.node)
            return None if above is None else (*above, node.attr)
        case nodes.Getitem(arg=nodes.Const(value=str() as part)):
            above = _path(node.node)
            return None if above is None else (*above, part)
    return None


def _mentioned(node: nodes.Node) -> list[tuple[str, ...]]:
    """Every placeholder in an expression."""
    inside = [node, *node.find_all((nodes.Name, nodes.Getattr, nodes.Getitem))]
    return [path for part in inside if (path := _path(part)) is not None]


def _certain(test: nodes.Node) -> list[tuple[str, ...]]:
    """The placeholders that are not empty wherever a test is true."""
    match test:
        case nodes.And():
            return _certain(test.left) + _certain(test.right)
        case nodes.Compare(ops=[nodes.Operand(op="eq" | "in" | "gt", expr=other)]):
            empty = isinstance(other, nodes.Const) and not other.value
            return [] if empty else _certain(test.expr)
        case nodes.Filter(name="trim", node=nodes.Expr() as below):
            return _certain(below)
    path = _path(test)
    return [] if path is None else [path]
