"""Certificates: one for who has completed a course, under one code, gone with the person."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from l3mail import certificates, subscribers
from l3mail.certificates import MOST_CORRECTIONS, Certificate
from l3mail.models import CERTIFICATE, ENROLLMENT
from tests.fakes.desk import Desk, at_a_desk
from tests.fakes.newcomer import RULES
from tests.fakes.village import Village
from tests.test_courses import enroll, school


def completed(village: Village, address: str = "ada@schule.example") -> tuple[int, int]:
    """Somebody who has completed the course: the person, the enrollment."""
    person = village.learner(address)
    journey = enroll(village, person)
    village.change(ENROLLMENT, journey, completed_at=village.now)
    return person, journey


def issue(village: Village, journey: int, name: str = "Ada Lovelace") -> Certificate | None:
    return village.do(
        certificates.issue,
        journey,
        name=name,
        title="Digital kommunizieren",
        completed_at=village.now,
        now=village.now,
    )


def test_asked_again_it_is_the_same_certificate(village: Village) -> None:
    school(village)
    _, journey = completed(village)
    first = issue(village, journey)
    assert first is not None
    assert issue(village, journey) == first
    assert len(village.rows(CERTIFICATE)) == 1


def test_another_name_keeps_the_code_and_is_counted(village: Village) -> None:
    school(village)
    _, journey = completed(village)
    first, second = issue(village, journey), issue(village, journey, "Ada King")
    assert first is not None
    assert second is not None
    assert (second.code, second.name, second.corrections) == (first.code, "Ada King", 1)
    assert second.issued_at == first.issued_at


def test_a_name_cannot_be_changed_for_ever(village: Village) -> None:
    school(village)
    _, journey = completed(village)
    for number in range(MOST_CORRECTIONS + 1):
        assert issue(village, journey, f"Ada {number}") is not None
    assert issue(village, journey, "Noch jemand") is None
    kept = village.do(certificates.find, journey)
    assert kept is not None
    assert kept.name == f"Ada {MOST_CORRECTIONS}"
    # The name that stands on it can still be had.
    assert issue(village, journey, kept.name) == kept


def test_a_code_has_128_bits_and_says_nothing(village: Village) -> None:
    school(village)
    codes = set()
    for n in range(5):
        made = issue(village, completed(village, f"p{n}@schule.example")[1])
        assert made is not None
        assert re.fullmatch(r"[a-z2-7]{26}", made.code)
        codes.add(made.code)
    assert len(codes) == 5


def test_a_code_is_found_however_it_is_typed(village: Village) -> None:
    school(village)
    made = issue(village, completed(village)[1])
    assert made is not None
    for typed in (made.code, made.written_code, made.code.upper(), f" {made.written_code}. "):
        assert village.do(certificates.look_up, typed) == made


@pytest.mark.parametrize("typed", ["", "-", "x", "a" * 26, "a" * 100_000, "' OR 1", "\0", "😀"])
def test_any_other_code_finds_nothing(village: Village, typed: str) -> None:
    school(village)
    issue(village, completed(village)[1])
    assert village.do(certificates.look_up, typed) is None


def test_erasing_a_person_takes_their_certificate_and_no_other(village: Village) -> None:
    school(village)
    person, journey = completed(village)
    gone, kept = issue(village, journey), issue(village, completed(village, "bob@x.de")[1])
    assert gone is not None
    assert kept is not None
    village.do(subscribers.erase, RULES, person, village.now, by="test")
    assert village.do(certificates.look_up, gone.code) is None
    assert village.do(certificates.look_up, kept.code) == kept


def test_what_is_known_of_a_person_has_their_certificate(village: Village) -> None:
    school(village)
    person, journey = completed(village)
    made = issue(village, journey)
    assert made is not None
    shown = village.do(subscribers.show, person)
    assert shown is not None
    (told,) = shown["enrollments"]
    assert (told["certificate"]["name"], told["certificate"]["code"]) == (made.name, made.code)


@pytest.fixture
def desk(tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    """Ada and Bob have completed the course, Ada has a certificate; Carl learns on."""
    with at_a_desk(tmp_path, capsys, monkeypatch) as desk:
        school(desk.village)
        issue(desk.village, completed(desk.village)[1])
        completed(desk.village, "bob@x.de")
        enroll(desk.village, desk.village.learner("carl@x.de"))
        yield desk


def test_operators_see_who_has_completed_and_who_has_a_certificate(desk: Desk) -> None:
    lines = desk.run("courses", "certificates", "kurs").splitlines()
    assert [line.split("\t")[0] for line in lines] == ["ADDRESS", "bob@x.de", "ada@schule.example"]
    assert "not asked for" in lines[1]
    assert "Ada Lovelace" in lines[2]


def test_programs_get_the_same_with_the_address_to_verify(desk: Desk) -> None:
    bob, ada = desk.json("courses", "certificates", "kurs")
    assert (bob["email"], bob["name"], bob["verify"]) == ("bob@x.de", None, None)
    assert ada["verify"].endswith(f"/verify/{ada['code']}")
    assert ada["completed_at"].endswith("+01:00")


def test_only_so_many_are_listed(desk: Desk) -> None:
    told = desk.run("courses", "certificates", "kurs", "--limit", "1")
    assert told.splitlines()[-1] == "The latest 1; --limit shows more."


def test_a_course_that_is_none_is_named(desk: Desk) -> None:
    desk.run("courses", "certificates", "kursus", code=1)
    assert "kursus" in desk.error
