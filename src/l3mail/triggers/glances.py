"""A glance at all triggers at once: which of them have anything to plan.

Two statements, however many triggers there are: as a rule none has. One more for each whose batch
it is time to show. Reads, and changes nothing; who has nothing to plan at a glance has nothing to
plan.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    Select,
    bindparam,
    select,
)
from sqlalchemy.sql.visitors import replacement_traverse

from l3mail.errors import L3mailError
from l3mail.models import COURSE, STREAM
from l3mail.triggers import approvals, cohorts, declaring
from l3mail.triggers.cohorts import OpenDay, Terms
from l3mail.triggers.declaring import Trigger
from l3mail.triggers.facts import Shape, happened
from l3mail.triggers.rules import Rule
from l3mail.triggers.statements import joined_late

Column = ColumnElement[Any]


@dataclass(frozen=True, slots=True)
class Glance:
    """The numbers of the triggers that are `busy`, and whether an approval `lapses`."""

    busy: Collection[int]
    lapses: bool


@dataclass(frozen=True, slots=True)
class _Asked:
    """A trigger that is busy if there is a fact, and what its question binds."""

    trigger: int
    shape: Shape
    values: Mapping[str, Any]


def look(connection: Connection, terms: Terms) -> Glance:
    """Look at every trigger that is not paused."""
    busy: set[int] = set()
    asked: list[_Asked] = []
    for trigger in declaring.active(connection):
        try:
            rule = trigger.rule
            days = cohorts.open_days(trigger, rule, terms) if rule.is_daily else []
            is_busy = _by_the_clock(connection, trigger, rule, days, terms)
            if not is_busy:
                asked += _asked(trigger, rule, days, terms)
        except L3mailError:
            is_busy = True  # planning tells of it
        if is_busy:
            busy.add(trigger.id)
    question = _question(tuple(one.shape for one in asked))
    values = {f"{name}_{n}": one.values[name] for n, one in enumerate(asked) for name in one.values}
    lapses, *found = connection.execute(question, values | {"now": terms.now}).one()
    busy |= {one.trigger for one, is_there in zip(asked, found, strict=True) if is_there}
    return Glance(busy, bool(lapses))


def _by_the_clock(
    connection: Connection, trigger: Trigger, rule: Rule, days: Sequence[OpenDay], terms: Terms
) -> bool:
    """Whether the calendar says that there is something to plan, to note or to show."""
    if any(not day.is_late for day in days):
        return True
    if not rule.is_daily and trigger.looking_for is not None:
        return True
    return (
        cohorts.to_note(trigger, rule, terms) is not None
        or cohorts.to_show(connection, trigger, rule, terms) is not None
    )


def _asked(trigger: Trigger, rule: Rule, days: Sequence[OpenDay], terms: Terms) -> Iterator[_Asked]:
    """What decides whether there is anything to plan where the calendar doesn't."""
    if rule.is_daily:
        for day in days:
            cohort = cohorts.late(trigger, rule, day.occasion)
            yield _Asked(trigger.id, cohort.shape, {**cohort.values, "stream": trigger.stream_id})
        return
    span = cohorts.open_facts(trigger, rule, terms)
    if span is not None:
        of = rule.of or trigger.stream
        values = {"fact_of": of, "after": span.after, "until": span.until}
        answered = {"occurrence": cohorts.occurrence_of_facts(trigger)}
        yield _Asked(trigger.id, Shape.of(rule), values | answered)


@lru_cache(maxsize=64)
def _question(shapes: tuple[Shape, ...]) -> Select[Any]:
    """Whether an approval lapses, and for each shape whether there is a fact.

    The parameters of each bear its place in the row.
    """
    signs = [
        _numbered(joined_late() if shape.late else happened(shape), shape, n).label(f"sign_{n}")
        for n, shape in enumerate(shapes)
    ]
    columns: list[Column] = [approvals.IS_LAPSING.label("lapses"), *signs]
    return select(*columns)


def _numbered(sign: Column, shape: Shape, n: int) -> Column:
    def renamed(element: Any, **_: Any) -> Any:
        if not isinstance(element, BindParameter) or element.unique:
            return None
        name = f"{element.key}_{n}"
        table = _NAMED_IN.get(shape.kind) if element.key == "fact_of" else None
        if table is None:
            return bindparam(name, type_=element.type)
        return select(table.c.id).where(table.c.slug == bindparam(name)).scalar_subquery()

    found: Column = replacement_traverse(sign, {}, renamed)
    return found


_NAMED_IN = {"joined": STREAM, "finished": COURSE}
"""Kinds whose fact is about a row; it is found by its name, without a statement of its own."""
