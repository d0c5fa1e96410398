"""An operator at work: the real command line on a workspace on disk and a clock that stands."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from freezegun import freeze_time

from l3mail.addresses import address_key, parse_address
from l3mail.cli import main
from l3mail.database import opened
from l3mail.models import SUBSCRIBER
from l3mail.settings import load_pepper
from tests.fakes.office import Office
from tests.fakes.village import MONDAY_TEN, Village

SETTINGS = """
[sender]
from = "Bildung <kurs@stadt.example>"
"""
TUESDAY = MONDAY_TEN + timedelta(days=1)


class Desk:
    """An operator's terminal: types commands, reads what they print."""

    def __init__(
        self, folder: Path, village: Village, capsys: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.folder = folder
        self.village = village
        self._capsys = capsys
        self._monkeypatch = monkeypatch
        self.error = ""

    def run(self, *words: str, code: int = 0, at: datetime = TUESDAY) -> str:
        self._monkeypatch.setattr(sys, "argv", ["l3mail", "--workspace", str(self.folder), *words])
        self._capsys.readouterr()
        with freeze_time(at), pytest.raises(SystemExit) as ended:
            main()
        captured = self._capsys.readouterr()
        self.error = captured.err
        assert ended.value.code == code, captured.out + captured.err
        return str(captured.out)

    def log_in(self, name: str) -> None:
        """Whoever sits down next, under a login of their own."""
        self._monkeypatch.setenv("LOGNAME", name)
        self._monkeypatch.setattr("l3mail.cli.context.House.login", name)

    def json(self, *words: str, at: datetime = TUESDAY, code: int = 0) -> Any:
        return json.loads(self.run(*words, "--json", at=at, code=code))

    def learner(self, address: str, **values: Any) -> int:
        """A person confirmed for the course, with the key this workspace knows them by."""
        person = self.village.learner(address, **values)
        pepper = load_pepper(self.folder / "state")
        key = address_key(parse_address(address), pepper)
        self.village.change(SUBSCRIBER, person, address_key=key)
        return person


@contextmanager
def at_a_desk(folder: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    """A desk on a Tuesday, with nobody known yet."""
    office = Office(folder, SETTINGS)
    with opened(office.settings.database_url) as database:
        village = Village(database)
        village.clock.set(TUESDAY)
        yield Desk(folder, village, capsys, monkeypatch)
