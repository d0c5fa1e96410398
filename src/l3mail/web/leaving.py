"""Leaving: one click from the mail program, or one button on a page (RFC 8058).

Owns the unsubscribe page. It needs no cookie, no redirect and no particular body, acts on POST
alone, and answers a thousandth time as the first.
"""

from fastapi import APIRouter
from fastapi.responses import Response
from sqlalchemy import Connection
from starlette.exceptions import HTTPException

from l3mail import streams, subscribers
from l3mail.errors import TokenError
from l3mail.streams import Offer
from l3mail.subscribers import Standing
from l3mail.tokens import Purpose
from l3mail.web.archive import archived_streams
from l3mail.web.door import Visit, Visiting, one

router = APIRouter()
EVERYTHING = "everything"
_Found = tuple[Standing | None, Offer | None]


@router.get("/unsubscribe/{token:path}")
async def show_unsubscribe(visit: Visiting, token: str) -> Response:
    """Offer to leave this stream or everything."""
    numbers = _numbers(visit, token)
    if numbers is None:
        return visit.stale()
    standing, offer = await visit.read(lambda connection: _find(connection, *numbers))
    if standing is None or offer is None:
        return visit.note("gone")
    visit.choose(standing.locale)
    if _is_in(standing, offer):
        return visit.page("unsubscribe", stream=offer)
    return await _left(visit, standing, offer)


@router.post("/unsubscribe/{token:path}")
async def take_unsubscribe(visit: Visiting, token: str) -> Response:
    """Leave this stream, or everything if the page's other button was pressed."""
    numbers = _numbers(visit, token)
    if numbers is None:
        return visit.stale()
    try:
        form = await visit.form()
    except HTTPException:  # whatever a mail program sends, it wants to leave
        form = {}
    choice = one(form, "choice")

    def verb(connection: Connection) -> _Found:
        standing, offer = _find(connection, *numbers)
        if standing is None or offer is None:
            return standing, offer
        which = None if choice == EVERYTHING else [offer.slug]
        how = "page" if choice else "one-click"
        subscribers.unsubscribe(connection, standing.subscriber_id, which, visit.now, how)
        return subscribers.standing(connection, standing.subscriber_id), offer

    standing, offer = await visit.write(verb)
    if standing is None or offer is None:
        return visit.note("gone")
    visit.choose(standing.locale)
    return await _left(visit, standing, offer)


def _numbers(visit: Visit, text: str) -> tuple[int, int] | None:
    """Subscriber and stream of a token; its generation does not matter to who wants to leave."""
    try:
        numbers = visit.door.tokens.read(Purpose.UNSUBSCRIBE, text, visit.now).numbers
    except TokenError:
        return None
    return (numbers[0], numbers[1]) if len(numbers) == 3 else None


def _find(connection: Connection, subscriber_id: int, stream_id: int) -> _Found:
    standing = subscribers.standing(connection, subscriber_id)
    offers = {offer.id: offer for offer in streams.offers(connection, retired=True)}
    return standing, offers.get(stream_id)


def _is_in(standing: Standing, offer: Offer) -> bool:
    return any(s.slug == offer.slug and s.state != "unsubscribed" for s in standing.streams)


async def _left(visit: Visit, standing: Standing, offer: Offer) -> Response:
    more = any(stream.state != "unsubscribed" for stream in standing.streams)
    open_to_all = await visit.read(lambda connection: archived_streams(connection, visit))
    archive = offer.slug if offer.slug in open_to_all else ""
    return visit.page("unsubscribed", stream=offer, more=more, everything=not more, archive=archive)
