"""What to tell of, and when: pure decisions over what is so now and what was told before.

A cause is told of at once, again a day later while it lasts, and once more when it is over; in
one hour it begins at most once. Knows no rows, mails or clock.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from l3mail.needs import Cause, Need

AGAIN_AFTER = timedelta(hours=24)
"""So long nothing is repeated of what is known already."""

Key = tuple[Cause, str]
"""A cause and whom it is about."""


@dataclass(frozen=True, slots=True)
class Told:
    """What the staff was told of one cause: when it began for them, when last, and its end."""

    since: datetime
    told_at: datetime
    over_at: datetime | None = None


Known = Mapping[Key, Told]


@dataclass(frozen=True, slots=True)
class News:
    """What is to be told now: causes that began, that last, and that are over.

    `lasting` ones are told along with what began, and by themselves once a day; `known` is what
    the staff knows once it is told.
    """

    begun: tuple[Key, ...]
    lasting: tuple[Key, ...]
    over: tuple[Key, ...]
    known: Known


def key_of(need: Need) -> Key:
    """What tells one need from another, whatever its numbers."""
    return need.cause, need.subject


def decide(needs: Iterable[Need], known: Known, now: datetime, *, unheard: bool = False) -> News:
    """What to tell; `unheard` says that the last alarm never went out.

    Nothing is to be told where neither `begun`, `lasting` nor `over` holds anything.
    """
    standing = dict.fromkeys(key_of(need) for need in needs)
    open_ones = {key for key, told in known.items() if told.over_at is None}
    begun = [
        key
        for key in standing
        if key not in open_ones and (key not in known or _may_begin(known[key], now))
    ]
    lasting = [key for key in standing if key in open_ones]
    due = unheard or any(_is_old(known[key], now) for key in lasting)
    over = sorted(open_ones - standing.keys())
    if not begun and not due:
        lasting = []
    after = {
        key: told
        for key, told in known.items()
        # The end of a cause is remembered for as long as it bars a new beginning.
        if told.over_at is None or now - told.over_at < AGAIN_AFTER
    }
    after |= {key: Told(now, now) for key in begun}
    after |= {key: replace(known[key], told_at=now) for key in lasting}
    after |= {key: replace(known[key], over_at=now) for key in over}
    return News(tuple(begun), tuple(lasting), tuple(over), after)


def _may_begin(told: Told, now: datetime) -> bool:
    return hour(told.told_at) != hour(now)


def _is_old(told: Told, now: datetime) -> bool:
    # What a clock that ran ahead put into the future silences nobody.
    return not told.told_at <= now < told.told_at + AGAIN_AFTER


def hour(moment: datetime) -> str:
    """The hour of a moment, as occurrences name it."""
    return f"{moment:%Y-%m-%dT%H}"


def as_facts(known: Known) -> list[dict[str, Any]]:
    """What is kept in a letter's facts."""
    return [
        {
            "cause": str(cause),
            "subject": subject,
            "since": told.since.isoformat(),
            "told": told.told_at.isoformat(),
            "over": told.over_at.isoformat() if told.over_at else None,
        }
        for (cause, subject), told in known.items()
    ]


def from_facts(facts: Iterable[Mapping[str, Any]]) -> dict[Key, Told]:
    """What a letter's facts keep; causes that this program no longer has are left out."""
    return {
        (Cause(fact["cause"]), str(fact["subject"])): Told(
            datetime.fromisoformat(fact["since"]),
            datetime.fromisoformat(fact["told"]),
            datetime.fromisoformat(fact["over"]) if fact["over"] else None,
        )
        for fact in facts
        if fact["cause"] in set(Cause)
    }
