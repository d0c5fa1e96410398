"""Commands that end it: unsubscribe, suppress."""

import re
from typing import TYPE_CHECKING, Annotated, Any

import typer

from l3mail.cli import directory
from l3mail.cli.context import House, Yes, confirm
from l3mail.cli.directory import Email
from l3mail.errors import SubscriberError, printable

if TYPE_CHECKING:
    from sqlalchemy import Connection, Row

    from l3mail.addresses import Address

# What operators did is kept for ever, and names nobody.
_MENTIONED = re.compile(r"\S+@\S+")


def unsubscribe(
    context: typer.Context,
    email: Email,
    stream: Annotated[
        list[str] | None,
        typer.Option("--stream", metavar="STREAM", help="Only this; may be given more than once."),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Everything; the default.")] = False,
) -> None:
    """Unsubscribe a person from a stream, or from everything.

    Example: l3mail subscribers unsubscribe ada@schule.example --stream newsletter
    """
    from l3mail import subscribers
    from l3mail.subscribers import values

    house: House = context.obj
    if stream and everything:
        raise typer.BadParameter("say --stream or --all, not both")

    def verb(connection: "Connection") -> tuple[tuple[str, list[str]], dict[str, int]]:
        known = directory.streams(connection, house.settings)
        slugs = [values.stream(slug, known) for slug in stream or ()] or None
        shown, number = directory.found(connection, house, email)
        left = subscribers.unsubscribe(connection, number, slugs, house.clock.now(), "operator")
        return (shown, left), {"unsubscribed": len(left)}

    shown, left = house.change("subscribers unsubscribe", verb)
    if left:
        typer.echo(f"{shown} is unsubscribed from {', '.join(sorted(left))}.")
    else:
        typer.echo(f"{shown} is not subscribed to that; nothing is changed.")


def suppress(
    context: typer.Context,
    email: Email,
    *,
    reason: Annotated[
        str, typer.Option(help="never, complaint, hard_bounce or operator.")
    ] = "operator",
    note: Annotated[str, typer.Option(metavar="TEXT", help="Why; kept with the reason.")] = "",
    lift: Annotated[bool, typer.Option("--lift", help="Allow mail to this address again.")] = False,
    yes: Yes = False,
) -> None:
    """Never mail an address again, known or not; --lift takes that back.

    Example: l3mail subscribers suppress ada@schule.example --reason complaint
    """
    from l3mail.addresses import parse_address
    from l3mail.models import SUPPRESSION_REASONS
    from l3mail.subscribers import values

    house: House = context.obj
    if reason not in SUPPRESSION_REASONS:
        raise typer.BadParameter(
            f"{reason!r} is no reason; known are {', '.join(SUPPRESSION_REASONS)}"
        )
    address = parse_address(email)
    if lift:
        _lift(house, address, values.plain(note), yes=yes)
    else:
        _suppress(house, address, reason, values.plain(note))


def _suppress(house: House, address: "Address", reason: str, note: str) -> None:
    from l3mail import suppressions
    from l3mail.addresses import address_key

    def verb(connection: "Connection") -> "tuple[Row[Any] | None, dict[str, Any]]":
        key = address_key(address, directory.rules(house).pepper)
        before = suppressions.find(connection, key)
        suppressions.suppress(connection, {key}, reason, house.clock.now(), note or None)
        after = suppressions.find(connection, key)
        changed = after != before
        return None if changed else before, {"suppressed": int(changed), "reason": reason}

    before = house.change("subscribers suppress", verb)
    if before is None:
        typer.echo(f"{address.display} gets no mail any more ({reason.replace('_', ' ')}).")
        return
    typer.echo(
        f"{address.display} is suppressed since {directory.day(house, before.suppressed_at)}"
        f" ({before.reason.replace('_', ' ')}); nothing is changed."
    )


def _lift(house: House, address: "Address", note: str, *, yes: bool) -> None:
    from l3mail import suppressions
    from l3mail.addresses import address_key

    key = address_key(address, directory.rules(house).pepper)
    with house.database() as database:
        present = database.read(lambda connection: suppressions.find(connection, key))
    if present is None:
        typer.echo(f"{address.display} is not suppressed; nothing is changed.")
        return
    reason, kept, at = present.reason, present.note, present.suppressed_at
    told = f" ({printable(kept, 200)})" if kept else ""
    typer.echo(
        f"{address.display} is suppressed since {directory.day(house, at)}:"
        f" {reason.replace('_', ' ')}{told}."
    )
    if reason in {"complaint", "never"} and not note:
        raise SubscriberError(
            f"they said so themselves ({reason}): --note must say why mail may go there again"
        )
    confirm("Allow mail to this address again?", yes=yes)

    def verb(connection: "Connection") -> tuple[bool, dict[str, Any]]:
        unchanged = suppressions.find(connection, key) == present and suppressions.lift(
            connection, key, reason
        )
        told = {"reason": reason, "note": _MENTIONED.sub("(address)", note)}
        return unchanged, {"lifted": int(unchanged)} | told

    if not house.change("subscribers suppress --lift", verb):
        raise SubscriberError("the suppression changed in the meantime; look again")
    typer.echo("Lifted: mail may go there again, for what they are still subscribed to.")
