"""The mark a sender leaves outside the database: never behind for long, never on the loop."""

import threading
from datetime import timedelta
from pathlib import Path

import pytest

from l3mail import outbox
from l3mail.errors import StateError
from l3mail.models import ACTIONS, DELIVERY
from l3mail.outbox import Started
from l3mail.sending import HighWater, Mark, contradiction, high_water, read_mark, write_mark
from tests.fakes.post import relay_of, sender_for, terms
from tests.fakes.relay import Relay
from tests.fakes.village import MONDAY_TEN, Village

LATER = MONDAY_TEN + timedelta(minutes=1)


def begun(number: int, fence: int = 1) -> Started:
    return Started(number, fence, "stream", "", "", "", "", 1, 1, MONDAY_TEN, MONDAY_TEN)


def uuid_of(village: Village) -> str:
    return str(
        village.database.read(lambda c: c.exec_driver_sql("SELECT uuid FROM workspace").scalar())
    )


def test_closing_writes_what_was_begun_last_and_highest(tmp_path: Path) -> None:
    keeper = HighWater(tmp_path, "u")
    keeper.note([begun(7), begun(9)])
    keeper.note([])
    keeper.note([begun(3, fence=4)])
    keeper.close()
    assert read_mark(tmp_path) == Mark("u", 9, MONDAY_TEN, 3, 4)
    assert (tmp_path / "high-water").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["high-water"]


def test_who_closes_just_when_the_thread_awakes_does_not_wait_for_ever(tmp_path: Path) -> None:
    keeper = HighWater(tmp_path, "u")
    closer = threading.Thread(target=keeper.close, daemon=True)
    asked, started = threading.Event(), threading.Event()

    class News(threading.Event):
        def set(self) -> None:
            super().set()
            if threading.current_thread() is closer:
                asked.set()

        def clear(self) -> None:
            """Between awaking and clearing somebody closes, and says so."""
            if not started.is_set():
                closer.start()
                started.set()
                asked.wait()
            super().clear()

    keeper._news = News()
    keeper.note([begun(1)])
    started.wait()
    closer.join(10)
    assert not closer.is_alive()
    assert read_mark(tmp_path) == Mark("u", 1, MONDAY_TEN, 1, 1)


def test_who_began_nothing_writes_nothing(tmp_path: Path) -> None:
    HighWater(tmp_path, "u").close()
    assert read_mark(tmp_path) is None


def test_writing_is_another_threads_work_and_done_once_in_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[tuple[str, int]] = []
    first = threading.Event()

    def write(_: Path, mark: Mark) -> None:
        written.append((threading.current_thread().name, mark.highest))
        first.set()

    monkeypatch.setattr(high_water, "write_mark", write)
    monkeypatch.setattr(high_water, "EVERY_SECONDS", 3600.0)
    keeper = HighWater(tmp_path, "u")
    keeper.note([begun(1)])
    assert first.wait(10)
    for number in range(2, 1000):
        keeper.note([begun(number)])
    keeper.close()
    assert written == [("l3mail-high-water", 1), ("l3mail-high-water", 999)]


def test_a_disk_without_room_is_told_once_and_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tries = []
    done = threading.Event()

    def write(folder: Path, mark: Mark) -> None:
        tries.append(mark)
        if len(tries) < 4:
            raise OSError(28, "No space left on device")
        write_mark(folder, mark)
        done.set()

    monkeypatch.setattr(high_water, "write_mark", write)
    monkeypatch.setattr(high_water, "EVERY_SECONDS", 0.001)
    keeper = HighWater(tmp_path, "u")
    keeper.note([begun(1)])
    assert done.wait(10)
    keeper.close()
    assert read_mark(tmp_path) == Mark("u", 1, MONDAY_TEN, 1, 1)
    assert caplog.text.count("No space left on device") == 1


def test_a_sender_marks_its_last_start(village: Village, tmp_path: Path) -> None:
    import asyncio

    from l3mail.sending import Sender
    from tests.fakes.post import composed

    village.publish()
    last = [village.delivery(village.learner(f"p{n}@schule.example")) for n in range(5)][-1]
    keeper = HighWater(tmp_path, uuid_of(village))
    with Relay() as relay:
        wires = relay_of(relay)
        sender = Sender(
            village.database, village.clock, terms(village), wires.open, composed, high_water=keeper
        )
        asyncio.run(sender.run(once=True))
    mark = read_mark(tmp_path)
    assert mark is not None
    assert mark.highest == last
    assert village.do(contradiction, mark) is None


def test_without_a_mark_a_sender_sends_all_the_same(village: Village) -> None:
    import asyncio

    village.publish()
    village.delivery(village.learner())
    with Relay() as relay:
        asyncio.run(sender_for(village, relay_of(relay)).run(once=True))
        assert len(relay.accepted) == 1


@pytest.fixture
def started(village: Village) -> tuple[Village, int, Mark]:
    """One delivery begun, and the mark of it."""
    village.publish()
    number = village.delivery(village.learner())
    (delivery,) = village.start()
    return (
        village,
        number,
        Mark(uuid_of(village), number, delivery.started_at, number, delivery.fence),
    )


def test_however_a_row_fares_its_start_stays_proven(started: tuple[Village, int, Mark]) -> None:
    village, number, mark = started
    village.change(DELIVERY, number, lease_until=village.now)
    village.take_over()
    assert village.do(contradiction, mark) is None
    village.do(outbox.resolve, [number], "resend", village.now)
    assert village.do(contradiction, mark) is None
    village.clock.set(MONDAY_TEN - timedelta(days=1))
    village.start()
    assert village.do(contradiction, mark) is None


@pytest.mark.parametrize(
    "earlier",
    [
        {"fence": 0, "started_at": None},
        {"started_at": None},
        {"started_at": MONDAY_TEN - timedelta(seconds=1)},
    ],
    ids=["not claimed", "claimed", "begun before, and claimed again"],
)
def test_every_earlier_state_of_that_row_betrays_a_copy(
    started: tuple[Village, int, Mark], earlier: dict[str, object]
) -> None:
    village, number, mark = started
    village.change(DELIVERY, number, state="queued", **earlier)
    assert "was begun" in str(village.do(contradiction, mark))


def test_a_number_never_given_or_a_strange_database_betrays_a_copy(
    started: tuple[Village, int, Mark],
) -> None:
    village, number, mark = started
    higher = Mark(mark.uuid, number + 1, mark.at, mark.last, mark.fence)
    assert f"delivery {number + 1}" in str(village.do(contradiction, higher))
    strange = Mark("0" * 32, number, mark.at, mark.last, mark.fence)
    assert "another database" in str(village.do(contradiction, strange))


def test_what_was_reconciled_on_another_host_is_believed_here(
    started: tuple[Village, int, Mark],
) -> None:
    village, number, mark = started
    village.change(DELIVERY, number, state="queued", fence=0, started_at=None)
    note = {"who": "ada", "command": "db reconcile", "counts": {}}
    early = village.insert(ACTIONS, at=MONDAY_TEN - timedelta(hours=1), **note)
    assert village.do(contradiction, mark)
    village.change(ACTIONS, early, at=LATER)
    assert village.do(contradiction, mark) is None


MARK = '{"uuid": "u", "highest": 1, "at": "2026-11-23T09:00:00+00:00", "last": 1, "fence": 1}'
STRANGE = [("1,", '"x",'), ("1,", "null,"), ('"last": 1', '"last": "x"'), ("1}", "1.5}")]
STRANGE += [("+00:00", ""), ('"u"', "7")]


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", '{"uuid": "u"}', "\xff", *(MARK.replace(*one, 1) for one in STRANGE)],
)
def test_a_damaged_mark_is_told_and_not_guessed_at(tmp_path: Path, content: str) -> None:
    (tmp_path / "high-water").write_text(content, encoding="latin-1")
    with pytest.raises(StateError, match="damaged"):
        read_mark(tmp_path)


def test_the_brake_holds_until_it_is_lifted_whoever_resumes(village: Village) -> None:
    village.publish()
    waiting = village.delivery(village.learner())
    claims = village.claim()
    assert village.do(outbox.hold_back, "l3mail", village.now)
    assert not village.do(outbox.hold_back, "l3mail", LATER)
    assert village.do(outbox.restored_at) == village.now
    village.do(outbox.halt, "everything", "", "ada", village.now)
    assert [one.is_brake for one in village.do(outbox.resume)] == [False]
    assert village.do(outbox.flowing) == 0
    assert village.begin(claims) == []
    assert village.claim() == []
    village.do(outbox.let_go)
    assert [one.id for one in village.start()] == [waiting]
