"""Commands on the proof of consent: look at it, hand it out, check the chain."""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from l3mail.cli import directory
from l3mail.cli.context import (
    House,
    Json,
    bar,
    counted,
    print_json,
    print_table,
)
from l3mail.cli.moments import parse_moment
from l3mail.errors import SubscriberError, printable

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from l3mail.consents import Verification
    from l3mail.database import Database
    from l3mail.proofs import House as Sender
    from l3mail.proofs import Telling

PANEL = "People"
WIDTH = 78
SHORT = 20_000
"""So many acts are checked before a bar could be read."""

group = typer.Typer(
    name="consent",
    help="Show, hand out and check the proof of consent.",
    no_args_is_help=True,
)


def register(app: typer.Typer) -> None:
    """Hang the group into the panel "People"."""
    app.add_typer(group, rich_help_panel=PANEL)


@group.command("list")
def list_(
    context: typer.Context,
    *,
    act: Annotated[
        str | None,
        typer.Option("--act", "--status", metavar="ACT", help="Only these: confirmed, withdrawn …"),
    ] = None,
    since: Annotated[
        str | None, typer.Option(metavar="DAY", help="Only acts since then: 2026-11-01.")
    ] = None,
    search: Annotated[str | None, typer.Option(help="Part of an address.")] = None,
    segment: directory.Segment = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, the newest.")] = 100,
    as_json: Json = False,
) -> None:
    """List acts of consent, the newest last.

    Example: l3mail consent list --act confirmed --since 2026-11-01
    """
    from l3mail import proofs
    from l3mail.models import CONSENT_ACTS

    house: House = context.obj
    if act is not None and act not in CONSENT_ACTS:
        raise typer.BadParameter(f"{act!r} is no act; known are {', '.join(CONSENT_ACTS)}")
    begin = parse_moment(since, house.settings.zone) if since else None
    with house.database() as database:
        rows = database.read(
            lambda connection: proofs.listing(
                connection,
                act=act,
                since=begin,
                search=search,
                people=directory.question(connection, house, segment),
                limit=limit + 1,
            )
        )
    more = len(rows) > limit
    rows = rows[-limit:]
    if as_json:
        print_json([directory.localised(house, row) for row in rows])
        return
    _print_list(house, rows)
    if more:
        typer.echo(f"The newest {limit}; --limit shows more.")


def _print_list(house: House, rows: Sequence[Mapping[str, Any]]) -> None:
    words = _english(house)
    print_table(
        ("SEQ", "WHEN", "ACT", "ADDRESS", "STREAMS", "BY"),
        [
            (
                row["seq"],
                _when(house, row["at"].isoformat()),
                words.act(row["act"]),
                directory.display(row["email"]) if row["email"] else "(erased)",
                ", ".join(row["streams"]),
                _by(row["content"]),
            )
            for row in rows
        ],
        empty="No acts.",
        solid=("SEQ", "WHEN"),
    )


def _by(content: Mapping[str, Any]) -> str:
    """In a word, who or what an act came by."""
    if content.get("delivery"):
        return f"delivery {content['delivery']}"
    return str(content.get("by") or content.get("how") or content.get("form") or "")


@group.command("show")
def show(context: typer.Context, email: directory.Email, as_json: Json = False) -> None:
    """Show what somebody agreed to, when, in which words, and how it was proved.

    Also of somebody erased, for as long as the proof is kept.

    Example: l3mail consent show ada@schule.example
    """
    house: House = context.obj
    with house.database() as database:
        address, proof = _gather(house, database, email)
        found = _walk(database)
    if as_json:
        chain = {"acts": found.acts, "verified": found.broken_at is None} | _link(found)
        print_json(directory.localised(house, {"email": address} | proof | {"chain": chain}))
        return
    for line in _standings(house, address, proof):
        typer.echo(line)
    _print_acts(house, proof)
    for one in proof["wordings"]:
        typer.echo(f"\nWording #{one['id']}, {one['name']} in {one['locale']}:")
        for paragraph in one["text"].strip().splitlines():
            for line in textwrap.wrap(printable(paragraph, 10_000), WIDTH - 2) or [""]:
                typer.echo(f"  {line}".rstrip())
    typer.echo()
    _say_chain(found)


@group.command("export")
def export(
    context: typer.Context,
    email: directory.Email,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.zip",
            help="Where to write it; default: here, named by the person's number.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Write somebody's proof as a ZIP that a stranger can read and check without l3mail.

    It holds a page and a PDF to read, the acts with their wordings, the confirmation mail as it
    was handed over, the chain's hashes and a program that checks them. Of other people it holds
    nothing.

    Example: l3mail consent export ada@schule.example --out ada.zip
    """
    from l3mail import proofs, wiring
    from l3mail.cli.exporting import instead, private_file
    from l3mail.proofs import packing

    house: House = context.obj
    with house.database() as database:
        address, found = _gather(house, database, email)
        if not found["acts"]:
            raise SubscriberError(
                f"nothing is noted of {printable(address, 254)}: no act, no proof"
            )
        whole = _walk(database)
        mails = wiring.handed_over(house.settings, database, found["acts"])
        chain = database.read(lambda connection: packing.placed(connection, found, whole))
        proof = proofs.Proof(address, found, mails, chain, house.clock.now())
        target = out or Path(f"consent-{found['people'][-1]['subscriber']}.zip")
        words, sender = _words_of(house)
        beside = instead(target)
        with private_file(target) as file:
            database.read(lambda connection: packing.pack(file, connection, proof, words, sender))
    house.change("consent export", lambda _: (None, {"subscribers": 1}))
    same = sum(mail.identical is True for mail in mails)
    told = f", {same:,} of {counted(len(mails), 'mail')} byte for byte" if mails else ""
    typer.echo(f"{target}: {counted(len(found['acts']), 'act')}{told}{beside}.")
    typer.echo(
        "It holds personal data, and links that work: only for whoever has to see this proof."
        " Unpacked, proof.html is to read, and `python3 verify.py` checks it."
    )
    if whole.broken_at is not None:
        _say_chain(whole)


def _words_of(house: House) -> "tuple[Telling, Sender]":
    """The workspace's language, and who it is."""
    from l3mail.proofs import House as Sender
    from l3mail.proofs import Telling

    settings = house.settings
    sender = Sender(
        settings.workspace.name,
        settings.impressum.address,
        settings.impressum.email,
        str(settings.zone),
    )
    return Telling(settings.workspace.locale, settings.zone), sender


@group.command("verify")
def verify(
    context: typer.Context,
    *,
    anchor: Annotated[
        str | None,
        typer.Option(metavar="LINK", help="A link noted earlier: each weekly report prints one."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Check the whole chain of consents: exit 1 if an act was changed, taken out or put in.

    That the newest acts were cut off shows only against a link noted elsewhere: --anchor.

    Example: l3mail consent verify --anchor 5f3a…
    """
    house: House = context.obj
    noted = None if anchor is None else _parsed_link(anchor)
    with house.database() as database:
        found = _walk(database, noted)
    sound = found.broken_at is None and not found.wordings
    if as_json:
        print_json(_verdict(found, noted))
    else:
        _say_chain(found)
        if noted is not None:
            _say_anchor(found, noted)
    if not sound or (noted is not None and found.anchor_at is None):
        raise typer.Exit(1)


def _gather(house: House, database: "Database", email: str) -> tuple[str, dict[str, Any]]:
    """An address as people write it, and its evidence; raises SubscriberError."""
    from l3mail import proofs
    from l3mail.addresses import address_key, parse_address

    address = parse_address(email)
    key = address_key(address, directory.rules(house).pepper)

    def verb(connection: "Connection") -> dict[str, Any]:
        ids = proofs.find(connection, key)
        return {
            "people": proofs.standings(connection, ids),
            **proofs.of_people(connection, ids),
        }

    found = database.read(verb)
    if not found["people"]:
        raise SubscriberError(
            f"nothing is known of {printable(address.display, 254)}: nobody has this address, and"
            " no proof is kept of anybody erased who had it"
        )
    return address.display, found


def _walk(database: "Database", anchor: bytes | None = None) -> "Verification":
    """Verify the whole chain, with a bar where it is long."""
    from l3mail import consents

    what, total = "checking the chain", database.read(consents.count)
    if total <= SHORT:
        return database.read(lambda connection: consents.verify(connection, anchor))
    with bar(what) as tell:
        return database.read(
            lambda connection: consents.verify(
                connection, anchor, lambda acts: tell(what, min(acts / total, 1.0))
            )
        )


def _parsed_link(text: str) -> bytes:
    plain = "".join(text.split()).casefold()
    try:
        link = bytes.fromhex(plain)
    except ValueError:
        link = b""
    if len(link) != 32:
        raise typer.BadParameter(
            f"{printable(text, 80)!r} is no link: it has 64 digits and letters from a to f,"
            " as the weekly report prints it"
        )
    return link


def _standings(house: House, address: str, proof: Mapping[str, Any]) -> "Iterator[str]":
    for one in proof["people"]:
        if one["erased_at"]:
            kept = f", proof kept until {one['kept_until']}" if one["kept_until"] else ""
            day = directory.day(house, one["erased_at"])
            yield f"{printable(address, 254)}: erased on {day}{kept}"
            continue
        present = directory.display(one["email"])
        if present != address:
            yield f"{printable(address, 254)}: has another address now, {printable(present, 254)}"
        yield from _standing(house, present, one)


def _standing(house: House, address: str, one: Mapping[str, Any]) -> "Iterator[str]":
    yield printable(address, 254)
    for stream in one["streams"]:
        left = stream["status"] == "unsubscribed"
        since = directory.day(house, stream["unsubscribed_at" if left else "confirmed_at"])
        yield _fact(stream["stream"], f"{stream['status']} {since}")
    yield _fact("tracking", "agreed" if one["tracking"] else "no")
    if one["restricted_at"]:
        yield _fact("restricted", directory.day(house, one["restricted_at"]))


def _fact(name: str, value: str) -> str:
    return f"  {printable(name, 60)}: {printable(value, 100)}".rstrip()


def _print_acts(house: House, proof: Mapping[str, Any]) -> None:
    from l3mail.proofs import streams_of

    words = _english(house)
    typer.echo()
    print_table(
        ("WHEN", "ACT", "STREAMS", "WORDING", "HOW"),
        [
            (
                _when(house, act["at"]),
                words.act(act["act"]),
                ", ".join(streams_of(act, proof["acts"])),
                ", ".join(f"#{one['id']}" for one in act["content"].get("wordings") or ()),
                words.how(act),
            )
            for act in proof["acts"]
        ],
        empty="No acts.",
        solid=("WHEN",),
    )


def _english(house: House) -> "Telling":
    from l3mail.proofs import Telling

    return Telling("en", house.settings.zone)


def _when(house: House, at: str) -> str:
    from datetime import datetime

    return f"{datetime.fromisoformat(at).astimezone(house.settings.zone):%Y-%m-%d %H:%M}"


_FAULTS = {
    "link": "does not fit the one before it: an act was taken out, put in or moved",
    "content": "is not what was noted: its words were changed",
    "emptied": "has lost its words, though nobody erased whose it is",
    "wording": "names a wording that is gone or has another text now",
}


def _say_chain(found: "Verification") -> None:
    kept = f", {found.erased:,} of them erased" if found.erased else ""
    if found.broken_at is None:
        typer.echo(f"The chain is whole: {counted(found.acts, 'act')}{kept}.")
    else:
        why = _FAULTS[found.fault or "link"]
        typer.echo(f"The chain is broken: act {found.broken_at} {why}.")
        typer.echo(f"It has {counted(found.acts, 'act')}{kept}. Compare it with a backup.")
    for number in found.wordings:
        typer.echo(f"Wording #{number} has another text than when it was declared.")
    typer.echo(f"Newest link: {found.link.hex()}")


def _say_anchor(found: "Verification", noted: bytes) -> None:
    if found.anchor_at is None:
        typer.echo(
            "The chain never stood at the link given, or not in the part that is whole: acts were"
            " cut off or rewritten, or the link is another house's."
        )
        return
    where = f"after act {found.anchor_at}" if found.anchor_at else "at its start"
    came = counted(found.after_anchor, "act") if found.after_anchor else "no act"
    typer.echo(f"It stood at {noted.hex()[:16]}… {where}; {came} came since.")


def _verdict(found: "Verification", noted: bytes | None) -> dict[str, Any]:
    verdict: dict[str, Any] = {
        "verified": found.broken_at is None and not found.wordings,
        "acts": found.acts,
        "erased": found.erased,
        "broken_at": found.broken_at,
        "fault": found.fault,
        "emptied": [seq for seq, _ in found.emptied],
        "wordings_changed": list(found.wordings),
    } | _link(found)
    if noted is not None:
        stands = found.anchor_at is not None
        verdict["anchor"] = {
            "link": noted.hex(),
            "stands": stands,
            "after_act": found.anchor_at,
            "acts_since": found.after_anchor if stands else None,
        }
    return verdict


def _link(found: "Verification") -> dict[str, str]:
    return {"link": found.link.hex()}
