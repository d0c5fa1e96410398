"""Commands that send and that stop sending."""

import asyncio
import difflib
import logging
import signal
from typing import TYPE_CHECKING, Annotated

import typer

from l3mail.cli.context import House, Json, Yes, confirm, counted, print_json, start_logging, warn
from l3mail.cli.naming import slug_of
from l3mail.errors import L3mailError, OutboxError, quoted

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from l3mail.database import Database
    from l3mail.outbox import HaltInForce
    from l3mail.sending import Sender, Tally
    from l3mail.settings import Settings

PANEL = "Sending"

log = logging.getLogger("l3mail.worker")


def register(app: typer.Typer) -> None:
    """Hang the commands into the panel "Sending"."""
    app.command("worker", rich_help_panel=PANEL)(worker)
    app.command("halt", rich_help_panel=PANEL)(halt)
    app.command("resume", rich_help_panel=PANEL)(resume)


def worker(
    context: typer.Context,
    once: Annotated[
        bool, typer.Option("--once", help="Send what is due, then exit (1 if the relay is down).")
    ] = False,
) -> None:
    """Send what is in the outbox; stop it with Ctrl-C or SIGTERM.

    Example: l3mail worker --once
    """
    from l3mail.wiring import make_sender, only_sender, require_reconciled

    house: House = context.obj
    start_logging(house.settings.log.format, house.settings.zone)
    with house.database() as database, only_sender(database):
        require_reconciled(house.settings, database, house.clock)
        sender = make_sender(house.settings, database, house.clock)
        warn_of_halts(house, database)
        relay = house.settings.relay
        if not once:
            log.info("sending through %s:%d; Ctrl-C stops", relay.host, relay.port)
        tally = asyncio.run(_run(sender, once=once))
    if not tally.outcomes:
        log.info("nothing was handed over")
    if once and tally.relay_fault:
        done = tally.outcomes.total()
        told = f"{counted(done, 'mail')} handed over, the rest waits"
        rest = told if done else "the queue is as it was"
        raise L3mailError(f"the relay is down, {rest}: {tally.relay_fault}")


def warn_of_halts(house: House, database: "Database") -> None:
    """Say, as the first lines of a log, why mails may stay where they are."""
    from l3mail import outbox

    for in_force in database.read(outbox.halts):
        log.warning("%s", _with_remedy(house, in_force))


async def _run(sender: "Sender", *, once: bool) -> "Tally":
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        # The first signal ends dialogues cleanly; a second one is the impatient default.
        loop.add_signal_handler(number, _stop, loop, sender)
    return await sender.run(once=once)


def _stop(loop: asyncio.AbstractEventLoop, sender: "Sender") -> None:
    sender.stop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.remove_signal_handler(number)


def halt(
    context: typer.Context,
    message: Annotated[
        str | None, typer.Option(help="Only mails of this slug, e.g. newsletter/2026-12.")
    ] = None,
    kind: Annotated[str | None, typer.Option(help="Only one kind of mail, e.g. lesson.")] = None,
) -> None:
    """Stop sending before the next mail: all, one message, one kind.

    It works with a faulty l3mail.toml too, as long as that says where the database is.

    Example: l3mail halt --message newsletter/2026-12
    """
    from l3mail import outbox
    from l3mail.models import KINDS

    house: House = context.obj
    for fault in house.pull_together():
        warn(fault)
    scope, subject = _scope(message, kind)
    if kind and kind not in KINDS:
        raise typer.BadParameter(f"{kind!r} is no kind of mail; known are {', '.join(KINDS)}")
    words = f"{scope} {subject}".strip()

    def verb(connection: "Connection") -> tuple[tuple[bool, int], dict[str, int]]:
        if message:
            outbox.require_slug(connection, subject)
        new = outbox.halt(connection, scope, subject, house.who, house.clock.now())
        waiting = outbox.waiting(connection, scope, subject)
        return (new, waiting), {"halts": int(new), "deliveries": waiting}

    new, waiting = house.change(f"halt {words}", verb)
    typer.echo(
        f"{'Halted' if new else 'Halted already'} in {place_of(house.settings)}: {words};"
        f" {counted(waiting, 'delivery waits', 'deliveries wait')}. `l3mail resume` lifts it."
    )


def place_of(settings: "Settings") -> str:
    """Where the rows are: a file as seen from the workspace, or a server and a name, no secret."""
    file = settings.database_file
    if file is not None:
        inside = file.is_relative_to(settings.folder)
        return str(file.relative_to(settings.folder) if inside else file)
    from sqlalchemy import make_url

    url = make_url(settings.database_url)
    host = url.host or url.query.get("host") or "localhost"
    server = host if isinstance(host, str) else ",".join(host)
    return f"{server}{f':{url.port}' if url.port else ''}/{url.database or ''}"


def resume(
    context: typer.Context,
    message: Annotated[str | None, typer.Option(help="Only the halt of this slug.")] = None,
    kind: Annotated[str | None, typer.Option(help="Only the halt of this kind.")] = None,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Lift every halt, or one; what waited goes out at once, so it asks where mail waits.

    Example: l3mail resume
    """
    from l3mail import outbox

    house: House = context.obj
    scope, subject = _scope(message, kind)
    only = (scope, subject) if message or kind else None
    with house.database() as database:
        flowing = database.read(lambda connection: outbox.flowing(connection, only))
    if flowing:
        mails = counted(flowing, "mail that waits goes", "mails that wait go")
        confirm(f"Resume? {mails} out as soon as a sender runs.", yes=yes)

    def verb(connection: "Connection") -> tuple[list["HaltInForce"], dict[str, int]]:
        released = outbox.resume(connection, only)
        if not released and only is not None:
            _require_known(connection, *only)
        return released, {"halts": len(released)}

    released = house.change("resume" if only is None else f"resume {scope} {subject}", verb)
    if as_json:
        print_json(
            [{"scope": in_force.scope, "subject": in_force.subject} for in_force in released]
        )
        return
    for in_force in released:
        typer.echo(f"Resumed: {halt_words(house, in_force)}.")
    with house.database() as database:
        left = database.read(outbox.halts)
    if not released and not any(in_force.is_brake for in_force in left):
        typer.echo("Nothing was halted.")
    for in_force in left:
        if in_force.scope == "everything":
            # All the same nothing goes out.
            typer.echo(f"But {_with_remedy(house, in_force)}.")


def _require_known(connection: "Connection", scope: str, subject: str) -> None:
    """Raise OutboxError, with the nearest there is, where no halt could be of this."""
    from l3mail import outbox
    from l3mail.models import KINDS

    halted = [one.subject for one in outbox.halts(connection) if one.scope == scope]
    near = difflib.get_close_matches(subject, halted or KINDS, n=1)
    if scope == "message" and not (halted and near):
        outbox.require_slug(connection, subject)
    elif scope == "message" or subject not in KINDS:
        hint = f"did you mean {quoted(near[0])}?" if near else "`l3mail status` shows the halts"
        raise OutboxError(f"{scope} {quoted(subject)} is not halted; {hint}")


def _scope(message: str | None, kind: str | None) -> tuple[str, str]:
    if message and kind:
        raise typer.BadParameter("give --message or --kind, not both")
    if message:
        return "message", slug_of(message)
    return ("kind", kind) if kind else ("everything", "")


def halt_words(house: House, in_force: "HaltInForce") -> str:
    """What is halted, since when, and by whom."""
    words = f"{in_force.scope} {in_force.subject}".strip()
    at = in_force.halted_at.astimezone(house.settings.zone)
    if in_force.is_brake:
        return f"everything, because this database is a restored copy, since {at:%Y-%m-%d %H:%M}"
    return f"{words}, halted {at:%Y-%m-%d %H:%M} by {in_force.halted_by}"


def _with_remedy(house: House, in_force: "HaltInForce") -> str:
    command = "db reconcile" if in_force.is_brake else "resume"
    return f"{halt_words(house, in_force)}; `l3mail {command}` lifts it"
