"""How long each question of the segment language takes, asked of everybody at once.

Everybody is made once for each database; each question is counted as `segments count` counts it,
and is the quickest of three.
"""

import time
from collections.abc import Iterator
from dataclasses import replace

from sqlalchemy import Connection, text

from bench.figures import Figure, Goal, MissingError, Size
from bench.multitude import BACKENDS, BERLIN, Multitude, fresh, look_around, settle_in
from l3mail import audiences
from l3mail.audiences import Terms
from l3mail.database import opened
from l3mail.segments import Attribute

PEOPLE = {Size.FULL: 1_000_000, Size.QUICK: 5_000}
TERMS = Terms(
    BERLIN,
    "consent",
    "de",
    {
        "role": Attribute("text"),
        "groups": Attribute("number"),
        "since": Attribute("date"),
        "mentor": Attribute("bool"),
        "school": Attribute("choice", ("kita", "schule", "vhs")),
    },
)
QUESTIONS = {
    "everybody": "True",
    "district": 'district in ["Gorbitz", "Prohlis"]',
    "age": "age >= 60",
    "birthday": "birthday in this_week",
    "joined": "joined >= today - 30",
    "joined_days": "joined_days > 30",
    "text attribute": 'attrs.role == "vhs"',
    "number attribute": "attrs.groups >= 3",
    "date attribute": "attrs.since >= today - 30",
    "truth attribute": "attrs.mentor",
    "choice attribute": 'attrs.school in ["kita", "vhs"]',
    "stream": 'stream("newsletter")',
    "enrolled": 'enrolled("kurs")',
    "finished": 'finished("kurs")',
    "completed": 'completed("kurs")',
    "received": 'received("kurs/02")',
    "opened": 'opened("kurs/02")',
    "clicked": 'clicked("kurs/02", "video")',
    "answered": 'answered("kurs/02", "q1")',
    "answered so": 'answered("kurs/02", "q1", "b")',
    "interested": 'interested("video")',
    "inactive_days": "inactive_days > 90",
    "done_days": 'done_days("kurs") >= 10',
    "a nest": (
        'segment("west") and (received("kurs/02") or clicked("kurs/02", "video"))'
        ' and not interested("video")'
    ),
}
SAVED = {"west": 'district == "Gorbitz" and age >= 60 and joined_days > 30'}
IN_THE_WAY = "Asked of everybody, one after the other: what many have costs a look for each."


def figures(size: Size) -> Iterator[Figure]:
    """The seconds of each question, on SQLite and on PostgreSQL."""
    people = PEOPLE[size]
    for backend in BACKENDS:
        try:
            with fresh(backend) as url, opened(url) as database:
                one = settle_in(database, people)
                _say(one)
                for name, question in QUESTIONS.items():
                    seconds, count = _timed(one, question)
                    detail = f"{1000 * seconds:.0f} ms for {count:,} of {people:,}: {question}"
                    yield Figure(_goal(name, people, backend), seconds, detail)
        except MissingError as fault:
            yield Figure(_goal("each", people, backend), None, str(fault))


def _goal(name: str, people: int, backend: str) -> Goal:
    title = f"segment of {people:,}, {name}, {backend}"
    return Goal(title, 1, 0.3, "s", less_is_better=True, in_the_way=IN_THE_WAY)


def _timed(one: Multitude, question: str) -> tuple[float, int]:
    took = []
    found = audiences.Count(0, 0)
    for _ in range(3):
        began = time.perf_counter()
        found = one.database.read(lambda connection: _count(connection, question, one))
        took.append(time.perf_counter() - began)
    return min(took), found.count


def _count(connection: Connection, question: str, one: Multitude) -> audiences.Count:
    vocabulary = replace(TERMS.vocabulary(connection), segments=SAVED)
    asked = TERMS.compiled(audiences.read(question, vocabulary), one.clock.now())
    return audiences.count(connection, asked)


def _say(one: Multitude) -> None:
    """Let everybody tell what attributes they have, and save the segment of the nest."""
    parts = (
        """'{"role": "' || CASE id % 3 WHEN 0 THEN 'vhs' ELSE 'kita' END""",
        """'", "school": "vhs", "groups": ' || CAST(id % 7 AS TEXT)""",
        """', "mentor": ' || CASE id % 2 WHEN 0 THEN 'true' ELSE 'false' END""",
        """', "since": "2026-1' || CAST(id % 2 AS TEXT) || '-1' || CAST(id % 9 AS TEXT) || '"}'""",
    )
    said = " || ".join(parts)
    kind = said if one.database.is_sqlite else f"CAST({said} AS JSONB)"
    saying = text(f"UPDATE subscriber SET attributes = {kind}".replace(":", r"\:"))
    one.database.write(lambda connection: connection.execute(saying))
    look_around(one.database)
