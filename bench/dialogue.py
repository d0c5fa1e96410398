"""The whole sender over a line with a delay, and the dialogue alone.

Over a network that takes 20 ms there and back both are set against aiosmtplib, which waits for each
answer. The sender is a process with its real ledger (SQLite in WAL with synchronous=FULL) that
renders the test issue for each person; the others hand over what it rendered for the first, and the
ledger that the dialogue alone asks between two mails is one that says yes at once. Over loopback
the dialogue alone is set against C. Connections are opened within the measured time, as smtp-source
opens its own.
"""

import asyncio
import contextlib
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

from aiosmtplib import SMTP

from bench import reference
from bench.crowd import crowd, keep, plan
from bench.engine import engine_rate
from bench.figures import Figure, Goal, Scale, Size, in_turns, middle, ratio
from l3mail.outbox import Outcome, Started
from l3mail.sending import Relay
from l3mail.settings.sections import Timeouts
from l3mail.wiring import rendered

DELAY_SECONDS = 0.02
SENDER = "kurs@stadt.example"

LOOPBACK = Goal("dialogue alone / smtp-source, smtp-sink, 20 sessions", 0.8, 1.0)
DELAYED = Goal(
    "hand-over at 20 ms delay, 20 connections / aiosmtplib sendmail",
    3,
    4,
    in_the_way=(
        "Twenty connections that each wait 20 ms for an answer carry 1,000 mails a second at most."
        " Of what is missing the dialogue takes a little more than half, and two commits the rest,"
        " the one under way and a mail's own: a millisecond here, several on a busy machine."
    ),
)
DIALOGUE = Goal("of it the dialogue alone / aiosmtplib sendmail", None)

NEAR = {Size.FULL: Scale(10_000, 5), Size.QUICK: Scale(2_000, 1)}
FAR = {Size.FULL: Scale(3_000, 3), Size.QUICK: Scale(400, 1)}

_Carry = Callable[[int, bytes, deque[int]], Awaitable[None]]


def figures(size: Size) -> Iterator[Figure]:
    """Three figures; each round measures all sides, one right after the other."""
    far = FAR[size]
    with (
        reference.counting_sink() as sink,
        far_away(sink.port) as port,
        tempfile.TemporaryDirectory(prefix="l3mail-bench-") as folder,
    ):
        stock = Path(folder) / "workspace"
        with crowd(far.mails, port=port, connections=reference.SESSIONS, tracked=True) as people:
            plan(people)
            mail = rendered(people.settings, people.database, 1)
            keep(people, stock)
        yield _loopback(NEAR[size], sink.port, mail)
        yield from _delayed(far, port, mail, lambda: engine_rate(stock, sink, far.mails))


def _loopback(scale: Scale, port: int, mail: bytes) -> Figure:
    mails, octets = scale.mails, len(mail)
    rates = in_turns(
        scale.rounds,
        dialogue=lambda: _rate(_ours, port, mail, mails),
        source=lambda: mails / reference.smtp_source(port, mails, octets),
    )
    ours, theirs = middle(rates["dialogue"]), middle(rates["source"])
    detail = f"{ours:,.0f} against {theirs:,.0f} mails a second of {octets:,} octets"
    return Figure(LOOPBACK, ratio(rates, "dialogue", "source"), detail)


def _delayed(
    scale: Scale, port: int, mail: bytes, sender_rate: Callable[[], float]
) -> Iterator[Figure]:
    rates = in_turns(
        scale.rounds,
        sender=sender_rate,
        dialogue=lambda: _rate(_ours, port, mail, scale.mails),
        aiosmtplib=lambda: _rate(_aiosmtplib, port, mail, scale.mails),
    )
    theirs = f"against {middle(rates['aiosmtplib']):,.0f} mails a second of {len(mail):,} octets"
    for goal, name in ((DELAYED, "sender"), (DIALOGUE, "dialogue")):
        detail = f"{middle(rates[name]):,.0f} {theirs}"
        if name == "sender":
            detail = f"the whole sender with its ledger: {detail}"
        yield Figure(goal, ratio(rates, name, "aiosmtplib"), detail)


def _rate(carry: _Carry, port: int, mail: bytes, mails: int) -> float:
    async def main() -> float:
        left = deque(range(1, mails + 1))
        began = time.perf_counter()
        await asyncio.gather(*(carry(port, mail, left) for _ in range(reference.SESSIONS)))
        return mails / (time.perf_counter() - began)

    return asyncio.run(main())


async def _ours(port: int, mail: bytes, left: deque[int]) -> None:
    relay = Relay(host="127.0.0.1", port=port, tls="none", name="bench.example")
    wire = await relay.open()
    timeouts = Timeouts()
    ahead: list[Started] = []

    def following() -> str | None:
        if not left:
            return None
        ahead.append(_started(left.popleft()))
        return ahead[0].address

    while ahead or left:
        delivery = ahead.pop() if ahead else _started(left.popleft())
        attempt = await wire.hand_over(delivery, SENDER, mail, timeouts, following)
        assert attempt.outcome is Outcome.ACCEPTED, attempt
    await wire.quit(5)


def _started(number: int) -> Started:
    now = datetime(2027, 1, 4, tzinfo=UTC)
    address = f"person-{number}@schule-{number % 97}.example"
    return Started(number, 1, "stream", "newsletter", "", "", address, 1, 1, now, now)


async def _aiosmtplib(port: int, mail: bytes, left: deque[int]) -> None:
    session = SMTP(hostname="127.0.0.1", port=port, use_tls=False, start_tls=False)
    await session.connect()
    while left:
        await session.sendmail(SENDER, [_started(left.popleft()).address], mail)
    await session.quit()


@contextlib.contextmanager
def far_away(port: int) -> Iterator[int]:
    """A port that leads to another one of this machine, over a line with a delay."""
    command = [sys.executable, "-m", "bench.dialogue", str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.terminate()


async def _line_to(port: int) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Near(port), "127.0.0.1", 0, backlog=100)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


class _Near(asyncio.Protocol):
    """The end that we see: what comes in leaves the far end after the whole delay."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._far: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._loop = asyncio.get_running_loop()
        self.transport = cast("asyncio.Transport", transport)
        self._opening = self._loop.create_task(self._reach())

    async def _reach(self) -> None:
        far = _Far(self.transport)
        transport, _ = await self._loop.create_connection(lambda: far, "127.0.0.1", self._port)
        self._far = transport

    def data_received(self, data: bytes) -> None:
        self._loop.call_later(DELAY_SECONDS, self._pass, data)

    def _pass(self, data: bytes) -> None:
        if self._far is not None:
            self._far.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._far is not None:
            self._far.close()


class _Far(asyncio.Protocol):
    def __init__(self, near: asyncio.Transport) -> None:
        self._near = near

    def data_received(self, data: bytes) -> None:
        self._near.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._near.close()


if __name__ == "__main__":
    asyncio.run(_line_to(int(sys.argv[1])))
