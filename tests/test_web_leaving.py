"""Leaving by one click (RFC 8058) or by a page: whatever is sent, however often, for ever."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from l3mail import subscribers
from l3mail.models import SUBSCRIBER, SUBSCRIPTION
from l3mail.subscribers import Rules
from l3mail.tokens import Purpose, Tokens
from tests.fakes.midst import FORM, knocking
from tests.fakes.porch import KEY, Form, Porch, open_porch, title_of
from tests.fakes.village import PEPPER, Village

LEFT = "Sie sind abgemeldet"
ONE_CLICK = {"List-Unsubscribe": "One-Click"}
FORM_DATA = b'--x\r\nContent-Disposition: form-data; name="List-Unsubscribe"\r\n\r\nOne-Click\r\n'


@pytest.fixture
def porch(village: Village, tmp_path: Path) -> Iterator[Porch]:
    with open_porch(village, tmp_path) as porch:
        yield porch


def member(porch: Porch) -> tuple[int, str]:
    """Somebody in course and newsletter, and their link to leave the course."""
    village = porch.village
    person = village.person()
    village.subscribe(person, village.stream("kurs"))
    village.subscribe(person, village.stream("newsletter"))
    token = porch.token(Purpose.UNSUBSCRIBE, person, village.stream("kurs"), 1)
    return person, f"/unsubscribe/{token}"


def states(porch: Porch) -> dict[str, str]:
    slugs = {porch.village.stream(slug): slug for slug in ("kurs", "newsletter")}
    return {slugs[row["stream_id"]]: row["state"] for row in porch.village.rows(SUBSCRIPTION)}


@pytest.mark.parametrize(
    "request_values",
    [
        pytest.param({"data": ONE_CLICK}, id="urlencoded"),
        pytest.param(
            {
                "content": FORM_DATA + b"--x--\r\n",
                "headers": {"Content-Type": "multipart/form-data; boundary=x"},
            },
            id="form-data",
        ),
        pytest.param({"content": b""}, id="empty body"),
        pytest.param({"content": b"List-Unsubscribe=One-Click"}, id="no content type"),
        pytest.param(
            {"data": ONE_CLICK, "headers": {"User-Agent": "", "Accept": ""}}, id="no headers"
        ),
        pytest.param(
            {"content": FORM_DATA, "headers": {"Content-Type": "multipart/form-data; boundary=x"}},
            id="form-data cut short",
        ),
        pytest.param(
            {"content": b"x", "headers": {"Content-Type": "multipart/form-data"}},
            id="form-data without a boundary",
        ),
        pytest.param(
            {
                "content": b"a=%ff&\x00=\xff",
                "headers": {"Content-Type": "application/x-www-form-urlencoded; charset=x"},
            },
            id="rubbish",
        ),
        pytest.param({"json": ONE_CLICK}, id="json"),
        pytest.param(
            {"data": ONE_CLICK, "headers": {"Cookie": "a=b", "Origin": "https://mail.example"}},
            id="from another site",
        ),
    ],
)
def test_one_click_leaves_that_stream(porch: Porch, request_values: dict[str, Any]) -> None:
    _, link = member(porch)
    answer = porch.client.post(link, **request_values)
    assert answer.status_code == 200
    assert "set-cookie" not in answer.headers
    assert states(porch) == {"kurs": "unsubscribed", "newsletter": "confirmed"}


@pytest.mark.slow
def test_a_thousand_clicks_leave_once(sqlite_village: Village, tmp_path: Path) -> None:
    with open_porch(sqlite_village, tmp_path) as porch, knocking(porch) as knock:
        _, link = member(porch)
        porch.client.post(link, data=ONE_CLICK)
        before = porch.dump()
        body = urlencode(ONE_CLICK).encode()
        assert {knock("POST", link, body, FORM).status for _ in range(999)} == {200}
        assert porch.dump() == before


def test_opening_the_link_changes_nothing(porch: Porch) -> None:
    _, link = member(porch)
    before = porch.dump()
    answer = porch.client.get(link)
    assert title_of(answer.text) == "Abmelden"
    assert [value for _, _, value in Form(answer.text).buttons] == ["stream", "everything"]
    assert porch.dump() == before


def test_one_button_leaves_everything(porch: Porch) -> None:
    _, link = member(porch)
    answer = porch.client.post(link, data={"choice": "everything"})
    assert title_of(answer.text) == LEFT
    assert "keine E-Mails mehr von uns" in answer.text
    assert set(states(porch).values()) == {"unsubscribed"}


def test_what_leaving_everything_means_stands_behind_its_own_button(porch: Porch) -> None:
    _, link = member(porch)
    page = porch.client.get(link).text
    one, everything = page.index('value="stream"'), page.index('value="everything"')
    assert one < everything < page.index("Dann bekommen Sie gar keine E-Mails mehr")


def test_after_one_stream_everything_is_still_offered(porch: Porch) -> None:
    _, link = member(porch)
    answer = porch.client.post(link, data={"choice": "stream"})
    assert "„Digital kommunizieren“" in answer.text
    assert [value for _, _, value in Form(answer.text).buttons] == ["everything"]
    means = answer.text.index("Dann bekommen Sie gar keine E-Mails mehr")
    assert answer.text.index('value="everything"') < means
    assert title_of(porch.client.get(link).text) == LEFT


def test_the_link_never_expires_and_outlives_a_retired_key(porch: Porch) -> None:
    person, _ = member(porch)
    stream = porch.village.stream("kurs")
    old = Tokens(["a key that was in use before, long enough"])
    link = "/unsubscribe/" + old.make(Purpose.UNSUBSCRIBE, person, stream, 1)
    assert porch.client.post(link).status_code == 404
    believing = Tokens([KEY], ["a key that was in use before, long enough"])
    token = believing.read(Purpose.UNSUBSCRIBE, link.rpartition("/")[2], porch.village.now)
    assert token.numbers == (person, stream, 1)
    porch.village.clock.advance(timedelta(days=4000))
    fresh = porch.token(Purpose.UNSUBSCRIBE, person, stream, 1)
    assert porch.client.post(f"/unsubscribe/{fresh}").status_code == 200
    assert states(porch)["kurs"] == "unsubscribed"


def test_a_link_of_an_earlier_membership_still_leaves(porch: Porch) -> None:
    person, _ = member(porch)
    stream = porch.village.stream("kurs")
    row = next(r for r in porch.village.rows(SUBSCRIPTION) if r["stream_id"] == stream)
    porch.village.change(SUBSCRIPTION, row["id"], generation=7)
    token = porch.token(Purpose.UNSUBSCRIBE, person, stream, 1)
    porch.client.post(f"/unsubscribe/{token}")
    assert states(porch)["kurs"] == "unsubscribed"


def test_whose_person_is_gone_gets_no_mail_from_us(porch: Porch) -> None:
    person, link = member(porch)
    rules = Rules(PEPPER, porch.settings.zone, "de")
    porch.village.do(subscribers.erase, rules, person, porch.village.now, by="test")
    nobody = "/unsubscribe/" + porch.token(Purpose.UNSUBSCRIBE, 10**9, 1, 1)
    for path in (link, nobody):
        for answer in (porch.client.get(path), porch.client.post(path, data=ONE_CLICK)):
            assert answer.status_code == 200
            assert "Diese Adresse bekommt keine E-Mails von uns" in answer.text


def test_a_hostile_name_shows_nowhere(porch: Porch) -> None:
    person, link = member(porch)
    porch.village.change(SUBSCRIBER, person, first_name="<script>alert(1)</script>")
    for answer in (porch.client.get(link), porch.client.post(link)):
        assert "alert(1)" not in answer.text


def test_pages_speak_the_persons_language(porch: Porch) -> None:
    person, link = member(porch)
    porch.village.change(SUBSCRIBER, person, locale="en")
    assert title_of(porch.client.get(link).text) == "Unsubscribe"
    assert title_of(porch.client.get(link + "?locale=de").text) == "Abmelden"
