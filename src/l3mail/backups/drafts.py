"""A folder to work in, on the disk of what is being made, and gone with the work.

A power cut or a kill leaves it there with people's data in it, so the next work clears it away.
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PREFIX = ".l3mail-draft-"


@contextmanager
def drafting(folder: Path) -> Iterator[Path]:
    """A folder of one's own inside another one. Raises OSError."""
    with _opened(folder) as descriptor:
        _clear(_abandoned(folder, descriptor))
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_SH)
        with tempfile.TemporaryDirectory(prefix=PREFIX, dir=folder) as draft:
            yield Path(draft)


def clear_abandoned(folder: Path) -> None:
    """Clear the drafts in a folder that nobody works in. Raises OSError."""
    with _opened(folder) as descriptor:
        _clear(_abandoned(folder, descriptor))


def abandoned(folder: Path) -> list[Path]:
    """The drafts in a folder that nobody works in. Raises OSError."""
    with _opened(folder) as descriptor:
        return _abandoned(folder, descriptor)


@contextmanager
def _opened(folder: Path) -> Iterator[int]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _abandoned(folder: Path, descriptor: int) -> list[Path]:
    """Drafts that nobody works in, nor begins to while the folder stays open."""
    try:
        # Whoever works here shares a lock. Shares of some networks know no locks, and there
        # nobody knows.
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return []
    return sorted(folder.glob(f"{PREFIX}*"))


def _clear(drafts: list[Path]) -> None:
    for left in drafts:
        shutil.rmtree(left, ignore_errors=True)
