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
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        # Whoever works here shares a lock: only what nobody works in is cleared. Shares of some
        # networks know no locks, and there nothing is cleared.
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for left in folder.glob(f"{PREFIX}*"):
                shutil.rmtree(left, ignore_errors=True)
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_SH)
        with tempfile.TemporaryDirectory(prefix=PREFIX, dir=folder) as draft:
            yield Path(draft)
    finally:
        os.close(descriptor)
