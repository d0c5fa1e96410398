"""The page on which an approver says yes or no: GET shows, POST decides, once."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from l3mail import alarms, triggers
from l3mail.models import ACTIONS, APPROVAL, MESSAGE
from l3mail.tokens import Purpose
from tests.fakes.chromium import CHROMIUM, browser, faults
from tests.fakes.parish import berlin, declare, friend, terms
from tests.fakes.porch import TOKENS, Porch, form_of, open_porch, open_settings, served, title_of
from tests.fakes.village import Village

HEAD, DEPUTY = "leitung@stadt.example", "vertretung@stadt.example"
ALERTS = f'[alerts]\nto = ["it@stadt.example"]\napprovers = ["{HEAD}", "{DEPUTY}"]\n'


def wait_for_a_yes(village: Village) -> None:
    """A yearly mailing, an hour before it is due."""
    village.clock.set(berlin("2027-09-01 12:00"))
    declare(village, trigger="yearly", on="09-08", approval="required", valid_for="2d")
    village.publish("lifecycle/gruss", html="<h1>Guten Tag</h1>")
    for name in ("ada", "bea"):
        friend(village, name, joined=berlin("2024-01-10 12:00"))
    village.clock.set(berlin("2027-09-08 08:00"))
    village.do(triggers.plan, terms(village), 100)


@pytest.fixture
def porch(sqlite_village: Village, tmp_path: Path) -> Iterator[Porch]:
    wait_for_a_yes(sqlite_village)
    with open_porch(sqlite_village, tmp_path, ALERTS) as porch:
        yield porch


def link(porch: Porch, approver: str = HEAD) -> str:
    return link_to(porch.village, approver)


def link_to(village: Village, approver: str = HEAD) -> str:
    (approval,) = village.rows(APPROVAL)
    numbers = (approval["id"], alarms.approver_number(approver))
    return "/approve/" + TOKENS.make(Purpose.APPROVE, *numbers, expires_at=approval["lapses_at"])


def press(porch: Porch, decision: str, approver: str = HEAD) -> str:
    answer = porch.client.post(link(porch, approver), data={"decision": decision})
    assert answer.status_code == 200
    return str(answer.text)


def decision(porch: Porch) -> tuple[Any, Any]:
    (approval,) = porch.village.rows(APPROVAL)
    return approval["decision"], approval["decided_by"]


def plan(porch: Porch) -> list[str]:
    porch.village.clock.set(berlin("2027-09-08 09:00"))
    porch.village.do(triggers.plan, terms(porch.village), 100)
    return [row["state"] for row in porch.village.rows()]


def test_it_shows_the_mail_as_it_will_be_sent_and_what_is_asked(porch: Porch) -> None:
    answer = porch.client.get(link(porch))
    assert answer.status_code == 200
    assert title_of(answer.text) == "E-Mail freigeben"
    for words in ("Guten Tag,", "Lektion", "<dd>2</dd>", "8. September 2027, 09:00"):
        assert words in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    mail = porch.client.get(link(porch) + "?mail=de")
    assert mail.text == "<h1>Guten Tag</h1>"
    assert "sandbox" in mail.headers["content-security-policy"]
    assert porch.client.get(link(porch) + "?mail=fr").status_code == 404


def test_it_shows_also_what_only_some_people_get(porch: Porch) -> None:
    for message in porch.village.rows(MESSAGE):
        parts = "{% if when[0] %}Im Norden{% endif %}{% if when[1] %}Im Süden{% endif %}"
        asked = [{"if": 'district == "Nord"', "else": otherwise} for otherwise in (False, True)]
        compiled = message["compiled"] | {"html": parts, "conditions": asked}
        porch.village.change(MESSAGE, message["id"], compiled=compiled)
    assert porch.client.get(link(porch) + "?mail=de").text == "Im NordenIm Süden"


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_looking_changes_nothing(porch: Porch, method: str) -> None:
    before = porch.dump()
    for query in ("", "?mail=de", "?decision=approve"):
        assert porch.client.request(method, link(porch) + query).status_code == 200
    assert porch.dump() == before


def test_a_yes_lets_it_go_and_says_who_gave_it(porch: Porch) -> None:
    assert f"Freigegeben von {HEAD}" in press(porch, "approve")
    assert decision(porch) == ("approved", HEAD)
    (action,) = porch.village.rows(ACTIONS)
    number = porch.village.rows(APPROVAL)[0]["id"]
    assert (action["who"], action["command"]) == (HEAD, f"triggers approve {number} (page)")
    assert plan(porch) == ["queued", "queued"]


def test_a_no_keeps_it_back(porch: Porch) -> None:
    assert f"Abgelehnt von {DEPUTY}" in press(porch, "reject", DEPUTY)
    assert decision(porch) == ("rejected", DEPUTY)
    assert plan(porch) == []


def test_what_is_planned_already_goes_at_once(porch: Porch) -> None:
    assert plan(porch) == ["held", "held"]
    press(porch, "approve")
    assert [row["state"] for row in porch.village.rows()] == ["queued", "queued"]
    assert porch.village.rows(ACTIONS)[0]["counts"] == {"approvals": 1, "deliveries": 2}


def test_who_comes_second_is_told_what_was_decided(porch: Porch) -> None:
    press(porch, "reject")
    told = press(porch, "approve", DEPUTY)
    assert f"Abgelehnt von {HEAD}" in told
    assert "8. September 2027, 08:00" in told
    assert decision(porch) == ("rejected", HEAD)
    assert len(porch.village.rows(ACTIONS)) == 1
    assert "<form" not in porch.client.get(link(porch)).text


def test_too_late_it_says_that_nobody_decided(porch: Porch) -> None:
    old = link(porch)
    porch.village.clock.set(berlin("2027-09-11 00:00") + timedelta(seconds=1))
    for answer in (porch.client.get(old), porch.client.post(old, data={"decision": "approve"})):
        assert answer.status_code == 200
        assert "hat niemand entschieden" in answer.text
        assert 'name="email"' not in answer.text
    assert decision(porch) == (None, None)


@pytest.mark.parametrize("sent", [{}, {"decision": "maybe"}, {"decision": ""}])
def test_only_a_yes_or_a_no_decides(porch: Porch, sent: dict[str, str]) -> None:
    answer = porch.client.post(link(porch), data=sent)
    assert title_of(answer.text) == "E-Mail freigeben"
    assert decision(porch) == (None, None)


def test_a_link_is_good_for_those_who_may_approve_now(porch: Porch) -> None:
    (approval,) = porch.village.rows(APPROVAL)
    gone = alarms.approver_number("frueher@stadt.example")
    made = [
        porch.token(Purpose.APPROVE, approval["id"], gone),
        porch.token(Purpose.APPROVE, 9_999, alarms.approver_number(HEAD)),
        porch.token(Purpose.APPROVE, approval["id"]),
        porch.token(Purpose.VIEW, approval["id"], alarms.approver_number(HEAD)),
        "nonsense",
    ]
    for token in made:
        for answer in (
            porch.client.get(f"/approve/{token}"),
            porch.client.post(f"/approve/{token}", data={"decision": "approve"}),
        ):
            assert answer.status_code == 404
            assert title_of(answer.text) == "Diesen Link kennen wir nicht"
            # Not the subscribers' way on: an approver has none.
            assert 'name="email"' not in answer.text
    assert decision(porch) == (None, None)


@pytest.mark.parametrize("tag", ["de", "de-simple", "en"])
def test_it_speaks_three_languages(porch: Porch, tag: str) -> None:
    page = porch.client.get(link(porch) + f"?locale={tag}").text
    assert f'<html lang="{tag}"' in page
    assert form_of(page) == {}
    assert page.count("<button") == 2


@pytest.mark.browser
@pytest.mark.slow
@pytest.mark.skipif(not CHROMIUM.exists(), reason=f"needs a browser: {CHROMIUM}")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(sqlite_village: Village, tmp_path: Path, scheme: str) -> None:
    wait_for_a_yes(sqlite_village)
    size = {"width": 320, "height": 640}
    url = link_to(sqlite_village)
    with (
        served(sqlite_village, open_settings(tmp_path, ALERTS)) as base,
        browser(base, color_scheme=scheme, viewport=size) as page,
    ):
        page.goto(url)
        assert faults(page) == []
        page.click("button.big")
        assert faults(page) == []
        page.goto("/approve/x")
        assert faults(page) == []
