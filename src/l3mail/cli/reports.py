"""Commands that write reports: on a week, other days, an issue, a course."""

from collections.abc import Callable, Collection
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from l3mail.cli.context import DryRun, House, Json, Yes, confirm, counted, print_json
from l3mail.cli.moments import parse_moment
from l3mail.cli.naming import Course, slug_of
from l3mail.errors import ReportError, WorkspaceError, printable

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from l3mail.reports import Document, Report, Span, Terms

PANEL = "House"
group = typer.Typer(
    name="report",
    help="Write reports: what happened, what needs you, what comes next.",
    no_args_is_help=True,
)

T = TypeVar("T")

Out = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR", help="Write HTML, text and JSON into this folder.", show_default=False
    ),
]
AsText = Annotated[bool, typer.Option("--text", help="Print text; the default.")]


def register(app: typer.Typer) -> None:
    """Hang the group into the panel "House"."""
    app.add_typer(group, rich_help_panel=PANEL)


@group.command("weekly")
def weekly(
    context: typer.Context,
    *,
    week: Annotated[
        str | None,
        typer.Option(metavar="WEEK", help="Such as 2026-W47; default: the last whole week."),
    ] = None,
    out: Out = None,
    send: Annotated[
        bool, typer.Option("--send", help="Mail it to the staff now; shows to whom, and asks.")
    ] = False,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_text: AsText = False,
    as_json: Json = False,
) -> None:
    """Report on a week; by itself it is mailed on Monday.

    The present week is told until now.

    Example: l3mail report weekly --week 2026-W47 --out reports
    """
    from l3mail import reports

    house: House = context.obj
    _agree(as_text=as_text, as_json=as_json, out=out)
    if dry_run and not send:
        raise typer.BadParameter("--dry-run goes with --send: nothing else changes anything")
    if send and (out or as_json or as_text):
        raise typer.BadParameter("--send mails and prints nothing; leave the others out")
    now, zone = house.clock.now(), house.settings.zone
    span = reports.last_week(now, zone) if week is None else reports.week(week, zone, now)
    if send:
        _send(house, span, dry_run=dry_run, yes=yes)
    else:
        _deliver(*_written(house, span), out, f"report-{span.name}", as_json=as_json)


@group.command("period")
def period(
    context: typer.Context,
    *,
    since: Annotated[str, typer.Option("--from", metavar="DAY", help="The first day: 2026-11-01.")],
    until: Annotated[
        str | None, typer.Option(metavar="DAY", help="The last day, included; default: today.")
    ] = None,
    out: Out = None,
    as_text: AsText = False,
    as_json: Json = False,
) -> None:
    """Report on any days, beside as many days before them.

    Example: l3mail report period --from 2026-11-01 --until 2026-11-30
    """
    from l3mail import reports

    house: House = context.obj
    _agree(as_text=as_text, as_json=as_json, out=out)
    now, zone = house.clock.now(), house.settings.zone
    first_on = _day(house, since)
    last_on = now.astimezone(zone).date() if until is None else _day(house, until)
    span = reports.days(first_on, last_on, zone, now)
    name = span.name.replace("..", "-to-")
    _deliver(*_written(house, span), out, f"report-{name}", as_json=as_json)


@group.command("newsletter")
def newsletter(
    context: typer.Context,
    issue: Annotated[str, typer.Argument(metavar="ISSUE", help="Its slug or file: 2026-12.")],
    *,
    out: Out = None,
    as_text: AsText = False,
    as_json: Json = False,
) -> None:
    """Report on one issue's sending, from its first day until now.

    Example: l3mail report newsletter 2026-12
    """
    from l3mail import reports
    from l3mail.reports import views

    house: House = context.obj
    _agree(as_text=as_text, as_json=as_json, out=out)
    now, slug = house.clock.now(), slug_of(issue, "newsletter")
    found, terms = _read(house, lambda c, terms: reports.look_at_issue(c, slug, now, terms))
    view = {"schema": views.SCHEMA, "message": slug, **views.mails(found.mails)}
    document = reports.tell_issue(found, terms)
    _deliver(document, view, out, f"report-{slug.replace('/', '-')}", as_json=as_json)


@group.command("course")
def course(
    context: typer.Context,
    course: Course,
    *,
    out: Out = None,
    as_text: AsText = False,
    as_json: Json = False,
) -> None:
    """Report on one course: who is where, and how far each lesson came.

    Example: l3mail report course digital-kommunizieren
    """
    from l3mail import reports
    from l3mail.reports import views

    house: House = context.obj
    _agree(as_text=as_text, as_json=as_json, out=out)
    now = house.clock.now()
    found, terms = _read(house, lambda c, terms: reports.look_at_course(c, course, now, terms))
    view = {"schema": views.SCHEMA, **views.course(found.course)}
    _deliver(reports.tell_course(found, terms), view, out, f"report-{course}", as_json=as_json)


# -- reading


def _agree(*, as_text: bool, as_json: bool, out: Path | None) -> None:
    if sum((as_text, as_json, out is not None)) > 1:
        raise typer.BadParameter("say one of --text, --json and --out, which writes all forms")


def _day(house: House, text: str) -> date:
    return parse_moment(text, house.settings.zone).astimezone(house.settings.zone).date()


def _read(house: House, look: "Callable[[Connection, Terms], T]") -> "tuple[T, Terms]":
    """Look into the database, with what the workspace's files have to say."""
    from l3mail.wiring import report_terms

    def verb(connection: "Connection") -> "tuple[T, Terms]":
        terms = report_terms(connection, house.settings)
        return look(connection, terms), terms

    with house.database() as database:
        return database.read(verb)


def _written(house: House, span: "Span") -> "tuple[Document, dict[str, Any]]":
    from l3mail import reports

    now = house.clock.now()

    def look(connection: "Connection", terms: "Terms") -> "Report":
        return reports.look(connection, span, now, terms)

    report, _ = _read(house, look)
    document = reports.tell(report)
    return document, reports.to_json(report, document, reports.needs_of(report))


# -- printing, writing, mailing


def _deliver(
    document: "Document", view: dict[str, Any], out: Path | None, name: str, *, as_json: bool
) -> None:
    import json

    from l3mail import reports

    if as_json:
        print_json(view)
        return
    text = reports.to_text(document)
    if out is None:
        typer.echo(text, nl=False)
        return
    forms = {
        ".html": reports.to_page(document),
        ".txt": text,
        ".json": json.dumps(view, ensure_ascii=False, indent=2) + "\n",
    }
    try:
        out.mkdir(parents=True, exist_ok=True)
        for suffix, content in forms.items():
            (out / f"{name}{suffix}").write_text(content, encoding="utf-8")
    except OSError as fault:
        raise WorkspaceError(
            f"{printable(str(fault.filename or out), 300)} cannot be written: {fault.strerror};"
            " name a folder of yours by --out"
        ) from fault
    for suffix in forms:
        typer.echo(printable(str(out / f"{name}{suffix}"), 1000))


def _send(house: House, span: "Span", *, dry_run: bool, yes: bool) -> None:
    """Queue the report to those of the staff who do not have it yet."""
    from l3mail import reports, staff
    from l3mail.wiring import weekly_letter

    readers = house.settings.readers
    if not readers:
        raise ReportError(
            'nobody is named to get reports; write to = ["name@example.org"] under [reports] in'
            " l3mail.toml"
        )
    now = house.clock.now()
    about = reports.occurrence(span, now)
    with house.database() as database:
        unmailed = database.read(lambda connection: staff.missing(connection, about, readers))
    for address in sorted(readers - set(unmailed)):
        typer.echo(f"{address} has the report on {span.name}, or it is queued.")
    if not unmailed:
        return
    _show(span, unmailed)
    if dry_run:
        typer.echo("Dry run, nothing is changed.")
        return
    confirm(f"mail it to {counted(len(unmailed), 'address', 'addresses')}?", yes=yes)
    with house.database() as database:
        letter = database.read(lambda c: weekly_letter(c, house.settings, span, now))

    def verb(connection: "Connection") -> tuple[int, dict[str, int]]:
        planned = staff.plan(connection, letter, about, unmailed, now)
        return len(planned), {"deliveries": len(planned)}

    queued = house.change(f"report weekly --send {span.name}", verb)
    typer.echo(f"Queued: {counted(queued, 'report')}; `l3mail run` or `l3mail worker` sends.")


def _show(span: "Span", addresses: Collection[str]) -> None:
    typer.echo(f"The report on {span.name} goes to:")
    for address in addresses:
        typer.echo(f"  {address}")
