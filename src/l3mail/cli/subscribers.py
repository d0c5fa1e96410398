"""Commands on people: who is known, who joins, who leaves, who is never to be mailed."""

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from l3mail.cli import converting, departures, directory, erasing, importing
from l3mail.cli.context import House, Json, print_json, print_table, say
from l3mail.cli.directory import Email, Segment
from l3mail.cli.exporting import AsCsv, AsJson, MayPrint, instead, target_of, write_csv, write_json
from l3mail.cli.moments import told_birthday
from l3mail.errors import EntryError, SubscriberError, printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sqlalchemy import Connection

    from l3mail.subscribers import Request
    from l3mail.subscribers.exports import Asked
    from l3mail.subscribers.invitations import Invited

PANEL = "People"
Streams = Annotated[
    list[str] | None,
    typer.Option("--stream", metavar="STREAM", help="What they join; may be given more than once."),
]
Search = Annotated[str | None, typer.Option(help="Parts of an address, name or district.")]
Status = Annotated[
    str | None, typer.Option(help="unconfirmed, active, unsubscribed or suppressed.")
]

InStream = Annotated[str | None, typer.Option(help="Only who is, or was, in this stream.")]

group = typer.Typer(
    name="subscribers", help="Add, import, find and export people.", no_args_is_help=True
)


def register(app: typer.Typer) -> None:
    """Hang the group into the panel "People"."""
    app.add_typer(group, rich_help_panel=PANEL)


@group.command("add")
def add(
    context: typer.Context,
    email: Email,
    *,
    stream: Streams = None,
    first_name: Annotated[str, typer.Option(help="First name.")] = "",
    last_name: Annotated[str, typer.Option(help="Last name.")] = "",
    salutation: Annotated[
        str, typer.Option(help='How mails begin, such as "Liebe Frau Berg".')
    ] = "",
    district: Annotated[str, typer.Option(help="Part of the city.")] = "",
    birthday: Annotated[str, typer.Option(help="1980-05-17, 17.5.1980 or 17.05.")] = "",
    locale: Annotated[str, typer.Option(help="de, de-simple or en.")] = "",
    attr: Annotated[
        list[str] | None, typer.Option(metavar="K=V", help="An attribute, as declared.")
    ] = None,
    confirmed: Annotated[
        bool, typer.Option("--confirmed", help="You hold their consent: no mail asks for it.")
    ] = False,
    consent_note: Annotated[
        str, typer.Option(metavar="TEXT", help="With --confirmed: where the proof is.")
    ] = "",
    tracking: Annotated[
        bool, typer.Option("--tracking", help="They agree to personal measurement.")
    ] = False,
) -> None:
    """Add a person; a mail asks them to confirm each stream named.

    Example: l3mail subscribers add ada@schule.example --stream newsletter
    """
    house: House = context.obj
    directory.require_proof(confirmed=confirmed, note=consent_note, streams=stream or ())
    if tracking and not stream:
        raise typer.BadParameter("--tracking is asked together with a stream; name one")
    said = {
        "first_name": first_name,
        "last_name": last_name,
        "salutation": salutation,
        "district": district,
        "birthday": birthday,
        "locale": locale,
    }
    request = _request(house, email, stream or [], said, attr or [])
    if tracking:
        request = replace(request, values={**request.values, "tracking": True})
    if confirmed:
        _attest(house, request, consent_note)
    else:
        _invite(house, request)


def _request(
    house: House,
    email: str,
    streams: "Sequence[str]",
    said: "Mapping[str, str]",
    attr: "Sequence[str]",
) -> "Request":
    from l3mail.addresses import parse_address
    from l3mail.subscribers import Request, values

    settings = house.settings
    today = house.clock.now().astimezone(settings.zone).date()
    kept: dict[str, Any] = {name: values.name(name, said[name]) for name in values.NAMES}
    if said["birthday"]:
        kept["birthday"] = values.birthday(said["birthday"], today)
    attributes: dict[str, Any] = {}
    for pair in attr:
        name, equals, text = pair.partition("=")
        name = name.strip()
        if not equals:
            raise typer.BadParameter(f"--attr {pair!r} has no value; write --attr name=value")
        known_names = {*settings.attributes, *values.NAMES}
        if name not in settings.attributes and not values.free_attribute(name, known_names):
            raise EntryError(
                f'"{printable(name, 60)}" is no attribute here;'
                f" {values.near(name, settings.attributes, 'attribute in l3mail.toml')}"
            )
        attributes[name] = values.attribute(name, text, settings.attributes)
    if attributes:
        kept["attributes"] = attributes
    with house.database() as database:
        known = database.read(lambda connection: directory.streams(connection, settings))
    return Request(
        address=parse_address(email),
        streams=tuple(dict.fromkeys(values.stream(slug, known) for slug in streams)),
        values={name: value for name, value in kept.items() if value != ""},
        locale=values.locale(said["locale"]) if said["locale"] else None,
        source="operator",
        form="operator",
    )


def _attest(house: House, request: "Request", note: str) -> None:
    from l3mail import subscribers
    from l3mail.subscribers import values

    def verb(
        connection: "Connection",
    ) -> tuple[subscribers.Attested | subscribers.Refused, dict[str, Any]]:
        directory.declare_streams(connection, house)
        answer = subscribers.attest(
            connection,
            directory.rules(house),
            request,
            note=values.plain(note),
            by=house.who,
            now=house.clock.now(),
        )
        joined = len(answer.streams) if isinstance(answer, subscribers.Attested) else 0
        return answer, {"confirmed": joined}

    answer = house.change("subscribers add --confirmed", verb)
    shown = request.address.display
    if isinstance(answer, subscribers.Refused):
        raise SubscriberError(f"{shown}: {answer.reason}")
    if answer.streams:
        typer.echo(f"{shown} is confirmed for {', '.join(answer.streams)}; no mail is sent.")
    else:
        typer.echo(f"{shown} was confirmed already; nothing is changed.")


def _invite(house: House, request: "Request") -> None:
    from l3mail.subscribers.invitations import invite

    def verb(connection: "Connection") -> tuple["Invited", dict[str, Any]]:
        directory.declare_streams(connection, house)
        invited = invite(connection, directory.rules(house), request, house.clock.now())
        return invited, {"people": 1, "outcome": invited.outcome}

    invited = house.change("subscribers add", verb)
    shown, streams = request.address.display, ", ".join(invited.streams)
    if invited.outcome == "suppressed":
        raise SubscriberError(
            f"{shown} is suppressed since {directory.day(house, invited.at)}"
            f" ({invited.reason.replace('_', ' ')}): no mail goes there"
        )
    if invited.outcome == "restricted":
        raise SubscriberError(f"{shown} asked us to leave their data alone: no mail goes there")
    if invited.left_at:
        typer.echo(f"{shown} unsubscribed on {directory.day(house, invited.left_at)}; asking anew.")
    match invited.outcome:
        case "queued":
            typer.echo(f"Confirmation mail queued: {shown} is asked to confirm {streams}.")
        case "waiting":
            typer.echo(f"{shown} was asked for {streams} already: no second mail within a day.")
        case "confirmed":
            typer.echo(f"{shown} is confirmed for {streams} already; nothing is changed.")
        case _:
            typer.echo(f"{shown} is recorded without a stream: no mail goes there, --stream asks.")


group.command("import")(importing.import_)
group.command("convert")(converting.convert)


@group.command("list")
def list_(
    context: typer.Context,
    *,
    search: Search = None,
    segment: Segment = None,
    status: Status = None,
    stream: InStream = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, the newest.")] = 100,
    as_json: Json = False,
) -> None:
    """List people, the newest last.

    Example: l3mail subscribers list --status unconfirmed
    """
    from l3mail.subscribers import exports

    house: House = context.obj
    wanted = {"search": search, "segment": segment, "status": status, "stream": stream}
    with house.database() as database:
        asked = database.read(partial(_asked, house=house, wanted=wanted))
        rows = database.read(lambda c: exports.listing(c, asked, limit + 1))
        total = database.read(lambda c: exports.count(c, asked)) if len(rows) > limit else 0
    rows = rows[-limit:]
    if as_json:
        print_json([directory.localised(house, row) for row in rows])
        return
    print_table(
        ("ADDRESS", "NAME", "STATUS", "STREAMS", "SINCE"),
        [
            (
                directory.display(row["email"]),
                _name(row),
                f"{row['status']}, restricted" if row["restricted_at"] else row["status"],
                _memberships(row),
                directory.day(house, row["created_at"]),
            )
            for row in rows
        ],
        empty="Nobody.",
        solid=("STATUS", "SINCE"),
    )
    if total:
        typer.echo(f"The newest {limit} of {total:,}; --limit shows more.")


@group.command("show")
def show(context: typer.Context, email: Email, as_json: Json = False) -> None:
    """Show all that is known about one person.

    Example: l3mail subscribers show ada@schule.example
    """
    from l3mail import subscribers
    from l3mail.subscribers import exports

    house: House = context.obj

    def verb(connection: "Connection") -> dict[str, Any]:
        _, number = directory.found(connection, house, email)
        person = subscribers.show(connection, number)
        if person is None:
            raise directory.stranger(email)
        _awaken(connection, house, number, person["enrollments"])
        return person | {"deliveries": exports.delivery_counts(connection, number)}

    with house.database() as database:
        person = database.read(verb)
    if as_json:
        print_json(directory.localised(house, person))
        return
    for line in _portrait(house, person):
        say(line, 14)


@group.command("export", cls=MayPrint)
def export(
    context: typer.Context,
    *,
    csv: AsCsv = None,
    json: AsJson = None,
    search: Search = None,
    segment: Segment = None,
    status: Status = None,
    stream: InStream = None,
) -> None:
    """Write the list of people to a file, or print it.

    Example: l3mail subscribers export --csv people.csv
    """
    house: House = context.obj
    target = target_of(csv, json)
    wanted = {"search": search, "segment": segment, "status": status, "stream": stream}
    beside = instead(target)
    with house.database() as database:
        asked = database.read(partial(_asked, house=house, wanted=wanted))
        if csv is not None:
            count = write_csv(database, asked, target, sorted(house.settings.attributes))
        else:
            count = write_json(database, asked, target, lambda row: directory.localised(house, row))
    if str(target) != "-":
        typer.echo(f"{count:,} {'person' if count == 1 else 'people'} written to {target}{beside}.")


group.command("unsubscribe")(departures.unsubscribe)
group.command("suppress")(departures.suppress)
group.command("erase")(erasing.erase_subscriber)


def _asked(connection: "Connection", house: House, wanted: dict[str, str | None]) -> "Asked":
    status, stream, segment = wanted["status"], wanted["stream"], wanted["segment"]
    from l3mail.subscribers import exports, values

    if status and status not in exports.STATUSES:
        raise typer.BadParameter(
            f"{status!r} is no status; known are {', '.join(exports.STATUSES)}"
        )
    if stream:
        stream = values.stream(stream, directory.streams(connection, house.settings))
    question = directory.question(connection, house, segment)
    return exports.Asked(search=wanted["search"], status=status, stream=stream, segment=question)


def _portrait(house: House, person: "Mapping[str, Any]") -> "Iterator[str]":
    plain = ("email", "status", "name", "salutation", "birthday", "district", "locale")
    facts = dict(person) | {"name": _name(person), "email": directory.display(person["email"])}
    facts["birthday"] = told_birthday(person.get("birthday") or "")
    for name in plain:
        if facts.get(name):
            yield _line(name, facts[name])
    if person.get("restricted_at"):
        yield _line("restricted", f"{directory.day(house, person['restricted_at'])}  only stored")
    if barred := person.get("suppression"):
        words = ": ".join(part for part in (barred["reason"], barred["note"]) if part)
        yield _line("suppressed", f"{directory.day(house, barred['suppressed_at'])}  {words}")
    if person.get("tracking"):
        yield _line("tracking", "agreed")
    for name, value in sorted((person.get("attributes") or {}).items()):
        yield _line(name, value)
    for one in person["subscriptions"]:
        at = one.get("unsubscribed_at") if one["status"] == "unsubscribed" else None
        since = directory.day(house, at or one.get("confirmed_at"))
        whence = f" by {one['source']}" if one.get("source") else ""
        yield _line("stream", f"{one['stream']}: {one['status']} {since}".rstrip() + whence)
    for one in person["signups"]:
        until = directory.day(house, one["expires_at"])
        whence = f" by {one['source']}" if one.get("source") else ""
        yield _line("asked", f"{', '.join(one['streams'])}; open until {until}{whence}")
    for one in person["enrollments"]:
        yield _line("course", _journey(house, one))
    for one in person["consents"]:
        words = _consent(one["act"], one.get("content") or {})
        yield _line("consent", f"{directory.day(house, one.get('at'))}  {words}")
    counts = ", ".join(f"{n:,} {state}" for state, n in sorted(person["deliveries"].items()))
    yield _line("mails", counts or "none")


def _consent(act: str, content: "Mapping[str, Any]") -> str:
    """What was done, to which streams, and where its proof is."""
    streams = ", ".join(map(str, content.get("streams") or ()))
    words = f"{act} {streams}".strip().replace("_", " ")
    if content.get("note"):
        by = f" (by {content['by']})" if content.get("by") else ""
        words += f": {content['note']}{by}"
    return words


def _awaken(
    connection: "Connection", house: House, person: int, journeys: "Sequence[dict[str, Any]]"
) -> None:
    """Say when a pausing learner goes on: the row keeps the date of before the pause."""
    from sqlalchemy import select

    from l3mail import courses
    from l3mail.models import COURSE, ENROLLMENT

    paused = connection.execute(
        select(ENROLLMENT.c.id, ENROLLMENT.c.next_position, COURSE.c.slug)
        .join(COURSE, COURSE.c.id == ENROLLMENT.c.course_id)
        .where(ENROLLMENT.c.subscriber_id == person, ENROLLMENT.c.state == "paused")
    ).all()
    for row in paused:
        lessons = courses.dates(connection, row.id, house.settings.zone)[row.next_position :]
        coming = next((one.planned_at for one in lessons if one.sent_at is None), None)
        for journey in journeys:
            if journey["course"] == row.slug and journey["status"] == "paused":
                journey["next_due_at"] = coming and coming.isoformat()


def _journey(house: House, one: "Mapping[str, Any]") -> str:
    words = f"{one['course']}: {one['status']}"
    if one["status"] == "paused":
        until = directory.day(house, one["paused_until"])
        words += f" until {until}" if until else " until somebody resumes it"
    due = directory.day(house, one["next_due_at"])
    return words + (f", next {due}" if due else "")


def _line(name: str, value: object) -> str:
    # What a person or a file said must not steer a terminal.
    return f"{printable(name, 60):>12}  {printable(str(value), 1000)}"


def _name(row: "Mapping[str, Any]") -> str:
    return " ".join(part for part in (row.get("first_name"), row.get("last_name")) if part)


def _memberships(row: "Mapping[str, Any]") -> str:
    marks = {"confirmed": "", "unconfirmed": " (asked)", "unsubscribed": " (left)"}
    return ", ".join(f"{one['stream']}{marks[one['status']]}" for one in row["subscriptions"])
