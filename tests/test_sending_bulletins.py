"""How a sender fares, as other processes see it: while it lives, and never longer."""

import fcntl
import logging
import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from l3mail.clocks import FixedClock
from l3mail.sending import Board, Bulletin, Sender, Tally, bulletins
from l3mail.sending.bulletins import FOLDER
from tests.fakes.desk import TUESDAY, Desk, at_a_desk
from tests.fakes.post import PACE, composed, relay_of, terms
from tests.fakes.relay import Fault, Relay
from tests.fakes.village import MONDAY_TEN, Village
from tests.test_sending_limits import letters
from tests.test_sending_sender import Running

WORDS = "relay.test:25 answered 421 too busy"
ME = os.getpid()


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(MONDAY_TEN)


@pytest.fixture
def board(tmp_path: Path, clock: FixedClock) -> Iterator[Board]:
    board = Board(tmp_path, clock)
    yield board
    board.close()


def tally(fault: str | None = None, slowed_to: float | None = None) -> Tally:
    return Tally(relay_fault=fault, slowed_to=slowed_to)


def test_a_sender_tells_what_began_when_and_what_is_over(
    tmp_path: Path, board: Board, clock: FixedClock
) -> None:
    assert bulletins(tmp_path) == []
    board.post(tally())
    assert bulletins(tmp_path) == [Bulletin(ME)]
    board.post(tally(WORDS))
    clock.advance(timedelta(minutes=5))
    board.post(tally("relay.test:25 answered 421 busy still", 3.5))
    (told,) = bulletins(tmp_path)
    assert (told.relay_fault, told.relay_fault_since) == (
        "relay.test:25 answered 421 busy still",
        MONDAY_TEN,
    )
    assert (told.slowed_to, told.slowed_since) == (3.5, clock.now())
    board.post(tally(None, 4.0))
    assert bulletins(tmp_path) == [Bulletin(ME, slowed_to=4.0, slowed_since=told.slowed_since)]
    board.close()
    assert bulletins(tmp_path) == []
    assert not list((tmp_path / FOLDER).iterdir())


def test_a_relay_that_is_probed_is_down_until_a_mail_met_an_answer(
    tmp_path: Path, board: Board
) -> None:
    board.post(tally(WORDS))
    board.post(tally(), probing=True)
    assert bulletins(tmp_path)[0].relay_fault == WORDS
    board.post(tally())
    assert bulletins(tmp_path)[0].relay_fault is None


def test_what_a_dead_sender_left_says_nothing_and_is_cleared_by_the_next(
    tmp_path: Path, board: Board, clock: FixedClock
) -> None:
    dead = Board(tmp_path, clock)
    dead.post(tally(WORDS))
    assert dead._file is not None
    os.close(dead._file)
    assert bulletins(tmp_path) == []
    board.post(tally(None, 2.0))
    assert [one.slowed_to for one in bulletins(tmp_path)] == [2.0]
    assert len(list((tmp_path / FOLDER).iterdir())) == 1


def test_several_senders_of_one_machine_each_tell_their_own(
    tmp_path: Path, board: Board, clock: FixedClock
) -> None:
    other = Board(tmp_path, clock)
    board.post(tally(None, 2.0))
    other.post(tally(WORDS))
    told = bulletins(tmp_path)
    assert sorted(one.slowed_to or 0 for one in told) == [0, 2.0]
    assert sum(one.relay_fault == WORDS for one in told) == 1
    other.close()
    assert [one.slowed_to for one in bulletins(tmp_path)] == [2.0]


def test_the_longest_words_fit_and_shorter_ones_replace_them_whole(
    tmp_path: Path, board: Board
) -> None:
    board.post(tally("\N{ANGRY FACE}" * 1000))
    assert bulletins(tmp_path)[0].relay_fault == "\N{ANGRY FACE}" * 200
    board.post(tally("no"))
    assert bulletins(tmp_path)[0].relay_fault == "no"


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"process": 1}', b"\xff" * 9])
def test_a_bulletin_that_makes_no_sense_is_left_out(
    tmp_path: Path, board: Board, content: bytes
) -> None:
    board.post(tally(WORDS))
    board._path.write_bytes(content)
    assert bulletins(tmp_path) == []


def test_a_folder_that_takes_nothing_stops_no_sender(
    tmp_path: Path, clock: FixedClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "l3mail.sending")
    (tmp_path / FOLDER).write_text("in the way")
    board = Board(tmp_path, clock)
    board.post(tally(WORDS))
    board.post(tally())
    board.close()
    assert len(caplog.records) == 1
    assert bulletins(tmp_path) == []


def test_a_bulletin_that_could_not_be_written_is_written_as_soon_as_it_can_be(
    tmp_path: Path, clock: FixedClock, board: Board, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "l3mail.sending")
    in_the_way = tmp_path / FOLDER
    in_the_way.write_text("in the way")
    board.post(tally(WORDS))
    clock.advance(timedelta(minutes=5))
    board.post(tally(WORDS))
    in_the_way.unlink()
    board.post(tally(WORDS))
    assert bulletins(tmp_path) == [Bulletin(ME, relay_fault=WORDS, relay_fault_since=MONDAY_TEN)]
    assert len(caplog.records) == 1


def test_each_time_that_nothing_can_be_written_is_told_once(
    tmp_path: Path, board: Board, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.WARNING, "l3mail.sending")

    def full(*_parts: object) -> int:
        raise OSError(28, "No space left on device")

    for slowed_to in (1.0, 2.0):
        with monkeypatch.context() as patch:
            patch.setattr(os, "pwrite", full)
            board.post(tally(WORDS, slowed_to))
            board.post(tally(WORDS, slowed_to))
        board.post(tally(WORDS, slowed_to))
        assert [one.slowed_to for one in bulletins(tmp_path)] == [slowed_to]
    assert len(caplog.records) == 2


def test_where_no_lock_can_be_had_nothing_is_left_open(
    tmp_path: Path, clock: FixedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lockless(*_parts: object) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", lockless)
    board = Board(tmp_path, clock)
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(3):
        board.post(tally(WORDS))
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def posting(village: Village, server: Relay, state_dir: Path) -> Sender:
    return Sender(
        village.database,
        village.clock,
        terms(village, pace=PACE),
        relay_of(server).open,
        composed,
        board=Board(state_dir, village.clock),
    )


def test_a_relay_that_asks_for_patience_and_one_that_is_down_are_seen_from_outside(
    sqlite_village: Village, tmp_path: Path
) -> None:
    letters(sqlite_village, *["a.example"] * 200)
    slower = Fault(None, "rcpt", "reply", b"450 4.7.1 too much mail from you")
    with Relay(fault_for=lambda *_: slower) as relay:
        running = Running(lambda: posting(sqlite_village, relay, tmp_path))
        try:
            running.until(lambda: any(one.slowed_to for one in bulletins(tmp_path)))
            relay.close()
            # The next mail that notices has to wait for the rate: many turns without work.
            running.until(lambda: any(one.relay_fault for one in bulletins(tmp_path)), 50_000)
        finally:
            running.join()
    assert bulletins(tmp_path) == []


# -- at the desk


@pytest.fixture
def desk(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Desk]:
    with at_a_desk(tmp_path, capsys, monkeypatch) as desk:
        yield desk


def test_status_says_why_a_send_takes_long(desk: Desk, clock: FixedClock) -> None:
    board = Board(desk.folder / "state", clock)
    board.post(tally())
    assert "relay" not in desk.run("status").split()
    board.post(tally(WORDS, 0.25))
    said = desk.run("status", at=TUESDAY)
    assert f"relay  down since Mon 2026-11-23 10:00, tried again by itself: {WORDS}" in said
    assert "relay  asked us to slow down: at most 0.25 mails a second" in said
    (told,) = desk.json("status")["senders"]
    assert told == {
        "process": ME,
        "relay_fault": WORDS,
        "relay_fault_since": "2026-11-23T10:00:00+01:00",
        "slowed_to": 0.25,
        "slowed_since": "2026-11-23T10:00:00+01:00",
    }
    board.close()
    assert desk.json("status")["senders"] == []
