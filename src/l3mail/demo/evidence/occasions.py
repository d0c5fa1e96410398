"""Claims on what is sent on an occasion: the newsletter, birthdays, special days, wishes."""

from sqlalchemy import select

from l3mail.demo.evidence.seen import Claim, Evidence
from l3mail.demo.people import DISTRICT, ISSUE, NEWSLETTER
from l3mail.models import CAMPAIGN


def issue(seen: Evidence) -> Claim:
    """The issue reached the segment it was meant for, and nobody else, at its moment."""
    members = [m for (_, slug), m in seen.memberships.items() if slug == NEWSLETTER]
    readers = [m for m in members if m.state == "confirmed"]
    meant = {m.address for m in readers if m.district == DISTRICT}
    row = seen.rows(select(CAMPAIGN.c.id, CAMPAIGN.c.scheduled_at).where(CAMPAIGN.c.slug == ISSUE))
    got = [one for one in seen.arrived if one.stream == NEWSLETTER]
    prompt = [one for one in got if row and one.at == row[0].scheduled_at]
    at = f"{seen.local(row[0].scheduled_at):%a %d %b %H:%M}" if row else "never"
    there = {one.address for one in got}
    return Claim(
        "issue",
        bool(meant) and there == meant and len(prompt) == len(got),
        f"{ISSUE}: {len(there & meant)} of {len(meant)} in {DISTRICT},"
        f" {len(there - meant)} others, {len(prompt)} on {at}",
    )
