"""Tokens in links: one purpose each, every byte counts, keys turn over."""

import base64
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l3mail.errors import TokenError
from l3mail.tokens import LONGEST_TOKEN, Purpose, Token, Tokens

NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)
OLD, NEW = "old-key-" * 8, "new-key-" * 8
TOKENS = Tokens([NEW])


@given(st.sampled_from(Purpose), st.lists(st.integers(0, 2**63 - 1), min_size=1, max_size=4))
def test_a_token_says_what_was_signed(purpose: Purpose, numbers: list[int]) -> None:
    text = TOKENS.make(purpose, *numbers, expires_at=NOW + timedelta(days=7))
    token = TOKENS.read(purpose, text, NOW)
    assert token == Token(purpose, tuple(numbers), NOW + timedelta(days=7))
    assert len(text) <= LONGEST_TOKEN


@pytest.mark.parametrize("made_for", Purpose)
@pytest.mark.parametrize("read_as", Purpose)
def test_purposes_are_not_interchangeable(made_for: Purpose, read_as: Purpose) -> None:
    text = TOKENS.make(made_for, 1, 2)
    if made_for is read_as:
        assert TOKENS.read(read_as, text, NOW).numbers == (1, 2)
    else:
        assert reason(text, read_as) == "broken"


def test_every_changed_byte_breaks_a_token() -> None:
    text = TOKENS.make(Purpose.CONFIRM, 12, 3, expires_at=NOW + timedelta(days=7))
    for position in range(len(text)):
        for other in "0ABCDEFGH-.~ é":
            changed = text[:position] + other + text[position + 1 :]
            if changed != text:
                assert reason(changed) == "broken", changed
        assert reason(text[:position]) == "broken"
    assert reason(text + "A") == "broken"


@pytest.mark.parametrize(
    "text",
    ["", ".", "-", "0-1", "0-1.", "x" * 10_000, "0-1.\u00e9", "0-\u0661.abc", "../../etc/passwd"],
    ids=repr,
)
def test_nonsense_is_broken(text: str) -> None:
    assert reason(text) == "broken"


def test_a_token_ends_at_its_moment_and_then_still_says_whose_it_was() -> None:
    ends = NOW + timedelta(hours=1)
    text = TOKENS.make(Purpose.CONFIRM, 5, expires_at=ends)
    assert TOKENS.read(Purpose.CONFIRM, text, ends - timedelta(seconds=1)).numbers == (5,)
    with pytest.raises(TokenError) as raised:
        TOKENS.read(Purpose.CONFIRM, text, ends)
    assert raised.value.reason == "expired"
    assert raised.value.token == Token(Purpose.CONFIRM, (5,), ends)


@pytest.mark.parametrize("purpose", Purpose)
def test_the_newest_key_signs_and_older_ones_are_believed(purpose: Purpose) -> None:
    before = Tokens([OLD]).make(purpose, 1)
    both = Tokens([NEW, OLD])
    assert both.read(purpose, before, NOW).numbers == (1,)
    assert both.make(purpose, 1) == Tokens([NEW]).make(purpose, 1) != before


@pytest.mark.parametrize("purpose", Purpose)
def test_a_retired_key_is_believed_in_unsubscribe_links_only(purpose: Purpose) -> None:
    before = Tokens([OLD]).make(purpose, 1)
    after = Tokens([NEW], retired=[OLD])
    assert after.make(purpose, 1) == Tokens([NEW]).make(purpose, 1)
    if purpose is Purpose.UNSUBSCRIBE:
        assert after.read(purpose, before, NOW).numbers == (1,)
    else:
        with pytest.raises(TokenError):
            after.read(purpose, before, NOW)


def test_the_signature_has_256_bits() -> None:
    signature = TOKENS.make(Purpose.VIEW, 1).rpartition(".")[2]
    assert len(base64.urlsafe_b64decode(signature + "=")) == 32


def reason(text: str, purpose: Purpose = Purpose.CONFIRM) -> str:
    with pytest.raises(TokenError) as raised:
        TOKENS.read(purpose, text, NOW)
    return raised.value.reason
