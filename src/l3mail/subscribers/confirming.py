"""The address answers: it confirms what was asked in its name, or says that it asked nothing.

The step from a sign-up to memberships. The only way to lift a hard bounce, and the only way back
for somebody who had unsubscribed.
"""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, String, and_, cast, literal, select, update

from l3mail import consents, courses, suppressions
from l3mail.errors import NothingOpenError
from l3mail.models import (
    COURSE,
    DELIVERY,
    ENROLLMENT,
    MESSAGE,
    SIGNUP,
    SUBSCRIBER,
    SUBSCRIPTION,
)
from l3mail.planning import (
    LANE_OF_COURSES,
    current_message,
)
from l3mail.subscribers import people, signups
from l3mail.subscribers.mails import mail, queue
from l3mail.subscribers.subscriptions import end, fill, grant_tracking, key_of, tell
from l3mail.subscribers.terms import Confirmed, Joined, Rules


def confirm(  # noqa: PLR0917 - as a link and its page say it, in that order
    connection: Connection,
    rules: Rules,
    signup_id: int,
    generation: int,
    streams: Collection[str],
    now: datetime,
    *,
    tracking: bool = False,
) -> Confirmed | None:
    """Confirm exactly `streams` (those the page listed) as far as the sign-up asks for them.

    `tracking` is the page's own box: what a form said about it may be a stranger's, so only both
    together are consent to be measured. Who posts without our page agrees to all that was asked.

    Enrolls in courses, queues their welcome, lifts a hard bounce. What the page did not list
    stays open. Again, it changes nothing and answers the present state. None where the link is
    without effect: unknown, old, expired, refused, or the address is barred.
    """
    person = _asker(connection, signup_id, generation)
    signup = _locked(connection, signup_id)
    if person is None or signup is None or person.erased_at is not None:
        return None
    barred = suppressions.find(connection, person.address_key)
    state = signups.state_of(signup, now)
    if state in {"refused", "expired"} or (barred and barred.reason != signups.LIFTABLE):
        return None
    chosen = [slug for slug in signup.streams if slug in streams]
    if state == "confirmed" or not chosen:
        return _present(connection, rules, person.id, signup.streams, changed=False)
    if barred is not None and not suppressions.lift(connection, person.address_key, barred.reason):
        return None  # something stronger came in between
    joined = _confirm(connection, person.id, chosen, signup.source, now)
    _leave_evidence(
        connection,
        person,
        signup,
        list(joined),
        lifted=barred is not None,
        tracking=tracking,
        now=now,
    )
    _close(connection, person.id, signup, chosen, now)
    tell(connection, "confirmed", person.id, list(joined), how="double-opt-in", now=now)
    _enroll(connection, rules, person.id, joined, now)
    changed = bool(joined) or barred is not None
    return _present(connection, rules, person.id, chosen, changed=changed)


def refuse(
    connection: Connection,
    rules: Rules,  # noqa: ARG001 - every answer to a sign-up is given alike
    signup_id: int,
    generation: int,
    now: datetime,
) -> bool:
    """Take "this wasn't me, never again" at its word: unsubscribe everything, bar the address.

    False where there is no such sign-up. An erased person's address is barred as well.
    """
    person = _asker(connection, signup_id, generation)
    signup = _locked(connection, signup_id)
    if person is None or signup is None:
        return False
    suppressions.suppress(connection, {signup.address_key}, "never", now, "by a refused sign-up")
    first = signups.state_of(signup, now) != "refused"
    connection.execute(
        update(SIGNUP)
        .where(SIGNUP.c.id == signup_id, SIGNUP.c.refused_at.is_(None))
        .values(refused_at=now, signup_values={})
    )
    if person.erased_at is None and first:
        content = {
            "signup": signup.id,
            "streams": signup.streams,
            "requested_at": signup.requested_at.isoformat(),
            "address_key": key_of(person),
        }
        consents.note(connection, "refused", person.id, content, now)
    end(connection, person, None, now, how="refusal")
    return True


def _asker(connection: Connection, signup_id: int, generation: int) -> Row[Any] | None:
    """The person of a sign-up, locked: always before the sign-up itself."""
    subscriber_id = connection.execute(
        select(SIGNUP.c.subscriber_id).where(
            SIGNUP.c.id == signup_id, SIGNUP.c.generation == generation
        )
    ).scalar()
    return people.lock(connection, subscriber_id)


def _locked(connection: Connection, signup_id: int) -> Row[Any] | None:
    return connection.execute(
        select(SIGNUP).where(SIGNUP.c.id == signup_id).with_for_update(key_share=True)
    ).first()


def _confirm(
    connection: Connection,
    subscriber_id: int,
    slugs: Collection[str],
    source: str | None,
    now: datetime,
) -> dict[str, int]:
    """Confirm the memberships that are not; their streams' ids by slug."""
    ids = {stream.slug: stream.id for stream in signups.streams_named(connection, slugs)}
    confirmed = connection.execute(
        update(SUBSCRIPTION)
        .where(
            SUBSCRIPTION.c.subscriber_id == subscriber_id,
            SUBSCRIPTION.c.stream_id.in_(ids.values()),
            SUBSCRIPTION.c.state != "confirmed",
        )
        .values(
            state="confirmed",
            generation=SUBSCRIPTION.c.generation + 1,
            confirmed_at=now,
            unsubscribed_at=None,
            source=source,
        )
        .returning(SUBSCRIPTION.c.stream_id)
    )
    new = set(confirmed.scalars())
    return {slug: ids[slug] for slug in slugs if ids.get(slug) in new}


def _leave_evidence(
    connection: Connection,
    person: Row[Any],
    signup: Row[Any],
    joined: list[str],
    *,
    lifted: bool,
    tracking: bool,
    now: datetime,
) -> None:
    """Note what was agreed to, and write to the person what the form said.

    Somebody who was confirmed for anything before keeps what is known of them: a form fills gaps.
    """
    confirmed = {stream.slug for stream in signups.confirmed_streams(connection, person.id)}
    wordings: Mapping[str, Any] = signup.signup_values.get("wordings", {})
    said: dict[str, Any] = signup.signup_values.get("said", {})
    asked = {
        "signup": signup.id,
        "requested_at": signup.requested_at.isoformat(),
        "form": signup.signup_values.get("form"),
        "source": signup.source,
        "locale": signup.locale,
        "mails": _mails(connection, signup.id),
        "address_key": key_of(person),
    }
    if joined or lifted:
        agreed = [wordings[slug] for slug in joined if slug in wordings]
        content = {"streams": joined, "wordings": agreed, "lifted_hard_bounce": lifted, **asked}
        consents.note(connection, "confirmed", person.id, content, now)
    fill(connection, person, said, signup.locale, over=confirmed <= set(joined))
    if tracking and said.get("tracking"):
        agreed = [wordings["tracking"]] if "tracking" in wordings else []
        grant_tracking(connection, person, {"wordings": agreed, **asked}, now)


def _mails(connection: Connection, signup_id: int) -> list[dict[str, Any]]:
    """Which mails asked, and the hash of what they said."""
    rows = connection.execute(
        select(
            DELIVERY.c.id,
            DELIVERY.c.first_started_at,
            MESSAGE.c.slug,
            MESSAGE.c.locale,
            MESSAGE.c.hash,
        )
        .join(MESSAGE, MESSAGE.c.id == DELIVERY.c.message_id)
        .where(DELIVERY.c.signup_id == signup_id, DELIVERY.c.first_started_at.is_not(None))
        .order_by(DELIVERY.c.id)
    )
    return [
        {
            "delivery": row.id,
            "message": row.slug,
            "locale": row.locale,
            "hash": row.hash,
            "started_at": row.first_started_at.isoformat(),
        }
        for row in rows
    ]


def _close(
    connection: Connection,
    subscriber_id: int,
    signup: Row[Any],
    chosen: Collection[str],
    now: datetime,
) -> None:
    """End the sign-up, or leave open what was merged into it after the page was shown."""
    confirmed = {stream.slug for stream in signups.confirmed_streams(connection, subscriber_id)}
    left = [slug for slug in signup.streams if slug not in chosen and slug not in confirmed]
    kept = {name: value for name, value in signup.signup_values.items() if name != "said"}
    closing: dict[str, Any] = {"confirmed_at": now, "signup_values": {}}
    connection.execute(
        update(SIGNUP)
        .where(SIGNUP.c.id == signup.id)
        .values(**({"streams": left, "signup_values": kept} if left else closing))
    )


def _enroll(
    connection: Connection,
    rules: Rules,
    subscriber_id: int,
    joined: Mapping[str, int],
    now: datetime,
) -> None:
    """Begin the courses among the streams, and queue their welcome."""
    taught = connection.execute(
        select(COURSE.c.slug)
        .where(COURSE.c.stream_id.in_(joined.values()), COURSE.c.current_structure_id.is_not(None))
        .order_by(COURSE.c.id)
    )
    for slug in taught.scalars().all():
        if courses.running(connection, slug, subscriber_id) is not None:
            continue
        try:
            enrollment_id = courses.enroll(connection, slug, subscriber_id, now, rules.zone)
        except NothingOpenError:
            # The consent counts all the same; `check` and `status` name the closed course.
            continue
        _welcome(connection, rules, enrollment_id, now)


def _welcome(connection: Connection, rules: Rules, enrollment_id: int, now: datetime) -> None:
    slug = COURSE.c.slug + "/welcome"
    welcome = (
        mail(
            "stream",
            "welcome",
            subscriber_id=ENROLLMENT.c.subscriber_id,
            stream_id=COURSE.c.stream_id,
            generation=SUBSCRIPTION.c.generation,
            occurrence=literal("welcome:") + cast(ENROLLMENT.c.id, String),
            slug=slug,
            lane=LANE_OF_COURSES,
            enrollment_id=ENROLLMENT.c.id,
        )
        .select_from(ENROLLMENT)
        .join(COURSE, COURSE.c.id == ENROLLMENT.c.course_id)
        .join(SUBSCRIBER, SUBSCRIBER.c.id == ENROLLMENT.c.subscriber_id)
        .join(
            SUBSCRIPTION,
            and_(
                SUBSCRIPTION.c.subscriber_id == ENROLLMENT.c.subscriber_id,
                SUBSCRIPTION.c.stream_id == COURSE.c.stream_id,
            ),
        )
        .where(
            ENROLLMENT.c.id == enrollment_id,
            current_message(slug, SUBSCRIBER.c.locale).is_not(None),
        )
    )
    queue(connection, rules, welcome, now)


def _present(
    connection: Connection,
    rules: Rules,
    subscriber_id: int,
    slugs: Collection[str],
    *,
    changed: bool,
) -> Confirmed:
    """What the person is confirmed for now, of these streams, with their dates."""
    streams = []
    for stream in signups.confirmed_streams(connection, subscriber_id):
        if stream.slug not in slugs:
            continue
        enrollment_id = courses.running(connection, stream.slug, subscriber_id)
        dates = (
            () if enrollment_id is None else courses.dates(connection, enrollment_id, rules.zone)
        )
        coming = tuple((lesson.slug, lesson.planned_at) for lesson in dates if lesson.planned_at)
        streams.append(Joined(stream.slug, stream.title, stream.kind, coming))
    return Confirmed(subscriber_id, tuple(streams), changed)
