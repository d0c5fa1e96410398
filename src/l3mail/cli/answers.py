"""Commands on answers: what learners wrote, in a list and as a file."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from l3mail.cli import directory
from l3mail.cli.context import House, Json, counted, print_json, print_table
from l3mail.cli.exporting import (
    AsCsv,
    AsJson,
    MayPrint,
    instead,
    target_of,
    write_lines,
    write_list,
)
from l3mail.cli.naming import course_of, slug_of

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from l3mail.reports.answers import Wanted

PANEL = "Content"
Search = Annotated[str | None, typer.Option(help="Parts of an address, a name or a comment.")]
OfCourse = Annotated[
    str | None,
    typer.Option("--course", metavar="COURSE", help="Only a course.", callback=course_of),
]
OfLesson = Annotated[
    str | None,
    typer.Option("--lesson", metavar="TEXT", help="Only a text: its slug, last part or file."),
]
OfQuestion = Annotated[
    str | None, typer.Option("--question", metavar="NAME", help="Only a question, such as q1.")
]

group = typer.Typer(
    name="answers", help="See what learners answered to questions.", no_args_is_help=True
)


def register(app: typer.Typer) -> None:
    """Hang the group into the panel "Content"."""
    app.add_typer(group, rich_help_panel=PANEL)


@group.command("list")
def list_(
    context: typer.Context,
    *,
    search: Search = None,
    course: OfCourse = None,
    lesson: OfLesson = None,
    question: OfQuestion = None,
    segment: directory.Segment = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, the newest.")] = 100,
    as_json: Json = False,
) -> None:
    """List answers that count, the newest last: each person's latest to each question.

    Example: l3mail answers list --lesson kurs/02-video --question q1
    """
    from l3mail.reports import answers

    house: House = context.obj
    asked = Asked(search, course, lesson, question, segment)
    with house.database() as database:
        wanted = database.read(lambda c: _wanted(c, house, asked))
        rows = database.read(lambda c: answers.listing(c, wanted, limit + 1))
        total = database.read(lambda c: answers.count(c, wanted)) if len(rows) > limit else 0
    rows = rows[-limit:]
    if as_json:
        print_json([directory.localised(house, row) for row in rows])
        return
    print_table(
        ("DAY", "ADDRESS", "LESSON", "QUESTION", "ANSWER"),
        [
            (
                directory.day(house, row["answered_at"]),
                directory.display(row["email"]),
                row["lesson"],
                row["question"],
                _said(row),
            )
            for row in rows
        ],
        empty="No answers.",
        solid=("DAY",),
    )
    if total:
        typer.echo(f"The newest {limit} of {total:,}; --limit shows more.")


@group.command("export", cls=MayPrint)
def export(
    context: typer.Context,
    *,
    csv: AsCsv = None,
    json: AsJson = None,
    search: Search = None,
    course: OfCourse = None,
    lesson: OfLesson = None,
    question: OfQuestion = None,
    segment: directory.Segment = None,
) -> None:
    """Write answers that count to a file, or print them.

    Example: l3mail answers export --csv answers.csv
    """
    from l3mail.reports import answers

    house: House = context.obj
    target = target_of(csv, json)
    asked = Asked(search, course, lesson, question, segment)
    beside = instead(target)

    def verb(connection: "Connection") -> int:
        wanted = _wanted(connection, house, asked)
        rows = (directory.localised(house, row) for row in answers.everything(connection, wanted))
        if csv is None:
            return write_list(target, rows)
        return write_lines(target, answers.COLUMNS, _cells(rows, answers.COLUMNS))

    with house.database() as database:
        count = database.read(verb)
    if str(target) != "-":
        typer.echo(f"{counted(count, 'answer', 'answers')} written to {target}{beside}.")


class Asked(NamedTuple):
    """Which answers somebody typed that they want."""

    search: str | None
    course: str | None
    lesson: str | None
    question: str | None
    segment: str | None


def _wanted(connection: "Connection", house: House, asked: Asked) -> "Wanted":
    """What was asked for; raises CourseError for a course there is none of."""
    from l3mail import courses
    from l3mail.reports.answers import Wanted

    course = asked.course
    if course:
        courses.overview(connection, course)
    slug = asked.lesson and slug_of(asked.lesson)
    if course and slug and "/" not in slug:
        slug = f"{course}/{slug}"
    people = directory.question(connection, house, asked.segment)
    return Wanted(asked.search, course, slug, asked.question, people)


def _cells(rows: Iterator[Any], columns: Sequence[str]) -> Iterator[Sequence[str]]:
    for row in rows:
        yield [str(row[name]) for name in columns]


def _said(row: dict[str, Any]) -> str:
    words = row["words"] or row["value"]
    value = f"{row['value']}: " if row["words"] and not words.startswith(row["value"]) else ""
    comment = f" | {row['comment']}" if row["comment"] else ""
    return f"{value}{words}{comment}"
