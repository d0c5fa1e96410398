r"""A server process that takes every mail, for tests which kill its clients; and the wire below it.

    python -m tests.fakes.sink --port-file P --log F [--delay-ms N] [--seed S] [--pipelining]

Owns the octets of a connection (`relay` builds its dialogue on them too) and the log of what was
taken: a line `message-id TAB recipient[,recipient] TAB monotonic_ns` per message, appended by one
write before the client hears of it. Knows nothing of l3mail and nothing of faults.
"""

import argparse
import asyncio
import os
import random
import re
import signal
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import cast

_ROOT = Path(__file__).resolve().parents[2]
_MESSAGE_ID = re.compile(rb"^message-id:\s*(\S+)", re.IGNORECASE | re.MULTILINE)
BARE = re.compile(rb"\r(?!\n)|(?<!\r)\n")
_PATH = re.compile(  # a quoted local part may hold a ">"
    rb'(?:MAIL FROM|RCPT TO):<(?P<path>(?:"(?:[^"\\]|\\.)*"|[^">])*)>(?P<parameters>(?: \S+)*)',
    re.IGNORECASE,
)
_LINE_OCTETS = 998  # RFC 5321 section 4.5.3.1.6, without CRLF
_ADDRESS = re.compile(rb"<(.*)>")
_POLL_SECONDS = 0.002
_PART_SECONDS = 5.0


class GoneError(Exception):
    """The connection has ended, and with it the dialogue."""


class Wire(asyncio.Protocol):
    """One connection's octets; the plain transport stays at hand beneath TLS.

    `begin` is called when the connection is made and `end` once when it is gone. A `paused` wire
    reads nothing until it is secured: its first octets are for the handshake.
    """

    def __init__(
        self, begin: Callable[["Wire"], None], end: Callable[["Wire"], None], *, paused: bool
    ) -> None:
        self.buffer = bytearray()
        self.lost = False
        self.task: asyncio.Task[None] | None = None  # whoever begins keeps the dialogue here
        self._begin = begin
        self._end = end
        self._paused = paused
        self._news = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._raw = self._top = cast(asyncio.Transport, transport)
        if self._paused:
            self._raw.pause_reading()
        self._begin(self)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        self._news.set()

    def connection_lost(self, _: Exception | None) -> None:
        if not self.lost:
            self.lost = True
            self._news.set()
            self._end(self)

    async def more(self) -> None:
        """Wait for octets; what came before the connection ended is still in the buffer."""
        if self.lost:
            raise GoneError
        self._raw.resume_reading()
        self._news.clear()
        await self._news.wait()

    async def line(self) -> bytes:
        """The next line with its line end."""
        while (end := self.buffer.find(b"\n") + 1) == 0:
            await self.more()
        return self._take(end)

    async def data(self) -> bytes:
        """A message as it stands on the wire, up to its final dot and without it."""
        start = 0
        while True:
            if self.buffer.startswith(b".\r\n"):
                self._take(3)
                return b""
            end = self.buffer.find(b"\r\n.\r\n", start)
            if end >= 0:
                return self._take(end + 5)[:-3]
            start = max(0, len(self.buffer) - 4)
            await self.more()

    def _take(self, octets: int) -> bytes:
        taken = bytes(self.buffer[:octets])
        del self.buffer[:octets]
        return taken

    def write(self, data: bytes) -> None:
        """Send if there is still someone to send to."""
        if not self.lost and not self._raw.is_closing():
            self._top.write(data)

    async def breathe(self) -> None:
        """Let the loop read what lies in the kernel: polled now, handed over in the next turn."""
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    async def gate(self, event: threading.Event) -> None:
        """Wait for an event another thread sets, by polling: this loop must not block."""
        while not event.is_set():
            if self.lost:
                raise GoneError
            await asyncio.sleep(_POLL_SECONDS)

    async def secure(self, context: ssl.SSLContext) -> bool:
        """Shake hands; False if that failed, and then the connection is gone."""
        self.buffer.clear()
        top: asyncio.Transport | None = None
        with suppress(OSError):  # ssl.SSLError is one
            top = await asyncio.get_running_loop().start_tls(
                self._raw, self, context, server_side=True, ssl_shutdown_timeout=_PART_SECONDS
            )
        if top is None:  # also when we ended the connection amid the handshake
            self.abort()
            return False
        self._top = top
        return True

    async def part(self) -> None:
        """End as agreed: TLS says goodbye and waits for the client's."""
        self._top.close()
        await self.ignore()

    async def close(self) -> None:
        """FIN, in TLS without a goodbye; reads all there is first, lest unread octets cause RST."""
        self._raw.resume_reading()
        await self.breathe()
        self._raw.close()
        await self.ignore()

    async def reset(self) -> None:
        """RST: with no time to linger the kernel forgets the connection at once."""
        if not self._raw.is_closing():
            self._raw.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
            )
            self._raw.abort()
        await self.ignore()

    async def ignore(self) -> None:
        """Wait in silence for the end of the connection; raises GoneError then."""
        while True:
            self.buffer.clear()
            await self.more()

    def abort(self) -> None:
        """End at once; asyncio leaves `connection_lost` out when a handshake fails."""
        self._raw.abort()
        self.connection_lost(None)


def parse_path(text: bytes) -> tuple[str | None, dict[str, str]]:
    """The address in angle brackets of a MAIL or RCPT, if there is one, and the parameters."""
    found = _PATH.fullmatch(text)
    if found is None:
        return None, {}
    words = found["parameters"].decode("utf-8", "replace").upper().split()
    parameters = {name: value for name, _, value in (word.partition("=") for word in words)}
    return found["path"].decode("utf-8", "surrogateescape"), parameters


def unstuff(data: bytes) -> tuple[bytes, list[tuple[str, bytes]]]:
    """The message as it was before RFC 5321 section 4.5.2, and what is wrong with it and where."""
    wrong = []
    if bare := BARE.search(data):
        wrong.append(("bare CR or LF in the message", data[max(0, bare.start() - 40) :]))
    lines = data.split(b"\r\n")
    for index, line in enumerate(lines):
        if line.startswith(b"."):
            if not line.startswith(b".."):
                wrong.append(("dot at the start of a line was not doubled", line))
            lines[index] = line[1:]
        if len(lines[index]) > _LINE_OCTETS:
            wrong.append(("line too long in the message", line))
    return b"\r\n".join(lines), wrong


class _Sink:
    """Takes mail on many connections at once."""

    def __init__(self, log: int, delay_ms: float, seed: int, *, pipelining: bool) -> None:
        self._log = log
        self._delay_seconds = delay_ms / 1000
        self._random = random.Random(seed)
        self._pipelining = pipelining
        self._wires: set[Wire] = set()

    async def serve(self, port_file: Path) -> None:
        """Listen until SIGTERM; the port file appears whole, and the port on standard output."""
        loop = asyncio.get_running_loop()
        stopped = asyncio.Event()
        loop.add_signal_handler(signal.SIGTERM, stopped.set)
        server = await loop.create_server(
            lambda: Wire(self._begin, self._wires.discard, paused=False),
            "127.0.0.1",
            0,
            backlog=512,
        )
        port = str(server.sockets[0].getsockname()[1])
        draft = port_file.with_name(f"{port_file.name}.{os.getpid()}")
        draft.write_text(port, encoding="ascii")
        draft.replace(port_file)
        sys.stdout.write(f"{port}\n")
        sys.stdout.flush()
        await stopped.wait()
        server.close()
        for wire in list(self._wires):
            wire.abort()

    def _begin(self, wire: Wire) -> None:
        self._wires.add(wire)
        wire.task = asyncio.create_task(self._talk(wire))

    async def _talk(self, wire: Wire) -> None:
        with suppress(GoneError):
            await self._dialogue(wire)

    async def _dialogue(self, wire: Wire) -> None:
        hello = b"250-sink.test\r\n250-PIPELINING\r\n" if self._pipelining else b"250-sink.test\r\n"
        unsent = b"220 sink.test ESMTP\r\n"
        rcpts: list[bytes] = []
        while True:
            if unsent and b"\n" not in wire.buffer:  # the replies to a group go out as one
                wire.write(unsent)
                unsent = b""
            line = await wire.line()
            match line[:4].upper():
                case b"EHLO" | b"HELO":
                    unsent += hello + b"250 8BITMIME\r\n"
                case b"MAIL" | b"RSET":
                    rcpts = []
                    unsent += b"250 ok\r\n"
                case b"RCPT":
                    rcpts += _ADDRESS.findall(line)
                    unsent += b"250 ok\r\n"
                case b"DATA":
                    wire.write(unsent + b"354 go ahead\r\n")
                    self._take(await wire.data(), rcpts)
                    if self._delay_seconds:
                        await asyncio.sleep(self._random.uniform(0, self._delay_seconds))
                    unsent = b"250 taken\r\n"
                case b"NOOP":
                    unsent += b"250 ok\r\n"
                case b"QUIT":
                    wire.write(unsent + b"221 bye\r\n")
                    await wire.part()
                case _:
                    unsent += b"502 what?\r\n"

    def _take(self, data: bytes, rcpts: list[bytes]) -> None:
        found = _MESSAGE_ID.search(data.partition(b"\r\n\r\n")[0])
        message_id = found[1] if found else b"-"
        line = b"%s\t%s\t%d\n" % (message_id, b",".join(rcpts), time.monotonic_ns())
        os.write(self._log, line)


@contextmanager
def running_sink(folder: Path, *options: str) -> Iterator[tuple[int, Path]]:
    """A sink process for a test: its port and its log, both in `folder`; SIGTERM at the end."""
    port_file, log = folder / "sink.port", folder / "sink.log"
    command = [sys.executable, "-m", "tests.fakes.sink", "--port-file", str(port_file)]
    command += ["--log", str(log), *options]
    with subprocess.Popen(command, cwd=_ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline()), log
        finally:
            process.terminate()
    assert process.returncode == 0, f"the sink ended with {process.returncode}"


def main() -> None:
    """The command line of the module's docstring."""
    parser = argparse.ArgumentParser(prog="python -m tests.fakes.sink")
    parser.add_argument("--port-file", type=Path, required=True)
    parser.add_argument("--log", type=Path, required=True)
    parser.add_argument("--delay-ms", type=float, default=0.0, help="at most so long before a 250")
    parser.add_argument("--seed", type=int, default=0, help="of the random delays")
    parser.add_argument("--pipelining", action="store_true")
    parser.add_argument("--tls", choices=["none"], default="none")
    options = parser.parse_args()
    log = os.open(options.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    sink = _Sink(log, options.delay_ms, options.seed, pipelining=options.pipelining)
    try:
        asyncio.run(sink.serve(options.port_file))
    finally:
        os.close(log)


if __name__ == "__main__":
    main()
