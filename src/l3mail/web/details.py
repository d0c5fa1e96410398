"""What courses ask of those who take them, such as a goal: seen and changed on the settings page.

Only by a link that was just mailed to the address: a mail's own may have been forwarded with it,
and whoever has it must neither read what somebody said nor write what is sent to them.
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from l3mail import courses, subscribers
from l3mail.addresses import parse_address
from l3mail.models import SUBSCRIBER
from l3mail.subscribers import Standing
from l3mail.web import fields
from l3mail.web.door import Form, Visit
from l3mail.web.fields import Said
from l3mail.web.signups import field_of


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
    query = select(SUBSCRIBER.c.attributes).where(SUBSCRIBER.c.id == standing.subscriber_id)
    kept = connection.execute(query).scalar() or {}

    def field(name: str) -> dict[str, Any]:
        typed = said.typed if said else {}
        shown = typed[name] if name in typed else _written(kept.get(name))
        word = said.errors.get(name) if said else None
        return field_of(visit, name) | {
            "value": shown,
            "error": visit.say(word[0], **word[1]) if word else "",
        }

    return Details(titles, tuple(field(name) for name in names))


def change(connection: Connection, visit: Visit, standing: Standing, form: Form) -> Said:
    """Keep what somebody says now; nothing of it where anything is wrong."""
    said = fields.read_attributes(form, visit.door.settings, _asked(connection, visit, standing))
    if said.values and not said.errors:
        subscribers.set_attributes(connection, standing.subscriber_id, said.values)
    return said


def ask(connection: Connection, visit: Visit, standing: Standing) -> str:
    """Mail the link by which this can be changed."""
    address = parse_address(standing.address)
    subscribers.request_link(connection, visit.door.rules, address, visit.now)
    return "preferences.asks_mailed"


def _asked(connection: Connection, visit: Visit, standing: Standing) -> list[str]:
    asks = courses.asked(connection)
    taken = [stream.slug for stream in standing.streams if stream.state == "confirmed"]
    return fields.asked([asks.get(slug, ()) for slug in taken], visit.door.settings)


def _written(value: object) -> str:
    """A kept value as somebody would type it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else str(value)
