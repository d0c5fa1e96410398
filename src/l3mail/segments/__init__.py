"""Segments: computed questions over subscribers, from a line of text to SQL.

The text is a small part of Python's expressions (`district in ["Gorbitz"] and age >= 60`).
`parse` understands it and refuses everything else, `compile` asks it of the table of subscribers.
Pure: knows no connection, settings or clock; saved segments are `audiences`.

An answer is yes, no or unknown (Kleene's strong logic). Unknown is behaviour: what somebody
without consent to tracking opened and clicked, and since when they are inactive; and a value that
is not what its attribute is declared to be, such as "three" for a number. What a person never told
us is no such riddle: it equals nothing but `""`. So `district == "Gorbitz"` and
`age >= 60` are false where district or year of birth are missing, `district != "Gorbitz"` and
`not age >= 60` are true, and `district == ""` finds those without one.
"""

from l3mail.segments.explaining import Explaining, Part
from l3mail.segments.grammar import mentions
from l3mail.segments.grouping import Grouping, asked_attributes, grouping
from l3mail.segments.kinds import comparisons, is_of_another
from l3mail.segments.language import (
    Attribute,
    AttributeType,
    Call,
    Combined,
    Compare,
    Count,
    Expression,
    Named,
    Node,
    Not,
    Truth,
    Vocabulary,
)
from l3mail.segments.parsing import parse
from l3mail.segments.questions import (
    SETTLED_AFTER,
    Question,
    bits,
    compile,  # noqa: A004 - the word for it
    observes,
)
from l3mail.segments.telling import written

__all__ = [
    "SETTLED_AFTER",
    "Attribute",
    "AttributeType",
    "Call",
    "Combined",
    "Compare",
    "Count",
    "Explaining",
    "Expression",
    "Grouping",
    "Named",
    "Node",
    "Not",
    "Part",
    "Question",
    "Truth",
    "Vocabulary",
    "asked_attributes",
    "bits",
    "comparisons",
    "compile",
    "grouping",
    "is_of_another",
    "mentions",
    "observes",
    "parse",
    "written",
]
