"""Publishing: a version never changes, one is current, and links have numbers."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from l3mail import publishing
from l3mail.database import Database
from l3mail.models import LINK, MESSAGE
from l3mail.publishing import Published
from tests.fakes.village import BACKENDS, Village, ground


@pytest.fixture(scope="module", params=BACKENDS)
def database(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Database]:
    with ground(request.param, tmp_path_factory.mktemp("publishing")) as database:
        yield database


@pytest.fixture
def village(database: Database) -> Village:
    village = Village(database)
    village.empty()
    return village


def current(village: Village) -> list[int]:
    return [row["id"] for row in village.rows(MESSAGE) if row["superseded_at"] is None]


def test_publishing_what_is_current_changes_nothing(village: Village) -> None:
    first = village.publish(subject="eins")
    before = village.rows(MESSAGE)
    village.clock.advance(timedelta(hours=1))
    assert village.publish(subject="eins") == first
    assert village.rows(MESSAGE) == before


def test_a_new_version_supersedes_the_old_and_leaves_its_words(village: Village) -> None:
    first = village.publish(subject="eins")
    old = village.row(MESSAGE, first)
    village.clock.advance(timedelta(hours=1))
    second = village.publish(subject="zwei")
    assert current(village) == [second]
    assert village.row(MESSAGE, first) == old | {"superseded_at": village.now}
    assert village.row(MESSAGE, second)["published_at"] == village.now


def test_an_old_text_published_again_is_a_new_version_of_the_same_hash(village: Village) -> None:
    first = village.publish(subject="eins")
    second = village.publish(subject="zwei")
    third = village.publish(subject="eins")
    assert len({first, second, third}) == 3
    assert current(village) == [third]
    assert village.row(MESSAGE, third)["hash"] == village.row(MESSAGE, first)["hash"]
    assert village.row(MESSAGE, second)["hash"] != village.row(MESSAGE, first)["hash"]


def test_each_slug_and_locale_has_a_current_version_of_its_own(village: Village) -> None:
    texts = [village.publish(slug, to) for slug in ("kurs/01", "kurs/02") for to in ("de", "en")]
    assert current(village) == texts
    newer = village.publish("kurs/01", "en", subject="neu")
    assert current(village) == [texts[0], texts[2], texts[3], newer]


def test_the_source_alone_makes_a_version_too(village: Village) -> None:
    """What an editor approved is the source as it lay in git, not only what came of it."""
    facts: dict[str, Any] = {"slug": "a", "locale": "de", "compiled": {}, "by": "eva"}
    facts["now"] = village.now
    first = village.database.write(lambda c: publishing.publish(c, source="# A", **facts))
    second = village.database.write(lambda c: publishing.publish(c, source="# B", **facts))
    assert first != second


def test_links_are_numbered_from_one_and_keep_their_order(village: Village) -> None:
    links = [("https://b.example", "quiz"), ("https://a.example", None), ("https://b.example", "x")]
    text = village.do(
        publishing.publish,
        slug="kurs/01",
        locale="de",
        source="",
        compiled={},
        links=links,
        by="eva",
        now=village.now,
    )
    query = select(LINK.c.number, LINK.c.url, LINK.c.name).where(LINK.c.message_id == text)
    assert sorted(village.ask(query)) == [(n, *link) for n, link in enumerate(links, start=1)]


def test_two_current_versions_cannot_exist(village: Village) -> None:
    row = village.row(MESSAGE, village.publish())
    del row["id"]
    with pytest.raises(IntegrityError):
        village.insert(MESSAGE, **row)


def test_versions_are_loaded_by_id_whether_current_or_not(village: Village) -> None:
    first, second = village.publish(subject="eins"), village.publish(subject="zwei")
    loaded = village.do(publishing.load, [second, first, 10**9])
    assert {key: text.compiled["subject"] for key, text in loaded.items()} == {
        first: "eins",
        second: "zwei",
    }
    assert loaded[first] == Published(first, "kurs/01", "de", loaded[first].compiled)
    assert village.do(publishing.load, []) == {}
