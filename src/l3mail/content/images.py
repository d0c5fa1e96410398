"""Files of media/: which may stand in a mail, how wide they are, under which name they are kept.

Reads files below the workspace's media folder and nothing else.
"""

import hashlib
import re
import struct
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from l3mail.content.findings import suggestion
from l3mail.content.pictures import FORMATS
from l3mail.errors import ContentError, quoted

FOLDER = "media"
LARGEST_IMAGE = 2_000_000
LARGEST_PHOTO = 20_000_000
"""Of a picture that is made smaller before it is sent."""

LARGEST_FILE = 20_000_000
IMAGES = frozenset({".png", ".jpg", ".jpeg", ".gif", ".webp"})
"""What mail programs show; SVG is not among it."""

FILES = IMAGES | {".pdf", ".odt", ".ods", ".odp", ".docx", ".xlsx", ".pptx", ".txt", ".ics", ".mp3"}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
# The frames of a JPEG that tell its size: SOF0 to SOF15 without DHT, JPG and DAC.
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


@dataclass(frozen=True, slots=True)
class Medium:
    """One file that texts refer to: `path` below the workspace, `digest` as a folder's name.

    The digest is of the file's bytes; where a `recipe` makes something else of that file, of all
    that goes into it, so that who only looks at texts makes nothing. `makings` knows the recipes.
    """

    path: str
    name: str
    digest: str
    width: int | None = None
    height: int | None = None
    recipe: str = ""


def find_medium(folder: Path, link: str, *, image: bool) -> Medium:
    """The file behind a relative link; raises ContentError with what to do about it."""
    return read_medium(folder, link, image=image)[0]


def read_medium(folder: Path, link: str, *, image: bool) -> tuple[Medium, bytes]:
    """The same, with what is in the file."""
    relative = Path(unquote(link.partition("#")[0]))
    media = (folder / FOLDER).resolve()
    try:
        path = (folder / relative).resolve()
        path.is_file()
    except (OSError, ValueError) as error:  # a NUL, or longer than names may be
        raise ContentError(f"{quoted(link[:100])} can be no file's name; name another") from error
    if not path.is_relative_to(media) or not media.is_relative_to(folder.resolve()):
        raise ContentError(f"{quoted(link)} is not in media/; put the file there")
    if not path.is_file():
        there = (
            # Worksheets are linked to as what they become.
            f"{FOLDER}/{known.relative_to(media).as_posix().removesuffix('.md')}"
            + ".pdf" * (known.suffix == ".md")
            for known in media.rglob("*")
            if known.is_file() and _NAME.fullmatch(known.name)
        )
        raise ContentError(f"{quoted(link)} does not exist; {suggestion(link, there)}")
    allowed = IMAGES if image else FILES
    if path.suffix.lower() not in allowed:
        known = ", ".join(sorted(allowed))
        raise ContentError(f"{quoted(link)} is no file for mails; take one of {known}")
    if not _NAME.fullmatch(path.name):
        raise ContentError(
            f"{quoted(unquote(link))} becomes part of an address; name the file in a-z, A-Z, 0-9,"
            " - and _, without umlauts and spaces"
        )
    limit = _limit(path.suffix.lower()) if image else LARGEST_FILE
    if path.stat().st_size > limit:
        has = f"{path.stat().st_size / 1e6:.0f} MB"
        raise ContentError(
            f"{quoted(link)} is larger than {limit // 1_000_000} MB, it has {has}; make it smaller"
        )
    data = path.read_bytes()
    size = image_size(data)
    if image and size is None:
        raise ContentError(f"{quoted(link)} holds no image that can be read; save it anew")
    width, height = size or (None, None)
    shown = path.relative_to(folder.resolve()).as_posix()
    return Medium(shown, path.name, digest_of(data), width, height), data


def _limit(ending: str) -> int:
    return LARGEST_PHOTO if ending in FORMATS else LARGEST_IMAGE


def digest_of(data: bytes) -> str:
    """What stands for a file's bytes in its address: 16 hexadecimal digits."""
    return hashlib.blake2b(data, digest_size=8).hexdigest()


def image_size(data: bytes) -> tuple[int, int] | None:
    """Width and height of a PNG, GIF, WebP or JPEG by its header; None if it is none."""
    try:
        if data.startswith(b"\x89PNG\r\n\x1a\n"):
            return _sound(struct.unpack(">II", data[16:24]))
        if data[:6] in (b"GIF87a", b"GIF89a"):
            return _sound(struct.unpack("<HH", data[6:10]))
        if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
            return _sound(_webp(data))
        if data.startswith(b"\xff\xd8"):
            return _sound(_jpeg(data))
    except struct.error:
        pass
    return None


def _sound(size: tuple[int, ...]) -> tuple[int, int] | None:
    return (size[0], size[1]) if len(size) == 2 and all(size) else None


def _webp(data: bytes) -> tuple[int, ...]:
    kind = data[12:16]
    if kind == b"VP8X":
        width, height = data[24:27], data[27:30]
        return int.from_bytes(width, "little") + 1, int.from_bytes(height, "little") + 1
    if kind == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 ":
        width, height = struct.unpack("<HH", data[26:30])
        return width & 0x3FFF, height & 0x3FFF
    return ()


def _jpeg(data: bytes) -> tuple[int, ...]:
    at = 2
    while at + 9 < len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # a fill byte
            at += 1
            continue
        (length,) = struct.unpack(">H", data[at + 2 : at + 4])
        if marker in _JPEG_FRAMES:
            height, width = struct.unpack(">HH", data[at + 5 : at + 9])
            return width, height
        at += 2 + length
    return ()
