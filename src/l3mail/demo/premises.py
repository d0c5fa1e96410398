"""The demo's workspace: the starter's files with what a city would fill in, and its open door."""

import re
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import uvicorn

from l3mail.clocks import Clock
from l3mail.database import Database
from l3mail.demo import city
from l3mail.errors import WorkspaceError
from l3mail.events import Guestbook
from l3mail.settings import FILE, Settings, load_settings
from l3mail.starter import lay_out
from l3mail.wiring import load_tokens, make_rules, set_up

CreateApp = Callable[..., Any]
"""How the pages are made: `web.create_app`."""

_MARK = ".l3mail-demo"
_KEY = re.compile(r"#? ?([a-z_]+) = .*")
_SECTION = re.compile(r"#? ?\[([a-z_.-]+)\]")


def clear(folder: Path) -> None:
    """Make an empty folder for a new demo in the place of an old one.

    Raises WorkspaceError where the folder holds something that is not a demo.
    """
    if folder.exists():
        if not (folder / _MARK).exists() and any(folder.iterdir()):
            raise WorkspaceError(f"{folder} holds something else; name an empty folder by --dir")
        shutil.rmtree(folder)
    (folder / "mails").mkdir(parents=True)
    (folder / _MARK).touch()


def furnish(folder: Path, *, relay_port: int, web_port: int, now: datetime) -> Settings:
    """Lay out the starter workspace, add what is the city's, publish all of it."""
    lay_out(folder)
    path = folder / FILE
    values = city.settings(relay_port, web_port)
    path.write_text(filled(path.read_text(encoding="utf-8"), values), encoding="utf-8")
    _write_texts(folder)
    settings = load_settings(folder, {})
    set_up(settings, by="demo", now=now)
    return settings


def _write_texts(folder: Path) -> None:
    """Add what the city has to say to the starter's texts, and its own."""
    name, shown, own = city.VIDEO
    lesson = (folder / name).read_text(encoding="utf-8")
    (folder / name).write_text(lesson.replace(shown, own), encoding="utf-8")
    for name, line in city.LINKS.items():
        with (folder / name).open("a", encoding="utf-8") as text:
            text.write(f"\n{line}\n")
    for name, whole in city.TEXTS.items():
        (folder / name).write_text(whole, encoding="utf-8")


def filled(text: str, values: dict[str, dict[str, str]]) -> str:
    """The text of an l3mail.toml with these values, each on its own line, comments kept.

    A key takes the place of its line, or of the line that shows its default; one that has none
    goes to the end of its section, and a section that is missing to the end. A section that is
    only shown, behind a #, is there where it has values.
    """
    left = {section: dict(keys) for section, keys in values.items()}
    given = [
        _SECTION.sub(r"[\1]", line) if _name(line) in left else line for line in text.splitlines()
    ]
    lines: list[str] = []
    section = ""
    for line in [*given, *(f"[{key}]" for key in left if f"[{key}]" not in given)]:
        if name := _name(line):
            _append_left(lines, left.get(section, {}))
            section = name
            if lines and lines[-1] and not lines[-1].startswith("#"):
                lines.append("")
        key = _KEY.fullmatch(line)
        value = left.get(section, {}).pop(key[1], None) if key else None
        lines.append(line if key is None or value is None else f"{key[1]} = {value}")
    _append_left(lines, left.get(section, {}))
    return "\n".join(lines) + "\n"


def _name(line: str) -> str:
    """The section a line begins or shows; "" for none."""
    found = _SECTION.fullmatch(line)
    return found[1] if found else ""


def _append_left(lines: list[str], keys: dict[str, str]) -> None:
    """Put keys behind the last line of a section that says anything of it."""
    at = len(lines)
    while at and (not lines[at - 1] or lines[at - 1].startswith("#")):
        at -= 1
    lines[at:at] = [f"{key} = {value}" for key, value in keys.items()]
    keys.clear()


@contextmanager
def listening() -> Iterator[socket.socket]:
    """A socket at a free port of this machine; who comes early waits."""
    with socket.create_server(("127.0.0.1", 0)) as door:
        yield door


@contextmanager
def open_door(
    create_app: CreateApp,
    settings: Settings,
    database: Database,
    clock: Clock,
    door: socket.socket,
) -> Iterator[Guestbook]:
    """Answer pages at the socket, in a thread of their own; what came in is to be flushed."""
    book = Guestbook(database, mode=settings.tracking.mode, zone=settings.zone)
    tokens, rules = load_tokens(settings), make_rules(settings)
    app = create_app(settings, database, tokens, clock, rules, book=book)
    config = uvicorn.Config(
        app, log_config=None, access_log=False, proxy_headers=False, ws="none", lifespan="off"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [door]}, name="pages")
    thread.start()
    try:
        yield book
    finally:
        server.should_exit = True
        thread.join()
