"""The dialogue alone: rendered mails to a sink, without outbox and rendering.

The ledger that a sender asks between two mails is one that says yes at once.

Once over loopback, set against C; once over a network that takes 20 ms there and back, set against
aiosmtplib, which waits for each answer. Connections are opened within the measured time, as
smtp-source opens its own.
"""

import asyncio
import contextlib
import subprocess
import sys
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from typing import cast

from aiosmtplib import SMTP

from bench import reference
from bench.figures import Figure, Goal, MissingError, Size, middle
from l3mail.outbox import Outcome, Started
from l3mail.sending import Relay
from l3mail.settings.sections import Timeouts

OCTETS = 54_000
DELAY_SECONDS = 0.02
SENDER = "kurs@stadt.example"

LOOPBACK = Goal("dialogue alone / smtp-source, smtp-sink, 20 sessions", 0.8, 1.0)
DELAYED = Goal("dialogue at 20 ms delay, 20 connections / aiosmtplib sendmail", 3, 4)

_LINE = b"Im Stadtteil =C3=B6ffnet die Bibliothek jetzt auch am Samstag. Wer lesen m=\r\n"
_Carry = Callable[[int, deque[int]], Awaitable[None]]


def figures(size: Size) -> Iterator[Figure]:
    """Both figures; each round measures both sides, one right after the other."""
    full = size is Size.FULL
    yield _loopback(10_000 if full else 2_000, 5 if full else 1)
    yield _delayed(1_500 if full else 400, 3 if full else 1)


def content() -> bytes:
    """A mail of the size that a rendered issue has."""
    head = b"From: <kurs@stadt.example>\r\nSubject: Neues\r\nMIME-Version: 1.0\r\n\r\n"
    return head + _LINE * ((OCTETS - len(head)) // len(_LINE))


def _loopback(mails: int, rounds: int) -> Figure:
    ratios, ours, theirs = [], [], []
    try:
        with reference.sink() as port:
            for _ in range(rounds):
                ours.append(mails / _timed(_ours, port, mails))
                theirs.append(mails / reference.smtp_source(port, mails, OCTETS))
                ratios.append(ours[-1] / theirs[-1])
    except MissingError as missing:
        return Figure(LOOPBACK, None, str(missing))
    detail = f"{middle(ours):,.0f} against {middle(theirs):,.0f} mails a second of {OCTETS} octets"
    return Figure(LOOPBACK, middle(ratios), detail)


def _delayed(mails: int, rounds: int) -> Figure:
    ratios, ours, theirs = [], [], []
    try:
        with reference.sink() as sink, far_away(sink) as port:
            for _ in range(rounds):
                ours.append(mails / _timed(_ours, port, mails))
                theirs.append(mails / _timed(_aiosmtplib, port, mails))
                ratios.append(ours[-1] / theirs[-1])
    except MissingError as missing:
        return Figure(DELAYED, None, str(missing))
    detail = f"{middle(ours):,.0f} against {middle(theirs):,.0f} mails a second"
    return Figure(DELAYED, middle(ratios), detail)


def _timed(carry: _Carry, port: int, mails: int) -> float:
    async def main() -> float:
        left = deque(range(1, mails + 1))
        began = time.perf_counter()
        await asyncio.gather(*(carry(port, left) for _ in range(reference.SESSIONS)))
        return time.perf_counter() - began

    return asyncio.run(main())


async def _ours(port: int, left: deque[int]) -> None:
    relay = Relay(host="127.0.0.1", port=port, tls="none", name="bench.example")
    wire = await relay.open()
    timeouts, text = Timeouts(), content()
    ahead: list[Started] = []

    def following() -> str | None:
        if not left:
            return None
        ahead.append(_started(left.popleft()))
        return ahead[0].address

    while ahead or left:
        delivery = ahead.pop() if ahead else _started(left.popleft())
        attempt = await wire.hand_over(delivery, SENDER, text, timeouts, following)
        assert attempt.outcome is Outcome.ACCEPTED, attempt
    await wire.quit(5)


def _started(number: int) -> Started:
    now = datetime(2027, 1, 4, tzinfo=UTC)
    address = f"person-{number}@schule-{number % 97}.example"
    return Started(number, 1, "stream", "newsletter", "", "", address, 1, 1, now, now)


async def _aiosmtplib(port: int, left: deque[int]) -> None:
    session = SMTP(hostname="127.0.0.1", port=port, use_tls=False, start_tls=False)
    await session.connect()
    text = content()
    while left:
        await session.sendmail(SENDER, [_started(left.popleft()).address], text)
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
