"""The command that shows a text as its mail: here, in a browser, or in somebody's mail program."""

import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from l3mail.cli.content import relative, tell_faults
from l3mail.cli.context import House, Yes, confirm, counted
from l3mail.cli.exporting import write_public
from l3mail.cli.measures import Mode, print_measuring
from l3mail.cli.parts import When, shown_parts, told_parts
from l3mail.errors import ContentError, L3mailError, SettingsError, WorkspaceError, printable

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from l3mail.content import Library, Text
    from l3mail.database import Database
    from l3mail.previewing import Guests
    from l3mail.wiring import Tracking

PANEL = "Content"
_SHOWS_ALL = (
    "--serve shows all of it; leave out --html, --text, --pdf, --when, --tracking and --send-to"
)
_MAILS_BOTH = (
    "--send-to mails both parts, and measures nobody; leave out --html, --text and --tracking"
)
What = Annotated[
    str | None,
    typer.Argument(metavar="[PATH]", help="A file or slug; with --serve default: all."),
]
As = Annotated[
    str | None, typer.Option("--as", help="With this subscriber's values.", metavar="EMAIL")
]
Serve = Annotated[
    bool, typer.Option("--serve", help="Show it in the browser, anew whenever you save.")
]
Port = Annotated[
    int | None,
    typer.Option(
        help="Serve at this port; default: a free one.", min=1, max=65535, show_default=False
    ),
]
Parts = Annotated[
    When | None, typer.Option(help="Which parts behind ::: if, without --as; default: all.")
]
AsMode = Annotated[
    Mode | None,
    typer.Option(help="As this mode would measure it; default: the mode of l3mail.toml."),
]
Agreed = Annotated[
    bool | None,
    typer.Option(
        "--agreed/--not-agreed",
        help="With consent, as one who agreed or not; default: as the person of --as did.",
        show_default=False,
    ),
]
SendTo = Annotated[
    list[str] | None,
    typer.Option(
        "--send-to", metavar="ADDRESS", help="Mail it to one of the staff; may be repeated."
    ),
]


def register(app: typer.Typer) -> None:
    """Hang the command into the panel "Content"."""
    app.command("preview", rich_help_panel=PANEL)(preview)


def preview(
    context: typer.Context,
    path: What = None,
    *,
    email: As = None,
    locale: Annotated[str | None, typer.Option(help="In this language.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write the HTML part here.")] = None,
    text: Annotated[Path | None, typer.Option(help="Write the text part here.")] = None,
    when: Parts = None,
    tracking: AsMode = None,
    agreed: Agreed = None,
    pdf: Annotated[Path | None, typer.Option(help="Write a worksheet's PDF here.")] = None,
    serve: Serve = False,
    port: Port = None,
    send_to: SendTo = None,
    yes: Yes = False,
) -> None:
    r"""Show a text as its mail would be; the links do nothing.

    Of parts that only some people get, with --as those that person would be shown now.

    With --tracking it tells what links and pixel would be, and the files have them so; their
    addresses are nobody's and count nothing.

    With --serve it is a page of this machine: by day and by night, on a telephone and on a screen,
    with what is wrong, and it follows as you save. Ctrl-C ends it.

    With --send-to it is queued as a mail to you, marked "\[Test]". You are one of the staff if your
    address is in the sender's domain, or named under \[alerts] or \[reports] in l3mail.toml.

    Example: l3mail preview kurs/01-start --serve
    """
    house: House = context.obj
    files, measured = bool(html or text), bool(tracking or agreed is not None)
    if serve and (files or pdf or when or send_to or measured):
        raise typer.BadParameter(_SHOWS_ALL)
    if send_to and (files or measured):
        raise typer.BadParameter(_MAILS_BOTH)
    if port is not None and not serve:
        raise typer.BadParameter("--port goes with --serve")
    if serve:
        _serve(house, path, email, locale, port)
        return
    if path is None:
        raise typer.BadParameter("name a text, or say --serve for all of them")
    if _is_worksheet(house, path, pdf):
        return
    if email and when:
        raise typer.BadParameter("leave it out with --as, or leave --as out", param_hint="--when")
    showing = _showing(house, path, email, locale, when)
    if send_to:
        _send(house, showing, send_to, yes=yes)
        return
    shown = _tracking(house, showing, tracking, agreed)
    plain, written = _write(house, showing, shown, html, text)
    _print(house, showing, locale)
    print_measuring(house, showing.text, shown, at_length=tracking is not None)
    _print_text(None if text else plain, written)


@dataclass
class _Showing:
    """A sound text, and as whose mail it is shown."""

    library: "Library"
    text: "Text"
    person: Mapping[str, Any]
    shown: int


def _is_worksheet(house: House, path: str, pdf: Path | None) -> bool:
    from l3mail.cli.papers import print_worksheet
    from l3mail.wiring import read_content

    return print_worksheet(read_content(house.settings), relative(house, path), pdf)


def _showing(
    house: House, path: str, email: str | None, locale: str | None, when: When | None
) -> _Showing:
    from l3mail.wiring import compile_sources, read_content

    library = read_content(house.settings)
    person: Mapping[str, Any] = {}
    if email:
        with house.database() as database:
            found = _find(house, database, email)
        if found is None:
            raise ContentError(f"{printable(email, 100)} is no subscriber; leave --as out")
        person = found
    source = library.find(relative(house, path), locale or person.get("locale"))
    (text,) = compile_sources(house.settings, library, [source])
    tell_faults(text.findings)
    if text.compiled is None:
        raise ContentError(f"{source.path} has errors, there is nothing to show yet")
    return _Showing(library, text, person, shown_parts(house, text, person, when))


def _find(house: House, database: "Database", email: str) -> Mapping[str, Any] | None:
    from l3mail.addresses import address_key, parse_address
    from l3mail.settings import load_pepper
    from l3mail.wiring import person_of

    key = address_key(parse_address(email), load_pepper(house.settings.state_dir))
    return database.read(lambda connection: person_of(connection, key))


# -- here


def _tracking(
    house: House, showing: _Showing, mode: Mode | None, agreed: bool | None
) -> "Tracking":
    """As which mode the mail is shown, and whether its person agreed."""
    from l3mail.wiring import tracking_of

    found = tracking_of(house.settings, showing.person)
    found = found if mode is None else found._replace(mode=mode)
    if agreed is None:
        return found
    if found.mode != "consent":
        raise typer.BadParameter("--agreed goes with --tracking consent")
    return found._replace(agreed=agreed)


def _values(house: House, showing: _Showing, tracking: "Tracking | None" = None) -> dict[str, Any]:
    from l3mail.wiring import preview_values

    return preview_values(
        house.settings,
        showing.library,
        showing.text,
        showing.person,
        now=house.clock.now(),
        shown=showing.shown,
        tracking=tracking,
    )


def _write(
    house: House,
    showing: _Showing,
    tracking: "Tracking",
    html: Path | None,
    text: Path | None,
) -> tuple[str, list[str]]:
    """Write the parts of the mail that are asked for; the text, and what to say of the files."""
    from l3mail.rendering import fill
    from l3mail.wiring import MEDIA_FOLDER

    compiled = showing.text.compiled
    assert compiled is not None
    values = _values(house, showing, tracking)
    plain = fill(compiled, "text", values)
    written = []
    if html is not None:
        page = fill(compiled, "html", values)
        for medium in showing.text.media:
            url = f"{house.settings.web.base_url}/media/{medium.digest}/{medium.name}"
            # What is made of a file was made when it was published, or not yet: then the file.
            made = house.settings.state_dir / MEDIA_FOLDER / medium.digest / medium.name
            kept = made if medium.recipe and made.exists() else showing.library.folder / medium.path
            page = page.replace(url, kept.as_uri())
        written.append(write_public(html, page.encode()))
    if text is not None:
        written.append(write_public(text, plain.encode()))
    return plain, written


def _print(house: House, showing: _Showing, locale: str | None) -> None:
    from l3mail.rendering import fill

    compiled, source = showing.text.compiled, showing.text.source
    assert compiled is not None
    values = _values(house, showing)
    for label, name in (("Subject:", "subject"), ("Preheader:", "preheader")):
        typer.echo(f"{label:<11}{printable(fill(compiled, name, values), 500)}")
    if locale is not None:
        missing = "" if source.locale == locale else f" (there is no {printable(locale, 40)})"
        typer.echo(f"Variant:   {source.locale}{missing}")
    for line in told_parts(showing.text, showing.shown):
        typer.echo(line)


def _print_text(plain: str | None, written: Sequence[str]) -> None:
    typer.echo()
    if plain is not None:
        typer.echo("\n".join(printable(line, 5000) for line in plain.split("\n")))
    for line in written:
        typer.echo(line)


# -- in a mail program


def _send(house: House, showing: _Showing, wanted: Sequence[str], *, yes: bool) -> None:
    """Queue a test mail to each address, once a person has said yes."""
    from l3mail import staff
    from l3mail.settings import sending_problems
    from l3mail.wiring import make_trial, preview_mail, store_media

    settings, source, now = house.settings, showing.text.source, house.clock.now()
    if problems := sending_problems(settings):
        raise SettingsError(problems)
    # What cannot be filled for this person is told now, and not by the sender later.
    preview_mail(
        settings, showing.library, showing.text, showing.person, now=now, shown=showing.shown
    )
    addresses = _staff(house, wanted)
    whose = f" as {showing.person['address']} would get it" if showing.person else ""
    typer.echo(f"{source.slug} ({source.locale}){printable(whose, 300)} goes to:")
    for address in addresses:
        typer.echo(f"  {address}")
    confirm(f"mail it to {counted(len(addresses), 'address', 'addresses')}?", yes=yes)
    store_media(settings, showing.library, [showing.text])
    trial = make_trial(settings, showing.library, showing.text, showing.person, showing.shown)

    def verb(connection: "Connection") -> tuple[int, dict[str, int]]:
        planned = staff.send_trial(connection, trial, addresses, house.who, now)
        return len(planned), {"deliveries": len(planned)}

    queued = house.change(f"preview {source.slug} --send-to", verb)
    typer.echo(f"Queued: {counted(queued, 'test mail')}; `l3mail run` or `l3mail worker` sends.")


def _staff(house: House, wanted: Sequence[str]) -> list[str]:
    """The addresses, each once; raises where one is not the staff's, or wants no mail."""
    from l3mail import suppressions
    from l3mail.addresses import address_key, parse_address
    from l3mail.settings import load_pepper

    settings = house.settings
    known, pepper = {one.casefold(): one for one in settings.staff}, load_pepper(settings.state_dir)
    found: dict[str, str] = {}
    with house.database() as database:
        for address in map(parse_address, wanted):
            key = address_key(address, pepper)
            listed = known.get(address.address.casefold())
            if listed is None and address.domain != settings.sender_domain:
                raise ContentError(
                    f"{printable(address.display, 300)} is nobody of the staff; write"
                    f' editors = ["{printable(address.address, 300)}"] below [alerts]'
                )
            if database.read(partial(suppressions.find, address_key=key)):
                raise ContentError(
                    f"{printable(address.display, 300)} is suppressed: no mail goes there"
                )
            found[address.key_source] = listed or address.address
    return list(found.values())


# -- in a browser


def _serve(
    house: House, path: str | None, email: str | None, locale: str | None, port: int | None
) -> None:
    from l3mail import previewing
    from l3mail.settings import load_settings

    settings = house.settings
    bench = previewing.Bench(
        settings, lambda: load_settings(settings.folder, os.environ), house.clock
    )
    with ExitStack() as stack:
        guests = stack.enter_context(_guests(house))
        where = _address(house, bench.library, guests, path=path, email=email, locale=locale)
        door = stack.enter_context(_door(port))
        url = f"http://127.0.0.1:{door.getsockname()[1]}{where}"
        previewing.serve(
            bench, guests, door, lambda: typer.echo(f"{url}\nCtrl-C ends the preview.")
        )


@contextmanager
def _guests(house: House) -> "Iterator[Guests]":
    """Who can be picked: any subscriber where there is a database, else examples."""
    from l3mail.previewing import Guests

    with ExitStack() as stack:
        try:
            database = stack.enter_context(house.database())
        except L3mailError as error:
            typer.echo(f"l3mail: only examples of people are known: {error}", err=True)
            yield Guests()
            return
        yield Guests(
            lambda email: _find(house, database, email),
            lambda text, person: shown_parts(house, text, person, None),
        )


def _address(
    house: House,
    library: "Library",
    guests: "Guests",
    *,
    path: str | None,
    email: str | None,
    locale: str | None,
) -> str:
    """The page to open first."""
    from urllib.parse import quote, urlencode

    words = {}
    if email is not None:
        if not guests.knows_subscribers or (name := guests.welcome(email)) is None:
            raise ContentError(f"{printable(email, 100)} is no subscriber; leave --as out")
        words["as"] = name
    if path is None:
        return f"/?{urlencode(words)}" if words else "/"
    source = library.find(relative(house, path), locale)
    return f"/text/{quote(source.slug)}?{urlencode({'locale': source.locale, **words})}"


@contextmanager
def _door(port: int | None) -> "Iterator[socket.socket]":
    try:
        door = socket.create_server(("127.0.0.1", port or 0))
    except OSError as fault:
        words = os.strerror(fault.errno) if fault.errno and fault.errno > 0 else str(fault)
        raise WorkspaceError(
            f"can't listen at 127.0.0.1 port {port}: {words}; choose another by --port"
        ) from fault
    with door:
        yield door
