"""The names of texts: which slug a file has, by its folder.

Pure text, so that each command and the reading of files answer alike. Which files there are is not
known here.
"""

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Final

FOLDERS: Final[Mapping[str, str]] = {
    "newsletters": "newsletter",
    "newsletters/lifecycle": "lifecycle",
    "templates/notices": "notice",
}
"""What stands before the slash in the slugs of a folder's texts; in a course it is the course."""

_LESSONS = "lessons"


def of_file(path: str) -> str | None:
    """The slug of a file that lies where texts do, however long the way to it; None elsewhere.

    A language's file is the same text: `lessons/kurs/01-start.de-simple.md` is `kurs/01-start`. A
    course's other files belong to the course: its `course.yaml` is `kurs/course`.
    """
    *folders, file = PurePosixPath(path).parts or ("",)
    prefix = FOLDERS.get("/".join(folders[-2:])) or FOLDERS.get("/".join(folders[-1:]))
    if folders[-2:-1] == [_LESSONS]:
        prefix = folders[-1]
    return None if prefix is None else f"{prefix}/{name_of(file)}"


def of_course(path: str) -> str | None:
    """The course whose folder this is, or in whose folder this file lies; None elsewhere."""
    parts = PurePosixPath(path).parts
    for folder, name in zip(parts[-3:-1], parts[-2:], strict=False):
        if folder == _LESSONS:
            return name
    return None


def name_of(file: str) -> str:
    """A file's own part of its slug: `tag.de-simple.md` is `tag`."""
    return file.partition(".")[0]
