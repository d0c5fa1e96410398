"""How a second person is asked, and the page on which they say yes or no to an issue."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from l3mail import alarms, needs, newsletters, publishing, rounds
from l3mail.alarms import Asking, Duty
from l3mail.models import ACTIONS, CAMPAIGN, SEGMENT
from l3mail.needs import Cause
from l3mail.rendering import fill
from l3mail.rounds import Agenda
from l3mail.subscribers import Rules
from l3mail.tokens import Purpose
from tests.fakes.chromium import CHROMIUM, browser, faults
from tests.fakes.parish import ASKING, BERLIN
from tests.fakes.porch import TOKENS, Porch, form_of, open_porch, open_settings, served, title_of
from tests.fakes.village import PEPPER, Village

HEAD, ADA = "leitung@stadt.example", "ada@stadt.example"
ALERTS = f'[alerts]\nto = ["it@stadt.example"]\napprovers = ["{HEAD}", "{ADA}"]\n'
ISSUE = "newsletter/2026-12"
DAY = timedelta(days=1)


def wait_for_a_yes(village: Village, by: str = "ada", segment: str | None = None) -> int:
    """An issue that ada scheduled for tomorrow."""
    stream = village.stream("newsletter", "newsletter")
    for n in range(2):
        village.subscribe(village.person(f"p{n}@schule.example"), stream)
    village.publish(ISSUE, stream="newsletter", html="<h1>Guten Tag</h1>")
    at = village.now + DAY
    values: dict[str, Any] = {
        "segment": segment,
        "by": by,
        "now": village.now,
        "lapses_at": at + 2 * DAY,
    }
    number = village.do(newsletters.schedule, ISSUE, at, **values)
    village.do(newsletters.expect, number, 2)
    return number


@pytest.fixture
def porch(sqlite_village: Village, tmp_path: Path) -> Iterator[Porch]:
    wait_for_a_yes(sqlite_village)
    with open_porch(sqlite_village, tmp_path, ALERTS) as porch:
        yield porch


def link(village: Village, approver: str = HEAD) -> str:
    (row,) = village.rows(CAMPAIGN)
    numbers = (row["id"], alarms.approver_number(approver))
    return "/release/" + TOKENS.make(Purpose.RELEASE, *numbers, expires_at=row["lapses_at"])


def press(porch: Porch, decision: str, approver: str = HEAD) -> str:
    answer = porch.client.post(link(porch.village, approver), data={"decision": decision})
    assert answer.status_code == 200
    return str(answer.text)


def decided(village: Village) -> tuple[Any, Any]:
    (row,) = village.rows(CAMPAIGN)
    return row["released_by"], row["cancelled_reason"]


def test_it_shows_the_issue_as_it_will_be_sent_and_whom_it_is_for(porch: Porch) -> None:
    answer = porch.client.get(link(porch.village))
    assert answer.status_code == 200
    assert title_of(answer.text) == "E-Mail freigeben"
    for words in ("Guten Tag,", "<dd>2</dd>", "24. November 2026, 10:00", "<dd>ada</dd>"):
        assert words in answer.text
    assert "Letztes Mal" not in answer.text
    mail = porch.client.get(link(porch.village) + "?mail=de")
    assert mail.text == "<h1>Guten Tag</h1>"
    assert "sandbox" in mail.headers["content-security-policy"]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_looking_changes_nothing(porch: Porch, method: str) -> None:
    before = porch.dump()
    for query in ("", "?mail=de", "?decision=approve"):
        assert porch.client.request(method, link(porch.village) + query).status_code == 200
    assert porch.dump() == before


def test_a_yes_releases_it_and_says_who_gave_it(porch: Porch) -> None:
    assert f"Freigegeben von {HEAD}" in press(porch, "approve")
    assert decided(porch.village) == (HEAD, None)
    (action,) = porch.village.rows(ACTIONS)
    assert (action["who"], action["command"]) == (HEAD, "newsletters release 1 (page)")
    assert f"Freigegeben von {HEAD}" in press(porch, "reject")
    assert "<form" not in porch.client.get(link(porch.village)).text


def test_a_no_ends_it(porch: Porch) -> None:
    assert "Abgelehnt oder abgesagt am" in press(porch, "reject")
    assert decided(porch.village) == (None, f"rejected by {HEAD}")


def test_whoever_scheduled_it_is_shown_it_and_can_say_nothing(porch: Porch) -> None:
    page = porch.client.get(link(porch.village, ADA)).text
    assert "Freigeben muss sie eine andere Person" in page
    assert "<form" not in page
    press(porch, "approve", ADA)
    assert decided(porch.village) == (None, None)


def test_what_is_no_decision_decides_nothing(porch: Porch) -> None:
    for sent in ({}, {"decision": "maybe"}):
        answer = porch.client.post(link(porch.village), data=sent)
        assert title_of(answer.text) == "E-Mail freigeben"
    assert decided(porch.village) == (None, None)


def test_too_late_it_says_that_nobody_decided(porch: Porch) -> None:
    old = link(porch.village)
    porch.village.clock.advance(3 * DAY)
    for answer in (porch.client.get(old), porch.client.post(old, data={"decision": "approve"})):
        assert "hat niemand entschieden" in answer.text
    assert decided(porch.village) == (None, None)


def test_a_link_is_good_for_those_who_may_approve_now_and_for_nothing_else(porch: Porch) -> None:
    head = alarms.approver_number(HEAD)
    porch.village.campaign("newsletter/other")  # wants no second person
    made = [
        porch.token(Purpose.RELEASE, 1, alarms.approver_number("frueher@stadt.example")),
        porch.token(Purpose.RELEASE, 2, head),
        porch.token(Purpose.RELEASE, 9_999, head),
        porch.token(Purpose.RELEASE, 1),
        porch.token(Purpose.APPROVE, 1, head),
        "nonsense",
    ]
    for token in made:
        for answer in (
            porch.client.get(f"/release/{token}"),
            porch.client.post(f"/release/{token}", data={"decision": "approve"}),
        ):
            assert answer.status_code == 404
            assert title_of(answer.text) == "Diesen Link kennen wir nicht"
    assert porch.client.get(f"/approve/{porch.token(Purpose.RELEASE, 1, head)}").status_code == 404
    assert porch.village.rows(CAMPAIGN)[0]["released_by"] is None


@pytest.mark.parametrize("tag", ["de", "de-simple", "en"])
def test_it_speaks_three_languages(porch: Porch, tag: str) -> None:
    page = porch.client.get(link(porch.village) + f"?locale={tag}").text
    assert f'<html lang="{tag}"' in page
    assert form_of(page) == {}
    assert page.count("<button") == 2


def test_a_segment_changed_since_is_told_and_not_released(
    sqlite_village: Village, tmp_path: Path
) -> None:
    town = sqlite_village
    number = town.insert(SEGMENT, name="west", expression="joined_days >= 0", saved_at=town.now)
    wait_for_a_yes(town, segment="west")
    with open_porch(town, tmp_path, ALERTS) as porch:
        town.change(SEGMENT, number, expression="joined_days >= 1")
        assert "Die Zielgruppe wurde seither geändert" in press(porch, "approve")
    assert decided(town) == (None, None)


# -- how they are asked


def agenda() -> Agenda:
    def release(campaign: int, approver: str, until: datetime) -> str:
        numbers = (campaign, alarms.approver_number(approver))
        return "https://l3/release/" + TOKENS.make(Purpose.RELEASE, *numbers, expires_at=until)

    asking = Asking((HEAD, ADA), lambda *_: "", lambda _: {"greeting": "Guten Tag"}, release)
    planner = alarms.asker(Duty((), "Bildung", BERLIN, "de"), asking)
    return Agenda(Rules(PEPPER, BERLIN, "de"), ASKING.question, planners=(planner,))


def asked(village: Village) -> list[dict[str, Any]]:
    return [row for row in village.rows() if row["slug"] == "notice/release"]


def test_everybody_but_the_first_person_is_asked_at_once_and_once(porch: Porch) -> None:
    town = porch.village
    house = agenda()
    for _ in range(2):
        rounds.run(town.database, town.clock, house)
    (row,) = asked(town)
    assert (row["address"], row["purpose"], row["due_at"]) == (HEAD, "staff", town.now)
    assert row["lapses_at"] == town.now + 3 * DAY
    (text,) = town.do(publishing.load, [row["message_id"]]).values()
    words = fill(text.compiled, "text", {})
    for part in ("an 2 Personen", "Eingeplant hat das ada", "zweite Person", "/release/"):
        assert part in " ".join(words.split())
    path = "/release/" + words.split("/release/")[1].split()[0]
    assert title_of(porch.client.get(path).text) == "E-Mail freigeben"


def test_once_it_is_due_the_person_on_duty_is_told(porch: Porch) -> None:
    town, house = porch.village, agenda()

    def causes(look: Any) -> list[Cause]:
        return [need.cause for need in town.do(look, town.now, agenda=house)]

    def pressing(connection: Any, now: Any, *, agenda: Agenda) -> list[needs.Need]:
        return needs.pressing(connection, now, agenda)

    assert (causes(pressing), causes(needs.look)) == ([], [Cause.RELEASE])
    town.clock.advance(DAY)
    assert (causes(pressing), causes(needs.look)) == ([Cause.RELEASE], [Cause.RELEASE])
    (need,) = town.do(needs.look, town.now, agenda=house)
    assert needs.in_words(need, BERLIN) == (
        f"{ISSUE} waits for a second person's yes until Thu 2026-11-26 10:00, 2 people (scheduled"
        f" by ada): `l3mail newsletters release {ISSUE}`"
    )
    town.clock.advance(2 * DAY)
    rounds.run(town.database, town.clock, house)
    assert causes(needs.look) == []


@pytest.mark.browser
@pytest.mark.slow
@pytest.mark.skipif(not CHROMIUM.exists(), reason=f"needs a browser: {CHROMIUM}")
def test_axe_finds_nothing(sqlite_village: Village, tmp_path: Path) -> None:
    wait_for_a_yes(sqlite_village)
    size = {"width": 320, "height": 640}
    with (
        served(sqlite_village, open_settings(tmp_path, ALERTS)) as base,
        browser(base, viewport=size) as page,
    ):
        for approver in (ADA, HEAD):
            page.goto(link(sqlite_village, approver))
            assert faults(page) == []
