"""An import that is killed and typed again comes to what one without a kill comes to."""

import csv
import random
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from l3mail import consents
from l3mail.database import opened
from l3mail.models import CONSENT, DELIVERY, EVENT, SIGNUP, STREAM, SUBSCRIBER, SUBSCRIPTION
from tests.fakes.office import Office
from tests.fakes.postgres import drop_database, fresh_database, postgres_url
from tests.fakes.village import Village

ROWS = 320
SETTINGS = """
[sender]
from = "Bildung <kurs@stadt.example>"
[streams.newsletter]
title = "Bildung im Stadtteil"
"""
# Before which of its statements the process is killed; -1 counts them and lets it end.
DYING = """
import os, signal, sys
from sqlalchemy import event
from sqlalchemy.engine import Engine
at, seen = int(sys.argv.pop(1)), 0
@event.listens_for(Engine, "before_cursor_execute")
def count(*_):
    global seen
    if seen == at:
        os.kill(os.getpid(), signal.SIGKILL)
    seen += 1
from l3mail.cli import main
try:
    main()
finally:
    print(seen, file=sys.stderr)
"""
TABLES = (SUBSCRIBER, SUBSCRIPTION, SIGNUP, DELIVERY, EVENT)
OWN = {"id", "at", "subscriber_id", "signup_id", "occurrence", "address_key", "wording_id"}


def run(office: Office, at: int, *words: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-c", DYING, str(at), "--workspace", str(office.folder), *words]
    return subprocess.run(
        command, env=office.environment, capture_output=True, text=True, timeout=120, check=False
    )


def outcome(office: Office) -> dict[str, Any]:
    """What is known of whom, without numbers and moments; and whether the chain holds."""
    with opened(office.settings.database_url) as database:
        village = Village(database)
        addresses = {row["id"]: row["address"] for row in village.rows(SUBSCRIBER)}
        # PostgreSQL does not give numbers again that went with a killed transaction.
        streams = {row["id"]: row["slug"] for row in village.rows(STREAM)}
        told: dict[str, Any] = {
            table.name: sorted(_told(row, addresses, streams) for row in village.rows(table))
            for table in TABLES
        }
        acts = village.rows(CONSENT)
        told["acts"] = sorted((row["act"], addresses[row["subscriber_id"]]) for row in acts)
        told["broken"] = village.do(consents.verify).broken_at
        return told


def _told(row: Mapping[str, Any], addresses: Mapping[int, str], streams: Mapping[int, str]) -> str:
    values = {name: value for name, value in row.items() if name not in OWN}
    told = {name: value for name, value in values.items() if not name.endswith("_at")}
    who = addresses.get(row.get("subscriber_id") or 0, "")
    return str({"who": who, "stream": streams.get(told.pop("stream_id", 0))} | told)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "more"),
    [
        ("sqlite", ("--confirmed", "--consent-note", "Ordner 7", "--stream", "newsletter")),
        ("sqlite", ("--yes", "--stream", "newsletter")),
        ("sqlite", ("--as", "unsubscribed")),
        pytest.param("postgres", ("--yes", "--stream", "newsletter"), marks=pytest.mark.postgres),
    ],
    ids=["sqlite-attested", "sqlite-invited", "sqlite-left", "postgres-invited"],
)
def test_an_import_killed_anywhere_and_typed_again_comes_to_the_same(
    tmp_path: Path, kind: str, more: tuple[str, ...], record_property: Any
) -> None:
    seed = random.SystemRandom().randrange(2**32)
    record_property("seed", seed)
    chance = random.Random(seed)
    urls = [fresh_database(postgres_url()) for _ in range(2)] if kind == "postgres" else [None] * 2
    offices = []
    for name, url in zip(("plain", "killed"), urls, strict=True):
        (tmp_path / name).mkdir()
        offices.append(Office(tmp_path / name, SETTINGS, url))
    plain, killed = offices
    file = tmp_path / "people.csv"
    with file.open("w", encoding="utf-8", newline="") as out:
        rows = [[f"p{n}@x.example", f"Ada {n}"] for n in range(ROWS)]
        csv.writer(out).writerows([["email", "first_name"], *rows])
    words = ("subscribers", "import", str(file), *more)
    ended = run(plain, -1, *words)
    assert ended.returncode == 0, ended.stderr
    statements = int(ended.stderr.split()[-1])
    # Where much is done already there is less to do, and the last of them may come to the end.
    endings = [run(killed, chance.randrange(2, statements), *words).returncode for _ in range(3)]
    assert endings[0] == -signal.SIGKILL
    assert set(endings) <= {-signal.SIGKILL, 0}
    again = run(killed, -1, *words)
    assert again.returncode == 0, again.stderr
    assert outcome(killed) == outcome(plain)
    for url in filter(None, urls):
        drop_database(url)
