"""How far a sender came, kept outside the database: what tells a restored copy from the original.

Owns `state/high-water`. A database that was put back from a copy knows nothing of what was sent
after the copy was made, and would send it again. Nothing inside it can say so; this file can.

What is compared costs the database nothing: no counter is written with each commit. The file
names the delivery begun last, with the fence it was begun under. A row's fence only ever rises,
and under one fence `started_at` is written once; so every database in which that commit was ever
made still shows it, however the row fared since, and no earlier copy does. (The highest number
begun would not do: a second attempt at an old row raises it no more. It is kept beside, because
a restored copy must number its new rows above it.) A clock that was put back changes nothing.

A workspace's folder has one file, not more than a second behind the commits of its senders: where
there are several, each replaces it when it has begun something, so the latest start stands there.
Losing that second means missing only a copy that was made in it. Several hosts on one PostgreSQL
each judge by their own.
"""

import json
import logging
import operator
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, func, select

from l3mail import outbox, owners
from l3mail.errors import StateError
from l3mail.models import ACTIONS, DELIVERY, WORKSPACE, UtcDateTime
from l3mail.outbox import Started
from l3mail.settings import MARK_FILE, write_durably

log = logging.getLogger("l3mail.sending")

EVERY_SECONDS = 1.0
_ID = operator.attrgetter("id")
RECONCILED = "db reconcile"
"""The command whose row in `actions` says that a mark older than it proves nothing any more."""


@dataclass(frozen=True, slots=True)
class Mark:
    """What the file says: whose it is, the highest delivery begun, and the one begun last.

    `last` is None where nothing was begun since the database was reconciled at `at`.
    """

    uuid: str
    highest: int
    at: datetime
    last: int | None = None
    fence: int = 0


def read_mark(state_dir: Path) -> Mark | None:
    """The mark in `state/`, None where no sender left one; raises StateError if it is no use."""
    path = state_dir / MARK_FILE
    try:
        said = json.loads(path.read_text(encoding="ascii"))
        return _sane(Mark(**said | {"at": datetime.fromisoformat(said["at"])}))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError) as error:
        raise StateError(
            f"{path} is damaged, so nobody knows whether the database is a restored copy: if it"
            " is the one that was always here, delete the file; else first run"
            " `l3mail db reconcile --sent-until` with the moment the last mail may have gone"
        ) from error
    except OSError as error:
        raise StateError(f"{path} cannot be read: {error.strerror}{owners.mend(path)}") from error


def _sane(mark: Mark) -> Mark:
    """A mark that can be compared with rows; raises ValueError for what no sender writes."""
    said: list[Any] = [mark.highest, mark.fence, *([] if mark.last is None else [mark.last])]
    kinds = [type(one) for one in [mark.uuid, *said]]
    if kinds != [str] + [int] * len(said) or mark.at.tzinfo is None:
        raise ValueError("no mark of ours")
    return mark


def write_mark(state_dir: Path, mark: Mark) -> None:
    """Replace the mark, durably. Raises OSError."""
    said: dict[str, Any] = {name: getattr(mark, name) for name in Mark.__slots__}
    content = json.dumps(said | {"at": mark.at.isoformat()})
    write_durably(state_dir / MARK_FILE, content.encode("ascii") + b"\n")


def contradiction(connection: Connection, mark: Mark) -> str | None:
    """Why this can't be the database as the mark last saw it, or None."""
    if connection.execute(select(WORKSPACE.c.uuid)).scalar_one() != mark.uuid:
        return f"{MARK_FILE} was written beside another database"
    if _reconciled_since(connection, mark.at):
        return None
    if outbox.last_number(connection) < mark.highest:
        return f"it never heard of delivery {mark.highest}, which was sent"
    if mark.last is None:
        return None
    row = connection.execute(
        select(DELIVERY.c.fence, DELIVERY.c.started_at).where(DELIVERY.c.id == mark.last)
    ).first()
    begun = row is not None and (
        row.fence > mark.fence
        or (row.fence == mark.fence and row.started_at is not None and row.started_at >= mark.at)
    )
    return None if begun else f"it does not know that delivery {mark.last} was begun"


def _reconciled_since(connection: Connection, at: datetime) -> bool:
    """Whether somebody settled what this mark could prove; on another host, perhaps."""
    latest = select(func.max(ACTIONS.c.at, type_=UtcDateTime)).where(
        ACTIONS.c.command == RECONCILED
    )
    settled = connection.execute(latest).scalar()
    return settled is not None and settled > at


class HighWater:
    """Writes the mark of one sender, in a thread of its own and at most once a second."""

    def __init__(self, state_dir: Path, uuid: str, highest: int = 0) -> None:
        """Nothing is written before the first delivery is begun; `highest` is what was so far."""
        self._state_dir = state_dir
        self._uuid = uuid
        self._highest = highest
        self._last: Started | None = None
        self._news = threading.Event()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._told = False

    def note(self, started: Sequence[Started]) -> None:
        """Remember what a commit began; once it is durable and before its dialogues."""
        if not started:
            return
        self._highest = max(self._highest, *map(_ID, started))
        self._last = started[-1]
        if not self._news.is_set():
            self._news.set()
            if self._thread is None:
                # A daemon: whoever ends in a hurry loses a second of this, as after a kill.
                self._thread = threading.Thread(
                    target=self._keep, name="l3mail-high-water", daemon=True
                )
                self._thread.start()

    def close(self) -> None:
        """Write what is not yet written."""
        self._closing.set()
        self._news.set()
        if self._thread is not None:
            self._thread.join()

    def _keep(self) -> None:
        written: Started | None = None
        while True:
            self._news.wait()
            self._news.clear()
            # Asked after: a call to close that comes in between would else be cleared unheard.
            closing = self._closing.is_set()
            last = self._last
            if last is not None and last is not written:
                written = last if self._write(last) else written
            if closing:
                return
            if written is not last:
                self._news.set()
            self._closing.wait(EVERY_SECONDS)

    def _write(self, last: Started) -> bool:
        # What is noted meanwhile may raise `highest` beyond `last`: too high is never wrong here,
        # for every number noted is committed.
        mark = Mark(self._uuid, self._highest, last.started_at, last.id, last.fence)
        try:
            write_mark(self._state_dir, mark)
        except OSError as fault:
            if not self._told:
                log.warning(
                    "%s can't be written (%s): a restored copy would not be noticed",
                    self._state_dir / MARK_FILE,
                    fault.strerror,
                )
            self._told = True
            return False
        self._told = False
        return True
