"""What people agree to, as files: which are read, and which are refused with a line."""

from pathlib import Path

import pytest

from tests.fakes.library import Shelf


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    shelf = Shelf(tmp_path)
    shelf.lesson()
    return shelf


def test_a_wording_is_named_for_a_kind_a_stream_or_tracking(shelf: Shelf) -> None:
    for name in ("newsletter", "course", "tracking", "kurs", "newsletter.de-simple"):
        shelf.put(f"templates/wordings/{name}.md", f"Ich willige ein: {name}.\n")
    shelf.put("templates/wordings/README.md", "Wofür das ist.")
    read = {(w.name, w.locale): w.text for w in shelf.library.wordings}
    assert read == {
        ("newsletter", "de"): "Ich willige ein: newsletter.",
        ("newsletter", "de-simple"): "Ich willige ein: newsletter.de-simple.",
        ("course", "de"): "Ich willige ein: course.",
        ("tracking", "de"): "Ich willige ein: tracking.",
        ("kurs", "de"): "Ich willige ein: kurs.",
    }
    assert not [line for line in shelf.findings if "wordings" in line]


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        pytest.param("trackin", "Ja.", 'did you mean "tracking"?', id="no stream"),
        pytest.param("course", " \n", "is empty", id="empty"),
        pytest.param("course", "Ja, {{ first_name }}.", "placeholder", id="placeholder"),
        pytest.param("course", "Ja. " * 1001, "longer than 4,000", id="a novel"),
        pytest.param("Course", "Ja.", "a-z", id="no slug"),
        pytest.param("course.deutsch!", "Ja.", "is no locale", id="no locale"),
    ],
)
def test_a_wording_nobody_can_agree_to_is_refused(
    shelf: Shelf, name: str, text: str, words: str
) -> None:
    shelf.put(f"templates/wordings/{name}.md", text)
    (line,) = (line for line in shelf.findings if "wordings" in line)
    assert line.startswith(f"templates/wordings/{name}.md:1:")
    assert words in line
    assert not shelf.library.wordings
