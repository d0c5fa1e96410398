"""The command that explains: why a person did or didn't get each mail, and what comes next."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any
from zoneinfo import ZoneInfo

import typer

from l3mail.cli.context import House, Json, print_json, print_table, say
from l3mail.cli.moments import told
from l3mail.errors import SubscriberError, printable

if TYPE_CHECKING:
    from l3mail.cli.explanations import Asked

PANEL = "People"


def register(app: typer.Typer) -> None:
    """Hang the command into the panel "People"."""
    app.command("explain", rich_help_panel=PANEL)(explain)


def explain(
    context: typer.Context,
    email: Annotated[str, typer.Argument(metavar="EMAIL", help="A person's address.")],
    limit: Annotated[int, typer.Option(min=1, help="At most so many mails, the newest.")] = 50,
    as_json: Json = False,
) -> None:
    """Tell why a person did or didn't get each mail.

    And what comes next, and what keeps it back.

    Example: l3mail explain ada@schule.example
    """
    from l3mail.addresses import parse_address
    from l3mail.cli import explanations

    house: House = context.obj
    zone, asked = house.settings.zone, asked_by(house)
    address = parse_address(email)
    with house.database() as database:
        bar, found = database.read(
            lambda connection: (
                explanations.barred(connection, asked, address),
                explanations.facts(connection, asked, address, limit),
            )
        )
    if found is None:
        since = f", and suppressed since {told(bar['suppressed_at'], zone)}" if bar else ""
        raise SubscriberError(f"{printable(email, 300)} is not known here{since}")
    if as_json:
        print_json(explanations.localised(found, zone))
        return
    for line in _person(found, zone):
        say(printable(line, 1000), len(line) - len(line.lstrip()) + 4)
    typer.echo()
    _print_mails(found["deliveries"], zone)


def asked_by(house: House) -> "Asked":
    """Who asks here, of this workspace, and now."""
    from l3mail.cli import explanations
    from l3mail.wiring import make_agenda, staff_of

    settings, agenda = house.settings, make_agenda(house.settings)
    return explanations.Asked(
        rules=agenda.rules,
        now=house.clock.now(),
        zone=settings.zone,
        staff=staff_of(settings),
        fallback_locale=agenda.rules.fallback_locale,
        questions=agenda.questions,
    )


def standing(found: Mapping[str, Any], zone: ZoneInfo) -> Iterator[str]:
    """What bars a person from mail, and how they stand with each stream."""
    if found["suppressed"]:
        bar = found["suppressed"]
        note = f" ({bar['note']})" if bar["note"] else ""
        yield f"  suppressed since {told(bar['suppressed_at'], zone)}: {bar['reason']}{note}"
    if found["restricted_at"]:
        yield f"  restricted since {told(found['restricted_at'], zone)}: no mail at all"
    for one in found["subscriptions"]:
        moment = one["unsubscribed_at"] if one["status"] == "unsubscribed" else one["confirmed_at"]
        since = told(moment or one["asked_at"], zone)
        yield f"  stream {one['stream']}: {one['status']} since {since}"


def _person(found: Mapping[str, Any], zone: ZoneInfo) -> Iterator[str]:
    yield f"{found['email']}: {found['status']}, known since {told(found['known_since'], zone)}"
    yield from standing(found, zone)
    for one in found["signups"]:
        streams = ", ".join(one["streams"])
        end = "expired" if one["expired"] else "may be confirmed until"
        yield f"  asked to join {streams}; {end} {told(one['expires_at'], zone)}"
        if one["limit"]:
            yield f"    {_limit(one, zone)}"
    for one in found["enrollments"]:
        yield f"  course {one['course']}: {one['status']}{_coming(one, zone)}"
        for ground in one["kept_back_by"]:
            yield f"    kept back: {ground}"
    for one in found["campaigns"]:
        why = f"; {one['why']}" if one["why"] else ""
        yield f"  {one['message']}: {one['status']}, {told(one['due_at'], zone)}{why}"
    for one in found["triggers"]:
        due = f"next {told(one['due_at'], zone)}" if one["due_at"] else ""
        yield f"  {one['message']}: {', '.join(part for part in (due, one['why']) if part)}"


def _limit(one: Mapping[str, Any], zone: ZoneInfo) -> str:
    """Why a request to join has no mail yet, and when it may have one."""
    limit = one["limit"]
    line = (
        f"no mail yet for the request of {told(one['requested_at'], zone)}:"
        f" at most {limit['at_most']} to an address"
    )
    if limit["next_at"] is None:
        return f"{line}, and another one waits to be sent"
    began, following = told(limit["last_began_at"], zone), told(limit["next_at"], zone)
    return f"{line}, the last began {began}; the next may go {following}"


def _coming(one: Mapping[str, Any], zone: ZoneInfo) -> str:
    if one["next_message"] is None:
        return f" on {told(one['ended_at'], zone)}" if one["ended_at"] else ""
    if one["next_due_at"] is None:
        return f", next {one['next_message']}, no date"
    return f", next {one['next_message']} on {told(one['next_due_at'], zone)}"


def _print_mails(mails: Sequence[Mapping[str, Any]], zone: ZoneInfo) -> None:
    print_table(
        ("DUE", "MESSAGE", "STATUS", "WHY"),
        [
            (told(mail["due_at"], zone)[4:], mail["message"], mail["status"], _why(mail, zone))
            for mail in mails
        ],
        empty="No mails yet.",
        solid=("DUE", "STATUS"),
    )


def _why(mail: Mapping[str, Any], zone: ZoneInfo) -> str:
    if mail["to_do"]:
        return f"{mail['why']}; {mail['to_do']}"
    if mail["next_attempt_at"] and mail["status"] != "held":
        return f"{mail['why']}; next attempt {told(mail['next_attempt_at'], zone)}"
    if mail["ended_at"]:
        return f"{mail['why']}, {told(mail['ended_at'], zone)}"
    return str(mail["why"])
