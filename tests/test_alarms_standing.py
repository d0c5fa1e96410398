"""What the person on duty is told, and when: a table over a virtual clock, without any row."""

from datetime import timedelta

import pytest

from l3mail.alarms.standing import Key, Known, as_facts, decide, from_facts, key_of
from l3mail.needs import Cause, Need
from tests.fakes.village import MONDAY_TEN

WAITING, DOUBT = (Cause.WAITING, ""), (Cause.UNCERTAIN, "")
PAUSED = (Cause.PAUSED, "newsletter/2026-12")
# Who looks, when (minutes after Monday ten) and what is so; then what is told: + begins, = lasts,
# - is over.
Look = tuple[float, list[Key], str]
DAY = 24 * 60

STORIES: dict[str, list[Look]] = {
    "nothing is told while nothing is so": [(0, [], ""), (60, [], "")],
    "at once, then not again within a day": [
        (0, [WAITING], "+waiting"),
        (1, [WAITING], ""),
        (61, [WAITING], ""),
        (DAY - 1, [WAITING], ""),
    ],
    "once a day while it lasts": [
        (0, [WAITING], "+waiting"),
        (DAY, [WAITING], "=waiting"),
        (DAY + 60, [WAITING], ""),
        (2 * DAY, [WAITING], "=waiting"),
    ],
    "a word when it is over, and one only": [
        (0, [WAITING], "+waiting"),
        (5, [], "-waiting"),
        (6, [], ""),
        (3 * DAY, [], ""),
    ],
    "what comes and goes is told once an hour": [
        (0, [WAITING], "+waiting"),
        (5, [], "-waiting"),
        (10, [WAITING], ""),
        (15, [], ""),
        (59, [WAITING], ""),
        (60, [WAITING], "+waiting"),
        (61, [], "-waiting"),
    ],
    "another cause is told at once, and with it what lasts": [
        (0, [WAITING], "+waiting"),
        (10, [WAITING, DOUBT], "+uncertain =waiting"),
        (DAY + 1, [WAITING, DOUBT], ""),
        (DAY + 10, [WAITING, DOUBT], "=waiting =uncertain"),
    ],
    "several causes of one moment are one mail": [
        (0, [WAITING, DOUBT, PAUSED], "+waiting +uncertain +paused"),
        (DAY, [WAITING, DOUBT, PAUSED], "=waiting =uncertain =paused"),
    ],
    "one is over while another lasts": [
        (0, [WAITING, DOUBT], "+waiting +uncertain"),
        (30, [DOUBT], "-waiting"),
        (DAY, [DOUBT], "=uncertain"),
    ],
    "one begins as another ends": [
        (0, [WAITING], "+waiting"),
        (30, [DOUBT], "+uncertain -waiting"),
    ],
    "a house that slept through it says what is so now": [
        (0, [WAITING], "+waiting"),
        (9 * DAY, [WAITING], "=waiting"),
        (20 * DAY, [], "-waiting"),
    ],
    "a clock that ran ahead silences nobody": [
        (30 * DAY, [WAITING], "+waiting"),
        (0, [WAITING], "=waiting"),
        (1, [WAITING], ""),
    ],
}


@pytest.mark.parametrize("story", STORIES.values(), ids=STORIES)
def test_what_is_told_and_when(story: list[Look]) -> None:
    known: Known = {}
    for minutes, so, expected in story:
        now = MONDAY_TEN + timedelta(minutes=minutes)
        news = decide([Need(*key) for key in so], known, now)
        told = [
            *(f"+{cause}" for cause, _ in news.begun),
            *(f"={cause}" for cause, _ in news.lasting),
            *(f"-{cause}" for cause, _ in news.over),
        ]
        assert " ".join(told) == expected, minutes
        # Only what was told is written down, and as the rows keep it.
        if told:
            known = from_facts(as_facts(news.known))


def test_what_never_went_out_is_told_anew() -> None:
    known = decide([Need(*WAITING)], {}, MONDAY_TEN).known
    later = MONDAY_TEN + timedelta(hours=7)
    assert decide([Need(*WAITING)], known, later).lasting == ()
    assert decide([Need(*WAITING)], known, later, unheard=True).lasting == (WAITING,)
    assert decide([], known, later, unheard=True).over == (WAITING,)


def test_two_needs_of_one_cause_and_subject_are_one() -> None:
    slots = [Need(Cause.UNPUBLISHED, "kurs/01", 3, MONDAY_TEN + timedelta(days=n)) for n in (0, 1)]
    news = decide(slots, {}, MONDAY_TEN)
    assert news.begun == (key_of(slots[0]),)


def test_a_cause_that_is_forgotten_by_a_later_program_is_left_out() -> None:
    facts = as_facts(decide([Need(*WAITING)], {}, MONDAY_TEN).known)
    assert from_facts([*facts, facts[0] | {"cause": "old"}]).keys() == {WAITING}
