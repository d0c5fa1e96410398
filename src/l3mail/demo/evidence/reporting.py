"""Claims on what the staff is told."""

from datetime import time, timedelta

from l3mail.demo.evidence.seen import Claim, Evidence
from l3mail.demo.people import BEGIN, END, STAFF

_WEEKLY = "report/weekly"
_EIGHT = time(8)


def reported(seen: Evidence) -> Claim:
    """Each Monday at eight the office has its report on the week before, and nobody else has."""
    days = (seen.local(BEGIN).date() + timedelta(days=n) for n in range((END - BEGIN).days + 1))
    mondays = [day for day in days if day.weekday() == 0][1:]
    got = seen.arrivals(_WEEKLY)
    prompt = [(at.date(), at.time()) for _, _, at in got]
    return Claim(
        "reported",
        {who for who, *_ in got} == {STAFF} and prompt == [(day, _EIGHT) for day in mondays],
        f"{len(got)} weekly reports reached the office, {sum(at == _EIGHT for _, at in prompt)}"
        f" of them on Monday at 08:00, for {len(mondays)} weeks",
    )
