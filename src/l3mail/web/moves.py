"""Another address: asked for by a fresh link, and answered by whoever reads mail there.

Owns both pages. The one who asks is told the same whatever the new address is; how it stands with
it, only the page says that its own mail leads to.
"""

from fastapi import APIRouter
from fastapi.responses import Response
from sqlalchemy import Connection, select

from l3mail import subscribers
from l3mail.addresses import clean_name, parse_address
from l3mail.errors import AddressError, TokenError
from l3mail.models import LINK_REQUEST, SUBSCRIBER
from l3mail.subscribers import Move
from l3mail.tokens import Purpose
from l3mail.web import fresh
from l3mail.web.door import Form, Visit, Visiting, one
from l3mail.web.fresh import Fresh

_Asked = tuple[str, str, str, str | None]
"""The word for what was done, the text of the field, the word for its fault, what is awaited."""

router = APIRouter()


@router.get("/preferences/{token}/address")
async def show_move(visit: Visiting, token: str) -> Response:
    """The address on file, the one that is asked, and a field for another."""
    seen = await fresh.reads(
        visit, token, lambda connection, found: _pending(connection, visit, found)
    )
    if seen is None:
        return await fresh.turned_away(visit, token)
    return _page(visit, seen[0], ("", "", "", seen[1]))


@router.post("/preferences/{token}/address")
async def take_move(visit: Visiting, token: str) -> Response:
    """Have the new address mailed, or stay."""
    form = await visit.form()

    def verb(connection: Connection, found: Fresh) -> _Asked:
        if one(form, "action") == "stay":
            stayed = subscribers.withdraw_move(connection, found.standing.subscriber_id, visit.now)
            return "stayed" if stayed else "", "", "", None
        return (*_ask(connection, visit, found, form), _pending(connection, visit, found))

    done = await fresh.writes(visit, token, verb)
    if done is None:
        return await fresh.turned_away(visit, token)
    visit.door.wake()
    return _page(visit, *done)


def _ask(connection: Connection, visit: Visit, found: Fresh, form: Form) -> tuple[str, str, str]:
    typed = one(form, "email")
    shown = clean_name(typed)
    try:
        address = parse_address(typed)
    except AddressError:
        return "", shown, "errors.email_broken" if typed.strip() else "errors.email_missing"
    asked = subscribers.ask_new_address(
        connection,
        visit.door.rules,
        found.standing.subscriber_id,
        address,
        visit.now,
        locale=visit.tag,
    )
    if asked in {"same", "too_often"}:
        return "", shown, f"address.{asked}"
    return "asked", "", ""


def _page(visit: Visit, found: Fresh, asked: _Asked) -> Response:
    notice, typed, fault, pending = asked
    return visit.page(
        "address",
        422 if fault else 200,
        home=found.home,
        present=found.standing.address,
        pending=pending or "",
        notice=visit.say(f"address.{notice}", email=pending or "") if notice else "",
        email=typed,
        error=visit.say(fault) if fault else "",
    )


def _pending(connection: Connection, visit: Visit, found: Fresh) -> str | None:
    return subscribers.pending_move(connection, found.standing.subscriber_id, visit.now)


@router.get("/address/{token:path}")
async def show_offer(visit: Visiting, token: str) -> Response:
    """Ask whoever reads mail there; scanners open every link, and move nobody."""
    number = _number(visit, token)
    if number is None:
        return visit.stale()
    move = await visit.read(lambda c: subscribers.look_up_move(c, number, visit.now))
    return await _answer(visit, number, move)


@router.post("/address/{token:path}")
async def take_offer(visit: Visiting, token: str) -> Response:
    """The yes; or, where the address has a registration of its own, a way into that."""
    number = _number(visit, token)
    if number is None:
        return visit.stale()
    form = await visit.form()

    def verb(connection: Connection) -> tuple[Move | None, bool]:
        if one(form, "action") != "link":
            rules = visit.door.rules
            return subscribers.take_new_address(connection, rules, number, visit.now), False
        move = subscribers.look_up_move(connection, number, visit.now)
        if move is not None and move.state == "taken":
            _mail_link(connection, visit, number)
            return move, True
        return move, False

    move, mailed = await visit.write(verb)
    visit.door.wake()
    return await _answer(visit, number, move, mailed=mailed)


def _mail_link(connection: Connection, visit: Visit, number: int) -> None:
    """A fresh link to whoever has the address, by which they can delete what is kept there."""
    query = (
        select(SUBSCRIBER.c.address)
        .join(LINK_REQUEST, LINK_REQUEST.c.subscriber_id == SUBSCRIBER.c.id)
        .where(LINK_REQUEST.c.id == number)
    )
    address = parse_address(connection.execute(query).scalar_one())
    subscribers.request_link(connection, visit.door.rules, address, visit.now)


async def _answer(
    visit: Visit, number: int, move: Move | None, *, mailed: bool = False
) -> Response:
    if move is None:
        gone = await visit.read(lambda c: subscribers.is_orphaned(c, number))
        return visit.note("gone") if gone else visit.stale()
    visit.choose(move.locale)
    notice = visit.say("move.mailed") if mailed else ""
    return visit.page("move", state=move.state, closed=move.closed, notice=notice)


def _number(visit: Visit, text: str) -> int | None:
    try:
        numbers = visit.door.tokens.read(Purpose.ADDRESS, text, visit.now).numbers
    except TokenError:
        return None
    return numbers[0] if len(numbers) == 1 else None
