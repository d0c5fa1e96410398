"""How a delivery becomes a mail in this workspace: values, links, who writes."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from sqlalchemy import Connection, select

from l3mail import conditions, outbox, publishing, rendering
from l3mail.database import Database
from l3mail.errors import OutboxError, RenderingError
from l3mail.locales import number
from l3mail.models import WORKSPACE
from l3mail.outbox import TRIAL, Started
from l3mail.publishing import Published
from l3mail.sending import Compose, Counting
from l3mail.settings import Settings
from l3mail.sources import REFERRAL, link_to_form
from l3mail.subscribers import ADDRESS_CHANGED, NEW_ADDRESS
from l3mail.tokens import Purpose, Tokens
from l3mail.wiring.rules import asking_terms, load_tokens


def composer(settings: Settings, database: Database, tokens: Tokens | None = None) -> Compose:
    """How a started delivery becomes bytes in this workspace; `tokens` if not signed by its key."""
    house = database.read(workspace_uuid)
    tokens, write = tokens or load_tokens(settings), writer(settings)

    def compose(delivery: Started, text: Published) -> bytes:
        if delivery.details.get(TRIAL):
            return write(on_trial(delivery), text, inert(settings, text), house)
        if delivery.shown is None and conditions.of(text.compiled):
            raise RenderingError("::: if", "what it asks could not be asked; the log says why")
        links = links_of(delivery, settings, tokens)
        told = {**measured(delivery, text, settings, tokens), "links": links}
        return write(delivery, text, told, house)

    return compose


def writer(settings: Settings) -> Callable[[Started, Published, Mapping[str, Any], str], bytes]:
    """What writes a mail, given its links, where they are measured, and the house's own number."""
    domain, zone = settings.sender_domain, settings.zone
    sender, reply_to = settings.sender.from_.text, settings.sender.reply_to
    answers_to = reply_to.address if reply_to else None
    common = common_values(settings)

    def write(delivery: Started, text: Published, told: Mapping[str, Any], house: str) -> bytes:
        links = told["links"]
        head = rendering.Head(
            message_id=f"{delivery.id}.{house}@{domain}",
            date=delivery.first_started_at.astimezone(zone),
            sender=text.compiled.get("from") or sender,
            to=delivery.address,
            reply_to=text.compiled.get("reply_to") or answers_to,
            list_id=f"{delivery.stream}.{domain}" if delivery.stream else None,
            list_name=delivery.stream_title,
            unsubscribe_url=links["unsubscribe"] or None,
            help_url=links["preferences"] if delivery.stream else None,
        )
        return rendering.compose(text.compiled, values_of(delivery, text, common, told), head)

    return write


def values_of(
    delivery: Started, text: Published, common: Mapping[str, Any], told: Mapping[str, Any]
) -> dict[str, Any]:
    """All that a text may name in one mail."""
    return {
        **rendering.placeholders(delivery.person, text.locale),
        **common,
        **told,
        **conditions.values(text.compiled, delivery.shown),
        "streams": delivery.asked.get("streams", []),
        "course": course_values(delivery.course, text.locale),
    }


def on_trial(delivery: Started) -> Started:
    """The delivery of a test mail as that of the mail it shows."""
    about = delivery.details[TRIAL]
    return replace(
        delivery,
        stream=about["stream"],
        stream_title=about["stream_title"],
        course=about["course"],
        asked={"streams": about["streams"]},
        shown=about["shown"],
    )


def common_values(settings: Settings) -> dict[str, Any]:
    """The placeholders that say who writes: the same in every mail and on every page."""
    return {
        "house": {"name": settings.workspace.name},
        "impressum": settings.impressum.model_dump(),
        "base_url": settings.web.base_url,
    }


NO_COURSE: Mapping[str, Any] = MappingProxyType(
    {"title": "", "slug": "", "lesson": 0, "lessons": 0, "done": 0, "days": 0, "together": "0"}
)
"""What a mail that belongs to no course says of it."""

ACTS = ("interest", "quiz", "feedback")
"""The pages of what somebody does from a mail; they share one token."""

LEARNING = ("course", "done", "certificate")
"""The pages of somebody's course, by that same token."""

LINKS = ("unsubscribe", "preferences", "view", "confirm", "refuse", "address", *ACTS, *LEARNING)
"""The personal links a mail may hold, each under its own route; `common_links` are
everybody's."""


def course_values(course: Mapping[str, Any], locale: str) -> dict[str, Any]:
    """What a mail says of its course; the days of all as they are written in its language."""
    values = {**NO_COURSE, **course}
    if "together" in course:
        values["together"] = number(course["together"], locale)
    return values


def links_of(delivery: Started, settings: Settings, tokens: Tokens) -> dict[str, str]:
    """Every link of one mail by name, "" where it makes no sense for this mail."""
    base, make = settings.web.base_url, tokens.make
    asked_until = delivery.asked.get("expires_at")
    links = dict.fromkeys(LINKS, "")
    if delivery.purpose == "stream":
        whose = (delivery.subscriber_id or 0, delivery.stream_id or 0, delivery.generation)
        links["unsubscribe"] = make(Purpose.UNSUBSCRIBE, *whose)
        links["view"] = make(Purpose.VIEW, delivery.id)
        act = make(Purpose.ACT, delivery.id)
        links |= dict.fromkeys(ACTS, act)
        if delivery.enrollment_id is not None:
            links |= dict.fromkeys(LEARNING, act)
    if delivery.link_request_id is not None and delivery.slug == NEW_ADDRESS:
        links["address"] = make(Purpose.ADDRESS, delivery.link_request_id, expires_at=asked_until)
    elif delivery.slug == ADDRESS_CHANGED:
        pass  # whoever reads it there has nothing to open here any more
    elif delivery.link_request_id is not None:
        fresh = (0, delivery.link_request_id)
        links["preferences"] = make(Purpose.PREFERENCES, *fresh, expires_at=asked_until)
    elif delivery.subscriber_id is not None and delivery.kind != "confirmation":
        links["preferences"] = make(Purpose.PREFERENCES, delivery.id)
    if delivery.signup_id is not None:
        signup = (delivery.signup_id, delivery.generation)
        links["refuse"] = make(Purpose.REFUSE, *signup, expires_at=asked_until)
        if delivery.kind == "confirmation":
            links["confirm"] = make(Purpose.CONFIRM, *signup, expires_at=asked_until)
    personal = {name: token and f"{base}/{name}/{token}" for name, token in links.items()}
    stream = delivery.stream if delivery.purpose == "stream" else None
    return personal | common_links(settings, delivery.course, stream)


def common_links(
    settings: Settings, course: Mapping[str, Any] = NO_COURSE, stream: str | None = None
) -> dict[str, str]:
    """The links that are everybody's; of a course, what all did in it; of a stream, its form.

    A mail that is passed on gives nothing of its reader away: `recommend` is the same in all.
    """
    base, slug = settings.web.base_url, course.get("slug")
    referred = link_to_form(base, [stream], REFERRAL) if stream else ""
    return {
        "recommend": referred if settings.signup.referral else "",
        "privacy": settings.impressum.privacy_url,
        "home": f"{base}/subscribe",
        "together": f"{base}/together/{slug}" if slug else "",
        "archive": f"{base}/archive",
    }


Whom = Literal["nobody", "everybody", "person"]


class Measuring(NamedTuple):
    """Whom the links of a mail measure, and whom its pixel: nobody where it leaves none."""

    links: Whom = "nobody"
    pixel: Whom = "nobody"


def measuring(purpose: str, mode: str, *, tracked: bool) -> Measuring:
    """What a mail measures, by what it is for, the workspace's mode, and whether its person agreed.

    Who agreed is measured personally. All others share what counts and tells nobody apart: with
    `consent` the links, with `aggregate` the pixel too; and nothing in a mail that answers a
    request or goes to staff.
    """
    if tracked:
        return Measuring("person", "person")
    if purpose != "stream" or mode == "off":
        return Measuring()
    return Measuring("everybody", "everybody" if mode == "aggregate" else "nobody")


def measured(
    delivery: Started, text: Published, settings: Settings, tokens: Tokens
) -> dict[str, Any]:
    """Where the numbered links of one mail lead, and its pixel."""
    whom = measuring(delivery.purpose, settings.tracking.mode, tracked=delivery.tracked)
    if whom.links == "nobody":
        return unmeasured(text.links)
    whose = (delivery.id,) if whom.links == "person" else (0, text.id)
    return addresses(settings, text.links, whom, tokens.make(Purpose.TRACK, *whose))


def addresses(
    settings: Settings, links: Mapping[int, str], whom: Measuring, token: str
) -> dict[str, Any]:
    """Addresses of ours by which links and pixel are measured, with one token."""
    base = settings.web.base_url
    return {
        "trail": f"{base}/c/{token}/",
        "hrefs": {number: str(number) for number in links},
        "pixel": "" if whom.pixel == "nobody" else f"{base}/o/{token}.gif",
    }


def unmeasured(links: Mapping[int, str]) -> dict[str, Any]:
    """The same for a text that is only looked at: its links lead straight there."""
    return {"trail": "", "hrefs": links, "pixel": ""}


INERT = "/preview"
"""Where links lead that nobody is to follow."""

OF_NOBODY = "preview-"
"""What a token begins with by which a mail would be measured that is only looked at."""

SHARED = "/shared"
"""Where the personal links of a text lead that is read without being anybody's mail."""


def inert(
    settings: Settings,
    text: Published,
    course: Mapping[str, Any] = NO_COURSE,
    *,
    at: str | None = None,
) -> dict[str, Any]:
    """Links of a mail that is only looked at, none of which does anything or is measured.

    They lead to the page of previews. Of a text that is read in a browser, `at` this address of
    ours, they lead to a page that says whose they are, and `links.view` stays where it is.
    """
    base = settings.web.base_url
    links = dict.fromkeys(LINKS, base + (INERT if at is None else SHARED))
    if at is not None:
        links["view"] = base + at
    common = common_links(settings, course, text.compiled.get("stream"))
    return {**unmeasured(text.links), "links": links | common}


def neutral_values(
    settings: Settings,
    text: Published,
    course: Mapping[str, Any] = NO_COURSE,
    *,
    shown: int | None = conditions.NONE,
    at: str | None = None,
) -> dict[str, Any]:
    """What a text may name, without a person; its links are `inert`.

    Of what only some people get, `shown` says which parts; without it there are none.
    """
    return {
        **rendering.placeholders({}, text.locale),
        **common_values(settings),
        **inert(settings, text, course, at=at),
        **conditions.values(text.compiled, shown),
        "course": course_values(course, text.locale),
        "streams": [],
    }


def rendered(settings: Settings, database: Database, delivery_id: int) -> bytes:
    """The bytes of one delivery's mail, as it was or would be sent; raises OutboxError.

    What only some people get is asked for one that has not begun, as of the moment it is due.
    """
    fallback, terms = settings.workspace.locale, asking_terms(settings)

    def verb(connection: Connection) -> tuple[Started | None, dict[int, Published]]:
        delivery = outbox.glimpse(connection, delivery_id, fallback)
        if delivery is None:
            return None, {}
        texts = publishing.load(connection, [delivery.message_id])
        compiled = texts[delivery.message_id].compiled
        if delivery.shown is None and delivery.subscriber_id is not None:
            whose, due_at = delivery.subscriber_id, delivery.first_started_at
            shown = conditions.shown_to(connection, compiled, whose, due_at, terms)
            delivery = replace(delivery, shown=shown)
        (delivery,) = Counting().told(connection, [delivery], texts, delivery.first_started_at)
        return delivery, texts

    delivery, texts = database.read(verb)
    if delivery is None:
        raise OutboxError(
            f"delivery {delivery_id} has no mail to show: it is unknown, its person is erased,"
            " or nothing is published under its slug"
        )
    return composer(settings, database)(delivery, texts[delivery.message_id])


def workspace_uuid(connection: Connection) -> str:
    """The database's own name, part of every Message-ID."""
    return str(connection.execute(select(WORKSPACE.c.uuid)).scalar_one())
