"""Moments as operators type and read them: days and times of the workspace's clock."""

import re
from calendar import month_name
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import typer

EXAMPLE = '2026-12-01, "2026-12-01 10:00" or "1.12.2026 10:00"'

_GERMAN = re.compile(
    r"(\d{1,2})\.\s?(\d{1,2})\.\s?(\d{4})(?:[ T]+(\d{1,2}:\d\d)(?: Uhr)?)?", re.ASCII
)
_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


def read_moment(
    text: str, zone: ZoneInfo, *, end_of_day: bool = False, clock_time: bool = False
) -> tuple[datetime, str | None]:
    """Read a moment, and what the zone's clocks do to it: nothing, or a sentence to show.

    Without an offset it is local time; a day alone begins at 00:00, or with `end_of_day` means
    its last moment, or with `clock_time` is not enough. Raises typer.BadParameter.
    """
    words = _iso(text.strip())
    try:
        if _DAY.fullmatch(words) and not clock_time:
            day = date.fromisoformat(words) + timedelta(days=int(end_of_day))
            return _instant(day, time(), zone) - timedelta(microseconds=int(end_of_day)), None
        said = datetime.fromisoformat(words) if ":" in words else None
        if said is not None and said.tzinfo is not None:
            return said.astimezone(UTC), None
        if said is not None:
            moment = _instant(said.date(), said.time(), zone)
            return moment, _remark(said, moment.astimezone(zone), zone)
    except (ValueError, OverflowError):
        pass
    if clock_time:
        wanted = '--at "2026-12-01 10:00", --at "1.12.2026 10:00" or --at now'
        raise typer.BadParameter(f"{text!r} is no time; write {wanted}")
    raise typer.BadParameter(f"{text!r} is no moment; write {EXAMPLE}")


def parse_moment(text: str, zone: ZoneInfo, *, end_of_day: bool = False) -> datetime:
    """Read a moment as `read_moment` does, and say on stderr what the clocks do to it."""
    moment, remark = read_moment(text, zone, end_of_day=end_of_day)
    if remark:
        typer.echo(remark, err=True)
    return moment


def _iso(words: str) -> str:
    """The same in ISO form, where it is written as Germans do."""
    german = _GERMAN.fullmatch(words)
    if german is None:
        return words
    day, month, year, clock = german.groups()
    return f"{year}-{month:0>2}-{day:0>2}" + (f" {clock:0>5}" if clock else "")


def _instant(day: date, at: time, zone: ZoneInfo) -> datetime:
    from l3mail.calendars import wall_to_utc

    return wall_to_utc(day, at, zone)


def _remark(said: datetime, meant: datetime, zone: ZoneInfo) -> str | None:
    if meant.replace(tzinfo=None) != said:
        return f"There is no {said:%H:%M} on {said:%Y-%m-%d} in {zone}: it is {meant:%H:%M}."
    if meant.replace(fold=1).utcoffset() != meant.utcoffset():
        return f"{said:%H:%M} comes twice on {said:%Y-%m-%d} in {zone}: the first is meant."
    return None


def told_birthday(born: str) -> str:
    """A stored birthday for people: `1980-05-17`, or `17 May` where its year is not known."""
    if not born.startswith("--"):
        return born
    month, _, day = born.removeprefix("--").partition("-")
    return f"{int(day)} {month_name[int(month)]}"


def told(moment: datetime | None, zone: ZoneInfo) -> str:
    """A moment for people: `Mon 2026-11-23 10:00`, or a dash."""
    return "-" if moment is None else f"{moment.astimezone(zone):%a %Y-%m-%d %H:%M}"
