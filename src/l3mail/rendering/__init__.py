"""From a published text and a person's values to the bytes of one mail.

Pure: the same text, values and head give the same bytes, so a mail can be shown again as it
was sent, and a text that fails on one machine fails on all: work is counted, never timed. Values
are hostile: the sandbox runs them, HTML escapes them, and whatever becomes a header passes a guard
of its own (an encoded word in a name could become one: CVE-2024-6923).
"""

from l3mail.rendering.heads import LONGEST_LINE, LONGEST_SUBJECT, Head
from l3mail.rendering.plain import fill
from l3mail.rendering.pressing import Pressed, compose, press
from l3mail.rendering.sandbox import LONGEST_PART, LONGEST_RANGE, MOST_STEPS
from l3mail.rendering.values import placeholders

__all__ = [
    "LONGEST_LINE",
    "LONGEST_PART",
    "LONGEST_RANGE",
    "LONGEST_SUBJECT",
    "MOST_STEPS",
    "Head",
    "Pressed",
    "compose",
    "fill",
    "placeholders",
    "press",
]
