"""Whether the database is a restored copy: what its rows say, set beside `state/high-water`.

And what is to be done about it: the time it lost is reckoned on a copy in memory first, then in the
rows themselves.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TypeVar

from sqlalchemy import Connection

from l3mail import actions, outbox, reconciling
from l3mail.clocks import Clock
from l3mail.database import Database
from l3mail.errors import RestoredError, StateError
from l3mail.reconciling import Lost, Reckoning
from l3mail.sending import RECONCILED, Mark, contradiction, read_mark, write_mark
from l3mail.settings import Settings
from l3mail.simulations import copied
from l3mail.wiring.agendas import make_agenda
from l3mail.wiring.erasures import erase_again, erased_since, let_movers_rest, moved_since
from l3mail.wiring.mails import workspace_uuid

T = TypeVar("T")

BEHIND = timedelta(seconds=2)
"""So much later than state/high-water says the last mail may have gone."""

_WAITS = "nobody has reconciled it yet"


def suspect_restore(settings: Settings, database: Database) -> str | None:
    """Why the database is a restored copy, or None; changes nothing.

    Raises StateError where the mark is damaged.
    """
    mark = read_mark(settings.state_dir)
    return database.read(lambda connection: _suspicion(connection, mark))


def detect_restore(settings: Settings, database: Database, clock: Clock) -> str | None:
    """Look whether the database is a restored copy, and pull its brake if so; why, or None.

    For whoever is about to send, plan or number new rows. Once the brake lies, the rows say so.
    """
    mark = read_mark(settings.state_dir)

    def verb(connection: Connection) -> str | None:
        why = _suspicion(connection, mark)
        if why is not None:
            known = mark is not None and mark.uuid == workspace_uuid(connection)
            highest = mark.highest if mark and known else 0
            outbox.hold_back(connection, outbox.BY_ITSELF, clock.now(), highest)
        return why

    if database.read(lambda connection: _suspicion(connection, mark)) is None:
        return None
    return database.write(verb)


def undetected_restore(settings: Settings, database: Database) -> list[str]:
    """Why the next sender will find a restored copy, in a line; nothing once its brake lies."""
    try:
        why = suspect_restore(settings, database)
    except StateError as error:
        return [str(error)]
    if why is None or why == _WAITS:
        return []
    return [f"this database is a restored copy ({why}): `l3mail db reconcile`"]


def require_reconciled(settings: Settings, database: Database, clock: Clock) -> None:
    """Raise RestoredError while the database is a restored copy that nobody reconciled."""
    why = detect_restore(settings, database, clock)
    if why is not None:
        raise RestoredError(why)


def _suspicion(connection: Connection, mark: Mark | None) -> str | None:
    if outbox.restored_at(connection) is not None:
        return _WAITS
    return contradiction(connection, mark) if mark else None


class Reconciliation:
    """What a restored database may have sent in the time it lost: foreseen, then put into it."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        now: datetime,
        sent_until: datetime | None = None,
    ) -> None:
        """`sent_until` is when somebody says the last mail went, whatever the mark says.

        Raises StateError where the mark is damaged and nobody says so.
        """
        self._settings = settings
        self._database = database
        self._now = now
        self._sent_until = sent_until
        try:
            self._mark = read_mark(settings.state_dir)
        except StateError:
            if sent_until is None:
                raise
            self._mark = None

    def is_wanted(self) -> bool:
        """Whether the database is a restored copy, or somebody says so by naming a moment."""
        if self._sent_until is not None:
            return True
        return self._database.read(lambda one: _suspicion(one, self._mark)) is not None

    def foresee(self) -> Reckoning:
        """What it would come to, by a copy in memory: nobody waits for it and nothing changes."""

        def verb(connection: Connection) -> Reckoning:
            lost = self._lost(connection)
            with copied(connection) as memory:

                def write(verb: Callable[[Connection], T], /) -> T:
                    return verb(memory)

                agenda = make_agenda(self._settings, rehearsing=True)
                return reconciling.reconcile(write, agenda, lost)

        return self._database.read(verb)

    def erased_since(self) -> int:
        """How many were erased in the time it lost, and are erased again."""
        lost = self._database.read(self._lost)
        return erased_since(self._settings, self._database, lost.since)

    def moved_since(self) -> int:
        """How many moved in the time it lost, and are mailed nothing until that is settled."""
        lost = self._database.read(self._lost)
        return moved_since(self._settings, self._database, lost.since)

    def carry_out(self, who: str) -> Reckoning:
        """Put it into the rows, lift the brake and begin a new mark.

        The brake lies until the very end: interrupted, it is done again.
        """
        self._database.write(self._hold_back)
        lost = self._database.read(self._lost)
        # Before anything is planned for them anew.
        erase_again(self._settings, self._database, lost.since, self._now)
        agenda = make_agenda(self._settings, rehearsing=True)
        found = reconciling.reconcile(self._database.write, agenda, lost)
        # What they had in the lost time is in doubt by now: once lifted, nothing of it goes again.
        let_movers_rest(self._settings, self._database, lost.since, self._now)

        def verb(connection: Connection) -> Mark:
            highest = reconciling.release(connection)
            told = {"deliveries": found.doubted.total(), "sent_until": found.until.isoformat()}
            actions.note(connection, who, RECONCILED, told, self._now)
            return Mark(workspace_uuid(connection), highest, self._now)

        mark = self._database.write(verb)
        try:
            write_mark(self._settings.state_dir, mark)
        except OSError as error:
            raise StateError(
                f"{self._settings.state_dir} can't be written: {error.strerror}; sending goes"
                " on, but the next restore would not be noticed"
            ) from error
        return found

    @property
    def last_from_here(self) -> datetime | None:
        """On PostgreSQL, what this host's mark knows, for where no other host sends."""
        if self._database.is_sqlite or self._sent_until is not None or self._mark is None:
            return None
        return self._mark.at + BEHIND

    def _hold_back(self, connection: Connection) -> None:
        known = self._mark is not None and self._mark.uuid == workspace_uuid(connection)
        highest = self._mark.highest if self._mark and known else 0
        outbox.hold_back(connection, outbox.BY_ITSELF, self._now, highest)

    def _lost(self, connection: Connection) -> Lost:
        brake = outbox.restored_at(connection) or self._now
        known = self._mark is not None and self._mark.uuid == workspace_uuid(connection)
        by_mark = brake
        if known and self._mark and self._mark.last is not None:
            by_mark = self._mark.at + BEHIND
        # On PostgreSQL another host may have sent later than this one knows.
        until = self._sent_until or (by_mark if self._database.is_sqlite else brake)
        since, until = reconciling.copied_at(connection, brake), min(until, brake)
        return Lost(since, until, brake, reconciling.come_to(connection, since, until))
