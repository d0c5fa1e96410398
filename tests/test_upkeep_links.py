"""Links that are asked where they lead: what is told of each answer, and of none at all."""

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from typer.testing import CliRunner

from l3mail.cli import app
from l3mail.content import compile_all
from l3mail.upkeep import links
from tests.fakes.library import Shelf
from tests.fakes.office import Office

STATUS = {"/there": 200, "/gone": 410, "/missing": 404, "/closed": 403, "/broken": 503}


class Site(BaseHTTPRequestHandler):
    """Answers each path with its status; /moved leads to /there, /silent to nothing."""

    def do_GET(self) -> None:
        type(self).seen.append(self.path)
        if self.path == "/silent":
            return
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "/there")
        elif self.path == "/out":
            self.send_response(302)
            self.send_header("Location", "file:///etc/passwd")
        else:
            self.send_response(STATUS[self.path])
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
        pass

    seen: list[str]


@pytest.fixture
def site() -> Iterator[str]:
    Site.seen = []
    with ThreadingHTTPServer(("127.0.0.1", 0), Site) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def asked(folder: Path, *urls: str) -> list[str]:
    """What is told of a lesson with these links, each in a line of its own from line 4 on."""
    shelf = Shelf(folder)
    shelf.lesson("\n".join(f"Zur [Seite {n}]({url})" for n, url in enumerate(urls)))
    shares: list[float] = []
    found = links.look(compile_all(shelf.library), shares.append, seconds=5)
    assert sorted(shares)[-1:] == ([1.0] if urls else [])
    return [str(one).removeprefix("lessons/kurs/01-start.md:") for one in found]


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/there", None),
        ("/moved", None),
        ("/closed", None),
        ("/gone", "4:15: {} does not exist any more (410); mend the link or delete it"),
        ("/missing", "4:15: {} does not exist any more (404); mend the link or delete it"),
        ("/broken", "4:15: warning: {} answers 503; mend the link or delete it"),
    ],
)
def test_each_answer_is_judged(tmp_path: Path, site: str, path: str, told: str | None) -> None:
    assert asked(tmp_path, site + path) == ([told.format(site + path)] if told else [])


def test_each_address_is_asked_once_and_told_at_its_line(tmp_path: Path, site: str) -> None:
    told = asked(tmp_path, f"{site}/there", f"{site}/gone", f"{site}/there")
    assert [one.partition(":")[0] for one in told] == ["5"]
    assert sorted(Site.seen) == ["/gone", "/there"]


@pytest.mark.parametrize("path", ["/silent", "/out"])
def test_what_is_no_answer_is_a_warning(tmp_path: Path, site: str, path: str) -> None:
    (told,) = asked(tmp_path, site + path)
    assert told.startswith("4:15: warning: ")


def test_a_host_where_nobody_listens_is_a_warning(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    (told,) = asked(tmp_path, f"http://127.0.0.1:{port}/")
    assert told.startswith(f"4:15: warning: http://127.0.0.1:{port}/ was not reached: ")


def test_a_host_that_nobody_knows_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    assert asked(tmp_path, "https://nirgends.example/") == [
        "4:15: https://nirgends.example/ has a host that nobody knows; mend the link or delete it"
    ]


def test_nothing_is_asked_where_there_is_no_link(tmp_path: Path) -> None:
    assert asked(tmp_path) == []


def test_only_check_online_asks(tmp_path: Path, site: str) -> None:
    office = Office(tmp_path, '[workspace]\nname = "Bildung"\n')
    Shelf(tmp_path).lesson(f"Zur [alten Seite]({site}/gone)")
    command = ["--workspace", str(office.folder), "check"]
    quiet = CliRunner().invoke(app, command)
    assert (quiet.exit_code, Site.seen) == (0, [])
    told = CliRunner().invoke(app, [*command, "--online"])
    assert told.exit_code == 1
    assert f"lessons/kurs/01-start.md:4:19: {site}/gone does not exist any more" in told.output
