"""What a sign-up form may hold, and what becomes of everything else."""

from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l3mail.settings import Settings
from l3mail.web.fields import read, read_birthday
from tests.fakes.porch import open_settings

TODAY = date(2026, 11, 23)
ATTRIBUTES = """
[attributes.role]
type = "choice"
choices = ["schule", "vhs"]
[attributes.classes]
type = "number"
[attributes.since]
type = "date"
[attributes.head]
type = "bool"
[attributes.school]
[tracking]
mode = "consent"
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return open_settings(tmp_path, ATTRIBUTES)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("17.05.1980", "1980-05-17"),
        ("7.5.1980", "1980-05-07"),
        ("17.05.", "--05-17"),
        ("17.05", "--05-17"),
        ("1980-05-17", "1980-05-17"),
        ("--05-17", "--05-17"),
        ("29.02.", "--02-29"),
        ("29.02.2023", None),
        ("31.04.", None),
        ("24.11.2026", None),
        ("01.01.1899", None),
        ("gestern", None),
        ("05/17/1980", None),
    ],
)
def test_a_birthday_is_read_as_people_write_it(text: str, expected: str | None) -> None:
    assert read_birthday(text, TODAY) == expected


def test_values_become_what_they_are_declared_as(settings: Settings) -> None:
    form = {
        "email": [" Ada@Schule.example "],
        "stream": ["kurs", "kurs"],
        "first_name": ["Ada\u202e\x00"],
        "role": ["vhs"],
        "classes": ["3,5"],
        "since": ["01.09.2020"],
        "head": ["ja"],
        "tracking": ["yes"],
        "unheard": ["of"],
    }
    filled = read(form, settings, {"kurs"}, TODAY)
    assert filled.errors == {}
    assert filled.address
    assert filled.address.address == "Ada@schule.example"
    assert filled.streams == ("kurs",)
    assert filled.stored == {
        "first_name": "Ada",
        "attributes": {"role": "vhs", "classes": 3.5, "since": "2020-09-01", "head": True},
        "tracking": True,
    }


@pytest.mark.parametrize(
    ("name", "value", "word"),
    [
        ("email", "", "errors.email_missing"),
        ("email", "ada", "errors.email_broken"),
        ("email", "a" * 10_000 + "@b.example", "errors.email_broken"),
        ("stream", "", "errors.stream_missing"),
        ("stream", "other", "errors.stream_unknown"),
        ("first_name", "x" * 10_000, "errors.too_long"),
        ("birthday", "32.1.", "errors.date_broken"),
        ("role", "chef", "errors.choice_broken"),
        ("classes", "many", "errors.number_broken"),
        ("classes", "1e999", "errors.number_broken"),
        ("since", "--05-17", "errors.date_broken"),
        ("head", "maybe", "errors.bool_broken"),
    ],
)
def test_what_is_wrong_is_named_by_field(
    settings: Settings, name: str, value: str, word: str
) -> None:
    form = {"email": ["ada@schule.example"], "stream": ["kurs"]} | {name: [value]}
    assert {n: w for n, (w, _) in read(form, settings, {"kurs"}, TODAY).errors.items()} == {
        name: word
    }


def test_nobody_is_tracked_where_nobody_is_asked(tmp_path: Path) -> None:
    form = {"email": ["ada@schule.example"], "stream": ["kurs"], "tracking": ["yes"]}
    filled = read(form, open_settings(tmp_path), {"kurs"}, TODAY)
    assert filled.stored == {}


_TEXTS = st.text(st.characters(), max_size=300)


@given(
    st.dictionaries(
        st.sampled_from("email stream first_name birthday role classes since head source".split()),
        st.lists(_TEXTS, max_size=3),
    )
)
def test_any_form_is_read_without_a_fault(form: dict[str, list[str]]) -> None:
    settings = _declared()
    filled = read(form, settings, {"kurs"}, TODAY)
    assert filled.errors or filled.address
    str(filled.stored).encode()


def _declared() -> Settings:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        return open_settings(Path(folder), ATTRIBUTES)
