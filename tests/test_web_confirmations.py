"""The links of the confirmation mail: GET shows, POST acts, again shows how things stand."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from l3mail import consents, courses, subscribers
from l3mail.courses import Outline
from l3mail.models import ENROLLMENT, SUBSCRIBER, SUBSCRIPTION, SUPPRESSION
from l3mail.subscribers import Rules
from tests.fakes.porch import Form, Porch, form_of, open_porch, title_of
from tests.fakes.village import PEPPER, Village

STALE = "Dieser Link gilt nicht mehr"


@pytest.fixture
def porch(village: Village, tmp_path: Path) -> Iterator[Porch]:
    with open_porch(village, tmp_path) as porch:
        lessons = [(f"kurs/0{n}", "lesson") for n in range(1, 7)]
        outline = Outline(
            slug="kurs",
            title="Digital kommunizieren",
            cadence={"weekday": "mon", "at": "10:00"},
            lessons=[*lessons, ("kurs/evaluation", "evaluation")],
        )
        village.do(courses.define, outline, village.stream("kurs"), village.now)
        yield porch


def test_get_shows_the_streams_and_one_button_and_changes_nothing(porch: Porch) -> None:
    porch.sign_up(stream=["kurs", "newsletter"])
    before = porch.dump()
    answer = porch.client.get(porch.confirmation())
    page = Form(answer.text)
    assert len(page.buttons) == 1
    assert sorted(page.forms[0]["stream"]) == ["kurs", "newsletter"]
    assert porch.dump() == before


def test_post_confirms_and_names_dates_sender_and_support(porch: Porch) -> None:
    porch.sign_up(stream=["kurs", "newsletter"], first_name="Ada")
    porch.village.clock.advance(timedelta(minutes=5))  # past Monday ten
    link = porch.confirmation()
    answer = porch.client.post(link, data=form_of(porch.client.get(link).text))
    assert answer.status_code == 200
    for text in (
        "Montag, 30. November 2026, 10:00",
        "Montag, 11. Januar 2027, 10:00",
        "Lektion 6",
        "Rückblick",
        "kurs@stadt.example",
        "bildung@stadt.example",
        "Bildung im Stadtteil",
    ):
        assert text in answer.text
    assert {row["state"] for row in porch.village.rows(SUBSCRIPTION)} == {"confirmed"}
    assert len(porch.village.rows(ENROLLMENT)) == 1
    assert porch.newest(SUBSCRIBER)["first_name"] == "Ada"


def test_a_second_visit_shows_how_things_stand_and_changes_nothing(porch: Porch) -> None:
    porch.sign_up()
    link = porch.confirmation()
    porch.client.post(link, data={"stream": "kurs"})
    before = porch.dump()
    for answer in (porch.client.get(link), porch.client.post(link, data={"stream": "kurs"})):
        assert answer.status_code == 200
        assert "Sie haben diese Anmeldung schon bestätigt" in answer.text
        assert "Digital kommunizieren" in answer.text
    assert porch.dump() == before
    porch.village.clock.advance(timedelta(days=30))
    assert "schon bestätigt" in porch.client.get(link).text


def test_only_what_the_page_listed_is_confirmed(porch: Porch) -> None:
    porch.sign_up()
    page = form_of(porch.client.get(porch.confirmation()).text)
    porch.sign_up(stream=["newsletter"])  # somebody adds to the open request
    porch.client.post(porch.confirmation(), data=page)
    states = {row["stream_id"]: row["state"] for row in porch.village.rows(SUBSCRIPTION)}
    assert states[porch.village.stream("kurs")] == "confirmed"
    assert states.get(porch.village.stream("newsletter")) != "confirmed"


def test_streams_nobody_asked_for_cannot_be_confirmed(porch: Porch) -> None:
    porch.sign_up()
    porch.client.post(porch.confirmation(), data={"stream": ["newsletter", "x", "\x00"]})
    assert "confirmed" not in {row["state"] for row in porch.village.rows(SUBSCRIPTION)}


def test_an_expired_link_leads_on(porch: Porch) -> None:
    porch.sign_up()
    link = porch.confirmation()
    porch.village.clock.advance(timedelta(days=8))
    for answer in (porch.client.get(link), porch.client.post(link)):
        assert answer.status_code == 404
        assert title_of(answer.text) == STALE
        assert 'action="/link"' in answer.text
    assert "confirmed" not in {row["state"] for row in porch.village.rows(SUBSCRIPTION)}


def test_not_me_asks_first_and_then_bars_the_address(porch: Porch) -> None:
    porch.sign_up()
    page = Form(porch.client.get(porch.confirmation()).text)
    (link,) = [href for href in page.links if "/refuse/" in href]
    before = porch.dump()
    asked = porch.client.get(link)
    assert title_of(asked.text) == "Das war ich nicht"
    (back,) = [href for href in Form(asked.text).links if "/confirm/" in href]
    assert title_of(porch.client.get(back).text) == "Anmeldung bestätigen"
    assert porch.dump() == before
    assert title_of(porch.client.post(link).text) == "Erledigt"
    assert title_of(porch.client.get(link).text) == "Erledigt"
    assert title_of(porch.client.post(porch.confirmation()).text) == STALE


def test_a_request_closed_by_an_unsubscribe_can_still_be_refused(porch: Porch) -> None:
    porch.sign_up()
    page = Form(porch.client.get(porch.confirmation()).text)
    (link,) = [href for href in page.links if "/refuse/" in href]
    person = porch.village.rows(SUBSCRIBER)[0]["id"]
    porch.village.do(subscribers.unsubscribe, person, None, porch.village.now, "operator")
    assert title_of(porch.client.get(link).text) == "Das war ich nicht"
    porch.client.post(link)
    assert [row["reason"] for row in porch.village.rows(SUPPRESSION)] == ["never"]
    assert title_of(porch.client.get(link).text) == "Erledigt"


def test_pages_speak_the_language_the_form_was_filled_in(porch: Porch) -> None:
    form = form_of(porch.client.get("/subscribe?locale=de-simple").text)
    porch.village.clock.advance(timedelta(seconds=10))
    data = {**form, "email": "ada@schule.example", "stream": "kurs"}
    assert 'lang="de-simple"' in porch.client.post("/subscribe", data=data).text
    link = porch.confirmation()
    assert 'lang="de-simple"' in porch.client.get(link).text
    assert 'lang="en"' in porch.client.get(link + "?locale=en").text


def test_a_purged_sign_up_leads_on(porch: Porch) -> None:
    porch.sign_up()
    link = porch.confirmation()
    porch.village.clock.advance(timedelta(days=8))
    porch.village.do(subscribers.purge, porch.village.now, 100)
    assert title_of(porch.client.get(link).text) == STALE
    assert title_of(porch.client.post(link).text) == STALE


def test_erased_people_get_the_page_with_a_way_on(porch: Porch) -> None:
    porch.sign_up()
    rules = Rules(PEPPER, porch.settings.zone, "de")
    person = porch.newest(SUBSCRIBER)["id"]
    porch.village.do(subscribers.erase, rules, person, porch.village.now, by="test")
    for answer in (
        porch.client.get(porch.confirmation()),
        porch.client.post(porch.confirmation()),
    ):
        assert title_of(answer.text) == STALE


def test_the_page_shows_what_confirming_consents_to(village: Village, tmp_path: Path) -> None:
    """The words that stood beside the boxes, also when others are in force by now."""
    old, new = "Ich will den Kurs.", "Ich will den Kurs und mehr."
    with open_porch(village, tmp_path, '[tracking]\nmode = "consent"\n') as porch:
        village.do(consents.declare_wording, "course", "de", old, village.now)
        village.do(consents.declare_wording, "tracking", "de", "Ich erlaube es.", village.now)
        porch.sign_up()
        plain = porch.client.get(porch.confirmation()).text
        porch.sign_up("bob@schule.example", tracking="yes")
        village.clock.advance(timedelta(minutes=1))
        village.do(consents.declare_wording, "course", "de", new, village.clock.now())
        tracked = porch.client.get(porch.confirmation()).text
    assert old in plain
    assert old in tracked
    assert new not in tracked
    assert "Ich erlaube es." not in plain
    assert "tracking" not in form_of(tracked)
    assert "Ich erlaube es." in tracked


@pytest.mark.parametrize("left", [["kurs"], ["kurs", "newsletter"]], ids=["one", "all"])
def test_a_second_visit_tells_what_was_left_since(porch: Porch, left: list[str]) -> None:
    porch.sign_up(stream=["kurs", "newsletter"])
    link = porch.confirmation()
    porch.client.post(link)
    (person,) = porch.village.rows(SUBSCRIBER)
    porch.village.do(subscribers.unsubscribe, person["id"], left, porch.village.now, "one-click")
    before = porch.dump()
    for answer in (porch.client.get(link), porch.client.post(link)):
        assert title_of(answer.text) == (
            "Sie sind abgemeldet" if len(left) == 2 else "Danke, Sie sind angemeldet"
        )
        assert answer.text.count("Das haben Sie abbestellt.") == len(left)
        for slug in left:
            assert f"/subscribe?stream={slug}&amp;locale=de" in answer.text
        assert "keine E-Mails" not in answer.text
    assert porch.dump() == before


def test_what_will_be_stored_is_shown_as_it_was_typed(village: Village, tmp_path: Path) -> None:
    more = '[attributes.head]\ntype = "bool"\n[attributes.since]\ntype = "date"\n'
    with open_porch(village, tmp_path, more) as porch:
        porch.sign_up(birthday="7.5.", head="ja", since="2024-02-29")
        page = porch.client.get(porch.confirmation()).text
    assert "<dt>Geburtstag</dt><dd>07.05.</dd>" in page
    assert "<dt>head</dt><dd>Ja</dd>" in page
    assert "<dt>since</dt><dd>29.02.2024</dd>" in page


@pytest.mark.parametrize(
    ("sent", "tracked"),
    [({"shown": "yes"}, False), ({"shown": "yes", "tracking": "yes"}, True), ({}, True)],
    ids=["box-left-empty", "box-ticked", "posted-without-our-page"],
)
def test_measuring_begins_by_the_page_s_box_or_by_all_that_was_asked(
    village: Village, tmp_path: Path, sent: dict[str, str], *, tracked: bool
) -> None:
    with open_porch(village, tmp_path, '[tracking]\nmode = "consent"\n') as porch:
        porch.sign_up(tracking="yes")
        porch.client.post(porch.confirmation(), data={**sent, "stream": ["kurs"]} if sent else {})
        assert [row["tracking"] for row in village.rows(SUBSCRIBER)] == [tracked]
        porch.sign_up("bob@schule.example")
        porch.client.post(porch.confirmation())
        assert [row["tracking"] for row in village.rows(SUBSCRIBER)] == [tracked, False]


@pytest.mark.parametrize("tail", [")", ").", ",", ">", ";", ")>."])
def test_the_end_of_a_sentence_copied_with_a_link_does_not_break_it(
    porch: Porch, tail: str
) -> None:
    porch.sign_up()
    link = porch.confirmation()
    assert porch.client.get(link + tail).text == porch.client.get(link).text
    assert title_of(porch.client.get(link + tail).text) == "Anmeldung bestätigen"
    assert title_of(porch.client.get(link[:-1] + tail).text) == STALE


def test_the_dates_say_where_a_pause_is_made(porch: Porch) -> None:
    porch.sign_up()
    answer = porch.client.post(porch.confirmation(), data={"stream": ["kurs"]})
    assert "über „Einstellungen“ unten in jeder E-Mail" in answer.text
