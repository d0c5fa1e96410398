"""How the texts in the files stand to what is published, told quickly.

Compiling every text takes a second; here only those are compiled that can have changed, so that
`status` may ask each time.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Connection

from l3mail import publishing, slugs
from l3mail.content import Finding, Library, Source, Text, block_names
from l3mail.content.designs import SETTINGS
from l3mail.database import Database
from l3mail.publishing import InForce, Standing, State
from l3mail.settings import Settings
from l3mail.wiring.contents import compile_sources, read_content

PAPER = ".pdf"
"""What a link to a worksheet ends in."""

_Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Survey:
    """Every text that has a file or a published version, in slug order.

    `unreadable` are files that are no text, or say nothing of a course, with what is wrong.
    """

    standings: tuple[Standing, ...]
    unreadable: tuple[Finding, ...] = ()

    def of(self, *states: State) -> list[Standing]:
        """The texts in these states."""
        return [one for one in self.standings if one.state in states]

    @property
    def broken(self) -> dict[str, str]:
        """The slugs of texts that can't be published as their files are, with the file."""
        unreadable = (finding.path for finding in self.unreadable)
        found = {slugs.of_file(path) or path: path for path in unreadable}
        found.update((one.slug, one.path or "") for one in self.of("broken"))
        return found


def survey_content(settings: Settings, database: Database) -> Survey:
    """How the workspace's texts stand now.

    A text is compiled where its file is not what was published. Where a layout, the words or
    the images are younger than that, one text of each look is compiled, and the others of its
    look only if that one has changed. What only another version of this program would compile
    otherwise is not seen here, but by `l3mail content status`.
    """
    library = read_content(settings)
    known = database.read(publishing.in_force)
    drafts = {_key(source) for source in library.sources if source.matter.draft}
    own = [
        source
        for source in library.sources
        if _key(source) not in drafts and not _is_as_published(source, known.get(_key(source)))
    ]
    texts = compile_sources(settings, library, own)
    for look in _framed_anew(library, known, {_key(source) for source in own} | drafts):
        sample = compile_sources(settings, library, look[:1])
        texts += sample
        if sample[0].compiled is None or database.read(_differing(sample)):
            texts += compile_sources(settings, library, look[1:])
    standings = database.read(lambda connection: publishing.standings(connection, texts))
    errors = [finding for finding in library.findings if finding.severity == "error"]
    return Survey(tuple(_completed(library, standings, drafts)), tuple(errors))


def _differing(texts: Sequence[Text]) -> Callable[[Connection], Sequence[object]]:
    return lambda connection: publishing.differences(connection, texts)


def _key(source: Source) -> _Key:
    return source.slug, source.locale


def _is_as_published(source: Source, published: InForce | None) -> bool:
    return published is not None and published.source == source.text


def _framed_anew(
    library: Library, known: dict[_Key, InForce], settled: set[_Key]
) -> Iterator[list[Source]]:
    """Texts whose own file is as published while what is around it is younger, look by look."""
    frame = max(_youngest(library.folder / "templates"), _written(library.folder / SETTINGS))
    images = _youngest(library.folder / "media")
    if library.design.logo:
        frame = max(frame, images)
    looks: dict[tuple[str, ...], list[Source]] = {}
    for source in library.sources:
        if _key(source) in settled:
            continue
        since = known[_key(source)].published_at
        # A worksheet has a template of its own, and the house's colours.
        made = frame > since and PAPER in source.text
        if made or (images > since and "media/" in source.text):
            looks[_key(source)] = [source]
        elif frame > since:
            # Each block has partials of its own: texts with others may look as before.
            blocks = sorted(block_names(source.text))
            look = ("", source.matter.layout, source.locale, source.kind, *blocks)
            looks.setdefault(look, []).append(source)
    yield from looks.values()


def _youngest(folder: Path) -> datetime:
    """When something below a folder was last written."""
    moments = [_written(path) for path in folder.rglob("*") if path.is_file()]
    return max(moments, default=datetime.fromtimestamp(0, UTC))


def _written(file: Path) -> datetime:
    return datetime.fromtimestamp(file.stat().st_mtime if file.exists() else 0, UTC)


def _completed(library: Library, standings: list[Standing], drafts: set[_Key]) -> list[Standing]:
    """With the texts that needed no look: as `standings` sees it, they have no file."""
    by_key = {(one.slug, one.locale): one for one in standings}
    for source in library.sources:
        key = _key(source)
        if key in drafts:
            known = by_key.get(key, Standing(*key, "draft"))
            by_key[key] = replace(known, state="draft", path=source.path)
        elif by_key[key].state == "gone":
            by_key[key] = replace(by_key[key], state="published", path=source.path)
    return [by_key[key] for key in sorted(by_key)]
