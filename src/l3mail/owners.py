"""Whose a file is, in the words that mend it: who may not open it learns as whom to try."""

import os
import stat
from pathlib import Path


def mend(path: Path) -> str:
    """How to get at what may not be used, as a sentence's end; "" where no right is missing.

    Looks at the nearest folder around it that can be seen. Round a file of ours that is open it
    looks at the folder: SQLite writes beside its file, too.
    """
    for place in (path, *path.absolute().parents):
        try:
            found = place.stat()
        except OSError:
            continue
        if _is_read_only(place):
            return ""
        if found.st_uid != os.geteuid():
            return _asking(place)
        if not stat.S_ISDIR(found.st_mode) and _is_open(found):
            around = place.absolute().parent
            return _opening(around, around.stat())
        return _opening(place, found)
    return "; run l3mail as the user who owns it"


def _is_read_only(place: Path) -> bool:
    """Whether it lies on a disk that nobody may write to: no rights change that."""
    try:
        return bool(os.statvfs(place).f_flag & os.ST_RDONLY)
    except OSError:
        return False


def _asking(place: Path) -> str:
    name = owner_of(place)
    return f"; {place} belongs to {name}: run `sudo -u {name} l3mail …`"


def _opening(place: Path, found: os.stat_result) -> str:
    if found.st_uid != os.geteuid():
        return "" if os.access(place, os.W_OK | os.X_OK) else _asking(place)
    if _is_open(found):
        return ""
    return f"; {place} is yours, but closed: run `chmod u+rwX {place}`"


def _is_open(found: os.stat_result) -> bool:
    """Whether its owner has every right to it."""
    wanted = stat.S_IRWXU if stat.S_ISDIR(found.st_mode) else stat.S_IRUSR | stat.S_IWUSR
    return found.st_mode & wanted == wanted


def owner_of(path: Path) -> str:
    """The name of a file's owner, or what `sudo -u` takes in its place."""
    try:
        return path.owner()
    except KeyError:  # a container's user need not have a name
        return f"#{path.stat().st_uid}"
