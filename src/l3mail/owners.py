"""Whose a file is, in the words that mend it: who may not open it learns as whom to try."""

import os
from pathlib import Path


def mend(path: Path) -> str:
    """Whose `path` is, or the nearest folder around it that can be seen, and how to act as them."""
    for place in (path, *path.absolute().parents):
        try:
            owner = place.stat().st_uid
        except OSError:
            continue
        if owner == os.geteuid():
            return f"{place} is yours, but closed: run `chmod u+rwX {place}`"
        name = owner_of(place)
        return f"{place} belongs to {name}: run `sudo -u {name} l3mail …`"
    return "run l3mail as the user who owns it"


def owner_of(path: Path) -> str:
    """The name of a file's owner, or what `sudo -u` takes in its place."""
    try:
        return path.owner()
    except KeyError:  # a container's user need not have a name
        return f"#{path.stat().st_uid}"
