"""Opening a session: whoever gives up in the midst of it leaves nothing open behind."""

import asyncio
import gc
from typing import Literal

import pytest

from l3mail.errors import RelayDownError
from tests.fakes.corpora import HoldPoint
from tests.fakes.post import HANG_SECONDS, relay_of
from tests.fakes.relay import Fault, Relay

SECONDS = {"cancelled": 30.0, "in no time": HANG_SECONDS}
Security = Literal["none", "starttls", "tls"]


@pytest.mark.parametrize("how", ["cancelled", "in no time"])
@pytest.mark.parametrize(
    ("security", "stage"),
    [
        ("none", "connect"),
        ("none", "ehlo"),
        ("none", "auth"),
        ("starttls", "connect"),
        ("starttls", "ehlo"),
        ("starttls", "starttls"),
        ("starttls", "auth"),
        ("tls", "connect"),
        ("tls", "ehlo"),
        ("tls", "auth"),
    ],
)
def test_an_opening_that_is_given_up_leaves_no_socket(
    security: Security, stage: HoldPoint, how: str
) -> None:
    async def main(server: Relay) -> None:
        opening = asyncio.ensure_future(relay_of(server, seconds=SECONDS[how]).open())
        if how == "cancelled":
            await asyncio.to_thread(server.wait_for_held)
            opening.cancel()
        (ended,) = await asyncio.gather(opening, return_exceptions=True)
        assert isinstance(ended, BaseException)
        await asyncio.to_thread(server.wait_until, lambda book: book.open_sessions == 0)

    auth = ("kurs", "geheim") if stage == "auth" else None
    with Relay(tls=security, auth=auth) as server:
        server.hold(stage)
        asyncio.run(main(server))
    gc.collect()  # a transport that nobody closed would complain now


@pytest.mark.parametrize("action", ["close", "rst"])
@pytest.mark.parametrize("security", ["none", "tls"])
def test_a_relay_that_hangs_up_behind_its_last_word_is_down_or_a_wire_of_no_use(
    security: Security, action: Literal["close", "rst"]
) -> None:
    async def main(server: Relay) -> None:
        try:
            wire = await relay_of(server).open()
        except RelayDownError:
            return
        await wire.quit(HANG_SECONDS)
        assert not wire.usable

    leaving = Fault(None, "ehlo", action, b"250 relay.test\r\n")
    with Relay(tls=security, faults={1: leaving}) as server:
        asyncio.run(main(server))
