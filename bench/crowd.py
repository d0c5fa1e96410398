"""A workspace with as many people as wanted, and a newsletter due to all of them.

Owns the test message: ten sections, about 31 KB of HTML and 4 KB of text, ten placeholders, fifteen
links. People are made in bulk: making them is not what is measured.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import MappingProxyType

from sqlalchemy import Connection, insert, select

from l3mail import newsletters, rounds
from l3mail.addresses import address_key, parse_address
from l3mail.clocks import FixedClock, SystemClock
from l3mail.database import Database
from l3mail.models import STREAM, SUBSCRIBER, SUBSCRIPTION
from l3mail.settings import Settings, load_pepper, load_settings
from l3mail.starter import lay_out
from l3mail.wiring import make_agenda, open_database, set_up

ISSUE = "newsletter/2027-01"
CHUNK = 10_000
ROOT = Path(__file__).resolve().parent.parent
"""Where our own programs run: `python -m bench.…` is found there."""

SETTINGS = """
[workspace]
name = "Bildung in Musterstadt"
[sender]
from = "Bildung in Musterstadt <kurs@stadt.example>"
[impressum]
name = "Landeshauptstadt Musterstadt"
address = "Rathausplatz 1, 12345 Musterstadt"
email = "bildung@stadt.example"
privacy_url = "https://stadt.example/privacy"
[relay]
host = "127.0.0.1"
port = {port}
connections = {connections}
messages_per_connection = 1000000
[web]
base_url = "http://127.0.0.1:8000"
[streams.newsletter]
title = "Bildung im Stadtteil"
kind = "newsletter"
"""

MEASURED = """
[tracking]
mode = "consent"
"""

_PARAGRAPH = (
    "Im Stadtteil {n} öffnet die Bibliothek jetzt auch am Samstag. Wer lesen, rechnen oder das"
    " Telefon besser verstehen möchte, findet dort Menschen, die zuhören und es zeigen. Niemand"
    " braucht sich anzumelden, und es kostet nichts. Für Kinder gibt es eine Ecke mit Büchern,"
    " für alle anderen Kaffee. Erzählen Sie es weiter."
)


@dataclass(frozen=True)
class Crowd:
    """A workspace laid out, with its database open."""

    settings: Settings
    database: Database
    clock: FixedClock


@contextmanager
def crowd(
    people: int,
    *,
    port: int = 25,
    connections: int = 20,
    tracked: bool = False,
    text: str | None = None,
    environment: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[Crowd]:
    """Make a workspace whose newsletter is due to `people`; `plan` then queues it.

    `tracked` means that all agreed to be measured, so every link in their mail is their own;
    `text` is sent instead of the test message; `environment` may name another database.
    """
    with tempfile.TemporaryDirectory(prefix="l3mail-bench-") as folder:
        workspace = Path(folder) / "workspace"
        lay_out(workspace)
        (workspace / "l3mail.toml").write_text(
            SETTINGS.format(port=port, connections=connections) + (MEASURED if tracked else ""),
            encoding="utf-8",
        )
        (workspace / "newsletters" / "2027-01.md").write_text(text or issue(), encoding="utf-8")
        settings = load_settings(workspace, environment)
        clock = FixedClock(SystemClock().now())
        set_up(settings, by="bench", now=clock.now())
        with open_database(settings) as database:
            gather(settings, database, people, clock.now(), tracked=tracked)
            schedule(database, clock.now())
            yield Crowd(settings, database, clock)


def surroundings(more: Mapping[str, str] = MappingProxyType({})) -> dict[str, str]:
    """The environment of programs that are measured: none of l3mail's own variables but `more`.

    Whoever works with a real workspace may have its database and relay in theirs.
    """
    plain = {name: value for name, value in os.environ.items() if not name.startswith("L3MAIL_")}
    return plain | dict(more)


def issue() -> str:
    """The test message as an editor would write it."""
    sections = [
        f"## Abschnitt {n} für {{{{ first_name|default('Sie') }}}}\n\n"
        + "\n\n".join(_PARAGRAPH.format(n=n) for _ in range(2))
        + f"\n\n[Mehr über Abschnitt {n}](https://stadt.example/abschnitt/{n} 'abschnitt-{n}')"
        + (f"\n\n- [Anfahrt {n}](https://stadt.example/anfahrt/{n})" if n % 2 else "")
        for n in range(1, 11)
    ]
    head = (
        "---\nsubject: \"Neues für {{ first_name|default('Sie') }}\"\nstream: newsletter\n---\n\n"
    )
    return head + "{{ greeting }},\n\n" + "\n\n".join(sections) + "\n"


def gather(
    settings: Settings, database: Database, people: int, now: datetime, *, tracked: bool = False
) -> None:
    """Add people who are confirmed for the newsletter."""
    pepper = load_pepper(settings.state_dir)

    def verb(connection: Connection, first: int, last: int) -> None:
        stream = connection.execute(
            select(STREAM.c.id).where(STREAM.c.slug == "newsletter")
        ).scalar_one()
        rows = []
        for n in range(first, last):
            address = parse_address(f"person-{n}@schule-{n % 97}.example")
            rows.append(
                {
                    "id": n,
                    "address": address.address,
                    "address_key": address_key(address, pepper),
                    "first_name": "Änne" if n % 2 else "Max",
                    "last_name": f"Beispiel{n}",
                    "tracking": tracked,
                    "created_at": now,
                }
            )
        connection.execute(insert(SUBSCRIBER), rows)
        connection.execute(
            insert(SUBSCRIPTION),
            [
                {
                    "subscriber_id": row["id"],
                    "stream_id": stream,
                    "state": "confirmed",
                    "created_at": now,
                    "confirmed_at": now,
                }
                for row in rows
            ],
        )

    for first in range(1, people + 1, CHUNK):
        last = min(first + CHUNK, people + 1)
        database.write(lambda connection, a=first, b=last: verb(connection, a, b))  # type: ignore[misc]


def schedule(database: Database, now: datetime) -> None:
    """Let the issue be due now."""
    database.write(
        lambda connection: newsletters.schedule(
            connection, ISSUE, now, segment=None, by="bench", now=now
        )
    )


def plan(crowd: Crowd) -> int:
    """Plan all that is due; how many deliveries that makes."""
    return rounds.run(crowd.database, crowd.clock, make_agenda(crowd.settings)).planned


def keep(crowd: Crowd, stock: Path) -> None:
    """Keep the workspace as it is now, to begin every round with a copy of it."""
    # Closed, its log is part of the file: what is copied is whole.
    crowd.database.close()
    shutil.copytree(crowd.settings.folder, stock)
