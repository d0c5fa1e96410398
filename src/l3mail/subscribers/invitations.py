"""People an operator writes in: asked by mail, one with an answer or many at once.

Owns the answer that the web must not give: here somebody who may read the list asks. What many
are asked leaves the same rows as if each had signed up.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Connection, Row, func, insert, select

from l3mail import consents
from l3mail.addresses import address_key
from l3mail.database import upsert
from l3mail.models import DELIVERY, SIGNUP, SUBSCRIPTION
from l3mail.subscribers import profiles, signups
from l3mail.subscribers.acquaintance import Newcomer, fills, look_up, make_known
from l3mail.subscribers.mails import queue
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
    signups.sign_up(connection, rules, request, now)
    person = look_up(connection, [key], now)[key].person
    queued = _confirmations(connection, person) > before
    left = [known.states[slug][1] for slug in asked if known.state(slug) == "unsubscribed"]
    return Invited(
        "queued" if queued else "waiting",
        asked,
        left_at=max((at for at in left if at), default=None),
    )


def invite_all(
    connection: Connection, rules: Rules, people: Sequence[Newcomer], now: datetime
) -> int:
    """`sign_up` for many who have no open request, set by set; return how many mails are queued.

    Their requests name what is to be asked, streams that they are not in.
    """
    if not people:
        return 0
    bare = [replace(one, fills={}, bare=True) for one in people]
    ids = make_known(connection, bare, now)
    named = sorted({slug for one in people for slug in one.request.streams})
    streams = signups.streams_asked(connection, named)
    connection.execute(
        upsert(connection, SUBSCRIPTION).on_conflict_do_nothing(),
        [
            {
                "subscriber_id": ids[one.key],
                "stream_id": streams[slug].id,
                "state": "unconfirmed",
                "created_at": now,
            }
            for one in people
            for slug in one.request.streams
        ],
    )
    rows = _requests(connection, rules, people, ids, streams, now)
    opened = connection.execute(
        insert(SIGNUP).returning(SIGNUP.c.id, SIGNUP.c.subscriber_id), rows
    ).all()
    number_of = {row.subscriber_id: row.id for row in opened}
    acts = [
        (person, signups.evidence(row, number_of[person], row["address_key"]))
        for person, row in ((row["subscriber_id"], row) for row in rows)
    ]
    consents.note_all(connection, "requested", acts, now)
    asking = signups.mails_asking(confirming=True).where(
        SIGNUP.c.id.in_(sorted(number_of.values()))
    )
    return len(queue(connection, rules, asking, now))


def _requests(  # noqa: PLR0917 - one call
    connection: Connection,
    rules: Rules,
    people: Sequence[Newcomer],
    ids: Mapping[bytes, int],
    streams: Mapping[str, Row[Any]],
    now: datetime,
) -> list[dict[str, Any]]:
    seen: dict[tuple[str | None, tuple[str, ...]], dict[str, dict[str, Any]]] = {}
    rows = []
    for one in people:
        request = one.request
        box = (request.locale, request.streams)
        if box not in seen:
            asked = {slug: streams[slug] for slug in request.streams}
            seen[box] = signups.wordings_beside(connection, rules, request, asked, tracking=False)
        said = profiles.kept(request.values)
        rows.append(
            {
                "subscriber_id": ids[one.key],
                "address_key": one.key,
                "streams": list(request.streams),
                "signup_values": {"said": said, "wordings": seen[box], "form": request.form},
                "wording_id": next((wording["id"] for wording in seen[box].values()), None),
                "locale": request.locale,
                "source": request.source,
                "requested_at": now,
                "expires_at": now + rules.signup_lifetime,
            }
        )
    return rows


def _confirmations(connection: Connection, person: int | None) -> int:
    query = select(func.count()).where(
        DELIVERY.c.subscriber_id == person, DELIVERY.c.kind == "confirmation"
    )
    return int(connection.execute(query).scalar_one())
