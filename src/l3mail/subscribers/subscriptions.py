"""Memberships: how they end, how an operator vouches for one, and what a person may choose.

Owns subscription rows after the sign-up made them, and the choices on the subscriber's own.
"""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from l3mail import consents, courses, events, suppressions
from l3mail.addresses import address_key
from l3mail.models import STREAM, SUBSCRIBER, SUBSCRIPTION
from l3mail.subscribers import people, profiles, signups
from l3mail.subscribers.terms import Attested, Refused, Request, Rules


def unsubscribe(
    connection: Connection,
    subscriber_id: int,
    streams: Collection[str] | None,
    now: datetime,
    how: str,
) -> list[str]:
    """End memberships, whatever generation the link had; return the slugs that changed.

    `streams` None means everything. `how` is one-click, page, preferences, operator, import,
    refusal or erasure. Cancels courses and takes the streams out of open sign-ups.
    """
    person = people.lock(connection, subscriber_id)
    return [] if person is None else end(connection, person, streams, now, how=how)


def end(
    connection: Connection,
    person: Row[Any],
    streams: Collection[str] | None,
    now: datetime,
    *,
    how: str,
    evidence: Mapping[str, Any] | None = None,
) -> list[str]:
    """`unsubscribe` for a person whose row is held; `evidence` is noted whatever changed."""
    chosen = select(STREAM.c.id)
    if streams is not None:
        chosen = chosen.where(STREAM.c.slug.in_(sorted(streams)))
    ended = connection.execute(
        update(SUBSCRIPTION)
        .where(
            SUBSCRIPTION.c.subscriber_id == person.id,
            SUBSCRIPTION.c.stream_id.in_(chosen),
            SUBSCRIPTION.c.state != "unsubscribed",
        )
        .values(
            state="unsubscribed",
            generation=SUBSCRIPTION.c.generation + 1,
            unsubscribed_at=now,
        )
        .returning(SUBSCRIPTION.c.stream_id)
    )
    ids = sorted(ended.scalars())
    signups.strike(connection, person.id, streams, now)
    if not ids and evidence is None:
        return []
    courses.cancel(connection, person.id, ids, now)
    query = select(STREAM.c.slug).where(STREAM.c.id.in_(ids)).order_by(STREAM.c.slug)
    slugs = list(connection.execute(query).scalars())
    tell(connection, "unsubscribed", person.id, slugs, how=how, now=now)
    content = {"streams": slugs, "how": how, "address_key": key_of(person), **(evidence or {})}
    consents.note(connection, "withdrawn", person.id, content, now)
    return slugs


def end_all(
    connection: Connection,
    people_by_id: Mapping[int, bytes],
    streams: Collection[str],
    now: datetime,
    how: str,
) -> int:
    """`unsubscribe` for several people whose rows are held; return how many memberships ended.

    `people_by_id` are the keys of their addresses. A statement for each thing that is done, not
    for each person.
    """
    listed = sorted(people_by_id)
    slug_of = {
        row.id: row.slug
        for row in connection.execute(
            select(STREAM.c.id, STREAM.c.slug).where(STREAM.c.slug.in_(sorted(streams)))
        )
    }
    consents.hold(connection)
    ended = connection.execute(
        update(SUBSCRIPTION)
        .where(
            SUBSCRIPTION.c.subscriber_id.in_(listed),
            SUBSCRIPTION.c.stream_id.in_(sorted(slug_of)),
            SUBSCRIPTION.c.state != "unsubscribed",
        )
        .values(
            state="unsubscribed",
            generation=SUBSCRIPTION.c.generation + 1,
            unsubscribed_at=now,
        )
        .returning(SUBSCRIPTION.c.subscriber_id, SUBSCRIPTION.c.stream_id)
    ).all()
    signups.strike_all(connection, listed, streams, now)
    left: dict[int, list[str]] = {}
    leavers: dict[int, set[int]] = {}
    for person, stream in ended:
        left.setdefault(person, []).append(slug_of[stream])
        leavers.setdefault(stream, set()).add(person)
    for stream, gone in sorted(leavers.items()):
        courses.cancel_all(connection, gone, {stream}, now)
    acts = [
        (
            person,
            {"streams": sorted(slugs), "how": how, "address_key": people_by_id[person].hex()},
        )
        for person, slugs in sorted(left.items())
    ]
    fact = {"kind": "unsubscribed", "at": now}
    events.append(
        connection,
        [
            fact | {"subscriber_id": person, "data": {"stream": slug, "how": how}}
            for person, content in acts
            for slug in content["streams"]
        ],
    )
    consents.note_all(connection, "withdrawn", acts, now)
    return len(ended)


def tell(
    connection: Connection,
    kind: str,
    subscriber_id: int,
    slugs: Collection[str],
    *,
    how: str,
    now: datetime,
) -> None:
    """Append one event for each stream somebody joined or left."""
    fact = {"kind": kind, "at": now, "subscriber_id": subscriber_id}
    events.append(connection, [fact | {"data": {"stream": slug, "how": how}} for slug in slugs])


def key_of(person: Row[Any]) -> str | None:
    """The key of a person's address, as evidence names it: the address itself may be erased."""
    return None if person.address_key is None else bytes(person.address_key).hex()


def attest(
    connection: Connection, rules: Rules, request: Request, *, note: str, by: str, now: datetime
) -> Attested | Refused:
    """Record an operator's word that this person consented; nobody is enrolled by it.

    All of the row or nothing: refused where the address is barred or one of the streams was
    unsubscribed. Values fill what is empty and never overwrite what a person said.
    """
    said = profiles.kept(request.values)
    asked = signups.streams_asked(connection, request.streams)
    refused = _objection(connection, rules, request, [row.id for row in asked.values()])
    if refused is not None:
        return refused
    person = people.meet(connection, rules, request.address, now)
    # Asked again now that the row is held: an unsubscribe may have come in between.
    refused = _objection(connection, rules, request, [row.id for row in asked.values()])
    if refused is not None:
        return refused
    before = {row.slug for row in signups.confirmed_streams(connection, person.id)}
    new = [slug for slug in asked if slug not in before]
    for slug in new:
        _vouch(connection, person.id, asked[slug].id, request.source, now)
    evidence = {
        "note": note,
        "by": by,
        "form": request.form,
        "source": request.source,
        "address_key": key_of(person),
    }
    if new:
        signups.settle(connection, {person.id}, now)
        consents.note(connection, "attested", person.id, {"streams": new, **evidence}, now)
        tell(connection, "confirmed", person.id, new, how="attested", now=now)
    fill(connection, person, said, profiles.language(request.locale), over=False)
    if said.get("tracking"):
        grant_tracking(connection, person, evidence, now)
    return Attested(int(person.id), tuple(new))


def _objection(
    connection: Connection, rules: Rules, request: Request, stream_ids: Collection[int]
) -> Refused | None:
    """Why an operator may not vouch for an address (TRUST section 6)."""
    key = address_key(request.address, rules.pepper)
    barred = suppressions.find(connection, key)
    if barred is not None:
        since = barred.suppressed_at.astimezone(rules.zone).date().isoformat()
        return Refused(f"suppressed on {since} ({barred.reason.replace('_', ' ')})")
    person = connection.execute(
        select(SUBSCRIBER.c.restricted_at).where(SUBSCRIBER.c.address_key == key)
    ).first()
    if person is not None and person.restricted_at is not None:
        return Refused("processing is restricted at the person's request")
    left = connection.execute(
        select(STREAM.c.slug, SUBSCRIPTION.c.unsubscribed_at)
        .join(SUBSCRIPTION, SUBSCRIPTION.c.stream_id == STREAM.c.id)
        .join(SUBSCRIBER, SUBSCRIBER.c.id == SUBSCRIPTION.c.subscriber_id)
        .where(
            SUBSCRIBER.c.address_key == key,
            SUBSCRIPTION.c.stream_id.in_(stream_ids),
            SUBSCRIPTION.c.state == "unsubscribed",
        )
        .order_by(STREAM.c.slug)
    ).first()
    if left is None:
        return None
    moment = left.unsubscribed_at
    on = "" if moment is None else f" on {moment.astimezone(rules.zone).date().isoformat()}"
    return Refused(f"unsubscribed{on}, needs a new opt-in ({left.slug})")


def _vouch(
    connection: Connection, subscriber_id: int, stream_id: int, source: str | None, now: datetime
) -> None:
    confirmed = {"state": "confirmed", "confirmed_at": now, "source": profiles.line(source)}
    raised = connection.execute(
        update(SUBSCRIPTION)
        .where(SUBSCRIPTION.c.subscriber_id == subscriber_id, SUBSCRIPTION.c.stream_id == stream_id)
        .values(**confirmed, generation=SUBSCRIPTION.c.generation + 1)
        .returning(SUBSCRIPTION.c.id)
    )
    if raised.first() is None:
        connection.execute(
            insert(SUBSCRIPTION).values(
                **confirmed, subscriber_id=subscriber_id, stream_id=stream_id, created_at=now
            )
        )


def fill(
    connection: Connection,
    person: Row[Any],
    said: dict[str, Any],
    locale: str | None,
    *,
    over: bool,
) -> None:
    """Write what was said of a person to their row; `over` also where something is known."""
    known = {} if over else person.attributes
    filled = profiles.columns(said, person.attributes)
    if "attributes" in filled:
        filled["attributes"] |= known
    if locale is not None:
        filled["locale"] = locale
    birthday_known = person.birth_month is not None
    if not over:
        filled = {
            name: value
            for name, value in filled.items()
            if name == "attributes"
            or (not birthday_known if name in profiles.BIRTH else person._mapping[name] is None)
        }
    if filled:
        connection.execute(update(SUBSCRIBER).where(SUBSCRIBER.c.id == person.id).values(**filled))


def grant_tracking(
    connection: Connection, person: Row[Any], evidence: dict[str, Any], now: datetime
) -> None:
    """Note a person's consent to tracking, unless it stands already."""
    if not person.tracking:
        connection.execute(
            update(SUBSCRIBER).where(SUBSCRIBER.c.id == person.id).values(tracking=True)
        )
        consents.note(connection, "tracking_granted", person.id, evidence, now)


def set_preferences(
    connection: Connection,
    subscriber_id: int,
    now: datetime,
    *,
    locale: str | None = None,
    tracking: bool | None = None,
    wording_id: int | None = None,
) -> None:
    """Change language or consent to tracking; None leaves as it is.

    A change of tracking leaves a consent act, with the wording that was shown. Whoever is unknown
    or erased stays so.
    """
    person = people.lock(connection, subscriber_id)
    if person is None or person.erased_at is not None:
        return
    tag = profiles.language(locale)
    if tag is not None:
        connection.execute(
            update(SUBSCRIBER).where(SUBSCRIBER.c.id == subscriber_id).values(locale=tag)
        )
    if tracking is None or tracking == person.tracking:
        return
    shown = consents.wordings(connection, () if wording_id is None else (wording_id,))
    evidence = {
        "form": "preferences",
        "wordings": [wording.evidence() for wording in shown.values()],
        "address_key": key_of(person),
    }
    if tracking:
        grant_tracking(connection, person, evidence, now)
        return
    connection.execute(
        update(SUBSCRIBER).where(SUBSCRIBER.c.id == subscriber_id).values(tracking=False)
    )
    consents.note(connection, "tracking_withdrawn", subscriber_id, evidence, now)


def set_attributes(connection: Connection, subscriber_id: int, said: Mapping[str, Any]) -> None:
    """Keep what somebody says of themselves, by attribute; None forgets. Others stay as they are.

    Whoever is unknown or erased stays so.
    """
    correct(connection, subscriber_id, {"attributes": said})


def correct(connection: Connection, subscriber_id: int, said: Mapping[str, Any]) -> None:
    """Keep what is said of a person, in the words of `Request.values`; None forgets.

    What is not named stays as it is. Whoever is unknown or erased stays so. Raises SubscriberError
    for a birthday that is no date.
    """
    person = people.lock(connection, subscriber_id)
    if person is None or person.erased_at is not None:
        return
    kept = profiles.kept(said)
    new: dict[str, Any] = {name: kept.get(name) for name in profiles.NAMES if name in said}
    if "birthday" in said:
        born = kept.get("birthday")
        parsed = profiles.parse_birthday(born) if born else (None, None, None)
        new |= dict(zip(profiles.BIRTH, parsed, strict=True))
    if "attributes" in said:
        asked = said["attributes"]
        rest = {name: value for name, value in person.attributes.items() if name not in asked}
        new["attributes"] = rest | kept.get("attributes", {})
    if new:
        connection.execute(update(SUBSCRIBER).where(SUBSCRIBER.c.id == subscriber_id).values(**new))
