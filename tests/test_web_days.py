"""Days done: the button of a mail, one's own days, what all did together."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from l3mail import courses, subscribers
from l3mail.courses.diaries import COUNTED_FOR
from l3mail.models import ENROLLMENT, EVENT
from l3mail.tokens import Purpose
from tests.fakes.challenge import DAY, ZONE, came, challenge, joined, learned
from tests.fakes.porch import Form, Porch, form_of, open_porch, title_of
from tests.fakes.village import PEPPER, Village

STALE = "Dieser Link gilt nicht mehr"
TITLE = "Ihre Lerntage"


@pytest.fixture
def porch(village: Village, tmp_path: Path) -> Iterator[Porch]:
    with open_porch(village, tmp_path) as porch:
        challenge(village)
        yield porch


def learner(porch: Porch) -> tuple[tuple[int, int], str]:
    """Somebody whose first lesson came a moment ago, and the button in it."""
    whose = joined(porch.village)
    return whose, link(porch, came(porch.village, whose))


def link(porch: Porch, delivery: int) -> str:
    return "/done/" + porch.token(Purpose.ACT, delivery)


def press(porch: Porch, link: str, which: int = 0, **more: str) -> str:
    """Press one of the page's buttons, the first one by itself."""
    form = Form(porch.client.get(link).text).forms[which]
    return str(porch.client.post(link, data=form | more).text)


def done(porch: Porch) -> list[str]:
    return sorted(row["name"] for row in porch.village.rows(EVENT) if row["kind"] == "done")


def shown(page: str) -> dict[str, str]:
    """The days of the page with their words."""
    found = re.findall(r"<li class=\"\w+\"><span>([^<]+)</span> <strong>([^<]+)</strong>", page)
    return dict(found)


def test_who_looks_has_learned_nothing(porch: Porch) -> None:
    _, button = learner(porch)
    before = porch.dump()
    answer = porch.client.get(button)
    for method in ("GET", "HEAD", "OPTIONS"):
        porch.client.request(method, button)
    assert (answer.status_code, title_of(answer.text)) == (200, TITLE)
    assert answer.text.count("<form") == 1
    assert "Heute gelernt" in answer.text
    assert porch.dump() == before


def test_a_day_done_is_a_fact_of_the_journey_and_shown_at_once(porch: Porch) -> None:
    (person, enrollment), button = learner(porch)
    page = press(porch, button)
    (fact,) = porch.village.rows(EVENT)
    assert (fact["kind"], fact["name"], fact["data"]) == ("done", "2026-11-23", {})
    assert (fact["subscriber_id"], fact["enrollment_id"]) == (person, enrollment)
    assert "Ihr erster Lerntag ist eingetragen" in page
    assert "Sie haben an 1 von 5 Tagen gelernt." in page
    assert "Zusammen 1 Lerntag" in page
    assert shown(page) == {
        "Montag, 23. November": "gelernt",
        **dict.fromkeys(
            ("Dienstag, 24. November", "Mittwoch, 25. November", "Donnerstag, 26. November"),
            "kommt noch",
        ),
        "Freitag, 27. November": "kommt noch",
    }


def test_a_day_counts_once_however_often_it_is_pressed(porch: Porch) -> None:
    _, button = learner(porch)
    form = form_of(porch.client.get(button).text)
    pages = [porch.client.post(button, data=form).text for _ in range(3)]
    assert done(porch) == ["2026-11-23"]
    assert "Dieser Tag ist schon eingetragen" in pages[-1]


def test_yesterday_can_be_entered_and_the_day_before_can_not(porch: Porch) -> None:
    whose, button = learner(porch)
    porch.village.clock.advance(2 * DAY)
    came(porch.village, whose, 2)
    page = porch.client.get(button).text
    assert [form["day"] for form in Form(page).forms] == [["2026-11-25"], ["2026-11-24"]]
    assert shown(page)["Montag, 23. November"] == "nicht eingetragen"
    assert shown(page)["Dienstag, 24. November"] == "gestern, noch offen"
    press(porch, button, 1)
    answer = porch.client.post(button, data={"day": "2026-11-23"})
    assert (answer.status_code, done(porch)) == (422, ["2026-11-24"])
    assert "Möglich sind heute und gestern" in answer.text


@pytest.mark.parametrize(
    "day",
    ["", "heute", "2026-11-24", "2026-11-22", "2026-11-23T00:00", "0000-00-00", "<b>", "9" * 99],
)
def test_only_a_day_that_is_open_is_taken(porch: Porch, day: str) -> None:
    _, button = learner(porch)
    answer = porch.client.post(button, data={"day": day})
    assert (answer.status_code, done(porch)) == (422, [])


def test_before_the_first_lesson_nothing_is_open(porch: Porch) -> None:
    porch.village.clock.advance(DAY / 24)
    whose = joined(porch.village)
    welcome = link(porch, came(porch.village, whose, kind="welcome"))
    page = porch.client.get(welcome).text
    assert "Der Kurs beginnt am Dienstag, 24. November." in page
    assert "<form" not in page
    assert porch.client.post(welcome, data={"day": "2026-11-23"}).status_code == 422
    assert done(porch) == []


def test_who_presses_at_midnight_means_the_day_the_button_showed(porch: Porch) -> None:
    _, button = learner(porch)
    porch.village.clock.advance(13.9 * DAY / 24)  # 23:54
    form = form_of(porch.client.get(button).text)
    porch.village.clock.advance(DAY / 96)
    porch.client.post(button, data=form)
    assert done(porch) == ["2026-11-23"]


def test_an_entry_can_be_taken_back(porch: Porch) -> None:
    _, button = learner(porch)
    page = press(porch, button)
    assert "Doch nicht: Montag, 23. November zurücknehmen" in page
    page = press(porch, button)
    assert "Der Eintrag ist zurückgenommen" in page
    assert "Sie haben an 0 von 5 Tagen gelernt." in page
    assert done(porch) == []
    press(porch, button)
    assert done(porch) == ["2026-11-23"]


def test_it_works_until_the_day_after_the_last_lesson(porch: Porch) -> None:
    whose, button = learner(porch)
    for number in range(2, 6):
        porch.village.clock.advance(DAY)
        came(porch.village, whose, number)
    enrollment = whose[1]
    porch.village.change(ENROLLMENT, enrollment, state="finished", ended_at=porch.village.now)
    assert len(Form(porch.client.get(button).text).forms) == 2
    porch.village.clock.advance(DAY)
    assert [form["day"] for form in Form(porch.client.get(button).text).forms] == [["2026-11-27"]]
    page = press(porch, button)
    assert shown(page)["Freitag, 27. November"] == "gelernt"
    porch.village.clock.advance(DAY)
    page = porch.client.get(button).text
    assert "Die Lerntage dieses Kurses sind vorbei" in page
    assert "Sie haben an 1 von 5 Tagen gelernt." in page
    assert "<form" not in page
    assert porch.client.post(button, data={"day": "2026-11-28"}).status_code == 422


def test_the_evaluation_s_day_is_none_to_learn_on(village: Village, tmp_path: Path) -> None:
    with open_porch(village, tmp_path) as porch:
        challenge(village, evaluation=True)
        whose, button = learner(porch)
        for number in range(2, 6):
            village.clock.advance(DAY)
            came(village, whose, number)
        village.clock.advance(DAY)
        came(village, whose, 5, slug="tage/evaluation", kind="evaluation", occurrence="e")
        forms = Form(porch.client.get(button).text).forms
        assert [form["day"] for form in forms] == [["2026-11-27"]]


def test_who_left_gets_a_calm_page_and_enters_nothing(porch: Porch) -> None:
    (person, _), button = learner(porch)
    press(porch, button)
    porch.village.do(courses.cancel, person, {porch.village.stream("tage")}, porch.village.now)
    for answer in (
        porch.client.get(button),
        porch.client.post(button, data={"day": "2026-11-23", "action": "undo"}),
    ):
        assert (answer.status_code, title_of(answer.text)) == (200, "Sie nehmen nicht mehr teil")
    assert done(porch) == ["2026-11-23"]


def test_who_is_erased_gets_a_calm_page_and_their_days_still_count(porch: Porch) -> None:
    (person, _), button = learner(porch)
    press(porch, button)
    rules = subscribers.Rules(pepper=PEPPER, zone=ZONE, fallback_locale="de")
    porch.village.do(subscribers.erase, rules, person, porch.village.now, by="amt")
    answer = porch.client.get(button)
    assert title_of(answer.text) == "Keine E-Mails von uns"
    assert porch.client.post(button, data={"day": "2026-11-23"}).status_code == 200
    assert title_of(porch.client.get("/together/tage").text) == "Zusammen 1 Lerntag"


def test_who_began_anew_is_led_on_from_the_old_mails(porch: Porch) -> None:
    (person, first), button = learner(porch)
    press(porch, button)
    porch.village.change(ENROLLMENT, first, state="cancelled", ended_at=porch.village.now)
    porch.village.clock.advance(DAY)
    again = porch.village.do(courses.enroll, "tage", person, porch.village.now, ZONE)
    porch.village.clock.advance(DAY)
    page = press(porch, button)
    assert "Sie haben an 1 von 5 Tagen gelernt." in page
    assert [row["enrollment_id"] for row in porch.village.rows(EVENT)] == [first, again]


def test_a_mail_of_no_course_and_a_foreign_token_lead_to_the_stale_page(porch: Porch) -> None:
    person = porch.village.person("kim@schule.example")
    mail = porch.village.delivery(person, "newsletter", state="accepted")
    tokens = [
        porch.token(Purpose.ACT, mail),
        porch.token(Purpose.ACT, 999),
        porch.token(Purpose.VIEW, mail),
        "x",
    ]
    for token in tokens:
        for answer in (
            porch.client.get(f"/done/{token}"),
            porch.client.post(f"/done/{token}", data={"day": "2026-11-23"}),
        ):
            assert title_of(answer.text) == STALE
    assert done(porch) == []


@pytest.mark.parametrize(
    ("tag", "words"),
    [
        ("de-simple", ["Ich habe heute gelernt", "Zusammen 0 Lerntage", "heute, noch frei"]),
        ("en", ["Learned today", "Together 0 days of learning", "today, still open"]),
    ],
)
def test_the_page_speaks_the_languages_of_the_house(
    porch: Porch, tag: str, words: list[str]
) -> None:
    _, button = learner(porch)
    page = porch.client.get(f"{button}?locale={tag}").text
    for word in words:
        assert word in page


def test_the_learners_page_tells_the_days_once_there_are_any(porch: Porch) -> None:
    _, button = learner(porch)
    course = button.replace("/done/", "/course/")
    assert "Tagen gelernt" not in porch.client.get(course).text
    press(porch, button)
    page = porch.client.get(course).text
    assert "Sie haben an 1 von 5 Tagen gelernt." in page
    assert button in Form(page).links


def test_the_collective_number_is_public_and_tells_nobody(porch: Porch) -> None:
    for n in range(3):
        whose = joined(porch.village, f"p{n}@schule.example", first_name="Ada")
        learned(porch.village, whose, 0)
    page = porch.client.get("/together/tage").text
    assert title_of(page) == "Zusammen 3 Lerntage"
    assert "Fünf Tage lernen" in page
    assert "Ada" not in page
    assert "@schule" not in page


def test_the_days_of_all_are_counted_once_a_minute_and_anew_for_who_adds_one(porch: Porch) -> None:
    whose, button = learner(porch)

    def everybodys() -> str:
        return title_of(porch.client.get("/together/tage").text)

    before = everybodys()
    learned(porch.village, whose, 3)
    assert everybodys() == before
    porch.village.clock.advance(COUNTED_FOR)
    assert everybodys() == "Zusammen 1 Lerntag"
    assert "Zusammen 2 Lerntage" in press(porch, button)
    assert everybodys() == "Zusammen 2 Lerntage"


def test_only_a_course_has_a_collective_number(porch: Porch) -> None:
    for name in ("nichts", "newsletter", "%3Cb%3E", "%00", "%FF", "a" * 500):
        assert porch.client.get(f"/together/{name}").status_code == 404


def test_so_many_days_complete_the_course(village: Village, tmp_path: Path) -> None:
    with open_porch(village, tmp_path) as porch:
        challenge(village, rules={"complete_after": 2})
        whose, button = learner(porch)
        press(porch, button)
        assert village.row(ENROLLMENT, whose[1])["completed_at"] is None
        village.clock.advance(DAY)
        came(village, whose, 2)
        page = press(porch, button)
        assert "damit haben Sie diesen Kurs abgeschlossen" in page
        assert re.search('<a href="/certificate/[^"]+">Teilnahmebescheinigung', page)
        assert village.row(ENROLLMENT, whose[1])["completed_at"] == village.now
        press(porch, button)  # takes it back
        assert village.row(ENROLLMENT, whose[1])["completed_at"] is None
