"""What a course asks who signs up for it: on the form, in the rows, and on the settings page."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from l3mail import courses
from l3mail.courses import Outline
from l3mail.models import LINK_REQUEST, SIGNUP, SUBSCRIBER
from l3mail.tokens import Purpose
from tests.fakes.porch import Form, Porch, form_of, open_porch
from tests.fakes.village import Village

MORE = """
[attributes.ziel]
type = "text"
title = "Mein Lernziel"
[attributes.role]
type = "choice"
choices = ["schule", "vhs"]
title = "Einrichtung"
"""
GOAL = "Tschechisch lernen"
HOSTILE = '"><script>alert(1)</script>{{ 7*7 }}\r\nBcc: x@y.example =?utf-8?q?a?= \u202eolleh'


@pytest.fixture
def porch(village: Village, tmp_path: Path) -> Iterator[Porch]:
    with open_porch(village, tmp_path, MORE) as porch:
        define(porch, "ziel", "gone")
        yield porch


def define(porch: Porch, *asks: str) -> None:
    """The course, asking for these; one of them may not be declared any more."""
    outline = Outline(
        slug="kurs",
        title="Digital kommunizieren",
        cadence={"every_days": 1, "at": "07:30"},
        lessons=[("kurs/01", "lesson")],
        asks=asks,
    )
    porch.village.do(courses.define, outline, porch.village.stream("kurs"), porch.village.now)


def fields(page: str) -> set[str]:
    return {name for form in Form(page).forms for name in form} - {"website", "token", "locale"}


def learner(porch: Porch) -> tuple[int, str, str]:
    """Somebody with a goal: the links of a mail's footer, and of one that was just mailed."""
    person = porch.village.learner(attributes={"ziel": GOAL, "role": "vhs"})
    request = porch.village.link_request(person, purpose="preferences")
    own = porch.token(Purpose.PREFERENCES, porch.village.delivery(person))
    fresh = porch.token(Purpose.PREFERENCES, 0, request)
    return person, f"/preferences/{own}", f"/preferences/{fresh}"


def kept(porch: Porch, person: int) -> Any:
    return porch.village.row(SUBSCRIBER, person)["attributes"]


def test_the_form_of_a_course_shows_what_it_asks_besides(porch: Porch) -> None:
    page = porch.client.get("/subscribe?stream=kurs").text
    assert fields(page) >= {"email", "first_name", "ziel"}
    assert "Mein Lernziel" in page
    assert fields(page).isdisjoint({"role", "gone"})
    assert "ziel" not in fields(porch.client.get("/subscribe?stream=newsletter").text)


def test_a_form_for_several_says_which_course_asks(porch: Porch) -> None:
    page = porch.client.get("/subscribe").text
    assert "ziel" in fields(page)
    assert "Für „Digital kommunizieren“, freiwillig" in page
    assert "Für „Digital" not in porch.client.get("/subscribe?stream=kurs").text


def test_what_was_said_comes_back_with_a_fault_and_escaped(porch: Porch) -> None:
    answer = porch.client.post("/subscribe?stream=kurs", data={"email": "x", "ziel": HOSTILE})
    assert answer.status_code == 422
    assert "<script>" not in answer.text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;{{ 7*7 }}" in answer.text
    assert "\u202e" not in answer.text


def test_a_goal_that_is_too_long_is_told_so(porch: Porch) -> None:
    answer = porch.client.post(
        "/subscribe?stream=kurs", data={"email": "ada@schule.example", "ziel": "a" * 201}
    )
    assert answer.status_code == 422
    assert "Das ist zu lang. Möglich sind höchstens 200 Zeichen." in answer.text
    assert porch.signups() == 0


def test_a_goal_stays_with_the_request_until_it_is_confirmed(porch: Porch) -> None:
    porch.sign_up(ziel=HOSTILE)
    (signup,) = porch.village.rows(SIGNUP)
    said = signup["signup_values"]["said"]["attributes"]["ziel"]
    assert all(sign not in said for sign in ("\r", "\n", "\u202e", "=?"))
    (person,) = porch.village.rows(SUBSCRIBER)
    assert person["attributes"] == {}
    link = porch.confirmation()
    page = porch.client.get(link).text
    assert "<script>" not in page
    porch.client.post(link, data=form_of(page))
    (person,) = porch.village.rows(SUBSCRIBER)
    assert person["attributes"] == {"ziel": said}


def test_programs_may_say_a_goal_too(porch: Porch) -> None:
    sent = {"email": "ada@schule.example", "stream": "kurs"}
    answer = porch.client.post("/api/subscriptions", json={**sent, "attributes": {"ziel": GOAL}})
    assert answer.status_code == 202
    (signup,) = porch.village.rows(SIGNUP)
    assert signup["signup_values"]["said"]["attributes"] == {"ziel": GOAL}
    answer = porch.client.post("/api/subscriptions", json={**sent, "ziel": "a" * 201})
    assert answer.json()["errors"].keys() == {"ziel"}


def test_a_mail_s_own_link_neither_shows_nor_changes_a_goal(porch: Porch) -> None:
    person, own, _ = learner(porch)
    before = len(porch.village.rows(LINK_REQUEST))
    page = porch.client.get(own).text
    assert GOAL not in page
    assert "ziel" not in fields(page)
    assert "Sie können ändern: Mein Lernziel." in page
    answer = porch.client.post(own, data={"action": "asks", "ziel": "Etwas Böses"})
    assert kept(porch, person)["ziel"] == GOAL
    assert "bekommt sie gleich einen Link" in answer.text
    assert GOAL not in answer.text
    assert len(porch.village.rows(LINK_REQUEST)) == before + 1


def test_a_fresh_link_shows_and_changes_it(porch: Porch) -> None:
    person, _, fresh = learner(porch)
    (form,) = (form for form in Form(porch.client.get(fresh).text).forms if "ziel" in form)
    assert form == {"action": ["asks"], "ziel": [GOAL]}
    answer = porch.client.post(fresh, data={**form, "ziel": HOSTILE})
    assert "<script>" not in answer.text
    assert kept(porch, person)["role"] == "vhs"
    assert kept(porch, person)["ziel"].startswith('"><script>alert(1)</script>{{ 7*7 }}')
    porch.client.post(fresh, data={**form, "ziel": " "})
    assert kept(porch, person) == {"role": "vhs"}


def test_what_is_too_long_keeps_what_was_there_and_comes_back(porch: Porch) -> None:
    person, _, fresh = learner(porch)
    answer = porch.client.post(fresh, data={"action": "asks", "ziel": "ab " * 100})
    assert answer.status_code == 422
    assert "Möglich sind höchstens 200 Zeichen." in answer.text
    assert 'value="ab ab' in answer.text
    assert kept(porch, person)["ziel"] == GOAL


def test_only_what_is_asked_can_be_said_there(porch: Porch) -> None:
    person, _, fresh = learner(porch)
    porch.client.post(fresh, data={"action": "asks", "role": "schule", "first_name": "Eve"})
    assert kept(porch, person) == {"ziel": GOAL, "role": "vhs"}


def test_who_takes_no_course_that_asks_is_asked_nothing(porch: Porch) -> None:
    define(porch)
    _, own, fresh = learner(porch)
    for link in (own, fresh):
        assert "asks" not in porch.client.get(link).text


def test_a_choice_is_asked_with_its_choices(porch: Porch) -> None:
    define(porch, "role")
    _, _, fresh = learner(porch)
    assert '<option value="vhs" selected>' in porch.client.get(fresh).text
    answer = porch.client.post(fresh, data={"action": "asks", "role": "x"})
    assert "Bitte wählen Sie eine der angebotenen Möglichkeiten." in answer.text


def test_a_choice_that_is_on_offer_no_more_stays_until_it_is_changed(porch: Porch) -> None:
    define(porch, "role", "ziel")
    person, _, fresh = learner(porch)
    porch.village.change(SUBSCRIBER, person, attributes={"role": "hort"})
    (form,) = (form for form in Form(porch.client.get(fresh).text).forms if "role" in form)
    assert form["role"] == ["hort"]
    assert porch.client.post(fresh, data=form | {"ziel": GOAL}).status_code == 200
    assert kept(porch, person) == {"role": "hort", "ziel": GOAL}
