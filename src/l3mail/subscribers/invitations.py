"""One person an operator writes in: asked by mail, and what there is to say about it.

Owns the answer that the web must not give: here somebody with the workspace's key asks.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy import Connection, func, select

from l3mail import subscribers
from l3mail.addresses import address_key
from l3mail.models import DELIVERY
from l3mail.subscribers.acquaintance import Newcomer, fills, look_up, make_known
from l3mail.subscribers.terms import Request, Rules


@dataclass(frozen=True, slots=True)
class Invited:
    """What became of it.

    `queued`: a confirmation mail asks for `streams`; `waiting`: it was asked already and the limit
    allows no mail now; `confirmed`: nothing to ask; `recorded`: no stream was named; `suppressed`
    (for `reason`, since `at`) and `restricted`: nothing is done. `left_at` is when one of the
    streams was unsubscribed.
    """

    outcome: Literal["queued", "waiting", "confirmed", "recorded", "suppressed", "restricted"]
    streams: tuple[str, ...] = ()
    reason: str = ""
    at: datetime | None = None
    left_at: datetime | None = None


def invite(connection: Connection, rules: Rules, request: Request, now: datetime) -> Invited:
    """Ask a person by mail to confirm the streams they are not in; within the usual limits."""
    key = address_key(request.address, rules.pepper)
    known = look_up(connection, [key], now)[key]
    if known.suppressed and known.suppressed[0] != "hard_bounce":
        reason, at = known.suppressed
        return Invited("suppressed", reason=reason, at=at)
    if known.restricted:
        return Invited("restricted")
    if not request.streams:
        filled = fills(request, known.values) if known.person else {}
        make_known(connection, [Newcomer(request, key, known.person, filled)], now)
        return Invited("recorded")
    asked = tuple(slug for slug in request.streams if known.state(slug) != "confirmed")
    if not asked:
        return Invited("confirmed", request.streams)
    before = _confirmations(connection, known.person)
    subscribers.sign_up(connection, rules, request, now)
    person = look_up(connection, [key], now)[key].person
    queued = _confirmations(connection, person) > before
    left = [known.states[slug][1] for slug in asked if known.state(slug) == "unsubscribed"]
    return Invited(
        "queued" if queued else "waiting",
        asked,
        left_at=max((at for at in left if at), default=None),
    )


def _confirmations(connection: Connection, person: int | None) -> int:
    query = select(func.count()).where(
        DELIVERY.c.subscriber_id == person, DELIVERY.c.kind == "confirmation"
    )
    return int(connection.execute(query).scalar_one())
