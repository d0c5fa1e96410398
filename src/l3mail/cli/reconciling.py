"""The command that lets a restored database send again, once somebody saw what it may repeat."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from l3mail.cli.context import DryRun, House, Json, Yes, confirm, counted, print_json
from l3mail.cli.moments import parse_moment, told

if TYPE_CHECKING:
    from l3mail.reconciling import Reckoning
    from l3mail.wiring import Reconciliation


def reconcile(
    context: typer.Context,
    *,
    sent_until: Annotated[
        str | None,
        typer.Option(
            metavar="ISO",
            help="When the lost database may have sent its last mail; default: as state/high-water"
            " says, else when it was replaced.",
            show_default=False,
        ),
    ] = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Say what a restored database may have sent in the time it lost, and let sending go on.

    Every mail that was due in that time and is not known to have ended becomes `uncertain`: it is
    listed, and sent again only if you say so.

    Example: l3mail db reconcile --dry-run
    """
    from l3mail.wiring import Reconciliation, detect_restore

    house: House = context.obj
    zone, now = house.settings.zone, house.clock.now()
    asked = parse_moment(sent_until, zone, end_of_day=True) if sent_until else None
    found: Reckoning | None = None
    with house.database() as database:
        work = Reconciliation(house.settings, database, now, asked)
        if not work.is_wanted():
            if as_json:
                print_json(_view(house, None, released=False))
            else:
                typer.echo("This database is no restored copy: there is nothing to reconcile.")
            return
        if not dry_run and asked is None:
            # Whatever is answered below, nothing goes out before it is done.
            detect_restore(house.settings, database, house.clock)
        if dry_run or not (as_json and yes):
            found = work.foresee()
        if found and not (as_json and dry_run):
            # Whoever is asked sees why; a program reads nothing but JSON.
            again = _erased_again(work.erased_since())
            left = _left(work.moved_since())
            _tell(
                [*_story(house, found), *again, *left, *_of_other_hosts(house, work)], err=as_json
            )
        if not dry_run:
            confirm("Reconcile, and let sending go on?", yes=yes)
            found = work.carry_out(house.who)
    if as_json:
        print_json(_view(house, found, released=not dry_run))
    elif dry_run:
        typer.echo("Dry run: nothing is reconciled yet.")
    elif found:
        _tell_after(found)


def _erased_again(people: int) -> "Iterator[str]":
    if people:
        yield f"{counted(people, 'person', 'people')} erased in the lost time: erased here again."


def _left(people: int) -> "Iterator[str]":
    if people:
        yield (
            f"{counted(people, 'person', 'people')} moved to another address in the lost time, not"
            " known here: their data rest, and the old address gets nothing. `l3mail privacy list`"
            " names them; who asks is moved once more, or signs up from the new address."
        )


def _of_other_hosts(house: House, work: "Reconciliation") -> "Iterator[str]":
    if (until := work.last_from_here) is not None:
        at = until.astimezone(house.settings.zone)
        yield (
            f"The last mail from this host went before {at:%Y-%m-%d %H:%M:%S}; if no other host"
            " sends, say --sent-until with that."
        )


def _view(house: House, found: "Reckoning | None", *, released: bool) -> dict[str, Any]:
    """What a program reads: the same keys whatever was found; None is nothing to reconcile."""

    def iso(moment: datetime) -> str:
        return moment.astimezone(house.settings.zone).isoformat()

    return {
        "restored": found is not None,
        "released": released,
        "copied_at": iso(found.since) if found else None,
        "sent_until": iso(found.until) if found else None,
        "uncertain": found.doubted.total() if found else 0,
        "mails": [
            {"kind": kind, "message": slug, "mails": count}
            for (kind, slug), count in sorted(found.doubted.items() if found else ())
        ],
        "paused": list(found.paused) if found else [],
    }


_ADVICE = (
    (
        "Who unsubscribed or objected then is not known here and would be mailed again, as would"
        " who was erased if state/erased is lost, too. Look through your mailbox for such wishes"
        " and, if it keeps paths, through the web server's log for POST /unsubscribe/: send each of"
        " these paths once more with `curl -X POST`. Then `l3mail subscribers unsubscribe` and"
        " `l3mail privacy erase`."
    ),
    (
        "Addresses the relay refused then: look for 550 in its log,"
        " `l3mail subscribers suppress` each."
    ),
    (
        "Who signed up then has to do it again, and who answered a question is asked no more."
        " Links in mails of that time lead to a page that mails a new one."
    ),
    (
        "Issues scheduled and texts published then are not known here. Before you schedule"
        " one again, look into the relay's log whether it went out."
    ),
)


def _tell(lines: Iterable[str], *, err: bool = False) -> None:
    for line in lines:
        typer.echo(line, err=err)


def _story(house: House, found: "Reckoning") -> Iterator[str]:
    yield f"This copy ends on         {told(found.since, house.settings.zone)}"
    yield f"mails may have gone until {told(found.until, house.settings.zone)}"
    if not found.doubted:
        yield "No mail was due in between."
    for (kind, slug), count in sorted(found.doubted.items()):
        yield f"  {count:>7,}  {kind:<12}  {slug}"
    if found.doubted:
        yield (
            f"{counted(found.doubted.total(), 'mail')} would become uncertain: perhaps sent, and"
            " not sent again by itself. A course goes on from there."
        )
    if found.paused:
        yield (
            f"Paused in this copy, perhaps resumed in the lost time: {', '.join(found.paused)}."
            " Look into the relay's log before you resume."
        )
    yield "What else was lost, and what to do:"
    yield from (f"- {words}" for words in _ADVICE)


def _tell_after(found: "Reckoning") -> None:
    typer.echo("Reconciled: planning and sending go on by themselves.")
    if found.doubted:
        typer.echo(
            "Compare `l3mail outbox list --status uncertain` with the relay's log, then"
            " `l3mail outbox resolve --message SLUG --arrived` (or `--resend`, `--give-up`)."
        )
