"""YAML as editors write it: a flat mapping, and the line each key stands on.

Owns the refusal of what YAML can do and no text needs (aliases, tags, keys twice). Knows no key.
"""

import re
from dataclasses import dataclass
from typing import Any

import yaml
from frontmatter.default_handlers import YAMLHandler

from l3mail.content.findings import Faults
from l3mail.errors import quoted

_DEEPEST = 5
_FENCE = re.compile(r"---[ \t]*\r?\n")


@dataclass(frozen=True, slots=True)
class Mapped:
    """A mapping with the line of each of its keys."""

    values: dict[str, Any]
    lines: dict[str, int]

    def line(self, key: str) -> int:
        """Where a key stands; the first line for one that is absent."""
        return self.lines.get(key, 1)


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
        faults.error(1, 'the front matter has no end; close it with a line "---"')
        return Mapped({}, {}), "", 1
    begins = text.count("\n", 0, len(text) - len(body)) + 1
    return read_mapping(matter.lstrip("\r\n"), faults, first_line=2), body, begins


def read_mapping(text: str, faults: Faults, first_line: int = 1) -> Mapped:
    """Read YAML that is a mapping; faults are noted and give an empty one."""
    nothing = Mapped({}, {})
    try:
        problem = _unwanted(text)
        if problem is not None:
            faults.error(first_line, problem)
            return nothing
        node = yaml.compose(text, yaml.SafeLoader)
        if node is None:
            return nothing
        if not isinstance(node, yaml.MappingNode):
            faults.error(first_line, 'expected lines such as subject: "…"')
            return nothing
        return _mapped(node, faults, first_line)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        if mark is None or "scanning" in (error.context or ""):
            mark = error.context_mark or mark  # where the quote was opened
        line = first_line + (mark.line if mark else 0)
        faults.error(line, f"this is not YAML: {error.problem}; put texts in quotes")
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        faults.error(first_line, f"this is not YAML we read: {quoted(str(error))}")
    return nothing


def _unwanted(text: str) -> str | None:
    """What makes YAML a bomb, found before anything is built of it."""
    depth = 0
    for event in yaml.parse(text, yaml.SafeLoader):
        if isinstance(event, yaml.AliasEvent):
            return "YAML aliases (*name) are not read here; write it out"
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > _DEEPEST:
            return f"YAML nested deeper than {_DEEPEST} is not read here"
    return None


def _mapped(node: yaml.MappingNode, faults: Faults, first_line: int) -> Mapped:
    values: dict[str, Any] = {}
    lines: dict[str, int] = {}
    loader = yaml.SafeLoader("")
    try:
        for key_node, value_node in node.value:
            line = first_line + key_node.start_mark.line
            if not isinstance(key_node, yaml.ScalarNode):
                faults.error(line, "a key must be a word")
                continue
            # The word as written: YAML 1.1 would read the key `on` as true.
            key = key_node.value
            if key in values:
                faults.error(line, f"{quoted(key)} stands here twice; keep one")
                continue
            values[key] = loader.construct_object(value_node, deep=True)
            lines[key] = line
    finally:
        loader.dispose()
    return Mapped(values, lines)
