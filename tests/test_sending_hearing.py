"""What a sender says of its progress: one line for a short queue, more of a long one."""

import logging
import math
from typing import Any

import pytest

from l3mail.outbox import Attempt, Outcome, Started
from l3mail.sending import hearing
from l3mail.sending.hearing import Ear
from l3mail.sending.tallies import Tally
from tests.fakes.village import MONDAY_TEN

STARTED = Started(
    1, 1, "stream", "lesson", "kurs/01", "once", "ada@schule.example", 1, 1, MONDAY_TEN, MONDAY_TEN
)


class Quiet:
    """Lines and a throttle in fair weather."""

    probing = False
    fault: str | None = None
    rate = math.inf

    def trust(self) -> None:
        self.probing, self.fault = False, None

    def distrust(self, fault: str) -> None:
        self.fault = fault

    def heard(self, _now: float, *, complains: bool) -> bool:
        return complains


class Watch:
    """A clock that goes when it is told to."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Watch:
    caplog.set_level(logging.INFO, "l3mail.sending")
    watch = Watch()
    monkeypatch.setattr(hearing, "seconds", watch)
    return watch


def ear(quiet: Any = None) -> Ear:
    quiet = quiet or Quiet()
    return Ear(quiet, quiet, Tally())


def accepted(n: int) -> list[Attempt]:
    return [Attempt(STARTED, Outcome.ACCEPTED, "dot", 250)] * n


def test_a_long_queue_says_every_ten_seconds_how_far_it_has_come(
    watch: Watch, caplog: pytest.LogCaptureFixture
) -> None:
    ours = ear()
    for _ in range(250):
        ours.hear(accepted(1), [])
        watch.now += 0.125
    assert caplog.messages == ["handed over 81: 81 accepted"] * 3
    ours.report()
    assert caplog.messages[3:] == ["handed over 7: 7 accepted"]


def test_what_comes_now_and_then_is_told_at_the_end_of_each_queue_alone(
    watch: Watch, caplog: pytest.LogCaptureFixture
) -> None:
    ours = ear()
    for _ in range(3):
        ours.hear(accepted(1), [])
        assert len(caplog.messages) < 3
        ours.report()
        ours.hear([], [])
        watch.now += 3600
    assert caplog.messages == ["handed over 1: 1 accepted"] * 3


TAKEN = Attempt(STARTED, Outcome.ACCEPTED, "dot", 250)
NO_ANSWER = Attempt(STARTED, Outcome.UNKNOWN, "dot")
WANTS_LOGIN = Attempt(STARTED, Outcome.DEFERRED, "mail", 530)


@pytest.mark.parametrize(
    ("before", "finished", "probing"),
    [
        pytest.param(0, [NO_ANSWER] * 3, False, id="three without an answer"),
        pytest.param(2, [NO_ANSWER], False, id="the third of them"),
        pytest.param(2, [TAKEN, NO_ANSWER, NO_ANSWER], False, id="an answer between"),
        pytest.param(2, [TAKEN, NO_ANSWER, NO_ANSWER, NO_ANSWER, TAKEN], False, id="three within"),
        pytest.param(0, [NO_ANSWER], True, id="the probe"),
        pytest.param(0, [TAKEN], True, id="a probe that was taken"),
        pytest.param(0, [TAKEN, NO_ANSWER], True, id="no answer behind a probe that was taken"),
        pytest.param(0, [NO_ANSWER] * 3 + [TAKEN], False, id="an answer behind three without"),
        pytest.param(0, [TAKEN, WANTS_LOGIN], False, id="a login is wanted"),
        pytest.param(0, [WANTS_LOGIN, TAKEN], False, id="a login was wanted"),
        pytest.param(2, [], False, id="nothing ended"),
    ],
)
def test_what_is_foreboded_is_what_hearing_comes_to(
    watch: Watch, before: int, finished: list[Attempt], *, probing: bool
) -> None:
    lines = Quiet()
    ours = ear(lines)
    ours.hear([NO_ANSWER] * before, [])
    assert lines.fault is None
    lines.probing = probing
    foreboded = ours.forebodes(finished)
    ours.hear(finished, [])
    assert foreboded is (lines.fault is not None)
    assert watch.now == 1000.0
