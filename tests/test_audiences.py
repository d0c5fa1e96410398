"""Saved segments: named, counted, kept from breaking each other."""

from dataclasses import replace
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Connection

from l3mail import audiences
from l3mail.audiences import Count, Terms
from l3mail.errors import SegmentError
from l3mail.models import CAMPAIGN, SEGMENT, SUBSCRIBER, TRIGGER
from l3mail.segments import Attribute
from tests.fakes.village import Village

BERLIN = ZoneInfo("Europe/Berlin")
TERMS = Terms(BERLIN, "consent", "de", {"role": Attribute("text")}, ("newsletter",))
WEST = 'district in ["Gorbitz", "Prohlis"]'


def save(village: Village, name: str, text: str, terms: Terms = TERMS) -> Count:
    return village.do(audiences.save, name, text, terms, village.now)


def refused(village: Village, name: str, text: str) -> str:
    with pytest.raises(SegmentError) as caught:
        save(village, name, text)
    return str(caught.value)


def counted(village: Village, text: str, terms: Terms = TERMS) -> Count:
    def verb(connection: Connection) -> Count:
        return audiences.count(connection, terms.question(connection, text, village.now))

    return village.database.read(verb)


def names(village: Village, search: str | None = None) -> list[str]:
    return [one.name for one in village.do(audiences.listing, search)]


def test_saving_counts_and_saving_again_replaces(village: Village) -> None:
    village.person("ada@schule.example", district="Gorbitz")
    village.person("bob@schule.example", district="Gorbitz", erased_at=village.now)
    assert save(village, "west", f"  {WEST} ") == Count(1, 0)
    assert save(village, "west", "not (" + WEST + ")") == Count(0, 0)
    (row,) = village.rows(SEGMENT)
    assert row["expression"] == "not (" + WEST + ")"
    assert (row["last_count"], row["saved_at"]) == (0, village.now)


def test_a_count_says_of_how_many_nobody_knows(village: Village) -> None:
    village.publish("kurs/01")
    village.person("ada@schule.example", tracking=True)
    village.person("bob@schule.example")
    village.person("eva@schule.example")
    assert counted(village, 'opened("kurs/01")') == Count(0, 2)
    assert counted(village, 'not opened("kurs/01")') == Count(1, 2)
    assert counted(village, "False") == Count(0, 0)


def test_an_empty_house_counts_nobody(village: Village) -> None:
    assert counted(village, "True") == Count(0, 0)
    assert counted(village, "inactive_days > 3") == Count(0, 0)


def test_a_name_stands_for_its_question_as_it_is_now(village: Village) -> None:
    village.person("ada@schule.example", district="Gorbitz")
    save(village, "west", WEST)
    save(village, "not-west", 'not segment("west")')
    assert counted(village, "west") == Count(1, 0)
    assert counted(village, "not-west") == Count(0, 0)
    save(village, "west", "False")
    assert counted(village, "not-west") == Count(1, 0)


def test_the_vocabulary_is_what_the_house_has(village: Village) -> None:
    village.publish("kurs/01")
    village.stream("kurs")
    words = village.do(TERMS.vocabulary)
    assert set(words.streams or ()) == {"kurs", "newsletter"}
    assert words.messages == {"kurs/01"}
    for text in ('stream("newsletter")', 'received("kurs/01")', 'attrs.role == "vhs"'):
        counted(village, text)
    for text in ('stream("kurz")', 'received("kurs/1")', 'enrolled("kurs")', "attrs.rolle"):
        with pytest.raises(SegmentError):
            counted(village, text)


def test_a_missing_locale_is_the_workspaces(village: Village) -> None:
    village.person()
    assert counted(village, 'locale == "de"') == Count(1, 0)


@pytest.mark.parametrize(
    "name", ["", "West", "a b", "a--b", "-a", "tracking", "x" * 61, "ä", "a\n", 'a"b', "a\0"]
)
def test_a_name_is_plain(village: Village, name: str) -> None:
    assert "can't be the name of a segment" in refused(village, name, WEST)


def test_a_text_that_is_no_question_is_not_saved(village: Village) -> None:
    assert refused(village, "west", "distric == 1").startswith(
        'segment "west", line 1, column 1: "distric" is not known'
    )
    assert village.rows(SEGMENT) == []


def test_an_unknown_name_is_told_the_nearest(village: Village) -> None:
    save(village, "west", WEST)
    with pytest.raises(SegmentError, match='no saved segment "wset"; did you mean "west"'):
        counted(village, "wset")
    with pytest.raises(SegmentError, match="no saved segment"):
        village.do(audiences.find, "x")


def test_saving_closes_no_circle(village: Village) -> None:
    save(village, "a", "True")
    save(village, "b", 'segment("a")')
    save(village, "c", 'segment("b")')
    assert 'goes in a circle: "a" asks for "c" asks for "b" asks for "a"' in refused(
        village, "a", 'segment("c")'
    )
    assert "goes in a circle" in refused(village, "new", 'segment("new")')


def test_saving_breaks_no_segment_that_asks_for_it(village: Village) -> None:
    save(village, "a", "tracking")
    save(village, "b", " or ".join(['segment("a")'] * 60))
    save(village, "c", 'segment("b")')
    assert "too large" in refused(village, "a", " or ".join(["tracking"] * 5))
    assert village.rows(SEGMENT)[0]["expression"] == "tracking"


def test_listing_is_by_name_and_searches_names_and_questions(village: Village) -> None:
    save(village, "west", WEST)
    save(village, "all", "True")
    assert names(village) == ["all", "west"]
    assert names(village, "gorb") == ["west"]
    assert names(village, "ALL") == ["all"]
    assert names(village, "%") == []


def campaign(village: Village, **values: Any) -> None:
    village.change(CAMPAIGN, village.campaign(), **values)


def trigger(village: Village, segment: str, **values: Any) -> None:
    village.insert(
        TRIGGER,
        slug="lifecycle/hallo",
        kind="joined",
        stream_id=village.stream("lifecycle", "lifecycle"),
        rule={"segment": segment},
        **values,
    )


def test_what_is_asked_for_is_not_deleted(village: Village) -> None:
    save(village, "west", WEST)
    save(village, "old-west", 'segment("west") and age >= 60')
    campaign(village, segment="west")
    trigger(village, 'segment("west") and tracking')
    assert village.do(audiences.users, "west") == [
        "segment old-west",
        "campaign newsletter/2026-12",
        "trigger lifecycle/hallo",
    ]
    with pytest.raises(SegmentError, match="still asked for by segment old-west, campaign"):
        village.do(audiences.remove, "west")
    assert names(village) == ["old-west", "west"]


def test_what_is_over_asks_for_nothing(village: Village) -> None:
    save(village, "west", WEST)
    save(village, "east", "not " + f"({WEST})")
    campaign(village, segment="west", planned_at=village.now)
    campaign(village, segment="west", cancelled_at=village.now)
    campaign(village, segment="east")
    trigger(village, "west", retired_at=village.now)
    village.do(audiences.remove, "west")
    assert names(village) == ["east"]


def told_apart(village: Village, text: str, by: str) -> list[tuple[Any, int]]:
    def verb(connection: Connection) -> list[tuple[Any, int]]:
        question = terms.question(connection, text, village.now)
        grouping = terms.grouping(by, terms.vocabulary(connection), village.now)
        return audiences.count_by(connection, question, grouping)

    terms = replace(TERMS, attributes={"role": Attribute("text"), "mentor": Attribute("bool")})
    return village.database.read(verb)


def test_a_count_tells_people_apart_by_what_they_have(village: Village) -> None:
    for number, district in enumerate(("Gorbitz", "Prohlis", "Gorbitz", "", None)):
        born = {"birth_year": 1966, "birth_month": 11, "birth_day": 23} if number < 2 else {}
        attributes = {"role": "vhs", "mentor": True} if number else {}
        values = {"district": district, "attributes": attributes, **born}
        village.person(f"p{number}@schule.example", **values)
    village.person("gone@schule.example", district="Prohlis", erased_at=village.now)
    assert told_apart(village, "True", "district") == [("Gorbitz", 2), (None, 2), ("Prohlis", 1)]
    assert told_apart(village, 'district == "Gorbitz"', "attrs.role") == [("vhs", 1), (None, 1)]
    assert (60, 2) in told_apart(village, "True", "age")
    assert ("11-23", 2) in told_apart(village, "True", "birthday")
    assert (True, 4) in told_apart(village, "True", "attrs.mentor")
    assert told_apart(village, "True", "locale") == [("de", 5)]
    for by in ("joined", "email", "joined_days", "inactive_days", "attrs.rolle", "age > 3", "x"):
        with pytest.raises(SegmentError):
            told_apart(village, "True", by)


def test_a_count_says_how_many_each_stream_may_mail(village: Village) -> None:
    for name in ("ada", "bob", "eva", "ida"):
        village.learner(f"{name}@schule.example")
    brief = village.stream("newsletter", "newsletter")
    people = village.rows(SUBSCRIBER)
    village.subscribe(people[0]["id"], brief)
    village.suppress(people[1]["id"], "never")
    village.suppress(people[2]["id"], "complaint")

    def verb(connection: Connection) -> tuple[Any, Any]:
        question = TERMS.question(connection, "True", village.now)
        mailed = audiences.reachable(connection, question, village.now)
        return audiences.count_by_stream(connection, question), mailed

    assert village.database.read(verb) == (
        [("kurs", 4), ("newsletter", 1)],
        {"kurs": 2, "newsletter": 1},
    )
