"""The command that says how things stand, and whether a person is needed."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from l3mail.cli.context import House, Json, print_json, say
from l3mail.cli.moments import told
from l3mail.cli.sending import halt_words
from l3mail.errors import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sqlalchemy import Connection

    from l3mail.needs import Need, Sending
    from l3mail.newsletters import Campaign
    from l3mail.outbox import HaltInForce, Spared
    from l3mail.publishing import State
    from l3mail.rounds import Agenda, Due
    from l3mail.sending import Bulletin
    from l3mail.wiring import Survey

PANEL = "Sending"
SHOWN = ("queued", "sending", "uncertain", "failed", "held", "deferred")
HURRY = timedelta(minutes=5)
"""What waits longer is told of, though it needs nobody yet."""


def register(app: typer.Typer) -> None:
    """Hang the command into the panel "Sending"."""
    app.command("status", rich_help_panel=PANEL)(status)


@dataclass(frozen=True)
class _Findings:
    """What the rows say, read in one transaction."""

    halts: "Sequence[HaltInForce]"
    counts: "Mapping[str, int]"
    spared: "Sequence[Spared]"
    next_due_at: datetime | None
    next_attempt_at: datetime | None
    upcoming: "Sequence[Due]"
    unpublished: "Sequence[Due]"
    paused: "Sequence[Campaign]"
    waiting_since: datetime | None
    needs: "Sequence[Need]"
    content: "Survey"
    senders: "Sequence[Bulletin]"


def status(
    context: typer.Context,
    check: Annotated[
        bool, typer.Option("--check", help="Exit 1 if something needs a person.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Say what is queued, what is due next, and what needs a person.

    Example: l3mail status --check
    """
    from l3mail.needs import in_words
    from l3mail.sending import bulletins
    from l3mail.settings import sending_problems
    from l3mail.wiring import make_agenda, survey_content, undetected_restore, who_sends

    house: House = context.obj
    now = house.clock.now()
    problems = sending_problems(house.settings)
    with house.database() as database:
        problems += undetected_restore(house.settings, database)
        agenda = make_agenda(house.settings)
        survey = survey_content(house.settings, database)
        senders = bulletins(house.settings.state_dir)
        sending = who_sends(house.settings, database)
        found = database.read(
            lambda connection: _look(
                connection, now, agenda, problems, survey, senders=senders, sending=sending
            )
        )
    wanted = [in_words(need, house.settings.zone) for need in found.needs]
    if as_json:
        print_json(_view(house, found, problems, wanted))
    else:
        _print(house, found, wanted, now)
    if check and wanted:
        raise typer.Exit(1)


def _look(
    connection: "Connection",
    now: datetime,
    agenda: "Agenda",
    problems: "Sequence[str]",
    survey: "Survey",
    *,
    senders: "Sequence[Bulletin]",
    sending: "Sending",
) -> _Findings:
    from l3mail import needs, newsletters, outbox, rounds

    upcoming = rounds.upcoming(connection, now, agenda)
    moments = [due.due_at for due in upcoming[:1]]
    later = rounds.next_moment(connection, now, agenda)
    return _Findings(
        halts=outbox.halts(connection),
        counts=outbox.counts(connection),
        spared=outbox.spared(connection),
        # What is overdue comes first: it is due, and nobody has planned it.
        next_due_at=min([*moments, *([later] if later else [])], default=None),
        next_attempt_at=outbox.next_attempt(connection),
        upcoming=upcoming,
        unpublished=rounds.unpublished(connection, now + needs.AHEAD),
        paused=[c for c in newsletters.campaigns(connection) if c.status(now) == "paused"],
        waiting_since=outbox.waiting_since(connection),
        needs=needs.look(connection, now, problems, survey.broken, agenda, sending=sending),
        content=survey,
        senders=senders,
    )


def _print(house: House, found: _Findings, wanted: "Sequence[str]", now: datetime) -> None:
    for halt in found.halts:
        say(f"HALTED: {halt_words(house, halt)}", 7)
    say("queue  " + ", ".join(f"{found.counts[state]} {state}" for state in SHOWN), 7)
    for one in found.spared:
        say(f"held   {one.mails:,} by {printable(one.reason, 200)}, {_until(house, one)}", 7)
    since = found.waiting_since
    if since and since < now - HURRY and not any(need.cause == "waiting" for need in found.needs):
        relay = house.settings.relay
        say(
            f"       oldest waiting since {told(since, house.settings.zone)}:"
            f" is the relay {relay.host}:{relay.port} up, is `l3mail run` running?",
            7,
        )
    for line in _relay_lines(house, found.senders):
        say(f"relay  {printable(line, 1000)}", 7)
    for line in _next_lines(house, found):
        say(f"next   {line}", 7)
    for line in _content_lines(found.content):
        say(f"texts  {printable(line, 1000)}", 7)
    for line in wanted:
        say(f"needs  {printable(line, 1000)}", 7)
    if not wanted:
        typer.echo("Nothing needs a person.")


def _until(house: House, held: "Spared") -> str:
    """When what a rule holds goes on by itself."""
    first, last = (told(at, house.settings.zone) for at in (held.first_until, held.last_until))
    return f"until {first}" if first == last else f"the first until {first}, the last until {last}"


def _relay_lines(house: House, senders: "Sequence[Bulletin]") -> "Iterator[str]":
    """Why mail leaves more slowly than it could, as each sender on this machine knows it."""
    zone = house.settings.zone
    for sender in senders:
        if sender.relay_fault and sender.relay_fault_since:
            yield (
                f"down since {told(sender.relay_fault_since, zone)}, tried again by itself:"
                f" {sender.relay_fault}"
            )
        if sender.slowed_to is not None and sender.slowed_since:
            yield (
                f"asked us to slow down: at most {sender.slowed_to:.3g} mails a second, less than"
                f" usual since {told(sender.slowed_since, zone)}, more again by itself"
            )


def _next_lines(house: House, found: _Findings) -> "Iterator[str]":
    """What goes out next: mails that are there already, and what is due to be planned."""
    zone, counts = house.settings.zone, found.counts
    if counts["queued"]:
        yield f"now: {counts['queued']} queued"
    if found.next_attempt_at:
        first = ", the first of them" if counts["deferred"] > 1 else ""
        at = told(found.next_attempt_at, zone)
        yield f"{at}  {counts['deferred']} deferred: tried again{first}"
    for due in found.upcoming:
        people = "" if due.people is None else f"  {due.people} due"
        yield f"{told(due.due_at, zone)}  {due.slug}{people}"
    if not (counts["queued"] or found.next_attempt_at or found.upcoming or found.spared):
        yield "nothing is due"


TEXTS_SHOWN = 5


def _content_lines(survey: "Survey") -> "Iterator[str]":
    """What of the files is not what is sent, by what is so; the first few by name."""
    kinds = (
        ("broken", sorted({*survey.broken.values()}), "`l3mail check` says why"),
        ("changed since published", _named(survey, "changed"), "`l3mail content diff` shows how"),
        ("never published", _named(survey, "new"), "`l3mail content publish` does it"),
        ("drafts", _named(survey, "draft"), ""),
    )
    for what, names, hint in kinds:
        if names:
            rest = len(names) - TEXTS_SHOWN
            shown = ", ".join(names[:TEXTS_SHOWN]) + (f" and {rest} more" if rest > 0 else "")
            yield f"{what}: {shown}" + (f"; {hint}" if hint else "")


def _named(survey: "Survey", state: "State") -> list[str]:
    """The files of texts in a state: a slug alone would hide which language it is."""
    return [one.path or one.slug for one in survey.of(state)]


def _view(
    house: House, found: _Findings, problems: "Sequence[str]", wanted: "Sequence[str]"
) -> dict[str, Any]:
    def due(one: "Due") -> dict[str, Any]:
        return {"message": one.slug, "due_at": _iso(house, one.due_at), "people": one.people}

    return {
        "halted": bool(found.halts),
        "halts": [
            {
                "scope": halt.scope,
                "subject": halt.subject,
                "halted_at": _iso(house, halt.halted_at),
                "halted_by": halt.halted_by,
            }
            for halt in found.halts
        ],
        **found.counts,
        "held_by": [
            {
                "reason": one.reason,
                "count": one.mails,
                "first_until": _iso(house, one.first_until),
                "last_until": _iso(house, one.last_until),
            }
            for one in found.spared
        ],
        "next_due_at": _iso(house, found.next_due_at),
        "next_attempt_at": _iso(house, found.next_attempt_at),
        "next": [due(one) for one in found.upcoming],
        "unpublished": [due(one) for one in found.unpublished],
        "paused": [
            {"message": campaign.slug, "reason": campaign.paused_reason, "queued": campaign.waiting}
            for campaign in found.paused
        ],
        "waiting_since": _iso(house, found.waiting_since),
        "sending_problems": list(problems),
        "senders": [
            {
                "process": sender.process,
                "relay_fault": sender.relay_fault,
                "relay_fault_since": _iso(house, sender.relay_fault_since),
                "slowed_to": sender.slowed_to,
                "slowed_since": _iso(house, sender.slowed_since),
            }
            for sender in found.senders
        ],
        "content": {
            "broken": sorted({*found.content.broken.values()}),
            "changed": _named(found.content, "changed"),
            "unpublished": _named(found.content, "new"),
            "drafts": _named(found.content, "draft"),
        },
        "needs": list(wanted),
    }


def _iso(house: House, instant: datetime | None) -> str | None:
    return instant.astimezone(house.settings.zone).isoformat() if instant else None
