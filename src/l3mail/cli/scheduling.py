"""The command that schedules an issue: when, to whom, and what is shown before it is asked."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Annotated, Any

import typer

from l3mail.cli.context import DryRun, House, Json, Yes, confirm, print_json
from l3mail.cli.moments import read_moment, told
from l3mail.errors import NewsletterError, printable, quoted

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from l3mail.newsletters import Audience, Issue

    Publish = Callable[[Connection], object]

Name = Annotated[
    str, typer.Argument(metavar="ISSUE", help="newsletter/2026-12, 2026-12 or its file.")
]


@dataclass(frozen=True)
class _Plan:
    """An issue as it would go out, or is scheduled now."""

    issue: "Issue"
    at: datetime
    segment: str | None
    audience: "Audience"
    campaign: int | None = None


class _RehearsedError(Exception):
    """Rolls a rehearsal's transaction back and carries what it came to."""

    def __init__(self, plan: _Plan) -> None:
        super().__init__()
        self.plan = plan


def schedule(
    context: typer.Context,
    issue: Name,
    *,
    at: Annotated[str, typer.Option(metavar="WHEN", help='Local time, "1.12.2026 10:00", or now.')],
    segment: Annotated[
        str | None,
        typer.Option(help="Only to this segment, a name or a question; default: the issue's."),
    ] = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Publish an issue and schedule it; shows whom it reaches, and asks.

    What is published later under the same name does not reach this campaign.

    Example: l3mail newsletters schedule 2026-12 --at "2026-12-01 10:00"
    """
    house: House = context.obj
    slug = slug_of(issue)
    moment, remark = moment_of(house, at)
    if remark:
        typer.echo(remark, err=as_json)
    store, publish = _publishing(house, slug)

    def verb(connection: "Connection") -> tuple[_Plan, dict[str, int]]:
        publish(connection)
        plan = _scheduled(house, connection, slug, moment, segment)
        return plan, {"campaigns": 1, "people": plan.audience.yes}

    def rehearsal(connection: "Connection") -> None:
        raise _RehearsedError(verb(connection)[0])

    plan = None
    with house.database() as database:
        try:
            database.write(rehearsal)
        except _RehearsedError as rehearsed:
            plan = replace(rehearsed.plan, campaign=None)
    assert plan is not None
    if not as_json:
        _show_plan(house, plan)
    if not dry_run:
        confirm(f"send {slug} to {people(plan.audience.yes)}?", yes=yes)
        store()
        plan = house.change(f"newsletters schedule {slug}", verb)
    if as_json:
        print_json(_plan_view(house, plan))
    elif dry_run:
        typer.echo("Dry run, nothing is scheduled.")
    else:
        typer.echo(f"Scheduled {slug}, campaign {plan.campaign}, for {local(house, plan.at)}.")


def _scheduled(
    house: House,
    connection: "Connection",
    slug: str,
    moment: datetime | None,
    segment: str | None,
) -> _Plan:
    from l3mail import newsletters
    from l3mail.wiring import asking_terms

    now = house.clock.now()
    at = (moment or now).astimezone(house.settings.zone)
    campaign = newsletters.schedule(connection, slug, at, segment=segment, by=house.who, now=now)
    found = newsletters.issue(connection, slug)
    segment = segment or found.segment
    # As it is when it is due: whoever turned sixty by then is sixty.
    question = asking_terms(house.settings).question(connection, segment, at) if segment else None
    audience = newsletters.audience(connection, found.stream_id, question, now, but=campaign)
    return _Plan(found, at, segment, audience, campaign)


def _publishing(house: House, slug: str) -> "tuple[Callable[[], object], Publish]":
    """What keeps the issue's images, and what publishes its files, read here and only once.

    So what is shown is what is scheduled. Raises NewsletterError, a line for each fault, where
    one is broken, or a draft. An issue whose files are gone goes out as it was published.
    """
    from l3mail import wiring

    library, all_texts = wiring.compile_content(house.settings)
    texts = [text for text in all_texts if text.source.slug == slug]
    faults = [str(found) for text in texts if text.compiled is None for found in text.findings]
    faults += [
        f"{text.source.path}: is a draft; nobody gets it yet" for text in texts if text.draft
    ]
    if faults:
        raise NewsletterError("\n".join(faults))

    def publish(connection: "Connection") -> object:
        done = wiring.publish_content(
            connection, house.settings, library, texts, by=house.who, now=house.clock.now()
        )
        if done.refused:
            raise NewsletterError("\n".join(map(str, done.refused)))
        return done

    return partial(wiring.store_media, house.settings, library, texts), publish


def slug_of(text: str) -> str:
    """The slug of an issue from its slug, its short name, or its file's path."""
    path = PurePath(text)
    if path.suffix != ".md" and not text.startswith((".", "/")):
        return text if "/" in text else f"newsletter/{text}"
    if path.parent.name != "newsletters" and Path(text).resolve().parent.name != "newsletters":
        raise NewsletterError(f"{quoted(text)} is no issue; issues are in newsletters/")
    return f"newsletter/{path.name.removesuffix('.md').partition('.')[0]}"


def moment_of(house: House, text: str) -> tuple[datetime | None, str | None]:
    """The instant of a local time, None for now; and what there is to say about it."""
    if text.strip().casefold() in {"now", "jetzt"}:
        return None, None
    return read_moment(text, house.settings.zone, clock_time=True)


def _show_plan(house: House, plan: _Plan) -> None:
    audience = plan.audience
    whom = f"stream {plan.issue.stream}" + (f", segment {plan.segment}" if plan.segment else "")
    typer.echo(f"{plan.issue.slug}: {local(house, plan.at)}, {whom}")
    facts = [
        *((f"subject ({locale})", subject) for locale, _, subject in plan.issue.versions),
        ("reaches", people(audience.yes)),
    ]
    if plan.segment:
        facts.append(("outside", f"{people(audience.no)} whom the segment does not select"))
        facts.append(("unknown", f"{people(audience.unknown)} without consent to be asked about"))
    facts += [("may not be mailed", f"{people(n)}: {why}") for why, n in _sorted(audience.barred)]
    if audience.last:
        last = audience.last
        when = local(house, last.scheduled_at)
        facts.append(("last time", f"{last.slug}, {when}: {people(last.deliveries)}"))
    else:
        facts.append(("last time", "nothing has gone out in this stream yet"))
    for name, value in facts:
        typer.echo(f"{name:>18}  {printable(value, 200)}")


def _plan_view(house: House, plan: _Plan) -> dict[str, Any]:
    return {
        "slug": plan.issue.slug,
        "campaign": plan.campaign,
        "due_at": iso(house, plan.at),
        "stream": plan.issue.stream,
        "segment": plan.segment,
        "versions": [
            {"locale": locale, "message_id": message_id, "subject": subject}
            for locale, message_id, subject in plan.issue.versions
        ],
        "audience": audience_view(house, plan.audience),
    }


def audience_view(house: House, audience: "Audience") -> dict[str, Any]:
    """An audience for programs."""
    last = audience.last
    return {
        "count": audience.yes,
        "outside": audience.no,
        "unknown": audience.unknown,
        "barred": dict(_sorted(audience.barred)),
        "last": last
        and {
            "slug": last.slug,
            "due_at": iso(house, last.scheduled_at),
            "count": last.deliveries,
        },
    }


def people(count: int) -> str:
    """A number of people, in words."""
    return "1 person" if count == 1 else f"{count} people"


def _sorted(barred: Any) -> list[tuple[str, int]]:
    return sorted(barred.items(), key=lambda pair: (-pair[1], pair[0]))


def local(house: House, instant: datetime) -> str:
    """A moment as the workspace's clocks show it."""
    return told(instant, house.settings.zone)


def iso(house: House, instant: datetime) -> str:
    """A moment for programs: local, with its offset."""
    return instant.astimezone(house.settings.zone).isoformat()
