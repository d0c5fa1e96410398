"""The door over a real socket: what a mail provider's machine sends, byte for byte."""

import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from l3mail.models import SUBSCRIPTION
from l3mail.tokens import Purpose
from tests.fakes.porch import TOKENS, declare_streams, open_settings, served
from tests.fakes.village import Village


@pytest.fixture
def base(sqlite_village: Village, tmp_path: Path) -> Iterator[str]:
    declare_streams(sqlite_village)
    with served(sqlite_village, open_settings(tmp_path)) as base:
        yield base


def leave_link(village: Village) -> str:
    person = village.learner()
    return "/unsubscribe/" + TOKENS.make(Purpose.UNSUBSCRIBE, person, village.stream(), 1)


def say(base: str, request: bytes, *, hang_up: bool = False) -> bytes:
    """Send raw bytes and read what comes until the other side is done."""
    address = (urlsplit(base).hostname or "", urlsplit(base).port or 0)
    answer = b""
    with socket.create_connection(address, timeout=10) as wire:
        try:
            wire.sendall(request)
            if hang_up:
                wire.shutdown(socket.SHUT_WR)
            while chunk := wire.recv(65536):
                answer += chunk
        except ConnectionError:  # it had read enough
            pass
    return answer


@pytest.mark.parametrize(
    "request_of",
    [
        pytest.param(
            "POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 26\r\nConnection: close\r\n"
            "Content-Type: application/x-www-form-urlencoded\r\n\r\nList-Unsubscribe=One-Click",
            id="as RFC 8058 shows it",
        ),
        pytest.param("POST {path} HTTP/1.0\r\nConnection: close\r\n\r\n", id="no body, HTTP/1.0"),
        pytest.param(
            "POST {path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
            "Connection: close\r\n\r\n1a\r\nList-Unsubscribe=One-Click\r\n0\r\n\r\n",
            id="chunked",
        ),
    ],
)
def test_one_click_over_the_wire(sqlite_village: Village, base: str, request_of: str) -> None:
    answer = say(base, request_of.format(path=leave_link(sqlite_village)).encode())
    assert answer.startswith((b"HTTP/1.1 200", b"HTTP/1.0 200"))
    assert b"set-cookie" not in answer.lower()
    assert [row["state"] for row in sqlite_village.rows(SUBSCRIPTION)] == ["unsubscribed"]


def test_scanners_over_the_wire_change_nothing(sqlite_village: Village, base: str) -> None:
    link = leave_link(sqlite_village)
    with httpx.Client(base_url=base) as client:
        assert client.get(link).status_code == 200
        head = client.head(link)
        assert (head.status_code, head.content) == (200, b"")
        assert client.options(link).status_code == 405
    assert [row["state"] for row in sqlite_village.rows(SUBSCRIPTION)] == ["confirmed"]


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET /subscribe?locale=%ff%00 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"GET /confirm/%00%ff%2e%2e HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"GET http://evil.example/subscribe HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"GET //evil.example HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"FOO /subscribe HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"POST /subscribe HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n",
        b"POST /subscribe HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\nConnection: close\r\n\r\nx",
        b"\x16\x03\x01",
        b"GET /subscribe HTTP/1.1\r\nHost: x\r\nA: " + b"x" * 100_000 + b"\r\n\r\n",
        b"GET /subscribe HTTP/1.1\r\nHost: x\r\nAccept-Language: \xff\r\nConnection: close\r\n\r\n",
    ],
    ids=range(12),
)
def test_odd_bytes_are_never_our_fault(base: str, request_bytes: bytes) -> None:
    answer = say(base, request_bytes, hang_up=True)
    assert not answer or answer.split(b" ")[1][:1] in {b"2", b"3", b"4"}, answer[:100]
    assert httpx.get(f"{base}/healthz").status_code == 200
