"""The command that schedules an issue: when, to whom, and what is shown before it is asked."""

import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Annotated, Any

import typer

from l3mail.cli.audience import Expect, Sample, lines, look_again, people, show, view
from l3mail.cli.context import DryRun, House, Json, Yes, confirm, print_json
from l3mail.cli.moments import read_moment, told
from l3mail.cli.naming import slug_of
from l3mail.errors import NewsletterError

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from l3mail import newsletters
    from l3mail.newsletters import Audience, Issue
    from l3mail.segments import Question

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
    question: "Question | None"
    lapses_at: datetime | None = None
    campaign: int | None = None


@dataclass(frozen=True)
class _Shown:
    """A plan, whom it reaches as things are, and some of them by name."""

    plan: _Plan
    audience: "Audience"
    sample: list[str]


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
    sample: Sample = 0,
    expect: Expect = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Publish an issue and schedule it; shows whom it reaches, and asks.

    What is published later under the same name does not reach this campaign. Where it reaches many
    more than the last time, the number of people is asked for; --yes alone is not enough then.

    Example: l3mail newsletters schedule 2026-12 --at "2026-12-01 10:00"
    """
    house: House = context.obj
    slug = slug_of(issue, "newsletter")
    moment, remark = moment_of(house, at)
    if remark:
        typer.echo(remark, err=as_json)
    store, publish = _publishing(house, slug)

    def arrange(connection: "Connection") -> _Plan:
        publish(connection)
        return _scheduled(house, connection, slug, moment, segment)

    shown = _foreseen(house, arrange, sample)
    if not as_json:
        _show_plan(house, shown)
    if not dry_run:
        confirm(f"send {slug} to {people(shown.audience.yes)}?", yes=yes)
        look_again(house, shown.audience, expect=expect, yes=yes)
        store()

        def verb(connection: "Connection") -> tuple[_Plan, dict[str, int]]:
            from l3mail import newsletters

            done = arrange(connection)
            assert done.campaign is not None
            newsletters.expect(connection, done.campaign, shown.audience.yes)
            return done, {"campaigns": 1, "people": shown.audience.yes}

        shown = replace(shown, plan=house.change(f"newsletters schedule {slug}", verb))
    if as_json:
        print_json(_plan_view(house, shown))
    elif dry_run:
        typer.echo("Dry run, nothing is scheduled.")
    else:
        _conclude(house, shown.plan)


def _conclude(house: House, plan: _Plan) -> None:
    at = local(house, plan.at)
    typer.echo(f"Scheduled {plan.issue.slug}, campaign {plan.campaign}, for {at}.")
    if plan.lapses_at:
        typer.echo(textwrap.fill(_who_releases(house, plan.lapses_at), 80))


def _foreseen(house: House, arrange: "Callable[[Connection], _Plan]", most: int) -> _Shown:
    """What scheduling would come to, and whom it reaches; nothing of it lasts."""

    def rehearsal(connection: "Connection") -> None:
        raise _RehearsedError(arrange(connection))

    plan: _Plan | None = None
    with house.database() as database:
        try:
            database.write(rehearsal)
        except _RehearsedError as rehearsed:
            plan = replace(rehearsed.plan, campaign=None)
        assert plan is not None
        # Counting takes long where there are many, and keeps nobody from writing.
        return database.read(lambda connection: _looked_at(house, connection, plan, most))


def _scheduled(
    house: House,
    connection: "Connection",
    slug: str,
    moment: datetime | None,
    segment: str | None,
) -> _Plan:
    from l3mail import newsletters
    from l3mail.wiring import asking_terms

    now, rules = house.clock.now(), house.settings.sending
    at = (moment or now).astimezone(house.settings.zone)
    lapses_at = at + timedelta(days=rules.release_days) if rules.two_persons else None
    campaign = newsletters.schedule(
        connection, slug, at, segment=segment, by=house.signed, now=now, lapses_at=lapses_at
    )
    found = newsletters.issue(connection, slug)
    segment = segment or found.segment
    # As it is when it is due: whoever turned sixty by then is sixty.
    question = asking_terms(house.settings).question(connection, segment, at) if segment else None
    return _Plan(found, at, segment, question, lapses_at, campaign)


def _looked_at(house: House, connection: "Connection", plan: _Plan, most: int) -> _Shown:
    """Whom it reaches as things are now, with so many of them by name."""
    from l3mail import newsletters

    now, stream_id = house.clock.now(), plan.issue.stream_id
    audience = newsletters.audience(
        connection,
        stream_id,
        plan.question,
        now,
        segment=plan.segment,
        sending=sending_of(house, [locale for locale, _, _ in plan.issue.versions], plan.at),
    )
    some = newsletters.sample(connection, stream_id, plan.question, now, most) if most else []
    return _Shown(plan, audience, some)


def sending_of(house: House, locales: Sequence[str], at: datetime) -> "newsletters.Sending":
    """How an issue in these languages would go out at a moment."""
    from l3mail.newsletters import Sending
    from l3mail.wiring import restraint_of

    settings = house.settings
    return Sending(at, locales, settings.workspace.locale, restraint_of(settings))


def _who_releases(house: House, lapses_at: datetime) -> str:
    """What is still missing where two persons are wanted, and who is asked."""
    from l3mail.newsletters import is_same_person

    others = [one for one in house.settings.approvers if not is_same_person(one, house.signed)]
    until = local(house, lapses_at)
    asked = f"{', '.join(others)} are asked by mail" if len(others) > 1 else ""
    asked = asked or (f"{others[0]} is asked by mail" if others else "")
    asked = asked or "nobody is asked by mail: [alerts] approvers names nobody else"
    return (
        f"It waits until {until} for somebody else's yes (`l3mail newsletters release`); {asked}."
    )


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


def moment_of(house: House, text: str) -> tuple[datetime | None, str | None]:
    """The instant of a local time, None for now; and what there is to say about it."""
    if text.strip().casefold() in {"now", "jetzt"}:
        return None, None
    return read_moment(text, house.settings.zone, clock_time=True)


def _show_plan(house: House, shown: _Shown) -> None:
    plan = shown.plan
    whom = f"stream {plan.issue.stream}" + (f", segment {plan.segment}" if plan.segment else "")
    typer.echo(f"{plan.issue.slug}: {local(house, plan.at)}, {whom}")
    subjects = ((f"subject ({locale})", subject) for locale, _, subject in plan.issue.versions)
    facts_of = lines(house, shown.audience, plan.segment, shown.sample)
    show(chain(subjects, facts_of))


def _plan_view(house: House, shown: _Shown) -> dict[str, Any]:
    plan = shown.plan
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
        "release_until": plan.lapses_at and iso(house, plan.lapses_at),
        "audience": view(house, shown.audience, shown.sample),
    }


def local(house: House, instant: datetime) -> str:
    """A moment as the workspace's clocks show it."""
    return told(instant, house.settings.zone)


def iso(house: House, instant: datetime) -> str:
    """A moment for programs: local, with its offset."""
    return instant.astimezone(house.settings.zone).isoformat()
