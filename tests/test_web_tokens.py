"""Every link of ours with every kind of broken token: one answer, one page, and nothing happens.

The table is made of the routes: a page with a token that is not held here fails the first test.
"""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from l3mail.tokens import Purpose, Tokens
from tests.fakes.midst import SETTINGS, Answer, Knock, Link, Midst, knocking, midst, routes
from tests.fakes.porch import KEY, TOKENS, Porch, open_porch
from tests.fakes.village import Village

STALE = b"Dieser Link gilt nicht mehr"
UNKNOWN = b"Diesen Link kennen wir nicht"
OTHER = Tokens(["somebody else's key, of thirty-two signs"])
ASK_STAFF = {"approve", "release"}
GOES_ON = {"refuse": b"Das war ich nicht", **dict.fromkeys(ASK_STAFF, b"E-Mail freigeben")}
"""What a link still shows when its time is over: it still was not them, and what was decided."""


@pytest.fixture
def porch(sqlite_village: Village, tmp_path: Path) -> Iterator[Porch]:
    with open_porch(sqlite_village, tmp_path, SETTINGS) as porch:
        yield porch


@pytest.fixture
def someone(porch: Porch) -> Midst:
    return midst(porch.village, first_name="Ada", last_name="Licht")


@pytest.fixture
def knock(porch: Porch) -> Iterator[Knock]:
    with knocking(porch) as knock:
        yield knock


def posted(links: Midst) -> set[str]:
    """The pages that take something."""
    tokened = [one for one in routes() if "{token" in one[1]]
    pages = {path.split("/")[1] for method, path in tokened if method == "POST"}
    return {name for name, link in links.links.items() if link.page in pages}


def seen(answer: Answer) -> tuple[int, tuple[Any, ...], bytes]:
    return answer.status, answer.headers, answer.body


def broken(link: Link, others: list[Link]) -> Iterator[str]:
    """Tokens that are none here: flipped, cut, of other purposes, keys and people."""
    token = link.token
    payload, _, signature = token.rpartition(".")
    for place in range(len(token)):
        for letter in "Aa-.":
            if token[place] != letter:
                yield token[:place] + letter + token[place + 1 :]
                break
    yield from (token[:length] for length in (1, 3, len(payload), len(payload) + 1, -8, -1))
    yield from (
        token + "A",
        token + "=",
        token + ".x",
        token + "%00",
        "%C3%A9",
        "x" * 1000,
        "0-1.x",
    )
    yield from (f"{payload}.", f".{signature}", signature, f"{payload}.{signature[::-1]}")
    # Another person's numbers with this signature, and the other way round.
    for other in others:
        theirs, _, signed = other.token.rpartition(".")
        yield from {f"{theirs}.{signature}", f"{payload}.{signed}"} - {token}
    for purpose in set(Purpose) - {link.purpose}:
        for numbers in (link.numbers, (0, *link.numbers), link.numbers[:1]):
            yield TOKENS.make(purpose, *numbers, expires_at=link.expires_at)
    yield OTHER.make(link.purpose, *link.numbers, expires_at=link.expires_at)
    yield TOKENS.make(link.purpose, expires_at=link.expires_at)


def test_every_page_with_a_token_is_tried_here(someone: Midst) -> None:
    pages = {path.split("/")[1] for _, path in routes() if "{token" in path}
    assert pages - {link.page for link in someone.links.values()} == set()


def test_every_broken_token_leads_to_one_page_and_does_nothing(
    porch: Porch, knock: Knock, someone: Midst
) -> None:
    assert {knock("GET", link.path).status for link in someone.links.values()} == {200, 302}
    before = porch.dump()
    takes = posted(someone)
    others = list(someone.links.values())
    for name, link in someone.links.items():
        for method in ("GET", "POST") if name in takes else ("GET",):
            said = {seen(knock(method, link.at(token))): token for token in broken(link, others)}
            assert len(said) == 1, (name, method, list(said.values()))
            ((status, _, body),) = said
            if link.page == "o":
                assert status == 200  # a picture for whoever asks, and nothing written down
            else:
                assert status == 404, (name, method)
                assert (STALE in body) or (link.page in ASK_STAFF and UNKNOWN in body), name
    assert porch.dump() == before


def test_what_ends_is_as_good_as_broken_where_it_may_not_act_any_more(
    porch: Porch, knock: Knock, someone: Midst
) -> None:
    porch.village.clock.advance(timedelta(hours=2))
    ended = {name: link for name, link in someone.links.items() if link.expires_at}
    assert ended.keys() >= {"confirm", "refuse", "fresh"}
    before = porch.dump()
    for name, link in ended.items():
        page = knock("GET", link.path)
        if name in GOES_ON:
            assert GOES_ON[name] in page.body
            continue
        for method in ("GET", "POST"):
            assert seen(knock(method, link.path)) == seen(knock(method, link.at("x"))), name
    assert porch.dump() == before


def test_numbers_nobody_has_lead_nowhere_though_we_signed_them(
    porch: Porch, knock: Knock, someone: Midst
) -> None:
    before = porch.dump()
    takes = posted(someone)
    for name, link in someone.links.items():
        for number in (0, -1, 2**31 - 1, 2**63 - 1, 2**63, 10**30):
            for numbers in {(number, *link.numbers[1:]), (*link.numbers[:-1], number)}:
                if numbers == link.numbers or (
                    name == "unsubscribe" and numbers[:2] == link.numbers[:2]
                ):
                    continue
                token = TOKENS.make(link.purpose, *numbers, expires_at=link.expires_at)
                for method in ("GET", "POST") if name in takes else ("GET",):
                    answer = knock(method, link.at(token))
                    assert answer.status < 500, (name, method, numbers)
                    assert b"Ada" not in answer.body
    assert porch.dump() == before


def test_after_a_key_has_turned_links_hold_and_of_a_retired_one_only_unsubscribe(
    sqlite_village: Village, tmp_path: Path
) -> None:
    new = "the porch's new key, thirty-two signs"
    with open_porch(sqlite_village, tmp_path, SETTINGS) as porch:
        someone = midst(porch.village)
        takes = posted(someone)
    for tokens, believed in (
        (Tokens([new, KEY]), set(someone.links)),
        (Tokens([new], retired=[KEY]), {"unsubscribe"}),
        (Tokens([new]), set()),
    ):
        with (
            open_porch(sqlite_village, tmp_path, SETTINGS, tokens=tokens) as porch,
            knocking(porch) as knock,
        ):
            for name, link in someone.links.items():
                if link.page == "o":
                    continue
                answer = knock("GET", link.path)
                if name in believed:
                    assert answer.status in {200, 302}, name
                    continue
                assert seen(answer) == seen(knock("GET", link.at("x"))), name
                if name in takes:
                    refused = knock("POST", link.path)
                    assert seen(refused) == seen(knock("POST", link.at("x"))), name
