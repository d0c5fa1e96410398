"""Mails that poison a queue: each of them fails alone and says why, and all the others go."""

from pathlib import Path
from typing import Any

import pytest

from l3mail.models import DELIVERY, SUBSCRIBER, SUPPRESSION
from l3mail.outbox import Outcome
from l3mail.sending.sender import Compose
from l3mail.settings import load_settings, make_state
from l3mail.wiring import composer
from tests.fakes.post import send
from tests.fakes.relay import Fault, Relay
from tests.fakes.village import Village

SETTINGS = """
[sender]
from = "Bildung <kurs@stadt.example>"
[impressum]
privacy_url = "https://stadt.example/datenschutz"
[web]
base_url = "https://kurse.stadt.example"
"""
LESSON = """{{ greeting }},
{% if attrs.kinder != '' %}je Kind {{ 12 / attrs.kinder }} Hefte{% endif %}
{% if attrs.schritte != '' %}
{% for a in range(attrs.schritte) %}{% for b in range(1000) %}{{ a }}{% endfor %}{% endfor %}
{% endif %}
"""
"""A text that was published before anybody had a value it can't bear."""

# What stands in the row, what becomes of it, and what is written down of that.
POISON: dict[str, tuple[dict[str, Any], tuple[str | None, str | None, str]]] = {
    "nought@schule.example": (
        {"attributes": {"kinder": 0}},
        ("content", "rendering", "ZeroDivisionError"),
    ),
    "word@schule.example": (
        {"attributes": {"kinder": "drei"}},
        ("content", "rendering", "TypeError"),
    ),
    "endless@schule.example": (
        {"attributes": {"schritte": 1000}},
        ("content", "rendering", "more than 1,000,000 steps"),
    ),
    "header@schule.example": (
        {"first_name": "=?utf-8?q?x=0D=0ABcc:_evil=40x.de?="},
        ("content", "rendering", "the subject could not be rendered"),
    ),
    "smuggled@schule.example": (
        {"address": "smuggled@schule.example>\r\nRCPT TO:<evil@x.example"},
        ("content", "rendering", "cannot stand in a mail header"),
    ),
    "gone@schule.example": ({}, ("person", "rcpt", "no such mailbox")),
    "full@schule.example": ({}, ("soft", "dot", "mailbox full")),
}
REFUSALS = {
    "gone@schule.example": Fault(None, "rcpt", "reply", b"550 5.1.1 no such mailbox"),
    "full@schule.example": Fault(None, "dot", "reply", b"552 5.2.2 mailbox full"),
}


@pytest.fixture
def compose(village: Village, tmp_path: Path) -> Compose:
    """What writes the mails of a real workspace."""
    (tmp_path / "l3mail.toml").write_text(SETTINGS, encoding="utf-8")
    settings = load_settings(tmp_path, {})
    make_state(settings.state_dir)
    return composer(settings, village.database)


def queue(village: Village, people: int) -> None:
    """A lesson for everybody, poison spread evenly among them."""
    village.publish(subject="Lektion 1 für {{ first_name|default('Sie') }}", text=LESSON)
    rows: list[dict[str, Any]] = [{"first_name": "Ada", "attributes": {}} for _ in range(people)]
    for n, (address, (values, _)) in enumerate(POISON.items()):
        rows[(2 * n + 1) * people // (2 * len(POISON))] |= {"address": address} | values
    stream = village.stream()
    shared = {"purpose": "stream", "kind": "lesson", "occurrence": "lesson:1:kurs/01", "lane": 1}
    shared |= {"stream_id": stream, "slug": "kurs/01", "state": "queued"}
    shared |= {"due_at": village.now, "planned_at": village.now}
    village.insert_all(
        DELIVERY,
        [shared | {"subscriber_id": person} for person in village.crowd([stream], rows)],
    )


@pytest.mark.slow
@pytest.mark.parametrize("pipelining", [False, True], ids=["lockstep", "pipelining"])
def test_what_poisons_a_row_fails_that_row_with_its_reason_and_ten_thousand_others_go(
    village: Village, compose: Compose, *, pipelining: bool
) -> None:
    # Once at its real size; how an envelope leaves and who keeps the rows is tried with fewer.
    people = 10_000 if village.database.is_sqlite and pipelining else 500
    queue(village, people)

    def refusal(_session: int, _message: int, rcpt: str) -> Fault | None:
        return REFUSALS.get(rcpt)

    with Relay(pipelining=pipelining, one_rcpt=True, fault_for=refusal) as relay:
        tally = send(village, relay, compose=compose)
        went = sorted(taken.rcpt_to for taken in relay.accepted)
        assert not relay.violations

    addresses = {row["id"]: row["address"] for row in village.rows(SUBSCRIBER)}
    rows = {addresses[row["subscriber_id"]]: row for row in village.rows()}
    failed = {address: row for address, row in rows.items() if row["state"] != "accepted"}
    expected = {values.get("address", name): end for name, (values, end) in POISON.items()}
    assert {row["state"] for row in failed.values()} == {"failed"}
    assert {address: (row["reason"], row["reply_stage"]) for address, row in failed.items()} == {
        address: end[:2] for address, end in expected.items()
    }
    for address, (_, _, words) in expected.items():
        assert words in failed[address]["reply_text"]
    assert went == sorted((address,) for address in rows if address not in expected)
    # Who is refused when announced is asked for once more, alone.
    again = tally.outcomes.pop(Outcome.DEFERRED, 0)
    assert again <= sum(end[1] == "rcpt" for end in expected.values()) * pipelining
    assert tally.outcomes == {
        Outcome.ACCEPTED: people - len(POISON),
        Outcome.REJECTED: len(POISON),
    }
    assert [row["reason"] for row in village.rows(SUPPRESSION)] == ["hard_bounce"]
