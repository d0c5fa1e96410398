"""Commands that send and that stop sending."""

import asyncio
import signal
from typing import TYPE_CHECKING, Annotated

import typer

from l3mail.cli.context import House, Json, print_json, start_logging
from l3mail.errors import L3mailError

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from l3mail.outbox import Brake
    from l3mail.sending import Sender, Tally

PANEL = "Sending"


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
    from l3mail.wiring import make_sender, only_sender

    house: House = context.obj
    start_logging(house.settings.log.format)
    with house.database() as database, only_sender(house.settings, database):
        sender = make_sender(house.settings, database, house.clock)
        tally = asyncio.run(_run(sender, once=once))
    if once and tally.relay_fault:
        raise L3mailError(f"the relay is down, the queue is as it was: {tally.relay_fault}")


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
    """Stop all sending before the next mail, or one message's, or one kind's.

    Example: l3mail halt --message newsletter/2026-12
    """
    from l3mail import outbox
    from l3mail.models import KINDS

    house: House = context.obj
    if message and kind:
        raise typer.BadParameter("give --message or --kind, not both")
    if kind and kind not in KINDS:
        raise typer.BadParameter(f"{kind!r} is no kind of mail; known are {', '.join(KINDS)}")
    scope = "message" if message else "kind" if kind else "everything"
    subject = message or kind or ""
    words = f"{scope} {subject}".strip()

    def verb(connection: "Connection") -> tuple[bool, dict[str, int]]:
        new = outbox.halt(connection, scope, subject, house.who, house.clock.now())
        return new, {"halts": int(new)}

    new = house.change(f"halt {words}", verb)
    typer.echo(f"{'Halted' if new else 'Halted already'}: {words}. `l3mail resume` lifts it.")


def resume(context: typer.Context, as_json: Json = False) -> None:
    """Lift every halt.

    Example: l3mail resume
    """
    from l3mail import outbox

    house: House = context.obj

    def verb(connection: "Connection") -> tuple[list["Brake"], dict[str, int]]:
        released = outbox.resume(connection)
        return released, {"halts": len(released)}

    released = house.change("resume", verb)
    if as_json:
        print_json([{"scope": brake.scope, "subject": brake.subject} for brake in released])
        return
    if not released:
        typer.echo("Nothing was halted.")
    for brake in released:
        words = f"{brake.scope} {brake.subject}".strip()
        typer.echo(
            f"Resumed: {words}, halted {brake.halted_at:%Y-%m-%d %H:%M} UTC by {brake.halted_by}."
        )
