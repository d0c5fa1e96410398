"""The words of the segment language and the tree a text becomes.

Owns which attributes and functions there are and what they take. Knows neither Python's syntax
nor SQL.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from l3mail.segments.days import Span, Today

AttributeType = Literal["text", "number", "date", "bool", "choice"]
Kind = Literal["text", "number", "date", "bool", "choice", "whole", "days", "birthday"]
"""What an attribute holds: a type that can be declared, or one of the built-in ones.

`whole` is a number that may be missing (an age), `days` one that never is, `birthday` a day
"MM-DD" without a year.
"""

Operator = Literal["in", "<", "<=", ">", ">="]
Value = str | int | float | bool | Today | Span

BUILT_IN: Final[Mapping[str, Kind]] = {
    "email": "text",
    "first_name": "text",
    "last_name": "text",
    "salutation": "text",
    "locale": "text",
    "district": "text",
    "birthday": "birthday",
    "age": "whole",
    "tracking": "bool",
    "joined": "date",
    "joined_days": "days",
    "inactive_days": "days",
}
ATTRS: Final = "attrs"

Reference = Literal["stream", "course", "message", "segment"]


@dataclass(frozen=True, slots=True)
class Signature:
    """How a function is called: what its arguments are called, and what the first one names.

    One that `counts` is a number, and a question only beside another.
    """

    parameters: tuple[str, ...]
    needed: int
    names: Reference | None
    example: str
    counts: bool = False


FUNCTIONS: Final[Mapping[str, Signature]] = {
    "stream": Signature(("stream",), 1, "stream", 'stream("newsletter")'),
    "enrolled": Signature(("course",), 1, "course", 'enrolled("kurs")'),
    "finished": Signature(("course",), 1, "course", 'finished("kurs")'),
    "completed": Signature(("course",), 1, "course", 'completed("kurs")'),
    "received": Signature(("slug",), 1, "message", 'received("kurs/02-video")'),
    "opened": Signature(("slug",), 1, "message", 'opened("kurs/02-video")'),
    "clicked": Signature(("slug", "link name"), 1, "message", 'clicked("kurs/02-video", "link")'),
    "answered": Signature(
        ("slug", "question", "value"), 2, "message", 'answered("kurs/02-video", "q1", "b")'
    ),
    "done_days": Signature(("course",), 1, "course", 'done_days("kurs") >= 10', counts=True),
    "interested": Signature(("name",), 1, None, 'interested("video")'),
    "segment": Signature(("name",), 1, "segment", 'segment("other")'),
}


@dataclass(frozen=True, slots=True)
class Attribute:
    """A declared attribute, `attrs.<name>`; `choices` are those of a `choice`."""

    type: AttributeType = "text"
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Vocabulary:
    """The names a text may speak of; None instead of names skips the check.

    `segments` maps each saved name to its text, which is put in its place.
    """

    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    streams: Collection[str] | None = None
    courses: Collection[str] | None = None
    messages: Collection[str] | None = None
    segments: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Truth:
    """Everybody, or nobody."""

    value: bool


@dataclass(frozen=True, slots=True)
class Compare:
    """An attribute beside values; `values` has more than one only where the operator is `in`.

    `declared` tells `attrs.role` from a built-in attribute. `""` among the values of `in` stands
    for "is missing", whatever the kind. A `Span` stands alone after `in`.
    """

    name: str
    declared: bool
    kind: Kind
    operator: Operator
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Call:
    """A function with its arguments, as many as were given.

    `segment` stands here only where the vocabulary named no segments.
    """

    function: str
    arguments: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Count:
    """A function that counts beside whole numbers; `values` has more than one only with `in`."""

    call: Call
    operator: Operator
    values: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """The opposite."""

    item: "Node"


@dataclass(frozen=True, slots=True)
class Combined:
    """All (`and`) or any (`or`) of two or more."""

    every: bool
    items: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Named:
    """A saved segment that a text names, with the tree of its own text."""

    name: str
    item: "Node"


Node = Truth | Compare | Call | Count | Not | Combined | Named


@dataclass(frozen=True, slots=True)
class Expression:
    """A text that was understood; the trees of saved segments it names are in its own."""

    text: str
    tree: Node
