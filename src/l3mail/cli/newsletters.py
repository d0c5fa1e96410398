"""Commands on newsletters: schedule an issue, see how it stands, pause, resume or cancel it."""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from l3mail.cli.audience import Sample, lines, view
from l3mail.cli.audience import show as show_facts
from l3mail.cli.context import (
    DryRun,
    House,
    Json,
    Yes,
    confirm,
    counted,
    print_json,
    print_table,
    require_states,
    say,
)
from l3mail.cli.naming import slug_of
from l3mail.cli.releasing import reject, release
from l3mail.cli.scheduling import Name, iso, local, schedule, sending_of
from l3mail.errors import NewsletterError, quoted

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from l3mail.newsletters import Audience, Campaign, Issue

PANEL = "Sending"
STATES = (
    "published",
    "awaiting release",
    "scheduled",
    "planning",
    "sending",
    "paused",
    "finished",
    "cancelled",
)
_OF_CAMPAIGN = (
    "campaign",
    "scheduled_by",
    "released_by",
    "paused_reason",
    "cancelled_reason",
)
group = typer.Typer(
    name="newsletters", help="Schedule issues, and see how they stand.", no_args_is_help=True
)


group.command("schedule")(schedule)
group.command("release")(release)
group.command("reject")(reject)


def register(app: typer.Typer) -> None:
    """Hang the group into the panel "Sending"."""
    app.add_typer(group, rich_help_panel=PANEL)


@group.command("list")
def list_(
    context: typer.Context,
    *,
    search: Annotated[str | None, typer.Option(help="Part of a slug.")] = None,
    segment: Annotated[str | None, typer.Option(help="Only those sent to this segment.")] = None,
    status: Annotated[
        list[str] | None,
        typer.Option(metavar="STATUS", help="Only these states; may be given more than once."),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, the newest.")] = 100,
    as_json: Json = False,
) -> None:
    """List issues that are published or scheduled, the newest last.

    Example: l3mail newsletters list --status scheduled
    """
    house: House = context.obj
    require_states(status, STATES)
    rows = [
        row
        for row in _rows(house)
        if (not search or search.casefold() in row["slug"].casefold())
        and (not segment or row["segment"] == segment)
        and (not status or row["status"] in status)
    ]
    shown = rows[-limit:]
    if as_json:
        print_json(shown)
        return
    columns = ("slug", "status", "due_at", "stream", "segment", "planned", "accepted")
    print_table(
        ("ISSUE", "STATUS", "DUE", "STREAM", "SEGMENT", "PLANNED", "ACCEPTED"),
        [
            [_short(row[name]) if name == "due_at" else row[name] for name in columns]
            for row in shown
        ],
        empty="No issues; write newsletters/2026-12.md and publish it.",
        solid=("STATUS", "DUE"),
    )
    if len(rows) > limit:
        typer.echo(f"The newest {limit}; --limit shows more.")


def _rows(house: House) -> list[dict[str, Any]]:
    """One for each issue, with its newest campaign if it has one."""
    from l3mail import newsletters

    def verb(
        connection: "Connection",
    ) -> "tuple[list[tuple[str, str, datetime]], list[Campaign]]":
        return newsletters.published(connection), newsletters.campaigns(connection)

    with house.database() as database:
        published, campaigns = database.read(verb)
    rows = {slug: (at, _row(slug, stream, "published")) for slug, stream, at in published}
    for campaign in reversed(campaigns):
        rows[campaign.slug] = (campaign.scheduled_at, _campaign_row(house, campaign))
    return [row for _, row in sorted(rows.values(), key=lambda pair: (pair[0], pair[1]["slug"]))]


def _row(slug: str, stream: str, status: str) -> dict[str, Any]:
    return {
        "slug": slug,
        "status": status,
        "due_at": None,
        "stream": stream,
        "segment": None,
        "campaign": None,
        "planned": 0,
        "accepted": 0,
        "deliveries": {},
    }


def _campaign_row(house: House, campaign: "Campaign") -> dict[str, Any]:
    return _row(campaign.slug, campaign.stream, campaign.status(house.clock.now())) | {
        "due_at": iso(house, campaign.scheduled_at),
        "segment": campaign.segment,
        "campaign": campaign.id,
        "planned": sum(campaign.states.values()),
        "accepted": campaign.states.get("accepted", 0),
        "deliveries": dict(campaign.states),
    }


@group.command("show")
def show(context: typer.Context, issue: Name, sample: Sample = 0, as_json: Json = False) -> None:
    """Show how an issue stands, and whom it reaches or reached.

    Example: l3mail newsletters show 2026-12
    """
    from l3mail import newsletters
    from l3mail.errors import L3mailError
    from l3mail.wiring import asking_terms

    house: House = context.obj
    slug = slug_of(issue, "newsletter")

    def verb(
        connection: "Connection",
    ) -> "tuple[Issue | None, list[Campaign], Audience | None, list[str], str | None]":
        campaigns = newsletters.campaigns(connection, slug)
        found, audience, problem = None, None, None
        some: list[str] = []
        try:
            found = newsletters.issue(connection, slug)
            segment = campaigns[0].segment if campaigns else found.segment
            now = house.clock.now()
            terms = asking_terms(house.settings)
            question = terms.question(connection, segment, now) if segment else None
            audience = newsletters.audience(
                connection,
                found.stream_id,
                question,
                now,
                but=campaigns[0].id if campaigns else None,
                segment=segment,
                sending=sending_of(
                    house,
                    [locale for locale, _, _ in found.versions],
                    max(now, campaigns[0].scheduled_at) if campaigns else now,
                ),
            )
            if sample:
                some = newsletters.sample(connection, found.stream_id, question, now, sample)
        except L3mailError as fault:
            if not campaigns:
                raise
            problem = str(fault)
        return found, campaigns, audience, some, problem

    with house.database() as database:
        found, campaigns, audience, some, problem = database.read(verb)
    _print_show(house, slug, found, campaigns, audience, some, problem, as_json=as_json)


def _print_show(  # noqa: PLR0917 - what was found, in the order it is shown
    house: House,
    slug: str,
    found: "Issue | None",
    campaigns: "Sequence[Campaign]",
    audience: "Audience | None",
    some: "Sequence[str]",
    problem: str | None,
    *,
    as_json: bool,
) -> None:
    row = _row(slug, found.stream if found else "", "published")
    if campaigns:
        row = _campaign_row(house, campaigns[0])
        row |= {
            "scheduled_by": campaigns[0].scheduled_by,
            "paused_reason": campaigns[0].paused_reason,
            "cancelled_reason": campaigns[0].cancelled_reason,
            "released_by": campaigns[0].released_by,
            "release_until": campaigns[0].lapses_at and iso(house, campaigns[0].lapses_at),
            "earlier": [_campaign_row(house, earlier) for earlier in campaigns[1:]],
        }
    if found:
        row["published_at"] = iso(house, found.published_at)
        row["subjects"] = {locale: subject for locale, _, subject in found.versions}
    row["problem"] = problem
    row["audience"] = view(house, audience, some) if audience else None
    if as_json:
        print_json(row)
        return
    facts = {name: row.get(name) for name in ("slug", "status", "due_at", "stream", "segment")}
    if campaigns:
        facts["due_at"] = local(house, campaigns[0].scheduled_at)
    facts |= {name: row.get(name) for name in _OF_CAMPAIGN}
    if campaigns and campaigns[0].is_unreleased and campaigns[0].lapses_at:
        facts["waits for"] = f"somebody else's yes until {local(house, campaigns[0].lapses_at)}"
    facts |= {f"subject ({locale})": s for locale, s in row.get("subjects", {}).items()}
    facts["published"] = local(house, found.published_at) if found else None
    facts |= {state: count for state, count in row["deliveries"].items() if count}
    facts["problem"] = problem
    show_facts((name, str(value)) for name, value in facts.items() if value not in {None, ""})
    if audience and not (campaigns and campaigns[0].planned_at):
        would = lines(house, audience, row["segment"], some)
        show_facts(("would reach" if name == "reaches" else name, text) for name, text in would)


# -- pause, resume, cancel


@group.command("pause")
def pause(context: typer.Context, issue: Name) -> None:
    """Keep back what is not begun yet, before the next mail.

    Example: l3mail newsletters pause 2026-12
    """
    from l3mail import newsletters

    house: House = context.obj
    slug = slug_of(issue, "newsletter")

    def verb(connection: "Connection") -> "tuple[tuple[bool, Campaign], dict[str, int]]":
        campaign = _campaign(connection, slug)
        now = house.clock.now()
        new = newsletters.pause(connection, campaign.id, now, f"paused by {house.who}")
        return (new, campaign), {"campaigns": int(new), "deliveries": campaign.waiting}

    new, campaign = house.change(f"newsletters pause {slug}", verb)
    words = "Paused" if new else "Paused already"
    say(f"{words}: {slug}; {_waiting(campaign)}. `l3mail newsletters resume` lets it go on.")


@group.command("resume")
def resume(context: typer.Context, issue: Name, dry_run: DryRun = False, yes: Yes = False) -> None:
    """Let a paused issue go on; shows how many mails wait, and asks.

    Example: l3mail newsletters resume 2026-12
    """
    from l3mail import newsletters

    house: House = context.obj
    slug = slug_of(issue, "newsletter")
    campaign = _looked_up(house, slug)
    if not campaign.paused_at:
        typer.echo(f"{slug} is not paused.")
        return
    typer.echo(f"{slug}: {campaign.paused_reason or 'paused'}; {_waiting(campaign)}.")
    if dry_run:
        typer.echo("Dry run, nothing is changed.")
        return
    confirm(f"let {slug} go on?", yes=yes)

    def verb(connection: "Connection") -> tuple[bool, dict[str, int]]:
        changed = newsletters.resume(connection, _campaign(connection, slug).id)
        return changed, {"campaigns": int(changed), "deliveries": campaign.waiting}

    house.change(f"newsletters resume {slug}", verb)
    typer.echo(f"Resumed: {slug}.")


@group.command("cancel")
def cancel(context: typer.Context, issue: Name, dry_run: DryRun = False, yes: Yes = False) -> None:
    """End an issue's sending for good; what is handed over can't be called back.

    Example: l3mail newsletters cancel 2026-12
    """
    from l3mail import newsletters

    house: House = context.obj
    slug = slug_of(issue, "newsletter")
    campaign = _looked_up(house, slug)
    gone = sum(campaign.states.values()) - campaign.waiting
    typer.echo(f"{slug}: {_waiting(campaign)}, {gone} begun or ended.")
    if dry_run:
        typer.echo("Dry run, nothing is changed.")
        return
    confirm(f"cancel {slug}?", yes=yes)

    def verb(connection: "Connection") -> tuple[int, dict[str, int]]:
        found = _campaign(connection, slug)
        now = house.clock.now()
        newsletters.cancel(connection, found.id, now)
        ended = newsletters.withdraw(connection, now)
        return ended, {"campaigns": 1, "deliveries": found.waiting}

    ended = total = house.change(f"newsletters cancel {slug}", verb)
    with house.database() as database:
        while ended >= newsletters.BATCH:
            ended = database.write(lambda c: newsletters.withdraw(c, house.clock.now()))
            total += ended
    typer.echo(f"Cancelled: {slug}; {counted(total, 'delivery')} withdrawn.")


def _waiting(campaign: "Campaign") -> str:
    return counted(campaign.waiting, "delivery waits", "deliveries wait")


def _looked_up(house: House, slug: str) -> "Campaign":
    with house.database() as database:
        return database.read(lambda connection: _campaign(connection, slug))


def _campaign(connection: "Connection", slug: str) -> "Campaign":
    """The issue's campaign that is not cancelled; raises NewsletterError."""
    from l3mail import newsletters

    found = newsletters.find(connection, slug)
    if found is None:
        raise NewsletterError(
            f"{quoted(slug)} is not scheduled; `l3mail newsletters list` shows what is"
        )
    if found.cancelled_at:
        raise NewsletterError(f"{slug} was cancelled; schedule it again if it is to go out")
    return found


def _short(instant: str | None) -> str:
    return (instant or "")[:16].replace("T", " ")
