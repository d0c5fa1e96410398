"""Commands on triggers: what goes out by itself, when next, and what waits for a yes."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from l3mail.cli.audience import people
from l3mail.cli.context import (
    DryRun,
    House,
    Json,
    Yes,
    confirm,
    print_json,
    print_table,
    require_states,
    say,
)
from l3mail.cli.moments import told
from l3mail.cli.naming import slug_of
from l3mail.cli.scheduling import iso
from l3mail.errors import L3mailError, TriggerError, printable, quoted

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from l3mail.triggers import Pending, Terms, Trigger

PANEL = "Sending"
STATES = ("active", "paused", "broken")
group = typer.Typer(
    name="triggers",
    help="See what goes out by itself; approve what waits for it.",
    no_args_is_help=True,
)
Slug = Annotated[
    str, typer.Argument(metavar="TRIGGER", help="A slug, its last part, or the text's file.")
]
Batch = Annotated[
    str, typer.Argument(metavar="APPROVAL", help="A number from `triggers pending`, or a trigger.")
]


def register(app: typer.Typer) -> None:
    """Hang the group into the panel "Sending"."""
    app.add_typer(group, rich_help_panel=PANEL)


@group.command("list")
def list_(
    context: typer.Context,
    *,
    search: Annotated[str | None, typer.Option(help="Part of a slug.")] = None,
    segment: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only those that ask for this saved segment.")
    ] = None,
    status: Annotated[
        list[str] | None,
        typer.Option(metavar="STATUS", help="Only these states; may be given more than once."),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 100,
    as_json: Json = False,
) -> None:
    """List what goes out by itself, by slug, with when it is due next.

    Example: l3mail triggers list --status active
    """
    from l3mail import audiences

    house: House = context.obj
    require_states(status, STATES)

    def verb(connection: "Connection") -> list[dict[str, Any]]:
        from l3mail import triggers

        terms, last = _terms(house), triggers.last_due(connection)
        return [
            _row(house, connection, trigger, terms, last.get(trigger.slug))
            for trigger in triggers.listing(connection)
        ]

    with house.database() as database:
        rows = database.read(verb)
    rows = [
        row
        for row in rows
        if (not search or search.casefold() in row["slug"].casefold())
        and (not status or row["status"] in status)
        and (not segment or audiences.names(row["segment"], segment))
    ]
    shown = rows[:limit]
    if as_json:
        print_json(shown)
        return
    print_table(
        ("TRIGGER", "STATUS", "NEXT DUE", "LAST SENT", "WHEN"),
        [
            [row["slug"], row["status"], *(_short(row[n]) for n in _MOMENTS), row["rule"]]
            for row in shown
        ],
        empty="Nothing goes out by itself; write newsletters/lifecycle/birthday.md and publish it.",
        solid=("STATUS", "NEXT DUE", "LAST SENT"),
    )
    if len(rows) > limit:
        typer.echo(f"The first {limit}; --limit shows more.")


_MOMENTS = ("next_due_at", "last_sent_at")


def _row(
    house: House,
    connection: "Connection",
    trigger: "Trigger",
    terms: "Terms",
    last: datetime | None,
) -> dict[str, Any]:
    from l3mail import triggers

    row: dict[str, Any] = {
        "slug": trigger.slug,
        "status": "paused" if trigger.retired_at else "active",
        "trigger": trigger.written.get("trigger"),
        "stream": trigger.stream,
        "segment": trigger.written.get("segment"),
        "rule": "",
        "approval": trigger.written.get("approval", "auto"),
        "active_since": iso(house, trigger.active_since),
        "next_due_at": None,
        "last_sent_at": iso(house, last) if last else None,
        "problem": None,
    }
    try:
        row["rule"] = trigger.rule.in_words(trigger.stream)
        if not trigger.retired_at:
            if trigger.rule.segment:
                terms.question(connection, trigger.rule.segment, terms.now)
            due_at = triggers.next_due(connection, trigger, terms)
            row["next_due_at"] = iso(house, due_at) if due_at else None
    except L3mailError as fault:
        row |= {"status": "broken", "problem": str(fault)}
    return row


@group.command("show")
def show(context: typer.Context, trigger: Slug, as_json: Json = False) -> None:
    """Show a trigger's rule in words, whom it would reach, and what waits for approval.

    Example: l3mail triggers show birthday
    """
    house: House = context.obj
    slug = slug_of(trigger, "lifecycle")

    def verb(connection: "Connection") -> dict[str, Any]:
        from l3mail import triggers

        found, terms = triggers.find(connection, slug), _terms(house)
        row = _row(house, connection, found, terms, triggers.last_due(connection).get(slug))
        row |= {"next_people": None, "reach": None, "skipped": None}
        if row["problem"] is None:
            row["reach"] = triggers.audience(connection, found, terms)
            row["skipped"] = triggers.skipped(connection, found, terms)
        if row["next_due_at"]:
            due_at = datetime.fromisoformat(row["next_due_at"])
            row["next_people"] = triggers.expected_at(connection, found, due_at, terms)
        row["pending"] = [
            _pending_view(house, connection, batch, terms)
            for batch in triggers.pending(connection, terms.now, slug)
        ]
        row["decided"] = [
            {
                **one,
                "due_at": iso(house, one["due_at"]),
                "decided_at": iso(house, one["decided_at"]),
            }
            for one in triggers.decided(connection, found)
        ]
        return row

    with house.database() as database:
        row = database.read(verb)
    if as_json:
        print_json(row)
        return
    _print_show(row)


def _print_show(row: dict[str, Any]) -> None:
    facts = {name: row[name] for name in ("slug", "status", "problem", "stream")}
    facts["when"] = row["rule"]
    facts["active since"] = _short(row["active_since"])
    facts["last sent"] = _short(row["last_sent_at"]) or "never"
    due = _short(row["next_due_at"])
    facts["next due"] = f"{due}  {people(row['next_people'])}" if due else "not known"
    if row["reach"] is not None:
        facts["would reach"] = people(row["reach"])
    if row["skipped"]:
        facts["not answered"] = f"{people(row['skipped'])}: too long ago, or before the rule"
    for batch in row["pending"]:
        facts[f"approval {batch['id']}"] = _waits(batch)
    for one in row["decided"]:
        by = f" by {one['decided_by']}" if one["decided_by"] else ""
        facts[f"approval {one['id']}"] = f"{one['occasion']}: {one['decision']}{by}"
    for name, value in facts.items():
        if value not in {None, ""}:
            say(f"{name:>14}  {printable(str(value), 1000)}", 16)


@group.command("pending")
def pending(context: typer.Context, as_json: Json = False) -> None:
    """List what waits for approval, with when it is due and until when it may go out.

    Example: l3mail triggers pending
    """
    house: House = context.obj

    def verb(connection: "Connection") -> list[dict[str, Any]]:
        from l3mail import triggers

        terms = _terms(house)
        return [
            _pending_view(house, connection, batch, terms)
            for batch in triggers.pending(connection, terms.now)
        ]

    with house.database() as database:
        rows = database.read(verb)
    if as_json:
        print_json(rows)
        return
    print_table(
        ("NO.", "TRIGGER", "ABOUT", "DUE", "UNTIL", "PEOPLE", "SUBJECT"),
        [
            [
                row["id"],
                row["slug"],
                row["occasion"],
                _short(row["due_at"]),
                _short(row["lapses_at"]),
                row["people"],
                row["subject"],
            ]
            for row in rows
        ],
        empty="Nothing waits for approval.",
        solid=("NO.", "DUE", "UNTIL"),
    )


def _pending_view(
    house: House, connection: "Connection", batch: "Pending", terms: "Terms"
) -> dict[str, Any]:
    from l3mail import publishing, triggers

    texts = publishing.load(connection, set(batch.messages.values()))
    own = batch.messages.get(terms.fallback_locale, next(iter(batch.messages.values()), 0))
    return {
        "id": batch.id,
        "slug": batch.slug,
        "occasion": batch.occasion,
        "due_at": iso(house, batch.due_at),
        "requested_at": iso(house, batch.requested_at),
        "lapses_at": iso(house, batch.lapses_at),
        "people": triggers.waiting_for(connection, batch, terms),
        "subject": str(texts[own].compiled.get("subject", "")) if own in texts else "",
        "messages": dict(batch.messages),
    }


def _waits(batch: dict[str, Any]) -> str:
    return (
        f"waits for approval until {_short(batch['lapses_at'])}, due {_short(batch['due_at'])},"
        f" {people(batch['people'])}: {batch['subject']}"
    )


# -- approve, reject


@group.command("approve")
def approve(
    context: typer.Context, batch: Batch, dry_run: DryRun = False, yes: Yes = False
) -> None:
    """Let a batch go out when it is due, or at once; shows how many it is for, and asks.

    What was shown is what is sent, whatever was published meanwhile.

    Example: l3mail triggers approve weltbildungstag
    """
    _decide(context.obj, batch, "approved", dry_run=dry_run, yes=yes)


@group.command("reject")
def reject(context: typer.Context, batch: Batch, dry_run: DryRun = False, yes: Yes = False) -> None:
    """Let a batch not go out at all; shows how many it is for, and asks.

    Example: l3mail triggers reject weltbildungstag
    """
    _decide(context.obj, batch, "rejected", dry_run=dry_run, yes=yes)


def _decide(
    house: House,
    name: str,
    decision: Literal["approved", "rejected"],
    *,
    dry_run: bool,
    yes: bool,
) -> None:
    from l3mail import triggers

    def look(connection: "Connection") -> dict[str, Any]:
        terms = _terms(house)
        if name.isdecimal():
            waiting = triggers.pending(connection, terms.now)
            found = [batch for batch in waiting if batch.id == int(name)]
        else:
            slug = triggers.find(connection, slug_of(name, "lifecycle")).slug
            found = triggers.pending(connection, terms.now, slug)
        if len(found) > 1:
            several = ", ".join(f"{batch.id} ({batch.occasion})" for batch in found)
            raise TriggerError(f"{found[0].slug} waits more than once; name one: {several}")
        if not found and not name.isdecimal():
            raise TriggerError(
                f"nothing of {quoted(name)} waits for approval;"
                " `l3mail triggers pending` shows what does"
            )
        return _pending_view(house, connection, found[0], terms) if found else {"id": int(name)}

    with house.database() as database:
        batch = database.read(look)
    if "slug" in batch:
        typer.echo(f"{printable(batch['slug'], 200)}, {batch['occasion']}: {_waits(batch)}")
    if dry_run:
        typer.echo("Dry run, nothing is changed.")
        return
    word = {"approved": "approve", "rejected": "reject"}[decision]
    if "slug" in batch:
        confirm(f"{word} it?", yes=yes)

    def verb(connection: "Connection") -> tuple[int, dict[str, int]]:
        changed = triggers.decide(
            connection, batch["id"], decision, house.signed, house.clock.now()
        )
        return changed, {"approvals": 1, "deliveries": changed}

    changed = house.change(f"triggers {word} {batch['id']}", verb)
    if decision == "rejected":
        typer.echo(f"Rejected: {batch['slug']}; it is sent to nobody.")
    elif changed:
        typer.echo(f"Approved: {batch['slug']}; queued for {people(changed)}.")
    else:
        typer.echo(f"Approved: {batch['slug']}; it goes out {_short(batch['due_at'])}.")


# -- pause, resume


@group.command("pause")
def pause(context: typer.Context, trigger: Slug) -> None:
    """Plan no more of a trigger's mails; what is planned already goes out.

    Example: l3mail triggers pause birthday
    """
    from l3mail import triggers

    house: House = context.obj
    slug = slug_of(trigger, "lifecycle")

    def verb(connection: "Connection") -> tuple[bool, dict[str, int]]:
        triggers.find(connection, slug)
        changed = triggers.pause(connection, slug, house.clock.now())
        return changed, {"triggers": int(changed)}

    changed = house.change(f"triggers pause {slug}", verb)
    words = "Paused" if changed else "Paused already"
    say(f"{words}: {slug}. `l3mail triggers resume` lets it go on.")


@group.command("resume")
def resume(
    context: typer.Context, trigger: Slug, dry_run: DryRun = False, yes: Yes = False
) -> None:
    """Let a paused trigger go on with what is due from now on; nothing is made up for.

    Example: l3mail triggers resume birthday
    """
    from l3mail import triggers

    house: House = context.obj
    slug = slug_of(trigger, "lifecycle")

    def look(connection: "Connection") -> "tuple[Trigger, int]":
        found = triggers.find(connection, slug)
        return found, triggers.audience(connection, found, _terms(house))

    with house.database() as database:
        found, reach = database.read(look)
    if found.retired_at is None:
        typer.echo(f"{slug} is not paused.")
        return
    since = told(found.retired_at, house.settings.zone)
    rule = found.rule.in_words(found.stream)
    say(f"{slug} is paused since {since}: {printable(rule, 500)}; {people(reach)}.")
    if dry_run:
        typer.echo("Dry run, nothing is changed.")
        return
    confirm(f"let {slug} go on?", yes=yes)

    def verb(connection: "Connection") -> tuple[bool, dict[str, int]]:
        changed = triggers.resume(connection, slug, house.clock.now())
        return changed, {"triggers": int(changed)}

    house.change(f"triggers resume {slug}", verb)
    typer.echo(f"Resumed: {slug}, with what is due from now on.")


def _terms(house: House) -> "Terms":
    from l3mail.wiring import trigger_terms

    return trigger_terms(house.settings, house.clock.now())


def _short(instant: str | None) -> str:
    return (instant or "")[:16].replace("T", " ")
