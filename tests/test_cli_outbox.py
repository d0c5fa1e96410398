"""`outbox show` and `retry`: how a mail was received, and what is tried once more."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from l3mail import events, outbox
from l3mail.models import ACTIONS, DELIVERY
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


# -- retry


@pytest.fixture
def refused(desk: Desk) -> Desk:
    """Five people's mails, not gone for five reasons."""
    rows: list[dict[str, Any]] = [
        {"state": "failed", "reason": "sender"},
        {"state": "failed", "reason": "person"},
        {"state": "deferred"},
        {"state": "held", "reason": outbox.UNPUBLISHED},
        {"state": "held", "reason": "the learner pauses"},
        {"state": "deferred", "slug": "kurs/02"},
    ]
    for number, values in enumerate(rows):
        person = desk.learner(f"p{number}@schule.example")
        desk.village.delivery(person, **{"slug": "kurs/01"} | values)
    return desk


def states(desk: Desk) -> list[str]:
    return [row["state"] for row in desk.village.rows()]


def test_what_a_message_could_not_deliver_is_tried_again_together(refused: Desk) -> None:
    words = ("outbox", "retry", "--message", "kurs/01")
    before = states(refused)
    shown = "3 deliveries of kurs/01 (1 deferred, 1 failed, 1 held)"
    assert refused.run(*words, "--dry-run") == f"{shown}; nothing is changed.\n"
    refused.run(*words, code=1)
    assert f"retry {shown}?" in refused.error
    assert states(refused) == before
    assert refused.run(*words, "--yes") == "3 deliveries queued again.\n"
    assert states(refused) == ["queued", "failed", "queued", "queued", "held", "deferred"]
    (noted,) = refused.village.rows(ACTIONS)
    assert noted["counts"] == {"deliveries": 3}


def test_what_waits_for_its_next_attempt_is_tried_at_once_by_its_status(refused: Desk) -> None:
    words = ("outbox", "retry", "--message", "kurs/01", "--status", "deferred", "--yes")
    refused.run(*words)
    assert states(refused) == ["failed", "failed", "queued", "held", "held", "deferred"]
    assert refused.run(*words) == "0 deliveries of kurs/01; nothing is changed.\n"


def test_what_may_have_arrived_once_is_tried_again_by_its_number_only(refused: Desk) -> None:
    failed = next(row["id"] for row in refused.village.rows(DELIVERY) if row["state"] == "failed")
    refused.village.change(DELIVERY, failed, uncertain_at=refused.village.now)
    shown = refused.run("outbox", "retry", "--message", "kurs/01", "--yes")
    assert shown.startswith("Left out, for they may have arrived once: 1 delivery.\n2 deliveries")
    assert refused.village.state(failed) == "failed"
    refused.run("outbox", "retry", str(failed), "--yes")
    assert refused.village.state(failed) == "queued"


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        ((), 2, "by their numbers, or by"),
        (("1", "--message", "kurs/01"), 2, "by their numbers, or by"),
        (("--status", "accepted"), 2, "failed, deferred, held"),
        (("--status", "deferred"), 2, "by their numbers, or by"),
        (("--message", "kurs/1"), 1, "did you mean"),
    ],
)
def test_retry_wants_numbers_or_a_message(
    refused: Desk, words: tuple[str, ...], code: int, told: str
) -> None:
    before = states(refused)
    refused.run("outbox", "retry", *words, "--yes", code=code)
    assert told in " ".join(refused.error.replace("│", " ").split())
    assert states(refused) == before
