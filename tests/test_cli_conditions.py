"""Parts that only some people get, as an editor checks, publishes and previews them."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from l3mail.models import DELIVERY, MESSAGE
from tests.fakes.desk import TUESDAY, Desk, at_a_desk
from tests.fakes.library import LESSON, Shelf

PATH = "lessons/kurs/01-start.md"
SLUG = "kurs/01-start"
BODY = """Für alle.

::: if district == "Nord"
Nur im Norden.
::: else
Nur anderswo.
:::"""


@pytest.fixture
def desk(tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    with at_a_desk(tmp_path, capsys, monkeypatch) as desk:
        yield desk


@pytest.fixture
def shelf(desk: Desk) -> Shelf:
    with (desk.folder / "l3mail.toml").open("a") as settings:
        settings.write('[streams.newsletter]\ntitle = "Neues"\n')
    desk.run("segments", "save", "fans", "True")
    return Shelf(desk.folder)


REFUSED = {
    "a slip": ('distrikt == "Nord"', '"distrikt" is not known; did you mean "district"?'),
    "no course here": ('enrolled("kurz")', '"kurz" is not a course; did you mean "kurs"?'),
    "no stream here": ('stream("newsleter")', '"newsleter" is not a stream'),
    "python": ('__import__("os").system("x")', "this is not a function"),
    "too long": ("True or " * 1250 + "True", "10004 characters; at most 2000"),
    "no expression": ("district = 'Nord'", "a single = sets a value; write =="),
    "nested": ("(" * 90 + "True" + ")" * 90 + " x", "can't be read as a question"),
    "deep": ("not " * 30 + "True", "nested deeper than 20"),
}


@pytest.mark.parametrize(("asks", "words"), REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_be_asked_is_told_in_its_line(
    desk: Desk, shelf: Shelf, asks: str, words: str
) -> None:
    shelf.lesson(f"Für alle.\n\n::: if {asks}\nA\n::: else\nB\n:::")
    told = desk.run("check", code=1)
    assert re.search(rf"^{PATH}:6:\d+: ::: if: ", told, re.MULTILINE)
    assert words in told
    assert told.count("::: if: ") == 1
    desk.run("content", "publish", "--yes", code=1)
    assert desk.village.rows(MESSAGE) == []


UNKNOWN = {
    'segment("fens")': '"fens" is not a saved segment; did you mean "fans"?',
    'received("kurs/01-strat")': '"kurs/01-strat" is not a published text; did you mean',
}


@pytest.mark.parametrize(("asks", "words"), UNKNOWN.items(), ids=UNKNOWN)
def test_publishing_refuses_what_only_the_database_does_not_know(
    desk: Desk, shelf: Shelf, asks: str, words: str
) -> None:
    shelf.lesson(f"::: if {asks}\nA\n:::")
    shelf.text("newsletters/2026-12.md")
    desk.run("content", "publish", "--yes", code=1)
    assert re.search(rf"{PATH}:4:\d+: ::: if: {re.escape(words)}", desk.error)
    assert [row["slug"] for row in desk.village.rows(MESSAGE)] == ["newsletter/2026-12"]


def test_an_issue_that_asks_for_what_nobody_knows_is_not_scheduled(
    desk: Desk, shelf: Shelf
) -> None:
    shelf.text("newsletters/2026-12.md", '::: if segment("fens")\nA\n:::')
    desk.run("newsletters", "schedule", "2026-12", "--at", "now", "--yes", code=1)
    assert 'newsletters/2026-12.md:4:16: ::: if: "fens" is not a saved segment' in desk.error
    assert desk.village.rows(MESSAGE) == []


def test_a_text_may_ask_for_itself_and_for_what_is_published_with_it(
    desk: Desk, shelf: Shelf
) -> None:
    shelf.lesson('::: if received("kurs/01-start") or received("kurs/02-video")\nA\n:::')
    shelf.text("lessons/kurs/02-video.md")
    desk.run("content", "publish", "--yes")
    assert len(desk.village.rows(MESSAGE)) == 2


def test_who_is_not_measured_is_told_of_before(desk: Desk, shelf: Shelf) -> None:
    shelf.lesson('::: if opened("kurs/01-start")\nA\n:::')
    assert f"{PATH}:4:8: warning: it asks what people opened or clicked" in desk.run("check")


def test_a_segment_a_text_asks_for_stays(desk: Desk, shelf: Shelf) -> None:
    shelf.lesson('::: if segment("fans")\nA\n:::')
    desk.run("content", "publish", "--yes")
    desk.run("segments", "delete", "fans", "--yes", code=1)
    assert f"still asked for by text {SLUG}" in desk.error
    assert desk.json("segments", "show", "fans")["used_by"] == [f"text {SLUG}"]


PARTS = ("Nur im Norden.", "Nur anderswo.")


def parts(told: str) -> tuple[bool, ...]:
    return tuple(part in told for part in PARTS)


def test_a_preview_shows_all_parts_and_says_which_there_are(desk: Desk, shelf: Shelf) -> None:
    shelf.lesson(BODY)
    told = desk.run("preview", SLUG)
    assert parts(told) == (True, True)
    assert 'Part:      if district == "Nord" (line 6), shown\n' in told
    assert 'Part:      else of if district == "Nord" (line 8), shown\n' in told
    told = desk.run("preview", SLUG, "--when", "none")
    assert parts(told) == (False, False)
    assert told.count("not shown") == 2


def test_a_preview_as_somebody_shows_what_they_would_be_shown(desk: Desk, shelf: Shelf) -> None:
    shelf.lesson(BODY)
    desk.learner("ada@schule.example", district="Nord")
    desk.learner("bob@schule.example")
    assert parts(desk.run("preview", SLUG, "--as", "ada@schule.example")) == (True, False)
    assert parts(desk.run("preview", SLUG, "--as", "bob@schule.example")) == (False, True)
    desk.run("preview", SLUG, "--as", "ada@schule.example", "--when", "all", code=2)


def test_explain_says_which_parts_somebody_was_shown(desk: Desk, shelf: Shelf) -> None:
    shelf.lesson(BODY, LESSON)
    desk.run("content", "publish", "--yes")
    (message,) = desk.village.rows(MESSAGE)
    person = desk.learner("ada@schule.example", district="Nord")
    delivery = desk.village.delivery(person, slug=SLUG, message_id=message["id"])
    ended = {"state": "accepted", "ended_at": TUESDAY, "started_at": TUESDAY}
    desk.village.change(DELIVERY, delivery, shown=0b01, **ended)
    (mail,) = desk.json("explain", "ada@schule.example")["deliveries"]
    asks = {"if": 'district == "Nord"'}
    assert mail["parts"] == [
        asks | {"else": False, "shown": True},
        asks | {"else": True, "shown": False},
    ]
    assert 'with the part if district == "Nord"' in " ".join(mail["why"].split())
