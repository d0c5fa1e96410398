"""What is kept as proof of somebody's consent, as values.

Only reads, and knows how neither pages nor files look.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Connection, and_, or_, select

from l3mail.models import CONSENT, STREAM, SUBSCRIBER, SUBSCRIPTION, WORDING, WORKSPACE

BATCH: Final = 10_000


def of_person(connection: Connection, subscriber_id: int) -> dict[str, Any]:
    """A person's acts in their order, the texts they name, and what streams are called.

    JSON values: `acts` with `seq, act, subscriber, at, content, salt, digest, link` (hashes in
    hex), `wordings` with `id, name, locale, hash, text`, `streams` by slug with `title, kind`.
    All are empty for somebody of whom no proof is kept.
    """
    return of_people(connection, [subscriber_id])


def of_people(connection: Connection, subscriber_ids: Sequence[int]) -> dict[str, Any]:
    """`of_person` for those who had one address one after the other, as one history."""
    rows = connection.execute(
        select(CONSENT)
        .where(CONSENT.c.subscriber_id.in_(sorted(subscriber_ids)), CONSENT.c.salt.is_not(None))
        .order_by(CONSENT.c.seq)
    )
    acts = [
        {
            "seq": row.seq,
            "act": row.act,
            "subscriber": row.subscriber_id,
            "at": row.at.isoformat(),
            "content": row.content,
            "salt": row.salt.hex(),
            "digest": row.digest.hex(),
            "link": row.link.hex(),
        }
        for row in rows
    ]
    return {
        "acts": acts,
        "wordings": _wordings(connection, acts),
        "streams": _streams(connection, acts),
    }


def streams_of(act: Mapping[str, Any], acts: Iterable[Mapping[str, Any]]) -> list[str]:
    """The slugs an act is about; of a mail, those that its sign-up had asked for until then."""
    content = act["content"]
    if act["act"] != "mailed" or content.get("signup") is None:
        return list(content.get("streams") or ())
    asked = (
        one["content"]["streams"]
        for one in acts
        if one["act"] == "requested"
        and one["seq"] < act["seq"]
        and one["content"].get("signup") == content["signup"]
    )
    return list(dict.fromkeys(slug for slugs in asked for slug in slugs))


def find(connection: Connection, address_key: bytes) -> list[int]:
    """Whose evidence an address leads to: who has it now, and erased people who had it.

    Erased people are known by their acts alone. Somebody living who has another address by now is
    found where nobody else is: the address may be somebody else's today.
    """
    key = address_key.hex()
    named = or_(
        CONSENT.c.content["address_key"].as_string() == key,
        CONSENT.c.content["address_key_before"].as_string() == key,
    )
    rows = connection.execute(
        select(SUBSCRIBER.c.id, SUBSCRIBER.c.address_key, SUBSCRIBER.c.erased_at).where(
            or_(
                and_(SUBSCRIBER.c.address_key == address_key, SUBSCRIBER.c.erased_at.is_(None)),
                SUBSCRIBER.c.id.in_(select(CONSENT.c.subscriber_id).where(named)),
            )
        )
    ).all()
    theirs = [row.id for row in rows if row.erased_at is not None or row.address_key == address_key]
    return sorted(theirs or (row.id for row in rows))


def standings(connection: Connection, subscriber_ids: Sequence[int]) -> list[dict[str, Any]]:
    """How things stand with these people now: JSON values.

    Each has `subscriber, email, created_at, erased_at, kept_until, restricted_at, tracking` and
    `streams` with `stream, title, kind, status, confirmed_at, unsubscribed_at, source`.
    `kept_until` is the day until which an erased person's proof is kept.
    """
    rows = connection.execute(
        select(SUBSCRIBER)
        .where(SUBSCRIBER.c.id.in_(sorted(subscriber_ids)))
        .order_by(SUBSCRIBER.c.id)
    ).all()
    kept = _kept_until(connection, [row.id for row in rows if row.erased_at is not None])
    memberships = _memberships(connection, [row.id for row in rows if row.erased_at is None])
    return [
        {
            "subscriber": row.id,
            "email": row.address,
            "created_at": row.created_at.isoformat(),
            "erased_at": row.erased_at and row.erased_at.isoformat(),
            "kept_until": kept.get(row.id),
            "restricted_at": row.restricted_at and row.restricted_at.isoformat(),
            "tracking": row.tracking,
            "streams": memberships.get(row.id, []),
        }
        for row in rows
    ]


def stretch(connection: Connection, first: int, last: int) -> Iterator[tuple[int, str]]:
    """Number and digest (hex) of every act from `first` to `last`, whoever's: they tell nobody."""
    after = first - 1
    batch = select(CONSENT.c.seq, CONSENT.c.digest).order_by(CONSENT.c.seq).limit(BATCH)
    while rows := connection.execute(
        batch.where(CONSENT.c.seq > after, CONSENT.c.seq <= last)
    ).all():
        yield from ((row.seq, row.digest.hex()) for row in rows)
        after = rows[-1].seq


def link_before(connection: Connection, seq: int) -> str:
    """What the chain stood at before an act, in hex: the link before it, or the chain's start."""
    link = connection.execute(
        select(CONSENT.c.link).where(CONSENT.c.seq < seq).order_by(CONSENT.c.seq.desc()).limit(1)
    ).scalar()
    start: bytes = connection.execute(select(WORKSPACE.c.chain_start)).scalar_one()
    return bytes(start if link is None else link).hex()


def newest(connection: Connection) -> tuple[int, str]:
    """Number and link (hex) of the newest act; 0 and the chain's start where there is none."""
    row = connection.execute(
        select(CONSENT.c.seq, CONSENT.c.link).order_by(CONSENT.c.seq.desc()).limit(1)
    ).first()
    return (0, link_before(connection, 0)) if row is None else (row.seq, row.link.hex())


def _wordings(connection: Connection, acts: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    named = {one["id"] for act in acts for one in act["content"].get("wordings") or ()}
    rows = connection.execute(
        select(WORDING.c.id, WORDING.c.name, WORDING.c.locale, WORDING.c.hash, WORDING.c.text)
        .where(WORDING.c.id.in_(sorted(named)))
        .order_by(WORDING.c.id)
    )
    return [dict(row._mapping) for row in rows]


def _streams(
    connection: Connection, acts: Iterable[Mapping[str, Any]]
) -> dict[str, dict[str, str]]:
    slugs = {slug for act in acts for slug in act["content"].get("streams") or ()}
    rows = connection.execute(
        select(STREAM.c.slug, STREAM.c.title, STREAM.c.kind)
        .where(STREAM.c.slug.in_(sorted(slugs)))
        .order_by(STREAM.c.slug)
    )
    return {row.slug: {"title": row.title, "kind": row.kind} for row in rows}


def _kept_until(connection: Connection, erased: Sequence[int]) -> dict[int, str]:
    """By person, the day their last act names."""
    rows = connection.execute(
        select(CONSENT.c.subscriber_id, CONSENT.c.content)
        .where(CONSENT.c.subscriber_id.in_(erased), CONSENT.c.act == "withdrawn")
        .order_by(CONSENT.c.seq)
    )
    days = {row.subscriber_id: row.content.get("proof_until") for row in rows}
    return {person: day for person, day in days.items() if day}


def _memberships(connection: Connection, living: Sequence[int]) -> dict[int, list[dict[str, Any]]]:
    rows = connection.execute(
        select(
            SUBSCRIPTION.c.subscriber_id,
            STREAM.c.slug,
            STREAM.c.title,
            STREAM.c.kind,
            SUBSCRIPTION.c.state,
            SUBSCRIPTION.c.confirmed_at,
            SUBSCRIPTION.c.unsubscribed_at,
            SUBSCRIPTION.c.source,
        )
        .join(STREAM, STREAM.c.id == SUBSCRIPTION.c.stream_id)
        .where(SUBSCRIPTION.c.subscriber_id.in_(living))
        .order_by(STREAM.c.slug)
    )
    found: dict[int, list[dict[str, Any]]] = {}
    for row in rows:
        found.setdefault(row.subscriber_id, []).append(
            {
                "stream": row.slug,
                "title": row.title,
                "kind": row.kind,
                "status": row.state,
                "confirmed_at": row.confirmed_at and row.confirmed_at.isoformat(),
                "unsubscribed_at": row.unsubscribed_at and row.unsubscribed_at.isoformat(),
                "source": row.source,
            }
        )
    return found
