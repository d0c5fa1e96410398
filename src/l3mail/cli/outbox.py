"""Commands on the outbox: look at deliveries, and settle those that need a person."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from l3mail.cli import directory
from l3mail.cli.context import (
    DryRun,
    House,
    Json,
    Yes,
    confirm,
    counted,
    print_json,
    print_table,
    require_states,
    say,
)
from l3mail.cli.moments import told
from l3mail.cli.naming import slug_of
from l3mail.errors import L3mailError, OutboxError, printable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from sqlalchemy import Connection

    from l3mail.outbox import Settlement

PANEL = "Sending"
_NUMBERS = typer.Argument(metavar="ID", help="Numbers of deliveries, from `outbox list`.")
Ids = Annotated[list[int], _NUMBERS]
AnyIds = Annotated[list[int] | None, _NUMBERS]

group = typer.Typer(
    name="outbox", help="See deliveries; retry, settle or cancel them.", no_args_is_help=True
)


def register(app: typer.Typer) -> None:
    """Hang the group into the panel "Sending"."""
    app.add_typer(group, rich_help_panel=PANEL)


@group.command("list")
def list_(
    context: typer.Context,
    *,
    status: Annotated[
        list[str] | None,
        typer.Option(metavar="STATUS", help="Only these states; may be given more than once."),
    ] = None,
    search: Annotated[str | None, typer.Option(help="Part of an address or slug.")] = None,
    segment: directory.Segment = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, the newest.")] = 100,
    as_json: Json = False,
) -> None:
    """List deliveries, the newest last.

    Example: l3mail outbox list --status uncertain
    """
    from l3mail import outbox
    from l3mail.models import DELIVERY_STATES

    house: House = context.obj
    require_states(status, DELIVERY_STATES)
    with house.database() as database:
        rows = database.read(
            lambda connection: outbox.listing(
                connection,
                states=status or (),
                search=search,
                people=directory.question(connection, house, segment),
                limit=limit + 1,
            )
        )
    more = len(rows) > limit
    rows = rows[-limit:]
    shown = [_view(house, row) for row in rows]
    if as_json:
        print_json(shown)
        return
    for row in shown:
        if row["held_until"]:
            row["reason"] = f"{row['reason']}, until {_short(row['held_until'])}"
    columns = ("id", "due_at", "kind", "message", "email", "status", "reason")
    print_table(
        ("ID", "DUE", "KIND", "MESSAGE", "ADDRESS", "STATUS", "REASON"),
        [
            [_short(row[name]) if name == "due_at" else row[name] for name in columns]
            for row in shown
        ],
        empty="No deliveries.",
        solid=("ID", "DUE", "STATUS"),
    )
    if more:
        typer.echo(f"The newest {limit}; --limit shows more.")


@group.command("show")
def show(
    context: typer.Context,
    delivery: Annotated[str, typer.Argument(metavar="ID", help="Number of a delivery.")],
    eml: Annotated[
        bool, typer.Option("--eml", help="Print the mail itself, as it was or would be sent.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show all that is known about one delivery.

    Example: l3mail outbox show 17 --eml > mail.eml
    """
    from l3mail import events, outbox

    house: House = context.obj
    number = _number(delivery)
    with house.database() as database:
        if eml:
            from l3mail.wiring import rendered

            typer.echo(rendered(house.settings, database, number), nl=False)
            return
        rows, visits = database.read(
            lambda connection: (
                outbox.lookup(connection, [number]),
                events.of_delivery(connection, number),
            )
        )
    if not rows:
        raise _unknown([number])
    row = rows[0]
    if as_json:
        print_json(row | _view(house, row) | {"visits": visits})
        return
    facts = _view(house, row) | {
        "occasion": row["occurrence"],
        "attempts": row["attempts"],
        "measured": "the person agreed" if row["tracked"] else None,
    }
    moments = {
        "due_at": row["due_at"],
        "started": row["started_at"],
        "ended": row["ended_at"],
        "next attempt": row["next_attempt_at"],
        "uncertain since": row["uncertain_at"],
    }
    facts |= {name: told(at, house.settings.zone) for name, at in moments.items() if at}
    for name, value in facts.items():
        if value not in {None, ""}:
            say(f"{name:>15}  {_plain(value)}", 17)
    for visit in visits:
        at, where = told(visit["at"], house.settings.zone), visit["url"] or ""
        line = " ".join(part for part in (at, where, f"({visit['verdict']})") if part)
        say(f"{visit['kind']:>15}  {_plain(line)}", 17)


def _number(text: str) -> int:
    if text.isascii() and text.isdigit() and len(text) < 19:
        return int(text)
    shown = printable(text, 100)
    if "@" in text:
        raise OutboxError(
            f"{shown} is no number of a delivery; `l3mail outbox list --search {shown}` shows"
            " the numbers"
        )
    raise typer.BadParameter(f"{shown!r} is no number; `l3mail outbox list` shows the numbers")


@group.command("retry")
def retry(
    context: typer.Context,
    ids: AnyIds = None,
    *,
    message: Annotated[
        str | None, typer.Option(metavar="SLUG", help="Instead of numbers: those of a message.")
    ] = None,
    status: Annotated[
        list[str] | None,
        typer.Option(
            metavar="STATUS",
            help="Of a message: only those failed, deferred or held; may be given more than once.",
        ),
    ] = None,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """Queue failed, deferred or held deliveries again.

    By --message those are left out whose mailbox does not exist, those held for something else
    than a text, and those that were uncertain once: their mail may have arrived.

    Example: l3mail outbox retry --message newsletter/2026-12 --status deferred
    """
    from l3mail import outbox

    house: House = context.obj
    require_states(status, outbox.RETRYABLE)
    if bool(ids) == bool(message) or (status and not message):
        raise typer.BadParameter("name deliveries by their numbers, or by --message and --status")
    if message is None:
        _order(house, "retry", ids or [], outbox.retry, dry_run=dry_run, yes=yes)
    else:
        _retry_all(house, slug_of(message), status or outbox.RETRYABLE, dry_run=dry_run, yes=yes)


def _retry_all(
    house: House, slug: str, states: "Sequence[str]", *, dry_run: bool, yes: bool
) -> None:
    from l3mail import outbox

    with house.database() as database:
        database.read(lambda connection: outbox.require_slug(connection, slug))
        found = database.read(lambda connection: outbox.retryable(connection, slug, states))
        left_out = database.read(lambda connection: outbox.doubtful(connection, slug, states))
    if left_out:
        typer.echo(f"Left out, for they may have arrived once: {counted(left_out, 'delivery')}.")
    total = f"{counted(sum(found.values()), 'delivery')} of {slug}"
    parts = ", ".join(f"{n:,} {state}" for state, n in sorted(found.items()))
    shown = f"{total} ({parts})" if parts else total
    if not found or dry_run:
        typer.echo(f"{shown}; nothing is changed.")
        return
    confirm(f"retry {shown}?", yes=yes)

    def verb(connection: "Connection") -> tuple[int, dict[str, int]]:
        done = outbox.retry_all(connection, slug, states)
        return done, {"deliveries": done}

    what = " ".join([f"--message {slug}", *(f"--status {state}" for state in states)])
    done = house.change(f"outbox retry {what}", verb)
    typer.echo(f"{counted(done, 'delivery')} queued again.")


@group.command("resolve")
def resolve(
    context: typer.Context,
    ids: AnyIds = None,
    *,
    message: Annotated[
        str | None,
        typer.Option(metavar="SLUG", help="Instead of numbers: all uncertain ones of a message."),
    ] = None,
    arrived: Annotated[
        bool, typer.Option("--arrived", help="It arrived: count as accepted.")
    ] = False,
    resend: Annotated[bool, typer.Option("--resend", help="Send again, same Message-ID.")] = False,
    give_up: Annotated[bool, typer.Option("--give-up", help="Count as failed.")] = False,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """Settle uncertain deliveries by what you found out.

    Example: l3mail outbox resolve 17 --arrived
    """
    from l3mail import outbox

    house: House = context.obj
    chosen: list[outbox.Settlement] = []
    if arrived:
        chosen.append("arrived")
    if resend:
        chosen.append("resend")
    if give_up:
        chosen.append("give-up")
    if len(chosen) != 1:
        raise typer.BadParameter("say one of --arrived, --resend, --give-up")
    settlement = chosen[0]
    if bool(ids) == bool(message):
        raise typer.BadParameter("name deliveries by their numbers, or all of one by --message")
    if message:
        _resolve_all(house, slug_of(message), settlement, dry_run=dry_run, yes=yes)
        return

    def verb(connection: "Connection", ids: "Sequence[int]") -> list[int]:
        return _evident(
            connection,
            house,
            settlement,
            lambda now: outbox.resolve(connection, ids, settlement, now),
        )

    _order(house, f"resolve --{settlement}", ids or [], verb, dry_run=dry_run, yes=yes)


def _resolve_all(
    house: House, slug: str, settlement: "Settlement", *, dry_run: bool, yes: bool
) -> None:
    from l3mail import outbox

    with house.database() as database:
        database.read(lambda connection: outbox.require_slug(connection, slug))
        found = database.read(lambda connection: outbox.doubted(connection, slug))
    if not found or dry_run:
        typer.echo(f"{counted(found, 'uncertain delivery')} of {slug}; nothing is changed.")
        return
    confirm(f"resolve --{settlement} {counted(found, 'delivery')} of {slug}?", yes=yes)

    def verb(connection: "Connection") -> tuple[int, dict[str, int]]:
        done = _evident(
            connection,
            house,
            settlement,
            lambda now: outbox.resolve_all(connection, slug, settlement, now),
        )
        return len(done), {"deliveries": len(done)}

    done = house.change(f"outbox resolve --{settlement} --message {slug}", verb)
    typer.echo(f"{counted(done, 'delivery')} of {slug} settled.")


def _evident(
    connection: "Connection",
    house: House,
    settlement: "Settlement",
    settle: "Callable[[datetime], list[int]]",
) -> list[int]:
    """Settle, and leave evidence of confirmations that arrived."""
    from l3mail import consents, sending

    now = house.clock.now()
    if settlement != "arrived":
        return settle(now)
    consents.hold(connection)
    ids = settle(now)
    sending.note_found(connection, ids, house.who, now)
    return ids


@group.command("cancel")
def cancel(context: typer.Context, ids: Ids, dry_run: DryRun = False, yes: Yes = False) -> None:
    """Take deliveries that are not yet handed over out of the queue for good.

    Example: l3mail outbox cancel 17
    """
    from l3mail import outbox

    house: House = context.obj

    def verb(connection: "Connection", ids: "Sequence[int]") -> list[int]:
        return outbox.cancel(connection, ids, house.clock.now())

    _order(house, "cancel", ids, verb, dry_run=dry_run, yes=yes)


@dataclass(frozen=True)
class _Change:
    """What an order did: the ids it fitted, all rows before, and those rows after."""

    ids: list[int]
    before: list[dict[str, Any]]
    after: list[dict[str, Any]]


class _DryRunError(Exception):
    """Rolls a dry run's transaction back and carries what it would have changed."""

    def __init__(self, change: _Change) -> None:
        super().__init__()
        self.change = change


def _order(
    house: House,
    name: str,
    ids: list[int],
    verb: "Callable[[Connection, Sequence[int]], list[int]]",
    *,
    dry_run: bool,
    yes: bool,
) -> None:
    """Run an operator's order on rows, note it, and name the rows it did not fit."""
    from l3mail import outbox

    def noted(connection: "Connection") -> tuple[_Change, dict[str, int]]:
        before = outbox.lookup(connection, ids)
        ids_changed = verb(connection, ids)
        change = _Change(ids_changed, before, outbox.lookup(connection, ids_changed))
        return change, {"deliveries": len(ids_changed)}

    def rehearsal(connection: "Connection") -> tuple[_Change, dict[str, int]]:
        raise _DryRunError(noted(connection)[0])

    try:
        change = house.change(f"outbox {name}", rehearsal)
    except _DryRunError as dry:
        change = dry.change
    fitting = len(change.ids)
    if fitting and not dry_run:
        asked = len(set(ids))
        of = "" if fitting == asked else f" ({asked - fitting} of {asked} can't be)"
        confirm(f"{name} {counted(fitting, 'delivery')}{of}?", yes=yes)
        change = house.change(f"outbox {name}", noted)
    elif dry_run:
        typer.echo("Dry run, nothing is changed.")
    states = {row["id"]: row["state"] for row in change.before}
    reasons = {row["id"]: row["reason"] for row in change.before if row["state"] == "held"}
    for row in change.after:
        typer.echo(f"{row['id']}  {_plain(row['email'])}  {states[row['id']]} -> {row['state']}")
    rest = sorted(set(ids) - set(change.ids))
    if rest:
        raise _unfit(name, rest, states, reasons)


_FITTING = {
    "retry": "failed, deferred or held",
    "resolve": "uncertain",
    "cancel": "queued, deferred, held or uncertain",
}


def _unfit(
    name: str, ids: list[int], states: dict[int, str], reasons: dict[int, str]
) -> L3mailError:
    unknown = [number for number in ids if number not in states]
    if unknown:
        return _unknown(unknown)
    command = name.partition(" ")[0]
    told = ", ".join(
        f"{number} is {states[number]}" + (f" ({reasons[number]})" if number in reasons else "")
        for number in ids
    )
    if command == "retry" and any(number in reasons for number in ids):
        return OutboxError(
            f"{told}; what is held waits for its reason to end, `l3mail explain EMAIL` says when"
        )
    return OutboxError(f"{told}; {command} takes only what is {_FITTING[command]}")


def _unknown(ids: list[int]) -> L3mailError:
    numbers = ", ".join(map(str, ids))
    return OutboxError(f"no delivery {numbers}; `l3mail outbox list` shows the numbers")


def _view(house: House, row: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": row["id"],
        "email": row["email"],
        "kind": row["kind"],
        "message": row["slug"],
        "due_at": _local(house, row["due_at"]),
        "status": row["state"],
        "reason": _reason(row),
        "held_until": _local(house, row["next_attempt_at"]) if row["state"] == "held" else None,
    }


def _reason(row: dict[str, Any]) -> str | None:
    """Why a row is where it is, with the relay's own words where they are the answer."""
    reply = None
    if row["state"] in {"failed", "deferred"} and row["reply_text"]:
        reply = f"{row['reply_code'] or ''} {row['reply_text']}".strip()
    return ": ".join(part for part in (row["reason"], reply) if part) or None


def _local(house: House, instant: "datetime | None") -> str | None:
    return instant.astimezone(house.settings.zone).isoformat() if instant else None


def _plain(value: object) -> str:
    # What a relay or a person wrote must not steer a terminal.
    return printable(str(value), 1000)


def _short(instant: str) -> str:
    return instant[:16].replace("T", " ")
