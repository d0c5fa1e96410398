"""Commands on courses: what there is, who takes them, and how far everybody came."""

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from l3mail.cli import directory
from l3mail.cli.context import (
    DryRun,
    House,
    Json,
    Yes,
    confirm,
    print_json,
    print_table,
    require_states,
    say,
)
from l3mail.cli.journeys import Done, each
from l3mail.cli.moments import parse_moment, told
from l3mail.cli.naming import Course
from l3mail.cli.papers import certificates
from l3mail.cli.resending import resend
from l3mail.errors import CourseError, printable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import Connection

    from l3mail.addresses import Address
    from l3mail.courses import Overview
    from l3mail.courses.overviews import Place

PANEL = "People"
Emails = Annotated[list[str], typer.Argument(metavar="EMAIL", help="One address or more.")]
Search = Annotated[str | None, typer.Option(help="Part of a slug or title.")]
States = Annotated[
    list[str] | None,
    typer.Option(
        "--status", metavar="STATUS", help="active, paused, finished or cancelled; may be repeated."
    ),
]

group = typer.Typer(
    name="courses", help="Enroll in courses, pause, cancel; see who is where.", no_args_is_help=True
)


def register(app: typer.Typer) -> None:
    """Hang the group into the panel "People"."""
    app.add_typer(group, rich_help_panel=PANEL)


@group.command("list")
def list_(
    context: typer.Context,
    *,
    search: Search = None,
    segment: directory.Segment = None,
    status: States = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 100,
    as_json: Json = False,
) -> None:
    """List courses, with how many take them; --status: only where somebody is in that state.

    With --segment only people of it are counted; a course that none of them takes is left out.

    Example: l3mail courses list
    """
    from l3mail import courses
    from l3mail.models import ENROLLMENT_STATES

    house: House = context.obj
    states = _states(status)
    with house.database() as database:
        found = database.read(
            lambda connection: courses.overviews(
                connection, directory.question(connection, house, segment)
            )
        )
    if search:
        word = search.casefold()
        found = [course for course in found if word in f"{course.slug} {course.title}".casefold()]
    if states or segment:
        asked = states or ENROLLMENT_STATES
        found = [c for c in found if any(c.enrollments[state] for state in asked)]
    shown = found[:limit]
    if as_json:
        print_json([_view(house, course) for course in shown])
        return
    print_table(
        ("COURSE", "CADENCE", "LESSONS", "LEARNERS", "TITLE"),
        [
            (
                course.slug,
                _written(course.cadence),
                len(course.lessons),
                ", ".join(f"{n} {state}" for state, n in course.enrollments.items() if n) or "-",
                course.title,
            )
            for course in shown
        ],
        empty="No courses.",
        solid=("COURSE", "CADENCE"),
    )
    if len(found) > limit:
        typer.echo(f"The first {limit} of {len(found)}; --limit shows more.")


@group.command("show")
def show(context: typer.Context, course: Course, as_json: Json = False) -> None:
    """Show a course: its rhythm, its lessons, how many take it.

    Example: l3mail courses show kurs
    """
    from l3mail import courses

    house: House = context.obj
    with house.database() as database:
        found = database.read(lambda connection: courses.overview(connection, course))
    view = _view(house, found)
    if as_json:
        print_json(view)
        return
    typer.echo(printable(f"{found.slug}: {found.title}", 500))
    facts = {"cadence": _written(found.cadence)} | {
        name: str(value) for name, value in found.rules.items()
    }
    facts["stream"] = found.stream
    facts["next lesson"] = told(found.next_due_at, house.settings.zone)
    facts |= {state: str(n) for state, n in found.enrollments.items()}
    if found.asks:
        facts["asks"] = ", ".join(found.asks)
    if _counts_days(found):
        facts["days done"] = str(found.done_days)
    for name, value in facts.items():
        say(f"{name:>15}  {printable(value, 500)}", 17)
    for number, (slug, kind) in enumerate(found.lessons, start=1):
        typer.echo(f"{number:>15}  {slug}" + (" (evaluation)" if kind == "evaluation" else ""))


@group.command("enroll")
def enroll(
    context: typer.Context,
    course: Course,
    emails: Emails,
    *,
    start: Annotated[
        str | None,
        typer.Option(
            "--start", "--from", metavar="WHEN", help="Counts as the moment they confirmed."
        ),
    ] = None,
    confirmed: Annotated[
        bool, typer.Option("--confirmed", help="You hold their consent to this course.")
    ] = False,
    consent_note: Annotated[
        str | None, typer.Option(metavar="TEXT", help="With --confirmed: where the proof is.")
    ] = None,
    restart: Annotated[
        bool, typer.Option("--restart", help="Who runs or has finished begins at lesson 1.")
    ] = False,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Enroll people, from the first slot after --start or now.

    Who has not confirmed this course is asked by mail to do so, unless you vouch for them with
    --confirmed and --consent-note; only so an unknown address is added.

    Example: l3mail courses enroll kurs ada@schule.example --start 2026-12-01
    """
    house: House = context.obj
    if confirmed and not (consent_note or "").strip():
        raise typer.BadParameter("--confirmed needs --consent-note: where the proof lies")
    if consent_note and not confirmed:
        raise typer.BadParameter("--consent-note says what --confirmed is based on; give both")
    now = house.clock.now()
    order = _Order(house, now, consent_note if confirmed else None, restart)
    order.confirmed_at = parse_moment(start, house.settings.zone) if start else now
    each(house, "enroll", course, emails, order.enroll, dry_run=dry_run, as_json=as_json)


@group.command("pause")
def pause(
    context: typer.Context,
    course: Course,
    emails: Emails,
    *,
    weeks: Annotated[int | None, typer.Option(min=1, max=520, help="So many weeks.")] = None,
    until: Annotated[
        str | None, typer.Option(metavar="DATE", help="From that day on lessons come again.")
    ] = None,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Let people pause; without an end, until `courses resume`.

    Example: l3mail courses pause kurs ada@schule.example --weeks 2
    """
    from l3mail import courses

    house: House = context.obj
    zone, now = house.settings.zone, house.clock.now()
    if weeks is not None and until is not None:
        raise typer.BadParameter("say --weeks or --until, not both")
    end = None
    if weeks is not None:
        # Weeks of the calendar, so that the hour of day stays what it is.
        end = (now.astimezone(zone) + timedelta(weeks=weeks)).astimezone(now.tzinfo)
    elif until is not None:
        end = parse_moment(until, zone)
        if end <= now:
            raise typer.BadParameter(f"{until!r} is past; name a day to come")

    def verb(connection: "Connection", found: "Overview", address: "Address") -> "Done":
        number = _running(connection, house, found, address)
        courses.pause(connection, number, end, now)
        until = f" until {told(end, zone)}" if end else ", until somebody resumes them"
        return Done("paused", {"paused_until": _local(house, end)}, f"paused{until}")

    each(house, "pause", course, emails, verb, dry_run=dry_run, as_json=as_json)


@group.command("resume")
def resume(
    context: typer.Context,
    course: Course,
    emails: Emails,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Let people who pause go on, at their next slot.

    Example: l3mail courses resume kurs ada@schule.example
    """
    from l3mail import courses

    house: House = context.obj
    now = house.clock.now()

    def verb(connection: "Connection", found: "Overview", address: "Address") -> "Done":
        number = _running(connection, house, found, address)
        if not courses.resume(connection, number, now, house.settings.zone):
            raise CourseError("does not pause")
        return _next(connection, house, number, "resumed")

    each(house, "resume", course, emails, verb, dry_run=dry_run, as_json=as_json)


@group.command("cancel")
def cancel(
    context: typer.Context,
    course: Course,
    emails: Emails,
    *,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """End people's course for good; they stay subscribed to its stream.

    Example: l3mail courses cancel kurs ada@schule.example
    """
    from l3mail import courses

    house: House = context.obj
    now = house.clock.now()
    people = "1 person" if len(set(emails)) == 1 else f"{len(set(emails))} people"

    def verb(connection: "Connection", found: "Overview", address: "Address") -> "Done":
        _running(connection, house, found, address)
        person = _known(connection, house, address)
        courses.cancel(connection, person, {found.stream_id}, now)
        return Done("cancelled", {})

    confirm(f"Cancel {course} for {people}? They get no further lesson.", yes=yes or dry_run)
    each(house, "cancel", course, emails, verb, dry_run=dry_run, as_json=as_json)


@group.command("progress")
def progress(
    context: typer.Context,
    course: Course,
    *,
    search: Annotated[str | None, typer.Option(help="Part of an address.")] = None,
    segment: directory.Segment = None,
    status: States = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many people, the newest.")] = 50,
    as_json: Json = False,
) -> None:
    """Show a course lesson by lesson, and who is where.

    Example: l3mail courses progress kurs --status active
    """
    from dataclasses import asdict

    from l3mail import courses

    house: House = context.obj
    states = _states(status)
    with house.database() as database:
        found, steps, places = database.read(
            lambda connection: (
                found := courses.overview(connection, course),
                courses.funnel(connection, found),
                courses.whereabouts(
                    connection,
                    found,
                    states=states,
                    search=search,
                    people=directory.question(connection, house, segment),
                    limit=limit + 1,
                ),
            )
        )
    if as_json:
        lessons = [{"message": step.slug} | asdict(step) for step in steps]
        people = [_placed(house, place) for place in places[:limit]]
        print_json(_view(house, found) | {"lessons": lessons, "people": people})
        return
    counts_days = _counts_days(found)
    if counts_days:
        typer.echo(f"Days done by all: {found.done_days}\n")
    names = ("planned", "accepted", "failed", "uncertain", "cancelled", "waiting", "ahead")
    print_table(
        ("LESSON", *(name.upper() for name in names)),
        [(step.slug, *(str(getattr(step, name)) for name in names)) for step in steps],
        empty="No lessons.",
        solid=("LESSON",),
        spare=("FAILED", "UNCERTAIN", "CANCELLED", "WAITING", "AHEAD"),
    )
    typer.echo()
    _print_places(house, places, limit, counts_days=counts_days)


def _print_places(
    house: House, places: "Sequence[Place]", limit: int, *, counts_days: bool
) -> None:
    """Who is where; with the days done where the course counts any."""
    rows: list[tuple[object, ...]] = [
        (place.email, place.status, place.message, _due(house, place), str(place.done_days))
        for place in places[:limit]
    ]
    columns = ("ADDRESS", "STATUS", "NEXT", "DUE", "DAYS")
    shown = slice(None if counts_days else -1)
    print_table(columns[shown], [row[shown] for row in rows], empty="Nobody.", solid=("STATUS",))
    if len(places) > limit:
        typer.echo(f"The newest {limit}; --limit shows more.")


group.command("certificates")(certificates)
group.command("resend")(resend)


class _Order:
    """One `enroll`: what holds for everybody it names."""

    def __init__(
        self, house: House, now: "datetime", consent_note: str | None, restart: bool
    ) -> None:
        self.house = house
        self.now = self.confirmed_at = now
        self.consent_note = consent_note
        self.restart = restart

    def enroll(self, connection: "Connection", course: "Overview", address: "Address") -> Done:
        """Enroll one person, after asking or vouching where that is needed."""
        from l3mail import courses, subscribers

        rules = directory.rules(self.house)
        request = subscribers.Request(
            address=address, streams=(course.stream,), source="operator", form="operator"
        )
        person = subscribers.find(connection, rules, address)
        if self.consent_note is not None:
            answer = subscribers.attest(
                connection,
                rules,
                request,
                note=self.consent_note,
                by=self.house.who,
                now=self.now,
            )
            if isinstance(answer, subscribers.Refused):
                raise CourseError(f"can't be vouched for: {answer.reason}")
            person = answer.subscriber_id
        if person is None:
            raise CourseError(
                "is not known here; add --confirmed --consent-note TEXT, or let them sign up"
            )
        verdict = courses.objection_to(connection, course.slug, person, self.now)
        if verdict in {"not confirmed", "unsubscribed"}:
            subscribers.sign_up(connection, rules, request, self.now)
            return Done("asked", {}, "asked by mail to confirm; not enrolled yet")
        if verdict is not None:
            raise CourseError(f"may not be mailed: {verdict}; `l3mail explain` says since when")
        outcome, number = courses.begin(
            connection,
            course.slug,
            person,
            confirmed_at=self.confirmed_at,
            now=self.now,
            zone=self.house.settings.zone,
            restart=self.restart,
        )
        if outcome in {"runs already", "finished already"}:
            raise CourseError(f"{outcome}; --restart begins at lesson 1")
        return _next(connection, self.house, number, outcome)


def _known(connection: "Connection", house: House, address: "Address") -> int:
    from l3mail import subscribers

    person = subscribers.find(connection, directory.rules(house), address)
    if person is None:
        raise CourseError("is not known here")
    return person


def _running(connection: "Connection", house: House, course: "Overview", address: "Address") -> int:
    from l3mail import courses

    person = _known(connection, house, address)
    number = courses.running(connection, course.slug, person)
    if number is None:
        raise CourseError(f"does not take {course.slug} now")
    return number


def _next(connection: "Connection", house: House, enrollment: int, word: str) -> Done:
    """What became of somebody who goes on: the lesson to come, and its date."""
    from l3mail import courses

    zone = house.settings.zone
    for lesson in courses.dates(connection, enrollment, zone):
        if lesson.sent_at is None and lesson.planned_at is not None:
            facts = {"next_message": lesson.slug, "next_due_at": _local(house, lesson.planned_at)}
            return Done(word, facts, f"{word}, {lesson.slug} on {told(lesson.planned_at, zone)}")
    return Done(word, {})


def _states(status: "Sequence[str] | None") -> list[str]:
    from l3mail.models import ENROLLMENT_STATES

    require_states(status, ENROLLMENT_STATES)
    return list(status or ())


def _view(house: House, course: "Overview") -> dict[str, Any]:
    return {
        "slug": course.slug,
        "title": course.title,
        "cadence": course.cadence,
        **course.rules,
        "stream": course.stream,
        "lessons": [slug for slug, _ in course.lessons],
        "next_due_at": _local(house, course.next_due_at),
        "asks": list(course.asks),
        "done_days": course.done_days,
        **course.enrollments,
    }


def _counts_days(course: "Overview") -> bool:
    """Whether learners enter days done: the course asks for them, or somebody did."""
    return bool(course.done_days or "complete_after" in course.rules)


def _written(cadence: "Mapping[str, Any]") -> str:
    """A cadence as course.yaml has it."""
    parts = [f"{key}: {value}" for key, value in cadence.items() if key != "at"]
    return ", ".join([*parts, f'at: "{cadence["at"]}"'])


def _placed(house: House, place: "Place") -> dict[str, Any]:
    from dataclasses import asdict

    moments = ("next_due_at", "paused_until", "started_at", "completed_at")
    return asdict(place) | {name: _local(house, getattr(place, name)) for name in moments}


def _due(house: House, place: Any) -> str:
    if place.status == "paused":
        end = told(place.paused_until, house.settings.zone)
        return "pauses" if place.paused_until is None else f"pauses until {end}"
    return told(place.next_due_at, house.settings.zone)


def _local(house: House, instant: "datetime | None") -> str | None:
    return instant.astimezone(house.settings.zone).isoformat() if instant else None
