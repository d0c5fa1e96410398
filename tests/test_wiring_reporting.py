"""What a workspace's report knows, on both databases, and who writes it."""

from datetime import timedelta
from pathlib import Path

import pytest

from l3mail import migrations, reports, rounds
from l3mail.database import opened
from l3mail.models import DELIVERY, WORKSPACE
from l3mail.settings import Settings, load_settings, make_state
from l3mail.staff import Letter
from l3mail.wiring import make_watched_agenda, report_terms, reporting
from tests.fakes import parish
from tests.fakes.village import MONDAY_TEN, Village

SETTINGS = '[streams.lifecycle]\ntitle = "Grüße"\nkind = "lifecycle"\n'


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "l3mail.toml").write_text(SETTINGS, encoding="utf-8")
    settings = load_settings(tmp_path, {})
    make_state(settings.state_dir)
    # Whoever writes reports reads the house's own database.
    with opened(settings.database_url) as database:
        migrations.upgrade(database, MONDAY_TEN)
    return settings


def test_the_calendar_names_every_day_of_the_week_on_which_somebody_is_greeted(
    village: Village, settings: Settings
) -> None:
    village.clock.set(parish.berlin("2027-09-06 08:00"))
    parish.declare(village, trigger="birthday")
    for name, month, day in (("ada", 9, 6), ("bea", 9, 8), ("cem", 9, 8), ("dora", 9, 12)):
        parish.friend(village, name, birth_month=month, birth_day=day)
    parish.friend(village, "emil", birth_month=9, birth_day=13)
    report = village.database.read(
        lambda connection: reports.look(
            connection,
            reports.last_week(village.now, settings.zone),
            village.now,
            report_terms(connection, settings),
        )
    )
    assert [(parish.shown(one.due_at), one.people) for one in report.outlook.coming] == [
        ("2027-09-06 09:00", 1),
        ("2027-09-08 09:00", 2),
        ("2027-09-12 09:00", 1),
    ]


def test_a_letter_that_ran_out_of_time_is_a_fault_and_the_next_try_writes_anew(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = Letter("report/weekly", "report", "de", "KW 47", "Text")
    letters = [None, written]

    def write(*_: object) -> Letter:
        letter = letters.pop(0)
        if letter is None:
            raise TimeoutError
        return letter

    monkeypatch.setattr(reporting, "weekly_letter", write)
    monkeypatch.setattr(reporting, "PATIENCE_SECONDS", 60)
    scribe = reporting.Scribe(settings)
    span = reports.week("2026-W47", settings.zone, MONDAY_TEN)
    with pytest.raises(TimeoutError):
        scribe.write(span, MONDAY_TEN)
    assert scribe.write(span, MONDAY_TEN) == written


def test_a_report_that_cannot_be_written_keeps_no_alarm_back(
    village: Village, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> Letter:
        raise RuntimeError("no report today")

    monkeypatch.setattr(reporting, "weekly_letter", fail)
    monkeypatch.setattr(reporting, "PATIENCE_SECONDS", 60)
    village.delivery(village.learner(), state="uncertain", next_attempt_at=None)
    village.change(WORKSPACE, 1, created_at=MONDAY_TEN - timedelta(weeks=1))
    duty = settings.model_copy(
        update={"alerts": settings.alerts.model_copy(update={"to": ("it@amt.example",)})}
    )
    with pytest.raises(RuntimeError, match="no report today"):
        rounds.run(village.database, village.clock, make_watched_agenda(duty))
    assert [row["slug"] for row in village.rows(DELIVERY) if row["purpose"] == "staff"] == [
        "notice/alarm"
    ]
