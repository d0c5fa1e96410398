"""The short way: the same answers as by the long one, and only to requests that mean one thing."""

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from l3mail.web.patience import impatient
from l3mail.web.shortcut import LONGEST_HEAD, Shortcut
from tests.fakes.porch import Porch, open_porch
from tests.fakes.village import Village
from tests.test_web_tracks import CONSENT_MODE, URLS, Letterbox

HOST = b"Host: stadt.example\r\n"
BASE = "http://stadt.example/bildung"


def request(path: str, *fields: bytes, version: str = "1.1", host: bytes = HOST) -> bytes:
    return f"GET {path} HTTP/{version}\r\n".encode() + host + b"".join(fields) + b"\r\n"


class Ways:
    """One door, served with the short way and without; `taken` is what went the short one."""

    def __init__(self, box: Letterbox, doors: "list[tuple[str, int]]", taken: list[bytes]) -> None:
        self.box = box
        self.taken = taken
        self._doors = doors

    def ask(self, *requests: bytes) -> tuple[list[bytes], list[bytes]]:
        """The answers of both, without their dates."""
        return tuple(self._talk(door, requests) for door in self._doors)  # type: ignore[return-value]

    def same(self, data: bytes) -> bytes:
        """The answer both give; fails where they differ."""
        (short,), (long,) = self.ask(data)
        assert sorted(short.split(b"\r\n")) == sorted(long.split(b"\r\n"))
        return short

    @staticmethod
    def _talk(door: tuple[str, int], requests: tuple[bytes, ...]) -> list[bytes]:
        answers = []
        with socket.create_connection(door, timeout=30) as connection:
            for data in requests:
                connection.sendall(data)
                answer = b""
                while not _is_whole(answer):
                    more = connection.recv(65536)
                    if not more:
                        break
                    answer += more
                answers.append(re.sub(rb"date: [^\r]*\r\n", b"", answer))
        return answers


def _is_whole(answer: bytes) -> bool:
    head, end, body = answer.partition(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head)
    if not end or b"transfer-encoding: chunked" in head:
        return answer.endswith(b"0\r\n\r\n")
    return bool(length) and len(body) >= int(length[1])  # type: ignore[index]


@contextmanager
def serving(app: Any, protocol: Any) -> Iterator[tuple[str, int]]:
    config = uvicorn.Config(
        app, http=protocol, log_config=None, server_header=False, lifespan="off", ws="none"
    )
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield listening.getsockname()
        finally:
            server.should_exit = True
            thread.join()


@contextmanager
def both(porch: Porch) -> Iterator[Ways]:
    app, taken = porch.client.app, []
    shortcut = app.shortcut  # type: ignore[attr-defined]
    take = shortcut.take

    def watched(data: bytes, more: bytes) -> Any:
        answer = take(data, more)
        if answer is not None:
            taken.append(data)
        return answer

    shortcut.take = watched
    box = Letterbox(porch)
    with (
        serving(app, impatient(shortcut=shortcut)) as short,
        serving(app, impatient()) as long,
    ):
        yield Ways(box, [short, long], taken)


@pytest.fixture
def ways(sqlite_village: Village, tmp_path: Path) -> Iterator[Ways]:
    with (
        open_porch(sqlite_village, tmp_path, CONSENT_MODE, base_url=BASE) as porch,
        both(porch) as ways,
    ):
        for n in (1, 2, 3):
            for token in (ways.box.mine, ways.box.everybodys):
                ways.ask(request(f"/c/{token}/{n}"))  # at hand from now on
        ways.taken.clear()
        yield ways


def test_both_ways_answer_alike_and_note_the_same(ways: Ways) -> None:
    box = ways.box
    before, counts = len(box.facts()), sum(box.counts().values())
    for prefix in ("", "/bildung"):
        for token in (box.mine, box.everybodys):
            answer = ways.same(request(f"{prefix}/o/{token}.gif"))
            assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
            assert b"cross-origin-resource-policy: cross-origin\r\n" in answer
            assert b"x-content-type-options: nosniff\r\n" in answer
            for n, url in ((1, URLS[0].encode()), (2, b"https://b.example/stra%C3%9Fe")):
                answer = ways.same(request(f"{prefix}/c/{token}/{n}?a=b"))
                assert answer.startswith(b"HTTP/1.1 302 Found\r\n")
                assert b"location: " + url in answer
    assert len(ways.taken) == 12
    assert len(box.facts()) - before == 12
    assert sum(box.counts().values()) - counts == 12


@pytest.mark.parametrize(
    ("fields", "opening", "click"),
    [
        ((b"User-Agent: Mozilla/5.0\r\n",), "unsure", "raw"),
        ((b"USER-AGENT:Mozilla/5.0 \r\n",), "unsure", "raw"),
        ((b"Sec-Purpose: prefetch\r\n",), "machine", "machine"),
        ((b"User-Agent: \r\n", b"Accept: a, b\r\n"), "raw", "raw"),
    ],
)
def test_what_a_request_says_of_its_visitor_is_heard_on_both(
    ways: Ways, fields: tuple[bytes, ...], opening: str, click: str
) -> None:
    before = len(ways.box.facts())
    ways.same(request(f"/o/{ways.box.mine}.gif", *fields))
    ways.same(request(f"/c/{ways.box.mine}/1", *fields))
    assert len(ways.taken) == 2
    assert [row[2] for row in ways.box.facts()[before:]] == [opening, opening, click, click]


def test_a_picture_for_a_broken_token_and_a_page_for_a_broken_link(ways: Ways) -> None:
    before = ways.box.porch.dump()
    assert b"image/gif" in ways.same(request("/o/broken.gif"))
    assert b"image/gif" in ways.same(request("/o/"))
    for path in (
        "/c/",
        f"/c/{ways.box.mine}/9",
        f"/c/{ways.box.mine}x/1",
        f"/c/{ways.box.mine}/01",
    ):
        assert ways.same(request(path)).startswith(b"HTTP/1.1 404")
    assert ways.box.porch.dump() == before


LONG: dict[str, Any] = {
    "a body announced": lambda path: request(path, b"Content-Length: 2\r\n") + b"ab",
    "no body announced in words": lambda path: request(path, b"Content-Length: 0\r\n"),
    "chunks": lambda path: request(path, b"Transfer-Encoding: chunked\r\n") + b"0\r\n\r\n",
    "a wish for 100": lambda path: request(path, b"Expect: 100-continue\r\n"),
    "an upgrade": lambda path: request(path, b"Connection: Upgrade\r\n", b"Upgrade: h2c\r\n"),
    "a list of wishes": lambda path: request(path, b"Connection: keep-alive, x\r\n"),
    "HEAD": lambda path: request(path).replace(b"GET", b"HEAD", 1),
    "POST": lambda path: request(path).replace(b"GET", b"POST", 1),
    "two hosts": lambda path: request(path, HOST),
    "no host": lambda path: request(path, host=b""),
    "a folded line": lambda path: request(path, b"X-A: b\r\n c\r\n"),
    "a space before the colon": lambda path: request(path, b"Content-Length : 2\r\n"),
    "a bare line feed": lambda path: request(path, b"X-A: b\nX-C: d\r\n"),
    "a bare carriage return": lambda path: request(path, b"X-A: b\rX-C: d\r\n"),
    "a zero byte": lambda path: request(path, b"X-A: b\x00\r\n"),
    "letters of the world": lambda path: request(path, "X-A: ä\r\n".encode()),
    "an escaped path": lambda path: request(path.replace("/1", "/%31")),
    "a part of a page": lambda path: request(path + "#a"),
    "the end of a sentence": lambda path: request(path + ")."),
    "a whole address": lambda path: request("http://stadt.example" + path),
    "another version": lambda path: request(path, version="1.2"),
    "too much": lambda path: request(path, b"X-A: " + b"b" * LONGEST_HEAD + b"\r\n"),
    "far too much": lambda path: request(path, b"X-A: " + b"b" * 20_000 + b"\r\n"),
}


@pytest.mark.parametrize("make", LONG.values(), ids=LONG)
def test_what_could_mean_two_things_goes_the_long_way(ways: Ways, make: Any) -> None:
    ways.same(make(f"/c/{ways.box.mine}/1"))
    assert ways.taken == []


def test_connections_end_when_they_should(ways: Ways) -> None:
    path = f"/c/{ways.box.mine}/1"
    closing = (request(path, b"Connection: close\r\n"), request(path, version="1.0"))
    for data in (*closing, request(path, b"connection: Keep-Alive\r\n", version="1.0")):
        assert b"\r\nConnection: close\r\n" in ways.same(data)
        short, long = ways.ask(data, b"")
        assert short[1] == long[1] == b""
    assert len(ways.taken) == 6
    kept = request(path, b"Connection: keep-alive\r\n")
    short, long = ways.ask(kept, request("/robots.txt"), kept, request(f"/o/{ways.box.mine}.gif"))
    assert [len(answer) for answer in short] == [len(answer) for answer in long]
    assert all(short)


def test_a_request_in_two_pieces_or_with_another_behind_it_is_answered_all_the_same(
    ways: Ways,
) -> None:
    whole = request(f"/c/{ways.box.mine}/1")
    for cut in (1, 20, len(whole) - 1):
        with socket.create_connection(ways._doors[0], timeout=30) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.sendall(whole[:cut])
            connection.sendall(whole[cut:])
            assert b"302 Found" in connection.recv(65536)
    with socket.create_connection(ways._doors[0], timeout=30) as connection:
        connection.sendall(whole * 3)
        answer = b""
        while answer.count(b"302 Found") < 3 or not answer.endswith(b"\r\n\r\n"):
            answer += connection.recv(65536)
    assert whole * 3 not in ways.taken


@pytest.mark.parametrize("prefix", ["/o", "/c", "/o/kurse"])
def test_pages_stay_pages_below_an_address_that_begins_as_pixels_do(
    sqlite_village: Village, tmp_path: Path, prefix: str
) -> None:
    base = f"http://stadt.example{prefix}"
    with open_porch(sqlite_village, tmp_path, CONSENT_MODE, base_url=base) as porch:
        take = porch.client.app.shortcut.take  # type: ignore[attr-defined]
        assert take(request(f"{prefix}/subscribe"), b"") is None
        assert take(request(f"{prefix}/o/a.gif"), b"") is not None


def test_headers_are_handed_on_as_a_server_would() -> None:
    asked: list[object] = []

    def at_once(*given: object) -> None:
        asked.append(given)

    data = request("/o/a.gif?b", b"X-A:  b c\t\r\n")
    assert Shortcut(at_once).take(data, b"") is None
    assert asked == [("/o/a.gif", [(b"host", b"stadt.example"), (b"x-a", b"b c")])]


def test_who_is_idle_after_an_answer_of_the_short_way_is_let_go(ways: Ways) -> None:
    app: Any = ways.box.porch.client.app
    hurried = type("Hurried", (impatient(shortcut=app.shortcut),), {"timeout_keep_alive": 0.2})
    with serving(app, hurried) as door, socket.create_connection(door, timeout=30) as connection:
        for _ in range(3):
            connection.sendall(request(f"/o/{ways.box.mine}.gif"))
            assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        assert connection.recv(65536) == b""
