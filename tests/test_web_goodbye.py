"""The pages of a house that has stopped: who wants to leave still can, and nothing else happens."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.routing import APIRoute

from l3mail.models import SUBSCRIPTION
from l3mail.tokens import Purpose
from l3mail.web.goodbye import is_still_open
from tests.fakes.porch import Porch, open_porch, title_of
from tests.fakes.village import Village

STOPPED = "Wir haben aufgehört"
STILL = {
    ("GET", "/unsubscribe/{token:path}"),
    ("POST", "/unsubscribe/{token:path}"),
    ("GET", "/view/{token:path}"),
    ("GET", "/media/{digest}/{name}"),
    ("GET", "/assets/{name}"),
    ("GET", "/healthz"),
    ("GET", "/robots.txt"),
}


@pytest.fixture
def porch(sqlite_village: Village, tmp_path: Path) -> Iterator[Porch]:
    more = '[tracking]\nmode = "consent"\n'
    with open_porch(sqlite_village, tmp_path, more, goodbye=True) as porch:
        yield porch


def routes(porch: Porch) -> list[tuple[str, str]]:
    """Every method and path that there is while a house works."""
    app: Any = porch.client.app
    while not hasattr(app, "routes"):
        app = app._app
    found: list[tuple[str, str]] = []
    waiting = list(app.routes)
    while waiting:
        route = waiting.pop()
        if isinstance(route, APIRoute):
            found += [(method, route.path) for method in sorted(route.methods or ())]
        else:
            waiting += getattr(route, "original_router", route).routes
    return found


def leaving(porch: Porch) -> str:
    village = porch.village
    person = village.person()
    village.subscribe(person, village.stream("kurs"))
    token = porch.token(Purpose.UNSUBSCRIBE, person, village.stream("kurs"), 1)
    return f"/unsubscribe/{token}"


def test_every_route_but_the_few_that_stay_says_that_we_have_stopped(porch: Porch) -> None:
    leaving(porch)
    before = porch.dump()
    there = routes(porch)
    assert set(there) >= STILL
    inert = {
        ("GET", "/view/preview"),
        ("GET", "/unsubscribe/preview"),
        ("POST", "/unsubscribe/preview"),
    }
    closed = [one for one in there if one not in STILL | inert]
    assert len(closed) > 30
    for method, path in closed:
        where = re.sub(r"\{[^}]+\}", "x", path)
        answer = porch.client.request(method, where)
        assert (answer.status_code, method, path) == (410, method, path)
        if path.startswith("/api/"):
            assert answer.json()["status"] == "goodbye"
        else:
            assert title_of(answer.text) == STOPPED
            assert "<form" not in answer.text
    assert porch.dump() == before


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS"])
def test_no_other_method_gets_through(method: str) -> None:
    assert not any(is_still_open(method, path) for path in ("/unsubscribe/x", "/view/x", "/c/x/1"))
    assert not is_still_open("POST", "/view/x")
    assert not is_still_open("GET", "/")


def test_one_click_and_the_page_still_unsubscribe(porch: Porch) -> None:
    link = leaving(porch)
    assert title_of(porch.client.get(link).text) == "Abmelden"
    answer = porch.client.post(link, data={"List-Unsubscribe": "One-Click"})
    assert (answer.status_code, title_of(answer.text)) == (200, "Sie sind abgemeldet")
    assert [row["state"] for row in porch.village.rows(SUBSCRIPTION)] == ["unsubscribed"]
    assert "/subscribe" not in answer.text


def test_a_broken_link_leads_to_no_form(porch: Porch) -> None:
    for path in ("/unsubscribe/x", "/view/x"):
        answer = porch.client.get(path)
        assert (answer.status_code, title_of(answer.text)) == (404, STOPPED)
        assert "<form" not in answer.text
        assert "bildung@stadt.example" in answer.text


def test_links_in_old_mails_lead_on_and_nobody_is_counted(porch: Porch) -> None:
    village = porch.village
    message = village.publish("kurs/01")
    village.number_links(message, "https://stadt.example/mehr")
    person = village.learner("bob@x.example", tracking=True)
    delivery = village.delivery(person, message_id=message, state="accepted", tracked=True)
    token = porch.token(Purpose.TRACK, delivery)
    before = porch.dump()
    answer = porch.client.get(f"/c/{token}/1")
    assert answer.headers["location"] == "https://stadt.example/mehr"
    assert porch.client.get(f"/o/{token}.gif").status_code == 200
    assert porch.dump() == before
    assert porch.client.get("/healthz").json() == {"status": "ok", "late": []}
