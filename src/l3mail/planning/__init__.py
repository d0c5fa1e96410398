"""Planning: who is to get which mail, as statements over sets of people.

Pure: builds expressions over the tables and knows no session, clock or settings. `permission` is
the one predicate that planning and the intent both ask, `brakes` what keeps back who may be mailed
and `restraint` what spares them, `versions` the text in a person's language, `mails` the rows that
are made of them; `lessons` and `campaigns` are whole statements.
"""

from l3mail.planning.brakes import kept_back, stopped
from l3mail.planning.campaigns import (
    IS_MEMBER,
    LAST,
    LAST_OF_STRETCH,
    MEMBER,
    campaign_due,
    mailing,
    member,
)
from l3mail.planning.lanes import LANE_OF_BULK, LANE_OF_COURSES, LANES
from l3mail.planning.lessons import in_cohort, lesson_again, lessons_due
from l3mail.planning.mails import PLANNED, mails, planned
from l3mail.planning.moments import Later
from l3mail.planning.permission import (
    CONFIRMATIONS_PER_30_DAYS,
    CONFIRMATIONS_PER_DAY,
    FRESH_LINKS_PER_30_DAYS,
    FRESH_LINKS_PER_DAY,
    NOW,
    TRIED,
    Candidate,
    Column,
    Joined,
    bindings,
    mailable,
    objection,
    objections,
)
from l3mail.planning.restraint import (
    NO_RESTRAINT,
    TO_GO_ON,
    Cap,
    QuietHours,
    Restraint,
    another,
    is_bulk,
    is_over_cap,
    is_restrained,
    mails_begun,
    until_cap_is_free,
    until_quiet_ends,
)
from l3mail.planning.versions import FALLBACK, current_message, nearest

__all__ = [
    "CONFIRMATIONS_PER_30_DAYS",
    "CONFIRMATIONS_PER_DAY",
    "FALLBACK",
    "FRESH_LINKS_PER_30_DAYS",
    "FRESH_LINKS_PER_DAY",
    "IS_MEMBER",
    "LANES",
    "LANE_OF_BULK",
    "LANE_OF_COURSES",
    "LAST",
    "LAST_OF_STRETCH",
    "MEMBER",
    "NOW",
    "NO_RESTRAINT",
    "PLANNED",
    "TO_GO_ON",
    "TRIED",
    "Candidate",
    "Cap",
    "Column",
    "Joined",
    "Later",
    "QuietHours",
    "Restraint",
    "another",
    "bindings",
    "campaign_due",
    "current_message",
    "in_cohort",
    "is_bulk",
    "is_over_cap",
    "is_restrained",
    "kept_back",
    "lesson_again",
    "lessons_due",
    "mailable",
    "mailing",
    "mails",
    "mails_begun",
    "member",
    "nearest",
    "objection",
    "objections",
    "planned",
    "stopped",
    "until_cap_is_free",
    "until_quiet_ends",
]
