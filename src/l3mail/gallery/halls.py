"""The gallery as files: an index, a page for each mail, and the mail itself in both designs.

Owns their names, which depend on the mails' names and order alone.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Final

from l3mail.gallery.exhibits import Part
from l3mail.gallery.schemes import SCHEMES, in_scheme, kept_in
from l3mail.gallery.walls import STYLESHEET, Hung, Step, Walls

INDEX: Final = "index.html"
MAILS: Final = "mails"


def hang(
    parts: Sequence[Part], *, title: str, lead: str = "", media: Path | None = None
) -> dict[str, bytes]:
    """Every file of the gallery by its path in it; the first to open is `INDEX`.

    `media` holds the mails' images, as `/media/{digest}/{name}` names them.
    """
    rooms = _hung(parts)
    hangings = list(chain.from_iterable(room for _, room in rooms))
    place = {"title": title, "root": "", "index": INDEX}
    walls = Walls(place)
    files = {STYLESHEET.name: STYLESHEET.read_bytes()}
    files[INDEX] = walls.render("index.html", lead=lead, rooms=rooms).encode()
    pictures = kept_in(media) if media else _none
    for at, hung in enumerate(hangings):
        before = _step(hangings[at - 1]) if at else None
        after = _step(hangings[at + 1]) if hangings[at + 1 :] else None
        page = walls.render("mail.html", hung=hung, one=hung.exhibit, before=before, after=after)
        files[hung.page] = page.encode()
        files[hung.files["eml"]] = hung.exhibit.mail
        for scheme in SCHEMES:
            if scheme in hung.files:
                html = in_scheme(hung.exhibit.html, scheme, pictures)
                files[hung.files[scheme]] = html.encode()
    return files


def _none(_digest: str, _name: str) -> None:
    """No picture at all."""


def _step(hung: Hung) -> Step:
    return Step(hung.page, hung.exhibit.subject, hung.exhibit.locale)


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
                files |= {scheme: f"{MAILS}/{stem}.{scheme}.html" for scheme in SCHEMES}
            room.append(Hung(exhibit, f"{stem}.html", files))
        rooms.append((part, room))
    return rooms
