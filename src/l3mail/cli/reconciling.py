"""The command that lets a restored database send again, once somebody saw what it may repeat."""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from l3mail.cli.context import DryRun, House, Json, Yes, confirm, counted, print_json
from l3mail.cli.moments import parse_moment, told
from l3mail.errors import StateError

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from l3mail.database import Database
    from l3mail.reconciling import Reckoning
    from l3mail.sending import Mark

BEHIND = timedelta(seconds=2)
"""So much later than state/high-water says the last mail may have gone."""


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
    from l3mail.wiring import detect_restore

    house: House = context.obj
    zone, now = house.settings.zone, house.clock.now()
    asked = parse_moment(sent_until, zone, end_of_day=True) if sent_until else None
    with house.database() as database:
        mark = _mark(house, tolerant=asked is not None)
        if asked is None:
            detect_restore(house.settings, database, house.clock)
        work = _Work(house, database, mark, asked, now)
        if not work.is_wanted():
            _conclude(as_json, "This database is no restored copy: there is nothing to reconcile.")
            return
        found = work.rehearse()
        if not as_json or not (dry_run or yes):
            # Whoever is asked sees why; a program reads nothing but JSON.
            _tell([*_story(house, found), *work.other_hosts()], err=as_json)
        if not dry_run:
            confirm("Reconcile, and let sending go on?", yes=yes)
            found = work.do()
    if as_json:
        print_json(_view(house, found) | {"released": not dry_run})
    elif dry_run:
        typer.echo("Dry run: nothing is reconciled yet.")
    else:
        _tell_after(found)


def _conclude(as_json: bool, words: str) -> None:
    if as_json:
        print_json({"released": False, "uncertain": 0, "mails": []})
    else:
        typer.echo(words)


def _mark(house: House, *, tolerant: bool) -> "Mark | None":
    from l3mail.sending import read_mark

    try:
        return read_mark(house.settings.state_dir)
    except StateError:
        if tolerant:
            return None
        raise


class _RehearsedError(Exception):
    """Rolls a rehearsal back and carries what it came to."""

    def __init__(self, found: "Reckoning") -> None:
        super().__init__()
        self.found = found


class _Work:
    """One reconciliation, rehearsed in a transaction that is rolled back, and done in another."""

    def __init__(
        self,
        house: House,
        database: "Database",
        mark: "Mark | None",
        asked: datetime | None,
        now: datetime,
    ) -> None:
        self._house = house
        self._database = database
        self._mark = mark
        self._asked = asked
        self._now = now

    def is_wanted(self) -> bool:
        """Whether the database is a restored copy, or somebody says so by naming a moment."""
        from l3mail import outbox

        return self._asked is not None or self._database.read(outbox.restored_at) is not None

    def rehearse(self) -> "Reckoning":
        """What it would come to."""

        def verb(connection: "Connection") -> None:
            raise _RehearsedError(self._reckon(connection))

        try:
            self._database.write(verb)
        except _RehearsedError as rehearsed:
            return rehearsed.found
        raise AssertionError("a rehearsal ends with what it carries")

    def other_hosts(self) -> Iterator[str]:
        """On PostgreSQL, what is known here, for where no other host sends."""
        if not self._database.is_sqlite and self._asked is None and self._mark is not None:
            at = (self._mark.at + BEHIND).astimezone(self._house.settings.zone)
            yield (
                "The last mail from this host went before"
                f" {at:%Y-%m-%d %H:%M:%S}; if no other host sends, say --sent-until with that."
            )

    def do(self) -> "Reckoning":
        """Put it into the rows, lift the brake, and begin a new mark."""
        from l3mail import actions, reconciling
        from l3mail.sending import RECONCILED, Mark, write_mark
        from l3mail.wiring import workspace_uuid

        def verb(connection: "Connection") -> "tuple[Reckoning, Mark]":
            found = self._reckon(connection)
            highest = reconciling.release(connection)
            told = {"deliveries": found.doubted.total(), "sent_until": found.until.isoformat()}
            actions.note(connection, self._house.who, RECONCILED, told, self._now)
            return found, Mark(workspace_uuid(connection), highest, self._now)

        found, mark = self._database.write(verb)
        try:
            write_mark(self._house.settings.state_dir, mark)
        except OSError as error:
            raise StateError(
                f"{self._house.settings.state_dir} can't be written: {error.strerror}; sending goes"
                " on, but the next restore would not be noticed"
            ) from error
        return found

    def _reckon(self, connection: "Connection") -> "Reckoning":
        from l3mail import outbox, reconciling
        from l3mail.wiring import make_agenda, workspace_uuid

        brake = outbox.restored_at(connection) or self._now
        known = self._mark is not None and self._mark.uuid == workspace_uuid(connection)
        by_mark = brake
        if known and self._mark and self._mark.last is not None:
            by_mark = self._mark.at + BEHIND
        # On PostgreSQL another host may have sent later than this one knows.
        until = self._asked or (by_mark if self._database.is_sqlite else brake)
        return reconciling.reconcile(
            connection,
            make_agenda(self._house.settings, rehearsing=True),
            since=reconciling.copied_at(connection, brake),
            until=min(until, brake),
            brake=brake,
        )


def _view(house: House, found: "Reckoning") -> dict[str, Any]:
    def iso(moment: datetime) -> str:
        return moment.astimezone(house.settings.zone).isoformat()

    return {
        "copied_at": iso(found.since),
        "sent_until": iso(found.until),
        "uncertain": found.doubted.total(),
        "mails": [
            {"kind": kind, "message": slug, "mails": count}
            for (kind, slug), count in sorted(found.doubted.items())
        ],
        "paused": list(found.paused),
    }


_ADVICE = (
    (
        "Who unsubscribed, objected or was erased then is not known here and would be mailed"
        " again. Look through your mailbox for such wishes and, if it keeps paths, through the"
        " web server's log for POST /unsubscribe/: send each of these paths once more with `curl -X"
        " POST`. Then `l3mail subscribers unsubscribe` and `l3mail subscribers erase`."
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
