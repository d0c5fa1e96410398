"""How an audience is shown before something goes out, and when a second look is asked for."""

import sys
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from l3mail.cli.context import House
from l3mail.cli.moments import told
from l3mail.errors import NewsletterError, printable

if TYPE_CHECKING:
    from l3mail.newsletters import Audience

Sample = Annotated[
    int, typer.Option("--sample", min=0, max=100, help="Show so many of the addresses.")
]
Expect = Annotated[
    int | None,
    typer.Option("--expect", min=0, help="How many people you expect; off by a tenth, refused."),
]
_NAMES = 18
_WIDTH = 80 - _NAMES - 2


def people(count: int) -> str:
    """A number of people, in words."""
    return "1 person" if count == 1 else f"{count:,} people"


def lines(
    house: House, audience: "Audience", segment: str | None, sample: Sequence[str] = ()
) -> Iterator[tuple[str, str]]:
    """Who gets it, who not and why, who later, and how many it was the last time."""
    yield "reaches", people(audience.yes)
    if sample:
        yield "among them", ", ".join(sample)
    for (wish, version), n in sorted(audience.elsewhere.items()):
        yield "other language", f'{people(n)} of "{wish}" get it in "{version}"'
    if audience.quiet_until:
        until = told(audience.quiet_until, house.settings.zone)
        yield "held back", f"{people(audience.yes)}: quiet hours until {until}"
    if audience.capped:
        cap = house.settings.sending.frequency_cap
        rule = f"had {cap.mails} or more in {cap.days} days (frequency cap)"
        yield "held back", f"{people(audience.capped)}: {rule}"
    if segment:
        yield "outside", f"{people(audience.no)} whom the segment does not select"
        yield "unknown", f"{people(audience.unknown)} of whom it can't be told"
    for why, n in by_number(audience):
        yield "may not be mailed", f"{people(n)}: {why}"
    yield "last time", _last_time(house, audience)
    if audience.has_outgrown(house.settings.sending.growth):
        yield "second look", f"more than {_times(house)} times as many as the last time"


def _last_time(house: House, audience: "Audience") -> str:
    last = audience.last
    if last is None:
        return "nothing has gone out in this stream yet, so there is nothing to compare"
    when = told(last.scheduled_at, house.settings.zone)
    text = f"{last.slug}, {when}: {people(last.deliveries)}"
    if last.alike:
        return text
    return f"{text} (to {f'segment {last.segment}' if last.segment else 'the whole stream'})"


def show(facts: Iterable[tuple[str, str]]) -> None:
    """Print facts under each other, none wider than a terminal."""
    for name, value in facts:
        found = textwrap.wrap(printable(value, 1000), _WIDTH, break_long_words=False) or [""]
        typer.echo(f"{name:>{_NAMES}}  {found[0]}")
        for line in found[1:]:
            typer.echo(f"{'':>{_NAMES}}  {line}")


def view(house: House, audience: "Audience", sample: Sequence[str] = ()) -> dict[str, Any]:
    """An audience for programs."""
    zone, last = house.settings.zone, audience.last
    until = audience.quiet_until
    return {
        "count": audience.yes,
        "outside": audience.no,
        "unknown": audience.unknown,
        "barred": dict(by_number(audience)),
        "languages": [
            {"locale": wish, "gets": version, "count": n}
            for (wish, version), n in sorted(audience.elsewhere.items())
        ],
        "held": {
            "frequency_cap": audience.capped,
            "quiet_hours": audience.yes if until else 0,
            "quiet_until": until and until.astimezone(zone).isoformat(),
        },
        "outgrown": audience.has_outgrown(house.settings.sending.growth),
        "sample": list(sample),
        "last": last
        and {
            "slug": last.slug,
            "due_at": last.scheduled_at.astimezone(zone).isoformat(),
            "count": last.deliveries,
            "segment": last.segment,
            "same_segment": last.alike,
        },
    }


def by_number(audience: "Audience") -> list[tuple[str, int]]:
    """Why people may not be mailed, and how many, the most first."""
    return sorted(audience.barred.items(), key=lambda pair: (-pair[1], pair[0]))


def look_again(house: House, audience: "Audience", *, expect: int | None, yes: bool) -> None:
    """Ask for the number of people where there are many more than the last time.

    Whoever says `expect` has it compared, always. Raises NewsletterError where it is another, or
    where nobody can be asked.
    """
    if expect is not None:
        if not audience.is_about(expect):
            raise NewsletterError(
                f"it reaches {people(audience.yes)}, and {expect:,} were expected; look who it is"
            )
        return
    if not audience.has_outgrown(house.settings.sending.growth):
        return
    assert audience.last is not None
    much = f"more than {_times(house)} times the {audience.last.deliveries:,} of the last time"
    if yes or not sys.stdin.isatty():
        raise NewsletterError(
            f"it reaches {people(audience.yes)}, {much}; if that is meant, say so with"
            f" --expect {audience.yes}"
        )
    typer.echo(f"That is {much} ({audience.last.slug}).")
    answer = typer.prompt("Type the number of people to go on", default="", show_default=False)
    if answer.strip().replace(",", "").replace(".", "") != str(audience.yes):
        typer.echo("Nothing is changed.")
        raise typer.Exit(1)


def _times(house: House) -> str:
    return f"{house.settings.sending.growth:g}"
