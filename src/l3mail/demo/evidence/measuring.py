"""Claims on opens and clicks: measured of who allows it, judged, and of nobody else on record."""

from collections import defaultdict
from datetime import datetime, timedelta

from sqlalchemy import func, select

from l3mail.demo.evidence.seen import Claim, Evidence
from l3mail.demo.mailserver import Arrived
from l3mail.demo.people import SCANNED
from l3mail.models import CONSENT, COUNTER, DELIVERY, EVENT, SUBSCRIBER
from l3mail.tokens import Purpose

_MACHINES_COME = timedelta(minutes=10)
"""Within this span after a mail arrived nobody of the demo reads it."""
_ACTS = {"tracking_granted": True, "tracking_withdrawn": False}


class _Allowed:
    """Who allowed measuring, and from when to when."""

    def __init__(self, seen: Evidence) -> None:
        self._acts: dict[str, list[tuple[datetime, bool]]] = defaultdict(list)
        query = (
            select(SUBSCRIBER.c.address, CONSENT.c.at, CONSENT.c.act)
            .join(SUBSCRIBER, SUBSCRIBER.c.id == CONSENT.c.subscriber_id)
            .where(CONSENT.c.act.in_(_ACTS))
            .order_by(CONSENT.c.seq)
        )
        for row in seen.rows(query):
            self._acts[row.address].append((row.at, _ACTS[row.act]))

    def by(self, address: str, at: datetime) -> bool:
        """Whether somebody allowed it at a moment."""
        said = [is_allowed for since, is_allowed in self._acts.get(address, ()) if since <= at]
        return bool(said) and said[-1]


def private(seen: Evidence) -> Claim:
    """Only who allows it gets a pixel, or a link that knows them."""
    allowed = _Allowed(seen)
    marked: dict[bool, list[bool]] = {True: [], False: []}
    for one in seen.arrived:
        if one.stream:
            marked[allowed.by(one.address, one.at)].append(_knows_reader(seen, one))
    return Claim(
        "private",
        all(marked[True]) and not any(marked[False]) and min(map(len, marked.values())) > 0,
        f"{len(marked[True])} mails to people who allow measuring, {sum(marked[True])} with a pixel"
        f" of their own; {len(marked[False])} to others, {sum(marked[False])} with one",
    )


def _knows_reader(seen: Evidence, one: Arrived) -> bool:
    tokens = [link.split("/c/")[1].partition("/")[0] for link in one.measured]
    tokens += [pixel.split("/o/")[1].removesuffix(".gif") for pixel in one.pixels]
    # A delivery alone is one reader's; a text, which has a zero before it, is everybody's.
    named = [len(seen.tokens.read(Purpose.TRACK, token, one.at).numbers) == 1 for token in tokens]
    return bool(one.pixels) or any(named)


def on_record(seen: Evidence) -> Claim:
    """Each opening and click of who allows it, and none of anybody else, who is only counted."""
    allowed = _Allowed(seen)
    deeds = {"opened": seen.deeds.read, "clicked": seen.deeds.followed}
    theirs = [
        (kind, allowed.by(who, at)) for kind, done in deeds.items() for (who, _), at in done.items()
    ]
    rows = seen.rows(
        select(EVENT.c.at, SUBSCRIBER.c.address)
        .join(SUBSCRIBER, SUBSCRIBER.c.id == EVENT.c.subscriber_id)
        .where(EVENT.c.kind.in_(("opened", "clicked")), EVENT.c.verdict == "human")
    )
    others = sum(not allowed.by(row.address, row.at) for row in rows)
    counted = seen.connection.execute(select(func.sum(COUNTER.c.n))).scalar() or 0
    expected = sum(is_allowed for _, is_allowed in theirs)
    only_counted = theirs.count(("clicked", False))
    return Claim(
        "on record",
        others == 0 and len(rows) == expected > 0 and counted == only_counted,
        f"{len(rows)} of their {expected} opens and clicks are on record, {others} of others,"
        f" whose {only_counted} clicks are {counted} counted by text and day",
    )


def judged(seen: Evidence) -> Claim:
    """A scanner's visits are no person's, and people's are not a machine's."""
    query = (
        select(EVENT.c.at, EVENT.c.verdict, SUBSCRIBER.c.address, DELIVERY.c.ended_at)
        .join(DELIVERY, DELIVERY.c.id == EVENT.c.delivery_id)
        .join(SUBSCRIBER, SUBSCRIBER.c.id == EVENT.c.subscriber_id)
        .where(EVENT.c.kind.in_(("opened", "clicked")))
    )
    found: dict[bool, list[str]] = {True: [], False: []}
    for row in seen.rows(query):
        is_scan = row.address == SCANNED and row.at - row.ended_at < _MACHINES_COME
        found[is_scan].append(row.verdict)
    scans, visits = found[True], found[False]
    machine, unsure = scans.count("machine"), scans.count("unsure")
    return Claim(
        "judged",
        machine > 0 and machine + unsure == len(scans) and set(visits) == {"human"},
        f"of the scanner's {len(scans)} visits {machine} are judged machine, {unsure} unsure,"
        f" {scans.count('human')} human; of people's {len(visits)} {visits.count('human')} human",
    )
