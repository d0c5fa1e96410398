"""What the commands on people share: the workspace's rules, its streams, finding a person."""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from l3mail.cli.context import House
from l3mail.errors import SubscriberError, printable

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection

    from l3mail.settings import Settings
    from l3mail.subscribers import Rules

Email = Annotated[str, typer.Argument(metavar="EMAIL", help="The person's address.")]

Segment = Annotated[
    str | None,
    typer.Option(
        metavar="SEGMENT", help="Only people of a saved segment, or whom an expression selects."
    ),
]


def question(
    connection: "Connection", house: House, segment: str | None
) -> "ColumnElement[bool] | None":
    """Whom a segment's name or expression selects now, as a condition on people; None for all."""
    from l3mail.wiring import asking_terms

    if not segment:
        return None
    return asking_terms(house.settings).question(connection, segment, house.clock.now()).yes


def require_proof(*, confirmed: bool, note: str, streams: "Sequence[str] | None") -> None:
    """Refuse as wrong usage what says `--confirmed` without proof, or proof without it.

    `streams` None means that a file may still name them.
    """
    from l3mail.subscribers import values

    if confirmed and not values.plain(note):
        raise typer.BadParameter("--confirmed needs --consent-note: where is the proof?")
    if confirmed and streams is not None and not streams:
        raise typer.BadParameter("--confirmed needs --stream: what did they consent to?")
    if note.strip() and not confirmed:
        raise typer.BadParameter("--consent-note belongs to --confirmed")


def rules(house: House) -> "Rules":
    """What the verbs on people need to know of this workspace."""
    from l3mail.wiring import make_rules

    return make_rules(house.settings)


def streams(connection: "Connection", settings: "Settings") -> set[str]:
    """The slugs of all streams: those there are, and those that l3mail.toml declares."""
    from sqlalchemy import select

    from l3mail.models import STREAM

    return {*connection.execute(select(STREAM.c.slug)).scalars(), *settings.streams}


def declare_streams(connection: "Connection", house: House) -> None:
    """Make sure of the streams that l3mail.toml declares."""
    from l3mail import wiring

    wiring.declare_streams(connection, house.settings, house.clock.now())


def found(connection: "Connection", house: House, email: str) -> tuple[str, int]:
    """A person's address as people write it, and their number. Raises SubscriberError."""
    from l3mail import subscribers
    from l3mail.addresses import parse_address

    address = parse_address(email)
    number = subscribers.find(connection, rules(house), address)
    if number is None:
        raise stranger(address.display)
    return address.display, number


def stranger(email: str) -> SubscriberError:
    """What to raise where nobody has this address."""
    return SubscriberError(
        f"nobody here has the address {printable(email, 254)};"
        " `l3mail subscribers list --search` finds parts of it"
    )


def display(address: str) -> str:
    """An address as people write it: with umlauts in its domain, if there are any."""
    from l3mail.addresses import parse_address

    return parse_address(address).display


def day(house: House, at: "datetime | str | None") -> str:
    """The local day of a moment, also of one in ISO form; "" for none."""
    if isinstance(at, str):
        at = datetime.fromisoformat(at)
    return at.astimezone(house.settings.zone).date().isoformat() if at else ""


def localised(house: House, value: Any) -> Any:
    """Instants in the workspace's zone, however deep they stand."""
    if isinstance(value, datetime):
        return value.astimezone(house.settings.zone).isoformat()
    if isinstance(value, dict):
        return {name: localised(house, inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [localised(house, inner) for inner in value]
    return value
