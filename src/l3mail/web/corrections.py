"""What somebody told us of themselves, corrected by them: names, a birthday, attributes, interests.

Owns the page. Nothing of it is kept where anything is wrong; what was typed comes back.
"""

from typing import Any

from fastapi import APIRouter
from fastapi.responses import Response
from sqlalchemy import Connection, Row, select

from l3mail import courses, events, subscribers
from l3mail.locales import long_date
from l3mail.models import SUBSCRIBER
from l3mail.web import fields, fresh
from l3mail.web.asking import field_of
from l3mail.web.details import differs, with_kept
from l3mail.web.door import Form, Visit, Visiting, one
from l3mail.web.fields import Said
from l3mail.web.fresh import Fresh

_Seen = tuple[list[dict[str, Any]], dict[str, str]]
_Changed = tuple[str, Said | None, _Seen]

router = APIRouter()


@router.get("/preferences/{token}/details")
async def show_details(visit: Visiting, token: str) -> Response:
    """The fields as they are kept, and the interests."""
    seen = await fresh.reads(
        visit, token, lambda connection, found: _look(connection, visit, found)
    )
    if seen is None:
        return await fresh.turned_away(visit, token)
    return _page(visit, seen[0], ("", None, seen[1]))


@router.post("/preferences/{token}/details")
async def take_details(visit: Visiting, token: str) -> Response:
    """Keep what was said, or forget an interest."""
    form = await visit.form()

    def verb(connection: Connection, found: Fresh) -> _Changed:
        person = found.standing.subscriber_id
        if one(form, "action") == "interest":
            name = one(form, "interest")
            subscribers.hold(connection, person)
            taken = events.take_back_interest(connection, person, name)
            return "forgotten" if taken else "", None, _look(connection, visit, found)
        said = _read(connection, visit, found, form)
        if said.errors:
            return "", said, _look(connection, visit, found, said)
        subscribers.correct(connection, person, _values(said))
        return "saved", None, _look(connection, visit, found)

    done = await fresh.writes(visit, token, verb)
    return await fresh.turned_away(visit, token) if done is None else _page(visit, *done)


def _page(visit: Visit, found: Fresh, changed: _Changed) -> Response:
    notice, said, (shown, interests) = changed
    errors = said.errors if said else {}
    return visit.page(
        "details",
        422 if errors else 200,
        home=found.home,
        notice=visit.say(f"details.{notice}") if notice else "",
        errors={name: visit.say(word, **gaps) for name, (word, gaps) in errors.items()},
        fields=shown,
        interests=interests,
    )


def _look(connection: Connection, visit: Visit, found: Fresh, said: Said | None = None) -> _Seen:
    """The fields with what is in them, and the interests with their days."""
    person = _person(connection, found)
    typed = said.typed if said else {}
    hints = {"salutation": "subscribe.salutation_hint", "birthday": "details.birthday_hint"}

    def field(name: str) -> dict[str, Any]:
        word = hints.get(name) or ("details.date_hint" if _is_date(visit, name) else "")
        value = fields.written(_kept(person, name))
        return with_kept(field_of(visit, name), value) | {
            "value": typed.get(name, value),
            "hint": visit.say(word) if word else "",
        }

    shown = [field(name) for name in _names(connection, visit, found, person)]
    zone = visit.door.settings.zone
    interests = events.interests(connection, found.standing.subscriber_id)
    return shown, {
        name: long_date(at.astimezone(zone).date(), visit.tag) for name, at in interests.items()
    }


def _is_date(visit: Visit, name: str) -> bool:
    attribute = visit.door.settings.attributes.get(name)
    return attribute is not None and attribute.type == "date"


def _kept(person: Row[Any], name: str) -> object:
    if name == "birthday":
        return fields.written_birthday(person.birth_year, person.birth_month, person.birth_day)
    return person._mapping[name] if name in fields.PERSONAL else person.attributes.get(name)


def _person(connection: Connection, found: Fresh) -> Row[Any]:
    query = select(SUBSCRIBER).where(SUBSCRIBER.c.id == found.standing.subscriber_id)
    return connection.execute(query).one()


def _names(connection: Connection, visit: Visit, found: Fresh, person: Row[Any]) -> list[str]:
    """What somebody may correct: who they are, what forms and their courses ask, what is known."""
    settings = visit.door.settings
    asks = courses.asked(connection)
    taken = [stream.slug for stream in found.standing.streams if stream.state == "confirmed"]
    asked = fields.asked([asks.get(slug, ()) for slug in taken], settings)
    known = [name for name in settings.attributes if name in person.attributes]
    shown = [name for name in settings.signup.fields if name in settings.attributes]
    return list(dict.fromkeys([*fields.PERSONAL, *shown, *asked, *known]))


def _read(connection: Connection, visit: Visit, found: Fresh, form: Form) -> Said:
    """What differs from what is kept: that was taken once, whatever forms take today."""
    person = _person(connection, found)
    names = [
        name
        for name in _names(connection, visit, found, person)
        if differs(form, name, fields.written(_kept(person, name)))
    ]
    today = visit.now.astimezone(visit.door.settings.zone).date()
    return fields.read_said(form, visit.door.settings, names, today)


def _values(said: Said) -> dict[str, Any]:
    own = {name: value for name, value in said.values.items() if name in fields.PERSONAL}
    rest = {name: value for name, value in said.values.items() if name not in fields.PERSONAL}
    return own | {"attributes": rest}
