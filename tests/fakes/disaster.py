"""A workspace with a course, a newsletter and a yearly mailing that lives on a virtual clock.

For tests in which its database is lost, put back, and has to go on. The relay is the only one that
remembers everything.
"""

import asyncio
import json
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from freezegun import freeze_time
from sqlalchemy import Connection

from l3mail import courses, migrations, rounds
from l3mail.cli import main
from l3mail.clocks import FixedClock
from l3mail.courses import Outline
from l3mail.database import Database, opened
from l3mail.models import CAMPAIGN, CAMPAIGN_MESSAGE
from l3mail.settings import FILE, Settings, load_settings, make_state
from l3mail.wiring import make_agenda, make_sender, require_reconciled
from tests.fakes.parish import declare
from tests.fakes.postgres import drop_database, fresh_database, postgres_url
from tests.fakes.relay import Relay
from tests.fakes.village import Village

BERLIN = ZoneInfo("Europe/Berlin")
SUNDAY = datetime(2026, 11, 22, 12, tzinfo=UTC)
LESSONS = [f"kurs/0{n}" for n in range(1, 5)]
ISSUE, YEARLY = "newsletter/2026-12", "lifecycle/jahrestag"
PEOPLE = [f"p{n}@schule.example" for n in range(3)]
SETTINGS = """
[sender]
from = "Bildung <kurs@stadt.example>"
[relay]
port = {port}
[streams.lifecycle]
kind = "lifecycle"
title = "Grüße"
"""


def hour(day: int, at: int, month: int = 11) -> datetime:
    """An hour of Berlin's clocks in the late autumn of 2026."""
    return datetime(2026, month, day, at, tzinfo=BERLIN).astimezone(UTC)


@contextmanager
def on_a_sunday(
    kind: str, folder: Path, capsys: Any, patch: pytest.MonkeyPatch
) -> Iterator["Disaster"]:
    """The workspace with three learners, before anything happened; `kind` is of BACKENDS."""
    url = fresh_database(postgres_url()) if kind == "postgres" else None
    with Relay() as relay:
        disaster = Disaster(folder, relay, url, capsys, patch)
        disaster.settle_down()
        yield disaster
    if url:
        drop_database(url)


class Disaster:
    """The workspace, and what its relay took."""

    def __init__(
        self, folder: Path, relay: Relay, url: str | None, capsys: Any, patch: pytest.MonkeyPatch
    ) -> None:
        self.folder = folder
        self.relay = relay
        self.clock = FixedClock(SUNDAY)
        self.error = ""
        self._capsys = capsys
        self._patch = patch
        self._environment = {"L3MAIL_DATABASE_URL": url} if url else {}
        for name, value in self._environment.items():
            patch.setenv(name, value)
        (folder / FILE).write_text(SETTINGS.format(port=relay.port), encoding="utf-8")
        make_state(self.settings.state_dir)
        with opened(self.settings.database_url) as database:
            migrations.upgrade(database, SUNDAY)

    @property
    def settings(self) -> Settings:
        return load_settings(self.folder, self._environment)

    @property
    def state(self) -> Path:
        return self.settings.state_dir

    @property
    def file(self) -> Path:
        return self.state / "l3mail.sqlite3"

    @contextmanager
    def village(self) -> Iterator[Village]:
        """The rows, while nobody else has them open."""
        with opened(self.settings.database_url) as database:
            yield Village(database, self.clock)

    def settle_down(self) -> None:
        """Three learners who also read the newsletter and are greeted each 24 November."""
        with self.village() as village:
            outline = Outline(
                "kurs",
                "Kurs",
                {"weekday": "mon", "at": "10:00"},
                [(slug, "lesson") for slug in LESSONS],
            )
            course = village.stream()
            village.do(courses.define, outline, course, village.now)
            for slug in LESSONS:
                village.publish(slug, subject=slug)
            for address in PEOPLE:
                person = village.learner(address)
                village.subscribe(person, village.stream("newsletter", "newsletter"))
                village.subscribe(person, village.stream("lifecycle", "lifecycle"))
                village.do(courses.enroll, "kurs", person, village.now, BERLIN)
            self._schedule(village)
            declare(village, YEARLY, trigger="yearly", on="11-24", at="09:00")
            village.publish(YEARLY, subject=YEARLY)

    def _schedule(self, village: Village) -> None:
        message = village.publish(ISSUE, subject=ISSUE)
        campaign = village.campaign(ISSUE)
        village.change(CAMPAIGN, campaign, scheduled_at=hour(24, 12))
        village.insert(CAMPAIGN_MESSAGE, campaign_id=campaign, locale="de", message_id=message)

    def live(self, until: datetime) -> None:
        """Plan and send all that falls due, from one due moment to the next."""
        agenda = make_agenda(self.settings, rehearsing=True)
        with opened(self.settings.database_url) as database:
            while True:
                self._once(database, agenda)
                coming = database.read(self._next)
                if coming is None or coming > until:
                    break
                self.clock.set(coming)
        self.clock.set(until)

    def _next(self, connection: Connection) -> datetime | None:
        agenda = make_agenda(self.settings, rehearsing=True)
        return rounds.next_moment(connection, self.clock.now(), agenda)

    def _once(self, database: Database, agenda: rounds.Agenda) -> None:
        require_reconciled(self.settings, database, self.clock)
        rounds.run(database, self.clock, agenda)
        self.clock.advance(timedelta(seconds=1))
        asyncio.run(make_sender(self.settings, database, self.clock).run(once=True))
        rounds.run(database, self.clock, agenda)

    def run(self, *words: str, code: int = 0) -> str:
        """The real command line at this hour."""
        self._patch.setattr(sys, "argv", ["l3mail", "--workspace", str(self.folder), *words])
        self._capsys.readouterr()
        with freeze_time(self.clock.now()), pytest.raises(SystemExit) as ended:
            main()
        captured = self._capsys.readouterr()
        self.error = captured.err
        assert ended.value.code == code, captured.out + captured.err
        return str(captured.out)

    def json(self, *words: str, code: int = 0) -> Any:
        return json.loads(self.run(*words, "--json", code=code))

    def arrived(self) -> "Counter[tuple[str, str]]":
        """How often each person got each text, by the relay's own book."""
        found: Counter[tuple[str, str]] = Counter()
        for taken in self.relay.accepted:
            found[taken.rcpt_to[0], str(message_from_bytes(taken.data)["Subject"])] += 1
        return found

    def message_ids(self) -> list[str]:
        return [str(message_from_bytes(mail.data)["Message-ID"]) for mail in self.relay.accepted]

    def listed(self, state: str = "uncertain") -> "Counter[tuple[str, str]]":
        rows = self.json("outbox", "list", "--status", state, "--limit", "9999")
        return Counter((row["email"], row["message"]) for row in rows)
