"""How long `l3mail simulate` takes for a year of ten thousand learners and every kind of trigger.

The starter's course, which people begin over twenty weeks; everybody has a birthday, joined the
lifecycle mailings on some day of the past year, and has just asked for something. The command runs
as operators run it, as a process of its own, with its output as JSON.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from sqlalchemy import Connection, insert, select

from bench.crowd import CHUNK, MEASURED, ROOT, SETTINGS, surroundings
from bench.figures import Figure, Goal, Size
from l3mail.addresses import address_key, parse_address
from l3mail.clocks import SystemClock
from l3mail.courses.structures import timetables
from l3mail.models import COURSE, ENROLLMENT, EVENT, STREAM, SUBSCRIBER, SUBSCRIPTION
from l3mail.settings import Settings, load_pepper, load_settings
from l3mail.starter import lay_out
from l3mail.wiring import open_database, set_up

YEAR = Goal(
    "simulate: one year, 10 k learners, all triggers",
    60,
    10,
    unit="s",
    less_is_better=True,
    in_the_way=(
        "The real planner lives through the year: 1,676 looks at 645 moments, 63,000 statements."
        " SQLite takes a third of the profile, SQLAlchemy's way there a quarter; two thirds go to"
        " triggers, whose mails are queued in 6,200 small lots. Fewer looks would be another"
        " planner."
    ),
)


@dataclass(frozen=True, slots=True)
class Future:
    """How many learners begin within so many weeks, and how many weeks are simulated."""

    learners: int
    beginning_weeks: int
    weeks: int


FUTURES = {Size.FULL: Future(10_000, 20, 52), Size.QUICK: Future(200, 2, 10)}

COURSE_SLUG = "digital-kommunizieren"
JOINED_WITHIN = timedelta(days=300)
TRIGGERS = {
    "birthday": "",
    "yearly": 'on: "06-21"',
    "anniversary": "",
    "joined": 'after: "40w"\nat: "10:00"',
    "clicked": 'of: anmeldung\nat: "10:00"',
    "interested": 'of: video\nafter: "3d"\nat: "10:00"',
    "answered": 'of: q1\nat: "10:00"',
    "finished": f'of: {COURSE_SLUG}\nafter: "2d"\nat: "10:00"',
    "inactive": 'after: "26w"',
}
LIFECYCLE = '\n[streams.lifecycle]\ntitle = "Grüße"\nkind = "lifecycle"\n'


def figures(size: Size) -> Iterator[Figure]:
    """The seconds of one run of the command."""
    future = FUTURES[size]
    with tempfile.TemporaryDirectory(prefix="l3mail-bench-") as folder:
        workspace = Path(folder) / "workspace"
        gather(settle(workspace), future)
        command = [sys.executable, "-m", "l3mail", "--workspace", str(workspace)]
        command += ["simulate", "--weeks", str(future.weeks), "--json"]
        began = time.perf_counter()
        told = subprocess.run(
            command, check=True, stdout=subprocess.PIPE, cwd=ROOT, env=surroundings()
        ).stdout
        seconds = time.perf_counter() - began
    mails = json.loads(told)
    kinds = Counter(mail["kind"] for mail in mails)
    if kinds["lesson"] != 6 * future.learners:
        raise RuntimeError(f"{future.learners} learners were to have six lessons each: {kinds}")
    counts = ", ".join(f"{count:,} {kind}" for kind, count in kinds.most_common())
    yield Figure(
        YEAR,
        seconds,
        f"{future.learners:,} learners for {future.weeks} weeks, {len(TRIGGERS)} kinds of trigger:"
        f" {counts}",
    )


def settle(workspace: Path) -> Settings:
    """A workspace with the starter's course and one mailing for each kind of trigger."""
    lay_out(workspace)
    settings = SETTINGS.format(port=25, connections=20) + LIFECYCLE + MEASURED
    (workspace / "l3mail.toml").write_text(settings, encoding="utf-8")
    folder = workspace / "newsletters" / "lifecycle"
    for path in folder.glob("*.md"):
        path.unlink()
    for kind, more in TRIGGERS.items():
        head = f'---\nsubject: "Gruß"\nstream: lifecycle\ntrigger: {kind}\n{more}'.rstrip()
        text = f"{head}\n---\n\n{{{{ greeting }}}}, alles Gute!\n"
        (folder / f"{kind}.md").write_text(text, encoding="utf-8")
    return load_settings(workspace, {})


def gather(settings: Settings, future: Future) -> None:
    """Learners who have joined, begun or are to begin, and asked for something."""
    now = SystemClock().now()
    set_up(settings, by="bench", now=now)
    pepper = load_pepper(settings.state_dir)

    def verb(connection: Connection, first: int, last: int) -> None:
        streams = {row.slug: row.id for row in connection.execute(select(STREAM))}
        course = connection.execute(select(COURSE).where(COURSE.c.slug == COURSE_SLUG)).one()
        structure = course.current_structure_id
        timetable, _ = timetables(connection, [structure], settings.zone)[structure]
        rows: dict[str, list[dict[str, object]]] = {name: [] for name in _TABLES}
        for n in range(first, last):
            address = parse_address(f"person-{n}@schule-{n % 97}.example")
            born = now.date() - timedelta(days=20 * 365 + n % 365)
            rows["subscriber"].append(
                {
                    "id": n,
                    "address": address.address,
                    "address_key": address_key(address, pepper),
                    "first_name": "Änne",
                    "birth_month": born.month,
                    "birth_day": born.day,
                    "tracking": True,
                    "created_at": now,
                }
            )
            for slug in ("lifecycle", COURSE_SLUG):
                rows["subscription"].append(
                    {
                        "subscriber_id": n,
                        "stream_id": streams[slug],
                        "state": "confirmed",
                        "created_at": now,
                        "confirmed_at": now - JOINED_WITHIN * (n / future.learners),
                    }
                )
            started_at = now + timedelta(weeks=n % future.beginning_weeks)
            anchor_on = timetable.anchor(started_at)
            rows["enrollment"].append(
                {
                    "subscriber_id": n,
                    "course_id": course.id,
                    "structure_id": structure,
                    "state": "active",
                    "anchor_on": anchor_on,
                    "next_due_at": timetable.slot(anchor_on, 0),
                    "started_at": started_at,
                }
            )
            rows["event"].append(
                {"kind": "interested", "at": now, "subscriber_id": n, "name": "video"}
            )
        for name, table in _TABLES.items():
            connection.execute(insert(table), rows[name])

    with open_database(settings) as database:
        for first in range(1, future.learners + 1, CHUNK):
            last = min(first + CHUNK, future.learners + 1)
            database.write(lambda connection, a=first, b=last: verb(connection, a, b))  # type: ignore[misc]


_TABLES = {
    "subscriber": SUBSCRIBER,
    "subscription": SUBSCRIPTION,
    "enrollment": ENROLLMENT,
    "event": EVENT,
}
