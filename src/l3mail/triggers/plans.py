"""Triggered mails as they fall due: planned set by set, batches shown before they are due.

Writes deliveries and how far a trigger is planned; approvals are asked for here and decided
elsewhere. What is late beyond its `valid_for` becomes nothing: no row, no mail, and `skipped`
counts it. So a house that slept for a month greets nobody for a month of birthdays, and answers
nobody's click of three weeks ago.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select
from sqlalchemy.sql.dml import ReturningInsert

from l3mail.database import upsert
from l3mail.errors import L3mailError
from l3mail.models import DELIVERY
from l3mail.triggers import approvals, cohorts, declaring, rules
from l3mail.triggers.cohorts import Cohort, Terms
from l3mail.triggers.declaring import Trigger
from l3mail.triggers.rules import Rule
from l3mail.triggers.statements import COLUMNS, MARK, Shape, mails_due, narrowed, people_due

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
    """Plan what is due of every trigger that is not paused, `limit` rows at most.

    Replaying adds nothing, in whatever order and by however many planners. Mails that need
    approval are planned held until it is given, queued where it was, and not at all where it was
    refused; their batch is opened before they are due.
    """
    lapsed = approvals.lapse(connection, terms.now)
    deliveries = unasked = 0
    for trigger in declaring.to_plan(connection):
        room = limit - deliveries
        if room <= 0:
            return Planned(deliveries, lapsed, unasked, more=True)
        try:
            deliveries += _plan(connection, trigger, terms, room)
        except L3mailError:
            unasked += 1
    return Planned(deliveries, lapsed, unasked, more=deliveries >= limit)


def _plan(connection: Connection, trigger: Trigger, terms: Terms, limit: int) -> int:
    rule = trigger.rule
    found = cohorts.due(connection, trigger, rule, terms)
    planned = 0
    for cohort in found:
        planned += _plan_cohort(connection, trigger, cohort, terms, limit - planned)
        if planned >= limit:
            return planned
    _note(connection, trigger, rule, terms)
    if rule.needs_approval:
        _show(connection, trigger, terms)
    return planned


def _note(connection: Connection, trigger: Trigger, rule: Rule, terms: Terms) -> None:
    """Remember how far is planned, where that is news."""
    if not rule.is_daily or rule.kind == "birthday":
        until = terms.now if cohorts.is_to_note(trigger, rule, terms.now) else None
    else:
        days = rules.occasions(rule, terms.now, terms.zone, trigger.active_since)
        until = days[-1].due_at if days else None
    if until is not None and until != trigger.planned_until:
        declaring.note_planned(connection, trigger, until, terms.now)


def _plan_cohort(
    connection: Connection, trigger: Trigger, cohort: Cohort, terms: Terms, limit: int
) -> int:
    """Plan one cohort; return how many rows were made."""
    rule = trigger.rule
    values = cohorts.common(trigger, terms) | dict(cohort.values)
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
            return 0
        values |= {"approval": batch.id, "state": state[0], "reason": state[1]}
    due = narrowed(mails_due(cohort.shape), asked)
    statement = _queueing(connection, due) if asked else _known(connection, cohort.shape)
    planned = 0
    if cohort.shape.of_everybody and not rule.needs_approval:
        # Whom that leaves out is found in a last look at everybody, below.
        mark = connection.execute(MARK, values).scalar() or 0
        if mark:
            above = values | {"above": mark, "batch": limit}
            planned = len(connection.execute(statement, above).all())
    while planned < limit:
        new = len(connection.execute(statement, values | {"batch": limit - planned}).all())
        planned += new
        # Two facts of one person may be one mail: then a full batch makes fewer rows.
        if not new or rule.once is None or rule.is_daily:
            break
    return planned


_STATEMENTS: dict[tuple[str, Shape], ReturningInsert[Any]] = {}
"""Those that no segment is asked in, by database: most of what making one takes is building it."""


def _known(connection: Connection, shape: Shape) -> ReturningInsert[Any]:
    key = (connection.dialect.name, shape)
    if key not in _STATEMENTS:
        _STATEMENTS[key] = _queueing(connection, mails_due(shape))
    return _STATEMENTS[key]


def _queueing(connection: Connection, mails: Select[Any]) -> ReturningInsert[Any]:
    return (
        upsert(connection, DELIVERY)
        .from_select(COLUMNS, mails)
        .on_conflict_do_nothing(index_elements=[DELIVERY.c.subscriber_id, DELIVERY.c.occurrence])
        .returning(DELIVERY.c.id)
    )


def _show(connection: Connection, trigger: Trigger, terms: Terms) -> None:
    """Open the batch of the next occasion, if it is time and there is anybody it is for."""
    rule = trigger.rule
    coming = rules.next_occasion(rule, terms.now, terms.zone)
    if coming.shown_at(terms.zone) > terms.now or coming.due_at < trigger.active_since:
        return
    if approvals.known(connection, trigger, coming.name(rule.kind)) is not None:
        return
    if any(
        people(connection, trigger, cohort, terms, coming.due_at)
        for cohort in cohorts.coming(connection, trigger, rule, coming, terms)
    ):
        approvals.open_(connection, trigger, coming, terms.now)


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
