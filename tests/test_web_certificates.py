"""A certificate from a mail's link: asked for, printed, looked up; and what a stranger may see."""

import html
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from httpx import Response

from l3mail import certificates, subscribers
from l3mail.certificates import MOST_CORRECTIONS
from l3mail.models import CERTIFICATE, DELIVERY, ENROLLMENT, SUBSCRIBER
from l3mail.tokens import Purpose
from l3mail.web.certificates import LONGEST_NAME
from tests.fakes.library import ROOT
from tests.fakes.newcomer import RULES
from tests.fakes.paper import PaperRead
from tests.fakes.porch import Porch, form_of, open_porch
from tests.fakes.village import Village
from tests.test_web_answers import enrolled, lesson

STALE = "Dieser Link gilt nicht mehr"
ADA = "Ada Lovelace"


@pytest.fixture
def porch(village: Village, tmp_path: Path) -> Iterator[Porch]:
    with open_porch(village, tmp_path) as porch:
        yield porch


def link(porch: Porch, *, completed: bool = True) -> str:
    """The link of a lesson to somebody who has completed the course, or not yet."""
    whose = enrolled(porch)
    if completed:
        porch.village.change(ENROLLMENT, whose[1], completed_at=porch.village.now)
    return "/certificate/" + lesson(porch, whose, porch.village.publish())


def ask(porch: Porch, where: str, name: str = ADA) -> Response:
    answer: Response = porch.client.post(where, data={"name": name})
    return answer


def code(porch: Porch) -> str:
    (row,) = porch.village.rows(CERTIFICATE)
    return str(row["code"])


def test_looking_issues_nothing(porch: Porch) -> None:
    where = link(porch)
    before = porch.dump()
    answer = porch.client.get(where)
    assert answer.status_code == 200
    assert porch.client.head(where).status_code == 200
    assert form_of(answer.text) == {"name": [""]}
    assert porch.dump() == before


def test_the_answer_is_a_paper_that_can_be_heard(porch: Porch) -> None:
    answer = ask(porch, link(porch), "  Ada   Lovelace ")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/pdf"
    assert "teilnahmebescheinigung.pdf" in answer.headers["content-disposition"]
    assert answer.headers["cache-control"] == "no-store"
    paper = PaperRead(answer.content)
    assert paper.is_tagged
    assert paper.says_it_is_accessible
    assert paper.lang == "de"
    assert paper.title == "Teilnahmebescheinigung: Digital kommunizieren"
    told = [text for _, text in paper.parts]
    said = ("Teilnahmebescheinigung", ADA, "Digital kommunizieren")
    assert [told.index(text) for text in said] == sorted(told.index(text) for text in said)
    (row,) = porch.village.rows(CERTIFICATE)
    kept = porch.village.do(certificates.find, row["enrollment_id"])
    assert kept is not None
    assert kept.written_code in paper.text
    assert kept.name == ADA
    assert paper.pages == 1


@pytest.mark.parametrize(("tag", "lang"), [("de-simple", "de"), ("en", "en")])
def test_the_paper_speaks_the_language_of_the_page(porch: Porch, tag: str, lang: str) -> None:
    answer = ask(porch, link(porch) + f"?locale={tag}")
    assert PaperRead(answer.content).lang == lang


def test_who_has_not_completed_gets_none(porch: Porch) -> None:
    where = link(porch, completed=False)
    for answer in (porch.client.get(where), ask(porch, where)):
        assert answer.status_code == 200
        assert "sobald Sie den Kurs abgeschlossen haben" in answer.text
        assert "<form" not in answer.text
    assert porch.village.rows(CERTIFICATE) == []


def test_who_was_forwarded_the_mail_does_not_read_the_name(porch: Porch) -> None:
    where = link(porch)
    (person,) = porch.village.rows(SUBSCRIBER)
    porch.village.change(SUBSCRIBER, person["id"], first_name="Augusta", last_name="Byron")
    ask(porch, where)
    shown = porch.client.get(where).text
    for secret in (ADA, "Augusta", "Byron", "ada@schule.example", code(porch)):
        assert secret not in shown
    assert "schon eine Bescheinigung" in shown
    assert f"noch {MOST_CORRECTIONS}-mal" in shown


def test_another_name_corrects_it_and_too_many_are_refused(porch: Porch) -> None:
    where = link(porch)
    ask(porch, where)
    first = code(porch)
    for number in range(MOST_CORRECTIONS):
        assert ask(porch, where, f"Ada {number}").status_code == 200
    refused = ask(porch, where, "Wer anders")
    assert refused.status_code == 422
    assert "schon zu oft geändert" in refused.text
    assert code(porch) == first
    again = ask(porch, where, f"Ada {MOST_CORRECTIONS - 1}")
    assert again.headers["content-type"] == "application/pdf"


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("", "Bitte schreiben Sie den Namen auf"),
        ("  \u200b\u202e ", "Bitte schreiben Sie den Namen auf"),
        ("x" * 10_000, f"höchstens {LONGEST_NAME} Zeichen"),
        ("Ada 😀", "nicht drucken: 😀"),
        ("愛子", "nicht drucken: 愛 子"),
    ],
    ids=["empty", "unseen", "endless", "emoji", "no font"],
)
def test_a_name_that_cannot_stand_on_paper_comes_back_with_a_word(
    porch: Porch, name: str, problem: str
) -> None:
    answer = ask(porch, link(porch), name)
    assert answer.status_code == 422
    assert problem in html.unescape(answer.text)
    assert "<title>Fehler: " in answer.text
    assert porch.village.rows(CERTIFICATE) == []


@pytest.mark.parametrize(
    "name",
    [
        '#import "/etc/passwd"',
        "$x$ *fett* _so_ `c`",
        "<script>alert(1)</script>",
        "{{ 7 * 7 }}",
        'O\'Neill & "Söhne"',
        "محمد عبد الله",
        "x" * LONGEST_NAME,
    ],
)
def test_a_hostile_name_is_only_a_name(porch: Porch, name: str) -> None:
    paper = PaperRead(ask(porch, link(porch), name).content)
    assert paper.pages == 1
    if name.isascii():
        assert name in paper.text.replace("\u200b", "")
    shown = porch.client.get(f"/verify/{code(porch)}").text
    assert (
        f">{html.escape(name, quote=True)}<".replace("&#x27;", "&#39;").replace("&quot;", "&#34;")
        in shown
    )


def test_signs_nobody_sees_are_taken_from_a_name(porch: Porch) -> None:
    ask(porch, link(porch), "Ada\u202e \u0007Lovelace\r\n")
    (row,) = porch.village.rows(CERTIFICATE)
    assert row["name"] == ADA


def test_a_broken_template_gives_way_to_ours(
    porch: Porch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "templates/documents"
    shutil.copytree(ROOT / "templates/documents", folder)
    (folder / "certificate.typ").write_text("#let paper(sheet, body) = bodi\n", encoding="utf-8")
    answer = ask(porch, link(porch))
    assert ADA in PaperRead(answer.content).text
    assert "certificate.typ:1: unknown variable: bodi" in caplog.text
    assert ADA not in caplog.text


def test_a_template_of_the_house_is_taken(porch: Porch, tmp_path: Path) -> None:
    folder = tmp_path / "templates/documents"
    folder.mkdir(parents=True)
    (folder / "certificate.typ").write_text(
        "#let paper(sheet, body) = {\n  heading(sheet.name)\n  [Gut gemacht!]\n}\n",
        encoding="utf-8",
    )
    assert PaperRead(ask(porch, link(porch)).content).parts == [("H1", ADA), ("P", "Gut gemacht!")]


def test_whoever_has_the_code_reads_what_was_issued(porch: Porch) -> None:
    ask(porch, link(porch))
    before = porch.dump()
    answer = porch.client.get(f"/verify/{code(porch)}")
    assert answer.status_code == 200
    for told in (ADA, "Digital kommunizieren", "Diese Bescheinigung ist echt"):
        assert told in answer.text
    assert answer.headers["x-robots-tag"] == "noindex"
    assert "ada@schule.example" not in answer.text
    assert porch.client.head(f"/verify/{code(porch)}").content == b""
    assert porch.dump() == before


def test_who_has_only_the_paper_types_its_code(porch: Porch) -> None:
    ask(porch, link(porch))
    page = porch.client.get("/verify")
    assert page.status_code == 200
    assert "Auf der Bescheinigung steht ein Code." in page.text
    assert page.text.count(">Bescheinigung prüfen</") == 2  # the heading and the button
    typed = porch.client.get("/verify", params={"code": f" {code(porch).upper()} "})
    assert (typed.status_code, ADA in typed.text) == (200, True)
    assert porch.client.get("/verify", params={"code": "nichts"}).status_code == 404


def test_any_other_code_is_answered_calmly_and_alike(porch: Porch) -> None:
    ask(porch, link(porch))
    known = porch.client.get("/verify/" + "b" * 26)
    assert known.status_code == 404
    assert "Zu diesem Code gibt es keine Bescheinigung" in known.text
    for wrong in ("x", "a" * 26, "a" * 3000, "%00", "😀", "..%2fhealthz"):
        answer = porch.client.get(f"/verify/{wrong}")
        assert (answer.status_code, answer.text) == (404, known.text), wrong


def test_a_house_that_says_what_no_font_has_gets_papers_without_it(
    village: Village, tmp_path: Path
) -> None:
    shutil.copytree(ROOT / "templates", tmp_path / "templates")
    text = (tmp_path / "templates/pages.toml").read_text(encoding="utf-8")
    said = text.replace('paper_head = "', 'paper_head = "😀 ')
    (tmp_path / "templates/pages.toml").write_text(said, encoding="utf-8")
    with open_porch(village, tmp_path, '[design]\nclaim = "Wir lernen 😀"\n') as porch:
        answer = ask(porch, link(porch))
    assert answer.status_code == 200
    assert "Teilnahmebescheinigung" in PaperRead(answer.content).text


def test_erased_is_no_longer_verified(porch: Porch) -> None:
    where = link(porch)
    ask(porch, where)
    known = code(porch)
    (person,) = porch.village.rows(SUBSCRIBER)
    porch.village.do(subscribers.erase, RULES, person["id"], porch.village.now, by="test")
    assert porch.client.get(f"/verify/{known}").status_code == 404
    for answer in (porch.client.get(where), ask(porch, where)):
        assert (answer.status_code, STALE in answer.text) == (404, True)


def test_a_link_made_for_something_else_is_stale(porch: Porch) -> None:
    link(porch)
    (delivery,) = porch.village.rows(DELIVERY)
    for token in ("x", porch.token(Purpose.VIEW, delivery["id"]), porch.token(Purpose.ACT, 10**9)):
        where = f"/certificate/{token}"
        for answer in (porch.client.get(where), ask(porch, where)):
            assert STALE in answer.text


def test_the_learners_page_leads_there_once_the_course_is_completed(porch: Porch) -> None:
    where = link(porch, completed=False)
    page = where.replace("/certificate/", "/course/")
    assert where not in porch.client.get(page).text
    (journey,) = porch.village.rows(ENROLLMENT)
    porch.village.change(ENROLLMENT, journey["id"], completed_at=porch.village.now)
    assert where in porch.client.get(page).text
