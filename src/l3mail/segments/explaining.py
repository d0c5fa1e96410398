"""Why somebody is selected or not: each part of a question with its answer for one person.

Owns the columns that tell and how they are read. Answers of parts are put together as in
`questions`: `and` holds where all hold, and fails where one fails; else nobody knows.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Select, case, select

from l3mail.models import SUBSCRIBER
from l3mail.segments import kinds
from l3mail.segments.language import (
    Combined,
    Compare,
    Count,
    Expression,
    Named,
    Node,
    Not,
)
from l3mail.segments.questions import Column, Compiling, is_here
from l3mail.segments.telling import shown_name, shown_value, written

_MAY_BE_ASKED = "their data may be used"

Verdict = bool | None
"""Yes, no, or None: nobody knows."""


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a question as it is written, and its answer for one person.

    `kind` is `all`, `any`, `not`, `segment` or, of what has no parts, `fact`. `own` is what the
    person has where a fact is about that, None where it is missing; `subject` is what it is called.
    """

    kind: str
    text: str
    verdict: Verdict
    subject: str = ""
    own: Any = None
    parts: tuple["Part", ...] = ()


class Explaining:
    """One expression, asked of one person after the other."""

    def __init__(
        self,
        expression: Expression,
        now: datetime,
        zone: ZoneInfo,
        tracking_mode: str,
        fallback_locale: str | None = None,
    ) -> None:
        """Take what `compile` takes; raises SegmentError as it does."""
        self._tree = expression.tree
        self._now, self._zone = now, zone
        self._compiling = Compiling(now, zone, tracking_mode, fallback_locale)
        self._asked: dict[Node, int] = {}
        self._columns: list[Column] = [case((is_here(), 1), else_=0).label("here")]
        self._collect(self._tree)

    def statement(self) -> Select[Any]:
        """The answers of all facts, over SUBSCRIBER; who asks names the person."""
        return select(*self._columns).select_from(SUBSCRIBER)

    def read(self, row: Mapping[str, Any]) -> Part:
        """The whole question, from the person's row of that statement."""
        part = self._part(self._tree, row)
        if row["here"]:
            return part
        return Part("all", part.text, False, parts=(Part("fact", _MAY_BE_ASKED, False), part))

    def _collect(self, node: Node) -> None:
        match node:
            case Combined(_, items):
                for item in items:
                    self._collect(item)
            case Not(item) | Named(item=item):
                self._collect(item)
            case _ if node not in self._asked:
                number = self._asked[node] = len(self._asked)
                answer = self._compiling.answer(node)
                verdict = case((answer.yes, 1), (answer.no, 0), else_=None)
                self._columns.append(verdict.label(f"answer_{number}"))
                own = self._own(node)
                if own is not None:
                    self._columns.append(own.label(f"own_{number}"))
                if isinstance(node, Compare) and kinds.may_be_of_another(node):
                    other = kinds.another(node.name, node.kind)
                    self._columns.append(other.label(f"other_{number}"))

    def _own(self, node: Node) -> Column | None:
        """What a person has of what a fact is about."""
        match node:
            case Count(call):
                return self._compiling.counted(call)
            case Compare(name="inactive_days", declared=False):
                return None  # only whether it is so many days is ever asked
            case Compare(name="joined" | "joined_days", declared=False):
                return SUBSCRIBER.c.created_at
            case Compare():
                return self._compiling.attribute(node)
        return None

    def _part(self, node: Node, row: Mapping[str, Any]) -> Part:
        match node:
            case Combined(every, items):
                parts = tuple(self._part(item, row) for item in items)
                verdict = _together(every, [part.verdict for part in parts])
                return Part("all" if every else "any", written(node), verdict, parts=parts)
            case Not(item):
                part = self._part(item, row)
                verdict = None if part.verdict is None else not part.verdict
                if part.kind == "fact":
                    return replace(part, text=written(node), verdict=verdict)
                return Part("not", written(node), verdict, parts=(part,))
            case Named(_, item):
                part = self._part(item, row)
                return Part("segment", written(node), part.verdict, parts=(part,))
        number = self._asked[node]
        found = row[f"answer_{number}"]
        subject = _subject(node)
        own = shown_value(node, row.get(f"own_{number}"), self._now, self._zone)
        if (other := row.get(f"other_{number}")) is not None:
            own = other
        return Part("fact", written(node), None if found is None else bool(found), subject, own)


def _subject(node: Node) -> str:
    match node:
        case Compare(name="inactive_days", declared=False):
            return ""
        case Compare():
            return shown_name(node)
        case Count(call):
            return written(call)
    return ""


def _together(every: bool, verdicts: list[Verdict]) -> Verdict:
    if (not every) in verdicts:
        return not every
    return None if None in verdicts else every
