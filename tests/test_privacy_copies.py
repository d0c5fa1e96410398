"""The copy of all that is held on a person: nothing of theirs is missing, nothing of others in."""

import json
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Table

from l3mail import privacy
from l3mail.errors import SubscriberError
from l3mail.models import METADATA, SUBSCRIBER
from l3mail.privacy.copies import SECTIONS, TABLES
from tests.fakes.inhabitant import Inhabitant, settled
from tests.fakes.newcomer import RULES
from tests.fakes.village import Village


@pytest.fixture
def ada(village: Village) -> Inhabitant:
    return settled(village)


def copy(one: Inhabitant) -> dict[str, Any]:
    return one.village.do(privacy.copy_of, one.id, RULES.zone)


def of_people() -> set[str]:
    """Tables that say something of a person: by a key of theirs, or by such a table's row."""
    found = {SUBSCRIBER} | {t for t in METADATA.sorted_tables if "address_key" in t.columns}

    def refers(table: Table) -> bool:
        return any(key.column.table in found for key in table.foreign_keys)

    while more := {t for t in METADATA.sorted_tables if t not in found and refers(t)}:
        found |= more
    return {table.name for table in found}


def test_every_table_that_speaks_of_people_is_told() -> None:
    assert of_people() == set(TABLES)
    assert {name for names in TABLES.values() for name in names} == set(SECTIONS)


def test_everything_held_on_a_person_is_in_their_copy(ada: Inhabitant) -> None:
    told = json.dumps(copy(ada), ensure_ascii=False)
    assert [canary for canary in ada.canaries if canary not in told] == []


def test_a_copy_is_json_in_a_stable_order_and_in_local_time(ada: Inhabitant) -> None:
    told = copy(ada)
    assert list(told) == list(SECTIONS)
    assert json.dumps(told) == json.dumps(copy(ada))
    assert told["person"]["known_since"] == "2026-11-23T10:00:00+01:00"
    assert [one["stream"] for one in told["subscriptions"]] == ["kurs", "newsletter"]


def test_a_copy_holds_no_key_of_ours_and_nobody_elses_data(ada: Inhabitant) -> None:
    bea = settled(ada.village, "bea@schule.example", mark="Bea", birthday="1961-02-03")
    told = json.dumps(copy(ada), ensure_ascii=False)
    assert ada.key.hex() not in told
    assert "bea@" not in told.lower()
    assert [canary for canary in bea.canaries if canary in told] == []
    assert "salt" not in told


def test_evidence_is_told_with_the_words_that_were_agreed_to(ada: Inhabitant) -> None:
    acts = {one["act"]: one for one in copy(ada)["consents"]}
    assert acts["confirmed"]["evidence"]["wordings"][0]["text"] == "Ja zum Kurs."
    assert acts["tracking_granted"]["evidence"]["wordings"][0]["text"] == "Ja zum Zählen."
    assert len(acts["confirmed"]["digest"]) == 64


def test_answers_are_told_in_the_words_of_their_question(ada: Inhabitant) -> None:
    first = copy(ada)["answers"][0]
    assert (first["question"], first["question_text"]) == ("q1", "Was war neu?")
    assert (first["answer_text"], first["text"]) == ("Alles", "kurs/01-start")


def test_of_an_erased_person_the_copy_shows_what_is_left(ada: Inhabitant) -> None:
    person = ada.id
    ada.village.clock.advance(timedelta(days=1))
    ada.erase()
    told = ada.village.do(privacy.copy_of, person, RULES.zone)
    assert told["person"]["email"] is None
    assert told["person"]["erased_at"] is not None
    assert told["consents"][-1]["evidence"]["proof_until"] == "2029-12-31"


def test_nobody_has_no_copy(village: Village) -> None:
    with pytest.raises(SubscriberError, match="nobody of the number 4711"):
        village.do(privacy.copy_of, 4711, RULES.zone)
