"""Which file is which text, and which files are none."""

from pathlib import Path

import pytest

from l3mail.content import Translated, compile_all, translated
from l3mail.errors import ContentError
from tests.fakes.library import COURSE, LESSON, Shelf


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path)


def test_folders_and_suffixes_make_slugs_and_locales(shelf: Shelf) -> None:
    shelf.lesson()
    for path in (
        "lessons/kurs/01-start.de-simple.md",
        "lessons/kurs/evaluation.md",
        "lessons/kurs/welcome.en.md",
        "lessons/kurs/README.md",
        "newsletters/2026-12.md",
        "newsletters/lifecycle/birthday.md",
        "templates/notices/confirmation.md",
    ):
        shelf.text(path)
    found = {(s.slug, s.locale, s.kind, s.course) for s in shelf.library.sources}
    assert found == {
        ("kurs/01-start", "de", "lesson", "kurs"),
        ("kurs/01-start", "de-simple", "lesson", "kurs"),
        ("kurs/evaluation", "de", "evaluation", "kurs"),
        ("kurs/welcome", "en", "welcome", "kurs"),
        ("newsletter/2026-12", "de", "newsletter", None),
        ("lifecycle/birthday", "de", "lifecycle", None),
        ("notice/confirmation", "de", "notice", None),
    }


def test_a_course_is_its_numbered_files_in_order_and_the_evaluation(shelf: Shelf) -> None:
    for name in ("02-video", "10-ende", "01-start", "evaluation", "welcome"):
        shelf.text(f"lessons/kurs/{name}.md")
    shelf.course(
        yaml=COURSE
        + "grace: 48h\nstart: 2027-05-03\nclosed: [2026-12-21..2027-01-03, 2027-05-17]\n"
        'skip_holidays: DE-SN\nfrom: "Kurs <kurs@stadt.example>"\n'
    )
    (course,) = shelf.library.curricula
    assert course.lessons == (
        ("kurs/01-start", "lesson"),
        ("kurs/02-video", "lesson"),
        ("kurs/10-ende", "lesson"),
        ("kurs/evaluation", "evaluation"),
    )
    assert course.welcome == "kurs/welcome"
    assert course.cadence == {"weekday": "mon", "at": "10:00"}
    assert course.rules == {
        "grace": 172_800,
        "start": "2027-05-03",
        "closed": ["2026-12-21..2027-01-03", "2027-05-17"],
        "skip_holidays": "DE-SN",
    }
    assert course.sender == '"Kurs" <kurs@stadt.example>'


def test_a_course_can_name_its_lessons_in_another_order(shelf: Shelf) -> None:
    for name in ("01-start", "02-video", "03-bild", "evaluation"):
        shelf.text(f"lessons/kurs/{name}.md")
    shelf.course(yaml=COURSE + "lessons: [3, kurs/01-start, 02-video.md]\nevaluation: false\n")
    (course,) = shelf.library.curricula
    assert [slug for slug, _ in course.lessons] == [
        "kurs/03-bild",
        "kurs/01-start",
        "kurs/02-video",
    ]


def test_a_text_is_found_by_slug_or_path_and_falls_back_by_subtags(shelf: Shelf) -> None:
    shelf.lesson()
    shelf.text("lessons/kurs/01-start.en.md")
    library = shelf.library
    path = "lessons/kurs/01-start.en.md"
    assert library.find("kurs/01-start").locale == "de"
    assert library.find(path).locale == "en"
    assert library.find("kurs/01-start", "en-GB").locale == "en"
    assert library.find("kurs/01-start", "fr").locale == "de"
    with pytest.raises(ContentError, match='did you mean "kurs/01-start"'):
        library.find("kurs/01-strat")


def test_a_link_out_of_the_workspace_is_refused(shelf: Shelf, tmp_path: Path) -> None:
    outside = tmp_path.parent / f"{tmp_path.name}-outside"
    outside.mkdir()
    (outside / "03-secret.md").write_text("secret")
    shelf.lesson()
    (shelf.folder / "lessons/kurs/03-secret.md").symlink_to(outside / "03-secret.md")
    (shelf.folder / "lessons" / "fremd").symlink_to(outside)
    assert [told.split(": ")[1][:29] for told in shelf.findings] == 2 * [
        "leads out of the workspace; c"
    ]
    assert [source.slug for source in shelf.library.sources] == ["kurs/01-start"]


FILES = {
    "huge": (b"x" * 1_000_001, 1, "larger than 1,000,000 bytes"),
    "Latin-1": ("---\nsubject: a\n---\nGrüße".encode("latin-1"), 4, "not UTF-8 text"),
    "NUL": (b"a\0b", 1, "holds a NUL"),
    "never ending keys": (b"---\nsubject: a\n", 1, "the front matter has no end"),
}


@pytest.mark.parametrize(("data", "line", "says"), FILES.values(), ids=FILES.keys())
def test_a_file_that_is_no_text_is_refused(shelf: Shelf, data: bytes, line: int, says: str) -> None:
    shelf.put("newsletters/2026-12.md", data)
    assert shelf.findings[0].startswith(f"newsletters/2026-12.md:{line}:")
    assert says in shelf.findings[0]


def test_windows_line_ends_and_its_mark_change_nothing(shelf: Shelf) -> None:
    shelf.lesson("eins\n\nzwei")
    path = shelf.folder / "lessons/kurs/01-start.md"
    before = shelf.compiled().compiled
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    assert shelf.compiled().compiled == before


def test_one_text_in_two_files_is_refused(shelf: Shelf) -> None:
    shelf.text("newsletters/2026-12.md")
    shelf.text("newsletters/2026-12.de.md")
    (told,) = shelf.findings
    assert "newsletter/2026-12 in de is newsletters/2026-12.de.md already" in told


def test_names_that_make_no_slug_or_locale_are_told(shelf: Shelf) -> None:
    shelf.lesson()
    shelf.text("lessons/kurs/notizen.md")
    shelf.text("newsletters/Dezember 2026.md")
    shelf.text("newsletters/2026-12.Deutsch_.md")
    shelf.put("lessons/Mein Kurs/course.yaml", COURSE)
    says = "\n".join(shelf.findings)
    assert "lessons/Mein Kurs:1: no course" in says
    assert "lessons/kurs/notizen.md:1: warning: no lesson" in says
    assert "use a-z, 0-9 and -" in says
    assert '"Deutsch_" is no locale' in says


def test_a_bomb_of_aliases_or_brackets_is_a_line(shelf: Shelf) -> None:
    bomb = "a: &a [x,x]\n" + "".join(f"b{n}: &b{n} [*a,*a]\n" for n in range(50))
    shelf.text("newsletters/bombe.md", matter=bomb)
    shelf.text("newsletters/klammern.md", matter="subject: " + "[" * 20_000)
    assert len(shelf.findings) == 2
    assert "aliases" in shelf.findings[0]
    assert "nested deeper" in shelf.findings[1]


def test_an_empty_workspace_has_no_texts_and_no_faults(shelf: Shelf) -> None:
    assert compile_all(shelf.library) == []
    assert shelf.findings == []


def test_the_keys_of_a_lifecycle_text_become_its_rule(shelf: Shelf) -> None:
    matter = (
        f'{LESSON}\ntrigger: clicked\nof: kurs/02-video\nafter: "2d"\nat: "09:00"\nonce: ever\n'
        'valid_for: "3d"\napproval: required\nsegment: "age >= 60"'
    )
    shelf.text("newsletters/lifecycle/nach-video.md", matter=matter)
    compiled = shelf.compiled("lifecycle/nach-video").compiled
    assert compiled is not None
    assert compiled["stream"] == "lifecycle"
    assert compiled["rule"] == {
        "trigger": "clicked",
        "after": "2d",
        "at": "09:00",
        "of": "kurs/02-video",
        "segment": "age >= 60",
        "once": "ever",
        "valid_for": "3d",
        "approval": "required",
    }


def test_a_lesson_that_no_course_names_is_told(shelf: Shelf) -> None:
    for name in ("01-start", "02-video", "03-bild", "evaluation"):
        shelf.text(f"lessons/kurs/{name}.md")
    shelf.text("lessons/kurs/04-spaeter.md", matter=LESSON + "\ndraft: true")
    shelf.course(yaml=COURSE + "lessons: [01-start, 02-video]\n")
    (told,) = shelf.findings
    assert told == (
        "lessons/kurs/03-bild.md:1: warning: 03-bild.md is in no course; add it to lessons in"
        " course.yaml, or leave lessons out to take all in order"
    )
    shelf.course()
    assert shelf.findings == []


@pytest.mark.parametrize("lessons", ["", "lessons: [01-start, 02-video]\n"])
def test_a_lesson_that_cannot_be_read_stays_in_its_course(shelf: Shelf, lessons: str) -> None:
    """One fault, told once; the course must not be published without the lesson meanwhile."""
    shelf.lesson()
    shelf.put("lessons/kurs/02-video.md", "---\nsubject: a\n---\nGrüße".encode("latin-1"))
    shelf.course(yaml=COURSE + lessons)
    (told,) = shelf.findings
    assert "02-video.md:4:3: this line is not UTF-8" in told
    (course,) = shelf.library.curricula
    assert [slug for slug, _ in course.lessons] == ["kurs/01-start", "kurs/02-video"]


FOUND = {
    "01-start": "kurs/01-start",
    "01-start.md": "kurs/01-start",
    "03-nur-hier": "foto/03-nur-hier",
}


@pytest.mark.parametrize(("name", "slug"), FOUND.items(), ids=FOUND.keys())
def test_a_text_is_found_by_its_last_part_if_there_is_one(
    shelf: Shelf, name: str, slug: str
) -> None:
    two_courses(shelf)
    assert shelf.library.find(name).slug == slug


UNKNOWN = {
    "01-strat": 'did you mean "kurs/01-start"?',
    "foto/01-start": 'did you mean "kurs/01-start"?',
    "hier": 'did you mean "foto/03-nur-hier"?',
    "02-video": "could be foto/02-video or kurs/02-video; write one",
    "xyz": "`l3mail content status` lists all",
}


@pytest.mark.parametrize(("name", "says"), UNKNOWN.items(), ids=UNKNOWN.keys())
def test_an_unknown_text_brings_the_nearest_and_no_list(shelf: Shelf, name: str, says: str) -> None:
    two_courses(shelf)
    with pytest.raises(ContentError) as fault:
        shelf.library.find(name)
    assert says in str(fault.value)
    assert "known are" not in str(fault.value)


def two_courses(shelf: Shelf) -> None:
    for course in ("kurs", "foto"):
        shelf.course(course)
        shelf.text(f"lessons/{course}/02-video.md")
    shelf.text("lessons/kurs/01-start.md")
    shelf.text("lessons/foto/03-nur-hier.md")


def test_a_variant_of_some_texts_of_a_course_is_told_and_one_of_all_is_not(shelf: Shelf) -> None:
    shelf.lesson()
    for path in ("02-video.md", "welcome.md", "01-start.de-simple.md", "welcome.de-simple.md"):
        shelf.text(f"lessons/kurs/{path}")
    shelf.text("newsletters/2026-12.md")
    assert translated(shelf.library) == [Translated("lessons/kurs", "de-simple", 2, 3, "de")]
    shelf.text("lessons/kurs/02-video.de-simple.md")
    assert translated(shelf.library) == []
    assert shelf.findings == []


def test_a_course_asks_for_declared_attributes_and_days(shelf: Shelf) -> None:
    shelf.lesson()
    shelf.course(yaml=COURSE + "asks: [role]\ncomplete_after: 7\n")
    (course,) = shelf.library.curricula
    assert (course.asks, course.rules, course.days) == (("role",), {"complete_after": 7}, 7)


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ("asks: [rolle]", '3: "rolle" is no attribute here; did you mean "role"?'),
        ("asks: [role, role]", '3: "asks" names an attribute twice; keep one'),
        ("asks: role", '3:7: "asks" should be a list such as [ziel]'),
        ("complete_after: 0", '3:17: "complete_after" should be a whole number of days from 1 on'),
        ("complete_after: true", '3:17: "complete_after" should be a whole number'),
        ("complete_after: 8", '3: "complete_after" is 8, and the lessons take 7 days; write less'),
    ],
)
def test_what_a_course_cannot_ask_is_told(shelf: Shelf, keys: str, says: str) -> None:
    shelf.lesson()
    shelf.course(yaml=COURSE + keys + "\n")
    assert any(f"lessons/kurs/course.yaml:{says}" in fault for fault in shelf.findings)
