"""A database with as many people as wanted, long in use: every trigger in force, nothing due.

Owns how such a house looks: everybody is confirmed for a newsletter, a lifecycle stream and a
course, most have finished it, the rest are due next Monday; each has had mail, and some have
clicked, answered or asked for more. Made in bulk by the database itself, on SQLite or PostgreSQL:
making it is not what is measured.
"""

import contextlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, insert, select, text, update

from bench.figures import MissingError
from l3mail import alarms, courses, migrations, publishing, rounds, triggers
from l3mail.alarms import Asking, Duty
from l3mail.audiences import Terms
from l3mail.calendars import wall_to_utc
from l3mail.clocks import FixedClock
from l3mail.database import Database, opened
from l3mail.models import DELIVERY, LINK, STREAM, TRIGGER
from l3mail.reports import Mondays, placeholder
from l3mail.rounds import Agenda
from l3mail.subscribers import Rules

BACKENDS = ("sqlite", "postgres")
BERLIN = ZoneInfo("Europe/Berlin")
WEDNESDAY_NOON = datetime(2026, 11, 25, 11, tzinfo=UTC)
NOBODY_KNOWS = b"pepper of the multitude, 32 byte"
STAFF = "amt@stadt.example"
LESSONS = [("kurs/01", "lesson"), ("kurs/02", "lesson"), ("kurs/03", "lesson")]
LESSONS += [("kurs/04", "lesson"), ("kurs/05", "lesson"), ("kurs/06", "lesson")]
LESSONS += [("kurs/07", "evaluation")]
WEEKS = 40
"""Learners began in each of so many weeks; who began seven weeks ago has finished."""
TRIGGERS: dict[str, dict[str, str]] = {
    "birthday": {},
    "yearly": {"on": "11-24"},
    "anniversary": {},
    "joined": {"after": "1d"},
    "clicked": {"of": "video"},
    "interested": {"of": "video", "at": "10:00"},
    "answered": {"of": "q1", "valid_for": "366d"},
    "finished": {"of": "kurs", "after": "2d", "segment": 'district == "Gorbitz"'},
    "inactive": {"after": "60d"},
}
"""One of each kind; one that stays valid for a year, and one with a segment."""
_TEXT = {"subject": "Gruß", "text": "{{ greeting }}\n", "html": ""}


@dataclass(frozen=True)
class Multitude:
    """An open database, how many people are in it, and what a tick there needs."""

    database: Database
    people: int
    clock: FixedClock
    agenda: Agenda


@contextmanager
def multitude(backend: str, people: int) -> Iterator[Multitude]:
    """Make one on `sqlite` or `postgres`; raises MissingError where there is no PostgreSQL."""
    with fresh(backend) as url, opened(url) as database:
        found = settle_in(database, people)
        live_on(found)
        yield found


def settle_in(database: Database, people: int) -> Multitude:
    """Fill an empty database."""
    clock = FixedClock(WEDNESDAY_NOON)
    migrations.upgrade(database, clock.now() - timedelta(days=400))
    database.write(lambda connection: _declare(connection, clock.now()))
    _fill(database, people, clock.now())
    look_around(database)
    return Multitude(database, people, clock, watched_agenda())


def live_on(one: Multitude) -> None:
    """Let all that is due be planned and handed over, until nothing is due."""
    for _ in range(2):
        rounds.run(one.database, one.clock, replace(one.agenda, batch=50_000))
        one.database.write(lambda connection: _hand_over(connection, one.clock.now()))
    look_around(one.database)


def watched_agenda() -> Agenda:
    """All that a house plans whose staff is told how it fares."""
    duty = Duty((STAFF,), "Amt", BERLIN, "de")
    asking = Asking((STAFF,), lambda *_: "", lambda _: {})
    mondays = Mondays(frozenset({STAFF}), time(8), BERLIN, placeholder("de"))
    planners = (alarms.planner(duty), alarms.asker(duty, asking), mondays.planner())
    question = Terms(BERLIN, "consent", "de", {}, ()).question
    return Agenda(Rules(NOBODY_KNOWS, BERLIN, "de"), question, planners=planners)


def look_around(database: Database) -> None:
    """Let the database know how much there is, as both do by themselves in time."""
    if not database.is_sqlite:
        with database.engine.execution_options(isolation_level="AUTOCOMMIT").connect() as one:
            one.exec_driver_sql("VACUUM ANALYZE")


@contextmanager
def fresh(backend: str) -> Iterator[str]:
    """The URL of an empty database, which is gone after."""
    if backend == "sqlite":
        with tempfile.TemporaryDirectory(prefix="l3mail-bench-") as folder:
            yield f"sqlite:///{Path(folder) / 'multitude.sqlite3'}"
        return
    try:
        # Only here: on SQLite nobody needs what the tests need.
        from tests.fakes.postgres import (  # noqa: PLC0415 - see above
            drop_database,
            fresh_database,
            postgres_url,
        )

        url = fresh_database(postgres_url())
    except BaseException as fault:
        # The tests' own server skips, which is no Exception, where its wheel is not installed.
        if isinstance(fault, KeyboardInterrupt | SystemExit):
            raise
        raise MissingError(f"no PostgreSQL: {fault}") from fault
    try:
        yield url
    finally:
        with contextlib.suppress(Exception):
            drop_database(url)


def _declare(connection: Connection, now: datetime) -> None:
    """Streams, texts, the course and its links, and the triggers, in force for sixty days."""
    since = now - timedelta(days=60)
    rows = [
        {"id": n, "slug": slug, "kind": kind, "title": slug, "created_at": since}
        for n, (slug, kind) in enumerate(
            [("newsletter", "newsletter"), ("lifecycle", "lifecycle"), ("kurs", "course")], start=1
        )
    ]
    connection.execute(insert(STREAM), rows)
    slugs = [slug for slug, _ in LESSONS] + [f"lifecycle/{kind}" for kind in TRIGGERS]
    for slug in ("newsletter/2026-11", "newsletter/2026-12", *slugs):
        stream = {"newsletter": "newsletter", "kurs": "kurs"}.get(slug.split("/")[0], "lifecycle")
        message = publishing.publish(
            connection,
            slug=slug,
            locale="de",
            source="",
            compiled=_TEXT | {"stream": stream},
            by="bench",
            now=since,
        )
        name = "video" if slug == "kurs/02" else None
        connection.execute(
            insert(LINK).values(message_id=message, number=1, url="https://x.example", name=name)
        )
    outline = courses.Outline("kurs", "Kurs", {"weekday": "mon", "at": "10:00"}, LESSONS)
    courses.define(connection, outline, 3, since)
    for kind, rule in TRIGGERS.items():
        triggers.declare(connection, f"lifecycle/{kind}", {"trigger": kind} | rule, 2, since)
    # Each of the last days' silence has been answered on its day: that takes seconds a day.
    nine = now.replace(hour=8)
    connection.execute(
        update(TRIGGER).where(TRIGGER.c.kind == "inactive").values(planned_until=nine)
    )


def _hand_over(connection: Connection, now: datetime) -> None:
    """Let all that was planned be accepted."""
    done = {"state": "accepted", "started_at": now, "first_started_at": now, "ended_at": now}
    connection.execute(update(DELIVERY).where(DELIVERY.c.state == "queued").values(done))


def _fill(database: Database, people: int, now: datetime) -> None:
    """Everybody, and what has become of them; indexes are made when the rows are there."""
    speech = _Speech(database.is_sqlite, now)
    monday = now.astimezone(BERLIN).date() - timedelta(days=2)
    weeks = [_week(week, monday - timedelta(weeks=week)) for week in range(WEEKS)]
    with database.engine.connect() as one:
        driver = one.connection.driver_connection
        assert driver is not None
        for setting in speech.hurry:
            driver.execute(setting)
        indexes = one.exec_driver_sql(speech.indexes).all()
        for name, _ in indexes:
            one.exec_driver_sql(f"DROP INDEX {name}")
        one.execute(text(_people(speech)), {"people": people})
        for stream in (1, 2, 3):
            one.execute(text(_members(speech, stream)))
        one.execute(text(_learners(speech)), weeks)
        for statement in (_gone(speech), _lessons(), _issues(speech), *_events(speech)):
            one.execute(text(statement))
        for _, made in indexes:
            one.exec_driver_sql(made)
        one.commit()
        # Not to be given to others as it is.
        one.invalidate()


class _Speech:
    """What the two databases spell differently."""

    def __init__(self, is_sqlite: bool, now: datetime) -> None:
        self.is_sqlite = is_sqlite
        self._now = f"{now:%Y-%m-%d %H:%M:%S}"
        if is_sqlite:
            self.hurry = ["PRAGMA foreign_keys = OFF", "PRAGMA secure_delete = OFF"]
            self.hurry += ["PRAGMA synchronous = OFF", "PRAGMA cache_size = -400000"]
            self.indexes = (
                "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"
            )
            return
        self.hurry = ["SET session_replication_role = replica", "SET work_mem = '128MB'"]
        self.hurry += ["SET maintenance_work_mem = '256MB'"]
        self.indexes = (
            "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'"
            " AND indexname NOT IN (SELECT conname FROM pg_constraint)"
        )

    def ago(self, seconds: str) -> str:
        """A stored moment, so many seconds ago."""
        if self.is_sqlite:
            moved = f"'-' || ({seconds}) || ' seconds'"
            return f"strftime('%Y-%m-%d %H:%M:%S.000000', '{self._now}', {moved})"
        return f"(TIMESTAMPTZ '{self._now}+00' - make_interval(secs => ({seconds})))"

    def key(self, number: str) -> str:
        """Sixteen bytes for a number."""
        digits = f"substr('0000000000000000' || {number}, -16)"
        if self.is_sqlite:
            return f"CAST({digits} AS BLOB)"
        return f"convert_to(lpad(CAST({number} AS TEXT), 16, '0'), 'UTF8')"


_NUMBERS = (
    "WITH RECURSIVE numbers(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM numbers WHERE i < :people)"
)


def _people(speech: _Speech) -> str:
    return f"""
        INSERT INTO subscriber (id, address, address_key, first_name, last_name, locale, district,
            birth_year, birth_month, birth_day, attributes, tracking, created_at)
        {_NUMBERS}
        SELECT i, 'person-' || i || '@schule-' || (i % 97) || '.example', {speech.key("i")},
            'Max', 'Beispiel' || i, 'de',
            CASE i % 5 WHEN 0 THEN 'Gorbitz' WHEN 1 THEN 'Prohlis' ELSE 'Neustadt' END,
            1950 + i % 50, 1 + i % 12, 1 + (i / 12) % 28, '{{}}', i % 3 = 0,
            {speech.ago("86400 * 300")}
        FROM numbers WHERE true"""


def _members(speech: _Speech, stream: int) -> str:
    """All in one stream, who joined on three hundred days."""
    ago = f"60 + (id * 7919 + {stream} * 131) % (86400 * 300)"
    return f"""
        INSERT INTO subscription (subscriber_id, stream_id, state, generation, created_at,
            confirmed_at)
        SELECT id, {stream}, 'confirmed', 1, {speech.ago(ago)}, {speech.ago(ago)}
        FROM subscriber WHERE id > 0"""


def _week(week: int, began: date) -> dict[str, object]:
    """What those share who began in a week: bound parameters of `_learners`."""
    is_over = week >= len(LESSONS) - 1

    def ten(day: date) -> datetime:
        return wall_to_utc(day, time(10), BERLIN)

    last = began + timedelta(weeks=min(week, len(LESSONS) - 1))
    stored = "%Y-%m-%d %H:%M:%S.000000"
    return {
        "weeks": WEEKS,
        "week": week,
        "state": "finished" if is_over else "active",
        "anchor": began.isoformat(),
        "position": min(week + 1, len(LESSONS)),
        "due": None if is_over else f"{ten(last + timedelta(weeks=1)):{stored}}",
        "last": last.isoformat(),
        "started": f"{ten(began):{stored}}",
        "ended": f"{ten(last):{stored}}" if is_over else None,
    }


def _learners(speech: _Speech) -> str:
    zone = "" if speech.is_sqlite else " || '+00'"
    moment = "TEXT" if speech.is_sqlite else "TIMESTAMPTZ"
    day = "TEXT" if speech.is_sqlite else "DATE"

    def at(name: str) -> str:
        return f"CAST(CAST(:{name} AS TEXT){zone} AS {moment})"

    return f"""
        INSERT INTO enrollment (id, subscriber_id, course_id, structure_id, state, anchor_on,
            next_position, next_due_at, last_lesson_on, started_at, ended_at)
        SELECT id, id, 1, 1, CAST(:state AS TEXT), CAST(CAST(:anchor AS TEXT) AS {day}),
            CAST(:position AS INTEGER), {at("due")}, CAST(CAST(:last AS TEXT) AS {day}),
            {at("started")}, {at("ended")}
        FROM subscriber WHERE id % :weeks = :week"""


def _gone(speech: _Speech) -> str:
    """Addresses of people who are no longer here, and want no mail."""
    return f"""
        INSERT INTO suppression (address_key, reason, suppressed_at)
        SELECT {speech.key("(id + 1000000000)")}, 'never', created_at
        FROM subscriber WHERE id % 4 = 0"""


def _lessons() -> str:
    """The last lesson of each, handed over; one in a hundred failed."""
    ended = "COALESCE(enrollment.ended_at, enrollment.started_at)"
    return f"""
        INSERT INTO delivery (purpose, kind, occurrence, subscriber_id, stream_id, generation,
            enrollment_id, slug, message_id, lane, state, due_at, planned_at, fence, attempts,
            first_started_at, started_at, ended_at, reply_stage, reply_code)
        SELECT 'stream', lesson.kind, 'lesson:' || enrollment.id || ':' || lesson.slug,
            enrollment.subscriber_id, 3, 1, enrollment.id, lesson.slug, message.id, 1,
            CASE WHEN enrollment.id % 100 = 0 THEN 'failed' ELSE 'accepted' END,
            {ended}, {ended}, 1, 1, {ended}, {ended}, {ended}, 'dot', 250
        FROM enrollment
        JOIN lesson ON lesson.structure_id = enrollment.structure_id
            AND lesson.position = enrollment.next_position - 1
        JOIN message ON message.slug = lesson.slug
        WHERE enrollment.id > 0"""


def _issues(speech: _Speech) -> str:
    """A newsletter of three weeks ago, to one in four."""
    at = speech.ago("86400 * 21")
    return f"""
        INSERT INTO delivery (purpose, kind, occurrence, subscriber_id, stream_id, generation,
            slug, message_id, lane, state, due_at, planned_at, fence, attempts,
            first_started_at, started_at, ended_at, reply_stage, reply_code)
        SELECT 'stream', 'newsletter', 'campaign:0', subscriber.id, 1, 1, 'newsletter/2026-11',
            message.id, 2, 'accepted', {at}, {at}, 1, 1, {at}, {at}, {at}, 'dot', 250
        FROM subscriber JOIN message ON message.slug = 'newsletter/2026-11'
        WHERE subscriber.id % 4 = 0"""


def _events(speech: _Speech) -> Iterator[str]:
    """Of every third one who is measured: opened, clicked; some answered, some asked for more."""
    for kind, every, name, verdict in (
        ("opened", 3, "NULL", "'human'"),
        ("clicked", 6, "NULL", "'human'"),
        ("interested", 20, "'video'", "NULL"),
        ("answered", 10, "'q1'", "NULL"),
    ):
        at = speech.ago(f"3600 + (subscriber.id * 6151) % (86400 * {90 if every > 3 else 400})")
        link = "link.id" if kind == "clicked" else "NULL"
        yield f"""
            INSERT INTO event (kind, at, subscriber_id, delivery_id, message_id, link_id, name,
                verdict, data)
            SELECT '{kind}', {at}, subscriber.id, delivery.id, delivery.message_id, {link},
                {name}, {verdict}, '{{}}'
            FROM subscriber
            JOIN delivery ON delivery.subscriber_id = subscriber.id
                AND delivery.enrollment_id IS NOT NULL
            JOIN link ON link.message_id = delivery.message_id
            WHERE subscriber.id % {every} = 0"""


def learners_due(connection: Connection) -> int:
    """How many lessons wait for next Monday."""
    waiting = text("SELECT count(*) FROM enrollment WHERE state = 'active'")
    return int(connection.execute(waiting).scalar_one())


def number_of(connection: Connection, stream: str) -> int:
    """A stream's number."""
    return int(connection.execute(select(STREAM.c.id).where(STREAM.c.slug == stream)).scalar_one())
