"""Heartbeats, against a server on this machine: when they come and what they live through."""

import logging
from collections.abc import Iterator
from datetime import timedelta

import pytest

from l3mail import heartbeats
from l3mail.clocks import FixedClock
from l3mail.heartbeats import Heart
from tests.fakes.listener import Listener, listening
from tests.fakes.village import MONDAY_TEN


@pytest.fixture
def listener(monkeypatch: pytest.MonkeyPatch) -> Iterator[Listener]:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with listening() as listener:
        yield listener


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(MONDAY_TEN)


def beat(heart: Heart) -> bool:
    """Whether a beat was begun; waits for its end."""
    begun = heart.beat()
    if begun is not None:
        begun.join(30)
        assert not begun.is_alive()
    return begun is not None


def test_it_beats_at_most_once_a_minute(listener: Listener, clock: FixedClock) -> None:
    heart = Heart(listener.url, clock)
    beats = []
    for _ in range(25):  # ticks of two minutes
        beats.append(beat(heart))
        clock.advance(timedelta(seconds=5))
    assert [n for n, begun in enumerate(beats) if begun] == [0, 12, 24]
    assert len(listener.heard) == 3


def test_nothing_is_in_it(listener: Listener, clock: FixedClock) -> None:
    beat(Heart(listener.url, clock))
    ((method, path, headers),) = listener.heard
    assert (method, path) == ("GET", "/ping")
    assert headers.keys() <= {"Host", "User-Agent", "Accept-Encoding", "Connection"}
    assert headers["User-Agent"] == "l3mail"


def test_it_is_silent_while_something_is_wrong(listener: Listener, clock: FixedClock) -> None:
    well = [False, True]
    heart = Heart(listener.url, clock, lambda: well.pop(0))
    assert beat(heart)
    assert not listener.heard
    clock.advance(timedelta(minutes=1))
    assert beat(heart)
    assert len(listener.heard) == 1


def test_without_an_address_there_is_no_heart(clock: FixedClock) -> None:
    def ask() -> bool:
        raise AssertionError

    assert Heart("", clock, ask).beat() is None


@pytest.mark.parametrize("status", [302, 404, 500])
def test_it_follows_nobody_and_breaks_nothing(
    listener: Listener, clock: FixedClock, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    caplog.set_level(logging.INFO)
    listener.status = status
    heart = Heart(listener.url, clock)
    for _ in range(3):
        assert beat(heart)
        clock.advance(timedelta(minutes=1))
    listener.status = 200
    assert beat(heart)
    assert [path for _, path, _ in listener.heard] == ["/ping"] * 4
    # One line when it is lost, one when it is found; never the address, which is a secret.
    assert [record.getMessage() for record in caplog.records] == [
        "alerts.heartbeat_url was not reached: HTTPError",
        "alerts.heartbeat_url is reached again",
    ]


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:9/ping", "ftp://127.0.0.1/x", "file:///etc/hosts"]
)
def test_what_cannot_be_reached_breaks_nothing(
    clock: FixedClock, caplog: pytest.LogCaptureFixture, url: str
) -> None:
    assert beat(Heart(url, clock))
    assert "was not reached" in caplog.text


def test_a_fault_of_whoever_is_asked_breaks_nothing(
    listener: Listener, clock: FixedClock, caplog: pytest.LogCaptureFixture
) -> None:
    assert beat(Heart(listener.url, clock, lambda: bool(1 // 0)))
    assert "ZeroDivisionError" in caplog.text
    assert not listener.heard


def test_a_slow_server_holds_up_nobody(listener: Listener, clock: FixedClock) -> None:
    listener.patience.clear()
    heart = Heart(listener.url, clock)
    slow = heart.beat()
    assert slow is not None
    assert slow.daemon
    clock.advance(timedelta(minutes=1))
    assert heart.beat() is None  # one at a time
    listener.patience.set()
    slow.join(30)
    assert heart.beat() is not None


def test_it_does_not_wait_for_ever() -> None:
    assert heartbeats.TIMEOUT_SECONDS < heartbeats.EVERY_SECONDS
