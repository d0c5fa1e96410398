"""How operators name a text or a course: by slug, by its last part, or by the path of its file."""

import os
from pathlib import Path
from typing import Annotated

import typer

from l3mail import slugs
from l3mail.errors import ContentError, quoted

_KINDS = {
    "newsletter": ("issue", "newsletters/"),
    "lifecycle": ("triggered mailing", "newsletters/lifecycle/"),
    "": ("text", "lessons/ and newsletters/"),
}


def slug_of(typed: str, kind: str = "") -> str:
    """The slug somebody means; the first part is `kind`'s where only the last was typed.

    A path counts from the current folder, and a language's file means its text. A file's name
    alone is enough where the kind is known. Raises ContentError for a file of another kind.
    """
    if not typed.endswith(".md") and not typed.startswith((".", "/")):
        return f"{kind}/{typed}" if kind and "/" not in typed else typed
    found = slugs.of_file(os.path.abspath(typed))  # noqa: PTH100 - it follows no link
    if found is None and kind and Path(typed).parent == Path():
        return f"{kind}/{slugs.name_of(Path(typed).name)}"
    if found is None or not found.startswith(f"{kind}/" if kind else ""):
        what, where = _KINDS[kind]
        raise ContentError(f"{quoted(typed)} is no {what}; those are in {where}")
    return found


def course_of(typed: str | None) -> str | None:
    """The course somebody means by its slug, its folder, or a file in there; None stays None.

    A path counts from the current folder. What is neither is left as typed, for whoever looks for
    the course to say that there is none.
    """
    if typed is None or not (typed.startswith(".") or "/" in typed):
        return typed
    return slugs.of_course(os.path.abspath(typed)) or typed  # noqa: PTH100 - it follows no link


Course = Annotated[
    str,
    typer.Argument(metavar="COURSE", help="A course's slug or its folder.", callback=course_of),
]
