"""Two at once about one person: whoever comes second sees what the first has done.

On PostgreSQL alone; SQLite's writers are in order by themselves.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from httpx import Response
from sqlalchemy import Connection, text

from l3mail import courses, events, subscribers
from l3mail.models import CERTIFICATE, EVENT, MESSAGE
from tests.fakes.challenge import DAY, ZONE, challenge, in_force, joined, learned
from tests.fakes.newcomer import RULES
from tests.fakes.porch import Porch, open_porch
from tests.fakes.questions import FEEDBACK, ask
from tests.fakes.village import Village
from tests.test_web_answers import lesson

pytestmark = pytest.mark.parametrize(
    "database_url", [pytest.param("postgres", marks=pytest.mark.postgres)], indirect=True
)
WAITING = text("SELECT count(*) FROM pg_locks WHERE NOT granted")


@pytest.fixture
def porch(village: Village, tmp_path: Path) -> Iterator[Porch]:
    with open_porch(village, tmp_path) as porch:
        challenge(village, rules={"complete_after": 1})
        yield porch


def learner(porch: Porch) -> tuple[tuple[int, int], str]:
    """Somebody who has completed the course, and the token of their first lesson."""
    village = porch.village
    whose = joined(village)
    message = in_force(village, "tage/01")
    compiled = village.row(MESSAGE, message)["compiled"]
    village.change(MESSAGE, message, compiled=compiled | {"interests": ["video"]})
    ask(village, message, FEEDBACK)
    learned(village, whose, 0)
    assert village.do(courses.complete, whose[1], village.now, "de")
    return whose, lesson(porch, whose, message, "tage/01")


def meanwhile(
    porch: Porch, first: Callable[[Connection], None], where: str, **form: str
) -> Response:
    """Press while the first has been done and is not committed yet."""
    village = porch.village
    with village.database.engine.connect() as other, ThreadPoolExecutor(1) as pool:
        first(other)
        pressed = pool.submit(porch.client.post, where, data=form)
        while not village.database.read(lambda connection: connection.execute(WAITING).scalar()):
            assert not pressed.done(), "it did not wait"
        other.commit()
        answer: Response = pressed.result()
        return answer


@pytest.mark.parametrize(
    ("page", "form"),
    [
        ("certificate", {"name": "Ada Lovelace"}),
        ("feedback", {"of": "nutzen", "answer": "4", "comment": "Ada war hier"}),
        ("interest", {"of": "video"}),
        ("done", {"day": "2026-11-24"}),
    ],
)
def test_nothing_is_written_of_somebody_who_is_being_erased(
    porch: Porch, page: str, form: dict[str, str]
) -> None:
    (person, _), token = learner(porch)
    village = porch.village
    village.clock.advance(DAY)

    def erase(connection: Connection) -> None:
        subscribers.erase(connection, RULES, person, village.now, by="test")

    meanwhile(porch, erase, f"/{page}/{token}", **form)
    assert village.rows(CERTIFICATE) == []
    kinds = {row["kind"] for row in village.rows(EVENT)}
    assert kinds == {"done", "unsubscribed"}
    assert len(village.rows(EVENT)) == 2


def test_no_certificate_is_written_while_the_day_it_needs_is_taken_back(porch: Porch) -> None:
    (person, enrollment), token = learner(porch)
    village = porch.village
    today = village.now.astimezone(ZONE).date()

    def take_back(connection: Connection) -> None:
        assert events.unmark(connection, person, enrollment, today)
        assert courses.reconsider(connection, enrollment)

    answer = meanwhile(porch, take_back, f"/certificate/{token}", name="Ada Lovelace")
    assert "sobald Sie den Kurs abgeschlossen haben" in answer.text
    assert village.rows(CERTIFICATE) == []
