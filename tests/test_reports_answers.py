"""Answers as they are asked about: by segments, in reports, one by one."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from l3mail import reports, segments
from l3mail.models import SUBSCRIBER
from l3mail.reports import learning
from l3mail.reports.answers import Wanted, count, everything, listing
from l3mail.segments import Vocabulary
from tests.fakes.porch import Porch, open_porch
from tests.fakes.questions import FEEDBACK, QUIZ
from tests.fakes.village import Village
from tests.test_web_answers import asked


@pytest.fixture
def porch(village: Village, tmp_path: Path) -> Iterator[Porch]:
    with open_porch(village, tmp_path) as porch:
        yield porch


def test_an_answer_by_the_page_is_found_by_segments_reports_and_the_list(porch: Porch) -> None:
    village, zone = porch.village, porch.settings.zone
    token = asked(porch, QUIZ, FEEDBACK)
    porch.client.post(f"/quiz/{token}", data={"of": "q1", "answer": "a"})
    village.clock.advance(timedelta(minutes=1))
    porch.client.post(f"/quiz/{token}", data={"of": "q1", "answer": "b"})
    words = "=Sehr 100%"
    data = {"of": "nutzen", "answer": "5", "comment": words}
    porch.client.post(f"/feedback/{token}", data=data)
    (person,) = (row["id"] for row in village.rows(SUBSCRIBER))
    for text, found in (
        ('answered("kurs/01", "q1", "b")', True),
        ('answered("kurs/01", "q1", "a")', False),
        ('answered("kurs/01", "nutzen")', True),
        ('answered("kurs/02", "q1")', False),
        ('completed("kurs")', True),
    ):
        question = segments.compile(segments.parse(text, Vocabulary()), village.now, zone, "off")
        assert village.ask(select(SUBSCRIBER.c.id).where(question.yes)) == [(person,)] * found
    (figures,) = village.do(learning.look, reports.week("2026-W48", zone, village.now))
    assert [one.answered for one in figures.lessons] == [1, 0]
    assert figures.completed == 1

    def listed(wanted: Wanted) -> list[tuple[str, str, str]]:
        rows = village.database.read(lambda c: list(everything(c, wanted)))
        assert rows == village.do(listing, wanted, 10)
        assert len(rows) == village.do(count, wanted)
        return [(row["question"], row["words"], row["comment"]) for row in rows]

    quiz_row, feedback_row = ("q1", "hochkant", ""), ("nutzen", "5 (sehr)", words)
    assert listed(Wanted()) == [quiz_row, feedback_row]
    assert listed(Wanted(search="SEHR 100%")) == [feedback_row]
    assert listed(Wanted(course="kurs", lesson="01", question="q1")) == [quiz_row]
    assert listed(Wanted(lesson="1")) == []
