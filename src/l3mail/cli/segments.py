"""Commands on segments: save a question under a name, and see whom it selects."""

import shutil
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from l3mail.cli.context import House, Json, Yes, confirm, counted, print_json, print_table, say
from l3mail.cli.moments import told
from l3mail.errors import SegmentError, printable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection

    from l3mail.audiences import Count, Saved
    from l3mail.segments import Part

PANEL = "People"
Asked = Annotated[
    str, typer.Argument(metavar="NAME|EXPR", help="A saved segment or a question, in quotes.")
]
Sql = Annotated[
    bool, typer.Option("--sql", help="Print the statement for the database; ask nothing.")
]
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

    def verb(
        connection: "Connection",
    ) -> "tuple[tuple[Count, dict[str, int]], dict[str, int]]":
        found = audiences.save(connection, name, expression, terms, house.clock.now())
        misfits = terms.misfits(connection, name)
        return (found, misfits), {"segments": 1, "people": found.count}

    found, misfits = house.change(f"segments save {name}", verb)
    if as_json:
        print_json({"name": name, "expression": expression.strip()} | _counts(found, misfits))
        return
    typer.echo(f"Saved {name}: {_people(found)}")
    typer.echo(_unknown(found, misfits))
    _note(house, misfits)


@group.command("list")
def list_(
    context: typer.Context,
    search: Annotated[str | None, typer.Option(help="Part of a name or a question.")] = None,
    segment: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only those that ask for this one.")
    ] = None,
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
    if segment:
        found = [one for one in found if audiences.names(one.expression, segment)]
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
def show(
    context: typer.Context,
    asked: Asked,
    *,
    explain: Annotated[
        str | None, typer.Option(metavar="EMAIL", help="Tell why this person is in or not.")
    ] = None,
    sql: Sql = False,
    as_json: Json = False,
) -> None:
    """Show a segment, whom it selects now, and what asks for it.

    With --explain each part of its question with the answer for one person, and whether they may be
    mailed at all.

    Example: l3mail segments show west --explain ada@schule.example
    """
    house: House = context.obj
    if explain is not None and sql:
        raise typer.BadParameter("--sql goes without --explain")
    if sql:
        _print_sql(house, asked, "selecting", as_json=as_json)
    elif explain is not None:
        _explain(house, asked, explain, as_json=as_json)
    else:
        _show(house, asked, as_json=as_json)


def _show(house: House, asked: str, *, as_json: bool) -> None:
    from l3mail import audiences
    from l3mail.wiring import asking_terms

    terms = asking_terms(house.settings)
    misfits: dict[str, int] = {}

    def verb(connection: "Connection") -> "tuple[Saved | None, dict[str, Any]]":
        saved = audiences.find(connection, asked) if audiences.is_name(asked) else None
        facts: dict[str, Any] = {"count": None, "unknown": None}
        try:
            question = terms.question(connection, asked, house.clock.now())
            misfits.update(terms.misfits(connection, asked))
            facts = _counts(audiences.count(connection, question), misfits)
        except SegmentError as error:  # what it names may be gone since it was saved
            if saved is None:
                raise
            facts["problem"] = str(error)
        return saved, facts | {"used_by": audiences.users(connection, asked) if saved else []}

    with house.database() as database:
        saved, facts = database.read(verb)
    if as_json:
        print_json((_view(house, saved) if saved else {"expression": asked.strip()}) | facts)
        return
    lines = {
        "name": saved.name if saved else None,
        "question": saved.expression if saved else asked.strip(),
        "problem": facts.get("problem"),
        "saved": told(saved.saved_at, house.settings.zone) if saved else None,
        "people": facts["count"],
        "unknown": facts["unknown"],
        "used by": ", ".join(facts["used_by"]),
    }
    for label, value in lines.items():
        if value not in {None, ""}:
            say(f"{label:>10}  {printable(str(value), 2_000)}", 12)
    _note(house, misfits)


def _explain(house: House, asked: str, email: str, *, as_json: bool) -> None:
    from l3mail import audiences, subscribers
    from l3mail.addresses import parse_address
    from l3mail.cli import explanations, verdicts
    from l3mail.cli.explain import asked_by, standing
    from l3mail.errors import SubscriberError
    from l3mail.wiring import asking_terms

    settings, now = house.settings, house.clock.now()
    terms, asker, address = asking_terms(settings), asked_by(house), parse_address(email)

    def verb(connection: "Connection") -> "tuple[Part | None, dict[str, Any] | None]":
        expression = audiences.read(asked, terms.vocabulary(connection))
        found = explanations.facts(connection, asker, address, 1)
        if found is None:
            return None, None
        explaining = terms.explaining(expression, now)
        person = subscribers.find(connection, asker.rules, address)
        if person is None:
            return None, None
        return audiences.explain(connection, explaining, person), found

    with house.database() as database:
        part, found = database.read(verb)
    if part is None or found is None:
        raise SubscriberError(f"{printable(email, 300)} is not known here")
    name = asked.strip() if audiences.is_name(asked) else "the question"
    mode = settings.tracking.mode
    mailable = found["status"] == "active" and not found["restricted_at"]
    if as_json:
        facts = {name: found[name] for name in ("suppressed", "restricted_at", "subscriptions")}
        told_part = verdicts.as_json(part, mode)
        print_json(
            {"email": found["email"], "segment": asked.strip(), "answer": told_part["answer"]}
            | {"mailable": mailable}
            | explanations.localised(facts, settings.zone)
            | {"question": told_part}
        )
        return
    typer.echo(verdicts.sentence(part, name, printable(found["email"], 300)))
    typer.echo()
    for line in verdicts.lines(part, mode, shutil.get_terminal_size().columns):
        typer.echo(line)
    typer.echo()
    typer.echo("May be mailed:" if mailable else "May not be mailed, whatever selects them:")
    for line in list(standing(found, settings.zone)) or ["  joined no stream"]:
        typer.echo(printable(line, 1_000))


class Counted(NamedTuple):
    """What is told of a question when its people are counted."""

    found: "Count"
    values: "list[tuple[Any, int]]"
    reachable: dict[str, int]
    """How many each stream may mail, by its key."""
    misfits: dict[str, int]
    """By attribute asked for, how many people have a value of another kind."""
    missing: "list[str]"
    """Attributes asked for of which nobody has a value; looked for where nobody is found."""


@group.command("count")
def count(
    context: typer.Context,
    asked: Asked,
    *,
    by: Annotated[
        str, typer.Option(metavar="ATTRIBUTE", help="Of which attribute; `stream` too.")
    ] = "district",
    sql: Sql = False,
    as_json: Json = False,
) -> None:
    """Count whom a segment selects, and of whom it can't be told for want of consent.

    With a bar for each district, or another attribute, and how many of them each stream may mail.

    Example: l3mail segments count 'birthday in this_week' --by locale
    """
    from l3mail import audiences
    from l3mail.wiring import asking_terms

    house: House = context.obj
    if sql:
        _print_sql(house, asked, "counting", as_json=as_json)
        return
    terms, now = asking_terms(house.settings), house.clock.now()

    def verb(connection: "Connection") -> Counted:
        vocabulary = terms.vocabulary(connection)
        expression = audiences.read(asked, vocabulary)
        question = terms.compiled(expression, now)
        if by == "stream":
            values = audiences.count_by_stream(connection, question)
        else:
            grouping = terms.grouping(by, vocabulary, now)
            values = audiences.count_by(connection, question, grouping)
        found = audiences.count(connection, question)
        # Asked only where nobody is found: it looks at everybody once more.
        of_nobody = terms.asked(expression, now) if not found.count else []
        return Counted(
            found,
            values,
            audiences.reachable(connection, question, now),
            terms.misfits(connection, asked),
            audiences.known_of_nobody(connection, of_nobody),
        )

    with house.database() as database:
        found, values, reachable, misfits, missing = database.read(verb)
    if as_json:
        listed = [{"value": value, "count": n} for value, n in values]
        more = {"mailable": reachable, "by": {"attribute": by, "values": listed}}
        print_json(_counts(found, misfits) | more)
        return
    typer.echo(_people(found))
    typer.echo(_unknown(found, misfits))
    _note(house, misfits)
    for name in missing:
        where = "an import or the sign-up form fills it in"
        say(f"Nobody has a value in {printable(name, 60)}: {where}.", 4)
    if found.count:
        _print_values(found, by, values, reachable)


def _print_values(
    found: "Count", by: str, values: "Sequence[tuple[Any, int]]", reachable: "Mapping[str, int]"
) -> None:
    """What the people selected have, and by which streams they may be mailed."""
    from l3mail.cli.charts import print_bars, top

    mailed = ", ".join(f"{stream} {n:,}" for stream, n in reachable.items()) or "nobody"
    say(f"may be mailed: {mailed}", 15)
    named = [(None if value is None else str(value), n) for value, n in values]
    word = by.removeprefix("attrs.")
    bars = top(named, without=f"no {word}", others="others")
    if bars:
        typer.echo()
        print_bars(printable(word, 30).upper(), bars, found.count)


def _print_sql(house: House, asked: str, what: str, *, as_json: bool) -> None:
    """The statement, as this workspace's database would be asked it now."""
    from l3mail import audiences
    from l3mail.cli.statements import as_text
    from l3mail.wiring import asking_terms

    terms, now = asking_terms(house.settings), house.clock.now()
    with house.database() as database:
        question = database.read(lambda connection: terms.question(connection, asked, now))
        backend = "sqlite" if database.is_sqlite else "postgresql"
    statements = {"counting": audiences.counting, "selecting": audiences.selecting}
    statement = as_text(statements[what](question), backend)
    if as_json:
        print_json({"database": backend, "sql": statement})
        return
    typer.echo(statement)


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


def _counts(found: "Count", misfits: "Mapping[str, int]") -> dict[str, Any]:
    counts: dict[str, Any] = {"count": found.count, "unknown": found.unknown}
    return counts | ({"misfits": dict(misfits)} if misfits else {})


def _people(found: "Count") -> str:
    return "1 person" if found.count == 1 else f"{found.count} people"


def _note(house: House, misfits: "Mapping[str, int]") -> None:
    """Say of whom a question can't be told, or is told wrong, and how that is put right."""
    from l3mail.cli.converting import misfits_in_words

    if misfits:
        types = {name: one.type for name, one in house.settings.attributes.items()}
        typer.echo(f"note: {misfits_in_words(misfits, types)}", err=True)


def _unknown(found: "Count", misfits: "Mapping[str, int]") -> str:
    if not found.unknown:
        return "unknown: 0"
    why = "without consent to be asked about"
    why += " or with a value of another kind" if misfits else ""
    return f"unknown: {counted(found.unknown, 'person', 'people')} {why}"


def _number(count: int | None) -> str:
    return "" if count is None else str(count)
