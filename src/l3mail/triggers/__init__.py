"""Triggers: rules that plan lifecycle mailings by queries over facts, replayed without harm.

No callback and no bus: a birthday, a click or the end of a course is found when it is due, by one
statement over all people. Knows nothing of text or SMTP.
"""

from l3mail.triggers.approvals import Pending, decide, decided, pending
from l3mail.triggers.cohorts import Terms
from l3mail.triggers.declaring import (
    LIFECYCLE,
    Trigger,
    declare,
    declare_published,
    find,
    listing,
    pause,
    resume,
)
from l3mail.triggers.outlook import (
    Expected,
    audience,
    expected_at,
    for_person,
    foreseen,
    last_due,
    next_due,
    next_moment,
    skipped,
    unasked,
    upcoming,
    waiting_for,
)
from l3mail.triggers.plans import BATCH, Planned, plan

__all__ = [
    "BATCH",
    "LIFECYCLE",
    "Expected",
    "Pending",
    "Planned",
    "Terms",
    "Trigger",
    "audience",
    "decide",
    "decided",
    "declare",
    "declare_published",
    "expected_at",
    "find",
    "for_person",
    "foreseen",
    "last_due",
    "listing",
    "next_due",
    "next_moment",
    "pause",
    "pending",
    "plan",
    "resume",
    "skipped",
    "unasked",
    "upcoming",
    "waiting_for",
]
