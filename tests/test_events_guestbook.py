"""The guestbook: visits come in at once and are written together, or wait, or make room."""

import asyncio
import threading
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from l3mail.database import Database, Verb
from l3mail.errors import DatabaseClosedError, DatabaseUnavailableError
from l3mail.events import Guestbook, Visit, guestbook
from l3mail.models import COUNTER, EVENT
from tests.fakes.village import Village

BERLIN = ZoneInfo("Europe/Berlin")


class Place:
    """A book, and a text that is visited by nobody in particular."""

    def __init__(self, village: Village, mode: str = "aggregate", most: int = 10) -> None:
        self.village = village
        self.message = village.publish()
        self.book = Guestbook(village.database, mode=mode, zone=BERLIN, most=most)

    def come(self, times: int = 1, **values: Any) -> None:
        for _ in range(times):
            visit: dict[str, Any] = {"kind": "opened", "at": self.village.now}
            visit |= {"message_id": self.message}
            self.book.add(Visit(**visit | values))

    def counted(self) -> int:
        return sum(row["n"] for row in self.village.rows(COUNTER))


@pytest.fixture
def place(sqlite_village: Village) -> Place:
    return Place(sqlite_village)


def away(self: object, verb: Verb[Any]) -> Any:
    raise DatabaseUnavailableError("disk full")


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelname != "INFO"]


def test_what_came_in_is_written_by_a_flush_in_one_transaction(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    writes: list[object] = []
    write = Database.write

    def counting(database: Database, verb: Verb[Any]) -> Any:
        writes.append(verb)
        return write(database, verb)

    monkeypatch.setattr(Database, "write", counting)
    place.come(4)
    assert (len(place.book), place.counted(), writes) == (4, 0, [])
    assert place.book.flush()
    assert (len(place.book), place.counted(), len(writes)) == (0, 4, 1)
    assert place.book.flush()
    assert len(writes) == 1  # nothing came: nothing is written


@pytest.mark.parametrize(
    "fault", [DatabaseUnavailableError("locked"), DatabaseClosedError("read-only")], ids=repr
)
def test_what_can_not_be_written_waits_in_its_order(
    place: Place, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    def faulty(self: object, verb: Verb[Any]) -> Any:
        place.come(link_id=None, verdict="machine")  # somebody comes meanwhile
        raise fault

    place.come(2)
    with monkeypatch.context() as patched:
        patched.setattr(Database, "write", faulty)
        assert not place.book.flush()
    assert [visit.verdict for visit in place.book._waiting] == ["raw", "raw", "machine"]
    assert place.book.flush()
    assert (place.counted(), place.book.lost) == (2, 0)


def test_while_the_database_is_away_the_oldest_make_room_and_it_is_told_once(
    place: Place, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(Database, "write", away)
        for _ in range(3):
            place.come(6)
            assert not place.book.flush()
            place.village.clock.advance(timedelta(days=1))
    assert (len(place.book), place.book.lost) == (10, 8)
    assert place.book.flush()
    days = {row["day"].day: row["n"] for row in place.village.rows(COUNTER)}
    assert days == {24: 4, 25: 6}  # of the three days the first one made room
    assert told(caplog) == [
        "visits wait until the database can be written: disk full",
        "visits are written again; 8 did not wait",
    ]


def test_a_fault_of_ours_costs_its_batch_and_stands_in_nobodys_way(
    place: Place, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def faulty(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    place.come(3)
    with monkeypatch.context() as patched:
        patched.setattr(guestbook, "record_visits", faulty)
        assert place.book.flush()
    place.come()
    assert place.book.flush()
    assert (place.counted(), place.book.lost) == (1, 3)
    assert told(caplog) == ["a fault of ours cost 3 visits"]


def test_where_nothing_is_measured_nobody_waits(sqlite_village: Village) -> None:
    place = Place(sqlite_village, mode="off")
    place.come(3)
    assert len(place.book) == 0


def test_visits_of_what_nobody_knows_any_more_do_not_keep_the_rest_back(village: Village) -> None:
    place = Place(village, mode="consent")
    person = village.learner(tracking=True)
    gone = village.delivery(person, message_id=None)
    sent = village.delivery(person, message_id=place.message, state="accepted")
    place.come(message_id=10**6)
    place.come(delivery_id=10**6, message_id=None)
    place.come(delivery_id=gone, message_id=None)
    place.come(delivery_id=sent, message_id=None)
    place.come()
    assert place.book.flush()
    assert [row["message_id"] for row in village.rows(EVENT)] == [place.message]
    assert (place.counted(), place.book.lost) == (1, 0)


def test_what_comes_is_kept_soon_after_and_at_once_where_many_come(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def live(hold: float, visits: int) -> None:
        monkeypatch.setattr(guestbook, "HOLD_SECONDS", hold)
        written = asyncio.Event()
        flushes = Guestbook.flushes

        async def telling(book: Guestbook) -> bool:
            done = await flushes(book)
            written.set()
            return done

        monkeypatch.setattr(Guestbook, "flushes", telling)
        keeping = asyncio.create_task(place.book.keep())
        await asyncio.sleep(0)
        place.come(visits)
        async with asyncio.timeout(60):
            await written.wait()
        keeping.cancel()

    asyncio.run(live(0.0, 1))
    assert place.counted() == 1
    place.book = Guestbook(place.village.database, mode="aggregate", zone=BERLIN, most=10)
    asyncio.run(live(3600.0, 5))  # half of what may wait
    assert place.counted() == 6


def test_where_visits_come_faster_than_they_are_written_they_wait_at_the_door(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    book = place.book
    monkeypatch.setattr(guestbook, "HOLD_SECONDS", 3600.0)
    monkeypatch.setattr(guestbook, "PATIENCE_SECONDS", 3600.0)

    async def live() -> None:
        keeping = asyncio.create_task(book.keep())
        async with asyncio.timeout(60):
            for _ in range(40):
                await book.room()
                place.come()
        keeping.cancel()

    asyncio.run(live())
    assert book.flush()
    assert (place.counted(), book.lost) == (40, 0)


def test_nobody_waits_at_the_door_for_a_database_that_is_away_or_for_long(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.come(10)
    assert place.book.is_crowded
    monkeypatch.setattr(guestbook, "PATIENCE_SECONDS", 0.0)
    asyncio.run(place.book.room())
    monkeypatch.setattr(Database, "write", away)
    assert not place.book.flush()
    monkeypatch.setattr(guestbook, "PATIENCE_SECONDS", 3600.0)
    asyncio.run(place.book.room())
    assert len(place.book) == 10


def test_many_are_written_in_transactions_that_others_can_wait_for(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches: list[int] = []
    monkeypatch.setattr(guestbook, "MOST_AT_ONCE", 4)
    monkeypatch.setattr(
        guestbook, "record_visits", lambda _connection, visits, **_: batches.append(len(visits))
    )
    place.come(10)
    assert place.book.flush()
    assert batches == [4, 4, 2]


def test_two_who_flush_at_once_write_everything_once(place: Place) -> None:
    place.book = Guestbook(place.village.database, mode="aggregate", zone=BERLIN)
    threads = [threading.Thread(target=place.book.flush) for _ in range(4)]
    place.come(500)
    for thread in threads:
        thread.start()
    place.come(500)
    for thread in threads:
        thread.join()
    place.book.flush()
    assert place.counted() == 1000
