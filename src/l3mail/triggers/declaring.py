"""Triggers as rows: declared by what is published, paused and resumed by operators.

Owns the rows of `trigger`. Whom one reaches is asked elsewhere.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, and_, or_, select, update

from l3mail.database import upsert
from l3mail.errors import TriggerError, did_you_mean, quoted
from l3mail.models import MESSAGE, STREAM, TRIGGER
from l3mail.triggers import rules
from l3mail.triggers.rules import Rule

LIFECYCLE = "lifecycle/"
"""What the slug of every triggered text begins with."""


_NOT_LOOKING: Mapping[str, Any] = {"looking_for": None, "looked_to_at": None, "looked_to": None}


@dataclass(frozen=True, slots=True)
class Trigger:
    """A declared trigger; `written` is its rule as the text has it.

    Facts whose mail would have been due before `active_since` are not answered. `retired_at` is
    when it was paused.
    """

    id: int
    slug: str
    stream_id: int
    stream: str
    written: Mapping[str, Any] = field(hash=False)
    active_since: datetime
    retired_at: datetime | None
    planned_until: datetime | None
    looking_for: datetime | None = None
    looked_to_at: datetime | None = None
    looked_to: int | None = None

    @property
    def rule(self) -> Rule:
        """The rule, read; raises TriggerError where it can't be followed."""
        return rules.read(self.written)


def declare(
    connection: Connection, slug: str, rule: Mapping[str, Any], stream_id: int, now: datetime
) -> bool:
    """Let a rule be in force for a slug from now on; False where it was so already.

    A rule that changes, or changes back, takes effect anew: what the new one would have had due
    before is not made up for. A paused trigger stays paused.
    """
    values = {"kind": rule["trigger"], "rule": dict(rule), "stream_id": stream_id}
    effect = {"active_since": now, "planned_until": None, **_NOT_LOOKING}
    new = connection.execute(
        upsert(connection, TRIGGER)
        .values(slug=slug, **values, **effect)
        .on_conflict_do_nothing(index_elements=[TRIGGER.c.slug])
        .returning(TRIGGER.c.id)
    )
    if new.first() is not None:
        return True
    before = connection.execute(
        select(TRIGGER.c.kind, TRIGGER.c.rule, TRIGGER.c.stream_id)
        .where(TRIGGER.c.slug == slug)
        .with_for_update()
    ).one()
    if dict(before._mapping) == values:
        return False
    connection.execute(update(TRIGGER).where(TRIGGER.c.slug == slug).values(**values, **effect))
    return True


def declare_published(connection: Connection, locale: str, now: datetime) -> list[str]:
    """Declare the rule of every lifecycle text in force; return the slugs that changed.

    Of a text in several languages the one in `locale`, the workspace's, decides; where there is
    none, the first by name. A text whose stream there is not is left out.
    """
    rows = connection.execute(
        select(MESSAGE.c.slug, MESSAGE.c.locale, MESSAGE.c.compiled)
        .where(MESSAGE.c.slug.startswith(LIFECYCLE), MESSAGE.c.superseded_at.is_(None))
        .order_by(MESSAGE.c.slug, MESSAGE.c.locale)
    ).all()
    chosen: dict[str, Mapping[str, Any]] = {}
    for row in rows:
        if row.locale == locale or row.slug not in chosen:
            chosen[row.slug] = row.compiled
    streams = {row.slug: row.id for row in connection.execute(select(STREAM.c.slug, STREAM.c.id))}
    return [
        slug
        for slug, compiled in chosen.items()
        if compiled.get("rule")
        and compiled.get("stream") in streams
        and declare(connection, slug, compiled["rule"], streams[compiled["stream"]], now)
    ]


def pause(connection: Connection, slug: str, now: datetime) -> bool:
    """Plan nothing of a trigger from now on; False where it was paused already.

    What is planned goes out; a halt of its message keeps that back too.
    """
    changed = connection.execute(
        update(TRIGGER)
        .where(TRIGGER.c.slug == slug, TRIGGER.c.retired_at.is_(None))
        .values(retired_at=now)
        .returning(TRIGGER.c.id)
    )
    return changed.first() is not None


def resume(connection: Connection, slug: str, now: datetime) -> bool:
    """Let a paused trigger go on with what is due from now on; False where it was not paused."""
    changed = connection.execute(
        update(TRIGGER)
        .where(TRIGGER.c.slug == slug, TRIGGER.c.retired_at.is_not(None))
        .values(retired_at=None, active_since=now, planned_until=None, **_NOT_LOOKING)
        .returning(TRIGGER.c.id)
    )
    return changed.first() is not None


def note_planned(connection: Connection, trigger: Trigger, until: datetime, now: datetime) -> None:
    """Remember up to which moment nobody is left whose mail was due."""
    noted = TRIGGER.c.planned_until
    connection.execute(
        update(TRIGGER)
        .where(
            and_(TRIGGER.c.id == trigger.id, or_(noted.is_(None), noted < until, noted > now)),
        )
        .values(planned_until=until)
    )


def note_look(
    connection: Connection,
    trigger: Trigger,
    looking_for: datetime,
    to: int,
    to_at: datetime | None = None,
) -> None:
    """Remember up to whom, or to which fact, the look that is under way has come."""
    values = {"looking_for": looking_for, "looked_to": to, "looked_to_at": to_at}
    connection.execute(update(TRIGGER).where(TRIGGER.c.id == trigger.id).values(values))


def end_look(connection: Connection, trigger: Trigger) -> None:
    """Forget the look that was under way: it has come to its end."""
    connection.execute(update(TRIGGER).where(TRIGGER.c.id == trigger.id).values(_NOT_LOOKING))


_ROWS = (
    select(
        TRIGGER.c.id,
        TRIGGER.c.slug,
        TRIGGER.c.stream_id,
        STREAM.c.slug.label("stream"),
        TRIGGER.c.rule,
        TRIGGER.c.active_since,
        TRIGGER.c.retired_at,
        TRIGGER.c.planned_until,
        TRIGGER.c.looking_for,
        TRIGGER.c.looked_to_at,
        TRIGGER.c.looked_to,
    )
    .join(STREAM, STREAM.c.id == TRIGGER.c.stream_id)
    .order_by(TRIGGER.c.slug)
)
# Two planners at once would each take the other's rows for nothing left to plan.
_FOR_PLANNING = _ROWS.where(
    TRIGGER.c.retired_at.is_(None), TRIGGER.c.active_since.is_not(None)
).with_for_update(skip_locked=True, of=TRIGGER)


_DECLARED = _ROWS.where(TRIGGER.c.active_since.is_not(None))


def to_plan(connection: Connection, ids: Collection[int]) -> list[Trigger]:
    """Those of these triggers that are not paused, each held until this transaction ends."""
    if not ids:
        return []
    return _read(connection, _FOR_PLANNING.where(TRIGGER.c.id.in_(sorted(ids))))


def listing(connection: Connection) -> list[Trigger]:
    """Every trigger by slug, the paused ones too."""
    return _read(connection, _DECLARED)


def active(connection: Connection) -> list[Trigger]:
    """The triggers that are not paused, by slug."""
    return [one for one in listing(connection) if one.retired_at is None]


def find(connection: Connection, slug: str) -> Trigger:
    """One trigger; raises TriggerError naming the nearest where there is none."""
    known = {one.slug: one for one in listing(connection)}
    if slug not in known:
        hint = did_you_mean(slug, known, "`l3mail triggers list` shows what there is", cutoff=0.4)
        raise TriggerError(f"there is no trigger {quoted(slug)}; {hint}")
    return known[slug]


def _read(connection: Connection, query: Select[Any]) -> list[Trigger]:
    rows: Sequence[Any] = connection.execute(query).all()
    return [Trigger(*row) for row in rows]
