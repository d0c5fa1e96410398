"""The pixel and the measured links, as mail programs, people and scanners ask for them."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from httpx import Response

from l3mail.database import Verb
from l3mail.errors import DatabaseUnavailableError
from l3mail.models import CONSENT, COUNTER, DELIVERY, EVENT, SUBSCRIBER
from l3mail.tokens import Purpose
from l3mail.web import tracks
from l3mail.web.tracks import GIF
from tests.fakes.porch import Porch, form_of, open_porch, title_of
from tests.fakes.village import Village

STALE = "Dieser Link gilt nicht mehr"
CONSENT_MODE = '[tracking]\nmode = "consent"\n'
URLS = (
    "https://medien.example.org/?a=1&b=2#c",
    "https://b.example/straße?q=ä b",
    "http://c.example",
)
BROWSER = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"}


class Letterbox:
    """A porch, and one mail with three links that its person agreed to be measured by."""

    def __init__(self, porch: Porch, *, tracking: bool = True) -> None:
        self.porch = porch
        self.village = porch.village
        self.person = self.village.learner(tracking=tracking)
        self.message = self.village.publish()
        self.links = self.village.number_links(self.message, *URLS)
        self.delivery = self.village.delivery(
            self.person, message_id=self.message, state="accepted", tracked=tracking
        )
        self.mine = porch.token(Purpose.TRACK, self.delivery)
        self.everybodys = porch.token(Purpose.TRACK, 0, self.message)

    def ask(self, path: str, method: str = "GET", **headers: str) -> Response:
        answer: Response = self.porch.client.request(method, path, headers=BROWSER | headers)
        return answer

    def facts(self) -> list[tuple[str, int | None, str]]:
        self.porch.book.flush()
        rows = sorted(self.village.rows(EVENT), key=lambda row: int(row["id"]))
        return [(row["kind"], row["link_id"], row["verdict"]) for row in rows]

    def counts(self) -> dict[int, int]:
        self.porch.book.flush()
        return {row["link_id"]: row["n"] for row in self.village.rows(COUNTER)}


@pytest.fixture
def box(village: Village, tmp_path: Path) -> Iterator[Letterbox]:
    with open_porch(village, tmp_path, CONSENT_MODE) as porch:
        yield Letterbox(porch)


@pytest.fixture
def light_box(sqlite_village: Village, tmp_path: Path) -> Iterator[Letterbox]:
    """For what does not depend on the database."""
    with open_porch(sqlite_village, tmp_path, CONSENT_MODE) as porch:
        yield Letterbox(porch)


def test_a_click_leads_to_the_stored_address_and_is_a_fact(box: Letterbox) -> None:
    answer = box.ask(f"/c/{box.mine}/1")
    assert (answer.status_code, answer.content) == (302, b"")
    assert answer.headers["location"] == URLS[0]
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert "set-cookie" not in answer.headers
    assert box.facts() == [("clicked", box.links[0], "raw")]
    assert box.counts() == {}


def test_an_address_with_letters_of_the_world_goes_out_as_ascii(light_box: Letterbox) -> None:
    location = light_box.ask(f"/c/{light_box.mine}/2").headers["location"]
    assert location == "https://b.example/stra%C3%9Fe?q=%C3%A4%20b"


def test_the_pixel_is_a_small_picture_and_an_opening(box: Letterbox) -> None:
    answer = box.ask(f"/o/{box.mine}.gif")
    assert (answer.status_code, answer.content, len(GIF)) == (200, GIF, 43)
    assert answer.headers["content-type"] == "image/gif"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["cross-origin-resource-policy"] == "cross-origin"
    assert box.facts() == [("opened", None, "raw")]


def test_what_everybody_has_is_counted(box: Letterbox) -> None:
    for _ in range(2):
        assert box.ask(f"/c/{box.everybodys}/3").headers["location"] == URLS[2]
    assert box.ask(f"/o/{box.everybodys}.gif").content == GIF
    assert box.facts() == []
    assert box.counts() == {0: 1, box.links[2]: 2}


@pytest.mark.parametrize("change", [{"tracking": False}, {"erased_at": 1}], ids=["off", "erased"])
def test_a_link_still_leads_on_for_who_withdrew_or_was_erased(
    box: Letterbox, change: dict[str, Any]
) -> None:
    values = {name: value and box.village.now for name, value in change.items()}
    box.village.change(SUBSCRIBER, box.person, **values)
    assert box.ask(f"/c/{box.mine}/1").headers["location"] == URLS[0]
    assert box.ask(f"/o/{box.mine}.gif").content == GIF
    assert box.facts() == []
    assert box.counts() == {0: 1, box.links[0]: 1}


@pytest.mark.parametrize("mode", ["off", "aggregate"])
def test_a_personal_link_of_before_is_a_fact_no_more_when_the_mode_was_changed(
    sqlite_village: Village, tmp_path: Path, mode: str
) -> None:
    with open_porch(sqlite_village, tmp_path, f'[tracking]\nmode = "{mode}"\n') as porch:
        box = Letterbox(porch)
        assert box.ask(f"/c/{box.mine}/1").headers["location"] == URLS[0]
        assert box.facts() == []
        assert box.counts() == ({} if mode == "off" else {box.links[0]: 1})


# What a request says of its visitor

SAID: dict[str, tuple[str, dict[str, str], str, str]] = {
    "a person": ("GET", {}, "raw", "raw"),
    "HEAD": ("HEAD", {}, "machine", "machine"),
    "a prefetch": ("GET", {"Sec-Purpose": "prefetch"}, "machine", "machine"),
    "a prerender": ("GET", {"Sec-Purpose": "prefetch;prerender"}, "machine", "machine"),
    "an older prefetch": ("GET", {"Purpose": "prefetch"}, "machine", "machine"),
    "Firefox's prefetch": ("GET", {"X-Moz": "prefetch"}, "machine", "machine"),
    "a preview": ("GET", {"X-Purpose": "preview"}, "machine", "machine"),
    "Apple's proxy": ("GET", {"User-Agent": "Mozilla/5.0"}, "unsure", "raw"),
    "no name": ("GET", {"User-Agent": ""}, "raw", "raw"),
}


@pytest.mark.parametrize("said", SAID.values(), ids=SAID)
def test_a_request_may_say_what_it_is(
    light_box: Letterbox, said: tuple[str, dict[str, str], str, str]
) -> None:
    method, headers, opening, click = said
    for token in (light_box.mine, light_box.everybodys):
        assert light_box.ask(f"/o/{token}.gif", method, **headers).status_code == 200
        assert light_box.ask(f"/c/{token}/1", method, **headers).status_code == 302
    link = light_box.links[0]
    assert light_box.facts() == [("opened", None, opening), ("clicked", link, click)]
    assert light_box.counts() == ({} if click == "machine" else {0: 1, link: 1})


def test_nothing_of_the_visitor_is_kept(
    light_box: Letterbox, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", "l3mail")
    canary = {"User-Agent": "Canary/7", "X-Forwarded-For": "192.0.2.77", "Referer": "http://canary"}
    for path in (f"/c/{light_box.mine}/1?canary=1", f"/o/{light_box.mine}.gif", "/c/canary/1"):
        light_box.ask(path, **canary)
    kept = repr(light_box.porch.dump()) + caplog.text
    assert len(light_box.facts()) == 2
    assert "anary" not in kept
    assert "192.0.2" not in kept


@pytest.mark.parametrize("method", ["OPTIONS", "POST", "PUT", "DELETE", "TRACE"])
def test_other_methods_are_refused_and_count_nothing(light_box: Letterbox, method: str) -> None:
    for path in (f"/c/{light_box.mine}/1", f"/o/{light_box.mine}.gif", "/c/", "/o/x"):
        answer = light_box.ask(path, method)
        assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")
    assert (light_box.facts(), light_box.counts()) == ([], {})


# What is no link of ours


def test_a_token_for_something_else_opens_no_link(light_box: Letterbox) -> None:
    before = light_box.porch.dump()
    numbers = ((), (light_box.delivery,), (0, light_box.message), (1, light_box.message), (0, 1, 1))
    for purpose in Purpose:
        for of in numbers:
            if purpose is Purpose.TRACK and of in numbers[1:3]:
                continue
            token = light_box.porch.token(purpose, *of)
            assert light_box.ask(f"/c/{token}/1").status_code == 404, (purpose, of)
            assert light_box.ask(f"/o/{token}.gif").content == GIF
    assert light_box.porch.dump() == before


def test_a_link_of_a_preview_says_what_it_is_and_counts_nothing(light_box: Letterbox) -> None:
    before = light_box.porch.dump()
    for whom in ("everybody", "person"):
        answer = light_box.ask(f"/c/preview-{whom}/1")
        assert (answer.status_code, "location" in answer.headers) == (200, False)
        assert answer.text == light_box.ask("/preview").text
        assert light_box.ask(f"/o/preview-{whom}.gif").content == GIF
    assert light_box.porch.dump() == before


@pytest.mark.parametrize("number", [-1, 0, 10**6, 2**63 - 1])
def test_numbers_nobody_has_are_no_fault(box: Letterbox, number: int) -> None:
    before = box.porch.dump()
    for token in (box.porch.token(Purpose.TRACK, *of) for of in ((number,), (0, number))):
        assert box.ask(f"/c/{token}/1").status_code == 404
        assert box.ask(f"/o/{token}.gif").status_code == 200
    assert box.porch.dump() == before


EVIL = "https://evil.example"
TAILS = [
    "", "/", "/0", "/4", "/01", "/-1", "/+1", "/1.0", "/1e0", "/१", "/1/", "//1", "/1/1", "/٣",
    f"/{EVIL}", f"//{EVIL}", "/1%2f" + EVIL, "/1%00", "/1%0d%0aLocation:%20" + EVIL,
    "/1\\" + EVIL, "/%31%20", "/999999999999999999999", "/..%2f..%2f1", "/1;" + EVIL,
    "/1@evil.example",
]  # fmt: skip
QUERIES = [
    f"?url={EVIL}",
    f"?to={EVIL}&next=//evil.example",
    f"?{EVIL}",
    "?n=2",
    "?location=" + EVIL,
]


def test_nothing_in_an_address_changes_where_a_link_leads(light_box: Letterbox) -> None:
    for token in (light_box.mine, light_box.everybodys):
        for tail in TAILS:
            answer = light_box.ask(f"/c/{token}{tail}")
            assert answer.status_code == 404, tail
            assert "location" not in answer.headers
        for query in QUERIES:
            answer = light_box.ask(f"/c/{token}/1{query}", Host="evil.example", Forwarded="host=x")
            assert answer.headers["location"] == URLS[0]
    for path in (f"/c/{EVIL}", f"/c/{EVIL}/1", "/c//1", f"/c/?url={EVIL}", "/c/%2e%2e/1"):
        answer = light_box.ask(path)
        assert (answer.status_code, "location" in answer.headers) == (404, False), path


def test_a_link_belongs_to_its_own_version(light_box: Letterbox) -> None:
    """The number is that of the text the mail was sent in, not of a later one."""
    village = light_box.village
    newer = village.publish(subject="neu")
    village.number_links(newer, "https://neu.example")
    assert light_box.ask(f"/c/{light_box.mine}/1").headers["location"] == URLS[0]
    token = light_box.porch.token(Purpose.TRACK, 0, newer)
    assert light_box.ask(f"/c/{token}/1").headers["location"] == "https://neu.example"
    assert light_box.ask(f"/c/{token}/2").status_code == 404


def test_a_mail_that_was_never_written_has_no_links(light_box: Letterbox) -> None:
    light_box.village.change(DELIVERY, light_box.delivery, message_id=None)
    assert light_box.ask(f"/c/{light_box.mine}/1").status_code == 404
    assert light_box.ask(f"/o/{light_box.mine}.gif").content == GIF
    assert light_box.facts() == []


# The database is busy or away


def away(self: object, verb: Verb[Any]) -> Any:
    raise DatabaseUnavailableError("locked")


async def unread(self: object, verb: Verb[Any]) -> Any:
    raise DatabaseUnavailableError("locked")


def test_a_link_leads_on_when_nothing_can_be_written_and_is_counted_when_it_can(
    light_box: Letterbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(type(light_box.village.database), "write", away)
        for token in (light_box.mine, light_box.everybodys):
            assert light_box.ask(f"/c/{token}/1").headers["location"] == URLS[0]
            assert light_box.ask(f"/o/{token}.gif").content == GIF
        assert not light_box.porch.book.flush()
    assert len(light_box.facts()) == 2
    assert light_box.counts() == {0: 1, light_box.links[0]: 1}


def test_who_comes_again_is_led_on_though_nothing_can_be_read(
    light_box: Letterbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = f"/c/{light_box.mine}/1"
    light_box.ask(path)
    monkeypatch.setattr(type(light_box.village.database), "reads", unread)
    assert light_box.ask(path).headers["location"] == URLS[0]
    assert light_box.ask(f"/c/{light_box.mine}/2").status_code == 503


def test_a_visit_is_of_the_moment_it_came_and_of_what_its_person_wants_when_it_is_written(
    box: Letterbox,
) -> None:
    came = box.village.now
    box.ask(f"/c/{box.mine}/1")
    box.village.clock.advance(timedelta(seconds=30))
    assert len(box.facts()) == 1
    assert box.village.rows(EVENT)[0]["at"] == came
    # At hand or not, what a path leads to never says whether its person may be measured.
    box.ask(f"/c/{box.mine}/1")
    box.village.change(SUBSCRIBER, box.person, tracking=False)
    assert len(box.facts()) == 1
    assert box.counts() == {box.links[0]: 1}


def test_what_is_kept_at_hand_of_paths_makes_room(
    light_box: Letterbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracks, "MOST_KNOWN", 2)
    paths = [f"/c/{token}/{n}" for token in (light_box.mine, light_box.everybodys) for n in (1, 2)]
    for _ in range(2):
        assert [light_box.ask(path).status_code for path in paths] == [302] * 4
    monkeypatch.setattr(type(light_box.village.database), "reads", unread)
    assert [light_box.ask(path).status_code for path in paths] == [503, 503, 302, 302]


def test_a_link_asks_to_wait_when_nothing_can_be_read(
    light_box: Letterbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(light_box.village.database), "reads", unread)
    answer = light_box.ask(f"/c/{light_box.mine}/1")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "30")
    assert title_of(answer.text) == "Einen Augenblick bitte"
    assert light_box.ask(f"/o/{light_box.mine}.gif").content == GIF


def test_links_keep_the_path_of_the_base_url(sqlite_village: Village, tmp_path: Path) -> None:
    base = "http://stadt.example/bildung"
    with open_porch(sqlite_village, tmp_path, CONSENT_MODE, base_url=base) as porch:
        box = Letterbox(porch)
        for prefix in ("", "/bildung"):
            assert box.ask(f"{prefix}/c/{box.mine}/1").headers["location"] == URLS[0]
            assert box.ask(f"{prefix}/o/{box.mine}.gif").content == GIF
    assert len(box.facts()) == 4


def test_who_turns_tracking_off_on_the_page_is_measured_by_no_mail_of_before(
    box: Letterbox,
) -> None:
    box.ask(f"/c/{box.mine}/1")
    assert len(box.facts()) == 1
    page = f"/preferences/{box.porch.token(Purpose.PREFERENCES, box.delivery)}"
    forms = box.porch.client.get(page).text
    number = next(n for n in range(9) if form_of(forms, n).get("action") == ["other"])
    form = form_of(forms, number)
    assert form.pop("tracking") == ["yes"]
    assert "gespeichert" in box.porch.client.post(page, data=form).text
    box.ask(f"/c/{box.mine}/1")
    box.ask(f"/o/{box.mine}.gif")
    assert box.facts() == [("clicked", box.links[0], "raw")]
    assert box.counts() == {0: 1, box.links[0]: 1}
    assert [row["act"] for row in box.village.rows(CONSENT)] == ["tracking_withdrawn"]
