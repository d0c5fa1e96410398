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
    """Copy the starter workspace into `folder`; return its files, relative to it.

    Goes on where an interrupted one ended. Nothing else that is there is written over: raises
    WorkspaceError, naming it, before it begins.
    """
    source = starter()
    files = [path.relative_to(source) for part in PARTS for path in _files(source / part)]
    for part in PARTS:
        if not _is_begun(source, folder, part):
            raise left_as_it_is(folder / part)
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


def left_as_it_is(place: Path) -> WorkspaceError:
    """That nothing is laid out here, for something lies there that is not to be lost."""
    return WorkspaceError(
        f"{place} is there already and is left as it is; name a new or empty folder"
    )


def _is_begun(source: Path, folder: Path, part: str) -> bool:
    """Whether of a part nothing is there, or only what copying it had come to."""
    for path in _files(folder / part):
        whole = source / path.relative_to(folder)
        # Interrupted, the last file is there by half.
        if not (whole.is_file() and whole.read_bytes().startswith(path.read_bytes())):
            return False
    return True


def _files(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path
    else:
        yield from sorted(file for file in path.rglob("*") if file.is_file())
