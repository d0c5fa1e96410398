"""What a sender needs to know of a delivery to write its mail: the person, the text, the links.

Reads; changes nothing and checks nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Connection, Select, and_, func, select

from l3mail.models import (
    COURSE,
    DELIVERY,
    ENROLLMENT,
    LESSON,
    LINK_REQUEST,
    SIGNUP,
    STREAM,
    SUBSCRIBER,
)
from l3mail.models.columns import among
from l3mail.outbox.outcomes import TRIAL, Started
from l3mail.planning import current_message

_PERSON = (
    "first_name",
    "last_name",
    "salutation",
    "locale",
    "district",
    "birth_year",
    "birth_month",
    "birth_day",
    "attributes",
    "tracking",
)
# Two levels deep nothing correlates by itself: it would be anybody's locale.
_LOCALE = func.coalesce(
    select(SIGNUP.c.locale)
    .where(SIGNUP.c.id == DELIVERY.c.signup_id)
    .correlate(DELIVERY)
    .scalar_subquery(),
    select(SUBSCRIBER.c.locale)
    .where(SUBSCRIBER.c.id == DELIVERY.c.subscriber_id)
    .correlate(DELIVERY)
    .scalar_subquery(),
)
TEXT: ColumnElement[int] = func.coalesce(
    DELIVERY.c.message_id, current_message(DELIVERY.c.slug, _LOCALE)
)
"""The version a delivery is pinned to, else the one published nearest to the person's locale.

An answer to a sign-up speaks the sign-up's: the person has none before confirming.
"""

_ELSEWHERE: dict[str, ColumnElement[Any]] = {
    "address": func.coalesce(SUBSCRIBER.c.address, DELIVERY.c.address, ""),
    "address_key": SUBSCRIBER.c.address_key,
    "stream": STREAM.c.slug,
    "stream_title": STREAM.c.title,
}
_MADE_HERE = frozenset({"asked", "course", "person"})
_PLAIN = [name for name in Started.__dataclass_fields__ if name not in _MADE_HERE]
_SUBSCRIBER = _PLAIN.index("subscriber_id")
_PLAIN_IN_ROW = slice(len(_PLAIN))
_PERSON_IN_ROW = slice(len(_PLAIN), len(_PLAIN) + len(_PERSON))
_BESIDES = slice(_PERSON_IN_ROW.stop, _PERSON_IN_ROW.stop + 6)
_ASKED_STREAMS = _BESIDES.start + 1
_COLUMNS: list[ColumnElement[Any]] = [
    (_ELSEWHERE[name] if name in _ELSEWHERE else DELIVERY.c[name]).label(name) for name in _PLAIN
]
_STEP = LESSON.alias("step")
_DETAILS: Select[Any] = (
    select(
        # What a Started takes as it is, in its order; the person's values; what is made into more.
        *_COLUMNS,
        *(SUBSCRIBER.c[name] for name in _PERSON),
        func.coalesce(SIGNUP.c.expires_at, LINK_REQUEST.c.expires_at).label("expires_at"),
        SIGNUP.c.streams.label("asked_streams"),
        COURSE.c.slug.label("course_slug"),
        COURSE.c.title.label("course_title"),
        (_STEP.c.position + 1).label("lesson"),
        select(func.count())
        .where(LESSON.c.structure_id == ENROLLMENT.c.structure_id, LESSON.c.kind == "lesson")
        .correlate(ENROLLMENT)
        .scalar_subquery()
        .label("lessons"),
    )
    .select_from(DELIVERY)
    .outerjoin(SUBSCRIBER, SUBSCRIBER.c.id == DELIVERY.c.subscriber_id)
    .outerjoin(STREAM, STREAM.c.id == DELIVERY.c.stream_id)
    .outerjoin(SIGNUP, SIGNUP.c.id == DELIVERY.c.signup_id)
    .outerjoin(LINK_REQUEST, LINK_REQUEST.c.id == DELIVERY.c.link_request_id)
    .outerjoin(ENROLLMENT, ENROLLMENT.c.id == DELIVERY.c.enrollment_id)
    .outerjoin(COURSE, COURSE.c.id == ENROLLMENT.c.course_id)
    .outerjoin(
        _STEP,
        and_(
            _STEP.c.structure_id == ENROLLMENT.c.structure_id,
            _STEP.c.slug == DELIVERY.c.slug,
            _STEP.c.kind == "lesson",
        ),
    )
)
_LOAD = _DETAILS.where(among(DELIVERY.c.id, "ids", BigInteger())).order_by(DELIVERY.c.id)
_TITLES = select(STREAM.c.slug, STREAM.c.title)
_PEOPLE = select(SUBSCRIBER.c.id, *(SUBSCRIBER.c[name] for name in _PERSON)).where(
    among(SUBSCRIBER.c.id, "people", BigInteger()), SUBSCRIBER.c.erased_at.is_(None)
)


def load(connection: Connection, ids: Sequence[int]) -> list[Started]:
    """The deliveries named, in the order of their ids."""
    return _read(connection, connection.execute(_LOAD, {"ids": ids}).all()) if ids else []


def _read(connection: Connection, rows: Sequence[Sequence[Any]]) -> list[Started]:
    titles: dict[str, str] = {}
    if any(row[_ASKED_STREAMS] for row in rows):
        titles = {row.slug: row.title for row in connection.execute(_TITLES)}
    found = [_started(row, titles) for row in rows]
    if any(TRIAL in delivery.details for delivery in found):
        return _tried_on(connection, found)
    return found


def _tried_on(connection: Connection, deliveries: Sequence[Started]) -> list[Started]:
    """With the values of the people a text is tried on, as they are now; nobody's once erased."""
    whose = {one.id: one.details.get(TRIAL, {}).get("person") for one in deliveries}
    people = {"people": sorted({person for person in whose.values() if person})}
    known = {number: values for number, *values in connection.execute(_PEOPLE, people)}
    return [
        replace(one, person=dict(zip(_PERSON, known[person], strict=True)))
        if (person := whose[one.id]) in known
        else one
        for one in deliveries
    ]


def _started(row: Sequence[Any], titles: Mapping[str, str]) -> Started:
    # By place, not by name: this runs once for each mail.
    expires_at, streams, slug, title, lesson, lessons = row[_BESIDES]
    asked = course = person = {}
    if expires_at is not None:
        named = [titles.get(slug, slug) for slug in streams or ()]
        asked = {"streams": named, "expires_at": expires_at}
    if slug is not None:
        course = {"slug": slug, "title": title, "lessons": lessons, "lesson": lesson or 0}
    if row[_SUBSCRIBER]:
        person = dict(zip(_PERSON, row[_PERSON_IN_ROW], strict=True))
    fields = (*row[_PLAIN_IN_ROW], asked, course, person)
    return Started(*fields)


def glimpse(connection: Connection, delivery_id: int, fallback_locale: str) -> Started | None:
    """One delivery as it was or would be started; None if unknown, erased or without a text.

    For showing a mail: nothing is checked or changed.
    """
    row = connection.execute(
        _DETAILS.add_columns(TEXT.label("text"), DELIVERY.c.due_at).where(
            DELIVERY.c.id == delivery_id
        ),
        {"fallback_locale": fallback_locale},
    ).first()
    if row is None or row.text is None or not row.address:
        return None
    began = row.first_started_at or row.due_at
    (delivery,) = _read(connection, [row])
    return replace(delivery, message_id=row.text, first_started_at=began)
