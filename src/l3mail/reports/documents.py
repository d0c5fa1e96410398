"""What a report is made of, whatever form it takes: sections of sentences, lists, tables, a chart.

Values only. A text here is as plain as it comes, tamed and not escaped: that is the forms' task.
`backticks` in a sentence are a command to type.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Paragraph:
    """Sentences; a `note` stands back behind what it belongs to."""

    text: str
    is_note: bool = False


@dataclass(frozen=True, slots=True)
class Bullets:
    """A list of sentences."""

    items: Sequence[str]


@dataclass(frozen=True, slots=True)
class Figure:
    """One number that stands for itself, and what it is compared with."""

    label: str
    value: str
    beside: str = ""


@dataclass(frozen=True, slots=True)
class Figures:
    """The few numbers everybody looks for first."""

    figures: Sequence[Figure]


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under `columns`, the first of which names the row; the others hold numbers.

    `texts` are the columns that hold words instead, by position.
    """

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    texts: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Bar:
    """One row of a chart: a number and a part of it, each with how it is written."""

    label: str
    whole: int
    part: int
    shown: str


@dataclass(frozen=True, slots=True)
class Chart:
    """Bars beneath each other; the table beside them has the same numbers."""

    name: str
    title: str
    summary: str
    whole: str
    part: str
    bars: Sequence[Bar]


Block = Paragraph | Bullets | Figures | Table | Chart


@dataclass(frozen=True, slots=True)
class Section:
    """A heading and what stands under it; `name` is unique in its document."""

    name: str
    title: str
    blocks: Sequence[Block]
    level: int = 2


@dataclass(frozen=True, slots=True)
class Document:
    """A report in one language, ready for its forms; `lead` are the sentences it begins with."""

    language: str
    title: str
    subtitle: str
    house: str
    lead: Sequence[str]
    sections: Sequence[Section] = field(default_factory=tuple)
    footer: Sequence[str] = ()
