"""Triggered mails as they fall due: planned set by set, batches shown before they are due.

Writes deliveries and how far a trigger is planned; approvals are asked for here and decided
elsewhere. What is late beyond its `valid_for` becomes nothing: no row, no mail, and `skipped`
counts it. So a house that slept for a month greets nobody for a month of birthdays, and answers
nobody's click of three weeks ago.
"""

from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Connection

from l3mail import outbox
from l3mail.errors import L3mailError
from l3mail.planning import LAST
from l3mail.triggers import approvals, cohorts, declaring, glances, looks
from l3mail.triggers.cohorts import Cohort, Terms
from l3mail.triggers.declaring import Trigger
from l3mail.triggers.looks import Look, Part
from l3mail.triggers.rules import Occasion
from l3mail.triggers.statements import mails_due, narrowed, people_due

BATCH = 5_000
"""Rows one step writes at most: whoever wants to write behind it waits about a tenth of a second.

The caller asks again until a step says that it is done.
"""


@dataclass(frozen=True, slots=True)
class Planned:
    """What one planning step did.

    `deliveries` were made, `lapsed` ones ended because nobody approved them in time; `unasked`
    triggers could not be planned, since their segment or rule can't be understood any more, and
    keep no other waiting. `more` says that the step ended at its limit and wants another.
    """

    deliveries: int = 0
    lapsed: int = 0
    unasked: int = 0
    more: bool = False


def plan(connection: Connection, terms: Terms, limit: int = BATCH) -> Planned:
    """Plan what is due of every trigger that is not paused.

    Makes `limit` rows at most, and looks at not many more people or facts. Replaying adds nothing,
    in whatever order and by however many planners. Mails that need approval are planned held until
    it is given, queued where it was, and not at all where it was refused; their batch is opened
    before they are due.
    """
    seen = glances.look(connection, terms)
    lapsed = approvals.lapse(connection, terms.now) if seen.lapses else 0
    deliveries = unasked = 0
    room, more = limit, False
    # Whose look is under way comes last: it takes long, and would keep all others waiting.
    for trigger in sorted(declaring.to_plan(connection, seen.busy), key=_is_looking):
        if room <= 0:
            return Planned(deliveries, lapsed, unasked, more=True)
        try:
            step = _plan(connection, trigger, terms, room)
        except L3mailError:
            unasked += 1
            continue
        deliveries += step.made
        room -= step.size
        more = more or not step.is_last
    return Planned(deliveries, lapsed, unasked, more or room <= 0)


def _is_looking(trigger: Trigger) -> tuple[bool, datetime]:
    return trigger.looking_for is not None, trigger.looking_for or trigger.active_since


@dataclass(frozen=True, slots=True)
class _Step:
    """How many rows were `made` of how many people or facts, and whether none are left."""

    made: int = 0
    size: int = 0
    is_last: bool = True


def _plan(connection: Connection, trigger: Trigger, terms: Terms, limit: int) -> _Step:
    rule = trigger.rule
    look = looks.at_facts(trigger, rule, terms)
    made = size = 0
    for cohort in cohorts.due(connection, trigger, rule, terms):
        if size >= limit:
            return _Step(made, size, is_last=False)
        step = _plan_cohort(connection, trigger, cohort, look, terms, limit=limit - size)
        made, size = made + step.made, size + step.size
        if not step.is_last:
            return _Step(made, size, is_last=False)
    until = cohorts.to_note(trigger, rule, terms)
    if look.is_under_way and not rule.is_daily:
        # What came to be known while it went on is looked for from where it began.
        until = look.began
        declaring.end_look(connection, trigger)
    if until is not None:
        declaring.note_planned(connection, trigger, until, terms.now)
    coming = cohorts.to_show(connection, trigger, rule, terms)
    if coming is not None and not _show(connection, trigger, coming, terms, limit):
        return _Step(made, limit, is_last=False)
    return _Step(made, size)


def _plan_cohort(
    connection: Connection,
    trigger: Trigger,
    cohort: Cohort,
    look: Look,
    terms: Terms,
    *,
    limit: int,
) -> _Step:
    """Plan one cohort, or the next part of it."""
    part: Part | None = Part({}, 0, None)
    if cohort.shape.of_everybody:
        assert cohort.occasion is not None
        look = looks.at_everybody(trigger, cohort.occasion.due_at)
        part = looks.next_of_everybody(connection, trigger, look, limit)
    elif not trigger.rule.is_daily:
        part = looks.next_of_facts(connection, cohort, look, limit)
    if part is None:
        return _Step()
    cohort = replace(cohort, values={**cohort.values, **part.values})
    made = _queue(connection, trigger, cohort, terms, limit)
    if made is None:
        return _Step()
    if part.left is not None:
        left = part.left
        declaring.note_look(connection, trigger, left.began, left.to, left.to_at)
        return _Step(made, limit, is_last=False)
    if cohort.shape.of_everybody:
        # Each day by itself: the mark is that of one look, and the next day's begins anew.
        declaring.note_planned(connection, trigger, look.began, terms.now)
        if look.is_under_way:
            declaring.end_look(connection, trigger)
    return _Step(made, max(made, part.size), is_last=bool(part.values) or made < limit)


def _queue(
    connection: Connection, trigger: Trigger, cohort: Cohort, terms: Terms, limit: int
) -> int | None:
    """Make the rows of a cohort, `limit` at most; None where nobody of it may have one."""
    rule = trigger.rule
    values = cohorts.common(trigger, terms) | dict(cohort.values) | {"batch": limit}
    asked = cohorts.questions(connection, rule, cohort, terms)
    if rule.needs_approval:
        assert cohort.occasion is not None
        occasion = cohort.occasion.name(rule.kind)
        batch = approvals.known(connection, trigger, occasion, lock=True)
        if batch is None:
            if not people(connection, trigger, cohort, terms):
                return 0
            batch = approvals.open_(connection, trigger, cohort.occasion, terms.now)
        state = approvals.state_of(batch)
        if state is None:
            return None
        values |= {"approval": batch.id, "state": state[0], "reason": state[1]}
    return outbox.queue(connection, narrowed(mails_due(cohort.shape), asked), values)


def _show(
    connection: Connection, trigger: Trigger, coming: Occasion, terms: Terms, limit: int
) -> bool:
    """Open the batch of an occasion to come, if there is anybody it is for.

    False where that is not known yet: everybody is looked at a part at a time.
    """
    rule = trigger.rule
    for cohort in cohorts.coming(connection, trigger, rule, coming, terms):
        part = Part({}, 0, None)
        if cohort.shape.of_everybody:
            look = looks.at_everybody(trigger, coming.shown_at(terms.zone))
            part = looks.next_of_everybody(connection, trigger, look, limit)
            left = part.left or Look(look.began, LAST)
            declaring.note_look(connection, trigger, left.began, left.to)
        asked = replace(cohort, values={**cohort.values, **part.values})
        if people(connection, trigger, asked, terms, coming.due_at):
            approvals.open_(connection, trigger, coming, terms.now)
            return True
        if part.left is not None:
            return False
    return True


def people(
    connection: Connection,
    trigger: Trigger,
    cohort: Cohort,
    terms: Terms,
    at: datetime | None = None,
) -> int:
    """How many people a cohort is for that have no row yet; `at` is when that will be asked.

    Raises an L3mailError where the segment can't be asked.
    """
    values = cohorts.common(trigger, terms, at) | dict(cohort.values)
    asked = cohorts.questions(connection, trigger.rule, cohort, terms, at)
    query = narrowed(people_due(cohort.shape), asked)
    return int(connection.execute(query, values).scalar_one())
