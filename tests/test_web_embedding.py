"""The form on other people's pages: what it asks, what it says it showed, and where it leads."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from l3mail import consents, courses, streams
from l3mail.courses import Outline
from l3mail.errors import SourceError
from l3mail.models import CONSENT, DELIVERY, SIGNUP
from l3mail.web import embedding
from tests.fakes.chromium import CHROMIUM, browser, faults_by_day_and_night
from tests.fakes.porch import (
    BASE_URL,
    Form,
    Porch,
    form_of,
    open_porch,
    served,
    title_of,
)
from tests.fakes.village import Village

MORE = """
[tracking]
mode = "consent"
[signup]
fields = ["first_name", "birthday", "role"]
[attributes.ziel]
title = "Mein Lernziel"
[attributes.role]
type = "choice"
choices = ["schule", "vhs"]
title = "Einrichtung"
"""
SENT = "Bitte sehen Sie in Ihr Postfach"


@pytest.fixture
def porch(sqlite_village: Village, tmp_path: Path) -> Iterator[Porch]:
    """A door with a course that asks something, and words of consent for all of it."""
    with open_porch(sqlite_village, tmp_path, MORE) as porch:
        outline = Outline(
            slug="kurs",
            title="Digital kommunizieren",
            cadence={"weekday": "mon", "at": "10:00"},
            lessons=[("kurs/01", "lesson")],
            asks=["ziel"],
        )
        village = sqlite_village
        village.do(courses.define, outline, village.stream("kurs"), village.now)
        for name in ("newsletter", "course", "tracking"):
            for locale in ("de", "en"):
                agree(village, name, f"Ich willige ein: {name} ({locale}).", locale)
        yield porch


def agree(village: Village, name: str, text: str, locale: str = "de") -> int:
    return village.do(consents.declare_wording, name, locale, text, village.now)[0]


def embedded(porch: Porch, *among: str, locale: str | None = None, **values: Any) -> str:
    speaker = embedding.speaker(porch.settings, locale)
    return porch.village.do(embedding.embedded_form, speaker, among, **values)


def test_it_asks_what_our_own_page_asks_and_nothing_is_ticked(porch: Porch) -> None:
    ours, theirs = porch.client.get("/subscribe").text, embedded(porch)
    asked = set(form_of(ours)) | {"stream", "tracking", "role"}
    own = {"token", "source"}
    for name in asked - own:
        assert f'name="{name}"' in theirs, name
    assert form_of(ours)["wording"] == form_of(theirs)["wording"]
    assert theirs.count('type="checkbox"') == ours.count('type="checkbox"') == 3
    assert "checked" not in theirs
    assert f'action="{BASE_URL}/subscribe"' in theirs
    for said in ("newsletter", "course", "tracking"):
        assert f"Ich willige ein: {said} (de)." in theirs
    assert "Für „Digital kommunizieren“, freiwillig" in theirs


def test_it_is_made_for_reading_aloud_and_for_filling_in_by_itself(porch: Porch) -> None:
    page = embedded(porch)
    ids = Form(page).ids
    for name in ("email", "first_name", "birthday", "role", "ziel", "stream-kurs", "tracking"):
        assert f'<label for="l3-{name}"' in page
        assert f"l3-{name}" in ids
    for described in ("birthday-hint", "ziel-hint", "stream-kurs-text", "tracking-text"):
        assert f'aria-describedby="l3-{described}"' in page
        assert f"l3-{described}" in ids
    for known in ("email", "given-name", "bday"):
        assert f'autocomplete="{known}"' in page
    assert all(one.startswith("l3-") for one in ids - {""}), "no id clashes with the page's own"
    assert "<fieldset" in page
    assert "<legend>" in page


def test_nothing_is_fetched_and_nothing_runs(porch: Porch) -> None:
    for styled in (True, False):
        page = embedded(porch, styled=styled)
        assert ("<style>" in page) is styled
        for foreign in ("<script", " on", "url(", "@import", "<link", "<img", "src=", "style="):
            assert foreign not in page, foreign


def test_who_fills_it_in_is_mailed_and_it_is_known_whence(porch: Porch) -> None:
    page = embedded(porch, "kurs", source="rathaus", locale="en")
    form = form_of(page)
    assert "stream" not in form, "the box of an only stream is to be ticked as well"
    data = {**form, "email": "ada@schule.example", "stream": "kurs", "ziel": "Reden"}
    assert porch.client.post("/subscribe", data=data).status_code == 200
    signup = porch.newest(SIGNUP)
    assert (signup["source"], signup["locale"], signup["streams"]) == ("rathaus", "en", ["kurs"])
    assert signup["signup_values"]["said"] == {"attributes": {"ziel": "Reden"}}
    assert len(porch.village.rows(DELIVERY)) == 1


def test_what_is_wrong_comes_back_on_our_page_for_the_same_streams(porch: Porch) -> None:
    form = form_of(embedded(porch, "kurs", source="rathaus"))
    answer = porch.client.post("/subscribe", data={**form, "email": "ada@", "website": "x"})
    assert answer.status_code == 422
    again = form_of(answer.text)
    assert (again["email"], again["source"], again["among"]) == (["ada@"], ["rathaus"], ["kurs"])
    assert "Digital kommunizieren" in answer.text
    assert "Bildung im Stadtteil</strong>" not in answer.text
    mended = {**again, "email": "ada@schule.example", "stream": "kurs"}
    assert title_of(porch.client.post("/subscribe", data=mended).text) == SENT


def test_a_trap_that_is_filled_brings_the_step_and_not_silence(porch: Porch) -> None:
    form = form_of(embedded(porch, "kurs"))
    data = {**form, "email": "ada@schule.example", "stream": "kurs", "website": "x"}
    answer = porch.client.post("/subscribe", data=data)
    assert answer.status_code == 428
    assert title_of(porch.client.post("/subscribe", data=form_of(answer.text)).text) == SENT


def test_hostile_titles_and_texts_are_text(porch: Porch) -> None:
    village, evil = porch.village, "\"><script>alert(1)</script><b title='x"
    village.do(streams.declare, "kurs", "course", evil, village.now)
    agree(village, "course", evil)
    page = embedded(porch, source="x", styled=True)
    assert "<script" not in page
    assert "<b " not in page
    assert page.count("&lt;script&gt;") == 3  # the title, the text, and what the course asks


def test_nothing_to_join_and_unknown_languages_are_told(
    sqlite_village: Village, tmp_path: Path
) -> None:
    with open_porch(sqlite_village, tmp_path) as porch:
        sqlite_village.do(streams.retire, ("course", "newsletter"), (), sqlite_village.now)
        with pytest.raises(SourceError, match="nothing to sign up for"):
            embedded(porch)
        with pytest.raises(SourceError, match='no page speaks "dee"; did you mean "de"'):
            embedding.speaker(porch.settings, "dee")


# What somebody has seen


def evidence(porch: Porch) -> dict[str, Any]:
    act = max(porch.village.rows(CONSENT), key=lambda row: int(row["seq"]))
    content: dict[str, Any] = act["content"]
    return content


@pytest.mark.parametrize("own", [True, False], ids=["our page", "their page"])
def test_proof_names_the_text_in_the_language_it_was_shown_in(porch: Porch, own: bool) -> None:
    page = porch.client.get("/subscribe?locale=en").text if own else embedded(porch, locale="en")
    form = form_of(page) | {"email": ["ada@schule.example"], "stream": ["kurs"], "token": [""]}
    porch.client.post("/subscribe", data=form, headers={"Accept-Language": "de"})
    (wording,) = evidence(porch)["wordings"]
    assert (wording["name"], wording["locale"]) == ("course", "en")
    assert evidence(porch)["wordings_named"] is True


def test_a_form_that_says_nothing_of_its_texts_is_noted_as_one(porch: Porch) -> None:
    data = {"email": "ada@schule.example", "stream": "kurs"}
    assert porch.client.post("/subscribe", data=data).status_code == 200
    assert evidence(porch)["wordings_named"] is False
    assert [wording["name"] for wording in evidence(porch)["wordings"]] == ["course"]


@pytest.mark.parametrize("alone", [True, False], ids=["one stream", "all streams"])
def test_an_older_text_is_shown_anew_before_anybody_agrees(porch: Porch, alone: bool) -> None:
    village = porch.village
    village.clock.advance(timedelta(hours=1))
    form = form_of(embedded(porch, *(("kurs",) if alone else ())))
    newer = agree(village, "course", "Ich willige ein: etwas ganz Neues.")
    data = {**form, "email": "ada@schule.example", "stream": "kurs", "first_name": "Ada"}
    answer = porch.client.post("/subscribe", data=data)
    assert answer.status_code == 422
    assert porch.signups() == 0
    assert "Ich willige ein: etwas ganz Neues." in answer.text
    assert "Der Text, dem Sie zustimmen, ist seither neu." in answer.text
    page, again = Form(answer.text), form_of(answer.text)
    assert "checked" not in answer.text, "what was ticked beside another text is not ticked here"
    assert (again["email"], again["first_name"]) == (["ada@schule.example"], ["Ada"])
    for link in [link for link in page.links if link.startswith("#")]:
        assert link[1:] in page.ids, link
    answer = porch.client.post("/subscribe", data=again | {"stream": ["kurs"]})
    assert title_of(answer.text) == SENT
    assert [wording["id"] for wording in evidence(porch)["wordings"]] == [newer]


def test_a_text_of_another_offer_or_made_up_is_no_text_that_was_seen(porch: Porch) -> None:
    form = form_of(embedded(porch))
    course = next(mark for mark in form["wording"] if mark.startswith("course."))
    for marks in (
        ["made-up"],
        [course[:-1] + ("0" if course[-1] != "0" else "1")],
        [course.replace("course.", "newsletter.")],
        [mark for mark in form["wording"] if mark != course],
        [course.replace(".de.", ".en.")],
        ["\x00", "é" * 500],
    ):
        data = {"email": "ada@schule.example", "stream": "kurs", "wording": marks}
        assert porch.client.post("/subscribe", data=data).status_code == 422, marks
    assert porch.signups() == 0
    other = {"email": "ada@schule.example", "stream": "kurs", "wording": [course, "made-up"]}
    assert porch.client.post("/subscribe", data=other).status_code == 200, "it saw what it needs"


def test_a_newer_text_on_tracking_takes_nothing_else_away(porch: Porch) -> None:
    village = porch.village
    village.clock.advance(timedelta(hours=1))
    form = form_of(embedded(porch))
    agree(village, "tracking", "Sie dürfen viel mehr messen.")
    data = {**form, "email": "ada@schule.example", "stream": "newsletter"}
    answer = porch.client.post("/subscribe", data={**data, "tracking": "yes"})
    assert answer.status_code == 422
    again = form_of(answer.text)
    assert again["stream"] == ["newsletter"]
    assert "tracking" not in again
    assert porch.client.post("/subscribe", data=data).status_code == 200, "it was not ticked"


def test_a_text_for_one_offer_alone_takes_the_place_of_its_kind_s(porch: Porch) -> None:
    form = form_of(embedded(porch))
    agree(porch.village, "kurs", "Ich willige ein: nur dieser Kurs.")
    data = {**form, "email": "ada@schule.example", "stream": "kurs"}
    assert porch.client.post("/subscribe", data=data).status_code == 422
    newer = form_of(embedded(porch)) | {"email": ["ada@schule.example"], "stream": ["kurs"]}
    assert porch.client.post("/subscribe", data=newer).status_code == 200
    assert [wording["name"] for wording in evidence(porch)["wordings"]] == ["kurs"]


def test_programs_are_told_that_a_text_is_new(porch: Porch) -> None:
    data = {"email": "ada@schule.example", "stream": "kurs", "wording": "course.de.0"}
    answer = porch.client.post("/api/subscriptions", json=data)
    assert answer.status_code == 422
    assert set(answer.json()["errors"]) == {"wording"}


def test_who_comes_to_recommend_it_finds_the_address_to_pass_on(porch: Porch) -> None:
    page = porch.client.get("/subscribe?stream=kurs&source=empfehlung&locale=de").text
    link = f"{BASE_URL}/subscribe?stream=kurs&amp;source=empfehlung"
    assert f'<a href="{link}">{link}</a>' in page
    assert "Geben Sie einfach diese Adresse weiter" in page
    assert "weiter:" not in porch.client.get("/subscribe?stream=kurs&source=plakat").text


@pytest.mark.browser
@pytest.mark.slow
@pytest.mark.skipif(not CHROMIUM.exists(), reason=f"needs a browser: {CHROMIUM}")
def test_in_a_page_of_the_city_axe_finds_nothing_and_it_signs_up(porch: Porch) -> None:
    village = porch.village
    with served(village, porch.settings) as base:
        form = embedded(porch, source="rathaus", styled=True).replace(BASE_URL, base)
        page_of_the_city = (
            '<!doctype html><html lang="de"><head><meta charset="utf-8"><title>Stadt</title>'
            '<meta name="viewport" content="width=device-width"><style>:root{color-scheme:'
            f"light dark}}</style></head><body><main><h1>Stadt</h1>{form}</main></body></html>"
        )
        with browser(base) as page:
            page.set_content(page_of_the_city)
            assert faults_by_day_and_night(page) == []
            page.fill("#l3-email", "ada@schule.example")
            page.check("#l3-stream-kurs")
            with page.expect_navigation():
                page.click("button")
            assert page.locator("h1").inner_text() == SENT
    assert porch.newest(SIGNUP)["source"] == "rathaus"
