"""Deleting: what goes and what stays is said before the button, and then it is done.

Owns the page. What is deleted, and until when proof is owed, is the subscribers' matter.
"""

from datetime import date

from fastapi import APIRouter
from fastapi.responses import Response
from sqlalchemy import Connection

from l3mail import subscribers
from l3mail.locales import long_date
from l3mail.web import fields, fresh
from l3mail.web.door import Visiting, one
from l3mail.web.fresh import Fresh

router = APIRouter()


@router.get("/preferences/{token}/delete")
async def show_deletion(visit: Visiting, token: str) -> Response:
    """What will be deleted, what stays, and one button."""

    def verb(connection: Connection, found: Fresh) -> date | None:
        person = found.standing.subscriber_id
        return subscribers.proof_kept_until(connection, visit.door.rules, person, visit.now)

    seen = await fresh.reads(visit, token, verb)
    if seen is None:
        return await fresh.turned_away(visit, token)
    found, until = seen
    return visit.page(
        "delete",
        home=found.home,
        address=found.standing.address,
        proof=long_date(until, visit.tag) if until else "",
        barred=bool(found.standing.suppressed),
    )


@router.post("/preferences/{token}/delete")
async def take_deletion(visit: Visiting, token: str) -> Response:
    """Delete; and never write again, if that was ticked."""
    form = await visit.form()
    never = one(form, "never").lower() in fields.YES

    def verb(connection: Connection, found: Fresh) -> None:
        rules, person = visit.door.rules, found.standing.subscriber_id
        subscribers.erase(connection, rules, person, visit.now, by="person", never=never)

    done = await fresh.writes(visit, token, verb)
    if done is None:
        return await fresh.turned_away(visit, token)
    visit.door.wake()
    return visit.page("deleted", never=never)
