"""How each sender on this machine fares, told to other processes: a file in `state/senders` each.

Owns those files. They say why a send takes long: that the relay can't be used, or that it asked us
to slow down. Whether their sender lives says a lock, which is the kernel's and ends with its
process: what a killed one left says nothing any more and is cleared by the next.
"""

import fcntl
import json
import logging
import os
import secrets
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from l3mail.clocks import Clock
from l3mail.sending.tallies import Tally

log = logging.getLogger("l3mail.sending")

FOLDER = "senders"
SIZE = 4096
"""Every bulletin has as many octets, so that one write replaces another whole."""
WORDS_KEPT = 200
"""Characters of a fault: what a bulletin has room for, whatever they are."""


@dataclass(frozen=True, slots=True)
class Bulletin:
    """How one sender fares: why the relay can't be used, if so, and to what rate it slowed us down.

    `slowed_to` is mails a second; a moment is None where what it is of is None.
    """

    process: int
    relay_fault: str | None = None
    relay_fault_since: datetime | None = None
    slowed_to: float | None = None
    slowed_since: datetime | None = None


class Board:
    """Where one sender posts how it fares."""

    def __init__(self, state_dir: Path, clock: Clock) -> None:
        """Nothing is written before the first `post`."""
        self._folder = state_dir / FOLDER
        self._clock = clock
        self._path = self._folder / f"{os.getpid()}-{secrets.token_hex(4)}"
        self._file: int | None = None
        self._posted: Bulletin | None = None
        self._is_written = False
        self._fails = False

    def post(self, tally: Tally, *, probing: bool = False) -> None:
        """Tell of what has changed; while the relay is only `probing`, it counts as down still.

        What could not be written is tried again, unchanged or not.
        """
        last = self._posted or Bulletin(os.getpid())
        fault = last.relay_fault if probing else (tally.relay_fault or "")[:WORDS_KEPT] or None
        if self._is_written and (fault, tally.slowed_to) == (last.relay_fault, last.slowed_to):
            return
        now = self._clock.now()
        self._posted = replace(
            last,
            relay_fault=fault,
            relay_fault_since=(last.relay_fault_since or now) if fault else None,
            slowed_to=tally.slowed_to,
            slowed_since=(last.slowed_since or now) if tally.slowed_to is not None else None,
        )
        self._is_written = False
        try:
            self._write(self._posted)
            self._is_written, self._fails = True, False
        except OSError as fault_of_ours:
            if not self._fails:
                log.warning(
                    "%s can't be written (%s): status and metrics don't tell how this sender fares",
                    self._folder,
                    fault_of_ours.strerror,
                )
            self._fails = True

    def close(self) -> None:
        """Take the bulletin away: nobody sends here any more."""
        if self._file is not None:
            with suppress(OSError):
                self._path.unlink()
            os.close(self._file)
            self._file = None

    def _write(self, bulletin: Bulletin) -> None:
        if self._file is None:
            self._file = self._open()
        content = json.dumps(asdict(bulletin), default=datetime.isoformat).encode("ascii")
        os.pwrite(self._file, content.ljust(SIZE), 0)

    def _open(self) -> int:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for left in self._folder.iterdir():
            with suppress(OSError), left.open("rb") as old:
                fcntl.flock(old, fcntl.LOCK_EX | fcntl.LOCK_NB)
                left.unlink()
        while True:
            file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                # A reader holds the lock for a moment only.
                fcntl.flock(file, fcntl.LOCK_EX)
            except OSError:
                os.close(file)
                raise
            if os.fstat(file).st_nlink:
                return file
            # Another sender that began just now took it for a dead one's.
            os.close(file)


def bulletins(state_dir: Path) -> list[Bulletin]:
    """How the senders that live on this machine fare; what can't be read is left out."""
    return list(_living(state_dir / FOLDER))


def _living(folder: Path) -> Iterator[Bulletin]:
    try:
        paths = sorted(folder.iterdir())
    except OSError:
        return
    for path in paths:
        with suppress(OSError, ValueError, TypeError, KeyError), closing(path.open("rb")) as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                said: dict[str, Any] = json.loads(file.read(SIZE))
                yield Bulletin(**said | {name: _moment(said[name]) for name in _MOMENTS})


_MOMENTS = ("relay_fault_since", "slowed_since")


def _moment(said: str | None) -> datetime | None:
    return datetime.fromisoformat(said) if said else None
