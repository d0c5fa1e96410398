"""The record of processing: what it says is what is set, and what it can't know it marks."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from l3mail import courses
from l3mail.privacy.markdown import to_markdown
from l3mail.privacy.processing import record
from l3mail.reports import to_page
from l3mail.settings import Settings, make_state
from tests.fakes.newcomer import COURSE, RULES
from tests.fakes.parish import declare
from tests.fakes.village import Village, ground

BASE: dict[str, dict[str, Any]] = {
    "impressum": {"name": "Stadt Beispiel", "address": "Platz 1", "email": "a@stadt.example"},
    "attributes": {"role": {"type": "choice", "choices": ("vhs", "kita"), "title": "Einrichtung"}},
}


@pytest.fixture(scope="module")
def village(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Village]:
    with ground("sqlite", tmp_path_factory.mktemp("record")) as database:
        village = Village(database)
        stream = village.stream("kurs", "course")
        village.do(courses.define, COURSE, stream, village.now)
        village.subscribe(village.person(tracking=True), stream)
        village.subscribe(village.person("bea@schule.example", restricted_at=village.now), stream)
        declare(village, "lifecycle/geburtstag", trigger="birthday")
        yield village


def settings(folder: Path, **changes: Any) -> Settings:
    made = {name: BASE.get(name, {}) | changes.get(name, {}) for name in {*BASE, *changes}}
    return Settings.model_validate({"folder": folder, **made})


def test_the_rights_of_files_are_those_they_have(village: Village, tmp_path: Path) -> None:
    make_state(tmp_path / "state")
    assert "Ordner state 0700, pepper 0600, secret.key 0600" in told(village, tmp_path)
    (tmp_path / "state").chmod(0o755)
    assert "Ordner state 0755" in told(village, tmp_path)


def told(village: Village, folder: Path, **changes: Any) -> str:
    given = settings(folder, **changes)
    return to_markdown(
        village.database.read(lambda one: record(one, given, RULES, village.now))
    ).replace("\\", "")


CHANGES: list[tuple[dict[str, Any], str]] = [
    ({"impressum": {"name": "Stadt Anderswo"}}, "Stadt Anderswo"),
    ({"impressum": {"privacy_url": "https://stadt.example/ds"}}, "https://stadt.example/ds"),
    ({"impressum": {"phone": "+49 351 1"}}, "+49 351 1"),
    ({"relay": {"host": "mail.stadt.example"}}, "mail.stadt.example:587; Bitte ergänzen"),
    ({"relay": {"host": "mail.stadt.example", "tls": "tls"}}, "verschlüsselt (TLS)"),
    ({"relay": {"host": "mail.stadt.example", "tls": "none"}}, "unverschlüsselt über das Netz"),
    ({"web": {"base_url": "https://kurse.stadt.example"}}, "verschlüsselt: https://kurse"),
    ({"signup": {"fields": ("birthday",)}}, "| Geburtstag, auch ohne Jahr | Datum | ja |"),
    ({"signup": {"fields": ("role",)}}, "| Einrichtung (role) | Auswahl: vhs, kita | ja |"),
    ({"tracking": {"mode": "aggregate"}}, "ohne Bezug auf Personen"),
    ({"tracking": {"mode": "consent"}}, "eigens zugestimmt haben, zurzeit 1 ("),
    ({"retention": {"unconfirmed_days": 3}}, "| 3 Tage, dann gelöscht |"),
    ({"retention": {"events_months": 5}}, "5 Monate, dann nur noch"),
    ({"retention": {"deliveries_months": 23}}, "23 Monate, dann nur noch"),
    ({"retention": {"proof_months": 11}}, "11 Monate nach dem Ende"),
    ({"privacy": {"proof_on_erasure": "erase"}}, "wird sofort mitgelöscht"),
    ({"alerts": {"heartbeat_url": "https://hc.example.org/x"}}, "hc.example.org; ohne Daten"),
    ({"alerts": {"to": ("it@stadt.example",)}}, "Probemails bekommen: 1."),
    ({"database": {"url": "postgresql://db.stadt.example/x"}}, "PostgreSQL auf db.stadt.example"),
    ({"workspace": {"locale": "en"}}, "# Record of processing activities"),
]


@pytest.mark.parametrize(("change", "words"), CHANGES, ids=lambda value: str(value)[:50])
def test_what_is_set_is_what_the_record_says(
    village: Village, tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    assert words not in told(village, tmp_path)
    assert words in told(village, tmp_path, **change)


def test_purposes_and_people_are_counted_in_the_database(village: Village, tmp_path: Path) -> None:
    text = told(village, tmp_path)
    assert "| Der Kurs | E-Mail-Kurs" in text or "| kurs | E-Mail-Kurs" in text
    assert "Mails zu Anlässen senden (lifecycle/geburtstag)" in text
    assert "Angemeldete Personen: 2, davon ruhen die Daten von 1." in text


def test_what_it_can_not_know_is_marked_and_listed_once_more(
    village: Village, tmp_path: Path
) -> None:
    text = told(village, tmp_path)
    body, _, listed = text.partition("## Was noch zu ergänzen ist")
    marked = [row for row in body.splitlines() if row.startswith("|") and "Bitte ergänzen" in row]
    gaps = re.findall("^- ", listed, re.MULTILINE)
    assert len(gaps) == len(marked) > 5
    assert f": {len(gaps)} Stellen" in body
    full = {"phone": "1", "privacy_url": "https://stadt.example/ds"}
    fewer = told(village, tmp_path, impressum=full).partition("## Was noch")[2]
    assert fewer.count("\n- ") == len(gaps) - 2


def test_it_is_a_page_too_and_what_settings_say_stays_text(
    village: Village, tmp_path: Path
) -> None:
    hostile = settings(tmp_path, impressum={"name": "<b>Amt</b> | *x*"})
    document = village.database.read(lambda one: record(one, hostile, RULES, village.now))
    assert "<b>" not in to_page(document)
    assert r"\<b\>Amt\</b\> \| \*x\*" in to_markdown(document)
