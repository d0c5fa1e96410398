"""The workspace that `init` lays out: settings, a course, newsletters, templates, media.

A checkout is one itself; an installed package carries it. Knows nothing of what the files say.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

from l3mail.errors import WorkspaceError

PARTS = ("l3mail.toml", "lessons", "newsletters", "templates", "media")
"""What a workspace consists of, besides `state/`, which each makes for itself."""

_PACKAGED = "starter_files"
_IGNORED = """\
# Database, pepper and key, and rejected rows of imports: back them up, never commit them.
state/
*.rejected.csv
"""


def starter() -> Path:
    """The folder with the starter workspace: the packaged one, or the root of a checkout."""
    here = Path(__file__).resolve()
    for folder in (here.parent / _PACKAGED, here.parents[2]):
        if all((folder / part).exists() for part in PARTS):
            return folder
    raise WorkspaceError("this installation carries no starter workspace; run `make install` again")


def lay_out(folder: Path) -> list[Path]:
    """Copy the starter workspace into `folder`; return the files made, relative to it.

    Nothing that is there is written over: raises WorkspaceError, naming it, before it begins.
    """
    source = starter()
    files = [path.relative_to(source) for part in PARTS for path in _files(source / part)]
    taken = [part for part in PARTS if (folder / part).exists()]
    if taken:
        raise WorkspaceError(
            f"{folder / taken[0]} is there already and is left as it is; name a new or empty folder"
        )
    ignore = folder / ".gitignore"
    try:
        for file in files:
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / file, folder / file)
        if not ignore.exists():
            ignore.write_text(_IGNORED, encoding="utf-8")
            files.append(Path(ignore.name))
    except OSError as error:
        raise WorkspaceError(
            f"{error.filename or folder} cannot be written: {error.strerror};"
            " name a folder of yours"
        ) from error
    return files


def _files(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path
    else:
        yield from sorted(file for file in path.rglob("*") if file.is_file())
