"""Commands that put a person's data right, or let them rest."""

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from l3mail.cli import directory
from l3mail.cli.context import DryRun, House, Yes, confirm
from l3mail.cli.directory import Email
from l3mail.cli.moments import told_birthday
from l3mail.errors import EntryError, SubscriberError, printable

if TYPE_CHECKING:
    from sqlalchemy import Connection

# What operators did is kept for ever, and names nobody.
_MENTIONED = re.compile(r"\S+@\S+")


def correct(
    context: typer.Context,
    email: Email,
    *,
    first_name: Annotated[str | None, typer.Option(help="First name.")] = None,
    last_name: Annotated[str | None, typer.Option(help="Last name.")] = None,
    salutation: Annotated[str | None, typer.Option(help="How mails begin.")] = None,
    district: Annotated[str | None, typer.Option(help="Part of the city.")] = None,
    birthday: Annotated[str | None, typer.Option(help="1980-05-17, 17.5.1980 or 17.05.")] = None,
    locale: Annotated[str | None, typer.Option(help="de, de-simple or en.")] = None,
    attr: Annotated[
        list[str] | None, typer.Option(metavar="K=V", help="An attribute, as declared.")
    ] = None,
    clear: Annotated[
        list[str] | None,
        typer.Option(metavar="FIELD", help="Empty this: birthday, attrs.role; may be repeated."),
    ] = None,
    new_email: Annotated[
        str | None, typer.Option("--email", metavar="NEW", help="Another address.")
    ] = None,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """Put right what is held on a person (DSGVO Art. 16).

    Shows each value before and after, asks, and prints the command that takes it back.

    Example: l3mail privacy correct ada@schule.example --last-name Lovelace --clear birthday
    """
    house: House = context.obj
    said = {
        "first_name": first_name,
        "last_name": last_name,
        "salutation": salutation,
        "district": district,
        "birthday": birthday,
        "locale": locale,
    }
    after = _read(house, said, attr or ()) | _cleared(house, clear or ())
    if new_email is not None:
        if after:
            raise typer.BadParameter("--email goes by itself: it is asked by mail first")
        _ask_new_address(house, email, new_email, dry_run=dry_run, yes=yes)
        return
    if not after:
        raise typer.BadParameter("say what to put right, such as --last-name, --attr or --clear")
    _put_right(house, email, after, dry_run=dry_run, yes=yes)


_ASKED = {
    "unmailed": "no mail may go there now: it is barred, or was asked too often",
    "same": "that is the address on file",
    "too_often": "they were asked too often today; try again tomorrow",
    "unknown": "they are not here any more",
}


def _ask_new_address(house: House, email: str, new_email: str, *, dry_run: bool, yes: bool) -> None:
    """Ask the new address whether it takes this person's mails; until its yes nothing changes."""
    from l3mail import subscribers
    from l3mail.addresses import parse_address

    address = parse_address(new_email)
    with house.database() as database:
        shown, number = database.read(lambda one: directory.found(one, house, email))
    typer.echo(f"{shown}\n  email: {shown} -> {address.display}, once it has said yes to a mail")
    if dry_run:
        typer.echo("Dry run: nothing is mailed.")
        return
    confirm("Mail the new address?", yes=yes)

    def verb(connection: "Connection") -> tuple[str, dict[str, Any]]:
        rules, now = directory.rules(house), house.clock.now()
        asked = subscribers.ask_new_address(connection, rules, number, address, now, by=house.who)
        return asked, {"asked": int(asked == "mailed")}

    asked = house.change("privacy correct --email", verb)
    if asked != "mailed":
        raise SubscriberError(_ASKED[asked])
    typer.echo("The new address is asked. Until it says yes all mail goes to the old one.")


def _put_right(
    house: House, email: str, after: Mapping[str, Any], *, dry_run: bool, yes: bool
) -> None:
    """Show what changes, ask, and write it if it is still as it was shown."""
    from l3mail.subscribers import restricting

    def looking(connection: "Connection") -> tuple[str, int, dict[str, Any]]:
        shown, number = directory.found(connection, house, email)
        return shown, number, restricting.known(connection, number)

    with house.database() as database:
        shown, number, before = database.read(looking)
    changed = {name: value for name, value in after.items() if before.get(name) != value}
    if not changed:
        typer.echo(f"That is what is held on {shown}; nothing is changed.")
        return
    typer.echo(shown)
    for name, value in changed.items():
        typer.echo(f"  {name}: {_shown(name, before.get(name))} -> {_shown(name, value)}")
    if dry_run:
        typer.echo("Dry run: nothing is changed.")
        return
    confirm("Put it right?", yes=yes)

    def verb(connection: "Connection") -> tuple[bool, dict[str, Any]]:
        done = restricting.correct(connection, number, before, changed)
        return done, {"corrected": sorted(changed) if done else []}

    if not house.change("privacy correct", verb):
        raise SubscriberError("what is held changed in the meantime; look again")
    typer.echo(f"Put right. To take it back: {_undo(shown, before, changed)}")


def _read(house: House, said: Mapping[str, str | None], attr: Sequence[str]) -> dict[str, Any]:
    """What was typed, as it may be kept. Raises EntryError."""
    from l3mail.subscribers import values

    settings = house.settings
    today = house.clock.now().astimezone(settings.zone).date()
    read: dict[str, Any] = {}
    for name, text in said.items():
        if text is None:
            continue
        if not text.strip():
            raise EntryError(f"{name} is empty; to empty it, say --clear {name}")
        match name:
            case "birthday":
                read[name] = values.birthday(text, today)
            case "locale":
                read[name] = values.locale(text)
            case _:
                read[name] = values.name(name, text)
    for pair in attr:
        name, equals, text = pair.partition("=")
        if not equals:
            raise typer.BadParameter(f"--attr {pair!r} has no value; write --attr name=value")
        known = _attribute(house, name.strip())
        read[f"attrs.{known}"] = values.attribute(known, text, settings.attributes)
    return read


def _attribute(house: House, name: str) -> str:
    from l3mail.subscribers import values

    declared = house.settings.attributes
    if name in declared or values.free_attribute(name, {*declared, *values.NAMES}):
        return name
    raise EntryError(
        f'"{printable(name, 60)}" is no attribute here;'
        f" {values.near(name, declared, 'attribute in l3mail.toml')}"
    )


def _cleared(house: House, fields: Sequence[str]) -> dict[str, None]:
    from l3mail.subscribers import restricting, values

    found: dict[str, None] = {}
    for field in fields:
        name = field.strip().replace("-", "_") if not field.startswith("attrs.") else field
        if name not in restricting.FIELDS and not name.startswith("attrs."):
            if name not in house.settings.attributes:
                near = values.near(name, [*restricting.FIELDS, *house.settings.attributes], "field")
                raise EntryError(f'"{printable(field, 60)}" is no field here; {near}')
            name = f"attrs.{name}"
        found[name] = None
    return found


def _shown(name: str, value: Any) -> str:
    if value is None:
        return "(nothing)"
    if isinstance(value, bool):
        return "ja" if value else "nein"
    return printable(told_birthday(value) if name == "birthday" else str(value), 200)


def _undo(email: str, before: Mapping[str, Any], changed: Mapping[str, Any]) -> str:
    """The command that puts back what was there."""
    words = ["l3mail", "privacy", "correct", email, *_options(before, changed)]
    return " ".join(shlex.quote(word) for word in words)


def _options(before: Mapping[str, Any], changed: Mapping[str, Any]) -> Iterator[str]:
    for name in changed:
        value = before.get(name)
        if value is None:
            yield from ("--clear", name)
        elif name.startswith("attrs."):
            written = ("ja" if value else "nein") if isinstance(value, bool) else str(value)
            yield from ("--attr", f"{name.removeprefix('attrs.')}={written}")
        else:
            # In one word: a value may begin with a dash, as birthdays without a year do.
            yield f"--{name.replace('_', '-')}={value}"


def restrict(
    context: typer.Context,
    email: Email,
    *,
    note: Annotated[str, typer.Option(metavar="TEXT", help="Why; kept with the change.")] = "",
    lift: Annotated[bool, typer.Option("--lift", help="Use their data again.")] = False,
) -> None:
    """Let a person's data rest: stored and nothing else (DSGVO Art. 18); --lift ends it.

    No mail of any kind goes to them, no segment and no export finds them. A course waits, and goes
    on at their next slot once this is lifted.

    Example: l3mail privacy restrict ada@schule.example --note "disputes the address"
    """
    from l3mail.subscribers import restricting, values

    house: House = context.obj

    def verb(connection: "Connection") -> tuple[tuple[str, bool], dict[str, Any]]:
        shown, number = directory.found(connection, house, email)
        if lift:
            done = restricting.lift(connection, number)
        else:
            rules = directory.rules(house)
            done = restricting.restrict(connection, rules, number, house.clock.now())
        said = {"note": _MENTIONED.sub("(address)", values.plain(note))} if note.strip() else {}
        return (shown, done), {"subscribers": int(done)} | said

    shown, done = house.change(f"privacy restrict{' --lift' if lift else ''}", verb)
    if lift:
        end = "is used again" if done else "was not restricted; nothing is changed"
        typer.echo(f"{shown} {end}.")
    elif done:
        typer.echo(
            f"{shown} is restricted: stored and nothing else."
            f" `l3mail privacy restrict {shlex.quote(shown)} --lift` ends it."
        )
    else:
        typer.echo(f"{shown} is restricted already; nothing is changed.")
