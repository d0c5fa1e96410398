"""Many visitors at once, in a process of their own: `python -m bench.visitors PORT SECONDS FILE`.

Keeps so many connections busy that the server always has something to do, and looks at no more of
an answer than its first and its last bytes. FILE has a path a line, each of which is asked for once
at least; prints how many answers there were, and the seconds they took.
"""

import socket
import sys
import time
from collections import deque
from pathlib import Path

from l3mail.web.tracks import GIF

CONNECTIONS = 32
_HEAD = (
    "GET {path} HTTP/1.1\r\nHost: kurse.stadt.example\r\nX-Forwarded-For: 192.0.2.7\r\n"
    "X-Forwarded-Proto: https\r\nAccept-Encoding: gzip, deflate, br\r\n"
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n"
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n"
    "Accept-Language: de,en-US;q=0.7,en;q=0.3\r\n\r\n"
)


def visit(port: int, seconds: float, paths: list[str]) -> tuple[int, float]:
    """Ask for the paths in turn, for so long; how many answers in how many seconds."""
    asked = [
        (_HEAD.format(path=path).encode(), b"HTTP/1.1 200", GIF)
        if path.startswith("/o/")
        else (_HEAD.format(path=path).encode(), b"HTTP/1.1 302", b"\r\n\r\n")
        for path in paths
    ]
    doors = [socket.create_connection(("127.0.0.1", port)) for _ in range(CONNECTIONS)]
    for door in doors:
        door.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    waiting: deque[tuple[socket.socket, bytes, bytes]] = deque()
    answers = n = 0
    began = time.perf_counter()
    for door in doors:
        n = _ask(door, asked, n, waiting)
    while waiting:
        door, first, last = waiting.popleft()
        _hear(door, first, last)
        answers += 1
        if n < len(asked) or time.perf_counter() - began < seconds:
            n = _ask(door, asked, n, waiting)
    took = time.perf_counter() - began
    for door in doors:
        door.close()
    return answers, took


def _ask(
    door: socket.socket,
    asked: list[tuple[bytes, bytes, bytes]],
    n: int,
    waiting: deque[tuple[socket.socket, bytes, bytes]],
) -> int:
    request, first, last = asked[n % len(asked)]
    door.sendall(request)
    waiting.append((door, first, last))
    return n + 1


def _hear(door: socket.socket, first: bytes, last: bytes) -> None:
    answer = door.recv(65536)
    while not answer.endswith(last):
        more = door.recv(65536)
        if not more:
            raise SystemExit(f"the server let go of a connection after {answer[:200]!r}")
        answer += more
    if not answer.startswith(first):
        raise SystemExit(f"not the answer that was expected: {answer[:200]!r}")


if __name__ == "__main__":
    print(*visit(int(sys.argv[1]), float(sys.argv[2]), Path(sys.argv[3]).read_text().split()))
