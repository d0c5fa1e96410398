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
    BATCH,
    Planned,
    cancel,
    expect,
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
    Sending,
    audience,
    is_more_than,
    sample,
)
from l3mail.newsletters.releases import (
    ANY_UNRELEASED,
    AWAITING_RELEASE,
    IS_UNRELEASED,
    LAPSED,
    Unreleased,
    is_same_person,
    pinned,
    reject,
    release,
    require_releasable,
    texts,
    unreleased,
)
from l3mail.newsletters.standings import (
    ANY_PAUSED,
    STATUSES,
    Campaign,
    campaigns,
    find,
    unplanned,
)

__all__ = [
    "ANY_CAMPAIGN_DUE",
    "ANY_PAUSED",
    "ANY_UNRELEASED",
    "AWAITING_RELEASE",
    "BATCH",
    "ISSUES",
    "IS_UNRELEASED",
    "LAPSED",
    "STATUSES",
    "Audience",
    "Campaign",
    "Issue",
    "LastTime",
    "Planned",
    "Sending",
    "SentIssue",
    "Unreleased",
    "Version",
    "archived",
    "audience",
    "campaigns",
    "cancel",
    "expect",
    "find",
    "is_more_than",
    "is_same_person",
    "issue",
    "pause",
    "pinned",
    "plan",
    "published",
    "reject",
    "release",
    "require_releasable",
    "resume",
    "sample",
    "schedule",
    "streams_archived",
    "texts",
    "unplanned",
    "unreleased",
    "withdraw",
]
