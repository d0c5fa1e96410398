"""What courses ask of those who take them, such as a goal: seen and changed on the settings page.

Only by a link that was just mailed to the address: a mail's own may have been forwarded with it,
and whoever has it must neither read what somebody said nor write what is sent to them.
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from l3mail import courses, subscribers
from l3mail.addresses import clean_name, parse_address
from l3mail.models import SUBSCRIBER
from l3mail.subscribers import Standing
from l3mail.web import fields
from l3mail.web.asking import field_of
from l3mail.web.door import Form, Visit, one
from l3mail.web.fields import Said


@dataclass(frozen=True, slots=True)
class Details:
    """What there is to say; without a fresh link only what it is called."""

    titles: tuple[str, ...]
    fields: tuple[dict[str, Any], ...] = ()


def details(
    connection: Connection, visit: Visit, standing: Standing, said: Said | None, *, fresh: bool
) -> Details | None:
    """What the courses somebody takes ask; None where they ask nothing."""
    settings = visit.door.settings
    names = _asked(connection, visit, standing)
    if not names:
        return None
    titles = tuple(fields.asked_titles(settings, names))
    if not fresh:
        return Details(titles)
    kept = _kept(connection, standing)

    def field(name: str) -> dict[str, Any]:
        typed, value = said.typed if said else {}, fields.written(kept.get(name))
        word = said.errors.get(name) if said else None
        return with_kept(field_of(visit, name), value) | {
            "value": typed.get(name, value),
            "error": visit.say(word[0], **word[1]) if word else "",
        }

    return Details(titles, tuple(field(name) for name in names))


def change(connection: Connection, visit: Visit, standing: Standing, form: Form) -> Said:
    """Keep what somebody says now; nothing of it where anything is wrong."""
    kept = _kept(connection, standing)
    names = [
        name
        for name in _asked(connection, visit, standing)
        if differs(form, name, fields.written(kept.get(name)))
    ]
    said = fields.read_said(form, visit.door.settings, names)
    if said.values and not said.errors:
        subscribers.set_attributes(connection, standing.subscriber_id, said.values)
    return said


def ask(connection: Connection, visit: Visit, standing: Standing) -> str:
    """Mail the link by which this can be changed."""
    address = parse_address(standing.address)
    subscribers.request_link(connection, visit.door.rules, address, visit.now)
    return "preferences.asks_mailed"


def with_kept(field: dict[str, Any], value: str) -> dict[str, Any]:
    """A field that can show what is kept, though it may not be on offer any more."""
    options = field["options"]
    is_missing = bool(value and options) and value not in dict(options)
    return field | {"options": [*options, (value, value)] if is_missing else options}


def differs(form: Form, name: str, value: str) -> bool:
    """Whether a field came back with anything else than is kept: that was taken once."""
    return clean_name(one(form, name)) != clean_name(value)


def _kept(connection: Connection, standing: Standing) -> dict[str, Any]:
    query = select(SUBSCRIBER.c.attributes).where(SUBSCRIBER.c.id == standing.subscriber_id)
    return connection.execute(query).scalar() or {}


def _asked(connection: Connection, visit: Visit, standing: Standing) -> list[str]:
    asks = courses.asked(connection)
    taken = [stream.slug for stream in standing.streams if stream.state == "confirmed"]
    return fields.asked([asks.get(slug, ()) for slug in taken], visit.door.settings)
