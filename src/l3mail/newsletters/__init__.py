"""Newsletters: issues, and the campaigns that bring each to its audience once.

Knows nothing of text or SMTP.
"""

from l3mail.newsletters.archive import (
    SentIssue,
    Version,
    archived,
    streams_archived,
)
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
    unplanned,
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
    "SentIssue",
    "Version",
    "archived",
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
    "streams_archived",
    "unplanned",
    "withdraw",
]
