"""What a question asks of each person is found by an index: on SQLite, by its own account."""

from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import ClauseElement, select
from sqlalchemy.dialects import sqlite

from l3mail import audiences, segments
from l3mail.models import SUBSCRIBER
from l3mail.segments import Attribute, Vocabulary
from tests.fakes.village import Village

BERLIN = ZoneInfo("Europe/Berlin")
QUESTIONS = [
    'stream("newsletter")',
    'enrolled("kurs")',
    'finished("kurs")',
    'completed("kurs")',
    'received("kurs/01")',
    'opened("kurs/01")',
    'clicked("kurs/01", "video")',
    'answered("kurs/01", "q1", "b")',
    'interested("video")',
    "inactive_days > 90",
    'done_days("kurs") >= 10',
]


OF_THE_PERSON = [
    "birthday in this_week",
    "joined >= today - 30",
    'attrs.role == "vhs"',
    "age >= 60",
]
WORDS = Vocabulary(attributes={"role": Attribute("text")})


@pytest.mark.parametrize("text", [*QUESTIONS, *OF_THE_PERSON])
def test_a_count_scans_no_table_but_that_of_the_people(sqlite_village: Village, text: str) -> None:
    question = segments.compile(segments.parse(text, WORDS), sqlite_village.now, BERLIN, "consent")
    plan = plan_of(sqlite_village, audiences.counting(question))
    scanned = [step for step in plan if step.startswith("SCAN") and "CONSTANT" not in step]
    assert {step.split()[1] for step in scanned} == {"subscriber"}


def plan_of(village: Village, query: ClauseElement) -> list[str]:
    compiled = query.compile(
        dialect=sqlite.dialect(), compile_kwargs={"literal_binds": True, "render_postcompile": True}
    )
    plan = village.database.read(
        lambda connection: list(connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {compiled}"))
    )
    return [str(step[3]) for step in plan]


@pytest.mark.parametrize("text", QUESTIONS)
def test_a_question_scans_no_table_but_that_of_the_people(
    sqlite_village: Village, text: str
) -> None:
    question = segments.compile(
        segments.parse(text, Vocabulary()), sqlite_village.now, BERLIN, "consent"
    )
    query = select(SUBSCRIBER.c.id).where(question.yes)
    steps = plan_of(sqlite_village, query)
    assert [step for step in steps if step.startswith("SCAN")] == ["SCAN subscriber"], steps
    found = [step for step in steps if step.startswith("SEARCH")]
    assert any("subscriber_id=" in step for step in found), steps
