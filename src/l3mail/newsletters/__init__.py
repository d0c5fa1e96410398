"""Newsletters: issues, and the campaigns that bring each to its audience once.

Knows nothing of text or SMTP.
"""

from l3mail.newsletters.campaigns import (
    ANY_CAMPAIGN_DUE,
    ANY_PAUSED,
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
from l3mail.newsletters.reach import (
    Audience,
    LastTime,
    audience,
)

__all__ = [
    "ANY_CAMPAIGN_DUE",
    "ANY_PAUSED",
    "BATCH",
    "ISSUES",
    "Audience",
    "Campaign",
    "Issue",
    "LastTime",
    "Planned",
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
