"""YAML as editors write it: a flat mapping, and the line each key stands on.

Owns the refusal of what YAML can do and no text needs (aliases, tags, keys twice). Knows no key.
"""

import re
from dataclasses import dataclass, field
from typing import Any

import yaml
from frontmatter.default_handlers import YAMLHandler

from l3mail.content.findings import Faults
from l3mail.errors import quoted

_DEEPEST = 5
_FENCE = re.compile(r"---[ \t]*\r?\n")
_KEY = re.compile(r"\s*([A-Za-z_][\w-]*):(.*)")
_TYPOGRAPHIC = "\u201c\u201d\u201e\u00ab\u00bb\u2018\u2019\u201a"
_QUOTES = _TYPOGRAPHIC[:5] + '"'
_TYPOGRAPHIC_ONES = 'the quotes are typographic ones; write {key}: "…" with straight quotes'


@dataclass(frozen=True, slots=True)
class Mapped:
    """A mapping with the line of each of its keys, and where what is said of it begins."""

    values: dict[str, Any]
    lines: dict[str, int]
    columns: dict[str, int] = field(default_factory=dict)
    items: dict[str, list[tuple[int, int]]] = field(default_factory=dict)

    def line(self, key: str) -> int:
        """Where a key stands; the first line for one that is absent."""
        return self.lines.get(key, 1)

    def column(self, key: str) -> int:
        """Where in its line a key's value begins; 0 for one that is absent."""
        return self.columns.get(key, 0)

    def item(self, key: str, number: int) -> tuple[int, int]:
        """The line and column of one entry of a key's list, counted from 0."""
        return self.items[key][number]


def split_front_matter(text: str, faults: Faults) -> tuple[Mapped, str, int]:
    """A text's front matter, its body, and the line the body begins on.

    Without front matter the mapping is empty; a fault in it is noted and leaves it empty.
    """
    handler = YAMLHandler()
    if not _FENCE.match(text):
        return Mapped({}, {}), text, 1
    try:
        matter, body = handler.split(text)
    except ValueError:
        faults.error(1, 'the front matter has no end; close it with a line "---"', "---")
        return Mapped({}, {}), "", 1
    begins = text.count("\n", 0, len(text) - len(body)) + 1
    written = matter.strip("\r\n")
    first_line = text.count("\n", 0, text.find(written, 3)) + 1 if written else 2
    return read_mapping(written, faults, first_line), body, begins


def read_mapping(text: str, faults: Faults, first_line: int = 1) -> Mapped:
    """Read YAML that is a mapping; faults are noted and give an empty one."""
    nothing = Mapped({}, {})
    try:
        unwanted = _unwanted(text)
        if unwanted is not None:
            problem, line, column = unwanted
            faults.error(first_line + line, problem, column + 1)
            return nothing
        node = yaml.compose(text, yaml.SafeLoader)
        if node is None:
            return nothing
        if not isinstance(node, yaml.MappingNode):
            faults.error(first_line, 'expected lines such as subject: "…"')
            return nothing
        return _mapped(node, faults, first_line)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, problem, at = _mended(text.split("\n"), mark.line if mark else 0)
        faults.error(first_line + line, problem, at)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        faults.error(first_line, f"this is not YAML we read: {quoted(str(error))}")
    return nothing


def _mended(lines: list[str], stopped: int) -> tuple[int, str, str]:
    """The line an editor has to mend, how, and the piece of it, where YAML stopped at a line."""
    for number, line in enumerate(lines[: stopped + 1]):
        problem = _slip(line)
        if problem:
            found = _KEY.fullmatch(line)
            value = found[2].strip() if found else ""
            return number, problem, "\t" if "\t" in line else value
    number = min(stopped, len(lines) - 1)
    found = _KEY.fullmatch(lines[number])
    key = found[1] if found else "subject"
    return (
        number,
        f'this line cannot be read; write {key}: "…", the text in straight quotes',
        lines[number].strip(),
    )


def _slip(line: str) -> str | None:
    """The commonest slips of a hand, in words that say what to write."""
    if "\t" in line:
        return "a tab stands in this line; write spaces instead"
    found = _KEY.fullmatch(line)
    if found is None:
        return None
    key, value = found[1], found[2].strip()
    ends = value[:1] + value[-1:]
    if any(end in _TYPOGRAPHIC for end in ends) and all(end in _TYPOGRAPHIC + '"' for end in ends):
        return _TYPOGRAPHIC_ONES.format(key=key)
    if value[:1] in {'"', "'"}:
        if value.count(value[0]) == 1:
            return f'the quotes are not closed; write {key}: "…" with one at each end'
        if value[0] == '"' and value.count('"') > 2 and value.endswith('"'):
            return f'straight quotes inside straight quotes; write {key}: "… „so“ …"'
    elif value[:1] not in {"[", "{", "#"} and (": " in value or value.endswith(":")):
        return f'a text with a colon needs quotes; write {key}: "…" with straight quotes'
    elif value[:1] in {"@", "`", "%", "&", "*", "!", "|", ">"}:
        return f'a text that begins with {value[0]} needs quotes; write {key}: "…"'
    return None


def _lone_or_typographic(key: str, node: yaml.Node) -> str | None:
    """What is wrong with quotes that YAML takes for a part of the text."""
    if not isinstance(node, yaml.ScalarNode) or node.style is not None or len(node.value) < 2:
        return None
    value = node.value
    around = value[0] in _TYPOGRAPHIC and value[-1] in _TYPOGRAPHIC + '"'
    if around and not any(character in _QUOTES for character in value[1:-1]):
        return _TYPOGRAPHIC_ONES.format(key=key)
    if value[-1] in _QUOTES and sum(character in _QUOTES for character in value) == 1:
        return f'one quote is missing; write {key}: "…" with straight quotes at both ends'
    return None


def _unwanted(text: str) -> tuple[str, int, int] | None:
    """What makes YAML a bomb and where, found before anything is built of it."""
    depth = 0
    for event in yaml.parse(text, yaml.SafeLoader):
        mark = event.start_mark
        place = (mark.line, mark.column) if mark else (0, 0)
        if isinstance(event, yaml.AliasEvent):
            return "YAML aliases (*name) are not read here; write it out", *place
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > _DEEPEST:
            return f"YAML nested deeper than {_DEEPEST} is not read here", *place
    return None


def _mapped(node: yaml.MappingNode, faults: Faults, first_line: int) -> Mapped:
    values: dict[str, Any] = {}
    lines: dict[str, int] = {}
    columns: dict[str, int] = {}
    items: dict[str, list[tuple[int, int]]] = {}
    loader = yaml.SafeLoader("")
    try:
        for key_node, value_node in node.value:
            line = first_line + key_node.start_mark.line
            if not isinstance(key_node, yaml.ScalarNode):
                faults.error(line, "a key must be a word", key_node.start_mark.column + 1)
                continue
            # The word as written: YAML 1.1 would read the key `on` as true.
            key = key_node.value
            if key in values:
                faults.error(line, f"{quoted(key)} stands here twice; keep one", key)
                continue
            problem = _lone_or_typographic(key, value_node)
            if problem:
                faults.error(line, problem, value_node.start_mark.column + 1)
            values[key] = loader.construct_object(value_node, deep=True)
            lines[key] = line
            beside = value_node.start_mark.line == key_node.start_mark.line
            columns[key] = (value_node if beside else key_node).start_mark.column + 1
            if isinstance(value_node, yaml.SequenceNode):
                marks = [item.start_mark for item in value_node.value]
                items[key] = [(first_line + mark.line, mark.column + 1) for mark in marks]
    finally:
        loader.dispose()
    return Mapped(values, lines, columns, items)
