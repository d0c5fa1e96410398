"""Questions of a mail: asked, answered, told what is right; a course that is completed by it."""

import html
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from l3mail import courses
from l3mail.courses import Outline
from l3mail.models import DELIVERY, ENROLLMENT, EVENT, MESSAGE, SUBSCRIBER
from l3mail.tokens import Purpose
from l3mail.web.answers import LONGEST_COMMENT
from tests.fakes.porch import Form, Porch, form_of, open_porch, title_of
from tests.fakes.questions import FEEDBACK, QUIZ, SEVERAL, ask, quiz
from tests.fakes.village import Village

STALE = "Dieser Link gilt nicht mehr"


@pytest.fixture
def porch(village: Village, tmp_path: Path) -> Iterator[Porch]:
    with open_porch(village, tmp_path) as porch:
        yield porch


def enrolled(
    porch: Porch, address: str = "ada@schule.example", *, to_come: bool = False, **values: Any
) -> tuple[int, int]:
    """Somebody in a course of two lessons, the second published unless it is to come.

    The person, the enrollment.
    """
    village = porch.village
    if not to_come and not any(row["slug"] == "kurs/02" for row in village.rows(MESSAGE)):
        village.publish("kurs/02")
    outline = Outline(
        slug="kurs",
        title="Digital kommunizieren",
        cadence={"weekday": "mon", "at": "10:00"},
        lessons=[("kurs/01", "lesson"), ("kurs/02", "lesson")],
    )
    village.do(courses.define, outline, village.stream("kurs"), village.now)
    person = village.learner(address, **values)
    return person, village.do(courses.enroll, "kurs", person, village.now, porch.settings.zone)


def lesson(porch: Porch, whose: tuple[int, int], message: int, slug: str = "kurs/01") -> str:
    """A lesson somebody was sent; the token of its links."""
    person, enrollment = whose
    now = porch.village.now
    delivery = porch.village.delivery(
        person,
        enrollment_id=enrollment,
        message_id=message,
        slug=slug,
        state="accepted",
        ended_at=now,
        started_at=now,
        first_started_at=now,
    )
    return porch.token(Purpose.ACT, delivery)


def asked(porch: Porch, *questions: dict[str, Any]) -> str:
    """A lesson with questions, sent to a learner; the token of its links."""
    message = porch.village.publish()
    ask(porch.village, message, *questions)
    return lesson(porch, enrolled(porch), message)


def answers(porch: Porch) -> list[tuple[object, object]]:
    rows = sorted(porch.village.rows(EVENT), key=lambda row: int(row["id"]))
    return [(row["name"], row["data"]["value"]) for row in rows if row["kind"] == "answered"]


def test_a_tap_in_the_mail_chooses_and_stores_nothing(porch: Porch) -> None:
    token = asked(porch, QUIZ)
    before = porch.dump()
    answer = porch.client.get(f"/quiz/{token}?of=q1&pick=b")
    assert answer.status_code == 200
    assert form_of(answer.text) == {"of": ["q1"], "answer": ["b"]}
    assert "Was stimmt bei q1?" in answer.text
    assert "Es füllt das Bild." not in answer.text
    assert porch.dump() == before


def test_an_answer_is_a_fact_about_the_version_that_asked(porch: Porch) -> None:
    token = asked(porch, QUIZ)
    porch.client.post(f"/quiz/{token}?of=q1&pick=a", data={"of": "q1", "answer": "b"})
    (fact,) = porch.village.rows(EVENT)
    (delivery,) = porch.village.rows(DELIVERY)
    (message,) = (row for row in porch.village.rows(MESSAGE) if row["slug"] == "kurs/01")
    for name in ("subscriber_id", "enrollment_id", "message_id"):
        assert fact[name] == delivery[name]
    assert fact["delivery_id"] == delivery["id"]
    assert (fact["kind"], fact["name"], fact["at"]) == ("answered", "q1", porch.village.now)
    assert fact["data"] == {"value": "b", "message_hash": message["hash"]}


@pytest.mark.parametrize(
    ("question", "chosen", "title", "marks"),
    [
        (QUIZ, ["b"], "Richtig", {"hochkant": "Ihre Antwort, richtig"}),
        (
            QUIZ,
            ["a"],
            "Leider nicht richtig",
            {"quer": "Ihre Antwort, nicht richtig", "hochkant": "Richtige Antwort"},
        ),
        (SEVERAL, ["b", "a"], "Richtig", {"Licht": "Ihre Antwort, richtig"}),
        (
            SEVERAL,
            ["a", "c"],
            "Zum Teil richtig",
            {"Ton": "Richtige Antwort", "Blitz": "Ihre Antwort, nicht richtig"},
        ),
        (SEVERAL, ["c"], "Leider nicht richtig", {"Licht": "Richtige Antwort"}),
    ],
    ids=["right", "wrong", "all of several", "some of several", "none of several"],
)
def test_what_is_right_and_why_is_told_at_once_in_words(
    porch: Porch, question: dict[str, Any], chosen: list[str], title: str, marks: dict[str, str]
) -> None:
    token = asked(porch, question)
    answer = porch.client.post(f"/quiz/{token}", data={"of": question["name"], "answer": chosen})
    assert (answer.status_code, title_of(answer.text)) == (200, title)
    for text, mark in marks.items():
        assert f">{text}</span><br><strong>{mark}</strong>" in answer.text
    for part in question["explanation"].split("\n\n"):
        assert f">{part}</p>" in answer.text
    assert answers(porch) == [(question["name"], "".join(sorted(chosen)))]


@pytest.mark.parametrize(
    "chosen", [[], [""], ["d"], ["B"], ["b", "d"], ["a", "b"], ["<b>"], ["b\x00"], ["é"], ["ab"]]
)
def test_only_one_of_the_answers_offered_is_taken(porch: Porch, chosen: list[str]) -> None:
    token = asked(porch, QUIZ)
    answer = porch.client.post(f"/quiz/{token}", data={"of": "q1", "answer": chosen})
    assert answer.status_code == 422
    assert "Bitte wählen Sie eine der angebotenen Möglichkeiten." in answer.text
    assert answers(porch) == []


@pytest.mark.parametrize("of", ["q9", "Q1", "nutzen", "<b>", "x" * 2000])
def test_only_a_question_of_the_mail_itself_is_asked(porch: Porch, of: str) -> None:
    token = asked(porch, QUIZ, FEEDBACK)
    for answer in (
        porch.client.get(f"/quiz/{token}", params={"of": of}),
        porch.client.post(f"/quiz/{token}", data={"of": of, "answer": "b"}),
    ):
        assert (answer.status_code, title_of(answer.text)) == (404, STALE)
    assert answers(porch) == []


def test_a_mail_without_questions_leads_on(porch: Porch) -> None:
    token = lesson(porch, enrolled(porch), porch.village.publish())
    bob = porch.village.person("bob@schule.example")
    queued = porch.token(Purpose.ACT, porch.village.delivery(bob))
    for link in (f"/quiz/{token}", f"/feedback/{token}?of=nutzen", f"/quiz/{queued}?of=q1"):
        assert title_of(porch.client.get(link).text) == STALE
        assert title_of(porch.client.post(link).text) == STALE


def test_the_same_answer_is_stored_once_and_another_one_counts_from_then_on(porch: Porch) -> None:
    link = f"/quiz/{asked(porch, QUIZ)}?of=q1"
    for value in ("a", "a", "b", "b", "a"):
        porch.village.clock.advance(timedelta(minutes=1))
        assert porch.client.post(link, data={"answer": value}).status_code == 200
    assert answers(porch) == [("q1", "a"), ("q1", "b"), ("q1", "a")]
    page = porch.client.get(link).text
    assert "schon beantwortet" in page
    assert form_of(page)["answer"] == ["a"]
    assert form_of(porch.client.get(link + "&pick=c").text)["answer"] == ["c"]


def test_answers_of_another_enrollment_or_text_are_others(porch: Porch) -> None:
    message = porch.village.publish()
    ask(porch.village, message, QUIZ)
    other = porch.village.publish("kurs/02")
    ask(porch.village, other, QUIZ)
    ada, bob = enrolled(porch), enrolled(porch, "bob@schule.example")
    tokens = [
        lesson(porch, ada, message),
        lesson(porch, bob, message),
        lesson(porch, ada, other, "kurs/02"),
    ]
    for token in tokens:
        assert "answer" not in form_of(porch.client.get(f"/quiz/{token}").text)
        porch.client.post(f"/quiz/{token}", data={"of": "q1", "answer": "a"})
    assert answers(porch) == [("q1", "a")] * 3


def test_the_next_question_of_the_text_is_a_link_and_then_the_course(porch: Porch) -> None:
    token = asked(porch, QUIZ, SEVERAL, FEEDBACK)
    first = porch.client.post(f"/quiz/{token}?locale=en", data={"of": "q1", "answer": "b"})
    onward, again, course = Form(first.text).links[-5:-2]
    assert urlsplit(onward).query == "of=q2&locale=en"
    assert urlsplit(again).query == "of=q1&locale=en"
    assert title_of(porch.client.get(course).text) == "Digital kommunizieren"
    assert form_of(porch.client.get(onward).text) == {"of": ["q2"]}
    second = porch.client.post(onward, data={"answer": ["a", "b"]})
    assert f'href="/feedback/{token}?of=nutzen' in second.text
    third = porch.client.post(f"/feedback/{token}", data={"of": "nutzen", "answer": "5"})
    assert "?of=q1" not in third.text


def test_without_a_name_the_first_open_question_is_asked(porch: Porch) -> None:
    token = asked(porch, FEEDBACK, QUIZ, SEVERAL)
    for name, value in (("q1", "b"), ("q2", "a")):
        assert form_of(porch.client.get(f"/quiz/{token}").text)["of"] == [name]
        porch.client.post(f"/quiz/{token}", data={"of": name, "answer": value})
    assert form_of(porch.client.get(f"/quiz/{token}").text)["of"] == ["q1"]


def test_a_question_of_a_newsletter_belongs_to_no_course(porch: Porch) -> None:
    village = porch.village
    message = village.publish("newsletter/2026-12")
    ask(village, message, QUIZ)
    delivery = village.delivery(
        village.person(), "newsletter", slug="newsletter/2026-12", message_id=message
    )
    token = porch.token(Purpose.ACT, delivery)
    for _ in range(2):
        answer = porch.client.post(f"/quiz/{token}", data={"of": "q1", "answer": "b"})
        assert title_of(answer.text) == "Richtig"
        assert "/course/" not in answer.text
    assert answers(porch) == [("q1", "b")]


def test_a_question_is_asked_in_the_words_of_the_version_that_was_sent(porch: Porch) -> None:
    token = asked(porch, QUIZ)
    newer = porch.village.publish(subject="Neu")
    ask(porch.village, newer, quiz("q1", "ja", "nein", right="a"))
    page = porch.client.get(f"/quiz/{token}?of=q1").text
    assert "hochkant" in page
    assert "nein" not in page


# -- feedback


def test_a_mark_is_stored_with_the_words_beside_it(porch: Porch) -> None:
    token = asked(porch, FEEDBACK)
    page = porch.client.get(f"/feedback/{token}?of=nutzen&pick=4").text
    assert form_of(page) == {"of": ["nutzen"], "answer": ["4"]}
    said = "Mir gefiel das Video.\r\n\r\n<b>Sehr</b> \u202egut\x07 \U0001f44d"
    answer = porch.client.post(
        f"/feedback/{token}", data={"of": "nutzen", "answer": "5", "comment": said}
    )
    assert title_of(answer.text) == "Danke für Ihre Meinung"
    (fact,) = porch.village.rows(EVENT)
    assert fact["data"]["value"] == "5"
    assert fact["data"]["comment"] == "Mir gefiel das Video.\n\n<b>Sehr</b> gut \U0001f44d"
    again = porch.client.get(f"/feedback/{token}?of=nutzen").text
    assert html.escape("<b>Sehr</b> gut") in again
    assert "<b>Sehr" not in again


def test_other_words_with_the_same_mark_are_another_answer(porch: Porch) -> None:
    token = asked(porch, FEEDBACK)
    for comment in ("", "", "gut", "gut", ""):
        data = {"of": "nutzen", "answer": "4", "comment": comment}
        porch.client.post(f"/feedback/{token}", data=data)
    assert answers(porch) == [("nutzen", "4")] * 3


def test_too_many_words_come_back_to_be_shortened(porch: Porch) -> None:
    token = asked(porch, FEEDBACK)
    data = {"of": "nutzen", "answer": "4", "comment": "ä\r\n" * (LONGEST_COMMENT // 2) + "x"}
    answer = porch.client.post(f"/feedback/{token}", data=data)
    assert answer.status_code == 422
    assert "höchstens 2000 Zeichen" in answer.text
    assert "ä\nä\n" in answer.text
    assert form_of(answer.text)["answer"] == ["4"]
    assert answers(porch) == []
    data["comment"] = data["comment"][:-1]
    assert porch.client.post(f"/feedback/{token}", data=data).status_code == 200


def test_words_nobody_asked_for_are_not_kept(porch: Porch) -> None:
    token = asked(porch, QUIZ)
    porch.client.post(f"/quiz/{token}", data={"of": "q1", "answer": "b", "comment": "geheim"})
    assert "geheim" not in str(porch.village.rows(EVENT))


def test_a_hostile_name_is_nowhere_on_the_page(porch: Porch) -> None:
    token = asked(porch, FEEDBACK)
    (delivery,) = porch.village.rows(DELIVERY)
    porch.village.change(SUBSCRIBER, delivery["subscriber_id"], first_name="<script>")
    assert "<script>" not in porch.client.get(f"/feedback/{token}").text


@pytest.mark.parametrize("locale", ["de", "de-simple", "en"])
def test_each_language_has_its_words(porch: Porch, locale: str) -> None:
    token = asked(porch, QUIZ, FEEDBACK)
    for page in (
        porch.client.get(f"/quiz/{token}?locale={locale}"),
        porch.client.post(f"/quiz/{token}?locale={locale}", data={"answer": "a"}),
        porch.client.post(f"/feedback/{token}?locale={locale}", data={"answer": "9"}),
    ):
        assert f'<html lang="{locale}"' in page.text
        assert (
            '<legend class="lead" lang="de" dir="auto">' in page.text
            or '<h2 lang="de" dir="auto">' in page.text
        )


# -- completing


def completed(porch: Porch, enrollment: int) -> object:
    return porch.village.row(ENROLLMENT, enrollment)["completed_at"]


def test_who_has_answered_each_quiz_has_completed_the_course(porch: Porch) -> None:
    village, whose = porch.village, enrolled(porch)
    first, second = village.publish("kurs/01"), village.publish("kurs/02")
    ask(village, first, QUIZ, FEEDBACK)
    ask(village, second, QUIZ, SEVERAL)
    one, two = lesson(porch, whose, first), lesson(porch, whose, second, "kurs/02")
    porch.client.post(f"/quiz/{one}", data={"of": "q1", "answer": "a"})
    porch.client.post(f"/quiz/{two}", data={"of": "q1", "answer": "a"})
    assert completed(porch, whose[1]) is None
    answer = porch.client.post(f"/quiz/{two}", data={"of": "q2", "answer": ["a"]})
    moment = village.now
    assert completed(porch, whose[1]) == moment
    assert "alle Fragen dieses Kurses beantwortet" in answer.text
    village.clock.advance(timedelta(days=1))
    answer = porch.client.post(f"/quiz/{two}", data={"of": "q2", "answer": ["b"]})
    assert completed(porch, whose[1]) == moment
    assert "alle Fragen dieses Kurses beantwortet" not in answer.text


def test_a_course_is_completed_by_the_questions_of_ones_own_language(porch: Porch) -> None:
    village = porch.village
    ask(village, village.publish("kurs/01", "de"), QUIZ, SEVERAL)
    simple = village.publish("kurs/01", "de-simple")
    ask(village, simple, QUIZ)
    ada = enrolled(porch, locale="de-simple")
    bob = enrolled(porch, "bob@schule.example")
    for whose in (ada, bob):
        token = lesson(porch, whose, simple)
        porch.client.post(f"/quiz/{token}", data={"of": "q1", "answer": "b"})
    assert completed(porch, ada[1])
    assert completed(porch, bob[1]) is None


def test_a_quiz_that_not_everybody_is_asked_is_not_waited_for(porch: Porch) -> None:
    village, whose = porch.village, enrolled(porch)
    message = village.publish("kurs/01")
    ask(village, message, QUIZ, SEVERAL | {"conditional": True})
    token = lesson(porch, whose, message)
    porch.client.post(f"/quiz/{token}", data={"of": "q1", "answer": "b"})
    assert completed(porch, whose[1])


def test_a_quiz_that_not_everybody_is_asked_completes_nothing(porch: Porch) -> None:
    village, whose = porch.village, enrolled(porch)
    message = village.publish("kurs/01")
    ask(village, message, QUIZ | {"conditional": True})
    token = lesson(porch, whose, message)
    porch.client.post(f"/quiz/{token}", data={"of": "q1", "answer": "b"})
    assert completed(porch, whose[1]) is None


def test_feedback_alone_completes_nothing(porch: Porch) -> None:
    token = asked(porch, FEEDBACK)
    porch.client.post(f"/feedback/{token}", data={"of": "nutzen", "answer": "5"})
    (enrollment,) = porch.village.rows(ENROLLMENT)
    assert enrollment["completed_at"] is None


def test_answers_in_another_enrollment_complete_nothing(porch: Porch) -> None:
    village = porch.village
    message = village.publish("kurs/01")
    ask(village, message, QUIZ, SEVERAL)
    ada, bob = enrolled(porch), enrolled(porch, "bob@schule.example")
    for whose, data in (
        (ada, {"of": "q1", "answer": "b"}),
        (bob, {"of": "q2", "answer": ["a"]}),
    ):
        token = lesson(porch, whose, message)
        porch.client.post(f"/quiz/{token}", data=data)
    assert [completed(porch, whose[1]) for whose in (ada, bob)] == [None, None]


def test_who_begins_again_answers_again(porch: Porch) -> None:
    village = porch.village
    token = asked(porch, QUIZ)
    porch.client.post(f"/quiz/{token}", data={"of": "q1", "answer": "b"})
    (first,) = village.rows(ENROLLMENT)
    village.change(ENROLLMENT, first["id"], state="cancelled", next_due_at=None)
    fresh = {key: value for key, value in first.items() if key not in {"id", "completed_at"}}
    second = village.insert(ENROLLMENT, **fresh)
    (message,) = (row for row in village.rows(MESSAGE) if row["slug"] == "kurs/01")
    again = lesson(porch, (first["subscriber_id"], second), message["id"])
    assert "answer" not in form_of(porch.client.get(f"/quiz/{again}").text)
    assert completed(porch, second) is None
    porch.client.post(f"/quiz/{again}", data={"of": "q1", "answer": "b"})
    assert answers(porch) == [("q1", "b")] * 2
    assert completed(porch, second)


def test_a_course_with_a_lesson_to_come_is_not_completed(porch: Porch) -> None:
    whose = enrolled(porch, to_come=True)
    message = porch.village.publish()
    ask(porch.village, message, QUIZ)
    token = lesson(porch, whose, message)
    porch.client.post(f"/quiz/{token}", data={"of": "q1", "answer": "b"})
    assert not completed(porch, whose[1])
    porch.village.publish("kurs/02")
    porch.client.post(f"/quiz/{token}", data={"of": "q1", "answer": "a"})
    assert completed(porch, whose[1])


def test_a_course_that_asks_nothing_any_more_is_completed_by_nothing(porch: Porch) -> None:
    token = asked(porch, QUIZ)
    porch.village.publish(subject="Ohne Frage")
    porch.client.post(f"/quiz/{token}", data={"of": "q1", "answer": "b"})
    (enrollment,) = porch.village.rows(ENROLLMENT)
    assert answers(porch) == [("q1", "b")]
    assert enrollment["completed_at"] is None


# -- the learner's page


def test_the_learners_page_leads_to_the_next_open_question(porch: Porch) -> None:
    token = asked(porch, QUIZ, FEEDBACK)
    page = porch.client.get(f"/course/{token}").text
    assert "Fragen beantworten (0 von 2 beantwortet)" in page
    (onward,) = [link for link in Form(page).links if "of=" in link]
    assert form_of(porch.client.get(onward).text)["of"] == ["q1"]
    porch.client.post(onward, data={"answer": "a"})
    page = porch.client.get(f"/course/{token}").text
    assert "Fragen beantworten (1 von 2 beantwortet)" in page
    assert "Sie haben diesen Kurs am" in page
    (onward,) = [link for link in Form(page).links if "of=" in link]
    porch.client.post(onward, data={"answer": "5"})
    page = porch.client.get(f"/course/{token}").text
    assert "Alle Fragen beantwortet" in page
    assert "of=" not in "".join(Form(page).links)


def test_the_learners_page_has_the_papers_of_a_lesson_and_no_pictures(porch: Porch) -> None:
    token = lesson(porch, enrolled(porch), message := porch.village.publish())
    compiled = porch.village.row(MESSAGE, message)["compiled"]
    media = [["ab12", "bild.png"], ["cd34", "Übung 1.pdf"]]
    porch.village.change(MESSAGE, message, compiled=compiled | {"media": media})
    page = porch.client.get(f"/course/{token}").text
    assert ">Arbeitsblatt: Übung 1.pdf</a>" in page
    assert [link for link in Form(page).links if "media" in link] == [
        "/media/cd34/%C3%9Cbung%201.pdf"
    ]
    assert "Fragen" not in page.partition("<footer")[0]
