"""From a workspace's files to what is published in its database."""

import os
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal

from sqlalchemy import Connection

from l3mail import (
    actions,
    conditions,
    consents,
    content,
    courses,
    migrations,
    newsletters,
    publishing,
    segments,
    streams,
    triggers,
)
from l3mail.database import opened
from l3mail.errors import SegmentError
from l3mail.segments import Vocabulary
from l3mail.settings import DesignSection, Settings, make_state, written_in
from l3mail.wiring.databases import is_founded, only_sender, require_nothing_lost
from l3mail.wiring.rules import asking_terms, declare_streams

_SAVED = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


MEDIA_FOLDER = "media"
"""Below `state/`: every image and file a published text refers to, by its digest."""


def read_content(settings: Settings) -> content.Library:
    """The workspace's texts as they lie in its files."""
    return content.read_library(
        settings.folder,
        locale=settings.workspace.locale,
        attributes=frozenset(settings.attributes),
        streams=frozenset(settings.streams),
        design=design_of(settings),
        house=settings.workspace.name,
        clients=settings.check.clients,
    )


def design_of(settings: Settings) -> content.Design:
    """The house's look, as l3mail.toml says it."""
    said = settings.design
    written: str = ""
    lines: dict[tuple[str, ...], int] = {}
    if said != DesignSection():
        written, lines = written_in(settings.folder)
    return content.Design(
        light=said.light.chosen,
        dark=said.dark.chosen,
        font=said.font,
        claim=said.claim,
        logo=said.logo,
        logo_dark=said.logo_dark,
        written=written,
        lines={path[1:]: line for path, line in lines.items() if path[0] == "design"},
    )


def compile_content(settings: Settings) -> tuple[content.Library, list[content.Text]]:
    """The workspace's texts, compiled; one whose audience can't be understood is broken."""
    library = read_content(settings)
    return library, compile_sources(settings, library, library.sources)


def compile_sources(
    settings: Settings, library: content.Library, sources: Iterable[content.Source]
) -> list[content.Text]:
    """Some of a library's texts, compiled; a text takes tens of milliseconds."""
    vocabulary = Vocabulary(
        attributes=asking_terms(settings).attributes,
        streams=library.streams | library.courses,
        courses=library.courses,
        # Saved segments, and texts whose file is gone, are known to the database alone.
        messages=None,
        segments=None,
    )
    texts = [_asked(content.compile_text(library, source), vocabulary) for source in sources]
    if settings.tracking.mode == "consent":
        return texts
    return [_unseen(text, settings.tracking.mode, vocabulary) for text in texts]


def _unseen(text: content.Text, mode: str, vocabulary: Vocabulary) -> content.Text:
    """What waits for something that nobody takes note of would never come."""
    kind = text.source.matter.rule.get("trigger")
    waits = {}
    if kind in {"clicked", "inactive"}:
        place = text.source.mapped.line("trigger"), text.source.mapped.column("trigger")
        waits[place] = f"trigger {kind} sends to nobody"
    for one in text.conditions if text.compiled else ():
        if segments.observes(segments.parse(one.asks, vocabulary).tree):
            place = one.line, _column(text, one.line, one.asks)
            waits[place] = "it asks what people opened or clicked and is shown to nobody"
    found = [
        content.Finding(
            text.source.path,
            line,
            "warning",
            f'{what} while [tracking] mode is "{mode}";'
            ' take an interest: button instead, or write mode = "consent" into l3mail.toml',
            column=column,
        )
        for (line, column), what in waits.items()
    ]
    return replace(text, findings=(*text.findings, *found)) if found else text


def _column(text: content.Text, line: int, question: str, at: int = 1) -> int:
    """Where in its line a question begins, or a character of it; 0 where it is written apart."""
    begins = text.source.text.split("\n")[line - 1].find(question.split("\n", maxsplit=1)[0])
    return begins + at if begins >= 0 else 0


def _asked(text: content.Text, vocabulary: Vocabulary) -> content.Text:
    # An else asks what its if asks.
    said = [("::: if", one.asks, one.line) for one in text.conditions if not one.otherwise]
    question = getattr(text.source.matter, "segment", None)
    if question is not None and not _SAVED.fullmatch(question):
        said.append(('"segment"', question, text.source.mapped.line("segment")))
    severity: Literal["error", "warning"] = "warning" if text.draft else "error"
    faults = []
    for what, asks, line in said:
        try:
            segments.parse(asks, vocabulary)
        except SegmentError as error:
            at = error.column or 1 if error.line in {None, 1} else 1
            column, problem = _column(text, line, asks, at), f"{what}: {error.problem}"
            found = content.Finding(text.source.path, line, severity, problem, column=column)
            faults.append(found)
    return replace(text, compiled=None, findings=(*text.findings, *faults)) if faults else text


@dataclass(frozen=True, slots=True)
class Publication:
    """What one publishing changed: texts, courses whose structure is new, and why others wait.

    `wordings` of consents and the rules of `triggers` are in force from now on. `refused` is what
    only the database could tell: a text that asks for what nobody knows stayed as it was.
    """

    changes: list[publishing.Difference]
    courses: list[str]
    waiting: list[str]
    wordings: list[content.Wording]
    triggers: list[str]
    refused: list[content.Finding] = field(default_factory=list)

    def __bool__(self) -> bool:
        """Whether anything changed at all."""
        return bool(self.changes or self.courses or self.wordings or self.triggers)


def publish_content(
    connection: Connection,
    settings: Settings,
    library: content.Library,
    texts: Sequence[content.Text],
    *,
    by: str,
    now: datetime,
    wordings: Sequence[content.Wording] = (),
) -> Publication:
    """Publish sound texts, and define the courses and triggers they belong to, with their streams.

    A draft that was never published stays out of its course. A course with a lesson that is
    broken and has no published version keeps the structure it has, and is named. Idempotent.
    The files of media/ must have been stored by `store_media` before. `wordings` is what
    people agree to from now on. A course whose folder is gone is no longer on offer.
    """
    declare_streams(connection, settings, now)
    folders = {source.course for source in library.sources if source.course}
    streams.retire(connection, ("course",), folders | library.courses, now)
    agreed = [
        wording
        for wording in wordings
        if consents.declare_wording(connection, wording.name, wording.locale, wording.text, now)[1]
    ]
    texts, refused = _known(connection, settings, library, texts, now)
    changes = publishing.publish_texts(connection, texts, by, now)
    published = publishing.published_slugs(connection)
    drafts = {source.slug for source in library.sources if source.matter.draft}
    concerned = {text.source.course for text in texts}
    defined, waiting = [], []
    for curriculum in library.curricula:
        if curriculum.slug not in concerned:
            continue
        lessons = [step for step in curriculum.lessons if step[0] not in drafts - published]
        missing = [slug for slug, _ in lessons if slug not in published]
        if missing or not lessons:
            lacks = ", ".join(missing) or "every lesson"
            waiting.append(f"{curriculum.slug}: its structure waits, {lacks} is not published")
            continue
        stream_id = streams.declare(connection, curriculum.slug, "course", curriculum.title, now)
        outline = courses.Outline(
            slug=curriculum.slug,
            title=curriculum.title,
            cadence=curriculum.cadence,
            lessons=lessons,
            rules=curriculum.rules,
            asks=curriculum.asks,
        )
        before = courses.structure_of(connection, curriculum.slug)
        if courses.define(connection, outline, stream_id, now) != before:
            defined.append(curriculum.slug)
    declared = triggers.declare_published(connection, settings.workspace.locale, now)
    waiting += _scheduled(connection, settings, changes)
    return Publication(changes, defined, waiting, agreed, declared, refused)


def _scheduled(
    connection: Connection, settings: Settings, changes: Sequence[publishing.Difference]
) -> list[str]:
    """Issues among the changes that go out with the text they were scheduled with, in words."""
    slugs = {change.slug for change in changes if change.state == "changed"}
    zone = settings.zone
    return [
        f"{slug}: it goes out {at.astimezone(zone):%a %Y-%m-%d %H:%M} with the text it was"
        f" scheduled with; to send this one: l3mail newsletters cancel {slug}, and schedule it anew"
        for slug, at in newsletters.unplanned(connection, slugs)
    ]


def _known(
    connection: Connection,
    settings: Settings,
    library: content.Library,
    texts: Sequence[content.Text],
    now: datetime,
) -> tuple[list[content.Text], list[content.Finding]]:
    """The texts whose conditions ask for nothing unknown, and what is wrong with the others."""
    if not any(text.conditions for text in texts):
        return list(texts), []
    terms = asking_terms(settings)
    known = terms.vocabulary(connection)
    vocabulary = replace(
        known,
        streams={*(known.streams or ()), *library.courses},
        courses={*(known.courses or ()), *library.courses},
        messages={*(known.messages or ()), *(source.slug for source in library.sources)},
    )
    judged = [_asked(text, vocabulary) if text.conditions else text for text in texts]
    refused = [
        finding
        for before, after in zip(texts, judged, strict=True)
        for finding in after.findings[len(before.findings) :]
    ]
    for text in judged:
        # What the database can't be asked at all is not found out by a sender.
        conditions.shown_to(connection, text.compiled or {}, 0, now, terms)
    return judged, refused


@dataclass(frozen=True, slots=True)
class Kept:
    """A medium that was stored, with the bytes of what it was made of and of what is sent."""

    medium: content.Medium
    before: int
    after: int


def store_media(
    settings: Settings,
    library: content.Library,
    texts: Sequence[content.Text],
    tell: Callable[[float], None] = lambda _share: None,
) -> list[Kept]:
    """Keep every file these texts refer to, for as long as mails show it; those that are new.

    What a recipe makes is made here and only here, once. `tell` hears the share that is done.
    """
    stored = []
    wanted = sorted(
        {medium for text in texts if text.compiled for medium in text.media},
        key=lambda medium: (medium.path, medium.digest),
    )
    for number, medium in enumerate(wanted):
        tell(number / len(wanted))
        target = settings.state_dir / MEDIA_FOLDER / medium.digest / medium.name
        if target.exists():
            continue
        data = content.bytes_of(library, medium)
        target.parent.mkdir(parents=True, exist_ok=True)
        beside = target.with_name(f".{medium.name}.{os.getpid()}")
        beside.write_bytes(data)
        # Renamed, so that the web never serves half a file.
        beside.replace(target)
        before = (library.folder / medium.path).stat().st_size
        stored.append(Kept(medium, before, len(data)))
    return stored


def set_up(settings: Settings, *, by: str, now: datetime) -> Publication:
    """Make the workspace's database and publish every sound text of its files; idempotent.

    Noted is only what changed. Refuses, with SenderBusyError, while somebody sends from it.
    """
    if not is_founded(settings):
        require_nothing_lost(settings)
    make_state(settings.state_dir)
    library, texts = compile_content(settings)
    with opened(settings.database_url) as database, only_sender(database):
        migrations.upgrade(database, now)
        store_media(settings, library, texts)

        def verb(connection: Connection) -> Publication:
            done = publish_content(
                connection, settings, library, texts, by=by, now=now, wordings=library.wordings
            )
            if done:
                actions.note(connection, by, "init", {"texts": len(done.changes)}, now)
            return done

        return database.write(verb)
