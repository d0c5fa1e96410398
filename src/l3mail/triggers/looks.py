"""Looks: everybody, or a backlog of facts, is looked at a part at a time.

Each part is a short transaction of its own, so that others write in between, and leaves with its
rows a mark up to which all is looked at; whoever goes on begins there. A look that is never ended
is harmless: one for another day, or of more facts, begins anew.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from l3mail.planning import LAST, LAST_OF_STRETCH
from l3mail.triggers import cohorts
from l3mail.triggers.cohorts import Cohort, Terms
from l3mail.triggers.declaring import Trigger
from l3mail.triggers.facts import next_facts
from l3mail.triggers.rules import Rule


@dataclass(frozen=True, slots=True)
class Look:
    """A look that may be under way: `to` is the person, or with `to_at` the fact, it came to.

    `began` is the moment it began, or that of the day's mailing it is for.
    """

    began: datetime
    to: int = 0
    to_at: datetime | None = None

    @property
    def is_under_way(self) -> bool:
        """Whether a part of it has been taken."""
        return self.to > 0


@dataclass(frozen=True, slots=True)
class Part:
    """What a statement binds for one part, how many are in it, and where it leaves the look.

    `left` is None where it is the last part, and `size` 0 where nobody counted.
    """

    values: Mapping[str, Any]
    size: int
    left: Look | None


def at_everybody(trigger: Trigger, moment: datetime) -> Look:
    """The look at everybody for what is due at, or shown from, a moment."""
    to = trigger.looked_to if trigger.looking_for == moment else None
    return Look(moment, to or 0)


def at_facts(trigger: Trigger, rule: Rule, terms: Terms) -> Look:
    """The look at facts that is under way, or one that begins now."""
    began, to, to_at = trigger.looking_for, trigger.looked_to, trigger.looked_to_at
    if began is None or to is None or to_at is None or began > terms.now:
        return Look(terms.now)
    # All that is valid is to be looked at by now, and this look began with what was fresh.
    was_of_all = cohorts.looked_until(trigger, rule, began) is None
    if cohorts.looked_until(trigger, rule, terms.now) is None and not was_of_all:
        return Look(terms.now)
    return Look(began, to, to_at)


def next_of_everybody(connection: Connection, trigger: Trigger, look: Look, limit: int) -> Part:
    """The next people of a trigger's stream, by their numbers; the last part has no end."""
    values = {"of_stream": trigger.stream_id, "after": look.to, "others": limit - 1}
    last = connection.execute(LAST_OF_STRETCH, values).scalar()
    if last is None:
        return Part({"above": look.to, "upto": LAST}, 0, None)
    return Part({"above": look.to, "upto": last}, limit, Look(look.began, last))


def next_of_facts(connection: Connection, cohort: Cohort, look: Look, limit: int) -> Part | None:
    """The next facts of a cohort, by their moments and numbers; None where none is left."""
    values: dict[str, Any] = {**cohorts.WHOLE, **cohort.values, "batch": limit}
    if look.to_at is not None and look.to_at > values["after"]:
        # Others may have happened at the very moment, and are told apart by their numbers.
        values |= {"after": look.to_at - timedelta.resolution, "above_at": look.to_at}
        values["above"] = look.to
    if values["after"] >= values["until"]:
        return None
    found = connection.execute(next_facts(cohort.shape), values).all()
    if not found:
        return None
    bounds = {name: values[name] for name in ("after", "above_at", "above")}
    if len(found) < limit:
        return Part(bounds, len(found), None)
    end = found[-1]
    left = Look(look.began, end.id, end.at)
    return Part(bounds | {"until": end.at, "upto": end.id}, limit, left)
