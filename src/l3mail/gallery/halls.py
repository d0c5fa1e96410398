"""The gallery's files: an index, a page for each mail, and the mail itself in both designs.

Owns names and pages. File names depend on the mails' names and order alone.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from l3mail.gallery.designs import DESIGNS, has_dark_design, in_design
from l3mail.gallery.exhibits import Exhibit, Part

INDEX: Final = "index.html"
MAILS: Final = "mails"
_PAGES = Path(__file__).with_name("pages")


@dataclass(frozen=True, slots=True)
class Hung:
    """An exhibit with its place: `page` and `files` by what they are, as paths in the gallery."""

    exhibit: Exhibit
    page: str
    files: Mapping[str, str]
    has_dark_design: bool


def hang(
    parts: Sequence[Part], *, title: str, lead: str = "", media: Path | None = None
) -> dict[str, bytes]:
    """Every file of the gallery by its path in it; the first to open is `INDEX`.

    `media` holds the mails' images, as `/media/{digest}/{name}` names them.
    """
    rooms = _hung(parts)
    walls = list(chain.from_iterable(room for _, room in rooms))
    environment = Environment(
        loader=FileSystemLoader(_PAGES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    files = {"gallery.css": (_PAGES / "gallery.css").read_bytes()}
    index = environment.get_template("index.html")
    files[INDEX] = index.render(title=title, lead=lead, rooms=rooms, count=len(walls)).encode()
    page = environment.get_template("mail.html")
    for at, hung in enumerate(walls):
        before, after = walls[at - 1] if at else None, walls[at + 1] if walls[at + 1 :] else None
        words = page.render(title=title, hung=hung, one=hung.exhibit, before=before, after=after)
        files[hung.page] = words.encode()
        files[hung.files["eml"]] = hung.exhibit.mail
        for design in DESIGNS:
            if design in hung.files:
                html = in_design(hung.exhibit.html, design, media)
                files[hung.files[design]] = html.encode()
    return files


def write(files: Mapping[str, bytes], folder: Path) -> Path:
    """Put the files into a folder; return the one to open."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder / INDEX


def _hung(parts: Sequence[Part]) -> list[tuple[Part, list[Hung]]]:
    taken: Counter[str] = Counter({"index": 1})
    rooms = []
    for part in parts:
        room = []
        for exhibit in part.exhibits:
            taken[exhibit.stem] += 1
            number = taken[exhibit.stem]
            stem = exhibit.stem if number == 1 else f"{exhibit.stem}-{number}"
            files = {"eml": f"{MAILS}/{stem}.eml"}
            if exhibit.html:
                files |= {design: f"{MAILS}/{stem}.{design}.html" for design in DESIGNS}
            dark = has_dark_design(exhibit.html)
            room.append(Hung(exhibit, f"{stem}.html", files, dark))
        rooms.append((part, room))
    return rooms
