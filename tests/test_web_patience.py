"""Half-open connections: who says nothing, or half of it, does not keep a socket for ever."""

import asyncio
import resource
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from l3mail.web.patience import HEAD_SECONDS, impatient
from tests.fakes.office import Office
from tests.test_run import NOBODY_LISTENS, running, settings

SHORT = 0.2
LONG = 60.0
WHOLE = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
HALF = b"GET / HTTP/1.1\r\nHost"


class Pages:
    """An application that answers when `open` is set, and whether it was asked."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.asked = threading.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.asked.set()
        await asyncio.to_thread(self.open.wait)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"well"})


@contextmanager
def serving(pages: Pages, seconds: float) -> Iterator[tuple[str, int]]:
    config = uvicorn.Config(
        pages,
        http=impatient(seconds),
        timeout_keep_alive=int(LONG),
        log_config=None,
        lifespan="off",
        ws="none",
    )
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield listening.getsockname()
        finally:
            pages.open.set()
            server.should_exit = True
            thread.join()


@pytest.fixture
def pages() -> Pages:
    pages = Pages()
    pages.open.set()
    return pages


def is_ended(connection: socket.socket) -> bool:
    """Wait until the other side ends a connection; False if it says something instead."""
    connection.settimeout(30)
    return connection.recv(1000) == b""


@pytest.mark.parametrize("said", [b"", HALF], ids=["nothing", "half a head"])
def test_who_sends_no_whole_head_is_let_go(pages: Pages, said: bytes) -> None:
    with serving(pages, SHORT) as door, socket.create_connection(door) as connection:
        connection.sendall(said)
        assert is_ended(connection)
    assert not pages.asked.is_set()


def test_drips_do_not_buy_time(pages: Pages) -> None:
    with serving(pages, SHORT) as door, socket.create_connection(door) as connection:
        connection.sendall(HALF)
        ended = threading.Event()

        def drip() -> None:
            while not ended.wait(SHORT / 10):
                try:
                    connection.sendall(b"x")
                except OSError:
                    return

        thread = threading.Thread(target=drip)
        thread.start()
        try:
            assert connection.recv(1000) == b""
        except ConnectionResetError:
            pass  # a drip met the closed socket
        finally:
            ended.set()
            thread.join()


def test_a_second_request_on_a_connection_has_its_own_time(pages: Pages) -> None:
    with serving(pages, SHORT) as door, socket.create_connection(door) as connection:
        connection.sendall(WHOLE)
        answer = connection.recv(1000)
        while not answer.endswith(b"well\r\n0\r\n\r\n"):
            answer += connection.recv(1000)
        connection.sendall(HALF)
        assert is_ended(connection)


def test_who_waits_for_an_answer_is_not_cut_off(pages: Pages) -> None:
    pages.open.clear()
    with (
        serving(pages, SHORT) as door,
        socket.create_connection(door) as patient,
    ):
        patient.sendall(WHOLE)
        assert pages.asked.wait(30)
        # Others come and are let go: more than the limit has passed then.
        for _ in range(2):
            with socket.create_connection(door) as silent:
                assert is_ended(silent)
        pages.open.set()
        assert patient.recv(1000).startswith(b"HTTP/1.1 200")


def test_a_head_in_two_packets_is_in_time(pages: Pages) -> None:
    with serving(pages, LONG) as door, socket.create_connection(door) as connection:
        connection.sendall(WHOLE[:10])
        connection.sendall(WHOLE[10:])
        assert connection.recv(1000).startswith(b"HTTP/1.1 200")
    assert HEAD_SECONDS <= 10


def test_run_takes_all_the_files_it_may_have(tmp_path: Path) -> None:
    office = Office(tmp_path, settings(NOBODY_LISTENS))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(256, hard), hard))
    try:
        with running(office, "web") as (process, _):
            limits = Path(f"/proc/{process.pid}/limits").read_text()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    (line,) = (line for line in limits.splitlines() if line.startswith("Max open files"))
    now, most = line.split()[3:5]
    assert now == most
