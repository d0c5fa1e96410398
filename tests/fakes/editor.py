"""A workspace with one course, and the command line in it."""

from pathlib import Path
from typing import Any

from typer.testing import CliRunner, Result

from l3mail.cli import app
from l3mail.database import opened
from tests.fakes.library import Shelf
from tests.fakes.office import Office
from tests.fakes.village import Village

SETTINGS = """
[workspace]
name = "Bildung in Musterstadt"
[streams.newsletter]
title = "Neues"
[impressum]
name = "Stadt Musterhausen"
"""


class Editor:
    """Writes texts, and types commands."""

    def __init__(self, folder: Path, more: str = "") -> None:
        self.office = Office(folder, SETTINGS + more)
        self.shelf = Shelf(folder)
        self.shelf.image()
        self.shelf.lesson(
            "Guten Tag {{ first_name|default('alle') }}.\n\n![Tafel](media/tafel.png)"
        )

    def run(self, *words: str, code: int = 0) -> Result:
        result = CliRunner().invoke(app, ["--workspace", str(self.office.folder), *words])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            assert code, result.exception
            return result
        assert result.exit_code == code, result.output
        return result

    def rows(self, table: Any) -> list[dict[str, Any]]:
        with opened(self.office.settings.database_url) as database:
            return Village(database).rows(table)
