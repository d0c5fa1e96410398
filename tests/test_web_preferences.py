"""A person's settings: streams, a pause, language, tracking, and the way to a fresh link."""

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from l3mail import courses, streams
from l3mail.courses import Outline
from l3mail.models import (
    CONSENT,
    DELIVERY,
    ENROLLMENT,
    LINK_REQUEST,
    SIGNUP,
    SUBSCRIBER,
    SUBSCRIPTION,
)
from l3mail.tokens import Purpose
from tests.fakes.porch import Porch, form_of, open_porch, title_of
from tests.fakes.village import Village

TITLE = "Ihre Einstellungen"
STALE = "Dieser Link gilt nicht mehr"


@pytest.fixture
def porch(village: Village, tmp_path: Path) -> Iterator[Porch]:
    with open_porch(village, tmp_path, '[tracking]\nmode = "consent"\n') as porch:
        yield porch


def learner(porch: Porch) -> tuple[int, str]:
    """Somebody in the course, and the link in the footer of a mail of theirs."""
    village = porch.village
    outline = Outline(
        slug="kurs",
        title="Digital kommunizieren",
        cadence={"weekday": "mon", "at": "10:00"},
        lessons=[(f"kurs/0{n}", "lesson") for n in range(1, 7)],
    )
    village.do(courses.define, outline, village.stream("kurs"), village.now)
    person = village.learner(first_name="Ada", last_name="Lovelace")
    village.do(courses.enroll, "kurs", person, village.now, porch.settings.zone)
    delivery = village.delivery(person)
    return person, "/preferences/" + porch.token(Purpose.PREFERENCES, delivery)


def states(porch: Porch) -> dict[str, str]:
    slugs = {porch.village.stream(slug): slug for slug in ("kurs", "newsletter")}
    return {slugs[row["stream_id"]]: row["state"] for row in porch.village.rows(SUBSCRIPTION)}


def test_the_page_gives_nothing_personal_away_and_changes_nothing(porch: Porch) -> None:
    _, link = learner(porch)
    before = porch.dump()
    answer = porch.client.get(link)
    assert title_of(answer.text) == TITLE
    assert "Digital kommunizieren" in answer.text
    for secret in ("Ada", "Lovelace", "ada@", "schule.example"):
        assert secret not in answer.text
    assert porch.dump() == before


def test_turning_off_is_off_at_once(porch: Porch) -> None:
    _, link = learner(porch)
    form = form_of(porch.client.get(link).text)
    assert form["stream"] == ["kurs"]
    answer = porch.client.post(link, data={**form, "stream": []})
    assert "gespeichert" in answer.text
    assert states(porch) == {"kurs": "unsubscribed"}
    assert {row["state"] for row in porch.village.rows(ENROLLMENT)} == {"cancelled"}


def test_turning_on_asks_the_address_first(porch: Porch) -> None:
    _, link = learner(porch)
    form = form_of(porch.client.get(link).text)
    answer = porch.client.post(link, data={**form, "stream": ["kurs", "newsletter"]})
    assert "E-Mail zur Bestätigung" in answer.text
    assert states(porch)["kurs"] == "confirmed"
    assert states(porch).get("newsletter") != "confirmed"
    assert porch.newest(SIGNUP)["streams"] == ["newsletter"]


def test_what_the_page_did_not_show_stays(porch: Porch) -> None:
    _, link = learner(porch)
    porch.client.post(link, data={"action": "streams", "shown": ["newsletter"]})
    assert states(porch)["kurs"] == "confirmed"


def test_saving_does_not_end_a_request_that_is_still_open(porch: Porch) -> None:
    person, link = learner(porch)
    porch.village.subscribe(person, porch.village.stream("newsletter"), "unconfirmed")
    form = form_of(porch.client.get(link).text)
    porch.client.post(link, data=form)
    assert states(porch)["newsletter"] == "unconfirmed"


def test_a_course_pauses_for_weeks_and_goes_on(porch: Porch) -> None:
    _, link = learner(porch)
    form = form_of(porch.client.get(link).text, 1)
    answer = porch.client.post(link, data={**form, "weeks": "3"})
    assert "Die Pause ist eingetragen" in answer.text
    (row,) = porch.village.rows(ENROLLMENT)
    assert row["state"] == "paused"
    assert row["paused_until"] == porch.village.now + timedelta(weeks=3)
    assert "Montag, 14. Dezember 2026" in answer.text
    answer = porch.client.post(link, data=form_of(answer.text, 1))
    assert "Der Kurs geht weiter" in answer.text
    (row,) = porch.village.rows(ENROLLMENT)
    assert row["state"] == "active"


@pytest.mark.parametrize("weeks", ["", "0", "-1", "5", "9999999999", "drei", "\x00", "1.5"])
def test_only_the_pauses_on_offer_are_taken(porch: Porch, weeks: str) -> None:
    _, link = learner(porch)
    answer = porch.client.post(link, data={"action": "pause", "course": "kurs", "weeks": weeks})
    assert answer.status_code == 200
    (row,) = porch.village.rows(ENROLLMENT)
    assert row["state"] == "active"


def test_nobody_pauses_what_is_not_theirs(porch: Porch) -> None:
    learner(porch)
    other = porch.village.person("bob@schule.example")
    delivery = porch.village.delivery(other)
    link = "/preferences/" + porch.token(Purpose.PREFERENCES, delivery)
    porch.client.post(link, data={"action": "pause", "course": "kurs", "weeks": "1"})
    (row,) = porch.village.rows(ENROLLMENT)
    assert row["state"] == "active"


def test_a_mail_s_own_link_turns_tracking_off_and_never_on(porch: Porch) -> None:
    person, link = learner(porch)
    form = form_of(porch.client.get(link).text, 2)
    answer = porch.client.post(link, data={**form, "tracking": "yes"})
    assert "Link" in answer.text
    assert porch.village.row(SUBSCRIBER, person)["tracking"] is False
    (asked,) = porch.village.rows(LINK_REQUEST)
    assert asked["subscriber_id"] == person
    porch.village.change(SUBSCRIBER, person, tracking=True)
    form = form_of(porch.client.get(link).text, 2)
    del form["tracking"]
    porch.client.post(link, data=form)
    assert porch.village.row(SUBSCRIBER, person)["tracking"] is False


def test_language_and_tracking_are_saved_with_evidence(porch: Porch) -> None:
    person, _ = learner(porch)
    request = porch.village.link_request(person)
    link = "/preferences/" + porch.token(Purpose.PREFERENCES, 0, request)
    form = form_of(porch.client.get(link).text, 2)
    answer = porch.client.post(link, data={**form, "language": "en", "tracking": "yes"})
    assert 'lang="en"' in answer.text
    row = porch.village.row(SUBSCRIBER, person)
    assert (row["locale"], row["tracking"]) == ("en", True)
    form = form_of(answer.text, 2)
    assert form["tracking"] == ["yes"]
    del form["tracking"]
    porch.client.post(link, data={**form, "language": "xx"})
    row = porch.village.row(SUBSCRIBER, person)
    assert (row["locale"], row["tracking"]) == ("en", False)
    acts = [consent["act"] for consent in porch.village.rows(CONSENT)]
    assert acts == ["tracking_granted", "tracking_withdrawn"]


def test_saving_keeps_a_language_that_the_pages_do_not_speak(porch: Porch) -> None:
    person, link = learner(porch)
    porch.village.change(SUBSCRIBER, person, locale="ar")
    page = porch.client.get(link).text
    assert '<option value="ar" lang="ar" selected>العربية</option>' in page
    form = form_of(page, 2)
    porch.client.post(link, data=form)
    assert porch.village.row(SUBSCRIBER, person)["locale"] == "ar"
    assert 'value="ar"' not in porch.client.post(link, data={**form, "language": "de"}).text
    assert porch.village.row(SUBSCRIBER, person)["locale"] == "de"


def test_where_nobody_is_tracked_nothing_says_otherwise(village: Village, tmp_path: Path) -> None:
    with open_porch(village, tmp_path) as porch:
        person, link = learner(porch)
        assert 'name="tracking"' not in porch.client.get(link).text
        porch.client.post(link, data={"action": "other", "tracking": "yes"})
        assert porch.village.row(SUBSCRIBER, person)["tracking"] is False


def test_one_button_leaves_everything(porch: Porch) -> None:
    _, link = learner(porch)
    answer = porch.client.post(link, data={"action": "everything"})
    assert "keine E-Mails mehr von uns" in answer.text
    assert states(porch) == {"kurs": "unsubscribed"}


@pytest.mark.parametrize("action", ["", "destroy", "__class__", "\x00"])
def test_an_unknown_wish_changes_nothing(porch: Porch, action: str) -> None:
    _, link = learner(porch)
    before = porch.dump()
    assert porch.client.post(link, data={"action": action}).status_code == 200
    assert porch.dump() == before


# Fresh links


def test_a_fresh_link_is_mailed_to_who_is_known_and_opens_the_page(porch: Porch) -> None:
    person, _ = learner(porch)
    mails = len(porch.village.rows(DELIVERY))
    answer = porch.client.post("/link", data={"email": "Ada@schule.example"})
    assert title_of(answer.text) == "Bitte sehen Sie in Ihr Postfach"
    assert len(porch.village.rows(DELIVERY)) == mails + 1
    asked = porch.newest(LINK_REQUEST)
    assert asked["subscriber_id"] == person
    link = "/preferences/" + porch.token(
        Purpose.PREFERENCES, 0, asked["id"], expires_at=asked["expires_at"]
    )
    assert title_of(porch.client.get(link).text) == TITLE
    porch.client.post(link, data={"action": "everything"})
    assert states(porch) == {"kurs": "unsubscribed"}
    porch.village.clock.advance(timedelta(hours=2))
    assert title_of(porch.client.get(link).text) == STALE
    assert title_of(porch.client.post(link, data={"action": "other"}).text) == STALE


def test_a_stranger_gets_the_same_answer_and_no_mail(porch: Porch) -> None:
    learner(porch)
    mails = len(porch.village.rows(DELIVERY))
    porch.client.post("/link", data={"email": "nobody@schule.example"})
    assert len(porch.village.rows(DELIVERY)) == mails


@pytest.mark.parametrize("email", ["", "x", "a@b", "<script>@x.de", "a" * 9000, "\x00@x.de"])
def test_what_is_no_address_comes_back(porch: Porch, email: str) -> None:
    answer = porch.client.post("/link", data={"email": email})
    assert answer.status_code == 422
    assert 'id="email-wrong"' in answer.text
    assert "<script>" not in answer.text


def test_a_made_up_link_request_opens_nothing(porch: Porch) -> None:
    learner(porch)
    link = "/preferences/" + porch.token(Purpose.PREFERENCES, 0, 10**12)
    assert title_of(porch.client.get(link).text) == STALE


def test_the_evaluation_is_a_mail_but_no_lesson(porch: Porch) -> None:
    village = porch.village
    outline = Outline(
        slug="kurs",
        title="Digital kommunizieren",
        cadence={"weekday": "mon", "at": "10:00"},
        lessons=[("kurs/01", "lesson"), ("kurs/02", "lesson"), ("kurs/evaluation", "evaluation")],
    )
    village.do(courses.define, outline, village.stream("kurs"), village.now)
    person = village.learner()
    enrollment = village.do(courses.enroll, "kurs", person, village.now, porch.settings.zone)
    values: dict[str, Any] = {"enrollment_id": enrollment, "state": "accepted"}
    values |= dict.fromkeys(("started_at", "first_started_at", "ended_at"), village.now)
    delivery = village.delivery(person, **values)
    village.delivery(person, kind="evaluation", slug="kurs/evaluation", **values)
    settings = "/preferences/" + porch.token(Purpose.PREFERENCES, delivery)
    course = "/course/" + porch.token(Purpose.ACT, delivery)
    assert "1 von 2 Lektionen" in porch.client.get(settings).text
    assert "1 von 2 Lektionen" in porch.client.get(course).text


@pytest.mark.parametrize("tag", ["de", "de-simple", "en"])
def test_buttons_that_do_different_things_are_called_different_names(
    porch: Porch, tag: str
) -> None:
    _, link = learner(porch)
    page = porch.client.get(f"{link}?locale={tag}").text
    names = re.findall(r"<button[^>]*>(.*?)</button>", page)
    assert len(names) == 5
    assert len(set(names)) == 5


def test_turning_on_promises_no_mail_for_today(porch: Porch) -> None:
    _, link = learner(porch)
    form = form_of(porch.client.get(link).text)
    answer = porch.client.post(link, data={**form, "stream": ["kurs", "newsletter"]})
    assert "frühestens morgen" in answer.text
    assert "geschickt" not in answer.text


def test_what_is_no_longer_on_offer_can_be_left_and_not_joined(porch: Porch) -> None:
    _, link = learner(porch)
    porch.village.do(streams.retire, ("course", "newsletter"), (), porch.village.now)
    form = form_of(porch.client.get(link).text)
    assert (form["stream"], form["shown"]) == (["kurs"], ["kurs"])
    porch.client.post(
        link, data={**form, "stream": ["newsletter"], "shown": ["kurs", "newsletter"]}
    )
    assert states(porch) == {"kurs": "unsubscribed"}
    assert "shown" not in form_of(porch.client.get(link).text)


def test_nobody_signs_up_for_what_is_no_longer_on_offer(porch: Porch) -> None:
    learner(porch)
    form = form_of(porch.client.get("/subscribe").text)
    porch.village.do(streams.retire, ("newsletter",), ("kurs",), porch.village.now)
    assert 'value="newsletter"' not in porch.client.get("/subscribe").text
    porch.village.clock.advance(timedelta(seconds=20))
    answer = porch.client.post(
        "/subscribe", data={**form, "email": "bea@schule.example", "stream": ["newsletter"]}
    )
    assert answer.status_code >= 400
    assert porch.signups() == 0
