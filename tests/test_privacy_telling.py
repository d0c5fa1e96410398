"""What somebody gets who asks for their data: a page to read, data, a guide; nothing runs in it."""

import io
import json
import re
import zipfile
from collections.abc import Iterator
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from l3mail import privacy
from l3mail.privacy import telling
from l3mail.privacy.wording import Words
from l3mail.settings import Settings
from tests.fakes.inhabitant import Inhabitant, settled
from tests.fakes.newcomer import RULES
from tests.fakes.village import Village, ground


@pytest.fixture(scope="module")
def ada(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Inhabitant]:
    with ground("sqlite", tmp_path_factory.mktemp("telling")) as database:
        yield settled(Village(database), mark="<script>Ada&")


def told(ada: Inhabitant, **more: Any) -> telling.Copy:
    data = ada.village.do(privacy.copy_of, ada.id, RULES.zone)
    settings = Settings.model_validate({"folder": "/nowhere", **more}, strict=False)
    return telling.Copy(data, settings, ada.village.now)


def test_the_page_shows_everything_as_text_and_loads_nothing(ada: Inhabitant) -> None:
    from markupsafe import escape

    page = telling.as_page(told(ada))
    shown = {"1980-05-17": "17.05.1980"}
    missing = [one for one in ada.canaries if str(escape(shown.get(one, one))) not in page]
    assert missing == []
    assert "<script" not in page
    assert not re.search(r"(?:src|href)=", page)
    assert '<html lang="de"' in page


def test_the_page_tells_rights_and_terms_as_they_are_set(ada: Inhabitant) -> None:
    settings = {
        "retention": {"unconfirmed_days": 3, "proof_months": 25},
        "relay": {"host": "mail.stadt.example"},
        "impressum": {"email": "recht@stadt.example"},
    }
    page = telling.as_page(told(ada, **settings))
    for words in ("niemand bestätigt, 3 Tage", "25 Monate", "mail.stadt.example", "Artikel 77"):
        assert words in page
    assert "Fragen beantwortet recht@stadt.example." in page


def test_a_zip_holds_page_data_and_guide(ada: Inhabitant) -> None:
    copy = told(ada)
    with zipfile.ZipFile(io.BytesIO(telling.as_zip(copy))) as archive:
        assert archive.namelist() == ["auskunft.html", "daten.json", "liesmich.txt"]
        assert json.loads(archive.read("daten.json")) == copy.data
        guide = archive.read("liesmich.txt").decode()
    assert all(f"\n{name}: " in guide for name in copy.data)


def test_it_speaks_the_workspaces_language(ada: Inhabitant) -> None:
    page = telling.as_page(told(ada, workspace={"locale": "en"}))
    assert "<h1>Copy of the data held</h1>" in page
    assert "gespeichert" not in page


def keys_in(value: Any) -> set[str]:
    if isinstance(value, dict):
        return {*value, *(key for inner in value.values() for key in keys_in(inner))}
    return {key for inner in value for key in keys_in(inner)} if isinstance(value, list) else set()


def test_german_has_a_word_for_every_key_and_state(ada: Inhabitant) -> None:
    from l3mail import models

    words = Words("de", RULES.zone)
    data = told(ada).data
    free = {"role", "kurs", "newsletter", "x", "hash", "digest"}
    keys = {key for section in data.values() for key in keys_in(section)} - free
    assert keys - words.table("field").keys() == set()
    states = {
        *models.CONSENT_ACTS,
        *models.DELIVERY_STATES,
        *models.ENROLLMENT_STATES,
        *models.EVENT_KINDS,
        *models.KINDS,
        *models.SUBSCRIPTION_STATES,
        *models.SUPPRESSION_REASONS,
        *models.VERDICTS,
    }
    assert states - words.table("word").keys() == set()


@pytest.mark.parametrize(("locale", "words"), [("de", "10. Dezember"), ("en", "10 December")])
def test_a_birthday_without_its_year_is_told_as_a_day(locale: str, words: str) -> None:
    speaking = Words(locale, ZoneInfo("Europe/Berlin"))
    assert speaking.shown("--12-10", "birthday") == words
    assert speaking.shown({"values": {"birthday": "--12-10"}}).endswith(words)
    assert speaking.shown("--12-10", "district") == "--12-10"


def test_what_people_wrote_is_not_taken_for_a_word_of_ours() -> None:
    words = Words("de", RULES.zone)
    shown = words.shown({"district": "done", "state": "paused"})
    assert shown == "Stadtteil: done; Stand: pausiert"
