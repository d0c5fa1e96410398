"""Suppressions: a stronger reason replaces a weaker one, and nothing else ever does."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.exc import IntegrityError

from l3mail import suppressions
from l3mail.database import Database
from l3mail.models import SUPPRESSION
from tests.fakes.village import BACKENDS, Village, ground

STRONGEST_FIRST = ("complaint", "never", "operator", "hard_bounce")
ONE, TWO = b"1" * 32, b"2" * 32


@pytest.fixture(scope="module", params=BACKENDS)
def database(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Database]:
    with ground(request.param, tmp_path_factory.mktemp("suppressions")) as database:
        yield database


@pytest.fixture
def village(database: Database) -> Village:
    village = Village(database)
    village.empty()
    return village


def suppress(village: Village, reason: str, note: str | None = None, *keys: bytes) -> None:
    village.do(suppressions.suppress, keys or (ONE,), reason, village.now, note)


def only(village: Village) -> dict[str, Any]:
    (row,) = village.rows(SUPPRESSION)
    return row


@pytest.mark.parametrize("second", STRONGEST_FIRST)
@pytest.mark.parametrize("first", STRONGEST_FIRST)
def test_a_suppression_is_replaced_by_a_stronger_reason_only(
    village: Village, first: str, second: str
) -> None:
    suppress(village, first, "erste")
    before = only(village)
    village.clock.advance(timedelta(days=1))
    suppress(village, second, "zweite")
    if STRONGEST_FIRST.index(second) < STRONGEST_FIRST.index(first):
        assert only(village) == {
            "address_key": ONE,
            "reason": second,
            "note": "zweite",
            "suppressed_at": village.now,
        }
    else:
        assert only(village) == before


def test_many_addresses_are_suppressed_each_by_its_own_strength(village: Village) -> None:
    suppress(village, "never", None, TWO)
    suppress(village, "operator", "Liste", ONE, TWO)
    assert {row["address_key"]: row["reason"] for row in village.rows(SUPPRESSION)} == {
        ONE: "operator",
        TWO: "never",
    }


def test_suppressing_nobody_does_nothing(village: Village) -> None:
    village.do(suppressions.suppress, (), "never", village.now)
    assert village.rows(SUPPRESSION) == []


def test_lifting_one_reason_spares_every_other_and_everybody_else(village: Village) -> None:
    suppress(village, "never", None, ONE)
    suppress(village, "operator", None, TWO)
    assert not village.do(suppressions.lift, ONE, "hard_bounce"), "it says never by now"
    assert village.do(suppressions.lift, TWO, "operator")
    assert not village.do(suppressions.lift, TWO, "operator")
    assert only(village)["address_key"] == ONE


def test_an_unknown_reason_is_refused(village: Village) -> None:
    with pytest.raises(IntegrityError):
        suppress(village, "bored")


@given(reasons=st.lists(st.sampled_from(STRONGEST_FIRST), min_size=1, max_size=6))
def test_whatever_the_order_the_strongest_reason_stays(
    database: Database, reasons: list[str]
) -> None:
    village = Village(database)
    village.empty()
    for reason in reasons:
        suppress(village, reason)
    assert only(village)["reason"] == min(reasons, key=STRONGEST_FIRST.index)


def test_a_suppression_is_found_by_its_key_and_the_erased_have_none(village: Village) -> None:
    suppress(village, "complaint", "by mail", ONE)
    found = village.do(suppressions.find, ONE)
    assert found is not None
    assert (found.reason, found.note) == ("complaint", "by mail")
    assert village.do(suppressions.find, TWO) is None
    assert village.do(suppressions.find, None) is None
