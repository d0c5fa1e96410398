"""How a text is named: the one table that files, commands and reports of trouble all answer by."""

from pathlib import Path

import pytest

from l3mail import slugs
from l3mail.cli.naming import slug_of
from l3mail.content.sources import read_library
from l3mail.errors import ContentError

FILES = {
    "lessons/kurs/01-start.md": "kurs/01-start",
    "lessons/kurs/01-start.de-simple.md": "kurs/01-start",
    "lessons/kurs/course.yaml": "kurs/course",
    "newsletters/2026-12.md": "newsletter/2026-12",
    "newsletters/2026-12.en.md": "newsletter/2026-12",
    "newsletters/lifecycle/tag.md": "lifecycle/tag",
    "templates/notices/confirmation.md": "notice/confirmation",
    "/srv/haus/lessons/kurs/02.uk.md": "kurs/02",
    "/srv/newsletters/lessons/kurs/02.md": "kurs/02",
    "templates/layouts/lesson.mjml": None,
    "l3mail.toml": None,
    "kurs/01-start.md": None,
    "": None,
}


@pytest.mark.parametrize(("path", "slug"), FILES.items(), ids=FILES)
def test_a_files_folder_says_its_slug(path: str, slug: str | None) -> None:
    assert slugs.of_file(path) == slug


def test_each_texts_file_is_named_as_the_texts_are() -> None:
    library = read_library(Path(), locale="de")
    assert len(library.sources) > 90
    for source in library.sources:
        assert slugs.of_file(source.path) == source.slug
        assert library.find(f"./{source.path}", source.locale) == source
        assert library.find(str(Path(source.path).absolute()), source.locale) == source


# What is typed, in which folder of a workspace, where which kind is meant: its slug, or None where
# it is refused.
TYPED: list[tuple[str, str, str, str | None]] = [
    ("newsletter/2026-12", "", "newsletter", "newsletter/2026-12"),
    ("2026-12", "", "newsletter", "newsletter/2026-12"),
    ("newsletters/2026-12.md", "", "newsletter", "newsletter/2026-12"),
    ("./newsletters/2026-12.en.md", "", "newsletter", "newsletter/2026-12"),
    ("2026-12.md", "newsletters", "newsletter", "newsletter/2026-12"),
    ("./2026-12.md", "newsletters", "newsletter", "newsletter/2026-12"),
    ("2026-12.md", "", "newsletter", "newsletter/2026-12"),
    ("newsletters/lifecycle/tag.md", "", "newsletter", None),
    ("tag.md", "newsletters/lifecycle", "newsletter", None),
    ("lessons/kurs/01.md", "", "newsletter", None),
    ("kurs/01", "", "newsletter", "kurs/01"),  # the database says that it is no issue
    ("tag", "", "lifecycle", "lifecycle/tag"),
    ("lifecycle/tag", "", "lifecycle", "lifecycle/tag"),
    ("newsletters/lifecycle/tag.md", "", "lifecycle", "lifecycle/tag"),
    ("tag.de-simple.md", "", "lifecycle", "lifecycle/tag"),
    ("./tag.de-simple.md", "newsletters/lifecycle", "lifecycle", "lifecycle/tag"),
    ("./tag.de-simple.md", "", "lifecycle", "lifecycle/tag"),
    ("newsletters/2026-12.md", "", "lifecycle", None),
    ("kurs/01", "", "", "kurs/01"),
    ("01", "", "", "01"),
    ("lessons/kurs/01.en.md", "", "", "kurs/01"),
    ("../kurs/01.md", "lessons/zweiter", "", "kurs/01"),
    ("/srv/haus/newsletters/2026-12.md", "", "", "newsletter/2026-12"),
    ("README.md", "", "", None),
]


@pytest.mark.parametrize("case", TYPED, ids=lambda case: f"{case[0]} in {case[1] or '.'}")
def test_what_was_typed_names_a_text(
    case: tuple[str, str, str, str | None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    typed, folder, kind, slug = case
    here = tmp_path / folder
    here.mkdir(parents=True, exist_ok=True)
    monkeypatch.chdir(here)
    if slug is None:
        with pytest.raises(ContentError, match=r"is no .*; those are in "):
            slug_of(typed, kind)
    else:
        assert slug_of(typed, kind) == slug
