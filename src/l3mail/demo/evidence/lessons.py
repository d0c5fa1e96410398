"""Claims on the course: whole, in order, always Monday at ten."""

from collections.abc import Sequence
from datetime import date, datetime
from itertools import pairwise

from l3mail.demo.evidence.seen import Claim, Evidence
from l3mail.demo.mailserver import FULL
from l3mail.demo.people import FORESEES_AT, LEAVES, PAUSES

_WEEK_DAYS = 7


def complete(seen: Evidence) -> Claim:
    """Every learner had the whole plan, in order."""
    refused = sum(
        row.state == "failed" and row.enrollment_id is not None for row in seen.deliveries.values()
    )
    steps = sum(len(journey) for journey in seen.journeys.values())
    planned = len(seen.journeys) * len(seen.lessons)
    return Claim(
        "complete",
        bool(seen.whole) and steps + refused == planned,
        f"{len(seen.whole)} of {len(seen.journeys)} learners had all {len(seen.lessons)} mails"
        f" in order; {refused} mails refused (mailbox full)",
    )


def on_mondays(seen: Evidence) -> Claim:
    """On Mondays, one after the other, but for who paused."""
    mondays = sum(all(at.weekday() == 0 for at in journey) for journey in seen.whole)
    on_end = [max(_gaps(journey)) == _WEEK_DAYS for journey in seen.whole]
    pauses = [max(_gaps(journey)) for journey in seen.whole if max(_gaps(journey)) > _WEEK_DAYS]
    expected = [_WEEK_DAYS * (weeks + 1) for weeks in seen.deeds.paused.values()]
    rest = f", {len(pauses)} with a pause ({pauses[0]} days)" if pauses else ""
    return Claim(
        "mondays",
        mondays == len(seen.whole) and pauses == expected,
        f"{mondays} on Mondays only: {sum(on_end)} week after week{rest}",
    )


def _gaps(journey: Sequence[datetime]) -> list[int]:
    """Local days from one to the next; daylight saving ended in between."""
    days: list[date] = [at.date() for at in journey]
    return [(later - earlier).days for earlier, later in pairwise(days)]


def sharp(seen: Evidence) -> Claim:
    """At ten on the clock of the wall, in summer and in winter."""
    sharp = sum(all(f"{at:%H:%M:%S}" == "10:00:00" for at in journey) for journey in seen.whole)
    offsets = {f"{at:%z}" for journey in seen.whole for at in journey}
    return Claim(
        "sharp",
        sharp == len(seen.whole) > 0,
        f"{sharp} always at 10:00 sharp, at {' and '.join(sorted(offsets, reverse=True))}",
    )


def not_crowded(seen: Evidence) -> Claim:
    """Nobody had two lessons on one day."""
    days = [[at.date() for _, at in journey] for journey in seen.journeys.values()]
    twice = sum(len(set(one)) < len(one) for one in days)
    return Claim("crowded", twice == 0, f"{twice} had two lessons on one day")


def foreseen(seen: Evidence) -> Claim:
    """What was foreseen came, at its moment, but for those who then left, paused or had no room."""
    asked_at = FORESEES_AT
    told = {(one.email, one.message, one.due_at) for one in seen.deeds.foreseen}
    meant = {one for one in told if one[1] in seen.lessons}
    came = {one for one in seen.arrivals(*seen.lessons) if one[2] > asked_at}
    others = {who for who, _, _ in meant ^ came}
    return Claim(
        "foreseen",
        bool(meant & came) and others == {LEAVES, PAUSES, FULL},
        f"of {len(meant)} lessons foreseen on {seen.local(asked_at):%d %b} {len(meant & came)} came"
        f" as foreseen, the rest changed with {len(others)} people",
    )
