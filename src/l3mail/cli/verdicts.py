"""Why somebody is in a segment or not, as lines and as JSON.

Owns the words of a verdict. Asks nothing.
"""

import json
import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from l3mail.errors import printable

if TYPE_CHECKING:
    from l3mail.segments import Part

_WORDS = {True: "yes", False: "no", None: "unknown"}
_HEADS = {"all": "all of these", "any": "one of these", "not": "not"}
_MARGIN = 9
_WIDEST = 100


def sentence(part: "Part", name: str, email: str) -> str:
    """Whether a segment selects a person."""
    if part.verdict is None:
        why = "." if _is_mistaken(part) else " without their consent to measuring."
        return f"{name} can't know about {email}{why}"
    return f"{name} {'selects' if part.verdict else 'does not select'} {email} now."


def _is_mistaken(part: "Part") -> bool:
    """Whether somewhere in it a value is not what its attribute is declared to be."""
    if part.parts:
        return any(_is_mistaken(one) for one in part.parts)
    return part.verdict is None and part.own is not None


def lines(part: "Part", mode: str, width: int, depth: int = 0) -> Iterator[str]:
    """Each part beneath the one it belongs to, with its answer and what it comes from."""
    yield from _line(part, mode, min(width, _WIDEST), depth)
    for one in part.parts:
        yield from lines(one, mode, width, depth + 1)


def _line(part: "Part", mode: str, width: int, depth: int) -> list[str]:
    head = _HEADS.get(part.kind, part.text)
    why = reason(part, mode)
    indent = " " * _MARGIN + "  " * min(depth, 15)
    return textwrap.wrap(
        printable(f"{head}: {why}" if why else head, 3_000),
        width,
        initial_indent=f"{_WORDS[part.verdict]:<{_MARGIN}}" + indent[_MARGIN:],
        subsequent_indent=indent + "  ",
        break_on_hyphens=False,
    )


def reason(part: "Part", mode: str) -> str:
    """What the answer of a fact comes from; "" where its words say all."""
    if part.kind != "fact":
        return ""
    if part.verdict is None and part.own is not None:
        return f"{part.subject} is {json.dumps(part.own, ensure_ascii=False)}, of another kind"
    if part.verdict is None:
        return "no consent to tracking" if mode == "consent" else f'[tracking] mode is "{mode}"'
    if not part.subject:
        return ""
    if part.own is None:
        return f"{part.subject} is missing"
    own = part.own if isinstance(part.own, bool) else json.dumps(part.own, ensure_ascii=False)
    return f"{part.subject} is {own}"


def as_json(part: "Part", mode: str) -> dict[str, Any]:
    """The same for programs."""
    told: dict[str, Any] = {"kind": part.kind, "text": part.text, "answer": _WORDS[part.verdict]}
    if part.subject:
        told |= {"attribute": part.subject, "value": part.own}
    if why := reason(part, mode):
        told["why"] = why
    if part.parts:
        told["parts"] = [as_json(one, mode) for one in part.parts]
    return told
