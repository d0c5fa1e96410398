"""What a workspace's report knows of its triggers, on both databases."""

from pathlib import Path

import pytest

from l3mail import reports
from l3mail.settings import Settings, load_settings, make_state
from l3mail.wiring import report_terms
from tests.fakes import parish
from tests.fakes.village import Village

SETTINGS = '[streams.lifecycle]\ntitle = "Grüße"\nkind = "lifecycle"\n'


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "l3mail.toml").write_text(SETTINGS, encoding="utf-8")
    settings = load_settings(tmp_path, {})
    make_state(settings.state_dir)
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
