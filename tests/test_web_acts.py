"""Acts from a mail: an interest, the learner's page, the mail in the browser, its pictures."""

import hashlib
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from l3mail import courses, events
from l3mail.courses import Outline
from l3mail.models import DELIVERY, EVENT, MESSAGE, SUBSCRIBER, SUBSCRIPTION
from l3mail.tokens import Purpose
from tests.fakes.porch import BASE_URL, Form, Porch, open_porch, title_of
from tests.fakes.village import Village

STALE = "Dieser Link gilt nicht mehr"
HTML = (
    "<!doctype html><html lang='de'><head><style>p{color:red}</style></head><body>"
    "<p>{{ greeting }} {{ first_name|default('') }}</p>"
    "<a href='{{ links.unsubscribe }}'>ab</a><a href='{{ links.interest }}?of=video'>ja</a>"
    "<p>{{ course.lesson }}/{{ course.lessons }}</p></body></html>"
)


@pytest.fixture
def porch(village: Village, tmp_path: Path) -> Iterator[Porch]:
    with open_porch(village, tmp_path) as porch:
        yield porch


def taught(porch: Porch, html: str = HTML) -> int:
    """A lesson somebody was sent: the id of its delivery."""
    village = porch.village
    outline = Outline(
        slug="kurs",
        title="Digital kommunizieren",
        cadence={"weekday": "mon", "at": "10:00"},
        lessons=[("kurs/01", "lesson"), ("kurs/02", "lesson")],
    )
    village.do(courses.define, outline, village.stream("kurs"), village.now)
    person = village.learner(first_name="Ada")
    enrollment = village.do(courses.enroll, "kurs", person, village.now, porch.settings.zone)
    message = village.publish(subject="Lektion {{ course.lesson }}: Los", html=html)
    village.change(
        MESSAGE,
        message,
        compiled=village.row(MESSAGE, message)["compiled"] | {"interests": ["video"]},
    )
    return village.delivery(
        person,
        enrollment_id=enrollment,
        message_id=message,
        state="accepted",
        ended_at=village.now,
        started_at=village.now,
        first_started_at=village.now,
    )


def act(porch: Porch, delivery: int, page: str = "interest") -> str:
    return f"/{page}/" + porch.token(Purpose.ACT, delivery)


def view(porch: Porch, delivery: int) -> str:
    return "/view/" + porch.token(Purpose.VIEW, delivery)


def interests(porch: Porch) -> list[object]:
    return [row["name"] for row in porch.village.rows(EVENT) if row["kind"] == "interested"]


def test_an_interest_is_asked_for_and_stored_once_a_day(porch: Porch) -> None:
    link = act(porch, taught(porch)) + "?of=video"
    before = porch.dump()
    assert title_of(porch.client.get(link).text) == "Ihr Interesse"
    assert porch.dump() == before
    for _ in range(3):
        answer = porch.client.post(link)
        assert (answer.status_code, title_of(answer.text)) == (200, "Danke")
    assert interests(porch) == ["video"]
    porch.village.clock.advance(timedelta(days=1))
    porch.client.post(link)
    assert interests(porch) == ["video"] * 2
    (row, _) = (row for row in porch.village.rows(EVENT) if row["kind"] == "interested")
    assert row["message_id"]
    assert row["subscriber_id"]
    assert row["delivery_id"]


def test_a_day_begins_at_local_midnight(porch: Porch) -> None:
    link = act(porch, taught(porch)) + "?of=video"
    porch.village.clock.advance(timedelta(hours=13, minutes=30))  # 23:30 in Berlin
    porch.client.post(link)
    porch.village.clock.advance(timedelta(hours=1))
    porch.client.post(link)
    assert len(interests(porch)) == 2


@pytest.mark.parametrize("of", ["", "other", "Video", "<b>", "video\x00", "x" * 9999, "é"])
def test_only_an_interest_the_text_lists_is_taken(porch: Porch, of: str) -> None:
    link = act(porch, taught(porch))
    answer = porch.client.post(link, data={"of": of})
    # An invisible character is taken out, as of any name.
    assert answer.status_code == (200 if of == "video\x00" else 404)
    assert interests(porch) == (["video"] if of == "video\x00" else [])


def test_a_mail_that_was_never_sent_has_no_buttons(porch: Porch) -> None:
    person = porch.village.person()
    link = act(porch, porch.village.delivery(person)) + "?of=video"
    assert title_of(porch.client.get(link).text) == STALE
    assert title_of(porch.client.post(link).text) == STALE


def test_the_learners_page_shows_what_came_and_what_is_next(porch: Porch) -> None:
    delivery = taught(porch)
    answer = porch.client.get(act(porch, delivery, "course"))
    assert title_of(answer.text) == "Digital kommunizieren"
    assert "1 von 2 Lektionen erhalten" in answer.text
    assert "Los" in answer.text
    assert "23.11.2026" in answer.text
    assert "Ada" not in answer.text
    links = Form(answer.text).links
    (manage,) = [link for link in links if "/preferences/" in link]
    (read,) = [link for link in links if "/view/" in link]
    assert porch.client.get(manage).status_code == 200
    assert porch.client.get(read).status_code == 200


def test_who_has_no_course_gets_the_way_on(porch: Porch) -> None:
    delivery = porch.village.delivery(porch.village.person())
    assert title_of(porch.client.get(act(porch, delivery, "course")).text) == STALE


def test_a_view_is_the_text_as_sent_to_nobody_in_particular(porch: Porch) -> None:
    delivery = taught(porch)
    answer = porch.client.get(view(porch, delivery))
    assert answer.status_code == 200
    assert "Guten Tag" in answer.text
    assert "Ada" not in answer.text
    assert "1/2" in answer.text
    policy = answer.headers["content-security-policy"]
    assert "style-src 'self' 'unsafe-inline'" in policy
    assert "sandbox" in policy
    assert "script-src" not in policy


def test_a_view_tells_the_days_of_all_and_nobody_s_own(porch: Porch) -> None:
    delivery = taught(porch)
    row = porch.village.row(DELIVERY, delivery)
    message = porch.village.row(MESSAGE, row["message_id"])
    text = "{{ course.done }} eigene, {{ course.together }} gemeinsam, {{ links.together }}"
    compiled = message["compiled"] | {"html": text, "counted": ["done", "together"]}
    porch.village.change(MESSAGE, message["id"], compiled=compiled)
    fact = {name: row[name] for name in ("subscriber_id", "enrollment_id")}
    porch.village.do(events.mark, fact | {"at": porch.village.now}, porch.village.now.date())
    page = porch.client.get(view(porch, delivery)).text
    assert page == f"0 eigene, 1 gemeinsam, {BASE_URL}/together/kurs"


def test_a_view_shared_with_a_colleague_does_nothing(porch: Porch) -> None:
    answer = porch.client.get(view(porch, taught(porch)))
    before = porch.dump()
    links = Form(answer.text).links
    assert len(links) == 2
    for link in links:
        for reply in (porch.client.get(link), porch.client.post(link)):
            assert reply.status_code == 200
            assert title_of(reply.text) == "Dieser Link gehört in eine E-Mail"
    assert porch.dump() == before
    assert porch.village.rows(SUBSCRIPTION)[0]["state"] == "confirmed"


def test_a_view_stays_what_was_sent_when_the_text_changes(porch: Porch) -> None:
    delivery = taught(porch)
    porch.village.publish(html="<p>neu</p>")
    assert "neu" not in porch.client.get(view(porch, delivery)).text


def test_a_mail_without_html_is_shown_as_text_and_escaped(porch: Porch) -> None:
    delivery = taught(porch, html="")
    message = porch.village.row(DELIVERY, delivery)["message_id"]
    compiled = porch.village.row(MESSAGE, message)["compiled"]
    compiled |= {"text": "<script>alert(1)</script>"}
    porch.village.change(MESSAGE, message, compiled=compiled)
    answer = porch.client.get(view(porch, delivery))
    assert "&lt;script&gt;alert(1)" in answer.text
    assert "<script>" not in answer.text


def test_a_text_that_fails_is_no_fault_of_the_visitor(porch: Porch) -> None:
    delivery = taught(porch, html="{{ nothing.of.this }}")
    assert porch.client.get(view(porch, delivery)).status_code == 404


def test_requests_and_reports_cannot_be_viewed(porch: Porch) -> None:
    person = porch.village.person()
    request = porch.village.request(person, porch.village.signup(person))
    for delivery in (request, porch.village.report(), 10**12):
        assert title_of(porch.client.get(view(porch, delivery)).text) == STALE


def test_a_hostile_name_never_becomes_markup(porch: Porch) -> None:
    delivery = taught(porch)
    person = porch.village.row(DELIVERY, delivery)["subscriber_id"]
    porch.village.change(SUBSCRIBER, person, salutation="<script>alert(1)</script>")
    for link in (view(porch, delivery), act(porch, delivery, "course")):
        assert "alert(1)" not in porch.client.get(link).text


# Pictures and papers


PICTURE = b"\x89PNG\r\n\x1a\n picture"
DIGEST = hashlib.blake2b(PICTURE, digest_size=8).hexdigest()


@pytest.fixture
def media(sqlite_village: Village, tmp_path: Path) -> Iterator[Porch]:
    (tmp_path / "media").mkdir()
    (tmp_path / "media" / "bild.png").write_bytes(PICTURE)
    (tmp_path / "media" / "Übung.docx").write_bytes(PICTURE)
    (tmp_path / "media" / "secret").symlink_to("/etc/passwd")
    kept = tmp_path / "state" / "media" / DIGEST
    kept.mkdir(parents=True)
    (kept / "alt.png").write_bytes(PICTURE)
    (tmp_path / "state" / "pepper").write_text("secret")
    with open_porch(sqlite_village, tmp_path) as porch:
        yield porch


@pytest.mark.parametrize("name", ["bild.png", "alt.png"])
def test_a_picture_is_served_under_its_hash_for_ever(media: Porch, name: str) -> None:
    answer = media.client.get(f"/media/{DIGEST}/{name}")
    assert (answer.status_code, answer.content) == (200, PICTURE)
    assert answer.headers["content-type"] == "image/png"
    assert "immutable" in answer.headers["cache-control"]
    assert "sandbox" in answer.headers["content-security-policy"]


def test_what_a_browser_might_run_is_a_download(media: Porch) -> None:
    answer = media.client.get(f"/media/{DIGEST}/Übung.docx")
    assert answer.status_code == 200
    assert answer.headers["content-disposition"].startswith("attachment")
    assert answer.headers["content-type"] == "application/octet-stream"


@pytest.mark.parametrize(
    "path",
    [
        f"/media/{'0' * 16}/bild.png",
        f"/media/{DIGEST}/nichts.png",
        f"/media/{DIGEST}/secret",
        f"/media/{DIGEST}/..%2f..%2fpepper",
        f"/media/{DIGEST}/%2e%2e%2f%2e%2e%2fpepper",
        f"/media/..%2f..%2fstate/{DIGEST}",
        f"/media/{DIGEST}/..",
        f"/media/{DIGEST}/.",
        f"/media/{DIGEST}/%00",
        f"/media/{DIGEST}/" + "x" * 3000,
        f"/media/{DIGEST}/..%5c..%5cpepper",
        f"/media/{DIGEST}//etc/passwd",
        "/media/../state/pepper",
        f"/media/{DIGEST.upper()}/bild.png",
        "/assets/..%2fapp.py",
        "/assets/%2e%2e/app.py",
    ],
)
def test_nothing_else_is_served(media: Porch, path: str) -> None:
    answer = media.client.get(path)
    assert answer.status_code == 404
    assert b"secret" not in answer.content
    assert b"root:" not in answer.content
