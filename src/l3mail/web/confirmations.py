"""Saying yes, or "this wasn't me": the two links of a confirmation mail.

Owns what their pages show. GET shows, POST acts; what a link can still do is the subscribers'
matter.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from fastapi import APIRouter
from fastapi.responses import Response
from sqlalchemy import Connection, select

from l3mail import consents, subscribers
from l3mail.errors import TokenError
from l3mail.models import SIGNUP
from l3mail.subscribers import Joined, SignupState, Standing
from l3mail.tokens import Purpose, Token
from l3mail.web import fields
from l3mail.web.asking import in_words, wording_of, wordings
from l3mail.web.door import Visit, Visiting, one

router = APIRouter()
_Seen = tuple[SignupState | None, Standing | None]


@dataclass(frozen=True)
class _Link:
    """What a confirm or refuse link says, and whether its time is over."""

    signup_id: int
    generation: int
    expires_at: datetime | None
    expired: bool


@router.get("/confirm/{token:path}")
async def show_confirm(visit: Visiting, token: str) -> Response:
    """The streams and one big button; later, how things stand."""
    link = _read(visit, Purpose.CONFIRM, token)
    if link is None:
        return visit.stale()
    state, standing = await visit.read(lambda c: _look_up(c, visit, link))
    if state is None:
        return visit.stale()
    visit.choose(standing.locale if standing and standing.locale else state.locale)
    if state.state == "confirmed":
        return _standing_page(visit, state, standing)
    if state.state == "open" and not link.expired and state.streams:
        refuse = visit.door.tokens.make(
            Purpose.REFUSE, link.signup_id, link.generation, expires_at=link.expires_at
        )
        href = f"{visit.door.prefix}/refuse/{refuse}"
        agreed = await visit.read(lambda c: _agreed(c, visit, link))
        return visit.page("confirm", refuse=href, **_asked(visit, state, agreed))
    return visit.stale()


@router.post("/confirm/{token:path}")
async def take_confirm(visit: Visiting, token: str) -> Response:
    """Confirm exactly the streams the page listed."""
    link = _read(visit, Purpose.CONFIRM, token)
    if link is None:
        return visit.stale()
    form = await visit.form()
    state, standing = await visit.read(lambda c: _look_up(c, visit, link))
    if state is None or (link.expired and state.state != "confirmed"):
        return visit.stale()
    visit.choose(standing.locale if standing and standing.locale else state.locale)
    # Our page lists what it asks; a POST of somebody else's without a list can only mean all of it.
    listed = form.get("stream") or [stream.slug for stream in state.streams if "shown" not in form]
    ticked = one(form, "tracking").lower() in fields.YES if "shown" in form else state.tracking
    tracking = _may_track(visit) and ticked
    confirmed = await visit.write(
        lambda connection: subscribers.confirm(
            connection,
            visit.door.rules,
            link.signup_id,
            link.generation,
            listed,
            visit.now,
            tracking=tracking,
        )
    )
    if confirmed is None:
        again = state.state == "confirmed"
        return _standing_page(visit, state, standing) if again else visit.stale()
    visit.door.wake()
    shown = [_joined(visit, joined) for joined in confirmed.streams]
    left = () if confirmed.changed else state.left
    return visit.page("confirmed", streams=shown, left=left, changed=confirmed.changed)


@router.get("/refuse/{token:path}")
async def show_refuse(visit: Visiting, token: str) -> Response:
    """Ask before an address is barred for good."""
    link = _read(visit, Purpose.REFUSE, token)
    if link is None:
        return visit.stale()
    state, _ = await visit.read(lambda c: _look_up(c, visit, link))
    if state is None:
        return visit.stale()
    visit.choose(state.locale)
    # Closed in another way, by an unsubscribe say, it can still be refused.
    if state.barred:
        return visit.note("refused")
    back = visit.door.tokens.make(
        Purpose.CONFIRM, link.signup_id, link.generation, expires_at=link.expires_at
    )
    return visit.page("refuse", back=f"{visit.door.prefix}/confirm/{back}")


@router.post("/refuse/{token:path}")
async def take_refuse(visit: Visiting, token: str) -> Response:
    """Never again; also when the link has expired, for that it still is not them."""
    link = _read(visit, Purpose.REFUSE, token)
    if link is None:
        return visit.stale()
    state, _ = await visit.read(lambda c: _look_up(c, visit, link))
    visit.choose(state.locale if state else None)
    done = await visit.write(
        lambda connection: subscribers.refuse(
            connection, visit.door.rules, link.signup_id, link.generation, visit.now
        )
    )
    return visit.note("refused") if done else visit.stale()


def _may_track(visit: Visit) -> bool:
    return visit.door.settings.tracking.mode == "consent"


def _asked(visit: Visit, state: SignupState, agreed: Mapping[str, str]) -> dict[str, Any]:
    """What confirming means: streams, what the form said of the person, and a box for tracking."""
    attributes = visit.door.settings.attributes
    said = {name: value for name, value in state.said.items() if name != "attributes"}
    facts = [(visit.say(f"subscribe.{name}"), in_words(visit, name, v)) for name, v in said.items()]
    for name, value in state.said.get("attributes", {}).items():
        attribute = attributes.get(name)
        label = (attribute.title if attribute else "") or name
        facts.append((label, in_words(visit, name, value)))
    streams = [
        {
            "slug": stream.slug,
            "title": stream.title,
            "wording": agreed.get(stream.slug) or wording_of(visit, stream, agreed),
        }
        for stream in state.streams
    ]
    ticked = state.tracking and _may_track(visit)
    words = agreed.get("tracking") or visit.say("subscribe.tracking_agree")
    return {"streams": streams, "facts": facts, "tracking": words if ticked else ""}


def _read(visit: Visit, purpose: Purpose, text: str) -> _Link | None:
    """What the token says, expired or not; None for one that is not ours."""
    try:
        token, expired = visit.door.tokens.read(purpose, text, visit.now), False
    except TokenError as fault:
        if not isinstance(fault.token, Token):
            return None
        token, expired = fault.token, True
    if len(token.numbers) != 2:
        return None
    return _Link(*token.numbers, expires_at=token.expires_at, expired=expired)


def _look_up(connection: Connection, visit: Visit, link: _Link) -> _Seen:
    state = subscribers.look_up_signup(connection, link.signup_id, link.generation, visit.now)
    if state is None:
        return None, None
    return state, subscribers.standing(connection, state.subscriber_id)


def _agreed(connection: Connection, visit: Visit, link: _Link) -> dict[str, str]:
    """The words of consent by box: those that stood beside it, else those in force now."""
    asked = select(SIGNUP.c.signup_values).where(SIGNUP.c.id == link.signup_id)
    noted = (connection.execute(asked).scalar() or {}).get("wordings", {})
    ids = {box: wording["id"] for box, wording in noted.items()}
    texts = {w.id: w.text for w in consents.wordings(connection, ids.values()).values()}
    seen = {box: texts[number] for box, number in ids.items() if number in texts}
    return wordings(connection, visit) | seen


def _joined(visit: Visit, joined: Joined) -> dict[str, Any]:
    first = joined.dates[0][1] if joined.dates else None
    return {
        "title": joined.title,
        "first": visit.moment(first) if first else "",
        "next": "",
        "dates": _dates(visit, joined.dates),
    }


def _dates(visit: Visit, dates: Sequence[tuple[str, Any]]) -> list[dict[str, str]]:
    zone = visit.door.settings.zone
    return [
        {
            "label": visit.say("confirmed.evaluation")
            if slug.endswith("/evaluation")
            else visit.say("confirmed.lesson", n=number),
            "iso": moment.astimezone(zone).isoformat(),
            "text": visit.moment(moment),
        }
        for number, (slug, moment) in enumerate(dates, start=1)
    ]


def _standing_page(visit: Visit, state: SignupState, standing: Standing | None) -> Response:
    running = standing.enrollments if standing else ()
    due = {e.course: e.next_due_at for e in running if e.state == "active" and e.next_due_at}
    shown = [
        {
            "title": stream.title,
            "first": "",
            "next": visit.moment(due[stream.slug]) if stream.slug in due else "",
            "dates": [],
        }
        for stream in state.streams
    ]
    return visit.page("confirmed", streams=shown, left=state.left, changed=False)
