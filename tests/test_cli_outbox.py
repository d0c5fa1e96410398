"""`outbox show`: what an operator sees of how a mail was received."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from l3mail import events
from tests.fakes.desk import TUESDAY, Desk, at_a_desk


@pytest.fixture
def desk(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Desk]:
    with at_a_desk(tmp_path, capsys, monkeypatch) as desk:
        yield desk


def visited(desk: Desk) -> int:
    """A mail that was opened by somebody, and whose link a machine followed."""
    village = desk.village
    message = village.publish()
    (link,) = village.number_links(message, "https://a.example/\x1b[1m", name="eins")
    person = desk.learner("ada@schule.example", tracking=True)
    delivery = village.delivery(person, message_id=message, state="accepted", tracked=True)
    row: dict[str, Any] = {"delivery_id": delivery, "message_id": message, "subscriber_id": person}
    facts = [
        row | {"kind": "clicked", "at": TUESDAY, "link_id": link, "verdict": "machine"},
        row | {"kind": "opened", "at": TUESDAY - timedelta(minutes=5), "verdict": "human"},
        row | {"kind": "answered", "at": TUESDAY, "name": "q1"},
    ]
    village.do(events.append, facts)
    return delivery


def test_outbox_show_tells_openings_and_clicks_with_their_verdict(desk: Desk) -> None:
    shown = desk.run("outbox", "show", str(visited(desk))).splitlines()
    assert "       measured  the person agreed" in shown
    assert shown[-2:] == [
        "         opened  Tue 2026-11-24 09:55 (human)",
        "        clicked  Tue 2026-11-24 10:00 https://a.example/\\x1b[1m (machine)",
    ]


def test_outbox_show_tells_programs_the_same(desk: Desk) -> None:
    shown = desk.json("outbox", "show", str(visited(desk)))
    assert shown["tracked"] is True
    assert shown["visits"] == [
        {
            "kind": "opened",
            "at": "2026-11-24T08:55:00+00:00",
            "verdict": "human",
            "link": None,
            "name": None,
            "url": None,
        },
        {
            "kind": "clicked",
            "at": "2026-11-24T09:00:00+00:00",
            "verdict": "machine",
            "link": 1,
            "name": "eins",
            "url": "https://a.example/\x1b[1m",
        },
    ]
