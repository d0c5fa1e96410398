"""Which language a person is spoken to in, and how it says dates."""

from datetime import date, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from l3mail.locales import (
    accepted,
    canonical,
    chain,
    choose,
    date_in_words,
    day_of_year,
    days_in_words,
    direction,
    moment_in_words,
    number,
    own_name,
    percentage,
    short_date,
    slot_in_words,
    weekday_in_words,
)

KNOWN = ("de", "de-simple", "en")
DAY = date(2026, 11, 30)
TEN = datetime(2026, 11, 30, 10, tzinfo=ZoneInfo("Europe/Berlin"))


@pytest.mark.parametrize(
    ("tag", "expected"),
    [
        ("de-simple", ["de-simple", "de"]),
        ("DE-AT", ["de-AT", "de"]),
        ("zh-Hant-TW", ["zh-Hant-TW", "zh-Hant", "zh"]),
        ("de-x-leicht", ["de-x-leicht", "de"]),
        ("", []),
        ("de_AT", []),
        ("../../etc", []),
        ("d" * 40, []),
    ],
)
def test_a_tag_falls_back_by_cutting_subtags(tag: str, expected: list[str]) -> None:
    assert list(chain(tag)) == expected


@pytest.mark.parametrize(
    ("wishes", "expected"),
    [
        (["en"], "en"),
        (["en-GB"], "en"),
        (["de-SIMPLE"], "de-simple"),
        (["fr", "en"], "en"),
        (["fr"], "de"),
        ([None, ""], "de"),
        (["<script>", "en"], "en"),
    ],
)
def test_the_first_wish_we_have_words_for_wins(wishes: list[str | None], expected: str) -> None:
    assert choose(wishes, KNOWN, "de") == expected


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("de-DE,de;q=0.9,en;q=0.8", ["de-DE", "de", "en"]),
        ("en;q=0.2, de;q=0.7", ["de", "en"]),
        ("fr;q=0, *;q=0.5, en", ["en"]),
        ("", []),
        ("de;q=nan, ,;;,en;q=9", []),
        ("de," * 100_000, ["de"] * 20),
    ],
    ids=range(6),
)
def test_accept_language_is_read_by_weight(header: str, expected: list[str]) -> None:
    assert accepted(header) == expected


@example("-MR")
@example("MR ")
@example("mr-M ")
@given(st.text(max_size=60))
def test_any_text_is_an_answer_and_no_fault(text: str) -> None:
    assert choose([*accepted(text), text], KNOWN, "de") in KNOWN
    assert direction(text) in {"rtl", "ltr"}
    assert date_in_words(DAY, text)


def test_a_tag_with_space_around_it_is_read_as_the_tag() -> None:
    assert date_in_words(DAY, "en-GB ") == date_in_words(DAY, "en-GB")
    assert direction(" AR ") == "rtl"


def test_arabic_runs_from_the_right_and_simple_german_does_not() -> None:
    assert direction("ar") == "rtl"
    assert direction("fa-AF") == "rtl"
    assert direction("de-simple") == "ltr"


@pytest.mark.parametrize(
    ("tag", "name"),
    [
        ("uk", "Українська"),
        ("ar-SY", "العربية"),
        ("de-simple", "Deutsch"),
        ("EN", "English"),
        ("tlh-x", "tlh-x"),
        ("", ""),
    ],
)
def test_a_language_is_called_what_its_speakers_call_it(tag: str, name: str) -> None:
    assert own_name(tag) == name


def test_dates_are_said_in_the_language_whatever_the_variant() -> None:
    assert date_in_words(DAY, "de-simple") == "Montag, 30. November 2026"
    assert date_in_words(DAY, "en-GB") == "Monday, 30 November 2026"
    assert short_date(DAY, "de") == "30.11.2026"
    assert moment_in_words(TEN, "en") == "Monday, 30 November 2026, 10:00"
    assert moment_in_words(TEN, "de") == "Montag, 30. November 2026, 10:00"


@pytest.mark.parametrize(
    ("tag", "expected"),
    [
        ("de-SIMPLE", "de-simple"),
        ("DE-simple", "de-simple"),
        ("de-at", "de-AT"),
        ("SR-LATN-rs", "sr-Latn-RS"),
        ("de-1996", "de-1996"),
        (" en ", "en"),
        ("", ""),
    ],
)
def test_a_tag_is_written_in_one_way(tag: str, expected: str) -> None:
    assert canonical(tag) == expected
    assert canonical(expected) == expected


@pytest.mark.parametrize(
    ("first", "last", "tag", "words"),
    [
        (date(2026, 11, 16), date(2026, 11, 22), "de", "16.–22. November 2026"),
        (date(2026, 11, 30), date(2026, 12, 6), "de", "30. November – 6. Dezember 2026"),
        (date(2026, 12, 28), date(2027, 1, 3), "de", "28. Dezember 2026 – 3. Januar 2027"),
        (date(2026, 11, 16), date(2026, 11, 22), "en", "16–22 November 2026"),
        (date(2026, 11, 16), date(2026, 11, 22), "en-US", "November 16–November 22, 2026"),
        (date(2026, 11, 16), date(2026, 11, 16), "de", "16. November 2026"),
    ],
)
def test_days_in_a_row_say_only_once_what_they_share(
    first: date, last: date, tag: str, words: str
) -> None:
    assert days_in_words(first, last, tag) == words


def test_numbers_and_short_moments_are_said_as_the_locale_does() -> None:
    assert (number(12345, "de"), number(12345, "en")) == ("12.345", "12,345")
    assert percentage(1, 8, "de") == "12\u00a0%"
    assert slot_in_words(TEN, "de") == "Mo., 30.11., 10:00"
    assert weekday_in_words(DAY, "de") == "Montag, 30. November"
    assert weekday_in_words(DAY, "en-US") == "Monday, November 30"


def test_a_day_of_every_year_is_told_without_one() -> None:
    assert day_of_year(5, 17, "de") == "17. Mai"
    assert day_of_year(2, 29, "en") == "29 February"
