"""The pages that only a link opens which was just mailed to the address on file.

Owns who may see them: a mail's own link may have been forwarded with it, and is none. What the
pages show and do is theirs.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from fastapi.responses import Response
from sqlalchemy import Connection

from l3mail import subscribers
from l3mail.errors import TokenError
from l3mail.subscribers import Standing
from l3mail.tokens import Purpose
from l3mail.web.door import Visit

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Fresh:
    """A fresh link that still works, and whom it belongs to; `home` is the page of settings."""

    request_id: int
    standing: Standing
    home: str


def number(visit: Visit, text: str) -> int | None:
    """The request for a link that a token was made for; None for a mail's own, and any other."""
    try:
        numbers = visit.door.tokens.read(Purpose.PREFERENCES, text, visit.now).numbers
    except TokenError:
        return None
    return numbers[1] if len(numbers) == 2 and numbers[0] == 0 else None


def open_by(connection: Connection, visit: Visit, text: str) -> Fresh | None:
    """Who stands behind a link; the visit goes on in their language."""
    request_id = number(visit, text)
    if request_id is None:
        return None
    person = subscribers.redeem_link(connection, request_id, visit.now)
    standing = subscribers.standing(connection, person) if person else None
    if standing is None:
        return None
    visit.choose(standing.locale)
    return Fresh(request_id, standing, f"{visit.door.prefix}/preferences/{text}")


async def turned_away(visit: Visit, text: str) -> Response:
    """What a link leads to that opens nothing: whose person is gone says so, and stays so."""
    request_id = number(visit, text)
    if request_id is not None and await visit.read(
        lambda connection: subscribers.is_orphaned(connection, request_id)
    ):
        return visit.note("gone")
    return visit.stale()


async def reads(
    visit: Visit, text: str, verb: Callable[[Connection, Fresh], T]
) -> tuple[Fresh, T] | None:
    """What is asked for the person behind a link; None where it opens nothing."""

    def asking(connection: Connection) -> tuple[Fresh, T] | None:
        fresh = open_by(connection, visit, text)
        return None if fresh is None else (fresh, verb(connection, fresh))

    return await visit.read(asking)


async def writes(
    visit: Visit, text: str, verb: Callable[[Connection, Fresh], T]
) -> tuple[Fresh, T] | None:
    """What is changed for the person behind a link; None where it opens nothing."""

    def changing(connection: Connection) -> tuple[Fresh, T] | None:
        fresh = open_by(connection, visit, text)
        return None if fresh is None else (fresh, verb(connection, fresh))

    return await visit.write(changing)
