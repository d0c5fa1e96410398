"""A text as the mail it would be, to somebody or to nobody in particular, before it is sent.

Owns what such a mail is about: its course, its stream, its person. None of its links does anything.
Of what only some people get, `shown` says which parts; without it all are there.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, select

from l3mail import conditions, content
from l3mail.models import SUBSCRIBER
from l3mail.outbox import Started
from l3mail.publishing import Published
from l3mail.settings import Settings
from l3mail.staff import Trial
from l3mail.wiring.mails import (
    OF_NOBODY,
    Measuring,
    addresses,
    common_values,
    inert,
    measuring,
    values_of,
    writer,
)

NOBODY = "name@example.org"
"""To whom a mail goes that is nobody's."""

_SAMPLE_DAYS = 1234
"""Days done of everybody, in a mail that is only looked at."""

_TEST = "[Test] "


class Tracking(NamedTuple):
    """As which mode of `[tracking]` a mail is shown, and whether its person agreed to it."""

    mode: str
    agreed: bool


def tracking_of(settings: Settings, person: Mapping[str, Any]) -> Tracking:
    """The workspace's own mode, and what the person said; nobody in particular did not agree."""
    return Tracking(settings.tracking.mode, bool(person.get("tracking")))


def preview_measuring(text: content.Text, tracking: Tracking) -> Measuring:
    """What the mail of a text would measure."""
    purpose = "stream" if content.stream_of(text.source) else "request"
    tracked = purpose == "stream" and tracking.mode == "consent" and tracking.agreed
    return measuring(purpose, tracking.mode, tracked=tracked)


def preview_addresses(settings: Settings, text: content.Text, tracking: Tracking) -> dict[str, Any]:
    """Where links and pixel of that mail would lead, with tokens of nobody, which do nothing."""
    whom = preview_measuring(text, tracking)
    if whom.links == "nobody":
        return {}
    return addresses(settings, text.hrefs, whom, OF_NOBODY + whom.links)


def person_of(connection: Connection, key: bytes) -> dict[str, Any] | None:
    """What is known of the subscriber with this address key, for a preview; None if nobody."""
    query = select(SUBSCRIBER).where(
        SUBSCRIBER.c.address_key == key, SUBSCRIBER.c.erased_at.is_(None)
    )
    row = connection.execute(query).first()
    return None if row is None else dict(row._mapping)


def preview_mail(
    settings: Settings,
    library: content.Library,
    text: content.Text,
    person: Mapping[str, Any],
    *,
    now: datetime,
    shown: int = conditions.ALL,
    tracking: Tracking | None = None,
) -> bytes:
    """A sound text as the bytes of its mail; raises RenderingError as sending it would.

    Without `tracking` it measures what the workspace would measure of this person.
    """
    delivery = _delivery(settings, library, text, person, now=now, shown=shown)
    version = _version(text)
    links = _links(settings, text, version, delivery, tracking)
    return writer(settings)(delivery, version, links, "preview")


def preview_values(
    settings: Settings,
    library: content.Library,
    text: content.Text,
    person: Mapping[str, Any],
    *,
    now: datetime,
    shown: int = conditions.ALL,
    tracking: Tracking | None = None,
) -> dict[str, Any]:
    """What fills that mail."""
    delivery = _delivery(settings, library, text, person, now=now, shown=shown)
    version = _version(text)
    links = _links(settings, text, version, delivery, tracking)
    return values_of(delivery, version, common_values(settings), links)


def _links(
    settings: Settings,
    text: content.Text,
    version: Published,
    delivery: Started,
    tracking: Tracking | None,
) -> dict[str, Any]:
    shown = tracking or tracking_of(settings, delivery.person)
    links = inert(settings, version, delivery.course)
    return links | preview_addresses(settings, text, shown)


def make_trial(
    settings: Settings,
    library: content.Library,
    text: content.Text,
    person: Mapping[str, Any],
    shown: int = conditions.ALL,
) -> Trial:
    """A sound text as a test mail: it says so in its subject, and is the same otherwise."""
    assert text.compiled is not None
    compiled = {**text.compiled, "subject": _TEST + text.compiled["subject"]}
    # The person by number only: the mail is filled when it goes, and with nothing of one erased.
    about = _about(settings, library, text) | {"person": person.get("id"), "shown": shown}
    return Trial(text, compiled, about)


def _version(text: content.Text) -> Published:
    assert text.compiled is not None
    return Published(0, text.source.slug, text.source.locale, text.compiled, text.hrefs)


def _delivery(
    settings: Settings,
    library: content.Library,
    text: content.Text,
    person: Mapping[str, Any],
    *,
    now: datetime,
    shown: int,
) -> Started:
    about, source = _about(settings, library, text), text.source
    return Started(
        id=0,
        fence=0,
        purpose="stream" if about["stream"] else "request",
        kind=source.kind,
        slug=source.slug,
        occurrence="",
        address=person.get("address") or NOBODY,
        message_id=0,
        attempts=0,
        started_at=now,
        first_started_at=now,
        stream=about["stream"],
        stream_title=about["stream_title"],
        asked={"streams": about["streams"]},
        course=about["course"],
        person=person,
        shown=shown,
    )


def _about(settings: Settings, library: content.Library, text: content.Text) -> dict[str, Any]:
    """What a text's mail belongs to, as JSON."""
    source, slug = text.source, content.stream_of(text.source)
    titles = {name: stream.title for name, stream in settings.streams.items()}
    course: dict[str, Any] = {}
    for one in library.curricula:
        titles[one.slug] = one.title
        if one.slug == source.course:
            lessons = [slug for slug, kind in one.lessons if kind == "lesson"]
            number = lessons.index(source.slug) + 1 if source.slug in lessons else 0
            course = {
                "title": one.title,
                "slug": one.slug,
                "lesson": number,
                "lessons": len(lessons),
                "done": max(0, number - 1),
                "days": one.days,
                "together": _SAMPLE_DAYS,
            }
    return {
        "stream": slug,
        "stream_title": titles.get(slug) if slug else None,
        "streams": [stream.title for stream in settings.streams.values()],
        "course": course,
    }
