"""Sign-ups: a stranger's request, open until the address itself answers or it runs out.

Owns sign-up rows and the mails that ask. What the form said stays in the sign-up: the
subscriber's row holds nothing but the address until somebody confirms.
"""

from collections.abc import Collection, Mapping
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import (
    Connection,
    Row,
    Select,
    String,
    and_,
    cast,
    exists,
    func,
    insert,
    literal,
    select,
    update,
)

from l3mail import consents, streams, suppressions
from l3mail.database import upsert
from l3mail.errors import SubscriberError, did_you_mean, quoted
from l3mail.models import (
    DELIVERY,
    SIGNUP,
    STREAM,
    SUBSCRIPTION,
)
from l3mail.subscribers import people, profiles
from l3mail.subscribers.mails import mail, queue
from l3mail.subscribers.terms import Request, Rules, SignupState, SignupStateName, StreamName

CONFIRMATION = "notice/confirmation"
ALREADY_SUBSCRIBED = "notice/already-subscribed"
LIFTABLE = "hard_bounce"
"""The one suppression that confirming lifts."""

IS_OPEN = and_(SIGNUP.c.confirmed_at.is_(None), SIGNUP.c.refused_at.is_(None))
_SOURCE_LIMIT = 100
_SOMETHING_TO_CONFIRM = exists(
    select(SUBSCRIPTION.c.id)
    .join(STREAM, STREAM.c.id == SUBSCRIPTION.c.stream_id)
    .where(
        SUBSCRIPTION.c.subscriber_id == SIGNUP.c.subscriber_id,
        SUBSCRIPTION.c.state != "confirmed",
        # Slugs hold letters, digits and hyphens: quoted, one stands in a JSON list or does not.
        cast(SIGNUP.c.streams, String).like(literal('%"') + STREAM.c.slug + literal('"%')),
    )
    .correlate(SIGNUP)
)


_IS_UNASKED = (
    IS_OPEN,
    ~exists(select(DELIVERY.c.id).where(DELIVERY.c.signup_id == SIGNUP.c.id)),
    _SOMETHING_TO_CONFIRM,
)
ANYBODY_UNASKED = exists(select(SIGNUP.c.id).where(*_IS_UNASKED))
"""Whether `plan_confirmations` has anybody to ask."""
_ANY = select(ANYBODY_UNASKED)


def sign_up(connection: Connection, rules: Rules, request: Request, now: datetime) -> None:
    """Take a request to join streams, and queue the mail that asks the address itself.

    The same statements run, and nothing is answered, whoever the address belongs to. Raises
    SubscriberError for an unknown stream, none at all, or a birthday that is no date: none of
    which depends on the person.
    """
    said = profiles.kept(request.values)
    asked = streams_asked(connection, request.streams)
    locale = profiles.language(request.locale)
    seen = wordings_beside(connection, rules, request, asked, tracking=bool(said.get("tracking")))
    person = people.meet(connection, rules, request.address, now)
    barred = suppressions.find(connection, person.address_key)
    confirmed = _join(connection, person.id, asked, now)
    if barred is not None and barred.reason == LIFTABLE:
        # Only confirming lifts it, whatever was confirmed before.
        confirmed = set()
    missing = [slug for slug in asked if slug not in confirmed]
    source = (profiles.line(request.source) or "")[:_SOURCE_LIMIT].rstrip() or None
    row = {
        "streams": missing or list(asked),
        # Nobody confirms what is confirmed already: then what the form said leads nowhere.
        "signup_values": {"said": said if missing else {}, "wordings": seen, "form": request.form},
        "wording_id": next((wording["id"] for wording in seen.values()), None),
        "locale": locale,
        "source": source,
    }
    signup_id, news = _open(connection, rules, person, row, now, confirmed)
    if news:
        content = evidence(
            row | {"streams": list(asked)},
            signup_id,
            person.address_key,
            named=bool(request.wordings),
            tracking=bool(said.get("tracking")),
        )
        consents.note(connection, "requested", person.id, content, now)
    _ask(connection, rules, signup_id, now, confirming=bool(missing))


def evidence(
    row: Mapping[str, Any], number: int, key: bytes, *, named: bool = False, tracking: bool = False
) -> dict[str, Any]:
    """What the act of a request says: of the row of its sign-up, and its number.

    Unless the form has `named` its texts, they are those in force when the request came: a form of
    old says nothing of it.
    """
    said = row["signup_values"]
    return {
        "signup": number,
        "streams": row["streams"],
        "wordings": list(said["wordings"].values()),
        "wordings_named": named,
        "tracking": tracking,
        "form": said["form"],
        "source": row["source"],
        "locale": row["locale"],
        "address_key": key.hex(),
    }


def plan_confirmations(
    connection: Connection, rules: Rules, now: datetime, limit: int = 500
) -> int:
    """Queue the mails of open sign-ups that the limit kept back when they came; return how many.

    For every round. Whoever signs up for a second stream on the day they confirmed the first
    would wait for a mail that never comes.
    """
    if not connection.execute(_ANY).scalar_one():
        return 0
    asking = mails_asking(confirming=True).where(*_IS_UNASKED).limit(limit)
    return len(queue(connection, rules, asking, now))


def look_up_signup(
    connection: Connection, signup_id: int, generation: int, now: datetime
) -> SignupState | None:
    """What a confirm link leads to; None where there is no such sign-up (any more)."""
    row = connection.execute(
        select(SIGNUP).where(SIGNUP.c.id == signup_id, SIGNUP.c.generation == generation)
    ).first()
    if row is None or row.subscriber_id is None:
        return None
    barred = suppressions.find(connection, row.address_key)
    state = state_of(row, now)
    is_barred = barred is not None and barred.reason != LIFTABLE
    if state in {"open", "confirmed"} and is_barred:
        state = "refused"
    confirmed = {stream.slug for stream in confirmed_streams(connection, row.subscriber_id)}
    names = [
        StreamName(stream.slug, stream.title, stream.kind)
        for stream in streams_named(connection, row.streams)
    ]
    if state == "open":
        coming = names if barred is not None else [n for n in names if n.slug not in confirmed]
        # Known and confirmed already: there is nothing left to ask.
        state = "open" if coming else "confirmed"
        names = coming or names
    left: list[StreamName] = []
    if state == "confirmed":
        ended = _streams_in(connection, row.subscriber_id, "unsubscribed")
        left = [name for name in names if name.slug in {stream.slug for stream in ended}]
        names = [name for name in names if name.slug in confirmed]
    said = dict(row.signup_values.get("said", {})) if state == "open" else {}
    tracking = bool(said.pop("tracking", False))
    return SignupState(
        state,
        tuple(names),
        row.locale,
        row.subscriber_id,
        row.expires_at,
        tracking,
        said,
        is_barred,
        tuple(left),
    )


def state_of(signup: Row[Any], now: datetime) -> SignupStateName:
    """One of SIGNUP_STATES. One closed after its time was not refused: it ran out."""
    if signup.refused_at is not None and signup.refused_at < signup.expires_at:
        return "refused"
    if signup.confirmed_at is not None:
        return "confirmed"
    return "expired" if signup.expires_at <= now or signup.refused_at is not None else "open"


def streams_named(connection: Connection, slugs: Collection[str]) -> list[Row[Any]]:
    """The rows of these streams, in the order of the slugs; unknown ones are absent."""
    rows = connection.execute(select(STREAM).where(STREAM.c.slug.in_(sorted(set(slugs)))))
    found = {row.slug: row for row in rows}
    return [found[slug] for slug in dict.fromkeys(slugs) if slug in found]


def confirmed_streams(connection: Connection, subscriber_id: int) -> list[Row[Any]]:
    """The streams a person is confirmed for."""
    return _streams_in(connection, subscriber_id, "confirmed")


def _streams_in(connection: Connection, subscriber_id: int, state: str) -> list[Row[Any]]:
    query = (
        select(STREAM)
        .join(SUBSCRIPTION, SUBSCRIPTION.c.stream_id == STREAM.c.id)
        .where(SUBSCRIPTION.c.subscriber_id == subscriber_id, SUBSCRIPTION.c.state == state)
        .order_by(STREAM.c.id)
    )
    return list(connection.execute(query))


def strike(
    connection: Connection, subscriber_id: int, slugs: Collection[str] | None, now: datetime
) -> None:
    """Take streams (None: all) out of a person's open sign-ups; an empty one is closed."""
    strike_all(connection, {subscriber_id}, slugs, now)


def strike_all(
    connection: Connection,
    subscriber_ids: Collection[int],
    slugs: Collection[str] | None,
    now: datetime,
) -> None:
    """`strike` for several people who leave the same streams."""
    query = select(SIGNUP).where(SIGNUP.c.subscriber_id.in_(sorted(subscriber_ids)), IS_OPEN)
    for row in connection.execute(query).all():
        left = [slug for slug in row.streams if slugs is not None and slug not in slugs]
        if left == row.streams:
            continue
        closing = {} if left else {"refused_at": now, "signup_values": {}}
        connection.execute(
            update(SIGNUP).where(SIGNUP.c.id == row.id).values(streams=left, **closing)
        )


def settle(connection: Connection, subscriber_ids: Collection[int], now: datetime) -> None:
    """Close the open sign-ups of people somebody vouched for, where nothing is left to confirm.

    The mail that would ask them goes no more; the link of one that went shows how things stand.
    """
    if subscriber_ids:
        connection.execute(
            update(SIGNUP)
            .where(
                SIGNUP.c.subscriber_id.in_(sorted(subscriber_ids)), IS_OPEN, ~_SOMETHING_TO_CONFIRM
            )
            .values(confirmed_at=now, signup_values={})
        )


def streams_asked(connection: Connection, slugs: Collection[str]) -> dict[str, Row[Any]]:
    """The asked streams by slug, each once and in order; raises SubscriberError."""
    if not slugs:
        raise SubscriberError("no stream is named; name at least one to sign up for")
    found = {row.slug: row for row in streams_named(connection, slugs)}
    unknown = [slug for slug in slugs if slug not in found or found[slug].retired_at is not None]
    if unknown:
        known = [offer.slug for offer in streams.offers(connection)]
        hint = did_you_mean(unknown[0], known, f"known are {', '.join(known)}")
        raise SubscriberError(f"{quoted(unknown[0])} is no stream; {hint}")
    return found


def wordings_beside(
    connection: Connection,
    rules: Rules,
    request: Request,
    asked: Mapping[str, Row[Any]],
    *,
    tracking: bool,
) -> dict[str, dict[str, Any]]:
    """By stream's slug (and `tracking`), which text stood beside its box: id, locale and hash."""
    locale = profiles.language(request.locale) or rules.fallback_locale
    shown = consents.wordings(connection, request.wordings)
    current = consents.current_wordings(connection, locale, rules.fallback_locale)
    beside = {slug: (slug, row.kind) for slug, row in asked.items()}
    if tracking:
        beside["tracking"] = ("tracking", "tracking")
    seen = {
        box: shown.get(slug) or shown.get(kind) or current.get(slug) or current.get(kind)
        for box, (slug, kind) in beside.items()
    }
    return {box: wording.evidence() for box, wording in seen.items() if wording is not None}


def _join(
    connection: Connection, subscriber_id: int, asked: Mapping[str, Row[Any]], now: datetime
) -> set[str]:
    """Make sure there is a membership for each stream; the slugs of those confirmed."""
    connection.execute(
        upsert(connection, SUBSCRIPTION)
        .values(
            [
                {
                    "subscriber_id": subscriber_id,
                    "stream_id": stream.id,
                    "state": "unconfirmed",
                    "created_at": now,
                }
                for stream in asked.values()
            ]
        )
        .on_conflict_do_nothing()
    )
    return {row.slug for row in confirmed_streams(connection, subscriber_id)}


def _open(  # noqa: PLR0917 - one call
    connection: Connection,
    rules: Rules,
    person: Row[Any],
    row: dict[str, Any],
    now: datetime,
    confirmed: Collection[str],
) -> tuple[int, bool]:
    """Merge a request into the open one or open one; its id, and whether it asks anything new.

    The generation stays, so that the link already mailed is good for all that is asked.
    """
    found = connection.execute(
        select(SIGNUP)
        .where(
            SIGNUP.c.address_key == person.address_key,
            SIGNUP.c.subscriber_id == person.id,
            IS_OPEN,
            SIGNUP.c.expires_at > now,
        )
        .order_by(SIGNUP.c.id.desc())
        .limit(1)
    ).first()
    if found is None:
        signup_id = connection.execute(
            insert(SIGNUP)
            .values(
                **row,
                subscriber_id=person.id,
                address_key=person.address_key,
                requested_at=now,
                expires_at=now + rules.signup_lifetime,
            )
            .returning(SIGNUP.c.id)
        ).scalar_one()
        return int(signup_id), True
    values = _merged(found.signup_values, row["signup_values"])
    union = list(dict.fromkeys((*found.streams, *row["streams"])))
    wanted = [slug for slug in union if slug not in confirmed] or union
    connection.execute(
        update(SIGNUP)
        .where(SIGNUP.c.id == found.id)
        .values(
            streams=wanted,
            signup_values=values,
            wording_id=row["wording_id"] or found.wording_id,
            locale=row["locale"] or found.locale,
            source=row["source"] or found.source,
        )
    )
    asks_anew = wanted != found.streams or values["wordings"] != found.signup_values.get("wordings")
    return int(found.id), asks_anew


def _merged(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """What both forms said: where they differ, one of them may be a stranger's."""
    old, new = before.get("said", {}), after["said"]
    said = {name: value for name, value in new.items() if old.get(name) == value}
    had = old.get("attributes", {})
    agreed = {n: v for n, v in new.get("attributes", {}).items() if n in had and had[n] == v}
    said.pop("attributes", None)
    if agreed:
        said["attributes"] = agreed
    wordings = before.get("wordings", {}) | after["wordings"]
    return {"said": said, "wordings": wordings, "form": after["form"]}


def _ask(
    connection: Connection, rules: Rules, signup_id: int, now: datetime, *, confirming: bool
) -> None:
    """Queue a sign-up's mail if the limits let it; then its time begins anew."""
    asking = mails_asking(confirming=confirming).where(SIGNUP.c.id == signup_id)
    asked = queue(connection, rules, asking, now)
    connection.execute(
        update(SIGNUP)
        # Asked of no row, and by its key too, where no mail goes: the same work.
        .where(SIGNUP.c.id == (signup_id if asked else 0))
        .values(expires_at=now + rules.signup_lifetime)
    )


def ask_again(connection: Connection, rules: Rules, address_key: bytes, now: datetime) -> None:
    """Queue the confirmation of an address's open sign-up once more, if the limits let it."""
    asking = mails_asking(confirming=True).where(
        SIGNUP.c.address_key == address_key,
        IS_OPEN,
        ~exists(
            select(SUBSCRIPTION.c.id).where(
                SUBSCRIPTION.c.subscriber_id == SIGNUP.c.subscriber_id,
                SUBSCRIPTION.c.state != "unconfirmed",
            )
        ),
    )
    queue(connection, rules, asking, now)


@cache
def mails_asking(*, confirming: bool) -> Select[Any]:
    """Mails for sign-ups whose address may be asked now; the caller says for which.

    Made once: putting it together takes longer than what the database does with it, and it is
    asked at every sign-up, also of those that come by the thousand.
    """
    kind, slug, cause = (
        ("confirmation", CONFIRMATION, "confirm:")
        if confirming
        else ("notice", ALREADY_SUBSCRIBED, "notice:already-subscribed:")
    )
    number = (
        select(func.count() + 1)
        .where(DELIVERY.c.signup_id == SIGNUP.c.id)
        .correlate(SIGNUP)
        .scalar_subquery()
    )
    return mail(
        "request",
        kind,
        subscriber_id=SIGNUP.c.subscriber_id,
        generation=SIGNUP.c.generation,
        signup_id=SIGNUP.c.id,
        occurrence=literal(cause) + cast(SIGNUP.c.id, String) + ":" + cast(number, String),
        slug=literal(slug),
        lane=0,
    )
