"""Moments as operators type them: days and times of the workspace's clock."""

import re
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import typer

EXAMPLE = '2026-12-01, "2026-12-01 10:00" or 2026-12-01T10:00+01:00'


def parse_moment(text: str, zone: ZoneInfo, *, end_of_day: bool = False) -> datetime:
    """Read a moment; without an offset it is local time, a day alone begins at 00:00.

    With `end_of_day` a day alone means its last moment. Raises typer.BadParameter.
    """
    words = text.strip()
    try:
        if re.fullmatch(r"\d{4}-\d\d-\d\d", words, re.ASCII):
            day = date.fromisoformat(words) + timedelta(days=int(end_of_day))
            moment = datetime.combine(day, time(), zone)
            return moment.astimezone(UTC) - timedelta(microseconds=int(end_of_day))
        read = datetime.fromisoformat(words)
        return (read if read.tzinfo else read.replace(tzinfo=zone)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise typer.BadParameter(f"{text!r} is no moment; write {EXAMPLE}") from None


def told(moment: datetime | None, zone: ZoneInfo) -> str:
    """A moment for people: `Mon 2026-11-23 10:00`, or a dash."""
    return "-" if moment is None else f"{moment.astimezone(zone):%a %Y-%m-%d %H:%M}"
