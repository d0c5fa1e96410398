"""The open connections of a sender, with a relay that opens them when it is told to."""

import asyncio
from typing import cast

from l3mail.sending.connections import Lines, seconds
from l3mail.sending.dialogue import Wire

PAUSES = (3600.0, 7200.0)


class Silent:
    """A connection that nothing is asked of but its end."""

    def __init__(self) -> None:
        self.ended = asyncio.Event()

    def abort(self) -> None:
        self.ended.set()


async def _turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def lines_of(open_door: asyncio.Event, opened: list[int], limit: int = 2) -> Lines:
    """Lines to a relay that greets when `open_door` is set, and is then asked for nothing."""

    async def open_wire() -> Wire:
        await open_door.wait()
        opened.append(1)
        return cast("Wire", Silent())

    async def serve(wire: Wire) -> None:
        await cast("Silent", wire).ended.wait()

    return Lines(limit, PAUSES, open_wire, serve, lambda: None)


def test_distrust_ends_connections_that_were_being_opened() -> None:
    # Their greeting would say the relay can be reached, which is not what was wrong with it.
    async def main() -> None:
        door, opened = asyncio.Event(), list[int]()
        lines = lines_of(door, opened)
        lines.extend(2)
        await _turns()
        lines.distrust("it answers no mail")
        door.set()
        await _turns()
        assert (opened, lines.count) == ([], 0)
        assert lines.fault == "it answers no mail"
        assert not lines.hopeful()

    asyncio.run(main())


def test_distrust_leaves_open_connections_to_what_they_carry() -> None:
    async def main() -> None:
        door, opened = asyncio.Event(), list[int]()
        door.set()
        lines = lines_of(door, opened)
        lines.extend(2)
        await _turns()
        lines.distrust("it answers no mail")
        await _turns()
        assert (len(opened), lines.open) == (2, 2)
        await lines.cut()

    asyncio.run(main())


def test_one_breakdown_counts_once_however_many_connections_tell_of_it() -> None:
    async def main() -> None:
        lines = lines_of(asyncio.Event(), [])
        for _ in range(8):
            lines.distrust("it answers no mail")
        # The next one, an hour later, is the second.
        assert lines.breaker.trip("it answers no mail", seconds() + 3600) == 7200.0

    asyncio.run(main())
