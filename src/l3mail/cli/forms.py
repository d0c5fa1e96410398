"""Commands on signing up elsewhere: a code for a poster, a form for another page, and whence."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from l3mail.cli.context import (
    House,
    Json,
    counted,
    print_json,
    print_table,
    require_states,
    say,
    warn,
)
from l3mail.cli.exporting import write_public
from l3mail.cli.moments import parse_moment, told
from l3mail.errors import SourceError, printable, quoted

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy import Connection

    from l3mail.sources import Source
    from l3mail.web.embedding import Speaker

PANEL = "People"
LONGEST_EVENT_DAYS = 31

group = typer.Typer(
    name="form",
    help="Sign-up on posters and other pages, and where people come from.",
    no_args_is_help=True,
)
Streams = Annotated[
    list[str] | None,
    typer.Option("--stream", metavar="SLUG", help="Only this one; may be repeated. Default: all."),
]
Locale = Annotated[str | None, typer.Option(help="Language of it; default: the workspace's.")]
Named = Annotated[str, typer.Argument(metavar="SOURCE", help="A source's name.")]


def register(app: typer.Typer) -> None:
    """Hang the group into the panel "People"."""
    app.add_typer(group, rich_help_panel=PANEL)


@group.command("qr")
def qr(  # noqa: PLR0917 - an option each
    context: typer.Context,
    source: Annotated[
        str | None, typer.Option(help="Where it hangs, such as stadtfest-2026; kept with sign-ups.")
    ] = None,
    title: Annotated[str | None, typer.Option(help="The source in words, for lists.")] = None,
    until: Annotated[
        str | None,
        typer.Option(metavar="WHEN", help="End of an event: so long more may come at once."),
    ] = None,
    ceiling: Annotated[
        int | None,
        typer.Option(min=1, help="So many an hour; default: signup.per_source."),
    ] = None,
    stream: Streams = None,
    locale: Locale = None,
    out: Annotated[
        Path | None, typer.Option(help="A file .svg, .png, or .pdf to hand out; default: drawn.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Draw a code for a poster that leads to the form, and let an event's crowd in.

    With --until, so many sign-ups an hour by this code need no extra step, even over one network.
    After it the code works on, under the usual ceilings. The same name again changes what is given.

    Example: l3mail form qr --source stadtfest --until "2026-12-05 18:00" --stream newsletter --out
    fest.svg
    """
    from l3mail import sources
    from l3mail.web import embedding

    house: House = context.obj
    _require_file(out, (".svg", ".png", ".pdf"))
    if source is None and (until or ceiling or title):
        raise typer.BadParameter("--until, --ceiling and --title are a source's: add --source NAME")
    name = "" if source is None else sources.read_name(source)
    ends_at = _end(house, until)
    speaker = embedding.speaker(house.settings, locale)
    slugs, titles = _offers(house, stream)
    base = house.settings.web.base_url
    link = sources.link_to_form(base, slugs, name, locale or "")
    made = _drawn(out, link, titles, speaker)

    def verb(connection: "Connection") -> "tuple[None, dict[str, int]]":
        now = house.clock.now()
        sources.register(
            connection, name, now, house.who, title=title, ends_at=ends_at, per_hour=ceiling
        )
        return None, {"sources": 1}

    if name:
        house.change(f"form qr --source {name}", verb)
    written = None if out is None else write_public(out, made)
    _warn_of_address(house)
    _tell_code(house, name, link, out, written or made.decode() + "\n", as_json=as_json)


@group.command("html")
def html(  # noqa: PLR0917 - an option each
    context: typer.Context,
    stream: Streams = None,
    source: Annotated[
        str | None, typer.Option(help="The page it stands on, such as rathaus; kept with sign-ups.")
    ] = None,
    locale: Locale = None,
    style: Annotated[
        bool, typer.Option("--style", help="With a style that follows the page's own colours.")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="A file .html; default: printed.")] = None,
) -> None:
    """Print the form as HTML for another page, such as the city's own.

    It needs no script and fetches nothing; its classes begin with "l3-". What somebody got wrong
    comes back on our page, filled in. It says which texts of consent it shows: if they are changed
    later, who uses it is shown the new ones first.

    Example: l3mail form html --stream newsletter --source rathaus --style --out anmeldung.html
    """
    from l3mail import sources
    from l3mail.web import embedding

    house: House = context.obj
    _require_file(out, (".html", ".htm"))
    name = "" if source is None else sources.read_name(source)
    speaker = embedding.speaker(house.settings, locale)
    slugs, _ = _offers(house, stream)
    with house.database() as database:
        made = database.read(
            lambda c: embedding.embedded_form(c, speaker, slugs, name, styled=style)
        )
    _warn_of_address(house)
    typer.echo(made if out is None else write_public(out, f"{made}\n".encode()))


@group.command("list")
def list_(
    context: typer.Context,
    *,
    search: Annotated[str | None, typer.Option(help="Part of a name or a title.")] = None,
    status: Annotated[
        list[str] | None,
        typer.Option(metavar="STATUS", help="on or off: whether an event is on there now."),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 100,
    as_json: Json = False,
) -> None:
    """List where people sign up from: what you wrote down, then what else sign-ups name.

    ASKED counts sign-ups still on file, CONFIRMED people who ever confirmed.

    Example: l3mail form list --search fest
    """
    from l3mail import sources

    house: House = context.obj
    require_states(status, ("on", "off"))
    with house.database() as database:
        found = database.read(sources.listing)
    wanted, now = (search or "").casefold(), house.clock.now()
    found = [one for one in found if wanted in f"{one.name} {one.title or ''}".casefold()]
    if status:
        found = [one for one in found if ("on" if one.is_raised(now) else "off") in status]
    shown = found[:limit]
    if as_json:
        print_json([_view(house, one) for one in shown])
        return
    print_table(
        ("SOURCE", "TITLE", "EVENT UNTIL", "AN HOUR", "ASKED", "CONFIRMED"),
        [
            (
                one.name,
                one.title or "",
                told(one.ends_at, house.settings.zone) if one.ends_at else "",
                _ceiling(house, one) or "",
                str(one.requested),
                str(one.confirmed),
            )
            for one in shown
        ],
        empty="Nobody has come from anywhere yet; `l3mail form qr --source NAME` begins.",
        solid=("EVENT UNTIL", "AN HOUR", "ASKED", "CONFIRMED"),
    )
    if len(found) > limit:
        typer.echo(f"The first {limit} of {len(found)}; --limit shows more.")


@group.command("show")
def show(context: typer.Context, source: Named, as_json: Json = False) -> None:
    """Show a source: until when its event is on, and what came of it.

    Example: l3mail form show stadtfest
    """
    from l3mail import sources

    house: House = context.obj
    with house.database() as database:
        found = database.read(lambda connection: sources.find(connection, source))
    if as_json:
        print_json(_view(house, found))
        return
    written = told(found.created_at, house.settings.zone)
    lines = {
        "source": found.name,
        "title": found.title,
        "event": _event(house, found),
        "written": f"{written} by {found.created_by}" if found.is_known else "",
        "asked": counted(found.requested, "sign-up"),
        "confirmed": counted(found.confirmed, "person", "people"),
    }
    for label, value in lines.items():
        if value:
            say(f"{label:>10}  {printable(value, 300)}", 12)


@group.command("end")
def end(context: typer.Context, source: Named) -> None:
    """End an event now: the usual ceilings hold for its code, which works on.

    Example: l3mail form end stadtfest
    """
    from l3mail import sources

    house: House = context.obj

    def verb(connection: "Connection") -> "tuple[None, dict[str, int]]":
        sources.end(connection, source, house.clock.now())
        return None, {"sources": 1}

    house.change(f"form end {source}", verb)
    typer.echo(f"{printable(source, 60)}: the usual ceilings hold.")


def _require_file(out: Path | None, endings: "Sequence[str]") -> None:
    """Refuse a file we can't make before anything is changed."""
    if out is None:
        return
    if out.suffix.lower() not in endings:
        known = ", ".join(endings[:-1]) + f" or {endings[-1]}"
        raise typer.BadParameter(f"{out.name!r} ends in none of {known}; its end says what it is")
    if not out.absolute().parent.is_dir():
        raise typer.BadParameter(f"there is no folder {str(out.parent)!r}; make it first")


def _end(house: House, until: str | None) -> "datetime | None":
    if until is None:
        return None
    ends_at = parse_moment(until, house.settings.zone, end_of_day=True)
    now = house.clock.now()
    if ends_at <= now:
        raise SourceError(
            f"{told(ends_at, house.settings.zone)} has passed; name the end of the event, or leave"
            " --until out: the code works all the same"
        )
    if (ends_at - now).days > LONGEST_EVENT_DAYS:
        warn(
            f"{(ends_at - now).days} days are long for an event, and its name is there for"
            " everybody to read; `l3mail form end` ends it"
        )
    return ends_at


def _offers(house: House, wanted: "Sequence[str] | None") -> tuple[list[str], list[str]]:
    """The slugs that were named, none for all, and the titles of what is meant."""
    from l3mail import streams
    from l3mail.subscribers import signups

    def verb(connection: "Connection") -> tuple[list[str], list[str]]:
        if not wanted:
            return [], [offer.title for offer in streams.offers(connection)]
        found = signups.streams_asked(connection, wanted)
        return list(found), [row.title for row in found.values()]

    with house.database() as database:
        return database.read(verb)


def _drawn(out: Path | None, link: str, titles: "Sequence[str]", speaker: "Speaker") -> bytes:
    from l3mail.typesetting import codes
    from l3mail.web import embedding

    if out is None:
        coloured = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        return codes.as_text(link, coloured=coloured).encode()
    if out.suffix.lower() == ".png":
        return codes.as_png(link)
    values = embedding.handout_values(speaker, titles, link)
    code = codes.as_svg(link, f"{values['words']['alt']} ({link})")
    if out.suffix.lower() == ".svg":
        return code
    from l3mail import wiring

    return wiring.handout(speaker.settings, speaker.tag, values, code)


def _tell_code(
    house: House, name: str, link: str, out: Path | None, shown: str, *, as_json: bool
) -> None:
    """Show the code, or say where it is, and what it leads to."""
    from l3mail import sources

    kept: Source | None = None
    if name:
        with house.database() as database:
            kept = database.read(lambda connection: sources.find(connection, name))
    if as_json:
        view = {} if kept is None else _view(house, kept)
        print_json({"link": link, "file": str(out) if out else None} | view)
        return
    typer.echo(shown)
    typer.echo(link)
    if kept is not None:
        say(f"{kept.name}: {_event(house, kept)}", 4)


def _warn_of_address(house: House) -> None:
    """Say what keeps others from opening what is about to be printed."""
    base_url = house.settings.web.base_url
    if house.settings.pages_are_loopback:
        problem = (
            f"{base_url} is this machine, and nobody else can open it; set base_url below [web] in"
            " l3mail.toml to the address people see, and make this again before it is printed"
        )
    elif not base_url.startswith("https://"):
        problem = f"{quoted(base_url)} is not https, and browsers warn of such a form"
    else:
        return
    warn(problem)


def _ceiling(house: House, one: "Source") -> int | None:
    """How many an hour a source lets in while its event is on; None without one."""
    if one.ends_at is None:
        return None
    return one.per_hour or house.settings.signup.per_source


def _event(house: House, one: "Source") -> str:
    """What an event's end means now, in words."""
    if one.ends_at is None:
        return "no event: the usual ceilings hold (--until raises them for one)"
    end = told(one.ends_at, house.settings.zone)
    if not one.is_raised(house.clock.now()):
        return f"over since {end}: the usual ceilings hold"
    return f"on until {end}: {_ceiling(house, one):,} sign-ups an hour without a step more"


def _view(house: House, one: "Source") -> dict[str, Any]:
    zone = house.settings.zone
    return {
        "source": one.name,
        "title": one.title,
        "until": one.ends_at and one.ends_at.astimezone(zone),
        "per_hour": _ceiling(house, one),
        "raised": one.is_raised(house.clock.now()),
        "created_at": one.created_at and one.created_at.astimezone(zone),
        "created_by": one.created_by,
        "requested": one.requested,
        "confirmed": one.confirmed,
    }
