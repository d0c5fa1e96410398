"""Alarms: mails to the person on duty when something begins, lasts or is over.

`duty` tells of what needs a person, `clears` of lesson slots and campaigns that are through,
`approvals` and `releases` ask for a yes, as `questions` says it. All of it is planned from rows and
leaves rows; nothing is remembered anywhere else.
"""

from datetime import datetime

from sqlalchemy import Connection

from l3mail.alarms.approvals import ask, next_ask
from l3mail.alarms.clears import begin, give, next_clear
from l3mail.alarms.duty import Duty, next_sound, ring, sound
from l3mail.alarms.questions import Asking, Sample, approver_number, samples_of, who_is
from l3mail.alarms.releases import ask_others
from l3mail.rounds import Agenda, Planner, Round, trigger_terms

__all__ = [
    "Asking",
    "Duty",
    "Sample",
    "approver_number",
    "asker",
    "planner",
    "ring",
    "samples_of",
    "who_is",
]


def planner(duty: Duty) -> Planner:
    """How mails to the person on duty are planned; nothing is while nobody is."""

    def step(connection: Connection, now: datetime, agenda: Agenda) -> Round:
        if not duty.to:
            return Round()
        alarms = sound(connection, now, duty, agenda)
        return Round(planned=alarms + give(connection, now, duty))

    has_begun = False

    def opening(connection: Connection, now: datetime, _agenda: Agenda) -> Round:
        nonlocal has_begun
        if duty.to and not has_begun:
            has_begun = begin(connection, now, duty)
        return Round()

    def next_moment(connection: Connection, now: datetime, _agenda: Agenda) -> datetime | None:
        if not duty.to:
            return None
        found = (next_sound(connection, now), next_clear(connection, now))
        return min((moment for moment in found if moment is not None), default=None)

    return Planner(step, next_moment, opening)


def asker(duty: Duty, asking: Asking) -> Planner:
    """How approvers are asked; nobody is where none is named."""

    def step(connection: Connection, now: datetime, agenda: Agenda) -> Round:
        if not asking.approvers:
            return Round()
        asked = ask(connection, duty, asking, trigger_terms(now, agenda))
        return Round(planned=asked + ask_others(connection, duty, asking, now))

    def next_moment(connection: Connection, now: datetime, _agenda: Agenda) -> datetime | None:
        return next_ask(connection, now, duty.zone) if asking.approvers else None

    return Planner(step, next_moment)
