"""One order for several learners: each in turn, and what became of them.

Owns the shape of an answer and the dry run. Must not know what is ordered.
"""

from functools import partial
from typing import TYPE_CHECKING, Any

import typer

from l3mail.cli.context import House, print_json
from l3mail.errors import AddressError, CourseError, printable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sqlalchemy import Connection

    from l3mail.addresses import Address
    from l3mail.courses import Overview


class Done:
    """What became of one person: a word, what there is to know of it, and a fuller saying."""

    def __init__(self, word: str, facts: "Mapping[str, Any]", saying: str = "") -> None:
        self.word = word
        self.facts = facts
        self.saying = saying or word


def each(
    house: House,
    command: str,
    course: str,
    emails: "Sequence[str]",
    act: "Callable[[Connection, Overview, Address], Done]",
    *,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Do something for each address; those it does not fit are named at the end, exit 1."""
    problems: list[str] = []
    verb = _in_turn(course, emails, act, problems)
    change = partial(house.change, f"courses {command} {course}")
    done = _undone(house, verb) if dry_run else change(verb)
    if as_json:
        print_json([{"email": email, "status": d.word, **d.facts} for email, d in done])
    else:
        for email, outcome in done:
            typer.echo(f"{printable(email, 300)}  {outcome.saying}")
        if dry_run:
            typer.echo("This was a dry run; nothing is changed.")
    if problems:
        raise CourseError("\n".join(problems))


def foresee(
    house: House,
    course: str,
    emails: "Sequence[str]",
    act: "Callable[[Connection, Overview, Address], Done]",
) -> int:
    """Show what `each` would do, and whom it does not fit; how many it fits."""
    problems: list[str] = []
    done = _undone(house, _in_turn(course, emails, act, problems))
    for email, outcome in done:
        typer.echo(f"{printable(email, 300)}  {outcome.saying}")
    for problem in problems:
        typer.echo(f"not: {problem}")
    return len(done)


_Result = list[tuple[str, Done]]


def _in_turn(
    course: str,
    emails: "Sequence[str]",
    act: "Callable[[Connection, Overview, Address], Done]",
    problems: list[str],
) -> "Callable[[Connection], tuple[_Result, dict[str, int]]]":
    """The verb that does it for each address; whom it does not fit it adds to `problems`."""
    from l3mail import courses
    from l3mail.addresses import parse_address

    def verb(connection: "Connection") -> tuple[_Result, dict[str, int]]:
        problems.clear()  # a write may be run again
        found = courses.overview(connection, course)
        done = []
        for email in dict.fromkeys(emails):
            try:
                done.append((email, act(connection, found, parse_address(email))))
            except AddressError as error:
                problems.append(str(error))
            except CourseError as error:
                problems.append(f"{printable(email, 300)} {error}")
        counts: dict[str, int] = {}
        for _, outcome in done:
            counts[outcome.word] = counts.get(outcome.word, 0) + 1
        return done, counts

    return verb


class _TakenBack(Exception):  # noqa: N818 - no error: it ends a transaction
    """Carries what would have become of it out of a transaction that is not to last."""

    def __init__(self, done: _Result) -> None:
        self.done = done
        super().__init__()


def _undone(house: House, verb: "Callable[[Connection], tuple[_Result, Any]]") -> _Result:
    """What a changing verb does, in a transaction that is rolled back."""

    def rolled_back(connection: "Connection") -> None:
        raise _TakenBack(verb(connection)[0])

    with house.database() as database:
        try:
            database.write(rolled_back)
        except _TakenBack as result:
            return result.done
    return []
