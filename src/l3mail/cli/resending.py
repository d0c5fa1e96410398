"""The command that sends a lesson once more to learners who lost it."""

from typing import TYPE_CHECKING, Annotated

import typer

from l3mail.cli import directory
from l3mail.cli.context import DryRun, House, Json, Yes, confirm, counted
from l3mail.cli.journeys import Done, each, foresee
from l3mail.cli.naming import Course, slug_of
from l3mail.errors import CourseError

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from l3mail.addresses import Address
    from l3mail.courses import Overview


def resend(
    context: typer.Context,
    course: Course,
    lesson: Annotated[str, typer.Argument(metavar="LESSON", help="kurs/02-video, 02-video, file.")],
    emails: Annotated[list[str], typer.Argument(metavar="EMAIL", help="One address or more.")],
    *,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Send a lesson once more to people who have had it; shows who and who not, and asks.

    With its text as it is published now. It is no step of their course, which goes on as it would.

    Example: l3mail courses resend kurs 02-video ada@schule.example
    """
    from l3mail import courses, subscribers

    house: House = context.obj
    named = slug_of(lesson)
    slug = named if "/" in named else f"{course}/{named}"

    def act(connection: "Connection", found: "Overview", address: "Address") -> Done:
        person = subscribers.find(connection, directory.rules(house), address)
        if person is None:
            raise CourseError("is not known here")
        number = courses.resend(connection, found.slug, slug, person, house.clock.now())
        return Done("queued", {"message": slug, "number": number}, f"{slug}, once more ({number})")

    if not (yes or dry_run or as_json):
        n = foresee(house, course, emails, act)
        if n:
            confirm(f"send {slug} again to {counted(n, 'learner')}?", yes=False)
    elif as_json and not (yes or dry_run):
        confirm(f"send {slug} again to {counted(len(set(emails)), 'learner')}?", yes=False)
    each(house, f"resend {slug}", course, emails, act, dry_run=dry_run, as_json=as_json)
