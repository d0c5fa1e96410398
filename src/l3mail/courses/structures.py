"""What a course is: its lessons in order, its cadence and rules, as learners began with them.

Owns courses, structures and lessons. Knows nobody who learns.
"""

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, func, insert, select, update

from l3mail.calendars import Timetable, as_mapping, parse_cadence, parse_closed
from l3mail.errors import CourseError
from l3mail.models import COURSE, LESSON, STREAM, STRUCTURE


@dataclass(frozen=True, slots=True)
class Outline:
    """A course as its files describe it: cadence and rules in course.yaml's form.

    `lessons` are (slug, kind) in order, kind "lesson" or "evaluation". `rules` may hold
    `skip_holidays`, `closed`, `start` (ISO date), `grace` (seconds) and `complete_after` (days).
    `asks` are the attributes that who signs up is asked for; no learner is bound to them.
    """

    slug: str
    title: str
    cadence: Mapping[str, Any]
    lessons: Sequence[tuple[str, str]]
    rules: Mapping[str, Any] = field(default_factory=dict)
    asks: Sequence[str] = ()


def define(connection: Connection, outline: Outline, stream_id: int, now: datetime) -> int:
    """Make `outline` the course's current structure, return its id; the same again changes nothing.

    Learners keep the structure they began with.
    """
    slugs = [slug for slug, _ in outline.lessons]
    if not slugs or len(set(slugs)) < len(slugs):
        raise CourseError(f"{outline.slug}: needs lessons, each named once; found {slugs}")
    cadence = as_mapping(parse_cadence(dict(outline.cadence)))
    rules = dict(outline.rules)
    timetable_of(cadence, rules, ZoneInfo("UTC"))
    course_id = connection.execute(
        select(COURSE.c.id).where(COURSE.c.slug == outline.slug)
    ).scalar()
    if course_id is None:
        course_id = connection.execute(
            insert(COURSE)
            .values(slug=outline.slug, title=outline.title, stream_id=stream_id, created_at=now)
            .returning(COURSE.c.id)
        ).scalar_one()
    digest = _hash([cadence, rules, list(outline.lessons)])
    structure_id = connection.execute(
        select(STRUCTURE.c.id).where(STRUCTURE.c.course_id == course_id, STRUCTURE.c.hash == digest)
    ).scalar()
    if structure_id is None:
        structure_id = connection.execute(
            insert(STRUCTURE)
            .values(course_id=course_id, hash=digest, cadence=cadence, rules=rules, created_at=now)
            .returning(STRUCTURE.c.id)
        ).scalar_one()
        connection.execute(
            insert(LESSON),
            [
                {"structure_id": structure_id, "position": position, "slug": slug, "kind": kind}
                for position, (slug, kind) in enumerate(outline.lessons)
            ],
        )
    connection.execute(
        update(COURSE)
        .where(COURSE.c.id == course_id)
        .values(title=outline.title, current_structure_id=structure_id, asks=list(outline.asks))
    )
    return int(structure_id)


def structure_of(connection: Connection, slug: str) -> int | None:
    """The id of a course's current structure; None for one that was never defined."""
    query = select(COURSE.c.current_structure_id).where(COURSE.c.slug == slug)
    return connection.execute(query).scalar()


def title_of(connection: Connection, slug: str) -> str | None:
    """A course's title; None for one that was never defined."""
    return connection.execute(select(COURSE.c.title).where(COURSE.c.slug == slug)).scalar()


def asked(connection: Connection) -> dict[str, tuple[str, ...]]:
    """By stream, the attributes its course asks of who signs up; streams without any left out."""
    query = (
        select(STREAM.c.slug, COURSE.c.asks)
        .join(COURSE, COURSE.c.stream_id == STREAM.c.id)
        .order_by(COURSE.c.slug)
    )
    return {slug: tuple(asks) for slug, asks in connection.execute(query) if asks}


def timetables(
    connection: Connection, structures: Collection[int], zone: ZoneInfo
) -> dict[int, tuple[Timetable, int]]:
    """By structure: what it says about time, and how many lessons it has."""
    if not structures:
        return {}
    lessons = (
        select(func.count())
        .where(LESSON.c.structure_id == STRUCTURE.c.id)
        .correlate(STRUCTURE)
        .scalar_subquery()
    )
    rows = connection.execute(
        select(STRUCTURE.c.id, STRUCTURE.c.cadence, STRUCTURE.c.rules, lessons).where(
            STRUCTURE.c.id.in_(structures)
        )
    )
    return {row.id: (timetable_of(row.cadence, row.rules, zone), row[3]) for row in rows}


def timetable_of(cadence: object, rules: Mapping[str, Any], zone: ZoneInfo) -> Timetable:
    """What a structure's cadence and rules say about time."""
    start = rules.get("start")
    grace = rules.get("grace")
    return Timetable(
        cadence=parse_cadence(cadence),
        zone=zone,
        closed=parse_closed(rules.get("skip_holidays"), rules.get("closed")),
        grace=None if grace is None else timedelta(seconds=grace),
        start_on=None if start is None else date.fromisoformat(start),
    )


def _hash(value: object) -> str:
    canonical = json.dumps(value, sort_keys=True, ensure_ascii=False)
    return hashlib.blake2b(canonical.encode(), digest_size=32).hexdigest()
