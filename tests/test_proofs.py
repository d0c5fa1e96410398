"""Proof of one person's consent: what is kept, what an operator sees, what a stranger can check."""

import json
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import update

from l3mail import consents, proofs, subscribers
from l3mail.consents import walks
from l3mail.models import CONSENT, CONSENT_ACTS, SUBSCRIBER, SUBSCRIPTION_STATES, WORKSPACE
from l3mail.proofs import evidence, packing
from tests.fakes.newcomer import RULES, Newcomer, settle
from tests.fakes.porch import form_of, open_porch
from tests.fakes.village import Village

TEXT = "Ich möchte den Kurs per E-Mail."


def test_the_proof_of_a_person_holds_acts_wordings_and_streams_and_nobody_elses(
    village: Village,
) -> None:
    ada, bea = village.learner(), village.person("bea@schule.example")
    wording, _ = village.do(consents.declare_wording, "course", "de", TEXT, village.now)
    named = [{"id": wording, "name": "course", "locale": "de", "hash": consents.hash_of(TEXT)}]
    for person, source in ((ada, "aushang"), (bea, "messe"), (ada, None)):
        content = {"streams": ["kurs"], "wordings": named, "source": source}
        village.do(consents.note, "requested", person, content, village.now)
    found = village.database.read(lambda connection: proofs.of_person(connection, ada))
    assert [act["seq"] for act in found["acts"]] == [1, 3]
    assert [act["content"]["source"] for act in found["acts"]] == ["aushang", None]
    assert [one["text"] for one in found["wordings"]] == [TEXT]
    assert found["streams"] == {"kurs": {"title": "kurs", "kind": "course"}}
    assert "messe" not in json.dumps(found)


def test_an_address_leads_to_who_has_it_and_to_erased_people_who_had_it(village: Village) -> None:
    settle(village)
    ada, bea = Newcomer(village), Newcomer(village, "bea@schule.example")
    bea.sign_up()
    ada.sign_up()
    ada.confirm("kurs")
    first = ada.person
    assert village.do(proofs.find, ada.key) == [first]
    village.do(subscribers.erase, RULES, first, village.now, by="kim")
    assert village.do(proofs.find, ada.key) == [first]
    ada.sign_up()
    assert village.do(proofs.find, ada.key) == [first, ada.person]
    (erased, living) = village.do(proofs.standings, [first, ada.person])
    assert (erased["email"], erased["kept_until"]) == (None, "2029-12-31")
    assert [one["status"] for one in living["streams"]] == ["unconfirmed"]
    assert village.do(proofs.find, b"nobody") == []


def test_an_address_that_is_somebody_elses_now_does_not_lead_to_who_moved_away(
    village: Village,
) -> None:
    settle(village)
    ada = Newcomer(village)
    ada.sign_up()
    moved, old = ada.person, ada.key
    village.change(SUBSCRIBER, moved, address="neu@schule.example", address_key=b"new")
    assert village.do(proofs.find, old) == [moved]
    ada.sign_up()
    assert village.do(proofs.find, old) == [ada.person]
    assert ada.person != moved


def test_acts_are_sought_by_what_they_are_since_when_and_whose(village: Village) -> None:
    settle(village)
    Newcomer(village, "bea_x@schule.example").sign_up()
    ada = Newcomer(village)
    ada.sign_up()
    ada.confirm("kurs")

    def sought(**wanted: Any) -> list[int]:
        return [row["seq"] for row in village.do(proofs.listing, **wanted)]

    assert sought() == [1, 2, 3]
    assert sought(limit=2) == [2, 3]
    assert sought(act="requested") == [1, 2]
    assert sought(search="a_X@") == [1]
    assert sought(since=village.now.replace(year=2030)) == []


def test_a_long_chain_is_walked_in_batches_and_says_how_far_it_is(
    village: Village, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(walks, "BATCH", 3)
    ada = village.person()
    acts = [(ada, {"streams": ["kurs"]})] * 8
    village.do(consents.note_all, "requested", acts, village.now)
    heard: list[int] = []
    links = [row["link"] for row in village.rows(CONSENT)]
    found = village.do(consents.verify, links[4], heard.append)
    assert heard == [3, 6, 8]
    assert (found.acts, found.broken_at, found.anchor_at, found.after_anchor) == (8, None, 5, 3)
    assert village.do(consents.verify, b"never").anchor_at is None


def test_a_stretch_of_the_chain_is_read_in_batches_and_joins_on(
    village: Village, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evidence, "BATCH", 2)
    ada, bea = village.person(), village.person("bea@schule.example")
    whose = [bea, ada, bea, ada, bea, bea]
    village.do(consents.note_all, "requested", [(one, {}) for one in whose], village.now)
    rows = village.rows(CONSENT)
    found = village.do(proofs.of_person, ada)
    placed = village.do(packing.placed, found, village.do(consents.verify))
    assert (placed["first_seq"], placed["newest_seq"]) == (2, 6)
    assert placed["link_before"] == rows[0]["link"].hex()
    assert placed["newest_link"] == rows[5]["link"].hex()
    stretch = village.do(lambda c: list(evidence.stretch(c, 2, 5)))
    assert stretch == [(row["seq"], row["digest"].hex()) for row in rows[1:5]]
    assert village.do(evidence.link_before, 1) == village.rows(WORKSPACE)[0]["chain_start"].hex()


def test_a_link_behind_a_break_does_not_stand(sqlite_village: Village) -> None:
    village = sqlite_village
    acts = [(village.person(), {"streams": ["kurs"]})] * 3
    village.do(consents.note_all, "requested", acts, village.now)
    link = village.rows(CONSENT)[2]["link"]
    village.do(lambda c: c.execute(update(CONSENT).where(CONSENT.c.seq == 2).values(act="refused")))
    found = village.do(consents.verify, link)
    assert (found.broken_at, found.fault, found.anchor_at) == (2, "content", None)


@pytest.mark.parametrize("locale", ["de", "en", "de-simple", "fr"])
def test_there_are_words_for_every_act_state_way_and_form(locale: str) -> None:
    words = proofs.Telling(locale, ZoneInfo("Europe/Berlin"))
    assert words.language == ("de" if locale.startswith("de") else "en")
    for act in CONSENT_ACTS:
        assert words.act(act)
        content = {"form": "web", "how": "page", "delivery": 1, "source": "aushang"}
        assert words.how({"act": act, "content": content})
    assert {words.state(state) for state in SUBSCRIPTION_STATES}


def test_what_is_unknown_of_an_act_is_told_as_it_stands() -> None:
    words = proofs.Telling("de", ZoneInfo("Europe/Berlin"))
    told = words.how({"act": "withdrawn", "content": {"how": "tele\x1bpathy", "by": "kim"}})
    assert told == "tele\\x1bpathy; durch kim"
    assert words.act("levitated") == "levitated"


def test_no_address_of_a_machine_is_kept_by_whatever_door_somebody_comes(
    sqlite_village: Village, tmp_path: Path
) -> None:
    with open_porch(sqlite_village, tmp_path) as porch:
        visitor: Any = porch.client
        visitor._transport.client = ("203.0.113.77", 50_000)
        visitor.headers.update({"X-Forwarded-For": "203.0.113.78", "User-Agent": "CanaryBrowser/7"})
        porch.sign_up(tracking="1")
        link = porch.confirmation()
        assert porch.client.post(link, data=form_of(porch.client.get(link).text)).is_success
        everything = json.dumps(porch.dump(), default=str)
        acts = [row["act"] for row in sqlite_village.rows(CONSENT)]
    assert acts[:2] == ["requested", "confirmed"]
    assert [word for word in ("203.0.113", "CanaryBrowser") if word in everything] == []
