"""Which of the demo's mails hang in its gallery: each text once, as one of its people got it.

Owns the choice and the order. Reads rows and mails; how they are shown is the gallery's.
"""

from collections import Counter
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Row, select

from l3mail import gallery
from l3mail.demo.evidence import Evidence
from l3mail.demo.mailserver import Arrived
from l3mail.gallery import Exhibit, Part
from l3mail.models import MESSAGE

GALLERY: Final = "gallery"
_TITLE: Final = "What the demo's people got"

_IN_COURSE: Final = ("welcome", "lesson", "evaluation")
_IN_ORDER: Final = ("confirmation", *_IN_COURSE)
_PARTS: Final[tuple[tuple[str, Callable[[Row[Any]], bool]], ...]] = (
    ("Signing up", lambda row: row.purpose == "request"),
    ("The course", lambda row: row.kind in _IN_COURSE),
    ("The newsletter", lambda row: row.kind == "newsletter"),
    ("On an occasion", lambda row: row.kind == "lifecycle"),
    ("To the staff", lambda row: row.purpose == "staff"),
)


def hang(seen: Evidence, folder: Path, media: Path) -> Path:
    """Make the gallery in a demo's folder; return the page to open first.

    `media` is where the workspace keeps the images of published texts.
    """
    lead = (
        f"{len(seen.asked)} people, ten weeks, {len(seen.arrived)} mails: each text once,"
        " as the first of its readers got it; of what the staff gets, the longest of a kind."
    )
    files = gallery.hang(_parts(seen), title=_TITLE, lead=lead, media=media)
    return gallery.write(files, folder / GALLERY)


def _parts(seen: Evidence) -> list[Part]:
    texts = {row.id: row for row in seen.rows(select(MESSAGE.c.id, MESSAGE.c.locale))}
    taken = (row for row in seen.deliveries.values() if row.state == "accepted")
    readers = Counter(row.message_id for row in taken)
    chosen: dict[int | str, tuple[Row[Any], Arrived]] = {}
    for one in seen.arrived:
        row = seen.delivery(one)
        if row is None or row.message_id is None:
            continue
        if row.purpose == "staff":
            # Each is written anew: of a kind the one with the most to say.
            known = chosen.setdefault(row.slug, (row, one))
            if len(one.content) > len(known[1].content):
                chosen[row.slug] = (row, one)
        else:
            chosen.setdefault(row.message_id, (row, one))
    parts = []
    for title, belongs in _PARTS:
        room = [
            (_place(row, texts[row.message_id].locale), row, one)
            for row, one in chosen.values()
            if belongs(row)
        ]
        exhibits = (
            Exhibit(
                name=row.slug,
                kind=row.kind,
                locale=texts[row.message_id].locale,
                mail=one.content,
                note=_note(seen.local(one.at), readers[row.message_id]),
            )
            for _, row, one in sorted(room, key=lambda found: found[0])
        )
        parts.append(Part(title, tuple(exhibits)))
    return parts


def _place(row: Row[Any], locale: str) -> tuple[int, str, int, str]:
    """Where a text hangs: as a course runs, then by name, the workspace's language first."""
    order = _IN_ORDER.index(row.kind) if row.kind in _IN_ORDER else len(_IN_ORDER)
    return order, row.slug, len(locale), locale


def _note(at: datetime, readers: int) -> str:
    return f"{at:%a %d %b %Y %H:%M}, {f'one of {readers}' if readers > 1 else 'the only one'}"
