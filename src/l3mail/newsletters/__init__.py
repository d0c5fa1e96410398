"""Newsletters: issues, and the campaigns that bring each to its audience once.

Knows nothing of text or SMTP.
"""

from l3mail.newsletters.audiences import (
    Audience,
    LastTime,
    Question,
    Questions,
    audience,
)
from l3mail.newsletters.campaigns import (
    BATCH,
    Campaign,
    Planned,
    campaigns,
    cancel,
    find,
    pause,
    plan,
    resume,
    schedule,
    withdraw,
)
from l3mail.newsletters.issues import (
    ISSUES,
    Issue,
    issue,
    published,
)

__all__ = [
    "BATCH",
    "ISSUES",
    "Audience",
    "Campaign",
    "Issue",
    "LastTime",
    "Planned",
    "Question",
    "Questions",
    "audience",
    "campaigns",
    "cancel",
    "find",
    "issue",
    "pause",
    "plan",
    "published",
    "resume",
    "schedule",
    "withdraw",
]
