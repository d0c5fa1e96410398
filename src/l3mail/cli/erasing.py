"""Erasing a person, as two commands do it: what goes and what stays is shown before."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from l3mail.cli import directory
from l3mail.cli.context import DryRun, House, Yes, confirm, counted
from l3mail.cli.directory import Email

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from l3mail.privacy.erasures import Going

Proof = Annotated[
    bool | None,
    typer.Option(
        "--with-proof/--keep-proof",
        help="Erase the proof of consent, too, or keep it until its date; default: as set.",
        show_default=False,
    ),
]
Never = Annotated[bool, typer.Option("--never", help="And never mail this address again.")]


def erase(
    context: typer.Context,
    email: Email,
    *,
    with_proof: Proof = None,
    never: Never = False,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """Erase a person; what must stay says nothing about them (DSGVO Art. 17).

    Shows what goes and what stays. The proof of consent is kept apart until its date, or goes at
    once: `[privacy] proof_on_erasure` says which.

    Example: l3mail privacy erase ada@schule.example
    """
    _erase(context.obj, "privacy erase", email, with_proof, never=never, dry_run=dry_run, yes=yes)


def erase_subscriber(
    context: typer.Context,
    email: Email,
    *,
    with_proof: Proof = None,
    never: Never = False,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """Erase a person, as `l3mail privacy erase` does.

    Example: l3mail subscribers erase ada@schule.example
    """
    command = "subscribers erase"
    _erase(context.obj, command, email, with_proof, never=never, dry_run=dry_run, yes=yes)


def _erase(
    house: House,
    command: str,
    email: str,
    with_proof: bool | None,
    *,
    never: bool,
    dry_run: bool,
    yes: bool,
) -> None:
    from l3mail import subscribers
    from l3mail.privacy import erasures
    from l3mail.wiring import leave_no_trace

    rules = directory.rules(house)
    keep = rules.keeps_proof if with_proof is None else not with_proof

    def foreseeing(connection: "Connection") -> "tuple[str, int, Going]":
        shown, number = directory.found(connection, house, email)
        now = house.clock.now()
        return shown, number, erasures.foresee(connection, rules, number, now, keep_proof=keep)

    with house.database() as database:
        shown, number, going = database.read(foreseeing)
    typer.echo(shown)
    for line in _going(going, never=never):
        typer.echo(line)
    if dry_run:
        typer.echo("Dry run: nothing is erased.")
        return
    confirm("Erase for good?", yes=yes)

    def erasing(connection: "Connection") -> tuple[None, dict[str, Any]]:
        now, by = house.clock.now(), house.who
        subscribers.erase(connection, rules, number, now, by=by, keep_proof=keep, never=never)
        return None, {"subscribers": 1}

    house.change(command, erasing)
    with house.database() as database:
        clean = leave_no_trace(house.settings, database)
    typer.echo("Erased. Backups made before now still hold this person: let them run out.")
    if not clean:
        typer.echo("The database's log is in use and is emptied within the hour by `l3mail run`.")


def _going(going: "Going", *, never: bool) -> Iterator[str]:
    rows = ", ".join(counted(n, what) for what, n in going.gone.items())
    yield "goes   name, address, birthday, attributes,"
    yield f"       {rows}"
    acts = counted(going.acts, "act")
    if going.proof_until is None:
        yield f"       {acts} of consent; only their checksums stay"
    yield f"stays  {counted(going.mails, 'mail')}, counted without a name"
    if going.proof_until is not None:
        until = going.proof_until.isoformat()
        yield f"       {acts} of consent, kept apart as proof until {until}"
    if never or going.suppression:
        why = "never" if never else str(going.suppression).replace("_", " ")
        yield f"       that the address is never mailed ({why}), as a keyed hash"
    if going.staff_mails:
        mails = counted(going.staff_mails, "mail")
        yield f"       {mails} to this address as one of the staff, until they are old"
