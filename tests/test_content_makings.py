"""What is made of a file for a mail: named by what goes into it, and made when it is published."""

from pathlib import Path

import pytest

from l3mail.content import Library, Medium, bytes_of
from l3mail.content.makings import RECIPES, Recipe, digest_of_making
from l3mail.errors import ContentError

made: list[str] = []


def gather(library: Library, path: str) -> dict[str, bytes]:
    return {path: (library.folder / path).read_bytes(), "colour": b"#0b5f5a"}


def upside_down(path: str, ingredients: object) -> bytes:
    assert isinstance(ingredients, dict)
    made.append(path)
    data: bytes = ingredients[path]
    return data[::-1]


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Library:
    made.clear()
    monkeypatch.setitem(RECIPES, "turned", Recipe(1, gather, upside_down))
    (tmp_path / "media").mkdir()
    (tmp_path / "media/blatt.md").write_bytes(b"Ziele")
    return Library(tmp_path, "de", frozenset(), frozenset())


def digest(library: Library) -> str:
    return digest_of_making("turned", gather(library, "media/blatt.md"))


def turned(library: Library) -> Medium:
    return Medium("media/blatt.md", "blatt.pdf", digest(library), recipe="turned")


def test_a_medium_is_made_of_its_ingredients_when_somebody_asks_for_its_bytes(
    library: Library,
) -> None:
    medium = turned(library)
    assert made == []
    assert bytes_of(library, medium) == b"eleiZ"


def test_a_medium_has_another_digest_once_something_that_goes_into_it_changes(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = digest(library)
    assert digest(library) == first
    monkeypatch.setitem(RECIPES, "turned", Recipe(2, gather, upside_down))
    second = digest(library)
    (library.folder / "media/blatt.md").write_bytes(b"Wege")
    assert len({first, second, digest(library)}) == 3
    assert made == []


def test_what_changed_since_it_was_looked_at_is_not_made(library: Library) -> None:
    medium = turned(library)
    (library.folder / "media/blatt.md").write_bytes(b"Wege")
    with pytest.raises(ContentError, match="changed while it was published"):
        bytes_of(library, medium)


def test_two_ingredients_are_not_taken_for_one() -> None:
    RECIPES["x"] = Recipe(1, gather, upside_down)
    try:
        pairs: list[dict[str, bytes]] = [{"a": b"bc"}, {"ab": b"c"}, {"a": b"b", "c": b""}]
        assert len({digest_of_making("x", pair) for pair in pairs}) == 3
    finally:
        del RECIPES["x"]
