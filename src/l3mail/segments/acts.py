"""What each function of the language asks of the tables, of the person in SUBSCRIBER's row.

Owns the conditions on what people joined, got and did. Knows no tree and no consent to measuring.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Select, String, and_, exists, func, literal, not_, or_, select

from l3mail.models import (
    CONSENT,
    COURSE,
    DELIVERY,
    ENROLLMENT,
    EVENT,
    LINK,
    MESSAGE,
    STREAM,
    SUBSCRIBER,
    SUBSCRIPTION,
)
from l3mail.segments.members import JsonText

SIGNS_OF_LIFE: Final = ("answered", "interested", "done", "replied", "confirmed")
"""Acts of a person that, beside opening and clicking, end a time of inactivity."""

Column = ColumnElement[Any]

# Under names of their own: a planner selects from the same tables, and an EXISTS that named
# them alike would ask of anybody instead of this person.
_CONSENT = CONSENT.alias("consent_of_segment")
_COURSE = COURSE.alias("course_of_segment")
_DELIVERY = DELIVERY.alias("delivery_of_segment")
_ENROLLMENT = ENROLLMENT.alias("enrollment_of_segment")
_EVENT = EVENT.alias("event_of_segment")
_LINK = LINK.alias("link_of_segment")
_MESSAGE = MESSAGE.alias("message_of_segment")
_STREAM = STREAM.alias("stream_of_segment")
_SUBSCRIPTION = SUBSCRIPTION.alias("subscription_of_segment")
_LATER = EVENT.alias("later_answer")
_LATER_DELIVERY = DELIVERY.alias("delivery_of_later_answer")
_LATER_MESSAGE = MESSAGE.alias("message_of_later_answer")


def _any(rows: Select[Any]) -> Column:
    """Whether there is such a row of this person, whatever else the statement selects from."""
    return exists(rows.correlate(SUBSCRIBER))


def confirmed(stream: str) -> Column:
    """Whether a person is confirmed for a stream."""
    named = select(_STREAM.c.id).where(_STREAM.c.slug == stream).scalar_subquery()
    return _any(
        select(_SUBSCRIPTION.c.id).where(
            _SUBSCRIPTION.c.subscriber_id == SUBSCRIBER.c.id,
            _SUBSCRIPTION.c.stream_id == named,
            _SUBSCRIPTION.c.state == "confirmed",
        )
    )


def enrolled(course: str) -> Column:
    """Whether a person is on the way in a course, paused or not."""
    return _journeyed(course, _ENROLLMENT.c.state.in_(("active", "paused")))


def finished(course: str) -> Column:
    """Whether the plan of a person's course ran out."""
    return _journeyed(course, _ENROLLMENT.c.state == "finished")


def completed(course: str) -> Column:
    """Whether a person did all that a course asks for."""
    return _journeyed(course, _ENROLLMENT.c.completed_at.is_not(None))


def _journeyed(course: str, condition: Column) -> Column:
    named = select(_COURSE.c.id).where(_COURSE.c.slug == course).scalar_subquery()
    return _any(
        select(_ENROLLMENT.c.id).where(
            _ENROLLMENT.c.subscriber_id == SUBSCRIBER.c.id,
            _ENROLLMENT.c.course_id == named,
            condition,
        )
    )


def received(slug: str) -> Column:
    """Whether the mail server took a text for a person."""
    return _any(
        select(_DELIVERY.c.id).where(
            _DELIVERY.c.subscriber_id == SUBSCRIBER.c.id,
            _DELIVERY.c.slug == slug,
            _DELIVERY.c.state == "accepted",
        )
    )


def _about(slug: str, kind: str) -> Select[Any]:
    """Events of a kind, of one person, that belong to a text, by its delivery or its version."""
    return (
        select(_EVENT.c.id)
        .outerjoin(_DELIVERY, _DELIVERY.c.id == _EVENT.c.delivery_id)
        .outerjoin(_MESSAGE, _MESSAGE.c.id == _EVENT.c.message_id)
        .where(
            _EVENT.c.subscriber_id == SUBSCRIBER.c.id,
            _EVENT.c.kind == kind,
            func.coalesce(_DELIVERY.c.slug, _MESSAGE.c.slug) == slug,
        )
    )


def alive(since: datetime) -> Column:
    """Whether a person gave a sign of life, or last allowed tracking, at or after a moment."""
    signs = select(_EVENT.c.id).where(
        _EVENT.c.subscriber_id == SUBSCRIBER.c.id,
        _EVENT.c.kind.in_(("opened", "clicked", *SIGNS_OF_LIFE)),
        _EVENT.c.at >= since,
        or_(_EVENT.c.verdict == "human", _EVENT.c.kind.in_(SIGNS_OF_LIFE)),
    )
    allowed = select(_CONSENT.c.seq).where(
        _CONSENT.c.subscriber_id == SUBSCRIBER.c.id,
        _CONSENT.c.act == "tracking_granted",
        _CONSENT.c.at >= since,
    )
    return or_(_any(signs), _any(allowed))


def opened(slug: str) -> Column:
    """Whether a person opened a text."""
    return _any(_about(slug, "opened").where(_EVENT.c.verdict == "human"))


def clicked(until: datetime, slug: str, link: str | None = None) -> Column:
    """Whether a person clicked a text, or a link of it, by `until`."""
    clicks = _about(slug, "clicked").where(_EVENT.c.verdict == "human", _EVENT.c.at <= until)
    if link is not None:
        clicks = clicks.join(_LINK, _LINK.c.id == _EVENT.c.link_id).where(_LINK.c.name == link)
    return _any(clicks)


def answered(slug: str, question: str, value: str | None = None) -> Column:
    """Whether somebody answered; with a value, whether an enrollment's latest answer is that."""
    answers = _about(slug, "answered").where(_EVENT.c.name == question)
    if value is None:
        return _any(answers)
    later = (
        select(_LATER.c.id)
        .outerjoin(_LATER_DELIVERY, _LATER_DELIVERY.c.id == _LATER.c.delivery_id)
        .outerjoin(_LATER_MESSAGE, _LATER_MESSAGE.c.id == _LATER.c.message_id)
        .where(
            _LATER.c.subscriber_id == SUBSCRIBER.c.id,
            _LATER.c.kind == "answered",
            func.coalesce(_LATER_DELIVERY.c.slug, _LATER_MESSAGE.c.slug) == slug,
            _LATER.c.name == question,
            _LATER.c.enrollment_id.is_not_distinct_from(_EVENT.c.enrollment_id),
            or_(
                _LATER.c.at > _EVENT.c.at,
                and_(_LATER.c.at == _EVENT.c.at, _LATER.c.id > _EVENT.c.id),
            ),
        )
        .correlate(SUBSCRIBER, _EVENT)
    )
    return _any(answers.where(_member(_EVENT, "value") == value, not_(exists(later))))


def has_done() -> Column:
    """Whether a person has done any day, in whatever course."""
    return _any(
        select(_EVENT.c.id).where(
            _EVENT.c.subscriber_id == SUBSCRIBER.c.id, _EVENT.c.kind == "done"
        )
    )


def done_days(course: str) -> Column:
    """How many days a person has done in a course, whether they began it once or again."""
    return (
        select(func.count(_EVENT.c.name.distinct()))
        .join(_ENROLLMENT, _ENROLLMENT.c.id == _EVENT.c.enrollment_id)
        .join(_COURSE, _COURSE.c.id == _ENROLLMENT.c.course_id)
        .where(
            _EVENT.c.subscriber_id == SUBSCRIBER.c.id,
            _EVENT.c.kind == "done",
            _COURSE.c.slug == course,
        )
        .correlate(SUBSCRIBER)
        .scalar_subquery()
    )


def interested(name: str) -> Column:
    """Whether a person asked for more of something."""
    return _any(
        select(_EVENT.c.id).where(
            _EVENT.c.subscriber_id == SUBSCRIBER.c.id,
            _EVENT.c.kind == "interested",
            _EVENT.c.name == name,
        )
    )


def _member(event: Any, key: str) -> Column:
    return JsonText(event.c.data, literal(key, String))


ACTS: Final[Mapping[str, Callable[..., Column]]] = {
    "stream": confirmed,
    "enrolled": enrolled,
    "finished": finished,
    "completed": completed,
    "received": received,
    "opened": opened,
    "clicked": clicked,
    "answered": answered,
    "interested": interested,
}
"""Functions by their name in the language; `clicked` also needs to be told until when."""

COUNTS: Final[Mapping[str, Callable[..., Column]]] = {"done_days": done_days}
ANYTHING: Final[Mapping[str, Callable[[], Column]]] = {"done_days": has_done}
"""Of functions that count, whether there is anything at all that may count."""
