"""Saved segments: named, counted, kept from breaking each other."""

import json
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Connection

from l3mail import audiences
from l3mail.audiences import Count, Terms
from l3mail.database import Database, opened
from l3mail.errors import SegmentError
from l3mail.models import ACTIONS, CAMPAIGN, SEGMENT, SUBSCRIBER, TRIGGER
from l3mail.segments import Attribute
from tests.fakes.office import Office
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


# -- the commands, as operators type them


@pytest.fixture
def office(tmp_path: Path) -> Office:
    office = Office(
        tmp_path,
        '[streams.newsletter]\ntitle = "Brief"\n[attributes.role]\n[tracking]\nmode = "consent"\n',
    )
    office.fill(3)
    with opened(office.settings.database_url) as database:
        _furnish(database)
    return office


def _furnish(database: Database) -> None:
    village = Village(database)
    for row in village.rows(SUBSCRIBER)[:2]:
        village.change(SUBSCRIBER, row["id"], district="Gorbitz", attributes={"role": "vhs"})


def test_segments_are_saved_counted_shown_and_deleted(office: Office) -> None:
    saved = office.run("--as", "frau-amt", "segments", "save", "west", WEST)
    assert saved.stdout == "Saved west: 2 people\nunknown: 0\n"
    assert office.run("segments", "count", "west").stdout == "2 people\nunknown: 0\n"
    assert office.run("segments", "list", "--search", "east").stdout == "No segments.\n"
    counts = office.run("segments", "count", 'not opened("kurs/01")', "--json").stdout
    assert json.loads(counts) == {"count": 0, "unknown": 3}
    (listed,) = json.loads(office.run("segments", "list", "--json").stdout)
    assert (listed["name"], listed["expression"], listed["last_count"]) == ("west", WEST, 2)
    shown = json.loads(office.run("segments", "show", "west", "--json").stdout)
    assert shown["count"] == 2
    assert shown["used_by"] == []
    assert office.run("segments", "delete", "west").returncode == 1
    deleted = office.run("segments", "delete", "west", "--yes").stdout
    assert deleted == f"west: {WEST} (2 people when it was saved)\nDeleted west.\n"
    assert office.run("segments", "list").stdout == "No segments.\n"
    with opened(office.settings.database_url) as database:
        actions = [
            (row["who"], row["command"], row["counts"]) for row in Village(database).rows(ACTIONS)
        ]
    assert actions[0] == ("frau-amt", "segments save west", {"segments": 1, "people": 2})
    assert [action[1:] for action in actions[1:]] == [("segments delete west", {"segments": 1})]


def test_a_segment_whose_words_are_gone_is_shown_with_its_problem(office: Office) -> None:
    office.run("segments", "save", "vhs", 'attrs.role == "vhs"')
    (office.folder / "l3mail.toml").write_text("", encoding="utf-8")
    shown = office.run("segments", "show", "vhs")
    assert shown.returncode == 0
    assert '"attrs.role" is not known' in shown.stdout
    assert office.run("segments", "count", "vhs").returncode == 1


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (
            ["count", 'distric == "x"'],
            'segment, line 1, column 1: "distric" is not known; did you mean "district"?',
        ),
        (["count", "west"], 'segment: there is no saved segment "west";'),
        (
            ["count", 'stream("newsleter")'],
            '"newsleter" is not a stream; did you mean "newsletter"',
        ),
        (["show", "west"], 'segment: there is no saved segment "west";'),
        (["delete", "west", "--yes"], 'segment: there is no saved segment "west";'),
        (["save", "West", "True"], "can't be the name of a segment"),
        (["save", "west", '__import__("os")'], '"__import__" is not known'),
    ],
    ids=lambda value: " ".join(value[:1]) if isinstance(value, list) else "",
)
def test_a_wrong_segment_is_one_clear_line(office: Office, words: list[str], line: str) -> None:
    result = office.run("segments", *words)
    assert result.returncode == 1
    assert line in result.stderr
    assert len(result.stderr.splitlines()) == 1
