"""Mail that l3mail itself writes to the staff, on both databases."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from l3mail import outbox, publishing, staff
from l3mail.database import Database
from l3mail.models import DELIVERY, MESSAGE
from l3mail.rendering import fill
from l3mail.staff import Letter, Trial
from tests.fakes.library import Shelf
from tests.fakes.village import BACKENDS, Village, ground

OFFICE = "amt@stadt.example"
DUTY = "it@stadt.example"
LETTER = Letter(
    slug="report/weekly",
    kind="report",
    locale="de",
    subject="Woche 47: {{ alles }} gut",
    text="Kurs {% if x %}A{% endif %} {# nichts #} 100 %\n",
    html="<p>{{ 7 * 7 }}</p>",
)


@pytest.fixture(scope="module", params=BACKENDS)
def database(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Database]:
    with ground(request.param, tmp_path_factory.mktemp("staff")) as database:
        yield database


@pytest.fixture
def village(database: Database) -> Village:
    village = Village(database)
    village.empty()
    return village


def test_each_address_gets_one_mail_of_an_occurrence(village: Village) -> None:
    week = "report:2026-W47"
    assert len(village.do(staff.plan, LETTER, week, {OFFICE, DUTY}, village.now)) == 2
    assert village.do(staff.plan, LETTER, week, {OFFICE, DUTY}, village.now) == []
    assert len(village.do(staff.plan, LETTER, "report:2026-W48", {OFFICE}, village.now)) == 1
    assert {(row["purpose"], row["kind"], row["state"]) for row in village.rows(DELIVERY)} == {
        ("staff", "report", "queued")
    }


def test_only_who_is_listed_as_staff_is_mailed(village: Village) -> None:
    village.do(staff.plan, LETTER, "report:2026-W47", {OFFICE, DUTY}, village.now)
    started = village.begin(village.claim(lane=0))
    assert [delivery.address for delivery in started] == [OFFICE]
    (gone,) = (row for row in village.rows(DELIVERY) if row["address"] == DUTY)
    assert (gone["state"], gone["reason"]) == ("cancelled", "address is not listed as staff")


def test_what_was_planned_goes_out_whatever_is_written_later(village: Village) -> None:
    (first,) = village.do(staff.plan, LETTER, "report:2026-W46", {OFFICE}, village.now)
    later = Letter("report/weekly", "report", "de", "Woche 48", "Neues\n")
    village.do(staff.plan, later, "report:2026-W47", {OFFICE}, village.now)
    (started, _) = village.begin(village.claim(lane=0))
    assert started.id == first
    text = village.do(publishing.load, [started.message_id])[started.message_id]
    assert fill(text.compiled, "subject", {}) == LETTER.subject


@pytest.mark.parametrize("part", ["subject", "text", "html"])
def test_what_looks_like_a_placeholder_is_text(village: Village, part: str) -> None:
    village.do(staff.plan, LETTER, "report:2026-W47", {OFFICE}, village.now)
    (row,) = village.rows(MESSAGE)
    assert fill(row["compiled"], part, {}) == getattr(LETTER, part)


def test_it_is_no_content_of_the_workspace(village: Village) -> None:
    village.do(staff.plan, LETTER, "report:2026-W47", {OFFICE}, village.now)
    assert village.do(publishing.standings, []) == []
    assert village.do(publishing.published_slugs) == frozenset()
    village.do(outbox.require_slug, "report/weekly")  # it can be halted


@pytest.fixture
def trial(tmp_path: Path) -> Trial:
    shelf = Shelf(tmp_path)
    shelf.lesson("Guten Tag.")
    text = shelf.compiled()
    assert text.compiled is not None
    return Trial(text, text.compiled, {"person": None})


def test_a_trial_is_of_its_person_as_long_as_they_are_there(village: Village, trial: Trial) -> None:
    ada = village.person(first_name="Ada", attributes={"role": "vhs"})
    grace = village.person("grace@schule.example", first_name="Grace", erased_at=village.now)
    for person in (ada, grace, None):
        shown = Trial(trial.text, trial.compiled, {"person": person})
        village.do(staff.send_trial, shown, [OFFICE], "editor", village.now)
        village.clock.advance(timedelta(seconds=1))
    village.do(staff.plan, LETTER, "report:2026-W47", {OFFICE}, village.now)
    started = village.begin(village.claim(lane=0))
    assert [one.person.get("first_name") for one in started] == ["Ada", None, None, None]
    assert started[0].person["attributes"] == {"role": "vhs"}
    assert {one.subscriber_id for one in started} == {None}


def test_a_trial_changes_nothing_of_what_is_published(village: Village, trial: Trial) -> None:
    village.publish("kurs/01-start")
    village.do(staff.send_trial, trial, [OFFICE], "editor", village.now)
    assert village.do(publishing.published_slugs) == {"kurs/01-start"}
    (row,) = (one for one in village.rows(MESSAGE) if one["slug"] == "kurs/01-start")
    assert row["superseded_at"] is None


def test_a_trial_that_nobody_sends_for_a_day_lapses(village: Village, trial: Trial) -> None:
    (number,) = village.do(staff.send_trial, trial, [OFFICE], "editor", village.now)
    village.clock.advance(timedelta(hours=24))
    assert village.begin(village.claim(lane=0)) == []
    assert village.state(number) == "lapsed"


def test_a_whole_domain_may_get_notices_and_nothing_else(village: Village, trial: Trial) -> None:
    village.staff = frozenset({"@stadt.example"})
    known = ["ada@stadt.example", "b@sub.stadt.example", "c@gross-stadt.example", "d@x.example"]
    village.do(staff.send_trial, trial, known, "editor", village.now)
    village.do(staff.plan, LETTER, "report:2026-W47", {OFFICE}, village.now)
    started = village.begin(village.claim(lane=0))
    assert [one.address for one in started] == ["ada@stadt.example"]
