"""Commands on content: what stands where, what is wrong, how it looks, and putting it in force."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from l3mail.cli.checking import asked, tell_smaller, tell_translated
from l3mail.cli.context import (
    DryRun,
    House,
    Json,
    Yes,
    bar,
    confirm,
    print_json,
    print_table,
    require_states,
)
from l3mail.errors import ContentError, printable

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from l3mail.content import Finding, Library, Text, Wording
    from l3mail.publishing import Version
    from l3mail.wiring import Publication

PANEL = "Content"
Names = Annotated[
    list[str] | None, typer.Argument(metavar="[TEXT]...", help="Slugs or files; default: all.")
]

group = typer.Typer(
    name="content", help="See what is published; publish what is not.", no_args_is_help=True
)


def register(app: typer.Typer) -> None:
    """Hang the commands into the panel "Content"."""
    app.add_typer(group, rich_help_panel=PANEL)
    app.command("check", rich_help_panel=PANEL)(check)


@group.command("status")
def status(
    context: typer.Context,
    *,
    search: Annotated[str | None, typer.Option(help="Part of a slug or a file.")] = None,
    state: Annotated[
        list[str] | None,
        typer.Option("--status", metavar="STATUS", help="Only these, as the list names them."),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many.")] = None,
    as_json: Json = False,
) -> None:
    """Say of every text whether what is in the file is what is sent.

    Example: l3mail content status --status changed
    """
    from l3mail import publishing

    house: House = context.obj
    require_states(state, publishing.STATES)
    word, (_, texts) = (search or "").casefold(), _read(house)
    with house.database() as database:
        found = database.read(lambda connection: publishing.standings(connection, texts))
    found = [
        one
        for one in found
        if word in f"{one.slug} {one.path}".casefold() and (not state or one.state in state)
    ]
    standings = found[:limit]
    if as_json:
        names = ("slug", "locale", "state", "path", "published_at", "published_by")
        print_json([{name: getattr(standing, name) for name in names} for standing in standings])
        return
    print_table(
        ("TEXT", "LOCALE", "STATUS", "PUBLISHED", "BY", "FILE"),
        [
            [
                standing.slug,
                standing.locale,
                standing.state,
                f"{standing.published_at.astimezone(house.settings.zone):%Y-%m-%d %H:%M}"
                if standing.published_at
                else "",
                standing.published_by,
                standing.path,
            ]
            for standing in standings
        ],
        empty="No such texts."
        if word or state
        else "No texts yet; write lessons/<course>/01-start.md.",
        solid=("STATUS", "PUBLISHED"),
    )
    if len(found) > len(standings):
        typer.echo(f"The first {limit} of {len(found)}.")


@group.command("diff")
def diff(context: typer.Context, names: Names = None, as_json: Json = False) -> None:
    """Show what publishing would change, as a text diff.

    Example: l3mail content diff kurs/02-video
    """
    from l3mail import publishing

    house: House = context.obj
    library, texts = _read(house)
    chosen = _chosen(house, library, texts, names)
    with house.database() as database:
        found = database.read(lambda connection: publishing.differences(connection, chosen))
    if as_json:
        print_json(
            [
                {
                    "slug": change.slug,
                    "locale": change.locale,
                    "state": change.state,
                    "path": change.path,
                    "diff": list(change.lines),
                }
                for change in found
            ]
        )
        return
    if not found:
        typer.echo("No sound text differs from what is published.")
    for change in found:
        for line in change.lines or (f"{change.path}: only its layout or its images differ",):
            typer.echo(printable(line, 2000))


@group.command("publish")
def publish(
    context: typer.Context, names: Names = None, dry_run: DryRun = False, yes: Yes = False
) -> None:
    """Check the texts, show what changes and who is due next, and put them in force.

    A draft or broken text leaves its last published version in force; with a broken one the
    exit is 1 although the others are published.

    Example: l3mail content publish kurs/02-video
    """
    from l3mail.content import check as findings_of
    from l3mail.wiring import store_media

    house: House = context.obj
    library, texts = _read(house)
    chosen = _chosen(house, library, texts, names)
    findings = findings_of(library, texts)
    if names:  # another text's faults are not this one's; those of its layout and blocks are
        paths = {text.source.path for text in chosen}
        own = {finding for text in chosen for finding in text.findings}
        findings = [f for f in findings if f.path in paths or f in own]
    broken = tell_faults(findings)
    wordings = () if names else library.wordings
    rehearsal, due = _rehearse(house, _verb(house, library, chosen, wordings))
    broken |= tell_faults(rehearsal.refused)
    _show(house, rehearsal, due)
    if rehearsal:
        if dry_run:
            typer.echo("Dry run, nothing is published.")
        else:
            confirm(f"publish {_summary(rehearsal)}?", yes=yes)
            what = "making pictures and worksheets"
            with bar(what) as tell:
                kept = store_media(house.settings, library, chosen, lambda share: tell(what, share))
            tell_smaller(kept)
            done = house.change("content publish", _verb(house, library, chosen, wordings))
            typer.echo(f"Published {_summary(done)}.")
    if broken:
        typer.echo("l3mail: texts with errors were left as they were published", err=True)
        raise typer.Exit(1)


def _summary(publication: "Publication") -> str:
    parts: dict[str, Sequence[object]] = {
        "text": publication.changes,
        "course": publication.courses,
        "wording": publication.wordings,
        "trigger": publication.triggers,
    }
    return ", ".join(_counted(len(found), word) for word, found in parts.items() if found)


def _verb(
    house: House,
    library: "Library",
    texts: "Sequence[Text]",
    wordings: "Sequence[Wording]",
) -> "Callable[[Connection], tuple[Publication, dict[str, int]]]":
    from l3mail.wiring import publish_content

    def verb(connection: "Connection") -> "tuple[Publication, dict[str, int]]":
        now = house.clock.now()
        done = publish_content(
            connection, house.settings, library, texts, by=house.who, now=now, wordings=wordings
        )
        counts = {
            "texts": len(done.changes),
            "courses": len(done.courses),
            "wordings": len(done.wordings),
            "triggers": len(done.triggers),
        }
        return done, counts

    return verb


class _RehearsedError(Exception):
    """Rolls a rehearsal's transaction back."""


def _rehearse(
    house: House, publishing: "Callable[[Connection], tuple[Publication, Any]]"
) -> "tuple[Publication, list[Any]]":
    """What publishing would do, and who is due next; nothing stays of it."""
    from l3mail import courses

    outcome: list[tuple[Publication, list[Any]]] = []

    def verb(connection: "Connection") -> None:
        due = courses.next_due(connection)
        done, _ = publishing(connection)
        outcome.append((done, due))
        raise _RehearsedError

    with house.database() as database, suppress(_RehearsedError):
        database.write(verb)
    return outcome[-1]


def _show(house: House, rehearsal: "Publication", due: Sequence[Any]) -> None:
    for change in rehearsal.changes:
        if change.state == "changed":
            for line in change.lines:
                typer.echo(printable(line, 2000))
    for change in rehearsal.changes:
        what = f"+{change.added} -{change.removed}" if change.lines else "layout or images"
        typer.echo(f"{change.state}  {change.slug} ({change.locale})  {change.path}  {what}")
    for slug in rehearsal.courses:
        typer.echo(f"course  {slug}: a new order or rhythm, for those who begin from now on")
    for wording in rehearsal.wordings:
        typer.echo(f"wording  {wording.name} ({wording.locale})  {wording.path}")
    for slug in rehearsal.triggers:
        typer.echo(f"trigger  {slug}: its rule is in force from now on")
    for line in rehearsal.waiting:
        typer.echo(f"waits  {line}")
    if not rehearsal:
        typer.echo("Nothing to publish: every sound text is as it is published.")
    for lesson in due[:5]:
        at = lesson.due_at.astimezone(house.settings.zone)
        people = "1 person" if lesson.people == 1 else f"{lesson.people} people"
        typer.echo(f"next due  {lesson.slug}  {at:%a %Y-%m-%d %H:%M}  {people}")


@group.command("history")
def history(
    context: typer.Context,
    slug: Annotated[str, typer.Argument(metavar="TEXT", help="A slug or file.")],
    as_json: Json = False,
) -> None:
    """List the versions of a text that were published, the newest first.

    Example: l3mail content history kurs/02-video
    """
    house: House = context.obj
    versions = _versions(house, slug)
    if as_json:
        names = ("id", "slug", "locale", "published_at", "published_by", "superseded_at")
        print_json([{name: getattr(version, name) for name in names} for version in versions])
        return
    zone = house.settings.zone
    print_table(
        ("VERSION", "LOCALE", "PUBLISHED", "BY", "IN FORCE UNTIL"),
        [
            [
                version.id,
                version.locale,
                f"{version.published_at.astimezone(zone):%Y-%m-%d %H:%M}",
                version.published_by,
                f"{version.superseded_at.astimezone(zone):%Y-%m-%d %H:%M}"
                if version.superseded_at
                else "now",
            ]
            for version in versions
        ],
        empty="Nothing was published under this name.",
    )


@group.command("revert")
def revert(
    context: typer.Context,
    slug: Annotated[str, typer.Argument(metavar="TEXT", help="A slug or file.")],
    to: Annotated[
        int | None, typer.Option(help="A version's number, from `content history`.")
    ] = None,
    locale: Annotated[str | None, typer.Option(help="In this language.")] = None,
    yes: Yes = False,
) -> None:
    """Put the version before the present one in force again; the file stays as it is.

    Example: l3mail content revert kurs/02-video
    """
    from l3mail import publishing, triggers

    house: House = context.obj
    tag = locale or house.settings.workspace.locale
    versions = _versions(house, slug)
    old = [
        version
        for version in versions
        if version.superseded_at and (version.id == to if to else version.locale == tag)
    ]
    if not old:
        raise ContentError(
            f"{printable(slug, 100)} has no such earlier version;"
            f" see `l3mail content history {printable(slug, 100)}`"
        )
    target = old[0]
    at = f"{target.published_at.astimezone(house.settings.zone):%Y-%m-%d %H:%M}"
    confirm(f"put {target.slug} ({target.locale}) of {at} in force again?", yes=yes)

    def verb(connection: "Connection") -> tuple[int, dict[str, int]]:
        now = house.clock.now()
        number = publishing.revert(connection, target.id, house.who, now)
        declared = triggers.declare_published(connection, house.settings.workspace.locale, now)
        return number, {"texts": 1, "triggers": len(declared)}

    number = house.change("content revert", verb)
    typer.echo(f"{target.slug} ({target.locale}) of {at} is in force, as version {number}.")
    typer.echo("Its file is as it was; the next `content publish` publishes the file again.")


def _versions(house: House, name: str) -> "Sequence[Version]":
    from l3mail import publishing
    from l3mail.wiring import read_content

    slug, unknown = relative(house, name), None
    try:
        slug = read_content(house.settings).find(slug).slug
    except ContentError as error:  # a text whose file is gone has a history too
        unknown = error
    with house.database() as database:
        versions = database.read(lambda connection: publishing.history(connection, slug))
    if unknown is not None and not versions:
        raise unknown
    return versions


def check(
    context: typer.Context,
    path: Annotated[
        str | None, typer.Argument(metavar="[PATH]", help="A file, folder or slug; default: all.")
    ] = None,
    online: Annotated[bool, typer.Option("--online", help="Also ask where links lead.")] = False,
    as_json: Json = False,
) -> None:
    """Find what is wrong with the texts, line by line.

    Example: l3mail check lessons/kurs/02-video.md
    """
    from l3mail.content import check as findings_of
    from l3mail.content import worksheets_of

    house: House = context.obj
    library, texts = _read(house)
    findings = findings_of(library, texts)
    sheets = worksheets_of(library)
    if path is not None:
        wanted = _wanted(house, library, path)
        texts = [text for text in texts if _below(text.source.path, wanted)]
        sheets = [sheet for sheet in sheets if _below(sheet, wanted)]
        own = {finding for text in texts for finding in text.findings}
        findings = [one for one in findings if _below(one.path, wanted) or one in own]
    if online:
        findings = sorted([*findings, *asked(texts)])
    errors = sum(finding.severity == "error" for finding in findings)
    if as_json:
        names = ("path", "line", "column", "severity", "message")
        print_json([{name: getattr(finding, name) for name in names} for finding in findings])
    else:
        for finding in findings:
            typer.echo(printable(str(finding), 2000))
        tell_translated(library, {text.source.course for text in texts})
        warnings = len(findings) - errors
        papers = f", {_counted(len(sheets), 'worksheet')}" if sheets else ""
        typer.echo(
            f"{_counted(len(texts), 'text')}{papers}: {_counted(errors, 'error')},"
            f" {_counted(warnings, 'warning')}."
        )
    if errors:
        raise typer.Exit(1)


def _read(house: House) -> "tuple[Library, list[Text]]":
    from l3mail.wiring import compile_content

    return compile_content(house.settings)


def _chosen(
    house: House, library: "Library", texts: "list[Text]", names: Sequence[str] | None
) -> "list[Text]":
    """The texts named by slug (in every language) or by file."""
    if not names:
        return texts
    wanted = [library.find(relative(house, name)) for name in names]
    paths = {source.path for source in wanted}
    slugs = {source.slug for source in wanted} & set(names)
    return [t for t in texts if t.source.path in paths or t.source.slug in slugs]


def _wanted(house: House, library: "Library", name: str) -> str:
    """The path below the workspace that a file, folder or slug means."""
    named = relative(house, name)
    if (library.folder / named).exists():
        return named
    return library.find(named).path


def _below(path: str, wanted: str) -> bool:
    return path == wanted or path.startswith(f"{wanted}/") or wanted == "."


def relative(house: House, name: str) -> str:
    """A path as the workspace sees it, whatever folder it was typed in; a slug as it is."""
    path = Path(name).absolute()
    folder = house.settings.folder
    if path.exists() and path.resolve().is_relative_to(folder):
        return path.resolve().relative_to(folder).as_posix()
    return name.removeprefix("./").rstrip("/")


def tell_faults(findings: "Sequence[Finding]") -> bool:
    """Print findings; whether one is an error."""
    for finding in findings:
        typer.echo(printable(str(finding), 2000), err=True)
    return any(finding.severity == "error" for finding in findings)


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
