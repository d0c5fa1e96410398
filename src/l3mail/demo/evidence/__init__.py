"""What the demo may claim: counted from the rows and the mails that arrived, nothing counted along.

Owns the list of claims. Reads only. Each claim says by its numbers what it found and can fail;
whoever adds one adds a function to `CLAIMS`.
"""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

from l3mail.demo.evidence import (
    arrivals,
    learning,
    lessons,
    measuring,
    memberships,
    occasions,
    reporting,
)
from l3mail.demo.evidence.seen import Claim, Deeds, Evidence, Summary

__all__ = ["CLAIMS", "Claim", "Deeds", "Evidence", "Summary", "look"]

CLAIMS: tuple[Callable[[Evidence], Claim], ...] = (
    memberships.confirmed,
    memberships.forgotten,
    memberships.asked,
    memberships.by_hand,
    memberships.left,
    memberships.once_enrolled,
    memberships.proved,
    arrivals.arrived,
    arrivals.repeated,
    arrivals.resent,
    arrivals.in_their_language,
    lessons.complete,
    lessons.on_mondays,
    lessons.sharp,
    lessons.not_crowded,
    lessons.foreseen,
    learning.answered,
    learning.by_themselves,
    learning.completed,
    learning.certified,
    occasions.issue,
    occasions.birthdays,
    occasions.wishes,
    occasions.by_click,
    occasions.yearly,
    measuring.private,
    measuring.on_record,
    measuring.judged,
    reporting.reported,
)


def look(evidence: Evidence, folder: Path, pages: tuple[Path, ...] = ()) -> Summary:
    """Every claim, and how many people, mails and deliveries it is about."""
    return Summary(
        folder=folder,
        pages=pages,
        people=len(evidence.asked),
        mails=len(evidence.arrived),
        states=Counter(row.state for row in evidence.deliveries.values()),
        claims=tuple(claim(evidence) for claim in CLAIMS),
    )
