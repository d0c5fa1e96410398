"""The words somebody agrees to: which are in force, in which language, and that old ones stay."""

import hashlib
from datetime import timedelta

from l3mail import consents
from l3mail.models import WORDING
from tests.fakes.village import Village


def declare(village: Village, text: str, name: str = "newsletter", locale: str = "de") -> int:
    village.clock.advance(timedelta(minutes=1))
    number, _ = village.do(consents.declare_wording, name, locale, text, village.now)
    return number


def current(village: Village, locale: str) -> dict[str, str]:
    found = village.database.read(lambda one: consents.current_wordings(one, locale, "de"))
    return {name: wording.text for name, wording in found.items()}


def test_the_same_words_are_one_wording(village: Village) -> None:
    first = declare(village, "Ja.")
    assert [declare(village, "Ja.") for _ in range(3)] == [first] * 3
    assert len(village.rows(WORDING)) == 1
    assert declare(village, "Ja, gern.") != first


def test_only_words_that_were_not_in_force_are_news(village: Village) -> None:
    told = [
        village.do(consents.declare_wording, "course", "de", text, village.now)[1]
        for text in ("Ja.", "Ja.", "Ja, gern.")
    ]
    assert told == [True, False, True]


def test_words_brought_back_are_in_force_again_under_their_old_number(village: Village) -> None:
    first = declare(village, "Ja.")
    declare(village, "Ja, gern.")
    assert current(village, "de") == {"newsletter": "Ja, gern."}
    assert declare(village, "Ja.") == first
    assert current(village, "de") == {"newsletter": "Ja."}


def test_words_are_shown_in_the_nearest_language(village: Village) -> None:
    declare(village, "Ja.")
    declare(village, "Ja. Das will ich.", locale="de-simple")
    declare(village, "Yes.", locale="en")
    declare(village, "Zählt mit.", name="tracking")
    nearest = {
        locale: current(village, locale)
        for locale in ("de-simple", "de-AT", "en-GB", "fr", "deutsch")
    }
    assert {locale: texts["newsletter"] for locale, texts in nearest.items()} == {
        "de-simple": "Ja. Das will ich.",
        "de-AT": "Ja.",
        "en-GB": "Yes.",
        "fr": "Ja.",
        "deutsch": "Ja.",
    }
    assert all(texts["tracking"] == "Zählt mit." for texts in nearest.values())


def test_wordings_are_found_by_number_whether_in_force_or_not(village: Village) -> None:
    old = declare(village, "Ja.")
    declare(village, "Ja, gern.")
    found = village.database.read(lambda one: consents.wordings(one, [old, 4711]))
    assert {name: wording.text for name, wording in found.items()} == {"newsletter": "Ja."}
    told = found["newsletter"].evidence()
    assert told["hash"] == hashlib.sha256(b"Ja.").hexdigest()
    assert "text" not in told
