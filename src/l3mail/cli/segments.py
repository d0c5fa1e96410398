"""Commands on segments: save a question under a name, and see whom it selects."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from l3mail.cli.context import House, Json, Yes, confirm, counted, print_json, print_table
from l3mail.cli.moments import told
from l3mail.errors import SegmentError, printable

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from l3mail.audiences import Count, Saved

PANEL = "People"
Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of a saved segment.")]

group = typer.Typer(
    name="segments", help="Ask who is meant: save, count and see segments.", no_args_is_help=True
)


def register(app: typer.Typer) -> None:
    """Hang the group into the panel "People"."""
    app.add_typer(group, rich_help_panel=PANEL)


@group.command("save")
def save(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of a-z, 0-9 and hyphens.")],
    expression: Annotated[str, typer.Argument(metavar="EXPR", help="The question, in quotes.")],
    as_json: Json = False,
) -> None:
    """Save a question under a name; a name there is gets the new question.

    Example: l3mail segments save west 'district in ["Gorbitz"] and age >= 60'
    """
    from l3mail import audiences
    from l3mail.wiring import asking_terms

    house: House = context.obj
    terms = asking_terms(house.settings)

    def verb(connection: "Connection") -> "tuple[Count, dict[str, int]]":
        found = audiences.save(connection, name, expression, terms, house.clock.now())
        return found, {"segments": 1, "people": found.count}

    found = house.change(f"segments save {name}", verb)
    if as_json:
        print_json({"name": name, "expression": expression.strip()} | _counts(found))
        return
    typer.echo(f"Saved {name}: {_people(found)}")
    typer.echo(_unknown(found))


@group.command("list")
def list_(
    context: typer.Context,
    search: Annotated[str | None, typer.Option(help="Part of a name or a question.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 100,
    as_json: Json = False,
) -> None:
    """List saved segments, by name.

    Example: l3mail segments list --search Gorbitz
    """
    from l3mail import audiences

    house: House = context.obj
    with house.database() as database:
        found = database.read(lambda connection: audiences.listing(connection, search))
    shown = found[:limit]
    if as_json:
        print_json([_view(house, one) for one in shown])
        return
    print_table(
        ("NAME", "PEOPLE", "QUESTION"),
        [(one.name, _number(one.last_count), one.expression) for one in shown],
        empty="No segments.",
        solid=("NAME",),
    )
    if len(found) > limit:
        typer.echo(f"The first {limit} of {len(found)}; --limit shows more.")


@group.command("show")
def show(context: typer.Context, name: Name, as_json: Json = False) -> None:
    """Show a saved segment, whom it selects now, and what asks for it.

    Example: l3mail segments show west
    """
    from l3mail import audiences
    from l3mail.wiring import asking_terms

    house: House = context.obj
    terms = asking_terms(house.settings)

    def verb(connection: "Connection") -> "tuple[Saved, dict[str, Any]]":
        saved = audiences.find(connection, name)
        facts: dict[str, Any] = {"count": None, "unknown": None}
        try:
            question = terms.question(connection, name, house.clock.now())
            facts = _counts(audiences.count(connection, question))
        except SegmentError as error:  # what it names may be gone since it was saved
            facts["problem"] = str(error)
        return saved, facts | {"used_by": audiences.users(connection, name)}

    with house.database() as database:
        saved, facts = database.read(verb)
    if as_json:
        print_json(_view(house, saved) | facts)
        return
    lines = {
        "name": saved.name,
        "question": saved.expression,
        "problem": facts.get("problem"),
        "saved": told(saved.saved_at, house.settings.zone),
        "people": facts["count"],
        "unknown": facts["unknown"],
        "used by": ", ".join(facts["used_by"]),
    }
    for label, value in lines.items():
        if value not in {None, ""}:
            typer.echo(f"{label:>10}  {printable(str(value), 2_000)}")


@group.command("count")
def count(
    context: typer.Context,
    asked: Annotated[
        str, typer.Argument(metavar="NAME|EXPR", help="A saved segment or a question, in quotes.")
    ],
    as_json: Json = False,
) -> None:
    """Count whom a segment selects, and of whom it can't be told for want of consent.

    Example: l3mail segments count 'not opened("newsletter/2026-12")'
    """
    from l3mail import audiences
    from l3mail.wiring import asking_terms

    house: House = context.obj
    terms = asking_terms(house.settings)

    def verb(connection: "Connection") -> "Count":
        question = terms.question(connection, asked, house.clock.now())
        return audiences.count(connection, question)

    with house.database() as database:
        found = database.read(verb)
    if as_json:
        print_json(_counts(found))
        return
    typer.echo(_people(found))
    typer.echo(_unknown(found))


@group.command("delete")
def delete(context: typer.Context, name: Name, yes: Yes = False) -> None:
    """Delete a saved segment; refused while a segment, campaign or trigger asks for it.

    Example: l3mail segments delete west
    """
    from l3mail import audiences

    house: House = context.obj
    with house.database() as database:
        saved = database.read(lambda connection: audiences.removable(connection, name))
    people = (
        ""
        if saved.last_count is None
        else f" ({counted(saved.last_count, 'person', 'people')} when it was saved)"
    )
    typer.echo(f"{name}: {printable(saved.expression, 200)}{people}")
    confirm(f"Delete segment {name}?", yes=yes)

    def verb(connection: "Connection") -> tuple[None, dict[str, int]]:
        audiences.remove(connection, name)
        return None, {"segments": 1}

    house.change(f"segments delete {name}", verb)
    typer.echo(f"Deleted {name}.")


def _view(house: House, saved: "Saved") -> dict[str, Any]:
    return {
        "name": saved.name,
        "expression": saved.expression,
        "saved_at": saved.saved_at.astimezone(house.settings.zone),
        "last_count": saved.last_count,
    }


def _counts(found: "Count") -> dict[str, int]:
    return {"count": found.count, "unknown": found.unknown}


def _people(found: "Count") -> str:
    return "1 person" if found.count == 1 else f"{found.count} people"


def _unknown(found: "Count") -> str:
    if not found.unknown:
        return "unknown: 0"
    return (
        f"unknown: {counted(found.unknown, 'person', 'people')} without consent to be asked about"
    )


def _number(count: int | None) -> str:
    return "" if count is None else str(count)
