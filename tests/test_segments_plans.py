"""What a question asks of each person is found by an index: on SQLite, by its own account."""

from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import select
from sqlalchemy.dialects import sqlite

from l3mail import segments
from l3mail.models import SUBSCRIBER
from l3mail.segments import Vocabulary
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
]


@pytest.mark.parametrize("text", QUESTIONS)
def test_a_question_scans_no_table_but_that_of_the_people(
    sqlite_village: Village, text: str
) -> None:
    question = segments.compile(
        segments.parse(text, Vocabulary()), sqlite_village.now, BERLIN, "consent"
    )
    query = select(SUBSCRIBER.c.id).where(question.yes)
    compiled = query.compile(
        dialect=sqlite.dialect(), compile_kwargs={"literal_binds": True, "render_postcompile": True}
    )
    plan = sqlite_village.database.read(
        lambda connection: list(connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {compiled}"))
    )
    steps = [str(step[3]) for step in plan]
    assert [step for step in steps if step.startswith("SCAN")] == ["SCAN subscriber"], steps
    found = [step for step in steps if step.startswith("SEARCH")]
    assert any("subscriber_id=" in step for step in found), steps
