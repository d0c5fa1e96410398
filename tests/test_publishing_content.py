"""From files to what is in force: whole, in one transaction, and never worse than before."""

import shutil
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from l3mail import courses, outbox, publishing, streams
from l3mail.content import Library, Text, compile_all
from l3mail.database import Database
from l3mail.errors import ContentError
from l3mail.models import COURSE, DELIVERY, ENROLLMENT, LESSON, LINK, MESSAGE, STREAM, STRUCTURE
from l3mail.settings import FILE, Settings, load_settings
from l3mail.wiring import Publication, publish_content, read_content, store_media
from tests.fakes.library import COURSE as YAML
from tests.fakes.library import LESSON as MATTER
from tests.fakes.library import Shelf
from tests.fakes.village import BACKENDS, Village, ground

SETTINGS = """
[streams.newsletter]
title = "Neues"
[streams.lifecycle]
title = "Grüße"
kind = "lifecycle"
"""


@pytest.fixture(scope="module", params=BACKENDS)
def database(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Database]:
    with ground(request.param, tmp_path_factory.mktemp("publishing")) as database:
        yield database


class Press:
    """A village whose texts lie in a folder."""

    def __init__(self, village: Village, folder: Path) -> None:
        self.village = village
        self.shelf = Shelf(folder)
        self.shelf.put(FILE, SETTINGS)

    @property
    def settings(self) -> Settings:
        return load_settings(self.shelf.folder, {})

    @property
    def library(self) -> Library:
        return read_content(self.settings)

    @property
    def texts(self) -> list[Text]:
        return compile_all(read_content(self.settings))

    def publish(self, *slugs: str) -> Publication:
        library = read_content(self.settings)
        texts = [t for t in compile_all(library) if not slugs or t.source.slug in slugs]
        self.village.clock.advance(timedelta(minutes=1))
        return self.village.do(
            publish_content, self.settings, library, texts, by="eva", now=self.village.now
        )

    def states(self) -> dict[str, str]:
        found = self.village.do(publishing.standings, self.texts)
        return {standing.slug: standing.state for standing in found}

    def lessons(self) -> list[str]:
        query = (
            select(LESSON.c.slug)
            .join(COURSE, COURSE.c.current_structure_id == LESSON.c.structure_id)
            .order_by(LESSON.c.position)
        )
        return [row.slug for row in self.village.ask(query)]

    def current(self, slug: str) -> str:
        query = select(MESSAGE.c.source).where(
            MESSAGE.c.slug == slug, MESSAGE.c.superseded_at.is_(None)
        )
        (row,) = self.village.ask(query)
        return str(row.source)


@pytest.fixture
def press(database: Database, tmp_path: Path) -> Press:
    village = Village(database)
    village.empty()
    press = Press(village, tmp_path)
    press.shelf.course()
    for name in ("01-start", "02-video", "evaluation"):
        press.shelf.text(f"lessons/kurs/{name}.md", f"Das ist {name}.")
    press.shelf.text("newsletters/2026-12.md", "[Mehr dazu](https://stadt.example 'mehr')")
    return press


def slugs(changes: Sequence[publishing.Difference]) -> list[str]:
    return [change.slug for change in changes]


def test_publishing_puts_texts_streams_and_courses_in_force(press: Press) -> None:
    done = press.publish()
    assert slugs(done.changes) == [
        "kurs/01-start",
        "kurs/02-video",
        "kurs/evaluation",
        "newsletter/2026-12",
    ]
    assert (done.courses, done.waiting) == (["kurs"], [])
    assert press.lessons() == ["kurs/01-start", "kurs/02-video", "kurs/evaluation"]
    assert set(press.states().values()) == {"published"}
    made = press.village.ask(select(STREAM.c.slug, STREAM.c.kind).order_by(STREAM.c.slug))
    assert made == [("kurs", "course"), ("lifecycle", "lifecycle"), ("newsletter", "newsletter")]
    links = press.village.ask(select(LINK.c.number, LINK.c.url, LINK.c.name))
    assert links == [(1, "https://stadt.example", "mehr")]


def test_publishing_again_changes_nothing(press: Press) -> None:
    press.publish()
    before = press.village.rows(MESSAGE), press.village.rows(STRUCTURE)
    done = press.publish()
    assert (done.changes, done.courses) == ([], [])
    assert (press.village.rows(MESSAGE), press.village.rows(STRUCTURE)) == before


def test_saving_a_file_sends_nothing_until_it_is_published(press: Press) -> None:
    press.publish()
    press.shelf.text("lessons/kurs/01-start.md", "Neu.")
    assert press.states()["kurs/01-start"] == "changed"
    assert "Das ist 01-start." in press.current("kurs/01-start")
    (change,) = press.publish().changes
    assert (change.state, change.added, change.removed) == ("changed", 1, 1)
    assert "-Das ist 01-start." in change.lines
    assert "Neu." in press.current("kurs/01-start")


@pytest.mark.parametrize(
    ("body", "matter", "state"),
    [("{{ foo }}", MATTER, "broken"), ("Neu.", f"{MATTER}\ndraft: true", "draft")],
    ids=["broken", "draft"],
)
def test_a_broken_or_draft_file_leaves_the_published_version(
    press: Press, body: str, matter: str, state: str
) -> None:
    press.publish()
    press.shelf.text("lessons/kurs/01-start.md", body, matter)
    press.shelf.text("lessons/kurs/02-video.md", "Neu.")
    done = press.publish()
    assert slugs(done.changes) == ["kurs/02-video"]
    assert press.states()["kurs/01-start"] == state
    assert "Das ist 01-start." in press.current("kurs/01-start")
    assert press.lessons() == ["kurs/01-start", "kurs/02-video", "kurs/evaluation"]


def test_a_deleted_file_stays_published_and_is_told(press: Press) -> None:
    press.publish()
    (press.shelf.folder / "newsletters/2026-12.md").unlink()
    assert press.states()["newsletter/2026-12"] == "gone"


def test_a_course_waits_for_a_broken_lesson_and_leaves_out_a_draft(press: Press) -> None:
    press.shelf.text("lessons/kurs/02-video.md", "{{ foo }}")
    done = press.publish()
    assert done.courses == []
    assert done.waiting == ["kurs: its structure waits, kurs/02-video is not published"]
    assert press.lessons() == []
    press.shelf.text("lessons/kurs/02-video.md", "Bald.", f"{MATTER}\ndraft: true")
    assert press.publish().courses == ["kurs"]
    assert press.lessons() == ["kurs/01-start", "kurs/evaluation"]


def test_a_new_rhythm_is_for_those_who_begin_later(press: Press) -> None:
    press.publish()
    person = press.village.learner()
    press.village.do(courses.enroll, "kurs", person, press.village.now, press.settings.zone)
    press.shelf.course(yaml=YAML.replace("mon", "tue"))
    assert press.publish().courses == ["kurs"]
    (enrollment,) = press.village.rows(ENROLLMENT)
    (course,) = press.village.rows(COURSE)
    assert enrollment["structure_id"] != course["current_structure_id"]


def test_a_named_text_is_published_alone(press: Press) -> None:
    done = press.publish("newsletter/2026-12")
    assert slugs(done.changes) == ["newsletter/2026-12"]
    assert press.village.rows(COURSE) == []


def test_deliveries_that_waited_for_the_text_are_queued(press: Press) -> None:
    village = press.village
    held = {"state": "held", "reason": outbox.UNPUBLISHED}
    person = village.learner()
    mine = village.delivery(person, slug="kurs/01-start", **held)
    other = village.delivery(person, slug="kurs/09-other", **held)
    capped = village.delivery(person, slug="kurs/01-start", state="held", reason="cap")
    press.publish()
    assert [village.state(n) for n in (mine, other, capped)] == ["queued", "held", "held"]
    assert village.row(DELIVERY, mine)["reason"] is None
    assert [started.id for started in village.start()] == [mine]


def test_a_change_of_the_layout_changes_what_is_sent(press: Press) -> None:
    press.publish()
    words = press.shelf.folder / "templates/words.toml"
    words.write_text(words.read_text(encoding="utf-8").replace("Abmelden", "Abbestellen"))
    done = press.publish()
    assert len(done.changes) == 4
    assert all(change.lines == () for change in done.changes)


def test_an_old_version_keeps_its_image(press: Press) -> None:
    press.shelf.image(width=300)
    press.shelf.text("lessons/kurs/01-start.md", "![Tafel](media/tafel.png)")
    assert len(store_media(press.settings, press.library, press.texts)) == 1
    press.shelf.image(width=200)
    assert len(store_media(press.settings, press.library, press.texts)) == 1
    assert len(store_media(press.settings, press.library, press.texts)) == 0
    kept = list((press.settings.state_dir / "media").glob("*/tafel.png"))
    assert len({file.read_bytes() for file in kept}) == 2
    assert list((press.settings.state_dir / "media").glob("*/.*")) == []


def test_a_worksheet_is_made_once_when_it_is_published(
    press: Press, monkeypatch: pytest.MonkeyPatch
) -> None:
    press.shelf.text("media/blatt.md", "Ja.", 'title: "Ziele"')
    press.shelf.text("lessons/kurs/01-start.md", "[Blatt](media/blatt.pdf)")
    told: list[float] = []
    assert len(store_media(press.settings, press.library, press.texts, told.append)) == 1
    (kept,) = (press.settings.state_dir / "media").glob("*/blatt.pdf")
    assert kept.read_bytes().startswith(b"%PDF")
    assert told == [0.0]
    monkeypatch.setattr("l3mail.content.worksheets.typeset", None)
    assert len(store_media(press.settings, press.library, press.texts)) == 0
    assert press.publish().changes


def test_a_worksheet_that_changed_while_it_was_published_is_not_stored(press: Press) -> None:
    press.shelf.text("media/blatt.md", "Ja.", 'title: "Ziele"')
    press.shelf.text("lessons/kurs/01-start.md", "[Blatt](media/blatt.pdf)")
    texts = press.texts
    press.shelf.text("media/blatt.md", "Nein.", 'title: "Ziele"')
    with pytest.raises(ContentError, match="publish again"):
        store_media(press.settings, press.library, texts)
    assert list((press.settings.state_dir / "media").rglob("*.pdf")) == []


def test_who_is_due_next_is_counted_by_lesson(press: Press) -> None:
    press.publish()
    for name in ("ada", "bob"):
        person = press.village.learner(f"{name}@schule.example")
        press.village.do(courses.enroll, "kurs", person, press.village.now, press.settings.zone)
    (due,) = press.village.do(courses.next_due)
    assert (due.slug, due.people) == ("kurs/01-start", 2)
    assert due.due_at > press.village.now


def offered(press: Press) -> list[str]:
    return [offer.slug for offer in press.village.do(streams.offers)]


def test_what_the_files_no_longer_name_is_no_longer_on_offer(press: Press) -> None:
    press.publish()
    assert offered(press) == ["newsletter", "lifecycle", "kurs"]
    press.shelf.put(FILE, '[streams.lifecycle]\ntitle = "Grüße"\nkind = "lifecycle"\n')
    shutil.rmtree(press.shelf.folder / "lessons/kurs")
    press.publish("newsletter/2026-12")
    assert offered(press) == ["lifecycle"]
    press.shelf.put(FILE, SETTINGS)
    press.publish()
    assert offered(press) == ["newsletter", "lifecycle"]


def test_a_course_whose_file_is_broken_stays_on_offer(press: Press) -> None:
    press.publish()
    press.shelf.put("lessons/kurs/course.yaml", "title: [")
    press.publish()
    assert "kurs" in offered(press)
