"""A person's settings, from the link in a mail's footer or a fresh one.

Owns the preferences page and the request for a fresh link. The page shows nothing a forwarded
mail would give away: no name, no address. Whoever was forwarded one can leave what it is sent by,
pause or choose a language, all of which the person can undo, and have them mailed a link or a
question; no more.
"""

from collections.abc import Mapping
from datetime import UTC, timedelta
from typing import Any

from fastapi import APIRouter
from fastapi.responses import Response
from sqlalchemy import Connection

from l3mail import consents, courses, outbox, streams, subscribers
from l3mail.addresses import clean_name, parse_address
from l3mail.errors import AddressError, SubscriberError, TokenError
from l3mail.locales import choose, own_name
from l3mail.streams import Offer
from l3mail.subscribers import EnrollmentStanding, Standing
from l3mail.tokens import Purpose
from l3mail.web import details, fields, fresh
from l3mail.web.asking import wording_of, wordings
from l3mail.web.details import Details
from l3mail.web.door import Form, Visit, Visiting, one
from l3mail.web.fields import Said
from l3mail.web.progress import progress

WEEKS = (1, 2, 3, 4, 6, 8)
_Found = tuple[
    Standing | None,
    list[Offer],
    dict[str, str],
    Mapping[int, tuple[int, int]],
    Details | None,
]

router = APIRouter()


@router.get("/preferences/{token:path}")
async def show_preferences(visit: Visiting, token: str) -> Response:
    """The page, as things stand."""
    numbers = _numbers(visit, token)
    if numbers is None:
        return visit.stale()
    return await _page(visit, token, numbers)


@router.post("/preferences/{token:path}")
async def take_preferences(visit: Visiting, token: str) -> Response:
    """Change what one of the page's forms is about, and show the page again."""
    numbers = _numbers(visit, token)
    if numbers is None:
        return visit.stale()
    form = await visit.form()

    def verb(connection: Connection) -> tuple[str, Said | None]:
        subscriber_id = _whose(connection, visit, numbers)
        standing = subscribers.standing(connection, subscriber_id) if subscriber_id else None
        if standing is None:
            return "", None
        visit.choose(standing.locale)
        if one(form, "action") == "asks":
            if len(numbers) == 1:
                return details.ask(connection, visit, standing), None
            said = details.change(connection, visit, standing, form)
            return "" if said.errors else "preferences.saved", said
        if one(form, "action") == "other":
            fresh = len(numbers) == 2
            return _change_other(connection, visit, standing, form, fresh=fresh), None
        change = _CHANGES.get(one(form, "action"))
        return change(connection, visit, standing, form) if change else "", None

    notice, said = await visit.write(verb)
    visit.door.wake()
    return await _page(visit, token, numbers, notice, said)


@router.get("/link")
async def show_link(visit: Visiting) -> Response:
    """The way on by itself, for who types it."""
    return visit.stale(status=200)


@router.post("/link")
async def take_link(visit: Visiting) -> Response:
    """Mail a fresh link, if the address is known; the answer does not say whether."""
    form = await visit.form()
    visit.speak(one(form, "locale"))
    typed = one(form, "email")
    try:
        address = parse_address(typed)
    except AddressError:
        word = "errors.email_broken" if typed.strip() else "errors.email_missing"
        return visit.stale(clean_name(typed), visit.say(word), 422)
    await visit.write(
        lambda connection: subscribers.request_link(
            connection, visit.door.rules, address, visit.now
        )
    )
    visit.door.wake()
    return visit.note("link")


def _numbers(visit: Visit, text: str) -> tuple[int, ...] | None:
    try:
        numbers = visit.door.tokens.read(Purpose.PREFERENCES, text, visit.now).numbers
    except TokenError:
        return None
    return numbers if len(numbers) == 1 or (len(numbers) == 2 and numbers[0] == 0) else None


def _whose(connection: Connection, visit: Visit, numbers: tuple[int, ...]) -> int | None:
    """Whom a token speaks for: the person of a delivery, or of a request for a link."""
    if len(numbers) == 2:
        return subscribers.redeem_link(connection, numbers[1], visit.now)
    rows = outbox.lookup(connection, numbers)
    return rows[0]["subscriber_id"] if rows else None


async def _page(
    visit: Visit,
    token: str,
    numbers: tuple[int, ...],
    notice: str = "",
    said: Said | None = None,
) -> Response:
    def verb(connection: Connection) -> _Found:
        subscriber_id = _whose(connection, visit, numbers)
        standing = subscribers.standing(connection, subscriber_id) if subscriber_id else None
        visit.choose(standing.locale if standing else None)
        journeys = [e.id for e in standing.enrollments] if standing else []
        counts = progress(connection, journeys)
        offers = _offers(connection, standing) if standing else []
        fresh = len(numbers) == 2
        asks = None
        if standing is not None:
            asks = details.details(connection, visit, standing, said, fresh=fresh)
        return standing, offers, wordings(connection, visit), counts, asks

    standing, offers, agreed, counts, asks = await visit.read(verb)
    if standing is None:
        return await fresh.turned_away(visit, token) if len(numbers) == 2 else visit.note("gone")
    states = {stream.slug: stream.state for stream in standing.streams}
    tracking = visit.door.settings.tracking.mode == "consent"
    tongues = _tongues(visit, standing)
    return visit.page(
        "preferences",
        422 if said and said.errors else 200,
        fresh=f"{visit.door.prefix}/preferences/{token}" if len(numbers) == 2 else "",
        asks=asks,
        notice=visit.say(notice) if notice else "",
        streams=[
            {
                "slug": offer.slug,
                "title": offer.title,
                "state": states.get(offer.slug, "none"),
                "wording": wording_of(visit, offer, agreed),
            }
            for offer in offers
        ],
        courses=[
            _course(visit, e, counts.get(e.id, (0, 0)))
            for e in standing.enrollments
            if e.state in courses.RUNNING
        ],
        weeks=WEEKS,
        tongues=list(tongues.items()),
        chosen=choose([standing.locale], tongues, visit.door.settings.workspace.locale),
        tracking=tracking and (agreed.get("tracking") or visit.say("subscribe.tracking_agree")),
        tracked=standing.tracking,
    )


def _tongues(visit: Visit, standing: Standing) -> dict[str, str]:
    """Languages to choose from, by tag: those of the pages, and the person's own.

    Texts may exist in one that pages do not speak; left out, saving would change it.
    """
    words = visit.door.words
    tongues = {tag: words.say(tag, "house.language") for tag in words.locales}
    if standing.locale and not choose([standing.locale], tongues, ""):
        tongues[standing.locale] = own_name(standing.locale)
    return tongues


def _offers(connection: Connection, standing: Standing) -> list[Offer]:
    """What there is to join, and what there was as long as this person is in it."""
    joined = {stream.slug for stream in standing.streams if stream.state == "confirmed"}
    current = {offer.slug for offer in streams.offers(connection)}
    known = streams.offers(connection, retired=True)
    return [offer for offer in known if offer.slug in current | joined]


def _course(
    visit: Visit, enrollment: EnrollmentStanding, count: tuple[int, int]
) -> Mapping[str, Any]:
    paused = enrollment.paused_until if enrollment.state == "paused" else None
    return {
        "slug": enrollment.course,
        "title": enrollment.title,
        "received": count[0],
        "total": count[1],
        "is_paused": enrollment.state == "paused",
        "paused": visit.day(paused) if paused else "",
        "next": visit.moment(enrollment.next_due_at) if enrollment.next_due_at else "",
    }


def _change_streams(connection: Connection, visit: Visit, standing: Standing, form: Form) -> str:
    """Off is off at once; on asks the address first."""
    shown, wanted = set(form.get("shown", ())), set(form.get("stream", ()))
    states = {stream.slug: stream.state for stream in standing.streams}
    known = {offer.slug for offer in _offers(connection, standing)} & shown
    off = {slug for slug in known - wanted if states.get(slug) == "confirmed"}
    on = {slug for slug in known & wanted if states.get(slug) != "confirmed"}
    if off:
        subscribers.unsubscribe(
            connection, standing.subscriber_id, sorted(off), visit.now, "preferences"
        )
    if not on:
        return "preferences.saved"
    request = subscribers.Request(
        address=parse_address(standing.address),
        streams=tuple(sorted(on)),
        locale=visit.tag,
        source="preferences",
    )
    try:
        subscribers.sign_up(connection, visit.door.rules, request, visit.now)
    except SubscriberError:  # a stream that went while the page was open
        return ""
    return "preferences.mailed"


def _pause(connection: Connection, visit: Visit, standing: Standing, form: Form) -> str:
    weeks = {str(n): n for n in WEEKS}.get(one(form, "weeks"))
    enrollment = _running(standing, one(form, "course"))
    if weeks is None or enrollment is None:
        return ""
    # Weeks of the calendar, as the commands count: the hour stays what it is.
    local = visit.now.astimezone(visit.door.settings.zone)
    until = (local + timedelta(weeks=weeks)).astimezone(UTC)
    done = courses.pause(connection, enrollment.id, until, visit.now)
    return "preferences.paused_done" if done else ""


def _resume(connection: Connection, visit: Visit, standing: Standing, form: Form) -> str:
    enrollment = _running(standing, one(form, "course"))
    if enrollment is None:
        return ""
    done = courses.resume(connection, enrollment.id, visit.now, visit.door.settings.zone)
    return "preferences.resumed_done" if done else ""


def _running(standing: Standing, slug: str) -> EnrollmentStanding | None:
    return next(
        (e for e in standing.enrollments if e.course == slug and e.state in courses.RUNNING), None
    )


def _change_other(
    connection: Connection, visit: Visit, standing: Standing, form: Form, *, fresh: bool
) -> str:
    """Language, and tracking: off at once; on only by a link that was just mailed to the address.

    A mail's own link may have been forwarded with it.
    """
    locale = one(form, "language")
    fallback = visit.door.settings.workspace.locale
    tracking = None
    if visit.door.settings.tracking.mode == "consent":
        tracking = one(form, "tracking").lower() in fields.YES
    must_ask = bool(tracking) and not standing.tracking and not fresh
    wording = consents.current_wordings(connection, visit.tag, fallback).get("tracking")
    subscribers.set_preferences(
        connection,
        standing.subscriber_id,
        visit.now,
        locale=locale if locale in _tongues(visit, standing) else None,
        tracking=None if must_ask else tracking,
        wording_id=wording.id if wording else None,
    )
    if must_ask:
        address = parse_address(standing.address)
        subscribers.request_link(connection, visit.door.rules, address, visit.now)
        return "preferences.tracking_mailed"
    return "preferences.saved"


def _send_link(connection: Connection, visit: Visit, standing: Standing, _form: Form) -> str:
    address = parse_address(standing.address)
    subscribers.request_link(connection, visit.door.rules, address, visit.now)
    return "preferences.yours_mailed"


def _leave(connection: Connection, visit: Visit, standing: Standing, _form: Form) -> str:
    subscribers.unsubscribe(connection, standing.subscriber_id, None, visit.now, "preferences")
    return "unsubscribed.everything"


_CHANGES = {
    "streams": _change_streams,
    "pause": _pause,
    "resume": _resume,
    "everything": _leave,
    "fresh": _send_link,
}
